"""Every loss against torch.nn.functional and autograd, in float64."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from scipy.optimize import minimize_scalar
from scipy.stats import entropy
from torch import Tensor

from mlptrain.errors import DataError
from mlptrain.nn.losses import Loss, columns, largest_of_columns, rows
from tests.catalogue import LOSSES, encoded
from tests.catalogue import loss as make_loss

every_loss = pytest.mark.parametrize("name", LOSSES)
every_reduction = pytest.mark.parametrize("reduction", ["mean", "sum"])


def batch(name: str, n: int = 11) -> tuple[Tensor, Tensor]:
    """Outputs in float64 and the encoded targets of n labelled examples: a single logit where the loss reads one."""
    generator = torch.Generator().manual_seed(3)
    n_outputs = LOSSES[name].outputs(4)
    labels = torch.randint(0, LOSSES[name].labels(4), (n,), generator=generator)
    outputs = torch.randn(n, n_outputs, generator=generator, dtype=torch.float64) * 3
    targets = encoded(make_loss(name), labels, n_outputs)
    return outputs, targets.double() if targets.is_floating_point() else targets


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-14)


@every_loss
@every_reduction
def test_value_and_gradient(name: str, reduction: str) -> None:
    loss, (outputs, targets) = make_loss(name, reduction), batch(name)
    leaf = outputs.clone().requires_grad_()
    expected = LOSSES[name].reference(leaf, targets, reduction=reduction)
    (gradient,) = torch.autograd.grad(expected, leaf)
    close(loss(outputs, targets), expected.detach())
    close(loss.gradient(outputs, targets), gradient)
    (own,) = torch.autograd.grad(loss(leaf, targets), leaf)
    close(own, gradient)


def models(name: str) -> tuple[Tensor, Tensor]:
    """Three models with batches of their own, examples in columns: outputs (3, k, n) and targets (3, t, n)."""
    outputs, targets = batch(name)
    stacked = torch.cat([columns(one) for one in (outputs, outputs * 2 - 1, -outputs)])
    return stacked, torch.cat([columns(targets.roll(shift, 0)) for shift in range(3)])


@every_loss
@every_reduction
def test_columns_of_several_models(name: str, reduction: str) -> None:
    """Losses (models, n) and the gradient of one objective for each model, over all that was in ``out``."""
    loss, (outputs, targets) = make_loss(name, reduction), models(name)
    before, out = outputs.clone(), torch.full_like(outputs, torch.nan)
    loss.write_gradient(outputs, targets, out)
    losses = loss.losses(outputs, targets)
    assert torch.equal(outputs, before)
    for model in range(3):
        leaf = outputs[model].t().clone().requires_grad_()
        theirs = targets[model].t() if targets.is_floating_point() else targets[model].squeeze(0)
        per_row = LOSSES[name].reference(leaf, theirs, reduction="none").reshape(len(leaf), -1).mean(dim=1)
        (gradient,) = torch.autograd.grad(LOSSES[name].reference(leaf, theirs, reduction=reduction), leaf)
        close(losses[model], per_row.detach())
        close(out[model].t(), gradient)


@every_loss
def test_targets_in_columns_and_back(name: str) -> None:
    _, targets = batch(name)
    in_columns = columns(targets)
    assert in_columns.shape == (1, 1 if targets.dim() == 1 else targets.shape[1], 11)
    assert torch.equal(rows(in_columns.squeeze(0)), targets)
    assert in_columns.data_ptr() == targets.data_ptr()


@every_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extremes_are_finite(name: str, dtype: torch.dtype) -> None:
    loss, (outputs, targets) = make_loss(name), batch(name)
    extreme = (outputs.sign() * 1e11).to(dtype)
    targets = targets.to(dtype) if targets.is_floating_point() else targets
    gradient = loss.gradient(extreme, targets)
    assert gradient.isfinite().all()
    assert gradient.dtype == dtype
    for losses in (loss.per_example(extreme, targets), loss.losses(columns(extreme), columns(targets))):
        assert losses.isfinite().all()


@every_loss
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_an_output_that_is_not_finite_shows_in_the_losses_where_torch_shows_it(name: str, value: float) -> None:
    loss, (outputs, targets) = make_loss(name), batch(name)
    outputs[4:7, 0] = value
    expected = LOSSES[name].reference(outputs, targets, reduction="none").reshape(11, -1).isfinite().all(dim=1)
    assert not expected.all()
    assert torch.equal(loss.per_example(outputs, targets).isfinite(), expected)
    assert torch.equal(loss.losses(columns(outputs), columns(targets)).squeeze(0).isfinite(), expected)


def test_bce_of_a_sure_right_answer_is_zero_and_keeps_its_tail() -> None:
    loss = make_loss("bce")
    zero, one = torch.zeros(1, 1, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64)
    assert loss.per_example(-1e11 * one, zero).tolist() == [0.0]
    assert loss.per_example(1e11 * one, one).tolist() == [0.0]
    tail = float(torch.exp(torch.tensor(-40.0, dtype=torch.float64)))
    assert loss.per_example(40 * one, one).tolist() == pytest.approx([tail], rel=1e-12, abs=0)
    assert loss.per_example(-40 * one, zero).tolist() == pytest.approx([tail], rel=1e-12, abs=0)


def test_targets_are_encoded_for_each_loss() -> None:
    labels = torch.tensor([1, 0, 1], dtype=torch.uint8)
    assert make_loss("cross_entropy").encode_targets(labels, 2).dtype == torch.int64
    assert make_loss("bce").encode_targets(labels, 1).tolist() == [[1.0], [0.0], [1.0]]
    for name in ("mse", "mae"):
        assert make_loss(name).encode_targets(labels, 3).tolist() == [[0, 1, 0], [1, 0, 0], [0, 1, 0]]
        values = torch.tensor([[1.5], [2.0]])
        assert make_loss(name).encode_targets(values, 1) is values


@pytest.mark.parametrize(
    ("name", "labels", "n_outputs", "message"),
    [
        ("cross_entropy", [0, 3], 3, "labels from 0 to 3.* 0 to 2"),
        ("cross_entropy", [-1, 1], 3, "labels from -1 to 1"),
        ("bce", [0, 2], 1, "labels from 0 to 2.* 0 to 1"),
        ("bce", [0, 1], 2, "one logit, got 2"),
        ("mse", [0, 3], 3, "labels from 0 to 3"),
        ("mae", [0.0, 1.0], 1, r"shape \(2,\)"),
    ],
)
def test_targets_that_do_not_fit_the_outputs(name: str, labels: list[float], n_outputs: int, message: str) -> None:
    with pytest.raises(DataError, match=message):
        make_loss(name).encode_targets(torch.tensor(labels), n_outputs)


def test_correct() -> None:
    outputs = torch.tensor([[0.1, 2.0, -1.0], [3.0, 0.0, 0.0], [0.0, 0.5, 1.0]])
    labels = torch.tensor([1, 2, 2])
    for name in ("cross_entropy", "mse", "mae"):
        loss = make_loss(name)
        assert loss.correct(outputs, loss.encode_targets(labels, 3)).tolist() == [True, False, True]
    loss = make_loss("bce")
    logits = torch.tensor([[-0.1], [0.2], [-5.0], [7.0]])
    targets = loss.encode_targets(torch.tensor([0, 0, 1, 1]), 1)
    assert loss.correct(logits, targets).tolist() == [True, False, False, True]


@pytest.mark.parametrize("name", ["cross_entropy", "mse", "mae"])
def test_hits_are_those_of_argmax_also_where_values_are_equal(name: str) -> None:
    """Small whole numbers, so that most columns have their largest value more than once; numpy takes the first."""
    generator = torch.Generator().manual_seed(4)
    outputs = torch.randint(0, 3, (3, 5, 200), generator=generator).float()
    labels = torch.randint(0, 5, (3, 200), generator=generator)
    loss = make_loss(name)
    targets = torch.cat([columns(loss.encode_targets(one, 5)) for one in labels])
    called = outputs.numpy().argmax(axis=1)
    assert (called == largest_of_columns(outputs).numpy()).all()
    found = loss.hits(outputs, targets)
    assert found.dtype == torch.bool
    assert (found.numpy() == (called == labels.numpy())).all()
    assert 100 < int(found.sum()) < 500


@pytest.mark.parametrize("name", [name for name, row in LOSSES.items() if row.classes])
def test_an_example_with_a_nan_is_no_hit_whatever_its_label(name: str) -> None:
    n_outputs = LOSSES[name].outputs(3)
    loss = make_loss(name)
    for place in range(n_outputs):
        outputs = torch.zeros(3, n_outputs)
        outputs[:, place] = torch.nan
        labels = torch.arange(3).clamp(max=max(1, n_outputs - 1))
        found = loss.correct(outputs, encoded(loss, labels, n_outputs))
        # A single logit that is no number is not above 0, which calls the first class, as `predict` does.
        assert found.tolist() == ([True, False, False] if n_outputs == 1 else [False] * 3)


@pytest.mark.parametrize("name", LOSSES)
def test_no_constant_is_better_than_the_guess(name: str) -> None:
    """By scipy's minimiser, one output at a time; of logits by the entropy of the shares, ln k for equal classes."""
    loss = make_loss(name)
    if loss.section.reads == "logits":
        k = 2 if name == "bce" else 10
        width = 1 if k == 2 else k
        for labels in (torch.arange(k).repeat(3), torch.arange(k).repeat_interleave(torch.arange(1, k + 1) ** 2)):
            targets = encoded(loss, labels, width)
            guess = loss.constant_guess(targets, width).expand(len(labels), width)
            counts = labels.bincount().numpy()
            of_labels = [counts, len(labels) - counts] if targets.shape[1:] == (10,) else counts
            wanted = entropy(of_labels).mean()
            assert float(loss.per_example(guess, targets).mean()) == pytest.approx(wanted, rel=1e-6)
        return
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(301, 3, generator=generator).exp() * 3 - 2
    if name == "quantile":  # one level alone, so that every output is a column of the targets
        for level in (0.03, 0.5, 0.75):
            check_guess(make_loss(name, quantiles=[level]), values)
        return
    one_hot = loss.encode_targets(torch.randint(0, 4, (301,), generator=generator), 4)
    for targets in (values, one_hot):
        check_guess(loss, targets)


@pytest.mark.parametrize("name", ["cross_entropy", "bce"])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("weights", [[], [0.25, 3.0]])
def test_no_constant_has_a_better_objective_than_the_guess(name: str, smoothing: float, weights: list[float]) -> None:
    """With what is minimised weighted and smoothed, by scipy's minimiser over the difference of two logits."""
    loss = make_loss(name, label_smoothing=smoothing, class_weights=weights or "none")
    loss = replace(loss, class_weights=(tuple(weights),) if weights else ())
    width = 1 if name == "bce" else 2
    labels = torch.tensor([0] * 17 + [1] * 3)
    targets = loss.encode_targets(labels, width)
    guess = loss.constant_guess(targets, width)

    def cost(difference: float) -> float:
        row = torch.tensor([difference] if width == 1 else [0.0, difference], dtype=torch.float64)
        return float(loss(row.expand(20, width), targets.double() if width == 1 else targets))

    found = minimize_scalar(cost, bounds=(-10, 10), method="bounded")
    assert float(guess[-1] - (guess[0] if width == 2 else 0)) == pytest.approx(found.x, abs=1e-3)


@pytest.mark.parametrize("name", ["cross_entropy", "bce"])
def test_a_class_that_no_row_has_makes_no_guess_infinite(name: str) -> None:
    loss, width = make_loss(name), 1 if name == "bce" else 2
    guess = loss.constant_guess(encoded(loss, torch.zeros(50, dtype=torch.int64), width), width)
    other = loss.per_example(guess.expand(1, width), encoded(loss, torch.tensor([1]), width))
    assert float(other) == pytest.approx(math.log(1 + 2 * 50), rel=1e-5)


def check_guess(loss: Loss, targets: Tensor) -> None:
    guess = loss.constant_guess(targets, targets.shape[1])
    for column in range(targets.shape[1]):
        own = targets[:, column : column + 1].double()

        def cost(value: float, own: Tensor = own) -> float:
            return float(loss.per_example(torch.full_like(own, value), own).mean())

        found = minimize_scalar(cost, bounds=(float(own.min()), float(own.max())), method="bounded")
        assert cost(float(guess[column])) <= found.fun + 1e-6
