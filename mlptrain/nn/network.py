"""A multi-layer perceptron as a pure function of its parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

from mlptrain.nn.ops.base import Op


@dataclass(frozen=True)
class Layer:
    """z = x Wᵀ + b, and then its ops one after the other.

    Its parameters are ``weight`` (outputs, inputs), ``bias`` (outputs,) unless that is left out, and those of the ops,
    each with ``prefix`` in front.
    """

    index: int
    inputs: int
    outputs: int
    bias: bool
    ops: tuple[Op, ...]

    @property
    def prefix(self) -> str:
        """``layers.<index>.``."""
        return f"layers.{self.index}."

    @property
    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Every parameter's shape, by its whole name: weight, bias, those of the ops."""
        shapes: dict[str, tuple[int, ...]] = {"weight": (self.outputs, self.inputs)}
        shapes |= {"bias": (self.outputs,)} if self.bias else {}
        for op in self.ops:
            shapes |= op.parameter_shapes(self.outputs)
        return {self.prefix + name: shape for name, shape in shapes.items()}

    def product(self, parameters: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """z (n, outputs) for what the layer reads (n, inputs)."""
        bias = parameters[f"{self.prefix}bias"] if self.bias else None
        return functional.linear(x, parameters[f"{self.prefix}weight"], bias)

    def activate(self, parameters: Mapping[str, Tensor], z: Tensor, *, noise: torch.Generator | None = None) -> Tensor:
        """From z to what the next layer reads, (n, outputs); ``noise`` is that of Op.apply."""
        for op, own in self.ops_with(parameters):
            z = op.apply(z, own, noise=noise)
        return z

    def ops_with(self, parameters: Mapping[str, Tensor]) -> list[tuple[Op, list[Tensor]]]:
        """Every op with its own parameters."""
        return [(op, [parameters[self.prefix + name] for name in op.parameter_shapes(self.outputs)]) for op in self.ops]


class MLP:
    """Fully connected layers, which ``widths`` runs through from the inputs to the outputs.

    After the product of every hidden layer come ``hidden``, its ops, and after the last one ``output``. With exactly
    two widths the model is linear.
    """

    def __init__(self, widths: Sequence[int], *, hidden: Sequence[Op], output: Sequence[Op], bias: bool) -> None:
        if len(widths) < 2:
            raise ValueError(f"widths run from the inputs to the outputs, at least two numbers; got {list(widths)}")
        self.widths = tuple(widths)
        last = len(self.widths) - 2
        self.layers = tuple(
            Layer(index, inputs, outputs, bias, tuple(output if index == last else hidden))
            for index, (inputs, outputs) in enumerate(pairwise(self.widths))
        )

    @property
    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Every parameter's shape, layer by layer."""
        return {name: shape for layer in self.layers for name, shape in layer.parameter_shapes.items()}

    @property
    def weight_names(self) -> tuple[str, ...]:
        """The names of the weight matrices, layer by layer."""
        return tuple(f"{layer.prefix}weight" for layer in self.layers)

    def forward(self, parameters: Mapping[str, Tensor], x: Tensor, *, noise: torch.Generator | None = None) -> Tensor:
        """The outputs (n, outputs) for inputs (n, inputs) in the dtype of the parameters; autograd can follow.

        ``noise`` is given in training steps alone: what ops with a mode of their own draw from.
        """
        for layer in self.layers:
            x = layer.activate(parameters, layer.product(parameters, x), noise=noise)
        return x
