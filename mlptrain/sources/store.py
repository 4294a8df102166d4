"""Where downloaded data sets are, and reading them with every byte checked.

The layout is torchvision's (``MNIST/raw/train-images-idx3-ubyte``), so an existing torchvision folder can be used as it
is; torchvision itself, two to four seconds of import, is not needed to read. Where nothing lies there, the files are
used in other usual places and under other usual names, packed or not whatever the name says: their content decides.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import os
import re
import stat
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlptrain.errors import DataAbsentError, DataError, MachineError, UserError
from mlptrain.sources.idx import is_well_formed, parse_idx, what_is
from mlptrain.sources.known import not_offered
from mlptrain.sources.places import alternatives, packed_files, usual_places
from mlptrain.system.atomic import write_atomically
from mlptrain.system.caches import user_cache
from mlptrain.system.files import open_regular
from mlptrain.system.paths import AnyPath, user_path

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


class NotPublishedError(DataError):
    """A file is in the place of a published one and has other content; what to do about it comes last."""

    def __init__(self, found: str, *, remedy: str, brief: str, is_other_sets: bool = False) -> None:
        super().__init__(f"{found}. {remedy}")
        self.found, self.remedy = found, remedy
        self.brief = brief  # the file and what it is
        self.is_other_sets = is_other_sets  # the same file of another published data set

    @classmethod
    def of(cls, errors: Sequence[NotPublishedError]) -> NotPublishedError:
        """One error for several files: the first in full, and what to do once."""
        first, *others = errors
        also = f"; likewise {', '.join(error.brief for error in others)}" if others else ""
        return cls(first.found + also, remedy=first.remedy, brief=first.brief)


def data_folder(explicit: AnyPath | None = None) -> Path:
    """The folder that holds all data sets: ``explicit``, else $MLPTRAIN_DATA_DIR, else one in the user's cache.

    Without a home folder, as in some containers, there is no cache: then one among the temporary files. Raises
    DataError for a ``~`` without a home folder.
    """
    named = explicit or os.environ.get(FOLDER_VARIABLE)
    if not named:
        return user_cache() / "data"
    try:
        return user_path(named)
    except UserError as error:
        raise DataError(f"the data folder {error} with --data-dir or ${FOLDER_VARIABLE}") from None


def download_of(name: str) -> Download:
    """A data set whose files are below the data folder. Raises DataError for any other name, with the reason."""
    if name not in DOWNLOADS:
        if name.lower().endswith((".yaml", ".yml")):
            raise DataError(
                f"{name} is a configuration, expected the name of downloaded data: {' or '.join(DOWNLOADS)}; "
                f"`mlptrain data show {name}` looks into the data that it names"
            )
        folded = re.sub(r"[\W_]", "", name.lower())
        guess = next((known for known in DOWNLOADS if known.replace("_", "") == folded), None)
        reason = not_offered(name, DOWNLOADS)
        more = f"; did you mean '{guess}'?" if guess else f"; {reason}" if reason else ""
        raise DataError(
            f"data {name!r} has no files in the data folder: only {', '.join(DOWNLOADS)} are downloaded; other data "
            f"are installed or generated{more}"
        )
    return DOWNLOADS[name]


def raw_folder(name: str, folder: Path) -> Path:
    """Where the four files of ``name`` are below the data folder ``folder``."""
    return folder / download_of(name).folder / "raw"


def read_images(name: str, folder: Path) -> RawImages:
    """Read ``mnist`` or ``fashion_mnist`` from the data folder, every byte checked by SHA-256.

    Where there are only the archives, they are unpacked beside themselves, once; in a folder that cannot be written,
    and under any but torchvision's names, they are unpacked in memory at every load. Takes 0.05 s unpacked and 0.4 to
    0.7 s from archives (two CPU cores).

    Raises DataAbsentError where files are missing and nothing else is in their place, DataError where one is damaged or
    not the published one, or the name is unknown, MachineError where one cannot be read.
    """
    raw = raw_folder(name, folder)
    contents: list[NDArray[np.uint8]] = []
    missing: list[str] = []
    refused: list[NotPublishedError] = []
    for file in RAW_FILES:
        try:
            if (content := read_stored(name, file, folder)) is None:
                missing.append(file)
            else:
                contents.append(content)
        except NotPublishedError as error:
            refused.append(error)
    if refused:  # also where others are missing: fetching those would make one data set of two
        raise NotPublishedError.of(refused)
    if missing:
        raise DataAbsentError(
            f"{download_of(name).title} is not in {raw}: missing {', '.join(missing)} (each may also be the "
            f"archive, ending in .gz).{packed_hint(missing, folder, name)} Run `mlptrain data fetch {name}`, put the "
            f"files there, or name another folder with --data-dir or ${FOLDER_VARIABLE}. {OFFLINE_ALTERNATIVE}"
        )
    return RawImages(*map(parse_idx, contents))


def packed_hint(files: Sequence[str], folder: Path, name: str) -> str:
    """A sentence on ZIP archives in the usual places that hold some of the files; nothing where there are none."""
    archives = list(packed_files(files, usual_places(folder, download_of(name).folder)))
    listed = ", ".join(map(str, archives))
    return f" They are packed in {listed}: unpack {'it' if len(archives) == 1 else 'them'} there." if archives else ""


def read_stored(name: str, file: str, folder: Path) -> NDArray[np.uint8] | None:
    """One of the four files, bytes of shape (n,), checked by SHA-256: torchvision's, else from another usual place.

    None where there is none. Raises DataError where what lies there is not the published file, MachineError.
    """
    raw = raw_folder(name, folder) / file
    if _plain_or_archive(name, file, folder):
        return read_raw(name, raw)
    refused: list[NotPublishedError] = []
    for path in _alternatives(name, file, folder):
        try:
            return read_published(name, file, path)
        except NotPublishedError as error:
            refused += [] if error.is_other_sets else [error]  # which may well lie in the same folder
    if refused:
        raise NotPublishedError.of(refused)
    for path in (raw, archive_of(raw)):
        if os.path.lexists(path):
            raise DataError(f"{path} is {_kind_of(path)}, where {download_of(name).title}'s {file} should be; move it")
    return None


def stored_files(name: str, file: str, folder: Path) -> list[Path]:
    """Where one of the four files may be read from: torchvision's file and archive, or other usual ones without them.

    Of the others the first that has the published content, if one has. Raises MachineError where one cannot be read.
    """
    if found := _plain_or_archive(name, file, folder):
        return found
    refused = []
    for path in _alternatives(name, file, folder):
        try:
            read_published(name, file, path)
        except NotPublishedError as error:
            refused += [] if error.is_other_sets else [path]
        else:
            return [path]
    return refused


def archive_of(raw: Path) -> Path:
    """Where the archive of a file lies."""
    return raw.with_name(f"{raw.name}.gz")


def _plain_or_archive(name: str, file: str, folder: Path) -> list[Path]:
    raw = raw_folder(name, folder) / file
    return [path for path in (raw, archive_of(raw)) if path.is_file()]


def _alternatives(name: str, file: str, folder: Path) -> list[Path]:
    """Files of another name or in another place."""
    return alternatives(file, usual_places(folder, download_of(name).folder))


def read_raw(name: str, raw: Path) -> NDArray[np.uint8]:
    """One unpacked file, from itself or from the archive beside it; bytes of shape (n,), checked by SHA-256.

    Raises DataError where the content is not the published one, MachineError where it cannot be read.
    """
    if raw.is_file():
        return read_published(name, raw.name, raw)
    content = unpack(name, raw)
    # The copy only saves unpacking the next time, so a read-only folder or a full disk does not matter.
    if not os.path.lexists(raw):  # nor does a folder or a dangling link, which stays what it is
        with contextlib.suppress(OSError):
            write_atomically(raw, content.data)
    return content


def unpack(name: str, raw: Path) -> NDArray[np.uint8]:
    """Content of the archive beside ``raw``, shape (n,), checked by SHA-256; nothing is written.

    Raises DataError where the archive is damaged, MachineError where it cannot be read.
    """
    return read_published(name, raw.name, archive_of(raw))


def read_published(name: str, file: str, path: Path) -> NDArray[np.uint8]:
    """The unpacked content of ``path``, shape (n,), which must be the published ``file``; packed or not, as it is.

    Raises DataError for other content, saying what it is and what to do, and MachineError where it cannot be read.
    """
    content, damage = _content_of(path)
    digest, expected = sha256_of(content), RAW_SHA256[name][file]
    if not damage and digest == expected:
        return content
    title = download_of(name).title
    found = damage or _known(digest) or what_is(content)
    is_own = not damage and is_well_formed(content)
    raise NotPublishedError(
        f"{path} is damaged or not {title}'s {file}: it is {found}; the SHA-256 of its content is {digest}, expected "
        f"{expected}",
        remedy=_remedy(name, is_own=is_own),
        brief=f"{path} ({found})",
        is_other_sets=any(sums[file] == digest for sums in RAW_SHA256.values()),
    )


def _content_of(path: Path) -> tuple[NDArray[np.uint8], str]:
    """The content of a file, unpacked where it is a gzip archive, and what is wrong with that. Raises MachineError."""
    content = read_file(path)
    if content[:2].tobytes() != b"\x1f\x8b":
        return content, ""
    try:
        # Reading stops at a limit: a bomb of 10 MB would unpack to 10 GB. What is cut off has another digest.
        with gzip.GzipFile(fileobj=io.BytesIO(content.data)) as stream:
            # A bytearray, since torch warns about sharing memory that must not be written.
            return np.frombuffer(bytearray(stream.read(MAX_BYTES)), np.uint8), ""
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        return content, f"a gzip archive of {content.size:,} bytes, cut off or damaged ({error})"


def _known(digest: str) -> str:
    """Which published file has this content, in words; nothing for none of them."""
    for name, sums in RAW_SHA256.items():
        for file, known in sums.items():
            if known == digest:
                return f"{download_of(name).title}'s {file}"
    return ""


def _remedy(name: str, *, is_own: bool) -> str:
    general = (
        f"`mlptrain data fetch {name}` gets the published files and moves what is in their place aside; or put good "
        f"files there, named {TRAIN_IMAGES} or {TRAIN_IMAGES}.gz and so on."
    )
    own = (
        f"'{name}' stands for the published files alone. To keep these where they are, get those into another folder, "
        f"`mlptrain data fetch {name} --data-dir FOLDER`, and train with the same --data-dir. In this folder "
    )
    return own + general if is_own else general


def _kind_of(path: Path) -> str:
    """What is in the place of a file, in words."""
    if path.is_symlink() and not path.exists():
        return "a link to a file that is not there"
    mode = path.stat().st_mode
    return "a folder" if stat.S_ISDIR(mode) else "not a regular file"


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
