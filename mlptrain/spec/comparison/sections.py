"""A comparison: one base experiment, what its arms change in it, their fixed values and grids, the protocol's choices.

A trial is (base, one setting of one arm, seed). Arms change any keys; ``optimizers`` is the short form of arms that
each have an optimizer of their own. Two more names stand for sgd there: ``momentum`` (momentum 0.9) and ``nesterov``
(momentum 0.9, nesterov true).
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Self, cast

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError, core_schema

from mlptrain.errors import SpecError
from mlptrain.keys import metric_of, split_of
from mlptrain.spec.base import MAX_NUMBER, Section, ShortName
from mlptrain.spec.comparison.changes import changed_spec, form_at, path_of
from mlptrain.spec.comparison.grids import Side, extended, is_ordered
from mlptrain.spec.constructors import accepts
from mlptrain.spec.dump import plain
from mlptrain.spec.executor import ExecutorSpec, LocalExecutor
from mlptrain.spec.experiment import NAME_PATTERN, ExperimentSpec
from mlptrain.spec.metrics import METRICS, higher_is_better, is_share
from mlptrain.spec.optimizer import OptimizerSpec
from mlptrain.spec.reader import KeyPath

MAX_SEEDS = 1000
_FIGURE = r"^[a-z0-9_]{1,80}$"
Seed = Annotated[int, Field(ge=0, lt=2**63)]


# Of one optimizer section; built on first use, since that takes milliseconds.
optimizer_adapter = TypeAdapter[OptimizerSpec](OptimizerSpec, config=ConfigDict(defer_build=True))


@dataclass(frozen=True)
class _CountOrList:
    """A count of seeds, or the seeds themselves; a fault inside the list keeps its index."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        seeds = handler.generate_schema(Annotated[list[Seed], Field(min_length=1, max_length=MAX_SEEDS)])
        as_it_is = core_schema.plain_serializer_function_ser_schema(lambda value: value)
        return core_schema.no_info_wrap_validator_function(self._check, seeds, serialization=as_it_is)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        seeds = handler(schema) | {"uniqueItems": True}
        return {"anyOf": [{"type": "integer", "minimum": 1, "maximum": MAX_SEEDS}, seeds]}

    @staticmethod
    def _check(value: object, seeds: core_schema.ValidatorFunctionWrapHandler) -> object:
        if isinstance(value, list):
            known = seeds(value)
            repeated: list[InitErrorDetails] = [
                {
                    "type": PydanticCustomError("at", f"seed {seed} is given twice; take another"),
                    "loc": (index,),
                    "input": seed,
                }
                for index, seed in enumerate(known)
                if seed in known[:index]
            ]
            if repeated:
                raise ValidationError.from_exception_data("seeds", repeated)
            return known
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_SEEDS:
            expected = f"a count from 1 to {MAX_SEEDS:,}, or a list of seeds such as [0, 1, 2]"
            raise PydanticCustomError("expected", "must be {expected}", {"expected": expected})
        return value


Seeds = Annotated[int | list[int], _CountOrList()]


class TuningSpec(Section):
    """How each optimizer's tuned values are chosen: every setting of its grid, median over the tuning seeds."""

    seeds: Annotated[
        Seeds, Field(description="A count, or seeds that are none of the scoring seeds. A count starts at seed 100.")
    ] = 3
    extensions: int = Field(
        2, ge=0, le=20, description="How often a best value on the edge of its grid extends the grid by the same ratio."
    )


def _or_none(value: object) -> object:
    """The word none for no tuning."""
    if value == "none":
        return None
    if not isinstance(value, (dict, TuningSpec)):
        expected = "a mapping such as {seeds: 3} or the word none"
        raise PydanticCustomError("expected", "must be {expected}", {"expected": expected})
    return value


class ScoringSpec(Section):
    """What the chosen settings are compared on."""

    seeds: Annotated[
        Seeds, Field(description="A count, or the seeds. A count starts at seed 0 and leaves out tuning seeds.")
    ] = 10
    split: Literal["test", "validation"] | None = Field(
        None, description="Read once per scored trial. Default: test where the base has test data, else validation."
    )


class TargetSpec(Section):
    """The value whose first epoch is the time to target."""

    metric: str = Field(
        pattern=_FIGURE,
        description="Loss, accuracy or another metric that runs of the base record, behind the split that is measured "
        "after every epoch: validation_accuracy; test_… only where the base's evaluation.split is test.",
    )
    value: float = Field(gt=0, le=1e30, description="At least this accuracy (a fraction), or at most this loss.")

    @property
    def split(self) -> str:
        """The split that the metric is measured on."""
        return split_of(self.metric)

    @property
    def key(self) -> str:
        """The metric without its split."""
        return metric_of(self.metric)

    @property
    def is_at_least(self) -> bool:
        """Whether higher is better, so that the value is a lower bound."""
        return higher_is_better(self.key)

    @model_validator(mode="after")
    def _accuracy_is_a_fraction(self) -> Self:
        if is_share(self.key) and self.is_at_least and self.value > 1:
            detail: dict[str, Any] = {"value": f"{self.value:g}", "hint": ""}
            if self.value <= 100:
                detail["hint"] = f"; write {self.value / 100:g} for {self.value:g} %"
            detail["name"] = "an accuracy" if self.key == "accuracy" else self.key
            message = "{name} is a fraction, so no trial reaches {value}; must be at most 1{hint}"
            raise PydanticCustomError("at:value", message, detail)
        return self


@dataclass(frozen=True)
class Candidate:
    """One optimizer of a comparison.

    ``fixed`` holds every value that is not tuned, defaults included, with torch's name of the optimizer first;
    ``grids`` the values of each tuned field, in the order of the schema's fields, numbers ascending.
    """

    fixed: dict[str, Any]
    grids: dict[str, list[Any]]

    def settings(self, grids: Mapping[str, Sequence[Any]] | None = None) -> list[OptimizerSpec]:
        """Every combination of the grids' values, the last field's values next to each other.

        ``grids`` replaces the values of the fields that it names.
        """
        chosen = {**self.grids, **(grids or {})}
        combinations = itertools.product(*chosen.values())
        validate = optimizer_adapter.validate_python
        return [validate({**self.fixed, **dict(zip(chosen, values, strict=True))}) for values in combinations]

    def accepts(self, field: str, value: float) -> bool:
        """Whether ``value`` lies in the field's range."""
        try:
            [setting, *_] = self.settings({field: [value]})
        except ValidationError:
            return False
        return accepts(setting)

    def next_value(self, field: str, values: Sequence[Any], side: Side) -> float | None:
        """What extends ``values`` of a tuned field beyond one edge, by the rule of ``extended``.

        None where nothing does: pairs have no order, 0 has no ratio, and the next value may lie outside the range.
        """
        value = None if isinstance(values[0], list) else extended(values, side)
        return value if value is not None and self.accepts(field, value) else None

    def plain(self) -> dict[str, Any]:
        """As the YAML's mapping, defaults included."""
        first = self.settings()[0].model_dump()
        return {"name": first.pop("name")} | {key: self.grids.get(key, value) for key, value in first.items()}


@dataclass(frozen=True)
class Arm:
    """What one arm of a study changes in ``base``, by key path.

    ``fixed`` holds the values that are not tuned, whole sections before what lies inside them; ``grids`` the values of
    every tuned key, numbers ascending.
    """

    base: ExperimentSpec = field(repr=False)
    fixed: dict[str, Any]
    grids: dict[str, list[Any]]

    def settings(self, grids: Mapping[str, Sequence[Any]] | None = None) -> list[dict[str, Any]]:
        """The changes of every combination of the grids' values, the last key's values next to each other.

        ``grids`` replaces the values of the keys that it names.
        """
        chosen = {**self.grids, **(grids or {})}
        return [
            {**self.fixed, **dict(zip(chosen, values, strict=True))} for values in itertools.product(*chosen.values())
        ]

    def accepts(self, field: str, value: float) -> bool:
        """Whether the key takes ``value``."""
        try:
            [changes, *_] = self.settings({field: [value]})
            return accepts(changed_spec(self.base, changes).optimizer)
        except (SpecError, ValidationError):
            return False

    def next_value(self, field: str, values: Sequence[Any], side: Side) -> float | None:
        """What extends ``values`` of a tuned key beyond one edge, as ``Candidate.next_value``; of whole numbers one."""
        value = extended(values, side) if is_ordered(values) else None
        if value is not None and isinstance(values[0], int):
            value = round(value)
        return value if value is not None and value not in values and self.accepts(field, value) else None

    def plain(self) -> dict[str, Any]:
        """As the YAML's mapping: what it changes, and the values that it tunes."""
        return {key: written(path_of(key), value) for key, value in self.fixed.items()} | self.grids


def written(path: KeyPath, value: Any) -> Any:
    """A fixed value as an arm writes it: a list in a list where the key takes numbers too, since a list is a grid."""
    if isinstance(value, dict):
        return {key: written((*path, key), inner) for key, inner in value.items()}
    return [value] if isinstance(value, list) and form_at(path) != "list" else value


class ComparedMetric(Section):
    """The figure that arms are tuned and compared by."""

    name: str = Field(
        pattern=_FIGURE,
        description="A figure of the kept weights such as test_accuracy or validation_rmse; without a split, as rmse, "
        "it is scored on test rows where there are some.",
    )
    goal: Literal["min", "max"] | None = Field(None, description="Which way is better; known, so it may be left out.")

    @property
    def key(self) -> str:
        """The metric without its split."""
        return metric_of(self.name)

    @property
    def split(self) -> Literal["validation", "test"]:
        """The split that is scored."""
        return "test" if split_of(self.name) == "test" else "validation"

    @property
    def higher_is_better(self) -> bool:
        """The goal, as load_comparison has written it out."""
        return self.goal == "max"


def one_metric(value: object) -> object:
    """The name of a metric, or a mapping of its name and goal, as a section takes it. Raises PydanticCustomError."""
    if value is None or isinstance(value, ComparedMetric):
        return value
    names: list[Any] = []
    given, value = value, value["name"] if isinstance(value, dict) and "name" in value else value
    if isinstance(value, list):
        names = value
    elif isinstance(value, dict) and not value.keys() & ComparedMetric.model_fields.keys():
        names = list(value)
    elif isinstance(value, str) and re.search(r"[,;+&]|\band\b", value):
        names = re.findall(r"\w+", re.sub(r"\band\b", " ", value))
    if names:
        first, *further = [str(name)[:80] for name in names]
        message = "must be one metric, which decides; write {first}"
        if further:
            message += ", and others into base.evaluation.metrics: they are recorded beside it"
        raise PydanticCustomError("at", message, {"first": first})
    if not isinstance(value, (str, dict)) or (isinstance(value, str) and not re.fullmatch(_FIGURE, value)):
        expected = "the name of a figure such as validation_loss, in small letters, digits and _"
        words = " ".join([*METRICS, "loss"])
        raise PydanticCustomError("expected", "must be {expected}", {"expected": expected, "words": words})
    return given


class ComparisonSpec(Section):
    """A YAML file of a comparison in full, with every default written out.

    It has either optimizers or arms. ``base.seed`` is a placeholder, and of optimizers ``base.optimizer`` too: each
    trial has its own.
    """

    name: str = Field(pattern=NAME_PATTERN, description="Names the comparison's folder. Default: the file's name.")
    base: ExperimentSpec = Field(
        description="What every optimizer trains: a path beside this file, or an experiment without its optimizer."
    )
    optimizers: dict[str, Candidate] = Field(
        {}, description="What is compared, under names of your own: fixed values and values to choose from."
    )
    arms: dict[str, Arm] = Field(
        {},
        description="What is compared, under names of your own: keys of the base and their values, a list of values to "
        "choose from, or {log_grid: [low, high, points]}.",
    )
    metric: Annotated[ComparedMetric | None, BeforeValidator(one_metric), ShortName()] = Field(
        None, description="What arms are compared by. Default: the accuracy, of a regression the RMSE."
    )
    tuning: Annotated[TuningSpec | None, BeforeValidator(_or_none)] = Field(
        None,
        description="How values are chosen, or none. Default: 3 seeds where an optimizer has values to choose from.",
    )
    scoring: ScoringSpec = Field(ScoringSpec(), description="Seeds and split of the figures that are compared.")
    target: TargetSpec | None = Field(None, description="What time to target is measured by. Default: it is not.")
    tie: float | None = Field(
        None,
        ge=0,
        le=MAX_NUMBER,
        description="Half the width of a tie, in the unit of the metric; a fraction of accuracies and the like. "
        "Default: 0.001 for fractions (0.1 percentage points), else 0.",
    )
    executor: ExecutorSpec = Field(LocalExecutor(name="local"), description="Where trials run: local or ray.")

    @property
    def compared(self) -> Mapping[str, Candidate | Arm]:
        """The arms of the comparison: its optimizers, or what changes other keys."""
        return self.arms or self.optimizers

    @property
    def judged_by(self) -> ComparedMetric:
        """The metric; of optimizers the accuracy on the scored split."""
        return self.metric or ComparedMetric(name=f"{self.scoring.split or 'test'}_accuracy", goal="max")

    @property
    def is_of_fractions(self) -> bool:
        """Whether the metric is a fraction, shown in per cent."""
        return is_share(self.judged_by.key)

    @property
    def tie_width(self) -> float:
        """Half the width of a tie, which load_comparison writes out."""
        return 0.0 if self.tie is None else self.tie

    @property
    def tuning_seeds(self) -> tuple[int, ...]:
        """Seeds that values are chosen by, which load_comparison writes out; empty without tuning."""
        return () if self.tuning is None else tuple(cast(list[int], self.tuning.seeds))

    @property
    def scoring_seeds(self) -> tuple[int, ...]:
        """Seeds that are compared; none of them is a tuning seed."""
        return tuple(cast(list[int], self.scoring.seeds))

    @property
    def budgets(self) -> dict[str, int]:
        """The number of settings of each arm before any extension; the protocol wants them equal."""
        return {name: math.prod(map(len, arm.grids.values())) for name, arm in self.compared.items()}

    @property
    def pairs(self) -> int:
        """Pairs of arms, each of which gets a verdict."""
        return math.comb(len(self.compared), 2)

    def to_plain(self) -> dict[str, Any]:
        """Every value, defaults included, as mappings, lists, numbers and text; loading it gives an equal one."""
        base = plain(self.base)
        values = self.model_dump(exclude={"base", "optimizers", "arms"}, exclude_none=True)
        arms = {name: arm.plain() for name, arm in self.compared.items()}
        if self.optimizers:
            del base["optimizer"]
        return {
            "name": values.pop("name"),
            "base": base,
            "optimizers" if self.optimizers else "arms": arms,
            **({"metric": values.pop("metric")} if self.metric is not None else {}),
            "tuning": values.pop("tuning", "none"),
        } | values


def seeds_for_verdict(pairs: int) -> int:
    """The fewest seeds with which a verdict over ``pairs`` pairs is possible.

    The two-sided exact sign-flip test over n seeds cannot go below 2/2ⁿ, which Holm's correction multiplies by
    ``pairs`` for the smallest p; a verdict needs at most 0.05.
    """
    return (40 * pairs - 1).bit_length()  # the smallest n with 2ⁿ ≥ pairs · 2 / 0.05
