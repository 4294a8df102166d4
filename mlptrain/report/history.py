"""What a run's folder remembers of its training, read for curves. Works on unfinished runs too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlptrain.errors import RunFolderError, UserError
from mlptrain.report.arrays import FloatArray
from mlptrain.runs import RunFolder
from mlptrain.runs.listing import summarise
from mlptrain.runs.steps import step_figures
from mlptrain.system.text import printable

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class History:
    """A run's figures by epoch, or by step.

    ``values["train_loss"]`` holds positions (epochs or steps) and values, each (n,); figures that there are not have
    no key. ``status`` is that of ``mlptrain runs``, ``loss`` the loss with its unit.
    """

    label: str
    status: str
    loss: str
    unit: str
    values: Mapping[str, tuple[FloatArray, FloatArray]]


def read_history(run: Path, *, label: str | None = None) -> History:
    """Loss and accuracy by epoch. Raises RunFolderError for a folder that is no run or has no epoch yet."""
    folder = RunFolder.open(run)
    experiment = folder.experiment()
    lines = folder.read_metrics()
    values = {}
    for key in [f"{split}_{metric}" for split in SPLITS for metric in ("loss", "accuracy")]:
        found = [(line["epoch"], line[key]) for line in lines if key in line]
        if found:
            columns = np.array(found, dtype=np.float64).T
            values[key] = (columns[0], columns[1])
    status = summarise(folder).status
    if not values:
        raise RunFolderError(f"{run} {_without_epochs(run, status)}")
    return History(label or experiment.name, status, experiment.loss.title, "epoch", values)


def _without_epochs(run: Path, status: str) -> str:
    if status == "diverged":
        return "diverged in its first epoch and has none to draw; start a new run with a smaller learning rate"
    if status == "running":
        return "has no epoch yet to draw; it is being trained, so draw it later"
    return f"has no epoch yet to draw; resume with `mlptrain train --resume {run}`"


def read_steps(run: Path, *, label: str | None = None) -> History:
    """Loss and accuracy of every step. Raises UserError for a run that recorded none."""
    folder = RunFolder.open(run)
    experiment = folder.experiment()
    if not folder.steps.exists():
        wanted = "" if experiment.training.record_steps else "; train with --set training.record_steps=true"
        raise UserError(f"{run} has no steps on record{wanted}")
    values = {
        f"train_{name}": (np.arange(1, len(array) + 1, dtype=np.float64), array)
        for name, array in step_figures(folder.steps).items()
    }
    return History(label or experiment.name, summarise(folder).status, experiment.loss.title, "step", values)


def run_labels(runs: Sequence[Path]) -> list[str]:
    """A short printable name of every run that no other has: its experiment's, else its folder's, else its path."""
    names = [RunFolder.open(run).experiment().name if run.is_dir() else str(run) for run in runs]
    for shorter in (names, [run.resolve().name for run in runs]):
        if max(Counter(shorter).values()) == 1:
            return list(map(printable, shorter))
    return [printable(str(run)) for run in runs]
