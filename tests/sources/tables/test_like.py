"""A second file is read as the first one was; several files are one table."""

from __future__ import annotations

import datetime
from pathlib import Path

import polars as pl
import pytest

from mlptrain.errors import DataError
from mlptrain.sources.tables.read import read_table
from mlptrain.sources.tables.table import Like, Table
from tests.sources.tables.conftest import Write


@pytest.fixture
def first(write: Write) -> Table:
    return read_table(write("train.csv", "x,y,z\n1,a,13/01/2020\n2,b,14/02/2020\n"))


def test_columns_are_matched_by_name_and_kind(first: Table, write: Write) -> None:
    table = read_table(write("test.csv", "w;z;y;x\n1;02/03/2021;007;5,5\n"), like=first)
    assert table.frame.rows() == [(5.5, "007", datetime.date(2021, 3, 2))]
    assert "the column 'w' is not in" in table.notes[-1]
    order = read_table(write("test.csv", "z,y,x\n02/03/2021,a,1\n"), like=Like(first.schema))
    assert order.frame.columns == ["x", "y", "z"]
    assert order.notes[-1] == "columns are in another order, and matched by name"
    absent = read_table(write("test.csv", "z,y,x\n,,\n"), like=first)
    assert absent.frame.rows() == [(None, None, None)]
    assert [str(dtype) for dtype in absent.frame.dtypes] == ["Int32", "String", "Date"]


def test_columns_are_matched_by_place_without_names(first: Table, write: Write) -> None:
    bare = write("test.csv", "5,007,02/03/2021\n6,b,01/01/2021\n")
    assert read_table(bare, like=first).frame.rows()[0] == (5, "007", datetime.date(2021, 3, 2))
    nameless = read_table(write("bare.csv", "1,a\n2,b\n"))
    assert read_table(write("test.csv", "3,7\n"), like=nameless).frame.rows() == [(3, "7")]
    with pytest.raises(DataError, match=r"test\.csv has 3 columns, but .*bare\.csv has 2"):
        read_table(write("test.csv", "3,7,8\n"), like=nameless)
    assert read_table(write("test.csv", "7\n8\n"), like=nameless, optional=["column_0"]).frame.rows() == [
        ("7",),
        ("8",),
    ]


def test_what_does_not_fit_is_located(first: Table, write: Write) -> None:
    with pytest.raises(DataError, match=r"test\.csv lacks 2 columns \('y', 'z'\) of .*; is 'Y' meant for 'y'\?|lacks"):
        read_table(write("test.csv", "x,Y\n1,a\n"), like=first)
    assert read_table(write("test.csv", "x,z\n1,01/01/2020\n"), like=first, optional=["y"]).frame.width == 2
    with pytest.raises(DataError, match=r"test\.csv:3:1  column 'x' holds numbers .* here 'oops'"):
        read_table(write("test.csv", "x,y,z\n1,a,\noops,b,\n"), like=first)
    with pytest.raises(DataError, match=r"test\.csv:2:5  column 'z' holds dates .* here '2020-01-01'"):
        read_table(write("test.csv", "x,y,z\n1,a,2020-01-01\n"), like=first)
    frame = pl.DataFrame({"x": ["1", "b"], "y": ["u", "v"], "z": [None, None]})
    frame.write_parquet(path := Path(first.parts[0].path).with_name("t.parquet"))
    with pytest.raises(DataError, match=r"t\.parquet, row 2, column 'x'  column 'x' holds numbers"):
        read_table(path, like=first)


def test_several_files_are_one_table(write: Write) -> None:
    one, two = write("a.csv", "x,k\n1,5\n2,6\n"), write("b.csv.txt", "k;x\nu;2,5\n7;\n")
    table = read_table([one, two])
    assert table.frame.rows() == [(1.0, "5"), (2.0, "6"), (2.5, "u"), (None, "7")]
    assert table.where(0, "k") == f"{one}:2:3"
    assert table.where(2, "x") == f"{two}:2:3"
    assert table.digest == read_table([one, two]).digest != read_table([two, one]).digest
    with pytest.raises(DataError, match=r"c\.csv does not have the columns of .*: 'k' is only in one of them"):
        read_table([one, write("c.csv", "x,q\n1,2\n")])
