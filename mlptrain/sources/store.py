"""Where downloaded data sets are, and reading them with every byte checked.

The layout is torchvision's (``MNIST/raw/train-images-idx3-ubyte``), so an existing torchvision folder can be used as it
is; torchvision itself, two to four seconds of import, is not needed to read.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import os
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import platformdirs
from numpy.typing import NDArray

from mlptrain.errors import DataAbsentError, DataError, MachineError
from mlptrain.system.atomic import write_atomically
from mlptrain.system.files import open_regular

FOLDER_VARIABLE = "MLPTRAIN_DATA_DIR"
TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
RAW_FILES = (TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS)
MAX_BYTES = 50_000_000  # the longest published file has 47,040,016 bytes
OFFLINE_ALTERNATIVE = "To continue offline: `mlptrain train configs/digits.yaml` needs no download."

# Of the unpacked files, from archives with the MD5 sums that torchvision publishes.
RAW_SHA256: dict[str, dict[str, str]] = {
    "mnist": {
        TRAIN_IMAGES: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        TRAIN_LABELS: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        TEST_IMAGES: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        TEST_LABELS: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    "fashion_mnist": {
        TRAIN_IMAGES: "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        TRAIN_LABELS: "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        TEST_IMAGES: "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        TEST_LABELS: "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
}


@dataclass(frozen=True)
class Download:
    """A data set that is fetched: its title, and its folder below the data folder, as torchvision names it."""

    title: str
    folder: str


DOWNLOADS = {"mnist": Download("MNIST", "MNIST"), "fashion_mnist": Download("Fashion-MNIST", "FashionMNIST")}


@dataclass(frozen=True)
class RawImages:
    """Images and labels as stored: images uint8 (n, height, width), labels uint8 (n,)."""

    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.uint8]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.uint8]


def data_folder(explicit: Path | None = None) -> Path:
    """The folder that holds all data sets: ``explicit``, else $MLPTRAIN_DATA_DIR, else one in the user's cache.

    Without a home folder, as in some containers, there is no cache: then one among the temporary files. Raises
    DataError for a ``~`` without a home folder.
    """
    named = explicit or os.environ.get(FOLDER_VARIABLE)
    if not named:
        with contextlib.suppress(RuntimeError):  # older platformdirs leave a ~ in the path instead
            if (cache := platformdirs.user_cache_path("mlptrain")).is_absolute():
                return cache / "data"
        return Path(tempfile.gettempdir(), "mlptrain", "data")
    try:
        return Path(named).expanduser()
    except RuntimeError:
        raise DataError(
            f"the data folder {named}: ~ is not a known home folder; give the full path with --data-dir or "
            f"${FOLDER_VARIABLE}"
        ) from None


def download_of(name: str) -> Download:
    """A data set whose files are below the data folder. Raises DataError for any other name, with the reason."""
    if name not in DOWNLOADS:
        raise DataError(
            f"data {name!r} has no files in the data folder: only {', '.join(DOWNLOADS)} are downloaded; other data "
            "are installed or generated"
        )
    return DOWNLOADS[name]


def raw_folder(name: str, folder: Path) -> Path:
    """Where the four files of ``name`` are below the data folder ``folder``."""
    return folder / download_of(name).folder / "raw"


def missing_files(raw: Path) -> list[str]:
    """Those of the four files that are neither in ``raw`` nor there as an archive."""
    return [file for file in RAW_FILES if not ((raw / file).is_file() or (raw / f"{file}.gz").is_file())]


def read_images(name: str, folder: Path) -> RawImages:
    """Read ``mnist`` or ``fashion_mnist`` from the data folder, every byte checked by SHA-256.

    Where there are only the archives, they are unpacked beside themselves, once; in a folder that cannot be written
    they are unpacked in memory at every load. Takes 0.05 s unpacked and 0.4 to 0.7 s from archives (two CPU cores).

    Raises DataAbsentError where files are missing, DataError where one is damaged or the name is unknown, MachineError
    where one cannot be read.
    """
    raw = raw_folder(name, folder)
    if missing := missing_files(raw):
        raise DataAbsentError(
            f"{download_of(name).title} is not in {raw}: missing {', '.join(missing)} (each may also be the "
            f"archive, ending in .gz). Run `mlptrain data fetch {name}`, put the files there, or name another folder "
            f"with --data-dir or ${FOLDER_VARIABLE}. {OFFLINE_ALTERNATIVE}"
        )
    return RawImages(*(parse_idx(read_raw(name, raw / file)) for file in RAW_FILES))


def parse_idx(content: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Images (n, height, width) or labels (n,), as a view of the bytes (n_bytes,) of a published IDX file.

    Two zero bytes and the type code 8 for unsigned bytes are followed by the number of dimensions, each dimension as a
    big-endian unsigned 32-bit number, and the values with the last dimension running fastest. None of it is checked
    here: the SHA-256 was.
    """
    header = 4 + 4 * int(content[3])
    return content[header:].reshape(content[4:header].view(">u4").tolist())


def read_raw(name: str, raw: Path) -> NDArray[np.uint8]:
    """One unpacked file, from itself or from the archive beside it; bytes of shape (n,), checked by SHA-256.

    Raises DataError where the content is not the published one, MachineError where it cannot be read.
    """
    if raw.is_file():
        return _verified(read_file(raw), raw, name, raw.name)
    content = unpack(name, raw)
    # The copy only saves unpacking the next time, so a read-only folder or a full disk does not matter.
    with contextlib.suppress(OSError):
        write_atomically(raw, content.data)
    return content


def unpack(name: str, raw: Path) -> NDArray[np.uint8]:
    """Content of the archive beside ``raw``, shape (n,), checked by SHA-256; nothing is written.

    Raises DataError where the archive is damaged, MachineError where it cannot be read.
    """
    archive = raw.with_name(f"{raw.name}.gz")
    packed = read_file(archive)
    try:
        # Reading stops at a limit: a bomb of 10 MB would unpack to 10 GB. What is cut off has another digest.
        with gzip.GzipFile(fileobj=io.BytesIO(packed.data)) as stream:
            # A bytearray, since torch warns about sharing memory that must not be written.
            content = np.frombuffer(bytearray(stream.read(MAX_BYTES)), np.uint8)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{archive} ({packed.size} bytes) is damaged: {error}. {_repair(name, raw.name)}") from error
    return _verified(content, archive, name, raw.name)


def _verified(content: NDArray[np.uint8], path: Path, name: str, file: str) -> NDArray[np.uint8]:
    expected = RAW_SHA256[name][file]
    if (digest := sha256_of(content)) != expected:
        raise DataError(
            f"{path} is damaged: the SHA-256 of its content is {digest}, expected {expected}. {_repair(name, file)}"
        )
    return content


def _repair(name: str, file: str) -> str:
    return f"Run `mlptrain data fetch {name}` to replace it, or delete it and put a good {file} or {file}.gz there."


def read_file(path: Path) -> NDArray[np.uint8]:
    """The bytes of a file, shape (n,), writable; of one longer than any published file the first ``MAX_BYTES``.

    Raises MachineError where it cannot be read.
    """
    try:
        with open_regular(path) as stream:
            return np.fromfile(stream, np.uint8, count=MAX_BYTES)
    except OSError as error:
        raise MachineError(f"cannot read {path}: {error.strerror or error}") from error


def sha256_of(content: NDArray[np.uint8]) -> str:
    """SHA-256 of the values of a contiguous array, in hexadecimal digits."""
    return hashlib.sha256(content.data).hexdigest()
