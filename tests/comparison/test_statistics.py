from __future__ import annotations

import math
from itertools import product
from statistics import NormalDist

import numpy as np
import pytest
from scipy import stats

from mlptrain.comparison.statistics import (
    bootstrap_interval,
    holm,
    majority_bar,
    mean_interval,
    sign_flip_p,
    smallest_detectable,
    verdict_possible,
)
from mlptrain.spec.comparison.sections import seeds_for_verdict

# --- majority class ---


def test_majority_bar_of_mnist() -> None:
    bar = majority_bar(1135, n=10_000)
    assert bar == 0.1188
    for correct, significant in ((1188, True), (1187, False)):
        p = stats.binomtest(correct, 10_000, 0.1135, alternative="greater").pvalue
        assert (p <= 0.05) == significant
        assert (correct / 10_000 >= bar) is significant


@pytest.mark.parametrize("level", [0.05, 0.01])
def test_majority_bar_is_where_scipys_binomial_test_turns(level: float) -> None:
    for n in range(1, 26):
        for majority in range(1, n + 1):
            p_values = [stats.binomtest(k, n, majority / n, alternative="greater").pvalue for k in range(n + 1)]
            significant = [p <= level for p in p_values]
            wanted = significant.index(True) / n if any(significant) else math.inf
            assert majority_bar(majority, n=n, level=level) == wanted
            assert [k / n >= wanted for k in range(n + 1)] == significant


# --- sign-flip test ---


def scipys_p(values: list[float]) -> float:
    """All 2**n sign patterns, by scipy."""
    result = stats.permutation_test(
        (np.array(values),),
        lambda sample, axis: np.mean(sample, axis=axis),
        permutation_type="samples",
        n_resamples=np.inf,
        vectorized=True,
    )
    return float(result.pvalue)


@pytest.mark.parametrize("n", [2, 3, 6, 9, 10, 13])
def test_sign_flip_is_scipys_exact_permutation_test(n: int) -> None:
    generator = np.random.default_rng(n)
    for shift in (0.0, 0.5, 1.5):
        values = generator.normal(shift, 1, n).tolist()
        assert sign_flip_p(values) == pytest.approx(scipys_p(values), rel=1e-12)


def test_sign_flip_counts_sums_that_differ_by_rounding_as_equal() -> None:
    generator = np.random.default_rng(5)
    for _ in range(200):
        images = generator.integers(-6, 9, 10)  # a few images of 10,000: most sums coincide
        base = generator.integers(9500, 9800, 10)
        differences = (base + images) / 10_000 - base / 10_000
        patterns = np.array(list(product((1, -1), repeat=10))) @ images  # exact: whole numbers
        exact = np.mean(np.abs(patterns) >= abs(images.sum()))
        assert sign_flip_p(differences) == exact


def test_sign_flip_at_its_limits() -> None:
    assert sign_flip_p([0.0] * 10) == 1.0
    assert sign_flip_p([0.01, -0.01]) == 1.0
    for n in (1, 6, 10, 20, 30):
        assert sign_flip_p([0.005] * n) == 2 / 2**n
        assert sign_flip_p([-0.005] * n) == 2 / 2**n


def test_sign_flip_of_many_differences() -> None:
    differences = np.random.default_rng(3).integers(-2, 5, 28)
    reach = int(np.abs(differences).sum())
    patterns = np.zeros(2 * reach + 1)  # how many of the 2**28 patterns have the sum (index - reach)
    patterns[reach] = 1
    for difference in differences:
        patterns = np.roll(patterns, difference) + np.roll(patterns, -difference)
    sums = np.arange(-reach, reach + 1)
    exact = patterns[np.abs(sums) >= abs(differences.sum())].sum() / 2**28
    assert 0.001 < exact < 0.5
    assert sign_flip_p(differences.astype(float)) == exact


def test_sign_flip_above_the_exact_limit_is_drawn_the_same_each_time() -> None:
    values = np.random.default_rng(1).normal(0.3, 1, 40)
    p = sign_flip_p(values)
    assert p == sign_flip_p(values)
    assert p == pytest.approx(stats.ttest_1samp(values, 0).pvalue, rel=0.25)


# --- Holm ---


def test_holm_by_hand() -> None:
    # sorted: 0.005 × 4, 0.01 × 3, 0.03 × 2, 0.04 × 1 → 0.02, 0.03, 0.06, then 0.04 raised to 0.06
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


def test_holm_rejects_as_the_step_down_procedure_does() -> None:
    generator = np.random.default_rng(8)
    for _ in range(300):
        p_values = np.round(generator.random(7) ** 4, 3)
        rejected: set[int] = set()
        for step, index in enumerate(np.argsort(p_values, kind="stable")):  # the published procedure, with its stop
            if p_values[index] > 0.05 / (7 - step):
                break
            rejected.add(int(index))
        adjusted = holm(p_values.tolist())
        assert {i for i, p in enumerate(adjusted) if p <= 0.05} == rejected
        order = np.argsort(p_values, kind="stable")
        assert np.all(np.diff(np.array(adjusted)[order]) >= 0)


# --- intervals ---


def test_bootstrap_interval_covers_the_mean_of_ten_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    intervals = [bootstrap_interval(generator.normal(0, 1, 10), resamples=999) for _ in range(1000)]
    covered = np.mean([low <= 0 <= high for low, high in filter(None, intervals)])
    assert 0.925 < covered < 0.965  # a plain percentile interval or BCa: 0.90


def test_bootstrap_interval_is_scipys_in_the_limit_of_many_values() -> None:
    values = np.random.default_rng(0).exponential(1, 2000)
    ours = bootstrap_interval(values, resamples=2000)
    scipys = stats.bootstrap((values,), np.mean, method="percentile", rng=np.random.default_rng(9)).confidence_interval
    assert ours == pytest.approx((scipys.low, scipys.high), abs=0.006)
    wider = bootstrap_interval(values, resamples=2000, level=0.99)
    assert ours is not None
    assert wider is not None
    assert wider[0] < ours[0] < ours[1] < wider[1]


@pytest.mark.parametrize("n", [2, 3, 10, 25])
def test_bootstrap_interval_is_scipys_of_the_expanded_level(n: int) -> None:
    values = np.random.default_rng(n).normal(0.001, 0.003, n)
    tail = stats.norm.cdf(math.sqrt(n / (n - 1)) * stats.t.ppf(0.025, n - 1))
    options = {"method": "percentile", "n_resamples": 10_000, "confidence_level": 1 - 2 * tail}
    scipys = stats.bootstrap((values,), np.mean, rng=np.random.default_rng(0), **options).confidence_interval
    assert bootstrap_interval(values) == pytest.approx((scipys.low, scipys.high), rel=1e-12)


def test_bootstrap_interval_of_degenerate_differences() -> None:
    assert bootstrap_interval([0.003]) is None
    assert bootstrap_interval([0.1] * 3) == (0.1, 0.1)  # whose mean is 0.10000000000000002
    assert bootstrap_interval([0.0] * 9 + [0.01]) == pytest.approx((0, 0.004), abs=0.0011)
    assert bootstrap_interval([0.1, 0.3]) == pytest.approx((0.1, 0.3))


def test_bootstrap_interval_repeats() -> None:
    values = np.random.default_rng(4).normal(0, 1, 10)
    assert bootstrap_interval(values) == bootstrap_interval(values)
    assert bootstrap_interval(values) != bootstrap_interval(values, seed=1)


def test_mean_interval_is_students() -> None:
    values = [0.971, 0.974, 0.969, 0.975]
    estimate = mean_interval(values, level=0.9)
    interval = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert estimate == pytest.approx((np.mean(values), interval.low, interval.high))
    assert mean_interval([0.1] * 7) == (0.1, 0.1, 0.1)
    assert mean_interval([0.97]) == (0.97, None, None)


# --- what a number of seeds can show ---


def test_seeds_for_verdict() -> None:
    assert [seeds_for_verdict(pairs) for pairs in (1, 3, 6, 10, 15)] == [6, 7, 8, 9, 10]


@pytest.mark.parametrize("pairs", [1, 3, 6, 15])
def test_no_verdict_is_possible_one_seed_below(pairs: int) -> None:
    for n_seeds, possible in ((seeds_for_verdict(pairs), True), (seeds_for_verdict(pairs) - 1, False)):
        strongest = [sign_flip_p([0.01] * n_seeds)] * pairs
        assert (holm(strongest)[0] <= 0.05) is possible
        assert verdict_possible(n_seeds, pairs=pairs) is possible
        assert math.isfinite(smallest_detectable(n_seeds, pairs=pairs, spread=0.002)) is possible


def test_smallest_detectable_at_six_seeds_is_a_formula() -> None:
    # Six differences give p <= 0.05 only where all have one sign: Φ(difference / spread)⁶ = 0.8.
    wanted = 0.002 * NormalDist().inv_cdf(0.8 ** (1 / 6))
    assert smallest_detectable(6, pairs=1, spread=0.002, tie=0) == pytest.approx(wanted, rel=0.03)


@pytest.mark.parametrize(("n_seeds", "pairs"), [(9, 1), (10, 3), (15, 1), (20, 15)])
def test_smallest_detectable_is_detected_in_80_percent(n_seeds: int, pairs: int) -> None:
    least = smallest_detectable(n_seeds, pairs=pairs, spread=0.003)
    noise = np.random.default_rng(77).normal(0, 0.003, (1500, n_seeds))
    power = np.mean([sign_flip_p(least + row) * pairs <= 0.05 for row in noise])
    assert power == pytest.approx(0.8, abs=0.035)


def test_smallest_detectable_grows_where_it_must() -> None:
    def least(n_seeds: int = 10, pairs: int = 3, spread: float = 0.003) -> float:
        return smallest_detectable(n_seeds, pairs=pairs, spread=spread)

    assert least(n_seeds=8) > least(n_seeds=10) > least(n_seeds=12) > least(n_seeds=16)
    assert least(pairs=6) > least(pairs=3) > least(pairs=1)
    assert least(spread=0.006) > least(spread=0.003)
    # Below the tie's width nothing is better, however small the spread.
    assert least(spread=0) == 0.001
    assert 0.0005 < least(spread=0.0003) < 0.001


def test_an_interval_of_accuracies_ends_where_accuracies_do() -> None:
    values = [0.1, 0.9]
    low, high = stats.t.interval(0.95, 1, loc=0.5, scale=stats.sem(values))
    assert (low < 0, high > 1) == (True, True)
    assert mean_interval(values) == (0.5, 0.0, 1.0)
