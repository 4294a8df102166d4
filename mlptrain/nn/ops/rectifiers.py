"""The activations with a kink at 0. There the derivative is the one from the left (0 for ReLU), as torch has it."""

# ruff: noqa: D102, ARG002 – the base class describes the methods, and few of them read every argument

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from mlptrain.nn.ops.elementwise import Activation

_aten = torch.ops.aten


@dataclass(frozen=True)
class ReLU(Activation):
    """y = max(z, 0); dy/dz = 1 where z > 0, else 0. Since y > 0 exactly where z > 0, y is enough."""

    name: ClassVar[str] = "relu"

    @property
    def kinks(self) -> tuple[float, ...]:
        return (0.0,)

    def __call__(self, z: Tensor, slope: Tensor | None = None) -> Tensor:
        return torch.relu(z)

    def derivative(self, z: Tensor, slope: Tensor | None = None) -> Tensor:
        return (z > 0).to(z.dtype)

    def forward_(self, z: Tensor, slope: Tensor | None = None, *, out: Tensor) -> Tensor:
        return torch.clamp_min(z, 0.0, out=out)

    def backward_(self, upstream: Tensor, z: Tensor, y: Tensor, slope: Tensor | None = None) -> Tensor:
        _aten.threshold_backward.grad_input(upstream, y, 0, grad_input=upstream)
        return upstream


@dataclass(frozen=True)
class LeakyReLU(Activation):
    """y = z where z > 0, else slope·z; dy/dz = 1 or slope.

    Maas, Hannun & Ng (2013). The output has the sign of z unless the slope is negative.
    """

    slope: float = 0.01
    name: ClassVar[str] = "leaky_relu"

    @property
    def kinks(self) -> tuple[float, ...]:
        return (0.0,)

    @property
    def needs_input(self) -> bool:
        return self.slope < 0

    def __call__(self, z: Tensor, slope: Tensor | None = None) -> Tensor:
        return functional.leaky_relu(z, self.slope)

    def derivative(self, z: Tensor, slope: Tensor | None = None) -> Tensor:
        return torch.ones_like(z).masked_fill_(z <= 0, self.slope)

    def forward_(self, z: Tensor, slope: Tensor | None = None, *, out: Tensor) -> Tensor:
        _aten.leaky_relu.out(z, self.slope, out=out)
        return out

    def backward_(self, upstream: Tensor, z: Tensor, y: Tensor, slope: Tensor | None = None) -> Tensor:
        source = z if self.needs_input else y
        _aten.leaky_relu_backward.grad_input(upstream, source, self.slope, False, grad_input=upstream)
        return upstream


@dataclass(frozen=True)
class ELU(Activation):
    """y = z where z > 0, else alpha·(eᶻ − 1); dy/dz = 1 or alpha·eᶻ = y + alpha.

    Clevert, Unterthiner & Hochreiter (2016). The derivative is continuous for alpha = 1 only. A negative alpha makes
    y positive on both sides, and then z is needed.
    """

    alpha: float = 1.0
    name: ClassVar[str] = "elu"

    @property
    def kinks(self) -> tuple[float, ...]:
        return () if self.alpha == 1 else (0.0,)

    @property
    def needs_input(self) -> bool:
        return self.alpha < 0

    def __call__(self, z: Tensor, slope: Tensor | None = None) -> Tensor:
        return functional.elu(z, self.alpha)

    def derivative(self, z: Tensor, slope: Tensor | None = None) -> Tensor:
        return z.clamp(max=0).exp_().mul_(self.alpha).masked_fill_(z > 0, 1.0)

    def forward_(self, z: Tensor, slope: Tensor | None = None, *, out: Tensor) -> Tensor:
        _aten.elu.out(z, self.alpha, out=out)
        return out

    def backward_(self, upstream: Tensor, z: Tensor, y: Tensor, slope: Tensor | None = None) -> Tensor:
        source, from_output = (z, False) if self.needs_input else (y, True)
        _aten.elu_backward.grad_input(upstream, self.alpha, 1, 1, from_output, source, grad_input=upstream)
        return upstream


@dataclass(frozen=True)
class PReLU(Activation):
    """Leaky ReLU whose slope is learnt: dy/dz = 1 or slope, dL/dslope = Σ dL/dy·z over all z ≤ 0.

    He, Zhang, Ren & Sun (2015), with one slope for the whole layer. ``slope`` here is its initial value. A learnt
    slope may turn negative, so z is kept.
    """

    slope: float = 0.25
    name: ClassVar[str] = "prelu"
    learnt: ClassVar[bool] = True

    @property
    def kinks(self) -> tuple[float, ...]:
        return (0.0,)

    @property
    def needs_input(self) -> bool:
        return True

    def __call__(self, z: Tensor, slope: Tensor | None = None) -> Tensor:
        return torch.where(z > 0, z, _learnt(slope) * z)

    def derivative(self, z: Tensor, slope: Tensor | None = None) -> Tensor:
        return torch.where(z > 0, torch.ones_like(z), _learnt(slope))

    def forward_(self, z: Tensor, slope: Tensor | None = None, *, out: Tensor) -> Tensor:
        return torch.where(z > 0, z, torch.mul(z, _learnt(slope), out=out), out=out)

    def backward_(self, upstream: Tensor, z: Tensor, y: Tensor, slope: Tensor | None = None) -> Tensor:
        return upstream.mul_(self.derivative(z, slope))

    def slope_gradient(self, upstream: Tensor, z: Tensor) -> Tensor:
        return (upstream * z.clamp(max=0)).sum(dim=(-2, -1))


def _learnt(slope: Tensor | None) -> Tensor:
    if slope is None:
        raise TypeError("prelu's slope is a learnt parameter: pass it as a tensor of shape ()")
    return slope
