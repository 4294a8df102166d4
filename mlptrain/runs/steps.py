"""Loss and accuracy of every step, as ``steps.npz`` holds them."""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlptrain.errors import RunFolderError
from mlptrain.files import read_regular

_NAMES = ("loss", "accuracy")
_MOST_BYTES = 10_000_000_000


def step_figures(path: Path, *, least: int = 0) -> dict[str, NDArray[np.float64]]:
    """``loss`` and, where there is one, ``accuracy`` of every step, each (n,), n at least ``least``.

    Raises RunFolderError for a file that holds anything else. Arrays of objects, which are pickles, are not read.
    """
    found: dict[str, NDArray[np.float64]] = {}
    try:
        # The entries of such a file are stored, not packed, so that none is larger than the file.
        with zipfile.ZipFile(io.BytesIO(read_regular(path, most=_MOST_BYTES))) as archive:
            if any(entry.file_size > entry.compress_size for entry in archive.infolist()):
                raise ValueError("its entries are packed")
            for name in [name for name in _NAMES if f"{name}.npy" in archive.namelist()]:
                with archive.open(f"{name}.npy") as stream:
                    found[name] = np.lib.format.read_array(stream, allow_pickle=False)
        if any(values.dtype != np.float64 or values.ndim != 1 for values in found.values()):
            raise ValueError("it holds other than lists of numbers")
        if "loss" not in found or any(len(values) < max(1, least) for values in found.values()):
            raise ValueError("steps are missing")
    except (OSError, ValueError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise RunFolderError(f"{path} cannot be read ({error}); the run folder is damaged") from None
    return found
