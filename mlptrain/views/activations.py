"""Activations and their derivatives as curves."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mlptrain.errors import UserError
from mlptrain.nn.ops.activations import ACTIVATIONS, make_activation
from mlptrain.report.arrays import ActivationCurve

HALF_TANH = "half_tanh"
ACTIVATION_NAMES = (*ACTIVATIONS, HALF_TANH)
MAX_DERIVATIVES = 6
_POINTS = 1001  # of a curve


def activation_curves(
    names: Sequence[str], *, derivatives: int = 1, low: float = -4.0, high: float = 4.0
) -> tuple[ActivationCurve, ...]:
    """Activations with their settings' defaults on [low, high], with derivatives up to the order ``derivatives``.

    Every order is autograd's derivative, in float64, of the one before. ``half_tanh`` is (1 − e⁻ˣ)/(1 + e⁻ˣ), which
    equals tanh(x/2). Raises UserError for an unknown name or order, or an empty interval.
    """
    if unknown := [name for name in names if name not in ACTIVATION_NAMES]:
        raise UserError(f"unknown activation {', '.join(unknown)}; choose from {', '.join(ACTIVATION_NAMES)}")
    if not 1 <= derivatives <= MAX_DERIVATIVES:
        raise UserError(f"derivatives must be from 1 to {MAX_DERIVATIVES}, got {derivatives}")
    if not -1000 <= low < high <= 1000:
        raise UserError(f"expected an interval within [-1000, 1000], lower end first, got {low:g} to {high:g}")
    return tuple(_activation_curve(name, derivatives, low, high) for name in names)


def half_tanh(x: Tensor) -> Tensor:
    """(1 − e⁻ˣ)/(1 + e⁻ˣ), of any shape, for x above −700 in float64, where e⁻ˣ would overflow."""
    decayed = torch.exp(-x)
    return (1 - decayed) / (1 + decayed)


def _activation_curve(name: str, derivatives: int, low: float, high: float) -> ActivationCurve:
    z = torch.linspace(low, high, _POINTS, dtype=torch.float64)
    if name == HALF_TANH:
        return ActivationCurve(name, z.numpy(), _derivatives(half_tanh, z, derivatives).numpy())
    activation = make_activation(name)
    learnt = [torch.tensor(value, dtype=torch.float64) for value in activation.initial_values().values()]
    values = _derivatives(lambda at: activation.apply(at, learnt), z, derivatives)
    # ELU with alpha 1 has no kink, but its second derivative jumps like the first of the others.
    for order, points in ((1, activation.kinks), (2, (0.0,) if name == "elu" else ())):
        for point in points:
            if low < point < high:
                values[order:, (z - point).abs().argmin()] = torch.nan
    return ActivationCurve(name, z.numpy(), values.numpy())


def _derivatives(function: Callable[[Tensor], Tensor], z: Tensor, order: int) -> Tensor:
    """The function at z (n,) and its derivatives up to ``order``, (order + 1, n)."""
    z = z.clone().requires_grad_()
    values = [function(z)]
    for _ in range(order):
        below = values[-1] + 0 * z  # so that a constant has a graph too
        values += torch.autograd.grad(below.sum(), z, create_graph=True)
    return torch.stack(values).detach()
