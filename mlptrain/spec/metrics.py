"""The list ``evaluation.metrics``: one class per further figure, with what it is computed from and which way is better.

How each is computed stands in ``mlptrain/training/scores.py``. The conventions are scikit-learn's: of two classes
precision, recall, F1, ROC-AUC and average precision are those of the second one; of more they are means over the
classes, each against the rest (macro averages).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from mlptrain.keys import number_text
from mlptrain.sources.facts import DataFacts
from mlptrain.spec.base import Section, ShortName, either, names_of, sections_in
from mlptrain.spec.loss import LossSpec, Quantile, Targets, targets_of

# What a metric is computed from: predicted classes (or scores of them), their probabilities, or values of a regression.
Needs = Literal["labels", "probabilities", "values"]


class _Metric(Section):
    title: ClassVar[str]  # with its unit, as on the axis of a figure
    higher_is_better: ClassVar[bool] = True
    needs: ClassVar[Needs] = "labels"
    is_share: ClassVar[bool] = False  # a fraction that figures show in per cent

    @property
    def key(self) -> str:
        """What it is called in ``metrics.jsonl`` and ``result.json``, behind the split: ``validation_roc_auc``."""
        return names_of(type(self))[0]

    def misfit(self, facts: DataFacts, loss: LossSpec, *, data: str) -> str | None:
        """Why it is not defined for these data and this loss; None where it is."""
        targets, needed = targets_of(facts), "numbers" if self.needs == "values" else "classes"
        if targets == "labels":
            return f"needs {needed}, but a row of data '{data}' may have several labels at once; leave it out"
        if targets != needed:
            fitting = ", ".join(metrics_of_targets(targets))
            return f"needs {needed}, but the targets of '{data}' are {targets}; choose from {fitting}"
        if self.needs == "values" and (outputs := loss.n_outputs(facts)) != facts.n_targets:
            return f"needs one output for every target, but '{loss.name}' has {outputs} for {facts.n_targets}"
        if self.needs == "probabilities" and loss.reads != "logits":
            logits = [name for one in sections_in(LossSpec) if _reads_logits(one) for name in names_of(one)]
            return f"needs probabilities, which one trained with '{loss.name}' does not give; use {either(logits)}"
        return None


def _reads_logits(section: Any) -> bool:
    """Of classes; a loss of several labels has logits too."""
    return getattr(section, "reads", "") == "logits" and "classes" in section.fits


class Accuracy(_Metric):
    """Share of examples that are classified correctly; always measured, listed or not."""

    name: Literal["accuracy"]
    title: ClassVar[str] = "accuracy (% of examples)"
    is_share: ClassVar[bool] = True

    def misfit(self, facts: DataFacts, loss: LossSpec, *, data: str) -> str | None:
        """Of several labels of a row it is measured too."""
        return None if targets_of(facts) == "labels" else super().misfit(facts, loss, data=data)


class BalancedAccuracy(_Metric):
    """Mean recall over the classes that the split has rows of."""

    name: Literal["balanced_accuracy"]
    title: ClassVar[str] = "balanced accuracy (%, mean over classes)"
    is_share: ClassVar[bool] = True


class F1(_Metric):
    """Harmonic mean of precision and recall: of the second of two classes, else the mean over the classes."""

    name: Literal["f1"]
    title: ClassVar[str] = "F1 (%)"
    is_share: ClassVar[bool] = True


class Precision(_Metric):
    """Share of the predictions of a class that are right: of the second of two classes, else the mean over all."""

    name: Literal["precision"]
    title: ClassVar[str] = "precision (%)"
    is_share: ClassVar[bool] = True


class Recall(_Metric):
    """Share of the examples of a class that are found: of the second of two classes, else the mean over all."""

    name: Literal["recall"]
    title: ClassVar[str] = "recall (%)"
    is_share: ClassVar[bool] = True


class RocAuc(_Metric):
    """Area under the ROC curve of the second of two classes; else the mean over the classes, each against the rest."""

    name: Literal["roc_auc"]
    title: ClassVar[str] = "ROC-AUC (no unit)"
    needs: ClassVar[Needs] = "probabilities"


class AveragePrecision(_Metric):
    """Area under the precision-recall curve, as steps; classes as for ``roc_auc``."""

    name: Literal["average_precision"]
    title: ClassVar[str] = "average precision (no unit)"
    needs: ClassVar[Needs] = "probabilities"


class LogLoss(_Metric):
    """Mean −log of the probability that the true class was given, with the calibrated ones where there are some."""

    name: Literal["log_loss"]
    title: ClassVar[str] = "log-loss (nats, mean per example)"
    needs: ClassVar[Needs] = "probabilities"
    higher_is_better: ClassVar[bool] = False


class Brier(_Metric):
    """Mean squared difference of probabilities and one-hot labels, summed over the classes; of two the second's."""

    name: Literal["brier"]
    title: ClassVar[str] = "Brier score (no unit, mean per example)"
    needs: ClassVar[Needs] = "probabilities"
    higher_is_better: ClassVar[bool] = False


class CalibrationError(_Metric):
    """Expected calibration error (Guo et al., 2017): |accuracy − confidence| in bins of equal width, by their rows."""

    name: Literal["ece"]
    title: ClassVar[str] = "expected calibration error (% points)"
    needs: ClassVar[Needs] = "probabilities"
    higher_is_better: ClassVar[bool] = False
    is_share: ClassVar[bool] = True
    bins: int = Field(15, ge=1, le=1000, description="Bins of the confidence from 0 to 1.")


class Matthews(_Metric):
    """Matthews' correlation coefficient of true and predicted classes; 0 where one class alone is predicted."""

    name: Literal["mcc"]
    title: ClassVar[str] = "Matthews' correlation (no unit)"


class TopK(_Metric):
    """Share of examples whose true class is among the k with the largest outputs."""

    name: Literal["top_k"]
    title: ClassVar[str] = "top-k accuracy (% of examples)"
    is_share: ClassVar[bool] = True
    k: int = Field(5, ge=2, le=1_000_000, description="How many classes; below the number of them.")

    @property
    def key(self) -> str:
        """``top_5``, so that several may stand side by side."""
        return f"top_{self.k}"

    def misfit(self, facts: DataFacts, loss: LossSpec, *, data: str) -> str | None:
        """It needs more than k classes."""
        classes = len(facts.class_names)
        if facts.has_classes and self.k >= classes:
            remedy = f"use k below {classes}" if classes > 2 else "use accuracy"
            return f"with k {self.k} is always 100 % of {classes} classes; {remedy}"
        return super().misfit(facts, loss, data=data)


class RootMeanSquaredError(_Metric):
    """Square root of the mean squared difference; of several targets the mean of theirs."""

    name: Literal["rmse"]
    title: ClassVar[str] = "root mean squared error (target units)"
    needs: ClassVar[Needs] = "values"
    higher_is_better: ClassVar[bool] = False


class MeanAbsoluteError(_Metric):
    """Mean absolute difference; of several targets the mean of theirs."""

    name: Literal["mae"]
    title: ClassVar[str] = "mean absolute error (target units)"
    needs: ClassVar[Needs] = "values"
    higher_is_better: ClassVar[bool] = False


class R2(_Metric):
    """Share of the targets' variance that is explained; of several targets the mean of theirs. May be negative."""

    name: Literal["r2"]
    title: ClassVar[str] = "R² (no unit)"
    needs: ClassVar[Needs] = "values"


class MeanAbsolutePercentageError(_Metric):
    """Mean of |predicted − true| / |true|, as a fraction; of several targets the mean of theirs."""

    name: Literal["mape"]
    title: ClassVar[str] = "absolute percentage error (% of the target, mean)"
    needs: ClassVar[Needs] = "values"
    higher_is_better: ClassVar[bool] = False
    is_share: ClassVar[bool] = True


MetricSpec = Annotated[
    Accuracy
    | BalancedAccuracy
    | F1
    | Precision
    | Recall
    | RocAuc
    | AveragePrecision
    | LogLoss
    | Brier
    | CalibrationError
    | Matthews
    | TopK
    | RootMeanSquaredError
    | MeanAbsoluteError
    | R2
    | MeanAbsolutePercentageError,
    Field(discriminator="name"),
    ShortName(),
]


def metrics_at_end(listed: Sequence[MetricSpec], facts: DataFacts, loss: LossSpec) -> list[MetricSpec]:
    """What kept weights are measured by: the listed ones, and of a regression RMSE and R² too.

    Not of predicted quantiles, which are no estimates of the mean.
    """
    if not facts.is_regression or isinstance(loss, Quantile):
        return [*listed]
    keys = {metric.key for metric in listed}
    always: list[MetricSpec] = [RootMeanSquaredError(name="rmse"), R2(name="r2")]
    return [*listed, *(metric for metric in always if metric.key not in keys)]


METRICS: dict[str, type[_Metric]] = {  # by name, in the order of the schema
    name: section for section in sections_in(MetricSpec) if issubclass(section, _Metric) for name in names_of(section)
}
MAX_METRICS = 32
WEIGHTED = "weighted_"  # before the key of a figure by sample weights


def metrics_of_targets(targets: Targets) -> list[str]:
    """The names of those that are of numbers, or else of those that are of classes."""
    return [name for name, kind in METRICS.items() if (kind.needs == "values") == (targets == "numbers")]


def further_keys(listed: Sequence[str], *, weighted: bool, classes: Sequence[str]) -> list[str]:
    """The keys of an evaluation's figures besides loss and accuracy, for those of ``evaluation.metrics``.

    With sample weights each stands there a second time, and of classes the accuracy by them.
    """
    keys = [key for key in listed if key != "accuracy"]
    by_weight = [*(["accuracy"] if classes else []), *keys] if weighted else []
    return [*keys, *(f"{WEIGHTED}{key}" for key in by_weight)]


def metric_named(key: str) -> type[_Metric] | None:
    """The class of a metric by its key without the split, such as ``f1`` or ``top_5``; None for another key."""
    key = key.removeprefix(WEIGHTED)
    return METRICS.get("top_k" if re.fullmatch(r"top_\d+", key) else key)


def title_of(key: str) -> str:
    """The metric's title with its unit by its key without the split; of an unknown one the key itself."""
    if key == "objective":  # of every epoch, where it is another mean than the loss
        return "objective (what is minimised, mean per example)"
    kind, plain = metric_named(key), key.removeprefix(WEIGHTED)
    if kind is None:
        return key
    title = kind.title.replace("top-k", plain.replace("_", "-"))
    return title if plain == key else f"weighted {title}"


def name_of(key: str) -> str:
    """The metric without its unit: ``ROC-AUC``, ``root mean squared error``, ``loss``."""
    return title_of(key).partition(" (")[0]


def short_name_of(key: str) -> str:
    """``name_of`` in a sentence about its mean: ``RMSE``."""
    return key.upper() if key in ("rmse", "mae", "mape", "ece") else name_of(key)


def title_of_fraction(key: str) -> str:
    """The title where the figure is not shown in per cent: ``top-5 accuracy (fraction of examples)``."""
    return title_of(key).replace("% points", "fraction").replace("%", "fraction") if is_share(key) else title_of(key)


def is_share(key: str) -> bool:
    """Whether a figure is a fraction that is shown in per cent."""
    kind = metric_named(key)
    return kind is not None and kind.is_share


def figure_text(key: str, value: float | None) -> str:
    """A figure of the metric ``key``: fractions in per cent, others to four digits, large ones to whole numbers."""
    if value is None:
        return "none"
    return f"{100 * value:.2f} %" if is_share(key) else number_text(value)


def higher_is_better(key: str) -> bool:
    """By the key without the split; losses and whatever is unknown are better when lower."""
    kind = metric_named(key)
    return kind is not None and kind.higher_is_better
