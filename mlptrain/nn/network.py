"""A multi-layer perceptron as a pure function of its parameters, and the flat tensor in which those live.

Many models at once, when that comes, enter as a leading axis of every parameter: shapes (models, out, in) instead of
(out, in). ``Parameters`` takes such shapes as it is, and then one name holds the weights of all models side by side,
so that the first layer of models that share a batch is the single product of x with the view (models·out, in). The
products of the later layers become batched ones, and a bias of shape (models, out) is added as (models, 1, out).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from mlptrain.nn.activations import Activation
from mlptrain.spec.model import parameter_shapes

ALIGNMENT = 16  # elements: 64 bytes in float32, a cache line and an AVX-512 register


class MLP:
    """Fully connected layers: y₀ = x, z_l = y_{l−1} W_lᵀ + b_l, y_l = f(z_l), and the output activation on the last.

    ``widths`` runs from the inputs to the outputs, so it has at least two entries; with exactly two the model is
    linear. Layer i has the parameters ``layers.<i>.weight`` (out, in), ``layers.<i>.bias`` (out,) unless ``bias`` is
    false, and ``layers.<i>.slope`` () where the activation after it learns its slope.
    """

    def __init__(
        self, widths: Sequence[int], *, activation: Activation, output_activation: Activation, bias: bool
    ) -> None:
        if len(widths) < 2:
            raise ValueError(f"widths run from the inputs to the outputs, at least two numbers; got {list(widths)}")
        self.widths = tuple(widths)
        self.bias = bias
        self.n_layers = len(self.widths) - 1
        self.activations = (activation,) * (self.n_layers - 1) + (output_activation,)

    @property
    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Every parameter's shape, layer by layer: weight, bias, slope."""
        slopes = self.activations[0].learnt, self.activations[-1].learnt
        return parameter_shapes(self.widths, bias=self.bias, slopes=slopes)

    def forward(self, parameters: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """The outputs (n, outputs) for inputs (n, inputs) in the dtype of the parameters; autograd can follow."""
        for i, activation in enumerate(self.activations):
            z = functional.linear(x, parameters[f"layers.{i}.weight"], parameters.get(f"layers.{i}.bias"))
            x = activation(z, parameters.get(f"layers.{i}.slope"))
        return x


class Parameters(Mapping[str, Tensor]):
    """Named tensors that are views of one flat tensor, so that one call of an optimizer updates all of them.

    Every view starts at a multiple of 16 elements. The elements between are zero and stay zero under any update that
    maps a zero parameter with a zero gradient to zero, as those of all optimizers of torch do.
    """

    def __init__(self, flat: Tensor, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.flat = flat
        self._views: dict[str, Tensor] = {}
        start = 0
        for name, shape in shapes.items():
            self._views[name] = flat[start : start + math.prod(shape)].view(shape)
            start += _padded(shape)

    @classmethod
    def zeros(
        cls,
        shapes: Mapping[str, tuple[int, ...]],
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> Parameters:
        """Parameters of these shapes, all zero, in the order of ``shapes``."""
        return cls(torch.zeros(sum(map(_padded, shapes.values())), dtype=dtype, device=device), shapes)

    def __getitem__(self, name: str) -> Tensor:
        return self._views[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

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
            raise ValueError(f"parameters of other names or shapes: wanted {self.shapes}, got {shapes}")
        with torch.no_grad():
            for name, view in self._views.items():
                view.copy_(other[name])
        return self

    def clone(self, *, dtype: torch.dtype | None = None, device: torch.device | str | None = None) -> Parameters:
        """A copy with memory of its own, in another dtype or on another device if asked."""
        flat = torch.empty_like(self.flat, dtype=dtype, device=device).copy_(self.flat.detach())
        return Parameters(flat, self.shapes)


def _padded(shape: tuple[int, ...]) -> int:
    return -(-math.prod(shape) // ALIGNMENT) * ALIGNMENT
