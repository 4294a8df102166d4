"""What breaks the syntax of a YAML text, in this project's words.

The cause is decided by the marks of the parser's error and the characters there, since its wording differs between
libyaml and PyYAML and from version to version.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import islice, pairwise
from typing import Any

import yaml

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml where the wheel has it

# https://yaml.org/spec/1.2.2/#51-character-set, without surrogates
NOT_PRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_QUOTED = {"'": re.compile("'(?:[^']++|'')*+'"), '"': re.compile(r'"(?:[^"\\]++|\\.)*+"', re.DOTALL)}
_BRACKETS = {"[": "list", "{": "mapping"}
_MAX_TOKENS = 100_000  # far more than a legal configuration has; bounds the time that a message takes


def explain(text: str, error: yaml.MarkedYAMLError, *, has_lines: bool = True) -> str:
    """What is wrong at the mark of ``error`` in ``text``, and where what is not closed was opened.

    ``has_lines`` is false for a text that the user does not see as lines.
    """

    def at(mark: Any) -> str:
        return f" at {mark.line + 1}:{mark.column + 1}" if has_lines else ""

    mark: Any = error.problem_mark
    opening: Any = error.context_mark  # the start of what contains the mark
    last_resort = f"the parser stops here ({error.problem or error.context or 'without a reason'})"
    if mark is None:
        return last_resort
    here = text[mark.index : mark.index + 1]
    first = text[opening.index] if opening is not None and opening.index < mark.index else ""
    in_scanner = isinstance(error, yaml.scanner.ScannerError)  # it reads tokens; the parser reads what they make up
    if here == "\t":
        return "a tab cannot indent; use spaces"
    if message := _quote_not_closed(text, first, opening, mark, at) or _quote_closed_early(text, mark, at):
        return message
    if first in _BRACKETS and not in_scanner:
        return f"the {_BRACKETS[first]} opened with '{first}'{at(opening)} is not closed, or a ',' is missing in it"
    if here in ("]", "}"):
        return f"this '{here}' closes nothing"
    if in_scanner and not first and here == ":":
        return "a ':' is not expected here; quote text that contains ': ', and indent the keys of a mapping alike"
    if in_scanner and not first and here in ("@", "`", "%"):
        return f"a value cannot start with '{here}'; put it in quotes"
    if in_scanner and first and first not in "%&*!|>[{":
        return f"a ':' is missing after the key{at(opening)}"
    if not in_scanner and first and here:
        kind = "list" if first == "-" else "mapping"
        return f"this does not fit the {kind} that starts{at(opening)}; indent what belongs together alike"
    return last_resort


def _quote_not_closed(text: str, first: str, opening: Any, mark: Any, at: Callable[[Any], str]) -> str | None:
    """A quoted text that does not end before the mark."""
    if first not in _QUOTED:
        return None
    whole = _QUOTED[first].match(text, opening.index)
    if whole is not None and whole.end() <= mark.index:
        return None
    rest = text[mark.index : mark.index + 3]
    if not rest or (mark.column == 0 and rest in ("---", "...")):
        return f"the text opened with {first}{at(opening)} is not closed"
    return f"the text opened with {first}{at(opening)} has an unknown escape here; write \\\\ for a backslash"


def _quote_closed_early(text: str, mark: Any, at: Callable[[Any], str]) -> str | None:
    """A quoted text with more text right behind it: the quote that ends it was meant otherwise."""
    tokens: Iterable[Any] = yaml.scan(text, Loader=LOADER)
    with suppress(yaml.YAMLError):  # at the first token that cannot be read
        for quoted, token in pairwise(islice(tokens, _MAX_TOKENS)):
            if token.start_mark.index > mark.index:
                break
            if not isinstance(token, yaml.ScalarToken) or getattr(quoted, "style", None) not in _QUOTED:
                continue
            start, end, quote = quoted.start_mark, quoted.end_mark, quoted.style
            if start.line < end.line == token.start_mark.line:
                return f"the text opened with {quote}{at(start)} is not closed in its line"
            if end.index == token.start_mark.index:
                escaped = "''" if quote == "'" else '\\"'
                return f"the text opened with {quote}{at(start)} ends before this; write {escaped} for a {quote} in it"
    return None
