"""Files and folders that a configuration names: which there are, in which order, and what is wrong where one is not."""

from __future__ import annotations

import difflib
import glob
import os
import re
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from mlptrain.sources.facts import DataKeyError

_MAX_NAMED = 8
_MAX_LISTED = 10_000  # entries of a folder that are compared with a name; more take too long for a suggestion


def natural(name: str) -> tuple[list[Any], str]:
    """A key that sorts names as people count: part-2 before part-10, 2 before 10, and numbers before words."""
    parts = re.split(r"([0-9]{1,18})", name)
    return [int(part) if index % 2 else part for index, part in enumerate(parts)], name


def files_of(paths: str | Sequence[str], *, key: str = "path") -> list[Path]:
    """The files that ``key`` of the data section names, in the order given; those of a pattern in natural order.

    A path that is there is taken as it is; another one that holds ``*``, ``?`` or ``[`` is a pattern, in which ``**``
    stands for any folders. Raises DataKeyError, one message, for what is not there.
    """
    found: list[Path] = []
    for path in [paths] if isinstance(paths, str) else paths:
        is_pattern = glob.has_magic(path) and not os.path.lexists(path)
        # Path.glob takes no absolute pattern.
        matches = sorted(glob.glob(path, recursive=True), key=natural) if is_pattern else []  # noqa: PTH207
        if files := [file for file in map(Path, matches) if file.is_file()]:
            found += files
        elif is_pattern and glob.has_magic(Path(path).name):
            raise DataKeyError(key, f"no file matches {path}")
        else:  # also where only the folder is called like a pattern
            found.append(existing(path, key=key))
    return found


def existing(path: str | Path, *, key: str = "path") -> Path:
    """The path of a file or folder that is there. Raises DataKeyError with what was probably meant."""
    path = Path(path)
    try:
        path.stat()
    except OSError as error:
        if os.path.lexists(path):
            raise DataKeyError(key, f"{path} cannot be read: {error.strerror}") from None
        raise DataKeyError(key, f"{path}: no such file or folder{_instead_of(path)}") from None
    except ValueError:
        raise DataKeyError(key, "a NUL stands in the file's name") from None
    return path


def _instead_of(path: Path) -> str:
    """The end of a sentence: a similar name in the same folder, what lies there, or which folder there is not."""
    folder = path.parent
    if not folder.is_dir():
        there = next((one for one in folder.parents if one.is_dir()), None)
        return f"; there is no folder {folder}" + (f", only {there}" if there else "")
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in islice(entries, _MAX_LISTED)]
    except OSError:
        return ""
    folded = {name.lower(): name for name in names}
    if close := difflib.get_close_matches(path.name.lower(), folded, n=1, cutoff=0.7):
        return f"; did you mean {folded[close[0]]!r}?"
    stem = [name for name in names if Path(name).stem.lower() == path.stem.lower()]
    listed = sorted(stem or [name for name in names if not name.startswith(".")], key=natural)
    more = f" and {len(listed) - _MAX_NAMED:,} more" if len(listed) > _MAX_NAMED else ""
    return f"; in that folder: {', '.join(listed[:_MAX_NAMED])}{more}" if listed else "; that folder is empty"
