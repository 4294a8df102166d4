"""Columns that come with types, as from Parquet and JSON lines, in the few types that a table has."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from mlptrain.errors import DataError
from mlptrain.sources.facts import MAX_FLOAT32
from mlptrain.sources.tables.content import Content, Lines, Wishes
from mlptrain.sources.tables.dialect import is_number
from mlptrain.system.text import printable


def plain_columns(frame: pl.DataFrame, path: Path, wishes: Wishes, *, lines: Lines | None, name: str) -> Content:
    """Numbers, dates and text of a frame; columns of lists and the like are dropped, which a note says.

    Raises DataError for a frame without rows or columns, and for infinite numbers.
    """
    if not frame.height or not frame.width:
        raise DataError(f"{path} holds no rows")
    nested = [column for column, dtype in frame.schema.items() if dtype.is_nested() or dtype in (pl.Binary, pl.Object)]
    notes = [name]
    if nested:
        shown = ", ".join(f"'{printable(column)}'" for column in nested[:5])
        notes.append(f"dropped, since they hold lists, records or bytes: {shown}")
        frame = frame.drop(nested)
    codes = [float(value) for value in wishes.missing if is_number(value) and value.lower() != "nan"]
    columns = [_plain(pl.col(column), dtype, codes, wishes) for column, dtype in frame.schema.items()]
    frame = frame.select(columns)
    check_finite(frame, path, lines)
    return Content(frame, lines, tuple(notes))


def _plain(column: pl.Expr, dtype: pl.DataType, codes: list[float], wishes: Wishes) -> pl.Expr:
    if dtype == pl.Null:
        return column.cast(pl.String)
    if dtype == pl.Boolean:
        return pl.when(column).then(pl.lit("true")).when(~column).then(pl.lit("false")).alias(column.meta.output_name())
    if dtype.is_decimal() or dtype in (pl.UInt64, pl.Int128, pl.UInt128):
        column = column.cast(pl.Float64)
    elif dtype == pl.Duration:
        column = column.dt.total_microseconds() / 1e6
    if dtype.is_numeric() or dtype == pl.Duration:
        if dtype.is_float() and not dtype.is_decimal():
            column = column.cast(pl.Float32 if dtype != pl.Float64 else pl.Float64).fill_nan(None)
        elif dtype.is_integer() and dtype not in (pl.UInt64, pl.Int128, pl.UInt128):
            column = column.cast(pl.Int64 if dtype in (pl.Int64, pl.UInt32) else pl.Int32)
        return pl.when(~column.cast(pl.Float64).is_in(codes)).then(column) if codes else column
    if dtype == pl.Datetime:
        if getattr(dtype, "time_zone", None):
            column = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        return column.dt.cast_time_unit("us")
    if dtype == pl.Date:
        return column
    text = column.cast(pl.String).str.strip_chars()
    return pl.when(~text.is_in(list(wishes.missing))).then(text)


def check_finite(frame: pl.DataFrame, path: Path, lines: Lines | None) -> None:
    """Raise DataError where a number is infinite or too large for single precision, with its place."""
    floats = frame.select(pl.col(pl.Float64, pl.Float32).fill_nan(None).abs().max())
    for name, largest in zip(floats.columns, floats.row(0) if floats.width else (), strict=True):
        if largest is not None and largest > MAX_FLOAT32:
            row = frame.select((pl.col(name).abs() > MAX_FLOAT32).fill_null(value=False).arg_max()).item()
            place = lines.place(path, row, name) if lines else f"{path}, row {row + 1:,}"
            raise DataError(not_finite(place, name, str(frame[row, name])))


def not_finite(place: str, column: str, value: str) -> str:
    """The message about a number that a network cannot read."""
    return (
        f"{place}  column '{printable(column)}': {printable(value)!r} is not a finite number of single precision "
        "(at most 3.4e38); correct it, or add it to missing_values"
    )
