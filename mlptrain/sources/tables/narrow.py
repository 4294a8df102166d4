"""Columns in half the memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

_PRECISION = 2.0**-24  # of Float32, relative to a value
_TOLERANCE = 1e-6  # of a column's spread


def narrowed(frame: pl.DataFrame) -> pl.DataFrame:
    """Int64 as Int32 and Float64 as Float32 where nothing a network could see is lost, NaN as null.

    A network reads float32 in the end. Float64 stays where rounding exceeds a millionth of the column's spread, as for
    seconds since 1970, so that differences can be taken before rounding. What holds of all parts of a column holds of
    the column.
    """
    import polars as pl

    wide = pl.col(pl.Int64, pl.Float64)
    frame = frame.with_columns(pl.col(pl.Float64).fill_nan(None))
    schema = frame.schema
    names = frame.select(wide).columns
    if not names or not frame.height:
        return frame
    least, most = frame.select(wide.min()).row(0), frame.select(wide.max()).row(0)
    narrow: list[pl.Expr] = []
    for name, low, high in zip(names, least, most, strict=True):
        if schema[name] == pl.Int64:
            if low is None or (low >= -(2**31) and high < 2**31):
                narrow.append(pl.col(name).cast(pl.Int32))
        elif low is None or low == high or max(-low, high) * _PRECISION <= _TOLERANCE * (high - low):
            narrow.append(pl.col(name).cast(pl.Float32))
    return frame.with_columns(narrow)
