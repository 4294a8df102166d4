"""Configurations to test with."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
REQUIRED = {"data": "data: mnist", "model": "model: {hidden: [4]}", "optimizer": "optimizer: sgd"}
MARK = "«"


def complete(text: str) -> str:
    """The text with the sections that it lacks appended."""
    given = re.findall(r"^(\w+):", text.replace(MARK, ""), flags=re.MULTILINE)
    return "\n".join([text.rstrip("\n"), *(line for key, line in REQUIRED.items() if key not in given), ""])


def marked(text: str) -> tuple[str, list[tuple[int, int]]]:
    """The text without its marks, and the (line, column) of what each stood before, counted from 1."""
    places = []
    for number, line in enumerate(text.split("\n"), start=1):
        pieces = line.split(MARK)
        places += [(number, len("".join(pieces[: index + 1])) + 1) for index in range(len(pieces) - 1)]
    return text.replace(MARK, ""), places
