"""Columns in half the memory, which goes back to the system as soon as they are let go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from mlptrain.sources.tables.wide import is_wide, parted, together
from mlptrain.system.memory import fresh

_PRECISION = 2.0**-24  # of Float32, relative to a value
_TOLERANCE = 1e-6  # of a column's spread
_LONG = 10_000  # rows: with fewer, columns take longer to hand over to NumPy than to scan


@dataclass(frozen=True)
class Ends:
    """The lowest and the highest value of a column, None where there is none, and whether some are NaN."""

    low: float | None
    high: float | None
    has_nan: bool = False


def ends_of(frame: pl.DataFrame) -> dict[str, Ends]:
    """Those of the columns of Int64 and Float64."""
    if frame.height < _LONG:
        return _polars_ends(frame)
    found: dict[str, Ends] = {}
    for values in frame.get_columns():
        if values.dtype not in (pl.Int64, pl.Float64):
            continue
        if len(values) and not values.null_count():  # NumPy does not wait for polars' threads, which parse meanwhile
            parts = [part.to_numpy() for part in values.get_chunks() if len(part)]
            low, high = np.min([part.min() for part in parts]), np.max([part.max() for part in parts])
            if not np.isnan(low):  # which NaN makes of both
                found[values.name] = Ends(low.item(), high.item())
                continue
        found |= _polars_ends(values.to_frame())
    return found


def _polars_ends(frame: pl.DataFrame) -> dict[str, Ends]:
    wide = pl.col(pl.Int64, pl.Float64)
    frame = frame.select(wide)
    if not frame.width:
        return {}
    if is_wide(frame) and frame.height:
        return _wide_ends(frame)
    has_nan = frame.select(pl.col(pl.Float64).is_nan().any())
    nan = {name for name, some in zip(has_nan.columns, has_nan.row(0) if has_nan.width else (), strict=True) if some}
    frame = frame.with_columns(pl.col(name).fill_nan(None) for name in nan)
    lows, highs = frame.select(wide.min()).row(0), frame.select(wide.max()).row(0)
    columns = zip(frame.columns, lows, highs, strict=True)
    return {name: Ends(low, high, name in nan) for name, low, high in columns}


def _wide_ends(frame: pl.DataFrame) -> dict[str, Ends]:
    """Of all columns of a type at once."""
    found: dict[str, Ends] = {}
    for dtype in (pl.Int64(), pl.Float64()):
        columns = [values for values in frame.get_columns() if values.dtype == dtype]
        if not columns:
            continue
        stacked = together(pl.DataFrame(columns))
        is_null = stacked.is_null().to_numpy().reshape(len(columns), -1)
        numbers = stacked.fill_null(0).to_numpy().reshape(len(columns), -1)
        is_nan = np.isnan(numbers)
        absent = is_null | is_nan
        largest, smallest = (np.inf, -np.inf) if dtype == pl.Float64 else (2**63 - 1, -(2**63))
        lows = np.where(absent, largest, numbers).min(axis=1).tolist()
        highs = np.where(absent, smallest, numbers).max(axis=1).tolist()
        empty, with_nan = absent.all(axis=1).tolist(), is_nan.any(axis=1).tolist()
        for values, low, high, is_empty, has_nan in zip(columns, lows, highs, empty, with_nan, strict=True):
            found[values.name] = Ends(None, None, has_nan) if is_empty else Ends(low, high, has_nan)
    return {name: found[name] for name in frame.columns}


def narrowed(frame: pl.DataFrame, ends: Mapping[str, Ends] | None = None) -> pl.DataFrame:
    """Int64 as Int32 and Float64 as Float32 where nothing a network could see is lost, NaN as null.

    A network reads float32 in the end. Float64 stays where rounding exceeds a millionth of the column's spread, as for
    seconds since 1970, so that differences can be taken before rounding. What holds of all parts of a column holds of
    the column. ``ends`` are those of ``ends_of`` where they are known.
    """
    ends = ends_of(frame) if ends is None else ends
    if not ends or not frame.height:
        return frame
    schema = frame.schema
    if any(found.has_nan for found in ends.values()):
        frame = frame.with_columns(pl.col(name).fill_nan(None) for name, found in ends.items() if found.has_nan)
    narrow: dict[str, pl.DataType] = {}
    for name, found in ends.items():
        low, high = found.low, found.high
        if schema[name] == pl.Int64:
            if low is None or high is None or (low >= -(2**31) and high < 2**31):
                narrow[name] = pl.Int32()
        elif low is None or high is None or low == high or max(-low, high) * _PRECISION <= _TOLERANCE * (high - low):
            narrow[name] = pl.Float32()  # which keeps the differences of values between the two
    columns = {values.name: values for values in frame.get_columns()}
    whole = [columns[name] for name in narrow if not columns[name].null_count()]
    if whole and frame.height >= _LONG:
        columns |= {values.name: values for values in _owned(whole)}
    for dtype in (pl.Int32(), pl.Float32()):
        wide = [columns[name] for name, wanted in narrow.items() if wanted == dtype and columns[name].dtype != dtype]
        if wide:
            columns |= {values.name: values for values in _cast(pl.DataFrame(wide), dtype)}
    return pl.DataFrame(list(columns.values()))


def _cast(frame: pl.DataFrame, dtype: pl.DataType) -> list[pl.Series]:
    """Columns of one type as another."""
    if is_wide(frame) and frame.height:
        return parted(together(frame).cast(dtype), frame.columns)
    return frame.select(pl.all().cast(dtype)).get_columns()


def _owned(columns: Sequence[pl.Series]) -> list[pl.Series]:
    """Wide columns without missing values as narrow ones, in memory that is theirs alone.

    What polars frees its allocator keeps for a second or two: pieces of a file would be read into memory that is new,
    which takes longer to get than to fill, while that of earlier ones lies idle.
    """
    rows, owned = len(columns[0]), []
    memory = fresh((len(columns), rows), np.float32)
    for values, into in zip(columns, memory, strict=True):
        into, start = into.view(np.int32 if values.dtype == pl.Int64 else np.float32), 0
        for part in values.get_chunks():
            with np.errstate(over="ignore"):  # numbers that are too large are refused with their places
                into[start : start + len(part)] = part.to_numpy()
            start += len(part)
        owned.append(pl.Series(values.name, into))  # which copies nothing
    return owned
