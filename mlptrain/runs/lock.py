"""The lock of a folder, so that one process at a time trains in it."""

from __future__ import annotations

import os
from pathlib import Path

from mlptrain.errors import RunFolderError

try:
    import fcntl
except ImportError:  # Windows: folders are not locked there
    fcntl = None  # type: ignore[assignment]


class FolderLock:
    """The system's lock on a folder, held until it is released or the process ends, however that ends."""

    def __init__(self, path: Path) -> None:
        """Raises RunFolderError where another process holds it, and OSError."""
        self._descriptor = os.open(path, os.O_RDONLY)
        try:
            if fcntl is not None:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise RunFolderError(f"{path} is being trained by another process; wait for it or stop it") from None
        except OSError:
            pass  # a file system without locks

    def release(self) -> None:
        """Let others in."""
        os.close(self._descriptor)


def is_locked(path: Path) -> bool:
    """Whether a living process trains in this folder."""
    try:
        FolderLock(path).release()
    except RunFolderError:
        return True
    except OSError:
        return False  # vanished, or not ours to open
    return False
