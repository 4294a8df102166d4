"""From a data section to scaled tensors: choice of classes and rows, validation split, scaling, fingerprint."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from mlptrain.data.scaling import Scaling, scaling_for
from mlptrain.data.sources import Rows, Source, is_stored, load_source
from mlptrain.errors import DataError
from mlptrain.seeds import derived_seed


@dataclass(frozen=True)
class Split:
    """Inputs (n, n_features) float32, scaled; labels (n,) int64 or targets (n, n_targets) float32."""

    x: Tensor
    y: Tensor


class _Scaled:
    """Rows as stored, scaled when they are first asked for: up to 188 MB that not every command needs."""

    def __init__(self, rows: Rows, scaling: Scaling) -> None:
        self.rows = rows
        self.scaling = scaling

    @cached_property
    def split(self) -> Split:
        return Split(self.scaling.apply(self.rows.x), self.rows.y)

    def some(self, mask: Tensor) -> Split:
        return Split(self.scaling.apply(self.rows.x[mask]), self.rows.y[mask])


@dataclass(frozen=True)
class Splits:
    """The rows that a run trains on, chooses by and is tested on.

    ``scaling`` holds the numbers in force. ``class_names`` are in the order of the labels and None for regression;
    ``image_shape`` is (height, width), None where a row is no image. ``fingerprint`` is a SHA-256 over the rows used,
    as stored, their labels, the choice of validation rows and the scaling.
    """

    scaling: Scaling
    class_names: tuple[str, ...] | None
    image_shape: tuple[int, int] | None
    fingerprint: str
    _training: _Scaled
    _test: _Scaled | None
    _is_validation: Tensor | None

    @property
    def all_training_rows(self) -> Rows:
        """The training rows as stored, before validation rows are taken out; splits made ``like`` others share it."""
        return self._training.rows

    @property
    def chosen(self) -> Tensor | None:
        """Indices (n,) of the rows of ``train`` among all training rows; None if that is all of them."""
        return None if self._is_validation is None else (~self._is_validation).nonzero().squeeze(1)

    @cached_property
    def train(self) -> Split:
        """What is trained on, in stored order: a copy where there is a validation split."""
        return self._training.split if self._is_validation is None else self._training.some(~self._is_validation)

    @cached_property
    def validation(self) -> Split | None:
        """What is chosen by; None where the data section takes no rows for it."""
        return None if self._is_validation is None else self._training.some(self._is_validation)

    @property
    def test(self) -> Split | None:
        """What is tested on; None where the data have none."""
        return None if self._test is None else self._test.split


def load_splits(
    name: str,
    *,
    seed: int,
    folder: Path,
    classes: Sequence[int] | None = None,
    train_size: int | None = None,
    test_size: int | None = None,
    validation: float = 0,
    scaling: str | Mapping[str, float] | None = None,
    fixed_scaling: Scaling | None = None,
    like: Splits | None = None,
    **generator_fields: int | float,
) -> Splits:
    """Load or generate a data set, choose its rows, scale them.

    In this order: ``classes`` are kept and relabelled 0..k-1 in the order given; the first ``train_size`` and
    ``test_size`` rows are kept; the scaling's numbers are found on the training rows; ``validation`` rows, a count or
    a fraction below 1, are drawn from them by ``seed``. All splits keep the stored order of rows.

    ``scaling`` is that of ``scaling_for``; ``fixed_scaling`` replaces it by recorded numbers, as for the evaluation of
    a checkpoint. ``like`` are splits of the same data section with another seed: stored rows are then shared with them,
    which saves their memory, while generated ones are made anew. ``generator_fields`` go to the generator of the data,
    such as ``noise=0.1`` for spirals.

    Raises DataError for what the data cannot give, DataAbsentError (a DataError) where files must be fetched first,
    MachineError where a file cannot be read.
    """
    if like is not None and is_stored(name):
        chosen = _validation_rows(len(like._training.rows.x), validation, seed=seed)
        test = None if like._test is None else like._test.rows
        fingerprint = _fingerprint(like._training.rows, test, chosen, like.scaling)
        return replace(like, fingerprint=fingerprint, _is_validation=chosen)
    source = load_source(name, seed=seed, folder=folder, fields=generator_fields)
    source = _choose(name, source, classes=classes, train_size=train_size, test_size=test_size)
    numbers = fixed_scaling or scaling_for(scaling, source.train.x, maximum=source.maximum)
    chosen = _validation_rows(len(source.train.x), validation, seed=seed)
    return Splits(
        scaling=numbers,
        class_names=source.class_names,
        image_shape=source.image_shape,
        fingerprint=_fingerprint(source.train, source.test, chosen, numbers),
        _training=_Scaled(source.train, numbers),
        _test=None if source.test is None else _Scaled(source.test, numbers),
        _is_validation=chosen,
    )


def _choose(
    name: str, source: Source, *, classes: Sequence[int] | None, train_size: int | None, test_size: int | None
) -> Source:
    """The source with only the classes and the first rows asked for."""
    train, test, class_names = source.train, source.test, source.class_names
    if test is None and test_size is not None:
        raise DataError(f"data {name!r} has no test rows; leave test_size out")
    if classes is not None:
        chosen_names = _chosen_names(name, classes, class_names)
        relabelled = _relabelling(classes, n_classes=len(class_names or ()))
        class_names = chosen_names
        train, test = _keep_classes(train, relabelled), test and _keep_classes(test, relabelled)
    train, test = _first(train, train_size, "train_size"), test and _first(test, test_size, "test_size")
    if not len(train.x):
        raise DataError(f"data {name!r} as chosen has no training rows")
    return replace(source, train=train, test=test, class_names=class_names)


def _chosen_names(name: str, classes: Sequence[int], names: tuple[str, ...] | None) -> tuple[str, ...]:
    if names is None:
        raise DataError(f"data {name!r} has no classes to choose from; leave classes out")
    if not classes or len(set(classes)) < len(classes) or not all(0 <= label < len(names) for label in classes):
        raise DataError(f"classes {list(classes)}: wanted at least one of 0 to {len(names) - 1}, each once")
    return tuple(names[label] for label in classes)


def _relabelling(classes: Sequence[int], *, n_classes: int) -> Tensor:
    """New label of each of ``n_classes`` old ones, -1 for those not chosen."""
    relabelled = torch.full((n_classes,), -1)
    relabelled[torch.tensor(classes)] = torch.arange(len(classes))
    return relabelled


def _keep_classes(rows: Rows, relabelled: Tensor) -> Rows:
    labels = relabelled[rows.y]
    kept = labels >= 0
    return Rows(rows.x[kept], labels[kept])


def _first(rows: Rows, size: int | None, key: str) -> Rows:
    if size is None:
        return rows
    if not 1 <= size <= len(rows.x):
        raise DataError(f"{key} {size}: wanted 1 to {len(rows.x)}, the rows there are")
    return Rows(rows.x[:size], rows.y[:size])


def _validation_rows(n_rows: int, validation: float, *, seed: int) -> Tensor | None:
    """Mask (n_rows,) of the validation rows; None where none are asked for."""
    if validation == 0:
        return None
    is_fraction = 0 < validation < 1
    count = round(validation * n_rows) if is_fraction else int(validation)
    if count != validation and not is_fraction:
        raise DataError(f"validation {validation}: wanted a count or a fraction from 0 to below 1")
    if not 1 <= count < n_rows:
        raise DataError(
            f"validation {validation} of {n_rows} training rows takes {count}: wanted at least 1, and at least 1 left "
            "to train on; 0 means no validation"
        )
    generator = torch.Generator().manual_seed(derived_seed(seed, "validation split"))
    mask = torch.zeros(n_rows, dtype=torch.bool)
    mask[torch.randperm(n_rows, generator=generator)[:count]] = True
    return mask


def _fingerprint(train: Rows, test: Rows | None, chosen: Tensor | None, scaling: Scaling) -> str:
    """SHA-256 over everything that decides the splits; each part is announced, so that none can run into the next."""
    digest = hashlib.sha256()
    parts = {"train x": train.x, "train y": train.y, "validation": chosen}
    if test is not None:
        parts |= {"test x": test.x, "test y": test.y}
    for title, tensor in parts.items():
        digest.update(f"{title} {'none' if tensor is None else (tensor.dtype, tuple(tensor.shape))}\n".encode())
        if tensor is not None:
            digest.update(tensor.contiguous().numpy().data)
    numbers = (scaling.divisor, scaling.mean, scaling.std)
    digest.update(" ".join(float(number).hex() for number in numbers).encode())
    return digest.hexdigest()
