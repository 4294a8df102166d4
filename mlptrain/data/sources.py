"""Every data set behind one face: rows as stored or generated, before any choice of rows and any scaling."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlptrain.errors import DataError
from mlptrain.sources.digits import read_digits
from mlptrain.sources.generated import make_random_classification, make_random_regression, make_spirals
from mlptrain.sources.published import IMAGE_DATASETS
from mlptrain.sources.store import RAW_SHA256, read_images

_GENERATORS: dict[str, Callable[..., tuple[Tensor, Tensor]]] = {
    "spirals": make_spirals,
    "random_regression": make_random_regression,
    "random_classification": make_random_classification,
}


@dataclass(frozen=True)
class Rows:
    """Inputs (n, n_features), uint8 as stored or float32 as generated; labels (n,) int64 or targets (n, n_targets)."""

    x: Tensor
    y: Tensor


@dataclass(frozen=True)
class Source:
    """A data set before any choice. ``maximum`` is the largest possible input, None for generated data."""

    train: Rows
    test: Rows | None
    maximum: int | None
    class_names: tuple[str, ...] | None
    image_shape: tuple[int, int] | None


def load_source(name: str, *, seed: int, folder: Path, fields: dict[str, int | float]) -> Source:
    """Read or generate ``name``; ``fields`` are the generator's own, such as ``noise``.

    Raises DataError for an unknown name, a field that the data set does not have, and absent or damaged files.
    """
    generator = _GENERATORS.get(name)
    if generator is None and name not in IMAGE_DATASETS:
        raise DataError(f"unknown data {name!r}; known are {', '.join([*IMAGE_DATASETS, *_GENERATORS])}")
    allowed = set() if generator is None else set(inspect.signature(generator).parameters) - {"seed"}
    if unknown := sorted(set(fields) - allowed):
        raise DataError(
            f"data {name!r} has no {', '.join(unknown)}; it takes {', '.join(sorted(allowed)) or 'nothing'}"
        )
    if generator is not None:
        x, y = generator(seed=seed, **fields)
        return Source(Rows(x, y), None, None, _numbered_classes(name, fields), None)
    raw = read_images(name, folder) if name in RAW_SHA256 else read_digits()
    facts = IMAGE_DATASETS[name]
    return Source(
        train=_image_rows(raw.train_images, raw.train_labels),
        test=_image_rows(raw.test_images, raw.test_labels),
        maximum=facts.maximum,
        class_names=facts.class_names,
        image_shape=facts.image_shape,
    )


def is_stored(name: str) -> bool:
    """Whether the rows lie in files, so that they do not depend on the seed."""
    return name not in _GENERATORS


def _image_rows(images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> Rows:
    return Rows(torch.from_numpy(images).flatten(1), torch.from_numpy(labels).long())


def _numbered_classes(name: str, fields: dict[str, int | float]) -> tuple[str, ...] | None:
    parameter = inspect.signature(_GENERATORS[name]).parameters.get("n_classes")
    if parameter is None:
        return None
    return tuple(str(label) for label in range(int(fields.get("n_classes", parameter.default))))
