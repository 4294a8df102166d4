"""From a plan to its summary: tune on validation data, extend what ends on an edge, score once, judge.

Trials that are on record are not trained again, so the same call goes on wherever an earlier one was stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from mlptrain.comparison.folder import ComparisonFolder
from mlptrain.comparison.plan import Grids, Plan, grown
from mlptrain.comparison.summary import summarise
from mlptrain.comparison.timing import time_alone
from mlptrain.comparison.trials import Record, Trial, TrialBatch
from mlptrain.comparison.verdicts import choose
from mlptrain.runs import machine_errors
from mlptrain.spec import OptimizerSpec


class Executor(Protocol):
    """Runs batches of trials; yields each batch's records as it is done, in any order."""

    def run(self, batches: list[TrialBatch], on_done: Callable[[list[Record]], None], progress: Progress) -> None:
        """Run all batches. Raises InterruptedRunError, with every finished batch handed over."""


class Progress(Protocol):
    """Told of what happens; every method may do nothing."""

    def phase(self, name: str, *, trials: int, done: int) -> None:
        """A phase begins: so many trials in it, of which so many are on record."""

    def advance(self, trials: float) -> None:
        """So many more trials are done; parts of trials count."""


class Silent:
    """A progress that nobody watches."""

    def phase(self, name: str, *, trials: int, done: int) -> None:
        """Nothing."""

    def advance(self, trials: float) -> None:
        """Nothing."""


@dataclass
class Tuned:
    """The choice for one optimizer: the setting, the grids it was chosen from, and how often they were extended."""

    setting: OptimizerSpec
    grids: Grids = field(default_factory=dict)
    extensions: int = 0
    under_tuned: bool = False
    medians: list[dict[str, Any]] = field(default_factory=list)


def compare(
    plan: Plan, folder: ComparisonFolder, *, executor: Executor, progress: Progress, data_dir: Path | None = None
) -> dict[str, Any]:
    """Run what is missing of a comparison and return its summary, which is written last.

    Raises InterruptedRunError, and RunFolderError where trials of one seed did not have the same noise.
    """
    with machine_errors(folder.path), folder:
        order: list[str] = []

        def run(name: str, batches: list[TrialBatch]) -> None:
            order.extend(identity for batch in batches for identity in batch.identities)
            missing = folder.missing(batches)
            total, left = (sum(len(batch.trials) for batch in some) for some in (batches, missing))
            progress.phase(name, trials=total, done=total - left)
            if missing:
                executor.run(missing, folder.add, progress)

        tuned = _tune(plan, folder, run, data_dir)
        chosen = {name: tuned[name].setting for name in plan.spec.optimizers}
        run("scoring", plan.scoring_batches(chosen, data_dir=data_dir))
        folder.sort(order)
        scored = {
            name: [
                folder.record(Trial("scoring", name, setting, seed).identity(plan.task))
                for seed in plan.spec.scoring_seeds
            ]
            for name, setting in chosen.items()
        }
        summary = summarise(plan, tuned, scored)
        if not folder.timings.is_file():
            progress.phase("timing", trials=len(chosen), done=0)
            folder.write_timings(time_alone(plan, chosen, data_dir=data_dir))
        folder.write_summary(summary)
    return summary


def _tune(
    plan: Plan, folder: ComparisonFolder, run: Callable[[str, list[TrialBatch]], None], data_dir: Path | None
) -> dict[str, Tuned]:
    """The chosen setting of every optimizer. Each round tries what the last one's choices ask for."""
    spec = plan.spec
    tuned = {name: Tuned(spec.settings(name)[0]) for name in spec.optimizers}
    grids = plan.first_grids()
    growing, tried = dict(grids), frozenset[str]()
    for extension in range((spec.tuning.extensions if spec.tuning else 0) + 1):
        if not growing:
            break
        batches = plan.tuning_batches(growing, known=tried, data_dir=data_dir)
        run("tuning" if extension == 0 else f"tuning, extension {extension}", batches)
        tried |= {identity for batch in batches for identity in batch.identities}
        larger: dict[str, Grids] = {}
        for name, fields in growing.items():
            tuned[name] = _chosen(plan, folder, name, fields, extensions=extension)
            if (more := grown(spec, name, fields, tuned[name].setting)) is not None:
                larger[name] = more
        for name in larger:
            tuned[name].under_tuned = True  # unless a later round finds its best value inside
        growing = larger
    return tuned


def _chosen(plan: Plan, folder: ComparisonFolder, name: str, grids: Grids, *, extensions: int) -> Tuned:
    """The setting with the best median of the validation accuracy over the tuning seeds."""
    settings = plan.spec.settings(name, grids)
    values = {
        index: [
            _validation_accuracy(folder.record(Trial("tuning", name, setting, seed).identity(plan.task)))
            for seed in plan.spec.tuning_seeds
        ]
        for index, setting in enumerate(settings)
    }
    medians = [
        {
            "setting": {key: getattr(setting, key) for key in grids},
            "accuracies": [None if value == float("-inf") else value for value in values[index]],
        }
        for index, setting in enumerate(settings)
    ]
    return Tuned(settings[choose(values)], grids, extensions, medians=medians)


def _validation_accuracy(record: Mapping[str, Any]) -> float:
    if record["status"] != "completed":
        return float("-inf")
    return float(record["kept"]["validation_accuracy"])
