"""Pydantic's errors in this project's words: the value, what is expected, the nearest name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from mlptrain.errors import Fault
from mlptrain.sources.known import not_offered
from mlptrain.spec.base import MAX_NUMBER, either, is_tagged, names_of, sections_in, tag_of, words_in
from mlptrain.spec.hints import UnknownKey, meant, stands_for_name, value_hint
from mlptrain.spec.loss import WEIGHTS_FORMS
from mlptrain.spec.reader import Document, KeyPath, dotted, scalar
from mlptrain.spec.scaling import SCALING_FORMS

_FORMS_OF_VALUES = (*SCALING_FORMS, *WEIGHTS_FORMS, "foreign")
_OTHER_FORMS = {  # beside words, by the last keys of the path
    "data.scaling": ["{mean: …, std: …}"],
    "loss.class_weights": ["a list of a number for each class", "{CLASS: number}"],
    "numeric.missing": ["{constant: …}"],
}


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


def must_be(expected: str, value: object) -> str:
    """What is expected, and the value."""
    return f"must be {expected}, got {described(value)}"


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
    has_default: bool
    model: type[BaseModel]  # of the whole document
    within: KeyPath  # leads to what ``model`` describes

    @property
    def tag(self) -> str:
        """The key that says which of the sections one is."""
        return tag_of(self.sections[0]) if self.sections else "name"


def _finding(error: ErrorDetails, model: type[BaseModel], within: KeyPath) -> _Finding:
    """Walk the error's location, whose parts are keys, indices and tags of union members, which the file lacks."""
    path: KeyPath = ()
    sections, siblings = [model], [model]
    choices: list[str] = []
    key: str | int = ""
    tag_follows = has_default = False
    members: list[type[BaseModel]] = []
    for part in error["loc"]:
        tagged = [section for section in sections if part in names_of(section)]
        if tag_follows and (tagged or part in _FORMS_OF_VALUES):
            sections, tag_follows = tagged or sections, False
            continue
        path = (*path, part)
        if isinstance(part, int) and members:  # an item of a list of sections, which may be what the list may hold
            tag_follows, has_default = True, False
            continue
        fields = [section.model_fields[str(part)] for section in sections if part in section.model_fields]
        if not fields and choices and error["type"] != "extra_forbidden":  # a name of the user's own, in a mapping
            continue
        key = part
        members = [section for field in fields for section in sections_in(field.annotation)]
        has_default = any(not field.is_required() for field in fields)
        words = [word for field in fields for word in words_in(field.annotation)]
        choices = list(dict.fromkeys([*words, *_names_of(members)]))
        if members:
            sections = siblings = members
        tag_follows = any(map(is_tagged, fields))
    last = str(key if choices else path[-1])
    return _Finding(error, error["input"], path, last, sections, siblings, choices, has_default, model, within)


def _names_of(sections: Iterable[type[BaseModel]]) -> list[str]:
    return [name for section in sections for name in names_of(section)]


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
        if value is None or isinstance(value, (str, bool, int, float)):  # a short form, which was checked as a mapping
            return path[:depth]
        if not isinstance(value, dict) or part in value:
            value = value[part]
    is_about_name = kind in ("union_tag_invalid", "union_tag_not_found") and isinstance(value, dict)
    return (*path, finding.tag) if is_about_name else path


def message_for(error: ErrorDetails, model: type[BaseModel], *, within: KeyPath = ()) -> str:
    """One of pydantic's errors as one sentence; ``within`` leads to the mapping that ``model`` describes."""
    return _message(_finding(error, model, within))


def _message(finding: _Finding) -> str:
    if glued := _glued(finding):
        return glued
    return _MESSAGES.get(finding.error["type"].partition(":")[0], _wrong_value)(finding)


def _glued(finding: _Finding) -> str:
    """What to write instead of ``{key:value}``, which YAML reads as a key of that name with nothing; else nothing."""
    keys: Iterable[Any] = finding.path[-1:] if finding.value is None else ()
    if finding.error["type"] in ("missing", "union_tag_not_found"):
        keys = [key for key, value in finding.value.items() if value is None] if isinstance(finding.value, dict) else ()
    found = next((one for key in keys if (one := re.fullmatch(r"([^:\s]+):([^:\s]+)", str(key)))), None)
    return f"a blank is missing after ':'; write {found[1]}: {found[2]}" if found else ""


def _wrong_value(finding: _Finding) -> str:
    kind, context = finding.error["type"], finding.error.get("ctx", {})
    if kind not in _EXPECTED:  # pydantic's own words are the last resort
        return f"is not valid, got {described(finding.value)} ({finding.error['msg']})"
    limits = {key: f"{limit:,}" if isinstance(limit, int) else f"{limit:,.15g}" for key, limit in context.items()}
    if finding.key == "device":
        return must_be(_FORMS["device"], finding.value) + _device_hint(finding.value)
    if kind == "dict_type" and finding.key == "columns" and isinstance(finding.value, list):
        return must_be("a mapping", finding.value) + _columns_hint(finding.value)
    return must_be(_EXPECTED[kind].format(**limits), finding.value) + _plain_hint(kind, finding)


def _columns_hint(names: list[Any]) -> str:
    """A list of columns may be of those to leave out, or of those to use."""
    shown = [str(name) for name in names if isinstance(name, (str, int))][:3]
    example = ", ".join(f"{name}: drop" for name in shown) or "host: drop"
    return f"; write {{{example}}} to leave columns out; all others are inputs"


def _wrong_length(finding: _Finding) -> str:
    context = finding.error["ctx"]
    limit = f"at least {context['min_length']}" if "min_length" in context else f"at most {context['max_length']}"
    return f"must have {limit} {'item' if limit.endswith(' 1') else 'items'}, got {context['actual_length']}"


def _missing(finding: _Finding) -> str:
    if finding.error["type"] == "union_tag_not_found":
        return f"required key is missing; {_name_example(finding)}"
    example = _EXAMPLES.get(dotted(finding.path)) or f"{finding.key}: {next(iter(finding.choices), '…')}"
    return f"required key is missing; e.g. {example}"


def _name_example(finding: _Finding) -> str:
    """A name for a section without one, from what another library's file has in its place."""
    known = {key for section in finding.sections for key in section.model_fields}
    for key, value in finding.value.items():
        name = meant(value, finding.choices, finding.key, finding.sections) if isinstance(value, str) else None
        if key not in known and (name or stands_for_name(key)):
            return f"write {finding.tag}: {name or either(finding.choices)} instead of {key}: {str(value)[:40]}"
        if as_key := meant(key, finding.choices, finding.key, finding.sections):
            return f"write {{{finding.tag}: {as_key}, …}} instead of {{{key}: …}}"
    return f"e.g. {finding.tag}: {next(iter(finding.choices), '…')}"


def _wrong_word(finding: _Finding) -> str:
    word = finding.value[finding.tag] if finding.error["type"] == "union_tag_invalid" else finding.value
    numbers = _OTHER_FORMS.get(dotted(finding.path[-2:]), [])
    if finding.key == "data" and (reason := not_offered(str(word), finding.choices)):
        return f"{must_be(either(finding.choices), word)}; {reason}"
    hint = value_hint(word, finding.choices, finding.key, finding.sections)
    without = "" if "did you mean" in hint else _nothing_hint(word, finding)
    return must_be(either([*finding.choices, *numbers]), word) + (without or hint)


def _wrong_form(finding: _Finding) -> str:
    expected = _FORMS.get(finding.key) or f"text of the form {finding.error['ctx']['pattern']}"
    return must_be(expected, finding.value) + (_device_hint(finding.value) if finding.key == "device" else "")


def _device_hint(value: object) -> str:
    """The device that a word or the number of a GPU stands for, as the end of a sentence."""
    numbered = re.fullmatch(r"/?(?:cuda|gpu)?[ :_]?([0-9]{1,3})", str(value), re.ASCII | re.IGNORECASE)
    if numbered and not isinstance(value, bool):
        return f"; did you mean 'cuda:{int(numbered[1])}'?"
    word = "cpu" if value == -1 else value
    return value_hint(word, ["auto", "cpu", "cuda"], "device") if str(word).isascii() else ""


def _wrong_scalar(finding: _Finding) -> str:
    expected, value = str(finding.error["ctx"]["expected"]), finding.value
    last = expected.rpartition(" ")[2]  # which may stand instead of a number
    words = finding.error["ctx"].get("words", last if last.isidentifier() else "").split()
    hint = value_hint(value, words, finding.key) if isinstance(value, str) and words else ""
    return must_be(expected, value) + (hint or _form_hint(finding) or _plain_hint("float_type", finding))


def _not_a_list(finding: _Finding) -> str:
    expected = f"a list such as {_LISTS.get(finding.key, '[1, 2]')}"
    numbers = (
        re.findall(r"[0-9.]+", str(finding.value)) if re.fullmatch(r"[0-9., ()[\]]{,40}", str(finding.value)) else []
    )
    is_enough = len(numbers) > (0 if finding.key in ("hidden", "quantiles") else 1)
    hint = f"; write [{', '.join(numbers)}]" if is_enough else _plain_hint("list_type", finding)
    return must_be(expected, finding.value) + hint


def _not_a_mapping(finding: _Finding) -> str:
    name = f"a name such as {finding.choices[0]}, or " if finding.choices else ""
    form = _MAPPINGS.get(finding.key)
    expected = f"a mapping such as {form}" if form else f"{name}a mapping of keys and values"
    return must_be(expected, finding.value) + (_form_hint(finding) or _plain_hint("model_type", finding))


def _form_hint(finding: _Finding) -> str:
    """The key whose value numbers in the place of a mapping are, as the end of a sentence, or nothing."""
    key, values = _MAPPINGS.get(finding.key, "").partition(":")[0], finding.value
    listed = values if isinstance(values, list) else [values]
    if not key or not listed or not all(type(one) is int for one in listed):
        return ""
    is_list = isinstance(values, list) or key == "{hidden"
    if isinstance(values, list) and key == "{epochs":
        return ""
    return f"; write {key}: {listed if is_list else values}}}"


def _unknown_key(finding: _Finding) -> str:
    path = finding.path[:-1]
    return UnknownKey(finding.key, path, finding.sections, finding.siblings, finding.model, finding.within).message()


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
# Sections without a name: a short example, whose first key is the one that is written alone in its place.
_MAPPINGS = {
    "model": "{hidden: [64]}",
    "training": "{epochs: 10}",
    "scoring": "{seeds: 10}",
    "tuning": "{seeds: 3}",
}
_EXPECTED = {
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "finite_number": "a finite number",
    "float_type": "a number",
    "greater_than": "above {gt}",
    "greater_than_equal": "at least {ge}",
    "int_type": "a whole number",
    "less_than": "below {lt}",
    "less_than_equal": "at most {le}",
    "string_too_long": "text of at most {max_length} characters",
    "string_too_short": "text that is not empty",
    "string_type": "text",
}
_LISTS = {
    "quantiles": "[0.1, 0.5, 0.9]",
    "hidden": "[64, 32]",
    "classes": "[0, 1]",
    "betas": "[0.9, 0.999]",
    "seeds": "[0, 1, 2]",
    "metrics": "[roc_auc, f1]",
}
_FORMS = {
    "name": "at most 64 letters (a–z, A–Z), digits, '.', '_' or '-', starting with a letter or digit, since it names "
    "a folder",
    "device": "auto, cpu, cuda or cuda:N",
    "address": "local (start Ray on this machine), auto (the cluster that runs here), HOST:PORT or ray://HOST:PORT",
}
_EXAMPLES = {
    "data": "data: digits",
    "model": "model: {hidden: [64]}",
    "model.init.path": "path: runs/first, or the path of a .npz or safetensors file",
    "model.hidden": "hidden: [64], or [] for a linear model",
    "optimizer": "optimizer: {name: sgd, lr: 0.1}",
    "data.path": "path: measurements.csv",
    "data.target": "target: price, the name or the number of the column to predict; -1 is the last",
    "data.numeric.missing.constant": "constant: 0",
    "data.scaling.mean": "mean: 0.1307",
    "data.split.column": "column: patient",
    "data.scaling.std": "std: 0.3081",
    "schedule.milestones": "milestones: [30, 60]",
    "base": "base: mnist.yaml, or the mapping of an experiment",
    "optimizers": "optimizers: {SGD: {name: sgd, lr: [0.01, 0.1]}, Adam: {name: adam, lr: [0.001, 0.01]}}, "
    "or arms: {ReLU: {model.activation: relu}, GELU: {model.activation: gelu}}",
    "target.value": "value: 0.97",
}


def _nothing_hint(value: object, finding: _Finding) -> str:
    """What to do instead of writing nothing, in YAML's or Python's way."""
    return "; leave the key out for its default" if finding.has_default and str(value) == "None" else ""


def _plain_hint(kind: str, finding: _Finding) -> str:
    """What to write instead of a value that nearly is what pydantic's ``kind`` expects, or nothing."""
    value = finding.value
    if hint := _nothing_hint(value, finding):
        return hint
    if kind == "bool_type" and (word := _TRUTH.get(str(value).lower())):
        return f"; write {word}"
    is_number = kind in ("int_type", "float_type")
    if is_number and isinstance(value, str) and type(scalar(re.sub("[_,]", "", value))) in (int, float):
        return "; write it without quotes, underscores or commas"
    if kind == "int_type" and isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return f"; write {int(value)}"
    if kind == "float_type" and isinstance(value, int) and value > MAX_NUMBER:
        return "; it is too large"
    return "; put it in quotes" if kind == "string_type" and isinstance(value, (int, float)) else ""


_TRUTH = dict.fromkeys(("yes", "y", "on", "1", "t", "true"), "true") | dict.fromkeys(
    ("no", "n", "off", "0", "f", "false"), "false"
)
