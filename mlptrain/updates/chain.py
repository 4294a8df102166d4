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
        self._places: list[tuple[int, int, int]] = []  # of every model: its optimizer, its place there, of how many
        self._optimizers: list[Optimizer[Any]] = []
        self._firsts: list[int] = []  # of every optimizer: its first model
        self._gradients: list[list[Tensor]] = []
        self._decays: list[Decay | None] = []
        self._scales = [1.0] * len(settings)
        apart = isinstance(schedule, Plateau)
        for (section, _), equal in groupby((one, place if apart else 0) for place, one in enumerate(settings)):
            start, count = len(self._places), len(list(equal))
            self._firsts.append(start)
            self._places += [(len(self._optimizers), place, count) for place in range(count)]
            decay, factor = None, section.weight_decay
            if factor and section.weight_decay_for == "weights":
                models = slice(start, start + count)
                decay = Decay(parameters, gradients, weights, models=models, factor=factor, decoupled=section.decoupled)
                section = section.model_copy(update={"weight_decay": 0.0})
            self._decays.append(decay)
            self._optimizers.append(make_optimizer(section, parameters.pieces(start, start + count)))
            self._gradients.append(list(gradients.pieces(start, start + count)))
        self._all_capturable = all(optimizer.capturable for optimizer in self._optimizers)
        self._before = on_gradients(training, parameters, gradients, weights)
        self._after: list[Ingredient] = []
        if training.max_norm is not None:
            self._after.append(MaxNorm(parameters, weights, training.max_norms(len(weights))))
        self._average = Average(parameters, training.ema) if training.ema else None
        if self._average is not None:
            self._after.append(self._average)
        self.evaluated = parameters if self._average is None else self._average.stack
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
        if self._average is not None:
            self._average.advance(self._step)
        if not self._is_constant:
            factor = self._schedule.factor_at(self._step, self._run)
            for index, optimizer in enumerate(self._optimizers):
                rate, now = self._rates[index], optimizer.settings.lr * factor * self._scales[self._firsts[index]]
                self._rates[index] = rate.fill_(now) if isinstance(rate, Tensor) else now
        self._step += 1

    def apply(self, *, captured: bool | None = None) -> None:
        """A step; with ``captured`` only what of it can be captured in a CUDA graph, or what cannot.

        What cannot are the updates of some optimizers, and what comes after them.
        """
        if captured is not False:
            for call in self._before:
                call()
        parts = zip(self._optimizers, self._gradients, self._decays, self._rates, strict=True)
        for optimizer, gradients, decay, rate in parts:
            if captured is None or optimizer.capturable == captured:
                if decay is not None:
                    decay(rate)
                optimizer.step(gradients, rate)
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
        index, place, count = self._places[model]
        optimizer, parameters = self._optimizers[index], self._stack.members[model]
        buffers = {
            name: Parameters([tensor.view(count, -1)[place] for tensor in tensors], self._stack.parameter_shapes)
            for name, tensors in optimizer.buffers.items()
        }
        raw = {} if self._average is None else parameters
        return ModelState(self.evaluated.members[model], buffers, optimizer.scalars, raw)

    def load(self, model: int, state: ModelState) -> None:
        """Take over weights and state. Raises ValueError for those of another network or optimizer."""
        index, place, count = self._places[model]
        parameters = self._stack.members[model]
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
        self._optimizers[index].load_state(pieces, state.scalars, place=place, count=count)
        # Where a model diverged, clipping leaves nan between its gradients, which no step overwrites.
        for piece in self._of_gradients.pieces(model, model + 1):
            piece.zero_()
