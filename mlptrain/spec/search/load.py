"""From a search's file to a checked search or to every fault at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlptrain.errors import Fault, SpecError
from mlptrain.sources.facts import DataFacts
from mlptrain.spec.comparison.rules import (
    changes_loss,
    executor_warnings,
    kept_by_loss,
    metric_exists,
    metric_is_recorded,
    split_and_key,
)
from mlptrain.spec.comparison.sections import ComparedMetric
from mlptrain.spec.comparison.sections import ScoringSpec as AnySplit
from mlptrain.spec.constructors import inspect_code
from mlptrain.spec.data import DataSpec
from mlptrain.spec.executor import RayExecutor
from mlptrain.spec.experiment import EvaluationSpec
from mlptrain.spec.kinds import SEARCH
from mlptrain.spec.loss import LossSpec
from mlptrain.spec.mapping import Config, Overrides
from mlptrain.spec.reader import Document
from mlptrain.spec.rules.registry import Finding, Rules
from mlptrain.spec.search.sections import (
    ADAPTIVE,
    MAX_TRIALS,
    START_UP,
    Choice,
    Choices,
    HalvingSpec,
    Method,
    Range,
    ScoringSpec,
    SearchSpec,
    learning_from,
    rungs,
)
from mlptrain.spec.search.space import read_space
from mlptrain.spec.study import (
    NO_OPTIMIZER,
    OF_THE_BASE,
    LoadedStudy,
    StudyReader,
    explicit_seeds,
    holds,
    measuring,
    metric_on,
    read_study,
    report_of,
)
from mlptrain.spec.which import is_search, meant_as, misspelt, refuse_other

TRIALS = 50

LoadedSearch = LoadedStudy[SearchSpec]

_RULES = Rules()


def load_search(config: Config, overrides: Overrides = ()) -> LoadedSearch:
    """Read, override (``"trials=20"``, ``"base.training.epochs=3"``) and check a search.

    ``config`` and ``overrides`` are as in ``load_spec``. The base's path starts from the file's folder, of a mapping
    from the current one. The ``search.yaml`` in a search's folder is one too. Raises SpecError with every fault.
    """
    document, folder = read_study(config, SEARCH)
    refuse_other(document, "search")
    if (wrong := misspelt(document, "search")) is not None:
        raise SpecError([document.fault(wrong[:1], meant_as(wrong[1]), key=True)])
    if "space" not in document.value:
        example = "space: {optimizer.lr: {log_uniform: [0.0001, 0.1]}}"
        message = f"is not a search: it has no space; e.g. {example} beside base: experiment.yaml"
        if {"data", "model"} & document.value.keys() and "base" not in document.value:
            message = (
                f"is an experiment, not a search: train it with `mlptrain train {document.source}`, or name it as the "
                f"base of a search, {{base: {Path(document.source).name}, {example}}}"
            )
        raise SpecError([Fault(document.source, None, None, "", message)])
    of_the_base, or_else = (*OF_THE_BASE, "optimizer"), ", or with its ranges into space"
    reader = StudyReader(
        document, folder=folder, overrides=overrides, model=SearchSpec, of_the_base=of_the_base, or_else=or_else
    )
    base = reader.read_base(keep_optimizer=True)
    _inspect_optimizers(document)
    space, faults, doubts = read_space(document, base)
    reader.faults += faults
    document.value["space"] = space or {"none": Choices([0, 1])}
    spec = _written_out(*reader.checked(SearchSpec, _RULES, {"space": space}))
    warnings = [document.fault(path, message) for path, message in _warnings(spec, document.value.keys())]
    return reader.loaded(spec, [*doubts, *warnings], seeds="seed, which stands beside base, and scoring.seeds")


@contextmanager
def located(config: Config | SearchSpec) -> Iterator[None]:
    """A fault of the space as a whole that shows later than on loading, at its place in the file."""
    try:
        yield
    except SpecError as error:
        if isinstance(config, SearchSpec):
            raise
        document, _ = read_study(config, SEARCH)
        faults = [
            fault if fault.line is not None else document.fault(("space",), fault.message, key=True)
            for fault in error.faults
        ]
        raise SpecError(faults) from None


def check_search(config: Config, overrides: Overrides = ()) -> tuple[dict[str, Any], tuple[Fault, ...]] | None:
    """What `mlptrain check` prints about a search's file, and its warnings; None for another file.

    Raises SpecError as ``load_search``.
    """
    if not holds(config, is_search):
        return None
    loaded = load_search(config, overrides)
    spec = loaded.spec
    own = {
        "space": {key: choice.plain() for key, choice in spec.space.items()},
        "method": spec.method,
        "trials": spec.budget,
        "prune": "none" if spec.prune is None else spec.prune.name,
    }
    return report_of(config, loaded, own), loaded.warnings


def _inspect_optimizers(document: Document) -> None:
    """Check the classes that the space names by their import path; one that has faults is not looked at further."""
    space = document.value["space"]
    optimizers = space.get("optimizer") if isinstance(space, dict) else None
    if not isinstance(optimizers, list):
        return
    space["optimizer"] = numbered = dict(enumerate(optimizers))
    for index in numbered:
        different = {"name": NO_OPTIMIZER, "lr": 1e-3 * (1 + index)}
        inspect_code(document, ("space", "optimizer", index), stand_in=different)
    space["optimizer"] = list(numbered.values())


def _written_out(spec: SearchSpec, facts: DataFacts) -> SearchSpec:
    """The metric with its goal, the number of trials, counts of seeds as seeds; a base that measures the metric."""
    metric = metric_on("validation", spec.metric, spec.base, facts)
    seeds = explicit_seeds(spec.scoring.seeds, start=0, without=[spec.seed])
    base = measuring(spec.base, metric.key)
    update = {
        "metric": metric,
        "trials": (spec.method == "grid" and size_of(spec.space)) or spec.trials or TRIALS,
        "scoring": ScoringSpec(seeds=seeds),
        # Test rows of the search's own seed for all: those of another would be rows that trials have trained on.
        "base": base.model_copy(update={"data": base.data.drawn_by(spec.seed)}),
    }
    return spec.model_copy(update=update)


def size_of(space: Mapping[str, Choice]) -> int | None:
    """How many settings a space has; None where a range of it has any number of values."""
    size = 1
    for choice in space.values():
        if isinstance(choice, Range) and not choice.is_whole:
            return None
        size *= len(choice.values) if isinstance(choice, Choices) else int(choice.high - choice.low) + 1
    return size


@_RULES.rule
def _judged_on_validation(
    data: DataSpec, evaluation: EvaluationSpec, metric: ComparedMetric | None
) -> Iterator[Finding]:
    """Values are chosen by validation data, never by the test set."""
    if metric is not None and split_and_key(metric.name)[0] == "test":
        key = split_and_key(metric.name)[1]
        message = f"would choose by test rows, which are read for the chosen setting alone; use validation_{key}"
        yield ("metric", "name"), message
    elif not data.has_validation:
        yield ("base",), "a search chooses by validation rows, but its data.validation is 0; set that, e.g. 0.1"
    elif (split := evaluation.resolved(data).split) != "validation":
        yield ("base",), f"a search chooses by validation rows, but its evaluation.split is {split}; set validation"


@_RULES.rule
def _metric_known(
    data: DataSpec, facts: DataFacts, evaluation: EvaluationSpec, loss: LossSpec, metric: ComparedMetric | None
) -> Iterator[Finding]:
    """Runs record the figure, and better is the way that it is."""
    if metric is None or split_and_key(metric.name)[0] != "test":
        yield from metric_is_recorded(data, facts, evaluation, loss, metric, AnySplit())


_RULES.rule(metric_exists)


@_RULES.rule
def _grid_fits(space: Mapping[str, Choice], method: Method, trials: int | None) -> Iterator[Finding]:
    """A grid has values to choose from, not too many, and is tried as a whole."""
    if method != "grid":
        return
    ranges = [key for key, choice in space.items() if isinstance(choice, Range)]
    for key in ranges:
        message = "is a range, but a grid needs values: a list, or {log_grid: [low, high, points]}; or another method"
        yield ("space", key), message
    if ranges:
        return
    size = size_of(space) or 0
    if size > MAX_TRIALS:
        message = f"makes a grid of {size:,} settings; the limit is {MAX_TRIALS:,}; take method: random or tpe"
        yield ("space",), message
    elif trials is not None and trials < size:
        message = f"are {trials:,}, but the grid has {size:,} settings; leave trials out, or take method: random"
        yield ("trials",), message


@_RULES.rule
def _halving_has_rungs(
    prune: HalvingSpec | None, training: Any, evaluation: EvaluationSpec, data: DataSpec
) -> Iterator[Finding]:
    """A pruner goes by a figure that is measured after epochs before the last."""
    if prune is None or not data.has_validation or evaluation.resolved(data).split != "validation":
        return  # reported as such
    if not rungs(prune, epochs=training.epochs):
        yield (
            ("prune",),
            f"halving compares trials after a part of their epochs, but the base trains {training.epochs} with first "
            f"{prune.first} and eta {prune.eta}; raise base.training.epochs to at least {prune.first * prune.eta}, or "
            "take prune: none",
        )


@_RULES.rule
def _seeds_apart(seed: int, scoring: ScoringSpec) -> Iterator[Finding]:
    """The seed that values were chosen by would score too well."""
    if isinstance(scoring.seeds, list) and seed in scoring.seeds:
        yield ("scoring", "seeds"), f"{seed} is the search's own seed, and would score what it chose; take another"


@_RULES.rule
def _losses_stay(space: Mapping[str, Choice], metric: ComparedMetric | None, facts: DataFacts) -> Iterator[Finding]:
    """Values of different losses are different quantities."""
    if metric is None or split_and_key(metric.name)[1] not in ("loss", "objective"):
        return
    for key in space:
        if changes_loss(key):
            others = "rmse" if facts.is_regression else "accuracy"
            message = f"changes what the metric measures, so that trials could not be compared; use metric: {others}"
            yield ("space", key), message


def _warnings(spec: SearchSpec, named: Set[str]) -> Iterator[Finding]:
    """What takes something from a search without being wrong; ``named`` are the keys that its file has."""
    size = size_of(spec.space)
    if size is not None and size < spec.budget:
        if "trials" in named:
            message = f"are {spec.budget:,}, but the space has {size:,} settings; repeated ones are trained once"
            yield ("trials",), message
        else:
            message = f"has {size:,} settings, fewer than the {spec.budget:,} trials by default; set trials: {size}"
            yield ("space",), f"{message}, or method: grid, which trains each once"
    elif spec.method in ADAPTIVE and spec.budget <= (chance := learning_from(spec)):
        whole = " trained to the end" if spec.method == "gp" and spec.prune is not None else ""
        message = (
            f"{spec.budget:,} trials are all drawn by chance: {spec.method} learns from {START_UP} known ones{whole}, "
            f"and {spec.at_once:,} are drawn at once; take more than {chance:,} trials, a smaller batch, or "
            "method: random"
        )
        yield (next((key for key in ("trials", "method", "batch") if key in named), "prune"),), message
    if spec.prune is not None and spec.together <= spec.prune.eta:
        message = f"is {spec.together}, so halving by {spec.prune.eta} has one rung at most; take more, e.g. 16"
        yield ("together",), message
    if "metric" in named:
        yield from kept_by_loss(spec.judged_by, spec.base, spec.space)
    yield from executor_warnings(spec.executor, spec.base.training)
    at_once = min(spec.at_once if spec.method in ADAPTIVE else spec.budget, spec.budget)
    if isinstance(spec.executor, RayExecutor) and at_once <= spec.together:
        message = (
            f"keeps one worker busy at a time: {at_once} trials are drawn at once, and up to {spec.together} train "
            "together on one; for four workers take e.g. batch: 32 with together: 8"
        )
        yield ("executor",), message
