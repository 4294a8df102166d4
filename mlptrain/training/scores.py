"""The further figures of ``evaluation.metrics``: from scikit-learn where it has them, one function each.

Their cost on 10,000 rows of ten classes: 28 ms for ``roc_auc``, 25 for ``average_precision`` and 2 to 5 for each of the
others; all eleven by epoch took 0.16 s beside the 2.6 of an epoch of MNIST's 50,000 rows through 784-500-256-10 in
batches of 64 (one thread of a 2-core AMD EPYC that others used too, 2026-11-26). So all are measured by epoch.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mlptrain.spec import Experiment
from mlptrain.spec.base import Section, first_of
from mlptrain.spec.metrics import WEIGHTED, CalibrationError, MetricSpec, TopK, further_keys
from mlptrain.system.jsonfiles import LARGEST
from mlptrain.training.calibration import expected_calibration_error, log_probabilities, reliability

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


class Undefined(Exception):  # noqa: N818 - an answer, not a failure
    """A metric has no value on these rows; the message says why, as the end of "… is undefined: "."""


@dataclass(frozen=True)
class Scored:
    """Outputs of a network on the rows of a split, and what the metrics read of them, each computed once.

    ``outputs`` (n, width) are float64; ``targets`` in the form that the loss encodes. Probabilities are those of the
    outputs divided by ``temperature``. With ``weights`` (n,), above 0, a row counts as much as its weight.
    """

    outputs: Floats
    targets: NDArray[Any]
    class_names: tuple[str, ...]
    temperature: float = 1.0
    weights: Floats | None = None

    @cached_property
    def labels(self) -> Labels:
        """True classes (n,)."""
        if self.targets.dtype.kind != "f":
            return self.targets
        single = self.targets.shape[1] == 1
        return (self.targets[:, 0] > 0.5).astype(np.int64) if single else self.targets.argmax(axis=1)

    def weighted(self, weights: Floats) -> Scored:
        """With these weights, without the rows that have the weight 0."""
        used = weights > 0
        return replace(self, outputs=self.outputs[used], targets=self.targets[used], weights=weights[used])

    @cached_property
    def predicted(self) -> Labels:
        """Predicted classes (n,)."""
        single = self.outputs.shape[1] == 1
        return (self.outputs[:, 0] > 0).astype(np.int64) if single else self.outputs.argmax(axis=1)

    @cached_property
    def log_probabilities(self) -> Floats:
        """Logarithms of the probabilities (n, k)."""
        return log_probabilities(self.outputs, self.temperature)

    @cached_property
    def probabilities(self) -> Floats:
        """Of every class, (n, k)."""
        return np.exp(self.log_probabilities)

    @cached_property
    def one_against_rest(self) -> tuple[NDArray[Any], Floats]:
        """Labels and probabilities as scikit-learn's curves read them: of two classes the second, else all.

        Raises Undefined where a class has no rows, or all.
        """
        counts = np.bincount(self.labels, minlength=len(self.class_names))
        if missing := _named(self.class_names, counts == 0):
            raise Undefined(f"there are no rows of {missing}")
        if len(self.class_names) == 2:
            return self.labels, self.probabilities[:, 1]
        return self.labels[:, None] == np.arange(len(self.class_names)), self.probabilities

    def by_class(self, kind: str) -> float:
        """scikit-learn's precision, recall or F1: of the second of two classes, else the mean over the classes.

        Raises Undefined where it is of one of them.
        """
        from sklearn import metrics

        classes = range(len(self.class_names))[1 if len(self.class_names) == 2 else 0 :]
        of_classes = getattr(metrics, f"{kind}_score")(
            self.labels,
            self.predicted,
            labels=list(classes),
            average=None,
            zero_division=np.nan,
            sample_weight=self.weights,
        )
        if unknown := _named(self.class_names[classes.start :], np.isnan(of_classes)):
            raise Undefined(_WITHOUT[kind].format(unknown))
        return float(of_classes.mean())


def _named(names: Sequence[str], chosen: NDArray[np.bool_]) -> str:
    """The chosen classes in words, the first of many; empty where there is none."""
    found = [f"'{name}'" for name, one in zip(names, chosen, strict=True) if one]
    if not found:
        return ""
    return f"{'class' if len(found) == 1 else 'classes'} {first_of(found, 3 if len(found) > 4 else 4)}"


_WITHOUT = {
    "precision": "nothing was predicted as {}",
    "recall": "there are no rows of {}",
    "f1": "there are no rows of {}, and nothing was predicted as such",
}


def _sklearn(name: str, rows: Scored, true: NDArray[Any], found: NDArray[Any], **settings: Any) -> float:
    """A figure of sklearn.metrics, which takes long to import."""
    from sklearn import metrics

    return float(getattr(metrics, name)(true, found, sample_weight=rows.weights, **settings))


def _accuracy(rows: Scored) -> float:
    return float(np.average(rows.predicted == rows.labels, weights=rows.weights))


def _log_loss(rows: Scored, _: Section) -> float:
    """From the logarithms: scikit-learn cuts probabilities at 2e-16, and with them losses at 36."""
    found = -np.take_along_axis(rows.log_probabilities, rows.labels[:, None], axis=1)[:, 0]
    return float(np.average(found, weights=rows.weights))


def _brier(rows: Scored, _: Section) -> float:
    known, of_two = list(range(len(rows.class_names))), len(rows.class_names) == 2
    p = rows.probabilities[:, 1] if of_two else rows.probabilities
    return _sklearn("brier_score_loss", rows, rows.labels, p, labels=known, **({"pos_label": 1} if of_two else {}))


def _ece(rows: Scored, section: CalibrationError) -> float:
    found = reliability(rows.probabilities, rows.labels, bins=section.bins, weights=rows.weights)
    return expected_calibration_error(found)


def _top_k(rows: Scored, section: TopK) -> float:
    known = list(range(len(rows.class_names)))
    return _sklearn("top_k_accuracy_score", rows, rows.labels, rows.outputs, k=section.k, labels=known)


def _r2(rows: Scored, _: Section) -> float:
    if bool((rows.targets == rows.targets[:1]).all(axis=0).any()):
        raise Undefined("all rows have the same target")
    mean = np.average(rows.targets, axis=0, weights=rows.weights)
    left, whole = (
        np.average(difference**2, axis=0, weights=rows.weights)
        for difference in (rows.targets - rows.outputs, rows.targets - mean)
    )
    return float((1 - left / whole).mean())


def _rmse(rows: Scored, _: Section) -> float:
    """NumPy, as R²: every regression ends with both, and scikit-learn takes longer to import than it to train."""
    return float(np.sqrt(np.average((rows.targets - rows.outputs) ** 2, axis=0, weights=rows.weights)).mean())


def _mape(rows: Scored, _: Section) -> float:
    if zeros := int((rows.targets == 0).any(axis=1).sum()):
        raise Undefined(f"the target of {zeros:,} {'row' if zeros == 1 else 'rows'} is 0")
    return _sklearn("mean_absolute_percentage_error", rows, rows.targets, rows.outputs)


# By the names of the sections in mlptrain/spec/metrics.py; accuracy is measured anyway. Raise Undefined.
SCORES: dict[str, Callable[[Scored, Any], float]] = {
    "balanced_accuracy": lambda rows, _: _sklearn(
        "recall_score", rows, rows.labels, rows.predicted, labels=np.unique(rows.labels), average="macro"
    ),
    "f1": lambda rows, _: rows.by_class("f1"),
    "precision": lambda rows, _: rows.by_class("precision"),
    "recall": lambda rows, _: rows.by_class("recall"),
    "roc_auc": lambda rows, _: _sklearn("roc_auc_score", rows, *rows.one_against_rest),
    "average_precision": lambda rows, _: _sklearn("average_precision_score", rows, *rows.one_against_rest),
    "log_loss": _log_loss,
    "brier": _brier,
    "ece": _ece,
    "mcc": lambda rows, _: _sklearn("matthews_corrcoef", rows, rows.labels, rows.predicted),
    "top_k": _top_k,
    "rmse": _rmse,
    "mae": lambda rows, _: _sklearn("mean_absolute_error", rows, rows.targets, rows.outputs),
    "r2": _r2,
    "mape": _mape,
}


@dataclass(frozen=True)
class Scores:
    """Further figures by key, such as ``top_5``, and of those that are undefined on these rows the reasons."""

    figures: Mapping[str, float] = field(default_factory=dict)
    undefined: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Scorer:
    """Further figures: those that a configuration lists, in its order, and at the end of a run those of a regression.

    ``weighted``: each also as ``weighted_…``, by the sample weights of the data, and of classes the accuracy so.
    """

    metrics: Sequence[MetricSpec] = ()
    class_names: tuple[str, ...] = ()
    weighted: bool = False

    @classmethod
    def of(cls, experiment: Experiment, *, at_end: bool = False) -> Scorer:
        """Of an experiment in every epoch, or of its kept weights; accuracy, measured anyway, is not among them."""
        listed = experiment.final_metrics if at_end else experiment.evaluation.metrics
        known = tuple(metric for metric in listed if metric.name in SCORES)
        return cls(known, experiment.facts.class_names, bool(experiment.facts.weight))

    @property
    def keys(self) -> list[str]:
        """What the figures are called."""
        return further_keys([metric.key for metric in self.metrics], weighted=self.weighted, classes=self.class_names)

    def __call__(
        self, outputs: Tensor, targets: Tensor, weights: Tensor | None = None, *, temperature: float = 1.0
    ) -> Scores:
        """For outputs (n, width), targets as the loss encodes them, and where ``weighted`` the sample weights (n,).

        A figure without a finite value is undefined.
        """
        if not self.keys:
            return Scores()
        rows = Scored(outputs.double().cpu().numpy(), targets.cpu().numpy(), self.class_names, temperature)
        figures, undefined = dict[str, float](), dict[str, str]()
        self._measure(rows, figures, undefined)
        if self.weighted and weights is not None:
            by_row = weights.double().cpu().numpy()
            self._measure(rows.weighted(by_row), figures, undefined, before=WEIGHTED)
        return Scores(figures, undefined)

    def _measure(self, rows: Scored, figures: dict[str, float], undefined: dict[str, str], *, before: str = "") -> None:
        finite = bool(np.isfinite(rows.outputs).all())
        functions = {metric.key: partial(SCORES[metric.name], rows, metric) for metric in self.metrics}
        if before and self.class_names:
            functions = {"accuracy": partial(_accuracy, rows), **functions}
        for key, function in functions.items():
            try:
                if not finite:
                    raise Undefined("the network's outputs are not finite")
                if not len(rows.outputs):
                    raise Undefined("all rows have the weight 0")
                with warnings.catch_warnings(), np.errstate(all="ignore"):
                    warnings.simplefilter("ignore")  # of scikit-learn, about what is undefined
                    value = function()
                if not abs(value) <= LARGEST:
                    raise Undefined(f"it is {value}")
                figures[before + key] = value
            except Undefined as reason:
                undefined[before + key] = str(reason)


NO_SCORES = Scorer()
