"""Standard streams, environment variables and collector, put in order before a command begins and torch is loaded."""

from __future__ import annotations

import atexit
import contextlib
import gc
import io
import os
import sys


def prepare_environment() -> None:
    """Let OpenMP threads that wait for one another go to sleep soon, unless the user has set how they wait.

    By default they spin for billions of turns first. Where other programs take the cores, they spin away the whole time
    slice of the very thread that they wait for: beside several busy processes on two cores an epoch of 784-500-256-10,
    usually 1.4 s, once took 68 s, and with the number below at most 11 s. On a quiet machine the number makes no
    difference; a tenth of it costs 30 % there, since threads then sleep within a step (2-core AMD EPYC, 2026-11-22).
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def prepare_collector() -> None:
    """Let garbage be collected less often, and not at the end of the process, whose memory goes back as a whole.

    Of the 1.9 s that ``train configs/digits.yaml`` took for one epoch, 0.2 s were collections among the objects of
    ``import torch``, which stay, and 0.3 s those of the end (2-core AMD EPYC, 2026-11-26).
    """
    gc.set_threshold(20_000, 50, 100)
    atexit.register(gc.freeze)


def prepare_streams() -> None:
    """Make standard input, output and error usable, whatever the process was started with.

    Where one is closed, the next file that is opened would take its number, and what a library writes to it would end
    in a checkpoint. A terminal or file without × gets a ? instead.
    """
    with contextlib.suppress(OSError):
        while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
            os.set_inheritable(number, True)
        os.close(number)
    # Open for as long as the process lives.
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    if sys.stderr is sys.__stderr__ and isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr = _Patient(sys.stderr.buffer, encoding=sys.stderr.encoding, errors="replace", line_buffering=True)


class _Patient(io.TextIOWrapper):
    """Standard error, which falls silent once it cannot be written: its reader or terminal has gone, its disk is full.

    What is written there is progress: no reason to end a training whose run folder can be written.
    """

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError:
            self._fall_silent()
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError:
            self._fall_silent()

    def _fall_silent(self) -> None:
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
            super().flush()  # the rest of it
