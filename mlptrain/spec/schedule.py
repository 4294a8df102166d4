"""The ``schedule`` section: how the learning rate changes while a run trains, one class per schedule.

A schedule is a pure function of the step and the run's length, plateau of the figures in the log too, so none of it is
saved: a resumed run computes the same factors as an uninterrupted one. Its length is always that of the run.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from mlptrain.spec.base import Section, ShortName, count_or_fraction
from mlptrain.spec.choosing import is_better

Final = Annotated[float, Field(ge=0, le=1, description="The factor that the run ends at.")]
Gamma = Annotated[float, Field(gt=0, le=1)]
MAX_STEPS = 10**12  # ten million epochs of a hundred thousand steps
MAX_EPOCHS = 10_000_000


class RunLength(NamedTuple):
    """Steps of the whole run, and of one epoch."""

    steps: int
    per_epoch: int


class Schedule(Section):
    """The base of all schedules: a linear warm-up, and after it the schedule's own factor.

    ``stretches``: whether the factor of a step depends on the run's length, which more epochs change.
    """

    stretches: ClassVar[bool] = False

    warmup: Annotated[
        int | float,
        count_or_fraction(most=MAX_STEPS),
        Field(description="Steps, or a fraction of the run, in which lr rises linearly before the schedule begins."),
    ] = 0

    def warmup_steps(self, run: RunLength) -> int:
        """Steps before the schedule begins."""
        return self.warmup if isinstance(self.warmup, int) else round(self.warmup * run.steps)

    def factor_at(self, step: int, run: RunLength) -> float:
        """What multiplies the optimizer's lr in step ``step``, from 0 to ``run.steps`` − 1.

        (step + 1)/w in a warm-up of w steps, the last of which has the optimizer's lr.
        """
        warmup = self.warmup_steps(run)
        if step < warmup:
            return (step + 1) / warmup
        return self.after_warmup(step, warmup, run)

    def after_warmup(self, step: int, warmup: int, run: RunLength) -> float:
        """The factor of a step from ``warmup`` on."""
        return self.at((step - warmup) / max(1, run.steps - warmup))

    def at(self, t: float) -> float:
        """The factor at ``t``, from 0 after the warm-up to 1 at the run's end."""
        raise NotImplementedError


class Constant(Schedule):
    """The optimizer's lr in every step."""

    name: Literal["constant"]

    def at(self, t: float) -> float:  # noqa: ARG002
        """1."""
        return 1.0


class Linear(Schedule):
    """A straight line from the optimizer's lr down to ``final`` of it."""

    stretches = True

    name: Literal["linear"]
    final: Final = 0.0

    def at(self, t: float) -> float:
        """1 + (final − 1)·t."""
        return 1 + (self.final - 1) * t


class Cosine(Schedule):
    """Half a cosine from the optimizer's lr down to ``final`` of it, ``cycles`` times (Loshchilov & Hutter, 2017)."""

    stretches = True

    name: Literal["cosine"]
    final: Final = 0.0
    cycles: int = Field(1, ge=1, le=1000, description="How often it begins: 1 is without restarts.")
    growth: float = Field(1.0, ge=1, le=100, description="The length of a cycle, relative to the one before.")

    @model_validator(mode="after")
    def _first_cycle_has_a_length(self) -> Self:
        if self.cycles * math.log(self.growth) > math.log(MAX_STEPS):
            detail: dict[str, Any] = {"cycles": self.cycles, "growth": self.growth}
            message = "{cycles} cycles that grow by {growth} each leave nothing of the first; take fewer, such as 4"
            raise PydanticCustomError("at:cycles", message, detail)
        return self

    @property
    def first_cycle(self) -> float:
        """Its share of the run after the warm-up."""
        return 1 / self.cycles if self.growth == 1 else (self.growth - 1) / (math.pow(self.growth, self.cycles) - 1)

    def at(self, t: float) -> float:
        """final + (1 − final)·(1 + cos(π·u))/2 at u of the cycle; cycle i ends at (gⁱ⁺¹ − 1)/(gⁿ − 1) of the run."""
        g, n = self.growth, self.cycles
        if g == 1:
            u = (t * n) % 1
        else:
            cycle = math.floor(math.log1p(t * (g**n - 1)) / math.log(g) + 1e-9)
            begins, ends = ((g**i - 1) / (g**n - 1) for i in (cycle, cycle + 1))
            u = (t - begins) / (ends - begins)
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * u)) / 2


class CosLog(Schedule):
    """Cosines of falling frequency, each from 0 to lr and back to 0 (RealMLP: Holzmüller et al., 2024)."""

    stretches = True

    name: Literal["coslog"]
    cycles: int = Field(4, ge=1, le=30, description="How often it rises and falls.")

    @property
    def first_cycle(self) -> float:
        """Its share of the run after the warm-up."""
        return 1 / (math.pow(2, self.cycles) - 1)

    def at(self, t: float) -> float:
        """(1 − cos(2π·log₂(1 + (2ᶜ − 1)·t)))/2 with c cycles."""
        return (1 - math.cos(2 * math.pi * math.log2(1 + (2**self.cycles - 1) * t))) / 2


class OneCycle(Schedule):
    """Half a cosine up from ``start`` of the optimizer's lr to lr, and one down to ``final`` (Smith & Topin, 2018)."""

    stretches = True

    name: Literal["one_cycle"]
    warmup: Annotated[
        int | float,
        count_or_fraction(most=MAX_STEPS),
        Field(description="Steps, or a fraction of the run, to rise in."),
    ] = 0.3
    start: float = Field(0.04, gt=0, le=1, description="The factor of the first step.")
    final: Final = 4e-6

    def factor_at(self, step: int, run: RunLength) -> float:
        """As torch's OneCycleLR, whose peak lies a step before ``warmup`` of the run, and whose last step has final."""
        warmup = self.warmup if isinstance(self.warmup, int) else self.warmup * run.steps
        peak, last = max(0.0, warmup - 1), max(1, run.steps - 1)
        if step <= peak:
            return _half_cosine(self.start, 1.0, step / peak if peak else 1.0)
        return _half_cosine(1.0, self.final, min(1.0, (step - peak) / (last - peak)))


class Exponential(Schedule):
    """lr is multiplied by ``gamma`` in every epoch, a little in each step."""

    name: Literal["exponential"]
    gamma: Gamma = Field(0.95, description="The factor of an epoch.")

    def after_warmup(self, step: int, warmup: int, run: RunLength) -> float:  # noqa: ARG002
        """gamma^(step/steps per epoch)."""
        return math.pow(self.gamma, step / run.per_epoch)


class Step(Schedule):
    """lr is multiplied by ``gamma`` every ``step_size`` epochs."""

    name: Literal["step"]
    step_size: int = Field(10, ge=1, le=MAX_EPOCHS, description="Epochs between two drops.")
    gamma: Gamma = Field(0.1, description="The factor of a drop.")

    def after_warmup(self, step: int, warmup: int, run: RunLength) -> float:  # noqa: ARG002
        """gamma^⌊epoch/step_size⌋."""
        return math.pow(self.gamma, step // run.per_epoch // self.step_size)


class MultiStep(Schedule):
    """lr is multiplied by ``gamma`` after each of the ``milestones``."""

    name: Literal["multi_step"]
    milestones: list[Annotated[int, Field(ge=1, le=MAX_EPOCHS)]] = Field(
        min_length=1, max_length=1000, description="Epochs after which lr drops."
    )
    gamma: Gamma = Field(0.1, description="The factor of a drop.")

    def after_warmup(self, step: int, warmup: int, run: RunLength) -> float:  # noqa: ARG002
        """gamma to the number of milestones that have been reached."""
        return math.pow(self.gamma, bisect_right(sorted(self.milestones), step // run.per_epoch))


class InverseSqrt(Schedule):
    """lr falls with the square root of the step, after a warm-up as a rule (Vaswani et al., 2017)."""

    name: Literal["inverse_sqrt"]

    def after_warmup(self, step: int, warmup: int, run: RunLength) -> float:  # noqa: ARG002
        """√(w/(step + 1)) after a warm-up of w steps; without one as after one of a single step."""
        return math.sqrt(max(1, warmup) / (step + 1))


class Plateau(Schedule):
    """lr is multiplied by ``factor`` when a metric has not got better for a while (as torch's ReduceLROnPlateau)."""

    name: Literal["plateau"]
    metric: str = Field("validation_loss", description="A figure of metrics.jsonl, such as validation_accuracy.")
    factor: float = Field(0.1, ge=0, lt=1, description="The factor of a drop.")
    patience: int = Field(10, ge=0, le=MAX_EPOCHS, description="Epochs without a better value before lr drops.")
    threshold: float = Field(1e-4, ge=0, le=1e30, description="A better value is better by more than this.")
    threshold_mode: Literal["rel", "abs"] = Field("rel", description="rel: threshold is a part of the best value.")
    cooldown: int = Field(0, ge=0, le=MAX_EPOCHS, description="Epochs after a drop that do not count as patience.")
    min: float = Field(0.0, ge=0, le=1, description="The lowest factor, as a part of the optimizer's lr.")

    def at(self, t: float) -> float:  # noqa: ARG002
        """1; what the figures have made of it is in Drops."""
        return 1.0

    def first_epoch(self, run: RunLength) -> int:
        """The first epoch that counts: one that the warm-up ends in or with."""
        return max(1, -(-self.warmup_steps(run) // max(1, run.per_epoch)))


@dataclass
class Drops:
    """Where a plateau stands after the epochs that it was given: a pure function of their figures.

    ``factor`` multiplies the learning rate of the epochs that follow.
    """

    section: Plateau
    first: int = 1
    factor: float = 1.0
    best: float | None = None
    epochs: int = 0  # without a better value
    cooling: int = 0

    def take(self, epoch: int, value: float | None) -> None:
        """An epoch is over. Those before ``first``, of the warm-up or before training, do not count."""
        if epoch < self.first:
            return
        one = self.section
        self.epochs += 1
        if is_better(one.metric, value, self.best, by=one.threshold, relative=one.threshold_mode == "rel"):
            self.best, self.epochs = value, 0
        if self.cooling:
            self.cooling, self.epochs = self.cooling - 1, 0
        if self.epochs > one.patience:
            self.factor = min(self.factor, max(self.factor * one.factor, one.min))
            self.cooling, self.epochs = one.cooldown, 0


def _half_cosine(begin: float, end: float, t: float) -> float:
    """From begin at t = 0 to end at t = 1."""
    return end + (begin - end) / 2 * (1 + math.cos(math.pi * t))


ScheduleSpec = Annotated[
    Constant | Linear | Cosine | CosLog | OneCycle | Exponential | Step | MultiStep | InverseSqrt | Plateau,
    Field(discriminator="name"),
    ShortName(),
]
