"""What a search has found: its trials in the order drawn, the best one with its scores, and what to make of it."""

from __future__ import annotations

import os
import statistics
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlptrain.comparison.trials import Trial
from mlptrain.report.comparison.budgets import around_half
from mlptrain.report.comparison.words import allowed
from mlptrain.report.search.words import spread_text, trials_text, value_text
from mlptrain.runs.search import Edge, Half, Importance, Scored, SearchSummary, Spread, Tried
from mlptrain.runs.trials import TrialRecord
from mlptrain.searching.plan import SearchPlan
from mlptrain.searching.sampling import Setting, Told
from mlptrain.spec.comparison.grids import Side, beyond, is_ordered
from mlptrain.spec.comparison.sections import Arm
from mlptrain.spec.dump import plain, yaml_text
from mlptrain.spec.metrics import figure_text
from mlptrain.spec.search.sections import Choice, Range
from mlptrain.spec.search.setting import as_written

EDGE = 0.05  # the part of a range at each end that counts as its edge, on the scale that values are drawn on


@dataclass(frozen=True)
class Drawn:
    """A setting as it was drawn: the name of its trial, and its record, or the ``reason`` why no experiment can be it.

    Settings drawn twice share both.
    """

    name: str
    setting: Setting
    record: TrialRecord | None = None
    reason: str | None = None


def outcome_of(plan: SearchPlan, record: TrialRecord | None) -> Told:
    """A recorded trial as the sampler receives it; one that cannot be trained has no record."""
    if record is None:
        return Told(None)
    value = None if record.kept is None else record.kept.figure(f"validation_{plan.spec.judged_by.key}")
    return Told(value, is_pruned=record.status == "pruned", epochs=_epochs(record))


def best_of(plan: SearchPlan, drawn: Sequence[Drawn]) -> int | None:
    """The number of the trial that has the best value, of those that trained to the end; of equal ones the first."""
    sign = 1 if plan.spec.judged_by.higher_is_better else -1
    outcomes = [outcome_of(plan, one.record) for one in drawn]
    values = {
        number: sign * one.value for number, one in enumerate(outcomes) if one.value is not None and not one.is_pruned
    }
    return max(values, key=lambda number: values[number], default=None)


def summarise(
    plan: SearchPlan,
    drawn: Sequence[Drawn],
    scored: Sequence[TrialRecord],
    tested: Collection[str],
    importances: Mapping[str, Importance],
) -> SearchSummary:
    """The summary of a search whose trials are all recorded; ``tested`` names those whose settings read test rows."""
    spec, best = plan.spec, best_of(plan, drawn)
    written = as_written(spec.space)
    trials = [
        Tried(
            number=number,
            trial=one.name,
            changes={key: _as_in(written[key], spec.space[key], value) for key, value in one.setting.items()},
            status="infeasible" if one.record is None else one.record.status,
            reason=one.reason,
            epochs=0 if one.record is None else _epochs(one.record),
            value=outcome_of(plan, one.record).value,
        )
        for number, one in enumerate(drawn)
    ]
    numbers = {one.name: number for number, one in reversed([*enumerate(drawn)])}  # of those drawn twice the first
    results = [_scored(plan, record) for record in scored]
    half = max(1, around_half(len(trials))[0])  # at most half
    of_half = best_of(plan, drawn[:half])
    edges = [] if best is None else list(_edges(plan, drawn[best].setting))
    validation, test = (_spread([getattr(one, split) for one in results]) for split in ("validation", "test"))
    return SearchSummary(
        name=spec.name,
        plan=plan.digest,
        method=spec.method,
        metric=spec.judged_by,
        space={key: choice.plain() for key, choice in written.items()},
        budget=spec.budget,
        asked=len(trials),
        epochs=spec.base.training.epochs,
        trained_epochs=sum(trial.epochs for trial in {trial.trial: trial for trial in trials}.values()),
        trials=trials,
        best=best,
        scored=results,
        tested=sorted({numbers[name] for name in tested if name in numbers}) if plan.split == "test" else None,
        validation=validation,
        test=test,
        importances=dict(sorted(importances.items(), key=lambda item: -item[1].mean)),
        edges=edges,
        half=Half(trials=half, number=of_half, value=None if of_half is None else trials[of_half].value),
        sentence=_sentence(plan, None if best is None else trials[best], validation, test),
    )


def _as_in(written: Choice, choice: Choice, value: Any) -> Any:
    """A drawn value as the file has it, which differs of sections alone."""
    if isinstance(written, Range) or isinstance(choice, Range) or written is choice:
        return value
    return written.values[choice.values.index(value)]


def best_yaml(plan: SearchPlan, setting: Setting, summary: SearchSummary) -> str:
    """The chosen setting with the first scoring seed as an experiment's file, with what it trains to above."""
    seed = plan.spec.scoring_seeds[0]
    experiment = Trial("scoring", "", setting, seed).experiment(plan.task)
    spec = experiment.spec.model_copy(update={"name": f"{plan.name[:59]}-best"})
    first = summary.scored[0]
    metric = summary.metric
    figures: list[str] = [first.status if first.validation is None else f"{metric.name} {first.validation}"]
    if first.test is not None:
        figures.append(f"test_{metric.key} {first.test}")
    text = yaml_text(_with_short_paths(plain(spec)))
    head = (
        f"# The best of {trials_text(summary)} of {summary.name}. `mlptrain train{allowed(text)}` on this file, on a "
        f"machine of the same kind, gives\n# {', '.join(figures)}\n"
    )
    return head + text


def _with_short_paths(section: dict[str, Any]) -> dict[str, Any]:
    """A section with paths that do not go up again, and lead to the same files."""
    return {
        key: _with_short_paths(value)
        if isinstance(value, dict)
        else _short_path(value)
        if key == "path" and isinstance(value, str)
        else value
        for key, value in section.items()
    }


def _short_path(path: str) -> str:
    if ".." not in Path(path).parts:
        return path
    real, short = os.path.realpath(path), os.path.normpath(path)  # which differ where a link is gone up from
    return short if os.path.realpath(short) == real else real


def _epochs(record: TrialRecord) -> int:
    """How many epochs a trial was trained."""
    if record.diverged is not None:
        return record.diverged.epoch
    curve = record.curves.get("validation_loss") or next(iter(record.curves.values()), [])
    return max(0, len(curve) - 1)


def _scored(plan: SearchPlan, record: TrialRecord) -> Scored:
    key, kept = plan.spec.judged_by.key, record.kept
    is_tested = kept is not None and plan.split == "test"
    return Scored(
        seed=record.seed,
        trial=record.trial,
        status=record.status,
        epoch=None if kept is None else kept.epoch,
        validation=None if kept is None else kept.figure(f"validation_{key}"),
        test=kept.figure(f"test_{key}") if kept is not None and is_tested else None,
    )


def _spread(values: Sequence[float | None]) -> Spread | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    std = statistics.stdev(known) if len(known) > 1 else None
    return Spread(n=len(known), mean=statistics.fmean(known), std=std, min=min(known), max=max(known))


def _edges(plan: SearchPlan, setting: Setting) -> Iterator[Edge]:
    """The keys whose chosen value lies at an end of what was searched, where the key takes values beyond it."""
    chosen = Arm(plan.spec.base, setting, {})
    for key, choice in plan.spec.space.items():
        if (ends := _ends(choice)) is None or key not in setting:
            continue
        value, (low, high) = setting[key], ends
        place = choice.place(value) if isinstance(choice, Range) else (value - low) / (high - low)
        margin = EDGE if isinstance(choice, Range) and not choice.is_whole else 0.0
        side: Side = "low" if place <= 0.5 else "high"
        end = low if side == "low" else high
        if min(place, 1 - place) <= margin and chosen.accepts(key, beyond(end, side)):
            yield Edge(key=key, value=value, side=side, end=float(end))


def _ends(choice: Choice) -> tuple[float, float] | None:
    """The lowest and highest value; None of words, lists and sections, which have no order."""
    if isinstance(choice, Range):
        return choice.low, choice.high
    return (min(choice.values), max(choice.values)) if is_ordered(choice.values) else None


def _sentence(plan: SearchPlan, best: Tried | None, validation: Spread | None, test: Spread | None) -> str:
    """What was found, in one sentence."""
    spec, key = plan.spec, plan.spec.judged_by.key
    if best is None or best.value is None:
        return "no trial trained to its last epoch with a value, so there is no best setting"
    values = ", ".join(f"{name} {value_text(value)}" for name, value in best.changes.items())
    found = f"trial {best.number} was best with {spec.judged_by.name} {figure_text(key, best.value)}: {values}"
    if validation is None:
        return f"{found}; none of its trainings with other seeds lasted"
    seeds = f"{validation.n} other {'seed' if validation.n == 1 else 'seeds'}"
    spread = " (mean ± standard deviation over the seeds)" if validation.std is not None else ""
    again = f"; with {seeds} it reaches {spread_text(key, validation)}{spread}"
    tested = "" if test is None else f", and {spread_text(key, test)} on test rows"
    flattered = ""
    if plan.task.spec.evaluation.keep == "best":
        flattered = (
            "; validation rows chose the epoch of each training too, so that validation figures, those of fresh seeds "
            "as well, are likely a little too good"
        )
    return found + again + tested + flattered
