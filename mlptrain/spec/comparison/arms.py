"""The ``arms`` section of a study, read into fixed values and grids by key path.

A list is what is tuned: its items are the values to choose from, and so are those of ``{log_grid: [low, high,
points]}``. A key that takes lists alone, such as ``model.hidden``, is told from that: its plain list is a fixed value
and a list of lists is tuned. Where a key takes a number or a list (``model.dropout``), a list is tuned, and a list of
one list is that list, fixed. What an arm changes is put into a copy of the base by ``mlptrain.spec.overrides`` and gets
the same checks as an experiment's file, each fault at the arm's own line.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from pydantic import BaseModel

from mlptrain.errors import Fault, SpecError
from mlptrain.sources.facts import DataFacts
from mlptrain.spec.base import TAGS, sections_at
from mlptrain.spec.comparison.candidates import (
    MAX_OPTIMIZERS,
    MAX_SETTINGS,
    FaultyError,
    log_grid_values,
    unusable_name,
)
from mlptrain.spec.comparison.changes import changed_spec, form_at, is_unknown, path_of
from mlptrain.spec.comparison.grids import is_ordered
from mlptrain.spec.comparison.rules import BASE_RULES
from mlptrain.spec.comparison.sections import Arm, Candidate
from mlptrain.spec.constructors import inspect_code
from mlptrain.spec.dump import plain, yaml_line
from mlptrain.spec.experiment import Experiment, ExperimentSpec
from mlptrain.spec.hints import close, compact
from mlptrain.spec.load import anchor, check, pinned, with_defaults
from mlptrain.spec.overrides import key_path, put
from mlptrain.spec.reader import Document, KeyPath, dotted
from mlptrain.spec.wording import described

# What an arm may change of these sections: the rows that are scored, and what is measured on them, are everybody's.
_OF_DATA = ("scaling", "numeric", "categorical", "columns", "target_scaling")
_OF_EVALUATION = ("keep", "metric")
# Of the training everybody's too, with the reason; a section as a whole would set these besides.
_OF_TRAINING = {
    "epochs": "would give {many} unequal budgets; set base.training.epochs, for all of them",
    "early_stopping": "would give {many} unequal budgets; leave it out, since evaluation.keep: best scores the best "
    "epoch of each anyway",
    **{
        key: f"is the machine's and the same for all {{many}}; set base.training.{key}"
        for key in ("device", "precision", "threads")
    },
}


RANGES = ("uniform", "log_uniform", "integers", "log_integers")  # of a search
_OF_A_SEARCH = "; {} is a range of a search"


@dataclass(frozen=True)
class Changing:
    """Who changes keys of the base, in words: ``one`` of ``many``, and whose the ``seeds`` are."""

    one: str
    many: str
    seeds: str


ARMS = Changing("an arm", "arms", "is not an arm's own: every arm trains with the same seeds; set scoring.seeds")


@dataclass(frozen=True)
class Base:
    """The base of a study as it was written, checked: with its specification and the facts of its data.

    One whose sections are right by themselves, but that has ``faults``, is there to check what changes it: these are
    reported already. Its facts are None where the data cannot be read.
    """

    document: Document
    spec: ExperimentSpec
    facts: DataFacts | None
    faults: tuple[Fault, ...] = ()


@dataclass
class Values:
    """What an arm says of one key: a value, or those of a grid; ``at`` leads to it below the arm's name."""

    at: KeyPath
    values: list[Any]
    is_grid: bool = False


def read_arms(document: Document, base: Base | None) -> tuple[dict[str, Arm], list[Fault]]:
    """The arms that have no fault, and the faults of the others; without a ``base`` only what needs none."""
    section = document.value["arms"]
    if not isinstance(section, dict):
        example = "{ReLU: {model.activation: relu}, GELU: {model.activation: gelu}}"
        return {}, [document.fault(("arms",), f"must be a mapping such as {example}, got {described(section)}")]
    arms: dict[str, Arm] = {}
    contents: dict[str, frozenset[str]] = {}
    faults: list[Fault] = []
    if not 2 <= len(section) <= MAX_OPTIMIZERS:
        limit = "at least 2 arms" if len(section) < 2 else f"at most {MAX_OPTIMIZERS} arms"
        faults.append(document.fault(("arms",), f"must name {limit} to compare, got {len(section)}"))
    for name, entry in section.items():
        path: KeyPath = ("arms", name)
        faults += [document.fault(path, message, key=True) for message in unusable_name(name, section, "an arm")]
        reader = SettingsReader(document, path)
        try:
            values = reader.values_of(entry)
            if base is not None:
                arms[name], contents[name] = reader.checked(values, base)
        except SpecError as error:
            faults += error.faults
    for name, content in contents.items():
        first = next(other for other in contents if contents[other] == content)
        if first != name:
            message = f"is the same as '{first}', so the two could only tie; leave one of them out"
            faults.append(document.fault(("arms", name), message, key=True))
    return arms, faults


@dataclass
class SettingsReader:
    """One arm, at ``path`` of the study's document, or what a search may change, which has no ``limit`` of settings."""

    document: Document
    path: KeyPath
    limit: int | None = MAX_SETTINGS
    who: Changing = ARMS

    def values_of(self, entry: object) -> dict[KeyPath, Values]:
        """What the arm says, by key path of the base, whole sections first. Raises SpecError with every fault."""
        if entry is None:
            entry = {}  # the base as it is
        if not isinstance(entry, dict):
            message = (
                f"must be a mapping of keys of the base, such as {{model.activation: gelu}}, got {described(entry)}"
            )
            raise SpecError([self.document.fault(self.path, message)])
        values: dict[KeyPath, Values] = {}
        faults: list[Fault] = []
        for key, value in entry.items():
            path = key_path(key)
            try:
                if path is None:
                    raise FaultyError([((key,), "must be a key of the base such as model.activation or optimizer.lr")])
                if (reason := self._refusal(path, value)) is not None:
                    raise FaultyError([((key,), reason)])
                values |= {
                    one: of for one, of in self._split(path, value, (key,)) if one not in values or not of.is_grid
                }
            except FaultyError as error:
                faults += [self.document.fault((*self.path, *at), message) for at, message in error.findings]
        total = math.prod(len(value.values) for value in values.values())
        if self.limit is not None and total > self.limit and not faults:
            faults.append(self.document.fault(self.path, _too_large(total), key=True))
        if faults:
            raise SpecError(faults)
        return dict(sorted(values.items(), key=lambda item: len(item[0])))

    def _refusal(self, path: KeyPath, value: object) -> str | None:
        """Why nobody may change the key at ``path``; None where one may, or where there is no such key."""
        section, key, who = path[0], path[1] if len(path) > 1 else None, self.who
        if path == ("seed",):
            return who.seeds
        if path == ("name",):
            return "names nothing in a trial; leave it out"
        if section == "base":
            return f"keys are those of the base anyway; write {dotted(path[1:])}" if key else "write keys of the base"
        if path == ("optimizer", "name") and any(":" in str(one) for one in _listed(value)):
            return "an optimizer by its import path is a section: optimizer: {name: my_module:MyOptimizer, lr: 0.01}"
        if section == "training" and key in _OF_TRAINING:
            return _OF_TRAINING[str(key)].format(many=who.many)
        if path == ("training",):
            given = next((one for one in value if one not in _OF_TRAINING), None) if isinstance(value, dict) else None
            return (
                f"would as a whole section set the epochs too, which are the same for all {who.many}; write single "
                f"keys, such as training.{given or 'batch_size'}"
            )
        if section == "data" and key not in _OF_DATA:
            allowed = ", ".join(f"data.{key}" for key in _OF_DATA)
            return (
                f"changes the rows that are scored, so that {who.many} could not be compared; set it in the base (of "
                f"the data {who.one} may change {allowed})"
            )
        if section == "evaluation" and key not in _OF_EVALUATION:
            return f"changes what is measured, so that {who.many} could not be compared; set it in the base"
        return None

    def _split(self, path: KeyPath, value: Any, at: KeyPath) -> Iterator[tuple[KeyPath, Values]]:
        """A value without its grids, and the grids inside it. Raises FaultyError."""
        if isinstance(value, dict) and (word := next((key for key in value if _is_range(key)), None)) is not None:
            message = "must be a value, a list to choose from or {log_grid: [low, high, points]}, got a mapping"
            slip = close(compact(word), ["loggrid"])
            raise FaultyError([(at, message + ("; did you mean 'log_grid'?" if slip else _OF_A_SEARCH.format(word)))])
        if isinstance(value, dict) and "log_grid" in value:
            yield path, Values(at, _log_grid(value, at), is_grid=True)
        elif isinstance(value, dict) and is_section(path):
            inner = [found for key, item in value.items() for found in self._split((*path, key), item, (*at, key))]
            grids = [(one, of) for one, of in inner if of.is_grid]
            lists = {one: of.values[0] for one, of in inner if not of.is_grid}
            whole: dict[str, Any] = {key: lists.get((*path, key), item) for key, item in value.items()}
            for one, of in grids:
                _set(whole, one[len(path) :], of.values[0])
            yield path, Values(at, [whole])
            yield from grids
        elif not isinstance(value, list) or ((form := form_at(path)) == "list" and not _of_lists(value)):
            yield path, Values(at, [value])
        elif (len(value) == 1 and is_unknown(path)) or (form == "either" and len(value) == 1 and _of_lists(value)):
            yield path, Values(at, value)
        elif len(value) < 2:
            given = f"one; write {dotted(path)}: {described(value[0])} for a fixed value" if value else "none"
            raise FaultyError([(at, f"must have at least two values to choose from, got {given}")])
        else:
            repeated = next((i for i, item in enumerate(value) if item in value[:i] and item is not True), None)
            if repeated is not None:
                message = f"repeats the value {described(value[repeated])}; keep one of them"
                raise FaultyError([((*at, repeated), message)])
            yield path, Values(at, value, is_grid=True)

    def checked(self, values: Mapping[KeyPath, Values], base: Base) -> tuple[Arm, frozenset[str]]:
        """The arm, and what its settings train. Raises SpecError with every fault of every setting."""
        faults: list[Fault] = []
        fixed: dict[str, Any] = {}
        grids: dict[str, list[Any]] = {dotted(_lifted(path)): [] for path, of in values.items() if of.is_grid}
        contents = set()
        for places in product(*(range(len(of.values)) for of in values.values())):
            spec, found = self.check_setting(dict(zip(values, places, strict=True)), values, base)
            if spec is None or found:
                faults += found
                continue
            contents.add(json.dumps(plain(spec), sort_keys=True))
            resolved = plain(spec)
            for (path, of), place in zip(values.items(), places, strict=True):
                value = _dig(resolved, _lifted(path), default=of.values[place])
                if not of.is_grid and not any(
                    _lifted(path)[:end] in map(path_of, fixed) for end in range(1, len(path))
                ):
                    fixed.setdefault(dotted(_lifted(path)), value)
                elif not of.is_grid:
                    continue  # a part of a section that is there as a whole
                elif value not in (known := grids[dotted(_lifted(path))]):
                    known.append(value)
        if faults:
            raise SpecError(list(dict.fromkeys(faults)))
        ordered = {key: sorted(items) if is_ordered(items) else items for key, items in grids.items()}
        return Arm(base.spec, fixed, ordered), frozenset(contents)

    def check_setting(
        self, places: Mapping[KeyPath, int], values: Mapping[KeyPath, Values], base: Base
    ) -> tuple[ExperimentSpec | None, list[Fault]]:
        """One setting: its experiment, and what is wrong with it."""
        written = base.document
        document = Document(
            written.source, copy.deepcopy(written.value), dict(written.positions), dict(written.key_positions)
        )
        for path, place in places.items():
            value = values[path]
            position = self.document.position((*self.path, *value.at))
            try:
                put(document, path, copy.deepcopy(value.values[place]), ExperimentSpec, position=position)
            except SpecError as error:
                at = (*self.path, *value.at)
                of_the_base = "in the base; write it there as a whole"
                return None, [self.document.fault(at, f"{fault.message} {of_the_base}") for fault in error.faults]
        anchor(document)
        if any(path[0] == "optimizer" for path in places):
            inspect_code(document, ("optimizer",))
        changes_data = any(path[0] == "data" for path in places)
        is_read = base.facts is not None
        spec, sections, found = check(
            document, ExperimentSpec, BASE_RULES, facts=None if changes_data else base.facts, reads=is_read
        )
        faults = [self._relocated(fault, places, values) for fault in found if fault not in base.faults]
        if spec is None or faults:
            return None, faults
        spec = with_defaults(spec)
        if base.facts is None or (facts := sections.get("facts")) is None:
            return spec, []  # all that can be known
        if changes_data and not _same_rows(facts, base.facts):
            key = next(value.at for path, value in values.items() if path[0] == "data")
            message = (
                f"changes which rows are trained on or scored, so that {self.who.many} could not be compared; set it "
                "in the base"
            )
            return None, [self.document.fault((*self.path, *key), message)]
        if not base.faults:
            spec = pinned(Experiment(spec, facts)).spec  # as the base is
        return spec, []

    def _relocated(self, fault: Fault, places: Mapping[KeyPath, int], values: Mapping[KeyPath, Values]) -> Fault:
        """A fault of the base with the arm's changes in it, at what the arm says."""
        for path in sorted(places, key=len, reverse=True):
            key, of = dotted(path), values[path]
            if fault.path == key or fault.path.startswith((f"{key}.", f"{key}[")):
                below = key_path(f"x{fault.path[len(key) :]}")
                index: KeyPath = (places[path],) if of.is_grid else ()
                if fault.message.startswith("unknown key") and not (below or ())[1:]:
                    index = ()  # one fault, however many values it has
                elif fault.message.startswith("required key is missing; e.g.") and (
                    said := _leaves_out(fault.path, path, values)
                ):
                    return self.document.fault((*self.path, *of.at), said, key=True)
                at = (*self.path, *of.at, *index, *(below or ("x",))[1:])
                return self.document.fault(at, fault.message, key=fault.message.startswith("unknown key"))
        if fault.message.startswith("unknown key"):  # of the base's section, which got another name
            *section, unknown = path_of(fault.path)
            tag = next((path for path in places if path[-1] in TAGS and list(path[:-1]) == section), None)
            if tag is not None:
                name, where = values[tag].values[places[tag]], dotted(section)
                message = (
                    f"keeps the other keys of the base's {where}, and {name} has no {unknown}; write a section, "
                    f"{where}: {{{tag[-1]}: {name}, …}}"
                )
                return self.document.fault((*self.path, *values[tag].at), message, key=True)
        # A section around a key that the arm names, or a key that it leaves as it is beside one that it changes.
        above = next((of for path, of in values.items() if dotted(path).startswith(f"{fault.path}.")), None)
        if above is not None:
            return self.document.fault((*self.path, *above.at), f"{fault.path}: {fault.message}", key=True)
        return self.document.fault(self.path, f"{fault.path}: {fault.message}", key=True)


def as_optimizers(arms: Mapping[str, Arm]) -> dict[str, Candidate] | None:
    """The arms as a comparison of optimizers, where they change nothing but these and tune numbers of them alone."""
    candidates = {}
    for name, arm in arms.items():
        if any(path_of(key)[0] != "optimizer" for key in (*arm.fixed, *arm.grids)):
            return None
        paths = {key: path_of(key) for key in arm.grids}
        if any(
            len(path) != 2 or not (is_ordered(arm.grids[key]) or _of_lists(arm.grids[key]))
            for key, path in paths.items()
        ):
            return None
        spec = changed_spec(arm.base, arm.settings()[0]).optimizer
        grids = {str(path[1]): arm.grids[key] for key, path in paths.items()}
        ordered = {key: grids[key] for key in (*type(spec).model_fields, *grids) if key in grids}
        values = spec.model_dump()
        fixed = {"name": values["name"]} | {key: value for key, value in values.items() if key not in grids}
        candidates[name] = Candidate(fixed, ordered)
    return candidates


def as_arms(optimizers: Mapping[str, Candidate], base: ExperimentSpec) -> dict[str, Arm]:
    """The short form written out: arms that each have an optimizer of their own."""
    arms = {}
    for name, candidate in optimizers.items():
        first = candidate.settings()[0].model_dump()
        whole = {"name": first.pop("name")} | first
        arms[name] = Arm(
            base, {"optimizer": whole}, {f"optimizer.{key}": grid for key, grid in candidate.grids.items()}
        )
    return arms


def names_optimizer(section: object) -> bool:
    """Whether every arm names an optimizer of its own, so that the base's is a placeholder."""
    keys = ("optimizer", "optimizer.name")
    return isinstance(section, dict) and all(
        isinstance(entry, dict) and any(key in entry for key in keys) for entry in section.values()
    )


def _is_range(key: object) -> bool:
    return key in RANGES or (key != "log_grid" and close(compact(key), ["loggrid"]) is not None)


def _leaves_out(missing: str, path: KeyPath, values: Mapping[KeyPath, Values]) -> str | None:
    """That sections at ``path`` have not all that they need; None where one of them says nothing itself."""
    of = values[path]
    if not all(isinstance(section, dict) and section for section in of.values):
        return None
    [*_, left_out] = path_of(missing)
    key = next(iter(of.values[0]))
    chosen = values.get((*path, key))
    several = chosen.values if chosen is not None else [section.get(key) for section in of.values]
    example = example_of(dotted((*path, key)), several if len(several) > 1 else several[0])
    return (
        f"leaves out {left_out}: a section replaces that of the base as a whole; write {example} to change that alone"
    )


def example_of(key: str, value: Any) -> str:
    """A key with its value as YAML has it in one line, where that is short."""
    text = yaml_line({key: value})
    return text if len(text) <= 80 else f"{key}: …"


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _too_large(total: int) -> str:
    return f"the grids make {total:,} settings; the limit is {MAX_SETTINGS:,}"


def _log_grid(value: dict[str, Any], at: KeyPath) -> list[float]:
    try:
        return log_grid_values("", value)
    except FaultyError as error:
        raise FaultyError([((*at, *below[1:]), message) for below, message in error.findings]) from None


def is_section(path: KeyPath) -> bool:
    """Whether a mapping at ``path`` is a section of the experiment."""
    sections: list[type[BaseModel]] = [ExperimentSpec]
    for part in path:
        sections = sections_at(sections, str(part))
    return bool(sections)


def _of_lists(values: list[Any]) -> bool:
    return bool(values) and all(isinstance(value, list) for value in values)


def _lifted(path: KeyPath) -> KeyPath:
    """The section whose name stands at ``path``, since its other keys follow from the name; else the path itself."""
    return path[:-1] if path[-1] in TAGS and len(path) > 1 else path


def _dig(values: Any, path: KeyPath, *, default: Any) -> Any:
    for part in path:
        try:
            values = values[part]
        except (LookupError, TypeError):
            return default
    return values


def _set(values: dict[str, Any], path: KeyPath, value: Any) -> None:
    for part in path[:-1]:
        values = values[str(part)]
    values[str(path[-1])] = value


def _same_rows(facts: DataFacts, others: DataFacts) -> bool:
    """Whether the same rows are trained on and scored, for the same targets."""
    return facts.rows == others.rows and (facts.class_names, facts.n_targets, facts.target_names, facts.weight) == (
        others.class_names,
        others.n_targets,
        others.target_names,
        others.weight,
    )
