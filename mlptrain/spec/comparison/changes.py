"""What an arm of a study changes in its base: values by key path, such as ``{"model.activation": "gelu"}``."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from mlptrain.spec.base import TAGS, names_of, sections_at
from mlptrain.spec.dump import plain
from mlptrain.spec.experiment import Experiment, ExperimentSpec
from mlptrain.spec.foreign import defaults_of
from mlptrain.spec.optimizer import OptimizerSpec
from mlptrain.spec.overrides import key_path, put
from mlptrain.spec.reader import Document, KeyPath, Position

# What one trial changes in the base: its optimizer as a whole section, or values by their key paths.
Changes = OptimizerSpec | Mapping[str, Any]
Form = Literal["list", "plain", "either"]
_HERE = Position("")
_NOTHING = object()


def path_of(key: str) -> KeyPath:
    """The path of a key that was read already."""
    path = key_path(key)
    assert path is not None, key
    return path


def changed_spec(spec: ExperimentSpec, changes: Mapping[str, Any]) -> ExperimentSpec:
    """The experiment with other values, whole sections before what lies inside them.

    Raises SpecError or pydantic's ValidationError for values that it cannot have.
    """
    document = Document("", plain(spec))
    for path, value in in_order_of_depth(changes).items():
        put_change(document, path, value)
    return ExperimentSpec.model_validate(document.value)


def in_order_of_depth(changes: Mapping[str, Any]) -> dict[KeyPath, Any]:
    """By their paths: whole sections before what lies inside them, and of that the name first; else as they stand."""
    by_path = {path_of(key): value for key, value in changes.items()}
    return dict(sorted(by_path.items(), key=lambda item: (len(item[0]), item[0][-1] not in TAGS)))


def put_change(document: Document, path: KeyPath, value: Any) -> None:
    """Put a value into an experiment that is written out in full.

    A section that gets another name keeps what is not one of its defaults and the new one has too. Raises SpecError
    where there is no such place.
    """
    *within, key = path
    section = _at(document.value, within)
    before = section.get(key) if isinstance(section, dict) else None
    put(document, path, copy.deepcopy(value), ExperimentSpec, position=_HERE)
    if key not in TAGS or not within or before in (None, value):
        return
    sections: list[type[BaseModel]] = [ExperimentSpec]
    for part in within:
        sections = sections_at(sections, part) if isinstance(part, str) else sections
    old, new = sections_named(sections, before), sections_named(sections, value)
    usual = {name: field.default for one in old for name, field in one.model_fields.items()} | {**defaults_of(before)}
    for name, kept in list(section.items()):
        if name != key and (kept == usual.get(name, _NOTHING) or not any(name in one.model_fields for one in new)):
            del section[name]


def sections_named(sections: Sequence[type[BaseModel]], name: object) -> list[type[BaseModel]]:
    """Those of a union that ``name`` may be: the ones with that name, else those that have none of their own."""
    named = [section for section in sections if name in names_of(section)]
    return named or [section for section in sections if not names_of(section)]


def _at(values: Any, path: Iterable[str | int]) -> Any:
    for part in path:
        try:
            values = values[part]
        except (LookupError, TypeError):
            return None
    return values


def with_changes(base: Experiment, changes: Changes, *, seed: int) -> Experiment:
    """What a trial trains: the base with the changes of its arm and a seed."""
    if not isinstance(changes, Mapping):
        return base.changed(optimizer=changes, seed=seed)
    spec = changed_spec(base.spec, changes)
    facts = base.facts if spec.data == base.data else spec.data.facts()
    return Experiment(spec, facts, base.folder).changed(seed=seed)


def plain_changes(changes: Changes) -> dict[str, Any]:
    """As a mapping of plain values, for a file or a name."""
    return dict(changes) if isinstance(changes, Mapping) else changes.model_dump()


def value_of(changes: Changes, field: str) -> Any:
    """The value of a tuned field: a key path, or of an optimizer's section the name of the field."""
    return changes[field] if isinstance(changes, Mapping) else getattr(changes, field)


def form_at(path: KeyPath) -> Form:
    """What the key at ``path`` takes: a list alone, no list, or either; of an unknown key no list."""
    sections: list[type[BaseModel]] = [ExperimentSpec]
    for part in path[:-1]:
        sections = sections_at(sections, str(part))
    fields = [section.model_fields[str(path[-1])] for section in sections if path[-1] in section.model_fields]
    kinds = {kind for field in fields for kind in _kinds(field.annotation)}
    if "list" not in kinds:
        return "plain"
    return "list" if kinds == {"list"} else "either"


def is_unknown(path: KeyPath) -> bool:
    """Whether an experiment has no such key, whatever its sections are; never where an optimizer's class decides."""
    sections: list[type[BaseModel]] = [ExperimentSpec]
    for part in path:
        if any(section.model_config.get("extra") == "allow" for section in sections):
            return False
        if sections and not any(part in section.model_fields for section in sections):
            return True
        sections = sections_at(sections, str(part))
    return False


def _kinds(annotation: Any) -> Iterator[Form]:
    """Of every alternative that an annotation has, whether it is a list."""
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        for inner in get_args(annotation):
            yield from _kinds(inner)
    elif hasattr(annotation, "__metadata__"):
        yield from _kinds(annotation.__origin__)
    elif annotation is not type(None):
        yield "list" if origin in (list, tuple) else "plain"
