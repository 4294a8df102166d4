"""Holding a data set against what was published: every byte, and what the bytes say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlptrain.errors import DataError
from mlptrain.sources.digits import DIGITS_SHA256, digits_digest, digits_table, read_digits
from mlptrain.sources.fetch import md5_of, published_archives
from mlptrain.sources.idx import parse_idx
from mlptrain.sources.published import IMAGE_DATASETS, ImageFacts
from mlptrain.sources.store import RAW_FILES, RAW_SHA256, dimensions_of, raw_folder, read_file, sha256_of, unpack


@dataclass(frozen=True)
class Check:
    """One thing looked at: ``what`` names it, ``detail`` says what was found and, if not ``ok``, what was wanted."""

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
    place = raw_folder(name, folder)
    _, checksums = published_archives(name)
    return [check for file in RAW_FILES for check in _check_file(name, place / file, checksums[f"{file}.gz"])]


def _check_file(name: str, raw: Path, md5: str) -> Iterator[Check]:
    archive = raw.with_name(f"{raw.name}.gz")
    if archive.is_file():
        yield _compare(f"{archive.name}: MD5", md5_of(archive), md5)
    if raw.is_file():
        content = read_file(raw)
        yield _compare(f"{raw.name}: SHA-256", sha256_of(content), RAW_SHA256[name][raw.name])
    elif archive.is_file():
        try:
            content = unpack(name, raw)
        except DataError as error:
            yield Check(f"{archive.name}: content", False, str(error))
            return
        yield Check(f"{archive.name}: content", True, f"SHA-256 {RAW_SHA256[name][raw.name]}")
    else:
        yield Check(raw.name, False, f"absent from {raw.parent}, and so is its archive")
        return
    yield from _check_content(raw.name, content, IMAGE_DATASETS[name])


def _check_content(file: str, content: NDArray[np.uint8], facts: ImageFacts) -> Iterator[Check]:
    try:
        array = parse_idx(content, source=file, n_dimensions=dimensions_of(file))
    except DataError as error:
        yield Check(f"{file}: header", False, str(error))
        return
    yield Check(f"{file}: header", True, f"unsigned bytes, {' × '.join(map(str, array.shape))}")
    counts = facts.train_counts if file.startswith("train") else facts.test_counts
    yield from _check_images(file, array, facts, sum(counts)) if array.ndim == 3 else _check_labels(file, array, counts)


def _check_images(what: str, images: NDArray[np.uint8], facts: ImageFacts, rows: int) -> Iterator[Check]:
    yield _compare(f"{what}: images", len(images), rows)
    yield _compare(f"{what}: image size", images.shape[1:], facts.image_shape)
    if images.size:
        yield _compare(f"{what}: pixel range", (int(images.min()), int(images.max())), (0, facts.maximum))


def _check_labels(what: str, labels: NDArray[np.uint8], counts: tuple[int, ...]) -> Iterator[Check]:
    yield _compare(f"{what}: labels", len(labels), sum(counts))
    if labels.size:
        yield _compare(f"{what}: label range", (int(labels.min()), int(labels.max())), (0, len(counts) - 1))
    found = tuple(np.bincount(labels, minlength=len(counts)).tolist())
    yield _compare(f"{what}: rows per class", found, counts)


def _check_digits() -> Iterator[Check]:
    facts = IMAGE_DATASETS["digits"]
    found = digits_digest(digits_table())
    yield _compare("digits: SHA-256 of the rows", found, DIGITS_SHA256)
    if found != DIGITS_SHA256:
        return
    raw = read_digits()
    yield from _check_images("digits, training", raw.train_images, facts, sum(facts.train_counts))
    yield from _check_labels("digits, training", raw.train_labels, facts.train_counts)
    yield from _check_images("digits, test", raw.test_images, facts, sum(facts.test_counts))
    yield from _check_labels("digits, test", raw.test_labels, facts.test_counts)


def _compare(what: str, found: object, wanted: object) -> Check:
    ok = found == wanted
    return Check(what, ok, _text(found) if ok else f"{_text(found)}, wanted {_text(wanted)}")


def _text(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
