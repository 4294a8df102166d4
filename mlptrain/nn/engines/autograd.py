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
        self._states = [torch.empty(0)] * self.models  # of the generators, before the first pass of a step
        self._passes: list[tuple[Tensor, list[Tensor], Tensor]] = []  # of every model inputs, parameters and outputs

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
                objective = self.loss(found, rows(targets[model]))
                gradients = torch.autograd.grad(objective, list(leaves.values()), materialize_grads=True)
            self.gradients.members[model].copy_(dict(zip(leaves, gradients, strict=True)))
            outputs.append(found.detach().t())
        return torch.stack(outputs)

    def forward(self, x: Tensor, *, again: bool = False) -> Tensor:
        """A pass of a step that has several: the outputs (models, outputs, n) for x (models, n, in).

        ``again`` is for all but the first, whose masks they repeat.
        """
        self._passes = []
        for model, own in enumerate(x):
            noise = self._noise[model]
            if noise is not None and again:
                noise.set_state(self._states[model])
            elif noise is not None:
                self._states[model] = noise.get_state()
            leaves = {name: view.detach().requires_grad_() for name, view in self.parameters.members[model].items()}
            at = own.detach().requires_grad_()
            with torch.enable_grad():
                self._passes.append((at, list(leaves.values()), self.network.forward(leaves, at, noise=noise)))
        return torch.stack([found.detach().t() for _, _, found in self._passes])

    def backward(self, upstream: Tensor, *, weights: bool = True, add: bool = False, inputs: bool = False) -> Tensor:
        """From the gradient (models, outputs, n) by the outputs of the last pass, once, to those by what is wanted.

        Those by the parameters are written, or with ``add`` added to what is there; those by the inputs are returned,
        (models, n, in), or (models, 0).
        """
        of_inputs = []
        for model, (at, leaves, found) in enumerate(self._passes):
            wanted = (leaves if weights else []) + ([at] if inputs else [])
            gradients = torch.autograd.grad(found, wanted, upstream[model].t(), materialize_grads=True)
            for view, gradient in zip(
                self.gradients.members[model].values() if weights else (), gradients, strict=False
            ):
                (view.add_ if add else view.copy_)(gradient)
            of_inputs.append(gradients[-1] if inputs else found.new_empty(0))
        self._passes = []  # and the memory of their graphs
        return torch.stack(of_inputs)
