"""From typed columns to the stored matrix: numbers as they are, levels as their positions, dates as numbers."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mlptrain.errors import DataError
from mlptrain.sources.facts import DAYS_IN, EPOCH, MAX_FLOAT32, MAX_TARGET, UNSEEN, Column
from mlptrain.sources.tables.table import Table
from mlptrain.system.cores import usable_cores
from mlptrain.system.memory import fresh
from mlptrain.system.text import printable
from mlptrain.system.threads import Threads

_ROWS = 1 << 14  # that are written at once: the lines of memory that 16 columns share stay in the cache
_LABELS = 1 << 18  # that are looked up at once
_CLOSE = 1 << 10  # whole numbers so close to each other are looked up by place, in a twentieth of the time
_FEW = 16  # such parts that are not worth threads


def encode_inputs(table: Table, columns: Sequence[Column]) -> NDArray[np.float32]:
    """The stored matrix, (rows, columns) float32, nan where a value is missing, ``UNSEEN`` for unknown levels.

    Raises DataError, located, for a number that float32 cannot hold.
    """
    frame = table.frame
    matrix = fresh((frame.height, len(columns)), np.float32)
    values_of = {column.origin: frame[column.origin] for column in columns}
    at_once = max(_ROWS, _ROWS * 16 // max(1, len(columns)))

    def encode(start: int) -> None:
        into = matrix[start : start + at_once]
        for place, column in enumerate(columns):
            values = values_of[column.origin].slice(start, at_once)
            if column.kind == "categorical":
                into[:, place] = codes_of(values, column.categories)
            elif column.part:
                into[:, place] = date_part(values, column.part)
            else:
                into[:, place] = _numbers(table, values, start)

    _each(encode, range(0, frame.height, at_once))
    return matrix


def _each(encode: Callable[[int], None], starts: Sequence[int]) -> None:
    """Parts of the rows, many of them in threads. Raises the error of the first part that has one, as without."""
    if len(starts) < _FEW:
        deque(map(encode, starts), maxlen=0)
        return
    # NumPy and polars let both work, and what takes longest is that the system hands out the memory.
    with Threads(max(1, int(usable_cores()))) as pool:
        deque(pool.map(encode, starts), maxlen=0)


def encode_labels(table: Table, name: str, class_names: Sequence[str]) -> NDArray[np.int64]:
    """Positions among the class names, (rows,).

    A full stop behind a class, as in the test file of Adult, does not count. Raises DataError, located, for others.
    """
    values = table.frame[name]
    labels = fresh((len(values),), np.int64)

    def encode(start: int) -> None:
        part = values.slice(start, _LABELS)
        codes = codes_of(part, class_names)
        if (codes == UNSEEN).any():
            stripped = part.cast(str).str.strip_suffix(".")
            codes = np.where(codes == UNSEEN, codes_of(stripped, class_names), codes)
        bad = np.flatnonzero(codes == UNSEEN)
        if len(bad):
            row = start + int(bad[0])
            shown = ", ".join(map(printable, class_names[:10])) + (", …" if len(class_names) > 10 else "")
            raise DataError(
                f"{table.where(row, name)}  class '{printable(str(values[row]))}' is not among those of the "
                f"training file: {shown}"
            )
        labels[start : start + _LABELS] = codes

    _each(encode, range(0, len(values), _LABELS))
    return labels


def encode_targets(table: Table, names: Sequence[str]) -> NDArray[np.float32]:
    """Targets of a regression, (rows, targets) float32. Raises DataError as ``encode_inputs``, and for larger ones."""
    most = "its square is beyond the numbers of float32, 3.4e38; write '{}' in a larger unit"
    whys = {name: most.format(printable(name)) for name in names}
    return np.column_stack([_numbers(table, table.frame[name], at_most=MAX_TARGET, why=whys[name]) for name in names])


def _numbers(
    table: Table,
    column: pl.Series,
    start: int = 0,
    *,
    at_most: float = MAX_FLOAT32,
    why: str = "beyond the numbers of float32, 3.4e38",
) -> NDArray[np.float32]:
    """Numbers of some rows, from ``start`` on."""
    values = (column if column.dtype == pl.Float32 else column.cast(pl.Float64)).to_numpy()
    if column.dtype != pl.Float32 or at_most < MAX_FLOAT32:
        too_large = np.flatnonzero(np.abs(values) > at_most)
        if len(too_large):
            row = int(too_large[0])
            raise DataError(f"{table.where(start + row, column.name)}  {values[row]:g}: {why}")
    return values.astype(np.float32, copy=False)


def codes_of(values: pl.Series, levels: Sequence[str]) -> NDArray[np.float64]:
    """Positions among the levels; nan where missing, ``UNSEEN`` where not among them."""
    known = {level: float(position) for position, level in enumerate(levels)}
    if values.dtype.is_integer() and len(values) and not values.null_count():
        whole = values.to_numpy()
        low, high = int(whole.min()), int(whole.max())
        if high - low < _CLOSE:
            return np.array([known.get(str(value), UNSEEN) for value in range(low, high + 1)]).take(whole - low)
    if values.dtype != pl.String:  # numbers are looked up as they are
        different = values.drop_nulls().unique()
        found = [known.get(text, UNSEEN) for text in as_text(different)]
        codes = values.replace_strict(different, pl.Series(found, dtype=pl.Float64), default=UNSEEN)
    else:
        codes = values.replace_strict(known, default=UNSEEN, return_dtype=pl.Float64)
    if values.null_count():
        codes = codes.zip_with(values.is_not_null(), pl.Series([None], dtype=pl.Float64))
    return codes.to_numpy()


def as_text(values: pl.Series) -> pl.Series:
    """Values as the names of levels and classes: 3.0 is the level 3, whatever type its column has for others' sake."""
    if not values.dtype.is_float():
        return values.cast(pl.String)
    whole = values.cast(pl.Int64, strict=False)
    return whole.cast(pl.String).zip_with(whole.cast(values.dtype) == values, values.cast(pl.String))


def date_part(values: pl.Series, part: str) -> NDArray[np.float64]:
    """A number made of dates: days since 2000 with fractions, or where in its year, week or day one lies."""
    milliseconds = values.cast(pl.Datetime("ms")).dt.timestamp("ms").cast(pl.Float64).to_numpy()
    days = milliseconds / 86_400_000 - EPOCH
    if part == "days":
        return days
    cycle, wave = part.split("_")
    angle = 2 * math.pi * days / DAYS_IN[cycle]
    return np.sin(angle) if wave == "sin" else np.cos(angle)
