"""What a comparison is going to do, fixed and hashed before the first trial."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mlptrain.comparison.trials import Trial, TrialBatch, software, task_text
from mlptrain.comparison.verdicts import at_edge
from mlptrain.spec import OptimizerSpec
from mlptrain.spec.comparison.grids import Side
from mlptrain.spec.comparison.load import plan_digest
from mlptrain.spec.comparison.sections import PLAN_KEYS, ComparisonSpec

# What the models of one batch may be and take. A batch that is lost to a crash is trained again whole.
MOST_MODELS = 64
MOST_BYTES = 2_000_000_000
EXTENSION_RULE = (
    "a chosen value on the edge of its grid extends the grid by the ratio of the two values next to that edge, "
    "as often as tuning.extensions allows; an optimizer whose choice is still on an edge then is under-tuned, "
    "unless no value lies beyond that edge"
)

Grids = dict[str, list[Any]]


@dataclass(frozen=True)
class Plan:
    """A comparison with device, precision and threads as decided. The hash names the comparison's folder."""

    spec: ComparisonSpec
    device: str
    precision: str
    threads: int

    @cached_property
    def task(self) -> str:
        """The experiment that every trial trains but for optimizer and seed, with the decisions in it, as YAML."""
        training = self.spec.base.training.model_copy(
            update={"device": self.device, "precision": self.precision, "threads": self.threads}
        )
        return task_text(self.spec.base.model_copy(update={"training": training, "seed": 0}))

    @property
    def split(self) -> str:
        """The split that scoring reads."""
        return str(self.spec.scoring.split)

    def to_plain(self) -> dict[str, Any]:
        """Everything that decides the results; where trials run does not.

        A comparison with device, precision and threads written out, that runs again as it stands, and ``PLAN_KEYS``.
        """
        values = self.spec.to_plain()
        values.pop("executor", None)
        decided = {"device": self.device, "precision": self.precision, "threads": self.threads}
        values["base"] = values["base"] | {"training": values["base"]["training"] | decided}
        told: list[Any] = [
            software(),
            EXTENSION_RULE,
            self.models_at_once,
            [batch.identity for batch in self.tuning_batches(self.first_grids())],
        ]
        return values | dict(zip(PLAN_KEYS, told, strict=True))

    @cached_property
    def digest(self) -> str:
        """The plan's hash."""
        return plan_digest(self.to_plain())

    @cached_property
    def models_at_once(self) -> int:
        """How many models one batch holds, by the memory that they take."""
        base = self.spec.base
        parameters = sum(a * b + b for a, b in pairwise(base.widths))
        per_model = 4 * (8 * parameters + 4 * base.experiment.batch_size * sum(base.widths[1:]))
        return max(1, min(MOST_MODELS, MOST_BYTES // per_model))

    def first_grids(self) -> dict[str, Grids]:
        """The grids of the file, of every optimizer that has something to tune."""
        if self.spec.tuning is None:
            return {}
        return {
            name: {field: self.spec.grid_of(name, field) for field in fields}
            for name in self.spec.optimizers
            if (fields := self.spec.tuned_fields(name))
        }

    def tuning_batches(
        self, grids: Mapping[str, Grids], *, known: frozenset[str] = frozenset(), data_dir: Path | None = None
    ) -> list[TrialBatch]:
        """The batches that try every setting of the grids on every tuning seed, without the ``known`` trials."""
        return self._batches(
            [
                [
                    trial
                    for name, fields in grids.items()
                    for setting in self.spec.settings(name, fields)
                    if (trial := Trial("tuning", name, setting, seed)).identity(self.task) not in known
                ]
                for seed in self.spec.tuning_seeds
            ],
            data_dir,
        )

    def scoring_batches(self, chosen: Mapping[str, OptimizerSpec], *, data_dir: Path | None = None) -> list[TrialBatch]:
        """The batches that train every chosen setting on every scoring seed."""
        return self._batches(
            [
                [Trial("scoring", name, setting, seed) for name, setting in chosen.items()]
                for seed in self.spec.scoring_seeds
            ],
            data_dir,
        )

    def _batches(self, by_seed: Sequence[Sequence[Trial]], data_dir: Path | None) -> list[TrialBatch]:
        """Trials of one seed together, since they share their batches; equal ones that stand twice are trained once."""
        batches = []
        for trials in by_seed:
            unique = list({trial.identity(self.task): trial for trial in trials}.values())
            starts = range(0, len(unique), self.models_at_once)
            batches += [self.batch(unique[start : start + self.models_at_once], data_dir=data_dir) for start in starts]
        return batches

    def batch(self, trials: Sequence[Trial], *, data_dir: Path | None = None) -> TrialBatch:
        """Trials that train together."""
        return TrialBatch(
            base=self.task,
            trials=tuple(trials),
            device=self.device,
            precision=self.precision,
            threads=self.threads,
            split=self.split,
            data_dir=data_dir,
        )


def grown(spec: ComparisonSpec, name: str, grids: Grids, chosen: OptimizerSpec) -> Grids | None:
    """The grids of an optimizer with every tuned field extended at whose edge the ``chosen`` value lies.

    None where no chosen value lies on an edge that can be extended.
    """
    larger = {}
    for field, side in _edges(grids, chosen).items():
        values = grids[field]
        if (more := spec.next_value(name, field, values, side)) is not None:
            larger[field] = [more, *values] if side == "low" else [*values, more]
    return grids | larger if larger else None


def ends_on_edge(spec: ComparisonSpec, name: str, grids: Grids, chosen: OptimizerSpec) -> bool:
    """Whether a chosen value lies on the edge of its grid though the field takes values beyond it.

    A momentum of 0 lies on no such edge; one of 0.9 beside 0.5 does, even though 1.62, the next by the rule, is none.
    """
    edges = _edges(grids, chosen).items()
    return any(_goes_on(spec, name, field, getattr(chosen, field), side) for field, side in edges)


def _edges(grids: Grids, chosen: OptimizerSpec) -> dict[str, Side]:
    """The tuned fields whose chosen value lies at an end of their grid, and at which; pairs have no order."""
    ordered = {field: values for field, values in grids.items() if not isinstance(values[0], list)}
    sides = {field: at_edge(getattr(chosen, field), grid=values) for field, values in ordered.items()}
    return {field: side for field, side in sides.items() if side is not None}


def _goes_on(spec: ComparisonSpec, name: str, field: str, value: float, side: Side) -> bool:
    """Whether the field takes the next float beyond ``value``."""
    try:
        spec.settings(name, {field: [math.nextafter(value, -math.inf if side == "low" else math.inf)]})
    except ValidationError:
        return False
    return True
