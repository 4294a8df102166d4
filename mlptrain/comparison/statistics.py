"""The figures that a comparison is judged by: exact tests, intervals, and what a number of seeds can show.

Pure functions of numbers. scipy is imported where it is used, since a command that only reads a plan needs none of it;
and of it ``scipy.special``, since ``scipy.stats`` takes 0.3 s longer to import than all that is computed here.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEVEL, POWER = 0.05, 0.8  # of the tests of pairs
EXACT_UP_TO = 30  # differences; two lists of 2**15 sums take milliseconds, each two more differences double them
ENUMERATED_UP_TO = 12  # seeds in smallest_detectable: 4,095 subset means for each simulated comparison
SIMULATED_COMPARISONS = 2000


# --- one trial: did it learn? ---


def majority_bar(n_majority: int, *, n: int, level: float = 0.05) -> float:
    """The smallest accuracy on ``n`` examples that is significantly above always naming the majority class.

    ``n_majority`` of the examples belong to that class. One-sided exact binomial test. ``inf`` where even n of n
    correct would not be significant. MNIST's test set (1,135 of 10,000): 0.1188.
    """
    from scipy.special import bdtrc

    share = n_majority / n
    # bdtrc(x, n, share) = P(X > x), which falls with x: the smallest x at which it is at most the level.
    largest = bisect_left(range(n + 1), True, key=lambda x: bool(bdtrc(x, n, share) <= level))
    return (largest + 1) / n if largest < n else math.inf


# --- pairs: tests ---


def _signed_sums(values: Floats) -> Floats:
    """The 2**n sums of ``values`` under every pattern of signs, shape (2**n,)."""
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums + value, sums - value])
    return sums


def sign_flip_p(differences: Sequence[float] | Floats) -> float:
    """Two-sided p-value of paired ``differences``, shape (n,), under the hypothesis that each sign is a coin's.

    The share of all 2**n sign patterns whose |sum| reaches the observed one (Fisher's randomisation test): exact up to
    30 differences, and never below 2/2**n. All zeros give 1. Above 30, scipy's ``permutation_test`` draws 99,999
    patterns from a fixed generator. Sums that differ by rounding alone count as equal.

    The patterns are not listed one by one: every sum is one of the left half's plus one of the right half's, so
    sorting one side turns 2**n additions into 2**(n/2) searches.
    """
    values = np.asarray(differences, dtype=np.float64)
    n = len(values)
    if n > EXACT_UP_TO:
        from scipy.stats import permutation_test

        options = {"permutation_type": "samples", "vectorized": True, "n_resamples": 99_999, "batch": 10_000}
        return float(permutation_test((values,), np.mean, rng=np.random.default_rng(0), **options).pvalue)
    # 0.98 - 0.97 and 0.97 - 0.96 differ in the last bit: 1e-9 of the sum lies far above that and far below one image.
    bound = float(abs(values.sum()) - 1e-9 * np.abs(values).sum())
    if bound <= 0:
        return 1.0
    left, right = _signed_sums(values[: n // 2]), np.sort(_signed_sums(values[n // 2 :]))
    reaching = int((right.size - np.searchsorted(right, bound - left)).sum())
    return math.ldexp(2 * reaching, -n)  # twice: the opposite patterns' sums lie at or below -bound


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction, in the order given: at most ``level`` exactly where Holm rejects at ``level``.

    The i-th smallest of m p-values becomes the largest of (m - j + 1) p_(j) over j <= i, at most 1. Controls the
    chance of any wrong rejection whatever the dependence between the tests (Holm, Scand. J. Statist. 6, 1979).
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return list(map(float, adjusted))


# --- intervals ---


def bootstrap_interval(
    differences: Sequence[float] | Floats, *, level: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> tuple[float, float] | None:
    """The expanded percentile bootstrap interval of the mean of ``differences``, shape (n,); None for one difference.

    scipy's percentile interval, asked for at the level that gives it the length of Student's interval where the
    differences are normal (Hesterberg, The American Statistician 69, 2015): 98.3 % stands for 95 % at n = 10. The
    plain interval is too short for a handful of seeds. Simulated with 10 normal differences, 3,000 times, the plain
    percentile interval and BCa covered the mean in 90 %, this one in 94 %. BCa estimates its skewness from those same
    10 values: with heavy tails (Student's t, 4 degrees of freedom) it fell to 86 % where this one held 94 %, and with
    differences that take few values it was now and then nan.

    The same call gives the same interval. All-equal differences d give (d, d), without a bootstrap.
    """
    values = np.asarray(differences, dtype=np.float64)
    n = len(values)
    if n < 2:
        return None
    if np.ptp(values) == 0:
        return float(values[0]), float(values[0])
    from scipy.special import stdtrit

    tail = NormalDist().cdf(math.sqrt(n / (n - 1)) * stdtrit(n - 1, (1 - level) / 2))
    means = values[_resampled(n, resamples, seed)].mean(axis=1)
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


@lru_cache(maxsize=1)  # all pairs of a comparison have as many seeds
def _resampled(n: int, resamples: int, seed: int) -> NDArray[np.int64]:
    """The positions that scipy's bootstrap draws from such a generator, (resamples, n)."""
    return np.random.default_rng(seed).integers(0, n, (resamples, n))


def mean_interval(
    values: Sequence[float] | Floats, *, level: float = 0.95, within: tuple[float, float] = (0.0, 1.0)
) -> tuple[float, float | None, float | None]:
    """The mean of scores over seeds and the bounds of Student's interval, of which only what is ``within`` is given.

    No bounds (None) for one value, both the mean where all are equal.
    """
    array = np.asarray(values, dtype=np.float64)
    n = len(array)
    if n == 1 or np.ptp(array) == 0:
        bound = None if n == 1 else float(array[0])
        return float(array[0]), bound, bound
    from scipy.special import stdtrit

    mean = float(array.mean())
    half = float(stdtrit(n - 1, (1 + level) / 2) * array.std(ddof=1) / math.sqrt(n))
    return mean, max(within[0], mean - half), min(within[1], mean + half)


# --- what a number of seeds can show ---


def verdict_possible(n_seeds: int, *, pairs: int) -> bool:
    """Whether the smallest p-value of ``n_seeds`` differences, 2/2**n, survives Holm's correction over ``pairs``."""
    return math.ldexp(2 * pairs, -n_seeds) <= LEVEL


def smallest_detectable(n_seeds: int, *, pairs: int, spread: float, tie: float = 0.001) -> float:
    """The smallest true difference that comes out as *better* with the chance ``POWER``.

    ``spread`` is the standard deviation of one paired difference, in the unit of the result; ``inf`` where no verdict
    is possible. Holm's first step is assumed for every pair (p times ``pairs``), which is on the safe side.

    From 2,000 simulated comparisons with normal noise and a fixed generator: the shift from which each of them comes
    out as *better* is known, and the answer is the shift that suffices for the share ``POWER`` of them. Flipping the
    signs of a subset S keeps the sum at or above the observed one exactly when the mean over S is at most 0, so the
    shift is an order statistic of the subset means (Hartigan, J. Am. Stat. Assoc. 64, 1969). Above 12 seeds Student's
    test stands for the sign-flip test: at 13 seeds its figure is 4 % too small for 15 pairs, 0.3 % for one.
    """
    if not verdict_possible(n_seeds, pairs=pairs):
        return math.inf
    from scipy.special import stdtrit

    noise = np.random.default_rng(0).standard_normal((SIMULATED_COMPARISONS, n_seeds))
    mean, standard_error = noise.mean(axis=1), noise.std(axis=1, ddof=1) / math.sqrt(n_seeds)
    if n_seeds <= ENUMERATED_UP_TO:
        significant_from = _shift_for_significance(noise, LEVEL / pairs)
    else:
        significant_from = -mean - standard_error * stdtrit(n_seeds - 1, LEVEL / pairs / 2)
    upper = mean - standard_error * stdtrit(n_seeds - 1, 0.025)  # of the 95 % interval that decides on a tie
    return float(np.quantile(np.maximum(spread * significant_from, tie - spread * upper), POWER))


def _shift_for_significance(noise: Floats, level: float) -> Floats:
    """For each row of ``noise``, shape (comparisons, n), the shift above which its sign-flip p is at most ``level``."""
    n = noise.shape[1]
    subsets = (np.arange(1, 2**n)[:, None] >> np.arange(n)) & 1
    means = noise @ (subsets / subsets.sum(axis=1, keepdims=True)).T
    allowed = int(level * 2**n / 2)  # patterns on one side, the observed one among them
    return -np.partition(means, allowed - 1, axis=1)[:, allowed - 1]
