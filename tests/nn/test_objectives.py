"""Smoothed and weighted objectives, soft targets, quantiles and several labels, against torch and scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, mean_pinball_loss
from torch import Tensor
from torch.nn import functional

from mlptrain.errors import DataError
from mlptrain.nn.engines import ENGINES
from mlptrain.nn.gradcheck import check_gradients
from mlptrain.nn.initialisation import initialise_
from mlptrain.nn.losses import Loss, columns, rows
from mlptrain.nn.network import MLP
from mlptrain.nn.parameters import Parameters, Stack
from tests.catalogue import encoded, op
from tests.catalogue import loss as make_loss

WEIGHTS = ((0.5, 2.0, 0.0, 1.25), (3.0, 0.1, 0.7, 1.0), (1.0, 1.0, 4.0, 0.25))  # of three models
every_reduction = pytest.mark.parametrize("reduction", ["mean", "sum"])
every_setting = pytest.mark.parametrize(("smoothing", "weighted"), [(0.1, False), (0.0, True), (0.3, True)])


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-13)


def of_three(name: str, reduction: str, smoothing: float, *, weighted: bool, k: int = 4) -> Loss:
    table = tuple(row[:k] for row in WEIGHTS) if weighted else ()
    settings = {"label_smoothing": smoothing} | ({"class_weights": "balanced"} if weighted else {})
    return make_loss(name, reduction, table, **settings)


def batches(k: int, n: int = 13) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs (3, k, n), labels (3, 1, n) and soft targets (3, k, n)."""
    generator = torch.Generator().manual_seed(5)
    outputs = torch.randn(3, k, n, generator=generator, dtype=torch.float64) * 3
    labels = torch.randint(0, k, (3, 1, n), generator=generator)
    soft = torch.rand(3, k, n, generator=generator, dtype=torch.float64)
    return outputs, labels, soft / soft.sum(dim=1, keepdim=True)


@every_reduction
@every_setting
@pytest.mark.parametrize("soft", [False, True])
def test_cross_entropy_is_that_of_torch(reduction: str, smoothing: float, weighted: bool, soft: bool) -> None:
    """Value, gradient and terms, of several models with weights of their own, and each alone."""
    loss = of_three("cross_entropy", reduction, smoothing, weighted=weighted)
    outputs, labels, shares = batches(4)
    targets = shares if soft else labels
    out = torch.full_like(outputs, torch.nan)
    loss.write_gradient(outputs, targets, out)
    for model in range(3):
        leaf = outputs[model].t().clone().requires_grad_()
        own = shares[model].t() if soft else labels[model, 0]
        weight = torch.tensor(WEIGHTS[model], dtype=torch.float64) if weighted else None
        settings: dict[str, Any] = {"weight": weight, "label_smoothing": smoothing}
        expected = functional.cross_entropy(leaf, own, reduction=reduction, **settings)
        (gradient,) = torch.autograd.grad(expected, leaf)
        close(out[model].t(), gradient)
        alone = loss.of_model(model)
        close(alone(leaf, own).detach(), expected.detach())
        close(torch.autograd.grad(alone(leaf, own), leaf)[0], gradient)
        close(alone.gradient(leaf.detach(), own), gradient)
        each = functional.cross_entropy(leaf, own, reduction="none", **settings)
        close(loss.terms(outputs, targets)[model], each.detach())
        mean = functional.cross_entropy(leaf, own, reduction="mean", **settings)
        close(loss.mean_of_terms(outputs, targets)[model], mean.detach())


@every_reduction
def test_soft_targets_without_settings(reduction: str) -> None:
    loss, (outputs, labels, shares) = make_loss("cross_entropy", reduction), batches(4)
    out = torch.empty_like(outputs)
    loss.write_gradient(outputs, shares, out)
    for model in range(3):
        leaf, own = outputs[model].t().clone().requires_grad_(), shares[model].t()
        expected = functional.cross_entropy(leaf, own, reduction=reduction)
        close(out[model].t(), torch.autograd.grad(expected, leaf)[0])
        close(loss.losses(outputs, shares)[model], functional.cross_entropy(leaf, own, reduction="none").detach())
        close(loss(leaf, own).detach(), expected.detach())
        assert torch.equal(rows(columns(own).squeeze(0)), own)
    one_hot = functional.one_hot(labels.squeeze(1), 4).mT.double()
    close(loss.losses(outputs, one_hot), loss.losses(outputs, labels))
    assert torch.equal(loss.hits(outputs, shares), outputs.argmax(1) == shares.argmax(1))
    assert torch.equal(loss.hits(outputs, one_hot), loss.hits(outputs, labels))


@every_reduction
@every_setting
def test_bce_is_the_cross_entropy_of_the_logits_0_and_z(reduction: str, smoothing: float, weighted: bool) -> None:
    loss = of_three("bce", reduction, smoothing, weighted=weighted, k=2)
    outputs, labels, _ = batches(2)
    outputs = outputs[:, 1:]
    targets = labels.double()
    out = torch.empty_like(outputs)
    loss.write_gradient(outputs, targets, out)
    for model in range(3):
        leaf = outputs[model].t().clone().requires_grad_()
        weight = torch.tensor(WEIGHTS[model][:2], dtype=torch.float64) if weighted else None
        two = torch.cat([torch.zeros_like(leaf), leaf], dim=1)
        expected = functional.cross_entropy(
            two, labels[model, 0], weight=weight, label_smoothing=smoothing, reduction=reduction
        )
        close(out[model].t(), torch.autograd.grad(expected, leaf)[0])
        own = targets[model].t()
        close(loss.of_model(model)(leaf, own).detach(), expected.detach())
        close(loss.of_model(model).gradient(leaf.detach(), own), out[model].t())
    assert loss.losses(outputs, targets).equal(make_loss("bce").losses(outputs, targets))  # what is reported is plain


@pytest.mark.parametrize(("name", "k"), [("cross_entropy", 4), ("bce", 2)])
def test_a_batch_without_any_weight_teaches_nothing(name: str, k: int) -> None:
    """torch gives nan, 0 / 0."""
    loss = make_loss(name, "mean", [(0.0, 1.0, 1.0, 1.0)[:k]], class_weights="balanced", label_smoothing=0.0)
    outputs = torch.randn(1, k - (k == 2), 5)
    labels = torch.zeros(5, dtype=torch.int64)
    targets = columns(encoded(loss, labels, outputs.shape[1]))
    out = torch.full_like(outputs, torch.nan)
    loss.write_gradient(outputs, targets, out)
    assert out.eq(0).all()
    assert float(loss.mean_of_terms(outputs, targets)) == 0
    assert float(loss(outputs[0].t(), encoded(loss, labels, outputs.shape[1]))) == 0


def test_weights_that_were_not_fitted_are_not_left_out_in_silence() -> None:
    loss = make_loss("cross_entropy", class_weights="balanced")
    outputs, labels, _ = batches(4)
    loss.losses(outputs, labels)  # plain
    for use in (lambda: loss.terms(outputs, labels), lambda: loss.write_gradient(outputs, labels, outputs.clone())):
        with pytest.raises(ValueError, match="none were fitted"):
            use()


LEVELS = [0.05, 0.5, 0.8]


def quantile_batch(n: int = 40) -> tuple[Tensor, Tensor]:
    """Outputs (n, 2 targets · 3 levels) and targets (n, 2)."""
    generator = torch.Generator().manual_seed(6)
    return (
        torch.randn(n, 6, generator=generator, dtype=torch.float64),
        torch.randn(n, 2, generator=generator, dtype=torch.float64),
    )


def test_quantiles_of_several_targets_are_the_pinball_losses_of_scikit_learn() -> None:
    loss, (outputs, targets) = make_loss("quantile", quantiles=LEVELS), quantile_batch()
    each = [
        mean_pinball_loss(targets[:, target], outputs[:, 3 * target + place], alpha=level)
        for target in range(2)
        for place, level in enumerate(LEVELS)
    ]
    assert float(loss(outputs, targets)) == pytest.approx(np.mean(each), rel=1e-13)
    leaf = outputs.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(leaf, targets), leaf)
    close(loss.gradient(outputs, targets), gradient)
    level = torch.tensor(LEVELS, dtype=torch.float64).repeat(2)
    slope = torch.where(outputs > targets.repeat_interleave(3, dim=1), 1 - level, -level) / outputs.numel()
    close(gradient, slope)
    at = targets.repeat_interleave(3, dim=1)  # at the kink itself, by both ways
    leaf = at.clone().requires_grad_()
    close(loss.gradient(at, targets), torch.autograd.grad(loss(leaf, targets), leaf)[0])
    guess = loss.constant_guess(targets, 6).reshape(2, 3)
    expected = torch.quantile(targets, torch.tensor(LEVELS, dtype=torch.float64), dim=0, interpolation="lower").t()
    assert (guess >= expected).all()
    assert ((guess - expected).abs() < 0.4).all()


def test_several_labels() -> None:
    generator = torch.Generator().manual_seed(8)
    outputs = torch.randn(50, 3, generator=generator, dtype=torch.float64)
    targets = (torch.rand(50, 3, generator=generator) > 0.6).double()
    loss = make_loss("multi_label_bce")
    close(loss(outputs, targets), functional.binary_cross_entropy_with_logits(outputs, targets))
    assert float(loss.correct(outputs, targets).double().mean()) == accuracy_score(targets, outputs > 0)
    for wrong in (targets[:, :2], targets + 1, targets.long(), targets[:, 0]):
        with pytest.raises(DataError):
            loss.encode_targets(wrong, 3)


CHECKED: list[tuple[str, dict[str, Any]]] = [
    ("cross_entropy", {"label_smoothing": 0.2, "class_weights": "balanced"}),
    ("cross_entropy", {"class_weights": "balanced", "reduction": "sum"}),
    ("bce", {"label_smoothing": 0.2, "class_weights": "balanced"}),
    ("quantile", {"quantiles": LEVELS}),
    ("multi_label_bce", {}),
]


@pytest.mark.parametrize(("name", "settings"), CHECKED)
@pytest.mark.parametrize("soft", [False, True])
def test_gradcheck_and_both_engines(name: str, settings: dict[str, Any], soft: bool) -> None:
    """Three gradients of one model; and of three with weights of their own, by every engine."""
    k = {"bce": 1, "quantile": 6}.get(name, 4)
    fitted = tuple(row[: max(k, 2)] for row in WEIGHTS) if "class_weights" in settings else ()
    rest = {key: value for key, value in settings.items() if key != "reduction"}
    loss = make_loss(name, settings.get("reduction", "mean"), fitted, **rest)
    generator = torch.Generator().manual_seed(9)
    network = MLP.of([5, 6, k], hidden=[op("tanh")], output=[op("identity")], bias=True)
    x = torch.randn(3, 14, 5, generator=generator, dtype=torch.float64)
    if name == "quantile":
        targets = torch.randn(3, 2, 14, generator=generator, dtype=torch.float64)
    elif name == "multi_label_bce" or soft:
        targets = torch.rand(3, k, 14, generator=generator, dtype=torch.float64)
        targets = targets if soft else targets.round()
    else:
        labels = torch.randint(0, max(k, 2), (3, 14), generator=generator)
        targets = torch.cat([columns(encoded(loss, one, k)) for one in labels])
        targets = targets.double() if targets.is_floating_point() else targets
    parameters = Stack(network.parameter_shapes, models=3, dtype=torch.float64)
    for member in parameters.members:
        initialise_(network, member, generator=generator, name="normal", std=0.7, bias="normal")
    found = []
    for kind in ENGINES:
        gradients = parameters.gradients()
        engine = kind(network, loss=loss, parameters=parameters, gradients=gradients, batch_size=14, groups=(1, 1, 1))
        engine.start_epoch(1)
        engine(list(x), targets)
        found.append(gradients)
    close(found[0].flat, found[1].flat)
    for model in range(3):
        member = Parameters.zeros(network.parameter_shapes, dtype=torch.float64).copy_(parameters.members[model])
        own = targets[model].t() if targets.is_floating_point() else targets[model, 0]
        check = check_gradients(
            network, loss=loss.of_model(model), parameters=member, x=x[model], targets=own, generator=generator
        )
        assert check.passed, check
