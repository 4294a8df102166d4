"""Parquet, JSON lines, ARFF and LibSVM, beside the libraries that know them."""

from __future__ import annotations

import datetime
import gzip
import json
import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.io import arff
from sklearn.datasets import load_svmlight_file

from mlptrain.sources.tables.given import as_table
from mlptrain.sources.tables.read import read_table
from tests.sources.tables.conftest import Write


def test_parquet(tmp_path: Path, write: Write) -> None:
    frame = pl.DataFrame(
        {
            "int": [1, None],
            "bool": [True, None],
            "text": ["x ", " NA "],
            "date": [datetime.date(2020, 1, 1)] * 2,
            "list": [[1], [2]],
            "nan": [math.nan, 1.5],
            "byte": pl.Series([1, 255], dtype=pl.UInt8),
            "level": pl.Series(["u", "v"], dtype=pl.Categorical),
            "code": [-999.0, 2.0],
            "when": pl.Series([datetime.datetime(2020, 1, 1, 12)] * 2).dt.replace_time_zone("Europe/Berlin"),
            "price": pl.Series(["1.25", "3.50"]).cast(pl.Decimal(10, 2)),
            "none": [None, None],
        }
    )
    frame.write_parquet(path := tmp_path / "x.parquet")
    table = read_table(path, missing_values=["-999"])
    assert table.frame.to_dict(as_series=False) == {
        "int": [1, None],
        "bool": ["true", None],
        "text": ["x", None],
        "date": [datetime.date(2020, 1, 1)] * 2,
        "nan": [None, 1.5],
        "byte": [1, 255],
        "level": ["u", "v"],
        "code": [None, 2.0],
        "when": [datetime.datetime(2020, 1, 1, 11)] * 2,
        "price": [1.25, 3.5],
        "none": [None, None],
    }
    assert table.notes == ("Parquet", "dropped, since they hold lists, records or bytes: 'list'")
    assert table.where(1, "code") == f"{path}, row 2, column 'code'"
    packed = read_table(write("x.parquet.gz", gzip.compress(path.read_bytes())), missing_values=["-999"])
    assert packed.frame.equals(table.frame)


def test_json_lines(write: Write) -> None:
    rows = [{"a": 1, "b": "x", "c": True}, {"b": "?", "a": 2.5}, {"a": None, "b": "y", "d": [1]}]
    path = write("x.jsonl", "\ufeff" + "\n\n".join(json.dumps(row) for row in rows))
    table = read_table(path)
    assert table.frame.rows() == [(1.0, "x", "true"), (2.5, None, None), (None, "y", None)]
    assert table.where(1, "a") == f"{path}:3:12"
    words = '{"a": 1, "b": "01", "c": 1, "d": "n/a"}\n{"a": "n/a", "b": "N/A", "c": 2.5, "d": 2}\n{"a": 3, "c": "?"}\n'
    found = read_table(write("w.jsonl", words)).frame
    assert found.to_dict(as_series=False) == {
        "a": [1, None, 3], "b": ["01", None, None], "c": [1.0, 2.5, None], "d": [None, 2, None],
    }  # fmt: skip
    again = read_table(
        write("again.jsonl", words), like=read_table(write("t.jsonl", '{"a": "x", "b": 1, "c": "y", "d": 1}'))
    )
    assert again.frame["c"].to_list() == ["1", "2.5", None]
    mixed = read_table(write("m.txt", '{"a": 1, "b": 1}\n{"a": "x", "b": 0.5}\n'))
    assert mixed.frame.rows() == [("1", 1.0), ("x", 0.5)]


def test_texts_of_digits_are_numbers_but_for_codes(write: Write) -> None:
    """As in a text file, where nothing else could be told; a leading zero says that it is no number."""
    digits = {"a": ["12", "?", "7"], "b": ["1.5", "-2", "3e2"], "zip": ["01234", "90210", "00001"], "y": ["0"] * 3}
    frame = pl.DataFrame(digits)
    frame.write_parquet(path := write("x.parquet", ""))
    for table in (read_table(path), as_table(frame)):
        assert table.frame.to_dict(as_series=False) == {
            "a": [12, None, 7], "b": [1.5, -2.0, 300.0], "zip": digits["zip"], "y": [0, 0, 0],
        }  # fmt: skip
        assert "column 'b': texts that are all numbers" in table.notes
    later = as_table(frame.with_columns(zip=pl.lit("90210"), a=pl.lit("5")), like=as_table(frame))
    assert (later.frame["zip"].to_list(), later.frame["a"].to_list()) == (["90210"] * 3, [5] * 3)
    later = as_table(pl.DataFrame({"a": ["05"], "b": ["1"], "zip": ["1"], "y": ["0"]}), like=as_table(frame))
    assert later.frame["a"].to_list() == [5]


def test_arff(write: Write) -> None:
    text = (
        "% about\n@RELATION 'x y'\n@attribute 'my \\'name\\'' string\n@attribute d date 'yyyy-MM-dd'\n"
        "@ATTRIBUTE n NUMERIC\n@attribute k {0, 1,'a b'}\n@data\n"
        "'it\\'s, so', 2020-01-01, 1.5, 'a b'\n% more\n?, 2020-02-01, ?, 0\n"
    )
    table = read_table(path := write("x.arff", text))
    assert table.frame.columns == ["my 'name'", "d", "n", "k"]
    assert table.frame.rows() == [
        ("it's, so", datetime.date(2020, 1, 1), 1.5, "a b"),
        (None, datetime.date(2020, 2, 1), None, "0"),
    ]
    assert table.where(1, "d") == f"{path}:10:4"
    assert read_table(write("x.txt", text)).frame.equals(table.frame)


@pytest.mark.parametrize("name", ["credit-g", "vote", "segment-test", "iris", "weather.nominal"])
def test_real_arff_is_as_scipy_reads_it(name: str, tables: Path) -> None:
    path = tables / "arff" / f"{name}.arff"
    reference, meta = arff.loadarff(path)
    frame = read_table(path).frame
    assert frame.columns == meta.names()
    for column in meta.names():
        if meta[column][0] == "nominal":
            assert frame[column].fill_null("?").to_list() == [value.decode() for value in reference[column]]
        else:
            np.testing.assert_array_equal(frame[column].cast(pl.Float32), reference[column].astype(np.float32))


def test_libsvm(write: Write) -> None:
    path = write("x.txt", "# c\n+1 1:0.5 3:2 # d\n\n-1 2:1e-1\n")
    table = read_table(path)
    assert table.frame.rows() == [pytest.approx((1, 0.5, 0, 2)), pytest.approx((-1, 0, 0.1, 0))]
    assert table.frame.columns == ["target", "x1", "x2", "x3"]
    assert table.where(0, "x3") == f"{path}:2:10"
    ranked = read_table(write("q.svm", "2 qid:3 0:1\n1.5 qid:3 1:1\n"))
    assert ranked.frame.rows() == [(2.0, 3, 1.0, 0.0), (1.5, 3, 0.0, 1.0)]
    narrow = read_table(write("n.svm", "1 1:4\n"), like=table)
    assert narrow.frame.rows() == [(1, 4.0, 0.0, 0.0)]
    wide = read_table(write("w.svm", "1 1:4 5:1\n"), like=table)
    assert wide.frame.columns == table.frame.columns
    assert "'x4', 'x5'" in wide.notes[-1]
    both = read_table([path, write("n.svm", "1 1:4\n")], format="libsvm")
    assert both.frame.rows()[2] == (1, 4.0, 0.0, 0.0)


@pytest.mark.parametrize("name", ["heart_scale", "agaricus.txt.train"])
def test_real_libsvm_is_as_scikit_learn_reads_it(name: str, tables: Path) -> None:
    x, y = load_svmlight_file(str(tables / "libsvm" / name))
    frame = read_table(tables / "libsvm" / name).frame
    np.testing.assert_array_equal(frame["target"].to_numpy(), y)
    np.testing.assert_array_equal(frame.drop("target").to_numpy(), x.toarray().astype(np.float32))
