"""A multi-layer perceptron as a pure function of its parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor
from torch.nn import functional

from mlptrain.nn.ops.activations import Activation
from mlptrain.spec.model import parameter_shapes


class MLP:
    """Fully connected layers: y₀ = x, z_l = y_{l−1} W_lᵀ + b_l, y_l = f(z_l), and the output activation on the last.

    ``widths`` runs from the inputs to the outputs, so it has at least two entries; with exactly two the model is
    linear. Layer i has the parameters ``layers.<i>.weight`` (out, in), ``layers.<i>.bias`` (out,) unless ``bias`` is
    false, and ``layers.<i>.slope`` () where the activation after it learns its slope.
    """

    def __init__(
        self, widths: Sequence[int], *, activation: Activation, output_activation: Activation, bias: bool
    ) -> None:
        if len(widths) < 2:
            raise ValueError(f"widths run from the inputs to the outputs, at least two numbers; got {list(widths)}")
        self.widths = tuple(widths)
        self.bias = bias
        self.n_layers = len(self.widths) - 1
        self.activations = (activation,) * (self.n_layers - 1) + (output_activation,)

    @property
    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Every parameter's shape, layer by layer: weight, bias, slope."""
        slopes = self.activations[0].learnt, self.activations[-1].learnt
        return parameter_shapes(self.widths, bias=self.bias, slopes=slopes)

    def forward(self, parameters: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """The outputs (n, outputs) for inputs (n, inputs) in the dtype of the parameters; autograd can follow."""
        for i, activation in enumerate(self.activations):
            z = functional.linear(x, parameters[f"layers.{i}.weight"], parameters.get(f"layers.{i}.bias"))
            x = activation(z, parameters.get(f"layers.{i}.slope"))
        return x
