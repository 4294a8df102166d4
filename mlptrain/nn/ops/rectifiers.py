"""The activations with a kink at 0. There the derivative is the one from the left (0 for ReLU), as torch has it."""

# ruff: noqa: D102, ARG002 – the base class describes the methods, and few of them read every argument

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from mlptrain.nn.noise import TrainingMode
from mlptrain.nn.ops.base import Activation, Calls, CompiledOp, Site

_aten = torch.ops.aten


@dataclass(frozen=True)
class ReLU(Activation):
    """y = max(z, 0); dy/dz = 1 where z > 0, else 0. Since y > 0 exactly where z > 0, y is enough."""

    name: ClassVar[str] = "relu"
    numpy = "np.maximum(z, 0)"
    formula = r"\max(0, z)"
    kinks = (0.0,)

    def __call__(self, z: Tensor) -> Tensor:
        return torch.relu(z)

    def forward_(self, z: Tensor, *, out: Tensor) -> Tensor:
        return torch.clamp_min(z, 0.0, out=out)

    def backward_(self, upstream: Tensor, z: Tensor, y: Tensor) -> Tensor:
        _aten.threshold_backward.grad_input(upstream, y, 0, grad_input=upstream)
        return upstream


@dataclass(frozen=True)
class LeakyReLU(Activation):
    """y = z where z > 0, else slope·z; dy/dz = 1 or slope.

    Maas, Hannun & Ng (2013). The output has the sign of z unless the slope is negative.
    """

    slope: float = 0.01
    name: ClassVar[str] = "leaky_relu"
    numpy = "np.where(z > 0, z, {slope} * z)"
    formula = r"\max(0, z) + \alpha\,\min(0, z)"
    symbols: ClassVar[Mapping[str, str]] = {"slope": "α"}
    kinks = (0.0,)

    @property
    def negative_slope(self) -> float:
        return self.slope

    @property
    def needs_input(self) -> bool:
        return self.slope < 0

    def __call__(self, z: Tensor) -> Tensor:
        return functional.leaky_relu(z, self.slope)

    def forward_(self, z: Tensor, *, out: Tensor) -> Tensor:
        _aten.leaky_relu.out(z, self.slope, out=out)
        return out

    def backward_(self, upstream: Tensor, z: Tensor, y: Tensor) -> Tensor:
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
    numpy = "np.where(z > 0, z, {alpha} * np.expm1(np.minimum(z, 0)))"
    formula = r"z\ \mathrm{for}\ z > 0,\ \mathrm{else}\ \alpha\,(e^z - 1)"
    symbols: ClassVar[Mapping[str, str]] = {"alpha": "α"}

    @property
    def kinks(self) -> tuple[float, ...]:
        return () if self.alpha == 1 else (0.0,)

    @property
    def needs_input(self) -> bool:
        return self.alpha < 0

    def __call__(self, z: Tensor) -> Tensor:
        return functional.elu(z, self.alpha)

    def forward_(self, z: Tensor, *, out: Tensor) -> Tensor:
        _aten.elu.out(z, self.alpha, out=out)
        return out

    def backward_(self, upstream: Tensor, z: Tensor, y: Tensor) -> Tensor:
        source, from_output = (z, False) if self.needs_input else (y, True)
        _aten.elu_backward.grad_input(upstream, self.alpha, 1, 1, from_output, source, grad_input=upstream)
        return upstream


@dataclass(frozen=True)
class SELU(Activation):
    """y = λz where z > 0, else λα(eᶻ − 1); dy/dz = λ or λα·eᶻ = y + λα.

    Klambauer, Unterthiner, Mayr & Hochreiter (2017), whose α and λ keep mean 0 and variance 1 as a fixed point.
    """

    name: ClassVar[str] = "selu"
    numpy = "{scale} * np.where(z > 0, z, {alpha} * np.expm1(np.minimum(z, 0)))"
    formula = r"\lambda z\ \mathrm{for}\ z > 0,\ \mathrm{else}\ \lambda\alpha\,(e^z - 1)"
    symbols: ClassVar[Mapping[str, str]] = {"alpha": "α", "scale": "λ"}
    alpha: ClassVar[float] = 1.6732632423543772
    scale: ClassVar[float] = 1.0507009873554805
    kinks = (0.0,)

    def __call__(self, z: Tensor) -> Tensor:
        return functional.selu(z)

    def forward_(self, z: Tensor, *, out: Tensor) -> Tensor:
        _aten.elu.out(z, self.alpha, self.scale, out=out)
        return out

    def backward_(self, upstream: Tensor, z: Tensor, y: Tensor) -> Tensor:
        _aten.elu_backward.grad_input(upstream, self.alpha, self.scale, 1, True, y, grad_input=upstream)
        return upstream


@dataclass(frozen=True)
class PReLU(CompiledOp):
    """Leaky ReLU whose slope is learnt: dy/dz = 1 or slope, dL/dslope = Σ dL/dy·z over all z ≤ 0.

    He, Zhang, Ren & Sun (2015), with one slope for the whole layer. ``slope`` here is its initial value. A learnt
    slope may turn negative, so z is kept.
    """

    slope: float = 0.25
    name: ClassVar[str] = "prelu"
    numpy = "np.where(z > 0, z, {slope} * z)"
    formula = r"\max(0, z) + \alpha\,\min(0, z)"
    symbols: ClassVar[Mapping[str, str]] = {"slope": "α"}
    kinks = (0.0,)
    needs_input = True

    @property
    def negative_slope(self) -> float:
        return self.slope

    def parameter_shapes(self, width: int) -> dict[str, tuple[int, ...]]:
        return {"slope": ()}

    def initial_values(self) -> dict[str, float]:
        return {"slope": self.slope}

    def slope_gradient(self, upstream: Tensor, z: Tensor) -> Tensor:
        """dL/dslope from ``upstream`` = dL/dy: the sum over the last two axes."""
        return (upstream * z.clamp(max=0)).sum(dim=(-2, -1))

    def apply(self, z: Tensor, parameters: Sequence[Tensor], *, mode: TrainingMode | None = None) -> Tensor:
        return torch.where(z > 0, z, parameters[0] * z)

    def compiled(self, site: Site) -> Calls:
        z, y, delta, gradient = site.z, site.y, site.delta, site.gradients["slope"]
        slope = site.parameters["slope"].view(-1, 1, 1)
        return Calls(
            [lambda: torch.where(z > 0, z, torch.mul(z, slope, out=y), out=y)],
            [
                lambda: gradient.copy_(self.slope_gradient(delta, z)),
                lambda: delta.mul_(torch.where(z > 0, torch.ones_like(z), slope)),
            ],
        )
