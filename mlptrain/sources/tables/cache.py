"""What was read from large files, kept so that they are read once: in a second instead of a minute.

A folder of the user's cache holds two files for a table. Its columns are Parquet, with LZ4 where there is text, named
by the content of the files and the options of reading. A note of a few kilobytes is named by the files' paths and the
options: it says which size, inode and time of change each file had when its SHA-256 was taken; while these stay, a file
is not even hashed. Columns are believed if they have the SHA-256 of the note. What is damaged or of another version is
read again and replaced. The folder is kept below ``MAX_BYTES``, and no table takes more than half of the disk's free
space; it can be removed at any time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Literal

import polars as pl

from mlptrain.errors import DataError
from mlptrain.sources.tables.content import Lines
from mlptrain.sources.tables.dialect import Dialect
from mlptrain.sources.tables.jsonlines import JsonLines
from mlptrain.sources.tables.libsvm import LibsvmLines
from mlptrain.sources.tables.table import Part, Table
from mlptrain.sources.tables.text import TextLines
from mlptrain.system.atomic import write_atomically
from mlptrain.system.caches import cache_folder
from mlptrain.system.threads import Threads

WORTH_KEEPING = 1 << 25  # bytes of the files; smaller ones are read in a fraction of a second
MAX_BYTES = 20 << 30
_FRESH = 2.0  # seconds: a file changed so shortly before it was hashed may change again within its time stamp


_KEPT = Threads(1)  # in which tables are kept while they are used; a program that ends waits for it
_writing: dict[Path, Future[None]] = {}  # by note


def finish_writing() -> None:
    """Wait until all tables that were read are kept."""
    for writing in list(_writing.values()):
        writing.result()


def read_cached(files: Sequence[Path], options: str, read: Callable[[str], Table]) -> Table:
    """The table of ``files`` as read with ``options`` (a text), from the cache where it is there.

    ``read`` takes the digest of the files. Raises what ``read`` raises, and DataError where a file changes.
    """
    before = [_signature(path) for path in files]
    if sum(size for size, *_ in before) < WORTH_KEEPING:
        return read(_digest(files))
    folder = cache_folder("tables")
    key = _key(options, *(f"{path}\n{path.absolute()}" for path in files))
    if (writing := _writing.get(folder / f"{key}.json")) is not None:
        writing.result()
    note = _load_note(folder / f"{key}.json")
    is_known = note.get("files") == before and not note.get("fresh")
    with Threads(1) as beside:  # hashing takes a tenth of the time of reading, on another core
        hashing = None if is_known else beside.submit(_digest, files)
        if note:
            digest = str(note["digest"]) if hashing is None else hashing.result()
            columns = folder / f"{_key(options, digest)}.parquet"
            if note.get("digest") == digest and (table := _load(columns, note, files)) is not None:
                if not is_known:
                    _store_note(folder / f"{key}.json", {**note, "files": before, "fresh": _is_fresh(before)})
                return table
        table = read("")
        digest = str(note["digest"]) if hashing is None else hashing.result()
    table = dataclasses.replace(table, digest=digest)
    columns = folder / f"{_key(options, digest)}.parquet"
    if [_signature(path) for path in files] != before:
        raise DataError(f"{files[0]} was changed while it was read; run it again")
    path = folder / f"{key}.json"
    _writing[path] = _KEPT.submit(_store, columns, path, table, before)
    _writing[path].add_done_callback(lambda _: _writing.pop(path, None))
    return table


def _signature(path: Path) -> list[int]:
    """Size, time of change in nanoseconds, inode and device."""
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ino, stat.st_dev]


def _is_fresh(signatures: Sequence[Sequence[int]]) -> bool:
    return any(time.time() - changed / 1e9 < _FRESH for _, changed, *_ in signatures)


def _digest(files: Sequence[Path]) -> str:
    """SHA-256 of the files' content; of several, of their digests."""
    digests = [_sha256(path) for path in files]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _key(*parts: str) -> str:
    return hashlib.sha256("\n".join((_version(), *parts)).encode(errors="surrogateescape")).hexdigest()[:32]


def _version() -> str:
    """A digest of the code that reads, so that another version reads the file again."""
    modules = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(module.read_bytes() for module in modules)).hexdigest()


def _load_note(path: Path) -> dict[str, Any]:
    try:
        note = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def _load(columns: Path, note: dict[str, Any], files: Sequence[Path]) -> Table | None:
    """The table that a note describes; None where its columns are gone or damaged."""
    try:
        if _sha256(columns) != note["sha256"]:
            return None
        frame = pl.read_parquet(columns, glob=False)
        os.utime(columns)  # the least recently used are removed first
        return _table(frame, note["table"], files)
    except (OSError, KeyError, TypeError, ValueError, pl.exceptions.PolarsError):
        return None


def _store(columns: Path, note: Path, table: Table, signatures: list[list[int]]) -> None:
    """Keep a table; without a word where there is no room, or no right to write."""
    with contextlib.suppress(OSError, pl.exceptions.PolarsError):
        columns.parent.mkdir(parents=True, exist_ok=True)
        size = int(table.frame.estimated_size() * 1.1)
        if not _make_room(columns.parent, size):
            return
        # Not synced: after a power cut the SHA-256 shows it.
        temporary = columns.with_name(f".{columns.name}.{secrets.token_hex(4)}.tmp")
        try:
            has_text = pl.String in table.frame.dtypes  # numbers hardly become smaller
            compression: Literal["lz4", "uncompressed"] = "lz4" if has_text else "uncompressed"
            table.frame.write_parquet(temporary, compression=compression, statistics=False)
            found = _sha256(temporary)
            temporary.replace(columns)
        finally:
            temporary.unlink(missing_ok=True)
        described = {
            "files": signatures,
            "fresh": _is_fresh(signatures),
            "digest": table.digest,
            "sha256": found,
            "table": _described(table),
        }
        _store_note(note, described)


def _store_note(path: Path, note: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):
        write_atomically(path, json.dumps(note).encode())


def _make_room(folder: Path, size: int) -> bool:
    """Remove the tables that were not used for longest until another fits."""
    kept = [path for path in folder.iterdir() if path.is_file()]
    total = size
    for path in sorted(kept, key=lambda path: path.stat().st_mtime, reverse=True):
        is_left = path.suffix == ".tmp" and time.time() - path.stat().st_mtime > 3600
        total += path.stat().st_size
        if total > MAX_BYTES or is_left:
            total -= path.stat().st_size
            path.unlink(missing_ok=True)
    return 2 * size < shutil.disk_usage(folder).free and size < MAX_BYTES


_LINES: dict[str, type[JsonLines | LibsvmLines]] = {"jsonl": JsonLines, "libsvm": LibsvmLines}


def _described(table: Table) -> dict[str, Any]:
    return {
        "has_names": table.has_names,
        "notes": table.notes,
        "date_formats": dict(table.date_formats),
        "digest": table.digest,
        "is_sparse": table.is_sparse,
        "parts": [[part.rows, _described_lines(part.lines)] for part in table.parts],
    }


def _described_lines(lines: Lines | None) -> Any:
    if isinstance(lines, TextLines):
        return dataclasses.asdict(lines.dialect)
    return next((name for name, kind in _LINES.items() if isinstance(lines, kind)), None)


def _table(frame: pl.DataFrame, described: dict[str, Any], files: Sequence[Path]) -> Table:
    parts = tuple(
        Part(path, rows, _lines(lines)) for path, (rows, lines) in zip(files, described["parts"], strict=True)
    )
    return Table(
        frame,
        described["has_names"],
        parts,
        tuple(described["notes"]),
        described["date_formats"],
        described["digest"],
        described["is_sparse"],
    )


def _lines(described: Any) -> Lines | None:
    if isinstance(described, dict):
        texts = {key: tuple(described[key]) for key in ("names", "notes")}
        return TextLines(Dialect(**described | texts))
    return _LINES[described]() if described else None
