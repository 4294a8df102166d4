"""Losses of examples with weights: torch's losses weighed by a formula, repeated rows, engines and many models."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from mlptrain.nn.divergence import Divergence
from mlptrain.nn.engines import ENGINES
from mlptrain.nn.engines.adversarial import adversarial_engine
from mlptrain.nn.gradcheck import check_gradients
from mlptrain.nn.initialisation import initialise_
from mlptrain.nn.losses import Loss, columns, make_loss, rows, with_weights
from mlptrain.nn.network import MLP
from mlptrain.nn.parameters import Parameters, Stack
from mlptrain.nn.targets import TargetScaling
from mlptrain.spec.adversarial import FastGradient, VirtualAdversarial
from tests import catalogue
from tests.catalogue import encoded, op

N = 12
WEIGHTS = torch.tensor([0.0, 1, 2, 0.5, 1, 3, 0, 1, 1, 0.25, 2, 1])
CLASS_WEIGHTS = ((0.5, 2.0, 1.25), (3.0, 0.1, 0.7))
every_reduction = pytest.mark.parametrize("reduction", ["mean", "sum"])
every_loss = pytest.mark.parametrize("name", list(catalogue.LOSSES))


def weighted(name: str, reduction: str = "mean", fitted: Any = (), scalings: Any = (), **settings: Any) -> Loss:
    section = catalogue.loss(name, reduction, **settings).section
    return make_loss(section, fitted, scalings, weighted=True)


def problem(name: str, *, n: int = N) -> tuple[Tensor, Tensor, int]:
    """Outputs (n, k) and targets as the plain loss encodes them."""
    row, generator = catalogue.LOSSES[name], torch.Generator().manual_seed(4)
    width = 1 if row.one_logit else getattr(row, "n_outputs", None) or 3
    labels = torch.randint(0, 2 if row.one_logit else 3, (n,), generator=generator)
    outputs = torch.randn(n, width, generator=generator, dtype=torch.float64)
    return outputs, encoded(catalogue.loss(name), labels, width), width


@every_reduction
@every_loss
def test_the_objective_is_the_weighted_mean_or_sum_of_torchs_losses(name: str, reduction: str) -> None:
    outputs, targets, _ = problem(name)
    plain, loss = catalogue.loss(name, reduction), weighted(name, reduction)
    packed = with_weights(targets, WEIGHTS).double()
    each = torch.stack(
        [plain(outputs[i : i + 1], targets[i : i + 1]) for i in range(N)]
    )  # of one row mean and sum agree
    w = WEIGHTS.double()
    expected = (each * w).sum() / (w.sum() if reduction == "mean" else 1)

    leaf = outputs.clone().requires_grad_()
    objective = loss(leaf, packed)
    torch.testing.assert_close(objective.detach(), expected, rtol=1e-12, atol=0)
    [autograd] = torch.autograd.grad(objective, leaf)
    torch.testing.assert_close(loss.gradient(outputs, packed), autograd, rtol=1e-12, atol=1e-14)
    mean = loss.mean_of_terms(columns(outputs), columns(packed))
    of_rows = catalogue.loss(name).per_example(outputs, targets)
    torch.testing.assert_close(mean, ((of_rows * w).sum() / w.sum()).reshape(1), rtol=1e-12, atol=0)
    # What is reported does not change.
    torch.testing.assert_close(loss.per_example(outputs, packed), of_rows)
    if name != "quantile":
        assert torch.equal(loss.correct(outputs, packed), plain.correct(outputs, targets))
    own, given = loss.parted(packed)
    assert torch.equal(own.double(), targets.double())
    assert own.dtype == targets.dtype or own.is_floating_point()
    assert given is not None
    assert torch.equal(given, w)


@every_reduction
@every_loss
def test_a_weight_of_two_is_a_row_that_stands_there_twice(name: str, reduction: str) -> None:
    outputs, targets, _ = problem(name)
    times = torch.tensor([0, 1, 2, 3, 1, 0, 1, 2, 1, 1, 1, 4])
    plain, loss = catalogue.loss(name, reduction), weighted(name, reduction)
    repeated = torch.arange(N).repeat_interleave(times)
    packed = with_weights(targets, times.float()).double()
    torch.testing.assert_close(loss(outputs, packed), plain(outputs[repeated], targets[repeated]), rtol=1e-12, atol=0)
    of_repeated = plain.gradient(outputs[repeated], targets[repeated])
    expected = torch.zeros_like(outputs).index_add_(0, repeated, of_repeated)
    torch.testing.assert_close(loss.gradient(outputs, packed), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("soft", [False, True])
def test_weights_of_classes_and_examples_multiply(smoothing: float, soft: bool) -> None:
    """Σ w·t / Σ w·c of several models with class weights of their own, against autograd and torch's terms."""
    outputs, labels, _ = problem("cross_entropy")
    loss = weighted("cross_entropy", "mean", CLASS_WEIGHTS, class_weights="balanced", label_smoothing=smoothing)
    shares = torch.nn.functional.one_hot(labels, 3).double() * 0.7 + 0.1
    targets = shares if soft else labels
    packed = with_weights(targets, WEIGHTS).double()
    both, w = torch.stack([columns(packed)[0]] * 2), WEIGHTS.double()
    out = torch.full((2, 3, N), torch.nan, dtype=torch.float64)
    loss.write_gradient(torch.stack([outputs.t(), outputs.t()]), both, out)
    for model, row in enumerate(CLASS_WEIGHTS):
        leaf, of_classes = outputs.clone().requires_grad_(), torch.tensor(row, dtype=torch.float64)
        terms = functional.cross_entropy(leaf, targets, weight=of_classes, label_smoothing=smoothing, reduction="none")
        divisor = w.sum() if soft else (w * of_classes[labels]).sum()
        expected = (terms * w).sum() / divisor
        torch.testing.assert_close(loss.of_model(model)(outputs, packed), expected.detach(), rtol=1e-12, atol=0)
        [gradient] = torch.autograd.grad(expected, leaf)
        torch.testing.assert_close(out[model].t(), gradient, rtol=1e-12, atol=1e-14)


def test_a_batch_of_zeros_has_no_objective_and_no_gradient() -> None:
    outputs, targets, _ = problem("mse")
    loss, packed = weighted("mse"), with_weights(targets, torch.zeros(N))
    assert float(loss(outputs.float(), packed)) == 0
    assert not loss.gradient(outputs.float(), packed).any()


def test_tiny_and_huge_weights_keep_their_shares() -> None:
    outputs, targets, _ = problem("cross_entropy")
    loss = weighted("cross_entropy")
    for factor in (1e-30, 1e30):
        packed = with_weights(targets, WEIGHTS * factor / 3)
        one, other = (
            loss.gradient(outputs.float(), packed),
            loss.gradient(outputs, with_weights(targets, WEIGHTS).double()),
        )
        torch.testing.assert_close(one.double(), other, rtol=1e-5, atol=1e-7)


def test_weights_stay_as_they_are_where_targets_are_scaled() -> None:
    outputs, targets, width = problem("mse")
    scaling = TargetScaling(mean=(5.0,) * width, std=(3.0,) * width)
    loss = weighted("mse", "mean", (), [scaling])
    y = targets.float() * 3 + 5
    packed = with_weights(loss.encoded(y, width), WEIGHTS)
    torch.testing.assert_close(packed[:, :-1], targets.float())
    found = loss.in_unit_targets(packed)
    torch.testing.assert_close(found[:, :-1], y)
    assert torch.equal(found[:, -1], WEIGHTS)
    torch.testing.assert_close(columns(found), loss.restored_targets(columns(packed)))
    reported = loss.reported(columns(outputs.float()), columns(packed))
    torch.testing.assert_close(reported[0], 9 * (outputs.float() - targets.float()).square().mean(dim=1))


@every_reduction
@every_loss
@pytest.mark.parametrize("engine", ENGINES)
def test_engines_train_several_models_by_them(engine: Any, name: str, reduction: str) -> None:
    """Two models, each with a batch and weights of its own, against autograd."""
    loss, (_, targets, width) = weighted(name, reduction), problem(name)
    network = MLP.of([4, 5, width], hidden=[op("tanh")], output=[op("identity")], bias=True)
    generator = torch.Generator().manual_seed(2)
    parameters = Stack(network.parameter_shapes, network.state_shapes, models=2)
    for member in parameters.members:
        initialise_(network, member, generator=generator, name="xavier_uniform")
    gradients = parameters.gradients()
    made = engine(
        network, loss=loss, parameters=parameters, gradients=gradients, batch_size=N, groups=[1, 1], seeds=[0, 1]
    )
    x = [torch.randn(N, 4, generator=generator) for _ in range(2)]
    packed = torch.cat([columns(with_weights(targets, some)) for some in (WEIGHTS, WEIGHTS.flip(0))])
    made(x, packed)
    for model in range(2):
        leaves = {key: value.clone().requires_grad_() for key, value in parameters.members[model].items()}
        objective = loss(network.forward(leaves, x[model]), rows(packed[model]))
        for (key, found), expected in zip(
            gradients.members[model].items(), torch.autograd.grad(objective, list(leaves.values())), strict=True
        ):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6, msg=key)


@every_reduction
@pytest.mark.parametrize("section", [None, VirtualAdversarial(name="vat", epsilon=0.5), FastGradient(name="fgsm")])
def test_the_gradient_check_agrees(section: Any, reduction: str) -> None:
    """Of the objective, of the loss of disturbed inputs and of their divergence, all by weight."""
    loss, (_, targets, width) = weighted("cross_entropy", reduction), problem("cross_entropy")
    network = MLP.of([4, 5, width], hidden=[op("tanh")], output=[op("identity")], bias=True)
    generator = torch.Generator().manual_seed(2)
    parameters = Parameters.zeros(network.shapes)
    initialise_(network, parameters, generator=generator, name="xavier_uniform")
    check = check_gradients(
        network,
        loss=loss,
        parameters=parameters,
        x=torch.randn(N, 4, generator=generator),
        targets=with_weights(targets, WEIGHTS),
        generator=generator,
        noise=(0, 1),
        adversarial=section,
    )
    assert check.passed is True


@every_reduction
def test_a_divergence_of_repeated_rows(reduction: str) -> None:
    outputs, _, _ = problem("cross_entropy")
    reference, times = outputs.flip(0) * 0.7, torch.tensor([0, 1, 2, 3, 1, 0, 1, 2, 1, 1, 1, 4])
    section, repeated = catalogue.loss("cross_entropy", reduction).section, torch.arange(N).repeat_interleave(times)
    packed = with_weights(reference, times.float())
    found, leaf = Divergence(section, weighted=True), outputs.clone().requires_grad_()
    expected = Divergence(section)(leaf[repeated], reference[repeated])
    torch.testing.assert_close(found(outputs, packed), expected.detach(), rtol=1e-12, atol=0)
    out = torch.empty_like(outputs)
    found.write_gradient(columns(outputs), columns(packed), columns(out))
    [gradient] = torch.autograd.grad(expected, leaf)
    torch.testing.assert_close(out, gradient, rtol=1e-12, atol=1e-14)


def test_virtual_adversarial_rows_of_no_weight_do_not_count() -> None:
    loss, (_, targets, width) = weighted("cross_entropy"), problem("cross_entropy")
    network = MLP.of([4, 5, width], hidden=[op("tanh")], output=[op("identity")], bias=True)
    generator = torch.Generator().manual_seed(2)
    parameters = Stack(network.parameter_shapes, network.state_shapes, models=1)
    initialise_(network, parameters.members[0], generator=generator, name="xavier_uniform")
    gradients, x = parameters.gradients(), torch.randn(N, 4, generator=generator)
    found = []
    for some in (x, torch.where((WEIGHTS == 0).unsqueeze(1), x + 5, x)):
        engine = adversarial_engine(VirtualAdversarial(name="vat", epsilon=0.5))(
            network, loss=loss, parameters=parameters, gradients=gradients, batch_size=N, seeds=[0]
        )
        engine.start_epoch(1)
        engine([some], columns(with_weights(targets, WEIGHTS)))
        found.append(gradients.flat.clone())
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-7)
