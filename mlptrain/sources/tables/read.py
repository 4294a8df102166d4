"""From paths to a table."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mlptrain.errors import DataError
from mlptrain.sources.tables.dialect import MISSING, NAMED_SEPARATORS, Dialect
from mlptrain.sources.tables.files import find_files, read_start
from mlptrain.sources.tables.settle import narrowed, settle
from mlptrain.sources.tables.table import Part, Table, like_columns
from mlptrain.sources.tables.text import Wishes, detect_text, read_text
from mlptrain.system.paths import AnyPath

if TYPE_CHECKING:
    import polars as pl

Format = Literal["auto", "csv"]


def read_table(
    paths: AnyPath | Sequence[AnyPath],
    *,
    format: Format = "auto",  # noqa: A002, ARG001 – the configuration's word
    separator: str = "auto",
    header: Literal["auto"] | bool | Sequence[str] = "auto",
    missing_values: Sequence[str] = (),
    like: Table | None = None,
) -> Table:
    """The rows of a file, or of several with the same columns, in turn; each path may be a glob.

    ``missing_values`` come in addition to empty ones, NA, NaN, null and the like (``MISSING``). With ``like``, a table
    that was read before, the columns take its names, order and types; see ``like_columns``.

    Raises DataError with the place of what is wrong.
    """
    files = find_files(paths)
    wishes = Wishes(
        separator=None if separator == "auto" else NAMED_SEPARATORS.get(separator, separator),
        header=None if header == "auto" else header,
        missing=tuple(dict.fromkeys((*MISSING, *missing_values))),
        known_names=tuple(like.frame.columns) if like is not None and like.has_names else (),
        as_text=_text_columns(like),
    )
    table = _read_parts(files, wishes, like)
    return table if like is None else like_columns(table, like)


def _text_columns(like: Table | None) -> frozenset[str]:
    if like is None:
        return frozenset()
    return frozenset(name for name, dtype in like.frame.schema.items() if not dtype.is_numeric())


def _read_parts(files: Sequence[Path], wishes: Wishes, like: Table | None) -> Table:
    import polars as pl

    frames: list[pl.DataFrame] = []
    parts: list[Part] = []
    notes: list[str] = []
    first: Dialect | None = None
    for path in files:
        dialect = detect_text(path, read_start(path), wishes)
        frame, dialect = read_text(path, dialect, wishes)
        first = first or dialect
        notes += [note for note in (dialect.describe(), *dialect.notes) if note not in notes]
        frames.append(frame if not frames else _in_order(frame, frames[0].columns, path, files[0]))
        parts.append(Part(path, frame.height, dialect))
    assert first is not None
    frame = _joined(frames)
    raw = Table(frame, first.header, tuple(parts), digest=_digest(files))
    formats = dict(like.date_formats) if like is not None else {}
    where = raw.places
    columns, found = [], {}
    for name in frame.columns:
        values = frame.drop_in_place(name)
        if values.dtype == pl.String and not (name in wishes.as_text and name not in formats):
            settled = settle(
                values,
                decimal_comma=first.decimal_comma,
                where=partial(where, column=name),
                date_format=formats.get(name, ""),
            )
            values = settled.values
            notes += [settled.note] if settled.note else []
            if settled.date_format:
                found[name] = settled.date_format
        columns.append(narrowed(values))
    return Table(pl.DataFrame(columns), first.header, tuple(parts), tuple(notes), found, raw.digest)


def _in_order(frame: pl.DataFrame, names: Sequence[str], path: Path, first: Path) -> pl.DataFrame:
    """The columns of a further file as the first one has them. Raises DataError where they are others."""
    if set(frame.columns) == set(names):
        return frame.select(names)
    lacking = [name for name in names if name not in frame.columns] or [
        name for name in frame.columns if name not in names
    ]
    raise DataError(f"{path} does not have the columns of {first}: '{lacking[0]}' is only in one of them")


def _joined(frames: list[pl.DataFrame]) -> pl.DataFrame:
    """All rows; a column that is text in one file is text in all, and a number with decimals in one in all."""
    import polars as pl

    if len(frames) == 1:
        return frames[0]
    return pl.concat(frames, how="vertical_relaxed")


def _digest(files: Sequence[Path]) -> str:
    """SHA-256 of the files' content; of several, of their digests."""
    digests = []
    for path in files:
        with path.open("rb") as stream:
            digests.append(hashlib.file_digest(stream, "sha256").hexdigest())
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
