"""A run folder to resume: what is in it must be whole, and belong together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mlptrain.data import Splits
from mlptrain.errors import CheckpointError, DataError, RunFolderError
from mlptrain.experiment.build import class_weights_of
from mlptrain.experiment.checkpoints import Checkpoint, check_resumable, load_checkpoint
from mlptrain.experiment.recording import RecordedRun
from mlptrain.runs import FoldGroup, RunFolder, RunGroup
from mlptrain.runs.steps import step_figures
from mlptrain.sources.store import data_folder
from mlptrain.spec import Experiment
from mlptrain.system.paths import AnyPath
from mlptrain.training.endings import Ending, early_ending


@dataclass(frozen=True)
class Reopened:
    """A run before its data are loaded; a ``finished`` one only waits for the others of its group.

    One that ``stopped`` early has no more to train, and no result yet.
    """

    folder: RunFolder
    experiment: Experiment
    checkpoint: Checkpoint | None = None
    finished: bool = False
    stopped: bool = False

    def on(self, splits: Splits, data_dir: AnyPath | None) -> RecordedRun:
        """The run on its data. Raises DataError where they are no longer those that it started with."""
        if splits.fingerprint != self.folder.read_environment().hashes.data:
            raise DataError(f"{self.folder.path} was trained on other data than what is in {data_folder(data_dir)} now")
        saved = self.checkpoint
        if saved is not None and (saved.data_fingerprint, saved.preprocessing, saved.class_weights) != (
            splits.fingerprint,
            splits.preprocessing,
            class_weights_of(self.experiment, splits.train),
        ):
            raise CheckpointError(f"{self.folder.last} was trained on other data than the run it lies in")
        return RecordedRun(self.folder, self.experiment, splits, saved, self.finished, self.stopped)


def load_own_checkpoint(folder: RunFolder, path: Path) -> Checkpoint:
    """A checkpoint of this very run. Raises CheckpointError for another run's, or of an edited ``resolved.yaml``."""
    checkpoint, experiment = load_checkpoint(path), folder.experiment()
    if checkpoint.experiment.with_training(epochs=experiment.training.epochs) != experiment:
        raise CheckpointError(f"{path} belongs to another run than {folder.resolved}, or that file was edited")
    return checkpoint


def check_members(group: RunGroup, folders: Sequence[RunFolder]) -> None:
    """Raises RunFolderError unless every run of a group is its first one's experiment with the seed or fold it has."""
    experiments = [folder.experiment() for folder in folders]
    for folder, number, experiment in zip(folders, group.numbers, experiments, strict=True):
        first = experiments[0].with_training(epochs=experiment.training.epochs)
        if not isinstance(group, FoldGroup):
            expected: Experiment | None = first.changed(seed=number)
        else:
            fold = first.data.fold
            expected = first.in_fold(number) if fold is not None and fold.of == len(folders) else None
            expected = expected and replace(expected, facts=first.facts.with_rows(experiment.facts))
        if experiment != expected:
            raise RunFolderError(
                f"{folder.path} is not the experiment of {folders[0].path} with {group.word} {number}, so it is not a "
                "run of this group; put the run that was there back"
            )


def is_done(folder: RunFolder, epochs: int | None) -> bool:
    """Whether there is nothing to resume in this run of a group, to ``epochs`` in all if given."""
    result = folder.read_result()
    if result is None:
        return False
    if epochs is None or result.status == "diverged" or result.stopped_early is not None or result.epochs == epochs:
        return True
    return _stops(folder, folder.experiment().with_training(epochs=epochs), done=result.epochs) is not None


def reopen(folder: RunFolder, epochs: int | None) -> Reopened:
    """A run to resume. Raises RunFolderError and CheckpointError where it is damaged or there is nothing to do."""
    experiment = folder.experiment()
    checkpoint = load_own_checkpoint(folder, folder.last) if folder.last.exists() else None
    if checkpoint is not None:
        check_resumable(folder.last, checkpoint)
        folder.read_metrics(through=checkpoint.epoch)
        if folder.metrics_digest(epochs=checkpoint.epoch) != checkpoint.metrics_digest:
            raise RunFolderError(
                f"{folder.metrics} was changed after {folder.last} was written; put its old content back"
            )
        if checkpoint.step and (experiment.training.record_steps or folder.steps.exists()):
            step_figures(folder.steps, least=checkpoint.step)
    elif folder.result.exists():
        raise RunFolderError(f"{folder.last} is gone; without it the run cannot be extended, only retrained")
    experiment = _extended(folder, experiment, epochs, done=checkpoint.epoch if checkpoint else 0)
    if checkpoint is not None and checkpoint.best is not None:
        _check_best(folder, checkpoint.epoch, checkpoint.best.epoch, epochs=experiment.training.epochs)
    stopped = checkpoint is not None and _stops(folder, experiment, done=checkpoint.epoch) is not None
    return Reopened(folder, experiment, checkpoint, stopped=stopped)


def _stops(folder: RunFolder, experiment: Experiment, *, done: int) -> Ending | None:
    """How early stopping ends an experiment of which so many epochs are trained, or None."""
    stopping = experiment.training.early_stopping
    lines = [] if stopping is None else folder.read_metrics()[: done + 1]
    return early_ending(stopping, lines, epochs=experiment.training.epochs)


def _check_best(folder: RunFolder, last: int, best: int, *, epochs: int) -> None:
    """``best`` is the file of the epoch that ``last`` names, or, where a process was killed between the two, later.

    The later one is right again when its epoch has been trained again. Raises RunFolderError, and CheckpointError.
    """
    found = load_own_checkpoint(folder, folder.best).epoch
    if found != best and found <= last:
        raise RunFolderError(f"{folder.best} is of epoch {found}, expected {best}; the run folder is damaged")
    if found > epochs:
        raise RunFolderError(f"{folder.best} is of epoch {found} already; training.epochs={epochs} is fewer")


def _extended(folder: RunFolder, experiment: Experiment, epochs: int | None, *, done: int) -> Experiment:
    """The experiment to resume. Raises RunFolderError where there is nothing to resume."""
    result = folder.read_result()
    if result is not None and result.status == "diverged":
        raise RunFolderError(f"{folder.path} diverged; start a new run with {result.advice} instead")
    wished = epochs or experiment.training.epochs
    if wished < done:
        raise RunFolderError(f"{folder.path} has {done} epochs behind it; training.epochs={wished} is fewer")
    longer, stopping = experiment.with_training(epochs=max(wished, done + 1)), experiment.training.early_stopping
    if stopping is not None and result is not None and (ending := _stops(folder, longer, done=done)) is not None:
        raise RunFolderError(
            f"{folder.path} ends after epoch {ending.epoch} whatever training.epochs is: {stopping.reason}; start over "
            "with a larger training.early_stopping.patience"
        )
    if result is not None and wished == done:
        raise RunFolderError(
            f"{folder.path} is complete after epoch {done}; extend it with --set training.epochs={done * 2 or 10}"
        )
    return experiment.with_training(epochs=wished)
