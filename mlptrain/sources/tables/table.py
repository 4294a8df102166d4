"""A table that was read: typed columns, what was detected, and where each value stands."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import polars as pl

from mlptrain.errors import DataError
from mlptrain.sources.facts import FileFacts, Kind
from mlptrain.sources.tables.content import Lines
from mlptrain.system.text import printable


@dataclass(frozen=True)
class Part:
    """One file of a table and its number of rows; ``lines`` is None where it has none."""

    path: Path
    rows: int
    lines: Lines | None = None


@dataclass(frozen=True)
class Places:
    """Where the values of a table stand."""

    parts: tuple[Part, ...]

    def __call__(self, row: int, column: str) -> str:
        """As ``Table.where``."""
        for part in self.parts:
            if row < part.rows:
                if part.lines is None:
                    return f"{part.path}, row {row + 1:,}, column '{printable(column)}'"
                return part.lines.place(part.path, row, column)
            row -= part.rows
        raise IndexError(row)


@dataclass(frozen=True)
class Table:
    """Rows of one or several files.

    ``frame`` has numbers as Int32, Int64, Float32 or Float64, dates as Date or Datetime, all else as String; missing
    values are null, and no number is infinite or NaN. ``has_names``: the columns are named in the file, rather than
    column_0, column_1 … by place. ``notes`` say in words what was detected. ``date_formats`` are those that columns of
    dates were read with. ``digest`` is a SHA-256 of the files. ``is_sparse``: columns that are absent are zeros.
    ``rows`` are the places that the rows of ``frame`` have in the files, where some were left out.
    """

    frame: pl.DataFrame
    has_names: bool
    parts: tuple[Part, ...]
    notes: tuple[str, ...] = ()
    date_formats: Mapping[str, str] = field(default_factory=dict)
    digest: str = ""
    is_sparse: bool = False
    rows: pl.Series | None = None

    def where(self, row: int, column: str) -> str:
        """``file:line:column`` of a value, both counted from 1; ``row`` counts from 0.

        Of files without lines, as Parquet: the file, row and column in words.
        """
        return self.places(row if self.rows is None else self.rows[row], column)

    def filtered(self, wanted: pl.Series) -> Table:
        """The rows for which ``wanted`` (n,) holds; those are placed where they stand in the files."""
        rows = wanted.arg_true() if self.rows is None else self.rows.filter(wanted)
        return replace(self, frame=self.frame.filter(wanted), rows=rows)

    @property
    def places(self) -> Places:
        """``where`` for later, without the columns being kept in memory."""
        return Places(self.parts)

    @property
    def schema(self) -> FileFacts:
        """What further files must hold to be read as this table was."""
        kinds = {name: kind_of(dtype) for name, dtype in self.frame.schema.items()}
        return FileFacts(
            kinds=kinds, has_names=self.has_names, date_formats=dict(self.date_formats), is_sparse=self.is_sparse
        )


@dataclass(frozen=True)
class Like:
    """How a table is read as one before it: by the facts of its file, and what that is called in messages."""

    schema: FileFacts
    name: str = "the file that is trained on"

    @classmethod
    def of(cls, table: Table | Like | None) -> Like | None:
        """As a table that was read before."""
        return cls(table.schema, str(table.parts[0].path)) if isinstance(table, Table) else table


def conformed(table: Table, like: Like, optional: Collection[str] = ()) -> Table:
    """The columns of a table in the order and of the kinds of another; further columns are dropped, with a note.

    Raises DataError for columns that are missing, unless ``optional``, and for a value of another kind, located.
    """
    known, frame, notes, path = like.schema, table.frame, list(table.notes), table.parts[0].path
    there = frame.columns
    allowed = {*there, *optional}
    missing = [name for name in known.kinds if name not in allowed]
    extra = [name for name in there if name not in known.kinds]
    if missing and known.is_sparse:
        frame = frame.with_columns(pl.lit(0.0, pl.Float32).alias(name) for name in missing)
    elif (missing or extra) and not (known.has_names and table.has_names):
        raise DataError(f"{path} has {frame.width:,} columns, but {like.name} has {len(known.kinds):,}")
    elif missing:
        raise DataError(f"{path} lacks {_columns(missing)} of {like.name}{_hint(missing, there)}")
    columns = {values.name: values for values in frame.get_columns()}
    names = [name for name in known.kinds if name in columns]
    if extra:
        notes.append(f"{_columns(extra)} {'is' if len(extra) == 1 else 'are'} not in {like.name} and dropped")
    elif list(columns) != names:
        notes.append("columns are in another order, and matched by name")
    matched = [_as(columns[name], known.kinds[name], partial(table.places, column=name)) for name in names]
    return replace(table, frame=pl.DataFrame(matched), notes=tuple(notes))


def kind_of(dtype: pl.DataType) -> Kind:
    """The kind of a column by its type in polars."""
    if dtype.is_numeric():
        return "number"
    return "date" if dtype == pl.Date else "datetime" if dtype == pl.Datetime else "text"


def _as(values: pl.Series, wanted: Kind, where: Callable[[int], str]) -> pl.Series:
    """A column as the kind that another table has for it."""
    if kind_of(values.dtype) == wanted:
        return values
    types = {"number": pl.Float32(), "text": pl.String(), "date": pl.Date(), "datetime": pl.Datetime("us")}
    are_dates = values.dtype.is_temporal() and wanted in ("date", "datetime")
    if wanted == "text" or are_dates or values.null_count() == values.len():
        return values.cast(types[wanted])
    if wanted == "number" and values.dtype == pl.String:
        numbers = values.cast(pl.Float64, strict=False)
        bad = numbers.is_null() & values.is_not_null()
        if not bad.any():
            return numbers
    else:
        bad = values.is_not_null()
    row = bad.arg_max() or 0
    holds = "numbers" if wanted == "number" else "dates"
    raise DataError(
        f"{where(row)}  column '{printable(values.name)}' holds {holds} in the file that is trained on, but here "
        f"{printable(str(values[row]))!r}; correct it, or add it to missing_values"
    )


def _columns(names: list[str]) -> str:
    shown = ", ".join(f"'{printable(name)}'" for name in names[:5]) + (" …" if len(names) > 5 else "")
    return f"the column {shown}" if len(names) == 1 else f"{len(names):,} columns ({shown})"


def _hint(missing: list[str], there: list[str]) -> str:
    close = difflib.get_close_matches(missing[0], there, n=1)
    return f"; is '{printable(close[0])}' meant for '{printable(missing[0])}'?" if close else ""
