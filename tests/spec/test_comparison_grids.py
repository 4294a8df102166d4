"""Geometric grids and their extension against numpy, and the seeds of a verdict against scipy's exact test."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mlptrain.spec.comparison.grids import extended, log_grid
from mlptrain.spec.comparison.sections import seeds_for_verdict


@given(st.floats(1e-30, 1e25), st.floats(1.1, 1e5), st.integers(2, 30))
def test_log_grid_is_geometric_with_exact_ends(low: float, factor: float, points: int) -> None:
    values = log_grid(low, low * factor, points)
    assert (values[0], values[-1], len(values)) == (low, low * factor, points)
    np.testing.assert_allclose(values, np.geomspace(low, low * factor, points), rtol=1e-10)


def test_log_grid_of_decades_holds_the_decades_as_they_are_written() -> None:
    assert log_grid(1e-5, 10, 7) == [1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0]
    assert log_grid(1, 8, 4) == [1.0, 2.0, 4.0, 8.0]


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [
        ([0.01, 0.1], 0.001, 1.0),
        ([0.01, 0.1, 0.2, 0.4], 0.001, 0.8),
        ([1e-3, 1e-2], 1e-4, 0.1),
        ([0.3, 0.9], 0.1, 2.7),
        ([0.0, 0.1, 1.0], None, 10.0),
        ([0.0, 0.1], None, None),
        ([0.1], None, None),
        ([], None, None),
        ([1e-300, 1.0], None, 1e300),
        ([1.0, 1e300], 1e-300, None),
    ],
)
def test_extension_keeps_the_ratio_at_the_edge(values: list[float], low: float | None, high: float | None) -> None:
    assert (extended(values, "low"), extended(values, "high")) == (low, high)


def test_extensions_join_a_longer_log_grid() -> None:
    values = log_grid(1e-3, 1, 7)
    assert extended(values, "low") == pytest.approx(log_grid(10**-3.5, 1, 8)[0], rel=1e-11)
    assert extended(values, "high") == pytest.approx(log_grid(1e-3, 10**0.5, 8)[-1], rel=1e-11)


def _smallest_p(seeds: int) -> float:
    """Of the exact sign-flip test, for differences that all point the same way."""
    if seeds == 1:
        return 1.0
    flips = {"permutation_type": "samples", "n_resamples": np.inf, "alternative": "two-sided"}
    result = stats.permutation_test((np.arange(1.0, seeds + 1),), np.mean, **flips)
    return float(result.pvalue)


@pytest.mark.parametrize(("pairs", "wanted"), [(1, 6), (3, 7), (6, 8), (10, 9), (15, 10)])
def test_seeds_for_a_verdict_are_those_of_the_exact_test(pairs: int, wanted: int) -> None:
    possible = [seeds for seeds in range(1, 12) if pairs * _smallest_p(seeds) <= 0.05]
    assert seeds_for_verdict(pairs) == possible[0] == wanted
