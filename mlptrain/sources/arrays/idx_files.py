"""Images and labels in IDX files of any size, named as those of MNIST and its relatives, plain or packed by gzip."""

from __future__ import annotations

import gzip
import os
import re
import zlib
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from mlptrain.errors import DataError
from mlptrain.sources.arrays.source import Parts
from mlptrain.sources.arrays.stored import Stored
from mlptrain.sources.facts import DataKeyError
from mlptrain.sources.files import existing, natural
from mlptrain.sources.idx import DTYPES, idx_head, what_is
from mlptrain.system.files import open_regular

if TYPE_CHECKING:
    from numpy.typing import NDArray

# emnist-letters-train-images-idx3-ubyte.gz, qmnist-test-labels-idx2-int, train-images.idx3-ubyte, …
_NAME = re.compile(
    r"(?P<set>.*?)[\W_]*(?P<split>train|t10k|test)[\W_]*(?P<what>image|label)s?(?:[\W_]|\d|idx|ubyte|int)*"
)
_GZIP = b"\x1f\x8b"
_HEAD = 4 + 4 * 8  # bytes: of a file with as many dimensions as there may be
_QMNIST = 8  # columns of its labels, of which the first is the class
_MAX_NAMED = 8


def parts_of(path: str) -> Parts:
    """The four files of a folder, or of its folder ``raw``; those of the test rows may be absent.

    Where a folder holds several sets, as that of EMNIST, ``path`` is the folder with the beginning of their names.
    Raises DataKeyError where the files are not there.
    """
    place, beginning = Path(path), ""
    if place.is_file():
        raise DataKeyError("path", f"{place} is a file: expected the folder that holds images and labels")
    if not place.is_dir() and place.parent.is_dir():
        place, beginning = place.parent, place.name
        if not any(entry.name.startswith(beginning) for entry in place.iterdir()):
            place, beginning = existing(path), ""
    existing(place)
    sets = _sets_in(place, beginning) or _sets_in(place / "raw", beginning)
    whole = {name: files for name, files in sets.items() if {("train", "image"), ("train", "label")} <= files.keys()}
    if not whole:
        names = sorted((entry.name for entry in place.iterdir()), key=natural)[:_MAX_NAMED]
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
    x, y = (_stored(files["train", what], notes) for what in ("image", "label"))
    tested = [files.get(("test", what)) for what in ("image", "label")]
    test_x, test_y = (None if file is None else _stored(file, notes) for file in tested)
    return Parts(x, y, test_x, test_y, tuple(dict.fromkeys(notes)))


def _sets_in(folder: Path, beginning: str) -> dict[str, dict[tuple[str, str], Path]]:
    """The files of every set in a folder, by split and what they hold; plain ones before packed ones."""
    sets: dict[str, dict[tuple[str, str], Path]] = defaultdict(dict)
    names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    for name in sorted(names, key=lambda name: (name.endswith(".gz"), name)):
        found = _NAME.fullmatch(name.lower().removesuffix(".gz"))
        if found is not None and name.startswith(beginning) and (folder / name).is_file():
            split = "train" if found["split"] == "train" else "test"
            sets[found["set"]].setdefault((split, found["what"]), folder / name)
    return sets


@contextmanager
def _opened(file: Path) -> Iterator[tuple[BinaryIO, int | None]]:
    """The content, unpacked, and the size of a file that is not packed."""
    with open_regular(file) as stream:
        is_packed = stream.read(2) == _GZIP
        stream.seek(0)
        if is_packed:
            yield cast(BinaryIO, gzip.GzipFile(fileobj=stream)), None
        else:
            yield stream, os.fstat(stream.fileno()).st_size


def _stored(file: Path, notes: list[str]) -> Stored:
    """A file's head. Raises DataKeyError for a file that is not IDX, or is not as long as its head says."""
    import numpy as np

    try:
        with _opened(file) as (stream, size):
            start = stream.read(_HEAD)
    except (OSError, EOFError, zlib.error) as error:
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
    return Stored(file.name, head.shape, dtype, partial(_load, file, first=False))


def _load(file: Path, *, first: bool) -> NDArray[Any]:
    """The values. Raises DataError where there are not as many as the head promises."""
    import numpy as np

    try:
        with _opened(file) as (stream, _):
            head = idx_head(start := stream.read(_HEAD))
            rest = stream.read(max(1, head.n_bytes - len(start) + 1)) if head is not None else b""
            content = np.frombuffer(start + rest, np.uint8)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if head is None or head.n_bytes != content.size:
        raise DataError(f"{file} is {what_is(content)}")
    values = content[head.length :].view(DTYPES[head.code]).reshape(head.shape)
    return values[:, 0] if first else values
