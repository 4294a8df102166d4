"""CSV and its relatives: what is detected, and what columns hold."""

from __future__ import annotations

import csv
import datetime
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from mlptrain.errors import DataError
from mlptrain.sources.tables.read import read_table
from tests.sources.tables.conftest import Write

HEADER, NONE = "separator ',', header", "separator ',', no header"
# name: content, names of the columns, rows, the first note
SHAPES: dict[str, tuple[str | bytes, list[str], list[tuple[Any, ...]], str]] = {
    "plain": ("a,b,c\n1,x,2.5\n2,y,3\n", ["a", "b", "c"], [(1, "x", 2.5), (2, "y", 3.0)], HEADER),
    "semicolons": ("a;b\n1;x, y\n2;z\n", ["a", "b"], [(1, "x, y"), (2, "z")], "separator ';', header"),
    "decimal comma": (
        "a;b\n1,5;x\n-2,25e1;y\n",
        ["a", "b"],
        [(1.5, "x"), (-22.5, "y")],
        "separator ';', decimal comma, header",
    ),
    "tabs": ("a\tb c\n1\tx y\n2\t\n", ["a", "b c"], [(1, "x y"), (2, None)], "separator tab, header"),
    "bars": ("a|b\n1|x\n2|y\n", ["a", "b"], [(1, "x"), (2, "y")], "separator '|', header"),
    "runs of blanks": (
        '  1.5e-02   -3  "a b"\n 2.0e+00    4   c \n',
        ["column_0", "column_1", "column_2"],
        [(0.015, -3, "a b"), (2.0, 4, "c")],
        "separator blanks, no header",
    ),
    "blanks around": (
        " 1, x ,2.5 \n2 ,y, 3\n",
        ["column_0", "column_1", "column_2"],
        [(1, "x", 2.5), (2, "y", 3)],
        NONE,
    ),
    "quotes behind blanks": ('a, "b"\n1, "x, y" \n2, "z"\n', ["a", "b"], [(1, "x, y"), (2, "z")], HEADER),
    "all quoted": ('"a","b"\r\n"1","x ""q"""\r\n"2","NA"\r\n', ["a", "b"], [(1, 'x "q"'), (2, None)], HEADER),
    "single quotes": (
        "1,'-1'\n2,'x, y'\n",
        ["column_0", "column_1"],
        [(1, "-1"), (2, "x, y")],
        "separator ',', single quotes, no header",
    ),
    "apostrophes": ("a,b\nO'Brien,1\n'tis,2\n", ["a", "b"], [("O'Brien", 1), ("'tis", 2)], HEADER),
    "line ends inside": ('a,b\n1,"x\n\ny"\n\n2,z\n', ["a", "b"], [(1, "x\n\ny"), (2, "z")], HEADER),
    "backslashes": ('a,b\n1,"say \\"hi\\", ok"\n2,x\n', ["a", "b"], [(1, 'say "hi", ok'), (2, "x")], HEADER),
    "a mark in bytes": ("\ufeffa,b\n1,ä\n", ["a", "b"], [(1, "ä")], f"{HEADER}, UTF-8 with BOM"),
    "UTF-16": ("a,b\n1,ä\n2,€\n".encode("utf-16"), ["a", "b"], [(1, "ä"), (2, "€")], f"{HEADER}, UTF-16"),
    "UTF-16 unmarked": (
        "a,b\n1,ä\n2,€\n".encode("utf-16-be"),
        ["a", "b"],
        [(1, "ä"), (2, "€")],
        f"{HEADER}, UTF-16-BE",
    ),
    "Windows": ("a,b\n1,ä\n2,€\n".encode("cp1252"), ["a", "b"], [(1, "ä"), (2, "€")], f"{HEADER}, Windows-1252"),
    "old Macs": ("a,b\r1,x\r2,y\r", ["a", "b"], [(1, "x"), (2, "y")], HEADER),
    "blank lines": ("\na,b\n1,x\n  \n\n2,y\n\n", ["a", "b"], [(1, "x"), (2, "y")], HEADER),
    "no last line end": ("a,b\n1,x\n2,y", ["a", "b"], [(1, "x"), (2, "y")], HEADER),
    "comments": (
        "# x y\n1.5 2\n# more\n3.5 4\n",
        ["column_0", "column_1"],
        [(1.5, 2), (3.5, 4)],
        "separator blanks, no header",
    ),
    "one column": ("y\n1\n2\n", ["y"], [(1,), (2,)], "one column, header"),
    "Excel's line": ("sep=;\na;b\n1;2\n", ["a", "b"], [(1, 2)], "separator ';', header"),
    "years as names": ("country,2001,2002\nx,5,6\n", ["country", "2001", "2002"], [("x", 5, 6)], HEADER),
    "counted names": ("0,1,2\n7,8,9\n5,5,5\n", ["0", "1", "2"], [(7, 8, 9), (5, 5, 5)], HEADER),
    "levels only": (
        "a,hot\nb,cold\na,hot\n",
        ["column_0", "column_1"],
        [("a", "hot"), ("b", "cold"), ("a", "hot")],
        NONE,
    ),
    "names over levels": ("k,t\nb,cold\nb,cold\n", ["k", "t"], [("b", "cold"), ("b", "cold")], HEADER),
    "missing in the first row": (
        "?,x,1\n3,y,2\n",
        ["column_0", "column_1", "column_2"],
        [(None, "x", 1), (3, "y", 2)],
        NONE,
    ),
    "duplicated names": ("a,a,,a_2\n1,2,3,4\n", ["a", "a_3", "column_2", "a_2"], [(1, 2, 3, 4)], HEADER),
    "row names as R writes": (
        '"a","b"\n"r1",1,2\n"r2",3,4\n',
        ["column_0", "a", "b"],
        [("r1", 1, 2), ("r2", 3, 4)],
        HEADER,
    ),
    "separators at the end": ("a,b\n1,2,\n3,4,\n", ["a", "b"], [(1, 2), (3, 4)], HEADER),
    "a title": ("My table\n\na,b,c\n1,2,3\n4,5,6\n", ["a", "b", "c"], [(1, 2, 3), (4, 5, 6)], HEADER),
}


@pytest.mark.parametrize("name", SHAPES)
def test_what_is_detected(name: str, write: Write) -> None:
    content, names, rows, note = SHAPES[name]
    table = read_table(write("x.txt", content))
    assert table.frame.columns == names
    assert table.notes[0] == note
    for row, expected in zip(table.frame.rows(), rows, strict=True):
        assert row == pytest.approx(expected)
    assert table.has_names == ("no header" not in note)


def test_what_is_stated_wins(write: Write) -> None:
    path = write("x.csv", "a,b;1\nc,d;2\n")
    assert read_table(path, separator=";").frame.rows() == [("a,b", 1), ("c,d", 2)]
    assert read_table(path, separator=",", header=True).frame.columns == ["a", "b;1"]
    assert read_table(path, separator="comma", header=False).frame.height == 2
    assert read_table(path, header=["u", "v"], separator="semicolon").frame.columns == ["u", "v"]
    with pytest.raises(DataError, match="header names 3"):
        read_table(path, header=["u", "v", "w"], separator=";")
    with pytest.raises(DataError, match="separator must be one ASCII character"):
        read_table(path, separator="::")


def test_missing_values(write: Write) -> None:
    words = ["", "NA", "NaN", "nan", "N/A", "#N/A", "null", "NULL", "None", "?", " ? ", '""', "-999", "."]
    path = write("x.csv", "i,a,b\n" + "".join(f"{i},{word},{word}\n" for i, word in enumerate(words)) + "99,7,x\n")
    frame = read_table(path, missing_values=["-999", "."]).frame
    assert frame["a"].to_list() == [None] * len(words) + [7]
    assert frame["b"].to_list() == [None] * len(words) + ["x"]
    assert read_table(path).frame["b"].to_list()[-3:] == ["-999", ".", "x"]


DATES = {
    "2020-02-29": ("2021-12-01", "%Y-%m-%d"),
    "2020-02-29 13:05:59": ("2020-03-01 00:00:00", "%Y-%m-%d %H:%M:%S"),
    "2020-02-29T13:05": ("2020-03-01T00:00", "%Y-%m-%dT%H:%M"),
    "29.02.2020": ("01.12.2021", "%d.%m.%Y"),
    "29/02/2020": ("01/12/2021", "%d/%m/%Y"),
    "02/29/2020": ("01/12/2021", "%m/%d/%Y"),
    "1/12/2021 7:05": ("2/29/2020 13:59", "%m/%d/%Y %H:%M"),
    "2020/02/29": ("2021/12/01", "%Y/%m/%d"),
    "29-Feb-2020": ("01-Dec-2021", "%d-%b-%Y"),
    "29 February 2020": ("1 May 2021", "%d %B %Y"),
    "29-February-2020": ("01-May-2021", "%d-%B-%Y"),
    "02/29/2020 1:05 PM": ("12/01/2021 12:30 am", "%m/%d/%Y %I:%M %p"),
    "2020-02-29 11:05:09 AM": ("2021-12-01 12:30:00 PM", "%Y-%m-%d %I:%M:%S %p"),
    "29 Feb 2020 1:05PM": ("1 May 2021 12:30AM", "%d %b %Y %I:%M%p"),
}


@pytest.mark.parametrize("first", DATES)
def test_dates_are_as_python_reads_them(first: str, write: Write) -> None:
    second, form = DATES[first]
    table = read_table(write("x.csv", f"d,y\n{first},1\n,2\n{second},3\n"))
    parsed = [datetime.datetime.strptime(text, form) for text in (first, second)]
    expected = parsed if "%H" in form or "%I" in form else [value.date() for value in parsed]
    assert table.frame["d"].to_list() == [expected[0], None, expected[1]]


def test_month_day_year_in_words(write: Write) -> None:
    """Quoted, since of a comma."""
    frame = read_table(
        write("x.csv", 'd,e,y\n"March 5, 2020","Mar 5, 2020 3:07 PM",1\n"May 1, 2021","May 1, 2021 12:00 AM",2\n')
    ).frame
    assert frame["d"].to_list() == [datetime.date(2020, 3, 5), datetime.date(2021, 5, 1)]
    assert frame["e"].to_list() == [datetime.datetime(2020, 3, 5, 15, 7), datetime.datetime(2021, 5, 1)]


def test_times_with_zones_are_in_utc(write: Write) -> None:
    frame = read_table(write("x.csv", "d,y\n2020-01-01T01:00:00+02:00,1\n2020-01-01T01:00:00Z,1\n")).frame
    assert frame["d"].to_list() == [datetime.datetime(2019, 12, 31, 23), datetime.datetime(2020, 1, 1, 1)]


def test_dates_that_no_value_decides_stay_text_and_a_note_says_so(write: Write) -> None:
    table = read_table(write("x.csv", "d,y\n01/02/2020,1\n03/04/2020,2\n"))
    assert table.frame["d"].to_list() == ["01/02/2020", "03/04/2020"]
    assert "may be day/month or month/day" in table.notes[-1]
    same = read_table(write("x.csv", "d,y\n02/02/2020,1\n04/04/2020,2\n")).frame
    assert same["d"].to_list() == [datetime.date(2020, 2, 2), datetime.date(2020, 4, 4)]


NUMBERS: dict[str, tuple[list[str], list[float] | None]] = {
    "thousands": (["1,234,567", "12,345", "-1", ""], [1234567, 12345, -1, math.nan]),
    "thousands and decimals": (["1,234.5", "12,345.25"], [1234.5, 12345.25]),
    "German thousands": (["1.234.567,5", "-12,25"], [1234567.5, -12.25]),
    "blanks": (["1 234 567,5", "12 345", "1\u00a0000"], [1234567.5, 12345, 1000]),
    "Swiss": (["1'234'567.5", "12"], [1234567.5, 12]),
    "decimal commas": (["1,5", "2,25", "3"], [1.5, 2.25, 3]),
    "either": (["1,234", "12,345", "3"], None),
    "a unit": (["1 kg", "2 kg"], None),
    "powers": (["1e-3", "+5", ".5", "5.", "-1E3"], [0.001, 5, 0.5, 5, -1000]),
    "beyond 64 bits": (["99999999999999999999", "1"], [1e20, 1]),
    "not Python's": (["1_000", "2"], None),
    "not C's": (["0x10", "2"], None),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_in_other_notations(name: str, write: Write) -> None:
    texts, values = NUMBERS[name]
    frame = read_table(write("x.csv", "v,y\n" + "".join(f'"{text}",1\n' for text in texts))).frame
    if values is None:
        assert frame["v"].to_list() == texts
    else:
        read = frame["v"].cast(pl.Float64).fill_null(math.nan).to_numpy()
        np.testing.assert_array_equal(read, np.array(values, dtype=np.float32).astype(float))


def test_points_beside_decimal_commas(write: Write) -> None:
    table = read_table(write("x.csv", "a;b;c\n1,5;1.234;2.5\n2,5;12.345;3.75\n"))
    assert table.frame.rows() == [(1.5, 1234, 2.5), (2.5, 12345, 3.75)]
    assert any("points group thousands" in note for note in table.notes)


def test_types_are_narrow_only_where_nothing_is_lost(write: Write) -> None:
    rows = "".join(f"{1.6e9 + i / 8},{2**31 + i},{i},{i / 8}\n" for i in range(50))
    frame = read_table(write("x.csv", "t,big,i,x\n" + rows)).frame
    assert frame.dtypes == [pl.Float64, pl.Int64, pl.Int32, pl.Float32]
    assert frame["t"].to_list() == [1.6e9 + i / 8 for i in range(50)]


def test_a_column_of_numbers_with_a_text_is_text_as_written(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the text comes long after the first rows, so that numbers were read before."""
    monkeypatch.setattr("mlptrain.sources.tables.files.PIECE", 4096)
    rows = "".join(f"{i:03d},1.50,2\n" for i in range(3000))
    path = write("x.csv", f"a,b,c\n{rows}oops,1.50,unknown\n")
    table = read_table(path)
    assert table.frame["a"].to_list() == [*(f"{i:03d}" for i in range(3000)), "oops"]
    assert table.frame["b"].dtype == pl.Float32
    assert f"'oops' at {path}:3002:1" in table.notes[1]
    assert f"'unknown' at {path}:3002:11" in table.notes[2]
    assert read_table(path, missing_values=["oops"]).frame["a"].dtype == pl.Int32


def test_places(write: Write) -> None:
    path = write("x.csv", '# c\nid;text;v\n\n1;"a\nb ""c"";d";2\n # not\n2; ä ;3\n')
    table = read_table(path, separator=";")
    assert table.where(0, "id") == f"{path}:4:1"
    assert table.where(0, "text") == f"{path}:4:3"
    assert table.where(0, "v") == f"{path}:5:12"
    assert table.where(table.frame.height - 1, "text") == f"{path}:7:4"


def is_beyond_float32(cell: str) -> bool:
    """Whether it is the text of a number that single precision does not have."""
    try:
        return bool(abs(float(cell)) > np.finfo(np.float32).max)
    except ValueError:
        return False


CELLS = st.one_of(
    st.integers(-(10**6), 10**6).map(str),
    st.floats(-1e6, 1e6, width=32).map(str),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Z"]), max_size=6),
    st.sampled_from(["a,b", 'say "x"', '\\"', '\\"0', "two\nlines", "true", "x y"]),
).filter(lambda cell: not is_beyond_float32(cell))  # which are refused


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), separator=st.sampled_from(",;\t|"), end=st.sampled_from(["\n", "\r\n"]))
def test_what_the_csv_module_writes_is_read(data: st.DataObject, separator: str, end: str, write: Write) -> None:
    """Cell by cell: numbers as numbers, text as text without blanks around it, and where each of them stands."""
    width = data.draw(st.integers(2, 5))
    cells = data.draw(st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=1, max_size=12))
    assume(separator != "\t" or all(any(map(str.strip, row)) for row in cells))  # a line of blanks is no row
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=separator, lineterminator=end)
    writer.writerow(names := [f"name{i}" for i in range(width)])
    writer.writerows(cells)
    content = stream.getvalue()
    table = read_table(path := write("x.csv", content), separator=separator, header=True)
    assert table.frame.columns == names
    assert table.frame.height == len(cells)
    missing = {"", "NA", "NaN", "nan", "N/A", "n/a", "#N/A", "<NA>", "null", "NULL", "None", "?"}
    for row, line in enumerate(cells):
        for name, written in zip(names, line, strict=True):
            value, stripped = table.frame[row, name], written.strip()
            if stripped in missing:
                assert value is None
            elif isinstance(value, str):
                assert value == stripped
            elif isinstance(value, (int, float)):
                assert value == pytest.approx(float(stripped.replace(",", ".")), rel=1e-6)
            _, at, column = table.where(row, name).rsplit(":", 2)
            text = content.split("\n")[int(at) - 1][int(column) - 1 :]
            assert text.lstrip('"').startswith(written.split("\n")[0].split('"')[0].strip()) or not stripped
    assert str(path) in table.where(0, names[0])


def test_pieces_make_no_difference(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    rows = "".join(
        f'{i},{x:.4f},"line {i}\nand ""{i % 7}"", more",{"" if i % 11 == 0 else "ab"[i % 2]}\r\n'
        for i, x in enumerate(generator.normal(size=2000))
    )
    path = write("x.csv", "i,x,text,k\r\n" + rows)
    whole = read_table(path)
    monkeypatch.setattr("mlptrain.sources.tables.files.PIECE", 3000)
    in_pieces = read_table(path)
    assert in_pieces.frame.n_chunks() > 10
    assert in_pieces.frame.equals(whole.frame)
    assert in_pieces.where(1999, "k") == whole.where(1999, "k")
    reference = pl.read_csv(path)
    assert whole.frame["i"].to_list() == reference["i"].to_list()
    assert whole.frame["text"].str.replace_all("\r\n", "\n").to_list() == reference["text"].to_list()


REAL = {
    "adult/adult.data": (32561, 15, 4262),
    "adult/adult.test": (16281, 15, 2203),
    "california/cal_housing.data": (20640, 9, 0),
    "california/housing_with_missing.csv": (20640, 10, 207),
    "titanic/titanic_train.csv": (891, 12, 866),
    "penguins/penguins.csv": (344, 8, 19),
    "misc/diamonds.csv": (53940, 10, 0),
    "misc/mpg.csv": (398, 9, 6),
    "misc/bank.csv": (4521, 17, 0),
    "misc/abalone.csv": (4177, 9, 0),
    "misc/mammography.csv": (11183, 7, 0),
    "misc/letter-recognition.data": (20000, 17, 0),
    "misc/winequality-red.csv": (1599, 12, 0),
    "keel/phoneme.dat": (5404, 6, 0),
}


@pytest.mark.parametrize("name", REAL)
def test_real_tables_are_as_the_csv_module_reads_them(name: str, tables: Path) -> None:
    rows, columns, missing = REAL[name]
    table = read_table(tables / name)
    assert table.frame.shape == (rows, columns)
    assert sum(table.frame.null_count().row(0)) == missing
    quote = "'" if "mammography" in name else '"'
    separator = ";" if "bank" in name else ","
    with (tables / name).open(newline="") as stream:
        records = [
            row for row in csv.reader(stream, delimiter=separator, quotechar=quote, skipinitialspace=True) if row
        ]
    records = records[len(records) - rows :]
    for index, column in enumerate(table.frame.get_columns()):
        texts = [record[index].strip() for record in records]
        if column.dtype == pl.String:
            assert column.to_list() == [None if text in ("", "?", "NA") else text for text in texts]
        else:
            values = np.array([math.nan if text in ("", "?", "NA") else float(text) for text in texts])
            read = column.cast(pl.Float64).fill_null(math.nan).to_numpy()
            np.testing.assert_array_equal(read.astype(np.float32), values.astype(np.float32))


@pytest.mark.parametrize("name", ["concrete", "energy", "kin8nm", "power-plant", "wine-quality-red", "yacht"])
def test_real_text_is_as_numpy_reads_it(name: str, tables: Path) -> None:
    path = tables / "uci_regression" / name / "data.txt"
    frame = read_table(path).frame
    np.testing.assert_array_equal(frame.cast(pl.Float32).to_numpy(), np.loadtxt(path).astype(np.float32))


def test_more_columns_than_rows_are_read_as_few(write: Write) -> None:
    """They are looked at all together: kinds, ends and narrow types are those that each has by itself."""
    draw, kinds = np.random.default_rng(0), 7
    of_kind = [
        lambda: str(draw.integers(-9, 9)),
        lambda: f"{draw.normal():.4f}",
        lambda: str(draw.choice(["", "NA", "3"])),
        lambda: str(draw.choice(["red", " blue ", "?"])),
        lambda: str(draw.choice(["1.5", "2", ""])),
        lambda: str(draw.choice([2**40, -(2**40), 1])),
        lambda: str(draw.choice(["1e9", "1000000001", "nan"])),
    ]
    rows = [[of_kind[column % kinds]() for column in range(1001)] for _ in range(6)]
    names = [f"c{column}" for column in range(1001)]
    path = write("x.csv", "\n".join(",".join(row) for row in [names, *rows]) + "\n")
    frame = read_table(path).frame
    assert frame.shape == (6, 1001)
    for at in range(0, 1001, 91):
        some = names[at : at + 91]
        few = "\n".join(",".join(row[at : at + 91]) for row in [names, *rows]) + "\n"
        assert_frame_equal(frame.select(some), read_table(write("y.csv", few)).frame)
