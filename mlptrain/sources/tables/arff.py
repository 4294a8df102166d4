"""Weka's ARFF: a header of attributes, and behind it lines of values, which are read as those of a CSV file.

scipy's reader refuses attributes of text and dates, and reads row by row in Python.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from mlptrain.errors import DataError
from mlptrain.sources.tables.content import Content, Wishes
from mlptrain.sources.tables.dialect import Dialect, unique_names
from mlptrain.sources.tables.files import detect_encoding
from mlptrain.sources.tables.text import TextLines, read_columns
from mlptrain.system.text import printable

_ATTRIBUTE = re.compile(r"""@attribute\s+('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^\s{]+)\s*(.*)""", re.IGNORECASE)
_LEVEL = re.compile(r"""\s*('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^,]*)\s*(?:,|$)""")


@dataclass(frozen=True)
class _Attribute:
    """``levels`` is None but for a nominal attribute."""

    name: str
    kind: str
    levels: frozenset[str] | None = None


def read_arff(path: Path, start: bytes, wishes: Wishes) -> Content:
    """The rows of an ARFF file. Raises DataError, located, for values that the header does not allow."""
    encoding, text = detect_encoding(start, path)
    attributes, skip, data = _header(text, path)
    names, notes = unique_names([attribute.name for attribute in attributes])
    quoted = re.search(r"(?:^|[,\t\n])[ \t]*(['\"])", data)
    dialect = Dialect(
        separator="," if "," in data or len(names) == 1 else "\t",
        quote=quoted[1] if quoted else "'",
        header=True,
        names=names,
        skip=skip,
        comment="%",
        encoding=encoding.name,
        carriage_returns=encoding.carriage_returns,
        is_padded=bool(re.search(r",[ \t]+['\"]|['\"][ \t]+,", data)),
        has_backslashes="\\" in data,
    )
    pairs = list(zip(names, attributes, strict=True))
    as_text = frozenset(name for name, attribute in pairs if attribute.kind != "numeric")
    missing = tuple(dict.fromkeys((*wishes.missing, "?")))
    frame, dialect = read_columns(path, dialect, replace(wishes, missing=missing, also_text=as_text))
    lines = TextLines(dialect)
    for name, attribute in pairs:
        values = frame[name]
        if attribute.levels is not None:
            wrong = values.is_not_null() & ~values.is_in(list(attribute.levels))
        elif attribute.kind == "numeric" and values.dtype == pl.String:
            wrong = values.is_not_null() & values.cast(pl.Float64, strict=False).is_null()
        else:
            continue
        if wrong.any():
            row = wrong.arg_max() or 0
            wanted = "a number" if attribute.levels is None else f"one of the {len(attribute.levels):,} declared values"
            raise DataError(
                f"{lines.place(path, row, name)}  attribute '{printable(name)}': {printable(str(values[row]))!r} "
                f"is not {wanted}"
            )
    nominal = frozenset(name for name, attribute in pairs if attribute.kind == "nominal")
    return Content(frame, lines, ("ARFF", *notes, *dialect.notes), as_text=nominal)


def _header(text: str, path: Path) -> tuple[list[_Attribute], int, str]:
    """The attributes, the number of lines up to ``@data``, and the text behind it."""
    attributes: list[_Attribute] = []
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        words = line.strip()
        if words.lower().startswith("@attribute"):
            attributes.append(_attribute(words, f"{path}:{number}:1"))
        elif words.lower().startswith("@data"):
            data = "\n".join(lines[number:])
            first = next((row.strip() for row in lines[number:] if row.strip() and not row.startswith("%")), "")
            if first.startswith("{"):
                raise DataError(f"{path} is a sparse ARFF file; write it in the dense form")
            if not attributes:
                raise DataError(f"{path}:{number}:1  @data without an @attribute before it")
            return attributes, number, data
    raise DataError(f"{path} has no line @data, with which the rows of an ARFF file begin")


def _attribute(line: str, place: str) -> _Attribute:
    match = _ATTRIBUTE.fullmatch(line)
    if match is None:
        raise DataError(f"{place}  not an attribute: {printable(line[:80])!r}; a name and a type are wanted")
    name, kind = _bare(match[1]), match[2].strip()
    if kind.startswith("{"):
        inside = kind[1 : kind.rfind("}")] if "}" in kind else kind[1:]
        levels = frozenset(_bare(level) for level in _LEVEL.findall(inside) if level.strip())
        return _Attribute(name, "nominal", levels)
    word = kind.split()[0].lower() if kind else ""
    kinds = {"numeric": "numeric", "real": "numeric", "integer": "numeric", "string": "string", "date": "date"}
    if word not in kinds:
        raise DataError(
            f"{place}  attribute '{printable(name)}' has the type {printable(kind[:40])!r}; wanted is "
            "numeric, real, integer, string, date or a list of values in braces"
        )
    return _Attribute(name, kinds[word])


def _bare(text: str) -> str:
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        text = re.sub(r"\\(.)", r"\1", text[1:-1])
    return text.strip()
