"""What a comparison will do, fixed and hashed before the first trial."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import Any

from mlptrain.comparison.study import MAX_MODELS, StudyPlan, fitting
from mlptrain.comparison.trials import Trial, TrialBatch
from mlptrain.experiment.build import resolved_for
from mlptrain.runs.trials import SplitName
from mlptrain.spec import Experiment
from mlptrain.spec.comparison.changes import Changes, value_of, with_changes
from mlptrain.spec.comparison.grids import Side, beyond, is_ordered
from mlptrain.spec.comparison.sections import Arm, Candidate, ComparisonSpec
from mlptrain.spec.kinds import COMPARISON

EXTENSION_RULE = (
    "a chosen value on the edge of its grid extends the grid by the ratio of the two values next to that edge, "
    "as often as tuning.extensions allows; an optimizer whose choice is still on an edge then is under-tuned, "
    "unless no value lies beyond that edge"
)

Grids = dict[str, list[Any]]


class Plan(StudyPlan[ComparisonSpec]):
    """A comparison as it is run here."""

    kind = COMPARISON

    @property
    def split(self) -> SplitName:
        """The split that scoring reads."""
        return self.spec.scoring.split or "test"

    @property
    def followed(self) -> tuple[str, ...]:
        """The metric of the target, where arms are compared by another."""
        target = self.spec.target
        known = ("loss", "accuracy", self.spec.judged_by.key)
        return () if target is None or target.key in known else (target.key,)

    def own(self) -> dict[str, Any]:
        """The rule by which grids grow, and the batches that are known beforehand."""
        return super().own() | {
            "extension_rule": EXTENSION_RULE,
            "models_at_once": self.models_at_once,
            "tuning_batches": [batch.identity for batch in self.tuning_batches(self.first_grids())],
        }

    @cached_property
    def models_at_once(self) -> int:
        """How many models one batch holds, by the memory that they take."""
        settings = [changes for arm in self.spec.arms.values() for changes in arm.settings()]
        return min(MAX_MODELS, fitting([self.task, *(with_changes(self.task, one, seed=0) for one in settings)]))

    def first_grids(self) -> dict[str, Grids]:
        """The grids of the file, of every arm that has something to tune."""
        if self.spec.tuning is None:
            return {}
        return {name: arm.grids for name, arm in self.spec.compared.items() if arm.grids}

    def tuning_batches(self, grids: Mapping[str, Grids], *, known: Collection[str] = ()) -> list[TrialBatch]:
        """The batches that try every setting of the grids on every tuning seed, without the ``known`` trials."""
        arms = self.spec.compared
        settings = [(name, setting) for name in grids for setting in arms[name].settings(grids[name])]
        by_seed = [[Trial("tuning", *setting, seed) for setting in settings] for seed in self.spec.tuning_seeds]
        missing = [[trial for trial in trials if self.identity(trial) not in known] for trials in by_seed]
        return self._batches(missing)

    def scoring_batches(self, chosen: Mapping[str, Changes]) -> list[TrialBatch]:
        """The batches that train every chosen setting on every scoring seed."""
        seeds = self.spec.scoring_seeds
        return self._batches([[Trial("scoring", *item, seed) for item in chosen.items()] for seed in seeds])

    def _batches(self, by_seed: Sequence[Sequence[Trial]]) -> list[TrialBatch]:
        """Trials of one seed together, since they share their batches; equal ones are trained once."""
        batches = []
        for trials in by_seed:
            unique = list({self.identity(trial): trial for trial in trials}.values())
            batches += self.batches(unique, self.models_at_once)
        return batches


def make_plan(spec: ComparisonSpec) -> Plan:
    """The plan of a comparison on this machine: device, precision and threads are resolved here, once.

    Raises DeviceError for a device that is not there.
    """
    base = Experiment(spec.base, spec.base.data.facts())
    return Plan(spec, resolved_for(base, models=len(spec.compared)))  # as many as its smallest batches have


def grown(candidate: Candidate | Arm, grids: Grids, chosen: Changes) -> Grids | None:
    """The grids of an arm with every tuned field extended at whose edge the ``chosen`` value lies.

    None where no chosen value lies on an edge that can be extended.
    """
    larger = {}
    for field, side in _edges(grids, chosen).items():
        values = grids[field]
        if (more := candidate.next_value(field, values, side)) is not None:
            larger[field] = [more, *values] if side == "low" else [*values, more]
    return grids | larger if larger else None


def ends_on_edge(candidate: Candidate | Arm, grids: Grids, chosen: Changes) -> bool:
    """Whether a chosen value lies on the edge of its grid though the field takes values beyond it.

    A momentum of 0 does not lie on such an edge; one of 0.9 beside 0.5 does, even though 1.62, the next by the rule,
    is not a momentum.
    """
    return any(
        candidate.accepts(field, beyond(value_of(chosen, field), side)) for field, side in _edges(grids, chosen).items()
    )


def _edges(grids: Grids, chosen: Changes) -> dict[str, Side]:
    """The tuned fields whose chosen value lies at an end of their grid, and at which; lists and words have no order."""
    edges: dict[str, Side] = {}
    for field, values in grids.items():
        if is_ordered(values) and (value := value_of(chosen, field)) in (values[0], values[-1]):
            edges[field] = "low" if value == values[0] else "high"
    return edges
