"""`mlptrain` in processes of its own, forked from one that has imported torch, so that they begin at once."""

from __future__ import annotations

import contextlib
import io
import itertools
import multiprocessing
import os
import re
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    ["torch", "scipy.stats", "rich.box", "rich.console", "rich.progress", "rich.table", "mlptrain.cli",
     "mlptrain.experiment", "mlptrain.comparison.protocol", "mlptrain.sources.fetch",
     "mlptrain.report.comparison.outputs", "mlptrain.report.search.outputs", "mlptrain.searching", "optuna.samplers",
     "matplotlib.backends.backend_agg", __name__]
)  # fmt: skip

SMALL = """\
name: small
data: {name: digits, train_size: 200, validation: 50, test_size: 100}
model: {hidden: [16]}
optimizer: {name: adam, lr: 0.01}
training: {epochs: 4, batch_size: 50, record_steps: true, device: cpu, threads: 1, precision: highest, ema: 0.9}
"""
OF_A_RUN = ("resolved.yaml", "metrics.jsonl", "steps.npz", "result.json", "checkpoints/last.safetensors",
            "checkpoints/best.safetensors")  # fmt: skip


class Child:
    """A function in a forked process; what it prints lies in ``output``, the traceback of what it raises too."""

    def __init__(self, function: Callable[..., object], *arguments: Any, folder: Path) -> None:
        """``folder`` is its working folder; the output lies beside it."""
        self.output = folder.with_name(f"{folder.name}-{time.monotonic_ns()}.txt")
        self.process = FORKS.Process(target=_run, args=(function, arguments, str(folder), str(self.output)))
        self.process.start()

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    def end(self, seconds: float = 120) -> int:
        """Its exit code, negative for a signal's."""
        self.process.join(seconds)
        assert self.process.exitcode is not None, f"still running\n{self.told}"
        return self.process.exitcode

    @property
    def told(self) -> str:
        return self.output.read_text(errors="replace") if self.output.exists() else ""

    def wait_until(self, happened: Callable[[], bool], seconds: float = 60) -> bool:
        """Whether it happened while the process lived."""
        deadline = time.monotonic() + seconds
        while not happened():
            if not self.process.is_alive():
                return happened()
            assert time.monotonic() < deadline, f"it does not get on\n{self.told}"
            time.sleep(0.001)
        return True

    def kill(self) -> int:
        self.process.kill()
        return self.end()


def _run(function: Callable[..., object], arguments: tuple[Any, ...], folder: str, output: str) -> None:
    os.setpgid(0, 0)  # a Ctrl-C at the terminal of the tests is not for it
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.chdir(folder)
    try:
        function(*arguments)
    except Exception:
        traceback.print_exc()
        sys.exit(99)


def command(*arguments: str, folder: Path, first: Callable[[], None] | None = None) -> Child:
    """`mlptrain` with these arguments, which puts every epoch on the disk; ``first`` is called before."""
    return Child(_command, arguments, first, folder=folder)


def _command(arguments: tuple[str, ...], first: Callable[[], None] | None) -> None:
    from mlptrain.cli import main
    from mlptrain.experiment import recorder

    recorder.SECONDS_BETWEEN_CHECKPOINTS = 0.0
    if first is not None:
        first()
    main(list(arguments))


@dataclass(frozen=True)
class KillAt:
    """Kills its process when that touches a file below the working folder for the ``number``-th time, counted from 1.

    A touch is what makes, opens for writing, syncs, renames or removes a file or folder, and the process dies before
    it. Of a file that is written, synced and renamed there are four, the last of which syncs the folder. Touches are
    also counted as bytes of the file ``tally``; number 0 only counts.
    """

    number: int = 0
    tally: str = os.devnull

    def __call__(self) -> None:
        below, count, sync = f"{Path.cwd()}{os.sep}", itertools.count(1), os.fsync
        tally = os.open(self.tally, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)

        def touched() -> None:
            os.write(tally, b".")
            if next(count) == self.number:
                os.kill(os.getpid(), signal.SIGKILL)

        def counted_sync(fd: Any) -> None:
            touched()
            sync(fd)

        def hear(event: str, arguments: tuple[Any, ...]) -> None:
            changes = event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir")
            if changes or (event == "open" and (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR)):
                path = arguments[0]
                if isinstance(path, (str, os.PathLike)) and str(Path(path).absolute()).startswith(below):
                    touched()

        os.fsync = counted_sync
        sys.addaudithook(hear)


@dataclass(frozen=True)
class KillInWrite:
    """Kills its process in the middle of the write that makes a file longer than ``size`` bytes."""

    size: int

    def __call__(self) -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, self.size))


def call(*arguments: str) -> tuple[int, str, str]:
    """`mlptrain` in this process: exit code, standard output, standard error."""
    from mlptrain.cli import main

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main(list(arguments))
    code = ended.value.code
    assert code is None or isinstance(code, int)
    return code or 0, out.getvalue(), err.getvalue()


def one_error(text: str) -> str:
    """The only error on standard error, of one line and without a traceback."""
    assert "Traceback" not in text
    assert "internal error" not in text
    lines = [line for line in text.splitlines() if not re.match(r"epoch \d|warning: |tuning|scoring|timing", line)]
    assert len(lines) == 1, text
    return lines[0]


def assert_same_files(one: Path, other: Path, names: Sequence[str]) -> None:
    for name in names:
        assert (one / name).read_bytes() == (other / name).read_bytes(), f"{other / name}"
