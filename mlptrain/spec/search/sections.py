"""A search: one base experiment, the space of what may be changed in it, and how that is searched.

A trial is (base, one value for every key of the space, seed). Trials train with the search's own seed; the chosen
setting is scored on other seeds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal, cast

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from mlptrain.spec.base import Section, ShortName
from mlptrain.spec.comparison.sections import ComparedMetric, Seed, Seeds, one_metric
from mlptrain.spec.dump import plain
from mlptrain.spec.executor import ExecutorSpec, LocalExecutor
from mlptrain.spec.experiment import NAME_PATTERN, ExperimentSpec

MAX_TRIALS = 10_000
MAX_TOGETHER = 64

RangeName = Literal["uniform", "log_uniform", "integers", "log_integers"]
Method = Literal["random", "halton", "tpe", "gp", "grid"]
ADAPTIVE = ("tpe", "gp")  # methods whose next trials depend on the outcomes of earlier ones
_AT_ONCE = {"tpe": 8, "gp": 4}
START_UP = 10  # trials that Optuna's adaptive samplers wait for, by default; gp counts those trained to the end alone


@dataclass(frozen=True)
class Range:
    """All values from ``low`` to ``high``: evenly, or evenly in the logarithm; floats or whole numbers."""

    name: RangeName
    low: float
    high: float

    @property
    def is_log(self) -> bool:
        """Whether values are drawn evenly in their logarithm."""
        return self.name.startswith("log")

    @property
    def is_whole(self) -> bool:
        """Whether values are whole numbers."""
        return self.name.endswith("integers")

    def place(self, value: float) -> float:
        """Where a value lies between low (0) and high (1), on the scale it is drawn on."""
        low, high, at = (math.log(x) if self.is_log else x for x in (self.low, self.high, value))
        return (at - low) / (high - low)

    def plain(self) -> dict[str, list[float]]:
        """As the YAML's mapping."""
        return {self.name: [self.low, self.high]}


@dataclass(frozen=True)
class Choices:
    """One of these values: numbers, words, lists or whole sections."""

    values: list[Any]

    def plain(self) -> list[Any]:
        """As the YAML's list."""
        return self.values


Choice = Range | Choices


class HalvingSpec(Section):
    """Successive halving: of the trials that train together the better part trains further, from its state."""

    name: Literal["halving"]
    eta: int = Field(3, ge=2, le=16, description="One in so many goes on at each rung.")
    first: int = Field(1, ge=1, le=1_000_000, description="Epochs before the first rung, at least.")


def _or_none(value: object) -> object:
    """The word none for no pruner."""
    if value == "none":
        return None
    if not isinstance(value, (dict, str, HalvingSpec)) or (isinstance(value, str) and value != "halving"):
        expected = "halving, none or a mapping such as {name: halving, eta: 3}"
        raise PydanticCustomError("expected", "must be {expected}", {"expected": expected, "words": "halving none"})
    return {"name": value} if isinstance(value, str) else value


class ScoringSpec(Section):
    """What the chosen setting is scored on."""

    seeds: Annotated[
        Seeds, Field(description="A count, or seeds without the search's own. A count starts at seed 0.")
    ] = 3


class SearchSpec(Section):
    """A YAML file of a search in full, with every default written out. ``base.seed`` is a placeholder."""

    name: str = Field(pattern=NAME_PATTERN, description="Names the search's folder. Default: the file's name.")
    base: ExperimentSpec = Field(description="What every trial trains: a path beside this file, or an experiment.")
    space: dict[str, Choice] = Field(
        description="Keys of the base with their ranges, {log_uniform: [1e-4, 0.1]}, or a list of values.",
        min_length=1,
    )
    metric: Annotated[ComparedMetric | None, BeforeValidator(one_metric), ShortName()] = Field(
        None, description="What trials are compared by, on validation rows. Default: the accuracy, or the RMSE."
    )
    method: Method = Field("tpe", description="How values are drawn.")
    trials: int | None = Field(
        None, ge=2, le=MAX_TRIALS, description="How many settings are tried. Default: 50; of a grid all."
    )
    prune: Annotated[HalvingSpec | None, BeforeValidator(_or_none)] = Field(
        None, description="none, or halving: weak trials end early."
    )
    batch: int | None = Field(
        None,
        ge=1,
        le=MAX_TRIALS,
        description="Trials that are drawn at once, before any of them is known. Default: 8 for tpe, 4 for gp; as "
        "many as train together for the others, and with halving.",
    )
    together: int = Field(
        16, ge=1, le=MAX_TOGETHER, description="Trials at most that train together, in one process or on one node."
    )
    seed: Seed = Field(100, description="Of the draws, and of the training of every trial.")
    scoring: ScoringSpec = Field(ScoringSpec(), description="How the chosen setting is scored.")
    executor: ExecutorSpec = Field(LocalExecutor(name="local"), description="Where trials run: local or ray.")

    @property
    def judged_by(self) -> ComparedMetric:
        """The metric, which load_search writes out."""
        assert self.metric is not None
        return self.metric

    @property
    def budget(self) -> int:
        """The number of trials, which load_search writes out."""
        assert self.trials is not None
        return self.trials

    @property
    def at_once(self) -> int:
        """How many trials are drawn at once."""
        if self.prune is not None:
            # Of fewer, halving would compare too few; for the START_UP trials of tpe it takes two rounds of 8, or one.
            return self.batch or self.together
        return self.batch or _AT_ONCE.get(self.method, self.together)

    @property
    def scoring_seeds(self) -> tuple[int, ...]:
        """Seeds of the chosen setting's trainings, which load_search writes out."""
        return tuple(cast(list[int], self.scoring.seeds))

    def to_plain(self) -> dict[str, Any]:
        """Every value, defaults included, as mappings, lists, numbers and text; loading it gives an equal one."""
        values = self.model_dump(exclude={"base", "space", "batch"}, exclude_none=True)
        space = {key: choice.plain() for key, choice in self.space.items()}
        return (
            {"name": values.pop("name"), "base": plain(self.base), "space": space}
            | {"prune": "none"}
            | values
            | {"batch": self.at_once}
        )


def learning_from(spec: SearchSpec) -> int:
    """How many trials an adaptive method draws by chance before the first one that depends on the others' outcomes."""
    known = drawn = 0
    while known < START_UP and drawn < MAX_TRIALS:
        drawn += spec.at_once
        known += spec.at_once if spec.method != "gp" else _trained_to_the_end(spec, spec.at_once)
    return drawn


def _trained_to_the_end(spec: SearchSpec, trials: int) -> int:
    """How many of the trials of a round are not pruned."""
    if spec.prune is None:
        return trials
    ends = len(rungs(spec.prune, epochs=spec.base.training.epochs))
    batches = [spec.together] * (trials // spec.together) + [trials % spec.together] * bool(trials % spec.together)
    return sum(max(1, size // spec.prune.eta**ends) for size in batches)


def rungs(spec: HalvingSpec, *, epochs: int) -> tuple[int, ...]:
    """After which epochs the weaker part ends: ``epochs`` divided by eta, once and more often, ascending."""
    found = []
    at = epochs // spec.eta
    while at >= spec.first:
        found.append(at)
        at //= spec.eta
    return tuple(reversed(found))
