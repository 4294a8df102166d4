"""Inputs of a network: samples of the training rows, and the distribution of their values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from mlptrain.experiment.build import load_data
from mlptrain.report.arrays import InputHistogram, LabelledPoints, Samples
from mlptrain.sources.fetch import Progress
from mlptrain.spec import Experiment
from mlptrain.views.kept import as_images, image_shape, labelled_points


def samples(
    experiment: Experiment, *, count: int = 40, data_dir: Path | None = None, on_fetch: Progress | None = None
) -> Samples | LabelledPoints:
    """The first ``count`` training images as scaled; of data in the plane, all training points.

    Raises UserError for other data.
    """
    if experiment.facts.n_features == 2 and experiment.facts.class_names:
        train = load_data(experiment, data_dir=data_dir, on_fetch=on_fetch).train
        return labelled_points(train, experiment, experiment.name)
    image_shape(experiment, experiment.name)
    train = load_data(experiment, data_dir=data_dir, on_fetch=on_fetch).train
    images = as_images(train.inputs[:count], experiment, experiment.name)
    labels = train.targets[:count].numpy()
    return Samples(experiment.name, _scaling(experiment), images, labels, experiment.facts.class_names)


def input_histogram(
    experiment: Experiment, *, bins: int = 100, data_dir: Path | None = None, on_fetch: Progress | None = None
) -> InputHistogram:
    """Counts of the training rows' values, as scaled, in equal bins from the smallest to the largest."""
    values = load_data(experiment, data_dir=data_dir, on_fetch=on_fetch).train.inputs
    counts, edges = np.histogram(values.numpy(), bins=bins)
    return InputHistogram(
        label=experiment.name,
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
