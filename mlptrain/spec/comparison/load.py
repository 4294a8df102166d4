"""From a comparison's file, or from options of the command line, to a checked comparison or to every fault at once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from mlptrain.errors import Fault, SpecError
from mlptrain.seeds import seed_range
from mlptrain.sources.facts import DataFacts
from mlptrain.spec.comparison.arms import as_arms, as_optimizers, read_arms
from mlptrain.spec.comparison.candidates import read_candidates
from mlptrain.spec.comparison.rules import (
    COMPARISON_RULES,
    comparison_warnings,
    has_arms,
    kept_by_loss,
    split_and_key,
)
from mlptrain.spec.comparison.sections import MAX_SEEDS, ComparisonSpec, ScoringSpec, TuningSpec, optimizer_adapter
from mlptrain.spec.constructors import inspect_code
from mlptrain.spec.kinds import COMPARISON
from mlptrain.spec.load import folder_name
from mlptrain.spec.mapping import Config, Overrides
from mlptrain.spec.metrics import is_share
from mlptrain.spec.reader import Document, KeyPath, Position, scalar
from mlptrain.spec.study import (
    NO_OPTIMIZER,
    LoadedStudy,
    StudyReader,
    explicit_seeds,
    holds,
    measuring,
    metric_on,
    read_study,
    report_of,
)
from mlptrain.spec.which import is_comparison, refuse_other
from mlptrain.system.paths import AnyPath

FIRST_TUNING_SEED = 100
IGNORED = "has no effect: the comparison names the optimizers"


LoadedComparison = LoadedStudy[ComparisonSpec]


def load_comparison(config: Config, overrides: Overrides = ()) -> LoadedComparison:
    """Read, override (``"scoring.seeds=5"``, ``"base.training.epochs=3"``) and check a comparison.

    ``config`` and ``overrides`` are as in ``load_spec``. The base's path starts from the file's folder, of a mapping
    from the current one. The ``plan.yaml`` of a comparison is one too: what it says besides
    is left out. Raises SpecError with every fault of both files.
    """
    document, folder = read_study(config, COMPARISON)
    refuse_other(document, "comparison")
    if not is_comparison(document) and "data" in document.value:
        path = Path(document.source)
        message = (
            f"is an experiment, not a comparison; try `mlptrain compare-optimizers {path} --optimizers sgd,adam`, or "
            f"name it as the base of a study, {{base: {path.name}, arms: "
            "{ReLU: {model.activation: relu}, GELU: …}}"
        )
        raise SpecError([Fault(str(path), None, None, "", message)])
    return _load(document, folder=folder, overrides=overrides)


def check_comparison(config: Config, overrides: Overrides = ()) -> tuple[dict[str, Any], tuple[Fault, ...]] | None:
    """What `mlptrain check` prints about a comparison's file, and its warnings; None for another file.

    Raises SpecError as ``load_comparison``.
    """
    if not holds(config, is_comparison):
        return None
    loaded = load_comparison(config, overrides)
    spec = loaded.spec
    arms = {name: {"settings": spec.budgets[name], **arm.plain()} for name, arm in spec.compared.items()}
    return report_of(config, loaded, {"arms": arms, "tuning_seeds": list(spec.tuning_seeds)}), loaded.warnings


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
        loaded = _load(document, folder=Path(), overrides=overrides)
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


def _load(document: Document, *, folder: Path, overrides: Overrides) -> LoadedComparison:
    reader = StudyReader(document, folder=folder, overrides=overrides, model=ComparisonSpec)
    values, base_document = document.value, reader.base_document
    # Arms may leave the optimizer as it is.
    is_study = "arms" in values
    ignored = not is_study and base_document is not None and base_document.prefix and "optimizer" in base_document.value
    base = reader.read_base(keep_optimizer=is_study)
    if "optimizers" in values:
        for key in values["optimizers"] if isinstance(values["optimizers"], dict) else ():
            inspect_code(document, ("optimizers", key))
        values["optimizers"], faults = read_candidates(document)
        reader.faults += faults
    if is_study:
        _inspect_arms(document)
        values["arms"], faults = read_arms(document, base)
        reader.faults += faults
    compared = (*values.get("optimizers", {}).values(), *values.get("arms", {}).values())
    if any(one.grids for one in compared) and "tuning" not in values:
        values["tuning"] = {}
    has_one = ("optimizers" in values) != is_study  # what could not be read of it is reported already
    rules = [rule for rule in COMPARISON_RULES if rule is not has_arms or not has_one]
    spec = _written_out(*reader.checked(ComparisonSpec, rules, {}))
    warnings = [document.fault(("base", "optimizer"), IGNORED)] if ignored else []
    if not is_study:
        warnings += [
            Fault(f"--set {key}", None, None, "", IGNORED) for key in reader.of_base if "base.optimizer" in key
        ]
    for path, message in comparison_warnings(spec):  # of arms too that are written out as optimizers
        written = ("arms", *path[1:]) if is_study and path[0] == "optimizers" else path
        warnings.append(document.fault(written, message))
    if spec.metric is not None and values.get("metric") is not None:
        changed = [path for arm in spec.arms.values() for path in (*arm.fixed, *arm.grids)]
        warnings += [document.fault(path, message) for path, message in kept_by_loss(spec.metric, spec.base, changed)]
    seeds = "scoring.seeds" if spec.tuning is None else "tuning.seeds and scoring.seeds"
    return reader.loaded(spec, warnings, seeds=seeds)


def _inspect_arms(document: Document) -> None:
    """Check the classes that arms name by their import path; one that has faults is not looked at further."""
    arms = document.value["arms"]
    for name, entry in arms.items() if isinstance(arms, dict) else ():
        if isinstance(entry, dict):
            inspect_code(document, ("arms", name, "optimizer"))


def _written_out(spec: ComparisonSpec, facts: DataFacts) -> ComparisonSpec:
    """Counts of seeds as seeds, the split that is scored on, the metric with its goal, the width of a tie.

    Arms that have an optimizer each and are compared by accuracy are its short form, optimizers; optimizers that are
    compared by something else are arms.
    """
    scoring, tuning = spec.scoring, spec.tuning
    split = split_and_key(spec.metric.name)[0] if spec.metric is not None else ""
    split = split or scoring.split or ("test" if facts.test_rows else "validation")
    metric = metric_on(split, spec.metric, spec.base, facts)
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
    base = base if spec.target is None else measuring(base, spec.target.key)
    arms = spec.arms or as_arms(spec.optimizers, base)
    arms = {name: replace(arm, base=base) for name, arm in arms.items()}
    return spec.model_copy(update=update | {"base": base, "optimizers": {}, "arms": arms})
