"""YAML text to plain values that remember where they stood.

Scalars follow the core schema of YAML 1.2 (https://yaml.org/spec/1.2.2/#103-core-schema), which PyYAML's own resolver
does not: it reads ``1e-3`` as text and ``on`` as a truth value. The event stream is read with an explicit stack, so
that depth, size and aliases are bounded before anything is built.
"""

from __future__ import annotations

import codecs
import errno
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mlptrain.errors import Fault, SpecError
from mlptrain.spec.syntax import LOADER, explain, unprintable
from mlptrain.system.files import read_regular

MAX_BYTES = 1_000_000
MAX_DEPTH = 20
MAX_NODES = 20_000
MAX_KEY = 200  # characters

KeyPath = tuple[str | int, ...]

_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
    **{sign + word: float(sign + "inf") for sign in ("", "+", "-") for word in (".inf", ".Inf", ".INF")},
}
_MAX_DIGITS = 400  # float() gives inf beyond and int() refuses 4,300; nothing in a configuration is that long


@dataclass(frozen=True)
class Place:
    """Where a key or value stands; line and column count from 1, None where there is no file."""

    source: str
    line: int | None = None
    column: int | None = None


@dataclass
class Document:
    """Values of one YAML document with the place of every key and value, and the faults met so far."""

    source: str
    value: dict[str, Any] = field(default_factory=dict)
    places: dict[KeyPath, Place] = field(default_factory=dict)
    key_places: dict[KeyPath, Place] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    prefix: KeyPath = ()

    def section(self, key: str) -> Document:
        """The mapping at ``key`` as a document of its own, whose faults name their places and paths in this one."""

        def below(table: dict[KeyPath, Place]) -> dict[KeyPath, Place]:
            return {path[1:]: place for path, place in table.items() if path[:1] == (key,)}

        places, key_places = below(self.places), below(self.key_places)
        return Document(self.source, self.value[key], places, key_places, prefix=(*self.prefix, key))

    def place(self, path: KeyPath, *, key: bool = False) -> Place:
        """The place of the value (or key) at ``path``, or of the nearest parent that stands in the file."""
        table = self.key_places if key else self.places
        if path in table:
            return table[path]
        while path:
            path = path[:-1]
            if path in self.key_places:
                return self.key_places[path]
            if path in self.places:
                return self.places[path]
        return Place(self.source, 1, 1)

    def fault(self, path: KeyPath, message: str, *, key: bool = False) -> Fault:
        """A fault at the place of ``path``."""
        place = self.place(path, key=key)
        return Fault(place.source, place.line, place.column, dotted((*self.prefix, *path)), message)


def dotted(path: Iterable[str | int]) -> str:
    """``("model", "hidden", 1)`` as ``model.hidden[1]``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def scalar(text: str) -> Any:
    """A plain scalar by the core schema of YAML 1.2: null, bool, int, float or else the text itself."""
    if text in _WORDS:
        return _WORDS[text]
    if len(text) > _MAX_DIGITS:
        return text
    if _INT.fullmatch(text):
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def read_file(path: Path) -> tuple[bytes, Document]:
    """The bytes of a configuration file and its document.

    Raises SpecError for a file that is absent, unreadable, too large, not UTF-8 or not YAML.
    """
    source = str(path)

    def refuse(message: str) -> SpecError:
        return SpecError([Fault(source, None, None, "", message)])

    try:
        content = read_regular(path, most=MAX_BYTES)
    except FileNotFoundError:
        near = ", ".join(sorted(str(found) for found in path.parent.glob("*.yaml"))[:8])
        raise refuse(f"no such file{'; in that folder: ' + near if near else ''}") from None
    except IsADirectoryError:
        if (path / "resolved.yaml").is_file():
            resume = f"`mlptrain train --resume {path}`"
            raise refuse(f"is a run folder; go on with {resume}, or name {path / 'resolved.yaml'}") from None
        raise refuse("cannot be read: Is a directory") from None
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise refuse(f"{error.strerror}; that is no configuration") from None
        raise refuse(f"cannot be read: {error.strerror}") from None
    if _looks_like_utf16(content):
        raise refuse("is not UTF-8 text: it looks like UTF-16; save it as UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        detail = f"byte {error.start} is 0x{content[error.start]:02x}"
        raise refuse(f"is not UTF-8 text: {detail}; save it as UTF-8") from None
    return content, parse(text, source=source)


def _looks_like_utf16(content: bytes) -> bool:
    """By the mark at its beginning, or by zeros beside most of its first letters."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return True
    are_zero = [2 * half.count(0) > len(half) for half in (content[0:100:2], content[1:100:2])]
    return len(content) >= 8 and are_zero[0] != are_zero[1]


def parse(text: str, *, source: str) -> Document:
    """The document in ``text``: one mapping. Raises SpecError where the text is no such thing.

    Duplicate keys are collected as faults of the document; what breaks the syntax is raised at once.
    """
    return _Builder(source).build(text)


def parse_value(text: str, *, source: str) -> tuple[Any, list[Fault]]:
    """Any single YAML value, as ``--set key=value`` carries it, with its faults."""
    document = _Builder(source, has_places=False).build(f"value: {text}")
    if list(document.value) != ["value"]:
        raise SpecError([Fault(source, None, None, "", "must be a single value")])
    return document.value["value"], document.faults


@dataclass
class _Open:
    """A mapping or sequence whose end has not been met."""

    value: dict[str, Any] | list[Any]
    path: KeyPath
    key: str | None = None


class _Builder:
    def __init__(self, source: str, *, has_places: bool = True) -> None:
        self.document = Document(source)
        self.has_places = has_places
        self.source = source
        self.stack: list[_Open] = []
        self.nodes = 0

    def build(self, text: str) -> Document:
        if len(text) > MAX_BYTES:
            raise SpecError([Fault(self.source, None, None, "", f"is longer than {MAX_BYTES:,} characters")])
        try:
            text.encode()
        except UnicodeEncodeError as error:  # half a surrogate pair, as undecodable bytes of a command line become
            detail = f"character {error.start + 1} is U+{ord(text[error.start]):04X}"
            raise SpecError([Fault(self.source, None, None, "", f"is not Unicode text: {detail}")]) from None
        if broken := unprintable(text):
            index, message = broken
            line, column = text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index)
            raise SpecError([Fault(self.source, line, column, "", f"is not valid YAML: {message}")])
        try:
            self.take_all(text)
        except yaml.MarkedYAMLError as error:
            mark: Any = error.problem_mark
            if mark is not None:
                # The parser reads 1,024 characters ahead of its events, and has a limit of depth of its own: what is
                # refused before that place would be missed, so read up to it once more.
                with suppress(yaml.YAMLError):
                    _Builder(self.source).take_all(text[: mark.index])
            raise self.error(mark, f"is not valid YAML: {explain(text, error, with_places=self.has_places)}") from None
        if not self.document.places:
            raise SpecError([Fault(self.source, None, None, "", "is empty; `mlptrain init NAME` writes a starter")])
        return self.document

    def take_all(self, text: str) -> None:
        for event in yaml.parse(text, Loader=LOADER):
            self.take(event)

    def error(self, mark: Any, message: str) -> SpecError:
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (None, None)
        path = dotted(self.stack[-1].path) if self.stack else ""
        return SpecError([Fault(self.source, line, column, path, message)])

    def take(self, event: yaml.Event) -> None:
        mark = event.start_mark
        if isinstance(event, yaml.DocumentStartEvent) and self.document.places:
            raise self.error(mark, "holds a second document; one file is one experiment")
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise self.error(mark, "anchors and aliases (& and *) are not read; write the value out")
        if isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            self.stack.pop()
            return
        if not isinstance(event, (yaml.ScalarEvent, yaml.CollectionStartEvent)):
            return
        if event.tag is not None and event.tag != "!":
            raise self.error(mark, f"tags such as {event.tag[:60]!r} are not read; write a plain value")
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise self.error(mark, f"holds more than {MAX_NODES:,} values; that is no configuration")
        if len(self.stack) >= MAX_DEPTH:
            raise self.error(mark, f"is nested deeper than {MAX_DEPTH} levels")
        assert mark is not None  # every event of a parsed text has one
        place = Place(self.source, mark.line + 1, mark.column + 1)
        top = self.stack[-1] if self.stack else None
        if top is None and not isinstance(event, yaml.MappingStartEvent):
            if isinstance(event, yaml.ScalarEvent) and event.value == "":
                return  # a file of comments only
            raise self.error(mark, "the top level must be a mapping such as `data: {name: digits}`")
        if top is not None and isinstance(top.value, dict) and top.key is None:
            self.take_key(top, event, place)
        else:
            self.take_value(top, event, place)

    def take_key(self, top: _Open, event: yaml.Event, place: Place) -> None:
        if not isinstance(event, yaml.ScalarEvent):
            raise self.error(event.start_mark, "a key must be a word, not a list or mapping")
        if len(event.value) > MAX_KEY:
            raise self.error(event.start_mark, f"a key is longer than {MAX_KEY} characters")
        key, path = event.value, (*top.path, event.value)
        if key in top.value:
            first = self.document.key_places[path].line
            message = f"key given twice, first in line {first}; keep one of them"
            self.document.faults.append(Fault(place.source, place.line, place.column, dotted(path), message))
        top.key = key
        self.document.key_places[path] = place

    def take_value(self, top: _Open | None, event: yaml.Event, place: Place) -> None:
        value: Any
        if isinstance(event, yaml.ScalarEvent):
            value = scalar(event.value) if event.implicit[0] else event.value  # false for quoted text
        else:
            value = {} if isinstance(event, yaml.MappingStartEvent) else []
        if top is None:
            path: KeyPath = ()
            self.document.value = value
        elif isinstance(top.value, list):
            path = (*top.path, len(top.value))
            top.value.append(value)
        else:
            assert top.key is not None
            path = (*top.path, top.key)
            top.value[top.key] = value
            top.key = None
        self.document.places[path] = place
        if isinstance(value, (dict, list)):
            self.stack.append(_Open(value, path))
