"""The losses, accuracies and further figures in a run folder, read for curves. Works on unfinished runs too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import reduce

import numpy as np

from mlptrain.errors import RunFolderError
from mlptrain.keys import SPLITS
from mlptrain.report.arrays import FloatArray
from mlptrain.runs import RunFolder, member_word, runs_of_group
from mlptrain.runs.listing import summarise
from mlptrain.runs.steps import recorded_steps
from mlptrain.spec import Experiment
from mlptrain.system.paths import AnyPath, user_path
from mlptrain.system.text import printable

_WITHOUT_EPOCHS = {
    "diverged": "diverged in its first epoch and has none to draw; start a new run with {advice}",
    "running": "has no epoch yet to draw; it is being trained, so draw it later",
    "completed": "measured nothing and trained no epoch, so there is nothing to draw; `mlptrain eval {}` measures it",
    "interrupted": "has no epoch yet to draw; resume with `mlptrain train --resume {}`",
}


@dataclass(frozen=True)
class History:
    """A run's metrics by epoch, or by step; or the means of runs that differ in their seed or fold.

    ``values["train_loss"]`` holds positions (epochs or steps) and values, each (n,), without the epochs in which a
    metric is undefined; absent metrics have no key. By epoch those of training are means during the epoch and lie at
    its middle, half an epoch before the others, which are measured at its end. ``status`` is that of ``mlptrain runs``,
    ``loss`` the loss with its unit, ``data`` the name of the data. ``guess`` holds what a constant guess gives, where
    that is on record: ``loss`` and ``accuracy``.
    ``members`` are the runs whose means ``values`` are, each a seed or a fold by ``word``. ``marks`` are epochs of
    note: the kept one where it is not the last, and the last of a run that stopped early, each with what it is.
    """

    label: str
    status: str
    loss: str
    unit: str
    values: Mapping[str, tuple[FloatArray, FloatArray]]
    data: str = ""
    guess: Mapping[str, float] = field(default_factory=dict)
    members: tuple[History, ...] = ()
    word: str = "seed"
    marks: Mapping[int, str] = field(default_factory=dict)


def read_history(run: AnyPath, *, label: str | None = None) -> History:
    """All figures by epoch. Raises RunFolderError for a folder that is not a run or has no epoch yet."""
    folder = RunFolder.open(run)
    lines = folder.read_metrics()
    values = {}
    known = dict.fromkeys(key for line in reversed(lines) for key in line)  # the last has those of training too
    for split in SPLITS:
        for key in [key for key in known if key.startswith(f"{split}_")]:
            pairs = [(line["epoch"], line[key]) for line in lines if key in line]
            epochs, metrics = np.array(pairs, dtype=np.float64).T
            values[key] = (epochs - 0.5 if split == "train" else epochs, metrics)
    history = replace(_history(folder, label, "epoch", values), marks=_marks(folder))
    if not values:
        result, why = folder.read_result(), _WITHOUT_EPOCHS.get(history.status, _WITHOUT_EPOCHS["interrupted"])
        advice = result.advice if result is not None and result.status == "diverged" else ""
        raise RunFolderError(f"{run} {why.format(run, advice=advice)}")
    return history


def _marks(folder: RunFolder) -> dict[int, str]:
    with suppress(RunFolderError):  # curves are drawn of what is in the log
        result = folder.read_result()
        if result is not None and result.status == "completed":
            kept = {result.kept.epoch: "kept"} if result.kept.epoch != result.epochs else {}
            return kept | ({result.epochs: "stopped early"} if result.stopped_early is not None else {})
    return {}


def read_steps(run: AnyPath, *, label: str | None = None) -> History:
    """Loss and accuracy of every step. Raises UserError for a run that recorded none."""
    folder = RunFolder.open(run)
    values = {
        f"train_{name}": (np.arange(1, len(array) + 1, dtype=np.float64), array)
        for name, array in recorded_steps(folder).items()
    }
    return _history(folder, label, "step", values)


def read_curves(path: AnyPath, *, label: str | None = None, steps: bool = False) -> History:
    """``read_history``, or with ``steps`` ``read_steps``, of a run; of a group the means over its runs.

    Those that diverged are left out. Raises RunFolderError where every one has.
    """
    read = read_steps if steps else read_history
    runs = runs_of_group(path)
    if not runs:
        return read(path, label=label)
    lasting = [run for run in runs if summarise(RunFolder(run)).status != "diverged"]
    if not lasting:
        raise RunFolderError(
            f"every {member_word(runs[0])} of {path} diverged; name one of its runs to see how, such as {runs[0]}"
        )
    mean = _mean(
        [read(run) for run in lasting], label=label or f"group {run_name(path)}", diverged=len(runs) - len(lasting)
    )
    return replace(mean, word=member_word(runs[0]))


def _mean(members: Sequence[History], *, label: str, diverged: int) -> History:
    """The means over the epochs or steps that every run has; those of a metric in which it is defined for all."""
    members = _aligned(members)
    first = members[0]
    values = {
        key: (positions, np.mean([run.values[key][1] for run in members], axis=0))
        for key, (positions, _) in first.values.items()
    }
    states = dict.fromkeys(run.status for run in members if run.status != "completed")
    status = ", ".join([*states, *([f"without {diverged} that diverged"] if diverged else [])]) or "completed"
    guesses = [run.guess for run in members if run.guess]
    known = set.intersection(*map(set, guesses)) if guesses else ()
    guess = {key: float(np.mean([one[key] for one in guesses])) for key in sorted(known)}
    several = tuple(members) if len(members) > 1 else ()
    return History(label, status, first.loss, first.unit, values, first.data, guess, several)


def _aligned(members: Sequence[History]) -> list[History]:
    """The members with the metrics that all of them have, at the positions that all of them have."""
    shared = [key for key in members[0].values if all(key in run.values for run in members)]
    places = {key: reduce(np.intersect1d, [run.values[key][0] for run in members]) for key in shared}
    return [
        replace(
            run,
            values={
                key: (at, values[np.isin(positions, at)])
                for key, at in places.items()
                for positions, values in [run.values[key]]
            },
        )
        for run in members
    ]


def _history(
    folder: RunFolder, label: str | None, unit: str, values: Mapping[str, tuple[FloatArray, FloatArray]]
) -> History:
    experiment = folder.experiment()
    guess: Mapping[str, float] = {}
    with suppress(RunFolderError):  # nothing else here depends on the environment
        guess = folder.read_environment().constant_guess or {}
    label, status = label or f"run {run_name(folder.path)}", summarise(folder).status
    return History(label, status, experiment.loss.title, unit, values, experiment.data.label, guess)


def run_labels(paths: Sequence[AnyPath]) -> list[str]:
    """A short unique printable name of every run or group: its experiment's, else its folder's, else its path."""
    runs = list(map(user_path, paths))
    firsts = [next(iter(runs_of_group(run)), run) for run in runs]
    names = [RunFolder.open(run).experiment().name if run.is_dir() else str(run) for run in firsts]
    for shorter in (names, [run.resolve().name for run in runs]):
        if max(Counter(shorter).values()) == 1:
            return list(map(printable, shorter))
    return [printable(str(run)) for run in runs]


def run_name(run: AnyPath) -> str:
    """The name of a run's folder, for a title, or of a checkpoint file with that of the run it lies in."""
    path = user_path(run).resolve()
    of_run = path.parent.name == "checkpoints" and path.is_file()
    return printable(f"{path.parent.parent.name}/{path.name}" if of_run else path.name)


def run_title(run: AnyPath, experiment: Experiment) -> str:
    """Which run on which data, as titles begin: ``run first, data mnist``."""
    return f"run {run_name(run)}, data {experiment.data.label}"


def experiment_title(experiment: Experiment) -> str:
    """Which configuration and which data: ``first, data mnist``."""
    return f"{experiment.name}, data {experiment.data.label}"
