"""A data set that brings its facts along goes through every command, and nobody asks for what is on record."""

from __future__ import annotations

import html
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlptrain.experiment.checkpoints import load_checkpoint
from mlptrain.spec import load_spec
from tests.command import Call
from tests.tables import CLASSES, COLUMNS, Table

CONFIG = """\
name: fruit
data: {name: spirals, scaling: standard, validation: 0.25}
model: {hidden: [5]}
optimizer: {name: adam, lr: 0.05}
training: {epochs: 3, batch_size: 20, device: cpu, threads: 1, precision: highest}
"""
TRAIN = ("train", "fruit.yaml", "--run-dir", "run")


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Table:
    """Of 150 rows 30 are drawn to test with, and of the other 120 a quarter to validate with."""
    monkeypatch.chdir(tmp_path)
    Path("fruit.yaml").write_text(CONFIG)
    table = Table()
    table.put_in_place(monkeypatch)
    return table


@pytest.fixture
def trained(table: Table, call: Call) -> Table:
    """Trained into ``run``; the facts of the table can no longer be had."""
    assert call(*TRAIN).code == 0
    table.closed = True
    return table


def read(path: str) -> Any:
    return json.loads(Path(path).read_text())


def test_check_shows_its_widths(table: Table, call: Call) -> None:
    [report] = call("check", "fruit.yaml", "--json").json
    assert report["model"] == "7-5-4 relu"
    assert [layer["tensors"] for layer in report["layers"]] == [
        {"weight": [5, 7], "bias": [5]},
        {"weight": [4, 5], "bias": [4]},
    ]
    assert report["rows"] == {"train": 90, "validation": 30, "test": 30}
    assert call("check", "fruit.yaml").code == 0
    refused = call("check", "fruit.yaml", "--set", "loss=bce")
    assert refused.code == 2
    assert "'bce' needs exactly two classes, data 'spirals' has 4" in refused.err


def test_run_folder_and_checkpoint_hold_the_facts(trained: Table) -> None:
    facts = read("run/facts.json")
    assert {key: facts[key] for key in ("train_rows", "validation_rows", "test_rows", "n_features")} == {
        "train_rows": 90, "validation_rows": 30, "test_rows": 30, "n_features": 7,
    }  # fmt: skip
    assert facts["class_names"] == list(CLASSES)
    assert [column["name"] for column in facts["columns"]] == [column.name for column in COLUMNS]
    colour = {"name": "colour", "kind": "categorical", "categories": ["green", "red"]}
    assert facts["columns"][2] == colour | {"source": "", "part": "", "missing": 0}
    assert facts["digest"] == "ab" * 32
    for name in ("best", "last"):
        checkpoint = load_checkpoint(Path(f"run/checkpoints/{name}.safetensors"))
        assert checkpoint.experiment.facts.plain() == facts
    assert [line["step"] for line in map(json.loads, Path("run/metrics.jsonl").read_text().splitlines())] == [
        0,
        5,
        10,
        15,
    ]


def test_eval(trained: Table, call: Call) -> None:
    kept = read("run/result.json")["kept"]
    report = call("eval", "run", "--json").json
    assert (report["split"], report["examples"]) == ("test", 30)
    assert (report["loss"], report["accuracy"]) == (kept["test_loss"], kept["test_accuracy"])
    assert [row["class"] for row in report["per_class"]] == list(CLASSES)
    assert call("eval", "run", "--split", "train", "--json").json["examples"] == 90
    shown = call("eval", "run").out
    for name in CLASSES:
        assert name in shown, "brackets in a name are not markup"


def test_predict(trained: Table, call: Call) -> None:
    """The rows are those that the seed leaves to test with, each standardised as the training rows were."""
    by_true = {}
    for index in range(30):
        [prediction] = call("predict", "run", "--index", str(index), "--json").json
        assert prediction["name"] == CLASSES[prediction["class"]]
        assert len(prediction["probabilities"]) == 4
        by_true[index] = prediction["true"], prediction["class"]
    report = call("eval", "run", "--json").json
    assert sum(true != found for true, found in by_true.values()) == report["wrong"]
    refused = call("predict", "run", "--index", "30")
    assert (refused.code, refused.message) == (
        2, "error: index 30: the test rows of 'spirals' have indices from 0 to 29",
    )  # fmt: skip
    refused = call("predict", "run", "apple.png")
    assert refused.code == 2


def test_report_and_plots(trained: Table, call: Call) -> None:
    assert call("report", "run").code == 0
    page = Path("run/report.html").read_text()
    for name in CLASSES:
        assert html.escape(name) in page
    assert "<b>quince" not in page
    assert "<script>alert" not in page
    assert call("plot", "confusion", "run").code == 0
    assert call("plot", "curves", "run").code == 0
    refused = call("plot", "weights", "run")
    assert "data 'spirals' has 7 numbers per row, which are not an image" in refused.message
    refused = call("plot", "decision", "run")
    assert "is drawn over two inputs, but data 'spirals' has 7" in refused.message


def test_runs(trained: Table, call: Call) -> None:
    [run] = call("runs", ".", "--json").json
    assert (run["status"], run["data"], run["model"]) == ("completed", "spirals", "7-5-4 relu")
    assert run["metric"] == "test_accuracy"
    assert run["value"] > 0.5, "these classes can be learnt"


def test_resume_reads_the_facts_on_record(trained: Table, call: Call) -> None:
    assert call("train", "--resume", "run", "--set", "training.epochs=6").code == 0
    trained.closed = False
    assert call("train", "fruit.yaml", "--run-dir", "whole", "--set", "training.epochs=6").code == 0
    for name in ("metrics.jsonl", "facts.json", "resolved.yaml", "checkpoints/last.safetensors"):
        assert Path("run", name).read_bytes() == Path("whole", name).read_bytes(), name


def test_resume_after_the_table_has_changed(trained: Table, call: Call) -> None:
    trained.x[0, 0] += 1
    for arguments in (
        ("train", "--resume", "run", "--set", "training.epochs=6"),
        ("eval", "run"),
        ("predict", "run", "--index", "0"),
    ):
        refused = call(*arguments)
        assert refused.code == 2
        assert "trained on other data" in refused.message


def test_several_seeds(table: Table, call: Call) -> None:
    assert call(*TRAIN, "--seeds", "1,5").code == 0
    table.closed = True
    for seed in (1, 5):
        facts = read(f"run/seed-{seed}/facts.json")
        assert (facts["train_rows"], facts["class_names"]) == (90, list(CLASSES))
        assert call("eval", f"run/seed-{seed}", "--json").json["examples"] == 30
    tested = [load_true(call, f"run/seed-{seed}") for seed in (1, 5)]
    assert tested[0] != tested[1], "every seed draws test rows of its own"
    assert call("report", "run/seed-5").code == 0
    assert len(call("runs", ".", "--json").json) == 2
    shutil.copytree("run", "group")
    assert call("train", "--resume", "group", "--set", "training.epochs=4").code == 0
    assert read("group/seed-5/result.json")["epochs"] == 4


def load_true(call: Call, run: str) -> list[int]:
    indices = [word for index in range(30) for word in ("--index", str(index))]
    return [prediction["true"] for prediction in call("predict", run, *indices, "--json").json]


def test_classes_that_are_chosen(table: Table, call: Call) -> None:
    """Which classes there are is asked of the table before training, and of the record afterwards."""
    chosen = ("--set", "data.classes=[3, 1]")
    refused = call("check", "fruit.yaml", "--set", "data.classes=[3, 4]")
    assert (refused.code, "must name classes from 0 to 3, each once, got [3, 4]" in refused.err) == (2, True)
    assert call(*TRAIN, *chosen).code == 0
    table.closed = True
    facts = read("run/facts.json")
    assert facts["class_names"] == [CLASSES[3], CLASSES[1]]
    kept = [row for row, label in enumerate(table.y) if label in (3, 1)]
    assert facts["train_rows"] + facts["validation_rows"] + facts["test_rows"] == len(kept)
    assert call("eval", "run", "--json").json["examples"] == round(0.2 * len(kept)) == facts["test_rows"]
    assert call("runs", ".", "--json").json[0]["model"] == "7-5-2 relu"
    assert call("train", "--resume", "run", "--set", "training.epochs=4").code == 0


def test_the_facts_of_a_copy_can_be_asked_for_anew(trained: Table) -> None:
    """The resolved file repeats a run from the data, as the user's file does."""
    with pytest.raises(AssertionError, match="on record"):
        load_spec(Path("run/resolved.yaml"))
    trained.closed = False
    assert load_spec(Path("run/resolved.yaml")).experiment.facts.plain() == read("run/facts.json")


def test_rows_are_not_lost(table: Table) -> None:
    """What the seed draws to test with, to validate with and leaves to train on is the table, row by row."""
    from mlptrain.experiment.build import load_data

    splits = load_data(load_spec(Path("fruit.yaml"), ["data.scaling=none"]).experiment)
    parts = [part.inputs.numpy() for part in (splits.train, splits.validation, splits.test) if part is not None]
    assert [len(part) for part in parts] == [90, 30, 30]
    everything = np.concatenate(parts)
    np.testing.assert_array_equal(everything[np.lexsort(everything.T)], table.x[np.lexsort(table.x.T)])
