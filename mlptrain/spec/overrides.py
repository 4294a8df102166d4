"""``--set key.path=value``: a value put into a document, with the option as its position."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel

from mlptrain.errors import Fault, SpecError
from mlptrain.spec.base import names_of, sections_at, words_in
from mlptrain.spec.reader import Document, KeyPath, Position, dotted, parse_value, refusal

_INDEX = r"(\[[0-9]{1,6}\])*"
_PATH = re.compile(rf"[A-Za-z_][\w-]*{_INDEX}(\.[A-Za-z_][\w-]*{_INDEX})*", re.ASCII)


def apply_override(
    document: Document,
    assignment: str,
    model: type[BaseModel],
    *,
    within: str = "",
    keys_at: Mapping[str, int] = MappingProxyType({}),
    named_in: Sequence[str] = (),
) -> None:
    """Put ``key.path=value`` into the document; the value is YAML and gets the same checks as the file's.

    ``model`` describes the document, and ``within``, such as ``base.``, is left out of the key where the document is a
    section of another one. In sections of ``keys_at`` what follows after so many parts is a key itself, such as
    ``optimizer.lr`` in ``space.optimizer.lr``. The keys of sections ``named_in`` are names such as an arm's, which may
    hold dots and blanks; of one that is not there no key can be set. A fault is added to the document's faults. A name
    alone becomes a mapping where a field of it is set, and what is absent starts from the name that it has by default:
    ``loss.reduction=sum`` makes ``{name: cross_entropy, reduction: sum}`` of ``cross_entropy`` and of nothing.
    """
    position = Position(f"--set {assignment}")
    head, rest = _begins_with_name(document, assignment.strip(), named_in)
    key, equals, text = rest.partition("=")
    key = key.strip().removeprefix(within)
    below = () if head and not key else key_path(key)
    key = ".".join([*head, key] if key else head)
    try:
        if not equals or below is None:
            message = "must have the form key=value with a key such as optimizer.lr or model.hidden[0]"
            raise refusal(position.source, message)
        path: KeyPath = (*head, *below)
        if not head and path[0] in named_in and len(path) > 2:
            section = document.value.get(str(path[0]))
            names = ", ".join(section) if isinstance(section, dict) else "none"
            raise refusal(position.source, f"{path[0]} has no '{path[1]}'; there are: {names}")
        value, faults = parse_value(text, source=position.source)
        path = _with_keys(document, path, keys_at.get(str(path[0]), len(path)))
        put(document, path, value, model, position=position)
    except SpecError as error:
        document.faults += [Fault(position.source, None, None, "", fault.message) for fault in error.faults]
        return
    document.faults += [Fault(position.source, None, None, key, fault.message) for fault in faults]


def _begins_with_name(document: Document, assignment: str, sections: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """The section and the longest name in it that an assignment begins with, and the rest; else nothing, and all."""
    for section in sections:
        names = document.value.get(section)
        for name in sorted(names, key=len, reverse=True) if isinstance(names, dict) else ():
            begin = f"{section}.{name}"
            if assignment.startswith((f"{begin}.", f"{begin}=")):
                return (section, name), assignment.removeprefix(begin).removeprefix(".")
    return (), assignment


def _with_keys(document: Document, path: KeyPath, depth: int) -> KeyPath:
    """The path with one key for what follows after ``depth`` parts: one that is there, or else all of it."""
    if len(path) <= depth + 1:
        return path
    section: Any = document.value
    for part in path[:depth]:
        section = section.get(part) if isinstance(section, dict) else None
    known = section if isinstance(section, dict) else {}
    for end in range(len(path), depth, -1):
        if (key := dotted(path[depth:end])) in known:
            return (*path[:depth], key, *path[end:])
    return (*path[:depth], dotted(path[depth:]))


def key_path(text: str) -> KeyPath | None:
    """``model.hidden[0]`` as ``("model", "hidden", 0)``; None for what is not the path of a key."""
    if not _PATH.fullmatch(text):
        return None
    return tuple(int(part) if part.isdigit() else part for part in re.findall(r"[\w-]+", text))


def put(document: Document, path: KeyPath, value: Any, model: type[BaseModel], *, position: Position) -> None:
    """Put a value at ``path``, as ``apply_override`` does. Raises SpecError where the document has no such place."""
    _parent(document, path, position, model)[path[-1]] = value
    for table in (document.positions, document.key_positions):
        for replaced in [known for known in table if known[: len(path)] == path]:
            del table[replaced]
        table[path] = position  # and of everything below it


def _parent(document: Document, path: KeyPath, position: Position, model: type[BaseModel]) -> Any:
    """The mapping or list that holds ``path``; absent mappings are added, short forms become mappings."""
    parent: Any = document.value
    sections = [model]
    for depth, part in enumerate(path):
        here = path[: depth + 1]
        if isinstance(part, int) and not (isinstance(parent, list) and part < len(parent)):
            raise refusal(position.source, f"there is no {dotted(here)} to replace")
        if isinstance(part, str) and not isinstance(parent, dict):
            raise refusal(position.source, f"{dotted(path[:depth])} is not a mapping, so it has no {part!r}")
        if here == path:
            break
        child = parent[part] if isinstance(part, int) else parent.get(part)
        if isinstance(part, str) and isinstance(path[depth + 1], str) and (child is None or isinstance(child, str)):
            if child is None:
                document.positions.setdefault(here, position)
                document.key_positions.setdefault(here, position)
            child = parent[part] = _opened(child, sections, part)
        parent = child
        sections = sections_at(sections, str(part))
    return parent


def _opened(child: str | None, sections: list[type[BaseModel]], key: str) -> Any:
    """What stands for a name alone, or for nothing, where one of its fields is set; other text stays as it is."""
    fields = [section.model_fields[key] for section in sections if key in section.model_fields]
    if child is None:
        default = next((field.default for field in fields if isinstance(field.default, BaseModel)), None)
        return {} if default is None else default.model_dump(include={"name"})
    if any(child in words_in(field.annotation) for field in fields):
        return {}  # a word such as unit, in the place of a mapping without a name
    inner = sections_at(sections, key)
    return {"name": child} if not fields or any(map(names_of, inner)) else child
