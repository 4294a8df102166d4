"""The logs of a run: ``metrics.jsonl``, ``timings.jsonl`` and ``layers.jsonl``, a line for each epoch from 0 on."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mlptrain.errors import RunFolderError
from mlptrain.runs.records import METRICS, Line
from mlptrain.system.atomic import remove_temporary, sync_folder, write_atomically
from mlptrain.system.files import read_regular
from mlptrain.system.jsonfiles import from_json, to_line

if TYPE_CHECKING:
    from mlptrain.runs.folder import RunFolder

_MAX_BYTES = 3_000_000_000  # ten million epochs, the most there can be, of under 300 bytes each


def read_lines(path: Path) -> Iterator[Line]:
    """The epochs' lines of a log from 0 on, checked one by one; a last line that a crash cut off is left out.

    Raises RunFolderError where a line is missing or holds anything but numbers as training gives them.
    """
    for epoch, content in enumerate(_whole_lines(path)):
        try:
            line: Line = from_json(content)
            METRICS.validate_python(line)
            sound = line["epoch"] == epoch
        except (ValueError, KeyError):
            sound = False
        if not sound:
            raise RunFolderError(f"{path}:{epoch + 1} is not the line of epoch {epoch}; the run folder is damaged")
        yield line


def _whole_lines(path: Path) -> list[bytes]:
    try:
        lines = read_regular(path, most=_MAX_BYTES).splitlines(keepends=True)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RunFolderError(f"{path} cannot be read ({error.strerror}); the run folder is damaged") from None
    return lines if not lines or lines[-1].endswith(b"\n") else lines[:-1]


class RunLog:
    """Appends the lines of epochs. Whoever has one holds the folder's lock.

    The files are opened for every line: a thousand runs that train together would need more open files than most
    systems grant, and a folder that has vanished is detected at once.
    """

    def __init__(self, folder: RunFolder, *, epoch: int, layers: bool = False) -> None:
        """Remove what a killed process left behind, and the lines of epochs after ``epoch``, which are trained again.

        With ``layers`` there is the third log too. Raises OSError.
        """
        remove_temporary(folder.path)
        remove_temporary(folder.last.parent)
        self._metrics = folder.metrics
        self._paths = [folder.metrics, folder.timings, *([folder.layers] if layers else [])]
        for path in self._paths:
            _drop_lines_after(path, epoch)
            os.close(_to_append(path))  # a disk that cannot be written is detected before an epoch is trained
        sync_folder(folder.path)  # the names of new logs
        self._digest = hashlib.sha256(self._metrics.read_bytes())

    @property
    def metrics_digest(self) -> str:
        """SHA-256 of all of ``metrics.jsonl``, which a checkpoint keeps, so that edited metrics are detected."""
        return self._digest.hexdigest()

    def append(self, metrics: Line, *others: Line) -> None:
        """One epoch's lines, one for each log, handed to the system so that a killed process loses none.

        Raises OSError.
        """
        for path, line in zip(self._paths, (metrics, *others), strict=True):
            content = to_line(line)
            descriptor = _to_append(path)
            try:
                while content:  # a disk that runs full takes a part first, and refuses the rest
                    content = content[os.write(descriptor, content) :]
            finally:
                os.close(descriptor)
        self._digest.update(to_line(metrics))

    def sync(self) -> None:
        """Bring the lines to the disk; before a checkpoint, which promises that they are there. Raises OSError."""
        for path in self._paths:
            descriptor = _to_append(path)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _to_append(path: Path) -> int:
    """A descriptor of an existing file: a new one would lack the lines before."""
    return os.open(path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0))


def _drop_lines_after(path: Path, epoch: int) -> None:
    """Rewrite a log where it holds later epochs, or a line that a crash cut off."""
    kept = b"".join(to_line(line) for line in read_lines(path) if line["epoch"] <= epoch)
    if not os.path.lexists(path):
        path.touch(exist_ok=False)
    elif path.is_symlink() or path.read_bytes() != kept:  # a link could lead out of the folder
        write_atomically(path, kept)
