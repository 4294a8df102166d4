"""Softmax, the losses on probabilities and the broadcast bias against autograd, in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special
import torch
from sklearn.metrics import log_loss
from torch import Tensor
from torch.nn import functional

from mlptrain.errors import UserError
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


ONE = [functions.softmax, functions.softmax_jacobian, functions.bias_gradient]
TWO = [functions.softmax_vector_product, *(one for loss, gradients, _ in LOSSES for one in (loss, gradients))]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("function", [*ONE, *TWO], ids=lambda function: function.__name__)
def test_arrays_in_and_arrays_out(function: Any, dtype: Any) -> None:
    """What tensors of the same numbers give, in the array's own dtype; the arguments stay as they were."""
    given = [probabilities(5, 3, seed=seed).numpy().astype(dtype) for seed in range(1 if function in ONE else 2)]
    before = [array.copy() for array in given]
    expected = function(*map(torch.from_numpy, given))
    result = function(*given)
    for ours, theirs in zip(
        *((part if isinstance(part, tuple) else (part,)) for part in (result, expected)), strict=True
    ):
        assert isinstance(ours, np.ndarray | np.generic)
        assert ours.dtype == dtype
        np.testing.assert_array_equal(ours, theirs.numpy())
    assert all(np.array_equal(array, copy) for array, copy in zip(given, before, strict=True))


def test_arrays_against_numpy_formulas() -> None:
    z = np.random.default_rng(0).normal(size=(6, 4))
    e = np.exp(z)
    np.testing.assert_allclose(functions.softmax(z), e / e.sum(axis=1, keepdims=True), rtol=1e-14)
    np.testing.assert_allclose(functions.softmax(z), scipy.special.softmax(z, axis=1), rtol=1e-14)
    p, labels = functions.softmax(z), np.array([0, 3, 1, 1, 2, 0])
    one_hot = np.eye(4)[labels]
    assert functions.cross_entropy(p, one_hot) == pytest.approx(6 * log_loss(labels, p), rel=1e-13)
    np.testing.assert_allclose(functions.cross_entropy_with_logits_gradients(z, one_hot)[0], p - one_hot, atol=1e-15)
    assert functions.mean_squared_error(z, one_hot) == pytest.approx(((z - one_hot) ** 2).mean(), rel=1e-14)
    assert isinstance(functions.mean_squared_error(z, one_hot), np.float64)
    jacobian = functions.softmax_jacobian(z[0])
    np.testing.assert_allclose(jacobian, np.diag(p[0]) - np.outer(p[0], p[0]), atol=1e-16)


@pytest.mark.parametrize(
    "rows",
    [
        [[1, 2], [3, 5]],
        np.array([[1, 2], [3, 5]]),
        np.array([[1, 2], [3, 5]], dtype=np.uint8),
        np.array([[1, 2], [3, 5]], dtype=">f4"),
        np.array([[1, 3], [2, 5]], dtype=np.float16).T,
        np.array([[5, 3], [2, 1]])[::-1, ::-1],
    ],
    ids=["lists", "integers", "bytes", "big-endian", "float16", "backwards"],
)
def test_arrays_of_every_kind(rows: Any) -> None:
    result = functions.softmax(rows)
    assert result.dtype == np.float64
    expected = scipy.special.softmax(np.array([[1.0, 2.0], [3.0, 5.0]]), axis=1)
    np.testing.assert_allclose(result, expected)
    assert functions.mean_absolute_error(np.array([True, False]), [0.25, 0.5]) == 0.625


def test_keywords_and_function_transforms_still_work() -> None:
    p, y = probabilities(5, 3, seed=0), probabilities(5, 3, seed=1)
    by_row = torch.func.vmap(functions.binary_cross_entropy)(p, y)
    close(by_row.sum(), functions.binary_cross_entropy(target=y, prediction=p))  # type: ignore[call-overload]
    (gradient, _) = functions.binary_cross_entropy_gradients(p, y)
    close(torch.func.grad(functions.binary_cross_entropy)(p, y), gradient)


@pytest.mark.parametrize("kind", [np.asarray, torch.tensor], ids=["arrays", "tensors"])
@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        ("mean_squared_error", ([1.0, 2.0], [[1.0], [2.0]]), r"prediction has the shape \(2,\) and target \(2, 1\)"),
        ("mean_absolute_error_gradients", ([[1.0, 2.0]], [1.0, 2.0]), "expected equal shapes"),
        ("cross_entropy", ([[0.5, 0.5], [0.1, 0.9]], [0, 1]), r"one-hot rows by np\.eye\(2\)\[labels\]"),
        ("softmax", (3.0,), r"softmax: z has the shape \(\); expected \(k,\)"),
        ("softmax_jacobian", ([[], []],), r"has the shape \(2, 0\)"),
        ("softmax_vector_product", ([1.0, 2.0], [1.0]), "expected equal shapes"),
        ("bias_gradient", ([1.0, 2.0],), r"expected \(n, k\)"),
        ("mean_squared_error", ([], []), "is empty, and has no mean"),
        ("binary_cross_entropy_with_logits", ([1.0], 1.0), "expected equal shapes"),
    ],
)
def test_shapes_that_do_not_fit(kind: Any, function: str, arguments: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        getattr(functions, function)(*map(kind, arguments))


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        ("softmax", ([[1.0], [1.0, 2.0]],), "rows of different lengths"),
        ("softmax", (["a", "b"],), "expected real numbers"),
        ("softmax", (np.array([1j, 2]),), "holds complex128; expected real numbers"),
        ("softmax", ([1.0, np.nan],), "z holds NaN"),
        ("softmax", ([1.0, np.inf],), "the result is not a number"),
        ("binary_cross_entropy", ([1.2], [1.0]), "prediction has values outside 0 to 1; expected probabilities"),
        ("binary_cross_entropy_gradients", ([0.2], [2.0]), "target has values outside 0 to 1"),
        ("cross_entropy", ([[-0.1, 1.1]], [[0.0, 1.0]]), "prediction has values outside 0 to 1"),
        ("mean_squared_error", (torch.ones(2), np.ones(2)), "give two tensors or two arrays"),
        ("mean_squared_error", (np.ones(2), torch.ones(2)), "give two tensors or two arrays"),
    ],
)
def test_arrays_that_stand_for_nothing(function: str, arguments: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        getattr(functions, function)(*arguments)


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
