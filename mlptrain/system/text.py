"""Durations in words, and text from outside, as in names of files, made safe to show: none of it acts on a terminal."""

from __future__ import annotations

import re

# Control characters but tab and line feed, marks that turn the direction of writing, halves of surrogate pairs.
_ACTING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """The text with what would act on a terminal, page or picture written out, as in ``\\x1b[31m``.

    What is left can be encoded: bytes of a name that are not UTF-8 come as half surrogates.
    """
    return _ACTING.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def shortened(text: str, letters: int) -> str:
    """A printable text in one line of at most so many letters."""
    text = printable(text).replace("\n", " ")
    return text if len(text) <= letters else f"{text[: letters - 1]}…"


def duration(seconds: float | None) -> str:
    """Seconds in the unit that suits them, as text."""
    if seconds is None:
        return ""
    for limit, unit, name in ((90, 1, "s"), (5400, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds / 86_400:.0f} d"
