"""Parquet files, by polars."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from mlptrain.errors import DataError
from mlptrain.sources.tables.content import Content, Wishes
from mlptrain.sources.tables.files import opened, packing
from mlptrain.sources.tables.room import check_room
from mlptrain.sources.tables.typed import plain_columns
from mlptrain.system.files import open_regular

MAGIC = b"PAR1"


def _width(dtype: pl.DataType) -> float:
    """Bytes of a value, of text without those beyond twelve letters."""
    narrow = dtype.is_numeric() and str(dtype) not in ("Int64", "UInt64", "Float64", "Int128", "UInt128")
    return 4 if narrow else 8 if dtype.is_numeric() or dtype.is_temporal() else 16


def read_parquet(path: Path, start: bytes, wishes: Wishes) -> Content:
    """The rows of a Parquet file, packed or not. Raises DataError for a damaged one."""
    if not start.startswith(MAGIC):
        encrypted = " that is encrypted; decrypt it" if start.startswith(b"PARE") else ""
        raise DataError(f"{path} is not a Parquet file{encrypted}")
    with open_regular(path) as raw:
        is_packed = bool(packing(raw.read(16)))
    try:
        if is_packed:
            with opened(path) as stream:
                frame = pl.read_parquet(stream.read())
        else:
            scan = pl.scan_parquet(path, glob=False)
            rows, types = scan.select(pl.len()).collect().item(), scan.collect_schema().dtypes()
            check_room(path, rows=rows, columns=len(types), size=sum(map(_width, types)) * rows)
            frame = scan.collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).split("\n", 1)[0]
        raise DataError(f"{path} is a damaged Parquet file ({reason}); get another copy") from None
    return plain_columns(frame, path, wishes, lines=None, name="Parquet")
