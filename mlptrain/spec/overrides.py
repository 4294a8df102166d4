"""``--set key.path=value``: a value put into a document, with the option as its position."""

from __future__ import annotations

import re
from typing import Any

from mlptrain.errors import Fault, SpecError
from mlptrain.spec.reader import Document, KeyPath, Position, dotted, parse_value, refusal

_INDEX = r"(\[[0-9]{1,6}\])*"
_PATH = re.compile(rf"[A-Za-z_]\w*{_INDEX}(\.[A-Za-z_]\w*{_INDEX})*", re.ASCII)


def apply_override(document: Document, assignment: str, *, within: str = "") -> None:
    """Put ``key.path=value`` into the document; the value is YAML and gets the same checks as the file's.

    ``within``, such as ``base.``, is left out of the key where the document is a section of another one. A fault is
    added to the document's faults. ``loss.reduction=sum`` on ``loss: cross_entropy`` makes the short form a mapping.
    """
    position = Position(f"--set {assignment}")
    key, equals, text = assignment.partition("=")
    key = key.strip().removeprefix(within)
    try:
        if not equals or not _PATH.fullmatch(key):
            message = "must have the form key=value with a key such as optimizer.lr or model.hidden[0]"
            raise refusal(position.source, message)
        path: KeyPath = tuple(int(part) if part.isdigit() else part for part in re.findall(r"\w+", key))
        value, faults = parse_value(text, source=position.source)
        _parent(document, path, position)[path[-1]] = value
    except SpecError as error:
        document.faults += [Fault(position.source, None, None, "", fault.message) for fault in error.faults]
        return
    document.faults += [Fault(position.source, None, None, key, fault.message) for fault in faults]
    for table in (document.positions, document.key_positions):
        for replaced in [known for known in table if known[: len(path)] == path]:
            del table[replaced]
        table[path] = position  # and of everything below it


def _parent(document: Document, path: KeyPath, position: Position) -> Any:
    """The mapping or list that holds ``path``; absent mappings are added, short forms become mappings."""
    parent: Any = document.value
    for depth, part in enumerate(path):
        here = path[: depth + 1]
        if isinstance(part, int) and not (isinstance(parent, list) and part < len(parent)):
            raise refusal(position.source, f"there is no {dotted(here)} to replace")
        if isinstance(part, str) and not isinstance(parent, dict):
            raise refusal(position.source, f"{dotted(path[:depth])} is not a mapping, so it has no {part!r}")
        if here == path:
            break
        child = parent[part] if isinstance(part, int) else parent.get(part)
        if isinstance(path[depth + 1], str) and (child is None or isinstance(child, str)):
            if child is None:
                document.positions.setdefault(here, position)
                document.key_positions.setdefault(here, position)
            child = parent[part] = {} if child is None else {"name": child}
        parent = child
    return parent
