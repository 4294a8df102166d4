"""A table whose columns, rows and targets are settled already, as a caller in Python has checked and encoded them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlptrain.sources.facts import Column, FileFacts, RawData, SourceFacts
from mlptrain.sources.held import TARGET
from mlptrain.sources.tables.source import Inferred, TableContent, Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WEIGHT = "weight"
_KINDS = {"numeric": "number", "categorical": "text", "date": "datetime"}


def prepared(
    x: NDArray[np.float32],
    y: NDArray[np.generic],
    *,
    columns: Sequence[Column],
    class_names: Sequence[str] = (),
    weight: NDArray[np.float32] | None = None,
    has_names: bool = True,
) -> TableContent:
    """What ``holding`` takes for a table without anything that is inferred: every column is an input.

    x (n, columns) has nan where a value is missing and the code of its level in a categorical column; y are labels
    (n,) int64 of the ``class_names``, or 0 and 1 for each of several (n, labels) float32, or without names targets
    (n, t) float32; ``weight`` (n,) are sample weights.
    """
    digest = hashlib.sha256()
    for array in (x, y, weight):
        if array is not None:
            digest.update(f"{array.dtype.str} {array.shape}\n".encode())
            digest.update(array.tobytes())
    digest.update(repr((tuple(columns), tuple(class_names))).encode())
    has_classes = y.ndim == 1
    targets = _targets([column.origin for column in columns], 1 if has_classes else y.shape[1])
    kinds = {one.origin: _KINDS["date" if one.part else one.kind] for one in columns}
    kinds |= dict.fromkeys(targets, "text" if has_classes else "number")
    facts = SourceFacts(
        train_counts=(len(x),),
        n_features=len(columns),
        class_names=tuple(class_names),
        n_targets=0 if has_classes else len(targets),
        columns=tuple(columns),
        target_names=targets,
        file=FileFacts.model_validate({"kinds": kinds, "has_names": has_names}),
        digest=digest.hexdigest(),
        weight="" if weight is None else WEIGHT,
    )
    task: Task = "classification" if class_names else "regression"
    inferred = Inferred(tuple(columns), targets, task, "stated", tuple(class_names))
    lowest = (float("inf") if class_names else float(y.min()), f"the smallest '{TARGET}'")
    return TableContent(facts, inferred, RawData(x, y, weight=weight), lowest, (), (), ())


def _targets(names: Sequence[str], count: int) -> tuple[str, ...]:
    """Names for targets that have none, apart from those of the inputs."""
    wanted = [TARGET] if count == 1 else [f"{TARGET}_{number}" for number in range(count)]
    while set(wanted) & set(names):
        wanted = [f"{name}_" for name in wanted]
    return tuple(wanted)
