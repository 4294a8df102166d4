"""The ``loss`` section: one class per loss, with what it reads, which data it fits and how many outputs it needs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from mlptrain.errors import DataError
from mlptrain.sources.facts import DataFacts
from mlptrain.spec.base import Section, ShortName, either, first_of, names_of, sections_in

_MAX_NAMED = 20  # classes in a message


WEIGHTS_FORMS = ("word", "list", "mapping")  # tags of the union that is discriminated by type


def _weights_form(value: object) -> str:
    return "list" if isinstance(value, list) else "mapping" if isinstance(value, dict) else "word"


_Weight = Annotated[float, Field(ge=0, le=1e6)]
ClassWeights = Annotated[
    Annotated[Literal["none", "balanced"], Tag("word")]
    | Annotated[list[_Weight], Tag("list")]
    | Annotated[dict[str, _Weight], Tag("mapping")],
    Discriminator(_weights_form),
]


Targets = Literal["classes", "labels", "numbers"]
_IN_WORDS: dict[Targets, str] = {"classes": "classes", "labels": "several labels of a row", "numbers": "numbers"}
_OTHERS: dict[Targets, str] = {
    "classes": "data '{}' has classes",
    "labels": "a row of data '{}' may have several labels at once",
    "numbers": "the targets of '{}' are numbers",
}


def targets_of(facts: DataFacts) -> Targets:
    """What the targets of data are: one class of a row, several labels that are 0 or 1 each, or numbers."""
    return "classes" if facts.has_classes else "labels" if facts.is_multi_label else "numbers"


class _Loss(Section):
    reads: ClassVar[Literal["logits", "values"]] = "values"  # what the outputs are; only logits give probabilities
    fits: ClassVar[frozenset[Targets]] = frozenset({"classes", "numbers"})  # what the data's targets may be
    title: ClassVar[str]  # with its unit, as on the axis of a figure
    contains: ClassVar[str] = ""  # what it applies to logits itself
    n_classes: ClassVar[int | None] = None  # how many it needs; None where any number suits

    reduction: Literal["mean", "sum"] = Field(
        "mean", description="How the batch's losses become one number; metrics are means either way."
    )

    @property
    def is_plain(self) -> bool:
        """Whether what is minimised is the loss that is reported, neither weighted nor smoothed."""
        return True

    def n_outputs(self, facts: DataFacts) -> int:
        """Outputs of the network: one for every class, label or target."""
        return len(facts.class_names) or facts.n_targets

    def output_names(self, facts: DataFacts) -> tuple[str, ...]:
        """What the outputs of a regression stand for, in their order; empty for a single target's value."""
        return tuple(f"target {index + 1}" for index in range(facts.n_targets)) if facts.n_targets > 1 else ()

    def misfit(self, facts: DataFacts, *, name: str) -> str | None:
        """Why the loss cannot be used with the data ``name``; None where it can."""
        found = targets_of(facts)
        if found in self.fits:
            return None
        losses = [section for section in sections_in(LossSpec) if issubclass(section, _Loss)]
        n_classes = len(facts.class_names) if found == "classes" else None
        fitting = [
            names_of(section)[0]
            for section in losses
            if found in section.fits and section.n_classes in (None, n_classes)
        ]
        return f"needs {_IN_WORDS[min(self.fits)]}, but {_OTHERS[found].format(name)}; use {either(fitting)}"

    def class_weights_of(self, facts: DataFacts, counts: Sequence[float]) -> tuple[float, ...]:  # noqa: ARG002
        """The weight of every class; empty where the loss has none.

        ``counts`` are the training rows of each, or the sums of their sample weights.

        Raises DataError where the training rows give none.
        """
        return ()


class _Weighted(_Loss):
    """What the losses of classes share: smoothed targets, and weights of the classes."""

    reads = "logits"
    fits = frozenset({"classes"})

    label_smoothing: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of every target that is spread evenly over the classes, as torch's label_smoothing.",
    )
    class_weights: ClassWeights = Field(
        "none",
        description="none; balanced: rows / (classes × rows of the class), from the training rows, each counted by its "
        "sample weight where data.weight names some; a list in the order of the classes; or a mapping from class "
        "names, 1 for the others. The mean of a batch divides by the sum of its rows' weights.",
    )

    @property
    def is_plain(self) -> bool:
        """Whether what is minimised is the loss that is reported."""
        return self.label_smoothing == 0 and self.class_weights == "none"

    def class_weights_of(self, facts: DataFacts, counts: Sequence[float]) -> tuple[float, ...]:
        """As those of every loss; balanced ones are scikit-learn's compute_class_weight."""
        names, asked = facts.class_names, self.class_weights
        if asked == "none":
            return ()
        if isinstance(asked, list):
            weights = tuple(map(float, asked))
        elif isinstance(asked, dict):
            weights = tuple(float(asked.get(name, 1.0)) for name in names)
        elif absent := [f"'{name}'" for name, count in zip(names, counts, strict=True) if not count]:
            which, has, it = ("class", "has", "it") if len(absent) == 1 else ("classes", "have", "them")
            none = "none with a weight above 0" if facts.weight else "none"
            raise DataError(
                f"loss.class_weights: balanced divides by the training rows of each class, but {which} "
                f"{first_of(absent, _MAX_NAMED)} {has} {none}; take fewer validation rows, leave {it} out "
                "of data.classes, or give the weights as a list"
            )
        else:
            return tuple(sum(counts) / (len(names) * count) for count in counts)
        if not any(weight and count for weight, count in zip(weights, counts, strict=True)):
            raise DataError(
                "loss.class_weights: every class with training rows has the weight 0, so that nothing would be "
                "trained; give one of them a positive weight"
            )
        return weights


class CrossEntropy(_Weighted):
    """−log softmax(z)ₜ for the class t of a row; reads one logit per class."""

    name: Literal["cross_entropy"]
    title = "cross-entropy (nats, mean per example)"
    contains = "softmax"


class BinaryCrossEntropy(_Weighted):
    """log(1 + eᶻ) − y·z; reads one logit for two classes."""

    name: Literal["bce"]
    title = "binary cross-entropy (nats, mean per example)"
    contains = "sigmoid"
    n_classes = 2

    def n_outputs(self, facts: DataFacts) -> int:  # noqa: ARG002
        """One logit, above 0 for the second class."""
        return 1

    def misfit(self, facts: DataFacts, *, name: str) -> str | None:
        """It needs exactly two classes."""
        if targets_of(facts) != "classes" or len(facts.class_names) == self.n_classes:
            return super().misfit(facts, name=name)
        return f"needs exactly two classes, data '{name}' has {len(facts.class_names)}"


class MultiLabelBinaryCrossEntropy(_Loss):
    """log(1 + eᶻ) − y·z, mean over the labels; reads one logit for every label, each of which is 0 or 1 by itself."""

    name: Literal["multi_label_bce"]
    reads = "logits"
    title = "binary cross-entropy (nats, mean per label and example)"
    contains = "sigmoid"
    fits = frozenset({"labels"})


class MeanSquaredError(_Loss):
    """(p − y)², for classes on one-hot targets."""

    name: Literal["mse"]
    title = "squared error (target units², mean per example)"


class MeanAbsoluteError(_Loss):
    """|p − y|, for classes on one-hot targets."""

    name: Literal["mae"]
    title = "absolute error (target units, mean per example)"


class Huber(_Loss):
    """½d² where |d| ≤ delta, else delta·(|d| − ½·delta), for d = p − y; for classes on one-hot targets."""

    name: Literal["huber"]
    title = "Huber loss (target units², mean per example)"
    delta: float = Field(1.0, gt=0, le=1e6, description="Where the loss goes over from squared to linear.")


class Quantile(_Loss):
    """The pinball loss: τ·(y − p) where p is below y, else (1 − τ)·(p − y); its minimum is the τ-quantile.

    Outputs come target by target, for each one its quantiles in their order. Nothing keeps them from crossing.
    """

    name: Literal["quantile"]
    title = "pinball loss (target units, mean per example)"
    fits = frozenset({"numbers"})
    quantiles: list[Annotated[float, Field(gt=0, lt=1)]] = Field(
        [0.1, 0.5, 0.9],
        min_length=1,
        max_length=100,
        description="Which quantiles of every target, in ascending order; 0.5 is the median.",
    )

    @model_validator(mode="after")
    def _ascend(self) -> Self:
        if any(high <= low for low, high in pairwise(self.quantiles)):
            given = ", ".join(f"{level:g}" for level in self.quantiles)
            raise PydanticCustomError(
                "at:quantiles", "must be in ascending order, each once, got [{given}]", {"given": given}
            )
        return self

    @property
    def central(self) -> int:
        """The place of the quantile that is nearest to the median, which stands for the target where one value has to.

        Of two at the same distance the lower one.
        """
        distances = [round(math.fabs(level - 0.5), 12) for level in self.quantiles]
        return distances.index(min(distances))

    def n_outputs(self, facts: DataFacts) -> int:
        """One for every target and quantile."""
        return facts.n_targets * len(self.quantiles)

    def output_names(self, facts: DataFacts) -> tuple[str, ...]:
        """``quantile 0.1`` and so on, after ``target 1`` where there are several."""
        targets = super().output_names(facts)
        names = [f"quantile {level:g}" for level in self.quantiles]
        return tuple(f"{target}, {name}" for target in targets for name in names) or tuple(names)


LossSpec = Annotated[
    CrossEntropy
    | BinaryCrossEntropy
    | MultiLabelBinaryCrossEntropy
    | MeanSquaredError
    | MeanAbsoluteError
    | Huber
    | Quantile,
    Field(discriminator="name"),
    ShortName(),
]


def default_loss(facts: DataFacts) -> LossSpec:
    """What a configuration without a loss minimises: cross_entropy of classes, multi_label_bce of labels, else mse."""
    if facts.is_regression:
        return MeanSquaredError(name="mse")
    return (
        MultiLabelBinaryCrossEntropy(name="multi_label_bce")
        if facts.is_multi_label
        else CrossEntropy(name="cross_entropy")
    )
