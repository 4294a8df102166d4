"""Trials, and the batch of them that trains together: what an executor is handed and what it gives back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch

import mlptrain
from mlptrain.data import Splits
from mlptrain.errors import DivergedError, RunFolderError
from mlptrain.experiment.build import build_trainer, load_data, on_device
from mlptrain.experiment.environment import sha256
from mlptrain.nn.parameters import Parameters
from mlptrain.runs.comparison import Divergence, Hashes, KeptFigures, ScoredSplit, SplitName, TrialRecord
from mlptrain.spec import ExperimentSpec, OptimizerSpec
from mlptrain.training.device import Decisions, in_force
from mlptrain.training.metrics import evaluate
from mlptrain.training.trainer import Epoch, Member

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

    def experiment(self, base: ExperimentSpec) -> ExperimentSpec:
        """What it trains: the base with its optimizer and seed."""
        return base.model_copy(update={"optimizer": self.setting, "seed": self.seed})


@dataclass(frozen=True)
class TrialBatch:
    """Trials that train together, on the task and with the device, precision and threads of the plan; picklable.

    ``identities`` are the names of the trials, in order; ``split`` is the one that scoring reads, once per trial and
    after its training. Tuning reads none.
    """

    base: ExperimentSpec
    trials: tuple[Trial, ...]
    identities: tuple[str, ...]
    decisions: Decisions
    split: SplitName
    data_dir: Path | None = None

    @property
    def identity(self) -> str:
        """A name from those of its trials and the number of threads, on which the last bits depend."""
        decided = (str(self.decisions.threads), self.decisions.precision, self.decisions.device)
        return hashlib.sha256("/".join([*self.identities, *decided]).encode()).hexdigest()[:16]


def run_batch(batch: TrialBatch, *, on_epoch: OnEpoch = lambda _: None) -> list[TrialRecord]:
    """Train all trials of a batch together; one record each, in order, without any clock value.

    A trial that diverges is a record like any other; a batch that the machine cannot train (out of memory) gives
    records with the status ``failed``. ``on_epoch`` is given the number of each epoch that has ended, 0 first. Raises
    DataError or MachineError where the data cannot be had.
    """
    try:
        with in_force(batch.decisions):
            return _run(batch, on_epoch)
    except (MemoryError, RuntimeError) as error:
        return failed(batch, f"{type(error).__name__}: {error}")


def failed(batch: TrialBatch, reason: str) -> list[TrialRecord]:
    """The records of a batch that the machine could not train."""
    message = reason.strip().splitlines()[0].rstrip(": ")
    return [TrialRecord(**head, status="failed", message=message) for head in _heads(batch)]


def _heads(batch: TrialBatch) -> list[dict[str, Any]]:
    """What a record says of its trial, whatever came of it."""
    common = {"batch": batch.identity, "batch_size": len(batch.trials)}
    return [
        {"trial": name, **common, "role": trial.role, "optimizer": trial.optimizer, "setting": trial.setting,
         "seed": trial.seed} for trial, name in zip(batch.trials, batch.identities, strict=True)
    ]  # fmt: skip


def _run(batch: TrialBatch, on_epoch: OnEpoch) -> list[TrialRecord]:
    specs = [trial.experiment(batch.base) for trial in batch.trials]
    data = task_data(batch.base, batch.data_dir)
    splits = {spec.seed: data(spec.seed) for spec in specs}
    trainer = build_trainer(specs, [splits[spec.seed] for spec in specs])
    recorders = [TrialRecorder(trainer.member(index), spec, splits[spec.seed]) for index, spec in enumerate(specs)]
    for epochs in trainer.epochs(first=0, last=batch.base.training.epochs, should_stop=lambda: False):
        for recorder, epoch in zip(recorders, epochs, strict=True):
            if epoch is not None:
                recorder.take(epoch)
        on_epoch(next(epoch.epoch for epoch in epochs if epoch is not None))
    return [
        recorder.record(head, batch.split if trial.role == "scoring" else None)
        for recorder, head, trial in zip(recorders, _heads(batch), batch.trials, strict=True)
    ]


class TrialRecorder:
    """One trial while it trains: its curves, and the weights that are scored."""

    def __init__(self, model: Member, spec: ExperimentSpec, splits: Splits) -> None:
        self._model, self._spec, self._splits = model, spec, splits
        self._hashes = Hashes(
            data=splits.fingerprint,
            initial_weights=sha256(model.parameters.clone().flat),
            batch_order=sha256(model.order(1)),
        )
        self._curves: dict[str, list[float]] = {}
        self._diverged: DivergedError | None = None
        self._kept_epoch, self._best = 0, float("inf")
        self._kept: Parameters | None = None

    def take(self, epoch: Epoch) -> None:
        """Remember an epoch's figures, and its weights where they are the best so far."""
        if epoch.diverged is not None:
            self._diverged = epoch.diverged
            return
        for split, figures in (("train", epoch.train), (self._spec.evaluation.split, epoch.evaluated)):
            for key, value in asdict(figures).items() if figures is not None else ():
                self._curves.setdefault(f"{split}_{key}", []).append(value)
        if self._spec.evaluation.keep != "best" or epoch.evaluated is None:
            self._kept_epoch = epoch.epoch
        elif epoch.evaluated.loss < self._best:
            self._best, self._kept_epoch = epoch.evaluated.loss, epoch.epoch
            if self._kept is None:
                self._kept = self._model.parameters.clone()
            else:
                self._kept.copy_(self._model.parameters)

    def record(self, head: Mapping[str, Any], split: SplitName | None) -> TrialRecord:
        """What came of the trial; where a ``split`` is scored, the kept weights' figures on it."""
        outcome: dict[str, Any] = {}
        if split is not None:
            labels = getattr(self._splits, split).y
            outcome["scored"] = ScoredSplit(split=split, examples=len(labels), majority=int(labels.bincount().max()))
        if (error := self._diverged) is None:
            outcome["kept"] = KeptFigures(epoch=self._kept_epoch, **self._kept_figures(split))
        else:
            outcome["diverged"] = Divergence(epoch=error.epoch, step=error.step, message=str(error))
        return TrialRecord(
            **head,
            **outcome,
            status="completed" if error is None else "diverged",
            threads=torch.get_num_threads(),
            hashes=self._hashes,
            steps_per_epoch=self._spec.steps_per_epoch,
            curves=self._curves,
        )

    def _kept_figures(self, split: str | None) -> dict[str, float]:
        """Those of the kept epoch, of which training has none before its first, and the scores."""
        figures = {}
        for name, values in self._curves.items():
            index = self._kept_epoch - name.startswith("train_")
            if index >= 0:
                figures[name] = values[index]
        return figures if split is None else figures | self._scores(split)

    def _scores(self, split: str) -> dict[str, float]:
        trainer, device = self._model.trainer, str(self._model.rows.x.device)
        rows = on_device(getattr(self._splits, split), loss=trainer.loss, spec=self._spec, device=device)
        figures = evaluate(
            trainer.network,
            self._model.parameters if self._kept is None else self._kept,
            loss=trainer.loss,
            x=rows.x,
            targets=rows.y,
            classify=trainer.classify,
        )
        return {f"{split}_{key}": value for key, value in asdict(figures).items()}


@dataclass(frozen=True)
class _Task:
    """The data of one task; the splits of its seeds share their rows."""

    base: ExperimentSpec
    data_dir: Path | None
    first: Splits

    def splits(self, seed: int) -> Splits:
        return load_data(self.base.model_copy(update={"seed": seed}), data_dir=self.data_dir, like=self.first)


_loaded: list[_Task] = []  # one at most, kept from batch to batch: it may be 200 MB


def task_data(
    base: ExperimentSpec, data_dir: Path | None, *, on_fetch: OnFetch | None = None
) -> Callable[[int], Splits]:
    """The splits of any seed. Missing data are fetched.

    Raises DataError, and MachineError where they cannot be had.
    """
    if not _loaded or (_loaded[0].base, _loaded[0].data_dir) != (base, data_dir):
        task = _Task(base, data_dir, load_data(base, data_dir=data_dir, on_fetch=on_fetch))
        _loaded[:] = [task]
    return _loaded[0].splits


def software() -> dict[str, str]:
    """The versions of what decides the bits of a result."""
    return {"mlptrain": mlptrain.__version__, "torch": str(torch.__version__)}


def check_paired(records: Sequence[TrialRecord]) -> None:
    """Trials of one seed had the same data, initial weights and batch order. Raises RunFolderError otherwise."""
    first: dict[int, TrialRecord] = {}
    for record in records:
        if record.hashes is None:
            continue
        other = first.setdefault(record.seed, record)
        if record.hashes != other.hashes:
            theirs = dict(other.hashes or ())
            different = [key.replace("_", " ") for key, digest in record.hashes if digest != theirs[key]]
            raise RunFolderError(
                f"trials {other.trial} and {record.trial} of seed {record.seed} had different "
                f"{' and '.join(different)}, so that they cannot be compared: the data changed between them, or "
                "trials.jsonl was edited; start the comparison over in another folder, with --run-dir"
            )
