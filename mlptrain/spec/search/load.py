"""From a search's file to a checked search or to every fault at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlptrain.errors import Fault, RunFolderError, SpecError
from mlptrain.sources.facts import DataFacts
from mlptrain.spec.comparison.arms import Base
from mlptrain.spec.comparison.load import (
    NO_OPTIMIZER,
    OF_THE_BASE,
    base_document_of,
    explicit_seeds,
    is_search,
    measuring,
    read_base,
    stand_in,
)
from mlptrain.spec.comparison.rules import executor_warnings, metric_is_recorded, recorded_keys, split_and_key
from mlptrain.spec.comparison.sections import ComparedMetric, RayExecutor
from mlptrain.spec.data import DataSpec
from mlptrain.spec.experiment import EvaluationSpec, Experiment
from mlptrain.spec.foreign import inspect_code
from mlptrain.spec.load import check, folder_name, in_order
from mlptrain.spec.loss import LossSpec
from mlptrain.spec.mapping import Config, Overrides, assignments, document_of
from mlptrain.spec.metrics import higher_is_better
from mlptrain.spec.overrides import apply_override
from mlptrain.spec.reader import Document, read_file
from mlptrain.spec.rules import Finding, warnings_about
from mlptrain.spec.search.sections import (
    ADAPTIVE,
    FORMAT,
    MAX_TRIALS,
    PLAN_KEYS,
    Choice,
    Choices,
    HalvingSpec,
    Method,
    Range,
    ScoringSpec,
    SearchSpec,
    rungs,
)
from mlptrain.spec.search.space import read_space
from mlptrain.spec.wording import described
from mlptrain.system.paths import user_path

TRIALS = 50


@dataclass(frozen=True)
class LoadedSearch:
    """A checked search, its base with the facts of the data, and what is odd about it without being wrong."""

    spec: SearchSpec
    base: Experiment
    warnings: tuple[Fault, ...]


def load_search(config: Config, overrides: Overrides = ()) -> LoadedSearch:
    """Read, override (``"trials=20"``, ``"base.training.epochs=3"``) and check a search.

    ``config`` and ``overrides`` are as in ``load_spec``. The base's path starts from the file's folder, of a mapping
    from the current one. The ``search.yaml`` in a search's folder is one too. Raises SpecError with every fault.
    """
    if isinstance(config, Mapping):
        return _load(document_of(config), folder=Path(), default_name="search", overrides=overrides)
    path = user_path(config)
    document = read_file(path)[1]
    if all(key in document.value for key in PLAN_KEYS):
        check_format(document.value, path)
        for key in PLAN_KEYS:
            del document.value[key]
    if not is_search(document):
        message = (
            "is not a search: it has no space; e.g. space: {optimizer.lr: {log_uniform: [0.0001, 0.1]}} beside "
            "base: experiment.yaml"
        )
        raise SpecError([Fault(str(path), None, None, "", message)])
    return _load(document, folder=path.parent, default_name=path.stem, overrides=overrides)


def check_format(plan: Mapping[str, Any], path: Path) -> None:
    """Raises RunFolderError where the plan at ``path`` is of a search with another layout of its files."""
    if (written := plan.get("format")) != FORMAT:
        raise RunFolderError(
            f"{path} belongs to a search of another version of mlptrain (format {described(written)}, expected "
            f"{FORMAT}); use that version, or start the search over in a new folder"
        )


def check_search(config: Config, overrides: Overrides = ()) -> tuple[dict[str, Any], tuple[Fault, ...]] | None:
    """What `mlptrain check` prints about a search's file, and its warnings; None for another file.

    Raises SpecError as ``load_search``.
    """
    if isinstance(config, Mapping) or not user_path(config).is_file() or not is_search(read_file(user_path(config))[1]):
        return None
    loaded = load_search(config, overrides)
    spec = loaded.spec
    report = {
        "config": str(config),
        "name": spec.name,
        "space": {key: choice.plain() for key, choice in spec.space.items()},
        "method": spec.method,
        "trials": spec.budget,
        "prune": "none" if spec.prune is None else spec.prune.name,
        "metric": spec.judged_by.name,
        "goal": spec.judged_by.goal,
        "scoring_seeds": list(spec.scoring_seeds),
        "warnings": [str(warning) for warning in loaded.warnings],
    }
    return report, loaded.warnings


def _load(document: Document, *, folder: Path, default_name: str, overrides: Overrides) -> LoadedSearch:
    of_base = []
    for override in assignments(overrides):
        if isinstance(document.value.get("base"), str) and override.strip().startswith("base."):
            of_base.append(override)  # what they override stands in another file
        else:
            apply_override(document, override, SearchSpec)
    document.value.setdefault("name", folder_name(default_name))
    for section in [key for key in (*OF_THE_BASE, "optimizer") if key in document.value]:
        message = f"unknown key here; it belongs to base.{section}, or with its ranges into space"
        document.faults.append(document.fault((section,), message, key=True))
        del document.value[section]
    values = document.value
    base_document = base_document_of(document, folder)
    base, base_sections, faults = read_base(base_document, of_base, document, keep_optimizer=True)
    facts = base_sections.get("facts")
    if "base" in values:
        values["base"] = base or stand_in()  # whose faults are reported already
    whole: Base | None = None
    if base is not None and base_document is not None and isinstance(facts, DataFacts):
        whole = Base(base_document, base, facts)
    _inspect_optimizers(document)
    space, more = read_space(document, whole)
    faults += more
    values["space"] = space or {"none": Choices([0, 1])}
    spec, _, more = check(document, SearchSpec, _RULES, known=base_sections | {"space": space})
    faults += more
    if spec is None or base is None or base_document is None or faults or not isinstance(facts, DataFacts):
        raise SpecError(in_order(faults, document.source))
    spec = _written_out(spec, facts)
    experiment = Experiment(spec.base, facts)
    warnings = [base_document.fault(path, message) for path, message in warnings_about(experiment)]
    warnings += [document.fault(path, message) for path, message in _warnings(spec)]
    return LoadedSearch(spec, experiment, tuple(warnings))


def _inspect_optimizers(document: Document) -> None:
    """Check the classes that the space names by their import path; one that has faults is not looked at further."""
    space = document.value["space"]
    optimizers = space.get("optimizer") if isinstance(space, dict) else None
    if not isinstance(optimizers, list):
        return
    space["optimizer"] = numbered = dict(enumerate(optimizers))
    for index in numbered:
        if not inspect_code(document, ("space", "optimizer", index)):
            numbered[index] = {"name": NO_OPTIMIZER, "lr": 1e-3 * (1 + index)}
    space["optimizer"] = list(numbered.values())


def _written_out(spec: SearchSpec, facts: DataFacts) -> SearchSpec:
    """The metric with its goal, the number of trials, counts of seeds as seeds; a base that measures the metric."""
    key = split_and_key(spec.metric.name)[1] if spec.metric is not None else ""
    recorded = recorded_keys(spec.base.evaluation, facts, spec.base.loss)
    key = key or next(name for name in ("accuracy", "rmse", "loss") if name in recorded)
    metric = ComparedMetric(name=f"validation_{key}", goal="max" if higher_is_better(key) else "min")
    seeds = explicit_seeds(spec.scoring.seeds, start=0, without=[spec.seed])
    update = {
        "metric": metric,
        "trials": spec.trials or (_size(spec.space) if spec.method == "grid" else TRIALS),
        "scoring": ScoringSpec(seeds=seeds),
        "base": measuring(spec.base, key),
    }
    return spec.model_copy(update=update)


def _size(space: Mapping[str, Choice]) -> int:
    """How many settings a grid has."""
    return math.prod(len(choice.values) for choice in space.values() if isinstance(choice, Choices))


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


def _metric_known(
    data: DataSpec, facts: DataFacts, evaluation: EvaluationSpec, loss: LossSpec, metric: ComparedMetric | None
) -> Iterator[Finding]:
    """Runs record the figure, and better is the way that it is."""
    if metric is None or split_and_key(metric.name)[0] not in ("test",):
        yield from metric_is_recorded(data, facts, evaluation, loss, metric, _ANY_SPLIT)


class _AnySplit:
    split = None


_ANY_SPLIT: Any = _AnySplit()


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
    size = _size(space)
    if size > MAX_TRIALS:
        message = f"makes a grid of {size:,} settings; the limit is {MAX_TRIALS:,}; take method: random or tpe"
        yield ("space",), message
    elif trials is not None and trials < size:
        message = f"are {trials:,}, but the grid has {size:,} settings; leave trials out, or take method: random"
        yield ("trials",), message


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


def _seeds_apart(seed: int, scoring: ScoringSpec) -> Iterator[Finding]:
    """The seed that values were chosen by would score too well."""
    if isinstance(scoring.seeds, list) and seed in scoring.seeds:
        yield ("scoring", "seeds"), f"{seed} is the search's own seed, and would score what it chose; take another"


def _losses_stay(space: Mapping[str, Choice], metric: ComparedMetric | None, facts: DataFacts) -> Iterator[Finding]:
    """Values of different losses are different quantities."""
    if metric is None or split_and_key(metric.name)[1] not in ("loss", "objective"):
        return
    for key in space:
        if key == "loss" or (key.startswith("loss.") and key != "loss.label_smoothing"):
            others = "rmse" if facts.is_regression else "accuracy"
            message = f"changes what the metric measures, so that trials could not be compared; use metric: {others}"
            yield ("space", key), message


_RULES: tuple[Callable[..., Iterator[Finding]], ...] = (
    _judged_on_validation,
    _metric_known,
    _grid_fits,
    _halving_has_rungs,
    _seeds_apart,
    _losses_stay,
)


def _warnings(spec: SearchSpec) -> Iterator[Finding]:
    """What takes something from a search without being wrong."""
    sizes = [len(choice.values) if isinstance(choice, Choices) else 0 for choice in spec.space.values()]
    size = math.prod(sizes)
    if all(sizes) and size < spec.budget:
        yield ("trials",), f"are {spec.budget:,}, but the space has {size:,} settings; repeated ones are trained once"
    if spec.prune is not None and spec.together <= spec.prune.eta:
        message = f"is {spec.together}, so halving by {spec.prune.eta} has one rung at most; take more, e.g. 16"
        yield ("together",), message
    yield from executor_warnings(spec.executor, spec.base.training)
    at_once = min(spec.at_once if spec.method in ADAPTIVE else spec.budget, spec.budget)
    if isinstance(spec.executor, RayExecutor) and at_once <= spec.together:
        message = (
            f"keeps one worker busy at a time: {at_once} trials are drawn at once, and up to {spec.together} train "
            "together on one; for four workers take e.g. batch: 32 with together: 8"
        )
        yield ("executor",), message
