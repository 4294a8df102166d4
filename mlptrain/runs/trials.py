"""A line of a study's ``trials.jsonl``, typed once: what one trial came to, without any clock value."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, StringConstraints, model_serializer

from mlptrain.runs.records import Hashes
from mlptrain.spec.optimizer import OptimizerSpec
from mlptrain.system.jsonfiles import Count, Figure, Fraction, Record

Positive = Annotated[int, Field(ge=1, lt=2**63)]
Identity = Annotated[str, StringConstraints(pattern="^[0-9a-f]{16}$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
CurveName = Annotated[str, StringConstraints(pattern="^(train|validation|test)_[a-z0-9_]{1,60}$")]
Changes = dict[Name, Any]  # by key path of the base
SplitName = Literal["validation", "test"]


class Sparse(Record):
    """A record whose optional fields stand in the file only where they have a value."""

    @model_serializer(mode="wrap")
    def _given(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = type(self).model_fields
        return {key: value for key, value in serialize(self).items() if value is not None or fields[key].is_required()}


class KeptFigures(Sparse):
    """The figures of the kept weights, after ``epoch``; those of the scored split are measured once, at the end."""

    epoch: Count
    train_loss: Figure | None = None  # only in records of earlier versions: means during the epoch, which nothing reads
    train_accuracy: Fraction | None = None
    validation_loss: Figure | None = None
    validation_accuracy: Fraction | None = None
    test_loss: Figure | None = None
    test_accuracy: Fraction | None = None
    further: dict[CurveName, Figure] | None = None  # of a study: its metric, where it is neither of these

    def figure(self, name: str) -> float | None:
        """A figure by its name, such as ``test_rmse``; None where it is undefined."""
        value: float | None = getattr(self, name, None)
        return (self.further or {}).get(name) if value is None else value


class Divergence(Record):
    """Where a loss or a parameter was no longer finite."""

    epoch: Count
    step: Count
    message: str


class ScoredSplit(Sparse):
    """The split that scoring reads: its examples, and how many belong to its largest class.

    ``guess`` is the metric of answers that ignore the inputs, of a study by another metric than the accuracy.
    """

    split: SplitName
    examples: Positive
    majority: Count | None
    guess: Figure | None = None


class TrialRecord(Sparse):
    """One trial, without any clock value: of an ``optimizer`` with its ``setting``, or of an ``arm`` with its changes.

    ``kept`` is there where it completed or a search pruned it, ``diverged`` where it diverged, ``message`` where the
    machine could not train it. ``curves`` hold a value for each epoch, those of the measured split from epoch 0, those
    of training, running means over each epoch as it was trained, from 1.
    """

    trial: Identity
    batch: Identity
    batch_size: Positive
    role: Literal["tuning", "scoring"]
    optimizer: str | None = None
    setting: OptimizerSpec | None = None
    arm: str | None = None
    changes: Changes | None = None
    seed: Count
    status: Literal["completed", "pruned", "diverged", "failed"]
    message: str | None = None
    threads: Positive | None = None
    hashes: Hashes | None = None  # every trial of one seed must share them
    steps_per_epoch: Positive | None = None
    curves: dict[CurveName, list[Figure]] = Field(default_factory=dict)
    kept: KeptFigures | None = None
    diverged: Divergence | None = None
    scored: ScoredSplit | None = None

    @property
    def is_tested(self) -> bool:
        """Whether the trial's weights were measured on test rows."""
        return self.kept is not None and self.scored is not None and self.scored.split == "test"
