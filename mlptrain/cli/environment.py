"""What the process's environment must say before torch is loaded, which reads it once."""

from __future__ import annotations

import os


def prepare_environment() -> None:
    """Let OpenMP threads that wait for one another go to sleep soon, unless the user has set how they wait.

    By default they spin for billions of turns first. Where another program takes one of the cores, they spin away the
    whole time slice of the very thread that they wait for: a training beside a busy process then takes up to a hundred
    times as long.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
