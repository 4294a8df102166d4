from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from mlptrain.sources.generated import make_random_classification, make_random_regression, make_spirals

Maker = Callable[..., tuple[Tensor, Tensor]]
MAKERS: list[Maker] = [make_spirals, make_random_regression, make_random_classification]


def test_spirals_without_noise_follow_the_formula() -> None:
    x, y = make_spirals(n_classes=4, points_per_class=50, noise=0, seed=3)

    radius = np.linspace(0, 1, 50)
    for label in range(4):
        angle = np.linspace(4 * label, 4 * (label + 1), 50)
        expected = np.column_stack([radius * np.sin(angle), radius * np.cos(angle)])
        np.testing.assert_allclose(x[50 * label : 50 * (label + 1)].numpy(), expected, atol=1e-7)
    assert y.tolist() == [0] * 50 + [1] * 50 + [2] * 50 + [3] * 50
    assert x.dtype == torch.float32
    assert y.dtype == torch.int64


def test_noise_of_spirals_is_normal_in_the_angle() -> None:
    x, _ = make_spirals(n_classes=3, points_per_class=2000, noise=0.2, seed=0)

    radius = np.tile(np.linspace(0, 1, 2000), 3)
    angle = np.concatenate([np.linspace(4 * label, 4 * (label + 1), 2000) for label in range(3)])
    points = x.double().numpy()
    np.testing.assert_allclose(np.hypot(points[:, 0], points[:, 1]), radius, atol=1e-6)
    away = np.arctan2(points[:, 0], points[:, 1]) - angle
    noise = ((away + np.pi) % (2 * np.pi) - np.pi)[radius > 0.01]
    assert stats.kstest(noise, stats.norm(scale=0.2).cdf).pvalue > 0.01


def test_default_sizes() -> None:
    assert [tuple(part.shape) for part in make_spirals(seed=0)] == [(300, 2), (300,)]
    assert [tuple(part.shape) for part in make_random_regression(seed=0)] == [(64, 10), (64, 1)]
    assert [tuple(part.shape) for part in make_random_classification(seed=0)] == [(100, 10), (100,)]
    assert set(make_random_classification(seed=0)[1].tolist()) == {0, 1, 2, 3}


def test_random_inputs_and_targets_are_independent_standard_normal() -> None:
    x, y = make_random_regression(n_samples=5000, n_features=3, n_targets=2, seed=1)

    columns = torch.cat([x, y], dim=1).double().numpy()
    assert (x.dtype, y.dtype) == (torch.float32, torch.float32)
    assert columns.shape == (5000, 5)
    for column in columns.T:
        assert stats.kstest(column, stats.norm.cdf).pvalue > 0.01
    correlation = np.corrcoef(columns.T)[np.triu_indices(5, 1)]
    assert np.abs(correlation).max() < 4 / np.sqrt(5000)


def test_random_labels_are_uniform_over_normal_inputs() -> None:
    x, y = make_random_classification(n_samples=5000, n_features=2, n_classes=7, seed=1)

    assert (x.dtype, y.dtype) == (torch.float32, torch.int64)
    assert stats.kstest(x.double().numpy().ravel(), stats.norm.cdf).pvalue > 0.01
    assert stats.chisquare(np.bincount(y.numpy(), minlength=7)).pvalue > 0.01


@pytest.mark.parametrize("make", MAKERS)
def test_the_seed_alone_decides(make: Maker) -> None:
    torch.manual_seed(1)
    first = make(seed=5)
    state = torch.random.get_rng_state()
    torch.manual_seed(2)
    second = make(seed=5)
    other = make(seed=6)

    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[0], other[0])
    torch.manual_seed(1)
    assert torch.equal(torch.random.get_rng_state(), state), "the global generator was drawn from"
