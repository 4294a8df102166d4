"""The state of an optimizer of torch's kind as tensors and JSON, so that a checkpoint holds it without pickle."""

from __future__ import annotations

import json
import math
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

_MAPPINGS = (dict, OrderedDict, defaultdict)
_SEQUENCES: dict[str, Callable[[list[Any]], Any]] = {"tuple": tuple, "deque": deque}


class UnsavableError(ValueError):
    """A state that no checkpoint can hold, with the reason."""


def packed(state: Mapping[str, Any]) -> tuple[dict[str, Tensor], str]:
    """A ``state_dict`` as copies of its tensors, by numbers, and the rest as JSON. Raises UnsavableError."""
    tensors: dict[str, Tensor] = {}
    return tensors, json.dumps(_packed(state, "", tensors), allow_nan=False)


def _packed(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    if value is None or isinstance(value, (bool, str)) or type(value) is int:
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"float": str(value)}
    if isinstance(value, Tensor):
        # A file holds contiguous tensors. Whether a matrix lies by rows or by columns is kept: products round by it.
        order = sorted(range(value.dim()), key=value.stride, reverse=True)
        lies = value.detach().permute(order)
        is_turned = not value.is_contiguous() and lies.is_contiguous()
        tensors[name := str(len(tensors))] = (lies if is_turned else value.detach()).clone(
            memory_format=torch.contiguous_format
        )
        return {"turned": [name, order]} if is_turned else {"tensor": name}
    if isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
    if type(value) in _MAPPINGS:
        if any(type(key) not in (str, int, float) for key in value):
            raise UnsavableError(f"'{path or 'its state'}' has keys that are neither text nor numbers")
        return {"dict": [[key, _packed(item, f"{path}.{key}".lstrip("."), tensors)] for key, item in value.items()]}
    if type(value) in (list, tuple, deque):
        items = [_packed(item, f"{path}[{place}]", tensors) for place, item in enumerate(value)]
        if isinstance(value, deque) and value.maxlen is not None:
            return {"bounded": [value.maxlen, items]}
        return items if type(value) is list else {type(value).__name__: items}
    raise UnsavableError(
        f"'{path}' of its state is of the type {type(value).__name__}, and a checkpoint holds tensors, numbers and text"
    )


def unpacked(tensors: Mapping[str, Tensor], text: str) -> dict[str, Any]:
    """What ``packed`` was made of, with copies of the tensors. Raises ValueError for what it did not make."""
    try:
        state: dict[str, Any] = _unpacked(json.loads(text), tensors)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ValueError(f"the optimizer's state does not fit together ({error})") from None
    return state


def _unpacked(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_unpacked(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    [(kind, content)] = value.items()
    if kind == "tensor":
        return tensors[content].clone()
    if kind == "turned":
        name, order = content
        return tensors[name].clone().permute([order.index(dim) for dim in range(len(order))])
    if kind == "float":
        return float(content)
    if kind == "bounded":
        most, items = content
        return deque((_unpacked(item, tensors) for item in items), maxlen=most)
    if kind == "dict":
        return {key: _unpacked(item, tensors) for key, item in content}
    if kind == "dtype" and isinstance(found := getattr(torch, content), torch.dtype):
        return found
    return _SEQUENCES[kind]([_unpacked(item, tensors) for item in content])
