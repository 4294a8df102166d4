"""Checking a data set against what was published: every byte, and what the bytes mean."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlptrain.errors import DataError
from mlptrain.sources.digits import DIGITS_SHA256, read_digits
from mlptrain.sources.idx import parse_idx
from mlptrain.sources.published import IMAGE_DATASETS
from mlptrain.sources.store import (
    RAW_FILES,
    RAW_SHA256,
    NotPublishedError,
    data_folder,
    raw_folder,
    read_published,
    read_stored,
    stored_files,
)
from mlptrain.system.paths import AnyPath


@dataclass(frozen=True)
class Check:
    """One check: ``what`` names it, ``detail`` gives the value and, if not ``ok``, the expected one."""

    what: str
    ok: bool
    detail: str


def verify(name: str, folder: AnyPath) -> list[Check]:
    """Check an image data set; a failed check does not stop those of other files.

    For ``mnist`` and ``fashion_mnist``: of each file and archive that is present the SHA-256 of the unpacked content,
    and its shape or its rows per class. For ``digits`` the same of its content. Nothing is written.

    Raises DataError for a name without files, MachineError where a file cannot be read.
    """
    if name == "digits":
        return list(_check_digits())
    folder = data_folder(folder)
    raw = raw_folder(name, folder)
    return [check for file in RAW_FILES for check in _check_file(name, file, folder, raw)]


def _check_file(name: str, file: str, folder: Path, raw: Path) -> Iterator[Check]:
    present = stored_files(name, file, folder)
    if not present:
        yield Check(file, False, _absence(name, file, folder) or f"absent from {raw}, and so is its archive")
    for path in present:
        what = path.name if path.parent == raw else str(path)
        try:
            content = read_published(name, file, path)
        except NotPublishedError as error:
            yield Check(f"{what}: SHA-256", False, error.found)
        else:
            yield Check(f"{what}: SHA-256", True, RAW_SHA256[name][file])
            yield _check_array(what, parse_idx(content), name, training=file.startswith("train"))


def _absence(name: str, file: str, folder: Path) -> str:
    """What is in the place of a file that is not there, in words."""
    try:
        read_stored(name, file, folder)
    except DataError as error:
        return str(error)
    return ""


def _check_digits() -> Iterator[Check]:
    what = "digits: SHA-256 of the rows"
    try:
        raw = read_digits()
    except DataError as error:
        yield Check(what, False, str(error))
        return
    yield Check(what, True, DIGITS_SHA256)
    for array in (raw.train_images, raw.train_labels):
        yield _check_array("digits, training", array, "digits", training=True)
    for array in (raw.test_images, raw.test_labels):
        yield _check_array("digits, test", array, "digits", training=False)


def _check_array(what: str, array: NDArray[np.uint8], name: str, *, training: bool) -> Check:
    """Images (n, height, width) or labels (n,) against the facts of data set ``name``."""
    facts = IMAGE_DATASETS[name].facts()
    counts = facts.train_counts if training else facts.test_counts
    if array.ndim == 3:
        return _compare(f"{what}: images", array.shape, (sum(counts), *(facts.image_shape or ())))
    return _compare(f"{what}: rows per class", tuple(np.bincount(array).tolist()), counts)


def _compare(what: str, value: object, expected: object) -> Check:
    found, published = (" ".join(map(str, one)) if isinstance(one, tuple) else str(one) for one in (value, expected))
    return Check(what, value == expected, found if value == expected else f"{found}, expected {published}")
