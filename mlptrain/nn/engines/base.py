"""The engines' common side: models of a stack, groups that share a batch, gradients written in place."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from mlptrain.nn.losses import Loss
from mlptrain.nn.network import MLP
from mlptrain.nn.parameters import Stack


class Engine(ABC):
    """Forward and backward pass of the models of a stack.

    ``groups`` says how many neighbouring models share a batch: (3, 2) are three models with one batch and two with
    another; left out, all share one. A call reads ``parameters`` and overwrites ``gradients``, both bound here by their
    memory: update them in place. ``batch_size`` is the largest batch. ``seeds`` holds one seed for every model, from
    which its noise follows, epoch by epoch; without them there is none, as in an evaluation.
    """

    capturable: ClassVar[bool] = False  # whether a call can be captured in a CUDA graph

    def __init__(
        self,
        network: MLP,
        *,
        loss: Loss,
        parameters: Stack,
        gradients: Stack,
        batch_size: int,
        groups: Sequence[int] | None = None,
        seeds: Sequence[int] | None = None,
    ) -> None:
        """Raises ValueError where shapes or numbers of models do not fit together."""
        for role, given in (("parameters", parameters), ("gradients", gradients)):
            if given.shapes != network.parameter_shapes:
                raise ValueError(f"{role} of other shapes than the network's: {given.shapes}")
        self.network, self.loss = network, loss
        self.parameters, self.gradients = parameters, gradients
        self.batch_size, self.models = batch_size, parameters.models
        self.groups = tuple(groups or (self.models,))
        if sum(self.groups) != self.models or gradients.models != self.models:
            raise ValueError(f"groups {self.groups} and {gradients.models} gradients for {self.models} models")
        self.seeds = seeds

    @classmethod
    @abstractmethod
    def runs(cls, network: MLP) -> bool:
        """Whether the engine can run every op of the network."""

    def start_epoch(self, epoch: int) -> None:  # noqa: B027 – most engines have nothing that changes with the epoch
        """Before the first step of an epoch: its noise follows from each model's seed and the epoch alone."""

    @abstractmethod
    def __call__(self, inputs: Sequence[Tensor], targets: Tensor) -> Tensor:
        """The outputs (models, outputs, n), overwritten by the next call; the gradients are written.

        ``inputs`` holds a batch (n, in) for every group, n at most ``batch_size``; ``targets`` (models, t, n) are
        encoded by the loss, in columns. Raises ValueError for a larger batch.
        """
