"""What a layer does after its product: ops, which autograd can follow and which may also have a compiled form.

An op is right on the day it is written: ``apply`` is the plain function, and the autograd engine trains it. With a
compiled form it is fast too: calls that write into buffers which exist already, examples in columns, many models side
by side. The analytic engine runs networks whose every op has one; the tests hold each against the plain function.
"""

# ruff: noqa: ARG002 – few ops read every argument

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

from torch import Tensor

from mlptrain.nn.noise import Noise, TrainingMode
from mlptrain.nn.shares import Share

Call = Callable[[], object]


@dataclass(frozen=True)
class Op(ABC):
    """y = f(z), shapes are kept: z and y (n, width)."""

    name: ClassVar[str]
    formula: ClassVar[str] = ""  # f(z) as a title shows it, in TeX's notation
    numpy: ClassVar[str] = ""  # f(z) outside of training steps in NumPy; {names} are the op's numbers and parameters
    symbols: ClassVar[Mapping[str, str]] = {}  # of the op's numbers, by attribute, the letters in the formula
    by_row: ClassVar[bool] = True  # whether a row's result hangs on that row alone: on no noise and no other row
    elementwise: ClassVar[bool] = True  # whether a value's result hangs on no other value

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

    def state_shapes(self, width: int) -> dict[str, tuple[int, ...]]:
        """Shapes of the statistics that it keeps while training, by names that no other part of a layer has."""
        return {}

    def initial_values(self) -> dict[str, float]:
        """What each of its parameters and statistics is filled with before training."""
        return {}

    @abstractmethod
    def apply(self, z: Tensor, parameters: Sequence[Tensor], *, mode: TrainingMode | None = None) -> Tensor:
        """f(z) as a new tensor that autograd can differentiate.

        ``parameters`` are in the order of ``parameter_shapes``, and behind them those of ``state_shapes``. ``mode`` is
        given in training steps alone.
        """


@dataclass(frozen=True)
class Calls:
    """The compiled form of an op: lists of calls on fixed buffers.

    ``forward`` writes y, ``backward`` turns dL/dy in delta into dL/dz in place and writes the gradients of the
    parameters. ``prepare`` comes before a step and is what cannot be captured in a CUDA graph.
    """

    forward: list[Call]
    backward: list[Call]
    prepare: list[Call] = field(default_factory=list)


@dataclass(frozen=True)
class Site:
    """Where an op is compiled: the layer's tensors for one batch size, of all models.

    z, y and delta are (models, width, n); parameters, statistics among them, and gradients (models, *shape) by their
    names in the layer. ``noise`` has the source of every group of models that share theirs, with these models, and is
    empty where nothing is dropped. ``buffer(name, *shape)`` gives the op memory of its own, float as z unless said
    otherwise. With a ``share`` the n rows are those of a part of the batch.
    """

    z: Tensor
    y: Tensor
    delta: Tensor
    parameters: Mapping[str, Tensor]
    gradients: Mapping[str, Tensor]
    noise: Sequence[tuple[slice, Noise]]
    buffer: Callable[..., Tensor]
    share: Share | None = None


@dataclass(frozen=True)
class CompiledOp(Op):
    """An op with a compiled form."""

    @property
    def needs_input(self) -> bool:
        """Whether the backward calls read z; otherwise z may be overwritten by y."""
        return False

    @property
    def needs_output(self) -> bool:
        """Whether the backward calls read y; otherwise the next op may overwrite it."""
        return not self.needs_input

    @abstractmethod
    def compiled(self, site: Site) -> Calls:
        """The calls there. y may be z unless ``needs_input``; z may be used as scratch space, y is left as it is."""


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

    def apply(self, z: Tensor, parameters: Sequence[Tensor], *, mode: TrainingMode | None = None) -> Tensor:
        """As calling it."""
        return self(z)

    def compiled(self, site: Site) -> Calls:
        """``forward_`` and ``backward_``."""
        return Calls(
            [partial(self.forward_, site.z, out=site.y)], [partial(self.backward_, site.delta, site.z, site.y)]
        )
