"""The gradient of a multi-layer perceptron, derived by hand and written in place.

With z_l = y_{l−1} W_lᵀ + b_l and y_l = f_l(z_l) for the layers l = 1 … L, y₀ = x, and δ_l = ∂objective/∂z_l (n, out_l):

    δ_L = ∂objective/∂y_L ⊙ f_L′(z_L)
    δ_l = (δ_{l+1} W_{l+1}) ⊙ f_l′(z_l)
    ∂/∂W_l = δ_lᵀ y_{l−1}        (out_l, in_l)
    ∂/∂b_l = Σ over rows of δ_l   (out_l,)
    ∂/∂slope_l = Σ ∂objective/∂y_l ⊙ min(z_l, 0), for a learnt slope

Rumelhart, Hinton & Williams, Learning representations by back-propagating errors (1986); in matrices: Goodfellow,
Bengio & Courville, Deep Learning (2016), algorithm 6.4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from mlptrain.nn.activations import Activation
from mlptrain.nn.losses import Loss
from mlptrain.nn.network import MLP, Parameters

# Multiply-adds up to which a float32 product on the CPU is made by the kernel of the precision "highest" whatever
# precision is set. The lower ones go to oneDNN, which is faster for large products and costs 10 to 20 µs more for
# each small one: 25 against 16 µs at 64 × 128 × 128, 22 against 8 at 64 × 64 × 64, 55 against 50 at 64 × 256 × 256
# (2-core AMD EPYC). A rule by size alone, so that a run repeats to the last bit.
SMALL_PRODUCT = 2**20


@dataclass(frozen=True)
class _Layer:
    """One layer's parameters and the views of the buffers for one batch size; everything the step needs, looked up.

    z (n, out) and y (n, out) are one buffer unless the activation needs z for its derivative.
    """

    activation: Activation
    multiply: Callable[..., object]
    weight: Tensor
    weight_transposed: Tensor
    bias: Tensor | None
    slope: Tensor | None
    weight_gradient: Tensor
    bias_gradient: Tensor | None
    slope_gradient: Tensor | None
    z: Tensor
    y: Tensor
    delta: Tensor
    delta_transposed: Tensor


class Backward:
    """Forward and backward pass of ``network`` with ``loss``, without autograd, into buffers made once.

    A call reads ``parameters`` and overwrites ``gradients`` (made with the network's shapes, zero or not). Both are
    bound here by their memory: update them in place. ``batch_size`` is the largest batch; a smaller one uses the first
    rows of the buffers. After a call ``loss_sum`` (shape (), the sum of the loss over the examples, on the device) and
    the returned outputs hold that call's values; the outputs are overwritten by the next call.

    Any floating dtype and device, as the parameters have them. The addresses of all buffers are fixed for one batch
    size, so that a call can be captured in a CUDA graph.

    Memory besides the parameters: per layer batch_size × out elements for y, again as many for z where the activation
    needs it, and two buffers of batch_size × the widest layer for δ.
    """

    loss_sum: Tensor

    def __init__(
        self, network: MLP, *, loss: Loss, parameters: Parameters, gradients: Parameters, batch_size: int
    ) -> None:
        for role, given in (("parameters", parameters), ("gradients", gradients)):
            if given.shapes != network.parameter_shapes:
                raise ValueError(f"{role} of other shapes than the network's: {given.shapes}")
        self.network = network
        self.loss = loss
        self.parameters = parameters
        self.gradients = gradients
        self.batch_size = batch_size
        new = parameters.flat.detach().new_empty
        self._outputs = [new(batch_size, width) for width in network.widths[1:]]
        self._inputs = [
            new(batch_size, width) if activation.needs_input else output
            for activation, width, output in zip(network.activations, network.widths[1:], self._outputs, strict=True)
        ]
        # δ_l is made from δ_{l+1} alone, so two buffers that take turns are enough for any depth.
        self._deltas = [new(batch_size * max(network.widths[1:])) for _ in range(min(2, network.n_layers))]
        self._layers: dict[int, list[_Layer]] = {}
        self.loss_sum = parameters.flat.detach().new_zeros(())

    @torch.no_grad()
    def __call__(self, x: Tensor, targets: Tensor) -> Tensor:
        """The outputs (n, outputs) for x (n, inputs), n at most ``batch_size``; gradients and ``loss_sum`` are written.

        ``targets`` as the loss encodes them. Raises ValueError for a larger batch.
        """
        n = len(x)
        layers = self._layers.get(n) or self._bind(n)
        y = x
        for layer in layers:
            layer.multiply(y, layer.weight_transposed, out=layer.z)
            if layer.bias is not None:
                layer.z.add_(layer.bias)
            y = layer.activation.forward_(layer.z, layer.slope, out=layer.y)
        outputs = y
        self.loss_sum, _ = self.loss.loss_and_gradient(outputs, targets, layers[-1].delta)
        for i in range(len(layers) - 1, -1, -1):
            self._layer_backward(layers[i], layers[i - 1].y if i else x)
            if i:
                layers[i].multiply(layers[i].delta, layers[i].weight, out=layers[i - 1].delta)
        return outputs

    @staticmethod
    def _layer_backward(layer: _Layer, inputs: Tensor) -> None:
        """From ∂objective/∂y_l in the layer's delta to δ_l in the same place, and the layer's gradients."""
        if layer.slope_gradient is not None:
            layer.slope_gradient.copy_(layer.activation.slope_gradient(layer.delta, layer.z))
        layer.activation.backward_(layer.delta, layer.z, layer.y, layer.slope)
        layer.multiply(layer.delta_transposed, inputs, out=layer.weight_gradient)
        if layer.bias_gradient is not None:
            torch.sum(layer.delta, dim=0, out=layer.bias_gradient)

    def _bind(self, n: int) -> list[_Layer]:
        """The layers for batches of n rows, made at the first such batch: slicing costs as much as a small product."""
        if not 0 < n <= self.batch_size:
            raise ValueError(f"a batch of {n} rows, but the buffers hold 1 to {self.batch_size}")
        self._layers[n] = [self._layer(i, n) for i in range(self.network.n_layers)]
        return self._layers[n]

    def _layer(self, i: int, n: int) -> _Layer:
        values = {name: tensor.detach() for name, tensor in self.parameters.items()}
        name = f"layers.{i}"
        n_inputs, n_outputs = self.network.widths[i : i + 2]
        y = self._outputs[i][:n]
        delta = self._deltas[i % len(self._deltas)][: n * n_outputs].view(n, n_outputs)
        small = n * n_inputs * n_outputs <= SMALL_PRODUCT and y.dtype == torch.float32 and y.device.type == "cpu"
        return _Layer(
            activation=self.network.activations[i],
            multiply=_full_precision_product if small else torch.mm,
            weight=values[f"{name}.weight"],
            weight_transposed=values[f"{name}.weight"].t(),
            bias=values.get(f"{name}.bias"),
            slope=values.get(f"{name}.slope"),
            weight_gradient=self.gradients[f"{name}.weight"],
            bias_gradient=self.gradients.get(f"{name}.bias"),
            slope_gradient=self.gradients.get(f"{name}.slope"),
            z=y if self._inputs[i] is self._outputs[i] else self._inputs[i][:n],
            y=y,
            delta=delta,
            delta_transposed=delta.t(),
        )


def _full_precision_product(a: Tensor, b: Tensor, *, out: Tensor) -> None:
    """``torch.mm`` under the precision "highest". The setting is the process's own and is put back: 0.3 µs."""
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        torch.mm(a, b, out=out)
    finally:
        torch.set_float32_matmul_precision(precision)
