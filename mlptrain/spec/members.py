"""``model.members``: several members in one network, an ensemble that trains as one."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from mlptrain.spec.base import Section, ShortForm

MAX_MEMBERS = 1024


class MemberLayer(NamedTuple):
    """What a layer has for each of its members besides what it shares.

    ``scales_inputs``: a factor for everything that its product reads. ``scales_outputs``: a factor for everything that
    the product gives, and a bias. ``apart``: weights and biases of their own. The layer ``first`` is given rows that
    all members share, and later ones rows of each.
    """

    k: int
    first: bool
    scales_inputs: bool
    scales_outputs: bool
    apart: bool

    def shapes(self, inputs: int, outputs: int, *, bias: bool) -> dict[str, tuple[int, ...]]:
        """Shapes of weight, bias and factors, by name; weights apart lie below one another, member by member."""
        units = self.k * outputs if self.apart else outputs
        shapes: dict[str, tuple[int, ...]] = {"weight": (units, inputs)}
        if bias:
            shapes["bias"] = (self.k, outputs) if self.scales_outputs else (units,)
        if self.scales_inputs:
            shapes["input_scale"] = (self.k, inputs)
        if self.scales_outputs:
            shapes["output_scale"] = (self.k, outputs)
        return shapes

    def described(self) -> str:
        """``4 members: scaled inputs and outputs``."""
        scaled = " and ".join(["inputs"] * self.scales_inputs + ["outputs"] * self.scales_outputs)
        parts = [f"scaled {scaled}"] * bool(scaled) + ["weights of their own"] * self.apart
        return f"{self.k} members: {', '.join(parts)}"


class Members(Section):
    """Members that share the weights of the hidden layers. Gorishniy, Kotelnikov & Babenko, TabM (2025).

    Each has an output layer of its own. What is minimised is the mean of their losses; the network's prediction, and so
    every figure, is the mean of their probabilities, or of their values.
    """

    k: int = Field(1, ge=1, le=MAX_MEMBERS, description="How many; 32 is usual, 1 is one network.")
    kind: Literal["tabm", "mini"] = Field(
        "tabm",
        description="How they differ: tabm: factors of every hidden layer's inputs and outputs, and biases; "
        "mini: factors of the first layer's inputs.",
    )

    def layer(self, index: int, last: int) -> MemberLayer | None:
        """What layer ``index`` of 0 … ``last`` has for each member; None where there is nothing."""
        if self.k == 1:
            return None
        first, apart, whole = index == 0, index == last, self.kind == "tabm" and index < last
        return MemberLayer(self.k, first, first or whole, whole, apart) if first or whole or apart else None


MembersSpec = Annotated[
    Members,
    ShortForm(
        lambda value: {"k": value} if isinstance(value, int) else value,
        (int, dict, Members),
        "a number of members such as 32, or a mapping such as {k: 32, kind: mini}",
        ({"type": "integer", "minimum": 1, "maximum": MAX_MEMBERS},),
    ),
]
