"""From a plan to its summary: tune on validation data, extend what ends on an edge, score once, judge.

Recorded trials are not retrained, so the same call resumes wherever an earlier one was stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlptrain.comparison.executors import Executor, make_executor
from mlptrain.comparison.folder import ComparisonFolder
from mlptrain.comparison.plan import Grids, Plan, ends_on_edge, grown, make_plan
from mlptrain.comparison.summary import Tuned, summarise
from mlptrain.comparison.timing import time_alone
from mlptrain.comparison.trials import Trial, TrialBatch, task_data
from mlptrain.comparison.verdicts import choose
from mlptrain.errors import RunFolderError, UserError
from mlptrain.runs.comparison import StudyTimings, Summary, TrialRecord, TriedChanges, TriedSetting
from mlptrain.sources.store import data_folder
from mlptrain.spec import Config, Overrides
from mlptrain.spec.comparison.changes import Changes, value_of
from mlptrain.spec.comparison.load import load_comparison
from mlptrain.spec.comparison.sections import ComparisonSpec
from mlptrain.spec.foreign import code_allowed
from mlptrain.system.disk import machine_errors
from mlptrain.system.paths import AnyPath
from mlptrain.system.signals import ended_by_signals

_THEN = "rerun the same command to resume, or name another folder with --run-dir; finished batches are saved"
OnSummary = Callable[[ComparisonFolder, Summary], None]


class Progress:
    """Notified of what happens; shows nothing itself."""

    def phase(self, name: str, *, trials: int, done: int) -> None:
        """A phase of so many trials begins, of which ``done`` are recorded."""

    def advance(self, trials: float) -> None:
        """So many more trials are done; parts of trials count, and 0 means that training starts now."""

    def fetch(self, file: str, done: int, total: int | None) -> None:
        """So many bytes of a data set's archive are loaded."""


def compare(
    spec: ComparisonSpec | Config,
    *,
    overrides: Overrides = (),
    folder: AnyPath | None = None,
    data_dir: AnyPath | None = None,
    progress: Progress | None = None,
    on_summary: OnSummary = lambda *_: None,
    allow_code: bool = False,
) -> tuple[ComparisonFolder, Summary]:
    """Run a comparison, or what is missing of it, in ``runs/<name>-<plan hash>/`` or ``folder``.

    ``spec`` may be a YAML file, or a mapping of the same content, with ``overrides`` as in ``load_comparison``.

    With ``allow_code`` modules that it names may be imported, see ``mlptrain.spec.foreign``.

    ``data_dir`` is where data sets lie, and ``progress`` is notified of phases and trials.

    Returns its folder and its summary, which is written last; ``on_summary`` is called while the folder is still
    locked, so that no other command changes it. Raises the errors of mlptrain.errors, RunFolderError where trials of
    one seed did not have the same noise; after an InterruptedRunError the same call resumes.
    """
    if not isinstance(spec, ComparisonSpec):
        with code_allowed(allow_code):
            spec = load_comparison(spec, overrides).spec
    elif overrides:
        raise UserError("overrides of a comparison that is loaded already: give them to load_comparison")
    plan, progress = make_plan(spec), progress or Progress()
    files = ComparisonFolder.of(plan, folder=folder)
    data_dir = data_folder(data_dir).resolve()  # workers elsewhere have another working folder
    with (
        ended_by_signals("stopped by a signal"),
        closing(make_executor(spec.executor)) as executor,
        machine_errors(files.path, what="comparison's folder", then=_THEN),
        code_allowed(allow_code),
        files,
    ):
        comparison = _Comparison(plan, files, executor, progress, data_dir)
        tuned = comparison.tune()
        chosen = {name: tuned[name].setting for name in spec.compared}
        scored = comparison.score(chosen)
        files.sort(comparison.order)
        executor.close()  # what it has started would disturb the timing
        if not _are_timed(files, chosen):
            progress.phase("timing", trials=len(chosen), done=0)
            files.write(time_alone(plan, chosen, data_dir=data_dir, on_share=progress.advance))
        summary = summarise(plan, tuned, scored)
        files.write(summary)
        on_summary(files, summary)
    return files, summary


compare_optimizers = compare  # its short form: arms over the optimizer


def _are_timed(folder: ComparisonFolder, chosen: Mapping[str, Changes]) -> bool:
    """Whether the recorded seconds are of these settings; damaged ones are measured again."""
    try:
        timings = folder.read_timings()
        return chosen == (timings.changes if isinstance(timings, StudyTimings) else timings.settings)
    except RunFolderError:
        return False


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
        """The chosen setting of every arm. Each round tries what the last one's choices ask for."""
        spec = self.plan.spec
        tuned = {name: Tuned(candidate.settings()[0]) for name, candidate in spec.compared.items()}
        growing = self.plan.first_grids()
        records: dict[str, TrialRecord] = {}
        most = spec.tuning.extensions if spec.tuning else 0
        for extension in range(most + 1):
            if not growing:
                break
            batches = self.plan.tuning_batches(growing, known=frozenset(records), data_dir=self.data_dir)
            records |= self._run("tuning" if extension == 0 else f"tuning, extension {extension}", batches)
            larger: dict[str, Grids] = {}
            for name, grids in growing.items():
                tuned[name] = _chosen(self.plan, records, name, grids, extensions=extension)
                if extension < most and (more := grown(spec.compared[name], grids, tuned[name].setting)) is not None:
                    larger[name] = more
            growing = larger
        return tuned

    def score(self, chosen: Mapping[str, Changes]) -> dict[str, list[TrialRecord]]:
        """The record of every scoring seed for every arm."""
        records = self._run("scoring", self.plan.scoring_batches(chosen, data_dir=self.data_dir))
        return {
            name: [
                records[self.plan.identity(Trial("scoring", name, setting, seed))]
                for seed in self.plan.spec.scoring_seeds
            ]
            for name, setting in chosen.items()
        }

    def _run(self, phase: str, batches: list[TrialBatch]) -> dict[str, TrialRecord]:
        """The records of all trials of the batches, of which the missing ones are trained first."""
        self.order += [batch.identity for batch in batches]
        missing = self.folder.missing(batches)
        total, left = (sum(len(batch.trials) for batch in some) for some in (batches, missing))
        if missing:
            # Here, also for batches that run elsewhere: one process fetches, and faulty data are reported at once.
            task_data(self.plan.task, self.data_dir, on_fetch=self.progress.fetch)
        self.progress.phase(phase, trials=total, done=total - left)
        if missing:
            self.executor.run(missing, self.folder.add, self.progress.advance)
        return self.folder.records(batches)


def _chosen(plan: Plan, records: Mapping[str, TrialRecord], name: str, grids: Grids, *, extensions: int) -> Tuned:
    """The setting with the best median of the metric on validation rows over the tuning seeds."""
    settings = plan.spec.compared[name].settings(grids)
    tried = [
        [records[plan.identity(Trial("tuning", name, setting, seed))] for seed in plan.spec.tuning_seeds]
        for setting in settings
    ]
    metric = plan.spec.judged_by
    key, sign = f"validation_{metric.key}", 1 if metric.higher_is_better else -1
    found = [[record.kept.figure(key) if record.kept else None for record in row] for row in tried]
    values = [[float("-inf") if value is None else sign * value for value in row] for row in found]
    best = settings[choose(dict(enumerate(values)))]
    return Tuned(
        setting=best,
        grids=grids,
        extensions=extensions,
        under_tuned=ends_on_edge(plan.spec.compared[name], grids, best),
        tried=[
            _tried({key: value_of(setting, key) for key in grids}, row, is_study=plan.spec.metric is not None)
            for setting, row in zip(settings, found, strict=True)
        ],
        failed=sum(record.status == "failed" for row in tried for record in row),
    )


def _tried(values: dict[str, Any], figures: Sequence[float | None], *, is_study: bool) -> TriedSetting:
    if is_study:
        return TriedChanges.model_validate({"setting": values, "scores": figures})
    return TriedSetting(setting=values, accuracies=[*figures])
