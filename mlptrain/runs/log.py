"""The two logs of a run that is being trained."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlptrain.runs.folder import RunFolder
from mlptrain.runs.reading import read_lines
from mlptrain.system.atomic import remove_temporary, write_atomically


class RunLog:
    """Appends the lines of epochs. Who has one holds the folder's lock.

    The files are opened for every line: a thousand runs that train together would need more
    open files than most systems grant, and a folder that has vanished is found out at once.
    """

    def __init__(self, folder: RunFolder, *, epoch: int) -> None:
        """Remove what a killed process left behind, and the lines of epochs after ``epoch``, which are trained again.

        Raises OSError.
        """
        remove_temporary(folder.path)
        remove_temporary(folder.last.parent)
        self._metrics, self._timings = folder.metrics, folder.timings
        for path in (self._metrics, self._timings):
            _drop_lines_after(path, epoch)
            os.close(_to_append(path))  # a disk that cannot be written is found out before an epoch is trained
        self._digest = hashlib.sha256(self._metrics.read_bytes())

    @property
    def metrics_digest(self) -> str:
        """SHA-256 of all of ``metrics.jsonl``, which a checkpoint keeps, so that edited figures are found out."""
        return self._digest.hexdigest()

    def append(self, metrics: Mapping[str, Any], timings: Mapping[str, Any]) -> None:
        """One epoch's lines, handed to the system so that a killed process loses none. Raises OSError."""
        for path, line in ((self._metrics, metrics), (self._timings, timings)):
            content = _json_line(line)
            descriptor = _to_append(path)
            try:
                while content:  # a disk that runs full takes a part first, and refuses the rest
                    content = content[os.write(descriptor, content) :]
            finally:
                os.close(descriptor)
        self._digest.update(_json_line(metrics))

    def sync(self) -> None:
        """Bring the lines to the disk; before a checkpoint, which promises that they are there. Raises OSError."""
        for path in (self._metrics, self._timings):
            descriptor = _to_append(path)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _to_append(path: Path) -> int:
    """A descriptor of a file that is there: one made anew would lack the lines before."""
    return os.open(path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0))


def _drop_lines_after(path: Path, epoch: int) -> None:
    """Rewrite a log where it holds later epochs, or a line that a crash cut off."""
    kept = b"".join(_json_line(line) for line in read_lines(path) if line["epoch"] <= epoch)
    if path.is_symlink() or not path.exists() or path.read_bytes() != kept:  # a link could lead out of the folder
        write_atomically(path, kept)


def _json_line(line: Mapping[str, Any]) -> bytes:
    """One line of JSON. Floats are written with repr, which gives back the same float."""
    return (json.dumps(line, allow_nan=False) + "\n").encode()
