"""Speed of training: ours beside what a user could take instead, and beside the matrix products alone.

    python tests/benchmarks/speed.py [--workloads W1,W2,…] [--rounds 7] [--out runs/speed] [--data-dir DIR]

Needs `pip install -e '.[bench]'` for the peers; one that is not installed becomes a row that says so. Workloads are
W1 to W4 (MNIST), spirals (1,000 full-batch epochs), W2-seeds, W2-rates, W4-seeds and W4-rates (16 models at once),
whole-process (five epochs from the start of a process to its exit) and start-up (with peak memory); default is all.

Every framework has a process of its own, and only one works at a time. In each round every row of a workload runs one
epoch, so that a machine that drifts slows all alike; medians are reported, of seconds per epoch and model. The first
epoch, in which JAX compiles, is kept apart. All start from the same weights with the same learning rates; each must
have trained: its mean loss over the epochs agrees with ours to 10 % (25 % for the worst of 16 models; 1 % where there
is one batch, whose order cannot differ), else the command says so and exits with 1. A row more than ten times slower
than ours runs in the first three rounds only. The work is equal: ours, autograd and JAX find mean loss and
accuracy of the epoch, the others what they find by default. Beside 16 rates stand 16 seeds of ours.

Writes DIR/speed.json with all samples, DIR/speed.txt and DIR/speed.png. `--redraw DIR/speed.json` makes text and
picture anew without measuring. Nothing else should run on the machine.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import TextIO

if __name__ == "__main__":  # started as a file: import from the repository, not from this folder
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from rich.console import Console

from mlptrain.sources.store import data_folder
from tests.benchmarks.machine import describe_machine
from tests.benchmarks.results import Record, start_up_record, steady_record, untrained, whole_record
from tests.benchmarks.steady import Tell, Workers, measure
from tests.benchmarks.table import tables
from tests.benchmarks.whole_process import NAMES, Runner, start_up, whole_processes
from tests.benchmarks.workloads import WORKLOADS

WHOLE, START_UP = "whole-process", "start-up"
CHOICES = (*WORKLOADS, WHOLE, START_UP)
WIDTH = 120  # columns of text


def main() -> None:
    """Measure what is asked for, write it and show it."""
    options = _parser().parse_args()
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH)
    if options.redraw:
        results = json.loads(options.redraw.read_text(encoding="utf-8"))
        write(results, options.redraw.parent, console)
        return
    unknown = sorted(set(options.workloads) - set(CHOICES))
    if unknown:
        raise SystemExit(f"unknown workloads {', '.join(unknown)}; choose from {', '.join(CHOICES)}")
    out = options.out
    out.mkdir(parents=True, exist_ok=True)
    results = {"machine": describe_machine(), "rounds": options.rounds, "steady": {}}
    with (
        tempfile.TemporaryDirectory() as folder,
        (out / "workers.log").open("w", encoding="utf-8") as log,
        console.status("") as status,
    ):
        _measure_all(
            results,
            options.workloads,
            rounds=options.rounds,
            out=out,
            folder=Path(folder),
            data_dir=data_folder(options.data_dir).absolute(),
            log=log,
            tell=status.update,
        )
    write(results, out, console)
    if faults := untrained(results):
        raise SystemExit("\n".join(faults))


def _measure_all(
    results: Record, names: list[str], *, rounds: int, out: Path, folder: Path, data_dir: Path, log: TextIO, tell: Tell
) -> None:
    with Workers(folder=folder, data_dir=data_dir, log=log) as workers:
        for name in (name for name in WORKLOADS if name in names):
            found = measure(WORKLOADS[name], workers, rounds=rounds, tell=tell)
            results["steady"][name] = steady_record(WORKLOADS[name], found)
            _write_json(results, out)  # an hour of measuring is not lost if the next workload fails
        if WHOLE in names:
            for name in NAMES:
                workers.ask("ours", do="inputs", workload=name)
    runner = Runner(folder=folder, data_dir=data_dir, log=log)
    if WHOLE in names:
        results["whole_process"] = whole_record(whole_processes(runner, rounds=rounds, tell=tell))
    if START_UP in names:
        results["start_up"] = start_up_record(*start_up(runner, rounds=rounds, tell=tell))
    _write_json(results, out)


def write(results: Record, out: Path, console: Console) -> None:
    """Show the tables, and write them and the picture."""
    from tests.benchmarks.picture import draw

    with (out / "speed.txt").open("w", encoding="utf-8") as stream:
        plain = Console(file=stream, width=WIDTH)
        for part in tables(results):
            console.print(part)
            plain.print(part)
    (out / "speed.png").write_bytes(draw(results))
    console.print(f"written: {out}/speed.json, speed.txt, speed.png")


def _write_json(results: Record, out: Path) -> None:
    (out / "speed.json").write_text(json.dumps(results, indent=1, ensure_ascii=False), encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", type=lambda text: text.split(","), default=list(CHOICES))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("runs/speed"))
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--redraw", type=Path, metavar="JSON")
    return parser


if __name__ == "__main__":
    main()
