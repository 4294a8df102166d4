"""The gradient check of a network: it passes what is right, catches what is wrong, counts what it leaves out."""

from __future__ import annotations

import zlib
from typing import Any

import pytest
import torch
from torch import Tensor

from mlptrain.errors import UserError
from mlptrain.nn.gradcheck import GradientCheck, check_gradients
from mlptrain.nn.initialisation import initialise_
from mlptrain.nn.network import MLP
from mlptrain.nn.ops import Op
from mlptrain.nn.ops.activations import Tanh
from mlptrain.nn.ops.rectifiers import LeakyReLU, ReLU
from mlptrain.nn.parameters import Parameters
from mlptrain.sources.generated import make_spirals
from tests.catalogue import LOSSES, OPS, op
from tests.catalogue import loss as make_loss


def random_network_check(
    widths: list[int],
    *,
    activation: str,
    output_activation: str = "identity",
    loss: str = "cross_entropy",
    reduction: str = "mean",
    rows: int = 100,
    std: float = 1.0,
    seed: int,
    x: Tensor | None = None,
    labels: Tensor | None = None,
    max_coordinates: int = 200,
) -> GradientCheck:
    """A network with weights and biases from N(0, std), on N(0, 1) inputs and random labels unless given."""
    generator = torch.Generator().manual_seed(seed)
    network = MLP(widths, hidden=[op(activation)], output=[op(output_activation)], bias=True)
    parameters = Parameters.zeros(network.parameter_shapes)
    initialise_(network, parameters, generator=generator, name="normal", std=std, bias="normal")
    x = torch.randn(rows, widths[0], generator=generator) if x is None else x
    labels = torch.randint(0, max(widths[-1], 2), (rows,), generator=generator) if labels is None else labels
    objective = make_loss(loss, reduction)
    targets = objective.encode_targets(labels, widths[-1])
    return check_gradients(
        network,
        loss=objective,
        parameters=parameters,
        x=x,
        targets=targets,
        generator=generator,
        max_coordinates=max_coordinates,
    )


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    """Products this small only lose by a second thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_a_hundred_random_leaky_networks_pass() -> None:
    checks = [
        random_network_check([10, 20, 4], activation="leaky_relu", seed=seed, max_coordinates=50) for seed in range(100)
    ]
    assert all(check.passed for check in checks)
    assert sum(one.checked for check in checks for one in check.parameters) > 100 * 120
    # About one network in 600 has a coordinate at a kink.
    assert sum(one.left_out for check in checks for one in check.parameters) < 10


def test_the_five_layer_arctan_network_on_spirals() -> None:
    x, labels = make_spirals(seed=0)
    check = random_network_check(
        [2, 4, 5, 8, 4, 3],
        activation="arctan",
        output_activation="arctan",
        reduction="sum",
        seed=1,
        x=x,
        labels=labels,
    )
    assert check.passed
    assert len(check.parameters) == 10
    assert max(one.autograd_error for one in check.parameters) < 1e-12
    assert all(one.gradient_norm > 1 for one in check.parameters)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("rows", [1, 30])
@pytest.mark.parametrize("std", [0.1, 3.0])
def test_correct_gradients_raise_no_alarm(loss: str, reduction: str, rows: int, std: float) -> None:
    """Also where rows are saturated, so that whole gradients are nothing but rounding."""
    for activation in OPS:
        seed = zlib.crc32(activation.encode())  # a new op leaves the networks of the others as they are
        outputs = LOSSES[loss].outputs(3)
        check = random_network_check(
            [5, 7, 6, outputs], activation=activation, loss=loss, reduction=reduction, rows=rows, std=std, seed=seed
        )
        assert check.passed, (activation, check)


def test_differences_do_not_trust_autograd(monkeypatch: pytest.MonkeyPatch) -> None:
    """A derivative that is wrong by hand and in autograd alike is caught by differences."""

    class WronglyDifferentiable(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, z: Tensor) -> Tensor:
            ctx.save_for_backward(z)
            return z.tanh()

        @staticmethod
        def backward(ctx: Any, *upstream: Tensor) -> Tensor:
            (z,) = ctx.saved_tensors
            gradient: Tensor = upstream[0] * (1 - z.tanh().square()) * 1.01
            return gradient

    right = Tanh.backward_

    def backward_(self: Tanh, upstream: Tensor, z: Tensor, y: Tensor) -> Tensor:
        return right(self, upstream, z, y).mul_(1.01)

    monkeypatch.setattr(Tanh, "__call__", lambda self, z: WronglyDifferentiable.apply(z))
    monkeypatch.setattr(Tanh, "backward_", backward_)
    check = random_network_check([4, 6, 3], activation="tanh", seed=0)
    first = check.parameters[0]
    assert first.autograd_error < 1e-12
    assert first.difference_error is not None
    assert first.difference_error > 1e-4
    assert not check.passed


def linear_then(activation: Op, *, weight: list[list[float]], x: list[list[float]]) -> GradientCheck:
    """A bias-free layer with this activation on its outputs, squared error to 1."""
    network = MLP([len(weight[0]), len(weight)], hidden=[], output=[activation], bias=False)
    parameters = Parameters.zeros(network.parameter_shapes).copy_({"layers.0.weight": torch.tensor(weight)})
    inputs = torch.tensor(x)
    targets = torch.ones(len(x), len(weight))
    return check_gradients(
        network,
        loss=make_loss("mse"),
        parameters=parameters,
        x=inputs,
        targets=targets,
        generator=torch.Generator().manual_seed(0),
    )


@pytest.mark.parametrize("activation", [ReLU(), LeakyReLU(0.01), op("elu", {"alpha": 2.0})])
def test_coordinates_at_a_kink_are_left_out_and_counted(activation: Op) -> None:
    """z = (w₁x₁ + w₂x₂) of the first unit is 2⁻²² ≈ 2.4e-7, within ε of the kink at 0; the second unit is far off."""
    check = linear_then(activation, weight=[[1.0, -1.0 + 2.0**-22], [0.5, 2.0]], x=[[1.0, 1.0]])
    (weight,) = check.parameters
    assert (weight.checked, weight.left_out) == (2, 2)
    assert check.passed
    assert "2 at a kink left out" in check.verdict


def test_a_coordinate_that_does_not_move_the_kink_is_checked() -> None:
    check = linear_then(ReLU(), weight=[[1.0, -1.0], [0.5, 2.0]], x=[[0.0, 1.0]])
    (weight,) = check.parameters
    assert (weight.checked, weight.left_out) == (4, 0)
    assert check.passed


def test_smooth_activations_leave_nothing_out() -> None:
    check = linear_then(op("elu"), weight=[[1.0, -1.0 + 2.0**-22], [0.5, 2.0]], x=[[1.0, 1.0]])
    assert check.parameters[0].left_out == 0


def test_the_kink_of_mae_is_left_out() -> None:
    """Both targets are 1; the first output is 1 exactly, the second is not."""
    network = MLP([1, 2], hidden=[], output=[op("identity")], bias=False)
    parameters = Parameters.zeros(network.parameter_shapes)
    parameters["layers.0.weight"].copy_(torch.tensor([[1.0], [3.0]]))
    check = check_gradients(
        network,
        loss=make_loss("mae"),
        parameters=parameters,
        x=torch.ones(1, 1),
        targets=torch.ones(1, 2),
        generator=torch.Generator().manual_seed(0),
    )
    assert (check.parameters[0].checked, check.parameters[0].left_out) == (1, 1)


def test_nothing_checked_is_not_a_pass() -> None:
    check = linear_then(ReLU(), weight=[[1.0, -1.0]], x=[[1.0, 1.0]])
    assert not check.passed
    assert "all 2 coordinates are at a kink" in check.verdict


def test_a_network_that_amplifies_rounding_is_refused_rather_than_called_wrong() -> None:
    with pytest.raises(UserError, match=r"changes by .* with the last bits of the inputs"):
        random_network_check([10, *[50] * 25, 3], activation="arctan", rows=30, seed=0, max_coordinates=5)


def test_parameters_and_random_state_are_left_alone() -> None:
    network = MLP([3, 4, 2], hidden=[ReLU()], output=[op("identity")], bias=True)
    parameters = Parameters.zeros(network.parameter_shapes)
    initialise_(network, parameters, generator=torch.Generator().manual_seed(0))
    before, state = parameters.flat.clone(), torch.random.get_rng_state()
    check_gradients(
        network,
        loss=make_loss("cross_entropy"),
        parameters=parameters,
        x=torch.ones(5, 3),
        targets=torch.zeros(5, dtype=torch.int64),
        generator=torch.Generator().manual_seed(0),
    )
    assert torch.equal(parameters.flat, before)
    assert torch.equal(torch.random.get_rng_state(), state)
