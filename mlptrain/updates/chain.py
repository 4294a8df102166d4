"""What a step does with gradients: every run of models with equal settings has its optimizer, under one schedule.

A step is, in this order: the L1 term joins the gradient, the gradient is clipped, weight decay, the optimizers, the
bound on the norms of weights, the average. So clipping is of the gradient of the loss, before any decay, as where
torch's clip_grad_norm_ comes before an optimizer's step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from mlptrain.nn.parameters import Parameters, Stack
from mlptrain.spec.experiment import TrainingSpec
from mlptrain.spec.optimizer import OptimizerSpec
from mlptrain.spec.schedule import Constant, Plateau, RunLength, Schedule
from mlptrain.updates.ingredients import Average, Decay, Ingredient, MaxNorm, on_gradients
from mlptrain.updates.optimizers import Optimizer, make_optimizer


@dataclass(frozen=True)
class ModelState:
    """Weights of one model and the state of its updates: parameter names to tensors, for weights and every buffer.

    ``parameters`` are those that the model is evaluated with. Where they are an average, training continues with
    ``raw``, which is empty otherwise. ``scalars`` are tensors of shape ().
    """

    parameters: Mapping[str, Tensor]
    buffers: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    scalars: Mapping[str, Tensor] = field(default_factory=dict)
    raw: Mapping[str, Tensor] = field(default_factory=dict)


NO_INGREDIENTS = TrainingSpec()


@dataclass
class _Part:
    """Neighbouring models from ``first`` on, ``count`` of them, that one optimizer updates, at the present rate."""

    first: int
    count: int
    optimizer: Optimizer[Any]
    gradients: list[Tensor]
    decay: Decay | None
    rate: float | Tensor

    def step(self) -> None:
        if self.decay is not None:
            self.decay(self.rate)
        self.optimizer.step(self.gradients, self.rate)


class Updates:
    """The updates of the models of a stack; neighbours with equal ``settings`` are updated in one call.

    ``run`` is the run's length, which the schedule follows. ``weights`` names the weight matrices, layer by layer. Of
    ``training``, a configuration's section, the chain reads what all models share: clip_norm, clip_value, l1, max_norm
    and ema. A step is ``advance``, which counts it and sets the learning rate, and then ``apply``, which may be
    replayed as a part of a CUDA graph: there a rate that changes lies in a tensor.

    Under a plateau every model has a rate of its own, and so an optimizer of its own. ``evaluated`` holds the
    parameters that models are evaluated with: their averages, or else the very parameters.
    """

    def __init__(
        self,
        parameters: Stack,
        gradients: Stack,
        settings: Sequence[OptimizerSpec],
        *,
        weights: Sequence[str],
        schedule: Schedule,
        run: RunLength,
        training: TrainingSpec = NO_INGREDIENTS,
    ) -> None:
        self._stack, self._schedule, self._run, self._step = parameters, schedule, run, 0
        self._of_gradients = gradients
        self._settings = list(settings)
        self._weights = weights
        self._scales = [1.0] * len(settings)
        self._is_constant = isinstance(schedule, Constant) and not schedule.warmup
        self._parts: list[_Part] = []
        apart = isinstance(schedule, Plateau)
        for (section, _), equal in groupby((one, model if apart else 0) for model, one in enumerate(settings)):
            first = self._parts[-1].first + self._parts[-1].count if self._parts else 0
            self._parts.append(self._part(section, first, len(list(equal))))
        self._part_of = [part for part in self._parts for _ in range(part.count)]  # by model
        self._all_capturable = all(part.optimizer.capturable for part in self._parts)
        self._before = on_gradients(training, parameters, gradients, weights)
        self._after: list[Ingredient] = []
        if training.max_norm is not None:
            self._after.append(MaxNorm(parameters, weights, training.max_norms(len(weights))))
        self._average = Average(parameters, training.ema) if training.ema else None
        if self._average is not None:
            self._after.append(self._average)
        self.evaluated = parameters if self._average is None else self._average.stack

    def _part(self, section: OptimizerSpec, first: int, count: int) -> _Part:
        parameters, gradients, lr = self._stack, self._of_gradients, section.lr
        decay = None
        if section.weight_decay and section.weight_decay_for == "weights":
            decay = Decay(
                parameters,
                gradients,
                self._weights,
                models=slice(first, first + count),
                factor=section.weight_decay,
                decoupled=section.decoupled,
            )
            section = section.model_copy(update={"weight_decay": 0.0})
        optimizer = make_optimizer(section, parameters.pieces(first, first + count))
        in_tensor = not self._is_constant and parameters.flat.is_cuda and optimizer.capturable
        rate = torch.tensor(lr, device=parameters.flat.device) if in_tensor else lr
        return _Part(first, count, optimizer, list(gradients.pieces(first, first + count)), decay, rate)

    def start(self, step: int) -> None:
        """The next step is number ``step``, counted from 0 on since training began."""
        self._step = step

    def advance(self) -> None:
        """Count a step and set its learning rate."""
        if self._average is not None:
            self._average.advance(self._step)
        if not self._is_constant:
            factor = self._schedule.factor_at(self._step, self._run)
            for part in self._parts:
                now = part.optimizer.settings.lr * factor * self._scales[part.first]
                part.rate = part.rate.fill_(now) if isinstance(part.rate, Tensor) else now
        self._step += 1

    def apply(self, *, captured: bool | None = None) -> None:
        """A step; with ``captured`` only what of it can be captured in a CUDA graph, or what cannot.

        What cannot are the updates of some optimizers, and what comes after them.
        """
        if captured is not False:
            for call in self._before:
                call()
        for part in self._parts:
            if captured is None or part.optimizer.capturable == captured:
                part.step()
        if captured is None or captured == self._all_capturable:
            for call in self._after:
                call()

    def lr(self, model: int, step: int) -> float:
        """The learning rate of a model in step ``step``, counted from 0, as its plateau stands now."""
        return self._settings[model].lr * self._schedule.factor_at(step, self._run) * self._scales[model]

    def scale(self, model: int, factor: float) -> None:
        """From the next step on, what a plateau has made of the learning rate of one model."""
        self._scales[model] = factor

    def state(self, model: int) -> ModelState:
        """Weights and state of one model, as views."""
        part, parameters = self._part_of[model], self._stack.members[model]
        buffers = {
            name: Parameters(
                [tensor.view(part.count, -1)[model - part.first] for tensor in tensors], self._stack.parameter_shapes
            )
            for name, tensors in part.optimizer.buffers.items()
        }
        raw = {} if self._average is None else parameters
        return ModelState(self.evaluated.members[model], buffers, part.optimizer.scalars, raw)

    def load(self, model: int, state: ModelState) -> None:
        """Take over weights and state. Raises ValueError for those of another network or optimizer."""
        part, parameters = self._part_of[model], self._stack.members[model]
        if bool(state.raw) != (self._average is not None):
            raise ValueError(
                f"a state with{'' if state.raw else 'out'} raw weights beside an average: expected the other"
            )
        self.evaluated.members[model].copy_(state.parameters)
        if state.raw:
            parameters.copy_(state.raw)
        sizes = [len(piece) for piece in self._stack.pieces(model, model + 1)]
        pieces = {
            name: torch.split(Parameters.zeros(self._stack.parameter_shapes).copy_(tensors).flat, sizes)
            for name, tensors in state.buffers.items()
        }
        part.optimizer.load_state(pieces, state.scalars, place=model - part.first, count=part.count)
        # Where a model diverged, clipping leaves nan between its gradients, which no step overwrites.
        for piece in self._of_gradients.pieces(model, model + 1):
            piece.zero_()
