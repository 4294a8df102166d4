"""Text files as typed columns, by polars, some records at a time, with every fault located.

A file is read in pieces of whole records, so that memory holds the columns and little more. Most pieces are parsed with
the types that the columns have so far. Where that fails, the piece is read as text, and a column takes the next wider
type, integer → number → text, that all of its values have.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mlptrain.errors import DataError
from mlptrain.sources.tables.dialect import BLANKS, Dialect, detect
from mlptrain.sources.tables.files import (
    Encoding,
    NotUtf8Error,
    Piece,
    detect_encoding,
    pieces,
    quoted_field,
)
from mlptrain.system.text import printable

if TYPE_CHECKING:
    import polars as pl

Kind = Literal["integer", "number", "text"]
MAX_FLOAT32 = 3.4028234663852886e38
_SAMPLE_ROWS = 10_000


@dataclass(frozen=True)
class Wishes:
    """What the user states about text files; None and nothing are detected. ``as_text`` names columns to leave so."""

    separator: str | None = None
    header: bool | Sequence[str] | None = None
    missing: tuple[str, ...] = ()
    known_names: tuple[str, ...] = ()
    as_text: frozenset[str] = frozenset()


def detect_text(path: Path, start: bytes, wishes: Wishes) -> Dialect:
    """The dialect of a text file that begins with ``start``. Raises DataError."""
    encoding, text = detect_encoding(start, path)
    if not text.strip("\ufeff \t\r\n"):
        raise DataError(f"{path} is empty" if not start else f"{path} holds nothing but blanks")
    dialect = detect(
        text.removeprefix("\ufeff"),
        path,
        separator=wishes.separator,
        header=wishes.header,
        missing=frozenset(wishes.missing),
        known_names=wishes.known_names,
    )
    return replace(dialect, encoding=encoding.name, carriage_returns=encoding.carriage_returns)


def read_text(path: Path, dialect: Dialect, wishes: Wishes) -> tuple[pl.DataFrame, Dialect]:
    """The columns of one file: integers, floating-point numbers and text, null where missing; and how it was read.

    Raises DataError for a record with too few or too many fields, bytes that are no text and numbers that are infinite.
    """
    try:
        return _Columns(path, dialect, wishes).read(), dialect
    except NotUtf8Error as error:
        note = f"not UTF-8 ({path}:{error.line}:{error.column}), read as Windows-1252"
        dialect = replace(dialect, encoding="cp1252", notes=(*dialect.notes, note))
        return _Columns(path, dialect, wishes).read(), dialect


def text_pieces(path: Path, dialect: Dialect) -> Iterator[Piece]:
    """The records of a file behind its header."""
    return pieces(
        path,
        Encoding(dialect.encoding, dialect.carriage_returns),
        skip=dialect.skip,
        separator=dialect.separator,
        quote=dialect.quote,
    )


class _Columns:
    """The columns of a file while it is read."""

    def __init__(self, path: Path, dialect: Dialect, wishes: Wishes) -> None:
        self._path, self._dialect = path, dialect
        self._missing = list(wishes.missing)
        self._names = list(dialect.names)
        self._kinds: dict[str, Kind] = {name: "text" if name in wishes.as_text else "integer" for name in self._names}
        self._as_strings = dialect.decimal_comma  # polars takes 1.234 for a number there, which may mean 1234
        self._late: dict[str, int] = {}  # pieces before which a column had numbers, and is text after all

    def read(self) -> pl.DataFrame:
        import polars as pl

        frames: list[pl.DataFrame] = []
        for piece in text_pieces(self._path, self._dialect):
            content = tidy(piece.content, self._dialect)
            if not content:
                continue
            if not frames:
                self._convert(self._strings(piece, content, rows=_SAMPLE_ROWS), 0)
            frame = self._piece(piece, content, len(frames))
            self._check_numbers(frame, piece)
            frames.append(frame)
        if not frames:
            only = "only a header and no rows" if self._dialect.header else "no rows"
            raise DataError(f"{self._path} holds {only}")
        self._read_late_text(frames)
        numbers = [name for name, kind in self._kinds.items() if kind == "number"]
        return pl.concat([frame.with_columns(pl.col(numbers).cast(pl.Float64)) for frame in frames])

    def _piece(self, piece: Piece, content: bytes, number: int) -> pl.DataFrame:
        import polars as pl

        if not self._as_strings:
            try:
                frame = self._parsed(content, self._kinds)
            except pl.exceptions.PolarsError:
                pass
            else:
                self._check_width(frame, piece, content)
                return self._stripped(frame, content)
        before = dict(self._kinds)
        frame = self._convert(self._strings(piece, content), number)
        self._as_strings |= before == self._kinds  # not a wider type, but blanks around numbers: so will the next be
        return frame

    def _parsed(
        self, content: bytes, kinds: dict[str, Kind], *, rows: int | None = None, columns: list[str] | None = None
    ) -> pl.DataFrame:
        import polars as pl

        types = {"integer": pl.Int64, "number": pl.Float64, "text": pl.String}
        return pl.read_csv(
            content,
            has_header=False,
            separator=self._dialect.separator,
            quote_char=self._dialect.quote or None,
            schema={name: types[kind] for name, kind in kinds.items()},
            null_values=[*self._missing, *(f" {value}" for value in self._missing if value)],
            columns=columns,
            n_rows=rows,
        )

    def _strings(self, piece: Piece, content: bytes, *, rows: int | None = None) -> pl.DataFrame:
        """All columns as text. Raises what is wrong with the piece, located."""
        import polars as pl

        try:
            frame = self._parsed(content, dict.fromkeys(self._kinds, "text"), rows=rows)
        except pl.exceptions.PolarsError as error:
            raise self._fault(piece) or DataError(f"{self._path}: {_first_line(error)}") from None
        if rows is None:
            self._check_width(frame, piece, content)
        return self._stripped(frame, content)

    def _stripped(self, frame: pl.DataFrame, content: bytes) -> pl.DataFrame:
        """Text without blanks around it, null where nothing or a word for "missing" is left."""
        import polars as pl

        if not _has_padding(content, self._dialect.separator):
            return frame
        text = pl.col(pl.String).str.strip_chars()
        return frame.with_columns(pl.when(~text.is_in(self._missing)).then(text))

    def _convert(self, strings: pl.DataFrame, number: int) -> pl.DataFrame:
        """Text as what the columns hold, which becomes wider where a value does not fit."""
        import polars as pl

        wider: dict[Kind, tuple[pl.DataType, Kind]] = {
            "integer": (pl.Int64(), "number"),
            "number": (pl.Float64(), "text"),
        }
        typed = strings
        for kind, (dtype, next_kind) in wider.items():
            names = [name for name, of_column in self._kinds.items() if of_column == kind]
            if not names:
                continue
            values = pl.col(names)
            if self._dialect.decimal_comma:
                # Points beside decimal commas group thousands, which is decided when the whole column is known.
                values = pl.when(~values.str.contains(".", literal=True)).then(
                    values.str.replace(",", ".", literal=True)
                )
            cast = strings.select(values.cast(dtype, strict=False))
            lost = zip(names, cast.null_count().row(0), strings.select(names).null_count().row(0), strict=True)
            unfit = [name for name, after, before in lost if after > before]
            for name in unfit:
                self._kinds[name] = next_kind
                if next_kind == "text" and number:
                    self._late[name] = number
            typed = typed.with_columns(cast.drop(unfit))
        return typed

    def _read_late_text(self, frames: list[pl.DataFrame]) -> None:
        """Columns that turned out to be text late: their numbers before that as they are written."""
        if not self._late:
            return
        names = list(self._late)
        last = max(self._late.values())
        kinds: dict[str, Kind] = dict.fromkeys(self._kinds, "text")
        number = 0
        for piece in text_pieces(self._path, self._dialect):
            content = tidy(piece.content, self._dialect)
            if not content:
                continue
            if number >= last:
                break
            text = self._stripped(self._parsed(content, kinds, columns=names), content)
            frames[number] = frames[number].with_columns(text[name] for name in names if number < self._late[name])
            number += 1

    def _check_numbers(self, frame: pl.DataFrame, piece: Piece) -> None:
        import polars as pl

        floats = frame.select(pl.col(pl.Float64).fill_nan(None).abs().max())
        for name, largest in zip(floats.columns, floats.row(0) if floats.width else (), strict=True):
            if largest is not None and largest > MAX_FLOAT32:
                row = frame.select((pl.col(name).abs() > MAX_FLOAT32).fill_null(value=False).arg_max()).item()
                line, column, value = locate(piece, self._dialect, row, self._names.index(name))
                raise DataError(
                    f"{self._path}:{line}:{column}  column '{printable(name)}': {printable(value)!r} is "
                    "not a finite number of single precision (at most 3.4e38); correct it, or add it to missing_values"
                )

    def _check_width(self, frame: pl.DataFrame, piece: Piece, content: bytes) -> None:
        """Raise for a record with too few fields, which polars fills up in silence."""
        if len(self._names) == 1 or not frame[:, -1].null_count():
            return
        separator, quote = self._dialect.separator, self._dialect.quote
        if quote and quote.encode() in content:
            content = quoted_field(separator, quote).sub(b"", content)
        if content.count(separator.encode()) != frame.height * (len(self._names) - 1):
            fault = self._fault(piece)
            if fault is not None:
                raise fault

    def _fault(self, piece: Piece) -> DataError | None:
        """What is wrong with a piece: a record with a wrong number of fields, a quote inside a quoted field.

        Raises NotUtf8Error.
        """
        check_utf8(piece)
        width = len(self._names)
        try:
            for line, record in records(piece, self._dialect, strict=True):
                if len(record) != width:
                    fields = "1 field" if len(record) == 1 else f"{len(record):,} fields"
                    return DataError(
                        f"{self._path}:{line}:1  {fields} instead of {width:,}; is a separator missing, or "
                        f"one that belongs to a text not quoted? (read with {self._dialect.describe()})"
                    )
        except csv.Error as error:
            line = int(str(error).split(":")[0])
            return DataError(
                f"{self._path}:{line}:1  a quoted text goes on behind its closing quote; double the inner quotes"
            )
        return None


def check_utf8(piece: Piece) -> None:
    """Raise NotUtf8Error where a piece is not UTF-8."""
    try:
        piece.content.decode()
    except UnicodeDecodeError as error:
        line = piece.line + piece.content.count(b"\n", 0, error.start)
        raise NotUtf8Error(line, error.start - piece.content.rfind(b"\n", 0, error.start)) from None


def tidy(content: bytes, dialect: Dialect) -> bytes:
    """Records without comments and blank lines, fields separated by one byte."""
    if dialect.comment:
        content = re.sub(rb"(?m)^[ \t]*" + re.escape(dialect.comment.encode()) + rb".*\n", b"", content)
    has_quotes = bool(dialect.quote) and dialect.quote.encode() in content
    if dialect.separator == BLANKS:
        if has_quotes:
            inside = quoted_field(BLANKS, dialect.quote).pattern
            content = re.sub(rb"(" + inside + rb")|[ \t]+", lambda match: match[1] or b" ", content)
        else:
            content = re.sub(rb"[ \t]+", b" ", content)
        content = re.sub(rb" ?(\r?\n) ?", rb"\1", content).lstrip(b" ")
    if not re.search(rb"\n[ \t\r]*\n|\A[ \t\r]*\n", content):
        return content
    if not has_quotes:
        return re.sub(rb"(\A|\n)(?:[ \t\r]*\n)+", rb"\1", content)
    inside = quoted_field(dialect.separator, dialect.quote).pattern
    return re.sub(
        rb"(?P<quoted>" + inside + rb")|(?P<end>\A|\n)(?:[ \t\r]*\n)+",
        lambda match: match["quoted"] or match["end"],
        content,
    )


def _has_padding(content: bytes, separator: str) -> bool:
    """Whether fields may have blanks around them."""
    mark = separator.encode()
    around: tuple[bytes, ...] = (
        b" " + mark,
        mark + b" ",
        b"\t" + mark,
        mark + b"\t",
        b" \n",
        b" \r",
        b"\n ",
        b'" ',
        b' "',
        b"' ",
        b" '",
    )
    if separator == BLANKS:
        around = around[-4:]
    return any(pair in content for pair in around) or b"\xc2\xa0" in content or content[:1] in b" \t"


def records(piece: Piece, dialect: Dialect, *, strict: bool = False) -> Iterator[tuple[int, list[str]]]:
    """The records of a piece and the lines on which they begin. Raises csv.Error that begins with the line."""
    csv.field_size_limit(1 << 30)
    lines = piece.content.decode(errors="replace").split("\n")
    if dialect.separator == BLANKS:
        lines = [re.sub(r"[ \t]+", BLANKS, line.strip()) for line in lines]
    if dialect.comment:
        lines = ["" if line.lstrip().startswith(dialect.comment) else line for line in lines]
    reader = csv.reader(
        (line + "\n" for line in lines),
        delimiter=dialect.separator,
        quotechar=dialect.quote or None,
        quoting=csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE,
        strict=strict,
    )
    begins = 0
    try:
        for record in reader:
            if any(map(str.strip, record)) or len(record) > 1:
                yield piece.line + begins, record
            begins = reader.line_num
    except csv.Error as error:
        raise csv.Error(f"{piece.line + begins}: {error}") from None


def locate(piece: Piece, dialect: Dialect, row: int, column: int) -> tuple[int, int, str]:
    """Line and column, both from 1, of a field, and its text; ``row`` counts from the first of the piece."""
    for number, (line, record) in enumerate(records(piece, dialect)):
        if number == row:
            begin = 0
            for _ in range(line - piece.line):
                begin = piece.content.find(b"\n", begin) + 1
            offset = _field_offset(piece.content[begin:], dialect, column)
            before = piece.content[begin : begin + offset]
            within = before.decode(errors="replace").rsplit("\n", 1)[-1]
            return line + before.count(b"\n"), len(within) + 1, record[column].strip() if column < len(record) else ""
    raise IndexError(row)


def _field_offset(content: bytes, dialect: Dialect, column: int) -> int:
    """Where a field of the first record begins."""
    mark = re.escape(dialect.separator.encode())
    separator = rb"[ \t]+" if dialect.separator == BLANKS else mark
    plain = rb"[^ \t\n]*" if dialect.separator == BLANKS else rb"[^" + mark + rb"\n]*"
    quote = re.escape(dialect.quote.encode())
    quoted = quote + rb"(?:[^" + quote + rb"]|" + quote * 2 + rb")*" + quote if quote else rb"(?!)"
    field = re.compile(rb"[ \t]*(?:" + quoted + rb"|)" + plain)
    end, offset = 0, 0
    if dialect.separator == BLANKS:
        end = len(content) - len(content.lstrip(b" \t"))
    for index in range(column + 1):
        match = field.match(content, end)
        assert match is not None
        offset = match.start()
        if index < column:
            behind = re.compile(separator).match(content, match.end())
            if behind is None:
                break
            end = behind.end()
    if dialect.separator != BLANKS:
        offset += len(content[offset:]) - len(content[offset:].lstrip(b" \t"))
    return offset


def place(path: Path, dialect: Dialect, row: int, column: int) -> str:
    """``file:line:column`` of a value; ``row`` counts from the first of the file."""
    for piece in text_pieces(path, dialect):
        content = tidy(piece.content, dialect)
        quote = dialect.quote.encode()
        rows = content.count(b"\n") if not quote or quote not in content else sum(1 for _ in records(piece, dialect))
        if row < rows:
            line, position, _ = locate(piece, dialect, row, column)
            return f"{path}:{line}:{position}"
        row -= rows
    return str(path)


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0]
