"""What a comparison will do, fixed and hashed before the first trial."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mlptrain.comparison.trials import Trial, TrialBatch, software
from mlptrain.runs.comparison import SplitName
from mlptrain.spec import Experiment, to_yaml
from mlptrain.spec.comparison.changes import Changes, value_of, with_changes
from mlptrain.spec.comparison.grids import Side, is_ordered
from mlptrain.spec.comparison.load import plan_digest
from mlptrain.spec.comparison.sections import FORMAT, Arm, Candidate, ComparisonSpec
from mlptrain.training.device import ResolvedDevice, resolve_device

# What the models of one batch may be and take. A batch that is lost to a crash is retrained whole.
MAX_MODELS = 64
MAX_BYTES = 2_000_000_000
EXTENSION_RULE = (
    "a chosen value on the edge of its grid extends the grid by the ratio of the two values next to that edge, "
    "as often as tuning.extensions allows; an optimizer whose choice is still on an edge then is under-tuned, "
    "unless no value lies beyond that edge"
)

Grids = dict[str, list[Any]]


@dataclass(frozen=True)
class Plan:
    """A comparison with device, precision and threads as resolved. The hash names the comparison's folder."""

    spec: ComparisonSpec
    resolved: ResolvedDevice

    @cached_property
    def task(self) -> Experiment:
        """The experiment that every trial trains but for its arm and seed, with the resolved values in it."""
        experiment = Experiment(self.spec.base, self.spec.base.data.facts())
        return experiment.changed(seed=0).with_training(**asdict(self.resolved))

    @cached_property
    def _task_text(self) -> str:
        return to_yaml(self.task.spec)

    def identity(self, trial: Trial) -> str:
        """The name of a trial."""
        return trial.identity(self._task_text)

    @property
    def name(self) -> str:
        """The comparison's name."""
        return self.spec.name

    @property
    def split(self) -> SplitName:
        """The split that scoring reads."""
        return self.spec.scoring.split or "test"

    def to_plain(self) -> dict[str, Any]:
        """Everything that decides the results; where trials run does not.

        A comparison with device, precision and threads written out, that can be rerun as it stands, and ``PLAN_KEYS``.
        """
        values = self.spec.to_plain()
        values.pop("executor", None)
        values["base"] = values["base"] | {"training": values["base"]["training"] | asdict(self.resolved)}
        return values | {
            "format": FORMAT,
            "software": software(),
            "extension_rule": EXTENSION_RULE,
            "models_at_once": self.models_at_once,
            "tuning_batches": [batch.identity for batch in self.tuning_batches(self.first_grids())],
        }

    @cached_property
    def digest(self) -> str:
        """The plan's hash."""
        return plan_digest(self.to_plain())

    @cached_property
    def models_at_once(self) -> int:
        """How many models one batch holds, by the memory that they take."""
        settings = [changes for arm in self.spec.arms.values() for changes in arm.settings()]
        largest = max((training_bytes(with_changes(self.task, changes, seed=0)) for changes in settings), default=0)
        return max(1, min(MAX_MODELS, MAX_BYTES // max(largest, training_bytes(self.task))))

    def first_grids(self) -> dict[str, Grids]:
        """The grids of the file, of every arm that has something to tune."""
        if self.spec.tuning is None:
            return {}
        return {name: arm.grids for name, arm in self.spec.compared.items() if arm.grids}

    def tuning_batches(
        self, grids: Mapping[str, Grids], *, known: frozenset[str] = frozenset(), data_dir: Path | None = None
    ) -> list[TrialBatch]:
        """The batches that try every setting of the grids on every tuning seed, without the ``known`` trials."""
        arms = self.spec.compared
        settings = [(name, setting) for name in grids for setting in arms[name].settings(grids[name])]
        by_seed = [[Trial("tuning", *setting, seed) for setting in settings] for seed in self.spec.tuning_seeds]
        missing = [[trial for trial in trials if self.identity(trial) not in known] for trials in by_seed]
        return self._batches(missing, data_dir)

    def scoring_batches(self, chosen: Mapping[str, Changes], *, data_dir: Path | None = None) -> list[TrialBatch]:
        """The batches that train every chosen setting on every scoring seed."""
        seeds = self.spec.scoring_seeds
        return self._batches([[Trial("scoring", *item, seed) for item in chosen.items()] for seed in seeds], data_dir)

    def _batches(self, by_seed: Sequence[Sequence[Trial]], data_dir: Path | None) -> list[TrialBatch]:
        """Trials of one seed together, since they share their batches; equal ones are trained once."""
        batches = []
        for trials in by_seed:
            unique = list({self.identity(trial): trial for trial in trials}.values())
            starts = range(0, len(unique), self.models_at_once)
            batches += [self.batch(unique[at : at + self.models_at_once], data_dir=data_dir) for at in starts]
        return batches

    def batch(self, trials: Sequence[Trial], *, data_dir: Path | None = None) -> TrialBatch:
        """Trials of any arms, changes and seeds as one batch; those that can do so train together."""
        names = tuple(map(self.identity, trials))
        metric = self.spec.judged_by.key
        return TrialBatch(self.task, tuple(trials), names, self.resolved, self.split, data_dir, metric)


def make_plan(spec: ComparisonSpec) -> Plan:
    """The plan of a comparison on this machine: device, precision and threads are resolved here, once.

    Raises DeviceError for a device that is not there.
    """
    training, base = spec.base.training, Experiment(spec.base, spec.base.data.facts())
    resolved = resolve_device(
        device=training.device,
        precision=training.precision,
        threads=training.threads,
        step_flops=len(spec.compared) * base.step_flops,  # of the smallest batches, those of scoring
    )
    return Plan(spec, resolved)


def training_bytes(experiment: Experiment) -> int:
    """What one model takes while it trains."""
    parameters = sum(map(math.prod, experiment.parameter_shapes.values()))
    activations = experiment.model.members.k * experiment.batch_size * sum(experiment.widths[1:])
    return 4 * (8 * parameters + 4 * activations)


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
    ends = {"low": -math.inf, "high": math.inf}
    return any(
        candidate.accepts(field, _beyond(value_of(chosen, field), ends[side]))
        for field, side in _edges(grids, chosen).items()
    )


def _beyond(value: float, end: float) -> float:
    """The next value towards an end; of a whole number the next whole one."""
    if isinstance(value, int):
        return value + (1 if end > 0 else -1)
    return math.nextafter(value, end)


def _edges(grids: Grids, chosen: Changes) -> dict[str, Side]:
    """The tuned fields whose chosen value lies at an end of their grid, and at which; lists and words have no order."""
    edges: dict[str, Side] = {}
    for field, values in grids.items():
        if is_ordered(values) and (value := value_of(chosen, field)) in (values[0], values[-1]):
            edges[field] = "low" if value == values[0] else "high"
    return edges
