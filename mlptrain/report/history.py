"""The losses and accuracies in a run folder, read for curves. Works on unfinished runs too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlptrain.errors import RunFolderError
from mlptrain.report.arrays import FloatArray
from mlptrain.runs import RunFolder
from mlptrain.runs.listing import summarise
from mlptrain.runs.steps import recorded_steps
from mlptrain.system.text import printable

SPLITS = ("train", "validation", "test")
_WITHOUT_EPOCHS = {
    "diverged": "diverged in its first epoch and has none to draw; start a new run with a smaller learning rate",
    "running": "has no epoch yet to draw; it is being trained, so draw it later",
    "completed": "measured nothing and trained no epoch, so there is nothing to draw; `mlptrain eval {}` measures it",
    "interrupted": "has no epoch yet to draw; resume with `mlptrain train --resume {}`",
}


@dataclass(frozen=True)
class History:
    """A run's metrics by epoch, or by step.

    ``values["train_loss"]`` holds positions (epochs or steps) and values, each (n,); absent metrics have no key.
    ``status`` is that of ``mlptrain runs``, ``loss`` the loss with its unit.
    """

    label: str
    status: str
    loss: str
    unit: str
    values: Mapping[str, tuple[FloatArray, FloatArray]]


def read_history(run: Path, *, label: str | None = None) -> History:
    """Loss and accuracy by epoch. Raises RunFolderError for a folder that is not a run or has no epoch yet."""
    folder = RunFolder.open(run)
    lines = folder.read_metrics()
    values = {}
    for key in [f"{split}_{metric}" for split in SPLITS for metric in ("loss", "accuracy")]:
        if pairs := [(line["epoch"], line[key]) for line in lines if key in line]:
            epochs, metrics = np.array(pairs, dtype=np.float64).T
            values[key] = (epochs, metrics)
    history = _history(folder, label, "epoch", values)
    if not values:
        raise RunFolderError(f"{run} {_WITHOUT_EPOCHS.get(history.status, _WITHOUT_EPOCHS['interrupted']).format(run)}")
    return history


def read_steps(run: Path, *, label: str | None = None) -> History:
    """Loss and accuracy of every step. Raises UserError for a run that recorded none."""
    folder = RunFolder.open(run)
    values = {
        f"train_{name}": (np.arange(1, len(array) + 1, dtype=np.float64), array)
        for name, array in recorded_steps(folder).items()
    }
    return _history(folder, label, "step", values)


def _history(
    folder: RunFolder, label: str | None, unit: str, values: Mapping[str, tuple[FloatArray, FloatArray]]
) -> History:
    experiment = folder.experiment()
    return History(label or experiment.name, summarise(folder).status, experiment.loss.title, unit, values)


def run_labels(runs: Sequence[Path]) -> list[str]:
    """A short unique printable name of every run: its experiment's, else its folder's, else its path."""
    names = [RunFolder.open(run).experiment().name if run.is_dir() else str(run) for run in runs]
    for shorter in (names, [run.resolve().name for run in runs]):
        if max(Counter(shorter).values()) == 1:
            return list(map(printable, shorter))
    return [printable(str(run)) for run in runs]
