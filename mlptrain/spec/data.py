"""The ``data`` section: which examples, how many, how scaled. What follows from it is counted here, without loading."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from mlptrain.sources.published import IMAGE_DATASETS, ImageFacts
from mlptrain.spec.base import Section, ShortName, count_or_fraction

MOST_ROWS = 10_000_000
MOST_DRAWN_NUMBERS = 2**30  # 4 GiB of float32


class FixedScaling(Section):
    """Given numbers: x becomes (x / maximum − mean) / std."""

    mean: float = Field(ge=-1e30, le=1e30, description="Subtracted after dividing by the data's maximum.")
    std: float = Field(ge=1e-30, le=1e30, description="Divided by, after the mean is subtracted.")


SCALING_FORMS = ("word", "numbers")  # tags of the union that is told apart by its type


def _scaling_form(value: object) -> str:
    return "numbers" if isinstance(value, (dict, FixedScaling)) else "word"


NumbersOrWord = Discriminator(_scaling_form)
ImageScaling = Annotated[
    Annotated[Literal["none", "unit", "standard"], Tag("word")] | Annotated[FixedScaling, Tag("numbers")],
    NumbersOrWord,
]
PlainScaling = Annotated[
    Annotated[Literal["none", "standard"], Tag("word")] | Annotated[FixedScaling, Tag("numbers")],
    NumbersOrWord,
]
Classes = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=2)]
Validation = Annotated[
    int | float,
    count_or_fraction(most=MOST_ROWS),
    Field(description="Rows drawn from the training rows by the seed: a count, or a fraction below 1; 0 is none."),
]


class _Data(Section):
    """What every data set answers before it is loaded."""

    validation: Validation = 0.1

    @property
    def input_width(self) -> int:
        """Numbers of one example."""
        raise NotImplementedError

    @property
    def all_class_names(self) -> tuple[str, ...]:
        """Names of every class; empty where targets are numbers."""
        return ()

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes in use, in the order of their labels; empty where targets are numbers."""
        return self.all_class_names

    @property
    def train_rows(self) -> int:
        """Training rows before the validation rows are split off."""
        raise NotImplementedError

    @property
    def test_rows(self) -> int:
        """Test rows; generated data have none."""
        return 0

    @property
    def validation_rows(self) -> int:
        """Rows that ``validation`` takes from the training rows."""
        return self.validation if isinstance(self.validation, int) else round(self.validation * self.train_rows)


class _Classes(_Data):
    """Data of which ``classes`` may choose some."""

    classes: Classes | None = Field(
        None, description="A subset of the classes, relabelled 0..k-1 in the order given. Default: all."
    )

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes in use, in the order of their labels."""
        names = self.all_class_names
        return names if self.classes is None else tuple(names[index] for index in self.classes)

    @model_validator(mode="after")
    def _classes_exist_once(self) -> Self:
        chosen, total = self.classes or [], len(self.all_class_names)
        if any(index >= total for index in chosen) or len(set(chosen)) < len(chosen):
            wanted = {"most": total - 1}
            raise PydanticCustomError("at:classes", "must name classes from 0 to {most}, each once", wanted)
        return self


class ImageData(_Classes):
    """Small grey images: MNIST, Fashion-MNIST, or scikit-learn's bundled digits."""

    name: Literal["mnist", "fashion_mnist", "digits"]
    train_size: int | None = Field(
        None, ge=1, le=MOST_ROWS, description="Only the first n training rows as stored. Default: all."
    )
    test_size: int | None = Field(
        None, ge=1, le=MOST_ROWS, description="Only the first n test rows as stored. Default: all."
    )
    scaling: ImageScaling = Field(
        "unit",
        description="none; unit: divide by the data's maximum; standard: one mean and one std over the whole training "
        "set; or {mean: …, std: …} after dividing by the maximum.",
    )

    @property
    def facts(self) -> ImageFacts:
        """What is known of the published files."""
        return IMAGE_DATASETS[self.name]

    @property
    def input_width(self) -> int:
        """Pixels of one image."""
        return self.facts.n_features

    @property
    def all_class_names(self) -> tuple[str, ...]:
        """Names of all classes of the data set."""
        return self.facts.class_names

    def stored_rows(self, counts: tuple[int, ...]) -> int:
        """Rows of the chosen classes, before ``train_size`` or ``test_size``; ``counts`` are the facts' of a split."""
        return sum(counts if self.classes is None else (counts[index] for index in self.classes))

    @property
    def train_rows(self) -> int:
        """Training rows before the validation rows are split off."""
        return self.train_size or self.stored_rows(self.facts.train_counts)

    @property
    def test_rows(self) -> int:
        """Test rows in use."""
        return self.test_size or self.stored_rows(self.facts.test_counts)


class SpiralsData(_Classes):
    """Spirals in the plane, one per class, generated from the seed.

    Class j has radius r = linspace(0, 1, n) and angle t = linspace(4j, 4(j+1), n) + noise·N(0, 1); its points are
    (r sin t, r cos t).
    """

    name: Literal["spirals"]
    n_classes: int = Field(3, ge=2, le=100, description="Number of spirals.")
    points_per_class: int = Field(100, ge=2, le=100_000, description="Points on each spiral.")
    noise: float = Field(0.2, ge=0, le=100, description="Standard deviation of the angle's noise, in radians.")
    scaling: PlainScaling = Field("none", description="none; standard; or {mean: …, std: …}.")

    @property
    def input_width(self) -> int:
        """Two coordinates."""
        return 2

    @property
    def all_class_names(self) -> tuple[str, ...]:
        """The spirals' numbers."""
        return tuple(map(str, range(self.n_classes)))

    @property
    def train_rows(self) -> int:
        """Training rows before the validation rows are split off."""
        return self.points_per_class * len(self.class_names)


class _Drawn(_Data):
    """Inputs drawn from N(0, 1)."""

    n_samples: int = Field(ge=2, le=MOST_ROWS, description="Rows.")
    n_features: int = Field(10, ge=1, le=100_000, description="Inputs of one row.")
    scaling: PlainScaling = Field("none", description="none; standard; or {mean: …, std: …}.")

    @property
    def input_width(self) -> int:
        """Inputs of one row."""
        return self.n_features

    @property
    def train_rows(self) -> int:
        """Training rows before the validation rows are split off."""
        return self.n_samples


class RandomClassificationData(_Drawn):
    """Inputs from N(0, 1) with labels drawn at random: nothing to learn, made for checking gradients."""

    name: Literal["random_classification"]
    n_samples: int = Field(100, ge=2, le=MOST_ROWS, description="Rows.")
    n_classes: int = Field(4, ge=2, le=10_000, description="Number of classes.")

    @property
    def all_class_names(self) -> tuple[str, ...]:
        """The classes' numbers."""
        return tuple(map(str, range(self.n_classes)))


class RandomRegressionData(_Drawn):
    """Inputs and targets from N(0, 1): nothing to learn but by heart."""

    name: Literal["random_regression"]
    n_samples: int = Field(64, ge=2, le=MOST_ROWS, description="Rows.")
    n_targets: int = Field(1, ge=1, le=10_000, description="Targets of one row.")


DataSpec = Annotated[
    ImageData | SpiralsData | RandomClassificationData | RandomRegressionData, Field(discriminator="name"), ShortName()
]
