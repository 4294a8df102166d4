"""Trials, and the batch of them that trains together: what an executor is handed and what it gives back."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from mlptrain.comparison.guess import guessed
from mlptrain.data import Splits
from mlptrain.errors import is_out_of_memory
from mlptrain.executors import OnAdvance
from mlptrain.experiment.build import SharedData, prepared
from mlptrain.experiment.environment import hashes_of
from mlptrain.experiment.fit import Listener, fit
from mlptrain.experiment.recorder import metrics_line, named
from mlptrain.runs.trials import Divergence, KeptFigures, ScoredSplit, SplitName, TrialRecord
from mlptrain.spec import Experiment
from mlptrain.spec.comparison.changes import Changes, plain_changes, with_changes
from mlptrain.spec.optimizer import OptimizerSpec
from mlptrain.training.device import ResolvedDevice, applied
from mlptrain.training.endings import Ending
from mlptrain.training.keep import KeepBest
from mlptrain.training.metrics import Metrics, evaluate
from mlptrain.training.scores import NO_SCORES, Scorer
from mlptrain.training.trainer import Epoch, TrainedModel

OnEpoch = Callable[[int], None]
OnDone = Callable[[list[TrialRecord]], None]
OnFetch = Callable[[str, int, int | None], None]  # archive, bytes so far, bytes in all


@dataclass(frozen=True)
class Trial:
    """One training: of a named arm with what it changes in the base, and a seed.

    The changes are an optimizer's whole section, or values by key path such as ``{"model.dropout": 0.5}``.
    """

    role: Literal["tuning", "scoring"]
    arm: str
    changes: Changes
    seed: int

    def identity(self, task: str) -> str:
        """A name from the content: 16 hexadecimal digits of SHA-256 over task (as YAML), role, changes and seed.

        The arm's name in the comparison is not part of it: what is trained does not depend on it.
        """
        content = json.dumps([task, self.role, plain_changes(self.changes), self.seed], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def experiment(self, base: Experiment) -> Experiment:
        """What it trains: the base with its changes and seed."""
        return with_changes(base, self.changes, seed=self.seed)


@dataclass(frozen=True)
class Halving:
    """After each of these ``rungs``, epochs, one in ``eta`` of the trials that still train continues, at least one."""

    rungs: tuple[int, ...]
    eta: int
    higher_is_better: bool


@dataclass(frozen=True)
class TrialBatch:
    """Trials that train together, on the task and with the device, precision and threads of the plan: a job.

    ``identities`` are the names of the trials, in order; ``split`` is the one that scoring reads, once per trial and
    after its training. Tuning reads none. ``metric`` is what is recorded besides loss and accuracy, if it is another,
    and the ``followed`` ones have curves too.
    """

    base: Experiment
    trials: tuple[Trial, ...]
    identities: tuple[str, ...]
    resolved: ResolvedDevice
    split: SplitName
    data_dir: Path | None = None
    metric: str = "accuracy"
    followed: tuple[str, ...] = ()
    halving: Halving | None = None

    @property
    def identity(self) -> str:
        """A name from those of its trials and the number of threads, on which the last bits depend."""
        parts = [*self.identities, str(self.resolved.threads), self.resolved.precision, self.resolved.device]
        return hashlib.sha256("/".join(parts).encode()).hexdigest()[:16]

    @property
    def size(self) -> float:
        """How many trials it has."""
        return len(self.trials)

    def optimizers(self) -> Iterable[OptimizerSpec]:
        """Those of its trials."""
        return (trial.experiment(self.base).spec.optimizer for trial in self.trials)

    def run(self, on_advance: OnAdvance) -> list[TrialRecord]:
        """As ``run_batch``; ``on_advance`` is told of trials that are done, parts of them count."""
        share, reached = len(self.trials) / self.base.training.epochs, 0

        def reach(epoch: int) -> None:
            nonlocal reached
            on_advance(share * (epoch - reached))
            reached = epoch

        records = run_batch(self, on_epoch=reach)
        reach(self.base.training.epochs)  # where all models have diverged, no further epoch is reported
        return records

    def failed(self, reason: str) -> list[TrialRecord]:
        """The records where the machine could not train it."""
        message = reason.strip().splitlines()[0].rstrip(": ")
        return [TrialRecord(**head, status="failed", message=message) for head in _heads(self)]


def run_batch(batch: TrialBatch, *, on_epoch: OnEpoch = lambda _: None) -> list[TrialRecord]:
    """Train all trials of a batch together; one record each, in order, without any clock value.

    A trial that diverges is a record like any other; a batch that the machine cannot train (out of memory) gives
    records with the status ``failed``. ``on_epoch`` is given the number of each epoch that has ended, 0 first. Raises
    DataError or MachineError where the data cannot be had.
    """
    try:
        with applied(batch.resolved):
            return _run(batch, on_epoch)
    except (MemoryError, RuntimeError) as error:
        return batch.failed(f"{'out of memory' if is_out_of_memory(error) else type(error).__name__}: {error}")


def _heads(batch: TrialBatch) -> list[dict[str, Any]]:
    """What a record says of its trial, whatever its outcome."""
    common = {"batch": batch.identity, "batch_size": len(batch.trials)}
    return [
        {"trial": name, **common, "role": trial.role, **_what(trial), "seed": trial.seed}
        for trial, name in zip(batch.trials, batch.identities, strict=True)
    ]


def _what(trial: Trial) -> dict[str, Any]:
    if isinstance(trial.changes, Mapping):
        return {"arm": trial.arm, "changes": dict(trial.changes)}
    return {"optimizer": trial.arm, "setting": trial.changes}


def _run(batch: TrialBatch, on_epoch: OnEpoch) -> list[TrialRecord]:
    experiments = [trial.experiment(batch.base) for trial in batch.trials]
    splits = splits_of(batch, experiments)
    recorder = _BatchRecorder(experiments, splits, on_epoch, batch)
    if batch.halving is None:
        fit(experiments, splits, [recorder])
    else:
        fit(experiments, splits, [recorder, _Halver(batch.halving, recorder)], regroup=True)
    scored = [batch.split if trial.role == "scoring" else None for trial in batch.trials]
    ended = zip(recorder.trials, _heads(batch), scored, strict=True)
    return [trial.record(head, split) for trial, head, split in ended]


def splits_of(batch: TrialBatch, experiments: Sequence[Experiment]) -> list[Splits]:
    """The splits of every trial; those of one seed, and of the same data section, are shared."""
    shared: dict[tuple[int, str], Splits] = {}
    splits = []
    for experiment in experiments:
        key = experiment.seed, "" if experiment.data == batch.base.data else repr(experiment.data)
        if key not in shared:
            data = task_data(batch.base if not key[1] else experiment.changed(seed=batch.base.seed), batch.data_dir)
            shared[key] = data(experiment.seed)
        splits.append(shared[key])
    return splits


class _BatchRecorder(Listener):
    """Follows the trials of a batch while they train."""

    def __init__(
        self, experiments: Sequence[Experiment], splits: Sequence[Splits], on_epoch: OnEpoch, batch: TrialBatch
    ) -> None:
        self._experiments, self._splits, self._on_epoch, self._batch = experiments, splits, on_epoch, batch
        self.trials: list[TrialRecorder] = []

    def started(self, models: Sequence[TrainedModel]) -> None:
        each = zip(models, self._experiments, self._splits, strict=True)
        metric, followed = self._batch.metric, self._batch.followed
        self.trials = [TrialRecorder(*one, metric=metric, followed=followed) for one in each]

    def epoch(self, epochs: Sequence[Epoch | None]) -> None:
        for trial, epoch in zip(self.trials, epochs, strict=True):
            if epoch is not None:
                trial.take(epoch)
        self._on_epoch(next(epoch.epoch for epoch in epochs if epoch is not None))


class _Halver(Listener):
    """Ends the weaker trials of a batch at each rung; of equal ones the first continue.

    ``fit`` then forms new groups: those that continue train in one of their own, and no step computes for one that
    ended.
    """

    def __init__(self, halving: Halving, recorder: _BatchRecorder) -> None:
        self._halving, self._recorder = halving, recorder

    def epoch(self, epochs: Sequence[Epoch | None]) -> None:
        number = next(epoch.epoch for epoch in epochs if epoch is not None)
        if number not in self._halving.rungs:
            return
        alive = [
            trial
            for trial, epoch in zip(self._recorder.trials, epochs, strict=True)
            if epoch is not None and epoch.ending is None
        ]
        sign = -1 if self._halving.higher_is_better else 1
        ranked = sorted(alive, key=lambda trial: math.inf if (at := trial.value) is None else sign * at)
        for trial, epoch in zip(self._recorder.trials, epochs, strict=True):
            if epoch is not None and trial in ranked[max(1, len(alive) // self._halving.eta) :]:
                trial.prune(epoch)


class TrialRecorder:
    """One trial while it trains: its curves, and the weights that are scored."""

    def __init__(
        self,
        model: TrainedModel,
        experiment: Experiment,
        splits: Splits,
        *,
        metric: str,
        followed: tuple[str, ...] = (),
    ) -> None:
        self._model, self._experiment, self._splits, self._metric = model, experiment, splits, metric
        self._further = (metric, *followed)
        self._hashes = hashes_of(splits, model)
        self._curves: dict[str, list[float | None]] = {}
        self._ending: Ending | None = None
        self._last_epoch = 0
        self._is_pruned = False
        self._keep = KeepBest(model, experiment.evaluation.metric) if experiment.evaluation.keep == "best" else None

    def take(self, epoch: Epoch) -> None:
        """Remember an epoch's figures, and its weights where they are the best so far."""
        self._ending = epoch.ending
        if epoch.ending is not None:
            return
        self._last_epoch = epoch.epoch
        for split, figures in (("train", epoch.train), (str(self._experiment.evaluation.split), epoch.evaluated)):
            for key, value in self._figures(split, figures).items() if figures is not None else ():
                self._curves.setdefault(key, []).append(value)
        if self._keep is not None:
            self._keep.take(epoch.epoch, metrics_line(epoch, self._experiment))

    @property
    def value(self) -> float | None:
        """The metric of the weights kept so far, on the measured split; None where it is undefined."""
        curve = self._curves.get(f"{self._experiment.evaluation.split}_{self._metric}", ())
        return curve[self._kept_epoch] if self._kept_epoch < len(curve) else None

    def prune(self, epoch: Epoch) -> None:
        """It ends with this epoch, since others are better."""
        self._is_pruned = True
        self._model.end(Ending("stopped early", epoch.epoch, epoch.step, epoch.lr))

    def _figures(self, split: str, metrics: Metrics) -> dict[str, float | None]:
        """Loss, accuracy and further metrics, None where undefined; these are not measured while training."""
        known, further = named(split, metrics), [f"{split}_{key}" for key in self._further]
        always: dict[str, float | None] = {
            name: known[name] for name in (f"{split}_loss", f"{split}_accuracy") if name in known
        }
        return always if split == "train" else always | {name: known.get(name) for name in further}

    @property
    def _kept_epoch(self) -> int:
        return self._last_epoch if self._keep is None or self._keep.best is None else self._keep.best.epoch

    def record(self, head: Mapping[str, Any], split: SplitName | None) -> TrialRecord:
        """The outcome of the trial; where a ``split`` is scored, with the kept weights' figures on it."""
        outcome: dict[str, Any] = {}
        if split is not None:
            outcome["scored"] = self._scored(split)
        if (ending := self._ending) is None:
            figures = self._kept_figures(split)
            further = {name: figures.pop(name) for name in list(figures) if name not in KeptFigures.model_fields}
            outcome["kept"] = KeptFigures(epoch=self._kept_epoch, **figures, further=further or None)
        else:
            outcome["diverged"] = Divergence(epoch=ending.epoch, step=ending.step, message=ending.message)
        return TrialRecord(
            **head,
            **outcome,
            status="diverged" if ending is not None else "pruned" if self._is_pruned else "completed",
            threads=torch.get_num_threads(),
            hashes=self._hashes,
            steps_per_epoch=self._experiment.steps_per_epoch,
            curves={
                name: [value for value in curve if value is not None]
                for name, curve in self._curves.items()
                if None not in curve
            },
        )

    def _scored(self, split: SplitName) -> ScoredSplit:
        """What is known of the scored rows without the trial's weights; only their targets are read."""
        targets, facts = getattr(self._splits, split).targets, self._experiment.facts
        majority = int(targets.bincount().max()) if facts.has_classes else None
        guess = None
        if self._metric != "accuracy" or majority is None:
            guess = guessed(self._experiment, self._splits, split, self._metric, loss=self._model.loss)
        return ScoredSplit(split=split, examples=len(targets), majority=majority, guess=guess)

    def _kept_figures(self, split: str | None) -> dict[str, float]:
        """What was measured after the kept epoch, and the scores; curves of training are means during the epochs."""
        measured = {name: curve for name, curve in self._curves.items() if not name.startswith("train_")}
        figures = {name: curve[self._kept_epoch] for name, curve in measured.items()}
        known = {name: value for name, value in figures.items() if value is not None}
        if split is None:
            return known
        trainer, kept = self._model.trainer, None if self._keep is None else self._keep.parameters
        device = str(self._model.examples.x.device)
        rows = prepared(getattr(self._splits, split), loss=self._model.loss, experiment=self._experiment, device=device)
        parameters = self._model.parameters if kept is None else kept
        scorer = Scorer.of(self._experiment) if self._metric not in ("loss", "accuracy") else NO_SCORES
        scores = evaluate(
            trainer.network, parameters, loss=self._model.loss, examples=rows, classify=trainer.classify, scorer=scorer
        )
        scored = {name: value for name, value in self._figures(split, scores).items() if value is not None}
        return known | scored


_loaded: list[tuple[Experiment, Path | None, SharedData]] = []  # one at most, from batch to batch: it may be 200 MB


def task_data(base: Experiment, data_dir: Path | None, *, on_fetch: OnFetch | None = None) -> SharedData:
    """The splits of any seed. Missing data are fetched. Raises DataError, and MachineError where they cannot be had."""
    if not _loaded or _loaded[0][:2] != (base, data_dir):
        _loaded[:] = [(base, data_dir, SharedData(base, data_dir=data_dir, on_fetch=on_fetch))]
    return _loaded[0][2]
