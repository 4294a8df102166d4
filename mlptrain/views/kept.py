"""A run's kept network and its data, ready for pictures. It runs on the CPU: pictures are small."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from mlptrain.data import Examples
from mlptrain.errors import UserError
from mlptrain.inference.module import TrainedNetwork, load
from mlptrain.report.arrays import FloatArray, LabelledPoints
from mlptrain.sources.published import IMAGE_DATASETS
from mlptrain.spec import Experiment
from mlptrain.spec.base import either
from mlptrain.training.metrics import CHUNK_ROWS, probabilities


@torch.no_grad()
def outputs_of(network: TrainedNetwork, x: Tensor) -> Tensor:
    """Outputs (n, width) for scaled inputs (n, n_features), in chunks that bound the memory."""
    return torch.cat([network(chunk) for chunk in torch.split(x, CHUNK_ROWS)])


def confidences(network: TrainedNetwork, outputs: Tensor) -> Tensor:
    """Class probabilities (n, k) from outputs (n, width); under mse and mae, which have none, shares of outputs > 0."""
    if network.gives_probabilities:
        return probabilities(outputs)
    positive = outputs.double().clamp(min=1e-12)
    return positive / positive.sum(dim=1, keepdim=True)


def load_classifier(run: Path, what: str) -> TrainedNetwork:
    """The kept network of a run, or of a checkpoint file; raises UserError for regression, which has no ``what``."""
    network = load(run)
    if not network.class_names:
        raise UserError(
            f"{run}: {what} needs classes, but the targets of data '{network.experiment.data.name}' are numbers; "
            "`mlptrain plot curves` works for every run"
        )
    return network


def labelled_points(examples: Examples, experiment: Experiment, label: str) -> LabelledPoints:
    """Inputs (n, 2) and labels (n,) as arrays."""
    points, labels = examples.inputs.double().numpy(), examples.targets.numpy()
    return LabelledPoints(label, points, labels, experiment.facts.class_names)


def image_shape(experiment: Experiment, where: str) -> tuple[int, int]:
    """Height and width of the data's images. Raises UserError, which begins with ``where``, for other data."""
    facts = experiment.facts
    if facts.image_shape is None:
        raise UserError(
            f"{where}: data '{experiment.data.name}' has {facts.n_features:,} numbers per row, which are not an image; "
            f"choose data such as {either(list(IMAGE_DATASETS))}"
        )
    return facts.image_shape


def as_images(rows: Tensor, experiment: Experiment, where: str) -> FloatArray:
    """Rows (n, pixels) as images (n, height, width). Raises UserError for other data."""
    return rows.double().numpy().reshape(-1, *image_shape(experiment, where))
