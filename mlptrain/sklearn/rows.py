"""What scikit-learn's users hand over as X, as the stored matrix of a table: numbers, nan, and codes of levels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import validate_data

from mlptrain.sources.facts import Column

Matrix = NDArray[np.float32]
SMALL = 256  # rows that are merged


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
        from mlptrain.sklearn.frames import encoded, stored, values_of  # with polars, which arrays do without

        _noted(estimator, rows, reset=True)
        values = list(values_of(rows))
        columns = [column for one, held in values for column in stored(one, held)]
        _refuse_empty(columns, len(rows))
        return cls(tuple(columns), True), encoded(values, columns)

    def __call__(self, estimator: Any, rows: Any) -> Matrix:
        """The matrix of later rows. Raises as ``fit``, and ValueError where a column holds another kind."""
        if not _is_frame(rows):
            if other := list(dict.fromkeys(one.origin for one in self.columns if one.part or one.kind != "numeric")):
                raise ValueError(
                    f"X is an array, but {type(estimator).__name__} was fitted on a data frame whose columns "
                    f"{', '.join(map(repr, other[:5]))} hold categories or dates; give a data frame with these columns"
                )
            return _matrix(estimator, rows, reset=False)
        from mlptrain.sklearn.frames import encoded, values_of

        _noted(estimator, rows, reset=False)
        return encoded(list(values_of(rows)), self.columns)


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
