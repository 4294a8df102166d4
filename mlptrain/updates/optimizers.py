"""The updates of torch.optim, each in one call on few contiguous tensors.

Every optimizer here works element by element, so all parameters of a network, or of several networks with the same
settings, are one or two tensors to it. The classes of torch.optim do the same updates, but making one imports
torch._dynamo, which costs seconds. Where torch has a fused kernel, it is called directly: torch.optim's functional form
comes to the same kernel 12 µs later, the time of a small matrix product. NAdam and RMSprop have none and go through the
functional form.
"""

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

    @abstractmethod
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

    def _steps_of_each(self) -> list[Tensor]:
        """A copy of the step for each of the parameters: torch's functional forms count in every one of them."""
        return [self.scalars["step"].clone() for _ in self.parameters]

    def _take_step(self, steps: Sequence[Tensor]) -> None:
        """What the functional form has counted."""
        self.scalars["step"].copy_(steps[0])


def _sizes(buffers: Mapping[str, Sequence[Tensor]], scalars: Mapping[str, Tensor]) -> dict[str, object]:
    return {name: [tensor.numel() for tensor in tensors] for name, tensors in buffers.items()} | {
        name: tuple(scalar.shape) for name, scalar in scalars.items()
    }


class SGD(Optimizer[optimizer.SGD]):
    """torch.optim.SGD; the momentum begins as the first gradient, undampened."""

    capturable = True  # but for the first step, which makes the momentum

    def _begin(self) -> None:
        """The momentum buffer appears with the first step."""

    def load_state(
        self, buffers: Mapping[str, Sequence[Tensor]], scalars: Mapping[str, Tensor], *, place: int = 0, count: int = 1
    ) -> None:
        """As Optimizer.load_state; there is no momentum before the first step."""
        if "momentum_buffer" in buffers and self.settings.momentum:
            self.buffers.setdefault("momentum_buffer", self._filled(0.0))
        super().load_state(buffers, scalars, place=place, count=count)

    def step(self, gradients: list[Tensor], lr: float | Tensor) -> None:
        """One update in place."""
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
        """One update in place."""
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


class NAdam(Optimizer[optimizer.NAdam]):
    """torch.optim.NAdam, which has no fused kernel."""

    zeros = ("exp_avg", "exp_avg_sq")
    non_negative = ("exp_avg_sq",)

    def _begin(self) -> None:
        """The step and the product of the momentum's schedule, which torch keeps on the CPU."""
        self.scalars |= {"step": torch.zeros(()), "mu_product": torch.ones(())}

    def step(self, gradients: list[Tensor], lr: float | Tensor) -> None:
        """One update in place."""
        settings, steps = self.settings, self._steps_of_each()
        products = [self.scalars["mu_product"].clone() for _ in self.parameters]
        nadam(
            self.parameters,
            gradients,
            self.buffers["exp_avg"],
            self.buffers["exp_avg_sq"],
            products,
            steps,
            foreach=True,
            beta1=settings.betas[0],
            beta2=settings.betas[1],
            lr=float(lr),
            weight_decay=settings.weight_decay,
            momentum_decay=settings.momentum_decay,
            eps=settings.eps,
        )
        self._take_step(steps)
        self.scalars["mu_product"].copy_(products[0])


class Adamax(Optimizer[optimizer.Adamax]):
    """torch.optim.Adamax, which has no fused kernel."""

    zeros = ("exp_avg", "exp_inf")
    non_negative = ("exp_inf",)

    def _begin(self) -> None:
        """The step, which torch keeps on the CPU."""
        self.scalars["step"] = torch.zeros(())

    def step(self, gradients: list[Tensor], lr: float | Tensor) -> None:
        """One update in place."""
        settings, steps = self.settings, self._steps_of_each()
        adamax(
            self.parameters,
            gradients,
            self.buffers["exp_avg"],
            self.buffers["exp_inf"],
            steps,
            foreach=True,
            beta1=settings.betas[0],
            beta2=settings.betas[1],
            lr=float(lr),
            weight_decay=settings.weight_decay,
            eps=settings.eps,
        )
        self._take_step(steps)


class RMSprop(Optimizer[optimizer.RMSprop]):
    """torch.optim.RMSprop, which has no fused kernel."""

    zeros = ("square_avg",)
    non_negative = ("square_avg",)

    def _begin(self) -> None:
        """The step (kept on the CPU), and the buffers of momentum and of the centred form where they are used."""
        self.scalars["step"] = torch.zeros(())
        for name, used in (("grad_avg", self.settings.centered), ("momentum_buffer", self.settings.momentum)):
            if used:
                self.buffers[name] = self._filled(0.0)

    def step(self, gradients: list[Tensor], lr: float | Tensor) -> None:
        """One update in place."""
        steps = self._steps_of_each()
        rmsprop(
            self.parameters,
            gradients,
            self.buffers["square_avg"],
            self.buffers.get("grad_avg", []),
            self.buffers.get("momentum_buffer", []),
            steps,
            foreach=True,
            lr=float(lr),
            alpha=self.settings.alpha,
            eps=self.settings.eps,
            momentum=self.settings.momentum,
            centered=self.settings.centered,
            weight_decay=self.settings.weight_decay,
        )
        self._take_step(steps)


class Adagrad(Optimizer[optimizer.Adagrad]):
    """torch.optim.Adagrad."""

    non_negative = ("sum",)

    def _begin(self) -> None:
        """The sum of squared gradients, which may begin above 0, and the step."""
        self.buffers["sum"] = self._filled(self.settings.initial_accumulator_value)
        self.scalars["step"] = torch.zeros(())

    def step(self, gradients: list[Tensor], lr: float | Tensor) -> None:
        """One update in place."""
        settings = self.settings
        steps = self._steps_of_each()
        on_cpu = self.parameters[0].device.type == "cpu"  # torch has the fused kernel on the CPU only
        adagrad(
            self.parameters,
            gradients,
            self.buffers["sum"],
            steps,
            fused=on_cpu,
            foreach=not on_cpu,
            lr=float(lr),
            weight_decay=settings.weight_decay,
            lr_decay=settings.lr_decay,
            eps=settings.eps,
            maximize=False,
        )
        self._take_step(steps)


OPTIMIZERS: dict[type[optimizer.Optimizer], type[Optimizer[Any]]] = {
    optimizer.SGD: SGD,
    optimizer.Adam: Adam,
    optimizer.AdamW: AdamW,
    optimizer.NAdam: NAdam,
    optimizer.Adamax: Adamax,
    optimizer.RMSprop: RMSprop,
    optimizer.Adagrad: Adagrad,
}


def make_optimizer(section: OptimizerSpec, parameters: Sequence[Tensor]) -> Optimizer[Any]:
    """The optimizer of a section."""
    return OPTIMIZERS[type(section)](parameters, section)
