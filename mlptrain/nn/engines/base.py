"""The engines' common side: models of a stack, groups that share a batch, gradients written in place."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import groupby
from typing import ClassVar

from torch import Tensor

from mlptrain.nn.losses import Loss
from mlptrain.nn.network import MLP
from mlptrain.nn.noise import Noise
from mlptrain.nn.parameters import Stack
from mlptrain.nn.shares import Share


class Engine(ABC):
    """Forward and backward pass of the models of a stack.

    ``groups`` says how many neighbouring models share a batch: (3, 2) are three models with one batch and two with
    another; left out, all share one. A call reads ``parameters``, overwrites ``gradients`` and moves statistics, all
    bound here by their memory: update them in place. ``batch_size`` is the largest batch. ``seeds`` holds one seed for
    every model, from which its noise follows, epoch by epoch; without them there is none.
    """

    capturable: ClassVar[bool] = False  # whether ``run`` can be captured in a CUDA graph
    sharable: ClassVar[bool] = False  # whether it can compute a share of a batch
    share: Share | None = None  # that of the batches to come, where several workers compute one batch together

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
        wanted = {"parameters": network.shapes, "gradients": network.parameter_shapes}
        for (role, shapes), given in zip(wanted.items(), (parameters, gradients), strict=True):
            if given.shapes != shapes:
                raise ValueError(f"{role} of other shapes than the network's: {given.shapes}")
        self.network, self.loss = network, loss
        self.parameters, self.gradients = parameters, gradients
        self.batch_size, self.models = batch_size, parameters.models
        self.groups = tuple(groups or (self.models,))
        if sum(self.groups) != self.models or gradients.models != self.models:
            raise ValueError(f"groups {self.groups} and {gradients.models} gradients for {self.models} models")
        # Neighbours with one batch and one seed share their noise where they draw in the same places.
        owners = [group for group, size in enumerate(self.groups) for _ in range(size)]
        self.noise: list[tuple[slice, Noise]] = []
        self._seeds: list[int] = []
        draws = [network.draws(model) for model in range(self.models)]
        for (_, seed, _), same in groupby(zip(owners, seeds, draws, strict=True) if seeds is not None else ()):
            start = self.noise[-1][0].stop if self.noise else 0
            self.noise.append((slice(start, start + len(list(same))), Noise(device=parameters.flat.device)))
            self._seeds.append(seed)

    @classmethod
    @abstractmethod
    def runs(cls, network: MLP) -> bool:
        """Whether the engine can run every op of the network."""

    def start_epoch(self, epoch: int) -> None:
        """Before the first step of an epoch: its noise follows from each model's seed and the epoch alone."""
        for seed, (_, noise) in zip(self._seeds, self.noise, strict=True):
            noise.start(seed, epoch)

    def __call__(self, inputs: Sequence[Tensor], targets: Tensor) -> Tensor:
        """The outputs (models, outputs, n), overwritten by the next call; the gradients are written.

        ``inputs`` holds a batch (n, in) for every group, n at most ``batch_size``; ``targets`` (models, t, n) are
        encoded by the loss, in columns. Raises ValueError for a larger batch.
        """
        self.prepare(inputs[0].shape[0])
        return self.run(inputs, targets)

    def prepare(self, n: int) -> None:  # noqa: B027 – most engines have nothing to do
        """What a step of n rows needs of the CPU, such as random bits, and a CUDA graph cannot hold."""

    @abstractmethod
    def run(self, inputs: Sequence[Tensor], targets: Tensor) -> Tensor:
        """The rest of a call, as described there."""
