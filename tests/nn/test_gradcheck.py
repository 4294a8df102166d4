"""The gradient check of a network: it passes what is right, catches what is wrong, counts what it leaves out."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor

from mlptrain.errors import UserError
from mlptrain.nn.gradcheck import GradientCheck, check_gradients
from mlptrain.nn.initialisation import initialise_
from mlptrain.nn.losses import MeanSquaredError
from mlptrain.nn.losses import make_loss as make_loss_of
from mlptrain.nn.network import MLP
from mlptrain.nn.noise import TrainingMode
from mlptrain.nn.ops import Op
from mlptrain.nn.ops.activations import Tanh
from mlptrain.nn.ops.dropout import Dropout
from mlptrain.nn.ops.rectifiers import LeakyReLU, ReLU
from mlptrain.nn.parameters import Parameters
from mlptrain.seeds import derived_seed
from mlptrain.sources.generated import make_spirals
from mlptrain.spec.loss import LossSpec
from tests.catalogue import LOSSES, OPS, encoded, op
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
    network = MLP.of(widths, hidden=[op(activation)], output=[op(output_activation)], bias=True)
    parameters = Parameters.zeros(network.parameter_shapes)
    initialise_(network, parameters, generator=generator, name="normal", std=std, bias="normal")
    x = torch.randn(rows, widths[0], generator=generator) if x is None else x
    labels = torch.randint(0, max(widths[-1], 2), (rows,), generator=generator) if labels is None else labels
    objective = make_loss(loss, reduction)
    targets = encoded(objective, labels, widths[-1])
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
    network = MLP.of([len(weight[0]), len(weight)], hidden=[], output=[activation], bias=False)
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
    network = MLP.of([1, 2], hidden=[], output=[op("identity")], bias=False)
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
    assert check.passed is None
    assert check.verdict.startswith(
        "0 of 1 parameter tensors agree, 1 not checked by differences (layers.0.weight): all 2 coordinates are at a "
        "kink."
    )


def hidden_unit(*, kinked: bool, max_coordinates: int = 200) -> GradientCheck:
    """1-1-1 with ReLU, whose hidden z is 0 exactly or 1."""
    network = MLP.of([1, 1, 1], hidden=[ReLU()], output=[op("identity")], bias=True)
    parameters = Parameters.zeros(network.parameter_shapes)
    parameters.copy_(
        {name: torch.ones(shape) for name, shape in network.parameter_shapes.items()}
        | {"layers.0.bias": torch.tensor([-1.0 if kinked else 0.0])}
    )
    return check_gradients(
        network,
        loss=make_loss("mse"),
        parameters=parameters,
        x=torch.ones(1, 1),
        targets=torch.zeros(1, 1),
        generator=torch.Generator().manual_seed(0),
        max_coordinates=max_coordinates,
    )


def test_tensors_that_differences_say_nothing_about_are_not_checked() -> None:
    check = hidden_unit(kinked=True)
    assert [one.passed for one in check.parameters] == [None, None, True, True]
    assert check.passed is None
    assert check.verdict.startswith(
        "2 of 4 parameter tensors agree, 2 not checked by differences (layers.0.weight, layers.0.bias): all 2 "
    )
    assert hidden_unit(kinked=False).passed is True


def test_tensors_without_any_coordinate_are_not_checked() -> None:
    check = hidden_unit(kinked=False, max_coordinates=0)
    assert [one.passed for one in check.parameters] == [None] * 4
    assert "no coordinate was drawn" in check.verdict


def test_a_wrong_derivative_outweighs_what_could_not_be_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    right = MeanSquaredError.write_gradient

    def write_gradient(self: MeanSquaredError, outputs: Tensor, targets: Tensor, out: Tensor) -> None:
        right(self, outputs, targets, out)
        out.mul_(1.01)

    monkeypatch.setattr(MeanSquaredError, "write_gradient", write_gradient)
    check = hidden_unit(kinked=True)
    # At z = 0 nothing flows into the first layer: its gradient is 0 by hand and by autograd.
    assert [one.passed for one in check.parameters] == [None, None, True, False]
    assert check.passed is False
    assert check.verdict.startswith("The gradients disagree for layers.1.bias: a derivative is wrong (1 of 4 parameter")
    assert "2 not checked by differences" in check.verdict


@pytest.mark.parametrize("activation", ["prelu", "dropout"])
def test_penalties_of_weights_alone(activation: str) -> None:
    """Decay that leaves out biases and slopes, and an L1 term: what a weight of 0 has of it is a kink."""
    generator = torch.Generator().manual_seed(3)
    network = MLP.of([4, 3, 2], hidden=[op(activation)], output=[op("identity")], bias=True)
    parameters = Parameters.zeros(network.parameter_shapes)
    initialise_(network, parameters, generator=generator, name="normal", bias="normal")
    parameters["layers.0.weight"][0, 1] = 0
    x, y = torch.randn(30, 4, generator=generator), torch.randn(30, 2, generator=generator)
    both: list[dict[str, Any]] = [{"weight_decay": 0.5, "decay_for": "weights", "l1": 0.25}, {}]
    penalised, plain = (
        check_gradients(
            network, loss=make_loss("mse"), parameters=parameters, x=x, targets=y, generator=generator, **penalties
        )
        for penalties in both
    )
    assert penalised.passed is True, penalised
    weights = [values.double() for name, values in parameters.items() if name.endswith("weight")]
    expected = sum(float(0.25 * values.square().sum() + 0.25 * values.abs().sum()) for values in weights)
    assert penalised.penalty == pytest.approx(expected, rel=1e-12)
    assert penalised.objective == pytest.approx(plain.objective + expected, rel=1e-12)
    for one, other in zip(penalised.parameters, plain.parameters, strict=True):
        values = parameters[one.name].double()
        added = 0.5 * values + 0.25 * values.sign() if one.name.endswith("weight") else 0 * values
        for a, b in zip(one.coordinates, other.coordinates, strict=True):
            at_kink = one.name == "layers.0.weight" and a.index == (0, 1)
            assert (a.difference is None) == at_kink
            for kind, tolerance in (("analytic", 1e-12), ("autograd", 1e-12), ("difference", 1e-6)):
                if not (kind == "difference" and at_kink):
                    found = getattr(a, kind) - getattr(b, kind)
                    assert found == pytest.approx(float(added[a.index]), rel=tolerance, abs=tolerance)


@pytest.mark.parametrize("activation", ["identity", "prelu"])
@pytest.mark.parametrize("weight_decay", [0.0, 0.5, 5.0, 1e6])
def test_the_penalty_is_part_of_all_three_gradients(weight_decay: float, activation: str) -> None:
    """A linear model has the closed form 2/n Xᵀ(Xw + b − y) + λw; a learnt slope is decayed like any other number."""
    generator = torch.Generator().manual_seed(3)
    network = MLP.of([4, 1], hidden=[], output=[op(activation)], bias=True)
    parameters = Parameters.zeros(network.parameter_shapes)
    initialise_(network, parameters, generator=generator, name="normal", bias="normal")
    x, y = torch.randn(30, 4, generator=generator), torch.randn(30, 1, generator=generator)
    check = check_gradients(
        network,
        loss=make_loss("mse"),
        parameters=parameters,
        x=x,
        targets=y,
        generator=generator,
        weight_decay=weight_decay,
    )
    values = {name: value.double().numpy() for name, value in parameters.items()}
    w, b, slope = values["layers.0.weight"], values["layers.0.bias"], values.get("layers.0.slope", np.float64(1))
    inputs, z = x.double().numpy(), x.double().numpy() @ w.T + b
    residual = 2 / 30 * (np.where(z > 0, z, slope * z) - y.double().numpy())
    delta = residual * np.where(z > 0, 1, slope)
    closed = {
        "layers.0.weight": (delta.T @ inputs).ravel() + weight_decay * w.ravel(),
        "layers.0.bias": delta.sum(axis=0) + weight_decay * b,
        "layers.0.slope": np.array([(residual * np.minimum(z, 0)).sum() + weight_decay * slope]),
    }
    assert check.passed is True, check
    assert check.penalty == pytest.approx(weight_decay / 2 * sum(float((v**2).sum()) for v in values.values()))
    for one in check.parameters:
        for kind, tolerance in (("analytic", 1e-12), ("autograd", 1e-12), ("difference", 1e-6)):
            numbers = [getattr(coordinate, kind) for coordinate in one.coordinates]
            scale = float(np.linalg.norm(closed[one.name]))
            assert numbers == pytest.approx(closed[one.name], rel=0, abs=tolerance * scale), (one.name, kind)


def test_coordinates_are_named_by_their_place() -> None:
    check = random_network_check([3, 4, 2], activation="tanh", seed=0)
    assert [one.index for one in check.parameters[0].coordinates] == [(i, j) for i in range(4) for j in range(3)]
    few = random_network_check([3, 4, 2], activation="tanh", seed=0, max_coordinates=5).parameters[0].coordinates
    assert [one.index for one in few] == sorted(one.index for one in few)
    everything = {one.index: one.analytic for one in check.parameters[0].coordinates}
    assert [everything[one.index] for one in few] == [one.analytic for one in few]


@pytest.mark.parametrize("delta", [1e-7, 1e-5, 1.0])
def test_where_huber_goes_over_from_squared_to_linear_is_left_out(delta: float) -> None:
    """Both targets are 0; the first output is delta within ε, the second is far from it."""
    network = MLP.of([1, 2], hidden=[], output=[op("identity")], bias=False)
    parameters = Parameters.zeros(network.parameter_shapes)
    parameters["layers.0.weight"].copy_(torch.tensor([[delta], [-30.0]]))
    loss = make_loss_of(TypeAdapter(LossSpec).validate_python({"name": "huber", "delta": delta}))
    check = check_gradients(
        network,
        loss=loss,
        parameters=parameters,
        x=torch.ones(1, 1),
        targets=torch.zeros(1, 2),
        generator=torch.Generator().manual_seed(0),
    )
    assert (check.parameters[0].checked, check.parameters[0].left_out, check.passed) == (1, 1, True)
    # Analytic and autograd are those of the definition: delta·sign(d) beyond delta, over both outputs.
    assert check.parameters[0].coordinates[1].analytic == pytest.approx(-delta / 2)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dropout", [0.2, 0.9])
def test_masks_are_held_fixed(loss: str, dropout: float) -> None:
    """With the same noise the objective is that of the first training step, and all three are its derivatives."""
    generator = torch.Generator().manual_seed(1)
    objective = make_loss(loss)
    outputs = LOSSES[loss].outputs(3)
    network = MLP.of(
        [4, 8, 8, outputs], hidden=[op("prelu"), op("dropout", {"p": dropout})], output=[op("identity")], bias=True
    )
    parameters = Parameters.zeros(network.parameter_shapes)
    initialise_(network, parameters, generator=generator, name="normal", bias="normal")
    x, labels = torch.randn(12, 4, generator=generator), torch.randint(0, max(outputs, 2), (12,), generator=generator)
    settings: Any = {
        "loss": objective,
        "parameters": parameters,
        "x": x,
        "targets": encoded(objective, labels, outputs),
        "weight_decay": 0.1,
    }
    check = check_gradients(network, **settings, generator=generator, noise=(5, 1))
    assert check.passed is True, check
    assert sum(one.checked for one in check.parameters) > 100
    # torch's own modules, with the masks that the training step draws.
    masks = torch.Generator().manual_seed(derived_seed(5, "noise", 1))

    def kept() -> Tensor:
        words = torch.empty(8 * 12 // 4, dtype=torch.int64).random_(-(2**63), None, generator=masks)
        return words.view(torch.int16).view(8, 12).t() >= round(dropout * 2**16) - 2**15

    y, decayed = x.double(), {name: value.double().requires_grad_() for name, value in parameters.items()}
    for index in range(2):
        z = y @ decayed[f"layers.{index}.weight"].T + decayed[f"layers.{index}.bias"]
        z = torch.where(z > 0, z, z * decayed[f"layers.{index}.slope"])
        y = z * kept() / (1 - dropout)
    y = y @ decayed["layers.2.weight"].T + decayed["layers.2.bias"]
    targets = settings["targets"]
    value = LOSSES[loss].reference(y, targets.double() if targets.is_floating_point() else targets)
    value = value + 0.05 * torch.stack([one.square().sum() for one in decayed.values()]).sum()
    assert check.objective == pytest.approx(float(value.detach()), rel=1e-12)
    expected = torch.autograd.grad(value, list(decayed.values()))
    for one, gradient in zip(check.parameters, expected, strict=True):
        assert [at.analytic for at in one.coordinates] == pytest.approx(gradient.ravel().tolist(), rel=1e-9, abs=1e-12)
    without = check_gradients(network, **settings, generator=generator)
    assert without.objective != pytest.approx(check.objective, rel=1e-3)


def test_a_wrong_derivative_of_an_op_with_noise_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine of such an op is autograd itself, so that only the differences can tell."""
    right = Dropout.apply

    def apply(self: Dropout, z: Tensor, parameters: Any, *, mode: TrainingMode | None = None) -> Tensor:
        y = right(self, z, parameters, mode=mode)
        return y * 1.01 - 0.01 * y.detach()

    monkeypatch.setattr(Dropout, "apply", apply)
    network = MLP.of([3, 5, 2], hidden=[op("tanh"), op("dropout")], output=[op("identity")], bias=True)
    parameters = Parameters.zeros(network.parameter_shapes)
    initialise_(network, parameters, generator=torch.Generator().manual_seed(0), name="normal")
    check = check_gradients(
        network,
        loss=make_loss("cross_entropy"),
        parameters=parameters,
        x=torch.randn(9, 3, generator=torch.Generator().manual_seed(0)),
        targets=torch.zeros(9, dtype=torch.int64),
        generator=torch.Generator().manual_seed(0),
        noise=(0, 1),
    )
    assert [one.passed for one in check.parameters] == [False, False, True, True]


def test_a_network_that_amplifies_rounding_is_refused_rather_than_called_wrong() -> None:
    with pytest.raises(UserError, match=r"changes by .* with the last bits of the inputs"):
        random_network_check([10, *[50] * 25, 3], activation="arctan", rows=30, seed=0, max_coordinates=5)


def test_parameters_and_random_state_are_left_alone() -> None:
    network = MLP.of([3, 4, 2], hidden=[ReLU()], output=[op("identity")], bias=True)
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
