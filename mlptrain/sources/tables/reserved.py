"""Columns that are no inputs: weights of rows, and what says on which side of a split a row lies."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mlptrain.sources.facts import DataKeyError
from mlptrain.sources.tables.table import Table
from mlptrain.system.text import printable

# float32 sums of ten million such weights are finite, and above the smallest normal number.
MIN_WEIGHT, MAX_WEIGHT = 1e-30, 1e30
PARTS = {  # what a column may say of a row, in small letters
    **dict.fromkeys(("train", "training"), 0),
    **dict.fromkeys(("validation", "valid", "val", "dev"), 1),
    **dict.fromkeys(("test", "testing"), 2),
}


def read_weights_of(table: Table, name: str) -> NDArray[np.float32]:
    """Sample weights (n,). Raises DataKeyError, located, for missing and negative ones, and where all are 0."""
    values = table.frame[name]
    if not values.dtype.is_numeric():
        _refuse("weight", table, name, values.is_not_null(), "is not a number")
    _refuse("weight", table, name, values.is_null(), "is missing; a weight of 0 leaves a row out")
    weights = values.cast(pl.Float64)
    _refuse("weight", table, name, weights < 0, "is negative; weights are 0 or more")
    within = (weights == 0) | weights.is_between(MIN_WEIGHT, MAX_WEIGHT)
    _refuse("weight", table, name, ~within, f"is not between {MIN_WEIGHT:g} and {MAX_WEIGHT:g}, and not 0")
    if not (weights > 0).any():
        raise DataKeyError("weight", f"all {len(weights):,} weights in '{printable(name)}' are 0: nothing would count")
    return weights.cast(pl.Float32).to_numpy(writable=True)


def read_groups(table: Table, name: str) -> NDArray[np.int64]:
    """Numbers of the groups (n,), in the order of their names. Raises DataKeyError, located, for missing ones."""
    values = table.frame[name]
    _refuse("split", table, name, values.is_null(), "is missing: a row without a group may be on no side")
    return _ranks(values)


def read_times(table: Table, name: str) -> NDArray[np.int64]:
    """Ranks of the times (n,). Raises DataKeyError, located, for missing ones and for text."""
    values = table.frame[name]
    if not (values.dtype.is_numeric() or values.dtype.is_temporal()):
        _refuse("split", table, name, values.is_not_null(), "is neither a date nor a number, which have an order")
    _refuse("split", table, name, values.is_null(), "is missing: a row without a time may be on no side")
    return _ranks(values)


def read_parts(table: Table, name: str) -> NDArray[np.int64]:
    """Training 0, validation 1, test 2, (n,). Raises DataKeyError, located, for other words, and without training."""
    values = table.frame[name]
    words = "write train, validation (valid, val, dev) or test; numbers of folds are read by: group"
    if values.dtype != pl.String:
        _refuse("split", table, name, values.is_not_null(), f"says no split; {words}")
    _refuse("split", table, name, values.is_null(), f"is missing; {words}")
    parts = values.str.strip_chars().str.to_lowercase().replace_strict(PARTS, default=-1, return_dtype=pl.Int64)
    _refuse("split", table, name, parts < 0, f"says no split; {words}")
    if not (parts == 0).any():
        message = f"no row has train in column '{printable(name)}': there is nothing to train on"
        raise DataKeyError("split", message, inside=("column",))
    return parts.to_numpy(writable=True)


def read_split(table: Table, name: str, by: str) -> NDArray[np.int64]:
    """As ``RawData.split`` has them. Raises DataKeyError."""
    return {"group": read_groups, "time": read_times, "column": read_parts}[by](table, name)


def _ranks(values: pl.Series) -> NDArray[np.int64]:
    """Places of the values among the different ones in order, from 0."""
    return values.rank("dense").cast(pl.Int64).to_numpy() - 1  # a copy


def _refuse(key: str, table: Table, name: str, bad: pl.Series, why: str) -> None:
    """Raises DataKeyError for the first bad row, with its value and its place."""
    row = bad.arg_max()
    if row is None or not bad[row]:
        return
    value = table.frame[name][row]
    written = f"{value:g}" if isinstance(value, float) else str(value)
    shown = "a value" if value is None else f"'{printable(written)}'"
    message = f"{shown} in column '{printable(name)}' at {table.where(row, name)} {why}"
    raise DataKeyError(key, message, inside=("column",) if key == "split" else ())
