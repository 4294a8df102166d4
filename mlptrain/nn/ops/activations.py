"""The smooth activations, and the table of all of them by the names that a configuration uses."""

# ruff: noqa: ARG002 – the base class describes the methods, and few of them read every argument

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from mlptrain.errors import UserError
from mlptrain.nn.ops.base import Activation, CompiledOp
from mlptrain.nn.ops.rectifiers import ELU, SELU, LeakyReLU, PReLU, ReLU
from mlptrain.spec.hints import value_hint

__all__ = ["ACTIVATIONS", "Activation", "make_activation"]

_aten = torch.ops.aten


@dataclass(frozen=True)
class Identity(Activation):
    """y = z, dy/dz = 1."""

    name: ClassVar[str] = "identity"
    numpy = "z"
    formula = r"z"
    needs_output = False

    def __call__(self, z: Tensor) -> Tensor:
        return z

    def forward_(self, z: Tensor, *, out: Tensor) -> Tensor:
        return out if out is z else out.copy_(z)

    def backward_(self, upstream: Tensor, z: Tensor, y: Tensor) -> Tensor:
        return upstream


@dataclass(frozen=True)
class _Fused(Activation):
    """An activation that torch has kernels for: f(z), f(z) into ``out``, and dL/dy·dy/dz into ``grad_input``."""

    function: ClassVar[Callable[..., Tensor]]
    write: ClassVar[Callable[..., object]]
    multiply: ClassVar[Callable[..., object]]

    def __call__(self, z: Tensor) -> Tensor:
        return self.function(z)

    def forward_(self, z: Tensor, *, out: Tensor) -> Tensor:
        self.write(z, out=out)
        return out

    def backward_(self, upstream: Tensor, z: Tensor, y: Tensor) -> Tensor:
        self.multiply(upstream, z if self.needs_input else y, grad_input=upstream)
        return upstream


@dataclass(frozen=True)
class Sigmoid(_Fused):
    """y = 1/(1 + e⁻ᶻ), dy/dz = y(1 − y)."""

    name: ClassVar[str] = "sigmoid"
    numpy = "(1 + np.tanh(z / 2)) / 2"
    formula = r"1/(1 + e^{-z})"
    function = staticmethod(torch.sigmoid)
    write = staticmethod(_aten.sigmoid.out)
    multiply = staticmethod(_aten.sigmoid_backward.grad_input)


@dataclass(frozen=True)
class Tanh(_Fused):
    """y = tanh z, dy/dz = 1 − y²."""

    name: ClassVar[str] = "tanh"
    numpy = "np.tanh(z)"
    formula = r"(e^z - e^{-z})/(e^z + e^{-z})"
    function = staticmethod(torch.tanh)
    write = staticmethod(_aten.tanh.out)
    multiply = staticmethod(_aten.tanh_backward.grad_input)


@dataclass(frozen=True)
class Softplus(Activation):
    """y = log(1 + e^(beta·z))/beta, dy/dz = 1/(1 + e^(−beta·z)) = 1 − e^(−beta·y).

    Through the stable log(e^a + e^0), exact for every z; torch's own softplus goes over to y = z at beta·z = 20, where
    the two differ by e⁻²⁰.
    """

    beta: float = 1.0
    name: ClassVar[str] = "softplus"
    numpy = "np.logaddexp({beta} * z, 0) / {beta}"
    formula = r"\log(1 + e^{\beta z})/\beta"
    symbols: ClassVar[Mapping[str, str]] = {"beta": "β"}

    def __call__(self, z: Tensor) -> Tensor:
        return torch.logaddexp(self.beta * z, z.new_zeros(())) / self.beta

    def forward_(self, z: Tensor, *, out: Tensor) -> Tensor:
        torch.mul(z, self.beta, out=out)
        return torch.logaddexp(out, z.new_zeros(()), out=out).div_(self.beta)

    def backward_(self, upstream: Tensor, z: Tensor, y: Tensor) -> Tensor:
        return upstream.mul_(torch.mul(y, -self.beta).expm1_().neg_())


@dataclass(frozen=True)
class Arctan(Activation):
    """y = arctan z, dy/dz = 1/(1 + z²)."""

    name: ClassVar[str] = "arctan"
    numpy = "np.arctan(z)"
    formula = r"\arctan z"
    needs_input = True

    def __call__(self, z: Tensor) -> Tensor:
        return torch.arctan(z)

    def forward_(self, z: Tensor, *, out: Tensor) -> Tensor:
        return torch.arctan(z, out=out)

    def backward_(self, upstream: Tensor, z: Tensor, y: Tensor) -> Tensor:
        return upstream.div_(z.square_().add_(1))


@dataclass(frozen=True)
class GELU(_Fused):
    """y = z·Φ(z), dy/dz = Φ(z) + z·φ(z), with Φ and φ the distribution and density of N(0, 1).

    Hendrycks & Gimpel (2016), the exact form.
    """

    name: ClassVar[str] = "gelu"
    numpy = "z * (1 + np.vectorize(math.erf, [float])(z / 2**0.5)) / 2"
    formula = r"z\,\Phi(z)\ \mathrm{with}\ \Phi\ \mathrm{of}\ N(0, 1)"
    needs_input = True
    function = staticmethod(functional.gelu)
    write = staticmethod(_aten.gelu.out)
    multiply = staticmethod(_aten.gelu_backward.grad_input)


@dataclass(frozen=True)
class SiLU(_Fused):
    """y = z·σ(z), dy/dz = σ(z)·(1 + z·(1 − σ(z))).

    Elfwing, Uchibe & Doya (2018).
    """

    name: ClassVar[str] = "silu"
    numpy = "z * (1 + np.tanh(z / 2)) / 2"
    formula = r"z/(1 + e^{-z})"
    needs_input = True
    function = staticmethod(functional.silu)
    write = staticmethod(_aten.silu.out)
    multiply = staticmethod(_aten.silu_backward.grad_input)


ACTIVATIONS: dict[str, type[CompiledOp]] = {
    kind.name: kind
    for kind in (ReLU, LeakyReLU, ELU, SELU, PReLU, Sigmoid, Tanh, Softplus, Arctan, GELU, SiLU, Identity)
}


def make_activation(name: str, **fields: float) -> CompiledOp:
    """The activation called ``name`` with its own fields, e.g. ``make_activation("leaky_relu", slope=0.2)``.

    Raises UserError for a name that is not in ``ACTIVATIONS``, TypeError for a field that the activation lacks.
    """
    if name not in ACTIVATIONS:
        hint = value_hint(name, ACTIVATIONS, "activation")
        raise UserError(f"unknown activation {name!r}; choose one of {', '.join(ACTIVATIONS)}{hint}")
    return ACTIVATIONS[name](**fields)
