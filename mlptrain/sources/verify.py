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
    """Check everything that is known of an image data set; a failed check does not stop the others.

    For ``mnist`` and ``fashion_mnist``: the archives' MD5 where they are present, the SHA-256 of the unpacked content,
    headers, image sizes, numbers of rows, range of labels, rows per class. For ``digits`` the same of its content.

    Raises DataError for a name without files, MachineError where a file cannot be read.
    """
    if name == "digits":
        return list(_check_digits())
    raw = raw_folder(name, folder)
    _, checksums = published_archives(name)
    return [check for file in RAW_FILES for check in _check_file(name, raw / file, checksums[f"{file}.gz"])]


def _check_file(name: str, raw: Path, md5: str) -> Iterator[Check]:
    archive, sha256 = raw.with_name(f"{raw.name}.gz"), RAW_SHA256[name][raw.name]
    if archive.is_file():
        yield _compare(f"{archive.name}: MD5", md5_of(archive), md5)
    elif not raw.is_file():
        yield Check(raw.name, False, f"absent from {raw.parent}, and so is its archive")
        return
    what = f"{archive.name}: content"
    try:
        if raw.is_file():
            content = read_file(raw)
            yield _compare(f"{raw.name}: SHA-256", sha256_of(content), sha256)
        else:
            content = unpack(name, raw)
            yield Check(what, True, f"SHA-256 {sha256}")
        what = f"{raw.name}: header"
        array = read_idx(content, raw.name)
    except DataError as error:
        yield Check(what, False, str(error))
        return
    yield Check(what, True, f"unsigned bytes, {' × '.join(map(str, array.shape))}")
    yield from _check_array(raw.name, array, name, training=raw.name.startswith("train"))


def _check_digits() -> Iterator[Check]:
    digest = sha256_of(digits_table())
    yield _compare("digits: SHA-256 of the rows", digest, DIGITS_SHA256)
    if digest == DIGITS_SHA256:
        raw = read_digits()
        for array in (raw.train_images, raw.train_labels):
            yield from _check_array("digits, training", array, "digits", training=True)
        for array in (raw.test_images, raw.test_labels):
            yield from _check_array("digits, test", array, "digits", training=False)


def _check_array(what: str, array: NDArray[np.uint8], name: str, *, training: bool) -> Iterator[Check]:
    """Images (n, height, width) or labels (n,) against the facts of data set ``name``."""
    facts = IMAGE_DATASETS[name].facts()
    counts = facts.train_counts if training else facts.test_counts
    images = array.ndim == 3
    yield _compare(f"{what}: {'images' if images else 'labels'}", len(array), sum(counts))
    if images:
        yield _compare(f"{what}: image size", array.shape[1:], facts.image_shape)
    if array.size:
        highest = facts.maximum if images else len(counts) - 1
        value_range = (int(array.min()), int(array.max()))
        yield _compare(f"{what}: {'pixel' if images else 'label'} range", value_range, (0, highest))
    if not images:
        yield _compare(f"{what}: rows per class", tuple(np.bincount(array, minlength=len(counts)).tolist()), counts)


def _compare(what: str, value: object, expected: object) -> Check:
    ok = value == expected
    return Check(what, ok, _text(value) if ok else f"{_text(value)}, expected {_text(expected)}")


def _text(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
