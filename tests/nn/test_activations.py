"""Every activation against torch.nn.functional and autograd, in float64."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from mlptrain.errors import UserError
from mlptrain.nn.ops.activations import ACTIVATIONS, Activation, make_activation

SLOPE = torch.tensor(0.3, dtype=torch.float64)

REFERENCES: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "leaky_relu": lambda z: functional.leaky_relu(z, 0.01),
    "elu": functional.elu,
    "prelu": lambda z: functional.prelu(z.reshape(1, -1), SLOPE.reshape(1)).reshape(z.shape),
    "sigmoid": functional.sigmoid,
    "tanh": functional.tanh,
    # torch's threshold would replace the function by y = z where the two still differ by 2e-9.
    "softplus": lambda z: functional.softplus(z, threshold=600),
    "arctan": torch.atan,
    "gelu": functional.gelu,
    "silu": functional.silu,
    "identity": lambda z: z,
}

VARIANTS: list[tuple[Activation, Callable[[Tensor], Tensor]]] = [
    *((make_activation(name), reference) for name, reference in REFERENCES.items()),
    (make_activation("leaky_relu", slope=0.2), lambda z: functional.leaky_relu(z, 0.2)),
    (make_activation("leaky_relu", slope=0.0), functional.relu),
    (make_activation("leaky_relu", slope=-0.5), lambda z: functional.leaky_relu(z, -0.5)),
    (make_activation("elu", alpha=2.5), lambda z: functional.elu(z, 2.5)),
    (make_activation("elu", alpha=-0.7), lambda z: functional.elu(z, -0.7)),
    (make_activation("softplus", beta=3.0), lambda z: functional.softplus(z, 3.0, threshold=600)),
]

every_variant = pytest.mark.parametrize(
    ("activation", "reference"), VARIANTS, ids=[str(activation) for activation, _ in VARIANTS]
)


def points() -> Tensor:
    """Both signs and many sizes, the kink itself, and both sides of torch's softplus threshold."""
    spread = torch.randn(400, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3
    return torch.cat([spread, torch.tensor([0.0, 1e-9, -1e-9, 20.5, -20.5, 36.0, -36.0], dtype=torch.float64)])


def close(actual: Tensor, expected: Tensor) -> None:
    """To 1e-12 of each value; torch's own gelu and elu cancel where they vanish, hence the absolute 1e-15."""
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-15)


def test_every_activation_of_the_table_is_tested() -> None:
    assert set(REFERENCES) == set(ACTIVATIONS)


@every_variant
def test_value(activation: Activation, reference: Callable[[Tensor], Tensor]) -> None:
    close(activation(points(), SLOPE), reference(points()))


@every_variant
def test_derivative_equals_autograd(activation: Activation, reference: Callable[[Tensor], Tensor]) -> None:
    z = points().requires_grad_()
    (expected,) = torch.autograd.grad(reference(z).sum(), z)
    close(activation.derivative(z.detach(), SLOPE), expected)
    (own,) = torch.autograd.grad(activation(z, SLOPE).sum(), z)
    close(own, expected)


@every_variant
def test_in_place_forms(activation: Activation, reference: Callable[[Tensor], Tensor]) -> None:
    z = points().requires_grad_()
    (expected,) = torch.autograd.grad(reference(z).sum(), z)
    upstream = torch.linspace(-2, 2, len(z), dtype=torch.float64)
    buffer = z.detach().clone()
    out = torch.empty_like(buffer) if activation.needs_input else buffer
    y = activation.forward_(buffer, SLOPE, out=out)
    assert y is out
    close(y, reference(z).detach())
    delta = upstream.clone()
    assert activation.backward_(delta, buffer, y, SLOPE) is delta
    close(y, reference(z).detach())
    # Written from the output, elu's derivative near −alpha is only exact to the last place of alpha.
    torch.testing.assert_close(delta, upstream * expected, rtol=1e-12, atol=1e-14)


@every_variant
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extremes_are_finite(activation: Activation, reference: Callable[[Tensor], Tensor], dtype: torch.dtype) -> None:
    z = torch.tensor([-1e4, -800.0, 0.0, 800.0, 1e4], dtype=dtype)
    slope = SLOPE.to(dtype)
    derivative = activation.derivative(z, slope)
    assert derivative.dtype == dtype
    out = torch.empty_like(z)
    y = activation.forward_(z.clone(), slope, out=out)
    in_place = activation.backward_(torch.ones_like(z), z.clone(), y, slope)
    for tensor in (activation(z, slope), derivative, y, in_place):
        assert tensor.isfinite().all()
    # The two ends of every activation are straight lines, whose steepness is known without any of these formulas.
    ends = activation(torch.tensor([-1e4, -2e4, 1e4, 2e4], dtype=torch.float64), SLOPE)
    left, right = (float(pair[1] - pair[0]) / step for pair, step in ((ends[:2], -1e4), (ends[2:], 1e4)))
    for found in (derivative, in_place):
        assert found[[0, -1]].tolist() == pytest.approx([left, right], abs=1e-6)


@every_variant
def test_kinks_are_where_the_derivative_jumps(activation: Activation, reference: Callable[[Tensor], Tensor]) -> None:
    grid = torch.linspace(-3, 3, 601, dtype=torch.float64)
    jumps = (activation.derivative(grid + 1e-9, SLOPE) - activation.derivative(grid - 1e-9, SLOPE)).abs() > 1e-6
    assert grid[jumps].tolist() == pytest.approx(list(activation.kinks), abs=1e-12)


def test_prelu_slope_gradient() -> None:
    activation, slope = make_activation("prelu"), SLOPE.clone().requires_grad_()
    z, upstream = points().view(-1, 11), torch.linspace(-1, 2, 407, dtype=torch.float64).view(-1, 11)
    reference = functional.prelu(z.reshape(1, -1), slope.reshape(1)).view(z.shape)
    (expected,) = torch.autograd.grad((reference * upstream).sum(), slope)
    close(activation.slope_gradient(upstream, z), expected)


def test_prelu_without_its_slope_says_so() -> None:
    with pytest.raises(TypeError, match="pass it as a tensor"):
        make_activation("prelu")(torch.zeros(2))


def test_softplus_is_exact_beyond_torchs_threshold() -> None:
    z = torch.tensor([25.0, -700.0], dtype=torch.float64)
    y = make_activation("softplus")(z)
    assert float(y[0] - z[0]) == pytest.approx(math.exp(-25), rel=1e-3)
    assert float(y[1]) == pytest.approx(math.exp(-700), rel=1e-12)


def test_unknown_activation_names_the_choices() -> None:
    with pytest.raises(UserError, match=r"'swish'.*leaky_relu.*silu"):
        make_activation("swish")
