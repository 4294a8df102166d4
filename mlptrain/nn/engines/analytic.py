"""The gradient of multi-layer perceptrons, derived by hand and written in place, for one model or several at once.

Examples stand in columns. With Z_l = W_l Y_{l−1} + b_l and Y_l = f_l(Z_l) for the layers l = 1 … L, Y₀ = Xᵀ, and
Δ_l = ∂objective/∂Z_l (out_l, n):

    Δ_L = ∂objective/∂Y_L ⊙ f_L′(Z_L)
    Δ_l = (W_{l+1}ᵀ Δ_{l+1}) ⊙ f_l′(Z_l)
    ∂/∂W_l = Δ_l Y_{l−1}ᵀ            (out_l, in_l)
    ∂/∂b_l = Σ over columns of Δ_l   (out_l,)
    ∂/∂slope_l = Σ ∂objective/∂Y_l ⊙ min(Z_l, 0), for a learnt slope

Rumelhart, Hinton & Williams, Learning representations by back-propagating errors (1986); in matrices: Goodfellow,
Bengio & Courville, Deep Learning (2016), algorithm 6.4.

Several models are a leading axis of everything. Models that share a batch have one first layer: its weights are one
matrix (models·out, in), so that Z₁ and ∂/∂W₁ of all of them are one product each. Later layers are batched products.

What a step does is looked up once per batch size and kept as a list of calls on fixed buffers: for a network of two
small layers the looking up would cost as much as the arithmetic.

Tried and no faster, or slower (2-core AMD EPYC): examples in rows, where softmax costs four times as much and the first
layer's outputs of several models would not be contiguous; the plain SGD update inside the product, W ← W − lr·ΔYᵀ; the
update layer by layer, or in blocks of rows, while the gradient is in the cache; rectifiers by masks or ``where``, two
to thirty times the time of threshold_backward.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor

from mlptrain.nn.losses import Loss
from mlptrain.nn.network import MLP
from mlptrain.nn.ops.activations import Activation
from mlptrain.nn.parameters import Stack

# Multiply-adds up to which a float32 product on the CPU is made by the kernel of the precision "highest" whatever
# precision is set. The lower ones go to oneDNN, which is faster for large products and costs 10 to 20 µs more for
# each small one: 25 against 16 µs at 64 × 128 × 128, 22 against 8 at 64 × 64 × 64, 55 against 50 at 64 × 256 × 256
# (2-core AMD EPYC). A rule by size alone, so that a run repeats to the last bit.
SMALL_PRODUCT = 2**20

Call = Callable[[], object]
Program = tuple["list[_First]", list[Call], Tensor, Tensor, list[Call]]


@dataclass(frozen=True)
class _Layer:
    """The buffers of a layer for one batch size, all (models, out, n), and its parameters and their gradients.

    z and y are one buffer unless the activation needs z for its derivative.
    """

    activation: Activation
    weight: Tensor
    weight_gradient: Tensor
    bias: Tensor | None
    bias_gradient: Tensor | None
    slope: Tensor | None
    slope_gradient: Tensor | None
    z: Tensor
    y: Tensor
    delta: Tensor

    def add_bias_and_activate(self) -> list[Call]:
        """From the product in z to y."""
        calls: list[Call] = [] if self.bias is None else [partial(self.z.add_, self.bias)]
        return [*calls, partial(self.activation.forward_, self.z, self.slope, out=self.y)]

    def from_upstream_to_delta(self) -> list[Call]:
        """From ∂objective/∂y in delta to Δ in the same place, and the gradients of bias and slope."""
        calls: list[Call] = []
        if self.slope_gradient is not None:
            calls.append(self._write_slope_gradient)
        calls.append(partial(self.activation.backward_, self.delta, self.z, self.y, self.slope))
        if self.bias_gradient is not None:
            calls.append(partial(torch.sum, self.delta, dim=2, out=self.bias_gradient))
        return calls

    def _write_slope_gradient(self) -> None:
        assert self.slope_gradient is not None
        self.slope_gradient.copy_(self.activation.slope_gradient(self.delta, self.z))


@dataclass(frozen=True)
class _First:
    """The first layer of models that share the batch of a group: weights (models·out, in), z and Δ (models·out, n)."""

    group: int
    weight: Tensor
    weight_gradient: Tensor
    z: Tensor
    delta: Tensor
    precision: str


class _Calls:
    """A list of calls in which the precision of products changes where it has to, and not at every product."""

    def __init__(self, ambient: str) -> None:
        self.ambient = self._current = ambient
        self.calls: list[Call] = []

    def add(self, calls: Sequence[Call]) -> None:
        self.calls += calls

    def product(self, a: Tensor, b: Tensor, out: Tensor, *, precision: str) -> None:
        """out = a b, of matrices or of stacks of them."""
        self.set_precision(precision)
        self.calls.append(partial(torch.bmm if a.dim() == 3 else torch.mm, a, b, out=out))

    def set_precision(self, precision: str) -> None:
        if precision != self._current:
            self.calls.append(partial(torch.set_float32_matmul_precision, precision))
            self._current = precision


class Backward:
    """Forward and backward pass of the models of a stack, without autograd, into buffers made once.

    ``groups`` says how many neighbouring models share a batch: (3, 2) are three models with one batch and two with
    another; left out, all share one. A call reads ``parameters`` and overwrites ``gradients``, both bound here by their
    memory: update them in place. ``batch_size`` is the largest batch; a smaller one uses the first part of the buffers.

    Any floating dtype and device, as the parameters have them. The addresses of all buffers are fixed for one batch
    size, so that a call can be captured in a CUDA graph.

    Memory besides the parameters, per model: per layer batch_size × out elements for y, again as many for z where the
    activation needs it, and two buffers of batch_size × the widest layer for Δ.
    """

    def __init__(
        self,
        network: MLP,
        *,
        loss: Loss,
        parameters: Stack,
        gradients: Stack,
        batch_size: int,
        groups: Sequence[int] | None = None,
    ) -> None:
        for role, given in (("parameters", parameters), ("gradients", gradients)):
            if given.shapes != network.parameter_shapes:
                raise ValueError(f"{role} of other shapes than the network's: {given.shapes}")
        self.network = network
        self.loss = loss
        self.parameters = parameters
        self.gradients = gradients
        self.batch_size = batch_size
        self.models = parameters.models
        self.groups = tuple(groups or (self.models,))
        if sum(self.groups) != self.models or gradients.models != self.models:
            raise ValueError(f"groups {self.groups} and {gradients.models} gradients for {self.models} models")
        new = parameters.flat.new_empty
        size = self.models * batch_size
        self._outputs = [new(size * width) for width in network.widths[1:]]
        self._inputs = [
            new(size * width) if activation.needs_input else output
            for activation, width, output in zip(network.activations, network.widths[1:], self._outputs, strict=True)
        ]
        # Δ_l is made from Δ_{l+1} alone, so two buffers that take turns are enough for any depth.
        self._deltas = [new(size * max(network.widths[1:])) for _ in range(min(2, network.n_layers))]
        self._programs: dict[tuple[int, str], Program] = {}

    @torch.no_grad()
    def __call__(self, inputs: Sequence[Tensor], targets: Tensor) -> Tensor:
        """The outputs (models, outputs, n), overwritten by the next call; the gradients are written.

        ``inputs`` holds a batch (n, in) for every group, n at most ``batch_size``; ``targets`` (models, t, n) are
        encoded by the loss, in columns. Raises ValueError for a larger batch.
        """
        n, ambient = inputs[0].shape[0], torch.get_float32_matmul_precision()
        program = self._programs.get((n, ambient)) or self._compile(n, ambient)
        first, forward, outputs, delta, backward = program
        try:
            for part in first:
                torch.set_float32_matmul_precision(part.precision)
                torch.mm(part.weight, inputs[part.group].t(), out=part.z)
            for call in forward:
                call()
            self.loss.write_gradient(outputs, targets, delta)
            for call in backward:
                call()
            for part in first:
                torch.set_float32_matmul_precision(part.precision)
                torch.mm(part.delta, inputs[part.group], out=part.weight_gradient)
        finally:
            torch.set_float32_matmul_precision(ambient)
        return outputs

    def _compile(self, n: int, ambient: str) -> Program:
        """The calls of a step, but for the first layer's products, which read the batch, and the loss."""
        if not 0 < n <= self.batch_size:
            raise ValueError(f"a batch of {n} rows, but the buffers hold 1 to {self.batch_size}")
        layers = [self._layer(i, n) for i in range(self.network.n_layers)]
        first = self._first(n, layers[0], ambient)
        calls = _Calls(first[-1].precision)
        calls.add(layers[0].add_bias_and_activate())
        for below, layer in pairwise(layers):
            precision = self._precision(layer.weight[0].numel() * n, ambient)
            calls.product(self._one(layer.weight), self._one(below.y), self._one(layer.z), precision=precision)
            calls.add(layer.add_bias_and_activate())
        forward, calls.calls = calls.calls, []
        for below, layer in reversed(list(pairwise(layers))):
            precision = self._precision(layer.weight[0].numel() * n, ambient)
            weight, delta = self._one(layer.weight), self._one(layer.delta)
            calls.add(layer.from_upstream_to_delta())
            calls.product(delta, self._one(below.y).mT, self._one(layer.weight_gradient), precision=precision)
            calls.product(weight.mT, delta, self._one(below.delta), precision=precision)
        calls.add(layers[0].from_upstream_to_delta())
        program = first, forward, layers[-1].y, layers[-1].delta, calls.calls
        self._programs[n, ambient] = program
        return program

    def _one(self, stacked: Tensor) -> Tensor:
        """What a product reads: matrices for a single model, which have faster kernels than stacks of one."""
        return stacked[0] if self.models == 1 else stacked

    def _layer(self, i: int, n: int) -> _Layer:
        name, width = f"layers.{i}", self.network.widths[i + 1]
        (weight, weight_gradient), (bias, bias_gradient), (slope, slope_gradient) = (
            [stack.stacked(f"{name}.{kind}") for stack in (self.parameters, self.gradients)]
            for kind in ("weight", "bias", "slope")
        )
        assert weight is not None
        assert weight_gradient is not None
        shape, size = (self.models, width, n), self.models * width * n
        return _Layer(
            activation=self.network.activations[i],
            weight=weight,
            weight_gradient=weight_gradient,
            bias=None if bias is None else bias.unsqueeze(2),
            bias_gradient=bias_gradient,
            slope=None if slope is None else slope.view(-1, 1, 1),
            slope_gradient=slope_gradient,
            z=self._inputs[i][:size].view(shape),
            y=self._outputs[i][:size].view(shape),
            delta=self._deltas[i % len(self._deltas)][:size].view(shape),
        )

    def _first(self, n: int, layer: _Layer, ambient: str) -> list[_First]:
        parts, start = [], 0
        n_inputs, width = self.network.widths[:2]
        without_gaps = layer.weight.stride(0) == width * n_inputs  # alignment may leave gaps between the models
        for group, size in enumerate(self.groups):
            step = size if without_gaps else 1
            for first in range(start, start + size, step):
                models, rows = slice(first, first + step), step * width
                parts.append(
                    _First(
                        group=group,
                        weight=layer.weight[models].view(rows, n_inputs),
                        weight_gradient=layer.weight_gradient[models].view(rows, n_inputs),
                        z=layer.z[models].view(rows, n),
                        delta=layer.delta[models].view(rows, n),
                        precision=self._precision(rows * n_inputs * n, ambient),
                    )
                )
            start += size
        return parts

    def _precision(self, multiply_adds: int, ambient: str) -> str:
        flat = self.parameters.flat
        small = multiply_adds <= SMALL_PRODUCT and flat.dtype == torch.float32 and flat.device.type == "cpu"
        return "highest" if small else ambient
