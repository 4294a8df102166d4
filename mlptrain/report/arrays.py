"""What the pictures show, as plain arrays: computed by ``mlptrain.views``, drawn here, without torch.

``label`` names the run or configuration and its data for the title; ``index`` (n,) are the places of examples in their
split, from 0, as ``mlptrain predict --index`` takes them; class numbers index ``class_names``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class ActivationCurve:
    """An activation and its derivatives: ``values[k]`` (n,) is the k-th derivative at ``z`` (n,).

    NaN where a derivative jumps, so that no line is drawn across. ``formula`` is in TeX's notation; ``constants`` are
    the letters in it with their numbers.
    """

    name: str
    z: FloatArray
    values: FloatArray
    formula: str = ""
    constants: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class LabelledPoints:
    """Training points (n, 2) of the plane, as scaled, with their classes (n,)."""

    label: str
    points: FloatArray
    labels: IntArray
    class_names: tuple[str, ...]


@dataclass(frozen=True)
class DecisionMap:
    """``probabilities`` (rows, columns, classes) on a grid over the plane; row 0 is the lowest, column 0 the leftmost.

    ``extent`` (left, right, bottom, top) holds the coordinates of the outermost grid points. ``accuracy`` is the
    fraction of ``training`` that is classified correctly.
    """

    training: LabelledPoints
    model: str
    accuracy: float
    extent: tuple[float, float, float, float]
    probabilities: FloatArray


@dataclass(frozen=True)
class FittedCurve:
    """A function of one variable: training targets (n,) at inputs (n,), and lines over the inputs ``x`` (m,), unscaled.

    ``truth`` (m,) is the function that the targets come from, None where that is unknown, ``outputs`` (m, k) the
    network's, which ``output_names`` names, None of data without a network. ``model`` describes the network, ``loss``
    is the name of its loss and its value on the training rows.
    """

    label: str
    inputs: FloatArray
    targets: FloatArray
    x: FloatArray
    truth: FloatArray | None
    outputs: FloatArray | None = None
    output_names: tuple[str, ...] = ("network",)
    model: str = ""
    loss: tuple[str, float] | None = None


@dataclass(frozen=True)
class Samples:
    """Training images (n, height, width) as scaled, in stored order, with their classes (n,).

    Here and below images of colours are (n, height, width, 3).
    """

    label: str
    scaling: str
    images: FloatArray
    labels: IntArray
    class_names: tuple[str, ...]
    index: IntArray


@dataclass(frozen=True)
class AugmentedSamples:
    """What augmentation makes of ``samples``: ``drawn`` (n, draws, height, width), scaled as they are.

    ``mixtures[row][draw]`` names the classes that an image is mixed of; empty where none are mixed.
    ``changes`` is the augmentation in the words of the configuration.
    """

    samples: Samples
    changes: str
    drawn: FloatArray
    mixtures: Sequence[Sequence[str]]


@dataclass(frozen=True)
class InputHistogram:
    """How often every input value occurs in the scaled training rows: ``counts`` (bins,), ``edges`` (bins + 1,)."""

    label: str
    scaling: str
    what: str
    rows: int
    counts: IntArray
    edges: FloatArray
    mean: float
    std: float


@dataclass(frozen=True)
class Rates:
    """Learning rates ``lr`` (n,) at ``epochs`` (n,), which are fractions within an epoch.

    Those of a plateau are the highest that they can be, while its ``metric`` gets better, and ``lowest`` (n,) those if
    it never does; the rates of a run lie between.
    """

    label: str
    schedule: str
    epochs: FloatArray
    lr: FloatArray
    metric: str = ""
    lowest: FloatArray | None = None


@dataclass(frozen=True)
class Confusion:
    """``counts[i, j]`` examples of class i were predicted as j."""

    label: str
    split: str
    counts: IntArray
    class_names: tuple[str, ...]


@dataclass(frozen=True)
class Mistakes:
    """The most confident errors on a split, the most confident first; ``wrong`` of ``examples`` are misclassified.

    ``images`` (n, height, width) as scaled; ``true``, ``predicted`` and ``confidence`` (n,).
    """

    label: str
    split: str
    wrong: int
    examples: int
    images: FloatArray
    true: IntArray
    predicted: IntArray
    confidence: FloatArray
    class_names: tuple[str, ...]
    index: IntArray


@dataclass(frozen=True)
class Residuals:
    """What a regression predicts on a split: ``true`` and ``predicted`` (n, targets), in the targets' own units.

    ``what`` is the name of what is predicted, as on an axis; ``names`` are those of the targets, where they have some.
    """

    label: str
    split: str
    true: FloatArray
    predicted: FloatArray
    what: str = "predicted value"
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class ClassCurve:
    """Of one class against the rest, at every threshold of its probability, (m,) each.

    ``share`` of the examples are of it. ``area`` is that under the ROC curve.
    """

    name: str
    share: float
    false_positive: FloatArray
    true_positive: FloatArray
    area: float
    recall: FloatArray
    precision: FloatArray
    average_precision: float


@dataclass(frozen=True)
class ClassCurves:
    """ROC and precision–recall curves on a split of so many ``rows``: of those among ``classes`` that are drawn."""

    label: str
    split: str
    rows: int
    curves: tuple[ClassCurve, ...]
    classes: int


@dataclass(frozen=True)
class PermutationImportance:
    """How much worse a network is on ``rows`` rows of a split where the values of a column are shuffled.

    ``increase`` (columns, repeats) of the mean ``loss``, ``decrease`` of the ``second`` figure, accuracy or R², None
    where there is none. ``columns`` are some of ``all_columns``, and ``chosen`` says in words which.
    """

    label: str
    split: str
    rows: int
    repeats: int
    columns: tuple[str, ...]
    all_columns: int
    chosen: str
    loss: str
    increase: FloatArray
    second: str
    decrease: FloatArray | None

    @property
    def which(self) -> str:
        """Which columns were shuffled, where that are not all."""
        if len(self.columns) == self.all_columns:
            return ""
        return f"of {self.all_columns:,} columns {len(self.columns)}, {self.chosen}"

    @property
    def order(self) -> IntArray:
        """The columns by their mean increase, the largest first."""
        return np.argsort(-self.increase.mean(axis=1), kind="stable")


@dataclass(frozen=True)
class ReliabilityMoment:
    """Accuracy against confidence, the largest probability, in bins of equal width from 0 to 1; all (bins,).

    ``low`` and ``high`` are Wilson's 95 % interval of the accuracy; all but ``counts`` are nan in an empty bin. ``ece``
    and ``log_loss`` are of all examples, whose logits are divided by ``temperature``.
    """

    temperature: float
    counts: IntArray
    confidence: FloatArray
    accuracy: FloatArray
    low: FloatArray
    high: FloatArray
    ece: float
    log_loss: float


@dataclass(frozen=True)
class ReliabilityDiagram:
    """How far probabilities are what they claim on a split: without temperature, and with one where it was fitted."""

    label: str
    split: str
    moments: tuple[ReliabilityMoment, ...]


@dataclass(frozen=True)
class SeenImages:
    """Image files as the network ``label`` was given them (n, height, width), from 0 to 1, each with its caption.

    ``faults`` say which files could not be read.
    """

    label: str
    images: FloatArray
    captions: tuple[str, ...]
    faults: tuple[str, ...] = ()


@dataclass(frozen=True)
class WeightImages:
    """The first layer's weights as images (n, height, width) of the hidden units ``units`` (n,), of ``total``."""

    label: str
    images: FloatArray
    units: IntArray
    total: int


@dataclass(frozen=True)
class LayerMoment:
    """Every layer of a network at one moment of its training, (layers,) each, without unit.

    ``mean`` and ``std`` of the activations, the shares of those that are ``zero`` and of those that are ``saturated``
    (next to no slope), and the norm of the weights' ``gradient``.
    """

    title: str
    mean: FloatArray
    std: FloatArray
    zero: FloatArray
    saturated: FloatArray
    gradient: FloatArray


@dataclass(frozen=True)
class LayerProfiles:
    """The layers of a run on ``rows`` training rows, at the moments whose weights are on record.

    ``recorded`` holds (epochs, layers) of the figures of ``LayerMoment`` from epoch 0 on, where a run recorded them.
    """

    label: str
    model: str
    rows: int
    moments: tuple[LayerMoment, ...]
    recorded: Mapping[str, FloatArray] | None = None


@dataclass(frozen=True)
class RateTrials:
    """The first steps of a run at each of several learning rates ``rates`` (n,), ascending, on the same batches.

    ``curves`` (n, steps) are the training losses of the steps, not finite where training diverged; ``losses`` (n,) are
    means over the last ``averaged`` of them, ``start`` is that of the untrained network on these very batches.
    ``diverges`` (n,): the loss is not finite, or ends above ``start``.
    """

    label: str
    optimizer: str
    rates: FloatArray
    curves: FloatArray
    losses: FloatArray
    diverges: Sequence[bool]
    averaged: int
    start: float
    suggestion: float | None
