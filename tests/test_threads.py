"""Threads where there are some, and the same results where there are none."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from mlptrain.system.threads import Threads

# The limit leaves room for the work and none for the 8 MB of a thread's stack.
NO_ROOM = """
import re, resource, threading
from pathlib import Path
from mlptrain.system.threads import Threads
used = 1024 * int(re.search(r"VmSize:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
resource.setrlimit(resource.RLIMIT_AS, (used + 4_000_000, -1))
try:
    threading.Thread(target=int).start()
except RuntimeError:
    with Threads(2) as pool:
        print(list(pool.map(pow, range(5), [2] * 5)), threading.active_count())
        print(repr(pool.submit(int, "x").exception()))
"""


def test_results_and_errors_are_those_of_the_work() -> None:
    with Threads(3) as pool:
        meeting = threading.Barrier(3)  # passed only where three work at the same time
        assert sorted(pool.map(lambda _: meeting.wait(20), range(3))) == [0, 1, 2]
        assert list(pool.map(pow, range(100), [2] * 100)) == [number**2 for number in range(100)]
        with pytest.raises(ValueError, match="invalid literal"):
            pool.submit(int, "x").result()


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS and /proc are Linux's")
def test_without_a_further_thread_the_work_is_done_in_the_callers_own() -> None:
    done = subprocess.run([sys.executable, "-c", NO_ROOM], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "[0, 1, 4, 9, 16] 1",
        repr(ValueError("invalid literal for int() with base 10: 'x'")),
    ]
