"""Columns in half the memory, which goes back to the system as soon as they are let go."""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

_PRECISION = 2.0**-24  # of Float32, relative to a value
_TOLERANCE = 1e-6  # of a column's spread
_WORTH_OWNING = 1 << 20  # bytes


def narrowed(frame: pl.DataFrame) -> pl.DataFrame:
    """Int64 as Int32 and Float64 as Float32 where nothing a network could see is lost, NaN as null.

    A network reads float32 in the end. Float64 stays where rounding exceeds a millionth of the column's spread, as for
    seconds since 1970, so that differences can be taken before rounding. What holds of all parts of a column holds of
    the column.
    """
    import polars as pl

    wide = pl.col(pl.Int64, pl.Float64)
    names = frame.select(wide).columns
    if not names or not frame.height:
        return frame
    has_nan = frame.select(pl.col(pl.Float64).is_nan().any())
    frame = frame.with_columns(pl.col(name).fill_nan(None) for name in has_nan.columns if has_nan[name].item())
    schema = frame.schema
    least, most = frame.select(wide.min()).row(0), frame.select(wide.max()).row(0)
    narrow: dict[str, pl.DataType] = {}
    for name, low, high in zip(names, least, most, strict=True):
        if schema[name] == pl.Int64:
            if low is None or (low >= -(2**31) and high < 2**31):
                narrow[name] = pl.Int32()
        elif low is None or low == high or max(-low, high) * _PRECISION <= _TOLERANCE * (high - low):
            narrow[name] = pl.Float32()
    whole = [name for name in narrow if not frame[name].null_count()]
    owned = _owned(frame, whole) if 4 * len(whole) * frame.height >= _WORTH_OWNING else []
    done = {values.name for values in owned}
    return frame.with_columns(pl.col(name).cast(dtype) for name, dtype in narrow.items() if name not in done).with_columns(owned)


def _owned(frame: pl.DataFrame, names: Sequence[str]) -> list[pl.Series]:
    """Wide columns without missing values as narrow ones, in memory that is theirs alone.

    What polars frees its allocator keeps for a second or two: pieces of a file would be read into memory that is new,
    which takes longer to get than to fill, while that of earlier ones lies idle.
    """
    import numpy as np
    import polars as pl

    rows, columns = frame.height, []
    memory = mmap.mmap(-1, 4 * rows * len(names))
    for place, name in enumerate(names):
        values = frame[name]
        into = np.frombuffer(memory, np.int32 if values.dtype == pl.Int64 else np.float32, rows, 4 * rows * place)
        start = 0
        for part in values.get_chunks():
            into[start : start + len(part)] = part.to_numpy()
            start += len(part)
        columns.append(pl.Series(name, into))  # which copies nothing
    return columns
