"""A run folder to go on with: what is in it must be whole, and belong together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlptrain.data import Splits, data_folder
from mlptrain.errors import CheckpointError, DataError, RunFolderError
from mlptrain.experiment.checkpoints import Checkpoint, check_resumable, load_checkpoint
from mlptrain.experiment.recorded import RecordedRun
from mlptrain.runs import RunFolder, SeedGroup
from mlptrain.runs.steps import step_figures
from mlptrain.spec import ExperimentSpec, load_spec


@dataclass(frozen=True)
class Reopened:
    """A run before its data are loaded; a ``finished`` one only waits for the others of its group."""

    folder: RunFolder
    spec: ExperimentSpec
    checkpoint: Checkpoint | None = None
    finished: bool = False

    def on(self, splits: Splits, data_dir: Path | None) -> RecordedRun:
        """The run on its data. Raises DataError where they are no longer those that it was begun with."""
        if splits.fingerprint != self.folder.read_environment().hashes.data:
            raise DataError(f"{self.folder.path} was trained on other data than what is in {data_folder(data_dir)} now")
        saved = self.checkpoint
        if saved is not None and (saved.data_fingerprint, saved.scaling) != (splits.fingerprint, splits.scaling):
            raise CheckpointError(f"{self.folder.last} was trained on other data than the run it lies in")
        return RecordedRun(self.folder, self.spec, splits, saved, self.finished)


def load_own_checkpoint(folder: RunFolder, path: Path) -> Checkpoint:
    """A checkpoint of this very run. Raises CheckpointError for another run's, or of an edited ``resolved.yaml``."""
    checkpoint, spec = load_checkpoint(path), load_spec(folder.resolved).spec
    if with_training(checkpoint.spec, epochs=spec.training.epochs) != spec:
        raise CheckpointError(f"{path} belongs to another run than {folder.resolved}, or that file was edited")
    return checkpoint


def check_members(group: SeedGroup, folders: Sequence[RunFolder]) -> None:
    """Raises RunFolderError unless every run of a group is its first one's experiment with the seed of its place."""
    specs = [load_spec(folder.resolved).spec for folder in folders]
    for folder, seed, spec in zip(folders, group.seeds, specs, strict=True):
        wanted = with_training(specs[0], epochs=spec.training.epochs).model_copy(update={"seed": seed})
        if spec != wanted:
            raise RunFolderError(
                f"{folder.path} is not the experiment of {folders[0].path} with seed {seed}, so it is no run of this "
                "group; put the run that was there back"
            )


def is_done(folder: RunFolder, epochs: int | None) -> bool:
    """Whether there is nothing to go on with in this run of a group, to ``epochs`` in all if given."""
    result = folder.read_result()
    if result is None:
        return False
    return epochs is None or result.status == "diverged" or result.epochs == epochs


def reopen(folder: RunFolder, epochs: int | None) -> Reopened:
    """A run to go on with. Raises RunFolderError and CheckpointError where it is damaged or there is nothing to do."""
    spec = load_spec(folder.resolved).spec
    checkpoint = load_own_checkpoint(folder, folder.last) if folder.last.exists() else None
    if checkpoint is not None:
        check_resumable(folder.last, checkpoint)
        folder.check_metrics(spec, epochs=checkpoint.epoch)
        if folder.metrics_digest(epochs=checkpoint.epoch) != checkpoint.metrics_digest:
            raise RunFolderError(
                f"{folder.metrics} was changed after {folder.last} was written; put its old content back"
            )
        _check_best_loss(folder, checkpoint)
        if checkpoint.step and (spec.training.record_steps or folder.steps.exists()):
            step_figures(folder.steps, least=checkpoint.step)
    elif folder.result.exists():
        raise RunFolderError(f"{folder.last} is gone; without it the run cannot be extended, only trained anew")
    spec = _extended(folder, spec, epochs, done=checkpoint.epoch if checkpoint else 0)
    if checkpoint is not None and checkpoint.best is not None:
        _check_best(folder, checkpoint.epoch, checkpoint.best.epoch, epochs=spec.training.epochs)
    return Reopened(folder, spec, checkpoint)


def _check_best_loss(folder: RunFolder, checkpoint: Checkpoint) -> None:
    """Raises CheckpointError where the best epoch so far is not that of the log with the lowest loss."""
    key = f"{checkpoint.spec.evaluation.split}_loss"
    if checkpoint.best is None:
        return
    losses = [line[key] for line in folder.read_metrics()[: checkpoint.epoch + 1]]
    if losses[checkpoint.best.epoch] != checkpoint.best.loss or min(losses) < checkpoint.best.loss:
        raise CheckpointError(f"{folder.last} names another best epoch than {folder.metrics}; one of them was edited")


def _check_best(folder: RunFolder, last: int, best: int, *, epochs: int) -> None:
    """``best`` is the file of the epoch that ``last`` names, or, where a process was killed between the two, later.

    The later one is right again when its epoch has been trained again. Raises RunFolderError, and CheckpointError.
    """
    found = load_own_checkpoint(folder, folder.best).epoch
    if found != best and found <= last:
        raise RunFolderError(f"{folder.best} is of epoch {found}, wanted {best}; the run folder is damaged")
    if found > epochs:
        raise RunFolderError(f"{folder.best} is of epoch {found} already; training.epochs={epochs} is fewer")


def _extended(folder: RunFolder, spec: ExperimentSpec, epochs: int | None, *, done: int) -> ExperimentSpec:
    """The specification to go on with. Raises RunFolderError where there is nothing to go on with."""
    result = folder.read_result()
    if result is not None and result.status == "diverged":
        raise RunFolderError(f"{folder.path} diverged; start a new run with a smaller learning rate instead")
    wanted = epochs or spec.training.epochs
    if wanted < done:
        raise RunFolderError(f"{folder.path} has {done} epochs behind it; training.epochs={wanted} is fewer")
    if result is not None and wanted == done:
        raise RunFolderError(
            f"{folder.path} is complete with {done} epochs; extend it with --set training.epochs={done * 2}"
        )
    return with_training(spec, epochs=wanted)


def with_training(spec: ExperimentSpec, **values: Any) -> ExperimentSpec:
    """The specification with other values in its training section."""
    return spec.model_copy(update={"training": spec.training.model_copy(update=values)})
