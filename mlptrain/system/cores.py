"""The cores of this machine: how many there are to use, turns at them, and whether other programs take them.

A product of several threads ends with the last of them, and the others spin until then. Where another process takes a
core from one thread, all wait for the scheduler's next time slice: milliseconds for a product of microseconds. Two
trainings at once on two cores took 10 to 100 times as long per epoch as one alone. So processes that train take turns:
one of n threads computes while it holds n cores, each a locked file in a folder that all users of the machine share.
Two at once then take 1.05 to 2.35 times as long as one alone, four 2.2 to 4.8 times (2-core AMD EPYC, 2026-11-26).

Only time depends on turns. What is computed is the same, and a process that gets no turn computes without one.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from mlptrain.system.lock import granted, release

TURN = 0.25  # seconds; shorter ones lose more to the change of turns: 15 % at 0.1
PATIENCE = 30.0  # seconds to wait for a turn: whoever holds one may have been stopped by Ctrl-Z
WITHOUT_TURNS = 600.0  # seconds to compute without turns after that
# Seconds between two looks: of the first in the queue, which misses that much of its turn, and of those behind it.
_FIRST_LOOKS, _OTHERS_LOOK = 0.002, 0.01
_LOOKS_PER_QUESTION = 20
# A thread that was on a core for less than this part of the time it trained, and was taken off it so often a second,
# shares its core. Alone a training has 0.89 to 1 (up to 215 times a second), beside a program that computes 20 % of the
# time 0.78 and more, beside one that computes all the time at most 0.5 of two threads and 0.98 of one, which loses
# nothing as long as a core is free (2-core AMD EPYC, 2026-11-26).
_STARVED, _OFTEN = 0.7, 50.0
_WINDOW = 2.0  # seconds that are judged at once
_FOLDER = Path("/tmp/mlptrain-cores")  # not the user's own temporary folder; nothing is read or written in its files

QUOTAS = (Path("/sys/fs/cgroup/cpu.max"), Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"))


def usable_cores(quotas: tuple[Path, Path] = QUOTAS) -> float:
    """Cores that this process may use: those it is bound to, or the share that its container is held to if less.

    ``quotas`` are where the kernel's second and first interface of control groups show a container its limit.
    """
    cores = float(len(_bound_to()))
    for quota in quotas:
        try:
            words = quota.read_text(encoding="ascii").split()
            period = words[1] if len(words) == 2 else (quota.parent / "cpu.cfs_period_us").read_text(encoding="ascii")
            if (share := float(words[0]) / float(period)) > 0:  # -1 is no limit
                return min(cores, share)
        except (OSError, ValueError, IndexError):  # not there, or "max": no limit
            continue
    return cores


def _bound_to() -> list[int]:
    """Numbers of the cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


class Turns:
    """Turns of this process at ``cores`` of the machine, of which it needs as many as it has threads."""

    def __init__(self, threads: int, cores: list[int], *, folder: Path = _FOLDER) -> None:
        self._needed = min(threads, len(cores))
        self._cores: list[int] = []  # descriptors
        self._queue: int | None = None
        self._until = 0.0
        with contextlib.suppress(OSError):  # where no such folder can be made there are no turns, as on Windows
            _make_shared(folder)
            self._queue = _opened(folder / "queue")
            self._cores = [_opened(folder / f"core-{number}") for number in cores]

    def take(self, should_stop: Callable[[], bool]) -> float:
        """At the end of a turn let others have theirs, and wait for the next; returns the seconds waited.

        To be called often. Waiting ends early where ``should_stop`` becomes true.
        """
        began = time.monotonic()
        if began < self._until or not self._cores:
            return 0.0
        self._give_back()
        granted = self._line_up(began + PATIENCE, should_stop)
        now = time.monotonic()
        self._until = now + (TURN if granted else WITHOUT_TURNS)
        return now - began

    def close(self) -> None:
        """Give back what is held; from then on turns cost nothing and mean nothing."""
        descriptors = [*self._cores, *([] if self._queue is None else [self._queue])]
        self._cores, self._queue = [], None
        for descriptor in descriptors:
            os.close(descriptor)

    def _line_up(self, deadline: float, should_stop: Callable[[], bool]) -> bool:
        """Wait in the queue, and at its head for the cores: so nobody who gave a turn back gets the next one at once,
        and no two wait for each other's cores."""
        looks = 0

        def keep_waiting(seconds: float) -> bool:
            nonlocal looks
            looks += 1
            time.sleep(seconds)
            return time.monotonic() < deadline and not (looks % _LOOKS_PER_QUESTION == 0 and should_stop())

        assert self._queue is not None
        while not granted(self._queue):
            if not keep_waiting(_OTHERS_LOOK):
                return False
        try:
            missing, free = self._needed, list(self._cores)
            while True:
                for core in list(free):
                    if missing and granted(core):
                        free.remove(core)
                        missing -= 1
                if not missing:
                    return True
                if not keep_waiting(_FIRST_LOOKS):
                    self._give_back()
                    return False
        finally:
            release(self._queue)

    def _give_back(self) -> None:
        for core in self._cores:
            release(core)


class Pressure:
    """Notices other programs that take the cores from a training of this process with so many threads."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._begin()

    def _begin(self) -> None:
        self._seconds, self._cpu, self._taken, self._waited = time.monotonic(), time.process_time(), _taken_off(), 0.0

    def note(self, waited: float) -> str:
        """After an epoch, ``waited`` seconds of which others had their turns: what is wrong and what helps, or ""."""
        self._waited += waited
        seconds = time.monotonic() - self._seconds - self._waited
        if seconds < _WINDOW:
            return ""
        share = (time.process_time() - self._cpu) / seconds / self._threads
        taken = (_taken_off() - self._taken) / seconds
        self._begin()
        if share > _STARVED or taken < _OFTEN:
            return ""
        what = (
            f"other programs take the cores: {'each of its threads' if self._threads > 1 else 'this training'} had one "
            f"for {share:.0%} of the time and was taken off it {taken / self._threads:.0f} times a second"
        )
        if self._threads == 1:
            return f"{what}; its results are the same, only later"
        return (
            f"{what}. The {self._threads} threads wait for each other; beside other programs one alone is often "
            "faster: --set training.threads=1"
        )


def _taken_off() -> int:
    """How often threads of this process had to leave a core to another process; 0 where the system does not count."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


_current: Turns | None = None  # of this process, as its threads are


@contextlib.contextmanager
def taking_turns(threads: int) -> Iterator[None]:
    """Within the block ``take_turn`` takes turns for this number of threads; within another such block, for its."""
    global _current
    if _current is not None:
        yield
        return
    _current = turns = Turns(threads, _bound_to()[: max(1, int(usable_cores()))])
    try:
        yield
    finally:
        _current = None
        turns.close()


def take_turn(should_stop: Callable[[], bool]) -> float:
    """``Turns.take`` of the block this is called in, if any."""
    return _current.take(should_stop) if _current is not None else 0.0


def _make_shared(folder: Path) -> None:
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
        folder.chmod(0o1777)  # whatever the umask: other users lock the same files


def _opened(path: Path) -> int:
    """A descriptor to lock. Raises OSError."""
    no_links = getattr(os, "O_NOFOLLOW", 0)
    try:
        return os.open(path, os.O_RDONLY | no_links)
    except FileNotFoundError:  # not O_CREAT at once: the kernel refuses that for another user's file in such a folder
        descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | no_links, 0o644)
        path.chmod(0o644)
        return descriptor
