"""Arrays of files before and after they are read: shapes, what their axes are, and their values as rows."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlptrain.errors import DataError

_CHANNELS = (1, 3)
_PIECE = 1 << 22  # values that are checked at once
SHAPES = "(n, d), (n, height, width), (n, height, width, 3) or (n, 3, height, width)"


@dataclass(frozen=True)
class Stored:
    """An array of a file: ``title`` names both, ``dtype`` is NumPy's word, or that of the file where NumPy has none.

    ``load`` reads it. Raises DataError where its values are not as the head of the file says. ``look``, where the array
    is many files, looks at some of these, raises the same, and says in words at which.
    """

    title: str
    shape: tuple[int, ...]
    dtype: str
    load: Callable[[], NDArray[Any]]
    look: Callable[[], str] | None = None

    @property
    def described(self) -> str:
        """Shape and type in words."""
        return f"{self.shape} {self.dtype}"


@dataclass(frozen=True)
class Layout:
    """What the axes of inputs are: ``rows`` examples of ``n_features`` values, which may be an image.

    ``rows_last``: the rows are the last axis instead of the first. ``channels_first``: (n, channels, height, width).
    ``note`` says how that was detected, where the shape alone leaves a choice.
    """

    rows: int
    n_features: int
    image_shape: tuple[int, int] | None = None
    channels: int = 1
    rows_last: bool = False
    channels_first: bool = False
    note: str = ""

    @property
    def of_row(self) -> tuple[int, tuple[int, int] | None, int]:
        """What rows of all splits share."""
        return self.n_features, self.image_shape, self.channels

    def flat(self, values: NDArray[Any]) -> NDArray[Any]:
        """The array as rows (n, n_features); images by rows of pixels, the channels of a pixel side by side."""
        if self.rows_last:
            values = np.moveaxis(values, -1, 0)
        if self.channels_first:
            values = np.moveaxis(values, 1, -1)
        return values.reshape(self.rows, self.n_features)


def layout_of(x: Stored, rows: int | None = None) -> Layout:
    """What the axes of ``x`` are, of which one has the ``rows`` of the targets. Raises DataError for other shapes.

    The first axis are the rows; the last one is, as MATLAB has them, where it alone has their number. Of four axes the
    channels are the last, where that is 1 or 3, else the second.
    """
    shape, rows_last, notes = x.shape, False, []
    if not shape or 0 in shape:
        raise DataError(f"{x.title} has shape {shape}: expected {SHAPES}")
    if rows is not None and shape[0] != rows:
        if shape[-1] != rows or len(shape) == 1:
            raise DataError(f"{x.title} has shape {shape}, but there are {rows:,} targets: expected as many rows")
        shape, rows_last = (shape[-1], *shape[:-1]), True
        notes.append("the last axis holds the rows")
    n, *sides = shape
    if len(sides) <= 1:
        return Layout(n, sides[0] if sides else 1, rows_last=rows_last, note=_note(x, notes))
    channels_first = len(sides) == 3 and sides[2] not in _CHANNELS
    if channels_first:
        sides = [*sides[1:], sides[0]]
    height, width, channels = (*sides, 1)[:3]
    if len(sides) > 3 or channels not in _CHANNELS:
        raise DataError(f"{x.title} has shape {x.shape}: expected {SHAPES}")
    if len(sides) == 3:
        where = "first" if channels_first else "last"
        notes.append(f"{channels} channel{'s' * (channels > 1)}, detected by the {where} axis of an image")
    return Layout(
        rows=n,
        n_features=height * width * channels,
        image_shape=(height, width),
        channels=channels,
        rows_last=rows_last,
        channels_first=channels_first,
        note=_note(x, notes),
    )


def _note(x: Stored, notes: list[str]) -> str:
    return f"{x.title} {x.shape}: {'; '.join(notes)}" if notes else ""


def is_bytes(dtype: str) -> bool:
    """Whether inputs of this type stay as they are: bytes, and truth values, which become 0 and 1."""
    return dtype in ("uint8", "bool")


def inputs_of(x: Stored, layout: Layout, *, maximum: int | None) -> NDArray[np.generic]:
    """The rows (n, n_features) of ``x``: bytes as they are, all else float32.

    Raises DataError for values that are not finite in float32, with row and column, and for those outside of 0 to
    ``maximum`` where there is one.
    """
    check_type(x, "biuf", "numbers")
    values = layout.flat(x.load())
    with np.errstate(over="ignore", invalid="ignore"):  # what is too large for float32 is refused below
        found = np.array(values, dtype=np.uint8 if is_bytes(x.dtype) else np.float32, order="C")
    if not is_bytes(x.dtype):
        _refuse_odd(values, found, x.title)
    if maximum is not None and found.size and not 0 <= found.min() <= found.max() <= maximum:
        raise DataError(
            f"{x.title} holds values from {found.min():g} to {found.max():g}: expected 0 to {maximum}, which "
            "data.maximum sets"
        )
    return found


def check_type(array: Stored, kinds: str, expected: str) -> None:
    """Raises DataError for an array of another kind of NumPy's types."""
    kind: str = ""
    with suppress(TypeError):
        kind = np.dtype(array.dtype).kind
    if not kind or kind not in kinds:
        remedy = "; objects are pickles, which can run code and are not read" if kind == "O" else ""
        raise DataError(f"{array.title} holds values of type {array.dtype}: expected {expected}{remedy}")


def _refuse_odd(values: NDArray[Any], found: NDArray[Any], title: str) -> None:
    """Raises DataError for the first value that is not finite in float32."""
    rows = max(1, _PIECE // max(1, found.shape[1]))
    for start in range(0, len(found), rows):
        odd = ~np.isfinite(found[start : start + rows])
        if odd.any():
            row, column = np.argwhere(odd)[0]
            value = values[start + row, column]
            other = sum(int((~np.isfinite(found[at : at + rows])).sum()) for at in range(start, len(found), rows)) - 1
            is_large = "" if not np.isfinite(value) else ", too large for float32"
            raise DataError(
                f"{title}: row {start + row:,}, column {column:,} is {value:g}{is_large} (both counted from 0)"
                + (f", and {other:,} more" if other else "")
                + "; fill in what is missing, or leave those rows out"
            )
