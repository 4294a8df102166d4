"""What a step does with gradients: every run of models with the same kind of optimizer is updated in one call.

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

from mlptrain.errors import UserError
from mlptrain.nn.parameters import Parameters, Stack
from mlptrain.spec.experiment import TrainingSpec
from mlptrain.spec.optimizer import OptimizerSpec
from mlptrain.spec.schedule import Constant, Plateau, RunLength, Schedule
from mlptrain.updates.ingredients import Average, Decay, Ingredient, MaxNorm, on_gradients
from mlptrain.updates.optimizers import Optimizer, alike, make_optimizer
from mlptrain.updates.wrapped import Evaluate, Wrapped, check_usable, is_wrapped


@dataclass(frozen=True)
class ModelState:
    """Weights of one model and the state of its updates: parameter names to tensors, for weights and every buffer.

    ``parameters`` are those that the model is evaluated with. Where they are an average, training continues with
    ``raw``, which is empty otherwise. ``scalars`` are tensors of shape (). Of a wrapped optimizer ``own`` holds the
    tensors of its state, and ``plain`` the rest as JSON, see ``mlptrain.updates.states``.
    """

    parameters: Mapping[str, Tensor]
    buffers: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    scalars: Mapping[str, Tensor] = field(default_factory=dict)
    raw: Mapping[str, Tensor] = field(default_factory=dict)
    own: Mapping[str, Tensor] = field(default_factory=dict)
    plain: str = ""


NO_INGREDIENTS = TrainingSpec()


@dataclass
class _Part:
    """Neighbouring models from ``first`` on, ``count`` of them, that one optimizer updates, at the present rate.

    Where their settings or schedules differ, ``rates`` (count, 1) are those of each; ``tops`` are what the factor of a
    schedule multiplies then. ``schedules`` are those of each, or one for all.
    """

    first: int
    count: int
    optimizer: Optimizer[Any]
    gradients: list[Tensor]
    decay: Decay | None
    schedules: list[Schedule]
    rate: float | Tensor
    tops: Tensor | None = None
    rates: Tensor | None = None

    def __post_init__(self) -> None:
        self.is_constant = all(isinstance(one, Constant) and not one.warmup for one in self.schedules)

    def follow(self, factors: Sequence[float], scale: float) -> None:
        """Set the rates by the factors of ``schedules``; ``scale`` is what a plateau has made of the first model's."""
        if self.rates is not None and self.tops is not None:
            factor = factors[0] if len(factors) == 1 else self.tops.new_tensor(factors).unsqueeze(1)
            torch.mul(self.tops, factor, out=self.rates)
            return
        now = self.optimizer.settings.lr * factors[0] * scale
        self.rate = self.rate.fill_(now) if isinstance(self.rate, Tensor) else now

    def step(self, evaluate: Evaluate | None = None) -> None:
        if self.decay is not None:
            self.decay(self.rate if self.rates is None else self.rates)
        if isinstance(self.optimizer, Wrapped):
            self.optimizer.step(self.gradients, self.rate, evaluate, self.first)
        elif self.rates is None:
            self.optimizer.step(self.gradients, self.rate)
        else:
            self.optimizer.step_each(self.gradients, self.rates)


def _has_closure(part: _Part) -> bool:
    return isinstance(part.optimizer, Wrapped) and part.optimizer.needs_closure


class Updates:
    """The updates of the models of a stack; neighbours with optimizers of one kind are updated in one call.

    ``settings`` and ``schedules`` are those of each model. Where neighbours have equal ones the call is that of a
    single model; where these differ in numbers that are each model's ``own`` (optimizers.py) it takes a vector of them.
    ``run`` is the run's length, which the schedules follow. ``weights`` names the weight matrices, layer by layer. Of
    ``training``, a configuration's section, the chain reads what all models share: clip_norm, clip_value, l1, max_norm
    and ema. A step is ``advance``, which counts it and sets the learning rates, and then ``apply``, which may be
    replayed as a part of a CUDA graph: there a rate that changes lies in a tensor.

    Under a plateau a model's rate follows its own figures, and each has a call of its own. ``evaluated`` holds the
    parameters that models are evaluated with: their averages, or else the very parameters.
    """

    def __init__(
        self,
        parameters: Stack,
        gradients: Stack,
        settings: Sequence[OptimizerSpec],
        *,
        weights: Sequence[str],
        schedules: Sequence[Schedule],
        run: RunLength,
        training: TrainingSpec = NO_INGREDIENTS,
    ) -> None:
        self._stack, self._run, self._step = parameters, run, 0
        self._of_gradients = gradients
        self._settings, self._schedules = list(settings), [schedules[schedules.index(one)] for one in schedules]
        self._weights = weights
        self._scales = [1.0] * len(settings)
        self._parts: list[_Part] = []
        for _, kin in groupby(range(len(settings)), key=self._kind):
            self._parts.append(self._part(list(kin)))
        self._part_of = [part for part in self._parts for _ in range(part.count)]  # by model
        self.needs_closure = any(map(_has_closure, self._parts))
        if self.needs_closure:
            self._check_closures(training)
        self._all_capturable = all(part.optimizer.capturable for part in self._parts)
        self._before = on_gradients(training, parameters, gradients, weights)
        self._after: list[Ingredient] = []
        if training.max_norm is not None:
            self._after.append(MaxNorm(parameters, weights, training.max_norms(len(weights))))
        self._average = Average(parameters, training.ema) if training.ema else None
        if self._average is not None:
            self._after.append(self._average)
        self.evaluated = parameters if self._average is None else self._average.stack
        self._averaging = [
            part for part in self._parts if isinstance(part.optimizer, Wrapped) and part.optimizer.averages
        ]
        if self._averaging:
            if self._average is not None:
                name = self._averaging[0].optimizer.settings.name
                raise UserError(f"training.ema: optimizer '{name}' averages by itself; leave one of them out")
            shapes = parameters.parameter_shapes, parameters.state_shapes
            flat = parameters.flat
            self.evaluated = Stack(*shapes, models=parameters.models, dtype=flat.dtype, device=flat.device)
            self.evaluated.flat.copy_(flat)

    def _check_closures(self, training: TrainingSpec) -> None:
        """Raises UserError for what changes the gradients that a closure makes, but not what it says is minimised."""
        [name, *_] = [part.optimizer.settings.name for part in self._parts if _has_closure(part)]
        for key in ("clip_norm", "clip_value", "l1"):
            if getattr(training, key):
                raise UserError(
                    f"training.{key}: is no part of what the closure of the optimizer '{name}' evaluates; leave it "
                    "out, or take another optimizer"
                )

    def _kind(self, model: int) -> tuple[object, ...]:
        """What models of one call have in common."""
        section, schedule = self._settings[model], self._schedules[model]
        if is_wrapped(section):
            return type(section), model
        return type(section), alike(section), model if isinstance(schedule, Plateau) else None

    def _part(self, models: Sequence[int]) -> _Part:
        parameters, flat, first, count = self._stack, self._stack.flat, models[0], len(models)
        sections, schedules = [self._settings[one] for one in models], [self._schedules[one] for one in models]
        section = sections[0]
        if is_wrapped(section):
            check_usable(section)
            of_model = self._stack.members[first], self._of_gradients.members[first]
            wrapped = Wrapped(section, *of_model, self._weights)
            return _Part(first, 1, wrapped, [], None, schedules, section.lr)
        apart = any(one != section for one in sections) or any(one != schedules[0] for one in schedules)
        decays, of_weights = [one.weight_decay for one in sections], section.weight_decay_for == "weights"
        decay = None
        if any(decays) and (apart or of_weights):
            decay = Decay(
                parameters,
                self._of_gradients,
                self._weights if of_weights else None,
                models=slice(first, first + count),
                factors=decays,
                decoupled=section.decoupled,
            )
            section = section.model_copy(update={"weight_decay": 0.0})
        optimizer = make_optimizer(section, parameters.pieces(first, first + count), each=sections if apart else ())
        gradients = list(self._of_gradients.pieces(first, first + count))
        if all(one == schedules[0] for one in schedules):
            schedules = schedules[:1]
        part = _Part(first, count, optimizer, gradients, decay, schedules, section.lr)
        if apart:
            part.tops = torch.tensor([one.lr for one in sections], dtype=flat.dtype, device=flat.device).unsqueeze(1)
            part.rates = part.tops.clone()
        elif not part.is_constant and flat.is_cuda and optimizer.capturable:
            part.rate = torch.tensor(section.lr, device=flat.device)
        return part

    def start(self, step: int) -> None:
        """The next step is number ``step``, counted from 0 on since training began."""
        self._step = step

    def advance(self) -> None:
        """Count a step and set its learning rates."""
        if self._average is not None:
            self._average.advance(self._step)
        factors: dict[int, float] = {}  # by schedule
        for part in self._parts:
            if part.is_constant:
                continue
            for schedule in part.schedules:
                if id(schedule) not in factors:
                    factors[id(schedule)] = schedule.factor_at(self._step, self._run)
            part.follow([factors[id(schedule)] for schedule in part.schedules], self._scales[part.first])
        self._step += 1

    def apply(self, *, captured: bool | None = None, evaluate: Evaluate | None = None) -> None:
        """A step; with ``captured`` only what of it can be captured in a CUDA graph, or what cannot.

        What cannot are the updates of some optimizers, and what comes after them. ``evaluate`` is what an optimizer
        with a closure calls; the others have their turn before those.
        """
        if captured is not False:
            for call in self._before:
                call()
        for part in sorted(self._parts, key=_has_closure) if self.needs_closure else self._parts:
            if captured is None or part.optimizer.capturable == captured:
                part.step(evaluate)
        if captured is None or captured == self._all_capturable:
            for call in self._after:
                call()

    def settle(self) -> None:
        """Bring ``evaluated`` up to date where an optimizer averages by itself."""
        if self._averaging:
            self.evaluated.flat.copy_(self._stack.flat)
        for part in self._averaging:
            if isinstance(part.optimizer, Wrapped):
                part.optimizer.averaged(self.evaluated.members[part.first], self._stack.members[part.first])

    def lr(self, model: int, step: int) -> float:
        """The learning rate of a model in step ``step``, counted from 0, as its plateau stands now."""
        return self._settings[model].lr * self._schedules[model].factor_at(step, self._run) * self._scales[model]

    def scale_of(self, model: int) -> float:
        """What a plateau has made of the learning rate of one model."""
        return self._scales[model]

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
        raw = parameters if self._has_raw(part) else {}
        scalars = part.optimizer.scalars_of(model - part.first)
        packed = part.optimizer.packed() if isinstance(part.optimizer, Wrapped) else ()
        return ModelState(self.evaluated.members[model], buffers, scalars, raw, *packed)

    def _has_raw(self, part: _Part) -> bool:
        """Whether models are evaluated with other parameters than those that they train with."""
        return self._average is not None or part in self._averaging

    def load(self, model: int, state: ModelState) -> None:
        """Take over weights and state. Raises ValueError for those of another network or optimizer."""
        part, parameters = self._part_of[model], self._stack.members[model]
        if bool(state.raw) != self._has_raw(part):
            raise ValueError(
                f"a state with{'' if state.raw else 'out'} raw weights beside an average: expected the other"
            )
        self.evaluated.members[model].copy_(state.parameters)
        if self.evaluated is not self._stack:
            parameters.copy_(state.raw or state.parameters)
        sizes = [len(piece) for piece in self._stack.pieces(model, model + 1)]
        pieces = {
            name: torch.split(Parameters.zeros(self._stack.parameter_shapes).copy_(tensors).flat, sizes)
            for name, tensors in state.buffers.items()
        }
        part.optimizer.load_state(pieces, state.scalars, place=model - part.first, count=part.count)
        if isinstance(part.optimizer, Wrapped):
            part.optimizer.unpack(state.own, state.plain)
        # Where a model diverged, clipping leaves nan between its gradients, which no step overwrites.
        for piece in self._of_gradients.pieces(model, model + 1):
            piece.zero_()
