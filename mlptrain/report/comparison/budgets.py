"""What less tuning would have found: the expected best of k of the settings that were tried, for every k."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from mlptrain.report.comparison.units import Units
from mlptrain.runs.comparison import OptimizerResult, Summary, Timings


def expected_best(values: Sequence[float], *, higher_is_better: bool = True) -> list[float]:
    """The mean best value of all subsets of k of the n ``values``, for k = 1 … n; the last one is the best value.

    The i-th worst value is the best of C(i − 1, k − 1) of the C(n, k) subsets. As in Dodge et al. (2019), "Show your
    work", but drawn without replacement, which makes the estimate unbiased (Tang et al., 2020).
    """
    ascending, n = sorted(values, reverse=not higher_is_better), len(values)
    return [
        math.fsum(value * math.comb(worse, k - 1) for worse, value in enumerate(ascending)) / math.comb(n, k)
        for k in range(1, n + 1)
    ]


def around_half(n: int) -> tuple[int, int]:
    """The whole numbers next to half of n, twice the same one of an even number."""
    return n // 2, (n + 1) // 2


@dataclass(frozen=True)
class Budget:
    """The expected best validation score of one arm, ``best[k - 1]`` of k settings tried in a random order.

    A setting takes ``trials``, one for each tuning seed, and ``seconds`` where the arm was timed alone and its settings
    are alike in what an epoch takes, since only the chosen one was timed.
    """

    best: list[float]
    trials: int
    seconds: float | None

    @property
    def half(self) -> float:
        """Half of the settings, of an odd number no whole one."""
        return len(self.best) / 2

    @cached_property
    def of_half(self) -> float:
        """The expected best of half the settings.

        Of an odd number the mean of both numbers next to half: what is expected of trying either with a coin's chance,
        which takes half the budget on average.
        """
        return statistics.fmean(self.best[k - 1] for k in around_half(len(self.best)))

    @cached_property
    def lost(self) -> float:
        """How much worse the best of half the settings is expected to be."""
        return abs(self.best[-1] - self.of_half)


def budgets(summary: Summary, timings: Timings) -> dict[str, Budget]:
    """Of every arm that tried more than one setting and had one that lasted, best mean first.

    A setting counts with its median over the tuning seeds, by which tuning chooses. One that did not last counts as the
    worst median of the whole comparison.
    """
    units = Units.of(summary)
    medians = {name: _medians(entry, units.sign) for name, entry in summary.ranked}
    lasted = [value for values in medians.values() for value in values if math.isfinite(value)]
    found = {}
    for name, values in medians.items():
        if len(values) > 1 and any(map(math.isfinite, values)):
            best = expected_best([value if math.isfinite(value) else min(lasted) for value in values])
            alone, trials = timings.seconds_per_epoch.get(name), len(summary.tuning_seeds)
            is_known = alone is not None and not any(map(_changes_seconds, summary.optimizers[name].grids))
            seconds = (alone or 0.0) * summary.epochs * trials if is_known else None
            found[name] = Budget([units.sign * value for value in best], trials, seconds)
    return found


def half_text(summary: Summary, timings: Timings) -> str | None:
    """What half the tuning budget would have found for the arm that it costs most; None where nothing was tuned."""
    known, units = budgets(summary, timings), Units.of(summary)
    if not known:
        return None
    name, budget = max(known.items(), key=lambda item: item[1].lost)
    if not budget.lost:
        return "half the tuning budget would have found settings as good"
    found, all_of_it = units.value(budget.of_half), units.value(budget.best[-1])
    most = f": {name} would lose most, with" if len(known) > 1 else f", {name} would have"
    return f"with half the tuning budget{most} an expected validation {units.name} of {found} instead of {all_of_it}"


def _changes_seconds(key: str) -> bool:
    """Whether an epoch may take longer with another value of a tuned key."""
    section, _, field = key.rpartition(".")
    if section in ("", "optimizer"):
        return field in ("max_iter", "max_eval", "history_size", "ns_steps", "optimizer")
    return section.partition(".")[0] not in ("loss", "schedule") and field not in ("dropout", "input_dropout")


def _medians(entry: OptimizerResult, sign: int) -> list[float]:
    return [
        statistics.median(-math.inf if value is None else sign * value for value in tried.accuracies)
        for tried in entry.tuning
    ]
