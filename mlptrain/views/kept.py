"""A run's kept checkpoint and its data, ready for pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from mlptrain.data import Examples
from mlptrain.errors import UserError
from mlptrain.experiment.build import build_network
from mlptrain.experiment.checkpoints import Checkpoint
from mlptrain.inference.evaluate import load_kept
from mlptrain.nn.network import MLP
from mlptrain.nn.parameters import Parameters
from mlptrain.report.arrays import FloatArray, LabelledPoints
from mlptrain.sources.published import IMAGE_DATASETS
from mlptrain.spec import Experiment
from mlptrain.spec.base import either
from mlptrain.training.metrics import outputs_of, probabilities


@dataclass(frozen=True)
class Trained:
    """A checkpoint ready to be asked, on the CPU: pictures are small, and the device of the run may not be here."""

    checkpoint: Checkpoint
    network: MLP
    parameters: Parameters

    @property
    def experiment(self) -> Experiment:
        """What the checkpoint was trained on."""
        return self.checkpoint.experiment

    def outputs(self, x: Tensor) -> Tensor:
        """Outputs (n, width) for scaled inputs (n, n_features)."""
        return outputs_of(self.network, self.parameters, x)

    def confidences(self, x: Tensor) -> Tensor:
        """Class probabilities (n, k) for scaled inputs; under mse and mae, which have none, shares of outputs > 0."""
        outputs = self.outputs(x)
        if self.experiment.loss.reads == "logits":
            return probabilities(outputs)
        positive = outputs.double().clamp(min=1e-12)
        return positive / positive.sum(dim=1, keepdim=True)


def load_trained(run: Path) -> Trained:
    """The kept checkpoint of a run, or a checkpoint file. Raises CheckpointError or RunFolderError."""
    checkpoint = load_kept(run)
    network = build_network(checkpoint.experiment)
    parameters = Parameters.zeros(network.parameter_shapes).copy_(checkpoint.state.parameters)
    return Trained(checkpoint, network, parameters)


def load_classifier(run: Path, what: str) -> Trained:
    """As load_trained; raises UserError for regression, where there is no ``what``."""
    trained = load_trained(run)
    if trained.experiment.is_regression:
        raise UserError(
            f"{run}: {what} needs classes, but the targets of data '{trained.experiment.data.name}' are numbers; "
            "`mlptrain plot curves` works for every run"
        )
    return trained


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
    """Rows (n, pixels) as images (n, height, width). Raises UserError for data that are no images."""
    return rows.double().numpy().reshape(-1, *image_shape(experiment, where))
