"""Trials, and the batch of them that trains together: what an executor is handed and what it gives back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

import mlptrain
from mlptrain.data import Splits
from mlptrain.errors import RunFolderError, is_out_of_memory
from mlptrain.experiment.build import SharedData, prepared
from mlptrain.experiment.environment import hashes_of
from mlptrain.experiment.fit import fit
from mlptrain.experiment.recorder import metrics_line
from mlptrain.runs.comparison import Divergence, KeptFigures, ScoredSplit, SplitName, TrialRecord
from mlptrain.spec import Experiment, OptimizerSpec
from mlptrain.training.device import ResolvedDevice, applied
from mlptrain.training.endings import Ending
from mlptrain.training.keep import KeepBest
from mlptrain.training.metrics import evaluate
from mlptrain.training.trainer import Epoch, TrainedModel

OnEpoch = Callable[[int], None]
OnFetch = Callable[[str, int, int | None], None]  # archive, bytes so far, bytes in all


@dataclass(frozen=True)
class Trial:
    """One training: a named optimizer with one setting, and a seed."""

    role: Literal["tuning", "scoring"]
    optimizer: str
    setting: OptimizerSpec
    seed: int

    def identity(self, task: str) -> str:
        """A name from the content: 16 hexadecimal digits of SHA-256 over task (as YAML), role, setting and seed.

        The optimizer's name in the comparison is not part of it: what is trained does not depend on it.
        """
        content = json.dumps([task, self.role, self.setting.model_dump(), self.seed], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def experiment(self, base: Experiment) -> Experiment:
        """What it trains: the base with its optimizer and seed."""
        return base.changed(optimizer=self.setting, seed=self.seed)


@dataclass(frozen=True)
class TrialBatch:
    """Trials that train together, on the task and with the device, precision and threads of the plan; picklable.

    ``identities`` are the names of the trials, in order; ``split`` is the one that scoring reads, once per trial and
    after its training. Tuning reads none.
    """

    base: Experiment
    trials: tuple[Trial, ...]
    identities: tuple[str, ...]
    resolved: ResolvedDevice
    split: SplitName
    data_dir: Path | None = None

    @property
    def identity(self) -> str:
        """A name from those of its trials and the number of threads, on which the last bits depend."""
        parts = [*self.identities, str(self.resolved.threads), self.resolved.precision, self.resolved.device]
        return hashlib.sha256("/".join(parts).encode()).hexdigest()[:16]


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
        return failed(batch, f"{'out of memory' if is_out_of_memory(error) else type(error).__name__}: {error}")


def failed(batch: TrialBatch, reason: str) -> list[TrialRecord]:
    """The records of a batch that the machine could not train."""
    message = reason.strip().splitlines()[0].rstrip(": ")
    return [TrialRecord(**head, status="failed", message=message) for head in _heads(batch)]


def _heads(batch: TrialBatch) -> list[dict[str, Any]]:
    """What a record says of its trial, whatever its outcome."""
    common = {"batch": batch.identity, "batch_size": len(batch.trials)}
    return [
        {"trial": name, **common, "role": trial.role, "optimizer": trial.optimizer, "setting": trial.setting,
         "seed": trial.seed} for trial, name in zip(batch.trials, batch.identities, strict=True)
    ]  # fmt: skip


def _run(batch: TrialBatch, on_epoch: OnEpoch) -> list[TrialRecord]:
    experiments = [trial.experiment(batch.base) for trial in batch.trials]
    data = task_data(batch.base, batch.data_dir)
    by_seed = {seed: data(seed) for seed in dict.fromkeys(trial.seed for trial in batch.trials)}
    splits = [by_seed[experiment.seed] for experiment in experiments]
    recorder = _BatchRecorder(experiments, splits, on_epoch)
    fit(experiments, splits, [recorder])
    scored = [batch.split if trial.role == "scoring" else None for trial in batch.trials]
    ended = zip(recorder.trials, _heads(batch), scored, strict=True)
    return [trial.record(head, split) for trial, head, split in ended]


class _BatchRecorder:
    """Follows the trials of a batch while they train."""

    def __init__(self, experiments: Sequence[Experiment], splits: Sequence[Splits], on_epoch: OnEpoch) -> None:
        self._experiments, self._splits, self._on_epoch = experiments, splits, on_epoch
        self.trials: list[TrialRecorder] = []

    def started(self, models: Sequence[TrainedModel]) -> None:
        self.trials = list(map(TrialRecorder, models, self._experiments, self._splits))

    def epoch(self, epochs: Sequence[Epoch | None]) -> None:
        for trial, epoch in zip(self.trials, epochs, strict=True):
            if epoch is not None:
                trial.take(epoch)
        self._on_epoch(next(epoch.epoch for epoch in epochs if epoch is not None))

    def ended(self, endings: Sequence[Ending | None]) -> None:
        pass


class TrialRecorder:
    """One trial while it trains: its curves, and the weights that are scored."""

    def __init__(self, model: TrainedModel, experiment: Experiment, splits: Splits) -> None:
        self._model, self._experiment, self._splits = model, experiment, splits
        self._hashes = hashes_of(splits, model)
        self._curves: dict[str, list[float]] = {}
        self._ending: Ending | None = None
        self._last_epoch = 0
        self._keep = KeepBest(model, experiment.evaluation.metric) if experiment.evaluation.keep == "best" else None

    def take(self, epoch: Epoch) -> None:
        """Remember an epoch's figures, and its weights where they are the best so far."""
        self._ending = epoch.ending
        if epoch.ending is not None:
            return
        self._last_epoch = epoch.epoch
        for split, figures in (("train", epoch.train), (self._experiment.evaluation.split, epoch.evaluated)):
            for key, value in figures.always.items() if figures is not None else ():
                self._curves.setdefault(f"{split}_{key}", []).append(value)
        if self._keep is not None:
            self._keep.take(epoch.epoch, metrics_line(epoch, self._experiment))

    @property
    def _kept_epoch(self) -> int:
        return self._last_epoch if self._keep is None or self._keep.best is None else self._keep.best.epoch

    def record(self, head: Mapping[str, Any], split: SplitName | None) -> TrialRecord:
        """The outcome of the trial; where a ``split`` is scored, with the kept weights' figures on it."""
        outcome: dict[str, Any] = {}
        if split is not None:
            labels = getattr(self._splits, split).targets
            outcome["scored"] = ScoredSplit(split=split, examples=len(labels), majority=int(labels.bincount().max()))
        if (ending := self._ending) is None:
            outcome["kept"] = KeptFigures(epoch=self._kept_epoch, **self._kept_figures(split))
        else:
            outcome["diverged"] = Divergence(epoch=ending.epoch, step=ending.step, message=ending.message)
        return TrialRecord(
            **head,
            **outcome,
            status="completed" if ending is None else "diverged",
            threads=torch.get_num_threads(),
            hashes=self._hashes,
            steps_per_epoch=self._experiment.steps_per_epoch,
            curves=self._curves,
        )

    def _kept_figures(self, split: str | None) -> dict[str, float]:
        """What was measured after the kept epoch, and the scores; curves of training are means during the epochs."""
        measured = {name: curve for name, curve in self._curves.items() if not name.startswith("train_")}
        figures = {name: curve[self._kept_epoch] for name, curve in measured.items()}
        if split is None:
            return figures
        trainer, kept = self._model.trainer, None if self._keep is None else self._keep.parameters
        device = str(self._model.examples.x.device)
        rows = prepared(getattr(self._splits, split), loss=self._model.loss, experiment=self._experiment, device=device)
        parameters = self._model.parameters if kept is None else kept
        scores = evaluate(trainer.network, parameters, loss=self._model.loss, examples=rows, classify=trainer.classify)
        return figures | {f"{split}_{key}": value for key, value in scores.always.items()}


_loaded: list[tuple[Experiment, Path | None, SharedData]] = []  # one at most, from batch to batch: it may be 200 MB


def task_data(base: Experiment, data_dir: Path | None, *, on_fetch: OnFetch | None = None) -> SharedData:
    """The splits of any seed. Missing data are fetched. Raises DataError, and MachineError where they cannot be had."""
    if not _loaded or _loaded[0][:2] != (base, data_dir):
        _loaded[:] = [(base, data_dir, SharedData(base, data_dir=data_dir, on_fetch=on_fetch))]
    return _loaded[0][2]


def software() -> dict[str, str]:
    """The versions of what decides the bits of a result."""
    return {"mlptrain": mlptrain.__version__, "torch": str(torch.__version__)}


def check_paired(records: Sequence[TrialRecord]) -> None:
    """Trials of one seed had the same data, initial weights and batch order. Raises RunFolderError otherwise."""
    first: dict[int, TrialRecord] = {}
    for record in records:
        other = first.setdefault(record.seed, record) if record.hashes else record
        if record.hashes != other.hashes:
            theirs = dict(other.hashes or ())
            different = [key.replace("_", " ") for key, digest in record.hashes or () if digest != theirs[key]]
            raise RunFolderError(
                f"trials {other.trial} and {record.trial} of seed {record.seed} had different "
                f"{' and '.join(different)}, so that they cannot be compared: the data changed between them, or "
                "trials.jsonl was edited; start the comparison over in another folder, with --run-dir"
            )
