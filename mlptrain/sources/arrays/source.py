"""Arrays of inputs and targets as a source of rows: facts from their heads and targets, rows when they are read."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mlptrain.errors import DataError
from mlptrain.sources.arrays.stored import Layout, Stored, check_type, inputs_of, is_bytes, layout_of
from mlptrain.sources.arrays.targets import Targets, Task, read_targets
from mlptrain.sources.facts import Column, DataKeyError, RawData, SourceFacts
from mlptrain.system.memory import available_memory

_MAX_NAMED = 20  # classes in a message
LARGEST_BYTE = 255
_MAX_EXAMINED = 128_000_000  # bytes: 0.1 to 1 s, packed or not


SPLITS = ("train", "test", "validation")
Pairs = dict[str, tuple[Stored, Stored]]


@dataclass(frozen=True)
class Parts:
    """Inputs and targets, as they lie in files, of each of ``SPLITS``; None where there are none."""

    pairs: Mapping[str, tuple[Stored | None, Stored | None]]
    notes: tuple[str, ...] = ()

    def splits(self, *, validates: bool) -> Pairs:
        """Those that there are, validation rows only where asked for. Raises DataError for one without the other."""
        found = {}
        for name, (x, y) in self.pairs.items():
            if name == "validation" and not validates:
                continue
            if x is not None and y is not None:
                found[name] = (x, y)
            elif (only := x or y) is not None:
                raise DataError(f"there are {name} rows in {only.title}, but not both inputs and targets of them")
        return found


@dataclass(frozen=True)
class ArraySource:
    """``find`` gives the arrays.

    ``classes`` are kept, in this order, by their names; ``class_names`` are other names for the values, in their order.
    ``maximum`` is the largest possible input; that of bytes is 255 where it is None. ``validates``: whether validation
    rows that are stored apart are used.
    """

    find: Callable[[], Parts]
    task: Task = "auto"
    classes: tuple[str, ...] | None = None
    class_names: tuple[str, ...] | None = None
    maximum: int | None = None
    validates: bool = True
    by_seed: ClassVar[bool] = False

    def facts(self) -> SourceFacts:
        """From the heads of the arrays and the targets, which are read; the inputs are not. Raises DataError."""
        splits, targets, layouts, notes = self._checked()
        (x, _), layout = splits["train"], layouts[0]
        _, names = self._chosen(targets)
        if targets.names and not targets.n_targets:
            index = [targets.names.index(name) for name in names]
            rows = [tuple(np.bincount(part, minlength=len(targets.names))[index].tolist()) for part in targets.parts]
        else:
            rows = [(len(part),) for part in targets.parts]
        counts = dict(zip(splits, rows, strict=True))
        _check_room(x, layout)
        has_columns = layout.image_shape is None and not is_bytes(x.dtype) and self.maximum is None
        return SourceFacts(
            train_counts=counts["train"],
            test_counts=counts.get("test", ()),
            validation_counts=counts.get("validation", ()),
            n_features=layout.n_features,
            class_names=self._renamed(names, targets) if names else (),
            n_targets=targets.n_targets,
            image_shape=layout.image_shape,
            channels=layout.channels,
            maximum=self._maximum(x),
            columns=tuple(Column(name=f"x{number}") for number in range(layout.n_features)) if has_columns else (),
            notes=(*notes, *filter(None, (layout.note,)), targets.note),
        )

    def read(self, *, seed: int, folder: Path) -> RawData:  # noqa: ARG002 – rows follow from no seed
        """Inputs and targets of the chosen classes. Raises DataError, also where they would not fit into memory."""
        splits, targets, layouts, _ = self._checked()
        chosen, _ = self._chosen(targets)
        rows: dict[str, NDArray[Any]] = {}
        for (name, (x, _)), layout, labels in zip(splits.items(), layouts, targets.parts, strict=True):
            inputs, before = inputs_of(x, layout, maximum=self._maximum(x)), "" if name == "train" else f"{name}_"
            new = labels if chosen is None else chosen[labels]
            rows[f"{before}x"] = inputs if chosen is None else inputs[new >= 0]
            rows[f"{before}y"] = new if chosen is None else new[new >= 0]
        return RawData(**rows)

    def examined(self) -> list[str]:
        """What was looked at of the inputs, in words: all values of arrays up to 128 MB, and some of the image files.

        Raises DataError for what ``read`` refuses there.
        """
        splits, _, layouts, _ = self._checked()
        notes = []
        for (x, _), layout in zip(splits.values(), layouts, strict=True):
            maximum = self._maximum(x)
            if x.look is not None:
                notes.append(x.look())
            elif is_bytes(x.dtype) and maximum == (1 if x.dtype == "bool" else LARGEST_BYTE):
                continue  # all that can be written so is right
            elif (size := math.prod(x.shape) * np.dtype(x.dtype).itemsize) > _MAX_EXAMINED:
                notes.append(f"{x.title}: its {size / 1e6:,.0f} MB of values were not looked at, as training does")
            else:
                inputs_of(x, layout, maximum=maximum)
                notes.append(f"{x.title}: all values were looked at")
        return notes

    def _maximum(self, x: Stored) -> int | None:
        if self.maximum is not None or not is_bytes(x.dtype):
            return self.maximum
        return 1 if x.dtype == "bool" else LARGEST_BYTE

    def _checked(self) -> tuple[Pairs, Targets, list[Layout], tuple[str, ...]]:
        """The splits, their targets, the layouts of their inputs, and notes. Raises DataError where these disagree."""
        parts = self.find()
        splits = parts.splits(validates=self.validates)
        pairs = list(splits.values())
        first, _ = pairs[0]
        for x, _ in pairs:
            check_type(x, "biuf", "numbers")
        targets = read_targets([y for _, y in pairs], task=self.task)
        layouts = [layout_of(x, len(part)) for (x, _), part in zip(pairs, targets.parts, strict=True)]
        for name, (x, _), layout in zip(splits, pairs, layouts, strict=True):
            if layout.of_row != layouts[0].of_row or is_bytes(x.dtype) != is_bytes(first.dtype):
                raise DataError(
                    f"{first.title} {first.described} and {x.title} {x.described}: expected training and {name} "
                    "rows of one shape, on one scale"
                )
        return splits, targets, layouts, parts.notes

    def _renamed(self, names: Sequence[str], targets: Targets) -> tuple[str, ...]:
        """The names of classes that the configuration gives, else their values."""
        if self.class_names is None:
            return tuple(names)
        given = dict(zip(targets.names, self.class_names, strict=False))
        as_counted = [str(number) for number in range(len(self.class_names))]
        if len(self.class_names) != len(targets.names):  # of values that count from 0 some may have no rows
            if not set(targets.names) <= set(as_counted):
                raise DataKeyError(
                    "class_names",
                    f"must have {len(targets.names)} items, one for each of the values {_listed(targets.names)}, got "
                    f"{len(self.class_names)}",
                )
            given = dict(zip(as_counted, self.class_names, strict=True))
        return tuple(given[name] for name in names)

    def _chosen(self, targets: Targets) -> tuple[NDArray[Any] | None, tuple[str, ...]]:
        """The new label of every class, −1 for those that are left out, and the values of those that stay."""
        if self.classes is None:
            return None, targets.names
        if not targets.names or targets.n_targets:
            raise DataKeyError("classes", "has no classes to choose from: the targets are numbers or several labels")
        known = dict(zip(self._renamed(targets.names, targets), targets.names, strict=True))
        for name in self.classes:
            if name not in known and name not in targets.names:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean '{near[0]}'?" if near else f"the classes are {_listed(tuple(known))}"
                raise DataKeyError("classes", f"there is no class '{name}'; {hint}")
        values = tuple(known.get(name, name) for name in self.classes)
        if len(set(values)) < len(values):
            raise DataKeyError("classes", f"must name each class once, got {_listed(self.classes)}")
        new = np.full(len(targets.names), -1)
        new[[targets.names.index(value) for value in values]] = np.arange(len(values))
        return new, values


def _check_room(x: Stored, layout: Layout) -> None:
    """Raises DataError, before they are read, where the training inputs, as stored and as rows, exceed free memory."""
    values = layout.rows * layout.n_features
    needed = values * (np.dtype(x.dtype).itemsize + (1 if is_bytes(x.dtype) else 4))
    free = available_memory()
    if free is not None and needed > free:
        raise DataError(
            f"{x.title} {x.described} would take about {needed / 1e9:,.1f} GB of memory, but {free / 1e9:,.1f} GB are "
            "free. Take a part of its rows, or use a machine with more memory"
        )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_MAX_NAMED]) + ", …" * (len(names) > _MAX_NAMED)
