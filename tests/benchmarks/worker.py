"""A process that holds one framework, sleeps on a pipe, and trains one row when it is asked to.

Frameworks in one process get in each other's way: the threads of OpenMP and of XLA spin and compete, and what one
imports slows the start of another. So each has its own. Asked by one line of JSON on standard input, it answers with
one on standard output; whatever the framework prints goes to standard error.

    python -m tests.benchmarks.worker FRAMEWORK --folder DIR --data-dir DIR [--row JSON --epochs N]

With ``--row`` it is the script that a user would write: import, read the data, train that row, show the losses.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any, TextIO

from tests.benchmarks.problem import Epochs, Losses, load_problem
from tests.benchmarks.workloads import Row

MISSING = 3  # exit status where the framework is not installed


def open_row(row: Row, *, folder: Path, data_dir: Path) -> Epochs:
    """The epochs of a row, with its framework imported. Raises ModuleNotFoundError where that is not installed."""
    module = importlib.import_module(f"tests.benchmarks.{row.framework}")
    if row.framework == "ours":
        epochs: Epochs = module.epochs(row, data_dir)
    else:
        epochs = getattr(module, row.method)(load_problem(row, folder=folder, data_dir=data_dir))
    return epochs


class Worker:
    """Answers the requests of one framework's process; rows are numbered by the asker."""

    def __init__(self, framework: str, *, folder: Path, data_dir: Path) -> None:
        self.folder, self.data_dir = folder, data_dir
        self.rows: dict[int, Epochs] = {}
        if framework == "ours":
            from mlptrain.cli.startup import prepare_environment

            prepare_environment()  # as the command does, before torch is imported
            from tests.benchmarks import ours

            ours.start()
            self.ours = ours

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """What one request gives."""
        match request["do"]:
            case "inputs":
                self.ours.write_inputs(request["workload"], folder=self.folder, data_dir=self.data_dir)
            case "open":
                row = Row(**request["row"])
                self.rows[request["number"]] = open_row(row, folder=self.folder, data_dir=self.data_dir)
            case "epoch":
                started = time.perf_counter()
                losses: Losses = next(self.rows[request["number"]])
                return {"seconds": time.perf_counter() - started, "losses": losses}
            case "close":
                self.rows.clear()
                gc.collect()
        return {}

    def serve(self, requests: TextIO, answers: TextIO) -> None:
        """Answer until the asker hangs up."""
        for line in requests:
            try:
                found = self.answer(json.loads(line))
            except ModuleNotFoundError as error:
                found = {"missing": error.name}
            except NotImplementedError as error:
                found = {"failed": str(error)}
            except Exception as error:  # the row failed; the others go on
                traceback.print_exc()
                found = {"failed": f"{type(error).__name__}: {error}"}
            print(json.dumps(found), file=answers, flush=True)


def _answers() -> TextIO:
    """Standard output for the answers alone; what anybody else prints there goes to standard error from now on."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


def _train_once(row: Row, *, epochs: int, folder: Path, data_dir: Path) -> list[Losses]:
    running = open_row(row, folder=folder, data_dir=data_dir)
    return [next(running) for _ in range(epochs)]


def main() -> None:
    """Serve, or train one row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("framework")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--row", type=json.loads)
    parser.add_argument("--epochs", type=int, default=5)
    options = parser.parse_args()
    answers = _answers()
    if options.row is None:
        Worker(options.framework, folder=options.folder, data_dir=options.data_dir).serve(sys.stdin, answers)
        return
    try:
        row = Row(**options.row)
        losses = _train_once(row, epochs=options.epochs, folder=options.folder, data_dir=options.data_dir)
    except ModuleNotFoundError as error:
        print(error, file=sys.stderr)
        raise SystemExit(MISSING) from None
    print(json.dumps(losses), file=answers, flush=True)


if __name__ == "__main__":
    main()
