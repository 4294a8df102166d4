"""The updates of torch.optim, each in one call on few contiguous tensors.

Every optimizer here works element by element, so all parameters of a network, or of several networks with the same
settings, are one or two tensors to it. The classes of torch.optim do the same updates, but making one imports
torch._dynamo, which costs seconds. Where torch has a fused kernel, it is called directly: torch.optim's functional form
comes to the same kernel 12 µs later, the time of a small matrix product. NAdam and RMSprop have none and go through the
functional form.
"""

# ruff: noqa: D102 – the base class describes the methods

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor
from torch.optim.adagrad import adagrad
from torch.optim.adamax import adamax
from torch.optim.nadam import nadam
from torch.optim.rmsprop import rmsprop

from mlptrain.spec import optimizer
from mlptrain.spec.optimizer import OptimizerSpec

State = dict[str, list[Tensor]]
Settings = TypeVar("Settings", bound=optimizer.Optimizer)


class Optimizer(ABC, Generic[Settings]):
    """Updates ``parameters`` (few tensors of any shape) from gradients of the same shapes.

    ``settings`` are the optimizer section of a configuration; its ``lr`` is scheduled, so a step is told which to use.
    ``buffers`` maps names to one tensor for each of the parameters, ``scalars`` names to tensors of shape (); together
    they are all that a checkpoint needs.
    """

    zeros: ClassVar[tuple[str, ...]] = ()
    non_negative: ClassVar[tuple[str, ...]] = ()  # buffers that training cannot make negative
    capturable: ClassVar[bool] = False  # whether a step can be captured in a CUDA graph: nothing of it is on the CPU

    def __init__(self, parameters: Sequence[Tensor], settings: Settings) -> None:
        self.parameters = list(parameters)
        self.settings = settings
        self.buffers: State = {name: self._filled(0.0) for name in self.zeros}
        self.scalars: dict[str, Tensor] = {}
        self._begin()

    def _begin(self) -> None:
        """Make the state that does not begin as zeros of the parameters' shapes."""

    @abstractmethod
    def step(self, gradients: list[Tensor], lr: float | Tensor) -> None:
        """One update in place. ``lr`` is a tensor of shape () only where ``capturable``."""

    def load_state(
        self, buffers: Mapping[str, Sequence[Tensor]], scalars: Mapping[str, Tensor], *, place: int = 0, count: int = 1
    ) -> None:
        """Take over a saved state, of all parameters or of the model ``place`` of ``count`` that share them.

        Raises ValueError where names or sizes do not fit.
        """
        ours = {name: [tensor.view(count, -1)[place] for tensor in tensors] for name, tensors in self.buffers.items()}
        expected, given = _sizes(ours, self.scalars), _sizes(buffers, scalars)
        if expected != given:
            raise ValueError(f"optimizer state has {given}, expected {expected}")
        for name, tensors in buffers.items():
            for mine, theirs in zip(ours[name], tensors, strict=True):
                mine.copy_(theirs.flatten())
        for name, scalar in scalars.items():
            self.scalars[name].copy_(scalar)

    def _filled(self, value: float) -> list[Tensor]:
        return [torch.full_like(tensor, value) for tensor in self.parameters]


def _sizes(buffers: Mapping[str, Sequence[Tensor]], scalars: Mapping[str, Tensor]) -> dict[str, object]:
    return {name: [tensor.numel() for tensor in tensors] for name, tensors in buffers.items()} | {
        name: tuple(scalar.shape) for name, scalar in scalars.items()
    }


class SGD(Optimizer[optimizer.SGD]):
    """torch.optim.SGD; the momentum begins as the first gradient, undampened."""

    capturable = True  # but for the first step, which makes the momentum buffer

    def load_state(
        self, buffers: Mapping[str, Sequence[Tensor]], scalars: Mapping[str, Tensor], *, place: int = 0, count: int = 1
    ) -> None:
        # There is no momentum before the first step.
        if "momentum_buffer" in buffers and self.settings.momentum:
            self.buffers.setdefault("momentum_buffer", self._filled(0.0))
        super().load_state(buffers, scalars, place=place, count=count)

    def step(self, gradients: list[Tensor], lr: float | Tensor) -> None:
        first = bool(self.settings.momentum) and "momentum_buffer" not in self.buffers
        if first:
            self.buffers["momentum_buffer"] = self._filled(0.0)
        torch._fused_sgd_(
            self.parameters,
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

    def step(self, gradients: list[Tensor], lr: float | Tensor) -> None:
        settings = self.settings
        self.scalars["step"].add_(1)
        self.kernel(
            self.parameters,
            gradients,
            self.buffers["exp_avg"],
            self.buffers["exp_avg_sq"],
            self.buffers.get("max_exp_avg_sq", []),
            [self.scalars["step"]] * len(self.parameters),
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

    def step(self, gradients: list[Tensor], lr: float | Tensor) -> None:
        # torch counts in a scalar of every parameter, so each has a copy.
        buffers = [self.buffers.get(name, []) for name in self.takes]
        counted = {name: [self.scalars[name].clone() for _ in self.parameters] for name in self.counts}
        self.form(self.parameters, gradients, *buffers, *counted.values(), lr=float(lr), **self.arguments)
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


OPTIMIZERS: dict[type[optimizer.Optimizer], type[Optimizer[Any]]] = {  # by the sections of the same names
    getattr(optimizer, kind.__name__): kind for kind in (SGD, Adam, AdamW, NAdam, Adamax, RMSprop, Adagrad)
}


def make_optimizer(section: OptimizerSpec, parameters: Sequence[Tensor]) -> Optimizer[Any]:
    """The optimizer of a section."""
    return OPTIMIZERS[type(section)](parameters, section)


def count_buffers(section: OptimizerSpec) -> int:
    """How many numbers an optimizer keeps for every parameter, as a step of one parameter shows."""
    optimizer = make_optimizer(section, [torch.zeros(1)])
    optimizer.step([torch.zeros(1)], section.lr)
    return len(optimizer.buffers)
