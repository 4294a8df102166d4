"""The ``model`` section: layer widths, activations, initial values."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field

from mlptrain.spec.base import Section, ShortName, positive_or

MAX_WIDTH = 65_536
MAX_LAYERS = 200
MAX_PARAMETERS = 2**30  # 4 GiB of float32 weights, and as much again for gradients and each optimizer buffer


class Op(Section):
    """What follows the product of a layer."""

    def parameter_shapes(self, width: int) -> dict[str, tuple[int, ...]]:  # noqa: ARG002
        """Shapes of its own parameters in a layer of ``width`` units, by name."""
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
    dropout: float = Field(0.0, ge=0, lt=1, description="Share of values dropped after every hidden activation.")
    init: InitSpec = Field(DefaultInit(name="default"), description="Initial weights.")

    def layer_ops(self, *, last: bool) -> list[Op]:
        """The sections of what follows the product of a hidden layer, or of the last one, in order."""
        if last:
            return [self.output_activation]
        return [self.activation, *([Dropout(name="dropout", p=self.dropout)] if self.dropout else [])]

    def parameter_shapes(self, widths: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the parameter tensors, in their order.

        ``widths`` run from the inputs to the outputs. Layer i has ``layers.i.weight`` (outputs, inputs),
        ``layers.i.bias`` (outputs,) and what its ops learn.
        """
        shapes: dict[str, tuple[int, ...]] = {}
        for index, (inputs, outputs) in enumerate(pairwise(widths)):
            own: dict[str, tuple[int, ...]] = {"weight": (outputs, inputs)}
            if self.bias:
                own["bias"] = (outputs,)
            for op in self.layer_ops(last=index == len(widths) - 2):
                own |= op.parameter_shapes(outputs)
            shapes |= {f"layers.{index}.{name}": shape for name, shape in own.items()}
        return shapes
