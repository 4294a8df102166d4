"""What a layer does after its product: ops, which autograd can follow and which may also have a compiled form.

An op is right on the day it is written: ``apply`` is the plain function, and the autograd engine trains it. With a
compiled form it is fast too: calls that write into buffers which exist already, examples in columns, many models side
by side. The analytic engine runs networks whose every op has one; the tests hold each against the plain function.
"""

# ruff: noqa: ARG002 – few ops read every argument

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

Call = Callable[[], object]


@dataclass(frozen=True)
class Op(ABC):
    """y = f(z), shapes are kept: z and y (n, width)."""

    name: ClassVar[str]
    formula: ClassVar[str] = ""  # f(z) as a title shows it, in TeX's notation
    symbols: ClassVar[Mapping[str, str]] = {}  # of the op's numbers, by attribute, the letters in the formula

    @property
    def kinks(self) -> tuple[float, ...]:
        """The points z at which the derivative jumps."""
        return ()

    @property
    def negative_slope(self) -> float:
        """Of a rectifier its slope below zero, for the gain of He et al. (2015)."""
        return 0.0

    def parameter_shapes(self, width: int) -> dict[str, tuple[int, ...]]:
        """Shapes of what the op learns, by names that no other part of a layer has."""
        return {}

    def initial_values(self) -> dict[str, float]:
        """What each of its parameters is filled with before training."""
        return {}

    @abstractmethod
    def apply(self, z: Tensor, parameters: Sequence[Tensor], *, noise: torch.Generator | None = None) -> Tensor:
        """f(z) as a new tensor that autograd can differentiate.

        ``parameters`` are in the order of ``parameter_shapes``. ``noise`` is given in training steps alone: an op with
        a mode of its own there draws from it, and from nothing else.
        """


@dataclass(frozen=True)
class CompiledOp(Op):
    """An op with a compiled form. z, y and delta are (models, width, n); parameters (models, *shape)."""

    @property
    def needs_input(self) -> bool:
        """Whether the backward calls read z; otherwise they read y alone and z may be overwritten by y."""
        return False

    @abstractmethod
    def forward_calls(self, z: Tensor, y: Tensor, parameters: Mapping[str, Tensor]) -> list[Call]:
        """Calls that write f(z) into y; y is z unless ``needs_input``."""

    @abstractmethod
    def backward_calls(
        self, delta: Tensor, z: Tensor, y: Tensor, parameters: Mapping[str, Tensor], gradients: Mapping[str, Tensor]
    ) -> list[Call]:
        """Calls that turn dL/dy in delta into dL/dz in place, and write the gradients of the parameters.

        z may be used as scratch space, y is left as it is.
        """


@dataclass(frozen=True)
class Activation(CompiledOp):
    """An elementwise function without parameters.

    Where dy/dz follows from the output y alone (tanh: 1 − y²), z is not kept, and y takes its place in memory.
    """

    @abstractmethod
    def __call__(self, z: Tensor) -> Tensor:
        """f(z), as a new tensor that autograd can differentiate."""

    @abstractmethod
    def forward_(self, z: Tensor, *, out: Tensor) -> Tensor:
        """Write f(z) into ``out`` and return it; ``out`` may be z itself unless ``needs_input``."""

    @abstractmethod
    def backward_(self, upstream: Tensor, z: Tensor, y: Tensor) -> Tensor:
        """Multiply ``upstream`` (dL/dy) by dy/dz in place, which makes it dL/dz, and return it.

        In as few passes over the memory as torch offers, through its fused elementwise kernel where there is one for
        just that product. Reads z if ``needs_input`` and y otherwise.
        """

    def apply(self, z: Tensor, parameters: Sequence[Tensor], *, noise: torch.Generator | None = None) -> Tensor:
        """As calling it."""
        return self(z)

    def forward_calls(self, z: Tensor, y: Tensor, parameters: Mapping[str, Tensor]) -> list[Call]:
        """``forward_``."""
        return [partial(self.forward_, z, out=y)]

    def backward_calls(
        self, delta: Tensor, z: Tensor, y: Tensor, parameters: Mapping[str, Tensor], gradients: Mapping[str, Tensor]
    ) -> list[Call]:
        """``backward_``."""
        return [partial(self.backward_, delta, z, y)]
