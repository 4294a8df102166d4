"""A run's kept checkpoint and its data, ready for pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mlptrain.data import Splits, data_folder
from mlptrain.data.fetch import Progress
from mlptrain.errors import DataError, UserError
from mlptrain.experiment import build_network, checkpoint_path, load_data
from mlptrain.nn.functions import softmax
from mlptrain.nn.network import MLP, Parameters
from mlptrain.report.arrays import FloatArray, LabelledPoints
from mlptrain.spec import ExperimentSpec
from mlptrain.training.checkpoints import Checkpoint, load_checkpoint
from mlptrain.training.evaluation import outputs_of


@dataclass(frozen=True)
class Trained:
    """A checkpoint ready to be asked, on the CPU: pictures are small, and the device of the run may not be here."""

    path: Path
    checkpoint: Checkpoint
    network: MLP
    parameters: Parameters

    @property
    def spec(self) -> ExperimentSpec:
        """The specification that the checkpoint was trained with."""
        return self.checkpoint.spec

    def outputs(self, x: Tensor) -> Tensor:
        """Outputs (n, width) for scaled inputs (n, n_features)."""
        return outputs_of(self.network, self.parameters, x)

    def confidences(self, x: Tensor) -> Tensor:
        """Class probabilities (n, k) for scaled inputs; under mse and mae, which have none, shares of outputs > 0."""
        outputs = self.outputs(x)
        if self.spec.loss.name in ("cross_entropy", "bce"):
            return probabilities(outputs)
        positive = outputs.double().clamp(min=1e-12)
        return positive / positive.sum(dim=1, keepdim=True)


def probabilities(outputs: Tensor) -> Tensor:
    """Class probabilities (n, k) in float64: softmax of k outputs, or 1 − σ and σ of a single logit."""
    outputs = outputs.double()
    if outputs.shape[1] == 1:
        return torch.cat([torch.sigmoid(-outputs), torch.sigmoid(outputs)], dim=1)
    return softmax(outputs)


def load_trained(run: Path) -> Trained:
    """The kept checkpoint of a run, or a checkpoint file. Raises CheckpointError or RunFolderError."""
    path = checkpoint_path(run)
    checkpoint = load_checkpoint(path)
    network = build_network(checkpoint.spec)
    parameters = Parameters.zeros(network.parameter_shapes).copy_(checkpoint.parameters)
    return Trained(path, checkpoint, network, parameters)


def load_classifier(run: Path, what: str) -> Trained:
    """As load_trained; raises UserError for regression, where there is no ``what``."""
    trained = load_trained(run)
    if trained.spec.is_regression:
        raise UserError(
            f"{run}: {what} needs classes, but the targets of data '{trained.spec.data.name}' are numbers; "
            "`mlptrain plot curves` works for every run"
        )
    return trained


def load_split(trained: Trained, *, only: str, data_dir: Path | None, on_fetch: Progress | None) -> Splits:
    """The run's data with one split's tensors. Raises DataError where they are not what it was trained on."""
    checkpoint = trained.checkpoint
    splits = load_data(
        trained.spec, data_dir=data_dir, fixed_scaling=checkpoint.scaling, only=(only,), on_fetch=on_fetch
    )
    if splits.fingerprint != checkpoint.data_fingerprint:
        raise DataError(f"{trained.path} was trained on other data than what is in {data_folder(data_dir)} now")
    return splits


def choose_split(
    trained: Trained, wanted: str | None, *, data_dir: Path | None, on_fetch: Progress | None
) -> tuple[str, Splits]:
    """The wanted split, else test, else validation, else train. Raises DataError for one that the run has not."""
    spec = trained.spec
    rows = {"test": spec.data.test_rows, "validation": spec.data.validation_rows, "train": spec.training_rows}
    known = [name for name, count in rows.items() if count]
    split = wanted or known[0]
    if split not in known:
        raise DataError(f"data '{spec.data.name}' of {trained.path} has no {split} rows; choose {', '.join(known)}")
    return split, load_split(trained, only=split, data_dir=data_dir, on_fetch=on_fetch)


def labelled_points(x: Tensor, y: Tensor, spec: ExperimentSpec, label: str) -> LabelledPoints:
    """Inputs (n, 2) and labels (n,) as arrays."""
    return LabelledPoints(label, x.double().numpy(), y.numpy(), spec.data.class_names)


def image_shape(spec: ExperimentSpec, where: str) -> tuple[int, int]:
    """Height and width of the data's images. Raises UserError, which begins with ``where``, for other data."""
    facts = getattr(spec.data, "facts", None)
    if facts is None:
        raise UserError(
            f"{where}: data '{spec.data.name}' has {spec.data.input_width:,} numbers per row, which are no image; "
            "mnist, fashion_mnist and digits have images"
        )
    height, width = facts.image_shape
    return height, width


def as_images(rows: Tensor, spec: ExperimentSpec, where: str) -> FloatArray:
    """Rows (n, pixels) as images (n, height, width). Raises UserError for data that are no images."""
    return rows.double().numpy().reshape(-1, *image_shape(spec, where))
