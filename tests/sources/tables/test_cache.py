"""What was read from large files is kept, and believed only while it is what was read."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from mlptrain.sources.tables import read
from mlptrain.sources.tables.cache import finish_writing
from mlptrain.sources.tables.table import Table
from tests.sources.tables.conftest import Write

TEXT = "x,k,d\n" + "".join(f'{i / 8},"a ""{i % 5}""",2020-01-{i % 28 + 1:02d}\n' for i in range(500)) + ",oops,\n"


@pytest.fixture(autouse=True)
def _every_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlptrain.sources.tables.cache.WORTH_KEEPING", 0)


def read_table(path: Path, **options: Sequence[str]) -> Table:
    """The table, once it is kept."""
    table = read.read_table(path, **options)  # type: ignore[arg-type]
    finish_writing()
    return table


def old(path: Path) -> Path:
    """The file, as last changed an hour ago."""
    os.utime(path, (time.time() - 3600, time.time() - 3600))
    return path


def same(one: Table, other: Table) -> bool:
    places = [table.where(row, name) for table in (one, other) for row in (0, 500) for name in ("x", "d")]
    kept = [(table.notes, table.date_formats, table.digest, table.has_names, table.schema) for table in (one, other)]
    return one.frame.equals(other.frame) and kept[0] == kept[1] and places[:4] == places[4:]


def test_a_second_reading_is_the_first(write: Write, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = old(write("x.csv", TEXT))
    first = read_table(path)
    assert first.digest == hashlib.sha256(TEXT.encode()).hexdigest()
    assert len(list(cache.iterdir())) == 2
    monkeypatch.setattr("mlptrain.sources.tables.read.read_content", None)  # it is not read again
    assert same(first, read_table(path))
    (path.parent / "copy").mkdir()
    monkeypatch.undo()


def test_options_and_content_count(write: Write, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    path = old(write("x.csv", TEXT))
    assert read_table(path).frame["k"].to_list()[-1] == "oops"
    assert read_table(path, missing_values=["oops"]).frame["k"].to_list()[-1] is None
    old(write("x.csv", TEXT.replace("oops", "ooze")))  # the same size and time
    os.utime(path, (time.time() - 1800, time.time() - 1800))
    assert read_table(path).frame["k"].to_list()[-1] == "ooze"


def test_a_file_changed_just_now_is_hashed_again(write: Write) -> None:
    """Its time stamp may be the same after another change."""
    path = write("x.csv", TEXT)
    read_table(path)
    stamp = path.stat().st_mtime_ns
    with path.open("r+b") as stream:
        stream.seek(TEXT.index("oops"))
        stream.write(b"ooze")
    os.utime(path, ns=(stamp, stamp))
    assert read_table(path).frame["k"].to_list()[-1] == "ooze"


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "note", "other note", "gone"])
def test_what_is_damaged_is_read_again_and_replaced(damage: str, write: Write, cache: Path) -> None:
    path = old(write("x.csv", TEXT))
    first = read_table(path)
    (columns,), (note,) = cache.glob("*.parquet"), cache.glob("*.json")
    content, whole = bytearray(columns.read_bytes()), note.read_bytes()
    match damage:
        case "cut":
            columns.write_bytes(content[:-50])
        case "flipped":
            content[len(content) // 2] ^= 1
            columns.write_bytes(content)
        case "empty":
            columns.write_bytes(b"")
        case "note":
            note.write_bytes(whole[:50])
        case "other note":
            note.write_bytes(b'{"files": 3, "digest": "x", "table": []}')
        case _:
            columns.unlink()
    assert same(first, read_table(path))
    assert hashlib.sha256(columns.read_bytes()).hexdigest().encode() in note.read_bytes()
    assert same(first, read_table(path))


def test_it_works_without_room_or_rights(write: Write, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = old(write("x.csv", TEXT))
    monkeypatch.setenv("MLPTRAIN_CACHE_DIR", str(write("file", "in the way")))
    first = read_table(path)
    monkeypatch.setenv("MLPTRAIN_CACHE_DIR", str(cache.parent))
    monkeypatch.setattr("mlptrain.sources.tables.cache.MAX_BYTES", 100)
    assert same(first, read_table(path))
    assert not list(cache.glob("*.parquet"))


def test_the_least_recently_used_goes_first(write: Write, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [old(write(f"{name}.csv", TEXT.replace("oops", name))) for name in ("one", "two", "three")]
    read_table(paths[0])
    (columns,) = cache.glob("*.parquet")
    os.utime(columns, (1, 1))
    read_table(paths[1])
    size = int(columns.stat().st_size)
    estimated = int(read_table(paths[1]).frame.estimated_size() * 1.1)
    monkeypatch.setattr("mlptrain.sources.tables.cache.MAX_BYTES", 2 * size + estimated)
    read_table(paths[2])
    assert len(list(cache.glob("*.parquet"))) == 2
    assert not columns.exists()


KILLED = """
import os, resource, signal, sys
from pathlib import Path
from mlptrain.sources.tables import cache
from mlptrain.sources.tables import cache, read
path, moment = Path(sys.argv[1]), sys.argv[2]
cache.WORTH_KEEPING = 0
if moment == "amid the columns":  # the system ends a process that writes beyond the largest file
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))
else:
    count, when = int(moment[0]), moment[2:]
    move, done = os.replace, []
    def moved(*arguments, **more):
        done.append(arguments)
        if len(done) == count and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        move(*arguments, **more)
        if len(done) == count:
            os.kill(os.getpid(), signal.SIGKILL)
    os.replace = moved
read.read_table(path)
cache.finish_writing()
"""


@pytest.mark.parametrize("moment", ["amid the columns", "1 before", "1 after", "2 before", "2 after"])
def test_a_writer_that_is_killed_leaves_no_wrong_table(moment: str, write: Write, cache: Path) -> None:
    """Amid the columns, around their taking their place, and around that of the note."""
    path = old(write("x.csv", TEXT))
    killed = subprocess.run([sys.executable, "-c", KILLED, str(path), moment], check=False)
    assert killed.returncode == -(signal.SIGXFSZ if moment.startswith("amid") else signal.SIGKILL)
    assert len(list(cache.glob("*.json"))) == (moment == "2 after")
    assert len(list(cache.glob("*.parquet"))) == (moment[0] == "2" or moment == "1 after")
    assert bool(list(cache.glob(".*.tmp"))) == (moment in ("amid the columns", "1 before", "2 before"))
    first = read_table(path)
    assert first.frame["k"].to_list() == [f'a "{i % 5}"' for i in range(500)] + ["oops"]
    assert same(first, read_table(path))
    (columns,), (note,) = cache.glob("*.parquet"), cache.glob("*.json")
    assert hashlib.sha256(columns.read_bytes()).hexdigest().encode() in note.read_bytes()
