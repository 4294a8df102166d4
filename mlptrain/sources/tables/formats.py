"""Kinds of files that hold tables, and how each is read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from mlptrain.errors import DataError
from mlptrain.sources.tables.arff import read_arff
from mlptrain.sources.tables.content import Content, Wishes
from mlptrain.sources.tables.files import detect_encoding, foreign_kind, read_start
from mlptrain.sources.tables.jsonlines import read_json_lines
from mlptrain.sources.tables.kinds import by_name, suffix_of
from mlptrain.sources.tables.libsvm import LINE, read_libsvm
from mlptrain.sources.tables.parquet import MAGIC, read_parquet
from mlptrain.sources.tables.text import read_text

FORMATS: dict[str, Callable[[Path, bytes, Wishes], Content]] = {
    "csv": read_text,  # and its relatives: any separator, blanks included
    "parquet": read_parquet,
    "jsonl": read_json_lines,
    "arff": read_arff,
    "libsvm": read_libsvm,
}


def read_content(path: Path, format_: str, wishes: Wishes) -> Content:
    """The rows of one file; ``format_`` is a key of ``FORMATS`` or ``auto``. Raises DataError."""
    start = read_start(path)
    if not start:
        raise DataError(f"{path} is empty")
    return FORMATS[_detected(path, start) if format_ == "auto" else format_](path, start, wishes)


def _detected(path: Path, start: bytes) -> str:
    """By the first bytes, then the suffix, then the first lines."""
    if start.startswith(MAGIC):
        return "parquet"
    if words := foreign_kind(start):
        raise DataError(f"{path} is {words}")
    if known := by_name(path):
        return known
    _, text = detect_encoding(start[: 1 << 16], path)
    lines = [line.strip() for line in text.lstrip("\ufeff").splitlines()[:1000]]
    lines = [line for line in lines if line and not line.startswith(("%", "#"))]
    if not lines:
        return "csv"
    if lines[0].lower().startswith("@relation"):
        return "arff"
    if lines[0].startswith("{") and _is_json(lines[0]):
        return "jsonl"
    if lines[0].startswith("[") and suffix_of(path) == ".json":
        raise DataError(f"{path} is one JSON array; write one object a line, as `jq -c '.[]'` does")
    if all(re.fullmatch(LINE, line) for line in lines[:-1][:20] or lines):
        return "libsvm"
    return "csv"


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True
