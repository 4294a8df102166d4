"""What ``summary.json`` and ``timings.json`` of a comparison hold, checked, as the tables and pictures take it.

Accuracies, scores and differences are fractions here; percentages and percentage points are made where they are shown.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Literal

from pydantic import FiniteFloat, TypeAdapter, ValidationError

Status = Literal["completed", "did not learn", "diverged", "failed"]
Verdict = Literal["better", "worse", "tie", "not decided", "no verdict"]

GOOD_WITHIN = 0.01  # of the best median accuracy: what still counts as a good learning rate

_MIRRORED: dict[Verdict, Verdict] = {"better": "worse", "worse": "better"}


@dataclass(frozen=True)
class Trial:
    """One scored trial. ``score`` enters the mean; of a trial that did not last it is the majority class's share.

    ``epoch`` is that of the kept weights or, with ``step``, where it diverged; ``message`` says why it failed.
    """

    seed: int
    status: Status
    score: FiniteFloat
    accuracy: FiniteFloat | None
    loss: FiniteFloat | None
    epoch: int | None
    step: int | None = None
    message: str | None = None


@dataclass(frozen=True)
class Accuracy:
    """The mean over the seeds with its 95 % interval, whose bounds are None for one seed, and the median."""

    mean: FiniteFloat
    low: FiniteFloat | None
    high: FiniteFloat | None
    median: FiniteFloat


@dataclass(frozen=True)
class TimeToTarget:
    """Epochs to the target: the median (None where the median trial missed it) and each trial's (None: a miss)."""

    median: FiniteFloat | None
    reached: int
    n: int
    trials: list[int | None]


@dataclass(frozen=True)
class Curve:
    """Mean, lowest and highest value over the seeds, epoch by epoch."""

    mean: list[FiniteFloat]
    low: list[FiniteFloat]
    high: list[FiniteFloat]


@dataclass(frozen=True)
class Tried:
    """A setting of the grid: its tuned values, and the validation accuracy by tuning seed (None: it did not last)."""

    setting: dict[str, Any]
    accuracies: list[FiniteFloat | None]

    @property
    def median(self) -> float:
        """Over the tuning seeds; a trial that did not last is worse than any other, and ``-inf`` if the median one."""
        return statistics.median(-math.inf if value is None else value for value in self.accuracies)


@dataclass(frozen=True)
class GoodRange:
    """The learning rates around the chosen one whose median accuracy lies within ``GOOD_WITHIN`` of its own.

    Between two tried values the median is taken on the straight line between theirs, over the logarithm of the rate;
    towards a value that did not last there is no line, and the range ends. ``ends`` says whether it reaches the lowest
    and the highest tried value, so that it may be wider.
    """

    low: float
    high: float
    ends: tuple[bool, bool]

    @property
    def decades(self) -> float:
        """The width: powers of ten between the lowest and the highest."""
        return math.log10(self.high / self.low)


@dataclass(frozen=True)
class Optimizer:
    """One optimizer of the comparison; ``curves`` has no entry where no trial lasted."""

    setting: dict[str, Any]
    grids: dict[str, list[Any]]
    tuning_trials: int
    extensions: int
    under_tuned: bool
    tuning: list[Tried]
    trials: list[Trial]
    accuracy: Accuracy
    completed: int
    epochs_to_target: TimeToTarget | None
    curves: dict[str, Curve]
    failed_tuning_trials: int = 0

    @property
    def medians_by_rate(self) -> dict[float, float]:
        """The median validation accuracy at each tried learning rate, ascending; with other tuned values the best one.

        Empty where the learning rate was not tuned.
        """
        best: dict[float, float] = {}
        for tried in self.tuning:
            if (rate := tried.setting.get("lr")) is not None:
                best[rate] = max(best.get(rate, -math.inf), tried.median)
        return dict(sorted(best.items())) if len(best) > 1 else {}

    @property
    def good_range(self) -> GoodRange | None:
        """The good range of the learning rate; None where it was not tuned, or where nothing tried lasted."""
        medians = self.medians_by_rate
        rates, chosen = list(medians), self.setting["lr"]
        if chosen not in medians or math.isinf(medians[chosen]):
            return None
        start = rates.index(chosen)
        bar = medians[chosen] - GOOD_WITHIN
        below = [(rate, medians[rate]) for rate in reversed(rates[: start + 1])]
        above = [(rate, medians[rate]) for rate in rates[start:]]
        (low, low_end), (high, high_end) = (_last_above(points, bar) for points in (below, above))
        return GoodRange(low, high, (low_end, high_end))


@dataclass(frozen=True)
class Pair:
    """Optimizer ``a`` against ``b``: the mean of a's score minus b's, its interval, p-values; the verdict on ``a``."""

    a: str
    b: str
    mean: FiniteFloat
    low: FiniteFloat | None
    high: FiniteFloat | None
    p: FiniteFloat
    p_holm: FiniteFloat
    verdict: Verdict

    def mirrored(self) -> Pair:
        """The same told of ``b`` against ``a``."""
        low, high = (None if bound is None else -bound for bound in (self.high, self.low))
        verdict = _MIRRORED.get(self.verdict, self.verdict)
        return replace(self, a=self.b, b=self.a, mean=-self.mean, low=low, high=high, verdict=verdict)


@dataclass(frozen=True)
class Target:
    """The value whose first epoch is the time to target."""

    metric: str
    value: FiniteFloat


@dataclass(frozen=True)
class Summary:
    """A finished comparison. ``optimizers`` stand in the order of the plan, ``ranking`` names them best first.

    ``majority_bar`` is the lowest accuracy that is significantly above the majority class's share, where it is known.
    """

    name: str
    plan: str
    split: str
    seeds: list[int]
    tuning_seeds: list[int]
    epochs: int
    steps_per_epoch: int
    target: Target | None
    tie: FiniteFloat
    majority: FiniteFloat
    ranking: list[str]
    optimizers: dict[str, Optimizer]
    pairs: list[Pair]
    inclusion: list[Pair]
    seeds_for_verdict: int
    sentence: str
    majority_bar: FiniteFloat | None = None

    @property
    def ranked(self) -> Iterator[tuple[str, Optimizer]]:
        """The optimizers by their names, best mean accuracy first."""
        return ((name, self.optimizers[name]) for name in self.ranking)

    @property
    def ranked_pairs(self) -> list[Pair]:
        """Every pair once, told of the better ranked one, in the order of the ranking."""
        place = {name: index for index, name in enumerate(self.ranking)}
        told = [pair if place[pair.a] < place[pair.b] else pair.mirrored() for pair in self.pairs]
        return sorted(told, key=lambda pair: (place[pair.a], place[pair.b]))

    @property
    def under_tuned(self) -> list[str]:
        """The optimizers whose best value lies on the edge of what was tried."""
        return [name for name, entry in self.ranked if entry.under_tuned]

    def number(self, name: str) -> int:
        """Which series an optimizer is: its colour and marker in every picture."""
        return list(self.optimizers).index(name)


@dataclass(frozen=True)
class Timings:
    """Seconds per epoch of each chosen setting trained alone: the median of the rounds, and every round's."""

    seconds_per_epoch: dict[str, FiniteFloat | None] = field(default_factory=dict)
    samples: dict[str, list[FiniteFloat]] = field(default_factory=dict)


def _last_above(points: Sequence[tuple[float, float]], bar: float) -> tuple[float, bool]:
    """How far the line through ``points`` (rate, median) stays above the bar, and whether it does so to its end.

    The first point lies above it.
    """
    for (rate, median), (next_rate, next_median) in pairwise(points):
        if next_median < bar:
            share = 0.0 if math.isinf(next_median) else (median - bar) / (median - next_median)
            return rate * (next_rate / rate) ** share, False
    return points[-1][0], True


def read_summary(values: Mapping[str, Any]) -> Summary:
    """The content of ``summary.json``. Raises ValueError that names the first key that is missing or wrong."""
    summary: Summary = _checked(Summary, values)
    names = set(summary.optimizers)
    if sorted(summary.ranking) != sorted(names):
        raise ValueError("ranking: names other optimizers than there are")
    if not {name for pair in [*summary.pairs, *summary.inclusion] for name in (pair.a, pair.b)} <= names:
        raise ValueError("pairs: name other optimizers than there are")
    for name, entry in summary.optimizers.items():
        if fault := _fault(entry, summary):
            raise ValueError(f"optimizers.{name}.{fault}")
    return summary


def read_timings(values: Mapping[str, Any]) -> Timings:
    """The content of ``timings.json``. Raises ValueError that names the first key that is missing or wrong."""
    timings: Timings = _checked(Timings, values)
    return timings


def _fault(entry: Optimizer, summary: Summary) -> str | None:
    """What keeps an optimizer's figures from belonging together."""
    if [trial.seed for trial in entry.trials] != summary.seeds:
        return "trials: their seeds are not the comparison's"
    if entry.epochs_to_target is not None and len(entry.epochs_to_target.trials) != len(entry.trials):
        return "epochs_to_target.trials: not one for each trial"
    if not isinstance(entry.setting.get("lr"), float | int):
        return "setting.lr: must be a number"
    if any(not len(curve.mean) == len(curve.low) == len(curve.high) for curve in entry.curves.values()):
        return "curves: of different lengths"
    return None if all(_is_rate(tried.setting) and tried.accuracies for tried in entry.tuning) else "tuning: is damaged"


def _is_rate(setting: Mapping[str, Any]) -> bool:
    rate = setting.get("lr", 1.0)
    return isinstance(rate, float | int) and rate > 0


def _checked(kind: type[Any], values: Mapping[str, Any]) -> Any:
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place: Sequence[str] = [str(part) for part in first["loc"]]
        raise ValueError(f"{'.'.join(place) or 'the content'}: {first['msg']}") from None
