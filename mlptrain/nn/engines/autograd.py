"""The gradient by autograd: the reference for the analytic one, and the engine of ops without a compiled form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mlptrain.nn.engines.base import Engine
from mlptrain.nn.losses import rows
from mlptrain.nn.network import MLP
from mlptrain.nn.noise import Noise, TrainingMode


class _Pass(NamedTuple):
    """Inputs (n, in) and parameters, as leaves of the graph, and the outputs of all members."""

    x: Tensor
    leaves: list[Tensor]
    outputs: Tensor


class Autograd(Engine):
    """Runs every network, model by model; each batch is one graph."""

    def __init__(self, network: MLP, **settings: Any) -> None:
        super().__init__(network, **settings)
        self._losses = [self.loss.of_model(model) for model in range(self.models)]
        self._networks = [network.of_model(model) for model in range(self.models)]
        # Models that share their noise draw the same, one after the other, each from a source of its own.
        self._sources: list[Noise | None] = [None] * self.models
        self._states = [torch.empty(0)] * self.models  # of the sources, before the first pass of a step
        self._passes: list[_Pass] = []  # the last one of every model

    @classmethod
    def runs(cls, network: MLP) -> bool:  # noqa: ARG003
        """Always."""
        return True

    def start_epoch(self, epoch: int) -> None:
        """A source for every model, where they have seeds."""
        for seed, (models, _) in zip(self._seeds, self.noise, strict=True):
            for model in range(models.start, models.stop):
                self._sources[model] = Noise.of(seed, epoch, device=self.parameters.flat.device)

    def run(self, inputs: Sequence[Tensor], targets: Tensor) -> Tensor:
        """As Engine."""
        batches = [x for x, size in zip(inputs, self.groups, strict=True) for _ in range(size)]
        outputs = []
        for model, x in enumerate(batches):
            one = self._forward(model, x, TrainingMode(self._sources[model]))
            with torch.enable_grad():
                objective = self.network.objective(self._losses[model], one.outputs, rows(targets[model]))
            self._write(model, torch.autograd.grad(objective, one.leaves, materialize_grads=True))
            outputs.append(self.network.combined(one.outputs.detach()).t())
        return torch.stack(outputs)

    def forward(self, x: Tensor, *, again: bool = False) -> Tensor:
        """A pass of a step that has several: the outputs (models, outputs, members·n) for x (models, n, in).

        ``again`` is for all but the first, whose masks they repeat; they leave running statistics alone.
        """
        self._passes = []
        for model, own in enumerate(x):
            source = self._sources[model]
            if source is not None and again:
                source.generator.set_state(self._states[model])
            elif source is not None:
                self._states[model] = source.generator.get_state()
            mode = TrainingMode(source, update_statistics=not again)
            self._passes.append(self._forward(model, own.detach().requires_grad_(), mode))
        return torch.stack([one.outputs.detach().t() for one in self._passes])

    def _forward(self, model: int, x: Tensor, mode: TrainingMode) -> _Pass:
        if len(x) > self.batch_size:
            raise ValueError(f"a batch of {len(x)} rows, but at most {self.batch_size} were announced")
        member = self.parameters.members[model]
        leaves = {name: member[name].detach().requires_grad_() for name in self.parameters.parameter_shapes}
        with torch.enable_grad():
            return _Pass(x, [*leaves.values()], self._networks[model].rows({**member, **leaves}, x, mode=mode))

    def _write(self, model: int, gradients: Sequence[Tensor], *, add: bool = False) -> None:
        """By a model's parameters, in their order, over what is there or added to it."""
        for view, gradient in zip(self.gradients.members[model].values(), gradients, strict=True):
            (view.add_ if add else view.copy_)(gradient)

    def backward(self, upstream: Tensor, *, weights: bool = True, add: bool = False, inputs: bool = False) -> Tensor:
        """From the gradient (models, outputs, n) by the outputs of the last pass, once, to those by what is wanted.

        Those by the parameters are written, or with ``add`` added to what is there; those by the inputs are returned,
        (models, n, in), or (models, 0).
        """
        of_inputs = []
        for model, one in enumerate(self._passes):
            leaves = (one.leaves if weights else []) + ([one.x] if inputs else [])
            gradients = torch.autograd.grad(one.outputs, leaves, upstream[model].t(), materialize_grads=True)
            if weights:
                self._write(model, gradients[: len(one.leaves)], add=add)
            of_inputs.append(gradients[-1] if inputs else one.outputs.new_empty(0))
        self._passes = []  # and the memory of their graphs
        return torch.stack(of_inputs)
