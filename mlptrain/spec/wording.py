"""Pydantic's findings in this project's words: what came, what was wanted, the nearest name."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from mlptrain.spec.base import LARGEST, either, names_of, sections_in
from mlptrain.spec.data import SCALING_FORMS
from mlptrain.spec.reader import Document, KeyPath, dotted
from mlptrain.spec.synonyms import SYNONYMS


def meant(word: object, allowed: Collection[str]) -> str | None:
    """The allowed name that is the same word in another spelling or another library's word, or None."""
    folded = str(word).lower().replace("-", "_")
    for name in (folded, SYNONYMS.get(folded)):
        if name in allowed:
            return name
    return None


def nearest(word: object, allowed: Collection[str]) -> str | None:
    """The allowed name that was most likely meant, or None."""
    if name := meant(word, allowed):
        return name
    matches = difflib.get_close_matches(str(word).lower().replace("-", "_"), allowed, n=1, cutoff=0.6)
    return matches[0] if matches else None


def came(value: object) -> str:
    """A value as the user would recognise it."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the text '{value}'" if len(value) <= 40 else f"the text '{value[:40]}…'"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        nested = any(isinstance(item, (list, dict)) for item in value)
        return "a list" if len(value) > 6 or nested or len(text := f"{value}") > 200 else text
    text = str(value)
    return text if len(text) <= 40 else f"{text[:40]}…"


@dataclass(frozen=True)
class _Spot:
    """Where pydantic's location leads: the keys of the file, the sections there, and what each may be instead."""

    path: KeyPath
    sections: list[type[BaseModel]]
    siblings: list[type[BaseModel]]
    choices: list[str]  # words that the last key may have for its value or its section's name


def _follow(model: type[BaseModel], location: Sequence[str | int]) -> _Spot:
    """Walk a location, whose parts are keys, indices and the tags of union members, which the file does not have."""
    path: KeyPath = ()
    sections, siblings = [model], [model]
    choices: list[str] = []
    previous: str | int = ""
    tag_follows = False
    for part in location:
        tagged = [section for section in sections if part in names_of(section)] if tag_follows else []
        if tagged:
            sections, tag_follows = tagged, False
        elif previous != "scaling" or part not in SCALING_FORMS:
            path = (*path, part)
            fields = [section.model_fields[str(part)] for section in sections if part in section.model_fields]
            found = [inner for field in fields for inner in sections_in(field.annotation)]
            words = [*(word for field in fields for word in _words(field.annotation)), *_names_of(found)]
            choices = list(dict.fromkeys(words)) or choices
            sections = siblings = found or sections
            tag_follows = len(found) > 1 or any(field.discriminator for field in fields)
        previous = part
    return _Spot(path, sections, siblings, choices)


def fault_path(document: Document, error: ErrorDetails, model: type[BaseModel]) -> KeyPath:
    """The keys that lead to one of pydantic's findings, as far as they stand in the file."""
    kind, location = error["type"], error["loc"]
    path = _follow(model, location).path
    if kind.startswith("at:"):  # raised for a whole section, about one of its keys
        return (*path, kind.removeprefix("at:"))
    value: Any = document.value
    for depth, part in enumerate(path):
        if isinstance(value, str):  # a short name, which was checked as a mapping
            return path[:depth]
        if not isinstance(value, dict) or part in value:
            value = value[part]
    if kind in ("union_tag_invalid", "union_tag_not_found") and isinstance(value, dict):
        return (*path, "name")
    return path


def _names_of(sections: Iterable[type[BaseModel]]) -> list[str]:
    return [name for section in sections for name in names_of(section)]


def _words(annotation: Any) -> Iterator[str]:
    """The words of every ``Literal`` in an annotation."""
    for inner in get_args(annotation):
        if get_origin(annotation) is not Literal:
            yield from _words(inner)
        elif isinstance(inner, str):
            yield inner


def home_of(model: type[BaseModel], key: str, *, within: KeyPath = (), without: Collection[str] = ()) -> list[str]:
    """The dotted paths at which ``key`` is known, for a key that stands in the wrong section.

    ``within`` leads to the mapping that ``model`` describes. An experiment inside a comparison is searched too, but
    for its optimizer, which the comparison names.
    """
    homes = [dotted(within) or "the top level"] if key in model.model_fields else []
    fields = {name: list(sections_in(field.annotation)) for name, field in model.model_fields.items()}
    for name, sections in fields.items():
        owners = [section for section in sections if key in section.model_fields]
        if not owners or name in without:
            continue
        if len(owners) < len(sections):
            homes += [f"{dotted((*within, name))} {tag}" for owner in owners for tag in names_of(owner)]
        else:
            homes.append(dotted((*within, name, key)))
    if not homes and "base" in fields:
        return home_of(fields["base"][0], key, within=(*within, "base"), without=("optimizer",))
    return homes


_KINDS = {
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "bool_type": "true or false",
}
_BOUNDS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "at most"),
}


def message_for(error: ErrorDetails, path: KeyPath, model: type[BaseModel], *, within: KeyPath = ()) -> str:
    """One finding of pydantic as one sentence; ``path`` is its place without union members' names.

    ``within`` leads to the mapping that ``model`` describes, where that is not the whole file.
    """
    kind, context, value = error["type"], error.get("ctx", {}), error["input"]
    if kind == "extra_forbidden":
        return _unknown_key(str(path[-1]), error["loc"], model, within=within)
    if kind in ("missing", "union_tag_not_found") and path[-1] == "name":
        names = _names_of(_follow(model, path[:-1]).sections)
        return f"required key is missing; e.g. name: {names[0]}"
    if kind == "missing":
        return f"required key is missing; e.g. {_EXAMPLES.get(dotted(path), f'{path[-1]}: …')}"
    if kind.startswith("at:"):
        return error["msg"] + (f", got {came(value.get('classes'))}" if kind == "at:classes" else "")
    if kind in ("literal_error", "union_tag_invalid"):
        word = value["name"] if kind == "union_tag_invalid" else value
        return not_among(_follow(model, error["loc"]).choices, word, scaling=path[-1] == "scaling")
    if kind == "string_pattern_mismatch":
        guess = meant(value, ["cuda"]) if path[-1] == "device" else None
        wanted = _PATTERNS.get(str(path[-1]), "of another form")
        return f"must be {wanted}, got {came(value)}" + (f"; did you mean '{guess}'?" if guess else "")
    if kind == "wanted":
        word = nearest(value, [str(context["wanted"]).rsplit(" ", 1)[-1]]) if isinstance(value, str) else None
        hint = f"; did you mean '{word}'?" if word else number_hint("float_type", value)
        return f"{error['msg']}, got {came(value)}{hint}"
    if kind == "list_type":
        return f"must be a list such as {_LISTS.get(str(path[-1]), '[1, 2]')}, got {came(value)}"
    if kind in ("model_type", "model_attributes_type"):
        names = _names_of(_follow(model, path).sections)
        named = f"a name such as {names[0]}, or " if names else ""
        return f"must be {named}a mapping of keys and values, got {came(value)}"
    return plain_message(error) + number_hint(kind, value)


def plain_message(error: ErrorDetails) -> str:
    """One finding of pydantic about a value, whatever it stands for; pydantic's own words are the last resort."""
    kind, context, value = error["type"], error.get("ctx", {}), error["input"]
    if kind == "missing":
        return "is missing"
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        limit = f"{context[key]:,}" if isinstance(context[key], int) else f"{context[key]:,.15g}"
        return f"must be {words} {limit}, got {came(value)}"
    if kind in ("too_short", "too_long"):
        words = f"at least {context['min_length']}" if kind == "too_short" else f"at most {context['max_length']}"
        items = "item" if words.endswith(" 1") else "items"
        return f"must have {words} {items}, got {context['actual_length']}"
    if kind in _KINDS:
        return f"must be {_KINDS[kind]}, got {came(value)}"
    return f"is not accepted, got {came(value)} ({error['msg']})"


_EXAMPLES = {
    "data": "data: digits",
    "model": "model: {hidden: [64]}",
    "model.hidden": "hidden: [64], or [] for a linear model",
    "optimizer": "optimizer: {name: sgd, lr: 0.1}",
    "data.scaling.mean": "mean: 0.1307",
    "data.scaling.std": "std: 0.3081",
    "base": "base: mnist.yaml, or the mapping of an experiment",
    "optimizers": "optimizers: {SGD: {name: sgd, lr: [0.01, 0.1]}, Adam: {name: adam, lr: [0.001, 0.01]}}",
    "target.metric": "metric: validation_accuracy",
    "target.value": "value: 0.97",
}
_LISTS = {"hidden": "[64, 32]", "classes": "[0, 1]", "betas": "[0.9, 0.999]", "seeds": "[0, 1, 2]"}
_PATTERNS = {
    "name": "at most 64 letters, digits, '.', '_' or '-', starting with a letter or digit, since it names a folder",
    "device": "auto, cpu, cuda or cuda:N",
    "address": "local (start Ray on this machine), auto (the cluster that runs here), HOST:PORT or ray://HOST:PORT",
}


def not_among(choices: Sequence[str], value: object, *, scaling: bool = False) -> str:
    """Says which words there are, and which was probably meant."""
    guess = nearest(value, choices)
    wanted = either([*choices, "{mean: …, std: …}"] if scaling else choices)
    return f"must be {wanted}, got {came(value)}" + (f"; did you mean '{guess}'?" if guess else "")


def number_hint(kind: str, value: object) -> str:
    """What to write instead of a value that is nearly what pydantic's ``kind`` wants, or nothing."""
    if kind in ("int_type", "float_type") and isinstance(value, str):
        try:
            float(value.replace("_", "").replace(",", "."))
        except ValueError:
            return ""
        return "; write it without quotes, underscores or commas"
    if kind == "int_type" and isinstance(value, float) and value.is_integer():
        return f"; write {int(value)}" if abs(value) < 1e15 else ""
    if kind == "float_type" and isinstance(value, int) and value > LARGEST:
        return "; it is too large"
    if kind == "string_type" and isinstance(value, (int, float)):
        return "; put it in quotes"
    return ""


def _unknown_key(key: str, location: Sequence[str | int], model: type[BaseModel], *, within: KeyPath) -> str:
    spot = _follow(model, location[:-1])
    allowed = list(dict.fromkeys(known for section in spot.sections for known in section.model_fields))
    if guess := meant(key, allowed):
        return f"unknown key; did you mean '{guess}'?"
    owners = [name for section in spot.siblings if key in section.model_fields for name in names_of(section)]
    if owners:
        return f"unknown key here; it belongs to {either([f'{spot.path[-1]} {name}' for name in owners])}"
    if guess := nearest(key, allowed):
        return f"unknown key; did you mean '{guess}'?"
    if homes := home_of(model, key, within=within):
        return f"unknown key here; it belongs to {either(homes)}"
    if homes := home_of(model, SYNONYMS.get(key.lower(), ""), within=within):
        return f"unknown key here; did you mean {either(homes)}?"
    return f"unknown key; known here: {', '.join(allowed)}"
