"""What can be wrong with a file of a table: one message with its place, without a traceback or a hang."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import time
import zipfile
from pathlib import Path

import polars as pl
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlptrain.errors import DataError
from mlptrain.sources.tables.read import read_table
from mlptrain.system import memory
from tests.sources.tables.conftest import Write

# name: content, the message behind the path
FAULTS: dict[str, tuple[str | bytes, str]] = {
    "empty.csv": ("", " is empty"),
    "blank.csv": ("\n \n", " holds nothing but blanks"),
    "header.csv": ("a,b\n", " holds only a header and no rows"),
    "comments.csv": ("# a\n# b\n", " holds no rows, only comments"),
    "few.csv": ("a,b,c\n1,2,3\n4,5\n6,7,8\n", ":3:1  2 fields instead of 3"),
    "many.csv": ("a,b\n1,2\n\n3,4,5\n", ":4:1  3 fields instead of 2"),
    "few_quoted.csv": ('a,b,c\n1,"x\ny",3\n4,"5,6"\n7,8,\n', ":4:1  2 fields instead of 3"),
    "open.csv": ('a,b\n1,"x\n2,y\n', ":2:3  a quoted text begins here and does not end"),
    "behind.csv": ('a,b\n1,"x" y\n', ":2:1  a quoted text continues behind its closing quote"),
    "inf.csv": ("a,b\n1,2\n2, -inf\n", ":3:4  column 'b': '-inf' is not a finite number"),
    "large.csv": ("a;b\n1;2\n1,5;1e39\n", ":3:5  column 'b': '1e39' is not a finite number"),
    "binary.csv": (bytes(range(256)) * 8, " is a binary file"),
    "nul.csv": (b"a,b\n1,re\0d\n", ":2:5  a NUL byte"),
    "page.csv": ("<html><table><tr><td>a</td></tr></table></html>", " is a web page"),
    "photo.csv": (b"\x89PNG\r\n\x1a\n" + bytes(50), " is a PNG image"),
    "book.xls": (b"\xd0\xcf\x11\xe0" + bytes(50), " is an old Excel workbook"),
    "pickle.csv": (b"\x80\x04\x95" + bytes(50), " is a pickle, which is never opened"),
    "lfs.csv": ("version https://git-lfs.github.com/spec/v1\n", " is a pointer of Git LFS"),
    "half.csv": ("a,b\n1,ä\n".encode("utf-16")[:-1], " is not UTF-16 throughout"),
    "cut.gz": (gzip.compress(b"a,b\n1,2\n" * 999)[:-9], " is a damaged archive"),
    "cut.bz2": (bz2.compress(b"a,b\n1,2\n" * 999)[:-9], " is a damaged archive"),
    "cut.xz": (lzma.compress(b"a,b\n1,2\n" * 999)[:-9], " is a damaged archive"),
    "cut.zst": (zstandard.compress(b"a,b\n1,2\n" * 999)[:-3], " is a damaged archive"),
    "odd.gz": (b"\x1f\x8b" + b"x" * 50, " is a damaged archive"),
    "odd.zst": (b"\x28\xb5\x2f\xfd" + b"x" * 50, " is a damaged archive"),
    "odd.zip": (b"PK\x03\x04" + b"x" * 50, " is a damaged archive"),
    "no.parquet": ("a,b\n1,2\n", " is not a Parquet file"),
    "cut.parquet": (b"PAR1" + bytes(99), " is a damaged Parquet file"),
    "bad.jsonl": ('{"a": 1}\n\n{"a": }\n', ":3:7  not JSON"),
    "list.jsonl": ('{"a": 1}\n[1]\n', ":2:1  not a JSON object"),
    "bytes.jsonl": (b'{"a": 1}\n{"a": "\xff"}\n', ":2:8  not UTF-8"),
    "array.json": ('[{"a": 1}]', " is one JSON array"),
    "word.svm": ("1 1:0.5\nx 2:1\n", ":2:1  'x' is not the number"),
    "pair.svm": ("1 1:0.5\n1 1:2 2:a # c\n", ":2:7  '2:a' is not an index and a number"),
    "level.arff": (
        "@relation x\n@attribute k {a,b}\n@attribute n real\n@data\na,1\nc,2\n",
        ":6:1  attribute 'k': 'c' is",
    ),
    "number.arff": (
        "@relation x\n@attribute n real\n@attribute k {a}\n@data\n% c\n1,a\nz,a\n",
        ":7:1  attribute 'n': 'z'",
    ),
    "sparse.arff": ("@relation x\n@attribute n real\n@data\n{0 1}\n", " is a sparse ARFF file"),
    "kind.arff": ("@relation x\n@attribute n relational\n@data\n1\n", ":2:1  attribute 'n' has the type 'relational'"),
    "nodata.arff": ("@relation x\n@attribute n real\n", " has no line @data"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_one_located_message(name: str, write: Write) -> None:
    content, message = FAULTS[name]
    with pytest.raises(DataError) as error:
        read_table(path := write(name, content))
    assert str(error.value).startswith(f"{path}{message}")
    assert "\n" not in str(error.value)


def test_names_of_files(write: Write, tmp_path: Path) -> None:
    write("train.csv", "a,b\n1,2\n")
    write("train_10.csv", "a,b\n5,6\n")
    write("train_2.csv", "a,b\n3,4\n")
    write("README.md", "# not a table\n")
    assert read_table(tmp_path / "train_*.csv").frame.rows() == [(3, 4), (5, 6)]
    with pytest.raises(DataError, match=r"trian\.csv: no such file or folder; did you mean 'train\.csv'"):
        read_table(tmp_path / "trian.csv")
    with pytest.raises(DataError, match=r"is a folder; name a file, such as .*train\.csv, or a glob"):
        read_table(tmp_path)
    with pytest.raises(DataError, match="no file matches"):
        read_table(tmp_path / "*.tsv")
    with pytest.raises(DataError, match="there is no folder"):
        read_table(tmp_path / "no" / "x.csv")
    with pytest.raises(DataError, match="no file of a table is named"):
        read_table([])
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="not a regular file"):
        read_table(tmp_path / "pipe")


def test_archives(write: Write, tmp_path: Path) -> None:
    plain = b"a,b\n1,2\n"
    for name, content in (
        ("x.gz", gzip.compress(plain)),
        ("x.csv.bz2", bz2.compress(plain)),
        ("x", lzma.compress(plain)),
        ("y.csv", zstandard.compress(plain[:4]) + zstandard.compress(plain[4:])),
    ):
        assert read_table(write(name, content)).frame.rows() == [(1, 2)], name
    with zipfile.ZipFile(tmp_path / "one.zip", "w") as archive:
        archive.writestr("__MACOSX/._a.csv", "x")
        archive.writestr("folder/a.csv", plain)
    assert read_table(tmp_path / "one.zip").frame.rows() == [(1, 2)]
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a.csv", plain)
        archive.writestr("b.csv", plain)
    with zipfile.ZipFile(tmp_path / "sheet.ods", "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("content.xml", "<x/>")
    with pytest.raises(DataError, match="is an OpenDocument spreadsheet; save its sheet as CSV"):
        read_table(tmp_path / "sheet.ods")
    with pytest.raises(DataError, match=r"holds 2 files \(a\.csv, b\.csv"):
        read_table(tmp_path / "two.zip")
    locked = bytearray((tmp_path / "one.zip").read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = locked.rfind(mark)
        locked[at + offset] |= 1
    with pytest.raises(DataError, match="protected by a password"):
        read_table(write("locked.zip", bytes(locked)))


def test_a_line_without_an_end_is_refused_soon(tmp_path: Path) -> None:
    """Most of the line is neither written to the disk nor read as text."""
    path = tmp_path / "long.csv"
    path.write_text("a,b\n" + "1,2\n" * 10)
    with path.open("r+b") as stream:
        stream.truncate(200 << 20)
    began = time.monotonic()
    with pytest.raises(DataError, match=r"binary|longer than 64 MiB"):
        read_table(path)
    assert time.monotonic() - began < 20


def test_a_table_too_large_for_the_memory_is_refused(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlptrain.sources.tables.room._WORTH_ASKING", 0)
    monkeypatch.setattr("mlptrain.sources.tables.files.PIECE", 1 << 14)
    meminfo = write("meminfo", "MemTotal: 100 kB\nMemAvailable: 300 kB\n")
    monkeypatch.setattr(memory, "FILES", memory.MemoryFiles(meminfo, ()))
    rows = "".join(f"{i},{i / 7:.5f},word{i % 9}\n" for i in range(20_000))
    path = write("x.csv", "a,b,c\n" + rows)
    with pytest.raises(DataError, match=r"about 0\.0 GB of memory \(about 2\d,\d+ rows of 3 columns\), but 0\.0 GB"):
        read_table(path)
    frame = pl.DataFrame({"a": range(200_000)})
    frame.write_parquet(path := path.with_name("x.parquet"))
    with pytest.raises(DataError, match="about 200,000 rows of 1 columns"):
        read_table(path)
    meminfo.write_text("MemAvailable: 30000000 kB\n")
    assert read_table(path).frame.height == 200_000


def test_the_limit_of_a_container_counts(write: Write, tmp_path: Path) -> None:
    meminfo = write("meminfo", "MemAvailable: 1000 kB\n")
    limit, usage = write("memory.max", "900000\n"), write("memory.current", "500000\n")
    files = memory.MemoryFiles(meminfo, ((limit, usage),))
    assert memory.available_memory(files) == 1_024_000  # no memory.stat: no such interface
    write("memory.stat", "anon 1\ninactive_file 100000\n")
    assert memory.available_memory(files) == 500_000
    limit.write_text("max\n")
    assert memory.available_memory(files) == 1_024_000
    available = memory.available_memory()
    assert available is None or available > 1 << 20


START = b'a,b;c\td|e\n"1",2,\'x\'\n3,"4\n5",6\n\xff\xfe{"a":1}\n@relation x\n@attribute a {b}\n@data\n1 2:3\nPAR1'


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    parts=st.lists(
        st.one_of(st.binary(max_size=8), st.sampled_from([START[i : i + 7] for i in range(0, len(START), 3)])),
        max_size=12,
    ),
    suffix=st.sampled_from(["csv", "txt", "jsonl", "arff", "svm", "parquet", "gz", "zst"]),
)
def test_any_bytes_give_a_table_or_a_message(parts: list[bytes], suffix: str, write: Write) -> None:
    path = write(f"x.{suffix}", b"".join(parts))
    try:
        table = read_table(path)
    except DataError as error:
        assert str(path) in str(error)  # noqa: PT017 – a table is as good
    else:
        assert table.frame.height > 0
        for name, dtype in table.frame.schema.items():
            if dtype.is_float():
                assert table.frame[name].drop_nulls().is_finite().all()
