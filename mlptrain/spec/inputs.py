"""What the columns of the matrix that a network reads are, and how they are embedded before the first product."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from mlptrain.spec.base import Section, ShortForm, ShortName, count_or

MAX_SIZE = 4096  # numbers that a column becomes
MAX_PARTS = 4096  # frequencies or bins of a column
MAX_SIGMA = 1e4


@dataclass(frozen=True)
class InputLayout:
    """The columns of the matrix that a network reads: ``width`` of them.

    ``numeric`` are the positions of numbers, ``coded`` those of categories, each with its number of slots: the column
    holds a slot, 0 … slots − 1, or −1 for none. Everything else, such as indicators and one-hot columns, is read as it
    is.
    """

    width: int
    numeric: tuple[int, ...]
    coded: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of_numbers(cls, width: int) -> InputLayout:
        """Every column is a number."""
        return cls(width, tuple(range(width)))


class NoEmbedding(Section):
    """Numbers as they are."""

    name: Literal["none"]


class _NumericEmbedding(Section):
    def parameter_shapes(self, columns: int) -> dict[str, tuple[int, ...]]:
        """Shapes of what it learns for so many columns, by name."""
        raise NotImplementedError

    def state_shapes(self, columns: int) -> dict[str, tuple[int, ...]]:  # noqa: ARG002
        """Shapes of what is fitted on the training rows before training and stays, by name."""
        return {}


def _linear(columns: int, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    """A linear layer of its own for every column."""
    return {"numeric_weight": (columns, outputs, inputs), "numeric_bias": (columns, outputs)}


_Size = Annotated[int, Field(ge=1, le=MAX_SIZE, description="Numbers that a column becomes.")]
_Parts = Annotated[int, Field(ge=1, le=MAX_PARTS)]
_ReLU = Annotated[bool, Field(description="A ReLU at the end.")]


class Periodic(_NumericEmbedding):
    """Cosines and sines of learnt frequencies, then a linear layer of its own for each column, then ReLU.

    Gorishniy, Rubachev & Babenko, On embeddings for numerical features in tabular deep learning (2022), "PLR".
    """

    name: Literal["periodic"]
    frequencies: _Parts = Field(48, description="Of each column; each has a cosine and a sine.")
    sigma: float = Field(
        0.1, gt=0, le=MAX_SIGMA, description="Standard deviation of the frequencies before training; tune it."
    )
    size: _Size = 16
    relu: _ReLU = True

    def parameter_shapes(self, columns: int) -> dict[str, tuple[int, ...]]:
        """Frequencies and the linear layers."""
        return {
            "numeric_frequencies": (columns, self.frequencies),
            **_linear(columns, 2 * self.frequencies, self.size),
        }


class PiecewiseLinear(_NumericEmbedding):
    """How far a number lies in each of the bins between quantiles of the training rows, then a linear layer.

    Gorishniy, Rubachev & Babenko (2022), "Q-L", with ``relu`` "Q-LR": the linear layer is each column's own.
    """

    name: Literal["piecewise_linear"]
    bins: _Parts = Field(48, description="Of each column, with as many training rows each; fewer where values repeat.")
    size: _Size = 12
    relu: _ReLU = False

    def parameter_shapes(self, columns: int) -> dict[str, tuple[int, ...]]:
        """The linear layers."""
        return _linear(columns, self.bins, self.size)

    def state_shapes(self, columns: int) -> dict[str, tuple[int, ...]]:
        """Edges of the bins, ascending; where there are fewer the last one repeats."""
        return {"numeric_edges": (columns, self.bins + 1)}


class PBLD(_NumericEmbedding):
    """The number itself, and a linear layer of cosines with learnt frequencies and phases, one for each column.

    Holzmüller, Grinsztajn & Steinwart, Better by default: strong pre-tuned MLPs and boosted trees on tabular data
    (2024).
    """

    name: Literal["pbld"]
    frequencies: _Parts = Field(16, description="Of each column.")
    sigma: float = Field(
        0.1, gt=0, le=MAX_SIGMA, description="Standard deviation of the frequencies before training; tune it."
    )
    size: int = Field(4, ge=2, le=MAX_SIZE, description="Numbers that a column becomes, itself among them.")

    def parameter_shapes(self, columns: int) -> dict[str, tuple[int, ...]]:
        """Frequencies, phases and the linear layers."""
        return {
            "numeric_frequencies": (columns, self.frequencies),
            "numeric_phases": (columns, self.frequencies),
            **_linear(columns, self.frequencies, self.size - 1),
        }


NumericEmbedding = Periodic | PiecewiseLinear | PBLD
NumericEmbeddingSpec = Annotated[
    NoEmbedding | Periodic | PiecewiseLinear | PBLD, Field(discriminator="name"), ShortName()
]


class CategoryEmbedding(Section):
    """A learnt vector for every slot of a category; nothing, all zeros, for a level without training rows."""

    size: Annotated[
        int | Literal["auto"],
        count_or("auto", most=MAX_SIZE),
        Field(description="Length of the vectors. auto: 1.6 × slots^0.56, rounded, at most 600, by column, as fastai."),
    ] = "auto"

    def size_of(self, slots: int) -> int:
        """The length of the vectors of a column.

        ``auto`` is ``emb_sz_rule`` of Howard & Gugger, fastai: a layered API for deep learning (2020).
        """
        return min(600, round(1.6 * slots**0.56)) if isinstance(self.size, str) else self.size


CategoryEmbeddingSpec = Annotated[
    CategoryEmbedding,
    ShortForm(
        lambda value: {"size": value} if isinstance(value, (int, str)) else value,
        (int, str, dict, CategoryEmbedding),
        "a length of the vectors such as 8, the word auto, or a mapping such as {size: 8}",
        ({"type": "integer", "minimum": 1, "maximum": MAX_SIZE}, {"const": "auto"}),
    ),
]


class Embeddings(NamedTuple):
    """How the columns of a layout become what the first product reads.

    That are, in this order: every numeric column embedded, one after the other; the vectors of the categories; all
    other columns as they are, in their order, numbers among them where these are not embedded. ``sizes`` are the
    lengths of the categories' vectors.
    """

    layout: InputLayout
    numeric: NumericEmbedding | None
    sizes: tuple[int, ...]

    @property
    def passed(self) -> tuple[int, ...]:
        """The positions of what is read as it is."""
        taken = {position for position, _ in self.layout.coded}
        taken |= set(self.layout.numeric) if self.numeric is not None else set()
        return tuple(position for position in range(self.layout.width) if position not in taken)

    @property
    def parts(self) -> list[int]:
        """How many numbers every column becomes, in the order in which the first product reads them."""
        numbers = [] if self.numeric is None else [self.numeric.size] * len(self.layout.numeric)
        return [*numbers, *self.sizes, *(1 for _ in self.passed)]

    @property
    def width(self) -> int:
        """Of what the first product reads."""
        return sum(self.parts)

    @property
    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of what is learnt: of the numeric embedding, and ``category_0`` (slots, size) and so on."""
        shapes = {} if self.numeric is None else self.numeric.parameter_shapes(len(self.layout.numeric))
        coded = zip(self.layout.coded, self.sizes, strict=True)
        return shapes | {f"category_{index}": (slots, size) for index, ((_, slots), size) in enumerate(coded)}

    @property
    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of what is fitted on the training rows before training."""
        return {} if self.numeric is None else self.numeric.state_shapes(len(self.layout.numeric))
