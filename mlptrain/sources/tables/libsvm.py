"""LibSVM's sparse text, by scikit-learn."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import polars as pl

from mlptrain.errors import DataError
from mlptrain.sources.tables.content import Content, Wishes
from mlptrain.sources.tables.files import opened
from mlptrain.sources.tables.room import check_room
from mlptrain.sources.tables.typed import check_finite
from mlptrain.system.text import printable

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
LINE = rf"{_NUMBER}(?:\s+qid:\d+)?(?:\s+\d+:{_NUMBER})+\s*(?:#.*)?"


@dataclass(frozen=True)
class LibsvmLines:
    """Where the value of an index stands."""

    def place(self, path: Path, row: int, column: str) -> str:
        """As ``Lines.place``; the beginning of the line for a value that is not written."""
        line, text = next(islice(_lines(path), row, None))
        at = text.find(f" {column.removeprefix('x')}:")
        return f"{path}:{line}:{at + 2 if at >= 0 else 1}"


def read_libsvm(path: Path, start: bytes, wishes: Wishes) -> Content:  # noqa: ARG001 – what every reader takes
    """Columns ``target``, ``qid`` where lines have one, and ``x1``, ``x2`` … by index, zero where none is written.

    Of a file like one that was read before, the columns are that one's. Raises DataError, located, for a line of
    another form.
    """
    from sklearn.datasets import load_svmlight_file

    qid = b"qid:" in start
    try:
        with opened(path) as stream:
            x, y, *query = load_svmlight_file(stream, dtype=np.float32, zero_based=True, query_id=qid)
    except (ValueError, OverflowError) as error:
        raise _fault(path, str(error)) from None
    if not x.shape[0]:
        raise DataError(f"{path} holds no rows")
    first = 0 if x.shape[1] and x[:, [0]].nnz else 1
    target = pl.Series("target", y)
    if (abs(y) < 2**31).all() and (y == y.round()).all():
        target = target.cast(pl.Int32)
    columns = [target, *(pl.Series("qid", values) for values in query)]
    check_room(path, rows=x.shape[0], columns=x.shape[1], size=4 * x.shape[0] * x.shape[1])
    dense = np.asfortranarray(x.toarray())
    columns += [pl.Series(f"x{index}", dense[:, index]) for index in range(first, x.shape[1])]
    frame = pl.DataFrame(columns)
    check_finite(frame, path, LibsvmLines())
    return Content(frame, LibsvmLines(), (f"LibSVM, indices from {first}",), sparse=True)


def _fault(path: Path, reason: str) -> DataError:
    for line, text in _lines(path):
        words = text.split("#")[0].split()
        numbers = [word.rpartition(":") for word in words[1:]]
        if not re.fullmatch(_NUMBER, words[0]):
            return DataError(
                f"{path}:{line}:1  {printable(words[0])!r} is not the number that a line of LibSVM begins with"
            )
        for index, colon, value in numbers:
            if not colon or not (index.isdigit() or index == "qid") or not re.fullmatch(_NUMBER, value):
                at = text.find(f"{index}{colon}{value}") + 1
                return DataError(
                    f"{path}:{line}:{at}  {index + colon + value!r} is not an index and a number, as 3:0.5"
                )
    return DataError(f"{path} is not read as LibSVM: {reason}")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines with more than a comment, and their numbers from 1."""
    with opened(path) as stream:
        for number, raw in enumerate(stream, 1):
            text = raw.decode(errors="replace").rstrip("\n")
            if text.split("#")[0].strip():
                yield number, text
