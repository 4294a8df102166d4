"""Softmax, the losses on probabilities and the broadcast bias against autograd, in float64."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from mlptrain.nn import functions

Gradients = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-14)


def test_softmax() -> None:
    close(functions.softmax(draw(7, 5) * 3), functional.softmax(draw(7, 5) * 3, dim=-1))
    huge = functions.softmax(torch.tensor([[1e300, 1e300, -1e300], [-1e4, 0.0, 1e4]], dtype=torch.float64))
    assert huge.tolist() == [[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]


def test_softmax_jacobian() -> None:
    z = draw(6) * 2
    expected = torch.func.jacrev(lambda z: functional.softmax(z, dim=-1))(z)
    close(functions.softmax_jacobian(z), expected)
    rows, upstream = draw(4, 6), draw(4, 6, seed=1)
    by_row = torch.einsum("nij,nj->ni", functions.softmax_jacobian(rows), upstream)
    leaf = rows.clone().requires_grad_()
    (product,) = torch.autograd.grad(functional.softmax(leaf, dim=-1), leaf, upstream)
    close(by_row, product)
    close(functions.softmax_vector_product(rows, upstream), product)


def test_bias_gradient_is_the_sum_over_rows() -> None:
    x, upstream, y = draw(8, 3), draw(8, 3, seed=1), draw(3, seed=2).requires_grad_()
    (expected,) = torch.autograd.grad(x + y, y, upstream)
    assert torch.equal(functions.bias_gradient(upstream), expected)


def probabilities(*shape: int, seed: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 0.98 + 0.01


# A loss, its gradients and what it has to equal.
LOSSES: list[tuple[Callable[[Tensor, Tensor], Tensor], Gradients, Callable[[Tensor, Tensor], Tensor]]] = [
    (
        functions.binary_cross_entropy,
        functions.binary_cross_entropy_gradients,
        lambda p, y: -(y * p.log() + (1 - y) * (1 - p).log()).sum(),
    ),
    (
        functions.binary_cross_entropy_with_logits,
        functions.binary_cross_entropy_with_logits_gradients,
        lambda z, y: functional.binary_cross_entropy_with_logits(z, y, reduction="sum"),
    ),
    (functions.cross_entropy, functions.cross_entropy_gradients, lambda p, y: -(y * p.log()).sum()),
    (
        functions.cross_entropy_with_logits,
        functions.cross_entropy_with_logits_gradients,
        lambda z, y: -(y * functional.log_softmax(z, dim=-1)).sum(),
    ),
    (functions.mean_squared_error, functions.mean_squared_error_gradients, functional.mse_loss),
    (functions.mean_absolute_error, functions.mean_absolute_error_gradients, functional.l1_loss),
]


@pytest.mark.parametrize("shape", [(9,), (9, 4)], ids=["one target", "four targets"])
@pytest.mark.parametrize(("loss", "gradients", "reference"), LOSSES, ids=[entry[0].__name__ for entry in LOSSES])
def test_losses_and_both_gradients(
    loss: Callable[[Tensor, Tensor], Tensor],
    gradients: Gradients,
    reference: Callable[[Tensor, Tensor], Tensor],
    shape: tuple[int, ...],
) -> None:
    prediction = probabilities(*shape, seed=0).requires_grad_()
    target = probabilities(*shape, seed=1).requires_grad_()
    expected = reference(prediction, target)
    close(loss(prediction, target), expected)
    for by_hand, automatic in zip(
        gradients(prediction.detach(), target.detach()),
        torch.autograd.grad(expected, (prediction, target)),
        strict=True,
    ):
        close(by_hand, automatic)


def test_losses_at_certain_and_nearly_certain_probabilities() -> None:
    def single(value: float) -> Tensor:
        return torch.tensor([value], dtype=torch.float64)

    assert float(functions.binary_cross_entropy(single(1e-18), single(0.0))) == 0.0
    for certain in (0.0, 1.0):
        assert str(float(functions.binary_cross_entropy(single(certain), single(certain)))) == "0.0"
        for_prediction, _ = functions.binary_cross_entropy_gradients(single(certain), single(certain))
        assert float(for_prediction) == 1 - 2 * certain
    one_hot = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    assert float(functions.cross_entropy(one_hot, one_hot)) == 0.0
    assert functions.cross_entropy_gradients(one_hot, one_hot)[0].tolist() == [[0.0, -1.0]]


def test_binary_cross_entropy_with_logits_at_the_extreme_where_the_naive_formula_is_nan() -> None:
    z, y = torch.tensor([-1e11], dtype=torch.float64), torch.tensor([0.0], dtype=torch.float64)
    p = torch.sigmoid(z)
    assert torch.isnan(-(y * p.log() + (1 - y) * (1 - p).log()))
    assert float(functions.binary_cross_entropy_with_logits(z, y)) == 0.0
    assert float(functions.binary_cross_entropy_with_logits(-z, y)) == 1e11


def test_logistic_regression_by_hand() -> None:
    """σ(σ(X W₁) w₂) with five inputs and six hidden units, no biases, and the mean logistic loss."""
    x, y = draw(20, 5), (draw(20, seed=1) > 0).double()
    w1, w2 = draw(5, 6, seed=2), draw(6, seed=3)
    hidden = torch.sigmoid(x @ w1)
    for_logits, _ = functions.binary_cross_entropy_with_logits_gradients(hidden @ w2, y)
    delta = for_logits / len(y)
    for_w2 = hidden.T @ delta
    for_w1 = x.T @ (torch.outer(delta, w2) * hidden * (1 - hidden))

    leaves = w1.clone().requires_grad_(), w2.clone().requires_grad_()
    prediction = torch.sigmoid(torch.sigmoid(x @ leaves[0]) @ leaves[1])
    expected = torch.autograd.grad(functional.binary_cross_entropy(prediction, y), leaves)
    close(for_w1, expected[0])
    close(for_w2, expected[1])
