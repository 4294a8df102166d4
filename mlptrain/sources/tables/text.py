"""Text files as typed columns, by polars, some records at a time, with every fault located.

A file is read in pieces of whole records, so that memory holds the columns and little more. Most pieces are parsed with
the types that the columns have so far. Where that fails, the piece is read as text, and a column takes the next wider
type, integer → number → text, that all of its values have.
"""

from __future__ import annotations

import contextlib
import csv
import re
from collections.abc import Container, Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Literal

import polars as pl

from mlptrain.errors import DataError
from mlptrain.sources.facts import MAX_FLOAT32
from mlptrain.sources.tables.content import Content, Wishes
from mlptrain.sources.tables.dialect import BLANKS, Dialect, detect, is_number
from mlptrain.sources.tables.files import Encoding, NotUtf8Error, Piece, ahead, detect_encoding, pieces, quoted_field
from mlptrain.sources.tables.narrow import Ends, ends_of, narrowed
from mlptrain.sources.tables.room import check_room
from mlptrain.sources.tables.typed import not_finite
from mlptrain.sources.tables.wide import is_wide, null_counts, together

Kind = Literal["integer", "number", "text"]
_SAMPLE_ROWS = 10_000
_SAMPLE = 1 << 20  # bytes


@dataclass(frozen=True)
class TextLines:
    """Where the fields of a text file stand."""

    dialect: Dialect

    def place(self, path: Path, row: int, column: str) -> str:
        """As ``Lines.place``. A million rows take about a second."""
        dialect = self.dialect
        index = dialect.names.index(column)
        for piece in text_pieces(path, dialect):
            content = tidy(piece.content, dialect)
            has_quotes = bool(dialect.quote) and dialect.quote.encode() in content
            rows = sum(1 for _ in records(piece, dialect)) if has_quotes else content.count(b"\n")
            if row < rows:
                line, position, _ = locate(piece, dialect, row, index)
                return f"{path}:{line}:{position}"
            row -= rows
        raise IndexError(row)


def read_text(path: Path, start: bytes, wishes: Wishes) -> Content:
    """The rows of a text file that begins with ``start``: integers, floating-point numbers and text.

    Raises DataError for a record with too few or too many fields, bytes that are no text and numbers that are infinite.
    """
    encoding, text = detect_encoding(start, path)
    text = text.removeprefix("\ufeff")
    if not text.strip():
        raise DataError(f"{path} holds nothing but blanks")
    dialect = detect(
        text,
        path,
        separator=wishes.separator,
        header=False if wishes.header is None and wishes.known and not wishes.known.has_names else wishes.header,
        missing=frozenset(wishes.missing),
        known_names=tuple(wishes.known.kinds) if wishes.known else (),
    )
    by_place = wishes.names_by_place(len(dialect.names), has_header=dialect.header)
    dialect = replace(
        dialect, names=by_place or dialect.names, encoding=encoding.name, carriage_returns=encoding.carriage_returns
    )
    frame, dialect = read_columns(path, dialect, wishes)
    notes = (dialect.describe(), *dialect.notes)
    last = frame.width - 1
    unnamed = dialect.header and last and frame.columns[last] == f"column_{last}"
    if unnamed and frame[:, last].null_count() == len(frame):
        frame = frame.drop(frame.columns[last])  # so that -1 is the last column that there is
        notes = (*notes, "lines end with a separator, behind which there is no column")
    return Content(frame, TextLines(dialect), notes, has_names=dialect.header, decimal_comma=dialect.decimal_comma)


def read_columns(path: Path, dialect: Dialect, wishes: Wishes) -> tuple[pl.DataFrame, Dialect]:
    """The columns of a file in a known dialect, and the dialect with the encoding that it has after all.

    Raises DataError as ``read_text``.
    """
    try:
        return _Columns(path, dialect, wishes).read(), dialect
    except NotUtf8Error as error:
        note = f"not UTF-8 ({path}:{error.line}:{error.column}), read as Windows-1252"
        dialect = replace(dialect, encoding="cp1252", notes=(*dialect.notes, note))
        return _Columns(path, dialect, wishes).read(), dialect


def text_pieces(path: Path, dialect: Dialect) -> Generator[Piece, None, None]:
    """The records of a file behind its header."""
    return pieces(
        path,
        Encoding(dialect.encoding, dialect.carriage_returns),
        skip=dialect.skip,
        separator=dialect.separator,
        quote=dialect.quote,
        has_backslashes=dialect.has_backslashes,
    )


class _Columns:
    """The columns of a file while it is read."""

    def __init__(self, path: Path, dialect: Dialect, wishes: Wishes) -> None:
        self._path, self._dialect = path, dialect
        self._missing = list(wishes.missing)
        self._names = list(dialect.names)
        as_text = wishes.as_text
        self._kinds: dict[str, Kind] = {name: "text" if name in as_text else "integer" for name in self._names}
        self._blank_lines = True  # to be removed; assumed until the first piece is read
        self._as_strings = dialect.decimal_comma  # polars takes 1.234 for a number there, which may mean 1234
        # polars looks every field up in the words for "missing", which takes as long as parsing it does; text is looked
        # up once it is stripped, and among numbers a word is noticed since it is none.
        self._look_up = any(map(_is_value, self._missing))
        self._late: dict[str, int] = {}  # pieces before which a column had numbers, and is text after all

    def read(self) -> pl.DataFrame:
        frames: list[pl.DataFrame] = []
        rows, held = 0, 0.0
        with contextlib.closing(ahead(self._pieces())) as pieces:
            for piece, frame in pieces:
                ends = ends_of(frame)
                self._check_numbers(frame, ends, piece)
                frames.append(narrowed(frame, ends))
                rows, held = rows + frame.height, held + frames[-1].estimated_size()
                share = piece.share  # which says little of packed files, whose estimate grows as they are read
                check_room(self._path, rows=rows / share, columns=frame.width, size=held / share, held=held)
        if not any(frame.height for frame in frames):
            only = "only a header and no rows" if self._dialect.header else "no rows"
            raise DataError(f"{self._path} holds {only}")
        self._read_late_text(frames)
        return pl.concat(frames, how="vertical_relaxed")

    def _pieces(self) -> Generator[tuple[Piece, pl.DataFrame], None, None]:
        """Each piece and its columns, of the types that these have by then."""
        for number, piece in enumerate(ahead(text_pieces(self._path, self._dialect))):
            if not number:
                self._blank_lines = has_blank_lines(piece.content[:_SAMPLE])
                self._look_at(piece)
            yield piece, self._piece(piece, number)

    def _content(self, piece: Piece) -> bytes:
        return tidy(piece.content, self._dialect, blank_lines=self._blank_lines)

    def _piece(self, piece: Piece, number: int) -> pl.DataFrame:
        """The columns of a piece; a blank line is no row, where a record of empty fields is one."""
        try:
            frame = self._typed(piece, number)
        except DataError:
            if self._blank_lines or not has_blank_lines(piece.content):
                raise
        else:
            is_blank = pl.all_horizontal(pl.all().is_null())
            if self._blank_lines or not frame[:, 0].null_count() or not frame.select(is_blank.any()).item():
                return frame
            if not has_blank_lines(piece.content):
                return frame
        self._blank_lines = True
        return self._typed(piece, number)

    def _typed(self, piece: Piece, number: int) -> pl.DataFrame:
        content = self._content(piece)
        if not content:
            return pl.DataFrame(schema=self._schema(self._kinds))
        if not self._as_strings:
            frame = self._fitting(content)
            if frame is not None:
                self._check_width(frame, piece, content)
                return self._stripped(frame)
        before, texts = dict(self._kinds), self._texts(piece, content)
        self._check_width(texts, piece, content)
        frame = self._convert(self._stripped(texts), number)
        self._as_strings |= before == self._kinds  # not a wider type, but blanks around numbers: so will the next be
        return frame

    def _fitting(self, content: bytes) -> pl.DataFrame | None:
        """A piece in the types that the columns have so far; None where a value does not fit."""
        for look_up in (False, True):
            if look_up or not self._look_up:
                try:
                    frame = self._parsed(content, self._kinds, look_up=look_up)
                except pl.exceptions.PolarsError:
                    continue
                self._look_up = look_up  # where one piece has such words, so will the next
                return frame
        return None

    def _schema(self, kinds: dict[str, Kind]) -> dict[str, pl.DataType]:
        types: dict[Kind, pl.DataType] = {"integer": pl.Int64(), "number": pl.Float64(), "text": pl.String()}
        return {name: types[kind] for name, kind in kinds.items()}

    def _parsed(
        self,
        content: bytes,
        kinds: dict[str, Kind],
        *,
        rows: int | None = None,
        columns: Container[str] = (),
        look_up: bool = True,
    ) -> pl.DataFrame:
        return pl.read_csv(
            content,
            has_header=False,
            separator=self._dialect.separator,
            quote_char=self._dialect.quote or None,
            schema=self._schema(kinds),
            null_values=[*self._missing, *(f" {value}" for value in self._missing if value)] if look_up else None,
            columns=[index for index, name in enumerate(kinds) if name in columns] if columns else None,
            n_rows=rows,
        )

    def _look_at(self, piece: Piece) -> None:
        """Tell the kinds of the columns by the first rows."""
        frame = self._texts(piece, self._content(piece), rows=_SAMPLE_ROWS)
        if not is_wide(frame):
            self._convert(self._stripped(frame), 0)
            return
        values = self._stripped(together(frame).to_frame())
        numbers = [values.select(self._as_number(pl.all(), dtype)) for dtype in (pl.Int64(), pl.Float64())]
        counts = (null_counts(found.to_series(), frame.width) for found in (values, *numbers))
        for name, none, no_whole, no_number in zip(self._names, *counts, strict=True):
            if self._kinds[name] == "integer" and no_whole > none:
                self._kinds[name] = "text" if no_number > none else "number"

    def _texts(self, piece: Piece, content: bytes, *, rows: int | None = None) -> pl.DataFrame:
        """All columns as text, as written. Raises what is wrong with the piece, located."""
        try:
            return self._parsed(content, dict.fromkeys(self._kinds, "text"), rows=rows)
        except pl.exceptions.PolarsError as error:
            reason = str(error).split("\n", 1)[0]
            raise self._fault(piece) or DataError(f"{self._path}: {reason}") from None

    def _stripped(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Text without blanks around it, null where nothing or a word for "missing" is left."""
        text = pl.col(pl.String).str.strip_chars()
        return frame.with_columns(pl.when(~text.is_in(self._missing)).then(text))

    def _convert(self, strings: pl.DataFrame, number: int) -> pl.DataFrame:
        """Text as what the columns hold, which becomes wider where a value does not fit."""
        wider: tuple[tuple[Kind, pl.DataType, Kind], ...] = (
            ("integer", pl.Int64(), "number"),
            ("number", pl.Float64(), "text"),
        )
        typed = strings
        for kind, dtype, next_kind in wider:
            names = [name for name, of_column in self._kinds.items() if of_column == kind]
            if not names:
                continue
            cast = strings.select(self._as_number(pl.col(names), dtype))
            lost = zip(names, cast.null_count().row(0), strings.select(names).null_count().row(0), strict=True)
            unfit = [name for name, after, before in lost if after > before]
            for name in unfit:
                self._kinds[name] = next_kind
                if next_kind == "text" and number:
                    self._late[name] = number
            typed = typed.with_columns(cast.drop(unfit))
        return typed

    def _as_number(self, texts: pl.Expr, dtype: pl.DataType) -> pl.Expr:
        """Numbers of texts, null where one is none."""
        if self._dialect.decimal_comma:
            # Points beside decimal commas group thousands, which is decided when the whole column is known.
            texts = pl.when(~texts.str.contains(".", literal=True)).then(texts.str.replace(",", ".", literal=True))
        return texts.cast(dtype, strict=False)

    def _read_late_text(self, frames: list[pl.DataFrame]) -> None:
        """Columns that turned out to be text late: their numbers before that as they are written."""
        if not self._late:
            return
        names = list(self._late)
        last = max(self._late.values())
        kinds: dict[str, Kind] = dict.fromkeys(self._kinds, "text")
        for number, piece in enumerate(text_pieces(self._path, self._dialect)):
            if number >= last:
                break
            text = self._stripped(self._parsed(self._content(piece), kinds, columns=self._late))
            frames[number] = frames[number].with_columns(text[name] for name in names if number < self._late[name])

    def _check_numbers(self, frame: pl.DataFrame, ends: Mapping[str, Ends], piece: Piece) -> None:
        for name, found in ends.items():
            if max(-(found.low or 0), found.high or 0) > MAX_FLOAT32:
                row = frame.select((pl.col(name).abs() > MAX_FLOAT32).fill_null(value=False).arg_max()).item()
                line, column, value = locate(piece, self._dialect, row, self._names.index(name))
                raise DataError(not_finite(f"{self._path}:{line}:{column}", name, value))

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
                f"{self._path}:{line}:1  a quoted text continues behind its closing quote; double the inner quotes"
            )
        return None


def _is_value(word: str) -> bool:
    """Whether a word for "missing" is a number among numbers, or begins or ends with a blank."""
    return word != word.strip() or (is_number(word) and word.lower() != "nan")


def check_utf8(piece: Piece) -> None:
    """Raise NotUtf8Error where a piece is not UTF-8."""
    try:
        piece.content.decode()
    except UnicodeDecodeError as error:
        line = piece.line + piece.content.count(b"\n", 0, error.start)
        raise NotUtf8Error(line, error.start - piece.content.rfind(b"\n", 0, error.start)) from None


def tidy(content: bytes, dialect: Dialect, *, blank_lines: bool = True) -> bytes:
    """Records without comments and, where there are any, ``blank_lines``; fields separated by one byte."""
    if dialect.comment:
        content = re.sub(rb"(?m)^[ \t]*" + re.escape(dialect.comment.encode()) + rb".*\n", b"", content)
    if dialect.is_padded:
        mark = b"[" + re.escape(dialect.separator.encode()) + b"\\r\\n]"
        content = _sub_unquoted(rb"(?<=" + mark + rb")[ \t]+|[ \t]+(?=" + mark + rb")", b"", content, dialect)
    if dialect.separator == BLANKS:
        content = _sub_unquoted(rb"[ \t]+", b" ", content, dialect)
        content = re.sub(rb" ?(\r?\n) ?", rb"\1", content).lstrip(b" ")
    if blank_lines and has_blank_lines(content):
        content = _sub_unquoted(rb"(?<=\n)(?:[ \t\r]*\n)+", b"", content, dialect)
        content = re.sub(rb"\A(?:[ \t\r]*\n)+", b"", content)
    return content


def has_blank_lines(content: bytes) -> bool:
    """Whether a line holds nothing but blanks, maybe inside a quoted text."""
    return re.search(rb"\n[ \t\r]*\n|\A[ \t\r]*\n", content) is not None


def _sub_unquoted(pattern: bytes, by: bytes, content: bytes, dialect: Dialect) -> bytes:
    """``re.sub`` outside quoted fields."""
    if not dialect.quote or dialect.quote.encode() not in content:
        return re.sub(pattern, by, content)
    quoted = quoted_field(dialect.separator, dialect.quote, is_padded=True).pattern
    return re.sub(b"(?P<quoted>" + quoted + b")|" + pattern, lambda match: match["quoted"] or by, content)


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
        skipinitialspace=dialect.is_padded,
        strict=strict and not dialect.is_padded,
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
    line, record = next(islice(records(piece, dialect), row, None))
    begin = 0
    for _ in range(line - piece.line):
        begin = piece.content.find(b"\n", begin) + 1
    offset = _field_offset(piece.content[begin:], dialect, column)
    before = piece.content[begin : begin + offset]
    within = before.decode(errors="replace").rsplit("\n", 1)[-1]
    return line + before.count(b"\n"), len(within) + 1, record[column].strip() if column < len(record) else ""


def _field_offset(content: bytes, dialect: Dialect, column: int) -> int:
    """Where a field of the first record begins."""
    mark = re.escape(dialect.separator.encode())
    separator = rb"[ \t]+" if dialect.separator == BLANKS else mark
    plain = rb"[^ \t\n]*" if dialect.separator == BLANKS else rb"[^" + mark + rb"\n]*"
    quote = re.escape(dialect.quote.encode())
    quoted = quote + rb"(?:[^" + quote + rb"]|" + quote * 2 + rb")*" + quote if quote else rb"(?!)"
    blanks = b" " if dialect.separator == "\t" else b" \t"
    field = re.compile(b"[" + blanks + rb"]*(?:" + quoted + rb"|)" + plain)
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
        offset += len(content[offset:]) - len(content[offset:].lstrip(blanks))
    return offset
