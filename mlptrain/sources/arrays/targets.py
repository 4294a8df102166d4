"""What an array of targets holds: classes, labels of which a row may have several, or numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from mlptrain.errors import DataError
from mlptrain.sources.arrays.stored import Stored, check_type
from mlptrain.sources.facts import MAX_CLASSES, MAX_TARGET
from mlptrain.sources.files import natural

if TYPE_CHECKING:
    from collections.abc import Sequence

Task = Literal["auto", "classification", "regression"]
_FEW = 100  # whole numbers of fewer values are classes, whatever their rows
_ROWS_OF_CLASS = 10  # on average, below which whole numbers of many values are not taken for classes


@dataclass(frozen=True)
class Targets:
    """``parts`` are those of the training rows and, where there are some, of the test rows.

    Labels (n,) int64 of the classes ``names``; or (n, t) float32, which are labels of 0 and 1 where there are names.
    ``note`` says what was detected, in words.
    """

    parts: tuple[NDArray[Any], ...]
    names: tuple[str, ...]
    note: str

    @property
    def n_targets(self) -> int:
        """Targets of one row; 0 where rows have one of several classes."""
        return 0 if self.parts[0].ndim == 1 else int(self.parts[0].shape[1])


def read_targets(stored: Sequence[Stored], *, task: Task) -> Targets:
    """The targets of the training rows and, where there are some, those of the test rows.

    Texts, truth values and whole numbers are classes, which are called as their values and are in natural order; but
    whole numbers of more than 100 values with fewer than ten rows each are numbers. Rows with a single 1 among 0s are
    classes, whole numbers of 0 and 1 that are otherwise are labels. Fractions are numbers, unless ``task`` says
    otherwise. Raises DataError for types and shapes that are no targets.
    """
    arrays = []
    for one in stored:
        check_type(one, "biufUS", "numbers or texts")
        arrays.append(_upright(one, one.load()))
    widths = {array.shape[1:] for array in arrays}
    kinds = {array.dtype.kind in "US" for array in arrays}
    if len(widths) > 1 or len(kinds) > 1:
        described = " and ".join(f"{one.title} {one.described}" for one in stored)
        raise DataError(f"{described}: expected targets of one kind")
    title, values = stored[0].title, np.concatenate(arrays)
    for one, array in zip(stored, arrays, strict=True):
        _refuse_missing(array, one.title)
    if values.dtype.kind == "f" and values.ndim == 1 and values.min() == values.max() and len(values) > 1:
        raise DataError(f"{title} holds the one value {values[0]:g} in all rows: nothing to learn")
    ends = np.cumsum([len(array) for array in arrays])[:-1]
    codes, names, note = _understood(values, task, title, is_matlab=".mat" in title)
    parts = tuple(np.ascontiguousarray(part) for part in np.split(codes, ends))
    if not names:
        for one, part in zip(stored, parts, strict=True):
            _refuse_large(part, one.title)
    return Targets(parts, names, f"{title}: {note}")


def _upright(one: Stored, values: NDArray[Any]) -> NDArray[Any]:
    """(n,) or (n, t): a single row, as MATLAB writes vectors, and columns of one value are made flat."""
    if values.dtype.kind == "S":
        try:
            values = np.char.decode(values, "utf-8")
        except UnicodeDecodeError:
            raise DataError(f"{one.title} holds bytes that are not UTF-8 text") from None
    if values.ndim == 2 and 1 in values.shape:
        values = values.reshape(-1)
    if values.ndim not in (1, 2) or not values.size or (values.ndim == 2 and values.dtype.kind == "U"):
        raise DataError(f"{one.title} has shape {one.shape}: expected targets (n,), or (n, t) of numbers")
    return values


def _refuse_missing(values: NDArray[Any], title: str) -> None:
    """Raises DataError for a target that is empty or not finite, with its row."""
    if values.dtype.kind == "U":
        odd = values == ""
    elif values.dtype.kind == "f":
        with np.errstate(over="ignore"):
            odd = ~np.isfinite(values.astype(np.float32))
    else:
        return
    if odd.any():
        row = int(np.argwhere(odd)[0][0])
        value = values[row] if values.ndim == 1 else values[row][odd[row]][0]
        more = f", and {int(odd.sum()) - 1:,} more" if odd.sum() > 1 else ""
        raise DataError(
            f"{title}: the target of row {row:,} (counted from 0) is {value or 'empty'}{more}; leave those rows out"
        )


def _refuse_large(values: NDArray[Any], title: str) -> None:
    """Raises DataError for a target of a regression, (n, t) float32, whose square float32 has not."""
    too_large = np.abs(values) > MAX_TARGET
    if too_large.any():
        row, column = np.argwhere(too_large)[0]
        more = f", and {int(too_large.sum()) - 1:,} more" if too_large.sum() > 1 else ""
        raise DataError(
            f"{title}: the target of row {row:,} (counted from 0) is {values[row, column]:g}{more}: its square is "
            "beyond the numbers of float32, 3.4e38; give the targets in a larger unit"
        )


def _understood(
    values: NDArray[Any], task: Task, title: str, *, is_matlab: bool
) -> tuple[NDArray[Any], tuple[str, ...], str]:
    """Labels or targets, the names of classes or labels, and what was detected, in words."""
    kind = values.dtype.kind
    if values.ndim == 2:
        binary = bool(((values == 0) | (values == 1)).all())
        names = tuple(map(str, range(values.shape[1])))
        if task != "regression" and binary and bool((values.sum(axis=1) == 1).all()):
            return values.argmax(axis=1).astype(np.int64), names, f"one-hot rows of {len(names)} classes"
        if task != "regression" and binary and kind != "f":
            return values.astype(np.float32), names, f"rows of 0 and 1, of which several may be 1: {len(names)} labels"
        if task == "classification":
            raise DataError(f"{title} has {values.shape[1]} columns that are not one-hot rows: expected classes (n,)")
        return values.astype(np.float32), (), f"{values.shape[1]} numbers for each row"
    if task == "regression":
        if kind == "U":
            raise DataError(f"{title} holds texts: expected numbers for a regression; leave task out")
        return values.astype(np.float32)[:, None], (), "numbers, as task says"
    distinct, codes = np.unique(values, return_inverse=True)
    whole = kind != "U" and bool((distinct == np.round(distinct)).all())
    few = len(distinct) <= _FEW or len(values) >= _ROWS_OF_CLASS * len(distinct)
    if task == "auto" and kind == "f" and not (is_matlab and whole and few):
        return values.astype(np.float32)[:, None], (), "fractional numbers are a regression"
    if task == "auto" and kind in "iu" and not few:
        why = f"{len(distinct):,} whole numbers, fewer than {_ROWS_OF_CLASS} rows each, are a regression"
        return values.astype(np.float32)[:, None], (), why
    if len(distinct) > MAX_CLASSES:
        raise DataError(f"{title} holds {len(distinct):,} classes; the limit is {MAX_CLASSES:,}")
    names = tuple(str(int(value)) if whole and kind == "f" else str(value) for value in distinct.tolist())
    if len(names) == 1:
        raise DataError(f"{title} holds the one class '{names[0]}': expected two or more")
    order = sorted(range(len(names)), key=lambda index: natural(names[index])) if kind == "U" else range(len(names))
    places = np.argsort(np.array(order))
    what = "texts" if kind == "U" else "truth values" if kind == "b" else "whole numbers" if whole else "numbers"
    ordered = tuple(names[index] for index in order)
    shown = ", ".join(ordered[:4]) + (
        f", … {ordered[-1]}" if len(names) > 5 else "".join(f", {n}" for n in ordered[4:])
    )
    return places[codes.reshape(-1)].astype(np.int64), ordered, f"{what}, {len(names)} classes: {shown}"
