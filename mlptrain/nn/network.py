"""A multi-layer perceptron as a pure function of its parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor
from torch.nn import functional

from mlptrain.nn.noise import TrainingMode
from mlptrain.nn.ops.base import Op


@dataclass(frozen=True)
class Layer:
    """z = x Wᵀ + b, then its ops one after the other; a ``residual`` layer adds x to what they give.

    x goes through the ops ``before`` first, which the first layer alone may have. Its parameters are ``weight``
    (outputs, inputs), ``bias`` (outputs,) unless that is left out, and those of the ops, each with ``prefix`` in front;
    so are the statistics that ops keep.
    """

    index: int
    inputs: int
    outputs: int
    bias: bool
    ops: tuple[Op, ...]
    before: tuple[Op, ...] = ()
    residual: bool = False

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

    @property
    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of all statistics that its ops keep, by their whole names."""
        return {self.prefix + name: shape for op in self.ops for name, shape in op.state_shapes(self.outputs).items()}

    def read(self, x: Tensor, *, mode: TrainingMode | None = None) -> Tensor:
        """What the product reads of x (n, inputs): x itself, but for ops ``before``."""
        for op in self.before:
            x = op.apply(x.t(), (), mode=mode).t()  # whose noise lies as the rows do
        return x

    def product(self, parameters: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """z (n, outputs) for what ``read`` gives (n, inputs)."""
        bias = parameters[f"{self.prefix}bias"] if self.bias else None
        return functional.linear(x, parameters[f"{self.prefix}weight"], bias)

    def activate(self, parameters: Mapping[str, Tensor], z: Tensor, *, mode: TrainingMode | None = None) -> Tensor:
        """From z to what its ops make of it, (n, outputs)."""
        for op, own in self.ops_with(parameters):
            z = op.apply(z, own, mode=mode)
        return z

    def normalise(self, parameters: Mapping[str, Tensor], z: Tensor, *, mode: TrainingMode | None = None) -> Tensor:
        """From z to what the activation reads, (n, outputs): the ops that are not elementwise."""
        for op, own in self.ops_with(parameters):
            z = z if op.elementwise else op.apply(z, own, mode=mode)
        return z

    def bend(self, parameters: Mapping[str, Tensor], z: Tensor) -> Tensor:
        """From what the activation reads to what it gives, outside of training steps: the elementwise ops."""
        for op, own in self.ops_with(parameters):
            z = op.apply(z, own) if op.elementwise else z
        return z

    def forward(self, parameters: Mapping[str, Tensor], x: Tensor, *, mode: TrainingMode | None = None) -> Tensor:
        """What the next layer reads, (n, outputs), for x (n, inputs); ``mode`` is that of Op.apply."""
        y = self.activate(parameters, self.product(parameters, self.read(x, mode=mode)), mode=mode)
        return y + x if self.residual else y

    def ops_with(self, parameters: Mapping[str, Tensor]) -> list[tuple[Op, list[Tensor]]]:
        """Every op with its own parameters and statistics."""
        width = self.outputs
        names = [(op, (*op.parameter_shapes(width), *op.state_shapes(width))) for op in self.ops]
        return [(op, [parameters[self.prefix + name] for name in own]) for op, own in names]


class MLP:
    """Fully connected layers, each of which reads what the one before gives; one alone is a linear model."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.layers = tuple(layers)
        self.widths = (self.layers[0].inputs, *(layer.outputs for layer in self.layers))

    @classmethod
    def of(cls, widths: Sequence[int], *, hidden: Sequence[Op], output: Sequence[Op], bias: bool) -> MLP:
        """Layers with these widths from the inputs to the outputs, the same ops in every hidden one.

        Raises ValueError for fewer than two widths.
        """
        if len(widths) < 2:
            raise ValueError(f"widths run from the inputs to the outputs, at least two numbers; got {list(widths)}")
        last = len(widths) - 2
        return cls(
            [
                Layer(index, inputs, outputs, bias, tuple(output if index == last else hidden))
                for index, (inputs, outputs) in enumerate(pairwise(widths))
            ]
        )

    @property
    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of everything that is learnt, layer by layer."""
        return {name: shape for layer in self.layers for name, shape in layer.parameter_shapes.items()}

    @property
    def weight_names(self) -> tuple[str, ...]:
        """The names of the weight matrices, layer by layer."""
        return tuple(f"{layer.prefix}weight" for layer in self.layers)

    @property
    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of all statistics that ops keep while training, layer by layer."""
        return {name: shape for layer in self.layers for name, shape in layer.state_shapes.items()}

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every tensor of a model: parameters, and behind them statistics."""
        return self.parameter_shapes | self.state_shapes

    def forward(self, parameters: Mapping[str, Tensor], x: Tensor, *, mode: TrainingMode | None = None) -> Tensor:
        """The outputs (n, outputs) for inputs (n, inputs) in the dtype of the parameters; autograd can follow.

        ``mode`` is given in training steps alone.
        """
        for layer in self.layers:
            x = layer.forward(parameters, x, mode=mode)
        return x
