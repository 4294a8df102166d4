"""What a search will do, fixed and hashed before the first trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mlptrain.comparison.study import StudyPlan, check_optimizers, fitting
from mlptrain.comparison.trials import Halving, Trial, TrialBatch
from mlptrain.errors import Fault, SpecError
from mlptrain.experiment.build import resolved_for
from mlptrain.runs.trials import SplitName
from mlptrain.searching.sampling import Sampling, Setting, Told, sampler_version
from mlptrain.spec import Experiment
from mlptrain.spec.comparison.changes import plain_changes
from mlptrain.spec.kinds import SEARCH
from mlptrain.spec.search.sections import ADAPTIVE, SearchSpec, rungs
from mlptrain.spec.search.setting import that_counts, why_not

_FIRST = 20  # settings of which one at least can be trained, or there is something wrong with the space


class SearchPlan(StudyPlan[SearchSpec]):
    """A search as it is run here."""

    kind = SEARCH

    @property
    def split(self) -> SplitName:
        """The split that the chosen setting is scored on besides validation."""
        return "test" if self.task.facts.test_rows else "validation"

    def own(self) -> dict[str, Any]:
        """The version of what draws the trials too."""
        return {"software": super().own()["software"] | sampler_version()}

    @property
    def halving(self) -> Halving | None:
        """How weak trials end early."""
        if (prune := self.spec.prune) is None:
            return None
        ends = rungs(prune, epochs=self.spec.base.training.epochs)
        return Halving(ends, prune.eta, self.spec.judged_by.higher_is_better)

    def at_once(self, hours: float | None = None) -> int:
        """How many settings are drawn at once: all, where none depends on outcomes and no time may end the search."""
        return self.spec.budget if self.spec.method not in ADAPTIVE and hours is None else self.round

    @property
    def round(self) -> int:
        """How many settings make up batches of their own: what is drawn later, or never, changes none of these."""
        spec = self.spec
        return spec.at_once if spec.method in ADAPTIVE else -(-spec.at_once // spec.together) * spec.together

    def sampling(self) -> Sampling:
        """What draws the settings, from the first one on."""
        spec = self.spec
        return Sampling(spec.space, method=spec.method, seed=spec.seed, goal=spec.judged_by.goal or "max")

    def trial(self, setting: Setting) -> Trial:
        """A setting as it is tried: with the keys that count in it."""
        return Trial("tuning", self.name, that_counts(self.spec.base, setting), self.spec.seed)

    def why_not(self, trial: Trial) -> str | None:
        """Why no experiment can have a trial's values, which the ends of ranges do not tell; None where it can."""
        return why_not(self.task, plain_changes(trial.changes))

    def possible(self, count: int) -> list[Trial]:
        """The first trials that are drawn, each once, without those that cannot be trained."""
        drawn = {self.identity(trial): trial for trial in map(self.trial, self.sampling().ask(count))}
        return [trial for trial in drawn.values() if self.why_not(trial) is None]

    def check_possible(self) -> None:
        """Raises SpecError where none of the first settings can be trained, UserError for an optimizer that cannot."""
        sampling, asked, reason = self.sampling(), 0, None
        while asked < min(_FIRST, self.spec.budget):
            drawn = sampling.ask(min(self.at_once(), _FIRST, self.spec.budget - asked))
            if not drawn:
                break  # the end of a grid
            reasons = [(trial, self.why_not(trial)) for trial in map(self.trial, drawn)]
            if possible := [trial for trial, found in reasons if found is None]:
                check_optimizers(possible, self.task)
                return
            reason = reasons[-1][1]
            asked += len(drawn)
            sampling.tell([Told(None)] * len(drawn))
        message = f"none of the first {asked} settings can be trained, e.g. since {reason}; change the space"
        raise SpecError([Fault(self.name, None, None, "space", message)])

    def tuning_batches(self, trials: Sequence[Trial]) -> list[TrialBatch]:
        """Trials in batches of as many as the search says, and memory holds.

        With halving the trials of a batch are the ones that are compared at its rungs.
        """
        most = min(self.spec.together, fitting(trial.experiment(self.task) for trial in trials)) if trials else 1
        return [replace(batch, halving=self.halving) for batch in self.batches(trials, most)]

    def scoring_batches(self, setting: Setting, *, is_final: bool = True) -> list[TrialBatch]:
        """The chosen setting with every scoring seed, each alone, as `mlptrain train` trains it.

        Test rows are read where it is the search's final choice.
        """
        trials = [Trial("scoring", self.name, setting, seed) for seed in self.spec.scoring_seeds]
        split = self.split if is_final else "validation"
        return [replace(batch, split=split) for batch in self.batches(trials, 1)]


def make_plan(spec: SearchSpec) -> SearchPlan:
    """The plan of a search on this machine: device, precision and threads are resolved here, once.

    Raises DeviceError for a device that is not there.
    """
    return SearchPlan(spec, resolved_for(Experiment(spec.base, spec.base.data.facts())))
