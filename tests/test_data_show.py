"""`mlptrain data show` and `check` on tables: columns, classes, duplicates, columns that give the target away."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.tree import DecisionTreeClassifier

from mlptrain.sources.facts import Column
from mlptrain.sources.tables.leaks import find_leaks
from tests.command import Call

CONFIG = """\
data: {name: table, path: rows.csv, target: kind, validation: 10, test: 20}
model: {hidden: [4]}
optimizer: {name: sgd, lr: 0.1}
"""


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pl.DataFrame:
    """A hundred rows in rows.csv, of every kind of column, and rows.yaml; the current folder is theirs."""
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    n = 100
    frame = pl.DataFrame(
        {
            "row": np.arange(n) + 1000,
            "size": pl.Series(generator.normal(50, 9, n).round(2)).set(pl.Series(generator.random(n) < 0.1), None),
            "colour": generator.choice(["red", "green", "blue"], n),
            "when": pl.date_range(pl.date(2024, 1, 1), pl.date(2024, 12, 31), eager=True).sample(n, seed=0).sort(),
            "note": [f"seen by {index * 7919 % 90}" for index in range(n)],
            "unit": ["mm"] * n,
            "kind": generator.choice(["cat", "dog"], n, p=[0.7, 0.3]),
        }
    )
    frame.write_csv("rows.csv")
    Path("rows.yaml").write_text(CONFIG, encoding="utf-8")
    return frame


def test_every_column_is_described(call: Call, rows: pl.DataFrame) -> None:
    report = call("data", "show", "rows.yaml", "--json").json
    columns = {column["name"]: column for column in report["columns"]}
    assert {name: column["kind"] for name, column in columns.items()} == {
        "row": "numeric", "size": "numeric", "colour": "categorical", "when": "date", "note": "drop", "unit": "drop",
        "kind": "target",
    }  # fmt: skip
    for name, column in columns.items():
        assert column["missing"] == rows[name].null_count()
        assert column["levels"] == rows[name].drop_nulls().n_unique()
    assert (columns["when"]["low"], columns["when"]["high"]) == (str(rows["when"].min()), str(rows["when"].max()))
    assert float(columns["size"]["low"]) == pytest.approx(rows["size"].min())
    assert columns["size"]["inputs"] == 2  # with the indicator of missing ones
    assert columns["colour"]["inputs"] == 3 + 2
    assert columns["colour"]["examples"] == ["blue", "green", "red"]
    assert "days" in columns["when"]["becomes"]
    assert sum(column["inputs"] for column in columns.values()) == report["inputs"]
    assert report["rows"] == {"train": 70, "validation": 10, "test": 20}
    counts = dict(rows["kind"].value_counts().iter_rows())
    assert report["class_counts"] == counts
    assert (report["task"], report["targets"], report["why"]) == ("classification", ["kind"], "the target is text")
    assert any("'row' looks like an identifier" in warning for warning in report["warnings"])
    assert any("'unit'" in warning for warning in report["warnings"])
    assert any("rows.yaml:1:" in warning for warning in report["warnings"])


@pytest.mark.usefixtures("rows")
def test_check_shows_the_columns_and_says_why(call: Call) -> None:
    (report,) = call("check", "rows.yaml", "--json").json
    assert report["columns"] == call("data", "show", "rows.yaml", "--json").json["columns"]
    assert report["notes"] == [
        "separator ',', header",
        "column 'when': dates, %Y-%m-%d",
        "classification: the target is text",
    ]
    shown = call("check", "rows.yaml")
    lines = [line.split() for line in shown.out.splitlines()]
    assert any(line[:2] == ["colour", "categorical"] for line in lines)
    assert "data: classification: the target is text" in shown.out


@pytest.mark.usefixtures("rows")
def test_a_file_needs_no_configuration(call: Call) -> None:
    shown = call("data", "show", "rows.csv")
    assert "data: {name: table, path: rows.csv, target: kind}; 'kind', the last column, was taken" in shown.out
    report = call("data", "show", "rows.csv", "--target", "size", "--json").json
    assert (report["task"], report["class_counts"]) == ("regression", None)
    assert call("data", "show", "rows.csv", "--target", "siez").message == (
        "error: there is no column 'siez'; did you mean 'size'?"
    )
    assert "--target is for files" in call("data", "show", "rows.yaml", "--target", "size").message
    assert "no such file" in call("data", "show", "absent.csv").message


def test_a_table_of_few_rows_is_shown(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though a tenth of them makes no validation row; what is written for it passes the check."""
    monkeypatch.chdir(tmp_path)
    Path("t.jsonl").write_text("".join(f'{{"a": {row}, "y": {row + 0.25}}}\n' for row in range(5)), encoding="utf-8")
    shown = call("data", "show", "t.jsonl", "--target", "y")
    assert "rows: 4 training, 0 validation, 1 test" in shown.out
    assert "data: {name: table, path: t.jsonl, target: y, validation: 0}" in shown.out
    assert "epochs" not in shown.err
    Path("t.yaml").write_text(
        "data: {name: table, path: t.jsonl, target: y, validation: 0}\nmodel: {hidden: []}\noptimizer: adam\n",
        encoding="utf-8",
    )
    assert call("check", "t.yaml").code == 0
    refused = call("data", "show", "t.jsonl", "--target", "y", "--set", "data.validation=0.1")
    assert refused.message == (
        "error: data.validation: takes no rows: 0.1 of 4 rows rounds to 0; use a count, or 0 for none"
    )


def test_an_archive_of_arrays_is_no_table(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("mine.npz", x=np.zeros((4, 2)), y=np.arange(4))
    message = call("data", "show", "mine.npz").message.replace(f"{tmp_path}/", "")
    assert message == (
        "error: mine.npz holds arrays of NumPy (x.npy, y.npy) and no table; "
        "a configuration reads it with data: {name: arrays, path: mine.npz}"
    )


def test_a_data_set_is_shown_by_its_name(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shown = call("data", "show", "digits")
    assert "rows: 1,293 training, 144 validation, 360 test; 64 inputs" in shown.out
    assert shown.out.endswith("a configuration begins with: data: digits\n")
    assert "the targets of 'digits' are known" in call("data", "show", "digits", "--target", "0").message
    assert "no such file" in call("data", "show", "arrays").message
    Path("digits").write_text("a,k\n1,x\n2,y\n3,x\n4,y\n", encoding="utf-8")
    assert "'k', the last column" in call("data", "show", "digits").out  # a file that is there comes first


def test_duplicates_are_counted(call: Call, rows: pl.DataFrame) -> None:
    kept = rows.drop("row", "note", "unit")
    again = kept.head(7)
    other = kept.slice(10, 4).with_columns(kind=pl.lit("bird"))
    pl.concat([kept, again, other]).write_csv("rows.csv")
    pl.concat([kept.slice(20, 5), kept.head(30).with_columns(size=pl.lit(1.5))]).write_csv("test.csv")
    found = call("data", "show", "rows.yaml", "--set", "data.test_path=test.csv", "--json").json["duplicates"]
    assert found == {"rows": 7, "contradicting": 8, "test": 5, "validation": None}
    assert call("data", "show", "rows.yaml").out.count("7 rows repeat an earlier one") == 1


@pytest.mark.parametrize(
    ("leak", "is_found"),
    [
        ("pl.col('kind').replace_strict({'cat': 'c', 'dog': 'd'})", True),  # another name of the classes
        ("pl.when(pl.col('kind') == 'dog').then(pl.lit(3.5))", True),  # missing exactly where it is a cat
        ("(pl.col('kind') == 'dog') * 10 + pl.col('row') / 1000", True),  # a threshold tells
        ("pl.col('row') % 7", False),
        ("pl.col('row') * 3.25", False),  # as many values as rows say nothing
        ("pl.when(pl.col('row') < 1004).then(pl.lit('x')).otherwise(pl.col('kind'))", False),  # wrong for some rows
    ],
)
def test_a_column_that_gives_the_target_away(call: Call, rows: pl.DataFrame, leak: str, is_found: bool) -> None:
    rows.with_columns(eval(leak).alias("outcome")).write_csv("rows.csv")
    report = call("data", "show", "rows.yaml", "--json").json
    assert [found["column"] for found in report["leaks"]] == ["outcome"] * is_found
    assert any("'outcome' alone predicts the target" in text for text in report["warnings"]) == is_found
    assert ("'outcome' alone predicts" in call("check", "rows.yaml").err) == is_found


def test_leaks_of_a_regression() -> None:
    generator = np.random.default_rng(1)
    y = generator.normal(size=(500, 1)) ** 3
    code = generator.integers(8, size=500)
    noisy = y[:, 0] + 0.1 * y.std() * generator.normal(size=500)
    x = np.column_stack([y[:, 0] * -2 + 7, np.exp(y[:, 0] / 5), noisy, code]).astype(np.float32)
    columns = (
        *(Column(name=name) for name in ("scaled", "bent", "noisy")),
        Column(name="code", kind="categorical", categories=tuple("abcdefgh")),
    )
    found = {leak.column: leak.rule for leak in find_leaks(x, y.astype(np.float32), columns)}
    assert found.keys() == {"scaled", "bent"}
    of_code = np.array([5.0, -3, 2, 8, 1, 0, 4, 9])[code][:, None].astype(np.float32)
    assert [leak.column for leak in find_leaks(x, of_code, columns)] == ["code"]


def test_one_of_many_columns_knows_few_rows_by_chance() -> None:
    generator = np.random.default_rng(3)
    x = generator.normal(size=(60, 3000)).astype(np.float32)
    columns = tuple(Column(name=str(place)) for place in range(3000))
    for others in (2, 10):
        assert find_leaks(x, np.repeat([0, 1], [60 - others, others]), columns) == ()
    known = np.column_stack([x, np.repeat([0.5, 7], [50, 10])]).astype(np.float32)
    (leak,) = find_leaks(known, np.repeat([0, 1], [50, 10]), (*columns, Column(name="known")))
    assert leak.column == "known"


@pytest.mark.parametrize("load", [load_iris, load_breast_cancer, load_diabetes])
def test_honest_columns_are_no_leaks(load: object) -> None:
    """Of three classes too; a tree with a leaf for each class agrees that no column alone suffices."""
    x, y = load(return_X_y=True)  # type: ignore[operator]
    columns = tuple(Column(name=str(index)) for index in range(x.shape[1]))
    if y.dtype.kind == "f":
        assert find_leaks(x.astype(np.float32), y[:, None].astype(np.float32), columns) == ()
        return
    assert find_leaks(x.astype(np.float32), y.astype(np.int64), columns) == ()
    shifted = x.copy()
    shifted[:, 1] += 100 * ((y + 1) % 3)  # three intervals in another order than the classes
    (leak,) = find_leaks(shifted.astype(np.float32), y.astype(np.int64), columns)
    tree = DecisionTreeClassifier(max_leaf_nodes=len(set(y)), random_state=0)
    alone = shifted[:, [1]]
    assert (leak.column, leak.value) == ("1", tree.fit(alone, y).score(alone, y))


@pytest.mark.usefixtures("rows")
def test_no_torch_is_loaded() -> None:
    code = "import sys\nfrom mlptrain.cli.app import run\ntry: run(['data', 'show', 'rows.yaml'])\n"
    code += "finally: print('torch' in sys.modules, 'sklearn' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False False"


@pytest.mark.usefixtures("rows")
def test_other_data_are_shown_too(call: Call) -> None:
    Path("iris.yaml").write_text(CONFIG.replace("table, path: rows.csv, target: kind", "iris"), encoding="utf-8")
    report = call("data", "show", "iris.yaml", "--json").json
    assert report["class_counts"] == {"setosa": 50, "versicolor": 50, "virginica": 50}
    x, y = load_iris(return_X_y=True)
    repeated = pl.DataFrame(np.column_stack([x, y])).is_duplicated().sum() // 2
    assert report["duplicates"]["rows"] == repeated


def test_every_column_that_is_dropped_is_said_once_where_it_helps(
    call: Call, rows: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    tickets = [f"A/{index} {index * 7}" if index % 3 == 0 else str(90_000 + index) for index in range(len(rows))]
    rows.with_columns(ticket=pl.Series(tickets)).write_csv("rows.csv")
    monkeypatch.setenv("COLUMNS", "80")
    for command in (("check", "rows.yaml"), ("data", "show", "rows.yaml")):
        shown = call(*command)
        assert max(map(len, shown.out.partition("\n+ 2")[0].splitlines())) <= 80
        assert [line.split()[-2:] for line in shown.out.splitlines() if line.split()[:1] in (["note"], ["ticket"])] == [
            ["dropped:", "text"]
        ] * 2
        assert shown.out.count("{note: categorical} keeps it") == 1
        assert "dropped" not in shown.err
        assert "are not numbers" not in shown.out  # codes are no numbers with faults
    trained = call("train", "rows.yaml", "--set", "training.epochs=1", "--run-dir", "run")
    assert trained.err.count("dropped") == 2  # one line for the texts, one for the constant
    assert (
        "2 columns are dropped (text of many different values): 'note', 'ticket'; data.columns: {note: " in trained.err
    )


@pytest.mark.usefixtures("rows")
def test_the_last_column_as_a_word_is_answered_by_its_number(call: Call) -> None:
    assert "-1 is the last column" in call("check", "rows.yaml", "--set", "data.target=last").err


def test_numbers_that_float32_makes_equal_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call) -> None:
    """Of seconds since 1970 and ids, with how many are left; whole numbers below 2²⁴ and wide ranges are no matter."""
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    columns = {
        "seconds": 1_700_000_000 + draw.integers(0, 86_400, 500),
        "share": 1 + draw.random(500) * 1e-6,
        "years": 1_000_000_000 + draw.integers(0, 700_000_000, 500),
        "small": 16_777_000 + draw.integers(0, 200, 500),
        "wide": draw.normal(size=500),
        "price": 2_000_000_000 + draw.integers(0, 5_000, 500),
    }
    pl.DataFrame(columns).write_csv("close.csv")
    Path("close.yaml").write_text(
        "data: {name: table, path: close.csv, target: price, task: regression}\nmodel: {hidden: [4]}\noptimizer: adam\n"
        "training: {epochs: 1}\n"
    )
    for told in (call("check", "close.yaml"), call("train", "close.yaml", "--run-dir", "run")):
        assert told.code == 0
        lines = [line for line in (told.out + told.err).splitlines() if "too close to each other" in line]
        assert len(lines) == 3
        for line, name in zip(lines, ("seconds", "share", "price"), strict=True):
            values = columns[name].astype(np.float64)
            left = len(np.unique(values.astype(np.float32)))
            assert f"'{name}' has numbers too close" in line
            assert f"of {len(np.unique(values)):,} different ones {left:,} are left" in line
        assert f"128 apart; subtract an offset in the file, such as {columns['seconds'].min()}, its lowest" in lines[0]
    assert call("check", "close.yaml", "--set", "data.columns.seconds=drop").err.count("too close") == 2
