"""Checking a data set against what was published: every byte, and what the bytes mean."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlptrain.errors import DataError
from mlptrain.sources.digits import DIGITS_SHA256, digits_table, read_digits
from mlptrain.sources.fetch import md5_of, published_archives
from mlptrain.sources.published import IMAGE_DATASETS
from mlptrain.sources.store import RAW_FILES, RAW_SHA256, raw_folder, read_file, read_idx, sha256_of, unpack


@dataclass(frozen=True)
class Check:
    """One check: ``what`` names it, ``detail`` gives the value and, if not ``ok``, the expected one."""

    what: str
    ok: bool
    detail: str


def verify(name: str, folder: Path) -> list[Check]:
    """Check an image data set; a failed check does not stop those of other files.

    For ``mnist`` and ``fashion_mnist``: the archives' MD5 where they are present, and of each file the SHA-256 of the
    unpacked content, then its shape or its rows per class. For ``digits`` the same of its content.

    Raises DataError for a name without files, MachineError where a file cannot be read.
    """
    if name == "digits":
        return list(_check_digits())
    raw = raw_folder(name, folder)
    _, checksums = published_archives(name)
    return [check for file in RAW_FILES for check in _check_file(name, raw / file, checksums[f"{file}.gz"])]


def _check_file(name: str, raw: Path, md5: str) -> Iterator[Check]:
    archive = raw.with_name(f"{raw.name}.gz")
    if archive.is_file():
        yield _compare(f"{archive.name}: MD5", md5_of(archive), md5)
    elif not raw.is_file():
        yield Check(raw.name, False, f"absent from {raw.parent}, and so is its archive")
        return
    try:
        content = read_file(raw) if raw.is_file() else unpack(name, raw)
    except DataError as error:
        yield Check(f"{archive.name}: content", False, str(error))
        return
    digest = _compare(f"{raw.name}: SHA-256", sha256_of(content), RAW_SHA256[name][raw.name])
    yield digest
    if digest.ok:
        yield _check_array(raw.name, read_idx(content, raw.name), name, training=raw.name.startswith("train"))


def _check_digits() -> Iterator[Check]:
    digest = _compare("digits: SHA-256 of the rows", sha256_of(digits_table()), DIGITS_SHA256)
    yield digest
    if digest.ok:
        raw = read_digits()
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
