"""What a step does besides the optimizers: to gradients before them, to weights after them, in place.

Each works on the tensors of all models of a stack at once and treats every model as by itself. None waits for the
device, and each may be replayed as a part of a CUDA graph: what changes from step to step lies in a tensor there. On
the CPU, where a value can be looked at for nothing, a pass over the memory is left out where it would multiply by 1.
"""

# ruff: noqa: D102 – each is its class, called

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mlptrain.nn.parameters import Stack
from mlptrain.spec.experiment import TrainingSpec

Ingredient = Callable[[], object]

_CLIP_EPS = 1e-6  # torch.nn.utils.clip_grad_norm_ adds it to the norm that it divides by


def on_gradients(
    training: TrainingSpec, parameters: Stack, gradients: Stack, weights: Sequence[str]
) -> list[Ingredient]:
    """What comes before the optimizers, in order: the L1 term, which is a part of the loss, and then the clipping."""
    found: list[Ingredient] = []
    if training.l1:
        found.append(L1(parameters, gradients, weights, factor=training.l1))
    if training.clip_norm is not None:
        found.append(ClipNorm(gradients, training.clip_norm))
    if training.clip_value is not None:
        found.append(ClipValue(gradients, training.clip_value))
    return found


class L1:
    """Adds λ·sign(w), with 0 at 0, to the gradient of every weight: that of λ · Σ |w|. Biases and others have none."""

    def __init__(self, parameters: Stack, gradients: Stack, weights: Sequence[str], *, factor: float) -> None:
        self._factor = factor
        self._pairs = [(parameters.stacked(name), gradients.stacked(name)) for name in weights]

    def __call__(self) -> None:
        for weight, gradient in self._pairs:
            gradient.add_(torch.sign(weight), alpha=self._factor)


class ClipNorm:
    """torch.nn.utils.clip_grad_norm_, of every model by the norm of its own gradient."""

    def __init__(self, gradients: Stack, bound: float) -> None:
        self._bound = bound
        self._pieces = [piece.view(gradients.models, -1) for piece in gradients.pieces(0, gradients.models)]

    def __call__(self) -> None:
        norms = [torch.linalg.vector_norm(piece, dim=1, keepdim=True) for piece in self._pieces]  # each (models, 1)
        norm = norms[0] if len(norms) == 1 else torch.hypot(*norms)
        share = (self._bound / (norm + _CLIP_EPS)).clamp_(max=1)
        if not share.is_cpu or not bool((share >= 1).all()):  # what is not a number is passed on
            for piece in self._pieces:
                piece.mul_(share)


class ClipValue:
    """torch.nn.utils.clip_grad_value_."""

    def __init__(self, gradients: Stack, bound: float) -> None:
        self._bound, self._flat = bound, gradients.flat

    def __call__(self) -> None:
        self._flat.clamp_(-self._bound, self._bound)


class Decay:
    """Weight decay of neighbouring models that one optimizer updates, ahead of it; of all they learn, or ``weights``.

    Coupled, λ·w joins the gradient; decoupled, w shrinks by lr·λ·w. Both as torch.optim's own for a group of
    parameters, where the others are in a group with a decay of 0. ``factors`` holds the λ of every model.
    """

    def __init__(
        self,
        parameters: Stack,
        gradients: Stack,
        weights: Sequence[str] | None,
        *,
        models: slice,
        factors: Sequence[float],
        decoupled: bool,
    ) -> None:
        self._decoupled, self._equal = decoupled, len(set(factors)) == 1
        self._factor = factors[0]
        if weights is None:
            rows = [stack.pieces(models.start, models.stop) for stack in (parameters, gradients)]
            of_stacks = [[piece.view(len(factors), -1) for piece in pieces] for pieces in rows]
        else:
            of_stacks = [[stack.stacked(name)[models] for name in weights] for stack in (parameters, gradients)]
        self._pairs = list(zip(*of_stacks, strict=True))
        flat = parameters.flat
        self._factors = torch.tensor(factors, dtype=flat.dtype, device=flat.device).unsqueeze(1)  # (models, 1)

    def __call__(self, lr: float | Tensor) -> None:
        """``lr`` is a number or (), of all models, or (models, 1)."""
        each = isinstance(lr, Tensor) and lr.dim() > 0
        for weight, gradient in self._pairs:
            shape = (-1,) + (1,) * (weight.dim() - 1)
            if self._decoupled and each:
                weight.mul_((1 - lr * self._factors).view(shape))
            elif self._decoupled:
                weight.mul_(1 - lr * self._factor)
            elif self._equal:
                gradient.add_(weight, alpha=self._factor)
            else:
                gradient.addcmul_(weight, self._factors.view(shape))


class MaxNorm:
    """Scales the incoming weights of every unit, a row of its layer, down to a Euclidean norm of at most ``bounds``.

    One for each layer. Srivastava et al., Dropout (2014), section 5.1; biases are no part of the norm, as in pylearn2,
    which the figures of that paper come from.
    """

    def __init__(self, parameters: Stack, weights: Sequence[str], bounds: Sequence[float]) -> None:
        self._rows = [(parameters.stacked(name), bound) for name, bound in zip(weights, bounds, strict=True)]

    def __call__(self) -> None:
        for weight, bound in self._rows:
            norm = torch.linalg.vector_norm(weight, dim=2, keepdim=True)  # (models, out, 1)
            share = (bound / norm).clamp_(max=1)  # of a norm of 0: infinity, and so 1
            if not share.is_cpu or bool((share < 1).any()):
                weight.mul_(share)


class Average:
    """``stack``, the exponential moving average of all parameters and statistics; each step keeps ``decay`` of it.

    torch.optim.swa_utils.AveragedModel with get_ema_multi_avg_fn(decay) and use_buffers: the first step's parameters
    are copied. Before it they are those before training. Which step is the first follows from its number, so that no
    count is saved.
    """

    def __init__(self, parameters: Stack, decay: float) -> None:
        flat = parameters.flat
        shapes = parameters.parameter_shapes, parameters.state_shapes
        self.stack = Stack(*shapes, models=parameters.models, dtype=flat.dtype, device=flat.device)
        self.stack.flat.copy_(parameters.flat)
        self._parameters, self._decay = parameters, decay
        self._share = 1.0  # of the new parameters in this step
        self._in_tensor = None if parameters.flat.is_cpu else torch.ones((), device=parameters.flat.device)

    def advance(self, step: int) -> None:
        """The step to come is number ``step``, counted from 0."""
        share = 1 - self._decay if step else 1.0
        if self._in_tensor is not None and share != self._share:
            self._in_tensor.fill_(share)
        self._share = share

    def __call__(self) -> None:
        share = self._share if self._in_tensor is None else self._in_tensor
        self.stack.flat.lerp_(self._parameters.flat, share)
