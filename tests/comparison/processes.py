"""Comparisons in processes of their own."""

from __future__ import annotations

import os
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from mlptrain.cli import main
from tests.comparison.small import BASE, TUNED, write
from tests.faults.tools.processes import FORKS

LONGER = BASE.replace("hidden: [8]", "hidden: [32]").replace("epochs: 2", "epochs: 15")  # a second and a half
TEXT = TUNED.replace("[0.03, 0.3, 3.0]", "[0.01, 0.03, 0.1]")  # which SGD's best lies above


def command(arguments: list[str], errors: str) -> None:
    """`mlptrain` in a process of its own."""
    os.setpgid(0, 0)
    descriptor = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    main(arguments)


def started(place: Path, *options: str) -> ForkServerProcess:
    config = write(TEXT, place.parent, base=LONGER)
    arguments = ["compare-optimizers", str(config), "--run-dir", str(place), *options]
    process = FORKS.Process(target=command, args=(arguments, str(errors_of(place))))
    process.start()
    return process


def errors_of(place: Path) -> Path:
    return place.parent / "errors.txt"


def ended(process: ForkServerProcess) -> int | None:
    process.join(60)
    return process.exitcode


def trials(place: Path) -> int:
    file = place / "trials.jsonl"
    return file.read_bytes().count(b"\n") if file.is_file() else 0


def until_some_are_on_record(place: Path, process: ForkServerProcess, wanted: int) -> None:
    deadline = time.monotonic() + 60
    while trials(place) < wanted:
        assert process.is_alive(), errors_of(place).read_text()
        assert time.monotonic() < deadline
        time.sleep(0.002)
