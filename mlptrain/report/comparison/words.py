"""How a comparison's figures and verdicts read, on the page, in the pictures and in the tables alike."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from pydantic import BaseModel

from mlptrain.report.comparison.rates import ACCURACY, good_range
from mlptrain.report.comparison.units import Units
from mlptrain.runs.comparison import OptimizerResult, ScoredTrial, Summary, TimeToTarget, Verdict
from mlptrain.spec import Experiment
from mlptrain.spec.base import names_of, sections_at
from mlptrain.spec.code import COLLECTIONS
from mlptrain.spec.comparison.rules import test_rows_of_tuning
from mlptrain.spec.comparison.sections import TargetSpec
from mlptrain.spec.experiment import ExperimentSpec
from mlptrain.spec.metrics import is_share, short_name_of
from mlptrain.spec.optimizer import Foreign

SYMBOLS: Mapping[Verdict, str] = {"better": "▲", "worse": "▼", "tie": "=", "not decided": "?", "no verdict": "·"}

_LINE = 22  # letters of a name in a picture before it continues in the next line
_MAX_LISTED = 40
_UNEQUAL = 0.7  # the largest class's share from which other metrics than accuracy are pointed to
_MAX_NUMBERS = 6
_HIDDEN = (
    "betas",
    "eps",
    "alpha",
    "momentum_decay",
    "initial_accumulator_value",
    "path",
    "sha256",
)  # shown only where they are tuned
_ALWAYS = ("weight_decay", "momentum", "nesterov")  # shown of an optimizer where they are not off, default or not


def split_name(split: str) -> str:
    """``training`` for ``train``; the others are words already."""
    return "training" if split == "train" else split


def lost_as(summary: Summary) -> str:
    """What a trial that diverged or failed counts as, in few words."""
    return "as a constant answer" if summary.majority is None else "as the majority class"


def lost_note(summary: Summary) -> str:
    """What a trial that diverged or failed counts as, with the figure, a range where it differs from seed to seed."""
    lost = [trial.score for trial in _lost(summary)]
    answer = "the same, whatever the inputs" if summary.majority is None else "the largest class"
    figure, units = majority(summary), Units.of(summary)
    if lost:
        low, high = min(lost), max(lost)
        figure = units.value(low) if low == high else f"{units.interval(low, high)}, which depends on the seed"
    return f"A trial that diverged or failed counts as if it always predicted {answer}{figure and f': {figure}'}."


def has_lost(summary: Summary) -> bool:
    """Whether any scored trial diverged or failed."""
    return any(_lost(summary))


def _lost(summary: Summary) -> Iterator[ScoredTrial]:
    trials = (trial for entry in summary.optimizers.values() for trial in entry.trials)
    return (trial for trial in trials if trial.status in ("diverged", "failed"))


def percent(fraction: float) -> str:
    """``97.03 %``."""
    return f"{100 * fraction:.2f} %"


def majority(summary: Summary) -> str:
    """The share of the largest class in the scored split; a validation split is drawn by each seed. Empty without."""
    if summary.majority is None:
        return ""
    return percent(summary.majority) + (" for the first seed" if summary.split == "validation" else "")


def bar(summary: Summary) -> str:
    """What a trial had to reach to count as one that learnt; empty where the scores are not accuracies."""
    if summary.majority is None:
        return ""
    needed = "" if summary.majority_bar is None else f": needed {percent(summary.majority_bar)}"
    return f"not significantly above the largest class, {majority(summary)}{needed}"


def number(value: object, *, digits: int = 4) -> str:
    """A setting's value: four digits of a number, a list in brackets, a section as its name and what it says."""
    if isinstance(value, dict):
        name = [str(value["name"])] if "name" in value else []
        inner = [f"{key} {number(one)}" for key, one in value.items() if key != "name"]
        return " ".join(name + ([f"({', '.join(inner)})"] if inner else []))
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(number, value))}]"
    return f"{value:.{digits}g}" if isinstance(value, (int, float)) else str(value)


def describe_setting(entry: OptimizerResult) -> str:
    """torch's name, the learning rate, and whatever else was tuned or is not as by default.

    Of an arm what it changes, by the last word of each key where that is enough.
    """
    if entry.setting is not None:
        return _optimizer(entry.setting.model_dump(), entry.grids, entry.at_default or ())
    changes = dict(entry.changes or {})
    shared = [key.rpartition(".")[2] for key in changes]
    parts = []
    for key, value in changes.items():
        if key == "optimizer" and isinstance(value, dict) and "lr" in value:
            tuned = {name.removeprefix("optimizer."): one for name, one in changes.items() if name in entry.grids}
            section = value | {name: one for name, one in tuned.items() if name in value}
            parts.append(_optimizer(section, tuned, entry.at_default or ()))
        elif "optimizer" not in changes or not key.startswith("optimizer."):
            short = key.rpartition(".")[2]
            parts.append(f"{short if shared.count(short) == 1 else key} {number(_without_defaults(key, value))}")
    return ", ".join(parts) or "the base as it is"


def _optimizer(setting: Mapping[str, object], tuned: Collection[str], at_default: Collection[str]) -> str:
    parts, defaults = [f"{setting['name']} lr {number(setting['lr'])}"], _defaults("optimizer", setting["name"])
    for key, value in setting.items():
        if key in ("name", "lr") or (key not in tuned and (key in _HIDDEN or key in at_default or not value)):
            continue
        if key not in tuned and key not in _ALWAYS and value == defaults.get(key):
            continue
        parts.append(key if value is True else f"{key} {number(value)}")
    return ", ".join(parts)


def _defaults(key: str, name: object) -> dict[str, object]:
    """The default values of the section ``name``, or of the one without a name, at a key path of an experiment.

    None where it is not known, and of an optimizer by its import path those of every optimizer.
    """
    sections: list[type[BaseModel]] = [ExperimentSpec]
    for part in key.split("."):
        sections = sections_at(sections, part)
    if isinstance(name, str) and ":" in name:
        sections = [Foreign]
    elif name is not None:
        sections = [one for one in sections if name in names_of(one)]
    fields = sections[0].model_fields if len(sections) == 1 else {}
    known = {
        key: field.get_default(call_default_factory=True) for key, field in fields.items() if not field.is_required()
    }
    return {
        key: value.model_dump(exclude_none=True) if isinstance(value, BaseModel) else value
        for key, value in known.items()
    }


def _without_defaults(key: str, value: object) -> object:
    """A section with its name and what is not as by default; any other value as it is."""
    if not isinstance(value, dict):
        return value
    defaults = _defaults(key, value.get("name"))
    return {
        inner: _without_defaults(f"{key}.{inner}", one)
        for inner, one in value.items()
        if inner not in defaults or one != defaults[inner]
    }


def wrapped(name: str) -> str:
    """A long name in several lines, for the pictures."""
    return "\n".join(textwrap.wrap(" ".join(name.split()), _LINE)) or name


def titled(summary: Summary, text: str, *, width: int = 66) -> str:
    """A picture's title, with the comparison's name first, in lines of at most ``width`` letters."""
    return "\n".join(textwrap.wrap(f"{summary.name}: {text}", width))


def describe_target(target: TargetSpec) -> str:
    """``validation accuracy of at least 95 %``, or ``test loss of at most 0.1``."""
    value = f"{100 * target.value:g} %" if is_share(target.key) else f"{target.value:g}"
    metric = f"{split_name(target.split)} {short_name_of(target.key)}"
    return f"{metric} of at {'least' if target.is_at_least else 'most'} {value}"


def target_note(summary: Summary) -> str:
    """``Target: validation accuracy of at least 95 %.``, or nothing."""
    return "" if summary.target is None else f"Target: {describe_target(summary.target)}."


def median_epochs(times: TimeToTarget) -> str:
    """The median number of epochs to the target, or ``not reached``."""
    return "not reached" if times.median is None else f"{times.median:g}"


def epochs_and_reached(times: TimeToTarget) -> str:
    """The same with how many trials reached it: ``3 (7 of 7)``."""
    return f"{median_epochs(times)} ({times.reached} of {times.n})" if times.reached else "not reached"


def describe_good_range(entry: OptimizerResult, units: Units = ACCURACY) -> str:
    """``good over 0.62 decades``, with ``at least`` where the range reaches the edge of what was tried.

    Where no other tried rate lies in it, how far it reaches is not known, and no width is told.
    """
    good = good_range(entry, units)
    if good is None:
        return "no good range"
    if good.is_alone:
        return "no other tried rate is as good"
    width = f"{good.decades:.{1 if good.decades >= 1 else 2}f}"
    return f"good over {'at least ' if any(good.ends) else ''}{width} decades"


def ends_of_good_range(entry: OptimizerResult, units: Units = ACCURACY) -> str:
    """``0.0032 to 0.03``; the chosen rate alone where no other tried one is as good."""
    good = good_range(entry, units)
    if good is None:
        return "–"
    return number(entry.rate) if good.is_alone else f"{good.low:.2g} to {good.high:.2g}"


def what_failed(entry: OptimizerResult) -> list[tuple[str, list[ScoredTrial]]]:
    """The trials that did not learn, diverged or failed, by status."""
    by_status: dict[str, list[ScoredTrial]] = {}
    for trial in entry.trials:
        if trial.status != "completed":
            by_status.setdefault(trial.status, []).append(trial)
    return list(by_status.items())


def describe_failure(trials: Sequence[ScoredTrial], split: str, units: Units = ACCURACY) -> str:
    """Where trials of one status diverged, what they reached without learning, or why they failed."""
    scores = [trial.score for trial in trials if trial.status == "did not learn"]
    if scores:
        low, high = units.value(min(scores)), units.value(max(scores))
        span = low if low == high else f"{low} to {high}"
        seeds = f"seed{'' if len(trials) == 1 else 's'} {listed([trial.seed for trial in trials])}"
        return f"{split_name(split)} {units.name} of {span} ({seeds})"
    parts = [
        f"seed {trial.seed} at step {trial.step} (epoch {trial.epoch})"
        if trial.status == "diverged"
        else f"seed {trial.seed}: {trial.message or 'for an unknown reason'}"
        for trial in trials[:_MAX_LISTED]
    ]
    more = f"; and {len(trials) - _MAX_LISTED:,} more in summary.csv" if len(trials) > _MAX_LISTED else ""
    return "; ".join(parts) + more


def basis(summary: Summary) -> str:
    """How the figures and the verdicts were made."""
    seeds, pairs, units = len(summary.seeds), len(summary.pairs), Units.of(summary)
    way = "" if units.higher_is_better else " (lower is better)"
    return (
        f"{split_name(summary.split).capitalize()} {units.name}{way} over {counted(seeds, 'seed')}: the mean with "
        f"Student's 95 % interval. Differences are paired by seed: their mean with a 95 % bootstrap interval (expanded "
        "percentile), which is of each pair alone, and the p-value of the exact sign-flip test, corrected by Holm "
        f"over {counted(pairs, 'pair')}. {_tie(summary)}, if the corrected p is at most 0.05; else not decided. Plan "
        f"{summary.plan}."
    )


def _tie(summary: Summary) -> str:
    if not summary.tie:
        return "Better or worse"
    units = Units.of(summary)
    return f"Tie: the interval lies within {units.width(summary.tie)} {units.unit}; better or worse: else"


def caveats(summary: Summary) -> list[str]:
    """What forbids a verdict or limits it, and where budgets were not equal."""
    notes = []
    if len(summary.seeds) < summary.seeds_for_verdict:
        pairs, seeds = len(summary.pairs), len(summary.seeds)
        notes.append(
            f"No verdicts: {counted(pairs, 'pair')} of {what(summary)}s need{'s' if pairs == 1 else ''} at least "
            f"{summary.seeds_for_verdict} seeds, and there {'is' if seeds == 1 else 'are'} {seeds}."
        )
    notes += [
        f"{name} is under-tuned: its best value lies on the edge of its grid, so nothing is said against it."
        for name, entry in summary.ranked
        if entry.under_tuned
    ]
    notes += _unequal_classes(summary)
    notes += [note for name, entry in summary.ranked for note in _ends_of_lists(name, entry)]
    notes += _unequal_budgets(summary)
    notes += [
        f"{pair.a} contains {pair.b} as a special case but scored worse: its search space is too small to rank the two."
        for pair in summary.inclusion
    ]
    return notes


def _unequal_classes(summary: Summary) -> Iterator[str]:
    """That a trial may have learnt what accuracy does not show, where some are said not to have."""
    if (summary.majority or 0) > _UNEQUAL and any(entry.did_not_learn for entry in summary.optimizers.values()):
        yield (
            f"The largest class has {majority(summary)} of the rows, and did not learn means that the accuracy is not "
            "significantly above that; for classes so unequal, mlptrain compare with metric: roc_auc or metric: f1 "
            "shows more."
        )


def _ends_of_lists(name: str, entry: OptimizerResult) -> Iterator[str]:
    """The tuned lists of whole numbers, as of widths, that stand in order and whose first or last one was chosen."""
    chosen = entry.changes if entry.setting is None else entry.setting.model_dump()
    for key, values in entry.grids.items():
        value = (chosen or {}).get(key)
        if value in (values[0], values[-1]) and (_ascend(values) or _ascend(values[::-1])):
            place = "first" if value == values[0] else "last"
            yield (
                f"{name}: the best {key}, {number(value)}, is the {place} of its list; what lies beyond was not tried."
            )


def _ascend(lists: Sequence[Any]) -> bool:
    """Whether each of several lists of whole numbers is as long as the one before or longer, and nowhere smaller."""
    is_sized = all(isinstance(one, list) and one and all(type(size) is int for size in one) for one in lists)
    return is_sized and all(
        len(less) <= len(more) and all(a <= b for a, b in zip(less, more, strict=False))
        for less, more in pairwise(lists)
    )


def _unequal_budgets(summary: Summary) -> Iterator[str]:
    """In what the arms had more or less than each other: tuning trials, parameters, updates, gradients."""
    kind = what(summary)
    tuned = {name: entry.tuning_trials for name, entry in summary.ranked}
    if _budgets_differ(summary):
        trials = ", ".join(f"{name} {entry.tuning_trials:,}" for name, entry in summary.optimizers.items())
        yield f"Tuning budgets differ, which favours the larger: tuning trials of {trials}."
    elif len(set(tuned.values())) > 1:
        yield (
            f"{kind.capitalize()}s differ in tuning trials, since grids were extended by the rule for "
            f"{extended(summary)}: {_by_number(tuned)}."
        )
    sizes = {name: entry.parameters for name, entry in summary.ranked if entry.parameters is not None}
    if len(set(sizes.values())) > 1:
        ends = [
            f"{end:,} ({_and([name for name, size in sizes.items() if size == end])})"
            for end in (min(sizes.values()), max(sizes.values()))
        ]
        yield (
            f"{kind.capitalize()}s differ in parameters, from {' to '.join(ends)}: part of a difference may be the "
            "size of the networks."
        )
    updates = {name: summary.epochs * steps for name, steps in steps_by_arm(summary).items()}
    if len(set(updates.values())) > 1:
        yield (
            f"{kind.capitalize()}s differ in updates, since their steps per epoch do: {_by_number(updates)} in "
            f"{counted(summary.epochs, 'epoch')}; equal epochs are not equal updates here."
        )
    gradients = {name: entry.gradients_per_step or 1 for name, entry in summary.ranked}
    if len(set(gradients.values())) > 1:
        yield (
            f"{kind.capitalize()}s differ in the gradients that a step evaluates at most: {_by_number(gradients)}; "
            "updates are equal budgets here, gradients and time are not."
        )


def extended(summary: Summary) -> str:
    """The arms whose grids were extended, in a row."""
    names = [name for name, entry in summary.ranked if entry.extensions]
    return (f"all {what(summary)}s" if len(names) == len(summary.ranking) else _and(names)) if names else ""


def _by_number(values: Mapping[str, int]) -> str:
    """``b16 360, b64 and b128 90``: the highest first, of many numbers the highest and the lowest."""
    names: dict[int, list[str]] = {}
    for name, value in sorted(values.items(), key=lambda item: -item[1]):
        names.setdefault(value, []).append(name)
    parts = [f"{_and(some)} {value:,}" for value, some in names.items()]
    return ", ".join(parts if len(parts) <= _MAX_NUMBERS else [parts[0], "…", parts[-1]])


def _and(names: Sequence[str]) -> str:
    """Names in a row; of many how many they are."""
    if len(names) > _MAX_NUMBERS:
        return f"{len(names)} others"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def steps_by_arm(summary: Summary) -> dict[str, int]:
    """The steps of an epoch by arm, in the order of the ranking."""
    return {name: entry.steps_per_epoch or summary.steps_per_epoch for name, entry in summary.ranked}


def steps_of_epoch(summary: Summary) -> str:
    """``18 steps``, or where arms differ ``5 to 72 steps``."""
    steps = steps_by_arm(summary).values()
    low, high = min(steps), max(steps)
    return counted(low, "step") if low == high else f"{low:,} to {counted(high, 'step')}"


def steps_with_batches(summary: Summary, batch_size: int) -> str:
    """``18 steps with batches of 64``; without the batches where an arm changes their size."""
    changed = [key for entry in summary.optimizers.values() for key in entry.changes or {}]
    is_shared = {*steps_by_arm(summary).values()} == {summary.steps_per_epoch} and "training.batch_size" not in changed
    return steps_of_epoch(summary) + (f" with batches of {batch_size:,}" if is_shared else "")


def caveats_of_rows(summary: Summary, base: Experiment) -> list[str]:
    """That tuning may have used the test rows of a seed, where it may."""
    tuned = any(entry.tuning_trials for entry in summary.optimizers.values())
    note = test_rows_of_tuning(base.data) if tuned and summary.split == "test" else None
    return [] if note is None else [f"{note[0].upper()}{note[1:]}."]


def _budgets_differ(summary: Summary) -> bool:
    """Whether numbers of tuning trials differ by more than extensions of grids, which follow a rule."""
    entries = summary.optimizers.values()
    plain = {entry.tuning_trials for entry in entries if not entry.extensions}
    extended = {entry.tuning_trials for entry in entries if entry.extensions}
    return len(plain) > 1 or any(trials <= most for trials in extended for most in plain)


def what(summary: Summary) -> str:
    """What is compared: ``optimizer`` or ``arm``."""
    return "optimizer" if summary.compared_by is None else "arm"


def allowed(text: str) -> str:
    """What the command that trains a plan or a best setting ends with: where it names code of one's own, an option."""
    modules = re.findall(r"\b(?:name|base_optimizer): ['\"]?([\w.]+):\w+", text)
    is_own = any(one != "torch.optim" and one.partition(".")[0] not in COLLECTIONS for one in modules)
    of_file = re.search(r"^ +path: .*\.py\W?\n +sha256: ", text, re.MULTILINE)
    return " --allow-code" if is_own or of_file else ""


def counted(number: int, what: str) -> str:
    """``1 seed``, ``10 seeds``."""
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def listed(values: Sequence[object]) -> str:
    """Seeds and the like in a row; many whole numbers in a row as ``0 to 9``."""
    whole = [value for value in values if type(value) is int]
    if len(whole) == len(values) > 3 and whole == list(range(whole[0], whole[0] + len(whole))):
        return f"{whole[0]} to {whole[-1]}"
    return ", ".join(map(number, values))
