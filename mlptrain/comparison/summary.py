"""The figures of a comparison, from the records of its scored trials."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mlptrain.comparison.plan import Plan
from mlptrain.comparison.statistics import learnt, mean_interval, seeds_needed
from mlptrain.comparison.trials import Record
from mlptrain.comparison.verdicts import Pair, compare_all, inclusion_violations, median_time, time_to_target
from mlptrain.spec import OptimizerSpec

if TYPE_CHECKING:
    from mlptrain.comparison.protocol import Tuned


def summarise(plan: Plan, tuned: Mapping[str, Tuned], scored: Mapping[str, Sequence[Record]]) -> dict[str, Any]:
    """The content of ``summary.json``; ``scored`` holds one record per scoring seed for every optimizer.

    Keys: name, plan, split, seeds, epochs, target, tie, majority, optimizers, pairs, inclusion, seeds_for_verdict,
    sentence. Each optimizer has setting, grids, tuning_trials, extensions, under_tuned, tuning, trials (seed, status,
    accuracy, loss, epoch), accuracy (mean, low, high, median), completed, did_not_learn, diverged, failed,
    epochs_to_target, curves (per measured figure the mean, lowest and highest over the seeds, epoch by epoch).
    """
    majority = _majority([record for records in scored.values() for record in records])
    optimizers = {name: _optimizer(plan, tuned[name], records, majority) for name, records in scored.items()}
    under_tuned = [name for name, entry in optimizers.items() if entry["under_tuned"]]
    scores = {name: [trial["score"] for trial in entry["trials"]] for name, entry in optimizers.items()}
    pairs = compare_all(scores, tie=plan.spec.tie, under_tuned=under_tuned)
    families = _families({name: tuned[name].setting for name in optimizers})
    ranking = sorted(optimizers, key=lambda name: -statistics.fmean(scores[name]))
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
        "majority": majority,
        "ranking": ranking,
        "optimizers": optimizers,
        "pairs": [asdict(pair) for pair in pairs],
        "inclusion": [asdict(pair) for pair in inclusion_violations(pairs, families=families)],
        "seeds_for_verdict": seeds_needed(plan.spec.pairs),
        "sentence": sentence(ranking, optimizers, pairs),
    }


def _majority(records: Sequence[Record]) -> float:
    """The share of the largest class in the scored split; 0 where no trial came as far as to count it."""
    counted = next((record["scored"] for record in records if "scored" in record), None)
    return 0.0 if counted is None else counted["majority"] / counted["examples"]


def _optimizer(plan: Plan, tuned: Tuned, records: Sequence[Record], majority: float) -> dict[str, Any]:
    trials = [_trial(plan, record, majority) for record in records]
    scores = [trial["score"] for trial in trials]
    states = [trial["status"] for trial in trials]
    interval = mean_interval(scores)
    return {
        "setting": tuned.setting.model_dump(),
        "grids": tuned.grids,
        "tuning_trials": len(tuned.medians) * len(plan.spec.tuning_seeds),
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


def _trial(plan: Plan, record: Record, majority: float) -> dict[str, Any]:
    """A scored trial: what it came to, and the score that enters paired differences.

    A trial that diverged, or that the machine failed, enters with the accuracy of the majority class.
    """
    head = {"seed": record["seed"], "trial": record["trial"], "status": record["status"]}
    if record["status"] != "completed":
        return head | {"score": majority, "accuracy": None, "loss": None, **_place(record)}
    accuracy = float(record["kept"][f"{plan.split}_accuracy"])
    examples = record["scored"]["examples"]
    if not learnt(round(accuracy * examples), n=examples, majority_share=majority):
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


def _families(settings: Mapping[str, OptimizerSpec]) -> dict[str, str]:
    """For each wider optimizer of the comparison the narrower one that it contains."""
    families = {}
    for wide, one in settings.items():
        for narrow, other in settings.items():
            if wide != narrow and _contains(one, other):
                families[wide] = narrow
    return families


def _contains(wide: OptimizerSpec, narrow: OptimizerSpec) -> bool:
    """Whether some setting of the wider family is the narrower one: momentum 0, or weight decay 0."""
    if wide.name == narrow.name and wide.name in ("sgd", "rmsprop"):
        return getattr(wide, "momentum", 0) > 0 and getattr(narrow, "momentum", 0) == 0
    return wide.name == "adamw" and narrow.name == "adam" and narrow.weight_decay == 0


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
    parts += [f"{phrase} {_list(by_verdict[key])}" for key, phrase in phrases.items() if key in by_verdict]
    text = ": ".join([parts[0], "; ".join(parts[1:])]) + "."
    for name, entry in optimizers.items():
        n = len(entry["trials"])
        for key, words in (("did_not_learn", "did not learn"), ("diverged", "diverged"), ("failed", "failed")):
            if entry[key]:
                text += f" {name} {words} in {entry[key]} of {n} trials."
        if entry["under_tuned"]:
            text += (
                f" {name} is under-tuned: its best value lies on the edge of its grid, so nothing is said against it."
            )
    return text


def _list(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
