"""What a search will do, fixed and hashed before the first trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mlptrain.comparison.plan import MAX_BYTES, training_bytes
from mlptrain.comparison.trials import Halving, Trial, TrialBatch, software
from mlptrain.runs.comparison import SplitName
from mlptrain.searching.sampling import Setting, sampler_version
from mlptrain.spec import Experiment, to_yaml
from mlptrain.spec.comparison.load import plan_digest
from mlptrain.spec.search.sections import FORMAT, SearchSpec, rungs
from mlptrain.training.device import ResolvedDevice, resolve_device


@dataclass(frozen=True)
class SearchPlan:
    """A search with device, precision and threads as resolved. The hash names the search's folder."""

    spec: SearchSpec
    resolved: ResolvedDevice

    @property
    def name(self) -> str:
        """The search's name."""
        return self.spec.name

    @cached_property
    def task(self) -> Experiment:
        """The experiment that every trial trains but for its setting and seed, with the resolved values in it."""
        experiment = Experiment(self.spec.base, self.spec.base.data.facts())
        return experiment.changed(seed=0).with_training(**asdict(self.resolved))

    @cached_property
    def _task_text(self) -> str:
        return to_yaml(self.task.spec)

    @property
    def split(self) -> SplitName:
        """The split that the chosen setting is scored on besides validation."""
        return "test" if self.task.facts.test_rows else "validation"

    @property
    def halving(self) -> Halving | None:
        """How weak trials end early."""
        if (prune := self.spec.prune) is None:
            return None
        ends = rungs(prune, epochs=self.spec.base.training.epochs)
        return Halving(ends, prune.eta, self.spec.judged_by.higher_is_better)

    def to_plain(self) -> dict[str, Any]:
        """Everything that decides the results; where trials run does not. It can be run again as it stands."""
        values = self.spec.to_plain()
        values.pop("executor", None)
        values["base"] = values["base"] | {"training": values["base"]["training"] | asdict(self.resolved)}
        return values | {"format": FORMAT, "software": software() | sampler_version()}

    @cached_property
    def digest(self) -> str:
        """The plan's hash."""
        return plan_digest(self.to_plain())

    def trial(self, setting: Setting) -> Trial:
        """A setting as it is tried."""
        return Trial("tuning", self.name, setting, self.spec.seed)

    def identity(self, trial: Trial) -> str:
        """The name of a trial."""
        return trial.identity(self._task_text)

    def batches(self, trials: Sequence[Trial], *, data_dir: Path) -> list[TrialBatch]:
        """Trials as they train together: as many as the search says, and memory holds, one after the other.

        With halving these are the ones that are compared at its rungs.
        """
        if not trials:
            return []
        largest = max(training_bytes(trial.experiment(self.task)) for trial in trials)
        most = max(1, min(self.spec.together, MAX_BYTES // largest))
        return [
            self._batch(trials[at : at + most], data_dir, halving=self.halving) for at in range(0, len(trials), most)
        ]

    def scoring_batches(self, setting: Setting, *, data_dir: Path) -> list[TrialBatch]:
        """The chosen setting with every scoring seed, each alone, as `mlptrain train` trains it."""
        trials = [Trial("scoring", self.name, setting, seed) for seed in self.spec.scoring_seeds]
        return [self._batch([trial], data_dir, halving=None) for trial in trials]

    def _batch(self, trials: Sequence[Trial], data_dir: Path, *, halving: Halving | None) -> TrialBatch:
        names = tuple(map(self.identity, trials))
        metric = self.spec.judged_by.key
        return TrialBatch(self.task, tuple(trials), names, self.resolved, self.split, data_dir, metric, halving)


def make_plan(spec: SearchSpec) -> SearchPlan:
    """The plan of a search on this machine: device, precision and threads are resolved here, once.

    Raises DeviceError for a device that is not there.
    """
    training, base = spec.base.training, Experiment(spec.base, spec.base.data.facts())
    resolved = resolve_device(
        device=training.device, precision=training.precision, threads=training.threads, step_flops=base.step_flops
    )
    return SearchPlan(spec, resolved)
