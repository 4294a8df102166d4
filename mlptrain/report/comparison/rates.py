"""How much the learning rate matters: medians by tried rate, and the good range around the chosen one."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from mlptrain.report.comparison.units import Units
from mlptrain.runs.comparison import OptimizerResult, Summary

GOOD_WITHIN = 0.01  # of the best median: what still counts as good, a percentage point or a hundredth of it

ACCURACY = Units()


@dataclass(frozen=True)
class GoodRange:
    """The learning rates around the chosen one whose median score lies within ``GOOD_WITHIN`` of its own.

    Between two tried values the median is taken on the straight line between theirs, over the logarithm of the rate;
    towards a value that did not last there is no line, and the range ends. ``ends`` says whether it reaches the lowest
    and the highest tried value, so that it may be wider. ``is_alone``: no other tried rate lies in it.
    """

    low: float
    high: float
    ends: tuple[bool, bool]
    is_alone: bool

    @property
    def decades(self) -> float:
        """The width: powers of ten between the lowest and the highest."""
        return math.log10(self.high) - math.log10(self.low)


def outcomes_by_rate(entry: OptimizerResult) -> Iterator[tuple[float, list[float | None]]]:
    """Every tried setting's learning rate, and its scores by tuning seed; nothing where the rate was not tuned."""
    for tried in entry.tuning:
        rate = tried.setting.get(entry.rate_key)
        if isinstance(rate, float) and rate > 0:
            yield rate, tried.accuracies


def medians_by_rate(entry: OptimizerResult, units: Units = ACCURACY) -> dict[float, float]:
    """The median validation score at each tried learning rate, ascending; with other tuned values the best one.

    A trial that did not last is worse than any other, and the median infinite where it is the median trial. Empty where
    the learning rate was not tuned.
    """
    best: dict[float, float] = {}
    for rate, scores in outcomes_by_rate(entry):
        median = statistics.median(-math.inf if value is None else units.sign * value for value in scores)
        best[rate] = max(best.get(rate, -math.inf), median)
    return {rate: units.sign * median for rate, median in sorted(best.items())} if len(best) > 1 else {}


def rates_are_tuned(summary: Summary) -> bool:
    """Whether any arm tuned its learning rate."""
    return any(map(medians_by_rate, summary.optimizers.values()))


def good_range(entry: OptimizerResult, units: Units = ACCURACY) -> GoodRange | None:
    """The good range of the learning rate; None where it was not tuned, nothing lasted, or no seed learnt by it."""
    medians, chosen = medians_by_rate(entry, units), entry.rate
    has_learnt = any(trial.status == "completed" for trial in entry.trials)
    if not has_learnt or chosen is None or chosen not in medians or math.isinf(medians[chosen]):
        return None
    points = [(rate, units.sign * median) for rate, median in medians.items()]
    bar = units.sign * medians[chosen] - GOOD_WITHIN * (1.0 if units.is_share else abs(medians[chosen]))
    start = list(medians).index(chosen)
    low, low_end = _last_above(points[start::-1], bar)
    high, high_end = _last_above(points[start:], bar)
    is_alone = not any(low <= rate <= high for rate in medians if rate != chosen)
    return GoodRange(low, high, (low_end, high_end), is_alone)


def _last_above(points: Sequence[tuple[float, float]], bar: float) -> tuple[float, bool]:
    """How far the line through ``points`` (rate, median) stays above the bar, and whether it does so to its end.

    The first point lies above it.
    """
    for (rate, median), (next_rate, next_median) in pairwise(points):
        if next_median < bar:
            share = 0.0 if math.isinf(next_median) else (median - bar) / (median - next_median)
            return math.exp((1 - share) * math.log(rate) + share * math.log(next_rate)), False
    return points[-1][0], True
