"""Paths as people write them: text or objects, with ``~`` for a home folder."""

from __future__ import annotations

import os
from pathlib import Path

from mlptrain.errors import RunFolderError, UserError

AnyPath = str | os.PathLike[str]


def user_path(path: AnyPath) -> Path:
    """The path with a leading ``~`` or ``~user`` replaced by that home folder; ``~word`` alone may be a file's name.

    Raises UserError where there is no such home folder.
    """
    written = Path(path)
    if not written.parts or not written.parts[0].startswith("~"):
        return written
    try:
        return written.expanduser()
    except RuntimeError:
        if written.parts[0] != "~" and len(written.parts) == 1:
            return written
        raise UserError(f"{written}: {written.parts[0]} is not a known home folder; give the full path") from None


def refuse_below_file(folder: Path) -> None:
    """Raises RunFolderError where a folder cannot be made, since what is to hold it is a file."""
    if (file := next((parent for parent in folder.parents if parent.is_file()), None)) is not None:
        raise RunFolderError(f"{folder} cannot be a folder: {file} is a file; choose another folder with --run-dir")


def expanded(argument: str) -> str:
    """An argument of the command line, or the value in ``--option=value``, as ``user_path`` reads it.

    Shells do this only at the beginning of a word, and only outside quotes. Raises UserError.
    """
    option, equals, value = argument.partition("=") if argument.startswith("--") else ("", "", argument)
    return f"{option}{equals}{user_path(value)}" if value.startswith("~") else argument
