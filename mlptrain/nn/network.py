"""A multi-layer perceptron as a pure function of its parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor
from torch.nn import functional

from mlptrain.nn.noise import TrainingMode
from mlptrain.nn.ops.base import Op
from mlptrain.nn.ops.embeddings import Embedding


@dataclass(frozen=True)
class Layer:
    """z = x Wᵀ + b, then its ops one after the other; a ``residual`` layer adds x to what they give.

    x goes through the ``embedding`` and then the ops ``before`` first, which the first layer alone may have. Its
    parameters are ``weight`` (outputs, inputs), ``bias`` (outputs,) unless that is left out, those of the ops and of
    the embedding, each with ``prefix`` in front; so are the statistics that these keep.
    """

    index: int
    inputs: int
    outputs: int
    bias: bool
    ops: tuple[Op, ...]
    before: tuple[Op, ...] = ()
    residual: bool = False
    embedding: Embedding | None = None

    @property
    def prefix(self) -> str:
        """``layers.<index>.``."""
        return f"layers.{self.index}."

    @property
    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Every parameter's shape, by its whole name: weight, bias, those of the ops and of the embedding."""
        shapes: dict[str, tuple[int, ...]] = {"weight": (self.outputs, self.inputs)}
        shapes |= {"bias": (self.outputs,)} if self.bias else {}
        for op in self.ops:
            shapes |= op.parameter_shapes(self.outputs)
        shapes |= {} if self.embedding is None else self.embedding.parameter_shapes
        return {self.prefix + name: shape for name, shape in shapes.items()}

    @property
    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of all statistics that its ops and its embedding keep, by their whole names."""
        shapes: dict[str, tuple[int, ...]] = {}
        for op in self.ops:
            shapes |= op.state_shapes(self.outputs)
        shapes |= {} if self.embedding is None else self.embedding.state_shapes
        return {self.prefix + name: shape for name, shape in shapes.items()}

    def read(self, parameters: Mapping[str, Tensor], x: Tensor, *, mode: TrainingMode | None = None) -> Tensor:
        """What the product reads (n, inputs): x itself, but for an embedding and ops ``before``."""
        if self.embedding is not None:
            x = self.embedding(x, self.of_embedding(parameters))
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
        """What the next layer reads, (n, outputs), for what this one is given; ``mode`` is that of Op.apply."""
        y = self.activate(parameters, self.product(parameters, self.read(parameters, x, mode=mode)), mode=mode)
        return y + x if self.residual else y

    def of_embedding(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What the embedding learns and what was fitted for it, by their names there."""
        found = self.embedding
        names = () if found is None else (*found.parameter_shapes, *found.state_shapes)
        return {name: parameters[self.prefix + name] for name in names}

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

    def fit_(self, parameters: Mapping[str, Tensor], rows: Callable[[], Tensor] | Mapping[str, Tensor] | None) -> None:
        """Fit the statistics of embeddings to what ``rows`` gives, the training rows (n, columns), in place.

        Or copy them from tensors by their names. Raises ValueError where there are some and ``rows`` is None.
        """
        for layer in self.layers:
            if layer.embedding is None or not layer.embedding.state_shapes:
                continue
            if rows is None:
                raise ValueError("an embedding has statistics to fit, and no training rows are given")
            if isinstance(rows, Mapping):
                for name in layer.embedding.state_shapes:
                    parameters[layer.prefix + name].copy_(rows[layer.prefix + name])
            else:
                layer.embedding.fit_(layer.of_embedding(parameters), rows())

    def forward(self, parameters: Mapping[str, Tensor], x: Tensor, *, mode: TrainingMode | None = None) -> Tensor:
        """The outputs (n, outputs) for inputs (n, columns) in the dtype of the parameters; autograd can follow.

        ``mode`` is given in training steps alone.
        """
        for layer in self.layers:
            x = layer.forward(parameters, x, mode=mode)
        return x
