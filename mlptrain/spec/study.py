"""What a comparison's file and a search's have alike; both are studies.

A study has a base, the experiment that its trials train but for what they change, and is judged by one figure of it.
The plan in a study's folder is a study too: what it says besides is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from mlptrain.errors import Fault, SpecError
from mlptrain.sources.facts import DataFacts
from mlptrain.spec.comparison.arms import Base, names_optimizer
from mlptrain.spec.comparison.rules import BASE_RULES, judged_key, recorded_keys
from mlptrain.spec.comparison.sections import ComparedMetric, ComparisonSpec
from mlptrain.spec.constructors import inspect_code
from mlptrain.spec.experiment import Experiment, ExperimentSpec
from mlptrain.spec.kinds import Kind
from mlptrain.spec.load import (
    anchor,
    check,
    doubts_of_data,
    dropped_of_data,
    folder_name,
    in_order,
    pinned,
    with_defaults,
)
from mlptrain.spec.mapping import Config, Overrides, assignments, document_of
from mlptrain.spec.metrics import METRICS, higher_is_better
from mlptrain.spec.overrides import apply_override
from mlptrain.spec.reader import Document, read_file
from mlptrain.spec.rules.registry import Rule
from mlptrain.spec.rules.warnings import warnings_about
from mlptrain.spec.search.sections import SearchSpec
from mlptrain.spec.which import is_comparison, is_search
from mlptrain.spec.wording import described
from mlptrain.system.paths import user_path

NO_OPTIMIZER = "sgd"  # a placeholder for the base's optimizer; nothing reads it
# Every trial's, and therefore the base's alone.
OF_THE_BASE = ("data", "model", "loss", "schedule", "augmentation", "training", "evaluation")

_READ = {"data", "facts", "evaluation", "loss"}  # what says which figures are recorded
# In the place of a base that has faults.
_STAND_IN = {"name": "none", "data": "digits", "model": {"hidden": []}, "optimizer": NO_OPTIMIZER}
_SEED = ExperimentSpec.model_fields["seed"].default
Spec = TypeVar("Spec", bound=ComparisonSpec | SearchSpec)


@dataclass(frozen=True)
class LoadedStudy(Generic[Spec]):
    """A checked study, its base with the facts of the data, and what is odd about it without being wrong."""

    spec: Spec
    base: Experiment
    warnings: tuple[Fault, ...]


def holds(config: Config, is_one: Callable[[Document], bool]) -> bool:
    """Whether ``config`` is a file with such a document."""
    return not isinstance(config, Mapping) and user_path(config).is_file() and is_one(read_file(user_path(config))[1])


def report_of(config: Config, loaded: LoadedStudy[Spec], own: Mapping[str, Any]) -> dict[str, Any]:
    """What `mlptrain check` prints about a study, with what its kind has of its ``own``."""
    spec = loaded.spec
    return {
        "config": str(config),
        "name": spec.name,
        **own,
        "metric": spec.judged_by.name,
        "goal": spec.judged_by.goal,
        "scoring_seeds": list(spec.scoring_seeds),
        "warnings": [str(warning) for warning in loaded.warnings],
    }


def read_study(config: Config, kind: Kind) -> tuple[Document, Path]:
    """A study's document, with a name, and the folder that the path of its base starts from."""
    if isinstance(config, Mapping):
        document, folder, name = document_of(config), Path(), kind.name
    else:
        path = user_path(config)
        document, folder, name = read_file(path)[1], path.parent, path.stem
        if all(key in document.value for key in kind.plan_keys[1:]):
            kind.check_format(document.value, path)
            for key in kind.plan_keys:
                document.value.pop(key, None)
    document.value.setdefault("name", folder_name(name))
    return document, folder


class StudyReader:
    """A study's document, and its base's, while they are checked; ``faults`` are those found so far."""

    def __init__(
        self,
        document: Document,
        *,
        folder: Path,
        overrides: Overrides,
        model: type[ComparisonSpec] | type[SearchSpec],
        of_the_base: Sequence[str] = OF_THE_BASE,
        or_else: str = "",
    ) -> None:
        self.document = document
        self.faults: list[Fault] = []
        self.of_base: list[str] = []  # overrides of what stands in another file
        for override in assignments(overrides):
            if isinstance(document.value.get("base"), str) and override.strip().startswith("base."):
                self.of_base.append(override)
            else:
                apply_override(
                    document, override, model, keys_at={"arms": 2, "space": 1}, named_in=("arms", "optimizers")
                )
        for key in [key for key in document.value if key.partition(".")[0] in of_the_base]:
            # Left to the check it would be a misspelt key of the study: training reads like tuning.
            message = f"unknown key here; it belongs to base.{key}{or_else}"
            document.faults.append(document.fault((key,), message, key=True))
            del document.value[key]
        self.base_document = _base_document_of(document, folder)
        self._sections: dict[str, Any] = {}
        self._base: Base | None = None

    def read_base(self, *, keep_optimizer: bool) -> Base | None:
        """The base, None where a section of it is wrong by itself; without its optimizer where that is not to be kept.

        One that has no optimizer needs none where every arm names one.
        """
        values, base = self.document.value, self.base_document
        if base is not None:
            for override in self.of_base:
                apply_override(base, override, ExperimentSpec, within="base.")
            anchor(base)
            if not keep_optimizer or ("optimizer" not in base.value and names_optimizer(values.get("arms"))):
                base.value["optimizer"] = NO_OPTIMIZER
            else:
                inspect_code(base, ("optimizer",))
            base.value.setdefault("name", folder_name(str(values["name"])))
            spec, self._sections, faults = check(base, ExperimentSpec, BASE_RULES)
            self.faults += faults
            if spec is not None and faults:
                self._base = Base(base, with_defaults(spec), self._sections.get("facts"), tuple(faults))
            elif spec is not None:
                experiment = pinned(Experiment(with_defaults(spec), self._sections["facts"]))
                self._base = Base(base, experiment.spec, experiment.facts)
        if "base" in values:
            values["base"] = _STAND_IN if self._base is None else self._base.spec  # whose faults are reported already
        return self._base

    def checked(self, model: type[Spec], rules: Iterable[Rule], known: Mapping[str, Any]) -> tuple[Spec, DataFacts]:
        """The study and the facts of its data. The rules may read the base's sections, and the ``known`` ones.

        Raises SpecError with every fault.
        """
        of_base = self._sections if self._sections.keys() >= _READ else {**self._sections, "unread": True}
        spec, _, more = check(self.document, model, rules, known={**of_base, **known})
        if any(fault.message.endswith(("did you mean 'arms'?", "did you mean 'optimizers'?")) for fault in more):
            more = [fault for fault in more if (fault.path, fault.message[:12]) != ("optimizers", "required key")]
        faults = [*self.faults, *more]
        if spec is None or self._base is None or self._base.facts is None or faults:
            raise SpecError(in_order(faults, self.document.source))
        return spec, self._base.facts

    def loaded(self, spec: Spec, warnings: Iterable[Fault], *, seeds: str) -> LoadedStudy[Spec]:
        """The checked study as it is written out, with the warnings about its base before its own.

        ``seeds`` is the key, or the keys, of the seeds that trials train with.
        """
        assert self._base is not None
        assert self._base.facts is not None
        base = Experiment(spec.base, self._base.facts)
        document, data = self._base.document, self._base.spec.data  # as written, whose own draw is not the study's
        of_base = [document.fault(path, message) for path, message in warnings_about(base)]
        of_base += [*doubts_of_data(document, data), *dropped_of_data(document, data)]
        of_base += self._ignored_seed(document, seeds)
        return LoadedStudy(spec, base, (*of_base, *warnings))

    def _ignored_seed(self, base: Document, seeds: str) -> list[Fault]:
        """That the seed of a base has no effect, where it is not the default, which plans write out.

        A file of its own is an experiment too, which trains with its seed.
        """
        message = f"has no effect: trials train with {seeds}"
        if base.prefix:
            is_other = base.value.get("seed", _SEED) != _SEED
            return [self.document.fault(("base", "seed"), message)] if is_other else []
        given = [override for override in self.of_base if override.partition("=")[0].strip() == "base.seed"]
        return [Fault(f"--set {override}", None, None, "", message) for override in given]


def base_of_plan(document: Document) -> Experiment:
    """The base of a study's plan with a placeholder as its optimizer, so that no class is imported.

    Raises SpecError where the plan has none, or one with faults.
    """
    document.value.setdefault("name", "study")
    reader = StudyReader(document, folder=Path(document.source).parent, overrides=(), model=ComparisonSpec)
    base = reader.read_base(keep_optimizer=False)
    if base is None or base.facts is None or reader.faults or document.faults:
        missing = document.fault(("base",), "required key is missing")
        raise SpecError(in_order([*reader.faults, *document.faults] or [missing], document.source))
    return Experiment(base.spec, base.facts)


def _base_document_of(document: Document, folder: Path) -> Document | None:
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


def metric_on(split: str, named: ComparedMetric | None, base: ExperimentSpec, facts: DataFacts) -> ComparedMetric:
    """What a study is judged by, with its split and goal: what it names, by default the accuracy, RMSE or loss."""
    key = judged_key(named, recorded_keys(base.evaluation, facts, base.loss))
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
