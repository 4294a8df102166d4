"""Pydantic's errors in this project's words: the value, what is expected, the nearest name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from mlptrain.errors import Fault
from mlptrain.spec.base import MAX_NUMBER, either, names_of, sections_in
from mlptrain.spec.data import SCALING_FORMS
from mlptrain.spec.reader import Document, KeyPath, dotted, scalar
from mlptrain.spec.synonyms import SYNONYMS


def meant(word: object, allowed: Collection[str]) -> str | None:
    """The allowed name that is the same word in another spelling or another library's word, or None."""
    folded = _folded(word)
    return next((name for name in (folded, SYNONYMS.get(folded)) if name in allowed), None)


def nearest(word: object, allowed: Collection[str]) -> str | None:
    """The allowed name that was most likely meant, or None."""
    return meant(word, allowed) or next(iter(difflib.get_close_matches(_folded(word), allowed, n=1)), None)


def _folded(word: object) -> str:
    return str(word).lower().replace("-", "_")


def described(value: object) -> str:
    """A value as the user would recognise it."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        is_long = len(value) > 6 or any(isinstance(item, (list, dict)) for item in value) or len(f"{value}") > 200
        return "a list" if is_long else f"{value}"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    text = text if len(text) <= 40 else f"{text[:40]}…"
    return f"the text '{text}'" if isinstance(value, str) else text


def must_be(expected: str, value: object, *, guess: str | None = None) -> str:
    """What is expected, the value, and the word that was probably meant."""
    hint = f"; did you mean '{guess}'?" if guess else ""
    return f"must be {expected}, got {described(value)}{hint}"


@dataclass(frozen=True)
class _Finding:
    """One of pydantic's errors: the keys that lead to it, the sections there, and what each may be instead."""

    error: ErrorDetails
    value: Any
    path: KeyPath
    key: str  # the last of the path
    sections: list[type[BaseModel]]
    siblings: list[type[BaseModel]]
    choices: list[str]  # words that the last key may have for its value or its section's name
    homes_of: Callable[[str], list[str]]  # see _homes_of


def _finding(error: ErrorDetails, model: type[BaseModel], within: KeyPath) -> _Finding:
    """Walk the error's location, whose parts are keys, indices and tags of union members, which the file lacks."""
    path: KeyPath = ()
    sections, siblings = [model], [model]
    choices: list[str] = []
    tag_follows = False
    for part in error["loc"]:
        tagged = [section for section in sections if part in names_of(section)]
        if tag_follows and (tagged or part in SCALING_FORMS):
            sections, tag_follows = tagged or sections, False
            continue
        path = (*path, part)
        fields = [section.model_fields[str(part)] for section in sections if part in section.model_fields]
        members = [section for field in fields for section in sections_in(field.annotation)]
        words = [word for field in fields for word in _words(field.annotation)]
        choices = list(dict.fromkeys([*words, *_names_of(members)]))
        if members:
            sections = siblings = members
        tag_follows = part == "scaling" or any(field.discriminator for field in fields)
    homes_of = partial(_homes_of, model, within=within)
    return _Finding(error, error["input"], path, str(path[-1]), sections, siblings, choices, homes_of)


def _names_of(sections: Iterable[type[BaseModel]]) -> list[str]:
    return [name for section in sections for name in names_of(section)]


def _words(annotation: Any) -> Iterator[str]:
    """The words of every ``Literal`` in an annotation."""
    for inner in get_args(annotation):
        if get_origin(annotation) is not Literal:
            yield from _words(inner)
        elif isinstance(inner, str):
            yield inner


def _homes_of(model: type[BaseModel], key: str, *, within: KeyPath, without: Collection[str] = ()) -> list[str]:
    """The dotted paths at which ``key`` is known, for a key in the wrong section.

    ``within`` leads to the mapping that ``model`` describes. An experiment inside a comparison is searched too, but
    for its optimizer, which the comparison names.
    """
    homes = [dotted(within) or "the top level"] if key in model.model_fields else []
    for name, field in model.model_fields.items():
        sections = list(sections_in(field.annotation)) if name not in without else []
        owners = [section for section in sections if key in section.model_fields]
        if owners and len(owners) == len(sections):
            homes.append(dotted((*within, name, key)))
        else:
            homes += [f"{dotted((*within, name))} {tag}" for tag in _names_of(owners)]
    if not homes and "base" in model.model_fields:
        [base] = sections_in(model.model_fields["base"].annotation)
        return _homes_of(base, key, within=(*within, "base"), without=("optimizer",))
    return homes


def fault_of(error: ErrorDetails, document: Document, model: type[BaseModel]) -> Fault:
    """One of pydantic's errors about a document that ``model`` describes."""
    finding = _finding(error, model, document.prefix)
    return document.fault(_path_in(document.value, finding), _message(finding), key=error["type"] == "extra_forbidden")


def _path_in(value: Any, finding: _Finding) -> KeyPath:
    """The keys that lead to a finding, as far as they stand in the document with this value."""
    kind, path = finding.error["type"], finding.path
    if kind.startswith("at:"):  # raised for a whole section, about one of its keys
        return (*path, kind.removeprefix("at:"))
    for depth, part in enumerate(path):
        if isinstance(value, str):  # a short name, which was checked as a mapping
            return path[:depth]
        if not isinstance(value, dict) or part in value:
            value = value[part]
    is_about_name = kind in ("union_tag_invalid", "union_tag_not_found") and isinstance(value, dict)
    return (*path, "name") if is_about_name else path


def message_for(error: ErrorDetails, model: type[BaseModel], *, within: KeyPath = ()) -> str:
    """One of pydantic's errors as one sentence; ``within`` leads to the mapping that ``model`` describes."""
    return _message(_finding(error, model, within))


def _message(finding: _Finding) -> str:
    return _MESSAGES.get(finding.error["type"].partition(":")[0], _wrong_value)(finding)


def _wrong_value(finding: _Finding) -> str:
    kind, context = finding.error["type"], finding.error.get("ctx", {})
    if kind not in _EXPECTED:  # pydantic's own words are the last resort
        return f"is not valid, got {described(finding.value)} ({finding.error['msg']})"
    limits = {key: f"{limit:,}" if isinstance(limit, int) else f"{limit:,.15g}" for key, limit in context.items()}
    return must_be(_EXPECTED[kind].format(**limits), finding.value) + number_hint(kind, finding.value)


def _wrong_length(finding: _Finding) -> str:
    context = finding.error["ctx"]
    limit = f"at least {context['min_length']}" if "min_length" in context else f"at most {context['max_length']}"
    return f"must have {limit} {'item' if limit.endswith(' 1') else 'items'}, got {context['actual_length']}"


def _missing(finding: _Finding) -> str:
    path = (*finding.path, "name") if finding.error["type"] == "union_tag_not_found" else finding.path
    example = _EXAMPLES.get(dotted(path)) or f"{path[-1]}: {next(iter(finding.choices), '…')}"
    return f"required key is missing; e.g. {example}"


def _wrong_word(finding: _Finding) -> str:
    word = finding.value["name"] if finding.error["type"] == "union_tag_invalid" else finding.value
    numbers = ["{mean: …, std: …}"] if finding.key == "scaling" else []
    return must_be(either([*finding.choices, *numbers]), word, guess=nearest(word, finding.choices))


def _wrong_form(finding: _Finding) -> str:
    expected = _FORMS.get(finding.key) or f"text of the form {finding.error['ctx']['pattern']}"
    return must_be(expected, finding.value, guess=meant(finding.value, ["cuda"]) if finding.key == "device" else None)


def _wrong_scalar(finding: _Finding) -> str:
    expected, value = str(finding.error["ctx"]["expected"]), finding.value
    word = expected.rpartition(" ")[2]  # which may stand instead of a number
    guess = nearest(value, [word]) if isinstance(value, str) and word.isidentifier() else None
    return must_be(expected, value, guess=guess) + number_hint("float_type", value)


def _not_a_list(finding: _Finding) -> str:
    return must_be(f"a list such as {_LISTS.get(finding.key, '[1, 2]')}", finding.value)


def _not_a_mapping(finding: _Finding) -> str:
    name = f"a name such as {finding.choices[0]}, or " if finding.choices else ""
    return must_be(f"{name}a mapping of keys and values", finding.value)


def _unknown_key(finding: _Finding) -> str:
    key, sections = finding.key, finding.sections
    allowed = list(dict.fromkeys(known for section in sections for known in section.model_fields))
    owners = _names_of(section for section in finding.siblings if key in section.model_fields)
    if guess := meant(key, allowed) or (None if owners else nearest(key, allowed)):
        return f"unknown key; did you mean '{guess}'?"
    if homes := [f"{finding.path[-2]} {name}" for name in owners] or finding.homes_of(key):
        return f"unknown key here; it belongs to {either(homes)}"
    if homes := finding.homes_of(SYNONYMS.get(key.lower(), "")):
        return f"unknown key here; did you mean {either(homes)}?"
    return f"unknown key; known here: {', '.join(allowed)}"


_MESSAGES: dict[str, Callable[[_Finding], str]] = {
    "at": lambda finding: finding.error["msg"],  # raised by a section, in these words
    "expected": _wrong_scalar,
    "extra_forbidden": _unknown_key,
    "list_type": _not_a_list,
    "literal_error": _wrong_word,
    "missing": _missing,
    "model_attributes_type": _not_a_mapping,
    "model_type": _not_a_mapping,
    "string_pattern_mismatch": _wrong_form,
    "too_long": _wrong_length,
    "too_short": _wrong_length,
    "union_tag_invalid": _wrong_word,
    "union_tag_not_found": _missing,
}
_EXPECTED = {
    "bool_type": "true or false",
    "finite_number": "a finite number",
    "float_type": "a number",
    "greater_than": "above {gt}",
    "greater_than_equal": "at least {ge}",
    "int_type": "a whole number",
    "less_than": "below {lt}",
    "less_than_equal": "at most {le}",
    "string_type": "text",
}
_LISTS = {"hidden": "[64, 32]", "classes": "[0, 1]", "betas": "[0.9, 0.999]", "seeds": "[0, 1, 2]"}
_FORMS = {
    "name": "at most 64 letters, digits, '.', '_' or '-', starting with a letter or digit, since it names a folder",
    "device": "auto, cpu, cuda or cuda:N",
    "address": "local (start Ray on this machine), auto (the cluster that runs here), HOST:PORT or ray://HOST:PORT",
}
_EXAMPLES = {
    "data": "data: digits",
    "model": "model: {hidden: [64]}",
    "model.hidden": "hidden: [64], or [] for a linear model",
    "optimizer": "optimizer: {name: sgd, lr: 0.1}",
    "data.scaling.mean": "mean: 0.1307",
    "data.scaling.std": "std: 0.3081",
    "schedule.milestones": "milestones: [30, 60]",
    "base": "base: mnist.yaml, or the mapping of an experiment",
    "optimizers": "optimizers: {SGD: {name: sgd, lr: [0.01, 0.1]}, Adam: {name: adam, lr: [0.001, 0.01]}}",
    "target.value": "value: 0.97",
}


def number_hint(kind: str, value: object) -> str:
    """What to write instead of a value that nearly is what pydantic's ``kind`` expects, or nothing."""
    is_number = kind in ("int_type", "float_type")
    if is_number and isinstance(value, str) and type(scalar(re.sub("[_,]", "", value))) in (int, float):
        return "; write it without quotes, underscores or commas"
    if kind == "int_type" and isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return f"; write {int(value)}"
    if kind == "float_type" and isinstance(value, int) and value > MAX_NUMBER:
        return "; it is too large"
    return "; put it in quotes" if kind == "string_type" and isinstance(value, (int, float)) else ""
