"""The updates of torch.optim, each in one call on few contiguous tensors.

Every optimizer here works element by element, so all parameters of a network, or of several networks with the same
settings, are one or two tensors to it. The classes of torch.optim do the same updates, but making one imports
torch._dynamo, which costs seconds. Where torch has a fused kernel, it is called directly: torch.optim's functional form
comes to the same kernel 12 µs later, the time of a small matrix product. NAdam and RMSprop have none and go through the
functional form.

Models of one kind whose settings differ are one call as well, ``step_each``: whatever the optimizer, lr·u is what it
subtracts, and no u depends on lr. Microseconds of a step of 16 models 784-64-10 and of 64 models 64-64-10, one thread
(2-core AMD EPYC, 2026-11-26): a call for each 349 and 370 with Adam, ``step_each`` 404 and 149, a call for all, where
their settings are equal, 284 and 108. Tried and slower: Adam from torch's elementwise functions, 692 and 264.
"""

# ruff: noqa: D102 – the base class describes the methods

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor
from torch.optim.adadelta import adadelta
from torch.optim.adagrad import adagrad
from torch.optim.adamax import adamax
from torch.optim.nadam import nadam
from torch.optim.radam import radam
from torch.optim.rmsprop import rmsprop

from mlptrain.spec import optimizer
from mlptrain.spec.optimizer import OptimizerSpec

State = dict[str, list[Tensor]]
Settings = TypeVar("Settings", bound=optimizer.Optimizer)


class Optimizer(ABC, Generic[Settings]):
    """Updates ``parameters`` (few tensors of any shape) from gradients of the same shapes.

    ``settings`` are the optimizer section of a configuration; its ``lr`` is scheduled, so a step is told which to use.
    ``each`` holds the sections of models that differ in what is their ``own``, and that lie side by side in every
    parameter; ``step_each`` updates them.
    ``buffers`` maps names to one tensor for each of the parameters, ``scalars`` names to tensors of shape (), and
    ``own_scalars`` to those of ``each`` model, (models, 1), where they are not equal; together they are all that a
    checkpoint needs.
    """

    own: ClassVar[tuple[str, ...]] = ("lr", "weight_decay")  # what models in one call may differ in
    zeros: ClassVar[tuple[str, ...]] = ()
    non_negative: ClassVar[tuple[str, ...]] = ()  # buffers that training cannot make negative
    capturable: ClassVar[bool] = False  # whether a step can be captured in a CUDA graph: nothing of it is on the CPU

    def __init__(self, parameters: Sequence[Tensor], settings: Settings, *, each: Sequence[Settings] = ()) -> None:
        self.parameters = list(parameters)
        self.settings, self.each = settings, tuple(each)
        self._directions: list[Tensor] = []
        self.buffers: State = {name: self._filled(0.0) for name in self.zeros}
        self.scalars: dict[str, Tensor] = {}
        self.own_scalars: dict[str, Tensor] = {}
        self._begin()

    def _begin(self) -> None:
        """Make the state that does not begin as zeros of the parameters' shapes."""

    def step(self, gradients: list[Tensor], lr: float | Tensor) -> None:
        """One update in place. ``lr`` is a tensor of shape () only where ``capturable``."""
        self.update(self.parameters, gradients, lr)

    def step_each(self, gradients: list[Tensor], lr: Tensor) -> None:
        """One update of the models of ``each``, with a learning rate for every one, (models, 1); without any decay.

        Gradients may be overwritten.
        """
        models = len(lr)
        for parameter, direction in zip(self.parameters, self.directions(gradients), strict=True):
            parameter.view(models, -1).addcmul_(direction.view(models, -1), lr, value=-1)

    def directions(self, gradients: list[Tensor]) -> list[Tensor]:
        """u for every parameter, of which a step subtracts lr·u; overwritten by the next ones.

        It is where zeros are after a step with a rate of −1.
        """
        self._directions = self._directions or self._filled(0.0)
        for direction in self._directions:
            direction.zero_()
        self.update(self._directions, gradients, -1.0)
        return self._directions

    @abstractmethod
    def update(self, parameters: list[Tensor], gradients: list[Tensor], lr: float | Tensor) -> None:
        """``step`` of these parameters, with the state of this optimizer's."""

    def load_state(
        self, buffers: Mapping[str, Sequence[Tensor]], scalars: Mapping[str, Tensor], *, place: int = 0, count: int = 1
    ) -> None:
        """Take over a saved state, of all parameters or of the model ``place`` of ``count`` that share them.

        Raises ValueError where names or sizes do not fit.
        """
        ours = {name: [tensor.view(count, -1)[place] for tensor in tensors] for name, tensors in self.buffers.items()}
        mine_alone = self.scalars_of(place)
        expected, given = _sizes(ours, mine_alone), _sizes(buffers, scalars)
        if expected != given:
            raise ValueError(f"optimizer state has {given}, expected {expected}")
        for name, tensors in buffers.items():
            for mine, theirs in zip(ours[name], tensors, strict=True):
                mine.copy_(theirs.flatten())
        for name, scalar in scalars.items():
            mine_alone[name].copy_(scalar)

    def scalars_of(self, place: int) -> dict[str, Tensor]:
        """``scalars`` and those of its own of the model ``place``, as views of shape ()."""
        return self.scalars | {name: values[place, 0] for name, values in self.own_scalars.items()}

    def _filled(self, value: float) -> list[Tensor]:
        return [torch.full_like(tensor, value) for tensor in self.parameters]


def _sizes(buffers: Mapping[str, Sequence[Tensor]], scalars: Mapping[str, Tensor]) -> dict[str, object]:
    return {name: [tensor.numel() for tensor in tensors] for name, tensors in buffers.items()} | {
        name: tuple(scalar.shape) for name, scalar in scalars.items()
    }


class SGD(Optimizer[optimizer.SGD]):
    """torch.optim.SGD; the momentum begins as the first gradient, undampened."""

    own = ("lr", "weight_decay", "momentum", "dampening")
    capturable = True  # but for the first step, which makes the momentum buffer

    def _begin(self) -> None:
        """Momentum and dampening of every model, (models, 1)."""
        like = self.parameters[0]
        momentum, dampening = (
            torch.tensor([getattr(one, name) for one in self.each], dtype=like.dtype, device=like.device).unsqueeze(1)
            for name in ("momentum", "dampening")
        )
        self._momentum, self._share = momentum, 1 - dampening
        self._is_dampened = any(one.dampening for one in self.each)

    def load_state(
        self, buffers: Mapping[str, Sequence[Tensor]], scalars: Mapping[str, Tensor], *, place: int = 0, count: int = 1
    ) -> None:
        # There is no momentum before the first step.
        if "momentum_buffer" in buffers and self.settings.momentum:
            self.buffers.setdefault("momentum_buffer", self._filled(0.0))
        super().load_state(buffers, scalars, place=place, count=count)

    def directions(self, gradients: list[Tensor]) -> list[Tensor]:
        if not self.settings.momentum:
            return gradients
        if "momentum_buffer" not in self.buffers:
            self.buffers["momentum_buffer"] = [gradient.clone() for gradient in gradients]
            buffers = self._of_models(self.buffers["momentum_buffer"])
        else:
            buffers = self._of_models(self.buffers["momentum_buffer"])
            for buffer, gradient in zip(buffers, self._of_models(gradients), strict=True):
                if self._is_dampened:
                    buffer.mul_(self._momentum).addcmul_(gradient, self._share)
                else:
                    torch.addcmul(gradient, buffer, self._momentum, out=buffer)
        if not self.settings.nesterov:
            return buffers
        for buffer, gradient in zip(buffers, self._of_models(gradients), strict=True):
            gradient.addcmul_(buffer, self._momentum)
        return gradients

    def _of_models(self, tensors: list[Tensor]) -> list[Tensor]:
        """A row for every model."""
        return [tensor.view(len(self.each), -1) for tensor in tensors]

    def update(self, parameters: list[Tensor], gradients: list[Tensor], lr: float | Tensor) -> None:
        first = bool(self.settings.momentum) and "momentum_buffer" not in self.buffers
        if first:
            self.buffers["momentum_buffer"] = self._filled(0.0)
        torch._fused_sgd_(
            parameters,
            gradients,
            self.buffers.get("momentum_buffer", []),
            lr=lr,
            momentum=self.settings.momentum,
            dampening=self.settings.dampening,
            nesterov=self.settings.nesterov,
            weight_decay=self.settings.weight_decay,
            maximize=False,
            is_first_step=first,
        )


class Adam(Optimizer[optimizer.Adam | optimizer.AdamW]):
    """torch.optim.Adam, and AdamW with decoupled weight decay."""

    zeros = ("exp_avg", "exp_avg_sq")
    non_negative = ("exp_avg_sq", "max_exp_avg_sq")
    capturable = True
    kernel: ClassVar[Callable[..., object]] = staticmethod(torch._fused_adam_)

    def _begin(self) -> None:
        """The step, and amsgrad's largest second moment."""
        self.scalars["step"] = torch.zeros((), device=self.parameters[0].device)
        if self.settings.amsgrad:
            self.buffers["max_exp_avg_sq"] = self._filled(0.0)

    def update(self, parameters: list[Tensor], gradients: list[Tensor], lr: float | Tensor) -> None:
        settings = self.settings
        self.scalars["step"].add_(1)
        self.kernel(
            parameters,
            gradients,
            self.buffers["exp_avg"],
            self.buffers["exp_avg_sq"],
            self.buffers.get("max_exp_avg_sq", []),
            [self.scalars["step"]] * len(parameters),
            amsgrad=settings.amsgrad,
            beta1=settings.betas[0],
            beta2=settings.betas[1],
            lr=lr,
            weight_decay=settings.weight_decay,
            eps=settings.eps,
            maximize=False,
        )


class AdamW(Adam):
    """torch.optim.AdamW."""

    kernel: ClassVar[Callable[..., object]] = staticmethod(torch._fused_adamw_)


class Functional(Optimizer[Settings]):
    """An optimizer that goes through torch's functional form, which has no fused kernel.

    ``form`` takes parameters, gradients, the buffers named in ``takes`` (empty where they are not used), the scalars
    named in ``counts``, and the settings by their names.
    """

    form: ClassVar[Callable[..., None]]
    takes: ClassVar[tuple[str, ...]]
    counts: ClassVar[tuple[str, ...]] = ("step",)

    def _begin(self) -> None:
        """The step, which torch keeps on the CPU."""
        self.scalars["step"] = torch.zeros(())
        settings = self.settings.model_dump(exclude={"name", "lr", "initial_accumulator_value", "weight_decay_for"})
        if (betas := settings.pop("betas", None)) is not None:
            settings |= {"beta1": betas[0], "beta2": betas[1]}
        self.arguments = settings | {"foreach": True, "maximize": False}

    def update(self, parameters: list[Tensor], gradients: list[Tensor], lr: float | Tensor) -> None:
        # torch counts in a scalar of every parameter, so each has a copy.
        buffers = [self.buffers.get(name, []) for name in self.takes]
        counted = {name: [self.scalars[name].clone() for _ in parameters] for name in self.counts}
        self.form(parameters, gradients, *buffers, *counted.values(), lr=float(lr), **self.arguments)
        for name, scalars in counted.items():
            self.scalars[name].copy_(scalars[0])


class NAdam(Functional[optimizer.NAdam]):
    """torch.optim.NAdam."""

    form = staticmethod(nadam)
    takes = zeros = ("exp_avg", "exp_avg_sq")
    counts = ("mu_product", "step")
    non_negative = ("exp_avg_sq",)

    def _begin(self) -> None:
        """Also the product of the momentum's schedule."""
        super()._begin()
        self.scalars["mu_product"] = torch.ones(())


class Adamax(Functional[optimizer.Adamax]):
    """torch.optim.Adamax."""

    form = staticmethod(adamax)
    takes = zeros = ("exp_avg", "exp_inf")
    non_negative = ("exp_inf",)


class RMSprop(Functional[optimizer.RMSprop]):
    """torch.optim.RMSprop."""

    form = staticmethod(rmsprop)
    zeros = non_negative = ("square_avg",)
    takes = ("square_avg", "grad_avg", "momentum_buffer")

    def _begin(self) -> None:
        """Also the buffers of momentum and of the centred form where they are used."""
        super()._begin()
        for name, used in (("grad_avg", self.settings.centered), ("momentum_buffer", self.settings.momentum)):
            if used:
                self.buffers[name] = self._filled(0.0)


class Adagrad(Functional[optimizer.Adagrad]):
    """torch.optim.Adagrad, whose fused kernel torch has on the CPU only."""

    form = staticmethod(adagrad)
    takes = non_negative = ("sum",)

    def _begin(self) -> None:
        """Also the sum of squared gradients, which may start above 0."""
        super()._begin()
        self.buffers["sum"] = self._filled(self.settings.initial_accumulator_value)
        on_cpu = self.parameters[0].device.type == "cpu"
        self.arguments |= {"fused": on_cpu, "foreach": not on_cpu}


class Adadelta(Functional[optimizer.Adadelta]):
    """torch.optim.Adadelta."""

    form = staticmethod(adadelta)
    takes = zeros = non_negative = ("square_avg", "acc_delta")


class RAdam(Functional[optimizer.RAdam]):
    """torch.optim.RAdam."""

    form = staticmethod(radam)
    takes = zeros = ("exp_avg", "exp_avg_sq")
    non_negative = ("exp_avg_sq",)


class ASGD(Optimizer[optimizer.ASGD]):
    """torch.optim.ASGD. What its rate is in the next step, ``eta``, is found at the end of this one."""

    zeros = ("ax",)

    def _begin(self) -> None:
        """The step, the weight of the next parameters in their average, and the rate, which torch keeps in float32."""
        self.scalars = {"mu": torch.ones(()), "step": torch.zeros(())}
        rates = self.own_scalars if self.each else self.scalars
        rates["eta"] = torch.zeros(len(self.each), 1) if self.each else torch.zeros(())

    def update(self, parameters: list[Tensor], gradients: list[Tensor], lr: float | Tensor) -> None:
        eta = self.scalars["eta"]
        self._start(eta, float(lr))
        rate, decay = eta.item(), self.settings.weight_decay
        for parameter, gradient in zip(parameters, gradients, strict=True):
            joined = gradient.add(parameter, alpha=decay) if decay else gradient
            parameter.mul_(1 - self.settings.lambd * rate).add_(joined, alpha=-rate)
        self._end(parameters, eta, torch.as_tensor(float(lr), dtype=torch.float64))

    def step_each(self, gradients: list[Tensor], lr: Tensor) -> None:
        eta, models = self.own_scalars["eta"], len(lr)
        self._start(eta, lr)
        rate = eta.to(self.parameters[0])
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            rows = parameter.view(models, -1)
            rows.mul_(1 - self.settings.lambd * rate).addcmul_(gradient.view(models, -1), rate, value=-1)
        self._end(self.parameters, eta, lr.to(eta.device, torch.float64))

    def _start(self, eta: Tensor, lr: float | Tensor) -> None:
        """The first rate is the learning rate itself."""
        if not self.scalars["step"]:
            eta.copy_(torch.as_tensor(lr, dtype=torch.float64))

    def _end(self, parameters: list[Tensor], eta: Tensor, lr: Tensor) -> None:
        """The average, and the rate of the next step."""
        mu, step, settings = self.scalars["mu"], self.scalars["step"], self.settings
        step.add_(1)
        for average, parameter in zip(self.buffers["ax"], parameters, strict=True):
            average.copy_(parameter) if mu == 1 else average.lerp_(parameter, mu.item())
        eta.copy_(lr / (1 + settings.lambd * lr * step.double()) ** settings.alpha)
        mu.fill_(1 / max(1.0, step.item() - settings.t0))


class Rprop(Optimizer[optimizer.Rprop]):
    """torch.optim.Rprop, which has no use for a learning rate after its first step."""

    zeros = ("prev", "step_size")
    non_negative = ("step_size",)

    def _begin(self) -> None:
        """The step."""
        self.scalars["step"] = torch.zeros(())

    def update(self, parameters: list[Tensor], gradients: list[Tensor], lr: float | Tensor) -> None:
        settings, decay = self.settings, self.settings.weight_decay
        if not self.scalars["step"]:
            for length in self.buffers["step_size"]:
                rows = len(lr) if isinstance(lr, Tensor) and lr.dim() else 1
                length.view(rows, -1).copy_(torch.as_tensor(lr, dtype=length.dtype))
        self.scalars["step"].add_(1)
        groups = zip(parameters, gradients, self.buffers["prev"], self.buffers["step_size"], strict=True)
        for parameter, gradient, before, length in groups:
            joined = gradient.add(parameter, alpha=decay) if decay else gradient
            factors = joined * before
            turned, goes_on = factors < 0, factors > 0
            factors.fill_(1).masked_fill_(turned, settings.etas[0]).masked_fill_(goes_on, settings.etas[1])
            length.mul_(factors).clamp_(*settings.step_sizes)
            before.copy_(joined).masked_fill_(turned, 0)
            parameter.addcmul_(before.sign(), length, value=-1)

    def step_each(self, gradients: list[Tensor], lr: Tensor) -> None:
        self.update(self.parameters, gradients, lr)


OPTIMIZERS: dict[type[optimizer.Optimizer], type[Optimizer[Any]]] = {  # by the sections of the same names
    getattr(optimizer, kind.__name__): kind
    for kind in (SGD, Adam, AdamW, NAdam, Adamax, RMSprop, Adagrad, Adadelta, RAdam, ASGD, Rprop)
}


def make_optimizer(
    section: OptimizerSpec, parameters: Sequence[Tensor], *, each: Sequence[OptimizerSpec] = ()
) -> Optimizer[Any]:
    """The optimizer of a section, or of several that are ``alike``."""
    return OPTIMIZERS[type(section)](parameters, section, each=each)


def alike(section: OptimizerSpec) -> dict[str, Any]:
    """What of a section models must have in common to be updated in one call.

    Of what is their own it matters whether a momentum is 0, with which there is no buffer.
    """
    own = OPTIMIZERS[type(section)].own
    common = section.model_dump(exclude=set(own))
    return common | {"has momentum": bool(getattr(section, "momentum", 0.0))} if "momentum" in own else common


def count_buffers(section: OptimizerSpec) -> int:
    """How many numbers an optimizer keeps for every parameter, as a step of one parameter shows.

    Of those that are wrapped it is an estimate.
    """
    if type(section) not in OPTIMIZERS:
        return 2
    made = make_optimizer(section, [torch.zeros(1)])
    made.step([torch.zeros(1)], section.lr)
    return len(made.buffers)
