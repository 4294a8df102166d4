"""From a YAML file and overrides to a checked experiment, or to every fault at once."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Container, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar, get_type_hints

from pydantic import BaseModel, TypeAdapter, ValidationError

from mlptrain.errors import DataError, Fault, SpecError, UserError
from mlptrain.sources.facts import DataFacts, DataKeyError
from mlptrain.sources.held import ARRAYS, is_held
from mlptrain.spec.base import Section
from mlptrain.spec.constructors import inspect_code
from mlptrain.spec.dump import plain, yaml_text
from mlptrain.spec.experiment import Experiment, ExperimentSpec
from mlptrain.spec.loss import default_loss
from mlptrain.spec.mapping import Config, Overrides, assignments, document_of
from mlptrain.spec.model import FileInit
from mlptrain.spec.overrides import apply_override
from mlptrain.spec.reader import Document, KeyPath, Position, parse, read_file
from mlptrain.spec.rows import DataSection
from mlptrain.spec.rules import RULES
from mlptrain.spec.rules.model import initial_weights_fit
from mlptrain.spec.rules.registry import Rule, broken_rules
from mlptrain.spec.rules.warnings import warnings_about
from mlptrain.spec.weights import read_weights
from mlptrain.spec.wording import fault_of
from mlptrain.system.paths import AnyPath, user_path

# Keys whose values name files: a text, or a list of them.
PATHS: tuple[KeyPath, ...] = (
    ("model", "init", "path"),
    ("data", "path"),
    ("data", "test_path"),
    ("data", "validation_path"),
)
_MAX_DETAILS = 1000  # faults of one configuration; finding what 10,000 unknown keys mean took a second


@dataclass(frozen=True)
class Loaded:
    """A checked experiment, the bytes it was read from, warnings, and notes on what was detected in its data.

    ``dropped`` are warnings of columns that are no inputs, which a table of the columns says too.
    """

    experiment: Experiment
    source: bytes
    warnings: tuple[Fault, ...]
    notes: tuple[str, ...] = ()
    dropped: tuple[Fault, ...] = ()

    @property
    def spec(self) -> ExperimentSpec:
        """What the file asks for."""
        return self.experiment.spec


def load_spec(
    config: Config,
    overrides: Overrides = (),
    *,
    facts: DataFacts | None = None,
    given: Mapping[str, Any] = MappingProxyType({}),
    examine: bool = False,
    imports: bool = True,
) -> Loaded:
    """Read, override and check an experiment. Raises SpecError with every fault.

    ``config`` is a YAML file, or a mapping of the same content, which then is the source as YAML. ``overrides`` are
    ``["optimizer.lr=0.1"]`` or ``{"optimizer.lr": 0.1}``. ``facts`` are recorded ones; by default they are read from
    the data. ``given`` are keys of the data section that stand for data in memory, see ``mlptrain.sources.held``.
    ``examine``: also look at values that are known by the heads of files only, as far as that takes about a second.
    With ``imports`` false an optimizer by its import path is left alone: ``sgd`` stands in its place.
    """
    if isinstance(config, Mapping):
        document = document_of(config)
        _refuse_study(document)
        put_given(document, given)
        content = yaml_text(document.value).encode()
        return _load(document, content, default_name="experiment", overrides=overrides, facts=facts, imports=imports)
    path = user_path(config)
    content, document = read_file(path)
    _refuse_study(document)
    put_given(document, given)
    return _load(
        document,
        content,
        default_name=path.stem,
        overrides=overrides,
        facts=facts,
        folder=path.parent,
        examine=examine,
        imports=imports,
    )


def _refuse_study(document: Document) -> None:
    """Raises SpecError for a comparison or a search, with the command that runs it."""
    values = document.value
    if "base" in values or ({"space", "arms", "optimizers"} & values.keys() and not {"data", "model"} & values.keys()):
        from mlptrain.spec.which import refuse_other  # takes as long as all else here, and few files are studies

        refuse_other(document, "experiment")


def put_given(document: Document, given: Mapping[str, Any]) -> None:
    """Let the data section stand for data in memory. Raises SpecError where it names others."""
    if not given:
        return
    section = document.value.get("data") or {}
    section = {"name": section} if isinstance(section, str) else section
    if not isinstance(section, dict):
        return  # which the checks refuse
    if section.get("name", given["name"]) != given["name"]:
        message = f"is '{section['name']}', but the data that are given are '{given['name']}'; leave it out"
        raise SpecError([document.fault(("data", "name"), message)])
    files = [key for key in ("path", "test_path", "validation_path", *ARRAYS) if key in section]
    if files:
        message = "names data besides those that are given; leave one of them out"
        raise SpecError([document.fault(("data", key), message) for key in files])
    document.value["data"] = {**given, **section}


def as_loaded(
    config: Loaded | Config,
    overrides: Overrides = (),
    given: Mapping[str, Any] = MappingProxyType({}),
    *,
    imports: bool = True,
) -> Loaded:
    """What is loaded already, or ``load_spec`` of it. Raises UserError for overrides of what is loaded already."""
    if not isinstance(config, Loaded):
        return load_spec(config, overrides, given=given, imports=imports)
    if given:
        raise UserError("data for a configuration that is loaded already: give them to load_spec")
    if overrides:
        raise UserError("overrides of a configuration that is loaded already: give them to load_spec")
    return config


def load_text(
    text: str, *, source: str = "<text>", overrides: Overrides = (), facts: DataFacts | None = None
) -> Loaded:
    """As load_spec, from YAML text; ``source`` is the name in faults."""
    document = parse(text, source=source)
    return _load(document, text.encode(), default_name="experiment", overrides=overrides, facts=facts)


def _load(
    document: Document,
    content: bytes,
    *,
    default_name: str,
    overrides: Overrides,
    facts: DataFacts | None,
    folder: Path = Path(),
    examine: bool = False,
    imports: bool = True,
) -> Loaded:
    for override in assignments(overrides):
        apply_override(document, override, ExperimentSpec)
    document.value.setdefault("name", folder_name(default_name))
    if facts is None:  # of a configuration on record, nothing but its own folder is read
        anchor(document)
        inspect_code(document, ("optimizer",), imports=imports, grids=False)
    rules = RULES if facts is not None else (*RULES, initial_weights_fit)
    spec, sections, faults = check(document, ExperimentSpec, rules, facts=facts)
    if spec is None or faults:
        raise SpecError(in_order(faults, document.source))
    experiment = Experiment(with_defaults(spec), sections["facts"], folder)
    warnings = [document.fault(path, message) for path, message in warnings_about(experiment)]
    notes: tuple[str, ...] = ()
    dropped: tuple[Fault, ...] = ()
    if facts is None:
        warnings += doubts_of_data(document, spec.data)
        notes = tuple(spec.data.notes()) + (_examined(document, spec) if examine else ())
        dropped = dropped_of_data(document, spec.data)
    return Loaded(experiment, content, tuple(warnings), notes, dropped)


def doubts_of_data(document: Document, data: DataSection) -> tuple[Fault, ...]:
    """What is suspected of the data of an experiment's document, and which rows are left out, at their keys."""
    return tuple(document.fault(("data", key), message) for key, message in data.warnings())


def dropped_of_data(document: Document, data: DataSection) -> tuple[Fault, ...]:
    """Which columns of the data are no inputs, likewise."""
    return tuple(document.fault(("data", "columns"), message) for message in data.dropped())


def _examined(document: Document, spec: ExperimentSpec) -> tuple[str, ...]:
    """What was looked at. Raises SpecError for what would be refused when it is read."""
    try:
        return tuple(spec.data.examined())
    except DataError as error:
        raise SpecError([document.fault(("data", "path"), str(error))]) from None


def pinned(experiment: Experiment) -> Experiment:
    """With the digest of the file that initial weights come from, which every later run then has to find there."""
    if not isinstance(init := experiment.model.init, FileInit):
        return experiment
    path = Path(init.path)
    return experiment.with_weights(path, sha256=read_weights(path, experiment.shapes).sha256)


def starting_from(loaded: Loaded, weights: AnyPath, *, overrides: Overrides = ()) -> Loaded:
    """The experiment with the kept weights of a run, or those of a file, instead of what its ``model.init`` says.

    Raises UserError where there are none, or those of another network, or where one of the ``overrides`` that it was
    loaded with sets ``model.init``.
    """
    if clash := [text for text in assignments(overrides) if text.partition("=")[0].strip().startswith("model.init")]:
        raise UserError(f"{clash[0]} conflicts with starting from the weights in {weights}; leave one of them out")
    path = user_path(weights)
    read_weights(path, loaded.experiment.shapes)
    return replace(loaded, experiment=loaded.experiment.with_weights(path.absolute()))


def in_folds(loaded: Loaded, folds: int) -> list[Experiment]:
    """The experiment once for each fold of a cross-validation; of these rows, no test rows are drawn besides.

    Raises SpecError where the configuration does not fit the rows of a fold, and UserError for one of a fold already.
    """
    if loaded.spec.data.fold is not None:
        raise UserError("--folds conflicts with data.fold, which is one fold already; leave one of them out")
    first = _in_fold(loaded.experiment, 0, folds)
    experiments, stored = [first], first.data.source().facts()
    checked = {tuple(first.facts.rows.items())}  # folds differ in these alone, and most of them in none
    for index in range(1, folds):
        one = first.in_fold(index)
        one = replace(one, facts=DataFacts.of(stored, one.data.choice()))
        if (rows := tuple(one.facts.rows.items())) not in checked:
            _in_fold(loaded.experiment, index, folds, one.facts)
            checked.add(rows)
        experiments.append(one)
    return experiments


def _in_fold(experiment: Experiment, index: int, of: int, facts: DataFacts | None = None) -> Experiment:
    """The experiment in one fold, with the facts there, checked. Raises SpecError."""
    document = document_of(plain(experiment.spec))
    data = document.value["data"]
    data |= {"fold": {"of": of, "index": index}} | ({"test": 0} if "test" in data else {})
    spec, sections, faults = check(document, ExperimentSpec, RULES, facts=facts)
    if spec is None or faults:
        source = f"--folds {of}" + (f", fold {index}" if facts is not None else "")
        raise SpecError([Fault(source, None, None, fault.path, fault.message) for fault in faults])
    return replace(experiment, spec=with_defaults(spec), facts=sections["facts"])


def anchor(document: Document) -> None:
    """Make the paths that a document names absolute: those at ``PATHS``, each a text or a list of texts.

    A relative one starts from the folder of its file, that of an option from the current folder. Of a pattern such as
    ``part-*.csv`` the folder is escaped, so that what its name holds is no pattern.
    """
    for path in PATHS:
        parent = document.mapping(path[:-1])
        value = parent.get(path[-1])
        if isinstance(value, list):
            parent[path[-1]] = [_anchored(one, document.position((*path, index))) for index, one in enumerate(value)]
        elif isinstance(value, str):
            parent[path[-1]] = _anchored(value, document.position(path))


def _anchored(value: Any, position: Position) -> Any:
    if not isinstance(value, str) or not value or is_held(value):
        return value  # what is no path, the checks refuse
    path = Path(value)
    with suppress(UserError):  # of a user that there is not
        path = user_path(path)
    written = (position.folder / path).absolute()
    if path.is_absolute() or not glob.has_magic(value) or os.path.lexists(written):
        return str(written)
    return str(Path(glob.escape(str(position.folder.absolute())), path))


def folder_name(text: str) -> str:
    """The text as far as it can name a folder, for a configuration without a name of its own."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).lstrip("._-")[:64] or "experiment"


Checked = TypeVar("Checked", bound=Section)


def check(
    document: Document,
    model: type[Checked],
    rules: Iterable[Rule],
    *,
    known: Mapping[str, object] | None = None,
    facts: DataFacts | None = None,
    reads: bool = True,
) -> tuple[Checked | None, dict[str, Any], list[Fault]]:
    """The document as ``model``, or None; its sections without faults; and every fault.

    The rules may read these sections, the ``known`` ones and the ``facts`` of the data, by default as the data section
    reads them. Where it ``reads`` none, there are no facts, and rules that need them are left out.
    """
    faults = list(document.faults)
    spec: Checked | None = None
    sections: dict[str, Any]
    try:
        spec = model.model_validate(document.value)
        sections = {name: getattr(spec, name) for name in model.model_fields}
    except ValidationError as error:
        details = error.errors(include_url=False)
        faults += [fault_of(detail, document, model) for detail in details[:_MAX_DETAILS]]
        sections = _sections_without(model, document.value, faulty={detail["loc"][0] for detail in details})
    if reads and (data := sections.get("data")) is not None:
        try:
            sections["facts"] = facts or data.facts()
        except DataKeyError as error:
            faults += [document.fault(("data", *one.path), str(one)) for one in error.all]
        except DataError as error:
            faults.append(document.fault(("data",), str(error)))
        else:
            if "loss" in sections and "loss" not in document.value:
                sections["loss"] = default_loss(sections["facts"])
                spec = spec and spec.model_copy(update={"loss": sections["loss"]})
    findings = broken_rules({**(known or {}), **sections}, rules)
    return spec, sections, faults + [document.fault(path, message) for path, message in findings]


def _sections_without(model: type[BaseModel], values: Mapping[str, Any], *, faulty: Container[Any]) -> dict[str, Any]:
    """The sections of an invalid configuration except the ``faulty`` ones."""
    annotations = get_type_hints(model, include_extras=True)
    return {
        name: TypeAdapter(annotations[name]).validate_python(values[name]) if name in values else field.get_default()
        for name, field in model.model_fields.items()
        if name not in faulty
    }


def in_order(faults: Iterable[Fault], source: str) -> list[Fault]:
    """Each fault once, in the order of positions: first the file ``source``, other files, then overrides."""
    return sorted(
        dict.fromkeys(faults),
        key=lambda fault: (fault.line is None, fault.source != source, fault.line or 0, fault.column or 0),
    )


def with_defaults(spec: ExperimentSpec) -> ExperimentSpec:
    """The experiment with defaults that depend on other values resolved."""
    return spec.model_copy(update={"evaluation": spec.evaluation.resolved(spec.data)})
