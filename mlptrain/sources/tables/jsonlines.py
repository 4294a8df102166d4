"""JSON lines, one object a line, by polars."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import polars as pl

from mlptrain.errors import DataError
from mlptrain.sources.tables.content import Content, Wishes
from mlptrain.sources.tables.files import opened
from mlptrain.sources.tables.typed import plain_columns


@dataclass(frozen=True)
class JsonLines:
    """Where a key of an object stands."""

    def place(self, path: Path, row: int, column: str) -> str:
        """As ``Lines.place``."""
        line, text = next(islice(_lines(path), row, None))
        return f"{path}:{line}:{max(0, text.find(json.dumps(column, ensure_ascii=False))) + 1}"


def read_json_lines(path: Path, start: bytes, wishes: Wishes) -> Content:  # noqa: ARG001 – what every reader takes
    """The objects of a file as rows, a key that an object lacks being missing.

    Raises DataError, located, for a line that is not an object.
    """
    with opened(path) as stream:
        content = stream.read().removeprefix(b"\xef\xbb\xbf")
    try:
        frame = pl.read_ndjson(content, infer_schema_length=None)
    except pl.exceptions.PolarsError:
        frame = pl.DataFrame(_objects(path), infer_schema_length=None, strict=False)
    return plain_columns(frame, path, wishes, lines=JsonLines(), name="JSON lines")


def _objects(path: Path) -> dict[str, list[object]]:
    """The columns as Python reads them, text where an object has another type than the others."""
    rows = []
    for line, text in _lines(path):
        try:
            value = json.loads(text)
        except json.JSONDecodeError as error:
            raise DataError(f"{path}:{line}:{error.colno}  not JSON: {error.msg}") from None
        if not isinstance(value, dict):
            raise DataError(f'{path}:{line}:1  not a JSON object, such as {{"age": 39}}')
        rows.append(value)
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: [row.get(name) for row in rows] for name in names}
    for name, values in columns.items():
        types = {type(value) for value in values if value is not None}
        if len(types) > 1 and not types <= {int, float}:
            columns[name] = [
                value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
                for value in values
            ]
    return columns


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines that are not blank, and their numbers from 1. Raises DataError for what is not UTF-8."""
    with opened(path) as stream:
        for number, raw in enumerate(stream, 1):
            try:
                text = raw.decode("utf-8-sig")
            except UnicodeDecodeError as error:
                raise DataError(f"{path}:{number}:{error.start + 1}  not UTF-8, which JSON is written in") from None
            if text.strip():
                yield number, text.rstrip("\n")
