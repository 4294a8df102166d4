"""A table that was read: typed columns, what was detected, and where each value stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mlptrain.errors import DataError
from mlptrain.sources.tables.dialect import Dialect
from mlptrain.sources.tables.text import place
from mlptrain.system.text import printable

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Part:
    """One file of a table and its number of rows; ``dialect`` is None where it has no lines."""

    path: Path
    rows: int
    dialect: Dialect | None = None


@dataclass(frozen=True)
class Places:
    """Where the values of a table stand: ``names`` are its columns."""

    names: tuple[str, ...]
    parts: tuple[Part, ...]

    def __call__(self, row: int, column: str) -> str:
        """As ``Table.where``."""
        for part in self.parts:
            if row < part.rows:
                if part.dialect is None:
                    return f"{part.path}, row {row + 1:,}, column '{printable(column)}'"
                named = part.dialect.names if column in part.dialect.names else self.names
                return place(part.path, part.dialect, row, named.index(column))
            row -= part.rows
        raise IndexError(row)


@dataclass(frozen=True)
class Table:
    """Rows of one or several files.

    ``frame`` has numbers as Int32, Int64, Float32 or Float64, dates as Date or Datetime, all else as String; missing
    values are null, and no number is infinite or NaN. ``has_names``: the columns are named in the file, rather than
    column_0, column_1 … by place. ``notes`` say in words what was detected. ``date_formats`` are those that columns of
    dates were read with. ``digest`` is a SHA-256 of the files.
    """

    frame: pl.DataFrame
    has_names: bool
    parts: tuple[Part, ...]
    notes: tuple[str, ...] = ()
    date_formats: Mapping[str, str] = field(default_factory=dict)
    digest: str = ""

    def where(self, row: int, column: str) -> str:
        """``file:line:column`` of a value, both counted from 1; ``row`` counts from 0.

        Of files without lines, as Parquet: the file, row and column in words.
        """
        return self.places(row, column)

    @property
    def places(self) -> Places:
        """``where`` for later, without the columns being kept in memory."""
        return Places(tuple(self.frame.columns), self.parts)


def like_columns(table: Table, model: Table, *, what: str = "") -> Table:
    """The columns of ``table`` in the order and with the types of those of ``model``.

    Columns are matched by name, and by place where neither has names. Those that ``model`` lacks are dropped, which the
    notes say. Raises DataError for columns that are missing, and for text in a column of numbers or dates, located.
    """
    import polars as pl

    wanted = model.frame.columns
    frame, notes = table.frame, list(table.notes)
    name = str(table.parts[0].path) if table.parts else what
    if model.has_names and table.has_names:
        missing = [column for column in wanted if column not in frame.columns]
        if missing:
            raise DataError(f"{name} lacks {_columns(missing)} of {model.parts[0].path}{_hint(missing, frame.columns)}")
        extra = [column for column in frame.columns if column not in set(wanted)]
        if extra:
            notes.append(
                f"{_columns(extra)} {'is' if len(extra) == 1 else 'are'} not in {model.parts[0].path} and dropped"
            )
        elif frame.columns != wanted:
            notes.append("columns are in another order, and matched by name")
    elif frame.width != len(wanted):
        raise DataError(f"{name} has {frame.width:,} columns, but {model.parts[0].path} has {len(wanted):,}")
    where = table.places
    columns = []
    for index, column in enumerate(wanted):
        own = column if model.has_names and table.has_names else frame.columns[index]
        columns.append(_as(frame[own], model.frame.schema[column], partial(where, column=own)).rename(column))
    return Table(pl.DataFrame(columns), model.has_names, table.parts, tuple(notes), table.date_formats, table.digest)


def _as(values: pl.Series, wanted: pl.DataType, where: Callable[[int], str]) -> pl.Series:
    """A column with the type that another table has for it."""
    import polars as pl

    if values.dtype == wanted:
        return values
    if values.null_count() == values.len():
        return pl.Series(values.name, [None], wanted).extend_constant(None, values.len() - 1)
    name = printable(values.name)
    if wanted.is_numeric() and values.dtype.is_numeric():
        if not wanted.is_integer():
            return values.cast(wanted)
        return values
    if wanted.is_numeric() and values.dtype == pl.String:
        numbers = values.cast(pl.Float64, strict=False)
        bad = (numbers.is_null() & values.is_not_null()).arg_max() or 0
        raise DataError(
            f"{where(bad)}  column '{name}' holds numbers in the file that is trained on, but here the text "
            f"{printable(str(values[bad]))!r}; correct it, or add it to missing_values"
        )
    if wanted == pl.String:
        return values.cast(pl.String)
    if wanted == pl.Datetime and values.dtype == pl.Date:
        return values.cast(wanted)
    if wanted == pl.Date and values.dtype == pl.Datetime:
        return values.cast(wanted)
    bad = values.is_not_null().arg_max() or 0
    kind, value = "numbers" if wanted.is_numeric() else "dates", printable(str(values[bad]))
    raise DataError(f"{where(bad)}  column '{name}' holds {kind} in the file that is trained on, but here {value!r}")


def _columns(names: list[str]) -> str:
    shown = ", ".join(f"'{printable(name)}'" for name in names[:5]) + (" …" if len(names) > 5 else "")
    return f"the column {shown}" if len(names) == 1 else f"{len(names):,} columns ({shown})"


def _hint(missing: list[str], there: list[str]) -> str:
    import difflib

    close = difflib.get_close_matches(missing[0], there, n=1)
    return f"; is '{printable(close[0])}' meant for '{printable(missing[0])}'?" if close else ""
