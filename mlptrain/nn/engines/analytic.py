"""The analytic gradient of multi-layer perceptrons, written in place, for one model or several at once.

Examples stand in columns. With Z_l = W_l Y_{l−1} + b_l and Y_l = f_l(Z_l) for the layers l = 1 … L, Y₀ = Xᵀ, and
Δ_l = ∂objective/∂Z_l (out_l, n):

    Δ_L = ∂objective/∂Y_L ⊙ f_L′(Z_L)
    Δ_l = (W_{l+1}ᵀ Δ_{l+1}) ⊙ f_l′(Z_l)
    ∂/∂W_l = Δ_l Y_{l−1}ᵀ            (out_l, in_l)
    ∂/∂b_l = Σ over columns of Δ_l   (out_l,)

with f_l, f_l′ and the gradients of what f_l itself learns from the compiled form of the layer's op.

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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from mlptrain.nn.engines.base import Engine
from mlptrain.nn.network import MLP
from mlptrain.nn.ops.base import Call, CompiledOp

# Multiply-adds up to which a float32 product on the CPU is made by the kernel of the precision "highest" whatever
# precision is set. The lower ones go to oneDNN, which is faster for large products and costs 10 to 20 µs more for
# each small one: 25 against 16 µs at 64 × 128 × 128, 22 against 8 at 64 × 64 × 64, 55 against 50 at 64 × 256 × 256
# (2-core AMD EPYC). A rule by size alone, so that a run repeats to the last bit.
SMALL_PRODUCT = 2**20

Program = tuple["list[_First]", list[Call], Tensor, Tensor, list[Call]]


@dataclass(frozen=True)
class _Layer:
    """The buffers of a layer for one batch size, all (models, out, n), and its parameters and their gradients.

    z and y are one buffer unless the op needs z for its derivative. Parameters of all models are stacked, by their
    names in the layer.
    """

    op: CompiledOp
    parameters: Mapping[str, Tensor]
    gradients: Mapping[str, Tensor]
    z: Tensor
    y: Tensor
    delta: Tensor

    def add_bias_and_activate(self) -> list[Call]:
        """From the product in z to y."""
        bias = self.parameters.get("bias")
        calls: list[Call] = [] if bias is None else [partial(self.z.add_, bias.unsqueeze(2))]
        return calls + self.op.forward_calls(self.z, self.y, self.parameters)

    def from_upstream_to_delta(self) -> list[Call]:
        """From ∂objective/∂y in delta to Δ in the same place, and the gradients of the bias and the op."""
        calls = self.op.backward_calls(self.delta, self.z, self.y, self.parameters, self.gradients)
        if "bias" in self.gradients:
            calls.append(partial(torch.sum, self.delta, dim=2, out=self.gradients["bias"]))
        return calls


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
        self._current = ambient
        self.calls: list[Call] = []

    def product(self, a: Tensor, b: Tensor, out: Tensor, *, precision: str) -> None:
        """out = a b, of stacks of matrices; matrices have faster kernels than stacks of one."""
        if precision != self._current:
            self.calls.append(partial(torch.set_float32_matmul_precision, precision))
            self._current = precision
        one = len(out) == 1
        self.calls.append(partial(torch.mm, a[0], b[0], out=out[0]) if one else partial(torch.bmm, a, b, out=out))


class Analytic(Engine):
    """Without autograd, into buffers made once; a smaller batch than the largest uses the first part of them.

    Any floating dtype and device, as the parameters have them. The addresses of all buffers are fixed for one batch
    size, so that a call can be captured in a CUDA graph.

    Memory besides the parameters, per model: per layer batch_size × out elements for y, again as many for z where the
    op needs it, and two buffers of batch_size × the widest layer for Δ.
    """

    capturable = True

    def __init__(self, network: MLP, **settings: Any) -> None:
        super().__init__(network, **settings)
        self._ops = [op for layer in network.layers for op in layer.ops if isinstance(op, CompiledOp)]
        new = self.parameters.flat.new_empty
        size = self.models * self.batch_size
        self._outputs = [new(size * width) for width in network.widths[1:]]
        self._inputs = [
            new(size * width) if op.needs_input else output
            for op, width, output in zip(self._ops, network.widths[1:], self._outputs, strict=True)
        ]
        # Δ_l is made from Δ_{l+1} alone, so two buffers that take turns are enough for any depth.
        self._deltas = [new(size * max(network.widths[1:])) for _ in range(min(2, len(network.layers)))]
        self._programs: dict[tuple[int, str], Program] = {}

    @classmethod
    def runs(cls, network: MLP) -> bool:
        """Whether every layer has one op, with a compiled form."""
        return all(len(layer.ops) == 1 and isinstance(layer.ops[0], CompiledOp) for layer in network.layers)

    @torch.no_grad()
    def __call__(self, inputs: Sequence[Tensor], targets: Tensor) -> Tensor:
        """As Engine."""
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
        layers = [self._layer(i, n) for i in range(len(self.network.layers))]
        first = self._first(n, layers[0], ambient)
        calls = _Calls(first[-1].precision)
        calls.calls += layers[0].add_bias_and_activate()
        for below, layer in pairwise(layers):
            precision = self._precision(layer.parameters["weight"][0].numel() * n, ambient)
            calls.product(layer.parameters["weight"], below.y, layer.z, precision=precision)
            calls.calls += layer.add_bias_and_activate()
        forward, calls.calls = calls.calls, []
        for below, layer in reversed(list(pairwise(layers))):
            precision = self._precision(layer.parameters["weight"][0].numel() * n, ambient)
            calls.calls += layer.from_upstream_to_delta()
            calls.product(layer.delta, below.y.mT, layer.gradients["weight"], precision=precision)
            calls.product(layer.parameters["weight"].mT, layer.delta, below.delta, precision=precision)
        calls.calls += layers[0].from_upstream_to_delta()
        program = first, forward, layers[-1].y, layers[-1].delta, calls.calls
        self._programs[n, ambient] = program
        return program

    def _layer(self, i: int, n: int) -> _Layer:
        layer = self.network.layers[i]
        parameters, gradients = (
            {name.removeprefix(layer.prefix): stack.stacked(name) for name in layer.parameter_shapes}
            for stack in (self.parameters, self.gradients)
        )
        shape, size = (self.models, layer.outputs, n), self.models * layer.outputs * n
        z, y, delta = self._inputs[i], self._outputs[i], self._deltas[i % len(self._deltas)]
        buffers = [buffer[:size].view(shape) for buffer in (z, y, delta)]
        return _Layer(self._ops[i], parameters, gradients, *buffers)

    def _first(self, n: int, layer: _Layer, ambient: str) -> list[_First]:
        parts, start = [], 0
        n_inputs, width = self.network.widths[:2]
        # Alignment may leave gaps between the models.
        without_gaps = layer.parameters["weight"].stride(0) == width * n_inputs
        for group, size in enumerate(self.groups):
            step = size if without_gaps else 1
            for first in range(start, start + size, step):
                models, rows = slice(first, first + step), step * width
                parts.append(
                    _First(
                        group=group,
                        weight=layer.parameters["weight"][models].view(rows, n_inputs),
                        weight_gradient=layer.gradients["weight"][models].view(rows, n_inputs),
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
