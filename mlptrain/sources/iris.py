"""Fisher's iris as scikit-learn brings it along: a table whose file says how many rows, columns and classes it has."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mlptrain.errors import DataError
from mlptrain.sources.bundled import bundled_file
from mlptrain.sources.facts import Column, RawData, SourceFacts

_COLUMNS = ("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)")


@dataclass(frozen=True)
class Iris:
    """150 flowers of three species, four lengths each; no test rows are stored."""

    by_seed: ClassVar[bool] = False

    def facts(self) -> SourceFacts:
        """What the file says. Raises DataError where it is not what it should be."""
        class_names, rows = _table()
        labels = [int(row[-1]) for row in rows]
        return SourceFacts(
            train_counts=tuple(labels.count(label) for label in range(len(class_names))),
            n_features=len(_COLUMNS),
            class_names=class_names,
            columns=tuple(Column(name=name) for name in _COLUMNS),
            digest=hashlib.sha256(repr(rows).encode()).hexdigest(),
        )

    def read(self, *, seed: int, folder: Path) -> RawData:  # noqa: ARG002 – the rows are installed
        """Lengths in centimetres, float32 (150, 4), and species."""
        import numpy as np

        _, rows = _table()
        values = np.array(rows, dtype=np.float64)
        return RawData(values[:, :-1].astype(np.float32), values[:, -1].astype(np.int64))


def _table() -> tuple[tuple[str, ...], list[list[str]]]:
    """Names of the classes, and the rows as text: four lengths and the label."""
    file = bundled_file("iris.csv")
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            (_, _, *class_names), *rows = csv.reader(stream)
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {file}: {error}. Reinstall scikit-learn.") from None
    if {len(row) for row in rows} != {len(_COLUMNS) + 1}:
        raise DataError(f"{file} does not have {len(_COLUMNS) + 1} columns. Reinstall scikit-learn.")
    return tuple(class_names), rows
