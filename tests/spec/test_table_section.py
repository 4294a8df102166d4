"""The section of a table: wrong values and columns that are not there, each one fault at its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlptrain.errors import SpecError
from mlptrain.spec import load_text
from tests.spec.texts import marked

ROWS = "age,colour,when,note,price,kind\n" + "".join(
    f"{'' if row == 7 else row % 40},{'red' if row % 3 else 'blue'},2024-{1 + row % 12:02}-{1 + row % 28:02},"
    f"{f'text {row}'},{row / 7:.2f},{'ab'[row % 2]}\n"
    for row in range(60)
)
COLUMN = "must be the name or the number of a column, or a list of them, got "
HEADER = "must be auto, true, false or a list of different names such as [age, income], got "
PATH = "must be a path, or a list of paths, got "
MISSING = "must be median, mean, drop_row, error or {constant: …}, got "
WORDS = "must be a list of texts such as ['-999', unknown], got "
KIND = "must be drop, numeric, categorical or date, got "
SCALING = "must be none, standard, minmax, robust, robust_clip or quantile, got "
AUTO = "must be auto, classification or regression, got "

# The keys of the section, with a mark before the place of the fault; the key's path below data; the whole message.
CASES: dict[str, tuple[str, str, str]] = {
    "path of a number": ("path: «3, target: kind", "path", f"{PATH}3"),
    "path of nothing": ("path: «[], target: kind", "path", f"{PATH}[]"),
    "path of a mapping": ("path: «{a: b}, target: kind", "path", f"{PATH}a mapping"),
    "path empty": ("path: «[FILE, ''], target: kind", "path", f"{PATH}…"),
    "no path": ("«target: kind", "path", "required key is missing; e.g. path: measurements.csv"),
    "no target": ("«path: FILE", "target", "…-1 is the last"),
    "file misspelt": ("path: «DIR/trian.csv, target: kind", "path", "…; did you mean 'train.csv'?"),
    "a pattern without files": ("path: «'DIR/*.dat', target: kind", "path", "…no file matches …"),
    "test file misspelt": ("path: FILE, target: kind, test_path: «DIR/trian.csv", "test_path", "…mean 'train.csv'?"),
    "target empty": ("path: FILE, target: «''", "target", f"{COLUMN}the text ''"),
    "target of a truth value": ("path: FILE, target: «true", "target", f"{COLUMN}true"),
    "target of a fraction": ("path: FILE, target: «1.5", "target", f"{COLUMN}1.5"),
    "target of a mapping": ("path: FILE, target: «{a: b}", "target", f"{COLUMN}a mapping"),
    "targets nested": ("path: FILE, target: «[[age]]", "target", f"{COLUMN}a list"),
    "target misspelt": ("path: FILE, target: «kinds", "target", "there is no column 'kinds'; did you mean 'kind'?"),
    "target in another case": (
        "path: FILE, target: «KIND",
        "target",
        "there is no column 'KIND'; did you mean 'kind'?",
    ),
    "target beyond the last": (
        "path: FILE, target: «6",
        "target",
        "there is no column 6: the table has 6, counted from 0",
    ),
    "target before the first": ("path: FILE, target: «-7", "target", "…there is no column -7…"),
    "a target of several misspelt": ("path: FILE, target: [age, «prize]", "target[1]", "…; did you mean 'price'?"),
    "a target twice": ("path: FILE, target: [age, «0]", "target[1]", "names 'age' twice"),
    "a target of text": ("path: FILE, target: «[age, kind]", "target", "…'kind' holds text, such as 'a' at FILE:2:…"),
    "targets of classes": ("path: FILE, target: [age, price], task: «classification", "task", "…has one target…"),
    "regression of text": ("path: FILE, target: «kind, task: regression", "target", "…'a' at FILE:2:…needs numbers"),
    "task misspelt": (
        "path: FILE, target: kind, task: «classify",
        "task",
        f"{AUTO}the text 'classify'; did you mean 'classification'?",
    ),
    "task of a number": ("path: FILE, target: kind, task: «2", "task", f"{AUTO}2"),
    "separator of a number": ("path: FILE, target: kind, separator: «1", "separator", "…must be text, got 1…"),
    "separator empty": ("path: FILE, target: kind, separator: «''", "separator", "…text that is not empty…"),
    "header of a word": ("path: FILE, target: kind, header: «'no'", "header", f"{HEADER}the text 'no'"),
    "header of a number": ("path: FILE, target: kind, header: «0", "header", f"{HEADER}0"),
    "header twice": ("path: FILE, target: a, header: «[a, a]", "header", f"{HEADER}['a', 'a']"),
    "missing_values of a word": (
        "path: FILE, target: kind, missing_values: «NA",
        "missing_values",
        f"{WORDS}the text 'NA'",
    ),
    "missing_values of numbers": ("path: FILE, target: kind, missing_values: «[-9]", "missing_values", f"{WORDS}[-9]"),
    "columns of a list": (
        "path: FILE, target: kind, columns: «[age, when]",
        "columns",
        "must be a mapping, got ['age', 'when']; write {age: drop, when: drop} to leave columns out; all others are i…",
    ),
    "split misspelt": (
        "path: FILE, target: kind, split: {by: group, column: «colur}",
        "split.column",
        "there is no column 'colur'; did you mean 'colour'?",
    ),
    "column misspelt": ("path: FILE, target: kind, columns: {colour: drop, aeg: «drop}", "columns.aeg", "…mean 'age'?"),
    "column beyond the last": ("path: FILE, target: kind, columns: {9: «drop}", "columns.9", "…there is no column 9…"),
    "column twice": ("path: FILE, target: kind, columns: {age: drop, 0: «drop}", "columns.0", "names 'age' twice"),
    "column of the target": ("path: FILE, target: kind, columns: {kind: «drop}", "columns.kind", "…is the target…"),
    "kind misspelt": (
        "path: FILE, target: kind, columns: {age: «numerc}",
        "columns.age",
        f"{KIND}the text 'numerc'; did you mean 'numeric'?",
    ),
    "kind of pandas": ("path: FILE, target: kind, columns: {age: «category}", "columns.age", "…mean 'categorical'?"),
    "kind of a number": ("path: FILE, target: kind, columns: {age: «3}", "columns.age", f"{KIND}3"),
    "kind of nothing": ("path: FILE, target: kind, columns: {age: «}", "columns.age", "…nothing (null)…mean 'drop'?"),
    "text as numbers": (
        "path: FILE, target: kind, columns: {colour: «numeric}",
        "columns.colour",
        "…'blue' at FILE:2:3…",
    ),
    "text as dates": ("path: FILE, target: kind, columns: {colour: «date}", "columns.colour", "…'blue' at FILE:2:3…"),
    "numeric of a word": (
        "path: FILE, target: kind, numeric: «mean",
        "numeric",
        "must be a mapping of keys and values, got the text 'mean'",
    ),
    "missing misspelt": (
        "path: FILE, target: kind, numeric: {missing: «medain}",
        "numeric.missing",
        f"{MISSING}the text 'medain'; did you mean 'median'?",
    ),
    "missing by scikit-learn": (
        "path: FILE, target: kind, numeric: {missing: «most_frequent}",
        "numeric.missing",
        "…not offered: median, mean or {constant: …} take their place",
    ),
    "missing of a number": ("path: FILE, target: kind, numeric: {missing: «-1}", "numeric.missing", f"{MISSING}-1"),
    "missing of a list": ("path: FILE, target: kind, numeric: {missing: «[1]}", "numeric.missing", f"{MISSING}[1]"),
    "constant of text": (
        "path: FILE, target: kind, numeric: {missing: {constant: «a}}",
        "numeric.missing.constant",
        "must be a number, got the text 'a'",
    ),
    "constant without end": (
        "path: FILE, target: kind, numeric: {missing: {constant: «.inf}}",
        "numeric.missing.constant",
        "must be a finite number, got inf",
    ),
    "constant misspelt": (
        "path: FILE, target: kind, numeric: {missing: {constant: 0, «fill: 1}}",
        "numeric.missing.fill",
        "unknown key; known here: constant",
    ),
    "no constant": ("path: FILE, target: kind, numeric: {«missing: {}}", "numeric.missing.constant", "…constant: 0"),
    "missing values refused": (
        "path: FILE, target: kind, numeric: {missing: «error}",
        "numeric.missing",
        "is error, and FILE:9:1 has no 'age'",
    ),
    "indicator of a word": (
        "path: FILE, target: kind, numeric: {indicator: «'yes'}",
        "numeric.indicator",
        "…true or false, got the text 'yes'; write true",
    ),
    "scaling by scikit-learn": (
        "path: FILE, target: kind, numeric: {scaling: «RobustScaler}",
        "numeric.scaling",
        f"{SCALING}the text 'RobustScaler'; did you mean 'robust'?",
    ),
    "scaling of images": (
        "path: FILE, target: kind, numeric: {scaling: «unit}",
        "numeric.scaling",
        f"{SCALING}the text 'unit'",
    ),
    "scaling of numbers": (
        "path: FILE, target: kind, numeric: {scaling: «{mean: 0, std: 1}}",
        "numeric.scaling",
        f"{SCALING}a mapping",
    ),
    "scaling in the wrong place": (
        "path: FILE, target: kind, «scaling: standard",
        "scaling",
        "unknown key here; it belongs to data.numeric.scaling",
    ),
    "encoding by scikit-learn": (
        "path: FILE, target: kind, categorical: {encoding: «OneHotEncoder}",
        "categorical.encoding",
        "…did you mean 'one_hot'?",
    ),
    "encoding not offered": (
        "path: FILE, target: kind, categorical: {encoding: «hashing}",
        "categorical.encoding",
        "must be one_hot, ordinal or embedding, got the text 'hashing'; not offered",
    ),
    "frequency of a share": (
        "path: FILE, target: kind, categorical: {min_frequency: «0.1}",
        "categorical.min_frequency",
        "must be a whole number, got 0.1",
    ),
    "one level": ("path: FILE, target: kind, categorical: {max_levels: «1}", "categorical.max_levels", "…at least 2…"),
    "levels by scikit-learn": (
        "path: FILE, target: kind, categorical: {«max_categories: 9}",
        "categorical.max_categories",
        "unknown key; did you mean 'max_levels'?",
    ),
    "target_scaling of a word": (
        "path: FILE, target: kind, target_scaling: «log",
        "target_scaling",
        "must be none, standard or log1p, got the text 'log'; did you mean 'log1p'?",
    ),
    "test above 1": ("path: FILE, target: kind, test: «1.5", "test", "…a fraction below 1, got 1.5"),
    "test takes all": (
        "path: FILE, target: kind, test: «60",
        "test",
        "takes all 60 rows and leaves none to train on; take fewer",
    ),
    "validation takes all": (
        "path: FILE, target: kind, validation: «48",
        "validation",
        "takes 48 of 48 training rows…",
    ),
    "pandas' word for a separator": ("path: FILE, target: kind, «sep: ','", "sep", "…did you mean 'separator'?"),
    "pandas' word for missing": ("path: FILE, target: kind, «na_values: [x]", "na_values", "…mean 'missing_values'?"),
    "another word for the target": ("path: FILE, target: kind, «label_column: kind", "label_column", "…mean 'target'?"),
    "another word for columns": (
        "path: FILE, target: kind, «cat_cols: [colour]",
        "cat_cols",
        "…columns: {NAME: categorical}…",
    ),
}


@pytest.mark.parametrize(("keys", "path", "says"), CASES.values(), ids=CASES)
def test_one_fault_at_its_place(keys: str, path: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "train.csv"
    file.write_text(ROWS)
    keys, says = (text.replace("FILE", str(file)).replace("DIR", str(tmp_path)) for text in (keys, says))
    text, [(line, column)] = marked(f"data: {{name: table, {keys}}}\nmodel: {{hidden: []}}\noptimizer: sgd\n")
    with pytest.raises(SpecError) as caught:
        load_text(text, source="c.yaml")
    [fault] = caught.value.faults
    beginning, _, rest = says.partition("…")
    assert fault.path == f"data.{path}"
    assert fault.message.startswith(beginning)
    assert all(part in fault.message for part in rest.split("…"))
    assert says.endswith("…") or fault.message.endswith(rest.rpartition("…")[2] or beginning)
    if "required" not in fault.message:
        assert (fault.line, fault.column) == (line, column)
    assert len(fault.message) < 300 + len(str(file))


def test_a_number_is_quoted_as_the_file_has_it(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n" + "".join(f"{row}.7,{row % 2}\n" for row in range(315, 355)))
    text = f"data: {{name: table, path: {tmp_path}/t.csv, target: b, columns: {{a: date}}}}\n"
    with pytest.raises(SpecError, match=r"such as '315\.7' at .*t\.csv:2:1;"):
        load_text(text + "model: {hidden: []}\noptimizer: sgd\n")


def test_a_logarithm_of_targets_needs_some(tmp_path: Path) -> None:
    """The place is that in the file, behind rows that are left out."""
    file = tmp_path / "gains.csv"
    file.write_text("a,gain\n1,2.5\n2,\n3,-1.5\n4,-2.5\n5,1.5\n")
    section = f"{{name: table, path: {file}, target: gain, target_scaling: log1p}}"
    with pytest.raises(SpecError) as caught:
        load_text(f"data: {section}\nmodel: {{hidden: []}}\noptimizer: sgd\nloss: mse\n", source="c.yaml")
    [fault] = caught.value.faults
    assert fault.path == "data.target_scaling"
    assert fault.message == f"log1p needs targets above -1, got -2.5 at {file}:5:3"
