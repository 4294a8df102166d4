"""What an activation function is: the function, its derivative by hand, and both in place for training.

Calling an activation is the plain function, which autograd can differentiate. ``derivative`` is the formula of dy/dz,
written out. ``forward_`` and ``backward_`` are what training runs: they write into buffers that exist already, and
``backward_`` multiplies an upstream gradient by dy/dz in as few passes over the memory as torch offers, through torch's
fused elementwise kernel where there is one for just that product.

Where the derivative follows from the output y alone (tanh: 1 − y²), the pre-activation z is not kept, and the output
takes its place in memory; ``needs_input`` says whether z has to stay.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor


@dataclass(frozen=True)
class Activation(ABC):
    """An elementwise function y = f(z); shapes are kept.

    ``slope`` is the learnt parameter of an activation whose ``learnt`` is true, a tensor of shape (), or (models, 1, 1)
    for several models side by side; all others ignore it.
    """

    name: ClassVar[str]
    learnt: ClassVar[bool] = False

    @property
    def kinks(self) -> tuple[float, ...]:
        """The points z at which the derivative jumps."""
        return ()

    @property
    def needs_input(self) -> bool:
        """Whether ``backward_`` reads z; otherwise it reads y alone and z may be overwritten by y."""
        return False

    @abstractmethod
    def __call__(self, z: Tensor, slope: Tensor | None = None) -> Tensor:
        """f(z), as a new tensor that autograd can differentiate."""

    @abstractmethod
    def derivative(self, z: Tensor, slope: Tensor | None = None) -> Tensor:
        """dy/dz at every element of z, as a new tensor."""

    @abstractmethod
    def forward_(self, z: Tensor, slope: Tensor | None = None, *, out: Tensor) -> Tensor:
        """Write f(z) into ``out`` and return it; ``out`` may be z itself unless ``needs_input``."""

    @abstractmethod
    def backward_(self, upstream: Tensor, z: Tensor, y: Tensor, slope: Tensor | None = None) -> Tensor:
        """Multiply ``upstream`` (dL/dy) by dy/dz in place, which makes it dL/dz, and return it.

        Reads z if ``needs_input`` and y otherwise; z may be used as scratch space, y is left as it is.
        """

    def slope_gradient(self, upstream: Tensor, z: Tensor) -> Tensor:
        """dL/dslope from ``upstream`` = dL/dy before ``backward_`` has changed it: the sum over the last two axes."""
        raise NotImplementedError(f"activation {self.name!r} has no learnt slope")
