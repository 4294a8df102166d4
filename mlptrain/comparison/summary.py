"""The figures of a comparison, from the records of its scored trials."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

from mlptrain.comparison.plan import Plan
from mlptrain.comparison.statistics import learnt, majority_bar, mean_interval, seeds_needed
from mlptrain.comparison.trials import Record
from mlptrain.comparison.verdicts import Pair, compare_all, inclusion_violations, median_time, time_to_target
from mlptrain.spec.comparison.sections import Candidate

if TYPE_CHECKING:
    from mlptrain.comparison.protocol import Tuned

_MOST_NAMED = 6  # optimizers in a row of the sentence


def summarise(plan: Plan, tuned: Mapping[str, Tuned], scored: Mapping[str, Sequence[Record]]) -> dict[str, Any]:
    """The content of ``summary.json``; ``scored`` holds one record per scoring seed for every optimizer.

    Keys: name, plan, split, seeds, tuning_seeds, epochs, steps_per_epoch, target, tie, majority, majority_bar, ranking,
    optimizers, pairs, inclusion, seeds_for_verdict, sentence.

    majority is the share of the largest class in the scored split, majority_bar the lowest accuracy that is
    significantly above it; where the split is drawn by the seed, the first seed's. Each optimizer has the keys setting,
    grids, tuning_trials, failed_tuning_trials, extensions, under_tuned, tuning (setting, accuracies), trials (seed,
    trial, status, score, accuracy, loss, epoch; step where it diverged, message where it failed), accuracy (mean, low,
    high, median), completed, did_not_learn, diverged, failed, epochs_to_target (median, reached, n, trials; None
    without a target), curves (per measured figure mean, low and high over the seeds, epoch by epoch).
    """
    chances = _chances([record for records in scored.values() for record in records])
    optimizers = {name: _optimizer(plan, tuned[name], records, chances) for name, records in scored.items()}
    under_tuned = [name for name, entry in optimizers.items() if entry["under_tuned"]]
    scores = {name: [trial["score"] for trial in entry["trials"]] for name, entry in optimizers.items()}
    pairs = compare_all(scores, tie=plan.spec.tie, under_tuned=under_tuned)
    ranking = sorted(optimizers, key=lambda name: -statistics.fmean(scores[name]))
    first = chances.get(plan.spec.scoring_seeds[0], _Chance(0, 0, 1))
    return {
        "name": plan.spec.name,
        "plan": plan.digest,
        "split": plan.split,
        "seeds": list(plan.spec.scoring_seeds),
        "tuning_seeds": list(plan.spec.tuning_seeds),
        "epochs": plan.spec.base.training.epochs,
        "steps_per_epoch": plan.spec.base.steps_per_epoch,
        "target": None if plan.spec.target is None else plan.spec.target.model_dump(),
        "tie": plan.spec.tie,
        "majority": first.share,
        "majority_bar": first.bar,
        "ranking": ranking,
        "optimizers": optimizers,
        "pairs": [asdict(pair) for pair in pairs],
        "inclusion": [
            asdict(pair)
            for wide, narrow in _families(plan.spec.optimizers)
            for pair in inclusion_violations(pairs, families={wide: narrow})
        ],
        "seeds_for_verdict": seeds_needed(plan.spec.pairs),
        "sentence": sentence(ranking, optimizers, pairs),
    }


class _Chance(NamedTuple):
    """A scored split: how many of its examples belong to its largest class.

    ``trials`` are judged together by the bar, at 5 % for all of them (Bonferroni): of forty that name nearly always the
    same class, two would be called learnt at 5 % each.
    """

    majority: int
    examples: int
    trials: int

    @property
    def level(self) -> float:
        """The level of one trial's test."""
        return 0.05 / self.trials

    @property
    def share(self) -> float:
        """What always naming that class is worth; 0 where nothing was counted."""
        return self.majority / self.examples if self.examples else 0.0

    @property
    def bar(self) -> float | None:
        """The lowest accuracy that is significantly above that; None where there is none."""
        bar = majority_bar(self.majority, n=self.examples, level=self.level) if self.examples else math.inf
        return bar if math.isfinite(bar) else None


def _chances(records: Sequence[Record]) -> dict[int, _Chance]:
    """By seed, since a validation split is drawn by it; a seed whose trials all failed has none."""
    return {
        record["seed"]: _Chance(record["scored"]["majority"], record["scored"]["examples"], len(records))
        for record in records
        if "scored" in record
    }


def _optimizer(plan: Plan, tuned: Tuned, records: Sequence[Record], chances: Mapping[int, _Chance]) -> dict[str, Any]:
    other = next(iter(chances.values()), _Chance(0, 0, 1))
    trials = [_trial(plan, record, chances.get(record["seed"], other)) for record in records]
    scores = [trial["score"] for trial in trials]
    states = [trial["status"] for trial in trials]
    interval = mean_interval(scores)
    return {
        "setting": tuned.setting.model_dump(),
        "grids": tuned.grids,
        "tuning_trials": len(tuned.medians) * len(plan.spec.tuning_seeds),
        "failed_tuning_trials": tuned.failed,
        "extensions": tuned.extensions,
        "under_tuned": tuned.under_tuned,
        "tuning": tuned.medians,
        "trials": trials,
        "accuracy": {
            "mean": interval.value,
            "low": interval.low,
            "high": interval.high,
            "median": statistics.median(scores),
        },
        "completed": states.count("completed"),
        "did_not_learn": states.count("did not learn"),
        "diverged": states.count("diverged"),
        "failed": states.count("failed"),
        "epochs_to_target": _epochs_to_target(plan, records),
        "curves": _curves(records),
    }


def _trial(plan: Plan, record: Record, chance: _Chance) -> dict[str, Any]:
    """A scored trial: what it came to, and the score that enters paired differences.

    A trial that diverged, or that the machine failed, enters with the accuracy of the majority class.
    """
    head = {"seed": record["seed"], "trial": record["trial"], "status": record["status"]}
    if record["status"] != "completed":
        return head | {"score": chance.share, "accuracy": None, "loss": None, **_place(record)}
    accuracy = float(record["kept"][f"{plan.split}_accuracy"])
    correct = round(accuracy * chance.examples)
    if not learnt(correct, n=chance.examples, majority_share=chance.share, level=chance.level):
        head["status"] = "did not learn"
    return head | {
        "score": accuracy,
        "accuracy": accuracy,
        "loss": record["kept"][f"{plan.split}_loss"],
        "epoch": record["kept"]["epoch"],
    }


def _place(record: Record) -> dict[str, Any]:
    if "diverged" in record:
        return {"epoch": record["diverged"]["epoch"], "step": record["diverged"]["step"]}
    return {"epoch": None, "message": record.get("message")}


def _epochs_to_target(plan: Plan, records: Sequence[Record]) -> dict[str, Any] | None:
    """Median over the trials, a miss counted as longer than any time, and how many reached the target."""
    target = plan.spec.target
    if target is None:
        return None
    times = [
        time_to_target(
            record.get("curves", {}).get(target.metric, [])[1:],  # the first value is from before training
            target=target.value,
            higher_is_better=target.metric.endswith("accuracy"),
        )
        for record in records
    ]
    return median_time(times)._asdict() | {"trials": times}


def _curves(records: Sequence[Record]) -> dict[str, dict[str, list[float]]]:
    """Mean, lowest and highest over the trials that lasted, epoch by epoch."""
    lasting = [record["curves"] for record in records if record["status"] == "completed"]
    if not lasting:
        return {}
    curves = {}
    for name in lasting[0]:
        by_epoch = list(zip(*(curve[name] for curve in lasting), strict=True))
        if any(value is None for value in by_epoch[0]):
            continue
        curves[name] = {
            "mean": [statistics.fmean(values) for values in by_epoch],
            "low": [min(values) for values in by_epoch],
            "high": [max(values) for values in by_epoch],
        }
    return curves


def _families(candidates: Mapping[str, Candidate]) -> list[tuple[str, str]]:
    """Each optimizer of the comparison that contains another, with that one."""
    return [
        (wide, narrow)
        for wide, one in candidates.items()
        for narrow, other in candidates.items()
        if wide != narrow and _contains(one, other)
    ]


def _contains(wide: Candidate, narrow: Candidate) -> bool:
    """Whether the narrower family is the wider one with momentum, or weight decay, held at 0, and alike in all else.

    Learning rates may differ: they are what is searched. Nesterov's momentum is momentum, and 0 makes both the same.
    """
    names = (wide.fixed["name"], narrow.fixed["name"])
    if names in (("sgd", "sgd"), ("rmsprop", "rmsprop")):
        field = "momentum"
    elif names == ("adamw", "adam"):
        field = "weight_decay"
    else:
        return False
    if _values(narrow, field) != [0] or max(_values(wide, field)) == 0:
        return False
    others = wide.fixed.keys() | wide.grids.keys()
    return all(_values(wide, key) == _values(narrow, key) for key in others - {"name", "lr", "nesterov", field})


def _values(candidate: Candidate, field: str) -> list[Any]:
    return candidate.grids.get(field, [candidate.fixed.get(field)])


def sentence(ranking: Sequence[str], optimizers: Mapping[str, Any], pairs: Sequence[Pair]) -> str:
    """What came out, in plain words."""
    best = ranking[0]
    told = {pair.b if pair.a == best else pair.a: pair if pair.a == best else pair.mirrored()
            for pair in pairs if best in (pair.a, pair.b)}  # fmt: skip
    by_verdict: dict[str, list[str]] = {}
    for name in ranking[1:]:
        by_verdict.setdefault(told[name].verdict, []).append(name)
    mean = optimizers[best]["accuracy"]["mean"]
    parts = [f"{best} has the highest mean accuracy, {100 * mean:.2f} %"]
    phrases = {
        "better": "better than",
        "tie": "tied with",
        "not decided": "not told apart from",
        "no verdict": "without a verdict (too few seeds) against",
    }
    others = len(ranking) - 1
    parts += [f"{phrase} {_list(by_verdict[key], of=others)}" for key, phrase in phrases.items() if key in by_verdict]
    text = ": ".join([parts[0], "; ".join(parts[1:])]) + "."
    if all(entry["failed"] == len(entry["trials"]) for entry in optimizers.values()):
        text = "The machine could not train a single trial."
    for key, words in (("did_not_learn", "did not learn"), ("diverged", "diverged"), ("failed", "failed")):
        by_count: dict[str, list[str]] = {}
        for name, entry in optimizers.items():
            if entry[key]:
                by_count.setdefault(f"{entry[key]} of {len(entry['trials'])}", []).append(name)
        for count, names in by_count.items():
            text += f" {_list(names)} {words} in {count} trials{' each' if len(names) > 1 else ''}."
    if under := [name for name, entry in optimizers.items() if entry["under_tuned"]]:
        are, them = ("is", "it") if len(under) == 1 else ("are", "them")
        text += (
            f" {_list(under)} {are} under-tuned: the best value lies on the edge of the grid, so nothing is said "
            f"against {them}."
        )
    return text


def _list(names: Sequence[str], *, of: int = 0) -> str:
    """The names in a row, of many the first ones; ``of`` is how many there are to name at most."""
    if len(names) == of > _MOST_NAMED:
        return f"all {of} others"
    more = len(names) - _MOST_NAMED
    shown = list(names) if more <= 0 else [*names[:_MOST_NAMED], f"{more} more"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
