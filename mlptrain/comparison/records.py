"""The lines of ``trials.jsonl``. They decide the verdict, so each proves that it stands as it was written.

A line is a record as JSON whose last key is ``digest``: SHA-256 of the JSON without it. A batch counts only whole: of
one that a crash cut off, or whose lines are missing or doubled, nothing is used.
"""

from __future__ import annotations

import errno
import hashlib
import json
from pathlib import Path

from pydantic import ValidationError

from mlptrain.errors import RunFolderError
from mlptrain.runs.trials import TrialRecord
from mlptrain.system.files import read_regular
from mlptrain.system.jsonfiles import first_fault, from_json

REMEDY = "restore the file, or delete it: the same command then retrains every trial"
_MAX_BYTES = 3_000_000_000
_NO_FILE = (errno.EISDIR, errno.EINVAL, errno.ELOOP, errno.EFBIG)  # of what stands there, not of the disk
_BEGINS = b'{"trial": "'


def to_line(record: TrialRecord) -> bytes:
    """One line. Floats are written with repr, which gives back the same float."""
    return _with_digest(record.plain())


def _with_digest(values: dict[str, object]) -> bytes:
    content = json.dumps(values, allow_nan=False).encode()
    return content[:-1] + f', "digest": "{hashlib.sha256(content).hexdigest()}"}}\n'.encode()


def read_content(path: Path) -> bytes:
    """The bytes of the file, none where it is not there. Raises RunFolderError for a pipe and the like, and OSError."""
    try:
        return read_regular(path, most=_MAX_BYTES)
    except FileNotFoundError:
        return b""
    except OSError as error:
        if error.errno not in _NO_FILE:
            raise
        raise RunFolderError(f"{path} cannot be read ({error.strerror}); {REMEDY}") from None


def read_batches(content: bytes, *, path: Path) -> dict[str, list[TrialRecord]]:
    """The records of every batch by its name, without batches that are not whole: those are retrained.

    Raises RunFolderError for a line that was edited or is of something else; ``path`` is the file's.
    """
    *lines, rest = content.split(b"\n")
    batches: dict[str, list[TrialRecord]] = {}
    for number, line in enumerate(lines, 1):
        try:
            record = _read_line(line)
        except ValueError as error:
            raise RunFolderError(f"{path}:{number} {error}; {REMEDY}") from None
        batches.setdefault(record.batch, []).append(record)
    # A power cut may leave a file as long as it was to become, with zeros at its end.
    if not _BEGINS.startswith(rest.rstrip(b"\0")[: len(_BEGINS)]):
        raise RunFolderError(f"{path}:{len(lines) + 1} is not the record of a trial; {REMEDY}")
    return {name: batch for name, batch in batches.items() if len(batch) == batch[0].batch_size}


def _read_line(line: bytes) -> TrialRecord:
    """Raises ValueError that says what is wrong with the line."""
    try:
        values = from_json(line)
        del values["digest"]
        is_as_written = _with_digest(values) == line + b"\n"
    except (ValueError, TypeError, KeyError, RecursionError):
        is_as_written = False
    if not is_as_written:
        raise ValueError("is not a record of a trial as it was written: its digest is not that of its content")
    try:
        return TrialRecord.model_validate(values)
    except ValidationError as error:
        raise ValueError(f"is not a record of a trial: {first_fault(error)}") from None
