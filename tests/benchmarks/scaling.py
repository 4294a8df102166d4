"""How the cost of training grows with rows, width, depth and models: mlptrain beside JAX and autograd.

    python tests/benchmarks/scaling.py [--curves rows,width,…] [--out runs/scaling]

Every point is a process of its own, which trains plain SGD on made inputs. Of mlptrain it is a whole
``mlptrain.train``, checks, scaling, evaluation, log and checkpoints included: ``seconds`` are those of the training of
an epoch, ``whole`` those of the call. The memory is the highest of the process above that after its imports. The slope
of a curve is that of a straight line through its upper half, in logarithms: 1 is a cost that grows as the work.

Writes DIR/scaling.json, DIR/scaling.txt and DIR/scaling.png; ``--redraw DIR/scaling.json`` makes text and picture anew.
Needs 20 GB of memory, nothing else on the machine, and half an hour.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # started as a file: import from the repository, not from this folder
    sys.path[0] = str(Path(__file__).resolve().parents[2])

import numpy as np
from rich.console import Console
from rich.table import Table

from tests.benchmarks.machine import describe_machine
from tests.benchmarks.steady import ROOT
from tests.benchmarks.whole_process import ENVIRONMENT

FRAMEWORKS = {"mlptrain": "mlptrain", "peers_jax": "JAX", "peers_torch": "autograd"}
EPOCHS = 4  # of which the first, in which JAX compiles, does not count
CLASSES = 10
LR = 0.05
TOO_LONG = 150.0  # seconds, after which a point is given up


@dataclass(frozen=True)
class Shape:
    """What one point trains: ``hidden`` layers of one width, ``models`` of as many seeds."""

    rows: int = 12_800
    inputs: int = 784
    width: int = 64
    depth: int = 1
    batch_size: int = 128
    models: int = 1

    @property
    def widths(self) -> tuple[int, ...]:
        """From the inputs to the classes."""
        return (self.inputs, *[self.width] * self.depth, CLASSES)

    @property
    def work(self) -> float:
        """Multiplications and additions of an epoch's forward passes, in all models."""
        products = sum(a * b for a, b in pairwise(self.widths))
        return float(self.rows * products * self.models)


@dataclass(frozen=True)
class Curve:
    """One quantity that grows; ``at`` gives the shape of a size."""

    title: str
    sizes: tuple[int, ...]
    at: Callable[[int], Shape]


CURVES = {
    "rows": Curve(
        "rows of 16 inputs (16-64-64-10, batch 1,024)",
        (60_000, 240_000, 1_000_000, 2_500_000, 6_000_000),
        lambda size: Shape(rows=size, inputs=16, depth=2, batch_size=1024),
    ),
    "width": Curve(
        "width of two hidden layers (784 inputs, batch 128, 1,280 rows)",
        (64, 256, 1024, 2048, 4096, 8192),
        lambda size: Shape(rows=1280, width=size, depth=2),
    ),
    "depth": Curve(
        "hidden layers of 64 (784 inputs, batch 128)", (1, 2, 5, 10, 20, 50), lambda size: Shape(depth=size)
    ),
    "models": Curve(
        "models of 784-64-10 at once (batch 128)", (1, 2, 4, 8, 16, 32, 64), lambda size: Shape(models=size)
    ),
}


# --- one point, in a process of its own ---


def measure_point(framework: str, shape: Shape) -> dict[str, float]:
    """Seconds of an epoch's training, of the whole, and MB above what the imports took."""
    rng = np.random.default_rng(0)
    if framework == "mlptrain":
        return _ours(shape, rng)
    from tests.benchmarks import peers_jax, peers_torch
    from tests.benchmarks.problem import Problem
    from tests.benchmarks.workloads import Workload

    before = _peak_mb()
    started = time.perf_counter()
    x, y = _data(shape, rng)
    weights, biases = [], []
    for inputs, outputs in pairwise(shape.widths):
        bound = 1 / math.sqrt(inputs)
        weights.append(rng.uniform(-bound, bound, (shape.models, outputs, inputs)).astype(np.float32))
        biases.append(np.zeros((shape.models, outputs), np.float32))
    workload = Workload(
        "point", "", shape.widths, shape.batch_size, {"sgd": LR}, rows=shape.rows, models=shape.models, vary="seed"
    )
    problem = Problem(workload, "sgd", "medium", [LR] * shape.models, x, y, weights, biases, Path())
    module: Any = peers_jax if framework == "peers_jax" else peers_torch
    one = module.epochs if framework == "peers_jax" else module.autograd
    many = module.many if framework == "peers_jax" else module.batched
    epochs = (one if shape.models == 1 else many)(problem)
    seconds = []
    for _ in range(EPOCHS):
        begun = time.perf_counter()
        next(epochs)
        seconds.append(time.perf_counter() - begun)
    return {"seconds": min(seconds[1:]), "whole": time.perf_counter() - started, "mb": _peak_mb() - before}


def _ours(shape: Shape, rng: np.random.Generator) -> dict[str, float]:
    from mlptrain.cli.startup import prepare_collector, prepare_environment

    prepare_environment()
    prepare_collector()
    from mlptrain.experiment import train, train_seeds

    config = {
        "data": {"validation": 0, "test": 0},
        "model": {"hidden": [shape.width] * shape.depth},
        "optimizer": {"name": "sgd", "lr": LR},
        "training": {"epochs": EPOCHS, "batch_size": shape.batch_size},
        "evaluation": {"split": "none", "keep": "last"},
    }
    before = _peak_mb()
    started = time.perf_counter()
    data = _data(shape, rng)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        if shape.models == 1:
            train(config, data=data, run_dir=run)
        else:
            train_seeds(config, range(shape.models), data=data, run_dir=run)
            run = run / "seed-0"
        lines = [json.loads(line) for line in (run / "timings.jsonl").read_text(encoding="utf-8").splitlines()]
    return {
        "seconds": min(line["training"] for line in lines if line["epoch"] > 1),
        "whole": time.perf_counter() - started,
        "mb": _peak_mb() - before,
    }


def _data(shape: Shape, rng: np.random.Generator) -> tuple[Any, Any]:
    """Inputs, and classes that can be learnt: of a run that learns nothing the diagnosis trains some more."""
    x = rng.standard_normal((shape.rows, shape.inputs), dtype=np.float32)
    return x, x[:, :CLASSES].argmax(axis=1)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# --- all points ---


def point(framework: str, shape: Shape) -> dict[str, Any]:
    """``measure_point`` in a process of its own; its problem where there is one."""
    command = [sys.executable, "-m", "tests.benchmarks.scaling", "--point", framework, json.dumps(vars(shape))]
    try:
        child = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=ENVIRONMENT, timeout=TOO_LONG)
    except subprocess.TimeoutExpired:
        return {"problem": f"more than {TOO_LONG:.0f} s"}
    if child.returncode:
        lines = child.stderr.strip().splitlines() or [f"exit status {child.returncode}"]
        return {"problem": lines[-1][:100]}
    found: dict[str, Any] = json.loads(child.stdout.splitlines()[-1])
    return found


def measure(names: list[str], tell: Callable[[str], object]) -> dict[str, Any]:
    """All points of these curves: by curve a list of ``{size, work, framework: figures}``."""
    curves: dict[str, Any] = {}
    for name in names:
        curve, rows = CURVES[name], []
        for size in curve.sizes:
            row: dict[str, Any] = {"size": size, "work": curve.at(size).work}
            for framework, title in FRAMEWORKS.items():
                tell(f"{curve.title}: {size:,}, {title}")
                row[framework] = point(framework, curve.at(size))
            rows.append(row)
        curves[name] = {"title": curve.title, "points": rows, "slopes": slopes(rows)}
    return curves


def slopes(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """By framework and figure the slope of its logarithm against that of the work, over the upper half of the sizes."""
    found: dict[str, dict[str, float]] = {}
    for framework in FRAMEWORKS:
        known = [row for row in rows[len(rows) // 2 - 1 :] if "problem" not in row[framework]]
        if len(known) > 1:
            work = np.log([row["work"] for row in known])
            found[framework] = {
                figure: float(np.polyfit(work, np.log([max(row[framework][figure], 1e-9) for row in known]), 1)[0])
                for figure in ("seconds", "whole", "mb")
            }
    return found


def tables(results: dict[str, Any]) -> list[Table]:
    """One table for each curve: milliseconds of an epoch, seconds of the whole call, MB, and their slopes."""
    made = []
    for curve in results["curves"].values():
        table = Table(title=curve["title"], title_justify="left")
        table.add_column("size", justify="right")
        for title in FRAMEWORKS.values():
            table.add_column(f"{title}: ms an epoch", justify="right")
            table.add_column("whole, s", justify="right")
            table.add_column("MB", justify="right")
        for row in curve["points"]:
            cells: list[str] = []
            for framework in FRAMEWORKS:
                figures = row[framework]
                if "problem" in figures:
                    cells += [figures["problem"], "", ""]
                else:
                    ms, whole, mb = 1000 * figures["seconds"], figures["whole"], figures["mb"]
                    cells += [f"{ms:,.1f}", f"{whole:,.2f}", f"{mb:,.0f}"]
            table.add_row(f"{row['size']:,}", *cells)
        of_all = [curve["slopes"].get(framework, {}) for framework in FRAMEWORKS]
        ends = [f"{of[name]:.2f}" if of else "" for of in of_all for name in ("seconds", "whole", "mb")]
        table.add_row("slope", *ends)
        made.append(table)
    return made


def draw(results: dict[str, Any]) -> bytes:
    """The picture (PNG): for each curve time above and memory below, with a line of slope 1 in grey."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    from mlptrain.report.style import new_figure, picture_bytes

    curves = results["curves"]
    figure = new_figure(3.4 * len(curves), 5.6)
    grid: Any = figure.subplots(2, len(curves), squeeze=False)
    for column, (name, curve) in enumerate(curves.items()):
        for axes, key, unit in ((grid[0][column], "seconds", "s an epoch"), (grid[1][column], "mb", "MB")):
            for framework, title in FRAMEWORKS.items():
                known = [row for row in curve["points"] if "problem" not in row[framework]]
                axes.plot([row["size"] for row in known], [row[framework][key] for row in known], "o-", label=title)
            rows = [row for row in curve["points"] if "problem" not in row["mlptrain"]]
            top = rows[-1]
            scale = top["mlptrain"][key] / top["work"]
            axes.plot([row["size"] for row in rows], [scale * row["work"] for row in rows], ":", color="grey")
            axes.set(xscale="log", yscale="log", ylabel=unit, xlabel=name)
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
                axis.set_minor_formatter(NullFormatter())
        grid[0][column].set_title(curve["title"].replace(" (", "\n("), fontsize=8)
    grid[0][0].legend(fontsize=8)
    return picture_bytes(figure, "png")


def write(results: dict[str, Any], out: Path, console: Console) -> None:
    """Text, JSON and picture into ``out``, and the text to the screen."""
    (out / "scaling.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    for table in tables(results):
        console.print(table)
    with (out / "scaling.txt").open("w", encoding="utf-8") as stream:
        paper = Console(file=stream, width=150)
        for table in tables(results):
            paper.print(table)
    (out / "scaling.png").write_bytes(draw(results))
    console.print(f"written: {out}/scaling.json, scaling.txt, scaling.png")


def main() -> None:
    """Measure all points, or one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--curves", type=lambda text: text.split(","), default=list(CURVES))
    parser.add_argument("--out", type=Path, default=Path("runs/scaling"))
    parser.add_argument("--redraw", type=Path)
    parser.add_argument("--point", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.point:
        framework, shape = options.point
        print(json.dumps(measure_point(framework, Shape(**json.loads(shape)))))
        return
    console = Console(width=150)
    if options.redraw:
        write(json.loads(options.redraw.read_text(encoding="utf-8")), options.redraw.parent, console)
        return
    if unknown := sorted(set(options.curves) - set(CURVES)):
        raise SystemExit(f"unknown curves {', '.join(unknown)}; choose from {', '.join(CURVES)}")
    options.out.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {"machine": describe_machine(), "curves": {}}
    for name in options.curves:
        with console.status("") as status:
            results["curves"] |= measure([name], status.update)
        write(results, options.out, console)  # what is measured is not lost if the next curve fails


if __name__ == "__main__":
    main()
