"""Runs that train together, each recorded in its folder, to their end."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlptrain.data import Splits
from mlptrain.errors import DivergedError, InterruptedRunError, RunFolderError
from mlptrain.experiment.build import initial_parameters, on_device
from mlptrain.experiment.checkpoints import Checkpoint, load_checkpoint
from mlptrain.experiment.recorder import Recorder, figures_of
from mlptrain.runs import RunFolder, RunLog, machine_errors
from mlptrain.runs.records import CompletedRun, DivergedRun, Kept, RunResult
from mlptrain.spec import ExperimentSpec, to_yaml
from mlptrain.system.signals import ended_by_signals
from mlptrain.training.diagnosis import diagnose
from mlptrain.training.metrics import Figures, evaluate
from mlptrain.training.trainer import Epoch, Trainer, diverged

_PROBE_ROWS = 2048  # enough to see whether weights give numbers at all

OnEpochs = Callable[[Sequence[Epoch | None]], None]


@dataclass(frozen=True)
class Outcome:
    """A finished run: its folder and the content of its ``result.json``."""

    folder: RunFolder
    result: RunResult

    @classmethod
    def read(cls, folder: RunFolder) -> Outcome:
        """Of a run that was finished before. Raises RunFolderError for any other."""
        result = folder.read_result()
        if result is None:
            raise RunFolderError(f"{folder.result} is missing; the run folder is damaged")
        return cls(folder, result)


@dataclass
class RecordedRun:
    """One run among those that train together; ``recorder`` is None for one that was finished before."""

    folder: RunFolder
    spec: ExperimentSpec
    splits: Splits
    checkpoint: Checkpoint | None = None
    finished: bool = False
    recorder: Recorder | None = field(default=None, repr=False)
    diverged: DivergedError | None = None


def train_all(
    runs: Sequence[RecordedRun],
    trainer: Trainer,
    *,
    place: Path,
    should_stop: Callable[[], bool],
    on_epochs: OnEpochs | None,
) -> list[Outcome]:
    """Train all runs to their end and finish their folders; InterruptedRunError leaves all resumable.

    A run that is further than others, or finished, takes part all the same, since the shapes of the products and with
    them the last bits of the others' results depend on it; its figures are dropped until the others have caught up, and
    then it goes on from its own checkpoint.
    """
    epochs = max(run.spec.training.epochs for run in runs if not run.finished)
    at_once = f"stopped at once; the epochs saved until then are kept, resume with `mlptrain train --resume {place}`"
    with ended_by_signals(at_once):
        with machine_errors(place):
            for index, run in enumerate(runs):
                if not run.finished:
                    _start_recording(run, trainer, index)
            first = min(run.checkpoint.epoch + 1 if run.checkpoint else 0 for run in runs if not run.finished)
            for run in runs:
                if run.recorder is not None and run.checkpoint is not None and run.checkpoint.epoch + 1 == first:
                    run.recorder.restore(run.checkpoint)
        try:
            for number, found in enumerate(trainer.epochs(first=first, last=epochs, should_stop=should_stop), first):
                with machine_errors(place):
                    taken = [_take(run, number, epoch) for run, epoch in zip(runs, found, strict=True)]
                if on_epochs is not None:
                    on_epochs(taken)
        except InterruptedRunError as error:
            with machine_errors(place):
                raise _interrupted(runs, place, error) from None
        with machine_errors(place):
            return [_finished(run, trainer, index) for index, run in enumerate(runs)]


def _start_recording(run: RecordedRun, trainer: Trainer, index: int) -> None:
    run.recorder = Recorder(
        run.folder,
        RunLog(run.folder, epoch=run.checkpoint.epoch if run.checkpoint else -1),
        spec=run.spec,
        member=trainer.member(index),
        scaling=run.splits.scaling,
        data_fingerprint=run.splits.fingerprint,
    )
    if run.checkpoint is not None:
        run.folder.extend(resolved=to_yaml(run.spec))


def _take(run: RecordedRun, number: int, epoch: Epoch | None) -> Epoch | None:
    """What epoch ``number`` leads to in a run's folder; returns it unless the run has no part in it."""
    if run.recorder is None:
        return None
    if run.checkpoint is not None and number <= run.checkpoint.epoch:
        if number == run.checkpoint.epoch:
            run.recorder.restore(run.checkpoint)
        return None
    if epoch is not None and epoch.diverged is not None:
        run.recorder.save()
        _note_divergence(run, epoch.diverged)
    elif epoch is not None:
        run.recorder.record(epoch)
    return epoch


def _note_divergence(run: RecordedRun, error: DivergedError) -> None:
    run.folder.write_result(DivergedRun(epoch=error.epoch, step=error.step, lr=error.lr, message=str(error)))
    error.run = run.folder.path
    run.diverged = error


def _interrupted(runs: Sequence[RecordedRun], place: Path, error: InterruptedRunError) -> InterruptedRunError:
    """Save what there is; the error that says how to go on."""
    kept = []
    for run in runs:
        if run.recorder is not None and run.diverged is None:
            run.recorder.save()
            kept.append(max(run.recorder.saved_epoch, run.checkpoint.epoch if run.checkpoint else 0))
    of = max(run.spec.training.epochs for run in runs)
    return InterruptedRunError(
        f"{error}; {min(kept, default=0)} of {of} epochs are kept, resume with `mlptrain train --resume {place}`"
    )


def _finished(run: RecordedRun, trainer: Trainer, index: int) -> Outcome:
    if run.recorder is not None and run.diverged is None:
        run.recorder.save()
        try:
            result = _result(run, run.recorder, trainer, index)
        except DivergedError as error:
            _note_divergence(run, error)
        else:
            run.folder.write_result(result)
            return Outcome(run.folder, result)
    return Outcome.read(run.folder)


def _result(run: RecordedRun, recorder: Recorder, trainer: Trainer, index: int) -> CompletedRun:
    """What a run ends with. Raises DivergedError where the last step's weights, not at work before, give no number."""
    folder, spec, member = run.folder, run.spec, trainer.member(index)
    lines = folder.read_metrics()
    last = lines[-1]
    diagnosis = diagnose(
        member,
        spec,
        train=Figures(last["train_loss"], last.get("train_accuracy")),
        losses=[line["train_loss"] for line in lines[1:]],
        initial=initial_parameters(spec, trainer.network).clone(device=spec.training.device),
    )
    if spec.evaluation.keep == "best" and recorder.best is not None:
        kept = next(line for line in lines if line["epoch"] == recorder.best.epoch)
        parameters = recorder.best_parameters or member.parameters.clone().copy_(
            load_checkpoint(folder.best).parameters
        )
        file = folder.best.name
    else:
        kept, parameters, file = last, member.parameters, folder.last.name
    test_evaluations = folder.read_environment().earlier_test_evaluations
    figures = {key: value for key, value in kept.items() if key not in ("epoch", "step", "lr")}
    if spec.evaluation.split == "test":
        test_evaluations += len(lines)
    elif run.splits.test is not None:
        test_evaluations += 1
        test = on_device(run.splits.test, loss=trainer.loss, spec=spec, device=spec.training.device)
        found = evaluate(
            trainer.network, parameters, loss=trainer.loss, x=test.x, targets=test.y, classify=trainer.classify
        )
        _check_finite("the test loss", found, last)
        figures |= figures_of("test", found)
    elif spec.evaluation.split == "none":
        x, targets = member.rows.first(_PROBE_ROWS)
        found = evaluate(trainer.network, parameters, loss=trainer.loss, x=x, targets=targets, classify=False)
        _check_finite("the loss after training", found, last)
    return CompletedRun(
        epochs=last["epoch"],
        steps=last["step"],
        kept=Kept.model_validate({"checkpoint": file, "epoch": kept["epoch"], **figures}),
        last={key: value for key, value in last.items() if key not in ("epoch", "step", "lr")},
        diagnosis=diagnosis,
        test_evaluations=test_evaluations,
    )


def _check_finite(what: str, found: Figures, last: Mapping[str, Any]) -> None:
    if not math.isfinite(found.loss):
        raise diverged(what, epoch=last["epoch"], step=last["step"], lr=last["lr"])
