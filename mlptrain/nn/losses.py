"""The losses of a configuration on a network's outputs, each with its analytic gradient.

Shapes: ``outputs`` (n, k), one row per example; ``targets`` in the form that ``encode_targets`` gives. The training
step has the examples in columns, for any number of models: outputs (models, k, n) and targets (models, t, n), t = 1 for
labels and else k, as ``columns`` makes them. Sums over the classes then run over whole vectors: softmax for 125
examples of ten classes takes 4 µs in columns and 15 µs in rows (2-core AMD EPYC).

The reduction is that of torch.nn.functional: ``mean`` divides by the number of examples (cross-entropies of classes) or
of elements (all others), ``sum`` divides by nothing. ``per_example`` does not depend on it, so metrics of two runs
compare.

What is reported is the plain loss. What is minimised may be smoothed, and weighted by class: ``terms`` are then its
losses, and a mean divides by the sum of the examples' weights, as torch.nn.functional.cross_entropy does. Examples that
have weights of their own bring them along as the last of their targets; see ``SampleWeighted``.
"""

# ruff: noqa: D102, ARG002 – the base class describes the methods, and few of them read every argument

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from mlptrain.errors import DataError
from mlptrain.nn.targets import TargetScaling, restored
from mlptrain.spec import loss
from mlptrain.spec.base import Section
from mlptrain.spec.loss import LossSpec


@dataclass(frozen=True)
class Loss(ABC):
    """What is minimised over a batch, and what is reported of it.

    Calling a loss gives the objective, reduced as its section says; ``per_example`` is what metrics are means of.
    ``class_weights`` are those that its section asks for, of each class, a row for every model; one row is that of all.
    ``smoothing`` is the label smoothing of every model, where several train together and theirs differ; the section is
    that of one of them then. As the weights are ``scalings``, where the targets of a regression are scaled: the
    objective and its gradient are of scaled targets, and all that is reported of ``restored`` ones.
    """

    section: LossSpec
    class_weights: tuple[tuple[float, ...], ...] = ()
    scalings: tuple[TargetScaling, ...] = ()
    smoothing: tuple[float, ...] = ()
    by_element: ClassVar[bool] = True  # whether the reduction is over all outputs, and not over the examples
    reads_labels: ClassVar[bool] = False  # whether encoded classes are int64 rather than numbers

    @cached_property
    def is_plain(self) -> bool:
        """Whether the objective is made of the losses that are reported, neither smoothed nor weighted."""
        return self.section.is_plain and not any(self.smoothing)

    def of_model(self, index: int) -> Loss:
        """With the class weights, smoothing and target scaling of one model alone."""
        weights, scalings = self.class_weights, self.scalings
        if len(weights) < 2 and len(scalings) < 2 and not self.smoothing:
            return self
        of_one, section = slice(index, index + 1), self.section
        if self.smoothing:
            section = section.model_copy(update={"label_smoothing": self.smoothing[index]})
        return replace(
            self,
            section=section,
            smoothing=(),
            class_weights=weights[of_one] if len(weights) > 1 else weights,
            scalings=scalings[of_one] if len(scalings) > 1 else scalings,
        )

    def encoded(self, y: Tensor, n_outputs: int) -> Tensor:
        """``encode_targets`` of what this loss of one model is trained on: targets that are scaled, where they are."""
        return self.encode_targets(self.scalings[0].scaled(y) if self.scalings else y, n_outputs)

    def restored(self, values: Tensor) -> Tensor:
        """Outputs or targets of models in columns, (models, k, n), in the own unit of the targets."""
        return restored(self.scalings, values) if self.scalings else values

    def in_unit(self, values: Tensor) -> Tensor:
        """``restored`` of one model's rows, (n, k)."""
        return self.scalings[0].restored(values) if self.scalings else values

    def restored_targets(self, targets: Tensor) -> Tensor:
        """Targets of models in columns in their own unit; with weights, where they have some."""
        return self.restored(targets)

    def in_unit_targets(self, targets: Tensor) -> Tensor:
        """``restored_targets`` of one model's rows."""
        return self.in_unit(targets)

    def reported(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """``losses`` in the own unit of the targets."""
        return self.losses(self.restored(outputs), self.restored_targets(targets))

    def parted(self, targets: Tensor) -> tuple[Tensor, Tensor | None]:
        """Targets of one model's rows (n, …) without sample weights, and these (n,), None where there are none."""
        return targets, None

    @abstractmethod
    def encode_targets(self, y: Tensor, n_outputs: int) -> Tensor:
        """Labels or target values (n, …) in the form the loss reads; once per data set, not per step.

        Raises DataError where labels are outside the range that ``n_outputs`` allows.
        """

    def per_example(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss of every row, (n,); for mse and mae the mean over the row. Autograd can follow."""
        return self.losses(columns(outputs), columns(targets)).squeeze(0)

    @abstractmethod
    def constant_guess(self, targets: Tensor, n_outputs: int) -> Tensor:
        """The outputs (n_outputs,) that ignore the inputs and cost least on the targets of one model's rows.

        Its mean loss is what a network that learnt nothing reaches: for cross-entropy the entropy of the class shares,
        ln k where the k classes are equal; for mse the variance.
        """

    @abstractmethod
    def write_gradient(self, outputs: Tensor, targets: Tensor, out: Tensor) -> None:
        """Write d objective / d outputs into ``out``, examples in columns, every model with an objective of its own.

        Does not wait for the device and keeps ``outputs`` as they are.
        """

    @abstractmethod
    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """``per_example`` of examples in columns: (models, k, n) to (models, n)."""

    def terms(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """What the objective is a sum or mean of, (models, k, n) to (models, n): smoothed and weighted losses."""
        return self.losses(outputs, targets)

    def weights(self, outputs: Tensor, targets: Tensor) -> Tensor | None:
        """How much every example counts where ``terms`` are averaged, (models, n); None where all count alike."""
        return None

    def mean_of_terms(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean objective of examples in columns, (models,), whatever the reduction, summed in float64."""
        terms, weights = self.terms(outputs, targets).double(), self.weights(outputs, targets)
        if weights is None:
            return terms.mean(dim=-1)
        return terms.sum(dim=-1) / at_least_tiny(weights.double().sum(dim=-1))

    def objectives(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The objective of every model, (models,), reduced and in float64, of examples in columns."""
        if self.section.reduction == "mean":
            return self.mean_of_terms(outputs, targets)
        return self.terms(outputs, targets).double().sum(dim=-1) * self.elements(outputs)

    @abstractmethod
    def hits(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """``correct`` of examples in columns: (models, k, n) to bool (models, n)."""

    def correct(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Whether every row is classified right, bool (n,); has no meaning for regression targets."""
        return self.hits(columns(outputs), columns(targets)).squeeze(0)

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The objective, of shape (), which autograd can differentiate."""
        if self.is_plain:
            losses, weights = self.per_example(outputs, targets), None
        else:
            outputs, targets = columns(outputs), columns(targets)
            losses, weights = self.terms(outputs, targets), self.weights(outputs, targets)
        if self.section.reduction == "sum":
            return losses.sum() * self.elements(outputs)
        return losses.mean() if weights is None else losses.sum() / at_least_tiny(weights.sum())

    def gradient(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """d objective / d outputs, (n, k), without autograd."""
        out = torch.empty_like(outputs)
        self.write_gradient(columns(outputs), columns(targets), columns(out))
        return out

    def sides_of_kinks(self, outputs: Tensor, targets: Tensor) -> list[Tensor]:
        """On which side of every point where a derivative jumps each output lies, bool (n, k) each."""
        return []

    def elements(self, outputs: Tensor) -> int:
        """How many terms of the objective one example stands for; outputs in columns or rows of equal k."""
        if not self.by_element:
            return 1
        return outputs.shape[-2] if outputs.dim() == 3 else outputs.shape[-1]

    def _scale_(self, out: Tensor, factor: float = 1.0) -> None:
        """Multiply gradients (models, k, n) by ``factor`` and by what the reduction multiplies every term with."""
        if self.section.reduction == "mean":
            factor /= out.shape[-1] * self.elements(out)
        if factor != 1:
            out.mul_(_constant(factor, (), out.dtype, out.device))  # 1 µs faster than by a number


@dataclass(frozen=True)
class _Weighted(Loss):
    """What the losses of classes share. For label t, smoothing ε, weights w of k classes and ℓ_c the loss of class c:

        term    (1 − ε)·w_t·ℓ_t + ε/k·Σ w_c·ℓ_c
        mean    Σ terms / Σ w_t over the examples

    A batch whose examples all have the weight 0 has the objective and gradient 0, where torch gives nan.
    """

    section: loss.CrossEntropy | loss.BinaryCrossEntropy
    by_element: ClassVar[bool] = False

    @cached_property
    def _by_type(self) -> dict[tuple[torch.dtype, torch.device], Tensor]:
        return {}

    def _weights_like(self, tensor: Tensor) -> Tensor | None:
        """Class weights (models or 1, k, 1) in the dtype and at the place of a tensor, made once; None for none."""
        if self.section.class_weights == "none":
            return None
        if not self.class_weights:
            raise ValueError("class weights are asked for, and none were fitted")
        key = tensor.dtype, tensor.device
        if key not in self._by_type:
            table = torch.tensor(self.class_weights, dtype=torch.float64).unsqueeze(2)
            self._by_type[key] = table.to(dtype=tensor.dtype, device=tensor.device)
        return self._by_type[key]

    def _smoothing_like(self, tensor: Tensor) -> float | Tensor:
        """The smoothing of all models, or of each, (models, 1, 1), in the dtype and at the place of a tensor."""
        if not self.smoothing:
            return self.section.label_smoothing
        return _column(self.smoothing, tensor.dtype, tensor.device).unsqueeze(2)

    def _log_shares(self, counts: Tensor) -> Tensor:
        """Logarithms of the probabilities (k,) that cost least, the same for every row; ``counts`` are rows by class.

        They are w·((1 − ε)·p + ε/k) for shares p, at least those of half a row: what no row has costs no infinity.
        """
        shares = counts.double() / counts.sum()
        smoothing = self.section.label_smoothing
        shares = (1 - smoothing) * shares + smoothing / len(shares)
        if (weights := self._weights_like(shares)) is not None:
            shares = shares * weights[0, :, 0]
        return (shares / at_least_tiny(shares.sum())).clamp(min=0.5 / float(counts.sum())).log()

    @cached_property
    def _is_smoothed(self) -> bool:
        return bool(self.section.label_smoothing) or any(self.smoothing)

    def _divide_(self, out: Tensor, weights: Tensor | None) -> None:
        """Reduce gradients (models, k, n), of examples with these weights (models, n)."""
        if weights is None:
            self._scale_(out)
        elif self.section.reduction == "mean":
            out.div_(at_least_tiny(weights.sum(dim=-1)).reshape(-1, 1, 1))


@dataclass(frozen=True)
class CrossEntropy(_Weighted):
    """−z_t + log Σⱼ e^(zⱼ) for the label t of the row; the gradient is softmax(z) − onehot(t).

    Bishop, Pattern Recognition and Machine Learning (2006), section 4.3.4. Targets: labels, int64 (n,), or soft ones,
    the share of every class, float (n, k). The mean over soft targets divides by the number of examples, as torch does.
    """

    section: loss.CrossEntropy
    reads_labels: ClassVar[bool] = True

    def encode_targets(self, y: Tensor, n_outputs: int) -> Tensor:
        return _checked_labels(y, n_outputs)

    def per_example(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(outputs, targets, reduction="none")

    def constant_guess(self, targets: Tensor, n_outputs: int) -> Tensor:
        soft = targets.is_floating_point()
        counts = targets.sum(dim=0, dtype=torch.float64) if soft else targets.bincount(minlength=n_outputs)
        return self._log_shares(counts).to(torch.get_default_dtype())

    def write_gradient(self, outputs: Tensor, targets: Tensor, out: Tensor) -> None:
        torch.softmax(outputs, dim=-2, out=out)
        if targets.is_floating_point():
            shares = self._shares(targets)
            out.mul_(shares.sum(dim=-2, keepdim=True)).sub_(shares)
            self._scale_(out)
        elif self.is_plain or (weights := self._weights_like(out)) is None:
            smoothing = self._smoothing_like(out)
            if isinstance(smoothing, Tensor):
                out.sub_(smoothing / out.shape[-2])
                out.scatter_add_(-2, targets, (smoothing - 1.0).expand(targets.shape))
            else:
                if smoothing:
                    out.sub_(_constant(smoothing / out.shape[-2], (), out.dtype, out.device))
                out.scatter_add_(-2, targets, _constant(smoothing - 1.0, targets.shape, out.dtype, out.device))
            self._scale_(out)
        else:
            own, smoothing = self._own(weights, targets), self._smoothing_like(out)
            if self._is_smoothed:
                out.mul_((1 - smoothing) * own + smoothing * weights.mean(dim=-2, keepdim=True))
                out.sub_(weights * (smoothing / out.shape[-2]))
            else:
                out.mul_(own)
            out.scatter_add_(-2, targets, own * (smoothing - 1.0))
            self._divide_(out, own.squeeze(-2))

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        if targets.is_floating_point():
            return (targets * _of_every_class(outputs)).sum(dim=-2)
        largest = outputs.amax(dim=-2, keepdim=True)
        totals = (outputs - largest).exp_().sum(dim=-2, keepdim=True)
        # The large numbers first: they leave nothing of a logarithm that is added to one of them.
        return totals.log_().add_(largest - outputs.gather(-2, targets)).squeeze(-2)

    def terms(self, outputs: Tensor, targets: Tensor) -> Tensor:
        of_classes = _of_every_class(outputs)
        if targets.is_floating_point():
            return (self._shares(targets) * of_classes).sum(dim=-2)
        smoothing, weights = self._smoothing_like(outputs), self._weights_like(outputs)
        terms = of_classes.gather(-2, targets)
        if weights is not None:
            terms = terms * self._own(weights, targets)
        if self._is_smoothed:
            weighted = of_classes if weights is None else of_classes * weights
            terms = (1 - smoothing) * terms + smoothing * weighted.mean(dim=-2, keepdim=True)
        return terms.squeeze(-2)

    def weights(self, outputs: Tensor, targets: Tensor) -> Tensor | None:
        weights = None if targets.is_floating_point() else self._weights_like(outputs)
        return None if weights is None else self._own(weights, targets).squeeze(-2)

    def hits(self, outputs: Tensor, targets: Tensor) -> Tensor:
        labels = largest_of_columns(targets) if targets.is_floating_point() else targets.squeeze(-2)
        return largest_of_columns(outputs) == labels

    def _shares(self, targets: Tensor) -> Tensor:
        """Soft targets, smoothed and weighted, (models, k, n): w·((1 − ε)·q + ε/k)."""
        smoothing, weights = self._smoothing_like(targets), self._weights_like(targets)
        if self._is_smoothed:
            targets = (1 - smoothing) * targets + smoothing / targets.shape[-2]
        return targets if weights is None else targets * weights

    @staticmethod
    def _own(weights: Tensor, targets: Tensor) -> Tensor:
        """The weight of every example, (models, 1, n)."""
        return weights.expand(len(targets), -1, targets.shape[-1]).gather(-2, targets)


@dataclass(frozen=True)
class BinaryCrossEntropy(_Weighted):
    """log(1 + eᶻ) − y·z for one logit z and y in {0, 1}; the gradient is σ(z) − y.

    Computed as y·log(1 + e⁻ᶻ) + (1 − y)·log(1 + eᶻ): both terms are stable and neither is negative, so nothing
    overflows or cancels. Targets: float (n, 1). Smoothed and weighted it is the cross-entropy of the logits 0 and z.
    """

    section: loss.BinaryCrossEntropy

    def encode_targets(self, y: Tensor, n_outputs: int) -> Tensor:
        if n_outputs != 1:
            raise DataError(f"the loss 'bce' reads one logit, got {n_outputs} outputs; use 'cross_entropy' for those")
        return _checked_labels(y, 2).to(torch.get_default_dtype()).unsqueeze(1)

    def constant_guess(self, targets: Tensor, n_outputs: int) -> Tensor:
        second = targets.sum(dtype=torch.float64)
        logs = self._log_shares(torch.stack([len(targets) - second, second]))
        return (logs[1:] - logs[:1]).to(targets.dtype)

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return _binary(outputs, 1 - targets, targets).squeeze(-2)

    def terms(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return _binary(outputs, *self._shares(targets)).squeeze(-2)

    def weights(self, outputs: Tensor, targets: Tensor) -> Tensor | None:
        weights = self._weights_like(outputs)
        if weights is None:
            return None
        return (weights[:, :1] * (1 - targets) + weights[:, 1:] * targets).squeeze(-2)

    def write_gradient(self, outputs: Tensor, targets: Tensor, out: Tensor) -> None:
        torch.sigmoid(outputs, out=out)
        if self.is_plain:
            out.sub_(targets)
            self._scale_(out)
            return
        first, second = self._shares(targets)
        out.mul_(first + second).sub_(second)
        self._divide_(out, self.weights(outputs, targets))

    def hits(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return ((outputs > 0) == (targets > 0.5)).squeeze(-2)

    def _shares(self, targets: Tensor) -> tuple[Tensor, Tensor]:
        """How much the loss of the first class counts, and that of the second, (models, 1, n) each."""
        smoothing, weights = self._smoothing_like(targets), self._weights_like(targets)
        second = (1 - smoothing) * targets + smoothing / 2
        first = (1 - smoothing) * (1 - targets) + smoothing / 2
        return (first, second) if weights is None else (first * weights[:, :1], second * weights[:, 1:])


@dataclass(frozen=True)
class MultiLabelBinaryCrossEntropy(Loss):
    """Binary cross-entropy of k labels, each with a logit of its own and a target in {0, 1}; targets: float (n, k).

    An example is a hit where all its labels are, as in scikit-learn's accuracy_score.
    """

    def encode_targets(self, y: Tensor, n_outputs: int) -> Tensor:
        if not y.is_floating_point() or y.shape[1:] != (n_outputs,):
            raise DataError(f"targets of shape {tuple(y.shape)} for {n_outputs} labels: expected (n, {n_outputs})")
        if not bool(((y == 0) | (y == 1)).all()):
            raise DataError("targets of several labels are 0 or 1, got other numbers")
        return y

    def constant_guess(self, targets: Tensor, n_outputs: int) -> Tensor:
        half = 0.5 / len(targets)  # a row's, so that a label that none or all have costs no infinity elsewhere
        shares = targets.mean(dim=0, dtype=torch.float64).clamp(half, 1 - half)
        return torch.logit(shares).to(targets.dtype)

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return _binary(outputs, 1 - targets, targets).mean(dim=-2)

    def write_gradient(self, outputs: Tensor, targets: Tensor, out: Tensor) -> None:
        torch.sigmoid(outputs, out=out).sub_(targets)
        self._scale_(out)

    def hits(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (((outputs > 0) == (targets > 0.5)) & ~outputs.isnan()).all(dim=-2)


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


@dataclass(frozen=True)
class Quantile(Loss):
    """max(τ·(y − p), (τ − 1)·(y − p)), mean over targets and quantiles τ; the gradient is 1 − τ where p > y, else −τ.

    Where p = y it is ½ − τ, halfway. Outputs (n, t·q) come target by target; targets: the values, float (n, t). Koenker
    & Bassett, Regression quantiles, Econometrica 46 (1978).
    """

    section: loss.Quantile

    def encode_targets(self, y: Tensor, n_outputs: int) -> Tensor:
        levels = len(self.section.quantiles)
        if not y.is_floating_point() or y.dim() != 2 or y.shape[1] * levels != n_outputs:
            raise DataError(
                f"targets of shape {tuple(y.shape)} with {levels} quantiles for {n_outputs} outputs: the second size "
                f"must be {n_outputs // levels}"
            )
        return y

    def constant_guess(self, targets: Tensor, n_outputs: int) -> Tensor:
        places = [max(1, math.ceil(len(targets) * level)) for level in self.section.quantiles]
        return torch.stack([targets.kthvalue(place, dim=0).values for place in places], dim=1).flatten()

    def sides_of_kinks(self, outputs: Tensor, targets: Tensor) -> list[Tensor]:
        return [outputs > targets.repeat_interleave(len(self.section.quantiles), dim=1)]

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        distance = targets.unsqueeze(-2) - self._by_target(outputs, targets)
        levels = self._levels(outputs)
        return torch.maximum(levels * distance, (levels - 1) * distance).mean(dim=(-3, -2))

    def write_gradient(self, outputs: Tensor, targets: Tensor, out: Tensor) -> None:
        by_target = self._by_target(out, targets)
        torch.sub(self._by_target(outputs, targets), targets.unsqueeze(-2), out=by_target)
        by_target.sign_().mul_(0.5).add_(0.5 - self._levels(out))
        self._scale_(out)

    def hits(self, outputs: Tensor, targets: Tensor) -> Tensor:
        raise NotImplementedError("quantiles are of numbers, which have no classes")

    def _levels(self, tensor: Tensor) -> Tensor:
        """The quantiles τ, (q, 1)."""
        return _column(tuple(self.section.quantiles), tensor.dtype, tensor.device)

    @staticmethod
    def _by_target(outputs: Tensor, targets: Tensor) -> Tensor:
        """Outputs (models, t·q, n) as (models, t, q, n), a view."""
        return outputs.view(*outputs.shape[:-2], targets.shape[-2], -1, outputs.shape[-1])


@dataclass(frozen=True)
class SampleWeighted(Loss):
    """Another loss ``of`` examples that count by weights w of their own, for its terms t and weights c of classes:

        mean    Σ w·t / Σ w·c over the examples, c = 1 without weights of classes
        sum     Σ w·t

    as torch's and scikit-learn's ``sample_weight``: an example with the weight 2 counts as two. What is reported stays
    the plain loss. Targets are those of the loss with the weights behind them, float (n, t + 1); labels are numbers
    there, exact up to 2²⁴. A batch whose weights are all 0 has the objective and gradient 0.
    """

    of: Loss = field(kw_only=True)

    @cached_property
    def is_plain(self) -> bool:
        return False

    def of_model(self, index: int) -> Loss:
        return _weighted(self.of.of_model(index))

    def encoded(self, y: Tensor, n_outputs: int) -> Tensor:
        return self.of.encoded(y, n_outputs)

    def encode_targets(self, y: Tensor, n_outputs: int) -> Tensor:
        """Without weights, which ``with_weights`` joins."""
        return self.of.encode_targets(y, n_outputs)

    def restored(self, values: Tensor) -> Tensor:
        return self.of.restored(values)

    def in_unit(self, values: Tensor) -> Tensor:
        return self.of.in_unit(values)

    def restored_targets(self, targets: Tensor) -> Tensor:
        return torch.cat([self.of.restored(targets[..., :-1, :]), targets[..., -1:, :]], dim=-2)

    def in_unit_targets(self, targets: Tensor) -> Tensor:
        return torch.cat([self.of.in_unit(targets[:, :-1]), targets[:, -1:]], dim=1)

    def parted(self, targets: Tensor) -> tuple[Tensor, Tensor]:
        own = targets[:, :-1]
        is_labels = self.of.reads_labels and own.shape[1] == 1
        return own.squeeze(1).long() if is_labels else own, targets[:, -1]

    def per_example(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self.of.per_example(outputs, self.parted(targets)[0])

    def constant_guess(self, targets: Tensor, n_outputs: int) -> Tensor:
        return self.of.constant_guess(self.parted(targets)[0], n_outputs)

    def write_gradient(self, outputs: Tensor, targets: Tensor, out: Tensor) -> None:
        own, weights = self._parted(targets)
        self.of.write_gradient(outputs, own, out)
        if self.section.reduction == "mean":
            # Its division by the sum of all weights of classes, or the number of examples, is undone.
            of_classes = self.of.weights(outputs, own)
            every = weights if of_classes is None else weights * of_classes
            before = weights.shape[-1] if of_classes is None else of_classes.sum(dim=-1, keepdim=True)
            weights = weights / at_least_tiny(every.sum(dim=-1, keepdim=True)) * before
        out.mul_(weights.unsqueeze(-2))

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self.of.losses(outputs, self._parted(targets)[0])

    def terms(self, outputs: Tensor, targets: Tensor) -> Tensor:
        own, weights = self._parted(targets)
        return self.of.terms(outputs, own) * weights

    def weights(self, outputs: Tensor, targets: Tensor) -> Tensor:
        own, weights = self._parted(targets)
        of_classes = self.of.weights(outputs, own)
        return weights if of_classes is None else weights * of_classes

    def hits(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self.of.hits(outputs, self._parted(targets)[0])

    def correct(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self.of.correct(outputs, self.parted(targets)[0])

    def sides_of_kinks(self, outputs: Tensor, targets: Tensor) -> list[Tensor]:
        return self.of.sides_of_kinks(outputs, self.parted(targets)[0])

    def elements(self, outputs: Tensor) -> int:
        return self.of.elements(outputs)

    def _parted(self, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Targets of examples in columns, (models, t, n), and weights (models, n)."""
        own = targets[..., :-1, :]
        is_labels = self.of.reads_labels and own.shape[-2] == 1
        return own.long() if is_labels else own, targets[..., -1, :]


def _weighted(of: Loss) -> SampleWeighted:
    return SampleWeighted(of.section, of.class_weights, of.scalings, of.smoothing, of=of)


def with_weights(targets: Tensor, weights: Tensor) -> Tensor:
    """Encoded targets (n, …) with the weights of their examples (n,) behind them, as ``SampleWeighted`` reads both."""
    values = targets if targets.is_floating_point() else targets.to(torch.get_default_dtype())
    return torch.cat([values.reshape(len(values), -1), weights.to(values).unsqueeze(1)], dim=1)


def _binary(outputs: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Losses of logits whose first class, 0, and second class, 1, count so much."""
    zero = outputs.new_zeros(())
    return second * torch.logaddexp(-outputs, zero) + first * torch.logaddexp(outputs, zero)


def _of_every_class(outputs: Tensor) -> Tensor:
    """What each class as the target would cost, (models, k, n), as autograd can follow."""
    largest = outputs.detach().amax(dim=-2, keepdim=True)
    totals = (outputs - largest).exp().sum(dim=-2, keepdim=True)
    return totals.log() + (largest - outputs)


def at_least_tiny(total: Tensor) -> Tensor:
    """A sum of weights to divide by; where it is 0, so is what is divided."""
    return total.clamp(min=torch.finfo(total.dtype).tiny)


@cache
def _column(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Numbers (n, 1), kept for good as those of ``_constant``."""
    return torch.tensor(values, dtype=torch.float64).to(dtype=dtype, device=device).unsqueeze(1)


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
    return k - ((values == values.amax(dim=-2, keepdim=True)) * _countdown(k, values.device)).amax(dim=-2)


@cache
def _countdown(k: int, device: torch.device) -> Tensor:
    """k, k − 1, … 1 as int32 (k, 1), kept for good as those of ``_constant``."""
    return torch.arange(k, 0, -1, dtype=torch.int32, device=device).unsqueeze(1)


def _checked_labels(y: Tensor, n_classes: int) -> Tensor:
    lowest, highest = (int(value) for value in torch.aminmax(y))
    if lowest < 0 or highest >= n_classes:
        raise DataError(f"labels from {lowest} to {highest}, but the network's outputs stand for 0 to {n_classes - 1}")
    return y.long()


_ALL = (
    CrossEntropy,
    BinaryCrossEntropy,
    MultiLabelBinaryCrossEntropy,
    MeanSquaredError,
    MeanAbsoluteError,
    Huber,
    Quantile,
)
LOSSES: dict[type[Section], type[Loss]] = {getattr(loss, kind.__name__): kind for kind in _ALL}  # by the section's name


def make_loss(
    section: LossSpec,
    class_weights: Sequence[tuple[float, ...]] = (),
    scalings: Sequence[TargetScaling | None] = (),
    *,
    smoothing: Sequence[float] = (),
    weighted: bool = False,
) -> Loss:
    """The loss of a section, with class weights and target scalings that were fitted for it, one for every model.

    Without them it encodes targets and gives plain losses, and raises ValueError for an objective that needs them.
    ``smoothing`` holds the label smoothing of every model where it is not that of the section. ``weighted``: its
    examples have weights of their own.
    """
    rows = tuple(row for row in class_weights if row)
    smoothed = tuple(smoothing) if len(set(smoothing)) > 1 else ()
    made = LOSSES[type(section)](section, rows, tuple(one for one in scalings if one is not None), smoothed)
    return _weighted(made) if weighted else made
