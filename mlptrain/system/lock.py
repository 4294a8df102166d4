"""The lock of a folder, so that one process at a time trains in it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

from mlptrain.errors import RunFolderError

try:
    import fcntl
except ImportError:  # Windows: folders are not locked there
    fcntl = None  # type: ignore[assignment]


_ATTEMPTS, _PAUSE = 10, 0.005  # times and seconds: `mlptrain runs` looks at a lock for some microseconds


class LockedFolder:
    """A folder that is locked while it is used as a context, or until the process ends, however that ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        """Lock it, unless it is. Raises RunFolderError where another process has it, and OSError."""
        if self._descriptor is None:
            self._descriptor = _locked(self.path)
        return self

    def __exit__(self, *_: object) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _locked(path: Path) -> int:
    descriptor = os.open(path, os.O_RDONLY)
    for _ in range(_ATTEMPTS):
        if granted(descriptor):
            return descriptor
        time.sleep(_PAUSE)
    os.close(descriptor)
    raise RunFolderError(f"{path} is being trained by another process; wait for it or stop it")


def is_locked(path: Path) -> bool:
    """Whether a living process trains in this folder."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False  # vanished, or not ours to open
    try:
        return not granted(descriptor, shared=True)  # which several may have at once
    finally:
        os.close(descriptor)


def granted(descriptor: int, *, shared: bool = False) -> bool:
    """Take a lock without waiting; true as well where the system or the disk knows none."""
    if fcntl is not None:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            pass
    return True


def release(descriptor: int) -> None:
    """Give back a lock, if it is held."""
    if fcntl is not None:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)


@contextlib.contextmanager
def shared_lock(path: Path, *, alone: Callable[[], None]) -> Iterator[None]:
    """A lock that several processes can hold; ``alone`` is called first if no other holds it. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if fcntl is not None:
            with contextlib.suppress(OSError):  # others hold it, the disk is read-only, or knows no locks
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                alone()
            with contextlib.suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)
