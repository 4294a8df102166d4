"""From a plan to its summary: tune on validation data, extend what ends on an edge, score once, judge.

Recorded trials are not retrained, so the same call resumes wherever an earlier one was stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mlptrain.comparison.folder import ComparisonFolder
from mlptrain.comparison.plan import Grids, Plan, ends_on_edge, grown, make_plan
from mlptrain.comparison.study import Progress, Running, check_optimizers, checked, running
from mlptrain.comparison.summary import Tuned, summarise
from mlptrain.comparison.timing import time_alone
from mlptrain.comparison.trials import Trial
from mlptrain.comparison.verdicts import choose
from mlptrain.errors import RunFolderError
from mlptrain.runs.comparison import StudyTimings, Summary, TriedChanges, TriedSetting
from mlptrain.runs.trials import TrialRecord
from mlptrain.spec import Config, Overrides
from mlptrain.spec.code import code_allowed
from mlptrain.spec.comparison.changes import Changes, value_of
from mlptrain.spec.comparison.load import load_comparison
from mlptrain.spec.comparison.sections import ComparisonSpec
from mlptrain.system.paths import AnyPath

OnSummary = Callable[[ComparisonFolder, Summary], None]


def compare(
    spec: ComparisonSpec | Config,
    *,
    overrides: Overrides = (),
    run_dir: AnyPath | None = None,
    data_dir: AnyPath | None = None,
    progress: Progress | None = None,
    on_summary: OnSummary = lambda *_: None,
    allow_code: bool = False,
) -> tuple[ComparisonFolder, Summary]:
    """Run a comparison, or what is missing of it, in ``runs/<name>-<plan hash>/`` or ``run_dir``.

    ``spec`` may be a YAML file, or a mapping of the same content, with ``overrides`` as in ``load_comparison``. With
    ``allow_code`` modules that it names may be imported, see ``mlptrain.spec.code``. ``data_dir`` is where data sets
    lie, and ``progress`` is notified of phases and trials.

    Returns its folder and its summary, which is written last; ``on_summary`` is called while the folder is still
    locked, so that no other command changes it. Raises the errors of mlptrain.errors, RunFolderError where trials of
    one seed did not have the same noise; after an InterruptedRunError the same call resumes.
    """
    with code_allowed(allow_code):
        plan = make_plan(checked(spec, overrides, load_comparison))
        firsts = (
            Trial("tuning", name, setting, 0)
            for name, candidate in plan.spec.compared.items()
            for setting in candidate.settings()[:1]
        )
        check_optimizers(firsts, plan.task)
        files = ComparisonFolder.of(plan, folder=run_dir)
        with running(plan, files, data_dir=data_dir, progress=progress) as study:
            tuned = _tune(plan, study)
            chosen = {name: tuned[name].setting for name in plan.spec.compared}
            scored = _score(plan, study, chosen)
            files.sort(study.order)
            study.executor.close()  # what it has started would disturb the timing
            if not _are_timed(files, chosen):
                study.progress.phase("timing", trials=len(chosen), done=0)
                files.write_timings(time_alone(plan, chosen, data_dir=study.data_dir, on_share=study.progress.advance))
            summary = summarise(plan, tuned, scored)
            files.write_summary(summary)
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


def _tune(plan: Plan, study: Running) -> dict[str, Tuned]:
    """The chosen setting of every arm. Each round tries what the last one's choices ask for."""
    spec = plan.spec
    tuned = {name: Tuned(candidate.settings()[0]) for name, candidate in spec.compared.items()}
    growing = plan.first_grids()
    records: dict[str, TrialRecord] = {}
    most = spec.tuning.extensions if spec.tuning else 0
    for extension in range(most + 1):
        if not growing:
            break
        batches = plan.tuning_batches(growing, known=records)
        records |= study.train(batches, phase="tuning" if extension == 0 else f"tuning, extension {extension}")
        larger: dict[str, Grids] = {}
        for name, grids in growing.items():
            tuned[name] = _chosen(plan, records, name, grids, extensions=extension)
            if extension < most and (more := grown(spec.compared[name], grids, tuned[name].setting)) is not None:
                larger[name] = more
        growing = larger
    return tuned


def _score(plan: Plan, study: Running, chosen: Mapping[str, Changes]) -> dict[str, list[TrialRecord]]:
    """The record of every scoring seed for every arm."""
    records = study.train(plan.scoring_batches(chosen), phase="scoring")
    return {
        name: [records[plan.identity(Trial("scoring", name, setting, seed))] for seed in plan.spec.scoring_seeds]
        for name, setting in chosen.items()
    }


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
