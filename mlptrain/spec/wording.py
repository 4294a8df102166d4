"""Pydantic's findings in this project's words: what came, what was wanted, the nearest name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from mlptrain.spec.reader import Document, KeyPath, dotted

# What people write who come from scikit-learn, Keras, Lightning or a paper.
_SYNONYMS = {
    "learning_rate": "lr",
    "learning_rate_init": "lr",
    "eta": "lr",
    "units": "hidden",
    "layers": "hidden",
    "hidden_layers": "hidden",
    "hidden_layer_sizes": "hidden",
    "hidden_sizes": "hidden",
    "nonlinearity": "activation",
    "biases": "bias",
    "use_bias": "bias",
    "initialization": "init",
    "initialisation": "init",
    "criterion": "loss",
    "objective": "loss",
    "dataset": "data",
    "optim": "optimizer",
    "optimiser": "optimizer",
    "solver": "optimizer",
    "l2": "weight_decay",
    "alpha": "slope",
    "negative_slope": "slope",
    "max_iter": "epochs",
    "n_epochs": "epochs",
    "max_epochs": "epochs",
    "num_epochs": "epochs",
    "batch": "batch_size",
    "random_state": "seed",
    "validation_split": "validation",
    "validation_fraction": "validation",
    "val": "validation",
    "normalize": "scaling",
    "normalization": "scaling",
    "crossentropy": "cross_entropy",
    "ce": "cross_entropy",
    "nll": "cross_entropy",
    "binary_cross_entropy": "bce",
    "bce_with_logits": "bce",
    "l1": "mae",
    "fashion-mnist": "fashion_mnist",
    "fashionmnist": "fashion_mnist",
    "atan": "arctan",
    "swish": "silu",
    "linear": "identity",
    "none": "identity",
    "momentum": "sgd",
    "nesterov": "sgd",
    "gpu": "cuda",
    "he_normal": "kaiming_normal",
    "he_uniform": "kaiming_uniform",
    "glorot_normal": "xavier_normal",
    "glorot_uniform": "xavier_uniform",
}


def nearest(word: object, allowed: Iterable[str]) -> str | None:
    """The allowed name that was most likely meant, or None."""
    names = list(allowed)
    text = str(word)
    folded = text.lower().replace("-", "_")
    if folded in names:
        return folded
    synonym = _SYNONYMS.get(folded) or _SYNONYMS.get(text.lower())
    if synonym in names:
        return synonym
    matches = difflib.get_close_matches(folded, names, n=1, cutoff=0.6)
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
        return "a list" if len(value) > 6 or any(isinstance(item, (list, dict)) for item in value) else f"{value}"
    text = str(value)
    return text if len(text) <= 40 else f"{text[:40]}…"


def fault_path(document: Document, location: Sequence[str | int]) -> KeyPath:
    """Pydantic's location without the names of union members, which the file does not have."""
    path: KeyPath = ()
    value: Any = document.value
    for position, part in enumerate(location):
        if isinstance(value, dict) and part in value:
            value = value[str(part)]
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        elif position < len(location) - 1 or isinstance(part, int) or isinstance(value, (str, list)):
            continue  # the tag of a union member
        path = (*path, part)
    return path


def allowed_keys(model: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    """The keys of the section at ``location``, whose parts may name union members."""
    current: list[type[BaseModel]] = [model]
    for part in location:
        tagged = [member for member in current if part in _names(member)]
        if tagged:
            current = tagged
            continue
        annotations = [member.model_fields[part] for member in current if part in member.model_fields]
        found = [section for field in annotations for section in _sections(field.annotation)]
        current = found or current
    return list(dict.fromkeys(key for member in current for key in member.model_fields))


def _names(section: type[BaseModel]) -> tuple[Any, ...]:
    field = section.model_fields.get("name")
    return get_args(field.annotation) if field is not None else ()


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        if get_origin(annotation) is not Literal and not isinstance(inner, (str, int)):
            yield from _sections(inner)


def home_of(model: type[BaseModel], key: str) -> list[str]:
    """The dotted paths at which ``key`` is known, for a key that stands in the wrong section."""
    homes = []
    for name, field in model.model_fields.items():
        sections = list(_sections(field.annotation))
        owners = [section for section in sections if key in section.model_fields]
        if owners and len(owners) < len(sections):
            homes += [f"{name} {tag}" for owner in owners for tag in _names(owner)]
        elif owners:
            homes.append(f"{name}.{key}")
    return homes


_KINDS = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "bool_type": "true or false",
    "list_type": "a list such as [64, 32]",
    "model_type": "a mapping of keys and values",
    "model_attributes_type": "a mapping of keys and values",
    "dict_type": "a mapping of keys and values",
    "none_required": "left out",
}
_BOUNDS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "at most"),
}


def message_for(error: ErrorDetails, path: KeyPath, model: type[BaseModel]) -> str:
    """One finding of pydantic as one sentence; ``path`` is its place without union members' names."""
    kind, context, value = error["type"], error.get("ctx", {}), error["input"]
    location = error["loc"]
    if kind == "extra_forbidden":
        return _unknown_key(str(path[-1]), location, model)
    if kind == "missing":
        return f"required key is missing; e.g. {_EXAMPLES.get(dotted(path), f'{path[-1]}: …')}"
    if kind.startswith("at:"):
        return error["msg"] + (f", got {came(value.get('classes'))}" if kind == "at:classes" else "")
    if kind in ("literal_error", "union_tag_invalid"):
        choices = _choices(context.get("expected", "") or context.get("expected_tags", ""))
        word = context.get("tag", value)
        guess = nearest(word, choices)
        if path[-1] == "scaling":
            choices.append("{mean: …, std: …}")
        return f"must be {_or(choices)}, got {came(word)}" + (f"; did you mean '{guess}'?" if guess else "")
    if kind == "union_tag_not_found":
        if isinstance(value, dict):
            return "required key 'name' is missing"
        return f"must be a name or a mapping with a name, got {came(value)}"
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        limit = f"{context[key]:,}" if context[key] >= 10_000 else f"{context[key]:g}"
        return f"must be {words} {limit}, got {came(value)}"
    if kind in ("too_short", "too_long"):
        words = f"at least {context['min_length']}" if kind == "too_short" else f"at most {context['max_length']}"
        return f"must have {words} items, got {context['actual_length']}"
    if kind == "string_pattern_mismatch":
        return f"must be {_PATTERNS.get(str(path[-1]), 'of another form')}, got {came(value)}"
    if kind == "wanted":
        word = nearest(value, [str(context["wanted"]).rsplit(" ", 1)[-1]]) if isinstance(value, str) else None
        return f"{error['msg']}, got {came(value)}" + (f"; did you mean '{word}'?" if word else "")
    if kind in _KINDS:
        return f"must be {_KINDS[kind]}, got {came(value)}{_number_hint(kind, value)}"
    return f"{error['msg'][:1].lower()}{error['msg'][1:]}, got {came(value)}"


_EXAMPLES = {
    "data": "data: digits",
    "model": "model: {hidden: [64]}",
    "model.hidden": "hidden: [64], or [] for a linear model",
    "optimizer": "optimizer: {name: sgd, lr: 0.1}",
}
_PATTERNS = {
    "name": "at most 64 letters, digits, '.', '_' or '-', starting with a letter or digit, since it names a folder",
    "device": "auto, cpu, cuda or cuda:N",
}


def _number_hint(kind: str, value: object) -> str:
    if kind in ("int_type", "float_type") and isinstance(value, str):
        try:
            float(value.replace("_", "").replace(",", "."))
        except ValueError:
            return ""
        return "; write it without quotes, underscores or commas"
    if kind in ("int_type", "int_from_float") and isinstance(value, float) and value.is_integer():
        return f"; write {int(value)}" if abs(value) < 1e15 else ""
    return ""


def _unknown_key(key: str, location: Sequence[str | int], model: type[BaseModel]) -> str:
    allowed = allowed_keys(model, location[:-1])
    if key in allowed:  # a duplicate that pydantic sees under a union member
        return "unknown key"
    guess = nearest(key, allowed)
    if guess:
        return f"unknown key; did you mean '{guess}'?"
    homes = home_of(model, key)
    if homes:
        return f"unknown key here; it belongs to {_or(homes)}"
    elsewhere = [home for home in (_SYNONYMS.get(key.lower()),) if home]
    for name in elsewhere:
        found = home_of(model, name)
        if found:
            return f"unknown key here; did you mean {_or(found)}?"
    return f"unknown key; known here: {', '.join(allowed)}"


def _choices(text: str) -> list[str]:
    """Names out of pydantic's ``'a', 'b' or 'c'``."""
    return [part.strip().strip("'") for part in text.replace(" or ", ", ").split(",") if part.strip()]


def _or(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
