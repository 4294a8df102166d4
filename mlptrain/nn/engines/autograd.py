"""The gradient by autograd: the reference for the one derived by hand, and the step of what has no derivation yet."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mlptrain.nn.engines.analytic import Backward
from mlptrain.nn.losses import rows


class Autograd(Backward):
    """As Backward, called in the same way with the same results to rounding, through autograd, model by model."""

    def __call__(self, inputs: Sequence[Tensor], targets: Tensor) -> Tensor:
        """As Backward; every batch is one graph per model."""
        batches = [x for x, size in zip(inputs, self.groups, strict=True) for _ in range(size)]
        outputs = []
        for model, x in enumerate(batches):
            leaves = {name: view.detach().requires_grad_() for name, view in self.parameters.members[model].items()}
            with torch.enable_grad():
                found = self.network.forward(leaves, x)
                objective = self.loss(found, rows(targets[model]))
                gradients = torch.autograd.grad(objective, list(leaves.values()), materialize_grads=True)
            self.gradients.members[model].copy_(dict(zip(leaves, gradients, strict=True)))
            outputs.append(found.detach().t())
        return torch.stack(outputs)
