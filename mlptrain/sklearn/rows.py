"""What scikit-learn's users hand over as X, as the stored matrix of a table: numbers, nan, and codes of levels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import validate_data

from mlptrain.errors import DataError
from mlptrain.sources.facts import Column
from mlptrain.sources.tables.columns import stored_columns
from mlptrain.sources.tables.encode import UNSEEN, as_text, date_part
from mlptrain.sources.tables.given import frame_of

if TYPE_CHECKING:
    import polars as pl

Matrix = NDArray[np.float32]
Held = Literal["numbers", "texts or categories", "dates"]
SMALL = 256  # rows that are merged
MAX_LEVELS = 10_000  # of a column; those of more are names or numbers of rows, which pickles would carry along


@dataclass(frozen=True)
class Inputs:
    """The inputs that an estimator was fitted on, in order; ``named``: those of a data frame, whose columns are of
    their own kinds.
    """

    columns: tuple[Column, ...]
    named: bool

    @classmethod
    def fit(cls, estimator: Any, rows: Any) -> tuple[Inputs, Matrix]:
        """The columns of training rows, and their matrix (n, columns). Sets what scikit-learn notes of X.

        Raises ValueError and TypeError for what cannot be an input, as ``validate_data`` of scikit-learn.
        """
        if not _is_frame(rows):
            x = _matrix(estimator, rows, reset=True)
            names = getattr(estimator, "feature_names_in_", None)
            called = [f"x{place}" for place in range(x.shape[1])] if names is None else list(map(str, names))
            missing = np.isnan(x).sum(axis=0).tolist()
            columns = [Column(name=name, missing=count) for name, count in zip(called, missing, strict=True)]
            _refuse_empty(columns, len(x))
            return cls(tuple(columns), False), x
        _noted(estimator, rows, reset=True)
        values = list(_columns(rows))
        columns = [stored for one, held in values for stored in _stored(one, held)]
        _refuse_empty(columns, len(rows))
        inputs = cls(tuple(columns), True)
        return inputs, inputs._encoded(values)

    def __call__(self, estimator: Any, rows: Any) -> Matrix:
        """The matrix of later rows. Raises as ``fit``, and ValueError where a column holds another kind."""
        if not _is_frame(rows):
            if other := list(dict.fromkeys(one.origin for one in self.columns if _held(one) != "numbers")):
                raise ValueError(
                    f"X is an array, but {type(estimator).__name__} was fitted on a data frame whose columns "
                    f"{', '.join(map(repr, other[:5]))} hold categories or dates; give a data frame with these columns"
                )
            return _matrix(estimator, rows, reset=False)
        _noted(estimator, rows, reset=False)
        return self._encoded(list(_columns(rows)))

    def _encoded(self, values: list[tuple[pl.Series, Held]]) -> Matrix:
        matrix = np.empty((len(values[0][0]), len(self.columns)), dtype=np.float32)
        by_name = {found.name: (found, held) for found, held in values}
        for place, column in enumerate(self.columns):
            found, held = by_name[column.origin]
            if column.kind == "categorical":
                matrix[:, place] = _codes(found, column.categories)
            elif found.null_count() == len(found):
                matrix[:, place] = np.nan
            elif held != (fitted := _held(column)):
                raise ValueError(f"column {found.name!r} of X holds {held}, but was fitted on {fitted}")
            else:
                matrix[:, place] = date_part(found, column.part) if column.part else _numbers(found)
        return matrix


def merged(x: Matrix, y: NDArray[Any], weight: Matrix | None) -> tuple[Matrix, NDArray[Any], Matrix | None]:
    """Rows (n, columns) with their targets, each once and in an order of their own, with the sums of their weights.

    Weights are None where all are equal.
    """
    weights = np.ones(len(x), dtype=np.float32) if weight is None else weight
    first: dict[bytes, int] = {}
    sums: dict[bytes, float] = {}
    for place, (row, target) in enumerate(zip(x + 0.0, y, strict=True)):  # 0.0 for −0.0
        key = row.tobytes() + target.tobytes()
        first.setdefault(key, place)
        sums[key] = sums.get(key, 0.0) + float(weights[place])
    keys = sorted(first)
    places = [first[key] for key in keys]
    total = np.array([sums[key] for key in keys], dtype=np.float32)
    return x[places], y[places], None if (total == total[0]).all() else total


def _is_frame(rows: Any) -> bool:
    return type(rows).__module__.partition(".")[0] in ("pandas", "polars") and len(getattr(rows, "shape", ())) == 2


def _matrix(estimator: Any, rows: Any, *, reset: bool) -> Matrix:
    try:
        matrix: Matrix = validate_data(estimator, rows, reset=reset, dtype=np.float32, ensure_all_finite="allow-nan")
    except ValueError as error:
        if "could not convert string" not in str(error):
            raise
        raise ValueError(f"X: {error}; columns of texts are read of a data frame, of pandas or polars") from None
    return matrix


def _refuse_empty(columns: Sequence[Column], rows: int) -> None:
    """Raises ValueError for a column without a value."""
    for column in columns:
        if column.missing == rows:
            raise ValueError(f"no row has a value in column {column.origin!r} of X; leave it out")


def _noted(estimator: Any, rows: Any, *, reset: bool) -> None:
    """Names and number of the columns, noted or held against those that were; and that there are rows."""
    names = list(map(str, rows.columns))
    if len(set(names)) < len(names):
        [(twice, _)] = Counter(names).most_common(1)
        raise ValueError(f"X has several columns named {twice!r}: give each a name of its own")
    validate_data(estimator, rows, reset=reset, skip_check_array=True)
    height, width = rows.shape
    if not height or not width:
        raise ValueError(
            f"Found array with {height} sample(s) and {width} feature(s) (shape={rows.shape}) while a minimum of 1 is "
            f"required by {type(estimator).__name__}."
        )


def _columns(rows: Any) -> Iterator[tuple[pl.Series, Held]]:
    """Every column, and what it holds; levels are text, and times of a zone those of UTC."""
    import polars as pl

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


def _held(column: Column) -> Held:
    return "dates" if column.part else "numbers" if column.kind == "numeric" else "texts or categories"


def _stored(values: pl.Series, held: Held) -> list[Column]:
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


def _codes(values: pl.Series, levels: tuple[str, ...]) -> Matrix:
    import polars as pl

    known = pl.Series(levels, dtype=pl.String)
    codes = as_text(values).replace_strict(
        known, pl.Series(range(len(levels)), dtype=pl.Float32), default=UNSEEN, return_dtype=pl.Float32
    )
    found: Matrix = np.where(values.is_null().to_numpy(), np.float32(np.nan), codes.to_numpy())
    return found


def _numbers(values: pl.Series) -> Matrix:
    import polars as pl

    with np.errstate(over="ignore"):
        found: Matrix = values.cast(pl.Float64).to_numpy().astype(np.float32)
    if np.isinf(found).any():
        raise ValueError(f"column {values.name!r} of X contains infinity or a value too large for dtype('float32').")
    return found
