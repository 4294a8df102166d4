"""A configuration or a value that Python built, as the document or the text that a file would hold."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from mlptrain.errors import Fault, SpecError
from mlptrain.spec.reader import MAX_DEPTH, Document, KeyPath, Position, dotted
from mlptrain.system.paths import AnyPath

Config = AnyPath | Mapping[str, Any]  # what may be loaded: a file, or a mapping of the same content
Overrides = Sequence[str] | Mapping[str, Any]  # "optimizer.lr=0.1", or {"optimizer.lr": 0.1}

_SOURCE = "configuration"  # stands where a file's name does, in front of the key's path


def document_of(values: Mapping[str, Any]) -> Document:
    """The mapping as a document, whose faults have a key's path instead of a line.

    Tuples and arrays become lists, numbers of NumPy plain ones, paths text; nothing of ``values`` is changed later.
    Raises SpecError for what no file can hold, with its path.
    """
    faults: list[Fault] = []
    value = _plain(values, (), faults)
    if faults:
        raise SpecError(faults)
    here = Position(_SOURCE)
    return Document(_SOURCE, value, {(): here}, {(): here})


def assignments(overrides: Overrides) -> list[str]:
    """Every override as ``key=value``, the value as YAML; a mapping as value replaces a section as a whole."""
    if isinstance(overrides, str):
        return [overrides]
    if not isinstance(overrides, Mapping):
        return list(overrides)
    faults: list[Fault] = []
    plain = _plain(overrides, (), faults)
    if faults:
        raise SpecError(faults)
    return [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in plain.items()]


def _plain(value: Any, path: KeyPath, faults: list[Fault]) -> Any:
    if len(path) >= MAX_DEPTH:
        message = f"is nested deeper than {MAX_DEPTH} levels"
    elif isinstance(value, Mapping):
        if all(isinstance(key, str) for key in value):
            return {str(key): _plain(item, (*path, str(key)), faults) for key, item in value.items()}
        message = f"keys must be text, got {next(key for key in value if not isinstance(key, str))!r}"
    elif callable(getattr(value, "tolist", None)):  # an array or a number of NumPy or torch
        return _plain(value.tolist(), path, faults)
    elif isinstance(value, (list, tuple)):
        return [_plain(item, (*path, index), faults) for index, item in enumerate(value)]
    elif isinstance(value, os.PathLike):
        return os.fspath(value)
    elif value is None or isinstance(value, (bool, int, float, str)):
        return value
    else:
        message = f"must be text, a number, true or false, a list or a mapping, got {type(value).__name__}"
    faults.append(Fault(_SOURCE, None, None, dotted(path), message))
    return None
