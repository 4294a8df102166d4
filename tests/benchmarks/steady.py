"""Seconds of a steady-state epoch: every framework in a process of its own, one epoch of every row in every round."""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from tests.benchmarks.workloads import Row, Workload, rows_of

ROOT = Path(__file__).resolve().parents[2]
PAUSE_SECONDS = 0.05  # threads of OpenMP spin a little after their last product
SLOW, SLOW_ROUNDS = 10, 3  # a row more than so many times slower than ours runs in the first rounds only
Tell = Callable[[str], None]


@dataclass
class Timed:
    """What a row gave: seconds of the measured timings, those of the first, which compiles, and the losses of all."""

    row: Row
    seconds: list[float] = field(default_factory=list)
    first_seconds: float | None = None
    losses: list[list[float]] = field(default_factory=list)
    problem: str | None = None


class Workers:
    """The processes of all frameworks, each started when it is first asked and asleep until it is asked again."""

    def __init__(self, *, folder: Path, data_dir: Path, log: TextIO) -> None:
        self.folder, self.data_dir, self.log = folder, data_dir, log
        self._running: dict[str, subprocess.Popen[str]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._running.values():
            assert process.stdin is not None
            assert process.stdout is not None
            with contextlib.suppress(BrokenPipeError):  # of one that has died
                process.stdin.close()  # the end of its requests is the end of the worker
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()

    def ask(self, framework: str, **request: Any) -> dict[str, Any]:
        """One request, answered with ``missing``, ``failed`` or what was asked for."""
        process = self._running.get(framework) or self._start(framework)
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            print(json.dumps(request), file=process.stdin, flush=True)
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            return {"failed": f"its process ended with exit status {process.wait()}"}
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close_rows(self) -> None:
        """Give back the memory of all rows; the processes stay for the next workload."""
        for framework, process in self._running.items():
            if process.poll() is None:
                self.ask(framework, do="close")

    def _start(self, framework: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            worker_command(framework, folder=self.folder, data_dir=self.data_dir),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            cwd=ROOT,
        )
        self._running[framework] = process
        return process


def worker_command(framework: str, *, folder: Path, data_dir: Path) -> list[str]:
    """The command line of a framework's process."""
    paths = ["--folder", str(folder), "--data-dir", str(data_dir)]
    return [sys.executable, "-m", "tests.benchmarks.worker", framework, *paths]


def measure(workload: Workload, workers: Workers, *, rounds: int, tell: Tell) -> list[Timed]:
    """Time all rows of a workload. Rounds run forwards and backwards in turn, so that no row always follows another.

    Raises RuntimeError where ours fails.
    """
    if problem := _problem(workers.ask("ours", do="inputs", workload=workload.name)):
        raise RuntimeError(f"{workload.name}: ours: {problem}")
    found = [Timed(row) for row in rows_of(workload)]
    for number, timed in enumerate(found):
        tell(f"{workload.name}: starting {timed.row.title}, {timed.row.optimizer}")
        timed.problem = _problem(workers.ask(timed.row.framework, do="open", number=number, row=vars(timed.row)))
        if timed.problem is None:
            _time(timed, number, workers, first=True)
    for index in range(rounds):
        order = list(enumerate(found))
        limit = _slow_limit(found) if index >= SLOW_ROUNDS else float("inf")
        for number, timed in order if index % 2 == 0 else reversed(order):
            if timed.problem is None and statistics.median(timed.seconds or [0.0]) <= limit:
                tell(f"{workload.name}: round {index + 1} of {rounds}, {timed.row.title}, {timed.row.optimizer}")
                _time(timed, number, workers)
    workers.close_rows()
    return found


def _time(timed: Timed, number: int, workers: Workers, *, first: bool = False) -> None:
    time.sleep(PAUSE_SECONDS)
    answer = workers.ask(timed.row.framework, do="epoch", number=number)
    timed.problem = _problem(answer)
    if timed.problem is not None:
        return
    timed.losses.append(answer["losses"])
    if first:
        timed.first_seconds = answer["seconds"]
    else:
        timed.seconds.append(answer["seconds"])


def _slow_limit(found: Iterable[Timed]) -> float:
    ours = [statistics.median(timed.seconds) for timed in found if timed.row.framework == "ours" and timed.seconds]
    return SLOW * min(ours, default=float("inf"))


def _problem(answer: dict[str, Any]) -> str | None:
    if "missing" in answer:
        return f"not installed ({answer['missing']})"
    return answer.get("failed")
