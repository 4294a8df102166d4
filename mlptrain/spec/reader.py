"""YAML text to plain values that remember their positions.

Scalars follow the core schema of YAML 1.2 (https://yaml.org/spec/1.2.2/#103-core-schema), which PyYAML's own resolver
does not: it reads ``1e-3`` as text and ``on`` as a truth value. Values are built from the event stream, so that depth,
size and aliases are refused before anything large is built.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mlptrain.errors import Fault, SpecError
from mlptrain.sources.tables.kinds import by_name
from mlptrain.spec.syntax import LOADER, NOT_PRINTABLE, explain
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
# How files begin that are taken for a configuration and hold no text.
_NO_TEXT = {
    b"\x89PNG": "a picture (PNG)",
    b"\xff\xd8\xff": "a picture (JPEG)",
    b"GIF8": "a picture (GIF)",
    b"%PDF": "a PDF file",
}
_MAX_DIGITS = 400  # float() gives inf beyond and int() refuses 4,300; nothing in a configuration is that long


@dataclass(frozen=True)
class Position:
    """Line and column of a key or value, counted from 1; None where there is no file."""

    source: str
    line: int | None = None
    column: int | None = None

    @property
    def folder(self) -> Path:
        """What relative paths there start from: the file's folder, of an option the current one."""
        return Path() if self.line is None else Path(self.source).parent


@dataclass
class Document:
    """Values of one YAML document with the position of every key and value, and the faults so far."""

    source: str
    value: dict[str, Any] = field(default_factory=dict)
    positions: dict[KeyPath, Position] = field(default_factory=dict)
    key_positions: dict[KeyPath, Position] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    prefix: KeyPath = ()

    def section(self, key: str) -> Document:
        """The mapping at ``key`` as its own document, whose faults keep their positions and paths in this one."""
        positions, key_positions = (
            {path[1:]: position for path, position in table.items() if path[:1] == (key,)}
            for table in (self.positions, self.key_positions)
        )
        return Document(self.source, self.value[key], positions, key_positions, prefix=(*self.prefix, key))

    def mapping(self, path: KeyPath) -> dict[Any, Any]:
        """The mapping at ``path``, or an empty one where there is none."""
        value: Any = self.value
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return value if isinstance(value, dict) else {}

    def position(self, path: KeyPath, *, key: bool = False) -> Position:
        """The position of the value (or key) at ``path``, or of its nearest parent in the file."""
        position = (self.key_positions if key else self.positions).get(path)
        while position is None and path:
            path = path[:-1]
            position = self.key_positions.get(path) or self.positions.get(path)
        return position or Position(self.source, 1, 1)

    def fault(self, path: KeyPath, message: str, *, key: bool = False) -> Fault:
        """A fault of the value (or key) at ``path``."""
        position = self.position(path, key=key)
        return Fault(position.source, position.line, position.column, dotted((*self.prefix, *path)), message)


def dotted(path: Iterable[str | int]) -> str:
    """``("model", "hidden", 1)`` as ``model.hidden[1]``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def scalar(text: str) -> Any:
    """A plain scalar by the core schema of YAML 1.2: null, bool, int, float or else the text itself."""
    if text in _WORDS:
        return _WORDS[text]
    if len(text) > _MAX_DIGITS:
        return text
    if _INT.fullmatch(text):
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def refusal(source: str, message: str) -> SpecError:
    """The error of a whole file or option."""
    return SpecError([Fault(source, None, None, "", message)])


def read_file(path: Path) -> tuple[bytes, Document]:
    """The bytes of a configuration file and its document.

    Raises SpecError for a file that is absent, unreadable, too large, not UTF-8 or not YAML.
    """
    source = str(path)
    if path.is_file() and (hint := _data_hint(path)):
        raise refusal(source, f"is a file of data, expected a configuration; {hint}")
    try:
        content = read_regular(path, most=MAX_BYTES)
    except FileNotFoundError:
        neighbours = ", ".join(sorted(map(str, path.parent.glob("*.yaml")))[:8])
        raise refusal(source, f"no such file{'; in that folder: ' if neighbours else ''}{neighbours}") from None
    except OSError as error:
        found = _folder_hint(path) if isinstance(error, IsADirectoryError) else ""
        raise refusal(source, found or f"cannot be read: {error.strerror}") from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if kind := next((kind for start, kind in _NO_TEXT.items() if content.startswith(start)), ""):
            raise refusal(source, f"is {kind}, no configuration; name a file of YAML, such as config.yaml") from None
        is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        reason = "it looks like UTF-16" if is_utf16 else f"byte {error.start} is 0x{content[error.start]:02x}"
        raise refusal(source, f"is not UTF-8 text: {reason}; save it as UTF-8") from None
    return content, parse(text, source=source)


def _folder_hint(path: Path) -> str:
    """What a folder is that stands for a file, and what to do with it; empty for others."""
    from mlptrain.spec.kinds import study_in  # which words what it says by this module

    if (resolved := path / "resolved.yaml").is_file():
        resumed = f"`mlptrain train --resume {path}` resumes it"
        return f"is a run folder; its configuration is {resolved}, and {resumed}"
    study = study_in(path)
    return "" if study is None else study.instead(path, "configuration")


def _data_hint(path: Path) -> str:
    """What to do with a file that its name says to hold rows; empty for others."""
    if by_name(path) is not None:
        return f"`mlptrain data show {path}` shows what it holds, and how a configuration for it begins"
    if path.suffix.lower() in (".npz", ".npy", ".mat"):
        return f"one for it begins with: data: {{name: arrays, path: {path.name}}}"
    return ""


def parse(text: str, *, source: str, has_lines: bool = True) -> Document:
    """The document in ``text``, which must be one mapping. Raises SpecError.

    Duplicate keys are collected as faults of the document. ``has_lines`` is false for a text that the user does not
    see as lines.
    """
    if len(text) > MAX_BYTES:
        raise refusal(source, f"is longer than {MAX_BYTES:,} characters")
    if match := NOT_PRINTABLE.search(text):
        before = text[: match.start()]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        message = f"is not valid YAML: the character U+{ord(match[0]):04X} is not allowed"
        raise SpecError([Fault(source, line, column, "", message)])
    builder = _Builder(text, source)
    try:
        builder.read()
    except yaml.MarkedYAMLError as error:
        mark: Any = error.problem_mark
        if mark is not None:
            # The parser reads 1,024 characters ahead of its events, and has a limit of depth of its own: what is
            # refused before the mark would be missed, so read up to it again.
            with suppress(yaml.YAMLError):
                _Builder(text[: mark.index], source).read()
        message = f"is not valid YAML: {explain(text, error, has_lines=has_lines)}"
        raise builder.error(mark, message) from None
    if not builder.document.positions:
        raise refusal(source, "is empty; `mlptrain init NAME` writes a starter")
    return builder.document


def parse_value(text: str, *, source: str) -> tuple[Any, list[Fault]]:
    """Any single YAML value, as ``--set key=value`` carries it, with its faults."""
    document = parse(f"value: {text}", source=source, has_lines=False)
    if list(document.value) != ["value"]:
        raise refusal(source, "must be a single value")
    return document.value["value"], document.faults


class _Builder:
    """Builds a document from events; ``path`` leads to the mapping or list that is being read."""

    def __init__(self, text: str, source: str) -> None:
        self.document = Document(source)
        self.events = yaml.parse(text, Loader=LOADER)
        self.path: KeyPath = ()
        self.nodes = 0

    def read(self) -> None:
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent) and self.document.positions:
                raise self.error(event.start_mark, "contains a second document; one file is one experiment")
            self.check(event)
            if isinstance(event, yaml.MappingStartEvent):
                self.document.value = self.value(event, ())
            elif isinstance(event, yaml.NodeEvent) and getattr(event, "value", None) != "":  # "" is a file of comments
                raise self.error(event.start_mark, "the top level must be a mapping such as `data: {name: digits}`")

    def next_in(self, path: KeyPath) -> Any:
        """The next event in the mapping or list at ``path``, checked."""
        self.path = path
        event = next(self.events)
        self.check(event)
        return event

    def check(self, event: Any) -> None:
        if not isinstance(event, yaml.NodeEvent):
            return
        mark, tag = event.start_mark, getattr(event, "tag", None)
        if event.anchor:
            raise self.error(mark, "anchors and aliases (& and *) are not supported; write the value out")
        if tag not in (None, "!"):
            raise self.error(mark, f"tags such as {tag[:60]!r} are not supported; write a plain value")
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise self.error(mark, f"contains more than {MAX_NODES:,} values")
        if len(self.path) + 1 >= MAX_DEPTH:
            raise self.error(mark, f"is nested deeper than {MAX_DEPTH} levels")

    def value(self, event: Any, path: KeyPath) -> Any:
        self.document.positions[path] = self.position(event)
        if isinstance(event, yaml.ScalarEvent):
            return scalar(event.value) if event.implicit[0] else event.value  # false for quoted text
        return self.mapping(path) if isinstance(event, yaml.MappingStartEvent) else self.items(path)

    def items(self, path: KeyPath) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := self.next_in(path), yaml.SequenceEndEvent):
            items.append(self.value(event, (*path, len(items))))
        return items

    def mapping(self, path: KeyPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while not isinstance(event := self.next_in(path), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise self.error(event.start_mark, "a key must be a word, not a list or mapping")
            if len(event.value) > MAX_KEY:
                raise self.error(event.start_mark, f"a key is longer than {MAX_KEY} characters")
            key, inner = event.value, (*path, event.value)
            line = self.document.key_positions[inner].line if key in values else None
            self.document.key_positions[inner] = self.position(event)
            if line is not None:
                message = f"key given twice, first in line {line}; keep one of them"
                self.document.faults.append(self.document.fault(inner, message, key=True))
            is_merge = key == "<<" and event.implicit[0]
            value = self.value(self.next_in(path), inner)
            if is_merge:
                message = "merge keys are not supported; write the keys out"
                self.document.faults.append(self.document.fault(inner, message, key=True))
            else:
                values[key] = value
        return values

    def position(self, event: Any) -> Position:
        return Position(self.document.source, event.start_mark.line + 1, event.start_mark.column + 1)

    def error(self, mark: Any, message: str) -> SpecError:
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (None, None)
        return SpecError([Fault(self.document.source, line, column, dotted(self.path), message)])
