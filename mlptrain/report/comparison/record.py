"""What ``summary.json`` and ``timings.json`` of a comparison hold, checked, as the tables and pictures take it.

The files lie in the open: every figure is within its range, so that whatever was edited can be drawn or is refused.

Accuracies, scores and differences are fractions here; percentages and percentage points are made where they are shown.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, TypeAdapter, ValidationError

from mlptrain.report.comparison.checks import fault_in
from mlptrain.spec.wording import plain_message

Fraction = Annotated[float, Field(strict=True, ge=0, le=1)]
Difference = Annotated[float, Field(strict=True, ge=-1, le=1)]
Figure = Annotated[float, Field(strict=True, ge=-1e39, le=1e39)]  # a loss is a mean of float32 numbers
Seconds = Annotated[float, Field(strict=True, ge=0, le=1e9)]
Count = Annotated[int, Field(strict=True, ge=0, lt=2**63)]
Positive = Annotated[int, Field(strict=True, ge=1, lt=2**63)]
Epoch = Annotated[int, Field(strict=True, ge=1, le=10_000_000)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
CurveName = Annotated[str, StringConstraints(pattern="^(train|validation|test)_(loss|accuracy)$")]
Value = bool | int | float | str | list[float] | None  # of a setting

Status = Literal["completed", "did not learn", "diverged", "failed"]
Verdict = Literal["better", "worse", "tie", "not decided", "no verdict"]

GOOD_WITHIN = 0.01  # of the best median accuracy: what still counts as a good learning rate

_MIRRORED: dict[Verdict, Verdict] = {"better": "worse", "worse": "better"}


@dataclass(frozen=True)
class Trial:
    """One scored trial. ``score`` enters the mean; of a trial that did not last it is the majority class's share.

    ``epoch`` is that of the kept weights or, with ``step``, where it diverged; ``message`` says why it failed.
    """

    seed: Count
    status: Status
    score: Fraction
    accuracy: Fraction | None
    loss: Figure | None
    epoch: Count | None
    step: Count | None = None
    message: str | None = None


@dataclass(frozen=True)
class Accuracy:
    """The mean over the seeds with its 95 % interval, whose bounds are None for one seed, and the median."""

    mean: Fraction
    low: Fraction | None
    high: Fraction | None
    median: Fraction


@dataclass(frozen=True)
class TimeToTarget:
    """Epochs to the target: the median (None where the median trial missed it) and each trial's (None: a miss)."""

    median: Figure | None
    reached: Count
    n: Count
    trials: list[Epoch | None]


@dataclass(frozen=True)
class Curve:
    """Mean, lowest and highest value over the seeds, epoch by epoch."""

    mean: list[Figure]
    low: list[Figure]
    high: list[Figure]


@dataclass(frozen=True)
class Tried:
    """A setting of the grid: its tuned values, and the validation accuracy by tuning seed (None: it did not last)."""

    setting: dict[str, Value]
    accuracies: list[Fraction | None]

    @property
    def rate(self) -> float | None:
        """The learning rate, where it was tuned."""
        return _rate(self.setting) if "lr" in self.setting else None

    @property
    def median(self) -> float:
        """Over the tuning seeds; a trial that did not last is worse than any other, and ``-inf`` if the median one."""
        return statistics.median(-math.inf if value is None else value for value in self.accuracies)


@dataclass(frozen=True)
class GoodRange:
    """The learning rates around the chosen one whose median accuracy lies within ``GOOD_WITHIN`` of its own.

    Between two tried values the median is taken on the straight line between theirs, over the logarithm of the rate;
    towards a value that did not last there is no line, and the range ends. ``ends`` says whether it reaches the lowest
    and the highest tried value, so that it may be wider.
    """

    low: float
    high: float
    ends: tuple[bool, bool]

    @property
    def decades(self) -> float:
        """The width: powers of ten between the lowest and the highest."""
        return math.log10(self.high) - math.log10(self.low)


@dataclass(frozen=True)
class Optimizer:
    """One optimizer of the comparison; ``curves`` has no entry where no trial lasted."""

    setting: dict[str, Value]
    grids: dict[str, list[Value]]
    tuning_trials: Count
    extensions: Count
    under_tuned: bool
    tuning: list[Tried]
    trials: list[Trial]
    accuracy: Accuracy
    completed: Count
    epochs_to_target: TimeToTarget | None
    curves: dict[CurveName, Curve]
    failed_tuning_trials: Count = 0

    @property
    def lasts(self) -> bool:
        """Whether any trial came to its last epoch."""
        return any(trial.status in ("completed", "did not learn") for trial in self.trials)

    @property
    def rate(self) -> float:
        """The chosen learning rate."""
        return _rate(self.setting)

    @property
    def medians_by_rate(self) -> dict[float, float]:
        """The median validation accuracy at each tried learning rate, ascending; with other tuned values the best one.

        Empty where the learning rate was not tuned.
        """
        best: dict[float, float] = {}
        for tried in self.tuning:
            if (rate := tried.rate) is not None:
                best[rate] = max(best.get(rate, -math.inf), tried.median)
        return dict(sorted(best.items())) if len(best) > 1 else {}

    @property
    def good_range(self) -> GoodRange | None:
        """The good range of the learning rate; None where it was not tuned, or where nothing tried lasted."""
        medians = self.medians_by_rate
        rates, chosen = list(medians), self.rate
        if chosen not in medians or math.isinf(medians[chosen]):
            return None
        start = rates.index(chosen)
        bar = medians[chosen] - GOOD_WITHIN
        below = [(rate, medians[rate]) for rate in reversed(rates[: start + 1])]
        above = [(rate, medians[rate]) for rate in rates[start:]]
        (low, low_end), (high, high_end) = (_last_above(points, bar) for points in (below, above))
        return GoodRange(low, high, (low_end, high_end))


@dataclass(frozen=True)
class Pair:
    """Optimizer ``a`` against ``b``: the mean of a's score minus b's, its interval, p-values; the verdict on ``a``."""

    a: str
    b: str
    mean: Difference
    low: Difference | None
    high: Difference | None
    p: Fraction
    p_holm: Fraction
    verdict: Verdict

    def mirrored(self) -> Pair:
        """The same told of ``b`` against ``a``."""
        low, high = (None if bound is None else -bound for bound in (self.high, self.low))
        verdict = _MIRRORED.get(self.verdict, self.verdict)
        return replace(self, a=self.b, b=self.a, mean=-self.mean, low=low, high=high, verdict=verdict)


@dataclass(frozen=True)
class Target:
    """The value whose first epoch is the time to target."""

    metric: Literal["validation_accuracy", "validation_loss", "test_accuracy", "test_loss"]
    value: Annotated[float, Field(strict=True, gt=0, le=1e30)]


@dataclass(frozen=True)
class Summary:
    """A finished comparison. ``optimizers`` stand in the order of the plan, ``ranking`` names them best first.

    ``majority_bar`` is the lowest accuracy that is significantly above the majority class's share, where it is known.
    """

    name: Name
    plan: Name
    split: Literal["validation", "test"]
    seeds: Annotated[list[Count], Field(min_length=1)]
    tuning_seeds: list[Count]
    epochs: Epoch
    steps_per_epoch: Positive
    target: Target | None
    tie: Fraction
    majority: Fraction
    ranking: list[str]
    optimizers: Annotated[dict[Name, Optimizer], Field(min_length=2)]
    pairs: list[Pair]
    inclusion: list[Pair]
    seeds_for_verdict: Positive
    sentence: str
    majority_bar: Fraction | None = None

    @property
    def ranked(self) -> Iterator[tuple[str, Optimizer]]:
        """The optimizers by their names, best mean accuracy first."""
        return ((name, self.optimizers[name]) for name in self.ranking)

    @property
    def ranked_pairs(self) -> list[Pair]:
        """Every pair once, told of the better ranked one, in the order of the ranking."""
        place = {name: index for index, name in enumerate(self.ranking)}
        told = [pair if place[pair.a] < place[pair.b] else pair.mirrored() for pair in self.pairs]
        return sorted(told, key=lambda pair: (place[pair.a], place[pair.b]))

    @property
    def under_tuned(self) -> list[str]:
        """The optimizers whose best value lies on the edge of what was tried."""
        return [name for name, entry in self.ranked if entry.under_tuned]

    def number(self, name: str) -> int:
        """Which series an optimizer is: its colour and marker in every picture."""
        return list(self.optimizers).index(name)


@dataclass(frozen=True)
class Timings:
    """Seconds per epoch of each chosen setting trained alone: the median of the rounds, and every round's."""

    seconds_per_epoch: dict[str, Seconds | None] = field(default_factory=dict)
    samples: dict[str, list[Seconds]] = field(default_factory=dict)


def _last_above(points: Sequence[tuple[float, float]], bar: float) -> tuple[float, bool]:
    """How far the line through ``points`` (rate, median) stays above the bar, and whether it does so to its end.

    The first point lies above it.
    """
    for (rate, median), (next_rate, next_median) in pairwise(points):
        if next_median < bar:
            share = 0.0 if math.isinf(next_median) else (median - bar) / (median - next_median)
            return math.exp((1 - share) * math.log(rate) + share * math.log(next_rate)), False
    return points[-1][0], True


def read_summary(values: Mapping[str, Any]) -> Summary:
    """The content of ``summary.json``. Raises ValueError that names the first key that is missing or wrong."""
    summary: Summary = _checked(Summary, values)
    if fault := fault_in(summary):
        raise ValueError(fault)
    return summary


def read_timings(values: Mapping[str, Any]) -> Timings:
    """The content of ``timings.json``. Raises ValueError that names the first key that is missing or wrong."""
    timings: Timings = _checked(Timings, values)
    return timings


def _rate(setting: Mapping[str, Value]) -> float:
    """The learning rate of a checked setting."""
    return float(setting["lr"])  # type: ignore[arg-type]


def _checked(kind: type[Any], values: Mapping[str, Any]) -> Any:
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place: Sequence[str] = [str(part) for part in first["loc"]]
        raise ValueError(f"{'.'.join(place) or 'the content'}: {plain_message(first)}") from None
