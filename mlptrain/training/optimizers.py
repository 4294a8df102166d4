"""The updates of torch.optim in their functional form, on one flat tensor.

Every optimizer here works element by element, so all parameters of a network are one tensor to it and a step is one
call. The classes of torch.optim do the same updates, but making one imports torch._dynamo, which costs seconds. Fused
kernels are taken where torch has them for the optimizer, foreach elsewhere.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim.adagrad import adagrad
from torch.optim.adam import adam
from torch.optim.nadam import nadam
from torch.optim.rmsprop import rmsprop
from torch.optim.sgd import sgd


class Optimizer(ABC):
    """Updates ``parameters`` (one flat tensor) from gradients of the same shape.

    ``settings`` are the fields of the configuration's optimizer section. ``state`` maps names to tensors, each of the
    parameters' shape or of shape (); it is all that a checkpoint needs.
    """

    buffers: ClassVar[tuple[str, ...]] = ()

    def __init__(self, parameters: Tensor, **settings: Any) -> None:
        self.parameters = parameters
        self.settings = settings
        self.state = {name: torch.zeros_like(parameters) for name in self.buffers} | self.extra_state()

    def extra_state(self) -> dict[str, Tensor]:
        """State that does not begin as zeros of the parameters' shape."""
        return {"step": torch.zeros((), device=self.parameters.device)}

    @abstractmethod
    def step(self, gradient: Tensor) -> None:
        """One update in place."""

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over a saved state. Raises ValueError where names or shapes do not fit."""
        wanted = {name: tuple(tensor.shape) for name, tensor in self.state.items()}
        came = {name: tuple(tensor.shape) for name, tensor in state.items()}
        if wanted != came:
            raise ValueError(f"optimizer state has {came}, wanted {wanted}")
        for name, tensor in state.items():
            self.state[name].copy_(tensor)


class SGD(Optimizer):
    """torch.optim.SGD; the momentum begins as the first gradient, undampened."""

    def extra_state(self) -> dict[str, Tensor]:
        """The momentum buffer appears with the first step."""
        return {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """As Optimizer.load_state; there is no momentum before the first step."""
        if "momentum_buffer" in state and self.settings["momentum"]:
            self.state["momentum_buffer"] = torch.zeros_like(self.parameters)
        super().load_state(state)

    def step(self, gradient: Tensor) -> None:
        """One update in place."""
        momentum = [self.state.get("momentum_buffer")]
        sgd([self.parameters], [gradient], momentum, fused=True, maximize=False, **self.settings)
        if momentum[0] is not None:
            self.state["momentum_buffer"] = momentum[0]


class Adam(Optimizer):
    """torch.optim.Adam, and AdamW with decoupled weight decay."""

    buffers = ("exp_avg", "exp_avg_sq")
    decoupled: ClassVar[bool] = False

    def extra_state(self) -> dict[str, Tensor]:
        """The step, and amsgrad's largest second moment."""
        largest = {"max_exp_avg_sq": torch.zeros_like(self.parameters)} if self.settings["amsgrad"] else {}
        return largest | super().extra_state()

    def step(self, gradient: Tensor) -> None:
        """One update in place."""
        settings, state = self.settings, self.state
        adam(
            [self.parameters],
            [gradient],
            [state["exp_avg"]],
            [state["exp_avg_sq"]],
            [state["max_exp_avg_sq"]] if settings["amsgrad"] else [],
            [state["step"]],
            fused=True,
            decoupled_weight_decay=self.decoupled,
            amsgrad=settings["amsgrad"],
            beta1=settings["betas"][0],
            beta2=settings["betas"][1],
            lr=settings["lr"],
            weight_decay=settings["weight_decay"],
            eps=settings["eps"],
            maximize=False,
        )


class AdamW(Adam):
    """torch.optim.AdamW."""

    decoupled = True


class NAdam(Optimizer):
    """torch.optim.NAdam, which has no fused kernel."""

    buffers = ("exp_avg", "exp_avg_sq")

    def extra_state(self) -> dict[str, Tensor]:
        """The step and the product of the momentum's schedule, which torch keeps on the CPU."""
        return {"step": torch.zeros(()), "mu_product": torch.ones(())}

    def step(self, gradient: Tensor) -> None:
        """One update in place."""
        settings, state = self.settings, self.state
        nadam(
            [self.parameters],
            [gradient],
            [state["exp_avg"]],
            [state["exp_avg_sq"]],
            [state["mu_product"]],
            [state["step"]],
            foreach=True,
            beta1=settings["betas"][0],
            beta2=settings["betas"][1],
            lr=settings["lr"],
            weight_decay=settings["weight_decay"],
            momentum_decay=settings["momentum_decay"],
            eps=settings["eps"],
        )


class RMSprop(Optimizer):
    """torch.optim.RMSprop, which has no fused kernel."""

    buffers = ("square_avg",)

    def extra_state(self) -> dict[str, Tensor]:
        """The step (kept on the CPU), and the buffers of momentum and of the centred form where they are used."""
        used = [("grad_avg", self.settings["centered"]), ("momentum_buffer", self.settings["momentum"])]
        return {name: torch.zeros_like(self.parameters) for name, wanted in used if wanted} | {"step": torch.zeros(())}

    def step(self, gradient: Tensor) -> None:
        """One update in place."""
        state = self.state
        rmsprop(
            [self.parameters],
            [gradient],
            [state["square_avg"]],
            [state["grad_avg"]] if "grad_avg" in state else [],
            [state["momentum_buffer"]] if "momentum_buffer" in state else [],
            [state["step"]],
            foreach=True,
            **self.settings,
        )


class Adagrad(Optimizer):
    """torch.optim.Adagrad."""

    def extra_state(self) -> dict[str, Tensor]:
        """The sum of squared gradients, which may begin above 0, and the step."""
        start = self.settings["initial_accumulator_value"]
        return {"sum": torch.full_like(self.parameters, start), "step": torch.zeros(())}

    def step(self, gradient: Tensor) -> None:
        """One update in place."""
        settings = self.settings
        adagrad(
            [self.parameters],
            [gradient],
            [self.state["sum"]],
            [self.state["step"]],
            fused=self.parameters.device.type == "cpu",  # torch has the fused kernel on the CPU only
            foreach=self.parameters.device.type != "cpu",
            lr=settings["lr"],
            weight_decay=settings["weight_decay"],
            lr_decay=settings["lr_decay"],
            eps=settings["eps"],
            maximize=False,
        )


OPTIMIZERS: dict[str, type[Optimizer]] = {
    "sgd": SGD,
    "adam": Adam,
    "adamw": AdamW,
    "nadam": NAdam,
    "rmsprop": RMSprop,
    "adagrad": Adagrad,
}


def make_optimizer(name: str, parameters: Tensor, **settings: Any) -> Optimizer:
    """The optimizer of that name on a flat tensor; ``settings`` are its configuration's fields but for the name."""
    return OPTIMIZERS[name](parameters, **settings)
