"""What a large table costs: reading, checking and preparing it beside polars, its memory, and an epoch beside arrays.

    python tests/benchmarks/large_table.py [--rows 10000000] [--folder FOLDER]

The table has 12 columns of numbers, of which the last one, 0 or 1, is the target; it is made in FOLDER, where 2 GB must
be free. Each measurement is a process of its own, and memory counts from where libraries are loaded; the table is made
in another one, since the highest memory of a process counts from that of its parent. Where other programs run, seconds
of the processor are fairer than those of a clock.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # started as a file: import from the repository, not from this folder
    sys.path[0] = str(Path(__file__).resolve().parents[2])

import numpy as np
import polars as pl

CONFIG: dict[str, Any] = {
    "name": "large-table",
    "data": {"test": 0.2, "validation": 0},
    "model": {"hidden": [64, 64]},
    "optimizer": "adam",
    "training": {"batch_size": 4096, "epochs": 15},
    "evaluation": {"split": "none"},
}


def make(path: Path, rows: int) -> None:
    """Nine normal columns with four decimals, two of whole numbers, and two classes that depend on three of them."""
    rng = np.random.default_rng(0)
    numbers = {f"x{index}": rng.standard_normal(rows).round(4) for index in range(9)}
    whole = {f"k{index}": rng.integers(0, 1000, rows) for index in range(2)}
    signal = numbers["x0"] + numbers["x1"] * numbers["x2"] + rng.standard_normal(rows)
    pl.DataFrame({**numbers, **whole, "y": (signal > 0).astype(np.int64)}).write_csv(path)


def measured(what: str, path: Path) -> dict[str, float]:
    """Seconds by the clock and of the processor, and gigabytes of memory at most, of one of the two ways to read."""
    from mlptrain.data.splits import load_splits, read_data
    from mlptrain.spec import load_spec

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wall, cpu = time.perf_counter(), time.process_time()
    if what == "polars":
        pl.read_csv(path)
    else:
        experiment = load_spec(_config(path)).experiment
        load_splits(experiment, read_data(experiment, folder=path.parent))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"wall": wall, "cpu": cpu, "gb": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e6}


def epochs(path: Path) -> dict[str, float]:
    """Median seconds of an epoch of a table, and of its columns and target as arrays."""
    from mlptrain.experiment import train
    from mlptrain.spec import load_spec

    frame = pl.read_csv(path)
    x, y = frame.drop("y").to_numpy().astype(np.float32), frame["y"].to_numpy()
    load_spec(_config(path))
    os.sync()  # what was read is kept in a file, and its way to the disk takes the cores for seconds
    found = {}
    for what, config, data in (
        ("table", _config(path), None),
        ("arrays", {**CONFIG, "data": {"name": "arrays", **CONFIG["data"]}}, (x, y)),
    ):
        folder = path.parent / f"run of {what}"
        train(config, data=data, run_dir=folder)
        lines = [json.loads(line) for line in (folder / "timings.jsonl").read_text(encoding="utf-8").splitlines()]
        found[what] = float(np.median([line["training"] for line in lines if line["training"]]))
    return found


def _config(path: Path) -> dict[str, Any]:
    return {**CONFIG, "data": {"name": "table", "path": str(path), "target": "y", **CONFIG["data"]}}


_PARTS: dict[str, Callable[[Path, int], dict[str, float] | None]] = {
    "make": make,
    "polars": lambda path, _: measured("polars", path),
    "mlptrain": lambda path, _: measured("mlptrain", path),
    "epochs": lambda path, _: epochs(path),
}


def _child(what: str, path: Path, rows: int = 0) -> dict[str, float]:
    command = [sys.executable, __file__, "--only", what, "--folder", str(path), "--rows", str(rows)]
    cache = {"MLPTRAIN_CACHE_DIR": tempfile.mkdtemp(dir=path.parent)}  # empty: the first time that the file is read
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | cache).stdout
    found: dict[str, float] = json.loads(out.splitlines()[-1])
    return found


def main() -> None:
    """Make the tables, measure, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--only", choices=(*_PARTS,), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(_PARTS[options.only](options.folder, options.rows)))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path, small = Path(folder) / "large.csv", Path(folder) / "small.csv"
        _child("make", path, options.rows)
        _child("make", small, max(100_000, options.rows // 10))
        os.sync()  # on its way to the disk a file takes the cores, and holds up whoever writes
        matrix = options.rows * 12 * 4 / 1e9
        polars, ours = _child("polars", path), _child("mlptrain", path)
        for name, found in (("polars", polars), ("mlptrain", ours)):
            print(f"{name}: {found['wall']:.1f} s, {found['cpu']:.1f} s of the processor, {found['gb']:.2f} GB")
        print(f"relative to polars: {ours['wall'] / polars['wall']:.2f}, {ours['cpu'] / polars['cpu']:.2f}")
        print(f"memory relative to the matrix of {matrix:.2f} GB: {ours['gb'] / matrix:.2f}")
        epoch = _child("epochs", small)
        share = epoch["arrays"] / epoch["table"]
        print(f"an epoch: {epoch['table']:.2f} s, of arrays {epoch['arrays']:.2f} s: {share:.0%} of their speed")


if __name__ == "__main__":
    main()
