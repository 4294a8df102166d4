"""From a plan to its summary: tune on validation data, extend what ends on an edge, score once, judge.

Trials that are on record are not trained again, so the same call goes on wherever an earlier one was stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from mlptrain.comparison.folder import ComparisonFolder, folder_errors
from mlptrain.comparison.plan import Grids, Plan, ends_on_edge, grown
from mlptrain.comparison.summary import summarise
from mlptrain.comparison.timing import settings_of, time_alone
from mlptrain.comparison.trials import Record, Trial, TrialBatch, task_data
from mlptrain.comparison.verdicts import choose
from mlptrain.spec import OptimizerSpec

OnSummary = Callable[[ComparisonFolder, dict[str, Any]], None]


class Executor(Protocol):
    """Runs batches of trials."""

    def run(self, batches: list[TrialBatch], on_done: Callable[[list[Record]], None], progress: Progress) -> None:
        """Run all batches and hand over each one's records as it is done, in any order."""

    def close(self) -> None:
        """No batch follows. May be called twice."""


class Progress(Protocol):
    """Told of what happens; every method may do nothing."""

    def phase(self, name: str, *, trials: int, done: int) -> None:
        """A phase begins: so many trials in it, of which so many are on record."""

    def advance(self, trials: float) -> None:
        """So many more trials are done; parts of trials count, and 0 says that training begins only now."""

    def fetch(self, file: str, done: int, total: int | None) -> None:
        """So many bytes of a data set's archive have come."""


class Silent:
    """A progress that nobody watches."""

    def phase(self, name: str, *, trials: int, done: int) -> None:
        """Nothing."""

    def advance(self, trials: float) -> None:
        """Nothing."""

    def fetch(self, file: str, done: int, total: int | None) -> None:
        """Nothing."""


@dataclass
class Tuned:
    """The choice for one optimizer: the setting, the grids it was chosen from, and how often they were extended.

    ``medians`` holds, for each setting tried, its tuned values and its validation accuracy by tuning seed, None where
    the trial did not last; ``failed`` counts those that the machine could not train.
    """

    setting: OptimizerSpec
    grids: Grids = field(default_factory=dict)
    extensions: int = 0
    under_tuned: bool = False
    medians: list[dict[str, Any]] = field(default_factory=list)
    failed: int = 0


def compare(
    plan: Plan,
    folder: ComparisonFolder,
    *,
    executor: Executor,
    progress: Progress,
    data_dir: Path,
    on_summary: OnSummary = lambda *_: None,
) -> dict[str, Any]:
    """Run what is missing of a comparison and return its summary, which is written last.

    ``on_summary`` is then called while the folder is still locked, so that nobody else writes in it or cleans it up.
    Raises RunFolderError where trials of one seed did not have the same noise, and MachineError.
    """
    with folder_errors(folder.path), folder:
        comparison = _Comparison(plan, folder, executor, progress, data_dir)
        tuned = comparison.tune()
        chosen = {name: tuned[name].setting for name in plan.spec.optimizers}
        scored = comparison.score(chosen)
        folder.sort(comparison.order)
        executor.close()  # what it has started would disturb the timing
        timings = folder.read_timings()
        if timings is None or timings.get("settings") != settings_of(chosen):
            progress.phase("timing", trials=len(chosen), done=0)
            found = time_alone(plan, chosen, data_dir=data_dir, on_share=progress.advance)
            folder.write_timings(found)
        summary = summarise(plan, tuned, scored)
        folder.write_summary(summary)
        on_summary(folder, summary)
    return summary


@dataclass
class _Comparison:
    """A comparison while it runs; ``order`` names the batches in the plan's order."""

    plan: Plan
    folder: ComparisonFolder
    executor: Executor
    progress: Progress
    data_dir: Path
    order: list[str] = field(default_factory=list)

    def tune(self) -> dict[str, Tuned]:
        """The chosen setting of every optimizer. Each round tries what the last one's choices ask for."""
        spec = self.plan.spec
        tuned = {name: Tuned(spec.settings(name)[0]) for name in spec.optimizers}
        growing = self.plan.first_grids()
        records: dict[str, Record] = {}
        most = spec.tuning.extensions if spec.tuning else 0
        for extension in range(most + 1):
            if not growing:
                break
            batches = self.plan.tuning_batches(growing, known=frozenset(records), data_dir=self.data_dir)
            records |= self._run("tuning" if extension == 0 else f"tuning, extension {extension}", batches)
            larger: dict[str, Grids] = {}
            for name, grids in growing.items():
                tuned[name] = _chosen(self.plan, records, name, grids, extensions=extension)
                if extension < most and (more := grown(spec, name, grids, tuned[name].setting)) is not None:
                    larger[name] = more
            growing = larger
        return tuned

    def score(self, chosen: Mapping[str, OptimizerSpec]) -> dict[str, list[Record]]:
        """The record of every scoring seed for every optimizer."""
        records = self._run("scoring", self.plan.scoring_batches(chosen, data_dir=self.data_dir))
        return {
            name: [
                records[Trial("scoring", name, setting, seed).identity(self.plan.task)]
                for seed in self.plan.spec.scoring_seeds
            ]
            for name, setting in chosen.items()
        }

    def _run(self, phase: str, batches: list[TrialBatch]) -> dict[str, Record]:
        """The records of all trials of the batches, of which the missing ones are trained first."""
        self.order += [batch.identity for batch in batches]
        missing = self.folder.missing(batches)
        total, left = (sum(len(batch.trials) for batch in some) for some in (batches, missing))
        if missing:
            # Here, also for batches that run elsewhere: one process fetches, and a fault of the data is told at once.
            task_data(self.plan.task, self.data_dir, on_fetch=self.progress.fetch)
        self.progress.phase(phase, trials=total, done=total - left)
        if missing:
            self.executor.run(missing, self.folder.add, self.progress)
        return self.folder.records(batches)


def _chosen(plan: Plan, records: Mapping[str, Record], name: str, grids: Grids, *, extensions: int) -> Tuned:
    """The setting with the best median of the validation accuracy over the tuning seeds."""
    settings = plan.spec.settings(name, grids)
    tried = [
        [records[Trial("tuning", name, setting, seed).identity(plan.task)] for seed in plan.spec.tuning_seeds]
        for setting in settings
    ]
    values = {index: list(map(_validation_accuracy, row)) for index, row in enumerate(tried)}
    medians = [
        {
            "setting": {key: getattr(setting, key) for key in grids},
            "accuracies": [None if value == float("-inf") else value for value in values[index]],
        }
        for index, setting in enumerate(settings)
    ]
    best = settings[choose(values)]
    return Tuned(
        setting=best,
        grids=grids,
        extensions=extensions,
        under_tuned=ends_on_edge(plan.spec, name, grids, best),
        medians=medians,
        failed=sum(record["status"] == "failed" for row in tried for record in row),
    )


def _validation_accuracy(record: Mapping[str, Any]) -> float:
    if record["status"] != "completed":
        return float("-inf")
    return float(record["kept"]["validation_accuracy"])
