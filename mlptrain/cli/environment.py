"""What the process's environment must say before torch is loaded, which reads it once."""

from __future__ import annotations

import os


def prepare_environment() -> None:
    """Let OpenMP threads that wait for one another go to sleep soon, unless the user has set how they wait.

    By default they spin for billions of turns first. Where other programs take the cores, they spin away the whole time
    slice of the very thread that they wait for: beside several busy processes on two cores an epoch of 784-500-256-10,
    usually 1.4 s, once took 68 s, and with the number below at most 11 s. On a quiet machine the number makes no
    difference; a tenth of it costs 30 % there, since threads then sleep within a step (2-core AMD EPYC, 2026-11-22).
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
