"""From paths to a table."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import polars as pl

from mlptrain.errors import DataError
from mlptrain.sources.facts import FileFacts
from mlptrain.sources.tables.cache import read_cached
from mlptrain.sources.tables.content import Content, Wishes
from mlptrain.sources.tables.dialect import MISSING, NAMED_SEPARATORS
from mlptrain.sources.tables.files import find_files
from mlptrain.sources.tables.formats import read_content
from mlptrain.sources.tables.kinds import Format
from mlptrain.sources.tables.narrow import narrowed
from mlptrain.sources.tables.settle import settle
from mlptrain.sources.tables.table import Like, Part, Places, Table, conformed
from mlptrain.system.paths import AnyPath
from mlptrain.system.text import printable


def read_table(
    paths: AnyPath | Sequence[AnyPath],
    *,
    format: Format = "auto",  # noqa: A002 – the configuration's word
    separator: str = "auto",
    header: Literal["auto"] | bool | Sequence[str] = "auto",
    missing_values: Sequence[str] = (),
    like: Table | Like | None = None,
    optional: Collection[str] = (),
) -> Table:
    """The rows of a file, or of several with the same columns, in turn; each path may be a glob.

    ``separator`` is one character, a word such as ``tab``, or ``blanks`` for runs of them; ``missing_values`` come in
    addition to empty ones, NA, NaN, null and the like (``MISSING``). With ``like``, a table that was read before, or
    how it was, the columns take its names, order and kinds; of these, ``optional`` ones may be absent.

    What large files hold is kept in the user's cache (``mlptrain.sources.tables.cache``).

    Raises DataError with the place of what is wrong, and before reading for a table that will not fit into memory.
    """
    files = find_files(paths)
    like = Like.of(like)
    wishes = Wishes(
        separator=_separator(separator),
        header=None if header == "auto" else header,
        missing=tuple(dict.fromkeys((*MISSING, *missing_values))),
        known=None if like is None else like.schema,
        optional=frozenset(optional),
    )

    def read(digest: str) -> Table:
        contents = [read_content(path, format, wishes) for path in files]
        table = settled(files, contents, wishes, digest)
        return table if like is None else conformed(table, like, optional)

    return read_cached(files, f"{format} {wishes}", read)


def _separator(written: str) -> str | None:
    if written == "auto":
        return None
    separator = NAMED_SEPARATORS.get(written, written)
    if len(separator) != 1 or ord(separator) > 127 or separator in "\"'\r\n":
        words = ", ".join(NAMED_SEPARATORS)
        raise DataError(f"separator must be one ASCII character, or one of auto, {words}; got {printable(written)!r}")
    return separator


def settled(files: Sequence[Path], contents: list[Content], wishes: Wishes, digest: str) -> Table:
    """One table of the contents of its files, with what their columns of text hold after all."""
    first = replace(contents[0], frame=contents[0].frame.clear())
    notes = list(dict.fromkeys(note for content in contents for note in content.notes))
    frame = _joined(files, contents)
    pairs = zip(files, contents, strict=True)
    parts = tuple(Part(path, content.frame.height, content.lines) for path, content in pairs)
    places, known = Places(parts), wishes.known or FileFacts(kinds={})
    contents.clear()  # so that a column of text is given back as soon as it is something else
    columns, formats = frame.get_columns(), {}
    del frame
    for index, values in enumerate(columns):
        name = values.name
        if values.dtype == pl.String and name not in first.as_text and known.kinds.get(name) != "text":
            of_text = settle(
                values,
                decimal_comma=first.decimal_comma,
                where=partial(places, column=name),
                date_format=known.date_formats.get(name, ""),
            )
            columns[index] = of_text.values
            notes += [of_text.note] if of_text.note else []
            if of_text.date_format:
                formats[name] = of_text.date_format
    frame = narrowed(pl.DataFrame(columns))
    return Table(frame, first.has_names, parts, tuple(notes), formats, digest, is_sparse=first.sparse)


def _joined(files: Sequence[Path], contents: Sequence[Content]) -> pl.DataFrame:
    """All rows; a column that is text in one file is text in all. Raises DataError where files have other columns."""
    frames = [content.frame for content in contents]
    if len(frames) == 1:
        return frames[0]
    if contents[0].sparse:
        return pl.concat(frames, how="diagonal_relaxed").fill_null(0)
    names = frames[0].columns
    for path, frame in zip(files, frames, strict=True):
        own = frame.columns
        different = sorted(set(names).symmetric_difference(own), key=[*names, *own].index)
        if different:
            raise DataError(
                f"{path} does not have the columns of {files[0]}: '{printable(different[0])}' is only in one of them"
            )
    texts = {name for frame in frames for name, dtype in frame.schema.items() if dtype == pl.String}
    frames = [frame.select(names).with_columns(pl.col(sorted(texts)).cast(pl.String)) for frame in frames]
    return pl.concat(frames, how="vertical_relaxed")
