"""What goes into a network: samples of the training rows and the values in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from mlptrain.experiment.build import load_data
from mlptrain.report.arrays import InputHistogram, LabelledPoints, Samples
from mlptrain.sources.fetch import Progress
from mlptrain.spec import ExperimentSpec
from mlptrain.views.kept import as_images, image_shape, labelled_points


def samples(
    spec: ExperimentSpec, *, count: int = 40, data_dir: Path | None = None, on_fetch: Progress | None = None
) -> Samples | LabelledPoints:
    """The first ``count`` training images as scaled; of data in the plane, all training points.

    Raises UserError for other data.
    """
    if spec.data.input_width == 2 and spec.data.class_names:
        train = load_data(spec, data_dir=data_dir, on_fetch=on_fetch).train
        return labelled_points(train.x, train.y, spec, spec.name)
    image_shape(spec, spec.name)
    train = load_data(spec, data_dir=data_dir, on_fetch=on_fetch).train
    images = as_images(train.x[:count], spec, spec.name)
    return Samples(spec.name, _scaling(spec), images, train.y[:count].numpy(), spec.data.class_names)


def input_histogram(
    spec: ExperimentSpec, *, bins: int = 100, data_dir: Path | None = None, on_fetch: Progress | None = None
) -> InputHistogram:
    """Counts of the training rows' values, as scaled, in equal bins from the smallest to the largest."""
    values = load_data(spec, data_dir=data_dir, on_fetch=on_fetch).train.x
    counts, edges = np.histogram(values.numpy(), bins=bins)
    return InputHistogram(
        label=spec.name,
        scaling=_scaling(spec),
        what="pixel" if hasattr(spec.data, "facts") else "input",
        rows=len(values),
        counts=counts,
        edges=edges.astype(np.float64),
        mean=float(values.mean(dtype=torch.float64)),
        std=float(values.double().std(correction=0)),
    )


def _scaling(spec: ExperimentSpec) -> str:
    """The scaling in words of the configuration."""
    scaling = spec.data.scaling
    return scaling if isinstance(scaling, str) else f"mean {scaling.mean:g}, std {scaling.std:g}"
