"""What a setting that was drawn from a space trains: which of its keys count, and whether there is such an experiment.

A key may belong to some of the values of another one alone, as momentum does to sgd where ``optimizer.name`` is
searched. Beside the others it does not count, and a trial leaves it out.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from pydantic import BaseModel

from mlptrain.errors import SpecError
from mlptrain.spec.base import TAGS, names_of, sections_at, tag_of
from mlptrain.spec.comparison.changes import in_order_of_depth, path_of, put_change, sections_named
from mlptrain.spec.comparison.rules import BASE_RULES
from mlptrain.spec.constructors import inspect_code, takes, without_filled_in
from mlptrain.spec.dump import plain
from mlptrain.spec.experiment import Experiment, ExperimentSpec
from mlptrain.spec.load import check
from mlptrain.spec.reader import Document, KeyPath
from mlptrain.spec.search.sections import Choice, Choices, Range


def that_counts(base: ExperimentSpec, setting: Mapping[str, Any]) -> dict[str, Any]:
    """The setting without the keys that belong to values of other keys which were not drawn."""
    _, counting = put_all(plain(base), setting)
    return {key: value for key, value in setting.items() if path_of(key) in counting}


def put_all(base: Mapping[str, Any], setting: Mapping[str, Any]) -> tuple[dict[str, Any], set[KeyPath]]:
    """An experiment that is written out in full with a setting in it, and the paths of the keys that count."""
    document, ordered = Document("", copy.deepcopy(dict(base))), in_order_of_depth(setting)
    counting = set()
    for path, value in ordered.items():
        if any(decides(other, path) for other in ordered) and not _belongs(document.value, path):
            continue
        counting.add(path)
        with suppress(SpecError):  # of which the check of the setting says more
            put_change(document, path, value)
    return document.value, counting


def decides(chosen: KeyPath, path: KeyPath) -> bool:
    """Whether the value at one key may say if another one belongs: that is inside of it, or beside it as a name."""
    around = chosen[:-1] if chosen[-1] in TAGS and len(chosen) > 1 else chosen
    return chosen != path and len(around) < len(path) and path[: len(around)] == around


def as_written(space: Mapping[str, Choice]) -> dict[str, Choice]:
    """The space with sections as its file has them: without what other keys of the space set, and what was filled in.

    A key whose sections would no longer differ keeps them as they are.
    """
    paths = {key: path_of(key) for key in space}
    inside = {
        key: [other[len(path) :] for other in paths.values() if len(other) > len(path) and other[: len(path)] == path]
        for key, path in paths.items()
    }
    return {key: _sections_as_written(choice, inside[key]) for key, choice in space.items()}


def _sections_as_written(choice: Choice, inside: Sequence[KeyPath]) -> Choice:
    if isinstance(choice, Range) or not any(isinstance(value, dict) for value in choice.values):
        return choice
    sections = [value for value in choice.values if isinstance(value, dict)]
    values = []
    for value in copy.deepcopy(choice.values):
        if isinstance(value, dict):
            name = value.get("name")
            if ":" in str(name):  # an optimizer by its import path
                value = without_filled_in(value, [one for one in sections if one.get("name") == name])
            for *within, key in inside:
                at = value
                for part in within:
                    at = at.get(part) if isinstance(at, dict) else None
                if isinstance(at, dict):
                    at.pop(key, None)
        values.append(value)
    return Choices(values) if all(values.count(value) == 1 for value in values) else choice


def why_not(base: Experiment, changes: Mapping[str, Any]) -> str | None:
    """Why no experiment can have these changes, in one line; None where it can."""
    document = Document("", plain(base.spec))
    try:
        for path, value in in_order_of_depth(changes).items():
            put_change(document, path, value)
    except SpecError as error:
        return error.faults[0].message
    inspect_code(document, ("optimizer",))
    changes_data = any(path_of(key)[0] == "data" for key in changes)
    _, _, faults = check(document, ExperimentSpec, BASE_RULES, facts=None if changes_data else base.facts)
    return f"{faults[0].path}: {faults[0].message}" if faults else None


def _belongs(values: Any, path: KeyPath) -> bool:
    """Whether the sections that are chosen in an experiment have the key at ``path``, and a list that place."""
    sections: list[type[BaseModel]] = [ExperimentSpec]
    value = values
    for part in path:
        if isinstance(part, int):
            if not (isinstance(value, list) and part < len(value)):
                return False
            value = value[part]
            continue
        having = [section for section in sections if part in section.model_fields]
        if not having:
            extra = any(section.model_config.get("extra") == "allow" for section in sections)
            return extra and isinstance(value, dict) and takes(str(value.get("name")), part)
        inner = sections_at(having, part)
        is_open = isinstance(value, dict) and part not in value  # which a key inside of it adds
        value = value.get(part) if isinstance(value, dict) else None
        if is_open or not inner:
            sections = inner
        elif isinstance(value, dict):
            sections = sections_named(inner, value.get(tag_of(inner[0])))
        else:  # a name alone, or a word that stands for no section
            sections = [section for section in inner if value in names_of(section)]
    return True
