"""A trained network for use from Python: ``mlptrain.load``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn import functional

from mlptrain.errors import DataError, UserError
from mlptrain.experiment.build import build_network
from mlptrain.experiment.checkpoints import Checkpoint
from mlptrain.inference.evaluate import load_kept
from mlptrain.nn.ops.activations import Activation
from mlptrain.spec.data import ImageData
from mlptrain.training.device import decide
from mlptrain.training.metrics import probabilities


class Layer(nn.Module):
    """y = f(x Wᵀ + b), with parameters ``weight`` (out, in), ``bias`` (out,) and ``slope`` () where the layer has them.

    Values of the parameters are copied.
    """

    weight: nn.Parameter
    bias: nn.Parameter | None
    slope: nn.Parameter | None

    def __init__(self, activation: Activation, *, weight: Tensor, bias: Tensor | None, slope: Tensor | None) -> None:
        super().__init__()
        self.activation = activation
        for name, values in (("weight", weight), ("bias", bias), ("slope", slope)):
            self.register_parameter(name, None if values is None else nn.Parameter(values.clone()))

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (n, out) for x (n, in)."""
        return self.activation(functional.linear(x, self.weight, self.bias), self.slope)

    def extra_repr(self) -> str:
        """What printing shows between the brackets."""
        n_outputs, n_inputs = self.weight.shape
        return f"{n_inputs}, {n_outputs}, bias={self.bias is not None}, activation={self.activation.name}"


class TrainedNetwork(nn.Module):
    """The network of a checkpoint, in evaluation mode.

    ``network(x)`` takes scaled inputs (n, n_features) and returns logits, or values for regression, like any module;
    ``preprocess`` makes such inputs from raw images. Parameters are named as in the checkpoint, ``layers.0.weight``
    and so on, and can be trained on with any optimizer of torch.

    Attributes besides: ``spec``, the configuration; ``class_names``, in the order of the logits, empty for regression;
    ``scaling``, the numbers of the preprocessing; ``epoch`` after which the parameters were kept; ``checkpoint``, all
    that the file held.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        self.checkpoint = checkpoint
        self.spec = checkpoint.spec
        self.class_names = checkpoint.spec.data.class_names
        self.scaling = checkpoint.scaling
        self.epoch = checkpoint.epoch
        values = checkpoint.parameters
        self.layers = nn.ModuleList(
            Layer(
                activation,
                weight=values[f"layers.{i}.weight"],
                bias=values.get(f"layers.{i}.bias"),
                slope=values.get(f"layers.{i}.slope"),
            )
            for i, activation in enumerate(build_network(checkpoint.spec).activations)
        )
        self.eval()

    @property
    def image_shape(self) -> tuple[int, int] | None:
        """(height, width) of the data set's images; None for data that are no images."""
        return self.spec.data.facts.image_shape if isinstance(self.spec.data, ImageData) else None

    @property
    def maximum(self) -> int | None:
        """The largest raw pixel value, 255 or 16 for digits; None for data that are no images."""
        return self.spec.data.facts.maximum if isinstance(self.spec.data, ImageData) else None

    @property
    def gives_probabilities(self) -> bool:
        """Whether the loss makes the outputs logits of classes; those of mse and mae are not."""
        return self.spec.loss.name in ("cross_entropy", "bce")

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (n, outputs) for scaled inputs (n, n_features), float32."""
        for layer in self.layers:
            x = layer(x)
        return x

    def preprocess(self, images: Tensor | ArrayLike) -> Tensor:
        """Inputs (n, n_features) for ``forward`` from raw data, on the device of the parameters.

        Images are (n, height, width), (height, width) or (n, height·width) with pixels from 0 to ``maximum`` as in the
        data set, light ink on dark ground, of any real type; other data (n, n_features). Pixels from 0 to 1 would be
        taken for nearly black. Raises DataError for another shape, for values outside 0 to ``maximum``, and for NaN.
        """
        raw = images if isinstance(images, Tensor) else torch.from_numpy(np.array(images))
        if self.image_shape is not None and raw.shape[-2:] == self.image_shape and raw.dim() in (2, 3):
            raw = raw.reshape(-1, self.spec.data.input_width)
        if raw.dim() != 2 or raw.shape[1] != self.spec.data.input_width:
            shapes = f"(n, {self.spec.data.input_width})"
            if self.image_shape is not None:
                height, width = self.image_shape
                shapes = f"(n, {height}, {width}), ({height}, {width}) or {shapes}"
            raise DataError(f"data of shape {tuple(raw.shape)}: wanted {shapes}, as in '{self.spec.data.name}'")
        if self.maximum is not None and not bool(((raw >= 0) & (raw <= self.maximum)).all()):
            raise DataError(f"pixels outside 0 to {self.maximum}, the range of '{self.spec.data.name}'")
        weight: Any = self.layers[0].weight
        return self.scaling.apply(raw.to(weight.device))

    @torch.no_grad()
    def predict_proba(self, images: Tensor | ArrayLike) -> Tensor:
        """Class probabilities (n, classes), float64, for what ``preprocess`` takes; two columns for bce.

        Raises UserError where the outputs are no logits of classes: for regression, and for mse or mae on classes.
        """
        if not self.gives_probabilities:
            raise UserError(
                f"a network trained with the loss '{self.spec.loss.name}' gives no probabilities; call it for its "
                "outputs"
            )
        return probabilities(self(self.preprocess(images)))


def load(run_or_checkpoint: Path | str, device: str = "cpu") -> TrainedNetwork:
    """The network of a checkpoint file, or of a run folder's kept checkpoint, with preprocessing and class names.

    Of a run that is not finished the best checkpoint so far is taken, or the last where the run keeps that. The data
    set is not needed, and no random number is drawn. ``device`` is auto, cpu, cuda or cuda:N.

    Raises CheckpointError, RunFolderError or DeviceError, one message each.
    """
    chosen = decide(device=device, precision="highest", threads="auto").device
    return TrainedNetwork(load_kept(Path(run_or_checkpoint))).to(chosen)
