"""The ``loss`` section: one class per loss, with what it reads, which data it fits and how many outputs it needs."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from mlptrain.sources.facts import DataFacts
from mlptrain.spec.base import Section, ShortName, either, names_of, sections_in


class _Loss(Section):
    reads: ClassVar[Literal["logits", "values"]]  # what the outputs are; only logits give probabilities
    title: ClassVar[str]  # with its unit, as on the axis of a figure
    contains: ClassVar[str] = ""  # what it applies to logits itself

    reduction: Literal["mean", "sum"] = Field(
        "mean", description="How the batch's losses become one number; metrics are means either way."
    )

    def n_outputs(self, facts: DataFacts) -> int:
        """Outputs of the network: one for every class or target."""
        return len(facts.class_names) or facts.n_targets

    def misfit(self, facts: DataFacts, *, name: str) -> str | None:
        """Why the loss cannot be used with the data ``name``; None where it can."""
        if self.reads == "logits" and facts.is_regression:
            others = [section for section in sections_in(LossSpec) if issubclass(section, _Loss)]
            fitting = [names_of(section)[0] for section in others if section.reads == "values"]
            return f"needs classes, but the targets of '{name}' are numbers; use {either(fitting)}"
        return None


class CrossEntropy(_Loss):
    """−log softmax(z)ₜ for the class t of a row; reads one logit per class."""

    name: Literal["cross_entropy"]
    reads: ClassVar[Literal["logits", "values"]] = "logits"
    title: ClassVar[str] = "cross-entropy (nats, mean per example)"
    contains: ClassVar[str] = "softmax"


class BinaryCrossEntropy(_Loss):
    """log(1 + eᶻ) − y·z; reads one logit for two classes."""

    name: Literal["bce"]
    reads: ClassVar[Literal["logits", "values"]] = "logits"
    title: ClassVar[str] = "binary cross-entropy (nats, mean per example)"
    contains: ClassVar[str] = "sigmoid"

    def n_outputs(self, facts: DataFacts) -> int:  # noqa: ARG002
        """One logit, above 0 for the second class."""
        return 1

    def misfit(self, facts: DataFacts, *, name: str) -> str | None:
        """It needs exactly two classes."""
        if facts.is_regression or len(facts.class_names) == 2:
            return super().misfit(facts, name=name)
        return f"needs exactly two classes, data '{name}' has {len(facts.class_names)}"


class MeanSquaredError(_Loss):
    """(p − y)², for classes on one-hot targets."""

    name: Literal["mse"]
    reads: ClassVar[Literal["logits", "values"]] = "values"
    title: ClassVar[str] = "squared error (target units², mean per example)"


class MeanAbsoluteError(_Loss):
    """|p − y|, for classes on one-hot targets."""

    name: Literal["mae"]
    reads: ClassVar[Literal["logits", "values"]] = "values"
    title: ClassVar[str] = "absolute error (target units, mean per example)"


class Huber(_Loss):
    """½d² where |d| ≤ delta, else delta·(|d| − ½·delta), for d = p − y; for classes on one-hot targets."""

    name: Literal["huber"]
    reads: ClassVar[Literal["logits", "values"]] = "values"
    title: ClassVar[str] = "Huber loss (target units², mean per example)"
    delta: float = Field(1.0, gt=0, le=1e6, description="Where the loss goes over from squared to linear.")


LossSpec = Annotated[
    CrossEntropy | BinaryCrossEntropy | MeanSquaredError | MeanAbsoluteError | Huber,
    Field(discriminator="name"),
    ShortName(),
]
