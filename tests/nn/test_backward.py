"""The gradient by hand against autograd and against central differences, for networks drawn at random."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from mlptrain.nn.activations import ACTIVATIONS, make_activation
from mlptrain.nn.backward import Backward
from mlptrain.nn.initialisation import initialise_
from mlptrain.nn.losses import LOSSES, Loss, Reduction, make_loss
from mlptrain.nn.network import MLP
from mlptrain.nn.parameters import Parameters


@dataclass
class Problem:
    """A network, its parameters, the hand-derived pass bound to them, and one batch."""

    network: MLP
    loss: Loss
    parameters: Parameters
    gradients: Parameters
    backward: Backward
    x: Tensor
    targets: Tensor


def problem(
    hidden: list[int],
    *,
    activation: str = "relu",
    output_activation: str = "identity",
    bias: bool = True,
    loss: str = "cross_entropy",
    reduction: Reduction = "mean",
    n: int = 7,
    batch_size: int | None = None,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
    device: str = "cpu",
    fields: dict[str, float] | None = None,
) -> Problem:
    generator = torch.Generator().manual_seed(seed)
    n_outputs = 1 if loss == "bce" else 3
    network = MLP(
        [4, *hidden, n_outputs],
        activation=make_activation(activation, **(fields or {})),
        output_activation=make_activation(output_activation),
        bias=bias,
    )
    parameters = Parameters.zeros(network.parameter_shapes, dtype=dtype, device=device)
    initialise_(parameters, generator=generator, name="normal", std=0.7, bias="normal")
    objective = make_loss(loss, reduction)
    x = torch.randn(n, 4, generator=generator, dtype=torch.float64).to(device, dtype)
    labels = torch.randint(0, max(2, n_outputs), (n,), generator=generator)
    targets = objective.encode_targets(labels, n_outputs).to(device)
    gradients = Parameters.zeros(network.parameter_shapes, dtype=dtype, device=device)
    gradients.flat.fill_(torch.nan)
    backward = Backward(network, loss=objective, parameters=parameters, gradients=gradients, batch_size=batch_size or n)
    return Problem(network, objective, parameters, gradients, backward, x, targets)


def objective(given: Problem, parameters: dict[str, Tensor], x: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The objective by torch.nn.functional alone, and the outputs."""
    outputs = given.network.forward(parameters, x)
    reduction = given.loss.reduction
    match given.loss.name:
        case "cross_entropy":
            return functional.cross_entropy(outputs, targets, reduction=reduction), outputs
        case "bce":
            value = functional.binary_cross_entropy_with_logits(outputs, targets.to(outputs.dtype), reduction=reduction)
            return value, outputs
        case "mse":
            return functional.mse_loss(outputs, targets.to(outputs.dtype), reduction=reduction), outputs
    return functional.l1_loss(outputs, targets.to(outputs.dtype), reduction=reduction), outputs


def assert_equals_autograd(given: Problem, *, tolerance: float = 1e-12) -> None:
    """Outputs, loss and every gradient, relative to the norm of each tensor."""
    leaves = {name: view.clone().requires_grad_() for name, view in given.parameters.items()}
    value, expected_outputs = objective(given, leaves, given.x, given.targets)
    expected = torch.autograd.grad(value, list(leaves.values()))
    outputs = given.backward(given.x, given.targets)
    torch.testing.assert_close(outputs, expected_outputs.detach(), rtol=tolerance, atol=tolerance)
    per_example = given.loss.per_example(expected_outputs.detach(), given.targets)
    torch.testing.assert_close(given.backward.loss_sum, per_example.sum(), rtol=tolerance, atol=tolerance)
    # A tensor whose gradient nearly cancels is compared on the scale of the whole gradient.
    floor = 1e-3 * max(float(tensor.norm()) for tensor in expected) + 1e-30
    for (name, by_hand), automatic in zip(given.gradients.items(), expected, strict=True):
        error = float((by_hand - automatic).norm()) / max(float(automatic.norm()), floor)
        assert error < tolerance, f"{name}: relative error {error:.1e}"


@settings(max_examples=150, deadline=None)
@given(
    hidden=st.lists(st.integers(1, 6), max_size=4),
    activation=st.sampled_from(sorted(ACTIVATIONS)),
    output_activation=st.sampled_from(sorted(ACTIVATIONS)),
    bias=st.booleans(),
    loss=st.sampled_from(sorted(LOSSES)),
    reduction=st.sampled_from(["mean", "sum"]),
    n=st.integers(1, 9),
    spare=st.integers(0, 3),
    seed=st.integers(0, 2**32),
)
def test_random_networks_equal_autograd(
    hidden: list[int],
    activation: str,
    output_activation: str,
    bias: bool,
    loss: str,
    reduction: Reduction,
    n: int,
    spare: int,
    seed: int,
) -> None:
    given_problem = problem(
        hidden,
        activation=activation,
        output_activation=output_activation,
        bias=bias,
        loss=loss,
        reduction=reduction,
        n=n,
        batch_size=n + spare,
        seed=seed,
    )
    assert_equals_autograd(given_problem)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_choice_equals_autograd(activation: str, loss: str, reduction: Reduction, bias: bool) -> None:
    assert_equals_autograd(problem([5, 4], activation=activation, loss=loss, reduction=reduction, bias=bias))


@pytest.mark.parametrize(
    ("activation", "fields"),
    [("leaky_relu", {"slope": -0.5}), ("elu", {"alpha": 2.0}), ("elu", {"alpha": -0.7}), ("softplus", {"beta": 3.0})],
)
def test_fields_of_activations_equal_autograd(activation: str, fields: dict[str, float]) -> None:
    assert_equals_autograd(problem([5, 4], activation=activation, fields=fields))


def test_a_learnt_slope_that_turned_negative_equals_autograd() -> None:
    given_problem = problem([5, 4], activation="prelu", output_activation="prelu")
    for i in range(3):
        given_problem.parameters[f"layers.{i}.slope"].fill_(-0.5)
    assert_equals_autograd(given_problem)


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
@pytest.mark.parametrize("loss", ["cross_entropy", "bce", "mse"])
def test_central_differences(activation: str, loss: str) -> None:
    """(f(w + ε) − f(w − ε))/2ε with ε = 1e-6 for every coordinate, relative to the norm of its tensor."""
    given_problem = problem([5, 4], activation=activation, loss=loss, n=6, seed=11)
    given_problem.backward(given_problem.x, given_problem.targets)
    values = dict(given_problem.parameters)
    for name, view in given_problem.parameters.items():
        coordinates, numerical = view.view(-1), torch.zeros_like(view).view(-1)
        for j in range(len(coordinates)):
            middle = float(coordinates[j])
            coordinates[j] = middle + 1e-6
            above = objective(given_problem, values, given_problem.x, given_problem.targets)[0]
            coordinates[j] = middle - 1e-6
            below = objective(given_problem, values, given_problem.x, given_problem.targets)[0]
            coordinates[j] = middle
            numerical[j] = (above - below) / 2e-6
        by_hand = given_problem.gradients[name].view(-1)
        assert float((by_hand - numerical).norm()) <= 1e-6 * max(float(numerical.norm()), 1e-3)


@pytest.mark.parametrize("activation", ["relu", "arctan", "prelu"])
def test_a_smaller_last_batch_after_a_full_one(activation: str) -> None:
    full = problem([5, 4], activation=activation, n=9)
    full.backward(full.x, full.targets)
    for n in (4, 9, 1):
        assert_equals_autograd(
            Problem(
                full.network, full.loss, full.parameters, full.gradients, full.backward, full.x[:n], full.targets[:n]
            )
        )


def test_a_larger_batch_is_refused() -> None:
    small = problem([5], n=3)
    with pytest.raises(ValueError, match="batch of 6 rows, but the buffers hold 1 to 3"):
        small.backward(torch.cat([small.x, small.x]), torch.cat([small.targets, small.targets]))


def test_parameters_of_another_network_are_refused() -> None:
    one, other = problem([5]), problem([6])
    with pytest.raises(ValueError, match="gradients of other shapes"):
        Backward(one.network, loss=one.loss, parameters=one.parameters, gradients=other.gradients, batch_size=4)


def test_updates_in_place_are_seen_by_the_next_step_and_padding_stays_zero() -> None:
    """Five steps of descent by hand follow five steps of descent by autograd."""
    given_problem = problem([5, 4], activation="tanh", reduction="sum")
    given_problem.gradients.flat.zero_()
    leaves = {name: view.clone().requires_grad_() for name, view in given_problem.parameters.items()}
    for _ in range(5):
        given_problem.backward(given_problem.x, given_problem.targets)
        given_problem.parameters.flat.sub_(given_problem.gradients.flat, alpha=0.05)
        value, _ = objective(given_problem, leaves, given_problem.x, given_problem.targets)
        gradients = torch.autograd.grad(value, list(leaves.values()))
        with torch.no_grad():
            for leaf, gradient in zip(leaves.values(), gradients, strict=True):
                leaf.sub_(gradient, alpha=0.05)
    for name, leaf in leaves.items():
        torch.testing.assert_close(given_problem.parameters[name], leaf.detach(), rtol=1e-12, atol=1e-14)
    used = sum(view.numel() for view in given_problem.parameters.values())
    assert given_problem.parameters.flat.count_nonzero() == used


def test_parameters_that_autograd_watches_are_left_alone() -> None:
    given_problem = problem([5], activation="prelu")
    flat = given_problem.parameters.flat.clone().requires_grad_()
    watched = Parameters(flat, given_problem.parameters.shapes)
    backward = Backward(
        given_problem.network,
        loss=given_problem.loss,
        parameters=watched,
        gradients=given_problem.gradients,
        batch_size=7,
    )
    outputs = backward(given_problem.x, given_problem.targets)
    assert not outputs.requires_grad
    assert flat.grad is None
    assert given_problem.gradients["layers.0.weight"].isfinite().all()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_float32(activation: str) -> None:
    given_problem = problem([6, 5], activation=activation, dtype=torch.float32)
    assert given_problem.backward(given_problem.x, given_problem.targets).dtype == torch.float32
    assert_equals_autograd(given_problem, tolerance=1e-5)


def test_the_set_precision_is_left_as_it_was() -> None:
    """After a step, and after one that failed for rows of another width."""
    given_problem = problem([6, 5], dtype=torch.float32)
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        given_problem.backward(given_problem.x, given_problem.targets)
        assert torch.get_float32_matmul_precision() == "medium"
        with pytest.raises(RuntimeError):
            given_problem.backward(given_problem.x[:, :3], given_problem.targets)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_cuda(activation: str) -> None:
    assert_equals_autograd(problem([6, 5], activation=activation, device="cuda"))
