"""What breaks the syntax of a YAML text, in this project's words.

The cause is decided by the marks of the parser's error and the characters there, since its wording differs between
libyaml and PyYAML and from version to version.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice, takewhile
from typing import Any

import yaml

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml where the wheel has it

# https://yaml.org/spec/1.2.2/#51-character-set, without surrogates
_NOT_PRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_QUOTED = {"'": re.compile("'(?:[^']++|'')*+'"), '"': re.compile(r'"(?:[^"\\]++|\\.)*+"', re.DOTALL)}
_BRACKETS = {"[": ("list", yaml.FlowSequenceEndToken), "{": ("mapping", yaml.FlowMappingEndToken)}
_MAX_TOKENS = 100_000  # far more than a legal configuration has; bounds the time that a message takes


def unprintable(text: str) -> tuple[int, str] | None:
    """Index and message of the first character that no YAML text may hold."""
    if found := _NOT_PRINTABLE.search(text):
        return found.start(), f"the control character U+{ord(found[0]):04X} is not allowed"
    return None


def explain(text: str, error: yaml.MarkedYAMLError, *, with_places: bool = True) -> str:
    """What is wrong at the place that ``error`` marks in ``text``, and where what is not closed was opened.

    ``with_places`` is false for a text that the user does not see as lines and columns.
    """
    if error.problem_mark is None:
        return _parsers_words(error)
    broken = _Break(text, error, with_places)
    causes = (broken.tab, broken.quote, broken.quote_too_early, broken.bracket, broken.character, broken.indentation)
    return next(filter(None, (cause() for cause in causes)), _parsers_words(error))


def _parsers_words(error: yaml.MarkedYAMLError) -> str:
    return f"the parser stops here ({error.problem or error.context or 'without a reason'})"


class _Break:
    """A place where a text breaks YAML's syntax; each method is one cause: its message, or nothing."""

    def __init__(self, text: str, error: yaml.MarkedYAMLError, with_places: bool) -> None:
        mark: Any = error.problem_mark
        opened: Any = error.context_mark
        self.text, self.mark, self.with_places = text, mark, with_places
        self.in_scanner = isinstance(error, yaml.scanner.ScannerError)
        self.here = text[mark.index : mark.index + 1]
        self.opened = opened if opened is not None and opened.index < mark.index else None
        self.first = text[self.opened.index] if self.opened is not None else ""  # of what holds this place

    def at(self, mark: Any) -> str:
        return f" at {mark.line + 1}:{mark.column + 1}" if self.with_places else ""

    def tab(self) -> str | None:
        return "a tab cannot indent; use spaces" if self.here == "\t" else None

    def quote(self) -> str | None:
        """A quoted text that does not end before this place."""
        if self.opened is None or self.first not in _QUOTED:
            return None
        whole = _QUOTED[self.first].match(self.text, self.opened.index)
        if whole is not None and whole.end() <= self.mark.index:
            return None
        rest, said = self.text[self.mark.index :][:3], f"the text opened with {self.first}{self.at(self.opened)}"
        if not rest or (self.mark.column == 0 and rest in ("---", "...")):
            return f"{said} is not closed"
        return f"{said} has an unknown escape here; write \\\\ for a backslash"

    def quote_too_early(self) -> str | None:
        """A quoted text with more text right behind it: the quote that ends it was meant otherwise."""
        previous: Any = None
        for token in takewhile(lambda token: token.start_mark.index <= self.mark.index, _tokens(self.text)):
            if isinstance(token, yaml.ScalarToken) and getattr(previous, "style", None) in _QUOTED:
                start, end, quote = previous.start_mark, previous.end_mark, previous.style
                if start.line < end.line == token.start_mark.line:
                    return f"the text opened with {quote}{self.at(start)} is not closed in its line"
                if end.index == token.start_mark.index:
                    escaped = "''" if quote == "'" else '\\"'
                    said = f"the text opened with {quote}{self.at(start)} ends before this"
                    return f"{said}; write {escaped} for a {quote} in it"
            previous = token
        return None

    def bracket(self) -> str | None:
        if self.opened is not None and self.first in _BRACKETS and not self.in_scanner:
            kind = f"the {_BRACKETS[self.first][0]} opened with '{self.first}'{self.at(self.opened)}"
            is_closed = _is_bracket_closed(self.text, self.opened.index)
            return f"a ',' is missing in {kind}" if is_closed else f"{kind} is not closed"
        return f"this '{self.here}' closes nothing" if self.here in ("]", "}") else None

    def character(self) -> str | None:
        """A sign of YAML in the wrong place, or none where there should be one."""
        if not self.in_scanner:
            return None
        if self.here == ":" and not self.first:
            return "a ':' is not expected here; quote text that holds ': ', and indent the keys of a mapping alike"
        if self.here in ("@", "`", "%") and not self.first:
            return f"a value cannot start with '{self.here}'; put it in quotes"
        is_key = self.first and self.first not in "%&*!|>[{"
        return f"a ':' is missing after the key{self.at(self.opened)}" if is_key else None

    def indentation(self) -> str | None:
        if self.in_scanner or self.opened is None or not self.here:
            return None
        kind = "list" if self.first == "-" else "mapping"
        return f"this does not fit the {kind} that starts{self.at(self.opened)}; indent what belongs together alike"


def _is_bracket_closed(text: str, start: int) -> bool:
    """Whether the bracket at ``start`` has its counterpart further down."""
    starts: list[Any] = []
    for token in _tokens(text):
        if isinstance(token, (yaml.FlowSequenceStartToken, yaml.FlowMappingStartToken)):
            starts.append(token.start_mark.index)
        elif isinstance(token, (yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken)):
            if not starts:
                return False
            if starts.pop() == start:
                return isinstance(token, _BRACKETS[text[start]][1])
    return False


def _tokens(text: str) -> Iterator[Any]:
    """The tokens of ``text`` up to the first that cannot be read."""
    with suppress(yaml.YAMLError):
        yield from islice(yaml.scan(text, Loader=LOADER), _MAX_TOKENS)
