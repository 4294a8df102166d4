"""``--set key.path=value``: a value put into a document, with its own place in faults."""

from __future__ import annotations

import re
from typing import Any

from mlptrain.errors import Fault, SpecError
from mlptrain.spec.reader import Document, KeyPath, Place, dotted, parse_value

_INDEX = r"(\[[0-9]{1,6}\])*"
_PATH = re.compile(rf"[A-Za-z_]\w*{_INDEX}(\.[A-Za-z_]\w*{_INDEX})*", re.ASCII)


def apply_override(document: Document, assignment: str, *, within: str = "") -> None:
    """Put ``key.path=value`` into the document; the value is YAML and gets the same checks as the file's.

    ``within`` is what the key has in front for a document that stands for a section of another, such as ``base.``.

    ``loss.reduction=sum`` on ``loss: cross_entropy`` first writes the short form out as a mapping.
    A fault is added to the document's faults.
    """
    place = Place(f"--set {assignment}")
    key, equals, text = assignment.partition("=")
    key = key.strip().removeprefix(within)
    try:
        if not equals or not _PATH.fullmatch(key):
            raise _refusal(place, "must read key=value with a key such as optimizer.lr or model.hidden[0]")
        path: KeyPath = tuple(int(part) if part.isdigit() else part for part in re.findall(r"\w+", key))
        value, faults = parse_value(text, source=place.source)
        _parent(document, path, place)[path[-1]] = value
    except SpecError as error:
        document.faults += [Fault(place.source, None, None, "", fault.message) for fault in error.faults]
        return
    document.faults += [Fault(place.source, None, None, key, fault.message) for fault in faults]
    for table in (document.places, document.key_places):
        for old in [old for old in table if old[: len(path)] == path]:
            del table[old]
        table[path] = place  # and of all below it


def _refusal(place: Place, message: str) -> SpecError:
    return SpecError([Fault(place.source, None, None, "", message)])


def _parent(document: Document, path: KeyPath, place: Place) -> Any:
    """The mapping or list that holds ``path``; absent mappings are made, short forms written out as mappings."""
    parent: Any = document.value
    for depth, part in enumerate(path):
        here = path[: depth + 1]
        if isinstance(part, int):
            if not isinstance(parent, list) or part >= len(parent):
                raise _refusal(place, f"there is no {dotted(here)} to replace")
        elif not isinstance(parent, dict):
            raise _refusal(place, f"{dotted(path[:depth])} is no mapping, so it has no {part!r}")
        if here == path:
            break
        child = parent[part] if isinstance(part, int) else parent.get(part)
        if isinstance(path[depth + 1], str):
            if child is None:
                child = {}
                document.places.setdefault(here, place)
                document.key_places.setdefault(here, place)
            elif isinstance(child, str):
                child = {"name": child}
            parent[part] = child
        parent = child
    return parent
