"""Functions that no configuration names, with analytic derivatives: softmax and the losses as textbooks have them.

Here the losses read probabilities (or logits with probabilities as targets) and are differentiated for the prediction
*and* the target. The two cross-entropies are sums over all elements, the two errors means over all elements. What
training uses are the losses of ``mlptrain.nn.losses``, which read logits.

Each ``…_gradients`` returns (dL/dprediction, dL/dtarget), both in the shape of the arguments.

All take tensors and give tensors, which autograd can follow, or take NumPy arrays or lists and give arrays: float32
stays float32, anything else is computed in float64, and a single number is a NumPy scalar. A shape that does not fit is
a UserError and never broadcast. Of arrays so are numbers that are no probabilities where those are meant, and a result
that is not a number.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, Protocol, cast, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlptrain.errors import UserError

ArrayLike = NDArray[Any] | Sequence[Any] | float
Check = Callable[[Mapping[str, Tensor]], str | None]  # what is wrong with arguments, by their names


class OfOne(Protocol):
    """A function of one tensor or array."""

    @overload
    def __call__(self, z: Tensor, /) -> Tensor: ...
    @overload
    def __call__(self, z: ArrayLike, /) -> NDArray[Any]: ...


class OfTwo(Protocol):
    """A function of two tensors or arrays of one shape."""

    @overload
    def __call__(self, prediction: Tensor, target: Tensor, /) -> Tensor: ...
    @overload
    def __call__(self, prediction: ArrayLike, target: ArrayLike, /) -> NDArray[Any]: ...


class Gradients(Protocol):
    """The derivatives of a loss for prediction and target."""

    @overload
    def __call__(self, prediction: Tensor, target: Tensor, /) -> tuple[Tensor, Tensor]: ...
    @overload
    def __call__(self, prediction: ArrayLike, target: ArrayLike, /) -> tuple[NDArray[Any], NDArray[Any]]: ...


def _rows(arguments: Mapping[str, Tensor]) -> str | None:
    """Softmax runs along an axis."""
    name, z = next(iter(arguments.items()))
    return None if z.dim() and z.shape[-1] else f"{name} has the shape {_shape(z)}; expected (k,) or (…, k)"


def _matrix(arguments: Mapping[str, Tensor]) -> str | None:
    [(name, given)] = arguments.items()
    return None if given.dim() == 2 else f"{name} has the shape {_shape(given)}; expected (n, k)"


def _one_shape(arguments: Mapping[str, Tensor]) -> str | None:
    (first, a), (second, b) = arguments.items()
    if a.shape == b.shape:
        return None
    labels = a.dim() == b.dim() + 1 and a.shape[:-1] == b.shape
    hint = f"; labels become one-hot rows by np.eye({a.shape[-1]})[labels]" if labels and a.shape[-1] > 1 else ""
    return f"{first} has the shape {_shape(a)} and {second} {_shape(b)}; expected equal shapes{hint}"


def _rows_of_one_shape(arguments: Mapping[str, Tensor]) -> str | None:
    return _one_shape(arguments) or _rows(arguments)


def _some_of_one_shape(arguments: Mapping[str, Tensor]) -> str | None:
    """A mean needs something to be the mean of."""
    empty = next((name for name, given in arguments.items() if not given.numel()), None)
    return _one_shape(arguments) or (empty and f"{empty} is empty, and has no mean")


def _probabilities(arguments: Mapping[str, Tensor]) -> str | None:
    """Numbers from 0 to 1, all of them."""
    for name, given in arguments.items():
        if bool(((given < 0) | (given > 1)).any()):
            return f"{name} has values outside 0 to 1; expected probabilities (for logits there is …_with_logits)"
    return None


def _probable_prediction(arguments: Mapping[str, Tensor]) -> str | None:
    """The target may be any weights of the classes."""
    return _probabilities({"prediction": arguments["prediction"]})


def _shape(tensor: Tensor) -> str:
    return str(tuple(tensor.shape))


def _over_arrays(function: Callable[..., Any], shapes: Check, values: Check | None = None) -> Callable[..., Any]:
    """Lets a function of tensors take arrays too; ``shapes`` is asked of both, ``values`` of arrays alone.

    Tensors are not asked for their values, which ``torch.func.vmap`` could not follow.
    """
    signature = inspect.signature(function)

    @wraps(function)
    def call(*args: Any, **named: Any) -> Any:
        given = signature.bind(*args, **named).arguments
        if all(isinstance(value, Tensor) for value in given.values()):
            _refuse(function, shapes(given))
            return function(**given)
        tensors = {name: _tensor(function, name, value) for name, value in given.items()}
        _refuse(function, shapes(tensors) or (values and values(tensors)))
        result = function(**tensors)
        return (
            tuple(_array(function, part) for part in result) if isinstance(result, tuple) else _array(function, result)
        )

    return call


def _tensor(function: Callable[..., Any], name: str, value: Any) -> Tensor:
    """A copy of an array or a list. Raises UserError for anything but numbers."""
    if isinstance(value, Tensor):
        _refuse(function, f"{name} is a tensor and another argument is not; give two tensors or two arrays")
    try:
        array = np.asarray(value)
    except ValueError:
        _refuse(function, f"{name} has rows of different lengths; expected an array of numbers")
    if array.dtype.kind not in "biuf":
        _refuse(function, f"{name} holds {array.dtype}; expected real numbers")
    if bool(np.isnan(array).any()):
        _refuse(function, f"{name} holds NaN; expected numbers")
    dtype = np.float32 if array.dtype == np.float32 else np.float64
    return torch.from_numpy(np.array(array, dtype=dtype, order="C"))


def _array(function: Callable[..., Any], result: Tensor) -> Any:
    """A NumPy array, or a scalar for shape ()."""
    if bool(result.isnan().any()):
        _refuse(function, "the result is not a number at these values")
    return result.numpy()[()]


def _refuse(function: Callable[..., Any], reason: str | None) -> None:
    if reason is not None:
        raise UserError(f"{function.__name__}: {reason}")


def _of_one(shapes: Check) -> Callable[[Callable[[Tensor], Tensor]], OfOne]:
    return lambda function: cast(OfOne, _over_arrays(function, shapes))


def _of_two(shapes: Check, values: Check | None = None) -> Callable[[Callable[[Tensor, Tensor], Tensor]], OfTwo]:
    return lambda function: cast(OfTwo, _over_arrays(function, shapes, values))


def _gradients(
    shapes: Check, values: Check | None = None
) -> Callable[[Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]], Gradients]:
    return lambda function: cast(Gradients, _over_arrays(function, shapes, values))


@_of_one(_rows)
def softmax(z: Tensor) -> Tensor:
    """e^(zᵢ) / Σⱼ e^(zⱼ) along the last axis, any leading shape.

    The row's maximum is subtracted first, which changes nothing in exact arithmetic and keeps every exponent at or
    below 0, so that no finite z overflows.
    """
    exponentials = torch.exp(z - z.amax(dim=-1, keepdim=True))
    return exponentials / exponentials.sum(dim=-1, keepdim=True)


@_of_one(_rows)
def softmax_jacobian(z: Tensor) -> Tensor:
    """∂softmaxᵢ/∂zⱼ = sᵢ(δᵢⱼ − sⱼ): from (…, k) to (…, k, k), symmetric, with rows that sum to 0."""
    s = softmax(z)
    return torch.diag_embed(s) - s.unsqueeze(-1) * s.unsqueeze(-2)


@_of_two(_rows_of_one_shape)
def softmax_vector_product(z: Tensor, upstream: Tensor) -> Tensor:
    """The Jacobian of softmax times ``upstream``, both (…, k), without the k × k matrix: s·(u − Σⱼ sⱼuⱼ)."""
    s = softmax(z)
    return s * (upstream - (s * upstream).sum(dim=-1, keepdim=True))


@_of_one(_matrix)
def bias_gradient(upstream: Tensor) -> Tensor:
    """The gradient of (X + b) for a row b that is broadcast over the rows of X: (n, k) summed over rows, (k,)."""
    return upstream.sum(dim=0)


@_of_two(_one_shape, _probabilities)
def binary_cross_entropy(prediction: Tensor, target: Tensor) -> Tensor:
    """−Σ (y·log p + (1 − y)·log(1 − p)) with 0·log 0 = 0; p and y in [0, 1], of one shape; shape ()."""
    return -(torch.xlogy(target, prediction) + torch.xlogy(1 - target, 1 - prediction)).sum() + 0.0


@_gradients(_one_shape, _probabilities)
def binary_cross_entropy_gradients(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """∂/∂p = (1 − y)/(1 − p) − y/p and ∂/∂y = log(1 − p) − log p.

    A term whose numerator is 0 is 0, whatever its denominator.
    """
    for_prediction = _quotient(1 - target, 1 - prediction) - _quotient(target, prediction)
    return for_prediction, torch.log1p(-prediction) - torch.log(prediction)


@_of_two(_one_shape)
def binary_cross_entropy_with_logits(logits: Tensor, target: Tensor) -> Tensor:
    """Σ log(1 + eᶻ) − y·z, which is ``binary_cross_entropy`` of σ(z); shape ().

    Written as y·log(1 + e⁻ᶻ) + (1 − y)·log(1 + eᶻ): both terms are stable and neither is negative, so nothing
    overflows or cancels.
    """
    zero = logits.new_zeros(())
    return (target * torch.logaddexp(-logits, zero) + (1 - target) * torch.logaddexp(logits, zero)).sum()


@_gradients(_one_shape)
def binary_cross_entropy_with_logits_gradients(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """∂/∂z = σ(z) − y and ∂/∂y = −z."""
    return torch.sigmoid(logits) - target, -logits


@_of_two(_rows_of_one_shape, _probable_prediction)
def cross_entropy(prediction: Tensor, target: Tensor) -> Tensor:
    """−Σ y·log p over all rows and classes with 0·log 0 = 0; both (…, k), target rows often one-hot; shape ()."""
    return -torch.xlogy(target, prediction).sum() + 0.0


@_gradients(_rows_of_one_shape, _probable_prediction)
def cross_entropy_gradients(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """∂/∂p = −y/p, 0 where y is 0, and ∂/∂y = −log p."""
    return -_quotient(target, prediction), -torch.log(prediction)


@_of_two(_rows_of_one_shape)
def cross_entropy_with_logits(logits: Tensor, target: Tensor) -> Tensor:
    """``cross_entropy`` of softmax(z), by −Σ y·(z − log Σⱼ e^(zⱼ)); shape ()."""
    return -(target * torch.log_softmax(logits, dim=-1)).sum() + 0.0


@_gradients(_rows_of_one_shape)
def cross_entropy_with_logits_gradients(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """∂/∂z = softmax(z)·Σⱼyⱼ − y, where the sum is 1 for probabilities, and ∂/∂y = −log softmax(z)."""
    for_logits = softmax(logits) * target.sum(dim=-1, keepdim=True) - target
    return for_logits, -torch.log_softmax(logits, dim=-1)


@_of_two(_some_of_one_shape)
def mean_squared_error(prediction: Tensor, target: Tensor) -> Tensor:
    """The mean of (p − y)² over all elements; (n,) or (n, t); shape ()."""
    return (prediction - target).square().mean()


@_gradients(_some_of_one_shape)
def mean_squared_error_gradients(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """∂/∂p = 2(p − y)/N and ∂/∂y = −∂/∂p, N the number of elements."""
    gradient = (prediction - target) * (2 / prediction.numel())
    return gradient, -gradient


@_of_two(_some_of_one_shape)
def mean_absolute_error(prediction: Tensor, target: Tensor) -> Tensor:
    """The mean of |p − y| over all elements; (n,) or (n, t); shape ()."""
    return (prediction - target).abs().mean()


@_gradients(_some_of_one_shape)
def mean_absolute_error_gradients(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """∂/∂p = sign(p − y)/N, 0 at p = y, and ∂/∂y = −∂/∂p, N the number of elements."""
    gradient = torch.sign(prediction - target) / prediction.numel()
    return gradient, -gradient


def _quotient(numerator: Tensor, denominator: Tensor) -> Tensor:
    return torch.where(numerator == 0, torch.zeros_like(numerator), numerator / denominator)
