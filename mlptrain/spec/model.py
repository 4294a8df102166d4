"""The ``model`` section: layer widths, activations, initial values."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from mlptrain.spec.base import Section, ShortName, positive_or, rate_or_rates
from mlptrain.spec.inputs import (
    CategoryEmbedding,
    CategoryEmbeddingSpec,
    Embeddings,
    InputLayout,
    NoEmbedding,
    NumericEmbeddingSpec,
)
from mlptrain.spec.members import Members, MembersSpec

MAX_WIDTH = 65_536
MAX_LAYERS = 200
MAX_PARAMETERS = 2**30  # 4 GiB of float32 weights, and as much again for gradients and each optimizer buffer


class Op(Section):
    """What follows the product of a layer."""

    def parameter_shapes(self, width: int) -> dict[str, tuple[int, ...]]:  # noqa: ARG002
        """Shapes of its own parameters in a layer of ``width`` units, by name."""
        return {}

    def state_shapes(self, width: int) -> dict[str, tuple[int, ...]]:  # noqa: ARG002
        """Shapes of the statistics that it keeps while training, by name."""
        return {}


class PlainActivation(Op):
    """An activation without settings; arctan is atan(z), gelu is z·Φ(z), silu is z·σ(z), selu a scaled elu."""

    name: Literal["relu", "selu", "sigmoid", "tanh", "arctan", "gelu", "silu", "identity"]


class LeakyReLU(Op):
    """max(z, 0) + slope·min(z, 0)."""

    name: Literal["leaky_relu"]
    slope: float = Field(0.01, ge=-10, le=10, description="Slope for z < 0.")


class ELU(Op):
    """z for z > 0, else alpha·(eᶻ − 1)."""

    name: Literal["elu"]
    alpha: float = Field(1.0, ge=-1000, le=1000, description="Minus the limit for z → −∞.")


class PReLU(Op):
    """Leaky ReLU whose slope is learnt, one per layer."""

    name: Literal["prelu"]
    slope: float = Field(0.25, ge=-10, le=10, description="The slope before training.")

    def parameter_shapes(self, width: int) -> dict[str, tuple[int, ...]]:  # noqa: ARG002
        """One slope for all units."""
        return {"slope": ()}


class Softplus(Op):
    """log(1 + e^(beta·z)) / beta."""

    name: Literal["softplus"]
    beta: float = Field(1.0, gt=0, le=1000, description="Sharpness: the larger, the closer to relu.")


class Dropout(Op):
    """In training steps every value is 0 with probability p, and the others are divided by 1 − p."""

    name: Literal["dropout"]
    p: float = Field(ge=0, lt=1)


class NoNorm(Section):
    """No normalisation."""

    name: Literal["none"]


class _Norm(Op):
    eps: float = Field(1e-5, gt=0, le=1, description="Added to the variance.")

    def parameter_shapes(self, width: int) -> dict[str, tuple[int, ...]]:
        """A scale and a shift for every unit."""
        return {"norm_weight": (width,), "norm_bias": (width,)}


class BatchNorm(_Norm):
    """Every unit over the batch (Ioffe & Szegedy, 2015), outside of training steps with running statistics."""

    name: Literal["batch"]
    momentum: float = Field(0.1, gt=0, le=1, description="How far a step moves the running statistics to its own.")

    def state_shapes(self, width: int) -> dict[str, tuple[int, ...]]:
        """Mean and variance of every unit."""
        return {"running_mean": (width,), "running_var": (width,)}


class LayerNorm(_Norm):
    """Every example over the units of the layer (Ba, Kiros & Hinton, 2016)."""

    name: Literal["layer"]


NormSpec = Annotated[NoNorm | BatchNorm | LayerNorm, Field(discriminator="name"), ShortName()]
Rate = Annotated[float, Field(ge=0, lt=1)]


ActivationSpec = Annotated[
    PlainActivation | LeakyReLU | ELU | PReLU | Softplus, Field(discriminator="name"), ShortName()
]


class DefaultInit(Section):
    """torch's own for linear layers: U(−1/√fan_in, 1/√fan_in) for weights and biases."""

    name: Literal["default"]


class NormalInit(Section):
    """Weights from N(0, std)."""

    name: Literal["normal"]
    std: Annotated[
        float | Literal["fan_in"],
        positive_or("fan_in"),
        Field(description="Standard deviation, or fan_in for 1/√fan_in."),
    ] = 1.0
    bias: Literal["zeros", "normal"] = Field("zeros", description="Biases zero, or from N(0, std) like the weights.")


class ScaledInit(Section):
    """Glorot & Bengio (2010) with gain 1, or He et al. (2015) with the gain of the hidden slope; zero biases."""

    name: Literal["xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal"]


class FileInit(Section):
    """Weights from a run folder, a checkpoint, or a .npz or safetensors file, the same for every seed."""

    name: Literal["file"]
    path: str = Field(min_length=1, description="Starts from this file's folder; ~ is the home folder.")
    sha256: str | None = Field(
        None,
        pattern=r"^[0-9a-f]{64}$",
        description="Of the weights as float32, which are refused where it is another. A run records it.",
    )


InitSpec = Annotated[DefaultInit | NormalInit | ScaledInit | FileInit, Field(discriminator="name"), ShortName()]


class LayerSpec(NamedTuple):
    """The sections of what comes before and after a layer's product, in order.

    A ``residual`` layer adds its input to its output where the widths agree.
    """

    before: Sequence[Op]
    ops: Sequence[Op]
    residual: bool = False


class ModelSpec(Section):
    """A multi-layer perceptron; the input and output widths follow from data and loss."""

    hidden: list[Annotated[int, Field(ge=1, le=MAX_WIDTH)]] = Field(
        max_length=MAX_LAYERS, description="Widths of the hidden layers; [] is a linear model."
    )
    activation: ActivationSpec = Field(PlainActivation(name="relu"), description="After every hidden layer.")
    output_activation: ActivationSpec = Field(
        PlainActivation(name="identity"), description="After the last layer; the losses read logits, so identity."
    )
    bias: bool = Field(True, description="Whether layers have biases.")
    norm: NormSpec = Field(NoNorm(name="none"), description="Before every hidden activation.")
    output_norm: NormSpec = Field(NoNorm(name="none"), description="Before the output activation.")
    dropout: Annotated[
        float | list[float],
        rate_or_rates(),
        Field(description="Share of values dropped after every hidden activation, one for all layers or one for each."),
    ] = 0.0
    input_dropout: Rate = Field(0.0, description="Share of inputs dropped; of embedded ones, after their embedding.")
    residual: bool = Field(
        False, description="Hidden layers add their input to their output, from the second on where the widths agree."
    )
    numeric_embedding: NumericEmbeddingSpec = Field(
        NoEmbedding(name="none"), description="What every number becomes before the first layer."
    )
    embedding: CategoryEmbeddingSpec = Field(
        CategoryEmbedding(), description="The vectors that stand for categories whose encoding is embedding."
    )
    members: MembersSpec = Field(
        Members(), description="Members of an ensemble that trains as one network: {k: 32, kind: tabm or mini}, or k."
    )
    init: InitSpec = Field(DefaultInit(name="default"), description="Initial weights.")

    @model_validator(mode="after")
    def _dropped_in_every_layer(self) -> Self:
        if isinstance(self.dropout, list) and len(self.dropout) != len(self.hidden):
            rates, layers = len(self.dropout), len(self.hidden)
            detail = {
                "rates": f"{rates} rate{'s' * (rates != 1)}",
                "layers": f"{layers} hidden layer{'s' * (layers != 1)}",
            }
            message = "has {rates} for {layers}; give one for each, or a number"
            raise PydanticCustomError("at:dropout", message, detail)
        return self

    def rates(self) -> list[float]:
        """The dropout rate of every hidden layer."""
        return self.dropout if isinstance(self.dropout, list) else [self.dropout] * len(self.hidden)

    def layer(self, index: int) -> LayerSpec:
        """What layer ``index``, counted from 0, does besides its product."""
        before = [Dropout(name="dropout", p=self.input_dropout)] if self.input_dropout and not index else []
        last = index == len(self.hidden)
        norm = self.output_norm if last else self.norm
        norms: list[Op] = [] if isinstance(norm, NoNorm) else [norm]
        if last:
            return LayerSpec(before, [*norms, self.output_activation])
        rate = self.rates()[index]
        dropped = [Dropout(name="dropout", p=rate)] if rate else []
        return LayerSpec(before, [*norms, self.activation, *dropped], residual=self.residual and index > 0)

    def embeddings(self, layout: InputLayout) -> Embeddings | None:
        """What comes before the first product; None where it reads all columns as they are."""
        numeric = None if isinstance(self.numeric_embedding, NoEmbedding) else self.numeric_embedding
        if numeric is None and not layout.coded:
            return None
        return Embeddings(layout, numeric, tuple(self.embedding.size_of(slots) for _, slots in layout.coded))

    def widths(self, layout: InputLayout, outputs: int) -> tuple[int, ...]:
        """Layer widths from what the first product reads to the outputs."""
        embeddings = self.embeddings(layout)
        return (layout.width if embeddings is None else embeddings.width, *self.hidden, outputs)

    def parameter_shapes(self, layout: InputLayout, outputs: int) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the parameter tensors, in their order.

        Layer i has ``layers.i.weight`` (outputs, inputs), ``layers.i.bias`` (outputs,), what it has for each member,
        and what its ops learn; the first one also what embeddings before it learn.
        """
        shapes: dict[str, tuple[int, ...]] = {}
        for index, (inputs, width) in enumerate(pairwise(self.widths(layout, outputs))):
            of_members = self.members.layer(index, len(self.hidden))
            if of_members is not None:
                own = of_members.shapes(inputs, width, bias=self.bias)
            else:
                own = {"weight": (width, inputs)} | ({"bias": (width,)} if self.bias else {})
            for op in self.layer(index).ops:
                own |= op.parameter_shapes(width)
            if not index and (embeddings := self.embeddings(layout)) is not None:
                own |= embeddings.parameter_shapes
            shapes |= {f"layers.{index}.{name}": shape for name, shape in own.items()}
        return shapes

    def state_shapes(self, layout: InputLayout, outputs: int) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the statistics that ops keep, such as ``layers.i.running_mean`` (outputs,)."""
        shapes: dict[str, tuple[int, ...]] = {}
        for index, width in enumerate(self.widths(layout, outputs)[1:]):
            own: dict[str, tuple[int, ...]] = {}
            for op in self.layer(index).ops:
                own |= op.state_shapes(width)
            if not index and (embeddings := self.embeddings(layout)) is not None:
                own |= embeddings.state_shapes
            shapes |= {f"layers.{index}.{name}": shape for name, shape in own.items()}
        return shapes
