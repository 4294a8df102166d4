"""What a study will do, fixed and hashed before its first trial; its kind says which trials these are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic

from mlptrain.comparison.trials import Halving, Trial, TrialBatch, software
from mlptrain.runs.comparison import SplitName
from mlptrain.spec import Experiment, to_yaml
from mlptrain.spec.kinds import Kind, plan_digest
from mlptrain.spec.study import Spec
from mlptrain.training.device import ResolvedDevice, resolve_device

# What the models of one batch may be and take. A batch that is lost to a crash is retrained whole.
MAX_MODELS = 64
MAX_BYTES = 2_000_000_000


@dataclass(frozen=True)
class StudyPlan(Generic[Spec]):
    """A study with device, precision and threads as resolved. The hash names the study's folder."""

    spec: Spec
    resolved: ResolvedDevice
    kind: ClassVar[Kind]

    @property
    def name(self) -> str:
        """The study's name."""
        return self.spec.name

    @cached_property
    def task(self) -> Experiment:
        """The experiment that every trial trains but for its changes and seed, with the resolved values in it."""
        experiment = Experiment(self.spec.base, self.spec.base.data.facts())
        return experiment.changed(seed=0).with_training(**asdict(self.resolved))

    @cached_property
    def _task_text(self) -> str:
        return to_yaml(self.task.spec)

    def identity(self, trial: Trial) -> str:
        """The name of a trial."""
        return trial.identity(self._task_text)

    @property
    def split(self) -> SplitName:
        """The split that scoring reads."""
        raise NotImplementedError

    def own(self) -> dict[str, Any]:
        """What the plan says besides the study and its layout, in the order of the kind's keys."""
        return {"software": software()}

    def to_plain(self) -> dict[str, Any]:
        """Everything that decides the results; where trials run does not.

        A study with device, precision and threads written out, that can be run again as it stands, and the keys of a
        plan.
        """
        values = self.spec.to_plain()
        values.pop("executor", None)
        values["base"] = values["base"] | {"training": values["base"]["training"] | asdict(self.resolved)}
        return values | {"format": self.kind.format} | self.own()

    @cached_property
    def digest(self) -> str:
        """The plan's hash."""
        return plan_digest(self.to_plain())

    def batch(
        self, trials: Sequence[Trial], *, data_dir: Path | None = None, halving: Halving | None = None
    ) -> TrialBatch:
        """Trials of any changes and seeds as one batch; those that can do so train together."""
        names, metric = tuple(map(self.identity, trials)), self.spec.judged_by.key
        return TrialBatch(self.task, tuple(trials), names, self.resolved, self.split, data_dir, metric, halving)

    def batches(
        self, trials: Sequence[Trial], most: int, *, data_dir: Path | None, halving: Halving | None = None
    ) -> list[TrialBatch]:
        """Trials in batches of ``most`` at a time."""
        starts = range(0, len(trials), most)
        return [self.batch(trials[at : at + most], data_dir=data_dir, halving=halving) for at in starts]


def resolved_for(spec: Spec, *, models: int = 1) -> ResolvedDevice:
    """Device, precision and threads of a study on this machine; its smallest batches have so many ``models``.

    Raises DeviceError for a device that is not there.
    """
    training, base = spec.base.training, Experiment(spec.base, spec.base.data.facts())
    return resolve_device(
        device=training.device,
        precision=training.precision,
        threads=training.threads,
        step_flops=models * base.step_flops,
    )


def fitting(experiments: Iterable[Experiment]) -> int:
    """How many models of these experiments fit into the memory that a batch may take, at least one."""
    return max(1, MAX_BYTES // max(map(_training_bytes, experiments)))


def _training_bytes(experiment: Experiment) -> int:
    """What one model takes while it trains."""
    parameters = sum(map(math.prod, experiment.parameter_shapes.values()))
    activations = experiment.model.members.k * experiment.batch_size * sum(experiment.widths[1:])
    return 4 * (8 * parameters + 4 * activations)
