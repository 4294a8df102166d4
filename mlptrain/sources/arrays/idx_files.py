"""Images and labels in IDX files of any size, named as those of MNIST and its relatives, plain or packed by gzip.

They lie in a folder or in a ZIP archive, as EMNIST is published. EMNIST's images are stored with rows and columns
exchanged, and read upright, so that networks trained on them know a file that is shown to them.
"""

from __future__ import annotations

import gzip
import os
import re
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import numpy as np
from numpy.typing import NDArray

from mlptrain.errors import DataError
from mlptrain.sources.arrays.source import SPLITS, Parts
from mlptrain.sources.arrays.stored import Stored
from mlptrain.sources.facts import DataKeyError
from mlptrain.sources.files import existing, natural
from mlptrain.sources.idx import DTYPES, idx_head, what_is
from mlptrain.system.files import open_regular

# emnist-letters-train-images-idx3-ubyte.gz, qmnist-test-labels-idx2-int, train-images.idx3-ubyte, …
_NAME = re.compile(
    r"(?P<set>.*?)[\W_]*(?P<split>train|t10k|test|validation|valid|val|dev)[\W_]*(?P<what>image|label)s?(?:[\W_]|\d|idx|ubyte|int)*"
)
_SPLITS = {"train": "train", "t10k": "test", "test": "test"}  # all other words are of validation rows
_TRANSPOSED = "emnist"  # how the names of files begin whose images are stored so
_GZIP = b"\x1f\x8b"
_UNREADABLE = (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError)
_HEAD = 4 + 4 * 8  # bytes: of a file with as many dimensions as there may be
_QMNIST = 8  # columns of its labels, of which the first is the class
_MAX_NAMED = 8


@dataclass(frozen=True)
class _File:
    """A file, or one in a ZIP ``archive``, where ``path`` is its name."""

    path: Path
    archive: Path | None = None

    @property
    def name(self) -> str:
        return self.path.name

    def __str__(self) -> str:
        return str(self.path) if self.archive is None else f"{self.archive}: {self.path}"


def parts_of(path: str, *, transpose: Literal["auto"] | bool = "auto") -> Parts:
    """The four files of a folder, of its folder ``raw``, or of a ZIP archive; those of the test rows may be absent.

    Those of validation rows are called so. Where a place holds several sets, as that of EMNIST, ``path`` is the place
    with the beginning of their names. ``transpose`` says whether rows and columns of images are stored exchanged; auto:
    where the files are EMNIST's, by their names. Raises DataKeyError where the files are not there.
    """
    place, beginning = Path(path), ""
    if not place.exists() and place.parent.exists():
        place, beginning = place.parent, place.name
        if not any(file.name.startswith(beginning) for file in _files_in(place)):
            place, beginning = existing(path), ""
    existing(place)
    sets = _sets_in(_files_in(place), beginning) or _sets_in(_files_in(place / "raw"), beginning)
    whole = {name: files for name, files in sets.items() if {("train", "image"), ("train", "label")} <= files.keys()}
    if not whole:
        names = sorted({file.name for file in _files_in(place)}, key=natural)[:_MAX_NAMED]
        raise DataKeyError(
            "path",
            f"{path} does not hold train-images-idx3-ubyte and train-labels-idx1-ubyte, plain or .gz"
            + (f"; it holds {', '.join(names)}" if names else "; it is empty"),
        )
    if len(whole) > 1:
        example = place / sorted(whole)[0]
        raise DataKeyError("path", f"{path} holds several sets: {', '.join(sorted(whole))}; name one, e.g. {example}")
    [files] = whole.values()
    notes: list[str] = []
    stored = {key: _stored(file, notes, transpose) for key, file in files.items()}
    pairs = {split: (stored.get((split, "image")), stored.get((split, "label"))) for split in SPLITS}
    return Parts(pairs, tuple(dict.fromkeys(notes)))


def _files_in(place: Path) -> list[_File]:
    """The files of a folder, and what it holds besides, or those of a ZIP archive. Raises DataKeyError for others."""
    if place.is_dir():
        return [_File(entry) for entry in place.iterdir()]
    if not place.is_file():
        return []
    if not zipfile.is_zipfile(place):
        raise DataKeyError(
            "path", f"{place} is a file: expected the folder that holds images and labels, or a ZIP archive of them"
        )
    with zipfile.ZipFile(place) as archive:
        names = [Path(name) for name in archive.namelist() if not name.startswith("__MACOSX")]
    return [_File(name, place) for name in names]


def _sets_in(files: Iterable[_File], beginning: str) -> dict[str, dict[tuple[str, str], _File]]:
    """The files of every set in a place, by split and what they hold; plain ones before packed ones."""
    sets: dict[str, dict[tuple[str, str], _File]] = defaultdict(dict)
    for file in sorted(files, key=lambda file: (file.name.endswith(".gz"), file.name)):
        found = _NAME.fullmatch(file.name.lower().removesuffix(".gz"))
        if found is not None and file.name.startswith(beginning) and (file.archive or file.path.is_file()):
            split = _SPLITS.get(found["split"], "validation")
            sets[found["set"]].setdefault((split, found["what"]), file)
    return sets


@contextmanager
def _opened(file: _File) -> Iterator[tuple[BinaryIO, int | None]]:
    """The content, unpacked, and the size of a file that is not packed."""
    with ExitStack() as stack:
        if file.archive is None:
            stream = stack.enter_context(open_regular(file.path))
            size = os.fstat(stream.fileno()).st_size
        else:
            archive = stack.enter_context(zipfile.ZipFile(file.archive))
            size = archive.getinfo(file.path.as_posix()).file_size
            stream = cast(BinaryIO, stack.enter_context(archive.open(file.path.as_posix())))
        is_packed = stream.read(2) == _GZIP
        stream.seek(0)
        if is_packed:
            yield cast(BinaryIO, gzip.GzipFile(fileobj=stream)), None
        else:
            yield stream, size


def _stored(file: _File, notes: list[str], transpose: Literal["auto"] | bool) -> Stored:
    """A file's head. Raises DataKeyError for a file that is not IDX, or is not as long as its head says."""
    try:
        with _opened(file) as (stream, size):
            start = stream.read(_HEAD)
    except _UNREADABLE as error:
        raise DataKeyError("path", f"{file} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    head = idx_head(start)
    if head is None:
        raise DataKeyError("path", f"{file} is {what_is(np.frombuffer(start, np.uint8))}, expected an IDX file")
    if size is not None and size != head.n_bytes:
        raise DataKeyError(
            "path", f"{file} has {size:,} bytes, but its header promises {head.n_bytes:,}: it is cut off"
        )
    dtype = np.dtype(DTYPES[head.code]).name
    if head.shape[1:] == (_QMNIST,) and "label" in file.name:
        notes.append(f"{file.name}: the class is the first of 8 columns, as in QMNIST")
        return Stored(file.name, head.shape[:1], dtype, partial(_load, file, first=True))
    if transpose is True or (transpose == "auto" and file.name.lower().startswith(_TRANSPOSED)):
        return _transposed(file, head.shape, dtype, notes, is_stated=transpose is True)
    return Stored(file.name, head.shape, dtype, partial(_load, file))


def _transposed(file: _File, shape: tuple[int, ...], dtype: str, notes: list[str], *, is_stated: bool) -> Stored:
    """Images whose rows and columns are stored exchanged, upright; labels and what has no rows as they are."""
    if len(shape) < 3:
        if is_stated and "image" in file.name.lower():
            raise DataKeyError("transpose", f"is true, but {file} has shape {shape}, without rows and columns")
        return Stored(file.name, shape, dtype, partial(_load, file))
    if not is_stated:
        notes.append(
            "EMNIST's images are stored with rows and columns exchanged, and read upright; transpose: false leaves them"
        )
    n, width, height, *channels = shape
    return Stored(file.name, (n, height, width, *channels), dtype, partial(_load, file, transpose=True))


def _load(file: _File, *, first: bool = False, transpose: bool = False) -> NDArray[Any]:
    """The values. Raises DataError where there are not as many as the head promises."""
    try:
        with _opened(file) as (stream, _):
            head = idx_head(start := stream.read(_HEAD))
            rest = stream.read(max(1, head.n_bytes - len(start) + 1)) if head is not None else b""
            content = np.frombuffer(start + rest, np.uint8)
    except _UNREADABLE as error:
        raise DataError(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if head is None or head.n_bytes != content.size:
        raise DataError(f"{file} is {what_is(content)}")
    values = content[head.length :].view(DTYPES[head.code]).reshape(head.shape)
    return values[:, 0] if first else values.swapaxes(1, 2) if transpose else values
