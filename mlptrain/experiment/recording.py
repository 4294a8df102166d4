"""Runs that train together, each recorded in its folder, from the first line of the log to the result."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mlptrain.data import Examples, Splits
from mlptrain.errors import InterruptedRunError, RunFolderError
from mlptrain.experiment.build import prepared
from mlptrain.experiment.calibrating import NO_TEMPERATURE, calibrate, measured, store_temperature
from mlptrain.experiment.checkpoints import Checkpoint, load_checkpoint
from mlptrain.experiment.diagnosis import diagnose, diagnose_divergence
from mlptrain.experiment.fit import Listener, Start, follows_metrics
from mlptrain.experiment.recorder import Recorder, named
from mlptrain.nn.parameters import Parameters
from mlptrain.report.loading import load_matplotlib
from mlptrain.runs import RunFolder
from mlptrain.runs.metrics import history
from mlptrain.runs.records import (
    Choice,
    CompletedRun,
    Diagnosis,
    DivergedRun,
    Kept,
    Line,
    RunResult,
    StoppedEarly,
    figures_of,
)
from mlptrain.spec import Experiment, to_yaml
from mlptrain.system.disk import machine_errors
from mlptrain.training.endings import Ending, early_ending, still_falling
from mlptrain.training.metrics import Metrics
from mlptrain.training.scores import Scorer
from mlptrain.training.trainer import Epoch, TrainedModel
from mlptrain.training.workers import Workers

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Outcome:
    """A finished run: its folder and the content of its ``result.json``.

    It stands for its folder wherever a path may, and a notebook shows its figures and curves.
    """

    folder: RunFolder
    result: RunResult

    @property
    def history(self) -> pl.DataFrame:
        """The figures of every epoch, as ``mlptrain.metrics`` names them; null where undefined.

        ``running_train_loss`` is a mean over the epoch, of weights that changed on the way, and there is one for every
        epoch; ``train_loss`` in ``result.kept`` is measured once, of the weights that were kept.

        Its ``to_pandas()`` needs pandas and pyarrow; ``pandas.DataFrame(mlptrain.metrics(outcome))`` does without the
        latter. Raises RunFolderError where the folder is damaged or gone.
        """
        return history(self)

    def __fspath__(self) -> str:
        return str(self.folder.path)

    def _repr_html_(self) -> str:
        load_matplotlib()
        from mlptrain.report.outcomes import run_html

        return run_html(self.folder.path, self.result)

    @classmethod
    def read(cls, folder: RunFolder) -> Outcome:
        """The outcome in the ``folder`` of a run that was finished before. Raises RunFolderError for any other."""
        result = folder.read_result()
        if result is None:
            raise RunFolderError(f"{folder.result} is missing; the run folder is damaged")
        return cls(folder, result)


@dataclass
class RecordedRun:
    """One run among ``models`` that train together; a ``finished`` one only takes part.

    So does one that has ``stopped`` early: it was killed when it had no more to train, and gets its result at the end.
    """

    folder: RunFolder
    experiment: Experiment
    splits: Splits
    checkpoint: Checkpoint | None = None
    finished: bool = False
    stopped: bool = False
    models: int = 1
    recorder: Recorder | None = field(default=None, repr=False)
    ended: bool = False

    @property
    def start(self) -> Start:
        """Where training continues."""
        if self.finished or self.checkpoint is None:
            return Start(done=self.finished)
        history = self.folder.read_metrics()[: self.checkpoint.epoch + 1] if follows_metrics(self.experiment) else []
        return Start(self.checkpoint.epoch, self.checkpoint.state, done=self.stopped, history=history)


# Makes or opens runs once the models are ready, so that what cannot be trained leaves no folder; gives the folder that
# holds all, and the runs.
Begin = Callable[[Sequence[TrainedModel]], tuple[Path, list[RecordedRun]]]


class Recording(Listener):
    """Records all runs that ``begin`` gives below ``path``, and finishes their folders.

    ``outcomes`` has one entry per run when training is over. Of several ``workers`` the others receive the path.
    """

    def __init__(self, begin: Begin, workers: Workers | None = None) -> None:
        self._begin, self._workers = begin, workers
        self.path = Path()
        self.runs: list[RecordedRun] = []
        self.outcomes: list[Outcome] = []
        self._models: Sequence[TrainedModel] = ()

    def started(self, models: Sequence[TrainedModel]) -> None:
        """Open the logs. Raises MachineError, and RunFolderError for damaged ones."""
        self._models = models
        self.path, self.runs = self._begin(models)
        with machine_errors(self.path):
            for run, model in zip(self.runs, models, strict=True):
                run.models = len(models)
                if not run.finished:
                    run.recorder = Recorder(run.folder, run.experiment, run.splits, model, checkpoint=run.checkpoint)
                    if run.checkpoint is not None:
                        run.folder.extend(resolved=to_yaml(run.experiment.spec))
        if self._workers is not None:
            self._workers.from_first(lambda: self.path)

    def epoch(self, epochs: Sequence[Epoch | None]) -> None:
        """Record every model's epoch. Raises MachineError."""
        with machine_errors(self.path):
            for run, model, epoch in zip(self.runs, self._models, epochs, strict=True):
                if run.recorder is None or epoch is None:
                    continue
                if epoch.ending is not None and epoch.ending.kind == "diverged":
                    run.recorder.save()
                    run.folder.write_result(_diverged(run, model, epoch.ending))
                    run.ended = True
                    continue
                run.recorder.record(epoch)
                if epoch.ending is not None:  # now, since its weights keep changing among others
                    _finished(run, model)
                    run.ended = True

    def ended(self, endings: Sequence[Ending | None]) -> None:  # noqa: ARG002 – each was noted as it came
        """Finish the folders. Raises MachineError."""
        with machine_errors(self.path):
            self.outcomes = [_finished(run, model) for run, model in zip(self.runs, self._models, strict=True)]

    @contextmanager
    def resumable(self) -> Iterator[None]:
        """Saves what there is when training is interrupted, and says how to resume.

        A second signal ends at once, without saving. Raises InterruptedRunError.
        """
        try:
            yield
        except InterruptedRunError as error:
            with machine_errors(self.path):
                kept = []
                for run in self.runs:
                    if run.recorder is not None and not run.ended:
                        run.recorder.save()
                        kept.append(max(run.recorder.saved_epoch, 0))
            of = max(run.experiment.training.epochs for run in self.runs)
            saved = f"{min(kept, default=0)} of {of} epochs are saved"
            raise InterruptedRunError(f"{error}; {saved}, resume with `mlptrain train --resume {self.path}`") from None
        except KeyboardInterrupt:
            if not self.runs:  # nothing was begun
                raise
            raise InterruptedRunError(
                f"stopped at once; the epochs saved before are kept, resume with `mlptrain train --resume {self.path}`"
            ) from None


def _diverged(run: RecordedRun, model: TrainedModel, ending: Ending) -> DivergedRun:
    return DivergedRun(
        epoch=ending.epoch,
        step=ending.step,
        lr=ending.lr,
        message=ending.message,
        diagnosis=diagnose_divergence(model, run.experiment, run.splits, ending, models=run.models),
    )


def _finished(run: RecordedRun, model: TrainedModel) -> Outcome:
    if run.recorder is None or run.ended:
        return Outcome.read(run.folder)
    if run.stopped and run.checkpoint is not None:
        model.load(run.checkpoint.state)
    run.recorder.save()
    result = _result(run, run.recorder, model)
    if isinstance(result, CompletedRun) and result.calibration is not None:
        # Before the result. A process that is killed in between leaves a run without one, and whoever resumes it fits
        # the same temperature to the same weights.
        store_temperature(run.folder.last.with_name(result.kept.checkpoint), result.calibration.temperature)
    run.folder.write_result(result)
    return Outcome(run.folder, result)


def _result(run: RecordedRun, recorder: Recorder, model: TrainedModel) -> RunResult:
    """What a run ends with: a divergence where the weights of the last step, not used before, give no number."""
    lines = run.folder.read_metrics()
    last = lines[-1]
    kept, parameters, file, choice = _kept(run, recorder, model, lines)
    scorer = Scorer.of(run.experiment, at_end=True)
    rows = _rows_at_end(run, model, scorer)
    calibration = calibrate(model, parameters, rows) if run.experiment.evaluation.calibrate == "temperature" else None
    temperature = (calibration and calibration.temperature) or 1.0
    found = {
        split: measured(model, parameters, examples, temperature, scorer=scorer) for split, examples in rows.items()
    }
    for split, what in (("test", "the test loss"), ("train", "the loss after training")):
        if split in found and not all(map(math.isfinite, named(split, found[split]).values())):
            ending = Ending.diverged(what, epoch=last["epoch"], step=last["step"], lr=last["lr"])
            return _diverged(run, model, ending)
    figures = {split: named(split, metrics) for split, metrics in found.items()}
    by_epoch = {key: value for key, value in figures_of(kept).items() if not key.startswith("running_")}
    further = figures.get("validation", {}) | figures.get("test", {})
    undefined = {
        f"{split}_{key}": reason
        for split, metrics in found.items()
        for key, reason in metrics.further.undefined.items()
    }
    if choice is None and run.experiment.evaluation.keep == "best":
        metric = run.experiment.evaluation.metric
        undefined["choice"] = f"{metric} has no value in any epoch, so that the last one is kept"
    if calibration is not None and calibration.temperature is None:
        undefined["temperature"] = NO_TEMPERATURE
    environment = run.folder.read_environment()
    earlier, diagnosis = environment.earlier_test_evaluations, _diagnosed(run, model, lines, found["train"].loss)
    stopped = _stopped_early(run.experiment, lines)
    guess = (environment.constant_guess or {}).get("loss")
    falling = (
        "" if diagnosis or stopped else still_falling(lines, split=str(run.experiment.evaluation.split), guess=guess)
    )
    return CompletedRun(
        epochs=last["epoch"],
        steps=last["step"],
        kept=Kept.model_validate(
            {"checkpoint": file, "epoch": kept["epoch"], **figures["train"], **by_epoch, **further}
        ),
        last=figures_of(last),
        diagnosis=diagnosis,
        test_evaluations=earlier + len(lines) * (run.experiment.evaluation.split == "test") + ("test" in rows),
        undefined=undefined,
        calibration=calibration,
        stopped_early=stopped,
        choice=choice,
        still_falling=falling or None,
    )


def _kept(
    run: RecordedRun, recorder: Recorder, model: TrainedModel, lines: Sequence[Line]
) -> tuple[Line, Parameters, str, Choice | None]:
    """The epoch whose weights the run stands for, these weights, their checkpoint file, and what chose them."""
    best = recorder.keep.best if run.experiment.evaluation.keep == "best" else None
    if best is None:
        return lines[-1], model.parameters, run.folder.last.name, None
    kept, metric = lines[best.epoch], run.experiment.evaluation.metric
    values = [line[metric] for line in lines if metric in line]
    choice = Choice(metric=metric, epochs=len(values), kept=kept[metric], last=values[-1])
    parameters = recorder.keep.parameters or model.parameters.clone().copy_(
        load_checkpoint(run.folder.best).state.parameters
    )
    return kept, parameters, run.folder.best.name, choice


def _diagnosed(run: RecordedRun, model: TrainedModel, lines: Sequence[Line], kept: float) -> Diagnosis | None:
    """What is wrong with the network after the last epoch; None for an untrained one; ``kept`` as ``diagnose``."""
    if len(lines) == 1:
        return None
    train = Metrics(lines[-1]["train_loss"], lines[-1].get("train_accuracy"))
    losses = [line["train_loss"] for line in lines[1:]]
    return diagnose(model, run.experiment, run.splits, train=train, losses=losses, kept=kept, models=run.models)


def _stopped_early(experiment: Experiment, lines: Sequence[Line]) -> StoppedEarly | None:
    stopping = experiment.training.early_stopping
    ending = early_ending(stopping, lines, epochs=experiment.training.epochs)
    if stopping is None or ending is None:
        return None
    best_epoch = ending.epoch - stopping.patience
    never = "" if any(stopping.metric in line for line in lines) else ", which has no value in any of them"
    return StoppedEarly(metric=stopping.metric, best_epoch=best_epoch, message=ending.message + never)


def _rows_at_end(run: RecordedRun, model: TrainedModel, scorer: Scorer) -> dict[str, Examples]:
    """What the kept weights are measured on at the end, ready for it, by split.

    The training rows, and the test rows unless every epoch has measured them. With further figures or a temperature all
    splits, since the log has neither what those are with the temperature, nor why one of them is undefined.
    """
    evaluation, loss = run.experiment.evaluation, model.loss
    whole = bool(scorer.keys) or evaluation.calibrate != "none"
    chosen = {"validation": run.splits.validation} if whole else {}
    if whole or evaluation.split != "test":
        chosen["test"] = run.splits.test
    ready = partial(prepared, loss=loss, experiment=run.experiment, device=run.experiment.training.device)
    return {"train": model.examples} | {split: ready(rows) for split, rows in chosen.items() if rows is not None}
