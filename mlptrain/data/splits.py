"""From a data section to scaled tensors: choice of classes and rows, validation split, scaling, fingerprint."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from mlptrain.data.scaling import Scaling, scaling_for
from mlptrain.data.sources import Rows, Source, load_source
from mlptrain.errors import DataError
from mlptrain.seeds import derived_seed

SPLIT_NAMES = ("train", "validation", "test")


@dataclass(frozen=True)
class Split:
    """Inputs (n, n_features) float32, scaled; labels (n,) int64 or targets (n, n_targets) float32."""

    x: Tensor
    y: Tensor


@dataclass(frozen=True)
class Splits:
    """The rows that a run trains on, chooses by and is tested on.

    ``validation`` and ``test`` are None where the data section has none. ``class_names`` are in the order of the labels
    and None for regression; ``image_shape`` is (height, width), None where a row is no image. ``fingerprint`` is a
    SHA-256 over the rows used, as stored, their labels, the choice of validation rows and the scaling.
    """

    train: Split
    validation: Split | None
    test: Split | None
    scaling: Scaling
    class_names: tuple[str, ...] | None
    image_shape: tuple[int, int] | None
    fingerprint: str


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
    only: Collection[str] | None = None,
    **generator_fields: int | float,
) -> Splits:
    """Load or generate a data set, choose its rows, scale them.

    In this order: ``classes`` are kept and relabelled 0..k-1 in the order given; the first ``train_size`` and
    ``test_size`` rows are kept; the scaling's numbers are found on the training rows; ``validation`` rows, a count or
    a fraction below 1, are drawn from them by ``seed``. All splits keep the stored order of rows.

    ``scaling`` is that of ``scaling_for``; ``fixed_scaling`` replaces it by recorded numbers, as for the evaluation of
    a checkpoint. ``only`` names the splits whose tensors are wanted (any of train, validation, test): the others are
    left empty, which saves their memory and changes nothing else, the fingerprint included. ``generator_fields`` go to
    the generator of the data, such as ``noise=0.1`` for spirals.

    Raises DataError for what the data cannot give, DataAbsentError (a DataError) where files must be fetched first,
    MachineError where a file cannot be read.
    """
    wanted = SPLIT_NAMES if only is None else only
    if unknown := sorted(set(wanted) - set(SPLIT_NAMES)):
        raise DataError(f"unknown split {', '.join(unknown)}; known are {', '.join(SPLIT_NAMES)}")
    source = load_source(name, seed=seed, folder=folder, fields=generator_fields)
    source = _choose(name, source, classes=classes, train_size=train_size, test_size=test_size)
    train, test = source.train, source.test
    numbers = fixed_scaling or scaling_for(scaling, train.x, maximum=source.maximum)
    chosen = _validation_rows(len(train.x), validation, seed=seed)

    def scaled(rows: Rows, mask: Tensor | None, split: str) -> Split:
        if split not in wanted:
            return Split(torch.empty(0, rows.x.shape[1]), rows.y[:0])
        return Split(numbers.apply(rows.x if mask is None else rows.x[mask]), rows.y if mask is None else rows.y[mask])

    return Splits(
        train=scaled(train, None if chosen is None else ~chosen, "train"),
        validation=None if chosen is None else scaled(train, chosen, "validation"),
        test=None if test is None else scaled(test, None, "test"),
        scaling=numbers,
        class_names=source.class_names,
        image_shape=source.image_shape,
        fingerprint=_fingerprint(train, test, chosen, numbers),
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
