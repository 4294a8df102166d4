"""Who looks at a lock, as `mlptrain runs` does, disturbs neither another who looks nor one who wants to train."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from mlptrain.errors import RunFolderError
from mlptrain.system.lock import LockedFolder, is_locked

fcntl = pytest.importorskip("fcntl", reason="folders are not locked on this system")


def look(folder: Path) -> int:
    """A descriptor with the lock of one who is looking; another than any other of this process."""
    descriptor = os.open(folder, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor


def test_two_who_look(tmp_path: Path) -> None:
    other = look(tmp_path)
    assert not is_locked(tmp_path)
    os.close(other)
    with LockedFolder(tmp_path):
        assert is_locked(tmp_path)
    assert not is_locked(tmp_path)


def test_one_who_looks_and_one_who_trains(tmp_path: Path) -> None:
    other = look(tmp_path)
    threading.Timer(0.01, os.close, [other]).start()
    with (
        LockedFolder(tmp_path),
        pytest.raises(RunFolderError, match="is being trained by another process"),
        LockedFolder(tmp_path),
    ):
        pass
