"""The ``data`` section: which examples, how many, how scaled. Each data set names the source of its rows."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from mlptrain.sources.facts import Source, SourceFacts
from mlptrain.sources.generated import (
    Generated,
    make_circles,
    make_function,
    make_moons,
    make_random_classification,
    make_random_multilabel,
    make_random_regression,
    make_spirals,
    make_xor,
)
from mlptrain.sources.iris import Iris
from mlptrain.sources.published import IMAGE_DATASETS
from mlptrain.spec.base import ShortName
from mlptrain.spec.own import ArraysData, IdxData, ImagesData
from mlptrain.spec.rows import MAX_ROWS, DataSection, Validation
from mlptrain.spec.scaling import ImageScaling, PlainScaling
from mlptrain.spec.table import FileTable, ShippedTable

MAX_DRAWN_NUMBERS = 2**30  # 4 GiB of float32

Classes = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=2)]


class _Classes(DataSection):
    """Data with classes, of which some may be chosen."""

    classes: Classes | None = Field(
        None, description="A subset of the classes, relabelled 0..k-1 in the order given. Default: all."
    )


class ImageData(_Classes):
    """Small grey images: MNIST, Fashion-MNIST, or scikit-learn's bundled digits."""

    name: Literal["mnist", "fashion_mnist", "digits"]
    train_size: int | None = Field(
        None, ge=1, le=MAX_ROWS, description="Only the first n training rows as stored. Default: all."
    )
    test_size: int | None = Field(
        None, ge=1, le=MAX_ROWS, description="Only the first n test rows as stored. Default: all."
    )
    scaling: ImageScaling = Field(
        "unit",
        description="none; unit: divide by the data's maximum; standard: one mean and one std over the training rows; "
        "or {mean: …, std: …} after dividing by the maximum.",
    )

    def source(self) -> Source:
        """The published files."""
        return IMAGE_DATASETS[self.name]


class IrisData(_Classes):
    """Fisher's iris, 150 flowers of three species with four lengths each, from scikit-learn."""

    name: Literal["iris"]
    test: Validation = Field(
        0.2, description="Test rows, drawn by the seed: a count, or a fraction below 1; 0 is none."
    )
    scaling: Literal["none", "standard"] = Field(
        "standard", description="none; standard: every column to mean 0 and std 1 over the training rows."
    )

    def source(self) -> Source:
        """The installed file."""
        return Iris()


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

    def source(self) -> Source:
        """Two coordinates, classes by their numbers."""
        counts = (self.points_per_class,) * self.n_classes
        facts = SourceFacts(counts, n_features=2, class_names=_numbers(self.n_classes))
        return _generated(self, facts, make_spirals, "n_classes", "points_per_class", "noise")


_Noise = Annotated[float, Field(ge=0, le=100, description="Standard deviation of the noise in every coordinate.")]


class _Toy(DataSection):
    """Small data whose picture is known, of which test rows may be drawn."""

    test: Validation = Field(0, description="Test rows, drawn by the seed: a count, or a fraction below 1; 0 is none.")
    scaling: PlainScaling = Field("none", description="none; standard; or {mean: …, std: …}.")


class XorData(_Toy):
    """The corners (0, 0), (0, 1), (1, 0) and (1, 1) with the exclusive or of their coordinates as the class."""

    name: Literal["xor"]
    validation: Validation = Field(0, description="As elsewhere; 0, since without it there are but four rows.")
    points_per_corner: int = Field(1, ge=1, le=1_000_000, description="Points at each of the four corners.")
    noise: _Noise = 0.0

    def source(self) -> Source:
        """Two coordinates, classes 0 and 1."""
        facts = SourceFacts((2 * self.points_per_corner,) * 2, n_features=2, class_names=_numbers(2))
        return _generated(self, facts, make_xor, "points_per_corner", "noise")


class MoonsData(_Toy):
    """Two half circles in the plane that interleave, as scikit-learn's make_moons."""

    name: Literal["moons"]
    n_samples: int = Field(200, ge=4, le=MAX_ROWS, description="Points of both together.")
    noise: _Noise = 0.1

    def source(self) -> Source:
        """Two coordinates, classes 0 and 1."""
        facts = SourceFacts(_halves(self.n_samples), n_features=2, class_names=_numbers(2))
        return _generated(self, facts, make_moons, "n_samples", "noise")


class CirclesData(_Toy):
    """A circle of radius 1 around a smaller one, as scikit-learn's make_circles."""

    name: Literal["circles"]
    n_samples: int = Field(200, ge=4, le=MAX_ROWS, description="Points of both together.")
    noise: _Noise = 0.05
    factor: float = Field(0.5, ge=0, lt=1, description="Radius of the inner circle.")

    def source(self) -> Source:
        """Two coordinates, classes 0 and 1."""
        facts = SourceFacts(_halves(self.n_samples), n_features=2, class_names=_numbers(2))
        return _generated(self, facts, make_circles, "n_samples", "noise", "factor")


class FunctionData(_Toy):
    """A function of one variable at equal distances; gauss is exp(−x²), runge 1/(1 + 25x²), step 1 from x = 0 on."""

    name: Literal["function"]
    function: Literal["sin", "cos", "square", "cube", "abs", "step", "gauss", "runge"] = Field(
        "sin", description="Which function of x."
    )
    low: float = Field(-3.0, ge=-1e6, le=1e6, description="The smallest x.")
    high: float = Field(3.0, ge=-1e6, le=1e6, description="The largest x.")
    n_samples: int = Field(100, ge=2, le=MAX_ROWS, description="Rows.")
    noise: float = Field(0.0, ge=0, le=1e6, description="Standard deviation of the targets' noise.")

    @model_validator(mode="after")
    def _has_width(self) -> Self:
        if self.high <= self.low:
            raise PydanticCustomError(
                "at:high", "must be above low, got {high} with low {low}", {"high": self.high, "low": self.low}
            )
        return self

    def source(self) -> Source:
        """One input, one target."""
        facts = SourceFacts((self.n_samples,), n_features=1, n_targets=1)
        return _generated(self, facts, make_function, "function", "low", "high", "n_samples", "noise")


class _Drawn(DataSection):
    """Inputs drawn from N(0, 1)."""

    n_samples: int = Field(ge=2, le=MAX_ROWS, description="Rows.")
    n_features: int = Field(10, ge=1, le=100_000, description="Inputs of one row.")
    scaling: PlainScaling = Field("none", description="none; standard; or {mean: …, std: …}.")


class RandomClassificationData(_Drawn):
    """Inputs from N(0, 1) with labels drawn at random: nothing to learn, meant for checking gradients."""

    name: Literal["random_classification"]
    n_samples: int = Field(100, ge=2, le=MAX_ROWS, description="Rows.")
    n_classes: int = Field(4, ge=2, le=10_000, description="Number of classes.")

    def source(self) -> Source:
        """Classes by their numbers."""
        facts = SourceFacts((self.n_samples,), n_features=self.n_features, class_names=_numbers(self.n_classes))
        return _generated(self, facts, make_random_classification, "n_samples", "n_features", "n_classes")


class RandomRegressionData(_Drawn):
    """Inputs and targets from N(0, 1): nothing to learn except by memorising the rows."""

    name: Literal["random_regression"]
    n_samples: int = Field(64, ge=2, le=MAX_ROWS, description="Rows.")
    n_targets: int = Field(1, ge=1, le=10_000, description="Targets of one row.")

    def source(self) -> Source:
        """Targets without classes."""
        facts = SourceFacts((self.n_samples,), n_features=self.n_features, n_targets=self.n_targets)
        return _generated(self, facts, make_random_regression, "n_samples", "n_features", "n_targets")


class RandomMultilabelData(_Toy):
    """Rows of which each has several labels at once, or none, as scikit-learn's make_multilabel_classification."""

    name: Literal["random_multilabel"]
    n_samples: int = Field(200, ge=2, le=MAX_ROWS, description="Rows.")
    n_features: int = Field(20, ge=1, le=100_000, description="Inputs of one row.")
    n_classes: int = Field(5, ge=1, le=10_000, description="Number of labels that there are.")
    n_labels: int = Field(2, ge=1, le=10_000, description="How many of them a row has on average.")
    scaling: PlainScaling = Field("standard", description="none; standard; or {mean: …, std: …}.")

    @model_validator(mode="after")
    def _has_so_many(self) -> Self:
        if self.n_labels > self.n_classes:
            raise PydanticCustomError(
                "at:n_labels",
                "must be at most n_classes, got {labels} with n_classes {classes}",
                {"labels": self.n_labels, "classes": self.n_classes},
            )
        return self

    def source(self) -> Source:
        """Labels by their numbers, each a target of its own."""
        facts = SourceFacts(
            (self.n_samples,),
            n_features=self.n_features,
            class_names=_numbers(self.n_classes),
            n_targets=self.n_classes,
        )
        return _generated(self, facts, make_random_multilabel, "n_samples", "n_features", "n_classes", "n_labels")


def _numbers(count: int) -> tuple[str, ...]:
    """Names of classes that only have numbers."""
    return tuple(map(str, range(count)))


def _generated(section: DataSection, facts: SourceFacts, make: Callable[..., Any], *settings: str) -> Generated:
    """Rows that ``make`` draws from the section's ``settings``."""
    return Generated(facts, partial(make, **section.model_dump(include=set(settings))))


def _halves(count: int) -> tuple[int, int]:
    return count // 2, count - count // 2


DataSpec = Annotated[
    ImageData
    | IrisData
    | SpiralsData
    | XorData
    | MoonsData
    | CirclesData
    | FunctionData
    | RandomClassificationData
    | RandomRegressionData
    | RandomMultilabelData
    | FileTable
    | ShippedTable
    | ArraysData
    | ImagesData
    | IdxData,
    Field(discriminator="name"),
    ShortName(),
]
