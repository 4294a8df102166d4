"""Every op against torch's module and autograd, in float64: as autograd follows it, in its formula, and compiled."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mlptrain.errors import UserError
from mlptrain.nn.ops import CompiledOp, Op
from mlptrain.nn.ops.activations import Activation, make_activation
from mlptrain.nn.ops.base import Site
from mlptrain.nn.ops.rectifiers import PReLU
from tests import catalogue
from tests.catalogue import ACTIVATIONS, OPS, Settings, cases, op

ROWS, WIDTH = 37, 11
PLAIN = [case for case in cases(ACTIVATIONS) if isinstance(op(*case), Activation)]
COMPILED = [case for case in cases(OPS) if isinstance(op(*case), CompiledOp)]

every_op = pytest.mark.parametrize(("name", "settings"), cases(OPS))
every_activation = pytest.mark.parametrize(("name", "settings"), cases(ACTIVATIONS))
every_plain_activation = pytest.mark.parametrize(("name", "settings"), PLAIN)
every_compiled_op = pytest.mark.parametrize(("name", "settings"), COMPILED)


def points() -> Tensor:
    """Both signs and many sizes, the kink itself, and both sides of torch's softplus threshold, in rows (37, 11)."""
    spread = torch.randn(400, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3
    extremes = torch.tensor([0.0, 1e-9, -1e-9, 20.5, -20.5, 36.0, -36.0], dtype=torch.float64)
    return torch.cat([spread, extremes]).view(ROWS, WIDTH)


def learnt(one: Op, *, width: int = WIDTH, first: float = 0.3) -> list[Tensor]:
    """Values of what an op learns, which are not those that it begins with: ``first`` and numbers below it."""
    shapes = one.parameter_shapes(width).values()
    return [
        first - 0.1 * torch.arange(math.prod(shape), dtype=torch.float64).view(shape) / max(1, math.prod(shape))
        for shape in shapes
    ]


def reference(name: str, settings: Settings, own: list[Tensor]) -> Callable[[Tensor], Tensor]:
    """torch's module with these parameters."""
    module = OPS[name].reference(settings).double().eval()
    with torch.no_grad():
        for theirs, ours in zip(module.parameters(), own, strict=True):
            theirs.copy_(ours.reshape(theirs.shape))
    return module


def derivative(one: Op, z: Tensor, own: list[Tensor]) -> Tensor:
    """By the op's own formula where it writes one out, else by autograd through ``apply``."""
    formula: Callable[..., Tensor] | None = getattr(one, "derivative", None)
    if formula is not None:
        return formula(z, *(values.to(z.dtype) for values in own))
    leaf = z.clone().requires_grad_()
    (found,) = torch.autograd.grad(one.apply(leaf, own).sum(), leaf)
    return found


def close(actual: Tensor, expected: Tensor) -> None:
    """To 1e-12 of each value; torch's own gelu and elu cancel where they vanish, hence the absolute 1e-15."""
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-15)


@every_op
def test_value(name: str, settings: Settings) -> None:
    one = op(name, settings)
    close(one.apply(points(), learnt(one)), reference(name, settings, learnt(one))(points()).detach())


@every_op
def test_initial_values_are_those_of_torch(name: str, settings: Settings) -> None:
    one = op(name, settings)
    initial = one.initial_values()
    assert set(initial) == set(one.parameter_shapes(WIDTH))
    for value, theirs in zip(initial.values(), OPS[name].reference(settings).parameters(), strict=True):
        assert torch.equal(torch.full_like(theirs, value), theirs)


@every_op
def test_derivative_equals_autograd(name: str, settings: Settings) -> None:
    one, z = op(name, settings), points().requires_grad_()
    own = learnt(one)
    (expected,) = torch.autograd.grad(reference(name, settings, own)(z).sum(), z)
    close(derivative(one, z.detach(), own), expected)
    (through_apply,) = torch.autograd.grad(one.apply(z, own).sum(), z)
    close(through_apply, expected)


@every_plain_activation
def test_in_place_forms(name: str, settings: Settings) -> None:
    activation = op(name, settings)
    assert isinstance(activation, Activation)
    theirs, z = reference(name, settings, []), points().requires_grad_()
    (expected,) = torch.autograd.grad(theirs(z).sum(), z)
    upstream = torch.linspace(-2, 2, z.numel(), dtype=torch.float64).view_as(z)
    buffer = z.detach().clone()
    out = torch.empty_like(buffer) if activation.needs_input else buffer
    y = activation.forward_(buffer, out=out)
    assert y is out
    close(y, theirs(z).detach())
    delta = upstream.clone()
    assert activation.backward_(delta, buffer, y) is delta
    close(y, theirs(z).detach())
    # Written from the output, elu's derivative near −alpha is only exact to the last place of alpha.
    torch.testing.assert_close(delta, upstream * expected, rtol=1e-12, atol=1e-14)


@every_compiled_op
def test_compiled_forms_of_models_side_by_side(name: str, settings: Settings) -> None:
    """Examples in columns; three models with parameters of their own, and calls that run twice on the same buffers."""
    one = op(name, settings)
    assert isinstance(one, CompiledOp)
    shapes, firsts = one.parameter_shapes(WIDTH), (0.3, -0.5, 0.7)
    owns = [learnt(one, first=first) for first in firsts]
    stacked = {key: torch.stack([own[place] for own in owns]) for place, key in enumerate(shapes)}
    gradients = {key: torch.full_like(values, torch.nan) for key, values in stacked.items()}
    inputs = torch.stack([points().t() * scale for scale in (1.0, -1.0, 0.5)])
    upstream = torch.linspace(-1, 2, inputs.numel(), dtype=torch.float64).view_as(inputs)
    z, delta = torch.empty_like(inputs), torch.empty_like(inputs)
    y = torch.empty_like(inputs) if one.needs_input else z
    calls = one.compiled(Site(z, y, delta, stacked, gradients, noise=(), buffer=torch.empty))
    for _ in range(2):
        z.copy_(inputs)
        for call in calls.forward:
            call()
        outputs = y.clone()
        delta.copy_(upstream)
        for call in calls.backward:
            call()
        assert torch.equal(y, outputs)
    for model, own in enumerate(owns):
        leaves = [inputs[model].t().clone().requires_grad_(), *(values.clone().requires_grad_() for values in own)]
        module = OPS[name].reference(settings).double().eval()
        named = dict(zip((key for key, _ in module.named_parameters()), leaves[1:], strict=True))
        shaped = {key: leaf.reshape(dict(module.named_parameters())[key].shape) for key, leaf in named.items()}
        expected = torch.func.functional_call(module, shaped, (leaves[0],))
        close(outputs[model].t(), expected.detach())
        found = torch.autograd.grad(expected, leaves, upstream[model].t())
        torch.testing.assert_close(delta[model].t(), found[0], rtol=1e-12, atol=1e-14)
        for key, theirs in zip(shapes, found[1:], strict=True):
            close(gradients[key][model], theirs)


@every_activation
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extremes_are_finite(name: str, settings: Settings, dtype: torch.dtype) -> None:
    activation = op(name, settings)
    own = learnt(activation, width=1)
    z = torch.tensor([-1e4, -800.0, 0.0, 800.0, 1e4], dtype=dtype).unsqueeze(1)
    narrow = [values.to(dtype) for values in own]
    found = derivative(activation, z, own)
    assert found.dtype == dtype
    derivatives = [found]
    if isinstance(activation, CompiledOp):
        stacked = dict(zip(activation.parameter_shapes(1), (values.unsqueeze(0) for values in narrow), strict=True))
        inputs, y = (z.t().unsqueeze(0).clone() for _ in range(2))
        y = y if activation.needs_input else inputs
        delta = torch.ones_like(y)
        gradients = {key: torch.zeros_like(values) for key, values in stacked.items()}
        calls = activation.compiled(Site(inputs, y, delta, stacked, gradients, noise=(), buffer=torch.empty))
        for call in calls.forward + calls.backward:
            call()
        derivatives.append(delta[0].t())
        assert y.isfinite().all()
    for tensor in (activation.apply(z, narrow), *derivatives):
        assert tensor.isfinite().all()
    # The two ends of every activation are straight lines, whose steepness is known without any of these formulas.
    ends = activation.apply(torch.tensor([[-1e4], [-2e4], [1e4], [2e4]], dtype=torch.float64), own).squeeze(1)
    left, right = (float(pair[1] - pair[0]) / step for pair, step in ((ends[:2], -1e4), (ends[2:], 1e4)))
    for each in derivatives:
        assert each[[0, -1], 0].tolist() == pytest.approx([left, right], abs=1e-6)


@every_activation
def test_kinks_are_where_the_derivative_jumps(name: str, settings: Settings) -> None:
    activation = op(name, settings)
    own, grid = learnt(activation, width=1), torch.linspace(-3, 3, 601, dtype=torch.float64).unsqueeze(1)
    jumps = (derivative(activation, grid + 1e-9, own) - derivative(activation, grid - 1e-9, own)).abs() > 1e-6
    assert grid[jumps].tolist() == pytest.approx(list(activation.kinks), abs=1e-12)


def test_prelu_slope_gradient() -> None:
    slope = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    z, upstream = points(), torch.linspace(-1, 2, ROWS * WIDTH, dtype=torch.float64).view(ROWS, WIDTH)
    expected = torch.autograd.grad((torch.nn.functional.prelu(z, slope.reshape(1)) * upstream).sum(), slope)[0]
    close(PReLU().slope_gradient(upstream, z), expected)


def test_softplus_is_exact_beyond_torchs_threshold() -> None:
    z = torch.tensor([25.0, -700.0], dtype=torch.float64)
    y = make_activation("softplus").apply(z, [])
    assert float(y[0] - z[0]) == pytest.approx(math.exp(-25), rel=1e-3)
    assert float(y[1]) == pytest.approx(math.exp(-700), rel=1e-12)


def test_unknown_activation_names_the_choices() -> None:
    with pytest.raises(UserError, match=r"'swish'.*leaky_relu.*silu"):
        make_activation("swish")


def test_settings_of_an_activation() -> None:
    assert make_activation("leaky_relu", slope=0.2) == catalogue.op("leaky_relu", {"slope": 0.2})
