"""The files of a table: found by path or glob, opened packed or not, and read as UTF-8 in pieces of whole lines."""

from __future__ import annotations

import bz2
import codecs
import contextlib
import gzip
import io
import lzma
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar, cast

from mlptrain.errors import DataError, UserError
from mlptrain.sources.files import files_of
from mlptrain.system.files import open_regular
from mlptrain.system.paths import AnyPath, user_path
from mlptrain.system.text import printable
from mlptrain.system.threads import Threads

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

T = TypeVar("T")
# Bytes that are parsed at once. Of more than 32 MiB, a few of these, the C library gives memory back, and asks for it
# again.
PIECE = 1 << 23
MAX_LINE = 1 << 26  # bytes; 100,000 columns take about a million
SAMPLE = 1 << 20  # bytes to look at before reading, more where a line is longer

_PACKED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
}
_FOREIGN: tuple[tuple[bytes | tuple[bytes, ...], str], ...] = (  # first bytes, or several
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    ((b"<html", b"<!DOCTYPE", b"<!doctype"), "a web page, as of a login or an error, instead of the file"),
    (b"%PDF", "a PDF; a table inside must be exported as CSV"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook; save its sheet as CSV"),
    (b"SQLite format 3", "an SQLite database; export the table as CSV"),
    (b"\x89HDF", "an HDF5 file; export the table as CSV or Parquet"),
    (b"ARROW1", "an Arrow IPC file; write it as Parquet"),
    (b"\x93NUMPY", "an array of NumPy, which `data: {name: arrays}` reads"),
    (b"Rar!", "a RAR archive; unpack it"),
    (b"7z\xbc\xaf", "a 7-Zip archive; unpack it"),
    ((b"\x80\x04\x95", b"\x80\x05\x95"), "a pickle, which is never opened; write the table as Parquet or CSV"),
    (b"version https://git-lfs", "a pointer of Git LFS instead of the file; `git lfs pull` fetches it"),
)
_MAX_NAMED = 5  # files of an archive in a message
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class NotUtf8Error(Exception):
    """Bytes that are not UTF-8: ``line`` counts from 1, ``column`` in bytes."""

    def __init__(self, line: int, column: int) -> None:
        super().__init__(f"{line}:{column}")
        self.line, self.column = line, column


def find_files(paths: AnyPath | Sequence[AnyPath]) -> list[Path]:
    """The files that paths and patterns name, as ``files_of``. Raises DataError for what is not there, or no file."""
    given = [paths] if isinstance(paths, (str, bytes)) or not isinstance(paths, Sequence) else paths
    if not given:
        raise DataError("no file of a table is named")
    try:
        found = files_of([str(user_path(one)) for one in given])
    except UserError as error:
        raise DataError(str(error)) from None
    for path in found:
        if path.is_dir():
            first = min((entry.name for entry in path.iterdir() if entry.is_file()), default="")
            hint = f", such as {path / first}, or a glob: {path / '*'}{Path(first).suffix}" if first else ""
            raise DataError(f"{path} is a folder; name a file{hint}")
        if not path.is_file():
            raise DataError(f"{path} is not a regular file, but a pipe or a device; write its content into a file")
    return found


def packing(start: bytes) -> str:
    """The name of the archive that begins with these bytes, or ""."""
    return next((name for magic, name in _PACKED.items() if start.startswith(magic)), "")


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The content of a file, unpacked where it is gzip, bzip2, xz, Zstandard or a ZIP archive of one file.

    Raises DataError where it cannot be read, here and while it is read.
    """
    with _opened(path) as (stream, _):
        yield stream


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, Callable[[], float]]]:
    """The content of a file, and how much of the file was read so far."""
    with faults_of(path), contextlib.ExitStack() as stack:
        raw = stack.enter_context(open_regular(path))
        kind = packing(raw.read(16))
        raw.seek(0)
        stream = raw
        if kind == "zip":
            stream = stack.enter_context(_only_member(stack.enter_context(zipfile.ZipFile(raw)), path))
        elif kind == "zstd":
            stream = stack.enter_context(cast(BinaryIO, io.BufferedReader(_Zstandard(raw), SAMPLE)))
        elif kind:
            stream = stack.enter_context(_UNPACK[kind](raw))
        size = max(1, os.fstat(raw.fileno()).st_size)
        yield stream, lambda: raw.tell() / size


class _Zstandard(io.RawIOBase):
    """The content of Zstandard frames; the library's own reader ends a cut one without a word."""

    def __init__(self, raw: BinaryIO) -> None:
        import zstandard

        self._raw, self._new = raw, zstandard.ZstdDecompressor().decompressobj
        self._frame, self._ready = self._new(), b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """As of ``io.RawIOBase``. Raises EOFError where a frame is cut."""
        while not self._ready:
            packed = self._frame.unused_data if self._frame.eof else b""
            packed = packed or self._raw.read(SAMPLE)
            if not packed:
                if not self._frame.eof:
                    raise EOFError("it ends within a frame")
                return 0
            if self._frame.eof:
                self._frame = self._new()
            self._ready = self._frame.decompress(packed)
        view = memoryview(buffer).cast("B")
        size = min(len(view), len(self._ready))
        view[:size], self._ready = self._ready[:size], self._ready[size:]
        return size


_UNPACK: dict[str, Callable[[BinaryIO], BinaryIO]] = {
    "gzip": lambda raw: cast(BinaryIO, gzip.GzipFile(fileobj=raw)),
    "bzip2": lambda raw: cast(BinaryIO, bz2.BZ2File(raw)),
    "xz": lambda raw: cast(BinaryIO, lzma.LZMAFile(raw)),  # noqa: SIM115 – closed in `opened`
}


@contextlib.contextmanager
def faults_of(path: Path) -> Iterator[None]:
    """What goes wrong while ``path`` is read, as a DataError that names it."""
    try:
        yield
    except DataError:
        raise
    except (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is a damaged archive ({error}); get another copy") from None
    except NotImplementedError as error:
        raise DataError(f"{path} is packed in a way that is not read here ({error}); unpack it") from None
    except OSError as error:
        if error.errno is None:  # how bz2 and gzip report bad content
            raise DataError(f"{path} is a damaged archive ({error}); get another copy") from None
        raise DataError(f"cannot read {path}: {error.strerror or error}") from None
    except Exception as error:
        if type(error).__name__ == "ZstdError":
            raise DataError(f"{path} is a damaged archive ({error}); get another copy") from None
        raise


def _only_member(archive: zipfile.ZipFile, path: Path) -> BinaryIO:
    names = archive.namelist()
    if "xl/workbook.xml" in names:
        raise DataError(f"{path} is an Excel workbook; save its sheet as CSV")
    if "content.xml" in names and "mimetype" in names:
        raise DataError(f"{path} is an OpenDocument spreadsheet; save its sheet as CSV")
    members = [
        member
        for member in archive.infolist()
        if not member.is_dir()
        and not member.filename.startswith("__MACOSX/")
        and not Path(member.filename).name.startswith(".")
    ]
    if len(members) != 1:
        listed = ", ".join(printable(member.filename) for member in members[:_MAX_NAMED])
        more = ", …" * (len(members) > _MAX_NAMED)
        if members and all(member.filename.endswith(".npy") for member in members):
            remedy = f"a configuration reads it with data: {{name: arrays, path: {path}}}"
            raise DataError(f"{path} holds arrays of NumPy ({listed}{more}) and no table; {remedy}")
        raise DataError(
            f"{path} holds {len(members):,} files{f' ({listed}{more})' if listed else ''} instead of one; unpack it"
        )
    if members[0].flag_bits & 1:
        raise DataError(f"{path} is protected by a password; unpack it")
    return cast(BinaryIO, archive.open(members[0]))


def foreign_kind(start: bytes) -> str:
    """What begins with these bytes and is no table, in words that follow "is", or ""."""
    return next((words for magic, words in _FOREIGN if start.startswith(magic)), "")


def read_start(path: Path) -> bytes:
    """The first bytes of the unpacked content, at least one whole line and the end of the last one.

    Raises DataError for a line that is longer than any table has, and for an empty file.
    """
    with opened(path) as stream:
        start = stream.read(SAMPLE)
        while start.count(b"\n") + start.count(b"\r") < 3 and len(start) < MAX_LINE:
            more = stream.read(SAMPLE if len(start) < 4 * SAMPLE else MAX_LINE)
            if not more:
                return start
            start += more
        if not stream.read(1):
            return start
    end = max(start.rfind(b"\n"), start.rfind(b"\r"))
    if end < 0:
        raise _long_line(path, 1)
    return start[: end + 1]


def _long_line(path: Path, line: int) -> DataError:
    return DataError(
        f"{path}:{line}:1  this line is longer than {MAX_LINE >> 20} MiB, which no table has; are line ends missing?"
    )


@dataclass(frozen=True)
class Encoding:
    """``name`` is Python's; ``carriage_returns``: lines end with a lone CR."""

    name: str
    carriage_returns: bool = False


def detect_encoding(start: bytes, path: Path) -> tuple[Encoding, str]:
    """The encoding of a file that begins so, and its beginning as text, of whole lines.

    By its byte order mark, by zeros between the bytes (UTF-16), else UTF-8 if it is, else Windows-1252. Raises
    DataError for what is no text.
    """
    if words := foreign_kind(start):
        raise DataError(f"{path} is {words}")
    name = next((encoding for mark, encoding in _BOMS if start.startswith(mark)), "")
    if not name and b"\0" in start[:4096]:
        name = _utf16_without_mark(start)
        if not name:
            if (at := start.find(b"\0")) > 0 and _is_utf8(start[:at]) and b"\n" in start[:at]:
                line, column = start.count(b"\n", 0, at) + 1, at - start.rfind(b"\n", 0, at)
                raise DataError(
                    f"{path}:{line}:{column}  a NUL byte, which no text holds; remove it, or get another copy"
                )
            raise DataError(f"{path} is a binary file (it begins with the bytes {start[:8].hex(' ')}), not text")
    if not name:
        name = "utf-8" if _is_utf8(start) else "cp1252"
    text = codecs.getincrementaldecoder(name)("replace" if name == "cp1252" else "strict").decode
    try:
        decoded = text(start, final=False)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: byte {error.start:,} is not {name.upper()}") from None
    carriage_returns = "\n" not in decoded and "\r" in decoded
    if carriage_returns:
        decoded = decoded.replace("\r", "\n")
    return Encoding(name, carriage_returns), decoded


def _is_utf8(start: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start, final=False)
    except UnicodeDecodeError:
        return False
    return True


def _utf16_without_mark(start: bytes) -> str:
    head = start[: 4096 & ~1]
    if len(head) < 4:
        return ""
    even, odd = head[0::2].count(0) / len(head[0::2]), head[1::2].count(0) / len(head[1::2])
    if odd > 0.5 and even < 0.1:
        return "utf-16-le"
    return "utf-16-be" if even > 0.5 and odd < 0.1 else ""


@dataclass(frozen=True)
class Piece:
    """Whole records of a file as UTF-8, of which the first begins on ``line``.

    ``share``: how much of the file, as it is stored, was read up to its end.
    """

    line: int
    content: bytes
    share: float = 1.0


def pieces(
    path: Path, encoding: Encoding, *, skip: int, separator: str, quote: str, has_backslashes: bool = False
) -> Generator[Piece, None, None]:
    """The records of a file behind its first ``skip`` lines, some at a time.

    Raises DataError for a damaged file, a quoted text without an end and a line without one; NotUtf8Error.
    """
    line, rest, skipping = 1, b"", skip
    for block, share in _blocks(path, encoding):
        end = 0 if quote and quote.encode() in block else block.rfind(b"\n") + 1
        if end and not skipping and not (quote and quote.encode() in rest):  # the same, with one copy less
            content = b"".join((rest, memoryview(block)[:end]))
            yield Piece(line, content, share)
            line, rest = line + _lines(content), block[end:]
            continue
        rest = rest + block if rest else block
        if has_backslashes:
            rest = rest.replace(b"\\" + quote.encode(), quote.encode() * 2)
        while skipping and (end := rest.find(b"\n")) >= 0:
            rest, skipping, line = rest[end + 1 :], skipping - 1, line + 1
        if skipping:
            if len(rest) > MAX_LINE:
                raise _long_line(path, line)
            continue
        end = _end_of_records(rest, separator, quote)
        if not end:
            if len(rest) > MAX_LINE:
                raise _long_line(path, line) if b"\n" not in rest else _unclosed(path, line, rest, separator, quote)
            continue
        yield Piece(line, rest[:end], share)
        line += _lines(memoryview(rest)[:end])
        rest = rest[end:]
    if rest and not skipping:
        if not rest.endswith(b"\n"):
            rest += b"\n"
        if _end_of_records(rest, separator, quote) < len(rest):
            raise _unclosed(path, line, rest, separator, quote)
        yield Piece(line, rest)


def ahead(items: Generator[T, None, None]) -> Generator[T, None, None]:
    """``items``, of which the next one is made while one is used. Raises what they raise, in its turn.

    Where it is closed before its end, so are they, and their thread has ended.
    """
    with contextlib.closing(items), Threads(1) as beside:
        following = beside.submit(next, items, None)
        while (item := following.result()) is not None:
            following = beside.submit(next, items, None)
            yield item


def _lines(content: bytes | memoryview) -> int:
    """The number of line ends, counted by NumPy in the cache, which takes a fraction of the time of ``bytes.count``."""
    import numpy as np

    letters = np.frombuffer(content, dtype=np.uint8)
    return sum(int(np.count_nonzero(letters[at : at + SAMPLE] == ord("\n"))) for at in range(0, len(letters), SAMPLE))


def _blocks(path: Path, encoding: Encoding) -> Iterator[tuple[bytes, float]]:
    """The content as UTF-8 with lines that end with LF, and how much of the file was read."""
    decode = None if encoding.name in ("utf-8", "utf-8-sig") else codecs.getincrementaldecoder(encoding.name)().decode
    begins = encoding.name == "utf-8-sig"
    with _opened(path) as (stream, share):
        while True:
            raw = stream.read(PIECE)
            if begins:
                raw, begins = raw.removeprefix(codecs.BOM_UTF8), False
            block = raw
            if decode is not None:
                try:
                    block = decode(raw, final=not raw).encode()
                except UnicodeError as error:
                    raise DataError(f"{path} is not {encoding.name.upper()} throughout: {error}") from None
            if encoding.carriage_returns:
                block = block.replace(b"\r", b"\n")
            if block:
                yield block, share()
            if not raw:
                return


def _end_of_records(content: bytes, separator: str, quote: str) -> int:
    """Where the last whole record ends; 0 where there is none.

    Behind a line end with an even number of quotes before it a record begins; where that number is odd, quoted fields
    are distinguished from single quotes inside text by where they begin.
    """
    end = content.rfind(b"\n") + 1
    if not end or not quote or content.count(quote.encode(), 0, end) % 2 == 0:
        return end
    begun = open_field(content[:end], separator, quote)
    return end if begun is None else content.rfind(b"\n", 0, begun) + 1


def quoted_field(separator: str, quote: str, *, is_padded: bool = False) -> re.Pattern[bytes]:
    """Quoted fields, behind a separator or blanks, with the group ``open`` where one has no end."""
    mark = re.escape(quote)
    blanks = r" \t" if separator == " " else f"{' ' if is_padded else ''}{re.escape(separator)}"
    return re.compile(rf"(?:\A|(?<=[{blanks}\n])){mark}(?:[^{mark}]|{mark}{mark})*(?:{mark}|(?P<open>\Z))".encode())


def open_field(content: bytes, separator: str, quote: str) -> int | None:
    """Where a quoted field begins that has no end in ``content``."""
    for match in quoted_field(separator, quote).finditer(content):
        if match["open"] is not None:
            return match.start()
    return None


def _unclosed(path: Path, line: int, content: bytes, separator: str, quote: str) -> DataError:
    begun = open_field(content, separator, quote) or 0
    line += content.count(b"\n", 0, begun)
    column = begun - content.rfind(b"\n", 0, begun)
    return DataError(f"{path}:{line}:{column}  a quoted text begins here and does not end; is a {quote} missing?")
