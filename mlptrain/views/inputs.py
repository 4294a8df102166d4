"""Inputs of a network as arrays: samples of the training rows, and the distribution of their values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypedDict, Unpack

import numpy as np
import torch
from torch import Tensor

from mlptrain.data import Examples
from mlptrain.data.augmentation import Augmentation
from mlptrain.errors import UserError
from mlptrain.experiment.build import load_data
from mlptrain.report.arrays import (
    AugmentedSamples,
    FittedCurve,
    FloatArray,
    InputHistogram,
    IntArray,
    LabelledPoints,
    Rates,
    Samples,
)
from mlptrain.report.history import experiment_title
from mlptrain.sources.fetch import Progress
from mlptrain.sources.generated import FUNCTIONS
from mlptrain.sources.published import IMAGE_DATASETS
from mlptrain.spec import Experiment
from mlptrain.spec.base import either
from mlptrain.spec.data import FunctionData
from mlptrain.spec.own import ImagesData
from mlptrain.spec.schedule import Drops, Plateau
from mlptrain.spec.table import TableData
from mlptrain.system.paths import AnyPath

_CURVE_POINTS = 1001
_MARGIN = 0.05  # beyond the outermost training inputs, in widths of their range


class Source(TypedDict, total=False):
    """Where the data sets are, and what is notified of a download, as ``load_data`` takes them."""

    data_dir: AnyPath | None
    on_fetch: Progress | None


_MAX_DRAWN_STEPS = 20_000  # more than a picture has pixels, so that no jump is missed


def learning_rates(experiment: Experiment) -> Rates:
    """The learning rate of the steps of a run, of long ones of evenly spaced steps.

    Raises UserError for a run without steps.
    """
    run = experiment.training.run_length(experiment.facts.train_rows)
    if not run.steps:
        raise UserError(f"{experiment.name}: a run of 0 epochs has no steps to draw; set training.epochs")
    steps = np.unique(np.linspace(0, run.steps - 1, min(run.steps, _MAX_DRAWN_STEPS)).astype(np.int64))
    lr = [experiment.optimizer.lr * experiment.schedule.factor_at(int(step), run) for step in steps]
    rates = Rates(experiment_title(experiment), experiment.schedule.name, steps / run.per_epoch, np.array(lr))
    if not isinstance(experiment.schedule, Plateau):
        return rates
    drops, factors = Drops(experiment.schedule, experiment.schedule.first_epoch(run)), []
    for epoch in range(1, experiment.training.epochs + 1):
        factors.append(drops.factor)
        drops.take(epoch, 1.0)  # again and again
    lowest = rates.lr * np.array(factors)[steps // run.per_epoch]
    return replace(rates, metric=experiment.schedule.metric, lowest=lowest)


def samples(
    experiment: Experiment, *, count: int = 40, **source: Unpack[Source]
) -> Samples | LabelledPoints | FittedCurve:
    """``count`` training images as scaled; of data in the plane, or of one variable, all training points.

    They are the first ones, but of a folder of images, which are in the order of their classes, at equal distances.
    Raises UserError for other data.
    """
    if is_curve(experiment):
        return training_curve(load_data(experiment, **source).train, experiment, experiment.name)
    if has_numbers(experiment, 2) and experiment.facts.has_classes:
        return labelled_points(load_data(experiment, **source).train, experiment, experiment_title(experiment))
    image_shape(experiment, experiment.name)
    rows, index = _shown(load_data(experiment, **source).train, experiment, count)
    images, labels = as_images(rows.inputs, experiment, experiment.name), rows.targets.numpy()
    label, names = experiment_title(experiment), experiment.facts.class_names
    return Samples(label, _scaling(experiment), images, labels, names, index)


def augmented_samples(
    experiment: Experiment, *, count: int = 8, draws: int = 7, **source: Unpack[Source]
) -> AugmentedSamples:
    """``count`` images as ``samples`` takes them, and what augmentation makes of each in ``draws`` epochs, one batch.

    Raises UserError for other data, and where nothing is augmented.
    """
    shape = image_shape(experiment, experiment.name)
    augmentation = Augmentation.of(experiment.augmentation, experiment.facts)
    if augmentation is None:
        raise UserError(
            f"{experiment.name}: nothing is augmented; set a key of the section augmentation, e.g. "
            "--set augmentation.rotate=15"
        )
    train = load_data(experiment, **source).train
    (rows, index), names = _shown(train, experiment, count), experiment.facts.class_names
    drawn, mixtures = torch.empty(len(rows), draws, rows.x.shape[1]), [[""] * draws for _ in range(len(rows))]
    for draw in range(draws):
        epoch = augmentation.epoch(experiment.seed, draw + 1)
        if experiment.augmentation.mixup:
            for row, shares in enumerate(epoch.targets(rows.targets, len(rows))):
                mixtures[row][draw] = _mixture(shares, names)
        out = torch.empty(len(rows), rows.x.shape[1])
        epoch.write(rows.stored().clone(), train.preprocessing, out=out)
        drawn[:, draw] = out
    images = as_images(rows.inputs, experiment, experiment.name)
    label = experiment_title(experiment)
    originals = Samples(label, _scaling(experiment), images, rows.targets.numpy(), names, index)
    changed = drawn.double().numpy().reshape(len(rows), draws, *shape)
    return AugmentedSamples(originals, experiment.augmentation.described(), changed, mixtures)


def _shown(train: Examples, experiment: Experiment, count: int) -> tuple[Examples, IntArray]:
    """Rows to show, and their places in the training split."""
    if not isinstance(experiment.data, ImagesData):
        rows = train.head(count)
        return rows, np.arange(len(rows))
    rows = train.spaced(count)
    return rows, np.arange(len(rows)) * len(train) // len(rows)


def _mixture(shares: Tensor, names: Sequence[str]) -> str:
    """The classes of an image with their shares, the larger one first, a line each."""
    largest, classes = shares.topk(2)
    parts = zip(largest.tolist(), classes.tolist(), strict=True)
    return "\n".join(f"{100 * share:.0f} % {names[at]}" for share, at in parts if share)


def input_histogram(experiment: Experiment, **source: Unpack[Source]) -> InputHistogram:
    """Counts of the training rows' values, as scaled, in 100 equal bins from the smallest to the largest."""
    values = load_data(experiment, **source).train.inputs
    counts, edges = np.histogram(values.numpy(), bins=100)
    return InputHistogram(
        label=experiment_title(experiment),
        scaling=_scaling(experiment),
        what="pixel" if experiment.facts.image_shape else "input",
        rows=len(values),
        counts=counts,
        edges=edges.astype(np.float64),
        mean=float(values.mean(dtype=torch.float64)),
        std=float(values.double().std(correction=0)),
    )


def _scaling(experiment: Experiment) -> str:
    """The scaling in words of the configuration."""
    scaling = experiment.data.scaling
    return scaling if isinstance(scaling, str) else f"mean {scaling.mean:g}, std {scaling.std:g}"


def labelled_points(examples: Examples, experiment: Experiment, label: str) -> LabelledPoints:
    """Inputs (n, 2) and labels (n,) as arrays."""
    points, labels = examples.inputs.double().numpy(), examples.targets.numpy()
    return LabelledPoints(label, points, labels, experiment.facts.class_names)


def is_curve(experiment: Experiment) -> bool:
    """Whether the data are one target of one variable."""
    return experiment.facts.is_regression and experiment.facts.n_targets == 1 and has_numbers(experiment, 1)


def has_numbers(experiment: Experiment, count: int) -> bool:
    """Whether a row is so many numbers, each of which is one input."""
    layout = experiment.layout
    return experiment.facts.n_features == layout.width == len(layout.numeric) == count


def training_curve(examples: Examples, experiment: Experiment, label: str) -> FittedCurve:
    """Inputs as stored and targets, with the function that they come from where the configuration names it."""
    stored = examples.stored()
    if isinstance(experiment.data, TableData):  # whose rows are prepared already
        raw = torch.from_numpy(experiment.data.source().content().raw.x)
        stored = raw if examples.index is None else raw[examples.index]
    inputs, targets = stored.double().flatten(), examples.targets.double().flatten()
    inputs, targets = inputs[~inputs.isnan()], targets[~inputs.isnan()]
    low, high = float(inputs.min()), float(inputs.max())
    margin = _MARGIN * (high - low)
    x = torch.linspace(low - margin, high + margin, _CURVE_POINTS, dtype=torch.float64)
    data = experiment.data
    truth = FUNCTIONS[data.function](x).numpy() if isinstance(data, FunctionData) else None
    return FittedCurve(label, inputs.numpy(), targets.numpy(), x.numpy(), truth)


def image_shape(experiment: Experiment, where: str) -> tuple[int, ...]:
    """(height, width) of the data's images, of colours (height, width, 3).

    Raises UserError, which begins with ``where``, for other data.
    """
    facts = experiment.facts
    if facts.pixels_shape is None:
        raise UserError(
            f"{where}: data '{experiment.data.label}' has {facts.n_features:,} numbers per row, which are not an "
            f"image; choose data such as {either(list(IMAGE_DATASETS))}"
        )
    return facts.pixels_shape


def as_images(rows: Tensor, experiment: Experiment, where: str) -> FloatArray:
    """Rows (n, n_features) as images (n, height, width), of colours (n, height, width, 3).

    Raises UserError for other data.
    """
    return rows.double().numpy().reshape(-1, *image_shape(experiment, where))
