"""The ``optimizer`` section: one class per optimizer, with torch.optim's own field names, defaults and ranges."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from mlptrain.spec.base import Section, ShortName

_Decay = Annotated[float, Field(ge=0, le=1e6, description="An L2 penalty: weight_decay × weight joins the gradient.")]
_Eps = Annotated[float, Field(ge=0, le=1, description="Added to the denominator.")]
_Beta = Annotated[float, Field(ge=0, lt=1)]
_Betas = Annotated[
    list[_Beta],
    Field(min_length=2, max_length=2, description="Decay rates of the running means of gradient and squared gradient."),
]


class Optimizer(Section):
    """The base of all optimizers."""

    lr: float = Field(gt=0, le=1e30, description="Learning rate.")
    weight_decay: _Decay = 0.0
    weight_decay_for: Literal["all", "weights"] = Field(
        "all",
        description="What decays: all parameters, or weights, without biases and what activations and norms learn.",
    )

    decoupled: ClassVar[bool] = False  # whether the decay goes past the gradient

    @property
    def penalty(self) -> float:
        """The factor λ of the penalty λ/2 · Σ w² that joins the loss, over what ``weight_decay_for`` says."""
        return 0.0 if self.decoupled else self.weight_decay


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum and Nesterov's variant of it (torch.optim.SGD)."""

    name: Literal["sgd"]
    lr: float = Field(0.001, gt=0, le=1e30, description="Learning rate.")
    momentum: float = Field(0.0, ge=0, le=1, description="Share of the last step that is kept.")
    dampening: float = Field(0.0, ge=0, le=1, description="Share of the gradient kept out of the momentum.")
    nesterov: bool = Field(False, description="Nesterov's momentum; needs momentum above 0 and dampening 0.")

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> Self:
        if self.nesterov and (self.momentum == 0 or self.dampening != 0):
            detail: dict[str, Any] = {"momentum": self.momentum, "dampening": self.dampening}
            detail["remedy"] = "set momentum, e.g. 0.9" if self.momentum == 0 else "leave dampening out"
            message = (
                "needs momentum above 0 and dampening 0, got momentum {momentum} and dampening {dampening}; {remedy}"
            )
            raise PydanticCustomError("at:nesterov", message, detail)
        return self


class Adam(Optimizer):
    """Kingma & Ba (2015), as torch.optim.Adam."""

    name: Literal["adam"]
    lr: float = Field(0.001, gt=0, le=1e30, description="Learning rate.")
    betas: _Betas = [0.9, 0.999]
    eps: _Eps = 1e-8
    amsgrad: bool = Field(False, description="Divide by the largest second moment so far (Reddi et al., 2018).")


class AdamW(Optimizer):
    """Adam with decoupled weight decay (Loshchilov & Hutter, 2019), as torch.optim.AdamW."""

    name: Literal["adamw"]
    lr: float = Field(0.001, gt=0, le=1e30, description="Learning rate.")
    betas: _Betas = [0.9, 0.999]
    eps: _Eps = 1e-8
    weight_decay: float = Field(0.01, ge=0, le=1e6, description="The weights shrink by lr × weight_decay each step.")
    amsgrad: bool = Field(False, description="Divide by the largest second moment so far (Reddi et al., 2018).")

    decoupled: ClassVar[bool] = True


class NAdam(Optimizer):
    """Adam with Nesterov's momentum (Dozat, 2016), as torch.optim.NAdam."""

    name: Literal["nadam"]
    lr: float = Field(0.002, gt=0, le=1e30, description="Learning rate.")
    betas: _Betas = [0.9, 0.999]
    eps: _Eps = 1e-8
    momentum_decay: float = Field(0.004, ge=0, le=1, description="How quickly the momentum warms up.")


class Adamax(Optimizer):
    """Adam with the infinity norm (Kingma & Ba, 2015, section 7), as torch.optim.Adamax."""

    name: Literal["adamax"]
    lr: float = Field(0.002, gt=0, le=1e30, description="Learning rate.")
    betas: _Betas = [0.9, 0.999]
    eps: _Eps = 1e-8


class RMSprop(Optimizer):
    """Tieleman & Hinton (2012), as torch.optim.RMSprop."""

    name: Literal["rmsprop"]
    lr: float = Field(0.01, gt=0, le=1e30, description="Learning rate.")
    alpha: float = Field(0.99, ge=0, lt=1, description="Decay rate of the running mean of squared gradients.")
    eps: _Eps = 1e-8
    momentum: float = Field(0.0, ge=0, le=1, description="Share of the last step that is kept.")
    centered: bool = Field(False, description="Divide by the standard deviation instead of the root mean square.")


class Adagrad(Optimizer):
    """Duchi et al. (2011), as torch.optim.Adagrad."""

    name: Literal["adagrad"]
    lr: float = Field(0.01, gt=0, le=1e30, description="Learning rate.")
    lr_decay: float = Field(0.0, ge=0, le=1e6, description="lr at step t is lr / (1 + (t − 1) × lr_decay).")
    initial_accumulator_value: float = Field(0.0, ge=0, le=1e6, description="Start of the sum of squared gradients.")
    eps: _Eps = 1e-10


OptimizerSpec = Annotated[
    SGD | Adam | AdamW | NAdam | Adamax | RMSprop | Adagrad, Field(discriminator="name"), ShortName()
]
