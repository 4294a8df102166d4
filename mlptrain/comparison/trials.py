"""Trials, and the batch of them that trains together: what an executor is handed and what it gives back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mlptrain.errors import is_out_of_memory
from mlptrain.spec import Experiment, ExperimentSpec, OptimizerSpec, load_text, to_yaml

Record = dict[str, Any]
OnEpoch = Callable[[int], None]
OnFetch = Callable[[str, int, int | None], None]  # archive, bytes so far, bytes in all


@dataclass(frozen=True)
class Trial:
    """One training: a named optimizer with one setting, and a seed. ``role`` is tuning or scoring."""

    role: str
    optimizer: str
    setting: OptimizerSpec
    seed: int

    def identity(self, task: str) -> str:
        """A name from the content: 16 hexadecimal digits of SHA-256 over task, role, setting and seed.

        The optimizer's name in the comparison is no part of it: what is trained does not depend on it.
        """
        content = json.dumps([task, self.role, self.setting.model_dump(), self.seed], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class TrialBatch:
    """Trials that train together, on the task and under the decisions of the plan; picklable.

    ``base`` is the task as YAML; ``split`` the one that scoring reads, once per trial and after its training. Tuning
    reads none.
    """

    base: str
    trials: tuple[Trial, ...]
    device: str
    precision: str
    threads: int
    split: str
    data_dir: Path | None = None

    @property
    def identities(self) -> list[str]:
        """The names of the trials, in order."""
        return [trial.identity(self.base) for trial in self.trials]

    @property
    def identity(self) -> str:
        """A name from those of its trials and the number of threads, on which the last bits depend."""
        content = "/".join([*self.identities, str(self.threads), self.precision, self.device])
        return hashlib.sha256(content.encode()).hexdigest()[:16]


def run_batch(batch: TrialBatch, *, on_epoch: OnEpoch = lambda _: None) -> list[Record]:
    """Train all trials of a batch together; one record each, in order, without any clock value.

    A trial that diverges is a record like any other; a batch that the machine cannot train (out of memory) gives
    records with the status ``failed``. ``on_epoch`` is told the number of each epoch that has ended, 0 first. Raises
    DataError or MachineError where the data cannot be had.
    """
    try:
        return _run(batch, on_epoch)
    except (MemoryError, RuntimeError) as error:
        return failed(batch, f"{'out of memory' if is_out_of_memory(error) else type(error).__name__}: {error}")


def failed(batch: TrialBatch, reason: str) -> list[Record]:
    """The records of a batch that the machine could not train."""
    message = reason.strip().splitlines()[0].rstrip(": ")
    return [
        _head(trial, identity, batch) | {"status": "failed", "message": message}
        for trial, identity in zip(batch.trials, batch.identities, strict=True)
    ]


def _run(batch: TrialBatch, on_epoch: OnEpoch) -> list[Record]:
    import torch

    from mlptrain.experiment.build import build_trainer
    from mlptrain.training.device import ResolvedDevice, applied

    task = load_text(batch.base).experiment
    specs = [task.changed(optimizer=trial.setting, seed=trial.seed) for trial in batch.trials]
    with applied(ResolvedDevice(batch.device, batch.precision, batch.threads)):  # type: ignore[arg-type]
        data = task_data(batch.base, batch.data_dir)
        splits = {spec.seed: data(spec.seed) for spec in specs}
        trainer = build_trainer(specs, [splits[spec.seed] for spec in specs])
        followed = [_Followed(trainer.model(index), spec, splits[spec.seed]) for index, spec in enumerate(specs)]
        for found in trainer.epochs(first=0, last=task.training.epochs, should_stop=lambda: False):
            for one, epoch in zip(followed, found, strict=True):
                if epoch is not None:
                    one.take(epoch)
            on_epoch(next(epoch.epoch for epoch in found if epoch is not None))
        records = []
        for trial, identity, one in zip(batch.trials, batch.identities, followed, strict=True):
            scored = batch.split if trial.role == "scoring" else None
            records.append(_head(trial, identity, batch) | {"threads": torch.get_num_threads()} | one.record(scored))
        return records


def _head(trial: Trial, identity: str, batch: TrialBatch) -> Record:
    return {
        "trial": identity,
        "batch": batch.identity,
        "role": trial.role,
        "optimizer": trial.optimizer,
        "setting": trial.setting.model_dump(),
        "seed": trial.seed,
    }


def kept_figures(curves: Mapping[str, Sequence[float]], epoch: int) -> dict[str, Any]:
    """The figures of the ``epoch`` whose weights were kept; there are none of training before its first epoch."""
    return {"epoch": epoch} | {
        name: values[epoch - (1 if name.startswith("train_") else 0)]
        for name, values in curves.items()
        if not (name.startswith("train_") and epoch == 0)
    }


class _Followed:
    """One trial while it trains: its curves, and the weights that it stands for."""

    def __init__(self, member: Any, spec: Experiment, splits: Any) -> None:
        from mlptrain.experiment.environment import sha256

        self.member, self.spec, self.splits = member, spec, splits
        self.hashes = {
            "data": splits.fingerprint,
            "initial_weights": sha256(member.parameters.clone().flat),
            "batch_order": sha256(member.order(1)),
        }
        self.curves: dict[str, list[float]] = {}
        self.kept_epoch = 0
        self.diverged: dict[str, Any] | None = None
        self._best = float("inf")
        self._kept: Any = None

    def take(self, epoch: Any) -> None:
        """Remember an epoch's figures, and its weights where they are the best so far."""
        if epoch.ending is not None:
            ending = epoch.ending
            self.diverged = {"epoch": ending.epoch, "step": ending.step, "message": ending.message}
            return
        for name, figures in (("train", epoch.train), (str(self.spec.evaluation.split), epoch.evaluated)):
            if figures is not None:
                for key, value in asdict(figures).items():
                    self.curves.setdefault(f"{name}_{key}", []).append(value)
        keep_best = self.spec.evaluation.keep == "best" and epoch.evaluated is not None
        if not keep_best:
            self.kept_epoch = epoch.epoch
        elif epoch.evaluated.loss < self._best:
            self._best, self.kept_epoch = epoch.evaluated.loss, epoch.epoch
            if self._kept is None:
                self._kept = self.member.parameters.clone()
            else:
                self._kept.copy_(self.member.parameters)

    def record(self, split: str | None) -> Record:
        """Status, curves (the measured split's from epoch 0, training's from 1) and, where a split is read, scores."""
        common = {"hashes": self.hashes, "curves": self.curves, "steps_per_epoch": self.spec.steps_per_epoch}
        if self.diverged is not None:
            return common | {"status": "diverged", "diverged": self.diverged} | self._facts(split)
        kept = kept_figures(self.curves, self.kept_epoch)
        if split is not None:
            kept |= self._scores(split)
        return common | {"status": "completed", "kept": kept} | self._facts(split)

    def _facts(self, split: str | None) -> Record:
        """Of the scored split: examples, and how many belong to its largest class."""
        if split is None:
            return {}
        labels = getattr(self.splits, split).targets
        return {"scored": {"split": split, "examples": len(labels), "majority": int(labels.bincount().max())}}

    def _scores(self, split: str) -> dict[str, float]:
        from mlptrain.experiment.build import prepared
        from mlptrain.training.metrics import evaluate

        trainer = self.member.trainer
        device = str(self.member.examples.x.device)
        examples = prepared(getattr(self.splits, split), loss=trainer.loss, experiment=self.spec, device=device)
        parameters = self.member.parameters if self._kept is None else self._kept
        figures = evaluate(trainer.network, parameters, loss=trainer.loss, examples=examples, classify=trainer.classify)
        return {f"{split}_{key}": value for key, value in asdict(figures).items()}


_loaded: dict[tuple[str, Path | None], Callable[[int], Any]] = {}  # of one task at most: it may be 200 MB


def task_data(base: str, data_dir: Path | None, *, on_fetch: OnFetch | None = None) -> Callable[[int], Any]:
    """The splits of any seed; those of one task share their rows, in one process from batch to batch.

    Data that are not there are fetched. Raises DataError, and MachineError where they cannot be had.
    """
    from mlptrain.experiment.build import SharedData

    if (base, data_dir) not in _loaded:
        of_seed = SharedData(load_text(base).experiment, data_dir=data_dir, on_fetch=on_fetch)

        _loaded.clear()
        _loaded[base, data_dir] = of_seed
    return _loaded[base, data_dir]


def software() -> dict[str, str]:
    """The versions of what decides the bits of a result."""
    import torch

    import mlptrain

    return {"mlptrain": mlptrain.__version__, "torch": str(torch.__version__)}


def task_text(spec: ExperimentSpec) -> str:
    """The task of a comparison as YAML, for the batches and for the names of trials."""
    return to_yaml(spec)


def check_paired(records: Sequence[Mapping[str, Any]]) -> None:
    """Trials of one seed had the same data, initial weights and batch order. Raises RunFolderError otherwise."""
    from mlptrain.errors import RunFolderError

    first: dict[int, Mapping[str, Any]] = {}
    for record in records:
        if "hashes" not in record:
            continue
        other = first.setdefault(record["seed"], record)
        if different := [what for what, digest in record["hashes"].items() if digest != other["hashes"].get(what)]:
            raise RunFolderError(
                f"trials {other['trial']} and {record['trial']} of seed {record['seed']} had different "
                f"{' and '.join(different).replace('_', ' ')}, so that they cannot be compared: the data changed "
                "between them, or trials.jsonl was edited; start the comparison anew in another folder, with --run-dir"
            )
