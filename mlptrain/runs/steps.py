"""Loss and accuracy of every step, as ``steps.npz`` holds them."""

from __future__ import annotations

import io
import warnings
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlptrain.errors import RunFolderError, UserError
from mlptrain.runs.folder import RunFolder
from mlptrain.sources.facts import DataFacts
from mlptrain.system.files import read_regular
from mlptrain.system.jsonfiles import read_json

_MAX_BYTES = 10_000_000_000
_MAX_DETAIL = 200  # characters of numpy's message, which quotes the file


def recorded_steps(folder: RunFolder) -> dict[str, NDArray[np.float64]]:
    """The ``step_figures`` of a run. Raises UserError for one that recorded none."""
    if not folder.steps.exists():
        recorded = folder.experiment().training.record_steps
        advice = "" if recorded else "; train with --set training.record_steps=true"
        raise UserError(f"{folder.path} has no steps on record{advice}")
    return step_figures(folder.steps)


def step_figures(path: Path, *, least: int = 0) -> dict[str, NDArray[np.float64]]:
    """``loss`` and, of a run with classes, ``accuracy`` of every step, each (n,), n at least ``least``.

    Which of the two it is says ``facts.json`` beside the file. Raises RunFolderError for a file that holds anything
    but what such a run writes. Arrays of objects, which are pickles, are not read.
    """
    regression = read_json(path.with_name("facts.json"), DataFacts).is_regression
    try:
        arrays = _arrays(path, ("loss",) if regression else ("loss", "accuracy"))
        lengths = {len(values) for values in arrays.values()}
        if len(lengths) > 1 or min(lengths) < max(1, least):
            raise ValueError("steps are missing")
    except Exception as error:  # the readers of both formats raise nearly anything for forged headers
        detail = str(error).partition("\n")[0][:_MAX_DETAIL]
        raise RunFolderError(f"{path} cannot be read ({detail}); the run folder is damaged") from None
    return arrays


def _arrays(path: Path, names: tuple[str, ...]) -> dict[str, NDArray[np.float64]]:
    """The arrays of exactly these names, each (n,) and finite."""
    arrays: dict[str, NDArray[np.float64]] = {}
    # The entries of such a file are stored, not packed, so that none is larger than the file.
    with zipfile.ZipFile(io.BytesIO(read_regular(path, most=_MAX_BYTES))) as archive, warnings.catch_warnings():
        warnings.simplefilter("error")  # of headers that only Python 2 wrote
        if any(entry.file_size > entry.compress_size for entry in archive.infolist()):
            raise ValueError("its entries are packed")
        if sorted(archive.namelist()) != sorted(f"{name}.npy" for name in names):
            raise ValueError(f"it does not hold {' and '.join(names)} alone")
        for name in names:
            with archive.open(f"{name}.npy") as stream:
                arrays[name] = np.lib.format.read_array(stream, allow_pickle=False)
    for values in arrays.values():  # a step without a finite loss ends the run unrecorded
        if values.dtype != np.float64 or values.ndim != 1 or not np.isfinite(values).all():
            raise ValueError("it holds something else than lists of finite numbers")
    return arrays
