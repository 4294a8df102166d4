"""Where people and programs put the files of a published data set, and what they call them there.

Names are only a reason to look: whether a file is the published one, its SHA-256 says.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

# train-images-idx3-ubyte, train-images.idx3-ubyte, Train_Images-idx3-ubyte (1).gz, train-images-idx3-ubyte.gz.1, …
_NAME = re.compile(
    r"(?P<split>train|t10k|test)[\W_]*(?P<what>image|label)s?"
    r"(?:[\W_\d]|idx|ubyte|byte|gzip|gz|bin|raw|dat|copy|partial|part|crdownload|download|tmp)*"
)
_SETS = {"MNIST": ("mnist",), "FashionMNIST": ("fashionmnist", "fashion", "fmnist")}
_MAX_LISTED = 1000  # entries of a folder; what holds more is not where these four files were put
_MAX_ARCHIVES = 20  # whose lists of files are read


def usual_places(folder: Path, name: str) -> list[Path]:
    """Folders that are there and may hold the files of the set ``name`` (as torchvision writes it), likeliest first.

    ``folder/MNIST/raw`` is torchvision's; then come ``folder/MNIST``, also in other spellings, ``folder/raw`` and
    ``folder`` itself, for whoever names the folder of the files as the data folder.
    """
    others = [path for path in _entries(folder) if path.name != name]
    spelt = [path for path in others if re.sub(r"[\W_]", "", path.name.lower()) in _SETS[name]]
    found = [folder / name / "raw", folder / name]
    for path in spelt:
        found += [path / "raw", path]
    return [path for path in (*found, folder / "raw", folder) if path.is_dir()]


def alternatives(file: str, places: Iterable[Path]) -> list[Path]:
    """Files in these folders that the name calls ``file``, in another spelling or packed, the plain names first.

    Also those in a folder of that name, as some ZIP archives unpack them.
    """
    found: list[Path] = []
    for place in places:
        for path in _entries(place):
            if _is_called(path.name, file):
                found += [path] if path.is_file() else [inner for inner in _entries(path) if inner.is_file()]
    return sorted(dict.fromkeys(found), key=lambda path: (path.suffix == ".gz", len(path.name)))


def packed_files(files: Iterable[str], places: Iterable[Path]) -> Iterator[Path]:
    """ZIP archives in these folders that hold one of the ``files``."""
    archives = [path for place in places for path in _entries(place) if path.suffix.lower() == ".zip"]
    for path in archives[:_MAX_ARCHIVES]:
        with suppress(OSError, ValueError, zipfile.BadZipFile, NotImplementedError), zipfile.ZipFile(path) as archive:
            names = [Path(name).name for name in archive.namelist()[:_MAX_LISTED]]
            if any(_is_called(name, file) for name in names for file in files):
                yield path


def _is_called(name: str, file: str) -> bool:
    given, wanted = _NAME.fullmatch(name.lower()), _NAME.fullmatch(file)
    if given is None or wanted is None or given["what"] != wanted["what"]:
        return False
    return (given["split"] == "train") == (wanted["split"] == "train")  # the test set is called t10k or test


def _entries(folder: Path) -> list[Path]:
    """What lies in a folder, by name; nothing where it cannot be read or holds more than these files would."""
    try:
        entries = [path for path, _ in zip(folder.iterdir(), range(_MAX_LISTED + 1), strict=False)]
    except OSError:
        return []
    return sorted(entries) if len(entries) <= _MAX_LISTED else []
