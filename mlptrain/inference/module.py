"""A trained network for use from Python: ``mlptrain.load``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from mlptrain.errors import DataError, UserError
from mlptrain.experiment.build import build_network
from mlptrain.experiment.checkpoints import Checkpoint
from mlptrain.inference.evaluate import later_inputs, later_rows, load_kept
from mlptrain.nn import network
from mlptrain.nn.noise import Noise, TrainingMode
from mlptrain.sources.tables.given import holds_rows, is_path
from mlptrain.spec import describe_ops
from mlptrain.system.paths import AnyPath
from mlptrain.training.device import resolve_device
from mlptrain.training.metrics import probabilities


class Layer(nn.Module):
    """A layer of the network with copies of its parameters: ``weight`` (out, in), ``bias`` (out,) and those of its ops.

    Running statistics of batch norm are buffers. In training mode dropout draws from torch's global generator.
    """

    def __init__(self, layer: network.Layer, parameters: Mapping[str, Tensor], *, ops: Sequence[str]) -> None:
        super().__init__()
        self.layer, self.ops = layer, tuple(ops)  # the ops in words
        for name in layer.parameter_shapes:
            self.register_parameter(name.removeprefix(layer.prefix), nn.Parameter(parameters[name].clone()))
        for name in layer.state_shapes:
            self.register_buffer(name.removeprefix(layer.prefix), parameters[name].clone())

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (n, out) for x (n, in)."""
        own = [*self.named_parameters(), *self.named_buffers()]
        mode = TrainingMode(Noise(torch.default_generator)) if self.training else None
        return self.layer.forward({self.layer.prefix + name: value for name, value in own}, x, mode=mode)

    def extra_repr(self) -> str:
        """What printing shows in parentheses."""
        return f"{self.layer.inputs}, {self.layer.outputs}, bias={self.layer.bias}, ops={', '.join(self.ops)}"


class TrainedNetwork(nn.Module):
    """The network of a checkpoint, in evaluation mode.

    ``network(x)`` takes scaled inputs (n, n_features) and returns logits, or values for regression; ``preprocess``
    makes such inputs from raw images. Logits are as the network gives them, those of several members of their mean
    probability; where a temperature was fitted, ``predict_proba`` divides them by it. Parameters are named as in the
    checkpoint, ``layers.0.weight`` and so on, and can be trained further with any optimizer of torch.

    Attributes: ``checkpoint``, the content of the file, and of it ``experiment``, the configuration with the facts of
    its data, ``class_names``, in the order of the logits and empty for regression, ``image_shape``, (height, width) or
    of colours (height, width, 3), and ``maximum``, the largest raw value, both None for data without them,
    ``preprocessing``, ``temperature``, 1 where none was fitted, and ``epoch``, after which the parameters were kept.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        self.checkpoint = checkpoint
        self.experiment = checkpoint.experiment
        facts = checkpoint.experiment.facts
        self.class_names, self.image_shape, self.maximum = facts.class_names, facts.pixels_shape, facts.maximum
        self.preprocessing = checkpoint.preprocessing
        self.temperature = checkpoint.temperature or 1.0
        self.epoch = checkpoint.epoch
        self._network = build_network(self.experiment)
        self.layers = nn.ModuleList(
            Layer(layer, checkpoint.state.parameters, ops=describe_ops(self.experiment, layer.index))
            for layer in self._network.layers
        )
        self.eval()

    if TYPE_CHECKING:

        def __call__(self, x: Tensor) -> Tensor:  # noqa: D102 - nn.Module says Any
            ...

    @property
    def gives_probabilities(self) -> bool:
        """Whether the loss makes the outputs logits of classes; those of mse and mae are not."""
        return self.experiment.loss.reads == "logits"

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (n, outputs) for scaled inputs ``x`` (n, n_features), float32.

        Raises RuntimeError for another number of features, as torch does.
        """
        for layer in self.layers:
            x = layer(x)
        outputs, target = self._network.combined(x), self.preprocessing.target
        return outputs if target is None else target.restored(outputs)

    def preprocess(self, images: Any) -> Tensor:
        """Inputs (n, n_features) for ``forward`` from raw data, ``images``, on the device of the parameters.

        Images are (n, height, width), (height, width) or (n, height·width), of colours (n, height, width, 3) and so on,
        with pixels from 0 to ``maximum`` as in the data set, light ink on dark ground, of any real type; other data are
        (n, n_features). Where a table was trained on, what holds its raw columns: a path or several, a polars or pandas
        frame, a mapping of columns, rows as mappings, or an array of objects with the columns in their places. An array
        of numbers is then the stored matrix, with nan where a value is missing and the position of the level in a
        categorical column.

        Raises DataError for columns that are absent or hold another kind, for another shape, for values that are not
        finite or outside 0 to ``maximum``, and for pixels that are booleans or on a scale from 0 to 1, which would be
        read as nearly black in silence. Whoever means so dark an image has ``preprocessing.apply`` for it.
        """
        n_features, data = self.experiment.facts.n_features, self.experiment.data.label
        of_table = self.experiment.facts.is_table
        if of_table and (is_path(images) or holds_rows(images)):
            rows = later_rows(self.checkpoint, images, with_target=False)
            return later_inputs(self.checkpoint, rows)[0].to(self.device)
        raw = _as_tensor(images)
        shapes = f"(n, {n_features})"
        if self.image_shape is not None:
            sides = ", ".join(map(str, self.image_shape))
            shapes = f"(n, {sides}), ({sides}) or {shapes}"
            if raw.dim() - len(self.image_shape) in (0, 1) and raw.shape[-len(self.image_shape) :] == self.image_shape:
                raw = raw.reshape(-1, n_features)
        if raw.dim() != 2 or raw.shape[1] != n_features:
            raise DataError(f"data of shape {tuple(raw.shape)}: expected {shapes}, as in '{data}'")
        if self.maximum is not None and (fault := _other_scale(raw, self.maximum, data)) is not None:
            raise DataError(fault)
        if not bool(raw.isinf().logical_not().all() if of_table else raw.isfinite().all()):
            raise DataError("values that are not finite: fill in what is missing, or leave those rows out")
        return self.preprocessing.apply(raw.to(self.device))

    @torch.no_grad()
    def predict_proba(self, images: Any) -> Tensor:
        """Class probabilities (n, classes), float64, for ``images`` as ``preprocess`` takes them; two columns for bce.

        They are those of the logits divided by ``temperature``. Of several labels at once that of each label, which do
        not sum to 1.

        Raises UserError where the outputs are not logits of classes: for regression, and for mse, mae or huber on
        classes; and as ``preprocess``.
        """
        if not self.gives_probabilities:
            loss = self.experiment.loss.name
            raise UserError(f"a network trained with the loss '{loss}' gives no probabilities; call it for its outputs")
        outputs = self(self.preprocess(images))
        return probabilities(outputs, self.temperature, multi_label=self.experiment.facts.is_multi_label)


def load(run_or_checkpoint: AnyPath, device: str = "cpu") -> TrainedNetwork:
    """The network in ``run_or_checkpoint``: a checkpoint file, or a run folder's kept one.

    It has its preprocessing and class names with it. An unfinished run gives its best checkpoint so far, or the last
    where the run keeps that. The data set is not needed, and no random number is drawn. ``device`` is auto, cpu, cuda
    or cuda:N.

    Raises CheckpointError, RunFolderError or DeviceError, one message each.
    """
    chosen = resolve_device(device=device, precision="highest", threads="auto").device
    return TrainedNetwork(load_kept(run_or_checkpoint)).to(chosen)


def _as_tensor(data: Tensor | ArrayLike) -> Tensor:
    """Real numbers or booleans as a tensor. Raises DataError for anything else, such as text or ragged lists."""
    if isinstance(data, Tensor):
        found = data
    else:
        try:
            array = np.array(data)
        except ValueError:
            raise DataError("rows of different lengths: expected an array of numbers") from None
        if array.dtype.kind not in "biuf":
            raise DataError(f"data of type {array.dtype}: expected an array of numbers")
        # torch has neither other byte orders nor floats of more than 64 bits.
        native = np.float64 if array.dtype.kind == "f" and array.itemsize > 8 else array.dtype.newbyteorder("=")
        found = torch.from_numpy(array.astype(native, copy=False))
    if found.is_complex():
        raise DataError(f"data of type {found.dtype}: expected real numbers")
    # torch cannot compare numpy's larger unsigned types.
    return found.double() if found.dtype in (torch.uint16, torch.uint32, torch.uint64) else found


def _other_scale(pixels: Tensor, maximum: int, data: str) -> str | None:
    """What came instead of pixels from 0 to ``maximum``, and what to do; None where they are on that scale.

    The largest pixel of every image of MNIST and Fashion-MNIST is at least 254 of 255, of the digits 14 of 16, so that
    a batch whose largest is hardly above 1 is on another scale. One that is black throughout is the same on both.
    """
    those = f"but those of '{data}' go from 0 to {maximum}"
    if pixels.dtype == torch.bool and maximum > 1:
        return f"pixels that are booleans, {those}: multiply them by {maximum}"
    if not pixels.numel():
        return None
    low, high = (float(value) for value in torch.aminmax(pixels.double()))
    if 0 <= low <= high <= maximum:
        dark = 0 < high < min(2, maximum / 10)
        return f"pixels from {low:g} to {high:g}, {those}: multiply them by {maximum}" if dark else None
    remedy = ""
    if low < 0:
        remedy = ": preprocess scales them by itself, so hand it pixels that are not scaled yet"
    elif maximum < high <= 255:
        remedy = f": multiply pixels from 0 to 255 by {maximum}/255"
    found = "pixels that are nan" if math.isnan(high) else f"pixels from {low:g} to {high:g}"
    return f"{found}, outside 0 to {maximum}, the range of '{data}'{remedy}"
