"""What a disk refuses, as one message that says what to do."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from mlptrain.errors import MachineError

_REMEDIES = {
    errno.ENOSPC: "Make room on that disk",
    errno.EDQUOT: "Make room, or have the quota raised",
    errno.EFBIG: "Allow larger files there (`ulimit -f`)",
    errno.EROFS: "Make it writable",
    errno.EACCES: "Get write permission there",
    errno.EPERM: "Get write permission there",
    errno.EMFILE: "Allow more open files (`ulimit -n`)",
    errno.ENFILE: "Close other programs' files",
    errno.EEXIST: "Remove what is in its place",
    errno.ENOTDIR: "Remove the file where a folder is expected",
    errno.ENAMETOOLONG: "Choose a shorter name",
}


@contextlib.contextmanager
def machine_errors(folder: Path, *, what: str = "run folder", then: str = "") -> Iterator[None]:
    """What the disk refuses, as a MachineError that names the folder, a ``what``, and how to resume."""
    try:
        yield
    except OSError as error:
        resume = then or f"resume with `mlptrain train --resume {folder}`"
        raise MachineError(refusal(error, folder, what=what, then=resume)) from error


def refusal(error: OSError, folder: Path, *, what: str, then: str) -> str:
    """The message for ``error`` in ``folder``, a ``what``; ``then`` is what to do once the cause is fixed."""
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ESTALE):
        gone = _missing(folder, error) or f"a file in {folder}"  # of one being deleted, what was written may go first
        return f"the {what} {folder} is in use, but {gone} has vanished. Put it back, then {then}; or start over"
    file = error.filename if isinstance(error.filename, str) and not error.filename.endswith(".tmp") else None
    reason = f"{Path(file).name}: {error.strerror}" if file else error.strerror or error
    return f"the {what} {folder} cannot be written: {reason}. {remedy(error)}, then {then}"


def remedy(error: OSError) -> str:
    """What helps against ``error``, as the beginning of a sentence."""
    return _REMEDIES.get(error.errno or 0, "Check the disk")


def _missing(folder: Path, error: OSError) -> Path | None:
    """The outermost folder or file that is not there any more."""
    named = [Path(error.filename).parent, Path(error.filename)] if isinstance(error.filename, str) else []
    paths = [*reversed(folder.parents), folder, *named]
    return next((path for path in paths if not path.exists() and not path.name.endswith(".tmp")), None)
