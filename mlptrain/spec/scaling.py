"""How inputs are scaled: a word, or given numbers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from mlptrain.spec.base import Section


class FixedScaling(Section):
    """Given numbers: x becomes (x / maximum − mean) / std."""

    mean: float = Field(ge=-1e30, le=1e30, description="Subtracted after dividing by the data's maximum.")
    std: float = Field(ge=1e-30, le=1e30, description="Divided by, after the mean is subtracted.")


SCALING_FORMS = ("word", "numbers")  # tags of the union that is discriminated by type


def _scaling_form(value: object) -> str:
    return "numbers" if isinstance(value, (dict, FixedScaling)) else "word"


NumbersOrWord = Discriminator(_scaling_form)
_Numbers = Annotated[FixedScaling, Tag("numbers")]
ImageScaling = Annotated[Annotated[Literal["none", "unit", "standard"], Tag("word")] | _Numbers, NumbersOrWord]
PlainScaling = Annotated[Annotated[Literal["none", "standard"], Tag("word")] | _Numbers, NumbersOrWord]
