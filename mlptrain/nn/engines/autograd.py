"""The gradient by autograd: the reference for the analytic one, and the engine of ops without a compiled form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mlptrain.nn.engines.base import Engine
from mlptrain.nn.losses import rows
from mlptrain.nn.network import MLP
from mlptrain.nn.noise import Noise, TrainingMode


class Autograd(Engine):
    """Runs every network, model by model; each batch is one graph."""

    def __init__(self, network: MLP, **settings: Any) -> None:
        super().__init__(network, **settings)
        # Models that share their noise draw the same, one after the other, each from a source of its own.
        self._sources: list[Noise | None] = [None] * self.models

    @classmethod
    def runs(cls, network: MLP) -> bool:  # noqa: ARG003
        """Always."""
        return True

    def start_epoch(self, epoch: int) -> None:
        """A source for every model, where they have seeds."""
        for seed, (models, _) in zip(self._seeds, self.noise, strict=True):
            for model in range(models.start, models.stop):
                self._sources[model] = Noise.of(seed, epoch)

    def run(self, inputs: Sequence[Tensor], targets: Tensor) -> Tensor:
        """As Engine."""
        if inputs[0].shape[0] > self.batch_size:
            raise ValueError(f"a batch of {inputs[0].shape[0]} rows, but at most {self.batch_size} were announced")
        batches = [x for x, size in zip(inputs, self.groups, strict=True) for _ in range(size)]
        outputs = []
        for model, x in enumerate(batches):
            member = self.parameters.members[model]
            leaves = {name: member[name].detach().requires_grad_() for name in self.parameters.parameter_shapes}
            mode = TrainingMode(self._sources[model])
            with torch.enable_grad():
                found = self.network.forward({**member, **leaves}, x, mode=mode)
                objective = self.loss(found, rows(targets[model]))
                gradients = torch.autograd.grad(objective, list(leaves.values()), materialize_grads=True)
            self.gradients.members[model].copy_(dict(zip(leaves, gradients, strict=True)))
            outputs.append(found.detach().t())
        return torch.stack(outputs)
