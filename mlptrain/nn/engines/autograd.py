"""The gradient by autograd: the reference for the analytic one, and the engine of ops without a compiled form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mlptrain.nn.engines.base import Engine
from mlptrain.nn.losses import rows
from mlptrain.nn.network import MLP
from mlptrain.seeds import derived_seed


def step_noise(seed: int, epoch: int) -> torch.Generator:
    """What the ops of a model with this seed draw from in the steps of an epoch."""
    return torch.Generator().manual_seed(derived_seed(seed, "noise", epoch))


class Autograd(Engine):
    """Runs every network, model by model; each batch is one graph."""

    def __init__(self, network: MLP, **settings: Any) -> None:
        super().__init__(network, **settings)
        self._noise: list[torch.Generator | None] = [None] * self.models
        self._losses = [self.loss.of_model(model) for model in range(self.models)]

    @classmethod
    def runs(cls, network: MLP) -> bool:  # noqa: ARG003
        """Always."""
        return True

    def start_epoch(self, epoch: int) -> None:
        """A generator for every model, where they have seeds."""
        for model, seed in enumerate(self.seeds or ()):
            self._noise[model] = step_noise(seed, epoch)

    def __call__(self, inputs: Sequence[Tensor], targets: Tensor) -> Tensor:
        """As Engine."""
        if inputs[0].shape[0] > self.batch_size:
            raise ValueError(f"a batch of {inputs[0].shape[0]} rows, but at most {self.batch_size} were announced")
        batches = [x for x, size in zip(inputs, self.groups, strict=True) for _ in range(size)]
        outputs = []
        for model, x in enumerate(batches):
            leaves = {name: view.detach().requires_grad_() for name, view in self.parameters.members[model].items()}
            with torch.enable_grad():
                found = self.network.forward(leaves, x, noise=self._noise[model])
                objective = self._losses[model](found, rows(targets[model]))
                gradients = torch.autograd.grad(objective, list(leaves.values()), materialize_grads=True)
            self.gradients.members[model].copy_(dict(zip(leaves, gradients, strict=True)))
            outputs.append(found.detach().t())
        return torch.stack(outputs)
