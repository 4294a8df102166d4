"""Functions that no configuration names, with analytic derivatives: softmax and the losses as textbooks have them.

Here the losses read probabilities (or logits with probabilities as targets) and are differentiated for the prediction
*and* the target. The two cross-entropies are sums over all elements, the two errors means over all elements. What
training uses are the losses of ``mlptrain.nn.losses``, which read logits.

Each ``…_gradients`` returns (dL/dprediction, dL/dtarget), both in the shape of the arguments.
"""

from __future__ import annotations

import torch
from torch import Tensor


def softmax(z: Tensor) -> Tensor:
    """e^(zᵢ) / Σⱼ e^(zⱼ) along the last axis, any leading shape.

    The row's maximum is subtracted first, which changes nothing in exact arithmetic and keeps every exponent at or
    below 0, so that no finite z overflows.
    """
    exponentials = torch.exp(z - z.amax(dim=-1, keepdim=True))
    return exponentials / exponentials.sum(dim=-1, keepdim=True)


def softmax_jacobian(z: Tensor) -> Tensor:
    """∂softmaxᵢ/∂zⱼ = sᵢ(δᵢⱼ − sⱼ): from (…, k) to (…, k, k), symmetric, with rows that sum to 0."""
    s = softmax(z)
    return torch.diag_embed(s) - s.unsqueeze(-1) * s.unsqueeze(-2)


def softmax_vector_product(z: Tensor, upstream: Tensor) -> Tensor:
    """The Jacobian of softmax times ``upstream``, both (…, k), without the k × k matrix: s·(u − Σⱼ sⱼuⱼ)."""
    s = softmax(z)
    return s * (upstream - (s * upstream).sum(dim=-1, keepdim=True))


def bias_gradient(upstream: Tensor) -> Tensor:
    """The gradient of (X + b) for a row b that is broadcast over the rows of X: (n, k) summed over rows, (k,)."""
    return upstream.sum(dim=0)


def binary_cross_entropy(prediction: Tensor, target: Tensor) -> Tensor:
    """−Σ (y·log p + (1 − y)·log(1 − p)) with 0·log 0 = 0; p and y in [0, 1], of one shape; shape ()."""
    return -(torch.xlogy(target, prediction) + torch.xlogy(1 - target, 1 - prediction)).sum() + 0.0


def binary_cross_entropy_gradients(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """∂/∂p = (1 − y)/(1 − p) − y/p and ∂/∂y = log(1 − p) − log p.

    A term whose numerator is 0 is 0, whatever its denominator.
    """
    for_prediction = _quotient(1 - target, 1 - prediction) - _quotient(target, prediction)
    return for_prediction, torch.log1p(-prediction) - torch.log(prediction)


def binary_cross_entropy_with_logits(logits: Tensor, target: Tensor) -> Tensor:
    """Σ log(1 + eᶻ) − y·z, which is ``binary_cross_entropy`` of σ(z); shape ().

    Written as y·log(1 + e⁻ᶻ) + (1 − y)·log(1 + eᶻ): both terms are stable and neither is negative, so nothing
    overflows or cancels.
    """
    zero = logits.new_zeros(())
    return (target * torch.logaddexp(-logits, zero) + (1 - target) * torch.logaddexp(logits, zero)).sum()


def binary_cross_entropy_with_logits_gradients(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """∂/∂z = σ(z) − y and ∂/∂y = −z."""
    return torch.sigmoid(logits) - target, -logits


def cross_entropy(prediction: Tensor, target: Tensor) -> Tensor:
    """−Σ y·log p over all rows and classes with 0·log 0 = 0; both (…, k), target rows often one-hot; shape ()."""
    return -torch.xlogy(target, prediction).sum() + 0.0


def cross_entropy_gradients(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """∂/∂p = −y/p, 0 where y is 0, and ∂/∂y = −log p."""
    return -_quotient(target, prediction), -torch.log(prediction)


def cross_entropy_with_logits(logits: Tensor, target: Tensor) -> Tensor:
    """``cross_entropy`` of softmax(z), by −Σ y·(z − log Σⱼ e^(zⱼ)); shape ()."""
    return -(target * torch.log_softmax(logits, dim=-1)).sum() + 0.0


def cross_entropy_with_logits_gradients(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """∂/∂z = softmax(z)·Σⱼyⱼ − y, where the sum is 1 for probabilities, and ∂/∂y = −log softmax(z)."""
    for_logits = softmax(logits) * target.sum(dim=-1, keepdim=True) - target
    return for_logits, -torch.log_softmax(logits, dim=-1)


def mean_squared_error(prediction: Tensor, target: Tensor) -> Tensor:
    """The mean of (p − y)² over all elements; (n,) or (n, t); shape ()."""
    return (prediction - target).square().mean()


def mean_squared_error_gradients(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """∂/∂p = 2(p − y)/N and ∂/∂y = −∂/∂p, N the number of elements."""
    gradient = (prediction - target) * (2 / prediction.numel())
    return gradient, -gradient


def mean_absolute_error(prediction: Tensor, target: Tensor) -> Tensor:
    """The mean of |p − y| over all elements; (n,) or (n, t); shape ()."""
    return (prediction - target).abs().mean()


def mean_absolute_error_gradients(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """∂/∂p = sign(p − y)/N, 0 at p = y, and ∂/∂y = −∂/∂p, N the number of elements."""
    gradient = torch.sign(prediction - target) / prediction.numel()
    return gradient, -gradient


def _quotient(numerator: Tensor, denominator: Tensor) -> Tensor:
    return torch.where(numerator == 0, torch.zeros_like(numerator), numerator / denominator)
