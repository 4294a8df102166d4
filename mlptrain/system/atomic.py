"""Files that exist whole or not at all."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path

_TEMPORARY = re.compile(r"\..*\.[0-9a-f]{8}\.tmp")


def write_atomically(
    path: Path,
    content: bytes | bytearray | memoryview,
    *,
    before_rename: Callable[[], None] = lambda: None,
    last: bool = True,
) -> None:
    """Write beside the target, sync, rename: after a crash there is the old or the new file, never half of one.

    The temporary file has a unique name, so that several processes can write the same file, and the mode that the umask
    gives. ``before_rename`` is called once the content is on the disk. Of several files whose order does not matter all
    but the ``last`` leave it to that one to bring their names to the disk. Raises OSError, and what ``before_rename``
    raises; the temporary file is removed then.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        before_rename()
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    if last:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the system lets folders be synced."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def is_temporary(path: Path) -> bool:
    """Whether ``write_atomically`` made it; one that stays was left behind by a killed process."""
    return _TEMPORARY.fullmatch(path.name) is not None


def remove_temporary(folder: Path) -> None:
    """Remove what killed processes left behind. Raises OSError. Only for who holds the lock: others may be writing."""
    for path in folder.glob(".*.tmp"):
        if is_temporary(path) and not path.is_dir():
            path.unlink(missing_ok=True)
