"""What every name of a configuration must equal: a row per optimizer, activation, loss, schedule, source, ….

A new name costs one row here, in the order of the schema, and no other test. Each row names a reference that shares no
code with the package, and the settings under which the two are held against each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import mpmath  # type: ignore[import-untyped]
import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter
from sklearn import datasets, metrics
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import lr_scheduler

from mlptrain.nn import ops
from mlptrain.nn.losses import Loss, make_loss
from mlptrain.nn.ops import Op
from mlptrain.spec.adversarial import AdversarialSpec
from mlptrain.spec.loss import LossSpec
from mlptrain.spec.optimizer import OptimizerSpec
from mlptrain.spec.schedule import RunLength, Schedule, ScheduleSpec
from tests.data import own_files

Settings = Mapping[str, Any]
Rows = tuple[NDArray[Any], NDArray[Any]]  # inputs (n, n_features) and labels (n,) or targets (n, t)
Row = TypeVar("Row")


@dataclass(frozen=True)
class OptimizerRow:
    """A class of torch.optim, which takes the settings of our section by the same names.

    ``cases`` are held against it step by step, to a relative ``tolerance`` in float64; the first are the defaults of
    both. Small networks train well with each of ``good``.
    """

    reference: Callable[..., Any]
    good: Sequence[Settings]
    cases: Sequence[Settings] = ({},)
    tolerance: float = 1e-12
    parabola: Settings = field(default_factory=lambda: {"lr": 0.3})  # with which one is solved in 600 steps


class _DecayedRprop(torch.optim.Rprop):
    """torch.optim.Rprop on the gradient of a loss with an L2 penalty, which torch's own has no setting for."""

    def __init__(
        self,
        params: Any,
        lr: float = 0.01,
        etas: Sequence[float] = (0.5, 1.2),
        step_sizes: Sequence[float] = (1e-6, 50),
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr, (etas[0], etas[1]), (step_sizes[0], step_sizes[1]))
        for group in self.param_groups:
            group.setdefault("weight_decay", weight_decay)

    def step(self, closure: Any = None) -> Any:
        before = [(leaf, leaf.grad) for group in self.param_groups for leaf in group["params"]]
        for group in self.param_groups:
            for leaf in group["params"]:
                leaf.grad = leaf.grad + group["weight_decay"] * leaf.detach()
        super().step(closure)
        for leaf, gradient in before:
            leaf.grad = gradient


OPTIMIZERS: dict[str, OptimizerRow] = {
    "sgd": OptimizerRow(
        torch.optim.SGD,
        good=({"lr": 0.1}, {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
        cases=(
            {},
            {"lr": 0.1, "weight_decay": 0.01},
            {"lr": 0.1, "momentum": 0.9},
            {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1},
            {"lr": 0.1, "momentum": 0.9, "nesterov": True},
        ),
    ),
    "adam": OptimizerRow(
        torch.optim.Adam,
        good=({"lr": 0.01},),
        cases=({}, {"lr": 0.1, "betas": [0.8, 0.9], "eps": 1e-4, "weight_decay": 0.1, "amsgrad": True}),
    ),
    "adamw": OptimizerRow(
        torch.optim.AdamW,
        good=({"lr": 0.003, "amsgrad": True},),
        cases=({}, {"lr": 0.1, "weight_decay": 0.3, "amsgrad": True}),
    ),
    "nadam": OptimizerRow(
        torch.optim.NAdam,
        good=({"lr": 0.005},),
        cases=({}, {"lr": 0.1, "momentum_decay": 0.1, "weight_decay": 0.1}),
    ),
    "adamax": OptimizerRow(
        torch.optim.Adamax,
        good=({"lr": 0.01},),
        cases=({}, {"lr": 0.1, "betas": [0.8, 0.9], "eps": 1e-4, "weight_decay": 0.1}),
    ),
    "rmsprop": OptimizerRow(
        torch.optim.RMSprop,
        good=({"lr": 0.003, "momentum": 0.5, "centered": True},),
        cases=({}, {"lr": 0.1, "momentum": 0.9, "centered": True, "weight_decay": 0.1, "alpha": 0.9}),
    ),
    "adagrad": OptimizerRow(
        torch.optim.Adagrad,
        good=({"lr": 0.05},),
        cases=({}, {"lr": 0.1, "lr_decay": 0.1, "initial_accumulator_value": 0.5, "weight_decay": 0.1}),
    ),
    "adadelta": OptimizerRow(
        torch.optim.Adadelta,
        good=({"lr": 1.0},),
        cases=({}, {"lr": 0.5, "rho": 0.8, "eps": 1e-3, "weight_decay": 0.1}),
        parabola={"lr": 3.0, "eps": 1e-3},
    ),
    "radam": OptimizerRow(
        torch.optim.RAdam,
        good=({"lr": 0.01},),
        cases=({}, {"lr": 0.1, "betas": [0.8, 0.9], "eps": 1e-4, "weight_decay": 0.1}),
    ),
    "asgd": OptimizerRow(
        torch.optim.ASGD,
        good=({"lr": 0.1},),
        cases=({}, {"lr": 0.1, "lambd": 0.1, "alpha": 0.6, "t0": 4.0, "weight_decay": 0.1}),
        tolerance=2e-7,  # torch keeps the rate in float32, and rounds it as the compiler pleases
    ),
    "rprop": OptimizerRow(
        _DecayedRprop, good=({"lr": 0.001},), cases=({}, {"lr": 0.1, "etas": [0.6, 1.1], "step_sizes": [1e-4, 0.2]})
    ),
}

# Those that need the shapes of parameters or a closure; a row of these, and the reference is of torch.
WRAPPED: dict[str, OptimizerRow] = {
    "adafactor": OptimizerRow(
        torch.optim.Adafactor,
        good=({"lr": 0.03},),
        cases=({}, {"lr": 0.1, "beta2_decay": -0.5, "eps": [1e-8, 0.01], "d": 2.0, "weight_decay": 0.1}),
    ),
    "muon": OptimizerRow(
        lambda *arguments, **settings: MuonWithAdamW(*arguments, **settings),
        good=({"lr": 0.02, "adamw_lr": 0.01},),
        cases=(
            {},
            {"lr": 0.1, "momentum": 0.8, "nesterov": False, "ns_steps": 3, "weight_decay": 0.3},
            {"lr": 0.1, "adjust_lr_fn": "match_rms_adamw", "adamw_lr": 0.02, "betas": [0.8, 0.9]},
        ),
        parabola={"lr": 0.05, "adamw_lr": 0.05},
    ),
    "lbfgs": OptimizerRow(
        torch.optim.LBFGS,
        good=({"max_iter": 5},),
        cases=({}, {"lr": 0.5, "max_iter": 4, "history_size": 3}, {"lr": 0.1, "line_search_fn": "none"}),
        parabola={},
    ),
}
OPTIMIZER_NAMES = [*OPTIMIZERS, *WRAPPED]


class MuonWithAdamW:
    """torch.optim.Muon for the matrices among the parameters and torch.optim.AdamW for the others."""

    def __init__(self, params: Iterable[Tensor], adamw_lr: float = 0.001, **settings: Any) -> None:
        leaves = list(params)
        decay = settings.get("weight_decay", 0.1)
        betas = settings.pop("betas", (0.9, 0.999))
        self.muon = torch.optim.Muon([leaf for leaf in leaves if leaf.dim() == 2], **settings)
        others = [leaf for leaf in leaves if leaf.dim() < 2]
        self.adamw = torch.optim.AdamW(others, lr=adamw_lr, betas=betas, weight_decay=decay)

    def step(self) -> None:
        step: Any = self.muon.step
        step()
        self.adamw.step()


@dataclass(frozen=True)
class OpRow:
    """A module of torch, which computes what an op does outside training steps.

    It takes the op's settings, ``renamed`` where torch has another word, and ``fixed`` ones; its parameters come in the
    order of the op's. ``exact`` is the function of one number under the default settings, for mpmath, of an activation.
    """

    module: Callable[..., nn.Module]
    exact: Callable[[Any], Any] | None = None
    cases: Sequence[Settings] = ({},)
    renamed: Mapping[str, str] = field(default_factory=dict)
    fixed: Settings = field(default_factory=dict)

    def reference(self, settings: Settings) -> nn.Module:
        """The module; settings that are not given are torch's own defaults."""
        renamed = {self.renamed.get(key, key): value for key, value in settings.items()}
        return self.module(**renamed, **self.fixed).eval()


class Arctan(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        return z.atan()


SELU_ALPHA, SELU_SCALE = mpmath.mpf("1.6732632423543772848"), mpmath.mpf("1.0507009873554804934")

ACTIVATIONS: dict[str, OpRow] = {
    "relu": OpRow(nn.ReLU, lambda z: max(z, mpmath.mpf(0))),
    "selu": OpRow(nn.SELU, lambda z: SELU_SCALE * (z if z > 0 else SELU_ALPHA * (mpmath.exp(z) - 1))),
    "sigmoid": OpRow(nn.Sigmoid, lambda z: 1 / (1 + mpmath.exp(-z))),
    "tanh": OpRow(nn.Tanh, mpmath.tanh),
    "arctan": OpRow(Arctan, mpmath.atan),
    "gelu": OpRow(nn.GELU, lambda z: z * mpmath.ncdf(z)),
    "silu": OpRow(nn.SiLU, lambda z: z / (1 + mpmath.exp(-z))),
    "identity": OpRow(nn.Identity, lambda z: z),
    "leaky_relu": OpRow(
        nn.LeakyReLU,
        lambda z: z if z > 0 else z / 100,
        cases=({}, {"slope": 0.2}, {"slope": 0.0}, {"slope": -0.5}),
        renamed={"slope": "negative_slope"},
    ),
    "elu": OpRow(
        nn.ELU, lambda z: z if z > 0 else mpmath.exp(z) - 1, cases=({}, {"alpha": 2.5}, {"alpha": 2.0}, {"alpha": -0.7})
    ),
    "prelu": OpRow(nn.PReLU, lambda z: z if z > 0 else z / 4, cases=({}, {"slope": -0.4}), renamed={"slope": "init"}),
    # torch's threshold would replace the function by y = z where the two still differ by 2e-9.
    "softplus": OpRow(
        nn.Softplus, lambda z: mpmath.log(1 + mpmath.exp(z)), cases=({}, {"beta": 3.0}), fixed={"threshold": 600}
    ),
}
OPS: dict[str, OpRow] = {  # and what else may come after a layer's product
    **ACTIVATIONS,
    "dropout": OpRow(nn.Dropout, cases=({}, {"p": 0.1})),
}
# Of norms the class, which takes the width first, and then the settings by the same names.
NORMS: dict[str, Callable[..., nn.Module]] = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}

Embedded = Callable[[Tensor, Mapping[str, Any], Mapping[str, Tensor]], Tensor]


def _periodic(x: Tensor, settings: Mapping[str, Any], own: Mapping[str, Tensor]) -> Tensor:
    """Equation 2 of Gorishniy, Rubachev & Babenko (2022), a linear layer and ReLU, for one column."""
    waves = [2 * torch.pi * c * x for c in own["numeric_frequencies"]]
    made = torch.stack([torch.cos(wave) for wave in waves] + [torch.sin(wave) for wave in waves], dim=1)
    made = functional.linear(made, own["numeric_weight"], own["numeric_bias"])
    return functional.relu(made) if settings["relu"] else made


def _piecewise_linear(x: Tensor, settings: Mapping[str, Any], own: Mapping[str, Tensor]) -> Tensor:
    """Equation 1 there, bin by bin, and a linear layer, for one column."""
    edges = torch.tensor(sorted(set(own["numeric_edges"].tolist())))
    encoded = torch.zeros(len(x), settings["bins"], dtype=x.dtype)
    for index, (low, high) in enumerate(pairwise(edges.tolist())):
        share = (x - low) / (high - low)
        share = share if index == 0 else torch.where(x < low, 0.0, share)
        encoded[:, index] = share if index == len(edges) - 2 else torch.where(x >= high, 1.0, share)
    made = functional.linear(encoded, own["numeric_weight"], own["numeric_bias"])
    return functional.relu(made) if settings["relu"] else made


def _pbld(x: Tensor, settings: Mapping[str, Any], own: Mapping[str, Tensor]) -> Tensor:
    """RealMLP's, for one column."""
    pairs = zip(own["numeric_frequencies"], own["numeric_phases"], strict=True)
    waves = torch.stack([torch.cos(2 * torch.pi * c * x + phase) for c, phase in pairs], dim=1)
    return torch.cat([x.unsqueeze(1), functional.linear(waves, own["numeric_weight"], own["numeric_bias"])], dim=1)


@dataclass(frozen=True)
class EmbeddingRow:
    """``reference`` gives one column's vectors (n, width) for its numbers (n,) with its own parameters."""

    reference: Embedded
    cases: tuple[Settings, ...]


EMBEDDINGS: dict[str, EmbeddingRow] = {
    "periodic": EmbeddingRow(_periodic, ({}, {"frequencies": 5, "sigma": 2.0, "size": 3, "relu": False})),
    "piecewise_linear": EmbeddingRow(_piecewise_linear, ({}, {"bins": 6, "size": 5, "relu": True})),
    "pbld": EmbeddingRow(_pbld, ({}, {"frequencies": 3, "sigma": 2.0, "size": 3})),
}


Exact = tuple[Any, list[Any]]  # a loss and its gradient, numbers of mpmath


def exact_cross_entropy(z: list[Any], label: int) -> Exact:
    """−z_t + log Σ e^z."""
    largest = max(z)
    terms = [mpmath.e ** (value - largest) for value in z]
    total = mpmath.fsum(terms)
    return largest - z[label] + mpmath.log(total), [t / total - (i == label) for i, t in enumerate(terms)]


def exact_bce(z: list[Any], label: int) -> Exact:
    return mpmath.log1p(mpmath.e ** (-z[0] if label else z[0])), [1 / (1 + mpmath.e ** -z[0]) - label]


def exact_mse(z: list[Any], label: int) -> Exact:
    errors = [value - (i == label) for i, value in enumerate(z)]
    return mpmath.fsum(e**2 for e in errors) / len(z), [2 * e / len(z) for e in errors]


def exact_mae(z: list[Any], label: int) -> Exact:
    errors = [value - (i == label) for i, value in enumerate(z)]
    return mpmath.fsum(abs(e) for e in errors) / len(z), [mpmath.sign(e) / len(z) for e in errors]


def exact_huber(z: list[Any], label: int) -> Exact:
    errors = [value - (i == label) for i, value in enumerate(z)]
    losses = [e**2 / 2 if abs(e) <= 1 else abs(e) - mpmath.mpf(1) / 2 for e in errors]
    return mpmath.fsum(losses) / len(z), [max(-1, min(1, e)) / len(z) for e in errors]


def exact_multi_label(z: list[Any], label: int) -> Exact:
    """The example has the label of this number alone."""
    parts = [exact_bce([value], int(i == label)) for i, value in enumerate(z)]
    return mpmath.fsum(loss for loss, _ in parts) / len(z), [gradient[0] / len(z) for _, gradient in parts]


QUANTILES = (0.1, 0.5, 0.9)  # those of the loss by default


def exact_pinball(z: list[Any], label: int) -> Exact:
    """Quantiles of one target, which is the number of the label."""
    levels = [mpmath.mpf(level) for level in QUANTILES]
    losses = [max(t * (label - p), (t - 1) * (label - p)) for t, p in zip(levels, z, strict=True)]
    slopes = [(1 + mpmath.sign(p - label)) / 2 - t for t, p in zip(levels, z, strict=True)]
    return mpmath.fsum(losses) / len(z), [slope / len(z) for slope in slopes]


def pinball(outputs: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
    """scikit-learn's mean_pinball_loss of every quantile, in torch."""
    levels = torch.tensor(QUANTILES, dtype=outputs.dtype).repeat(targets.shape[1])
    above = targets.repeat_interleave(len(QUANTILES), dim=1) - outputs
    losses = levels * above.clamp(min=0) + (1 - levels) * (-above).clamp(min=0)
    return {"none": losses, "sum": losses.sum(), "mean": losses.mean()}[reduction]


@dataclass(frozen=True)
class LossRow:
    """A function of torch.nn.functional, which takes outputs, encoded targets and ``reduction``.

    ``exact`` takes one example's outputs as numbers of mpmath and its label. ``one_logit``: for two classes.
    ``encode`` makes of labels (n,) what the loss is given for so many outputs, where that is not labels. ``classes``:
    whether an example can be classified right.
    """

    reference: Callable[..., Tensor]
    exact: Callable[[list[Any], int], Exact]
    one_logit: bool = False
    encode: Callable[[Tensor, int], Tensor] = lambda labels, _: labels
    n_outputs: int | None = None  # where it does not follow from the classes
    classes: bool = True

    def outputs(self, classes: int) -> int:
        """The width of the network's outputs for so many classes, of which one logit tells two."""
        return self.n_outputs or (1 if self.one_logit else classes)

    def labels(self, classes: int) -> int:
        """How many labels there are: ``classes``, or two for one logit."""
        return 2 if self.one_logit else classes


LOSSES: dict[str, LossRow] = {
    "cross_entropy": LossRow(functional.cross_entropy, exact_cross_entropy),
    "bce": LossRow(functional.binary_cross_entropy_with_logits, exact_bce, one_logit=True),
    "multi_label_bce": LossRow(
        functional.binary_cross_entropy_with_logits,
        exact_multi_label,
        encode=lambda labels, k: functional.one_hot(labels, k).to(torch.get_default_dtype()),
    ),
    "mse": LossRow(functional.mse_loss, exact_mse),
    "mae": LossRow(functional.l1_loss, exact_mae),
    "huber": LossRow(functional.huber_loss, exact_huber),
    "quantile": LossRow(
        pinball,
        exact_pinball,
        encode=lambda labels, _: labels.to(torch.get_default_dtype()).unsqueeze(1),
        n_outputs=len(QUANTILES),
        classes=False,
    ),
}


@dataclass(frozen=True)
class ScheduleRow:
    """A scheduler of torch: ``reference(optimizer, run, **settings)`` for a run of this length.

    A formula where torch has none.
    """

    reference: Callable[..., lr_scheduler.LRScheduler]
    cases: Sequence[Settings] = ({},)


def _formula(factor: Callable[..., float]) -> Callable[..., lr_scheduler.LRScheduler]:
    return lambda optimizer, run, **settings: lr_scheduler.LambdaLR(
        optimizer, lambda step: factor(step, run, **settings)
    )


def _warm(of: Callable[..., lr_scheduler.LRScheduler]) -> Callable[..., lr_scheduler.LRScheduler]:
    """With a setting ``warmup``, in steps: torch's LinearLR up to lr, then the scheduler for the other steps."""

    def schedule(
        optimizer: torch.optim.Optimizer, run: RunLength, warmup: int = 0, **settings: Any
    ) -> lr_scheduler.LRScheduler:
        if not warmup:
            return of(optimizer, run, **settings)
        rise = lr_scheduler.LinearLR(optimizer, 1 / warmup, 1.0, total_iters=warmup - 1)
        rest = of(optimizer, RunLength(run.steps - warmup, run.per_epoch), **settings)
        return lr_scheduler.SequentialLR(optimizer, [rise, rest], milestones=[warmup])

    return schedule


def _cosine(
    optimizer: torch.optim.Optimizer, run: RunLength, final: float = 0.0, cycles: int = 1, growth: int = 1
) -> lr_scheduler.LRScheduler:
    first = run.steps // sum(growth**cycle for cycle in range(cycles))
    [group] = optimizer.param_groups
    least = final * group.get("initial_lr", group["lr"])  # another scheduler may have lowered it already
    return lr_scheduler.CosineAnnealingWarmRestarts(optimizer, first, T_mult=growth, eta_min=least)


def _one_cycle(
    optimizer: torch.optim.Optimizer, run: RunLength, warmup: float = 0.3, start: float = 0.04, final: float = 4e-6
) -> lr_scheduler.LRScheduler:
    return lr_scheduler.OneCycleLR(
        optimizer,
        optimizer.param_groups[0]["lr"],
        total_steps=run.steps,
        pct_start=warmup if warmup < 1 else warmup / run.steps,
        cycle_momentum=False,
        div_factor=1 / start,
        final_div_factor=start / final,
    )


SCHEDULES: dict[str, ScheduleRow] = {
    "constant": ScheduleRow(
        _warm(lambda optimizer, run: lr_scheduler.ConstantLR(optimizer, factor=1.0)), cases=({}, {"warmup": 4})
    ),
    "linear": ScheduleRow(
        _warm(lambda optimizer, run, final=0.0: lr_scheduler.LinearLR(optimizer, 1.0, final, total_iters=run.steps)),
        cases=({}, {"final": 0.1}, {"final": 0.1, "warmup": 4}),
    ),
    "cosine": ScheduleRow(
        _warm(_cosine),
        cases=({}, {"final": 0.1}, {"cycles": 3, "final": 0.1}, {"cycles": 2, "growth": 2}, {"warmup": 3}),
    ),
    "coslog": ScheduleRow(
        _formula(
            lambda step, run, cycles=4: (
                0.5 * (1 - math.cos(2 * math.pi * math.log(1 + (2**cycles - 1) * step / run.steps, 2)))
            )
        ),
        cases=({}, {"cycles": 2}),
    ),
    "one_cycle": ScheduleRow(_one_cycle, cases=({}, {"warmup": 5, "start": 0.1, "final": 0.01})),
    "exponential": ScheduleRow(
        _formula(lambda step, run, gamma=0.95: gamma ** (step / run.per_epoch)), cases=({}, {"gamma": 0.5})
    ),
    "step": ScheduleRow(
        lambda optimizer, run, step_size, gamma=0.1: lr_scheduler.StepLR(optimizer, step_size * run.per_epoch, gamma),
        cases=({"step_size": 2}, {"step_size": 1, "gamma": 0.5}),
    ),
    "multi_step": ScheduleRow(
        lambda optimizer, run, milestones, gamma=0.1: lr_scheduler.MultiStepLR(
            optimizer, [epoch * run.per_epoch for epoch in milestones], gamma
        ),
        cases=({"milestones": [1, 3]}, {"milestones": [3, 2], "gamma": 0.5}),
    ),
    "inverse_sqrt": ScheduleRow(
        _formula(lambda step, run, warmup=1: min((step + 1) / warmup, math.sqrt(warmup / (step + 1)))),
        cases=({}, {"warmup": 4}),
    ),
    # As it is without figures; tests/training/test_following.py holds what these make of it against ReduceLROnPlateau.
    "plateau": ScheduleRow(
        _warm(lambda optimizer, run: lr_scheduler.ConstantLR(optimizer, factor=1.0)), cases=({}, {"warmup": 4})
    ),
}


@dataclass(frozen=True)
class MetricRow:
    """A function of scikit-learn, or one written out, of targets (n,) and probabilities or scores (n, k).

    Of a regression: of targets (n, t) and values (n, t).
    """

    reference: Callable[[NDArray[Any], NDArray[Any]], float]
    settings: Settings = field(default_factory=dict)


def _of_labels(score: Callable[..., float], **options: Any) -> Callable[[NDArray[Any], NDArray[Any]], float]:
    return lambda y, p: float(score(y, p.argmax(axis=1), **options))


def _by_class(score: Callable[..., float]) -> Callable[[NDArray[Any], NDArray[Any]], float]:
    """Of the second of two classes, else the plain mean over the classes."""
    return lambda y, p: _of_labels(score, average="binary" if p.shape[1] == 2 else "macro")(y, p)


def _auc(score: Callable[..., float]) -> Callable[[NDArray[Any], NDArray[Any]], float]:
    """Of two classes the second; else the mean over the classes, each against the rest."""

    def of(y: NDArray[Any], p: NDArray[Any]) -> float:
        k = p.shape[1]
        return float(np.mean([score(y == c, p[:, c]) for c in ([1] if k == 2 else range(k))]))

    return of


def _brier(y: NDArray[Any], p: NDArray[Any]) -> float:
    squares = (p - np.eye(p.shape[1])[y]) ** 2
    return float((squares[:, 1] if p.shape[1] == 2 else squares.sum(axis=1)).mean())


def calibration_error(y: NDArray[Any], p: NDArray[Any], bins: int = 15) -> float:
    """Guo et al. (2017), example by example and bin by bin; a bin has its upper edge."""
    total = 0.0
    for number in range(bins):
        members = [i for i in range(len(y)) if number / bins < p[i].max() <= (number + 1) / bins]
        if members:
            right = sum(int(p[i].argmax()) == y[i] for i in members) / len(members)
            total += len(members) / len(y) * abs(right - sum(float(p[i].max()) for i in members) / len(members))
    return total


METRICS: dict[str, MetricRow] = {
    "accuracy": MetricRow(_of_labels(metrics.accuracy_score)),
    "balanced_accuracy": MetricRow(_of_labels(metrics.balanced_accuracy_score)),
    "f1": MetricRow(_by_class(metrics.f1_score)),
    "precision": MetricRow(_by_class(metrics.precision_score)),
    "recall": MetricRow(_by_class(metrics.recall_score)),
    "roc_auc": MetricRow(_auc(metrics.roc_auc_score)),
    "average_precision": MetricRow(_auc(metrics.average_precision_score)),
    "log_loss": MetricRow(lambda y, p: float(metrics.log_loss(y, p, labels=range(p.shape[1])))),
    "brier": MetricRow(_brier),
    "ece": MetricRow(lambda y, p: calibration_error(y, p, 7), {"bins": 7}),
    "mcc": MetricRow(_of_labels(metrics.matthews_corrcoef)),
    "top_k": MetricRow(
        lambda y, p: float(np.mean([t in row.argsort()[-2:] for t, row in zip(y, p, strict=True)])), {"k": 2}
    ),
    "rmse": MetricRow(lambda y, v: float(np.sqrt(((y - v) ** 2).mean(axis=0)).mean())),
    "mae": MetricRow(lambda y, v: float(metrics.mean_absolute_error(y, v))),
    "r2": MetricRow(lambda y, v: float(metrics.r2_score(y, v))),
    "mape": MetricRow(lambda y, v: float(np.abs((y - v) / y).mean())),
}


@dataclass(frozen=True)
class AdversarialRow:
    """What a term of disturbed inputs is, as functions that torch's autograd can follow.

    ``disturbance(module, loss, x, d, **settings)`` is r (n, in) for x, where ``loss`` is a function of the module's
    outputs and d (n, in) are directions drawn at random. ``term(loss, clean, disturbed)`` of the outputs for x and
    x + r is of shape (), or (n,) where it does not come from the loss. Both are told whether outputs are ``labels``.
    """

    disturbance: Callable[..., Tensor]
    term: Callable[..., Tensor]
    cases: Sequence[Settings] = ({},)


def _predicted(logits: Tensor, *, labels: bool) -> torch.distributions.Distribution:
    """``labels``: each output is a yes or no of its own."""
    if labels or logits.shape[1] == 1:
        return torch.distributions.Independent(torch.distributions.Bernoulli(logits=logits), 1)
    return torch.distributions.Categorical(logits=logits)


def _divergence(_: object, clean: Tensor, disturbed: Tensor, *, labels: bool = False) -> Tensor:
    p, q = (_predicted(logits, labels=labels) for logits in (clean.detach(), disturbed))
    return torch.distributions.kl_divergence(p, q)


def _vat(
    module: Callable[[Tensor], Tensor],
    _: object,
    x: Tensor,
    d: Tensor,
    epsilon: float = 2.1,
    step: float = 1e-2,
    iterations: int = 1,
    labels: bool = False,
) -> Tensor:
    d = functional.normalize(d)
    for _iteration in range(iterations):
        d.requires_grad_()
        divergence = _divergence(None, module(x), module(x + step * d), labels=labels).sum()
        d = functional.normalize(torch.autograd.grad(divergence, d)[0], eps=1e-300)
    return epsilon * d


def _fgsm(
    module: Callable[[Tensor], Tensor],
    loss: Callable[[Tensor], Tensor],
    x: Tensor,
    _: object,
    norm: str = "l2",
    epsilon: float = 2.0,
    labels: bool = False,
) -> Tensor:
    x = x.detach().requires_grad_()
    (g,) = torch.autograd.grad(loss(module(x)), x)
    return epsilon * (g.sign() if norm == "linf" else functional.normalize(g, eps=1e-300))


ADVERSARIAL: dict[str, AdversarialRow] = {
    "vat": AdversarialRow(_vat, _divergence, cases=({}, {"epsilon": 0.7, "step": 0.1, "iterations": 3, "weight": 0.4})),
    "fgsm": AdversarialRow(
        _fgsm,
        lambda loss, _, disturbed, labels=False: loss(disturbed),
        cases=({}, {"epsilon": 0.1, "weight": 3.0}, {"norm": "linf", "epsilon": 0.3}),
    ),
}


@dataclass(frozen=True)
class SourceRow:
    """A loader of scikit-learn for data that come installed with it; its frame has the same rows in another order.

    ``write`` puts the same rows into a folder, for sources that read a file there, and gives the section's keys.
    """

    reference: Callable[..., Any]
    column_names: bool = True  # whether the inputs have names
    write: Callable[[Path], Settings] = lambda _: {}


def _digits_by(write: Callable[[Path, Sequence[Any]], Settings]) -> Callable[[Path], Settings]:
    """The digits as files, the last 360 of them as test rows."""

    def written(folder: Path) -> Settings:
        digits = datasets.load_digits()
        x, y = digits.images.astype(np.uint8), digits.target.astype(np.uint8)
        return write(folder, (x[:-360], y[:-360], x[-360:], y[-360:]))

    return written


SOURCES: dict[str, SourceRow] = {
    "digits": SourceRow(datasets.load_digits, column_names=False),
    "iris": SourceRow(datasets.load_iris),
    "arrays": SourceRow(datasets.load_digits, column_names=False, write=_digits_by(own_files.write_npz)),
    "images": SourceRow(datasets.load_digits, column_names=False, write=_digits_by(own_files.write_images)),
    "idx": SourceRow(datasets.load_digits, column_names=False, write=_digits_by(own_files.write_idx)),
}


def _xor(n: int) -> Rows:
    points = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=float).repeat(n // 4, axis=0)
    return points, np.logical_xor(points[:, 0] > 0.5, points[:, 1] > 0.5).astype(int)


@dataclass(frozen=True)
class ToyRow:
    """Rows that are made: ``reference(n)`` are those of n rows without noise, in order; ``rows`` gives a section n."""

    reference: Callable[[int], Rows]
    rows: Callable[[int], Settings] = lambda n: {"n_samples": n}


TOYS: dict[str, ToyRow] = {
    "xor": ToyRow(_xor, rows=lambda n: {"points_per_corner": n // 4}),
    "moons": ToyRow(lambda n: datasets.make_moons(n, shuffle=False)),
    "circles": ToyRow(lambda n: datasets.make_circles(n, shuffle=False, factor=0.5)),
    "function": ToyRow(lambda n: (np.linspace(-3, 3, n)[:, None], np.sin(np.linspace(-3, 3, n))[:, None])),
}
FUNCTIONS: dict[str, Callable[[float], float]] = {  # of one variable
    "sin": math.sin,
    "cos": math.cos,
    "square": lambda x: x * x,
    "cube": lambda x: x * x * x,
    "abs": abs,
    "step": lambda x: 0.0 if x < 0 else 1.0,
    "gauss": lambda x: math.exp(-x * x),
    "runge": lambda x: 1 / (1 + 25 * x * x),
}


def optimizer_section(name: str, settings: Settings) -> OptimizerSpec:
    """The section of a configuration with these settings and our defaults."""
    section: OptimizerSpec = TypeAdapter(OptimizerSpec).validate_python({"name": name, **settings})
    return section


def schedule_section(name: str, settings: Settings) -> Schedule:
    section: Schedule = TypeAdapter(ScheduleSpec).validate_python({"name": name, **settings})
    return section


def adversarial_section(name: str, settings: Settings) -> AdversarialSpec:
    section: AdversarialSpec = TypeAdapter(AdversarialSpec).validate_python({"name": name, **settings})
    return section


def op(name: str, settings: Settings | None = None) -> Op:
    """The op with these settings and our defaults."""
    return ops.OPS[name](**(settings or {}))


def loss(name: str, reduction: str = "mean", weights: Sequence[tuple[float, ...]] = (), **settings: Any) -> Loss:
    """The loss of a section, with fitted class weights."""
    section = TypeAdapter(LossSpec).validate_python({"name": name, "reduction": reduction, **settings})
    return make_loss(section, weights)


def encoded(objective: Loss, labels: Tensor, n_outputs: int) -> Tensor:
    """Targets as the loss reads them, made of labels (n,)."""
    return objective.encode_targets(LOSSES[objective.section.name].encode(labels, n_outputs), n_outputs)


def cases(rows: Mapping[str, Any], attribute: str = "cases") -> list[tuple[str, Settings]]:
    """Every name with each of its settings."""
    return [(name, settings) for name, row in rows.items() for settings in getattr(row, attribute)]


def yaml(name: str, settings: Settings) -> str:
    """A section in one line, as a file of a configuration has it."""
    return "{" + ", ".join(f"{key}: {_yaml(value)}" for key, value in {"name": name, **settings}.items()) + "}"


def _yaml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def either(names: Iterable[str]) -> str:
    """As messages list choices: ``a, b or c``."""
    *others, last = names
    return f"{', '.join(others)} or {last}"


COMPARED = ["sgd", "momentum", "nesterov", *OPTIMIZER_NAMES[1:]]  # what a comparison calls them
