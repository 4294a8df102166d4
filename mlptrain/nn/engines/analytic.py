"""The analytic gradient of multi-layer perceptrons, written in place, for one model or several at once.

Examples stand in columns. With Z_l = W_l Y_{l−1} + b_l and Y_l = f_l(Z_l) for the layers l = 1 … L, Y₀ = Xᵀ, and
Δ_l = ∂objective/∂Z_l (out_l, n):

    Δ_L = ∂objective/∂Y_L ⊙ f_L′(Z_L)
    Δ_l = (W_{l+1}ᵀ Δ_{l+1}) ⊙ f_l′(Z_l)
    ∂/∂W_l = Δ_l Y_{l−1}ᵀ            (out_l, in_l)
    ∂/∂b_l = Σ over columns of Δ_l   (out_l,)

with f_l, f_l′ and the gradients of what f_l itself learns from the compiled forms of the layer's ops, one after the
other. Where a layer adds its input Y_{l−1} to its output, ∂objective/∂Y_l joins W_lᵀ Δ_l below it.

Rumelhart, Hinton & Williams, Learning representations by back-propagating errors (1986); in matrices: Goodfellow,
Bengio & Courville, Deep Learning (2016), algorithm 6.4.

Several models are a leading axis of everything. Models that share a batch have one first layer: its weights are one
matrix (models·out, in), so that Z₁ and ∂/∂W₁ of all of them are one product each. Later layers are batched products.
Where inputs are embedded, each model reads what its own embedding gives, and the first layer is one of these too.

What a step does is looked up once per batch size and kept as a list of calls on fixed buffers: for a network of two
small layers the looking up would cost as much as the arithmetic.

Tried and no faster, or slower (2-core AMD EPYC): examples in rows, where softmax costs four times as much and the first
layer's outputs of several models would not be contiguous; the plain SGD update inside the product, W ← W − lr·ΔYᵀ; the
update layer by layer, or in blocks of rows, while the gradient is in the cache; rectifiers by masks or ``where``, two
to thirty times the time of threshold_backward; other layouts of the first layer's products, the best of which take 94 %
of the time of these at 64 × 784 × 125; inference mode; an optimizer's buffers at staggered addresses; biases as a
column of weights beside inputs of 1; gradients of biases as products with ones. Calls of TorchScript save 4 % of a step
of 784-64-10, which is not worth an interface that torch no longer develops.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mlptrain.nn.engines.base import Engine
from mlptrain.nn.losses import at_least_tiny
from mlptrain.nn.network import MLP
from mlptrain.nn.ops.base import Call, Calls, CompiledOp, Site
from mlptrain.nn.ops.dropout import Dropout, Masks, draw_masks
from mlptrain.nn.shares import Share

# Multiply-adds up to which a float32 product on the CPU is made by the kernel of the precision "highest" whatever
# precision is set. The lower ones go to oneDNN, which is faster for large products and costs 10 to 20 µs more for
# each small one: 25 against 16 µs at 64 × 128 × 128, 22 against 8 at 64 × 64 × 64, 55 against 50 at 64 × 256 × 256
# (2-core AMD EPYC). A rule by size alone, so that a run repeats to the last bit.
SMALL_PRODUCT = 2**20
# Multiply-adds and elements of the result up to which a product has one thread, whatever their number is, and so have
# the calls up to the next product, and outputs up to which the gradient of the loss has one: a second thread costs 0.5
# to 1 µs of 4 at 10 × 64 × 125, and 3 µs of 5 for softmax there (2-core AMD EPYC, 2026-11-26). torch uses one for
# other calls on so few elements anyway.
ONE_THREAD_PRODUCT, ONE_THREAD_RESULT, ONE_THREAD_LOSS = 2**18, 2**15, 2**13


class _Setting(NamedTuple):
    """How torch computes a product."""

    precision: str
    threads: int

    @classmethod
    def ambient(cls) -> _Setting:
        """The present one."""
        return cls(torch.get_float32_matmul_precision(), torch.get_num_threads())

    def apply(self) -> None:
        """From now on."""
        torch.set_float32_matmul_precision(self.precision)
        torch.set_num_threads(self.threads)

    def change(self, to: _Setting) -> list[Call]:
        """What makes another of this one."""
        calls: list[Call] = []
        if to.precision != self.precision:
            calls.append(partial(torch.set_float32_matmul_precision, to.precision))
        if to.threads != self.threads:
            calls.append(partial(torch.set_num_threads, to.threads))
        return calls


@dataclass(frozen=True)
class _Layer:
    """A layer for one batch size: its tensors of all models, by their names in the layer, and its compiled ops.

    z, y and delta are (models, out, n); y may be z where no op's derivative is in the way. ``skip`` holds
    ∂objective/∂y of a residual layer.
    """

    parameters: Mapping[str, Tensor]
    gradients: Mapping[str, Tensor]
    z: Tensor
    y: Tensor
    delta: Tensor
    ops: Sequence[Calls]
    last: Tensor  # what the last op gives: y itself, but for a residual layer
    skip: Tensor | None = None

    def add_bias_and_activate(self, below: Tensor | None = None) -> list[Call]:
        """From the product in z to y; ``below`` is what a residual layer has read."""
        bias = self.parameters.get("bias")
        calls: list[Call] = [] if bias is None else [partial(self.z.add_, bias.unsqueeze(2))]
        calls += [call for op in self.ops for call in op.forward]
        if self.skip is not None and below is not None:
            calls.append(partial(torch.add, self.last, below, out=self.y))
        return calls

    def from_upstream_to_delta(self) -> list[Call]:
        """From ∂objective/∂y in delta to Δ in the same place, and the gradients of the bias and the ops."""
        calls: list[Call] = [] if self.skip is None else [partial(self.skip.copy_, self.delta)]
        calls += [call for op in reversed(self.ops) for call in op.backward]
        if "bias" in self.gradients:
            calls.append(partial(torch.sum, self.delta, dim=2, out=self.gradients["bias"]))
        return calls


@dataclass(frozen=True)
class _First:
    """The first layer of models that read the same: weights (models·out, in), z and Δ (models·out, n).

    They read the batch of ``group``, times ``mask`` (n, in) into ``masked`` where inputs are dropped.
    """

    group: int
    mask: Tensor | None
    masked: Tensor | None
    weight: Tensor
    weight_gradient: Tensor
    z: Tensor
    delta: Tensor
    setting: _Setting

    def read(self, inputs: Sequence[Tensor]) -> Tensor:
        """What the layer reads (n, in) of the batches of all groups."""
        x = inputs[self.group]
        return x if self.mask is None else torch.mul(x, self.mask, out=self.masked)


@dataclass(frozen=True)
class _Embedded:
    """Inputs that are embedded: the batches (models, columns, n), and what the first layer reads (models, in, n)."""

    read: Tensor
    y: Tensor
    delta: Tensor
    calls: Calls


@dataclass(frozen=True)
class _Program:
    """A step for one batch size, but for the first layer's products, which read the batch, and the loss."""

    prepare: Sequence[Call]
    begin: Sequence[Call]  # what comes before the first product
    read: Tensor | None  # the batches in columns (models, in, n), where an embedding reads them
    first: Sequence[_First]
    forward: Sequence[Call]
    outputs: Tensor
    delta: Tensor
    backward: Sequence[Call]


class _Calls:
    """A list of calls in which the setting of products changes where it has to, and not at every product."""

    def __init__(self, setting: _Setting) -> None:
        self._current = setting
        self.calls: list[Call] = []

    def set(self, setting: _Setting) -> None:
        """That of what follows."""
        self.calls += self._current.change(setting)
        self._current = setting

    def product(self, a: Tensor, b: Tensor, out: Tensor, *, setting: _Setting) -> None:
        """out = a b, of stacks of matrices; matrices have faster kernels than stacks of one."""
        self.set(setting)
        one = len(out) == 1
        self.calls.append(partial(torch.mm, a[0], b[0], out=out[0]) if one else partial(torch.bmm, a, b, out=out))


class Analytic(Engine):
    """Without autograd, into buffers made once; a smaller batch than the largest uses the first part of them.

    Any floating dtype and device, as the parameters have them. The addresses of all buffers are fixed for one batch
    size, so that a call can be captured in a CUDA graph.

    Memory besides the parameters, per model: per layer batch_size × out elements for y, again as many for each op but
    the first whose derivative the next one would overwrite, for what norms and dropout keep, and two buffers of
    batch_size × the widest layer for Δ.
    """

    capturable = True
    sharable = True

    def __init__(self, network: MLP, **settings: Any) -> None:
        super().__init__(network, **settings)
        self._buffers: dict[tuple[object, ...], Tensor] = {}
        self._programs: dict[tuple[int, _Setting, Share | None], _Program] = {}

    @classmethod
    def runs(cls, network: MLP) -> bool:
        """Whether every op has a compiled form, and at most dropout or an embedding comes first; for one member."""
        return all(
            all(isinstance(op, CompiledOp) for op in layer.ops)
            and all(isinstance(op, Dropout) for op in layer.before)
            and len(layer.before) <= 1
            and not (layer.embedding is not None and layer.before)
            and layer.members is None
            for layer in network.layers
        )

    def prepare(self, n: int) -> None:
        """Draw the random bits of a step."""
        for call in self._program(n).prepare:
            call()

    def run(self, inputs: Sequence[Tensor], targets: Tensor) -> Tensor:
        """As Engine."""
        ambient = _Setting.ambient()
        program = self._program(inputs[0].shape[0])
        try:
            if program.read is not None:
                for models, x in zip(torch.split(program.read, list(self.groups)), inputs, strict=True):
                    models.copy_(x.t())
            for call in program.begin:
                call()
            read = [part.read(inputs) for part in program.first]
            for part, x in zip(program.first, read, strict=True):
                part.setting.apply()
                torch.mm(part.weight, x.t(), out=part.z)
            for call in program.forward:
                call()
            self.loss.write_gradient(program.outputs, targets, program.delta)
            if self.share is not None:
                self._weigh(self.share, program, targets)
            for call in program.backward:
                call()
            for part, x in zip(program.first, read, strict=True):
                part.setting.apply()
                torch.mm(part.delta, x, out=part.weight_gradient)
        finally:
            ambient.apply()
        return program.outputs

    def _weigh(self, share: Share, program: _Program, targets: Tensor) -> None:
        """Make of the gradient of the objective of the own rows that of their part of the whole batch's."""
        if self.loss.section.reduction == "sum":
            program.delta.mul_(1 if share.own else 0)
        elif (weights := self.loss.weights(program.outputs, targets)) is None:
            program.delta.mul_(share.part())
        else:
            own = weights.sum(dim=-1).reshape(-1, 1, 1).mul_(1 if share.own else 0)
            every = own.expand(len(program.delta), 1, 1).clone()
            share.sum_(every)
            program.delta.mul_(own / at_least_tiny(every))

    def _program(self, n: int) -> _Program:
        ambient = _Setting.ambient()
        return self._programs.get((n, ambient, self.share)) or self._compile(n, ambient)

    @torch.no_grad()
    def _compile(self, n: int, ambient: _Setting) -> _Program:
        if not 0 < n <= self.batch_size:
            raise ValueError(f"a batch of {n} rows, but the buffers hold 1 to {self.batch_size}")
        masks = self._input_masks(n)
        layers = [self._layer(i, n) for i in range(len(self.network.layers))]
        embedded = self._embedded(n)
        settings = [
            self._setting(
                ambient,
                layer.outputs * layer.inputs * n,
                max(layer.outputs * layer.inputs, n * layer.outputs, n * layer.inputs),
                models=self.models,
            )
            for layer in self.network.layers
        ]
        behind = [(*pair, setting) for pair, setting in zip(pairwise(layers), settings[1:], strict=True)]
        first = self._first(n, layers[0], ambient, masks) if embedded is None else []
        calls = _Calls(first[-1].setting if first else ambient)
        if embedded is not None:
            calls.calls += embedded.calls.forward
            calls.product(layers[0].parameters["weight"], embedded.y, layers[0].z, setting=settings[0])
        calls.calls += layers[0].add_bias_and_activate()
        for below, layer, setting in behind:
            calls.product(layer.parameters["weight"], below.y, layer.z, setting=setting)
            calls.calls += layer.add_bias_and_activate(below.y)
        outputs = layers[-1].y
        calls.set(_Setting(settings[-1].precision, 1 if outputs.numel() <= ONE_THREAD_LOSS else ambient.threads))
        forward, calls.calls = calls.calls, []
        for below, layer, setting in reversed(behind):
            calls.calls += layer.from_upstream_to_delta()
            calls.product(layer.delta, below.y.mT, layer.gradients["weight"], setting=setting)
            calls.product(layer.parameters["weight"].mT, layer.delta, below.delta, setting=setting)
            if layer.skip is not None:
                calls.calls.append(partial(below.delta.add_, layer.skip))
        calls.calls += layers[0].from_upstream_to_delta()
        if embedded is not None:
            calls.product(layers[0].delta, embedded.y.mT, layers[0].gradients["weight"], setting=settings[0])
            calls.product(layers[0].parameters["weight"].mT, layers[0].delta, embedded.delta, setting=settings[0])
            calls.calls += embedded.calls.backward
        prepare = [call for layer in layers for op in layer.ops for call in op.prepare]
        program = _Program(
            prepare=[*([] if masks is None else masks.prepare), *prepare],
            begin=[] if masks is None else masks.calls,
            read=None if embedded is None else embedded.read,
            first=first,
            forward=forward,
            outputs=outputs,
            delta=layers[-1].delta,
            backward=calls.calls,
        )
        self._programs[n, ambient, self.share] = program
        return program

    def _embedded(self, n: int) -> _Embedded | None:
        """What comes before the first layer's product, if its inputs are embedded."""
        layer = self.network.layers[0]
        if layer.embedding is None:
            return None
        columns = layer.embedding.embeddings.layout.width
        read = self._buffer((), "read", self.models, columns, n)
        y, delta = (self._buffer((), name, self.models, layer.inputs, n) for name in ("embedded", "of_embedded"))
        names = layer.embedding.parameter_shapes
        own = {name: self.parameters.stacked(layer.prefix + name) for name in (*names, *layer.embedding.state_shapes)}
        gradients = {name: self.gradients.stacked(layer.prefix + name) for name in names}
        site = Site(read, y, delta, own, gradients, [], partial(self._buffer, (-1,)), self.share)
        return _Embedded(read, y, delta, layer.embedding.compiled(site))

    def _layer(self, i: int, n: int) -> _Layer:
        layer = self.network.layers[i]
        parameters, gradients = (
            {name.removeprefix(layer.prefix): stack.stacked(name) for name in stack.shapes if name in names}
            for stack, names in (
                (self.parameters, layer.parameter_shapes | layer.state_shapes),
                (self.gradients, layer.parameter_shapes),
            )
        )
        shape = (self.models, layer.outputs, n)
        # Δ_l is made from Δ_{l+1} alone, so two buffers that take turns are enough for any depth.
        widest = self._buffer((i % 2,), "delta", self.models, max(self.network.widths[1:]), n)
        delta = widest.view(-1)[: math.prod(shape)].view(shape)
        z = y = self._buffer((i,), "z", *shape)
        ops: list[Calls] = []
        is_free = True  # whether y may be overwritten
        for k, op in enumerate(layer.ops):
            if not isinstance(op, CompiledOp):
                raise TypeError(f"the op {op.name} has no compiled form")
            out = y if is_free and not op.needs_input else self._buffer((i, k), "y", *shape)
            buffer = partial(self._buffer, (i, k))
            ops.append(op.compiled(Site(y, out, delta, parameters, gradients, self.noise, buffer, self.share)))
            y, is_free = out, not op.needs_output
        last, skip = y, None
        if layer.residual:
            y = y if is_free else self._buffer((i,), "y", *shape)
            skip = self._buffer((i,), "skip", *shape)
        return _Layer(parameters, gradients, z, y, delta, ops, last, skip)

    def _buffer(self, place: tuple[int, ...], name: str, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        """Memory by place and name, made when first asked for; smaller batches use the first part of it."""
        size = math.prod(shape)
        found = self._buffers.get((*place, name))
        if found is None or len(found) < size:
            found = self._buffers[*place, name] = self.parameters.flat.new_empty(size, dtype=dtype)
        return found[:size].view(shape)

    def _input_masks(self, n: int) -> Masks | None:
        """What drops inputs."""
        before = [op for op in self.network.layers[0].before if isinstance(op, Dropout)]
        if not (before and self.noise):
            return None
        [dropout] = before
        shape = n, self.network.widths[0]
        return draw_masks(dropout, self.noise, partial(self._buffer, ()), shape, rows_at=0, share=self.share)

    def _first(self, n: int, layer: _Layer, ambient: _Setting, masks: Masks | None) -> list[_First]:
        parts: list[_First] = []
        n_inputs, width = self.network.widths[:2]
        # Alignment may leave gaps between the models.
        without_gaps = layer.parameters["weight"].stride(0) == width * n_inputs
        owners = [group for group, size in enumerate(self.groups) for _ in range(size)]
        ends = list(accumulate(self.groups)) if masks is None else [models.stop for models in masks.models]
        for alike, (start, stop) in enumerate(pairwise([0, *ends])):
            mask = None if masks is None else masks.mask[alike]
            masked = None if mask is None else self._buffer((alike,), "masked", n, n_inputs)
            step = stop - start if without_gaps else 1
            for begin in range(start, stop, step):
                models, rows = slice(begin, begin + step), step * width
                parts.append(
                    _First(
                        group=owners[begin],
                        mask=mask,
                        masked=masked,
                        weight=layer.parameters["weight"][models].view(rows, n_inputs),
                        weight_gradient=layer.gradients["weight"][models].view(rows, n_inputs),
                        z=layer.z[models].view(rows, n),
                        delta=layer.delta[models].view(rows, n),
                        setting=self._setting(ambient, rows * n_inputs * n, rows * max(n, n_inputs)),
                    )
                )
        return parts

    def _setting(self, ambient: _Setting, multiply_adds: int, result: int, *, models: int = 1) -> _Setting:
        """That of the products of a layer, each of so many multiply-adds and with so many elements as its result."""
        flat = self.parameters.flat
        if flat.dtype != torch.float32 or flat.device.type != "cpu":
            return ambient
        return _Setting(
            "highest" if multiply_adds <= SMALL_PRODUCT else ambient.precision,
            1
            if models * multiply_adds <= ONE_THREAD_PRODUCT and models * result <= ONE_THREAD_RESULT
            else ambient.threads,
        )
