"""Seconds of whole processes: five epochs from the start of a fresh process to its exit, start-up time, peak memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from tests.benchmarks.steady import PAUSE_SECONDS, ROOT, SLOW_ROUNDS, Tell, worker_command
from tests.benchmarks.worker import MISSING
from tests.benchmarks.workloads import OURS, WORKLOADS, Row, Workload, rows_of

EPOCHS = 5
NAMES = ("W2", "W4")
SHIPPED = ("digits.yaml", "tables/penguins.yaml")
SLOW_SECONDS = 30.0  # a process that takes longer runs in the first rounds only
# An installed package has its bytecode; compiling ours in every process would cost 0.1 s.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


@dataclass
class Process:
    """One command: its wall times and peak resident memory, and the losses of its epochs."""

    title: str
    workload: str
    command: list[str]
    seconds: list[float] = field(default_factory=list)
    peak_mb: list[float] = field(default_factory=list)
    training_seconds: list[float] = field(default_factory=list)
    losses: list[list[float]] = field(default_factory=list)
    problem: str | None = None


class Runner:
    """Runs commands one after the other; ``folder`` holds the inputs of the workers and takes our run folders."""

    def __init__(self, *, folder: Path, data_dir: Path, log: TextIO) -> None:
        self.folder, self.data_dir, self.log = folder, data_dir, log
        self._runs = 0

    def ours(self, workload: Workload) -> Process:
        """The command of mlptrain, without the run folder, which is a new one every time."""
        config = self.folder / f"{workload.name}.yaml"
        config.write_text(workload.yaml("sgd"), encoding="utf-8")
        return self.command(workload.name, config, "--set", f"training.epochs={EPOCHS}")

    def command(self, name: str, config: Path, *options: str) -> Process:
        """`mlptrain train` of a configuration, without the run folder."""
        command = [sys.executable, "-m", "mlptrain", "train", str(config), "--data-dir", str(self.data_dir), *options]
        return Process(OURS, name, command)

    def peer(self, row: Row) -> Process:
        """A script of a peer: the worker with one row."""
        command = worker_command(row.framework, folder=self.folder, data_dir=self.data_dir)
        command += ["--row", json.dumps(vars(row)), "--epochs", str(EPOCHS)]
        return Process(row.title, row.workload, command)

    def run(self, process: Process) -> None:
        """Run it once more and note what it took; a failure ends its turns."""
        time.sleep(PAUSE_SECONDS)
        run_dir = self.folder / f"run{self._runs}"
        self._runs += 1
        ours = process.title == OURS
        command = [*process.command, "--run-dir", str(run_dir)] if ours else process.command
        started = time.perf_counter()
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, text=True, cwd=ROOT, env=ENVIRONMENT)
        assert child.stdout is not None
        output = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - started
        child.returncode = code = os.waitstatus_to_exitcode(status)  # so that Popen does not wait for it again
        if code:
            process.problem = "not installed" if code == MISSING and not ours else f"failed with exit status {code}"
            return
        process.seconds.append(seconds)
        process.peak_mb.append(usage.ru_maxrss / 1024)
        if ours:
            process.losses = [[line["train_loss"]] for line in _lines(run_dir / "metrics.jsonl") if line["epoch"]]
            process.training_seconds.append(
                sum(line["training"] + line["evaluation"] for line in _lines(run_dir / "timings.jsonl"))
            )
        elif output.startswith("["):
            process.losses = json.loads(output)


def _lines(path: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def rounds_of(processes: list[Process], runner: Runner, *, rounds: int, tell: Tell) -> None:
    """Run all processes in every round; forwards and backwards in turn."""
    for index in range(rounds):
        for process in processes if index % 2 == 0 else reversed(processes):
            slow = index >= SLOW_ROUNDS and min(process.seconds, default=0.0) > SLOW_SECONDS
            if process.problem is None and not slow:
                tell(f"whole process, round {index + 1} of {rounds}: {process.title}, {process.workload}")
                runner.run(process)


def whole_processes(runner: Runner, *, rounds: int, tell: Tell) -> list[Process]:
    """Five epochs of plain SGD by the command of mlptrain and by a script of every peer."""
    processes = []
    for name in NAMES:
        workload = WORKLOADS[name]
        processes.append(runner.ours(workload))
        peers = [row for row in rows_of(workload) if row.framework not in ("ours", "floor")]
        plain = [row for row in peers if row.optimizer == "sgd" and row.precision in (None, "highest")]
        processes += [runner.peer(row) for row in plain]
    rounds_of(processes, runner, rounds=rounds, tell=tell)
    return processes


def start_up(runner: Runner, *, rounds: int, tell: Tell) -> tuple[Process, list[Process]]:
    """`import torch` alone, five epochs of mlptrain on small networks, and two shipped configurations."""
    bare = Process("import torch", "", [sys.executable, "-c", "import torch"])
    ours = [runner.ours(WORKLOADS[name]) for name in NAMES]
    ours += [runner.command(name, ROOT / "configs" / name) for name in SHIPPED]
    rounds_of([bare, *ours], runner, rounds=rounds, tell=tell)
    return bare, ours
