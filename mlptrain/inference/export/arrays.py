"""A run as plain arrays: weights, scaling, batch order and rows, so that another program can repeat its training."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import mlptrain
from mlptrain.data import Preprocessing, Splits
from mlptrain.data.batches import epoch_order
from mlptrain.data.preprocessing import Scale
from mlptrain.errors import UserError
from mlptrain.experiment.build import build_network, initial_parameters
from mlptrain.experiment.resuming import load_own_checkpoint
from mlptrain.inference.evaluate import load_kept, load_splits_of
from mlptrain.inference.export.inputs import missing_texts
from mlptrain.inference.export.script import columns_of, script_of
from mlptrain.runs import RunFolder
from mlptrain.sources.fetch import Progress
from mlptrain.sources.held import holding
from mlptrain.spec import Experiment, to_yaml
from mlptrain.spec.table import TableData
from mlptrain.spec.weights import ABOUT
from mlptrain.system.atomic import write_atomically
from mlptrain.system.paths import AnyPath, user_path

Arrays = dict[str, NDArray[Any]]

MAX_ORDER = 50_000_000  # numbers of 8 bytes in the orders of all epochs


def export(
    run: AnyPath,
    out: AnyPath | None = None,
    *,
    epochs: int = 1,
    rows: bool = False,
    data: Any = None,
    data_dir: AnyPath | None = None,
    on_fetch: Progress | None = None,
) -> Arrays:
    """What a run, or a checkpoint file, is made of, by name; written to ``out`` as an .npz file where that is named.

    A script beside it, of the same name but for .py, predicts from raw rows with NumPy alone.

    `mlptrain/README.md` lists the names, shapes and meanings. Weights are float32 (outputs, inputs). The order is that
    of the first ``epochs``; ``rows`` adds the scaled inputs and the targets of every split.

    With ``epochs`` 0 and without ``rows`` the data are not read, and no position is given. The masks of dropout are not
    exported. ``data`` are those of the training where it was given some from Python, ``data_dir`` is where data sets
    lie, and ``on_fetch`` is notified of a download's bytes. Raises the errors of a run or checkpoint that cannot be
    read, DataError where the data are no longer those of the training, and UserError for more epochs than fit in
    memory.
    """
    path = user_path(run)
    checkpoint = load_kept(path)
    experiment = checkpoint.experiment
    if not 0 <= epochs * experiment.facts.train_rows <= MAX_ORDER:
        most = MAX_ORDER // experiment.facts.train_rows
        raise UserError(f"the batch order of {epochs:,} epochs: expected 0 to {most:,} epochs of this run")
    arrays = {name: _plain(tensor) for name, tensor in checkpoint.state.parameters.items()}
    about: dict[str, Any] = {
        "spec": to_yaml(experiment.spec),
        "preprocessing": checkpoint.preprocessing.plain(),
        "epoch": checkpoint.epoch,
        "mlptrain": mlptrain.__version__,
    }
    if isinstance(section := experiment.data, TableData):
        about |= {"columns": columns_of(checkpoint), "missing": missing_texts(section)}
    if path.is_dir():
        folder = RunFolder.open(path)
        network = build_network(experiment)
        last = load_own_checkpoint(folder, folder.last)
        about["last_epoch"] = last.epoch
        first = initial_parameters(folder.experiment(), network, last.state.parameters)
        arrays |= {f"initial.{name}": _plain(tensor) for name, tensor in first.items()}
        arrays |= {f"last.{name}": _plain(tensor) for name, tensor in last.state.parameters.items()}
    arrays |= _scaling(checkpoint.preprocessing)
    if checkpoint.temperature is not None:
        arrays["temperature"] = np.array(checkpoint.temperature)
    if experiment.facts.class_names:
        arrays["class_names"] = np.array(experiment.facts.class_names)
    if epochs:
        arrays |= {"batch_size": np.array(experiment.batch_size), "order": _order(experiment, epochs)}
    if epochs or rows:
        with holding(data):
            arrays |= dict(_rows(load_splits_of(checkpoint, data_dir=data_dir, on_fetch=on_fetch), rows=rows))
    arrays[ABOUT] = np.array(json.dumps(about))
    if out is not None:
        file = user_path(out)
        write_atomically(file, npz(arrays))
        write_atomically(file.with_suffix(".py"), script_of(checkpoint).encode())
    return arrays


def epoch_of(arrays: Mapping[str, NDArray[Any]]) -> int:
    """The epoch after which the kept weights were saved."""
    return int(json.loads(str(arrays[ABOUT]))["epoch"])


def is_export(file: Path) -> bool:
    """Whether an existing file is an exported run, by the names of its arrays."""
    if not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        return f"{ABOUT}.npy" in archive.namelist()


def npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The bytes of an .npz file, the same for the same arrays."""
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **dict(arrays))
    return stream.getvalue()


def _plain(tensor: Any) -> NDArray[Any]:
    array: NDArray[Any] = tensor.detach().cpu().numpy()
    return array.copy()


def _scaling(preprocessing: Preprocessing) -> Arrays:
    """Divisor, mean and std of the whole chain, which has one transform at most; none of a table's columns."""
    if preprocessing.columns is not None:
        return {}
    numbers: dict[str, Any] = {"divisor": 1.0, "mean": 0.0, "std": 1.0}
    for transform in preprocessing.transforms:
        divisor = {"divisor": transform.divisor} if isinstance(transform, Scale) else {}
        numbers |= {"mean": transform.mean, "std": transform.std} | divisor
    return {f"scaling.{name}": np.array(value, dtype=np.float64) for name, value in numbers.items()}


def _order(experiment: Experiment, epochs: int) -> NDArray[np.int64]:
    n, shuffle = experiment.facts.train_rows, experiment.training.shuffle and experiment.steps_per_epoch > 1
    orders = [epoch_order(n, seed=experiment.seed, epoch=epoch, shuffle=shuffle) for epoch in range(1, epochs + 1)]
    return np.stack([order.numpy() for order in orders])


def _rows(splits: Splits, *, rows: bool) -> Iterator[tuple[str, NDArray[Any]]]:
    for name in ("train", "validation", "test"):
        examples = getattr(splits, name)
        if examples is None:
            continue
        if examples.index is not None:
            yield f"{name}.index", examples.index.numpy()
        elif name == "train":
            yield f"{name}.index", np.arange(len(examples))
        if rows:
            yield f"{name}.x", examples.inputs.numpy()
            yield f"{name}.y", examples.targets.numpy()
            if examples.weight is not None:
                yield f"{name}.weight", examples.chosen_weights().numpy()
