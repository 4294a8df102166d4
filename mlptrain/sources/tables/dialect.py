"""How a text file writes its table, detected in its first lines: separator, quotes, decimals, header, comments."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mlptrain.errors import DataError
from mlptrain.system.text import printable

BLANKS = " "  # as a separator: runs of blanks and tabs
NAMED_SEPARATORS = {
    "comma": ",",
    "semicolon": ";",
    "tab": "\t",
    "pipe": "|",
    "space": BLANKS,
    "blanks": BLANKS,
    "whitespace": BLANKS,
}
_SHOWN = {"\t": "tab", BLANKS: "blanks"}
_ENCODINGS = {"utf-8-sig": "UTF-8 with BOM", "cp1252": "Windows-1252"}
_CANDIDATES = ("\t", ";", "|", ",", BLANKS)
_MAX_RECORDS = 1000
_MAX_PREAMBLE = 20  # lines of a title or the like before a table
# Missing in every file, whatever its configuration says. A lone question mark is what UCI's and Weka's files write.
MISSING = ("", "NA", "NaN", "nan", "N/A", "n/a", "#N/A", "<NA>", "null", "NULL", "None", "?")
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+(?:[eE][+-]?\d+)?")
_RUN_OF_NUMBERS = re.compile(r"\d\s+[+-]?\d")
_DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}(?:[ T].*)?")


@dataclass(frozen=True)
class Dialect:
    """How a file is read. ``skip`` counts its lines before the first row; ``header`` says whether it names its columns.

    ``encoding`` is Python's name; ``quote`` is empty where nothing is quoted.
    """

    separator: str = ","
    quote: str = '"'
    decimal_comma: bool = False
    header: bool = False
    names: tuple[str, ...] = ()
    skip: int = 0
    comment: str = ""
    encoding: str = "utf-8"
    carriage_returns: bool = False  # lines end with a lone CR
    is_padded: bool = False  # blanks stand between a separator and a quote
    has_backslashes: bool = False  # quotes inside a quoted text have a backslash before them
    notes: tuple[str, ...] = field(default=())

    def describe(self) -> str:
        """The dialect in a few words: separator ';', decimal comma, no header."""
        separator = _SHOWN.get(self.separator, repr(self.separator))
        words = [f"separator {separator}" if len(self.names) > 1 else "one column"]
        if self.quote == "'":
            words.append("single quotes")
        if self.decimal_comma:
            words.append("decimal comma")
        words.append("header" if self.header else "no header")
        if self.encoding != "utf-8":
            words.append(_ENCODINGS.get(self.encoding, self.encoding.upper()))
        return ", ".join(words)


def split_records(lines: Sequence[str], separator: str, quote: str) -> list[tuple[int, list[str]]]:
    """Fields of each record without blanks around them, and the line, counted from 1, on which the record ends.

    Raises csv.Error for a field of more than 16 MB.
    """
    csv.field_size_limit(16_000_000)
    if separator == BLANKS:
        lines = [re.sub(r"[ \t]+", BLANKS, line.strip()) for line in lines]
    reader = csv.reader(
        (line + "\n" for line in lines),
        delimiter=separator,
        quotechar=quote or None,
        quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
        skipinitialspace=True,
    )
    return [(reader.line_num, [value.strip() for value in record]) for record in reader if any(map(str.strip, record))]


def detect(
    text: str,
    path: Path,
    *,
    separator: str | None = None,
    header: bool | Sequence[str] | None = None,
    missing: frozenset[str] = frozenset(MISSING),
    known_names: Sequence[str] = (),
) -> Dialect:
    """The dialect of a file that begins with ``text``, whole lines.

    ``separator`` and ``header`` are as the user states them, None to detect them. ``known_names`` are those of the
    columns of a table of the same kind: a first line with one of them is a header.

    Raises DataError where there is no row, or names do not fit.
    """
    lines = text.splitlines() if "\x1c" not in text else text.split("\n")
    dialect = Dialect()
    hint = re.fullmatch(r"sep=(.)", lines[0].strip("\"' ")) if lines else None
    first = 1 if hint else 0  # Excel's own line about the separator
    comment = next((line.lstrip()[:1] for line in lines if line.strip()), "")
    if comment in ("#", "%"):
        dialect = replace(dialect, comment=comment)
        lines = ["" if line.lstrip().startswith(comment) else line for line in lines]
    body = lines[first : first + _MAX_RECORDS]
    if not any(map(str.strip, body)):
        raise DataError(f"{path} holds no rows" + (", only comments" if dialect.comment else ""))
    chosen = separator or (hint and hint[1]) or None
    try:
        dialect, records = _best(dialect, body, chosen)
    except csv.Error as error:
        raise DataError(f"{path} cannot be read as a table: {error}") from None
    counts = Counter(len(record) for _, record in records)
    width = max(counts, key=lambda count: (counts[count], count))
    preamble = _preamble(records, width)
    if preamble:
        lines_are, are = ("line is", "is") if preamble == 1 else (f"{preamble} lines are", "are")
        dialect = replace(dialect, notes=(f"the first {lines_are} not of the table and {are} skipped",))
    before = first + (records[preamble - 1][0] if preamble else 0)
    records = records[preamble:]
    dialect = replace(dialect, decimal_comma=_has_decimal_comma(dialect, records))
    dialect = _quoting(body, dialect)
    return _with_header(dialect, records, path, width, before, first, header, missing, known_names)


def _preamble(records: Sequence[tuple[int, list[str]]], width: int) -> int:
    """How many records before a table of ``width`` columns are a title or the like: one field each."""
    count = 0
    while count < min(_MAX_PREAMBLE, len(records) - 2) and len(records[count][1]) == 1 < width:
        count += 1
    return count


def _best(dialect: Dialect, lines: list[str], separator: str | None) -> tuple[Dialect, list[tuple[int, list[str]]]]:
    """The separator whose records agree best in their numbers of fields, and the records."""
    best, agreement, chosen = dialect, 0.0, None
    for candidate in (separator,) if separator else _CANDIDATES:
        quote = _quote(lines, candidate)
        try:
            records = split_records(lines, candidate, quote)
        except csv.Error:
            continue
        counts = Counter(len(record) for _, record in records)
        width, rows = max(counts.items(), key=lambda item: (item[1], item[0]))
        share = rows / (len(records) - _preamble(records, width))
        if separator is None:
            runs = sum(bool(_RUN_OF_NUMBERS.search(value)) for _, record in records for value in record)
            if width < 2 or (candidate == "," and runs > len(records)):
                continue
            share = 1.0 if share >= 0.9 else share
        if chosen is None or share > agreement:
            best, agreement, chosen = replace(dialect, separator=candidate, quote=quote), share, records
    if chosen is None:  # nothing separates: one column
        best = replace(dialect, separator=separator or ",", quote=_quote(lines, separator or ","))
        chosen = split_records(lines, best.separator, best.quote)
    return best, chosen


def _quote(lines: list[str], separator: str) -> str:
    """The quote that fields begin and end with: double quotes unless there are only single ones."""
    edge = r"(?:^|[ \t]+|$)" if separator == BLANKS else rf"(?:^|{re.escape(separator)}|$)"
    single = re.compile(rf"{edge}\s*'[^']*'\s*(?={edge})")
    only_start = re.compile(rf"{edge}\s*'[^']*$")
    text = lines[:200]
    if any('"' in line for line in text):
        return '"'
    if any(single.search(line) for line in text) and not any(only_start.search(line) for line in text):
        return "'"
    return '"'


def _quoting(lines: Sequence[str], dialect: Dialect) -> Dialect:
    """The dialect with the oddities of its quoted fields."""
    if dialect.separator == BLANKS or not dialect.quote:
        return dialect
    text = "\n".join(lines)
    mark, quote = re.escape(dialect.separator), dialect.quote
    return replace(
        dialect,
        is_padded=bool(re.search(rf"{mark}[ ]+{quote}|{quote}[ ]+{mark}", text)),
        has_backslashes=bool(re.search(rf"\\{quote}[^\s{mark}{quote}]", text)),  # \"" may be doubled
    )


def _has_decimal_comma(dialect: Dialect, records: Sequence[tuple[int, list[str]]]) -> bool:
    if dialect.separator == ",":
        return False
    values = [value for _, record in records for value in record]
    commas = sum(bool(_DECIMAL_COMMA.fullmatch(value)) for value in values)
    points = sum(bool(re.fullmatch(r"[+-]?\d+\.(?!\d{3}$)\d+", value)) for value in values)  # not of thousands
    return commas > 0 and commas >= points


def is_number(text: str, *, decimal_comma: bool = False) -> bool:
    """Whether a field is a number, of Python's decimal notations without underscores."""
    try:
        float(text.replace(",", ".") if decimal_comma else text)
    except ValueError:
        return False
    return "_" not in text


def _with_header(
    dialect: Dialect,
    records: Sequence[tuple[int, list[str]]],
    path: Path,
    width: int,
    before: int,
    offset: int,
    header: bool | Sequence[str] | None,
    missing: frozenset[str],
    known_names: Sequence[str],
) -> Dialect:
    """The dialect with the names of its columns; ``offset`` lines were left out before the first record."""
    if isinstance(header, Sequence) and known_names:  # of later rows, which may have names and lack columns
        header = any(name in known_names for name in records[0][1])
    if isinstance(header, Sequence):
        if len(header) != width:
            raise DataError(f"{path} has {width:,} columns, but header names {len(header):,}")
        return replace(dialect, header=True, names=tuple(header), skip=before)
    (line, first), *rest = records
    if header is None:
        is_known = any(name in known_names for name in first)
        header = is_known or _looks_like_header(first, [record for _, record in rest], dialect, missing)
    if not header:
        return replace(dialect, names=tuple(f"column_{index}" for index in range(width)), skip=before)
    names, notes = unique_names(first)
    if len(names) == width - 1 and rest and all(record[-1] == "" for _, record in rest if len(record) == width):
        names = (*names, unique_names([*names, ""])[0][-1])  # rows end with a separator
    elif len(names) == width - 1:
        # R's write.table names all columns but the one of the row names.
        names, notes = ("column_0", *names), [*notes, "the header names all columns but the first, called column_0"]
    return replace(dialect, header=True, names=tuple(names), skip=offset + line, notes=(*dialect.notes, *notes))


def unique_names(given: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    """Names of columns, each once and none empty, and what was changed in words."""
    names: list[str] = []
    taken = set(filter(None, given))
    notes: list[str] = []
    seen: set[str] = set()
    for index, name in enumerate(given):
        unique = name or f"column_{index}"
        number = 1
        while unique in seen or (unique != name and unique in taken):
            number += 1
            unique = f"{name or f'column_{index}'}_{number}"
        if name and unique != name and len(notes) < 5:
            notes.append(f"a second column '{printable(name)}' is called '{printable(unique)}'")
        seen.add(unique)
        names.append(unique)
    return tuple(names), notes


def _is_typed(value: str, dialect: Dialect) -> bool:
    return is_number(value, decimal_comma=dialect.decimal_comma) or bool(_DATE.fullmatch(value))


def _looks_like_header(
    first: Sequence[str], rest: Sequence[Sequence[str]], dialect: Dialect, missing: frozenset[str]
) -> bool:
    """Whether the first record names the columns.

    Numbers are no names, unless they count the columns, as in 0, 1, 2 … or years. A text above numbers or dates is a
    name; a first record with a value that its column holds again is a row.
    """
    typed = [_is_typed(value, dialect) for value in first]
    numbers = [value for value, is_typed in zip(first, typed, strict=True) if is_typed]
    if numbers and not _counts_up(numbers):
        return False
    if numbers and len(numbers) == len(first):
        return len(first) > 2 and first[0] in ("0", "1")
    if not rest:
        return not numbers
    columns = [[record[index] for record in rest if index < len(record)] for index in range(len(first))]
    columns = [[value for value in column if value not in missing] for column in columns]
    above_numbers = repeated = False
    for value, is_typed, column in zip(first, typed, columns, strict=True):
        if not value or is_typed or not column:
            continue
        share = sum(_is_typed(entry, dialect) for entry in column) / len(column)
        above_numbers |= share >= 0.9 and value not in missing
        repeated |= value in column
    return above_numbers or not repeated


def _counts_up(numbers: Sequence[str]) -> bool:
    """Whether these are consecutive whole numbers, at least two."""
    if len(numbers) < 2 or not all(number.isdigit() for number in numbers):
        return False
    start = int(numbers[0])
    return [int(number) for number in numbers] == list(range(start, start + len(numbers)))
