"""From rows as stored to splits: rows are chosen, then split; whatever is fitted is fitted on the training rows."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlptrain.data.drawing import Drawing
from mlptrain.data.examples import Examples
from mlptrain.data.preprocessing import Preprocessing
from mlptrain.errors import DataError
from mlptrain.sources.facts import Choice, DataFacts, RawData, SplitBy
from mlptrain.spec import Experiment
from mlptrain.spec.table import TableData
from mlptrain.system.threads import Threads

_MAX_NAMED = 20  # classes in a message
_NO_ROWS = torch.empty(0, dtype=torch.int64)


@dataclass(frozen=True)
class Splits:
    """The rows that a run trains on, chooses by and is tested on; None where there are none. All keep the stored order.

    ``fingerprint`` is a SHA-256 over the rows used, as stored, their labels, the choice of rows and the preprocessing.
    ``fitted`` is what was fitted, where it is applied already rather than batch by batch.
    """

    train: Examples
    validation: Examples | None
    test: Examples | None
    fingerprint: str
    fitted: Preprocessing | None = None

    @property
    def preprocessing(self) -> Preprocessing:
        """What was fitted on the training rows."""
        return self.fitted or self.train.preprocessing

    @property
    def drawn(self) -> bool:
        """Whether any split is a part of the stored rows, so that it may follow from the seed or the fold."""
        return any(some.index is not None for some in (self.train, self.validation, self.test) if some is not None)

    def missing_classes(self, class_names: Sequence[str]) -> str:
        """What there is to say of classes without training rows; empty where every class has some."""
        rows = self.train.chosen_targets()
        if not class_names:
            return ""
        of_labels = rows.dim() == 2  # several of a row
        counts = rows.sum(dim=0).eq(0) if of_labels else rows.bincount(minlength=len(class_names)).eq(0)
        if not counts.any():
            return ""
        what, plural = ("label", "s") if of_labels else ("class", "es")
        absent = [f"'{class_names[index]}'" for index in counts.nonzero().flatten().tolist()]
        more = [f"{len(absent) - _MAX_NAMED:,} more"] if len(absent) > _MAX_NAMED else []
        return (
            f"no training rows of {what}{'' if len(absent) == 1 else plural} "
            f"{', '.join(absent[:_MAX_NAMED] + more)}: a network cannot learn what it never sees"
        )

    @classmethod
    def of(
        cls,
        raw: RawData,
        facts: DataFacts,
        *,
        seed: int,
        test: float = 0,
        validation: float = 0,
        split: SplitBy = "random",
        split_seed: int | None = None,
        fold: tuple[int, int] | None = None,
        scaling: str | dict[str, float] | TableData = "none",
        preprocessing: Preprocessing | None = None,
    ) -> Splits:
        """Split arrays, then fit.

        ``test`` and ``validation``, counts or fractions below 1, are drawn from the training rows, in this order, as
        ``split`` says, by ``seed``; where there is a ``split_seed``, test rows and all groups by that. With a ``fold``,
        (of, index), the test rows are those of ``Drawing.fold`` instead, drawn as test rows are, and validation rows
        are drawn from those that it leaves. ``preprocessing`` is one on record, used instead of fitting ``scaling``,
        which is a table's whole section for a table. Raises DataError where no row would be left to train on, or none
        is drawn, where the scaling cannot be fitted, and where all weights of a split are 0.
        """
        x, y = torch.from_numpy(raw.x), torch.from_numpy(raw.y)
        rest, in_validation, in_test = torch.arange(len(x)), _NO_ROWS, _NO_ROWS
        keys = None if raw.split is None else torch.from_numpy(raw.split)
        if split == "column" and keys is not None:
            rest, in_validation, in_test = ((keys == part).nonzero().flatten() for part in range(3))
            split = "auto"
        if split in ("auto", "stratified"):
            keys = y if facts.has_classes else None
        draw_test = Drawing(split, seed if split_seed is None else split_seed, keys)
        draw = draw_test if split == "group" else replace(draw_test, seed=seed)
        if fold is not None:
            rest, in_test = draw_test.fold(rest, *fold, y if facts.has_classes else None)
        elif not len(in_test):
            rest, in_test = draw_test(rest, test, purpose="test")
        if not len(in_validation) and raw.validation_x is None:
            rest, in_validation = draw(rest, validation, purpose="validation")
        everything = len(rest) == len(x)
        weight = None if raw.weight is None else torch.from_numpy(raw.weight)
        train = Examples(x, y, None if everything else rest, weight=weight)
        fitted = preprocessing or _fitted(scaling, train, facts)
        train = replace(train, preprocessing=fitted)
        tested = replace(train, index=in_test) if len(in_test) else None
        if fold is None and raw.test_x is not None and raw.test_y is not None:
            tested = _stored_apart(raw.test_x, raw.test_y, raw.test_weight, fitted)
        validated = replace(train, index=in_validation) if len(in_validation) else None
        if raw.validation_x is not None and raw.validation_y is not None:
            validated = _stored_apart(raw.validation_x, raw.validation_y, raw.validation_weight, fitted)
        for name, some in (("training", train), ("validation", validated), ("test", tested)):
            if some is not None and some.weight is not None and not some.chosen_weights().any():
                raise DataError(f"all {len(some):,} {name} rows have the weight 0")
        with Threads(1) as beside:  # hashing needs a core of its own, and no lock of Python's
            fingerprint = beside.submit(_fingerprint, train, validated, tested)
            splits = cls(train, validated, tested, "")
            splits = splits if fitted.columns is None else splits.applied()
        return replace(splits, fingerprint=fingerprint.result())

    def applied(self) -> Splits:
        """With the preprocessing applied to all rows: what makes other columns of them is not for single batches."""
        # Folds share the stored rows alone, since each fits numbers of its own: five of a million rows of 12 take
        # 360 MB, 48 MB of matrix and 20 MB of indices and labels each, and one run 90 MB (2-core AMD EPYC, 2026-11-26).
        fitted, ready = self.preprocessing, dict[int, Tensor]()
        parts = []
        for some in (self.train, self.validation, self.test):
            if some is not None and id(some.x) not in ready:
                ready[id(some.x)] = fitted.apply(some.x)
            parts.append(some and replace(some, x=ready[id(some.x)], preprocessing=Preprocessing(target=fitted.target)))
        train, validation, test = parts
        assert train is not None
        return replace(self, train=train, validation=validation, test=test, fitted=fitted)


def read_data(experiment: Experiment, *, folder: Path) -> RawData:
    """The rows that the data section chooses, before any split.

    Raises as Source.read, and DataError for no rows, and for a table whose columns are not those of the facts.
    """
    experiment.data.refuse_other(experiment.facts)
    raw, choice = experiment.data.source().read(seed=experiment.seed, folder=folder), experiment.data.choice()
    train = _choose(raw.x, raw.y, choice, size=choice.train_size)
    if not len(train[0]):
        raise DataError(f"data '{experiment.data.label}' as chosen has no training rows")
    raw = replace(raw, x=train[0], y=train[1])
    if raw.test_x is None or raw.test_y is None:
        return raw
    test = _choose(raw.test_x, raw.test_y, choice, size=choice.test_size)
    return replace(raw, test_x=test[0], test_y=test[1])


def load_splits(experiment: Experiment, raw: RawData, *, preprocessing: Preprocessing | None = None) -> Splits:
    """The splits of an experiment, from rows that ``read_data`` gave for its data section.

    Where rows do not follow from the seed, several seeds can share them. ``preprocessing`` is one on record, as of a
    checkpoint. Raises as Splits.of.
    """
    data, choice = experiment.data, experiment.data.choice()
    scaling = data if isinstance(data, TableData) else data.scaling
    return Splits.of(
        raw,
        experiment.facts,
        seed=experiment.seed,
        test=choice.test if raw.test_x is None else 0,
        validation=choice.validation,
        split=choice.split,
        split_seed=choice.split_seed,
        fold=choice.fold,
        scaling=scaling if isinstance(scaling, (str, TableData)) else scaling.model_dump(),
        preprocessing=preprocessing,
    )


def _fitted(scaling: str | dict[str, float] | TableData, train: Examples, facts: DataFacts) -> Preprocessing:
    if isinstance(scaling, TableData):
        return Preprocessing.of_table(scaling, len(train), train.by_column, train.chosen_targets, facts)
    return Preprocessing.fit(scaling, train.stored, facts)


def _choose(
    x: NDArray[np.generic], y: NDArray[np.generic], choice: Choice, *, size: int | None
) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
    """The chosen classes, relabelled in the order given, and of them the first ``size`` rows."""
    if choice.classes is not None:
        new_labels = np.full(max(int(y.max()), *choice.classes) + 1, -1)
        new_labels[list(choice.classes)] = np.arange(len(choice.classes))
        labels = new_labels[y]
        x, y = x[labels >= 0], labels[labels >= 0]
    return x[:size], y[:size]


def _stored_apart(
    x: NDArray[np.generic], y: NDArray[np.generic], weight: NDArray[np.float32] | None, fitted: Preprocessing
) -> Examples:
    """All rows of a file of its own."""
    weights = None if weight is None else torch.from_numpy(weight)
    return Examples(torch.from_numpy(x), torch.from_numpy(y), None, fitted, weights)


def _fingerprint(train: Examples, validation: Examples | None, test: Examples | None) -> str:
    """SHA-256 over everything that decides the splits; each part is announced, so that none can run into the next."""
    digest = hashlib.sha256()
    drawn_test = test is not None and test.x is train.x
    parts = {"train x": train.x, "train y": train.y, "validation": None if validation is None else validation.index}
    if test is not None:
        parts |= {"test": test.index} if drawn_test else {"test x": test.x, "test y": test.y}
    if validation is not None and validation.x is not train.x:
        parts |= {"validation x": validation.x, "validation y": validation.y}
    for name, some in (("train", train), ("validation", validation), ("test", test)):
        if some is not None and some.weight is not None:
            parts[f"{name} weight"] = some.weight
    for title, tensor in parts.items():
        digest.update(f"{title} {'none' if tensor is None else (tensor.dtype, tuple(tensor.shape))}\n".encode())
        if tensor is not None:
            digest.update(tensor.contiguous().numpy().data)
    digest.update(train.preprocessing.model_dump_json(exclude_none=True).encode())
    return digest.hexdigest()
