"""A multi-layer perceptron as a pure function of its parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

from mlptrain.nn.losses import Loss
from mlptrain.nn.noise import TrainingMode
from mlptrain.nn.ops.base import Op
from mlptrain.nn.ops.dropout import Dropout, OwnDropout
from mlptrain.nn.ops.embeddings import Embedding
from mlptrain.spec.members import MemberLayer


@dataclass(frozen=True)
class Layer:
    """z = x Wᵀ + b, then its ops one after the other; a ``residual`` layer adds x to what they give.

    x goes through the ``embedding`` and then the ops ``before`` first, which the first layer alone may have. Its
    parameters are ``weight`` (outputs, inputs), ``bias`` (outputs,) unless that is left out, those of the ops and of
    the embedding, each with ``prefix`` in front; so are the statistics that these keep.

    ``members`` says what a layer of a network with k members has for each of them. Rows of several members are
    (k·n, …), those of the first member first.
    """

    index: int
    inputs: int
    outputs: int
    bias: bool
    ops: tuple[Op, ...]
    before: tuple[Op, ...] = ()
    residual: bool = False
    embedding: Embedding | None = None
    members: MemberLayer | None = None

    @property
    def prefix(self) -> str:
        """``layers.<index>.``."""
        return f"layers.{self.index}."

    @property
    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Every parameter's shape, by its whole name: weight, bias, those of the ops and of the embedding."""
        if self.members is not None:
            shapes = self.members.shapes(self.inputs, self.outputs, bias=self.bias)
        else:
            shapes = {"weight": (self.outputs, self.inputs)} | ({"bias": (self.outputs,)} if self.bias else {})
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
        """What the product reads (…, n, inputs): x itself, but for an embedding, members, and ops ``before``."""
        if self.embedding is not None:
            x = self.embedding(x, self.of_embedding(parameters))
        if self.members is not None and self.members.scales_inputs:
            of_each = x.unsqueeze(-3) if self.members.first else by_member(x, self.members.k)
            x = (of_each * parameters[f"{self.prefix}input_scale"].unsqueeze(1)).flatten(-3, -2)
        for op in self.before:
            x = op.apply(x.t(), (), mode=mode).t()  # whose noise lies as the rows do
        return x

    def product(self, parameters: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """z (…, n, outputs) for what ``read`` gives (…, n, inputs)."""
        bias, weight = parameters[f"{self.prefix}bias"] if self.bias else None, parameters[f"{self.prefix}weight"]
        if self.members is None or not (self.members.scales_outputs or self.members.apart):
            return functional.linear(x, weight, bias)
        k = self.members.k
        if self.members.apart:
            z = by_member(x, k) @ by_member(weight, k).mT
        else:
            z = by_member(functional.linear(x, weight), k) * parameters[f"{self.prefix}output_scale"].unsqueeze(1)
        return (z if bias is None else z + bias.view(k, 1, -1)).flatten(-3, -2)

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
        return self.close(parameters, self.product(parameters, self.read(parameters, x, mode=mode)), x, mode=mode)

    def close(
        self, parameters: Mapping[str, Tensor], z: Tensor, x: Tensor, *, mode: TrainingMode | None = None
    ) -> Tensor:
        """The rest of ``forward`` behind its product z."""
        y = self.activate(parameters, z, mode=mode)
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
    """Fully connected layers, each of which reads what the one before gives; one alone is a linear model.

    A network may have ``members``, whose outputs ``rows`` gives, and whose prediction is the mean of theirs: of the
    probabilities that the ``link``, softmax or sigmoid, makes of outputs, or without it of the outputs themselves.
    """

    def __init__(self, layers: Sequence[Layer], *, link: str = "") -> None:
        self.layers, self.link = tuple(layers), link
        self.widths = (self.layers[0].inputs, *(layer.outputs for layer in self.layers))
        of_first = self.layers[0].members
        self.members = 1 if of_first is None else of_first.k

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

    def of_model(self, index: int) -> MLP:
        """The network of one of the models that train together, whose dropout rates may differ."""
        if not any(isinstance(op, OwnDropout) for op in self._dropouts()):
            return self
        layers = (replace(one, ops=_of(one.ops, index), before=_of(one.before, index)) for one in self.layers)
        return MLP(list(layers), link=self.link)

    def draws(self, model: int) -> tuple[bool, ...]:
        """Which of its dropouts draw for one of the models that train together."""
        return tuple(bool(op.rate(model)) for op in self._dropouts())

    def _dropouts(self) -> Iterator[Dropout]:
        return (op for layer in self.layers for op in (*layer.before, *layer.ops) if isinstance(op, Dropout))

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

        ``mode`` is given in training steps alone. Of several members they are those of ``combined``.
        """
        return self.combined(self.rows(parameters, x, mode=mode))

    def rows(self, parameters: Mapping[str, Tensor], x: Tensor, *, mode: TrainingMode | None = None) -> Tensor:
        """The outputs of all members, one below the other, (members·n, outputs)."""
        for layer in self.layers:
            x = layer.forward(parameters, x, mode=mode)
        return x

    def combined(self, rows: Tensor) -> Tensor:
        """One output (n, outputs) for those of all members: the logits of the mean of their probabilities.

        Under softmax these are the logarithms of the mean, which softmax turns back into it; under sigmoid log p −
        log(1 − p). So loss, hits, further figures, calibration and prediction read the ensemble as they read one
        network, and none of them knows of members. The loss of the mean is no more than the mean of the losses.
        """
        if self.members == 1:
            return rows
        of_members = by_member(rows, self.members)
        if self.link == "softmax":
            return torch.logsumexp(of_members.log_softmax(dim=-1), dim=0) - math.log(self.members)
        if self.link == "sigmoid":
            yes, no = (torch.logsumexp(functional.logsigmoid(sign * of_members), dim=0) for sign in (1, -1))
            return yes - no
        return of_members.mean(dim=0)

    def repeated(self, targets: Tensor) -> Tensor:
        """Targets (n, …) for the rows of all members, (members·n, …)."""
        return targets if self.members == 1 else targets.repeat(self.members, *(1 for _ in targets.shape[1:]))

    def objective(self, loss: Loss, rows: Tensor, targets: Tensor) -> Tensor:
        """The mean over the members of the objective, of shape (); targets are those of n rows."""
        return loss(rows, self.repeated(targets)) * self.share(loss)

    def share(self, loss: Loss) -> float:
        """What makes a mean over the members of what the loss makes of all their rows."""
        return 1 / self.members if loss.section.reduction == "sum" else 1.0


def by_member(rows: Tensor, members: int) -> Tensor:
    """Rows of all members (…, members·n, width) as (…, members, n, width)."""
    return rows.reshape(*rows.shape[:-2], members, -1, rows.shape[-1])


def together(networks: Sequence[MLP]) -> MLP:
    """One network for models that train together, whose own networks differ in rates of dropout alone."""
    layers = []
    for of_layer in zip(*(network.layers for network in networks), strict=True):
        ops, before = _together([one.ops for one in of_layer]), _together([one.before for one in of_layer])
        layers.append(replace(of_layer[0], ops=ops, before=before))
    return MLP(layers, link=networks[0].link)


def _together(of_models: Sequence[tuple[Op, ...]]) -> tuple[Op, ...]:
    """Ops that differ in dropout, of which each model has one or none."""
    rates = tuple(sum(op.p for op in ops if isinstance(op, Dropout)) for ops in of_models)
    if len(set(rates)) == 1:
        return of_models[0]
    return tuple(OwnDropout(each=rates) if isinstance(op, Dropout) else op for op in max(of_models, key=len))


def _of(ops: Sequence[Op], model: int) -> tuple[Op, ...]:
    """Those of one model."""
    own = (Dropout(op.rate(model)) if isinstance(op, Dropout) else op for op in ops)
    return tuple(op for op in own if not (isinstance(op, Dropout) and not op.p))
