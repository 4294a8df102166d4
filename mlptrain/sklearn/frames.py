"""Data frames as scikit-learn's users hand them over: what every column holds, and the inputs that it becomes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mlptrain.errors import DataError
from mlptrain.sources.facts import Column
from mlptrain.sources.tables.columns import stored_columns
from mlptrain.sources.tables.encode import as_text, codes_of, date_part
from mlptrain.sources.tables.given import frame_of

Matrix = NDArray[np.float32]
Held = Literal["numbers", "texts or categories", "dates"]
MAX_LEVELS = 10_000  # of a column; those of more are names or numbers of rows, which pickles would carry along


def values_of(rows: Any) -> Iterator[tuple[pl.Series, Held]]:
    """Every column, and what it holds; levels are text, and times of a zone those of UTC."""
    try:
        frame = frame_of(rows)[0]
    except (DataError, pl.exceptions.PolarsError) as error:
        raise ValueError(f"X: {error}") from None
    for place, found in enumerate(frame.get_columns()):
        stated = str(rows.dtypes.iloc[place] if hasattr(rows.dtypes, "iloc") else found.dtype)
        is_level = found.dtype in (pl.Categorical, pl.Enum, pl.String) or "category" in stated
        if is_level and "timedelta" not in stated:
            yield as_text(found), "texts or categories"
        elif found.dtype.is_numeric() or found.dtype in (pl.Boolean, pl.Null):
            yield found.cast(pl.Float64), "numbers"
        elif found.dtype in (pl.Date, pl.Datetime):
            yield found.cast(pl.Datetime("us")) if found.dtype == pl.Datetime else found, "dates"
        else:
            raise ValueError(
                f"column {found.name!r} of X holds {stated}: expected numbers, booleans, texts, categories or "
                "dates; make numbers of it, or leave it out"
            )


def held_by(column: Column) -> Held:
    """What the values of an input were."""
    return "dates" if column.part else "numbers" if column.kind == "numeric" else "texts or categories"


def stored(values: pl.Series, held: Held) -> list[Column]:
    """The inputs that a column becomes."""
    if held == "numbers":
        return [Column(name=values.name, missing=int(np.isnan(_numbers(values)).sum()))]
    if held == "dates":
        return stored_columns(values.name, values, "date")
    levels = values.drop_nulls().unique().sort().to_list()
    if len(levels) > MAX_LEVELS:
        raise ValueError(
            f"column {values.name!r} of X has {len(levels):,} different texts, at most {MAX_LEVELS:,} are levels; "
            "drop it, or convert it if it holds numbers"
        )
    return [Column(name=values.name, kind="categorical", categories=tuple(levels), missing=values.null_count())]


def _numbers(values: pl.Series) -> Matrix:
    with np.errstate(over="ignore"):
        found: Matrix = values.cast(pl.Float64).to_numpy().astype(np.float32)
    if np.isinf(found).any():
        raise ValueError(f"column {values.name!r} of X contains infinity or a value too large for dtype('float32').")
    return found


def encoded(values: list[tuple[pl.Series, Held]], columns: Sequence[Column]) -> Matrix:
    """The matrix (n, columns) of the values of a frame. Raises ValueError where a column holds another kind."""
    matrix = np.empty((len(values[0][0]), len(columns)), dtype=np.float32)
    by_name = {found.name: (found, held) for found, held in values}
    for place, column in enumerate(columns):
        found, held = by_name[column.origin]
        if column.kind == "categorical":
            matrix[:, place] = codes_of(found, column.categories)
        elif found.null_count() == len(found):
            matrix[:, place] = np.nan
        elif held != (fitted := held_by(column)):
            raise ValueError(f"column {found.name!r} of X holds {held}, but was fitted on {fitted}")
        else:
            matrix[:, place] = date_part(found, column.part) if column.part else _numbers(found)
    return matrix
