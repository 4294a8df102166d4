"""From a comparison's file, or from options of the command line, to a checked comparison or to every fault at once."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from mlptrain.errors import Fault, RunFolderError, SpecError
from mlptrain.seeds import seed_range
from mlptrain.sources.facts import DataFacts
from mlptrain.spec.comparison.arms import Base, as_arms, as_optimizers, names_optimizer, read_arms
from mlptrain.spec.comparison.candidates import read_candidates
from mlptrain.spec.comparison.rules import (
    BASE_RULES,
    COMPARISON_RULES,
    comparison_warnings,
    has_arms,
    judged_key,
    recorded_keys,
    split_and_key,
)
from mlptrain.spec.comparison.sections import (
    FORMAT,
    MAX_SEEDS,
    PLAN_KEYS,
    ComparedMetric,
    ComparisonSpec,
    ScoringSpec,
    TuningSpec,
    optimizer_adapter,
)
from mlptrain.spec.experiment import Experiment, ExperimentSpec
from mlptrain.spec.foreign import inspect_code
from mlptrain.spec.load import STAND_IN, anchor, check, folder_name, in_order, with_defaults
from mlptrain.spec.mapping import Config, Overrides, assignments, document_of
from mlptrain.spec.metrics import METRICS, higher_is_better, is_share
from mlptrain.spec.model import FileInit
from mlptrain.spec.overrides import apply_override
from mlptrain.spec.reader import Document, KeyPath, Position, read_file, scalar
from mlptrain.spec.rules import warnings_about
from mlptrain.spec.weights import read_weights
from mlptrain.spec.wording import described
from mlptrain.system.paths import AnyPath, user_path

FIRST_TUNING_SEED = 100
NO_OPTIMIZER = "sgd"  # a placeholder for the base's optimizer; nothing reads it
# Every trial's, and therefore the base's alone.
OF_THE_BASE = ("data", "model", "loss", "schedule", "augmentation", "training", "evaluation")
IGNORED = "has no effect: the comparison names the optimizers"


@dataclass(frozen=True)
class LoadedComparison:
    """A checked comparison, its base with the facts of the data, and what is odd about it without being wrong."""

    spec: ComparisonSpec
    base: Experiment
    warnings: tuple[Fault, ...]


def is_comparison(document: Document) -> bool:
    """Whether a YAML file is a comparison (it has a base, optimizers or arms) rather than an experiment."""
    return bool({"base", "optimizers", "arms"} & document.value.keys()) and not is_search(document)


def is_search(document: Document) -> bool:
    """Whether a YAML file is a search: it has a space."""
    return "space" in document.value


def load_comparison(config: Config, overrides: Overrides = ()) -> LoadedComparison:
    """Read, override (``"scoring.seeds=5"``, ``"base.training.epochs=3"``) and check a comparison.

    ``config`` and ``overrides`` are as in ``load_spec``. The base's path starts from the file's folder, of a mapping
    from the current one. The ``plan.yaml`` of a comparison is one too: what it says besides
    is left out. Raises SpecError with every fault of both files.
    """
    if isinstance(config, Mapping):
        return _load(document_of(config), folder=Path(), default_name="comparison", overrides=overrides)
    path = user_path(config)
    document = read_file(path)[1]
    if all(key in document.value for key in PLAN_KEYS[1:]):
        check_format(document.value, path)
        for key in PLAN_KEYS:
            del document.value[key]
    if is_search(document):
        message = f"is a search, not a comparison: it has a space; run it with `mlptrain search {path}`"
        raise SpecError([Fault(str(path), None, None, "", message)])
    if not is_comparison(document) and "data" in document.value:
        message = (
            f"is an experiment, not a comparison; try `mlptrain compare-optimizers {path} --optimizers sgd,adam`, or "
            f"name it as the base of a study, {{base: {path.name}, arms: "
            "{ReLU: {model.activation: relu}, GELU: …}}"
        )
        raise SpecError([Fault(str(path), None, None, "", message)])
    return _load(document, folder=path.parent, default_name=path.stem, overrides=overrides)


def check_comparison(config: Config, overrides: Overrides = ()) -> tuple[dict[str, Any], tuple[Fault, ...]] | None:
    """What `mlptrain check` prints about a comparison's file, and its warnings; None for another file.

    Raises SpecError as ``load_comparison``.
    """
    if (
        isinstance(config, Mapping)
        or not user_path(config).is_file()
        or not is_comparison(read_file(user_path(config))[1])
    ):
        return None
    loaded = load_comparison(config, overrides)
    spec = loaded.spec
    report = {
        "config": str(config),
        "name": spec.name,
        "arms": {name: {"settings": spec.budgets[name], **arm.plain()} for name, arm in spec.compared.items()},
        "metric": spec.judged_by.name,
        "goal": spec.judged_by.goal,
        "tuning_seeds": list(spec.tuning_seeds),
        "scoring_seeds": list(spec.scoring_seeds),
        "warnings": [str(warning) for warning in loaded.warnings],
    }
    return report, loaded.warnings


def plan_digest(plan: Mapping[str, Any]) -> str:
    """Eight hexadecimal digits of SHA-256 over the content of a plan, as made or as read, without its format."""
    content = {key: value for key, value in plan.items() if key != "format"}
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:8]


def check_format(plan: Mapping[str, Any], path: Path) -> None:
    """Raises RunFolderError where the plan at ``path`` is of a comparison with another layout of its files."""
    if (written := plan.get("format", 1)) != FORMAT:
        raise RunFolderError(
            f"{path} belongs to a comparison of another version of mlptrain (format {described(written)}, expected "
            f"{FORMAT}); use that version, or start the comparison over in a new folder"
        )


def comparison_from_options(
    base_path: AnyPath,
    *,
    optimizers: str,
    lr: str | None = None,
    seeds: str = "10",
    overrides: Overrides = (),
) -> LoadedComparison:
    """The comparison that options of the command line describe, as ``"sgd,adam"``, ``"1e-3,0.1"`` or ``"0,1,2"``.

    Several values of ``lr`` are a grid for each optimizer, one is fixed, None leaves each its default. Raises SpecError
    whose faults name the option.
    """
    names = _parts(optimizers)
    rates = [scalar(part) for part in _parts(lr or "")]
    rate = {} if lr is None else {"lr": rates[0] if len(rates) == 1 else rates}
    values: dict[str, Any] = {
        "name": folder_name(f"{Path(base_path).stem}-optimizers"),
        "base": str(base_path),
        "optimizers": {_label(key): {"name": key, **rate} for key in names},
        "scoring": {"seeds": _seeds(seeds)},
    }
    places: dict[KeyPath, Position] = {
        (): Position("compare-optimizers"),
        ("base",): Position(str(base_path)),
        ("optimizers",): Position("--optimizers"),
        **{("optimizers", _label(key), "lr"): Position("--lr") for key in names},
        ("scoring", "seeds"): Position("--seeds"),
    }
    document = Document("compare-optimizers", values, places)
    options = {place.source for place in places.values()}
    for key in dict.fromkeys(key for key in names if names.count(key) > 1):
        document.faults.append(Fault("--optimizers", None, None, "", f"names {key} twice; keep one of them"))
    try:
        loaded = _load(document, folder=Path(), default_name="", overrides=overrides)
    except SpecError as error:
        raise SpecError(_of_options(error.faults, options)) from None
    warnings = _of_options(loaded.warnings, options)
    if lr is None:
        message = "not given, so every optimizer keeps its default learning rate untuned; e.g. 1e-3,1e-2,1e-1"
        warnings = (Fault("--lr", None, None, "", message), *warnings)
    return replace(loaded, warnings=warnings)


def _seeds(text: str) -> Any:
    """A count of seeds, or the seeds in ``0,1,2``, ``0..9`` or ``0-4,7``; what is neither is left to the checks."""
    if not re.search(r",|[0-9]\s*(\.\.|-)", text):
        return scalar(text.strip())
    # One seed more than there may be is enough to be refused.
    of_parts = [[*islice(seed_range(part), MAX_SEEDS + 1)] or [scalar(part)] for part in _parts(text)]
    return [seed for seeds in of_parts for seed in seeds]


def _label(name: str) -> str:
    """What an optimizer is called: of an import path the class."""
    return name.rpartition(":")[2]


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _of_options(faults: Sequence[Fault], options: set[str]) -> tuple[Fault, ...]:
    """The option stands for the path, and a value given to every optimizer has its fault once."""
    named = (replace(fault, path="") if fault.source in options and fault.line is None else fault for fault in faults)
    return tuple(dict.fromkeys(named))


def _load(document: Document, *, folder: Path, default_name: str, overrides: Overrides) -> LoadedComparison:
    of_base = []
    for override in assignments(overrides):
        if isinstance(document.value.get("base"), str) and override.strip().startswith("base."):
            of_base.append(override)  # what they override stands in another file
        else:
            apply_override(document, override, ComparisonSpec, keys_at={"arms": 2})
    document.value.setdefault("name", folder_name(default_name))
    for section in [key for key in OF_THE_BASE if key in document.value]:
        # Left to the check it would be a misspelt key of the comparison: training reads like tuning.
        message = f"unknown key here; it belongs to base.{section}"
        document.faults.append(document.fault((section,), message, key=True))
        del document.value[section]
    base_document = base_document_of(document, folder)
    values = document.value
    # Arms may leave the optimizer as it is.
    is_study = "arms" in values
    ignored = not is_study and base_document is not None and base_document.prefix and "optimizer" in base_document.value
    base, base_sections, faults = read_base(base_document, of_base, document, keep_optimizer=is_study)
    facts = base_sections.get("facts")
    if "base" in values:
        values["base"] = base or stand_in()  # whose faults are reported already
    if "optimizers" in values:
        for key in values["optimizers"] if isinstance(values["optimizers"], dict) else ():
            if not inspect_code(document, ("optimizers", key)):
                values["optimizers"][key] = STAND_IN
        values["optimizers"], more = read_candidates(document)
        faults += more
    if is_study:
        _inspect_arms(document)
        whole: Base | None = None
        if base is not None and base_document is not None and isinstance(facts, DataFacts):
            whole = Base(base_document, base, facts)
        values["arms"], more = read_arms(document, whole)
        faults += more
    compared = (*values.get("optimizers", {}).values(), *values.get("arms", {}).values())
    if any(one.grids for one in compared) and "tuning" not in values:
        values["tuning"] = {}
    has_one = ("optimizers" in values) != is_study  # what could not be read of it is reported already
    rules = [rule for rule in COMPARISON_RULES if rule is not has_arms or not has_one]
    spec, _, more = check(document, ComparisonSpec, rules, known=base_sections)
    if any(fault.message.endswith(("did you mean 'arms'?", "did you mean 'optimizers'?")) for fault in more):
        more = [fault for fault in more if (fault.path, fault.message[:12]) != ("optimizers", "required key")]
    faults += more
    if spec is None or base is None or base_document is None or faults or not isinstance(facts, DataFacts):
        raise SpecError(in_order(faults, document.source))
    spec = _written_out(spec, facts)
    experiment = Experiment(spec.base, facts)
    warnings = [base_document.fault(path, message) for path, message in warnings_about(experiment)]
    if ignored:
        warnings.append(document.fault(("base", "optimizer"), IGNORED))
    if not is_study:
        warnings += [Fault(f"--set {key}", None, None, "", IGNORED) for key in of_base if "base.optimizer" in key]
    warnings += [document.fault(path, message) for path, message in comparison_warnings(spec)]
    return LoadedComparison(spec, experiment, tuple(warnings))


def _inspect_arms(document: Document) -> None:
    """Check the classes that arms name by their import path; one that has faults is not looked at further."""
    arms = document.value["arms"]
    for name, entry in arms.items() if isinstance(arms, dict) else ():
        if not isinstance(entry, dict):
            continue
        if "optimizer" in entry and not inspect_code(document, ("arms", name, "optimizer")):
            entry["optimizer"] = STAND_IN


def base_document_of(document: Document, folder: Path) -> Document | None:
    """The base as a document of its own: the section, or the file that it names. None with a fault added."""
    value = document.value.get("base")
    if isinstance(value, dict):
        return document.section("base")
    message = f"must be the path of an experiment's file, or a mapping of an experiment, got {described(value)}"
    if isinstance(value, str):
        is_named_here = document.position(("base",)).line is not None  # else by an option, which is the file's name
        if is_named_here and not value.endswith((".yaml", ".yml")):  # any other may hold secrets
            message = f"must name a .yaml or .yml file, got {described(value)}"
            document.faults.append(document.fault(("base",), message))
            return None
        try:
            _, base = read_file(folder / user_path(value))
        except SpecError as error:
            document.faults += [
                document.fault(("base",), f"{fault.source} {fault.message}")
                if is_named_here and fault.line is None
                else fault
                for fault in error.faults
            ]
            return None
        if not is_comparison(base) and not is_search(base):
            base.value.setdefault("name", folder_name(Path(value).stem))
            return base
        message = f"{base.source} is a {'search' if is_search(base) else 'comparison'}, not an experiment"
    if "base" in document.value:
        document.faults.append(document.fault(("base",), message))
    return None


def read_base(
    base: Document | None, overrides: Sequence[str], document: Document, *, keep_optimizer: bool
) -> tuple[ExperimentSpec | None, dict[str, Any], list[Fault]]:
    """The base, its faultless sections, and its faults; without its own optimizer where it is not to be kept.

    One that has none needs none where every arm names one.
    """
    if base is None:
        return None, {}, []
    for override in overrides:
        apply_override(base, override, ExperimentSpec, within="base.")
    anchor(base)
    if not keep_optimizer or ("optimizer" not in base.value and names_optimizer(document.value.get("arms"))):
        base.value["optimizer"] = NO_OPTIMIZER
    elif not inspect_code(base, ("optimizer",)):
        base.value["optimizer"] = STAND_IN
    base.value.setdefault("name", folder_name(str(document.value["name"])))
    spec, sections, faults = check(base, ExperimentSpec, BASE_RULES)
    if spec is None or faults:
        return None, sections, faults
    experiment = Experiment(with_defaults(spec), sections["facts"])
    if isinstance(init := spec.model.init, FileInit):  # which the plan pins, wherever it is run again
        weights = read_weights(Path(init.path), experiment.shapes)
        experiment = experiment.with_weights(Path(init.path), sha256=weights.sha256)
    return experiment.spec, sections, faults


def stand_in() -> ExperimentSpec:
    """An experiment in the place of a base that has faults."""
    values = {"name": "none", "data": "digits", "model": {"hidden": []}, "optimizer": NO_OPTIMIZER}
    return ExperimentSpec.model_validate(values)


def _written_out(spec: ComparisonSpec, facts: DataFacts) -> ComparisonSpec:
    """Counts of seeds as seeds, the split that is scored on, the metric with its goal, the width of a tie.

    Arms that have an optimizer each and are compared by accuracy are its short form, optimizers; optimizers that are
    compared by something else are arms.
    """
    scoring, tuning = spec.scoring, spec.tuning
    metric = _metric(spec, facts)
    taken = tuning.seeds if tuning is not None and isinstance(tuning.seeds, list) else []
    scored = explicit_seeds(scoring.seeds, start=0, without=taken)
    tie = spec.tie if spec.tie is not None else 0.001 if is_share(metric.key) else 0.0
    update: dict[str, Any] = {"scoring": ScoringSpec(seeds=scored, split=metric.split), "metric": metric, "tie": tie}
    if tuning is not None:
        seeds = explicit_seeds(tuning.seeds, start=FIRST_TUNING_SEED, without=scored)
        update["tuning"] = TuningSpec(seeds=seeds, extensions=tuning.extensions)
    by_accuracy = metric.key == "accuracy" and facts.has_classes
    if by_accuracy and (optimizers := spec.optimizers or as_optimizers(spec.arms)):
        placeholder = optimizer_adapter.validate_python({"name": NO_OPTIMIZER})
        base = spec.base.model_copy(update={"optimizer": placeholder})
        return spec.model_copy(update=update | {"base": base, "optimizers": optimizers, "arms": {}, "metric": None})
    base = measuring(spec.base, metric.key)
    arms = spec.arms or as_arms(spec.optimizers, base)
    arms = {name: replace(arm, base=base) for name, arm in arms.items()}
    return spec.model_copy(update=update | {"base": base, "optimizers": {}, "arms": arms})


def _metric(spec: ComparisonSpec, facts: DataFacts) -> ComparedMetric:
    """The metric with its split and goal: by default test rows where there are some, and accuracy, RMSE or loss."""
    split = split_and_key(spec.metric.name)[0] if spec.metric is not None else ""
    split = split or spec.scoring.split or ("test" if facts.test_rows else "validation")
    key = judged_key(spec.metric, recorded_keys(spec.base.evaluation, facts, spec.base.loss))
    return ComparedMetric(name=f"{split}_{key}", goal="max" if higher_is_better(key) else "min")


def measuring(base: ExperimentSpec, key: str) -> ExperimentSpec:
    """The base that measures a metric after every epoch which runs otherwise measure at their end alone."""
    evaluation = base.evaluation
    if key not in ("rmse", "r2") or key in (metric.key for metric in evaluation.metrics):
        return base
    further = METRICS[key].model_validate({"name": key})
    listed = evaluation.model_copy(update={"metrics": [*evaluation.metrics, further]})
    return base.model_copy(update={"evaluation": listed})


def explicit_seeds(seeds: int | list[int], *, start: int, without: Sequence[int]) -> list[int]:
    """A count as that many whole numbers from ``start`` on, those in ``without`` left out."""
    if isinstance(seeds, list):
        return seeds
    free = (seed for seed in range(start, start + seeds + len(without)) if seed not in without)
    return [seed for seed, _ in zip(free, range(seeds), strict=False)]
