"""The figures of a comparison, from the records of its scored trials."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from mlptrain.comparison.plan import Grids, Plan
from mlptrain.comparison.statistics import majority_bar, mean_interval
from mlptrain.comparison.verdicts import compare_all, inclusion_violations, median_time, time_to_target
from mlptrain.runs.comparison import (
    ArmResult,
    Curve,
    OptimizerResult,
    Pair,
    ScoredTrial,
    Status,
    StudyPair,
    StudySummary,
    StudyTrial,
    Summary,
    TimeToTarget,
    TriedSetting,
)
from mlptrain.runs.trials import TrialRecord
from mlptrain.spec.comparison.changes import Changes, changed_spec, plain_changes, with_changes
from mlptrain.spec.comparison.sections import Arm, Candidate, ComparedMetric, seeds_for_verdict
from mlptrain.spec.constructors import defaults_of
from mlptrain.spec.metrics import figure_text, short_name_of
from mlptrain.updates import wrapped

_HELD_AT_0 = {("sgd", "sgd"): "momentum", ("rmsprop", "rmsprop"): "momentum", ("adamw", "adam"): "weight_decay"}
_MAX_NAMED = 6  # arms in a row of the sentence


@dataclass
class Tuned:
    """The choice for one arm: the setting, the grids it was chosen from, and how often they were extended.

    ``tried`` holds every setting of the grids; ``failed`` counts the trials that the machine could not train.
    """

    setting: Changes
    grids: Grids = field(default_factory=dict)
    extensions: int = 0
    under_tuned: bool = False
    tried: list[TriedSetting] = field(default_factory=list)
    failed: int = 0


def summarise(plan: Plan, tuned: Mapping[str, Tuned], scored: Mapping[str, Sequence[TrialRecord]]) -> Summary:
    """The summary; ``scored`` holds one record per scoring seed for every arm."""
    metric, is_study = plan.spec.judged_by, plan.spec.metric is not None
    everything = [record for records in scored.values() for record in records]
    chances = _chances(everything, metric)
    sizes = _sizes(plan, {name: tuned[name].setting for name in scored})
    optimizers = {name: _arm(plan, tuned[name], records, chances, sizes[name]) for name, records in scored.items()}
    under_tuned = [name for name, entry in optimizers.items() if entry.under_tuned]
    scores = {name: [trial.score for trial in entry.trials] for name, entry in optimizers.items()}
    pairs = compare_all(
        scores,
        tie=plan.spec.tie_width,
        under_tuned=under_tuned,
        higher_is_better=metric.higher_is_better,
        kind=StudyPair if is_study else Pair,
    )
    sign = -1 if metric.higher_is_better else 1
    ranking = sorted(optimizers, key=lambda name: sign * statistics.fmean(scores[name]))
    families = [
        (wide, narrow)
        for (wide, of_wide), (narrow, of_narrow) in itertools.permutations(plan.spec.compared.items(), 2)
        if _contains(of_wide, of_narrow)
    ]
    first = chances.get(plan.spec.scoring_seeds[0], _Chance())
    has_bar = first.examples is not None
    return _summary(
        plan.spec.metric,
        name=plan.spec.name,
        plan=plan.digest,
        split=plan.split,
        seeds=list(plan.spec.scoring_seeds),
        tuning_seeds=list(plan.spec.tuning_seeds),
        epochs=plan.spec.base.training.epochs,
        steps_per_epoch=plan.task.steps_per_epoch,
        target=plan.spec.target,
        tie=plan.spec.tie_width,
        majority=first.share if metric.key == "accuracy" and has_bar else None,
        majority_bar=first.bar if has_bar and math.isfinite(first.bar) else None,
        ranking=ranking,
        optimizers=optimizers,
        pairs=pairs,
        inclusion=inclusion_violations(pairs, families=families),
        seeds_for_verdict=seeds_for_verdict(plan.spec.pairs),
        sentence=sentence(ranking, optimizers, pairs, metric=plan.spec.metric),
    )


def _summary(metric: ComparedMetric | None, **values: Any) -> Summary:
    if metric is None:
        return Summary(**values)
    arms = values.pop("optimizers")
    return StudySummary.model_validate({**values, "metric": metric, "arms": arms})


class _Chance(NamedTuple):
    """What answers that ignore the inputs are worth, and the score from which a trial has learnt something.

    Of accuracies that is what always naming the largest class is worth, and the bar is significantly above it: the
    level of one trial's test is 5 % over all scored trials (Bonferroni): of forty that name nearly always the same
    class, two would be called learnt at 5 % each. Of other metrics (``examples`` None) any better score is beyond it.
    """

    share: float = 0.0
    bar: float = math.inf  # the lowest such accuracy
    examples: int | None = 1
    higher_is_better: bool = True

    def is_learnt(self, score: float) -> bool:
        """Whether a trial with this score has learnt something."""
        if self.examples is None:
            return score > self.share if self.higher_is_better else score < self.share
        return round(score * self.examples) / self.examples >= self.bar  # in float64, as the bar is


def _chances(records: Sequence[TrialRecord], metric: ComparedMetric) -> dict[int, _Chance]:
    """By seed, since a validation split is drawn by it; a seed whose trials all failed has none."""
    chances = {}
    for record in records:
        if (scored := record.scored) is not None and record.seed not in chances:
            if metric.key == "accuracy" and scored.majority is not None:
                bar = majority_bar(scored.majority, n=scored.examples, level=0.05 / len(records))
                chances[record.seed] = _Chance(scored.majority / scored.examples, bar, scored.examples)
            elif scored.guess is not None:
                chances[record.seed] = _Chance(scored.guess, scored.guess, None, metric.higher_is_better)
    if chances or metric.key == "accuracy":
        return chances
    # Undefined for such answers: then what is worst.
    scores = [value for record in records if (value := _scored(record, metric)) is not None]
    if not scores:
        return {}
    worst = min(scores) if metric.higher_is_better else max(scores)
    beyond = -math.inf if metric.higher_is_better else math.inf
    return {record.seed: _Chance(worst, beyond, None, metric.higher_is_better) for record in records}


def _scored(record: TrialRecord, metric: ComparedMetric) -> float | None:
    return None if record.kept is None else record.kept.figure(metric.name)


def _sizes(plan: Plan, chosen: Mapping[str, Changes]) -> dict[str, int | None]:
    """The parameters of each arm's network, None where all have equally many; the data say how many inputs it has."""
    if not plan.spec.arms:
        return dict.fromkeys(chosen)
    sizes = {
        name: sum(map(math.prod, with_changes(plan.task, changes, seed=0).parameter_shapes.values()))
        for name, changes in chosen.items()
    }
    return dict.fromkeys(chosen) if len({*sizes.values()}) == 1 else dict(sizes)


def _arm(
    plan: Plan,
    tuned: Tuned,
    records: Sequence[TrialRecord],
    chances: Mapping[int, _Chance],
    parameters: int | None,
) -> OptimizerResult:
    other = next(iter(chances.values()), _Chance())
    trials = [_trial(plan, record, chances.get(record.seed, other)) for record in records]
    scores = [trial.score for trial in trials]
    states = [trial.status for trial in trials]
    bounds = (0.0, 1.0) if plan.spec.is_of_fractions and plan.spec.judged_by.key != "mape" else (-math.inf, math.inf)
    mean, low, high = mean_interval(scores, within=bounds)
    known = [record.steps_per_epoch for record in records]
    of_mean = {"mean": mean, "low": low, "high": high, "median": statistics.median(scores)}
    values: dict[str, Any] = {
        "grids": tuned.grids,
        "tuning_trials": len(tuned.tried) * len(plan.spec.tuning_seeds),
        "failed_tuning_trials": tuned.failed,
        "extensions": tuned.extensions,
        "under_tuned": tuned.under_tuned,
        "tuning": tuned.tried,
        "trials": trials,
        "completed": states.count("completed"),
        "did_not_learn": states.count("did not learn"),
        "diverged": states.count("diverged"),
        "failed": states.count("failed"),
        "epochs_to_target": _epochs_to_target(plan, records),
        "curves": _curves(records),
        "steps_per_epoch": next((own for own in known if own not in (None, plan.task.steps_per_epoch)), None),
        "at_default": _at_default(tuned.setting),
        "parameters": parameters,
        "gradients_per_step": None if (most := gradients_per_step(plan, tuned.setting)) == 1 else most,
    }
    if plan.spec.metric is not None:
        return ArmResult.model_validate(values | {"changes": plain_changes(tuned.setting), "score": of_mean})
    return OptimizerResult.model_validate(values | {"setting": tuned.setting, "accuracy": of_mean})


def gradients_per_step(plan: Plan, setting: Changes) -> int:
    """How many gradients of its batch a step evaluates at most: several of L-BFGS and SAM, and of disturbed inputs."""
    spec = plan.task.spec
    spec = (
        changed_spec(spec, setting) if isinstance(setting, Mapping) else spec.model_copy(update={"optimizer": setting})
    )
    adversarial = spec.training.adversarial
    return wrapped.gradients_per_step(spec.optimizer) * (1 if adversarial is None else adversarial.gradients)


def _at_default(setting: Changes) -> list[str] | None:
    """The keys of an optimizer by its import path whose values are its constructor's; None of any other."""
    section = setting.get("optimizer") if isinstance(setting, Mapping) else setting.model_dump()
    name = section.get("name") if isinstance(section, dict) else None
    if not isinstance(section, dict) or not isinstance(name, str) or ":" not in name:
        return None
    usual = {key: list(value) if isinstance(value, tuple) else value for key, value in defaults_of(name).items()}
    return [key for key, value in section.items() if key in usual and value == usual[key]]


def _trial(plan: Plan, record: TrialRecord, chance: _Chance) -> ScoredTrial:
    """A scored trial: what it came to, and the score that enters paired differences.

    A trial that diverged, or that the machine failed, enters with the score of answers that ignore the inputs; so does
    one whose metric is undefined, which has not learnt.
    """
    kept, lost = record.kept, record.diverged
    kind = ScoredTrial if plan.spec.metric is None else StudyTrial
    if kept is None:
        return kind(
            seed=record.seed, trial=record.trial, status="failed" if lost is None else "diverged", score=chance.share,
            accuracy=None, loss=None,
            epoch=None if lost is None else lost.epoch, step=None if lost is None else lost.step,
            message=record.message,
        )  # fmt: skip
    accuracy, loss, score = (
        kept.figure(f"{plan.split}_{key}") for key in ("accuracy", "loss", plan.spec.judged_by.key)
    )
    status: Status = "completed" if score is not None and chance.is_learnt(score) else "did not learn"
    return kind(
        seed=record.seed, trial=record.trial, status=status, score=chance.share if score is None else score,
        accuracy=accuracy, loss=loss, epoch=kept.epoch,
    )  # fmt: skip


def _epochs_to_target(plan: Plan, records: Sequence[TrialRecord]) -> TimeToTarget | None:
    """Median over the trials, a miss counted as longer than any time, and how many reached the target."""
    target = plan.spec.target
    if target is None:
        return None
    curves = [record.curves.get(target.metric, [])[1:] for record in records]  # the first value precedes training
    return median_time(
        [time_to_target(curve, target=target.value, higher_is_better=target.is_at_least) for curve in curves]
    )


def _curves(records: Sequence[TrialRecord]) -> dict[str, Curve]:
    """Mean, lowest and highest over the trials that lasted, epoch by epoch."""
    lasting = [record.curves for record in records if record.kept is not None]
    shared = [name for name in next(iter(lasting), {}) if all(name in curves for curves in lasting)]
    by_name = {name: list(zip(*(curves[name] for curves in lasting), strict=True)) for name in shared}
    return {
        name: Curve(
            mean=[statistics.fmean(values) for values in by_epoch],
            low=[min(values) for values in by_epoch],
            high=[max(values) for values in by_epoch],
        )
        for name, by_epoch in by_name.items()
    }


def _contains(wide: Candidate | Arm, narrow: Candidate | Arm) -> bool:
    """Whether the narrower family is the wider one with momentum, or weight decay, held at 0, and alike in all else.

    Learning rates may differ: they are what is searched. Nesterov's momentum is momentum, and 0 makes both the same.
    """
    if isinstance(wide, Arm) or isinstance(narrow, Arm):
        return False  # which families of other keys contain each other is not known
    field = _HELD_AT_0.get((wide.fixed["name"], narrow.fixed["name"]))
    if field is None or _values(narrow, field) != [0] or max(_values(wide, field)) == 0:
        return False
    others = wide.fixed.keys() | wide.grids.keys()
    return all(_values(wide, key) == _values(narrow, key) for key in others - {"name", "lr", "nesterov", field})


def _values(candidate: Candidate, field: str) -> list[Any]:
    return candidate.grids.get(field, [candidate.fixed.get(field)])


def sentence(
    ranking: Sequence[str],
    optimizers: Mapping[str, OptimizerResult],
    pairs: Sequence[Pair],
    *,
    metric: ComparedMetric | None = None,
) -> str:
    """The outcome in plain words; without a ``metric`` it is the accuracy."""
    best = ranking[0]
    sides = [side for pair in pairs for side in (pair, pair.mirrored())]
    outcomes = {side.b: side.reason or side.verdict for side in sides if side.a == best}
    phrases = {
        "better": "better than",
        "tie": "tied with",
        "not significant": "not significantly different from",
        "under-tuned": "without a verdict (under-tuned) against",
        "too few seeds": "without a verdict (too few seeds) against",
    }
    by_outcome = _grouped({name: outcomes[name] for name in ranking[1:]})
    parts = [
        f"{phrase} {_list(by_outcome[key], of=len(ranking) - 1)}"
        for key, phrase in phrases.items()
        if key in by_outcome
    ]
    mean, name = optimizers[best].accuracy.mean, "accuracy" if metric is None else short_name_of(metric.key)
    extreme = "highest" if metric is None or metric.higher_is_better else "lowest"
    value = figure_text("accuracy" if metric is None else metric.key, mean)
    text = f"{best} has the {extreme} mean {name}, {value}: {'; '.join(parts)}."
    if all(entry.failed == len(entry.trials) for entry in optimizers.values()):
        text = "The machine could not train a single trial."
    for key in ("did_not_learn", "diverged", "failed"):
        counts = {name: (getattr(entry, key), len(entry.trials)) for name, entry in optimizers.items()}
        for (count, of), names in _grouped({name: pair for name, pair in counts.items() if pair[0]}).items():
            each = " each" if len(names) > 1 else ""
            text += f" {_list(names)} {key.replace('_', ' ')} in {count} of {of} trials{each}."
    if under := [name for name, entry in optimizers.items() if entry.under_tuned]:
        are, them = ("is", "it") if len(under) == 1 else ("are", "them")
        text += (
            f" {_list(under)} {are} under-tuned: the best value lies on the edge of the grid, so nothing is said "
            f"against {them}."
        )
    return text


def _grouped(values: Mapping[str, Any]) -> dict[Any, list[str]]:
    """The names by their value, in the order given."""
    names: dict[Any, list[str]] = {}
    for name, value in values.items():
        names.setdefault(value, []).append(name)
    return names


def _list(names: Sequence[str], *, of: int = 0) -> str:
    """The names in a row, of many the first ones; ``of`` is how many there are to name at most."""
    if len(names) == of > _MAX_NAMED:
        return f"all {of} others"
    more = len(names) - _MAX_NAMED
    shown = list(names) if more <= 0 else [*names[:_MAX_NAMED], f"{more} more"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
