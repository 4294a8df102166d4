"""A table of whatever holds one: files, a data frame, a mapping of columns, an array of rows."""

from __future__ import annotations

import hashlib
import io
import math
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlptrain.errors import DataError
from mlptrain.sources.facts import FileFacts
from mlptrain.sources.tables.content import Wishes
from mlptrain.sources.tables.dialect import MISSING

if TYPE_CHECKING:
    import polars as pl

    from mlptrain.sources.tables.table import Like, Table

FRAME = Path("the data frame")  # instead of a file, in messages
A_FRAME = "a data frame"  # instead of a format, in notes


def as_table(data: Any, *, like: Table | Like | None = None, optional: Collection[str] = (), **reading: Any) -> Table:
    """``data`` as a table: a path or several, a polars or pandas frame, a mapping of columns, rows as mappings, or an
    array (rows, columns), whose columns have no names.

    ``like`` and ``optional`` are as for ``read_table``, ``reading`` its options; of data in memory ``missing_values``
    counts alone. Raises DataError as ``read_table``, and for anything else.
    """
    from mlptrain.sources.tables.read import read_table, settled
    from mlptrain.sources.tables.table import Like, conformed
    from mlptrain.sources.tables.typed import plain_columns

    if is_path(data):
        return read_table(data, like=like, optional=optional, **reading)
    like = Like.of(like)
    known = None if like is None else like.schema
    missing = tuple(dict.fromkeys((*MISSING, *reading.get("missing_values", ()))))
    wishes = Wishes(missing=missing, known=known, optional=frozenset(optional))
    frame, has_names = frame_of(data)
    if known is not None:
        names = wishes.names_by_place(frame.width, has_header=has_names)
        frame = _numbers_of_text(frame.rename(dict(zip(frame.columns, names, strict=True))) if names else frame, known)
    content = replace(plain_columns(frame, FRAME, wishes, lines=None, name=A_FRAME), has_names=has_names)
    table = settled([FRAME], [content], wishes, digest_of(frame) if like is None else "")
    return table if like is None else conformed(table, like, optional)


def is_path(data: Any) -> bool:
    """Whether this names files: a path, or a list of paths."""
    if isinstance(data, (list, tuple)):
        return bool(data) and all(isinstance(one, (str, os.PathLike)) for one in data)
    return isinstance(data, (str, bytes, os.PathLike))


def holds_rows(data: Any) -> bool:
    """Whether this is a table in memory with columns of its own kinds, rather than an array of numbers."""
    if type(data).__module__.partition(".")[0] in ("polars", "pandas") or isinstance(data, Mapping):
        return True
    if isinstance(data, (list, tuple)):
        return bool(data) and all(isinstance(row, Mapping) for row in data)
    return getattr(getattr(data, "dtype", None), "kind", "") in ("O", "U")


def frame_of(data: Any) -> tuple[pl.DataFrame, bool]:
    """The rows as a frame, and whether its columns have names."""
    import polars as pl

    if isinstance(data, pl.LazyFrame):
        return data.collect(), True
    if isinstance(data, pl.DataFrame):
        return data, True
    if isinstance(data, Mapping):
        return _of_columns({str(name): values for name, values in data.items()}), True
    if type(data).__module__.partition(".")[0] == "pandas" and hasattr(data, "columns"):
        return _of_columns({str(name): data.iloc[:, place].to_numpy() for place, name in enumerate(data.columns)}), True
    if isinstance(data, (list, tuple)) and data and all(isinstance(row, Mapping) for row in data):
        names = dict.fromkeys(str(name) for row in data for name in row)
        return _of_columns({name: [row.get(name) for row in data] for name in names}), True
    shape: tuple[int, ...] = tuple(getattr(data, "shape", ()))
    if len(shape) == 2:
        return _of_columns({f"column_{place}": data[:, place] for place in range(shape[1])}), False
    what = f"an array of shape {shape}" if shape else f"a {type(data).__name__}"
    raise DataError(f"{what}: expected a path, a data frame, a mapping of columns or an array of rows and columns")


def _of_columns(columns: Mapping[str, Any]) -> pl.DataFrame:
    import polars as pl

    series = [_series(name, values) for name, values in columns.items()]
    if len({len(one) for one in series}) > 1:
        lengths = ", ".join(f"'{one.name}' {len(one):,}" for one in series[:5])
        raise DataError(f"columns of different lengths: {lengths}")
    return pl.DataFrame(series)


def _series(name: str, values: Any) -> pl.Series:
    """A column; of Python objects numbers where all are, else text, and null where one is missing."""
    import polars as pl

    if isinstance(values, pl.Series):
        return values.rename(name)
    if hasattr(values, "detach"):  # of torch
        values = values.detach().cpu().numpy()
    kind = getattr(getattr(values, "dtype", None), "kind", "O")
    if kind in "biufM":
        return pl.Series(name, values)
    if isinstance(values, (str, bytes)) or not hasattr(values, "__len__"):
        raise DataError(f"column '{name}' is a {type(values).__name__}, expected values for every row")
    found = [None if _is_missing(value) else value for value in values]
    present = [value for value in found if value is not None]
    if all(isinstance(value, bool) for value in present):
        return pl.Series(name, found, pl.Boolean if present else pl.String)
    if all(isinstance(value, int) and abs(value) < 2**63 for value in present):
        return pl.Series(name, found, pl.Int64)
    try:
        if all(not isinstance(value, (str, bytes)) and hasattr(value, "__float__") for value in present):
            return pl.Series(name, [None if value is None else float(value) for value in found], pl.Float64)
        if all(hasattr(value, "toordinal") for value in present):
            return pl.Series(name, found)
    except (TypeError, ValueError, OverflowError):
        pass
    return pl.Series(name, [None if value is None else str(value) for value in found], pl.String)


def _is_missing(value: Any) -> bool:
    """None, NaN, and what pandas has besides: NaT and NA, which compare with nothing."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float) and math.isnan(value)


def _numbers_of_text(frame: pl.DataFrame, known: FileFacts) -> pl.DataFrame:
    """Numbers that are written as text, in columns of numbers; others stay, and are refused with their place."""
    import polars as pl

    for name, dtype in frame.schema.items():
        if dtype == pl.String and known.kinds.get(name) == "number":
            numbers = frame[name].str.strip_chars().cast(pl.Float64, strict=False)
            if numbers.null_count() == frame[name].null_count():
                frame = frame.with_columns(numbers)
    return frame


def digest_of(frame: pl.DataFrame) -> str:
    """SHA-256 of names, types and values."""
    stream = io.BytesIO()
    frame.write_ipc(stream, compression="uncompressed")
    return hashlib.sha256(stream.getbuffer()).hexdigest()


def names_of(data: Any) -> str:
    """What such data are called: the name of the file or files, or that of a frame."""
    if not is_path(data):
        return str(FRAME)
    paths: Sequence[Any] = data if isinstance(data, (list, tuple)) else [data]
    first = os.fsdecode(paths[0])
    return first if len(paths) == 1 else f"{first} and {len(paths) - 1:,} more"
