"""Where parameters live: named views of few contiguous tensors, of one model or of several that train together."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

ALIGNMENT = 16  # elements: 64 bytes in float32, a cache line and an AVX-512 register


class Parameters(Mapping[str, Tensor]):
    """The named tensors of one model, what it learns and behind that the statistics it keeps, as views of ``pieces``.

    Pieces are one-dimensional tensors. A model on its own is one, ``flat``; one of several in a ``Stack`` is two or
    three. The views fill the pieces in the order of ``shapes``, and every view starts at a multiple of 16 elements. The
    elements between are zero and stay zero under any update that maps a zero parameter with a zero gradient to zero, as
    those of all optimizers of torch do unless their ``eps`` is 0.
    """

    def __init__(self, pieces: Sequence[Tensor], shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.pieces = tuple(pieces)
        self._views: dict[str, Tensor] = {}
        remaining = iter(self.pieces)
        piece, start = next(remaining), 0
        for name, shape in shapes.items():
            if start == len(piece):
                piece, start = next(remaining), 0
            self._views[name] = piece[start : start + math.prod(shape)].view(shape)
            start += padded(shape)

    @classmethod
    def zeros(
        cls,
        shapes: Mapping[str, tuple[int, ...]],
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> Parameters:
        """Parameters of these shapes, all zero, in the order of ``shapes``, in one piece."""
        return cls([torch.zeros(sum(map(padded, shapes.values())), dtype=dtype, device=device)], shapes)

    def __getitem__(self, name: str) -> Tensor:
        return self._views[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    @property
    def flat(self) -> Tensor:
        """The only piece. Raises ValueError for one of several models, which has more."""
        if len(self.pieces) > 1:
            raise ValueError(
                "the parameters of one of several models do not lie in one piece; clone() makes them do so"
            )
        return self.pieces[0]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every view's shape, in order."""
        return {name: tuple(view.shape) for name, view in self._views.items()}

    def copy_(self, other: Mapping[str, Tensor]) -> Parameters:
        """Copy the values of equally named tensors, whatever their dtype and device.

        Raises ValueError, before anything is copied, where names or shapes differ.
        """
        shapes = {name: tuple(tensor.shape) for name, tensor in other.items()}
        if shapes != self.shapes:
            raise ValueError(f"parameters of other names or shapes: expected {self.shapes}, got {shapes}")
        with torch.no_grad():
            for name, view in self._views.items():
                view.copy_(other[name])
        return self

    def clone(self, *, dtype: torch.dtype | None = None, device: torch.device | str | None = None) -> Parameters:
        """A copy in one piece with memory of its own, in another dtype or on another device if asked."""
        like = self.pieces[0]
        return Parameters.zeros(self.shapes, dtype=dtype or like.dtype, device=device or like.device).copy_(self)


class Stack:
    """The tensors of several models of one architecture, in one tensor ``flat``.

    The first weights of all models lie side by side, so that those of models that share a batch are one matrix
    (models·out, in) and their first layer is a single product. Behind them lies, model after model, all the rest that
    is learnt, and then the statistics. So what a range of models learns is two contiguous tensors, which an optimizer
    updates in one call, and that of a single model is one.
    """

    def __init__(
        self,
        parameter_shapes: Mapping[str, tuple[int, ...]],
        state_shapes: Mapping[str, tuple[int, ...]] | None = None,
        *,
        models: int = 1,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        self.parameter_shapes, self.state_shapes = dict(parameter_shapes), dict(state_shapes or {})
        self.shapes = self.parameter_shapes | self.state_shapes
        self.models = models
        first, *others = map(padded, parameter_shapes.values())
        self._sizes = (first, sum(others), sum(map(padded, self.state_shapes.values())))
        self.flat = torch.zeros(models * sum(self._sizes), dtype=dtype, device=device)
        self._bind()

    @classmethod
    def of(cls, parameters: Parameters, state_shapes: Mapping[str, tuple[int, ...]] | None = None) -> Stack:
        """A stack of one model, on the memory of ``parameters``, which lie in one piece and end with statistics."""
        learnt = {name: shape for name, shape in parameters.shapes.items() if name not in (state_shapes or {})}
        stack = cls(learnt, state_shapes, device="meta")
        stack.flat = parameters.flat.detach()
        stack._bind()
        return stack

    def _bind(self) -> None:
        self.members = [Parameters(self._tensors(i), self.shapes) for i in range(self.models)]

    def _tensors(self, model: int) -> tuple[Tensor, ...]:
        """Everything of one model in contiguous tensors."""
        if self.models == 1:
            return (self.flat,)
        size = self._sizes[2]
        start = len(self.flat) - (self.models - model) * size
        return (*self.pieces(model, model + 1), *([self.flat[start : start + size]] if size else []))

    def pieces(self, start: int, stop: int) -> tuple[Tensor, ...]:
        """What the models ``start`` to before ``stop`` learn in contiguous tensors, an equal share for each."""
        first, rest, _ = self._sizes
        if self.models == 1:
            return (self.flat[: first + rest],)
        behind = self.models * first
        both = self.flat[start * first : stop * first], self.flat[behind + start * rest : behind + stop * rest]
        return both if rest else both[:1]

    def stacked(self, name: str) -> Tensor:
        """A tensor of all models, (models, *shape)."""
        view = self.members[0][name]
        kept = name in self.state_shapes
        stride = self._sizes[2 if kept else 0 if next(iter(self.shapes)) == name else 1]
        return self.flat.as_strided((self.models, *view.shape), (stride, *view.stride()), view.storage_offset())

    def gradients(self) -> Stack:
        """A stack of what these models learn, all zero."""
        return Stack(self.parameter_shapes, models=self.models, dtype=self.flat.dtype, device=self.flat.device)


def padded(shape: Sequence[int]) -> int:
    """Elements that a view of this shape takes up."""
    return -(-math.prod(shape) // ALIGNMENT) * ALIGNMENT
