"""Dropout in training steps; outside of them the catalogue holds it against torch."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from mlptrain.nn.noise import Noise, TrainingMode
from mlptrain.nn.ops.dropout import Dropout


def training(seed: int) -> TrainingMode:
    return TrainingMode(Noise.of(seed, 1))


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_values_are_dropped_with_probability_p_and_the_others_scaled(p: float) -> None:
    z = torch.linspace(1, 2, 20_000).view(100, 200)
    y = Dropout(p).apply(z, (), mode=training(0))
    kept = y != 0
    torch.testing.assert_close(y[kept], z[kept] / (1 - p))
    assert stats.binomtest(int((~kept).sum()), z.numel(), p).pvalue > 0.001
    assert float(y.mean()) == pytest.approx(float(z.mean()), rel=0.05)


def test_the_mask_follows_from_the_generator_alone() -> None:
    z = torch.ones(30, 40)
    torch.manual_seed(1)
    first = Dropout(0.5).apply(z, (), mode=training(7))
    torch.manual_seed(2)
    second = Dropout(0.5).apply(z, (), mode=training(7))
    assert torch.equal(first, second)
    assert not torch.equal(first, Dropout(0.5).apply(z, (), mode=training(8)))


def test_the_gradient_passes_where_values_do() -> None:
    z = torch.randn(50, 60, dtype=torch.float64, requires_grad=True)
    y = Dropout(0.3).apply(z, (), mode=training(0))
    (gradient,) = torch.autograd.grad(y.sum(), z)
    torch.testing.assert_close(gradient, (y != 0).double() / 0.7)
