"""The ``optimizer`` section: one class per optimizer, with torch.optim's own field names, defaults and ranges."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from mlptrain.spec.base import Section, ShortName

_Rate = Annotated[float, Field(gt=0, le=1e30, description="Learning rate.")]
_Decay = Annotated[float, Field(ge=0, le=1e6, description="An L2 penalty: weight_decay × weight joins the gradient.")]
_Shrinking = Annotated[float, Field(ge=0, le=1e6, description="The weights shrink by lr × weight_decay each step.")]
_Momentum = Annotated[float, Field(ge=0, le=1, description="Share of the last step that is kept.")]
_AMSGrad = Annotated[bool, Field(description="Divide by the largest second moment so far (Reddi et al., 2018).")]
_Eps = Annotated[float, Field(ge=0, le=1, description="Added to the denominator.")]
_Positive = Annotated[float, Field(ge=0, le=1)]
_Beta = Annotated[float, Field(ge=0, lt=1)]
_Betas = Annotated[
    list[_Beta],
    Field(min_length=2, max_length=2, description="Decay rates of the running means of gradient and squared gradient."),
]


class Optimizer(Section):
    """The base of all optimizers."""

    lr: _Rate
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

    @property
    def gradients_per_step(self) -> int:
        """How often a step evaluates the gradient of its batch at most."""
        return 1


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum and Nesterov's variant of it (torch.optim.SGD)."""

    name: Literal["sgd"]
    lr: _Rate = 0.001
    momentum: _Momentum = 0.0
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
    lr: _Rate = 0.001
    betas: _Betas = [0.9, 0.999]
    eps: _Eps = 1e-8
    amsgrad: _AMSGrad = False


class AdamW(Optimizer):
    """Adam with decoupled weight decay (Loshchilov & Hutter, 2019), as torch.optim.AdamW."""

    name: Literal["adamw"]
    lr: _Rate = 0.001
    betas: _Betas = [0.9, 0.999]
    eps: _Eps = 1e-8
    weight_decay: _Shrinking = 0.01
    amsgrad: _AMSGrad = False

    decoupled = True


class NAdam(Optimizer):
    """Adam with Nesterov's momentum (Dozat, 2016), as torch.optim.NAdam."""

    name: Literal["nadam"]
    lr: _Rate = 0.002
    betas: _Betas = [0.9, 0.999]
    eps: _Eps = 1e-8
    momentum_decay: float = Field(0.004, ge=0, le=1, description="How quickly the momentum warms up.")


class Adamax(Optimizer):
    """Adam with the infinity norm (Kingma & Ba, 2015, section 7), as torch.optim.Adamax."""

    name: Literal["adamax"]
    lr: _Rate = 0.002
    betas: _Betas = [0.9, 0.999]
    eps: _Eps = 1e-8


class RMSprop(Optimizer):
    """Tieleman & Hinton (2012), as torch.optim.RMSprop."""

    name: Literal["rmsprop"]
    lr: _Rate = 0.01
    alpha: float = Field(0.99, ge=0, lt=1, description="Decay rate of the running mean of squared gradients.")
    eps: _Eps = 1e-8
    momentum: _Momentum = 0.0
    centered: bool = Field(False, description="Divide by the standard deviation instead of the root mean square.")


class Adagrad(Optimizer):
    """Duchi et al. (2011), as torch.optim.Adagrad."""

    name: Literal["adagrad"]
    lr: _Rate = 0.01
    lr_decay: float = Field(0.0, ge=0, le=1e6, description="lr at step t is lr / (1 + (t − 1) × lr_decay).")
    initial_accumulator_value: float = Field(0.0, ge=0, le=1e6, description="Start of the sum of squared gradients.")
    eps: _Eps = 1e-10


class Adadelta(Optimizer):
    """Zeiler (2012), as torch.optim.Adadelta."""

    name: Literal["adadelta"]
    lr: float = Field(1.0, gt=0, le=1e30, description="Learning rate, a factor of a step that finds its own length.")
    rho: float = Field(0.9, ge=0, lt=1, description="Decay rate of the running means of squares.")
    eps: _Eps = 1e-6


class RAdam(Optimizer):
    """Adam with a rectified start (Liu et al., 2020), as torch.optim.RAdam."""

    name: Literal["radam"]
    lr: _Rate = 0.001
    betas: _Betas = [0.9, 0.999]
    eps: _Eps = 1e-8


class ASGD(Optimizer):
    """Averaged stochastic gradient descent (Polyak & Juditsky, 1992), as torch.optim.ASGD.

    The average, which begins at step t0, is a part of the state alone, as in torch; ``training.ema`` evaluates one.
    """

    name: Literal["asgd"]
    lr: float = Field(0.01, gt=0, le=1e30, description="Learning rate, before its own decay.")
    lambd: float = Field(1e-4, ge=0, le=1e6, description="The weights shrink by the rate times this each step.")
    alpha: float = Field(0.75, ge=0, le=10, description="The rate of step t is lr / (1 + lambd × lr × t)^alpha.")
    t0: float = Field(1e6, ge=0, le=1e30, description="The step at which the average begins.")


class Rprop(Optimizer):
    """Resilient backpropagation, by the signs of gradients (Riedmiller & Braun, 1993), as torch.optim.Rprop.

    It is made for full batches. ``lr`` is the length of the first step, and a schedule has no effect from then on.
    """

    name: Literal["rprop"]
    lr: float = Field(0.01, gt=0, le=1e30, description="Length of the first step of every parameter.")
    etas: list[Annotated[float, Field(gt=0, le=1e6)]] = Field(
        [0.5, 1.2], min_length=2, max_length=2, description="Factors of a step where the gradient's sign turns, or not."
    )
    step_sizes: list[Annotated[float, Field(ge=0, le=1e30)]] = Field(
        [1e-6, 50.0], min_length=2, max_length=2, description="The shortest and the longest step."
    )

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if not self.etas[0] < 1 < self.etas[1]:
            message = "must be a number below 1 and one above 1, got {etas}"
            raise PydanticCustomError("at:etas", message, {"etas": f"{self.etas}"})
        if self.step_sizes[0] > self.step_sizes[1]:
            message = "must be the shorter step and then the longer one, got {sizes}"
            raise PydanticCustomError("at:step_sizes", message, {"sizes": f"{self.step_sizes}"})
        return self


class Adafactor(Optimizer):
    """Second moments by rows and columns (Shazeer & Stern, 2018), as torch.optim.Adafactor."""

    name: Literal["adafactor"]
    lr: _Rate = 0.01
    beta2_decay: float = Field(-0.8, ge=-10, le=0, description="Of step t the mean keeps 1 − t^beta2_decay.")
    eps: list[_Positive | None] = Field(
        [None, 0.001],
        min_length=2,
        max_length=2,
        description="Least square of a gradient, null for the epsilon of float32; least scale of a step.",
    )
    d: float = Field(1.0, ge=1, le=1e6, description="Largest root mean square of a step, before the learning rate.")
    weight_decay: _Shrinking = 0.0

    decoupled = True


class Muon(Optimizer):
    """Orthogonalised momentum for the layers' weight matrices (Jordan et al., 2024), as torch.optim.Muon, and AdamW
    for all other parameters. Needs torch 2.9 or newer.
    """

    name: Literal["muon"]
    lr: float = Field(0.001, gt=0, le=1e30, description="Learning rate of the weight matrices.")
    weight_decay: _Shrinking = 0.1
    momentum: _Momentum = 0.95
    nesterov: bool = Field(True, description="Nesterov's momentum.")
    ns_coefficients: list[float] = Field(
        [3.4445, -4.775, 2.0315], min_length=3, max_length=3, description="Of the Newton-Schulz iteration."
    )
    ns_steps: int = Field(5, ge=1, le=99, description="Steps of the Newton-Schulz iteration.")
    eps: _Positive = Field(1e-7, description="Added to the norm of a matrix.")
    adjust_lr_fn: Literal["original", "match_rms_adamw"] = Field(
        "original", description="How the rate follows a matrix's shape; match_rms_adamw suits the rates of AdamW."
    )
    adamw_lr: float = Field(0.001, gt=0, le=1e30, description="Learning rate of all other parameters, in AdamW.")
    betas: _Betas = [0.9, 0.999]

    decoupled = True


class LBFGS(Optimizer):
    """Limited-memory BFGS on full batches, as torch.optim.LBFGS; ``weight_decay`` is a penalty, part of its objective.

    A step evaluates loss and gradient up to ``max_eval`` times.
    """

    name: Literal["lbfgs"]
    lr: float = Field(1.0, gt=0, le=1e30, description="Length of a step, or of the first try of a line search.")
    max_iter: int = Field(20, ge=1, le=100_000, description="Iterations of a step, which is an epoch.")
    max_eval: int | None = Field(None, ge=1, le=100_000, description="Evaluations of a step. Default: max_iter × 5/4.")
    tolerance_grad: float = Field(1e-7, ge=0, le=1e6, description="Largest gradient at which a step ends.")
    tolerance_change: float = Field(1e-9, ge=0, le=1e6, description="Change of weights or loss at which a step ends.")
    history_size: int = Field(100, ge=1, le=1000, description="Steps from which the curvature is estimated.")
    line_search_fn: Annotated[Literal["strong_wolfe", "none"], Field(description="How long a step is.")] = (
        "strong_wolfe"
    )

    @property
    def gradients_per_step(self) -> int:
        """As torch has it where ``max_eval`` is not given."""
        return self.max_eval or max(1, self.max_iter * 5 // 4)


CODE_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_][A-Za-z0-9_]*$"


class Foreign(Optimizer):
    """A subclass of torch.optim.Optimizer by its import path, ``module:Class``; its other keys are its constructor's.

    Of the collections of ``mlptrain[optimizers]``, such as ``pytorch_optimizer:Lion``, or, with ``--allow-code``, of
    any module that is installed or lies beside the YAML file.
    """

    model_config = ConfigDict(extra="allow")

    name: str = Field(pattern=CODE_PATTERN, max_length=200, description="module:Class, the class's import path.")
    weight_decay: float = Field(0.0, ge=0, le=1e6, description="As the class has it. Default: the constructor's.")
    path: str | None = Field(None, description="The module's file. Default: beside the YAML file, or as installed.")
    sha256: str | None = Field(
        None, pattern="^[0-9a-f]{64}$", description="Of that file, which is refused where it is another."
    )

    decoupled = True  # what its decay is, the class knows alone

    @property
    def arguments(self) -> dict[str, Any]:
        """What its constructor is called with, besides lr and weight_decay."""
        return dict(self.model_extra or {})


WRAPPED = (Adafactor, Muon, LBFGS, Foreign)
"""Optimizers that are a class of torch.optim's kind, one for each model, on views of its parameters."""


def _kind(value: Any) -> str | None:
    """The tag of a section: its name, but of one of an import path ``foreign``; None without a name."""
    if isinstance(value, dict):
        if "name" not in value:
            return None
        name = value["name"]
    else:
        name = getattr(value, "name", "sgd")  # whose section says what is expected
    return "foreign" if isinstance(name, str) and ":" in name else str(name)


OptimizerSpec = Annotated[
    Annotated[SGD, Tag("sgd")]
    | Annotated[Adam, Tag("adam")]
    | Annotated[AdamW, Tag("adamw")]
    | Annotated[NAdam, Tag("nadam")]
    | Annotated[Adamax, Tag("adamax")]
    | Annotated[RMSprop, Tag("rmsprop")]
    | Annotated[Adagrad, Tag("adagrad")]
    | Annotated[Adadelta, Tag("adadelta")]
    | Annotated[RAdam, Tag("radam")]
    | Annotated[ASGD, Tag("asgd")]
    | Annotated[Rprop, Tag("rprop")]
    | Annotated[Adafactor, Tag("adafactor")]
    | Annotated[Muon, Tag("muon")]
    | Annotated[LBFGS, Tag("lbfgs")]
    | Annotated[Foreign, Tag("foreign")],
    Discriminator(_kind),
    ShortName(),
]
