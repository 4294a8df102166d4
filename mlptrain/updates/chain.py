"""What a step does with gradients: every run of models with equal settings has its optimizer, under one schedule.

This is the place of whatever else changes weights: what acts on gradients comes before the optimizers, what acts on
weights after them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from mlptrain.nn.parameters import Parameters, Stack
from mlptrain.spec.optimizer import OptimizerSpec
from mlptrain.spec.schedule import Constant, RunLength, Schedule
from mlptrain.updates.optimizers import Optimizer, make_optimizer


@dataclass(frozen=True)
class ModelState:
    """Weights of one model and the state of its updates: parameter names to tensors, for weights and every buffer.

    ``scalars`` are tensors of shape ().
    """

    parameters: Mapping[str, Tensor]
    buffers: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    scalars: Mapping[str, Tensor] = field(default_factory=dict)


class Updates:
    """The updates of the models of a stack; neighbours with equal ``settings`` are updated in one call.

    ``run`` is the run's length, which the schedule follows. A step is ``advance``, which counts it and sets
    the learning rate, and then ``apply``, which may be replayed as a part of a CUDA graph: there a rate that changes
    lies in a tensor.
    """

    def __init__(
        self,
        parameters: Stack,
        gradients: Stack,
        settings: Sequence[OptimizerSpec],
        *,
        schedule: Schedule,
        run: RunLength,
    ) -> None:
        self._stack, self._schedule, self._run, self._step = parameters, schedule, run, 0
        self._settings = list(settings)
        self._places: list[tuple[int, int, int]] = []  # of every model: its optimizer, its place there, of how many
        self._optimizers: list[Optimizer[Any]] = []
        self._gradients: list[list[Tensor]] = []
        for section, equal in groupby(settings):
            start, count = len(self._places), len(list(equal))
            self._places += [(len(self._optimizers), place, count) for place in range(count)]
            self._optimizers.append(make_optimizer(section, parameters.pieces(start, start + count)))
            self._gradients.append(list(gradients.pieces(start, start + count)))
        self._is_constant = isinstance(schedule, Constant) and not schedule.warmup
        device = parameters.flat.device
        in_tensor = not self._is_constant and parameters.flat.is_cuda
        self._rates: list[float | Tensor] = [
            torch.tensor(one.settings.lr, device=device) if in_tensor and one.capturable else one.settings.lr
            for one in self._optimizers
        ]

    def start(self, step: int) -> None:
        """The next step is number ``step``, counted from 0 on since training began."""
        self._step = step

    def advance(self) -> None:
        """Count a step and set its learning rate."""
        if not self._is_constant:
            factor = self._schedule.factor(self._step, self._run)
            for index, optimizer in enumerate(self._optimizers):
                rate, now = self._rates[index], optimizer.settings.lr * factor
                self._rates[index] = rate.fill_(now) if isinstance(rate, Tensor) else now
        self._step += 1

    def apply(self, *, captured: bool | None = None) -> None:
        """Every optimizer's update; with ``captured`` only of those that can be captured in a CUDA graph, or cannot."""
        for optimizer, gradients, rate in zip(self._optimizers, self._gradients, self._rates, strict=True):
            if captured is None or optimizer.capturable == captured:
                optimizer.step(gradients, rate)

    def lr(self, model: int, step: int) -> float:
        """The learning rate of a model in step ``step``, counted from 0."""
        return self._settings[model].lr * self._schedule.factor(step, self._run)

    def state(self, model: int) -> ModelState:
        """Weights and state of one model, as views."""
        index, place, count = self._places[model]
        optimizer, parameters = self._optimizers[index], self._stack.members[model]
        buffers = {
            name: Parameters([tensor.view(count, -1)[place] for tensor in tensors], self._stack.parameter_shapes)
            for name, tensors in optimizer.buffers.items()
        }
        return ModelState(parameters, buffers, optimizer.scalars)

    def load(self, model: int, state: ModelState) -> None:
        """Take over weights and state. Raises ValueError for those of another network or optimizer."""
        index, place, count = self._places[model]
        self._stack.members[model].copy_(state.parameters)
        sizes = [len(piece) for piece in self._stack.pieces(model, model + 1)]
        pieces = {
            name: torch.split(Parameters.zeros(self._stack.parameter_shapes).copy_(tensors).flat, sizes)
            for name, tensors in state.buffers.items()
        }
        self._optimizers[index].load_state(pieces, state.scalars, place=place, count=count)
