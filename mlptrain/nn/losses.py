"""The losses of a configuration on a network's outputs, each with its analytic gradient.

Shapes: ``outputs`` (n, k), one row per example; ``targets`` in the form that ``encode_targets`` gives. The training
step has the examples in columns, for any number of models: outputs (models, k, n) and targets (models, t, n), t = 1 for
labels and else k, as ``columns`` makes them. Sums over the classes then run over whole vectors: softmax for 125
examples of ten classes takes 4 µs in columns and 15 µs in rows (2-core AMD EPYC).

The reduction is that of torch.nn.functional: ``mean`` divides by the number of examples (cross-entropies) or of
elements (mse, mae), ``sum`` divides by nothing. ``per_example`` does not depend on it, so metrics of two runs compare.
"""

# ruff: noqa: D102, ARG002 – the base class describes the methods, and few of them read every argument

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from mlptrain.errors import DataError
from mlptrain.spec import loss
from mlptrain.spec.base import Section
from mlptrain.spec.loss import LossSpec


@dataclass(frozen=True)
class Loss(ABC):
    """What is minimised over a batch, and what is reported of it.

    Calling a loss gives the objective, reduced as its section says; ``per_example`` is what metrics are means of.
    """

    section: LossSpec

    @abstractmethod
    def encode_targets(self, y: Tensor, n_outputs: int) -> Tensor:
        """Labels or target values (n, …) in the form the loss reads; once per data set, not per step.

        Raises DataError where labels are outside the range that ``n_outputs`` allows.
        """

    def per_example(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss of every row, (n,); for mse and mae the mean over the row. Autograd can follow."""
        return self.losses(columns(outputs), columns(targets)).squeeze(0)

    def constant_guess(self, targets: Tensor, n_outputs: int) -> Tensor:
        """Outputs (n_outputs,) that ignore the inputs: of logits equal probabilities, else the best for targets (n, k).

        Its mean loss is what a network that learnt nothing reaches: ln k for cross-entropy, the variance for mse.
        """
        return torch.zeros(n_outputs, device=targets.device)

    @abstractmethod
    def write_gradient(self, outputs: Tensor, targets: Tensor, out: Tensor) -> None:
        """Write d objective / d outputs into ``out``, examples in columns, every model with an objective of its own.

        Does not wait for the device and keeps ``outputs`` as they are.
        """

    @abstractmethod
    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """``per_example`` of examples in columns: (models, k, n) to (models, n)."""

    @abstractmethod
    def hits(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """``correct`` of examples in columns: (models, k, n) to bool (models, n)."""

    def correct(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Whether every row is classified right, bool (n,); has no meaning for regression targets."""
        return self.hits(columns(outputs), columns(targets)).squeeze(0)

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The objective, of shape (), which autograd can differentiate."""
        losses = self.per_example(outputs, targets)
        return losses.mean() if self.section.reduction == "mean" else losses.sum() * self._terms(outputs)

    def gradient(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """d objective / d outputs, (n, k), without autograd."""
        out = torch.empty_like(outputs)
        self.write_gradient(columns(outputs), columns(targets), columns(out))
        return out

    def sides_of_kinks(self, outputs: Tensor, targets: Tensor) -> list[Tensor]:
        """On which side of every point where a derivative jumps each output lies, bool (n, k) each."""
        return []

    def _terms(self, outputs: Tensor) -> int:
        """How many terms of the objective one example stands for; outputs in columns or rows of equal k."""
        return 1

    def _scale_(self, out: Tensor, factor: float = 1.0) -> None:
        """Multiply gradients (models, k, n) by ``factor`` and by what the reduction multiplies every term with."""
        if self.section.reduction == "mean":
            factor /= out.shape[-1] * self._terms(out)
        if factor != 1:
            out.mul_(_constant(factor, (), out.dtype, out.device))  # 1 µs faster than by a number


@dataclass(frozen=True)
class CrossEntropy(Loss):
    """−z_t + log Σⱼ e^(zⱼ) for the label t of the row; the gradient is softmax(z) − onehot(t).

    Bishop, Pattern Recognition and Machine Learning (2006), section 4.3.4. Targets: labels, int64 (n,).
    """

    def encode_targets(self, y: Tensor, n_outputs: int) -> Tensor:
        return _checked_labels(y, n_outputs)

    def per_example(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(outputs, targets, reduction="none")

    def write_gradient(self, outputs: Tensor, targets: Tensor, out: Tensor) -> None:
        torch.softmax(outputs, dim=-2, out=out)
        out.scatter_add_(-2, targets, _constant(-1.0, targets.shape, out.dtype, out.device))
        self._scale_(out)

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        largest = outputs.amax(dim=-2, keepdim=True)
        totals = (outputs - largest).exp_().sum(dim=-2, keepdim=True)
        # The large numbers first: they leave nothing of a logarithm that is added to one of them.
        return totals.log_().add_(largest - outputs.gather(-2, targets)).squeeze(-2)

    def hits(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return largest_of_columns(outputs) == targets.squeeze(-2)


@dataclass(frozen=True)
class BinaryCrossEntropy(Loss):
    """log(1 + eᶻ) − y·z for one logit z and y in {0, 1}; the gradient is σ(z) − y.

    Computed as y·log(1 + e⁻ᶻ) + (1 − y)·log(1 + eᶻ): both terms are stable and neither is negative, so nothing
    overflows or cancels. Targets: float (n, 1).
    """

    def encode_targets(self, y: Tensor, n_outputs: int) -> Tensor:
        if n_outputs != 1:
            raise DataError(f"the loss 'bce' reads one logit, got {n_outputs} outputs; use 'cross_entropy' for those")
        return _checked_labels(y, 2).to(torch.get_default_dtype()).unsqueeze(1)

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        zero = outputs.new_zeros(())
        losses = targets * torch.logaddexp(-outputs, zero) + (1 - targets) * torch.logaddexp(outputs, zero)
        return losses.squeeze(-2)

    def write_gradient(self, outputs: Tensor, targets: Tensor, out: Tensor) -> None:
        torch.sigmoid(outputs, out=out).sub_(targets)
        self._scale_(out)

    def hits(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return ((outputs > 0) == (targets > 0.5)).squeeze(-2)


@dataclass(frozen=True)
class _Difference(Loss):
    """What the losses on differences share; targets: one-hot rows for classes, else the values, float (n, k)."""

    def encode_targets(self, y: Tensor, n_outputs: int) -> Tensor:
        if not y.is_floating_point():
            labels = _checked_labels(y, n_outputs)
            return functional.one_hot(labels, n_outputs).to(torch.get_default_dtype())
        if y.shape[1:] != (n_outputs,):
            raise DataError(
                f"targets of shape {tuple(y.shape)} for {n_outputs} outputs: the second size must be {n_outputs}"
            )
        return y

    def hits(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return largest_of_columns(outputs) == largest_of_columns(targets)

    def _terms(self, outputs: Tensor) -> int:
        return outputs.shape[-2] if outputs.dim() == 3 else outputs.shape[-1]


@dataclass(frozen=True)
class MeanSquaredError(_Difference):
    """(p − y)²; the gradient is 2(p − y)."""

    def constant_guess(self, targets: Tensor, n_outputs: int) -> Tensor:
        return targets.mean(dim=0, dtype=torch.float64).to(targets.dtype)

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs - targets).square().mean(dim=-2)

    def write_gradient(self, outputs: Tensor, targets: Tensor, out: Tensor) -> None:
        torch.sub(outputs, targets, out=out)
        self._scale_(out, 2.0)


@dataclass(frozen=True)
class MeanAbsoluteError(_Difference):
    """|p − y|; the gradient is sign(p − y), 0 where p = y."""

    def constant_guess(self, targets: Tensor, n_outputs: int) -> Tensor:
        return targets.median(dim=0).values

    def sides_of_kinks(self, outputs: Tensor, targets: Tensor) -> list[Tensor]:
        return [outputs > targets]

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs - targets).abs().mean(dim=-2)

    def write_gradient(self, outputs: Tensor, targets: Tensor, out: Tensor) -> None:
        torch.sub(outputs, targets, out=out).sign_()
        self._scale_(out)


@dataclass(frozen=True)
class Huber(_Difference):
    """Huber (1964): squared near the target, linear beyond delta; the gradient is p − y, cut at ±delta."""

    section: loss.Huber

    def sides_of_kinks(self, outputs: Tensor, targets: Tensor) -> list[Tensor]:
        """Here the second derivative jumps, from 1 to 0, where the first may be as small as delta."""
        delta = self.section.delta
        return [outputs - targets > delta, outputs - targets < -delta]

    def constant_guess(self, targets: Tensor, n_outputs: int) -> Tensor:
        low, high = targets.amin(dim=0).double(), targets.amax(dim=0).double()
        for _ in range(60):  # halves of where the summed gradient, which rises with the guess, changes its sign
            middle = (low + high) / 2
            rising = (middle - targets).clamp(-self.section.delta, self.section.delta).sum(dim=0) > 0
            low, high = torch.where(rising, low, middle), torch.where(rising, middle, high)
        return low.to(targets.dtype)

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        distance = (outputs - targets).abs()
        near = distance.clamp(max=self.section.delta)
        return (near * (distance - near / 2)).mean(dim=-2)

    def write_gradient(self, outputs: Tensor, targets: Tensor, out: Tensor) -> None:
        delta = self.section.delta
        torch.sub(outputs, targets, out=out).clamp_(-delta, delta)
        self._scale_(out)


@cache
def _constant(value: float, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """A number in every place of a tensor that takes up one; making it each time would cost a small product.

    Kept for good: a captured CUDA graph reads it at its address.
    """
    return torch.full((), value, dtype=dtype, device=device).expand(shape)


def columns(rows: Tensor) -> Tensor:
    """Outputs or targets (n, …) of one model with the examples in columns, (1, k, n), as a view; labels give k = 1."""
    return (rows.unsqueeze(1) if rows.dim() == 1 else rows).t().unsqueeze(0)


def rows(one_model: Tensor) -> Tensor:
    """Targets of one model in columns, (t, n), as ``encode_targets`` gives them; the inverse of ``columns``."""
    return one_model.t() if one_model.is_floating_point() else one_model.squeeze(0)


def largest_of_columns(values: Tensor) -> Tensor:
    """Index of the largest value of every column, the first of equals: (models, k, n) to (models, n).

    What argmax gives, whose kernel takes 0.15 µs per example and this 0.01 (2-core AMD EPYC). k where a value is nan.
    """
    k = values.shape[-2]
    countdown = torch.arange(k, 0, -1, dtype=torch.int32, device=values.device).unsqueeze(1)
    return k - ((values == values.amax(dim=-2, keepdim=True)) * countdown).amax(dim=-2)


def _checked_labels(y: Tensor, n_classes: int) -> Tensor:
    lowest, highest = (int(value) for value in torch.aminmax(y))
    if lowest < 0 or highest >= n_classes:
        raise DataError(f"labels from {lowest} to {highest}, but the network's outputs stand for 0 to {n_classes - 1}")
    return y.long()


LOSSES: dict[type[Section], type[Loss]] = {  # by the sections of the same names
    getattr(loss, kind.__name__): kind
    for kind in (CrossEntropy, BinaryCrossEntropy, MeanSquaredError, MeanAbsoluteError, Huber)
}


def make_loss(section: LossSpec) -> Loss:
    """The loss of a section."""
    return LOSSES[type(section)](section)
