"""`mlptrain train --folds`: the group, its figures, repetition, and what the other commands say to it."""

from __future__ import annotations

import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import mlptrain
from mlptrain.errors import InterruptedRunError, SpecError, UserError
from mlptrain.experiment import resume_group, train, train_folds
from mlptrain.experiment.build import load_data
from mlptrain.experiment.checkpoints import load_checkpoint
from mlptrain.inference.evaluate import evaluate_checkpoint
from mlptrain.report.curves import draw_curves
from mlptrain.report.history import read_curves
from mlptrain.spec import load_spec, load_text
from tests.command import Call
from tests.listeners import interrupting
from tests.report.test_figures import texts

IRIS = """\
name: flowers
data: {name: iris, validation: 0.1}
model: {hidden: [12]}
optimizer: {name: adam, lr: 0.02}
training: {epochs: 8, batch_size: 16, device: cpu, precision: highest, threads: 1}
"""
# As in test_cli_seeds: a fold diverges where the learning rate exceeds 2 over the largest curvature of its rows.
LINEAR = """\
data: {name: random_regression, validation: 0}
model: {hidden: [], init: {name: normal, std: 1e17}}
loss: mse
optimizer: {name: sgd, lr: 0.56}
training: {epochs: 25, batch_size: full}
"""
LAST = "checkpoints/last.safetensors"
OF_A_RUN = ("config.yaml", "resolved.yaml", "facts.json", "metrics.jsonl", LAST, "result.json")
FOLDS = range(4)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("iris.yaml").write_text(IRIS)
    Path("linear.yaml").write_text(LINEAR)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("folds") / "group"
    with pytest.warns(match="no test rows are drawn") as warned:
        train_folds(load_text(IRIS), len(FOLDS), run_dir=folder)
    assert {one.filename for one in warned} == {__file__}  # the line that a notebook shows below its cell
    return folder


@pytest.fixture
def group(trained: Path) -> None:
    """Four folds at ``group``, complete."""
    shutil.copytree(trained, "group")


def read(path: str) -> Any:
    return json.loads(Path(path).read_text())


def assert_same_bytes(one: str, other: str) -> None:
    for name in OF_A_RUN:
        assert Path(one, name).read_bytes() == Path(other, name).read_bytes(), f"{other}/{name}"


def test_the_group_folder_and_its_summary(group: None) -> None:
    assert sorted(path.name for path in Path("group").iterdir()) == [
        "fold-0", "fold-1", "fold-2", "fold-3", "folds.json", "summary.json",
    ]  # fmt: skip
    assert read("group/folds.json") == {"folds": 4}
    summary, kept = read("group/summary.json"), [read(f"group/fold-{fold}/result.json")["kept"] for fold in FOLDS]
    assert (summary["folds"], summary["diverged"]) == (4, [])
    assert {"validation_loss", "test_loss", "test_accuracy"} <= summary["kept"].keys()
    for name, found in summary["kept"].items():
        values = np.array([one[name] for one in kept])
        std = values.std(ddof=1)
        expected = {"mean": values.mean(), "std": std, "min": values.min(), "max": values.max()}
        assert found == pytest.approx(expected | {"standard_error": std / math.sqrt(4)}, rel=1e-12)
    assert summary["kept"]["test_accuracy"]["mean"] > 0.85


def test_a_run_evaluates_its_own_fold(group: None) -> None:
    examples = 0
    for fold in FOLDS:
        experiment = load_checkpoint(Path(f"group/fold-{fold}", LAST)).experiment
        assert experiment.data.model_dump()["fold"] == {"of": 4, "index": fold}
        report = evaluate_checkpoint(Path(f"group/fold-{fold}"))
        kept = read(f"group/fold-{fold}/result.json")["kept"]
        assert report["split"] == "test"
        assert report["loss"] == pytest.approx(kept["test_loss"], rel=1e-6)
        assert report["accuracy"] == kept["test_accuracy"]
        examples += report["examples"]
    assert examples == 150


def test_each_fold_is_its_single_run(group: None) -> None:
    """To float32 rounding: folds with equally many rows train as one. Those of 37 and of 38 held-out rows do not."""
    for fold in FOLDS:
        train(load_spec(f"group/fold-{fold}/resolved.yaml"), run_dir=f"alone-{fold}")
        ours, theirs = load_checkpoint(Path(f"group/fold-{fold}", LAST)), load_checkpoint(Path(f"alone-{fold}", LAST))
        assert ours.data_fingerprint == theirs.data_fingerprint
        for name, tensor in theirs.state.parameters.items():
            torch.testing.assert_close(ours.state.parameters[name], tensor, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("at", [0, 3])
def test_interrupted_resumed_and_repeated(at: int, trained: Path) -> None:
    with pytest.warns(match="no test rows"), pytest.raises(InterruptedRunError, match="--resume part"):
        train_folds(load_text(IRIS), 4, run_dir="part", listeners=[interrupting(at)])
    assert not Path("part/summary.json").exists()
    outcome = resume_group("part")
    assert outcome.summary.plain() == read(f"{trained}/summary.json") == read("part/summary.json")
    for fold in FOLDS:
        assert_same_bytes(f"{trained}/fold-{fold}", f"part/fold-{fold}")


def test_extended(group: None, call: Call) -> None:
    call("train", "iris.yaml", "--folds", "4", "--set", "training.epochs=11", "--run-dir", "longer")
    result = call("train", "--resume", "group", "--set", "training.epochs=11", "--json")
    assert [(run["fold"], run["epochs"]) for run in result.json["runs"]] == [(fold, 11) for fold in FOLDS]
    for fold in FOLDS:
        for name in ("metrics.jsonl", "resolved.yaml", LAST):
            assert Path(f"group/fold-{fold}", name).read_bytes() == Path(f"longer/fold-{fold}", name).read_bytes()


def test_the_screen(call: Call) -> None:
    result = call("train", "iris.yaml", "--folds", "4", "--set", "training.epochs=2", "--run-dir", "group")
    assert result.code == 0
    assert result.out.splitlines()[0] == "4 of 4 folds completed"
    cells = [re.split(r"\s{2,}", line.strip()) for line in result.out.splitlines()]
    table = {line[0]: line[1:] for line in cells if len(line) > 3}
    assert list(table)[-7:] == ["0", "1", "2", "3", "mean", "std", "std error"]
    kept = read("group/summary.json")["kept"]
    assert table["std error"] == [f"{spread['standard_error']:.4f}" for spread in kept.values()]
    assert "\ngroup folder: group\n" in result.out
    assert "epoch 2/2  train loss " in result.err
    assert "(4 folds)" in result.err
    assert "note: no test rows are drawn: with folds every row is a test row once, whatever data.test is" in result.err
    assert all(len(line) <= 80 for line in result.out.splitlines() if re.match(r" (\d|mean|std)", line))


def test_stored_test_rows_are_not_read(call: Call) -> None:
    overrides = ("--set", "data.test_size=50", "--set", "data.train_size=101", "--set", "training.epochs=1")
    config = str(Path(__file__).parent.parent / "configs/digits.yaml")
    result = call("train", config, "--folds", "2", *overrides, "--run-dir", "group", "--json")
    assert "the 50 stored test rows are not read" in result.err
    assert [read(f"group/fold-{fold}/facts.json")["test_rows"] for fold in (0, 1)] == [51, 50]
    assert list(result.json) == ["group", "folds", "diverged", "kept", "runs"]
    assert call("predict", "group/fold-0", "--split", "test", "--index", "50", "--json").code == 0


def test_folds_of_a_table(call: Call) -> None:
    """With a missing value in some rows, and figures and slots that are fitted in each fold."""
    rng = np.random.default_rng(0)
    rows = [
        f"{x:.3f},{'' if index % 9 == 0 else index},{'red' if index % 3 else 'blue'},{'yes' if x > 0 else 'no'}"
        for index, x in enumerate(rng.normal(size=101))
    ]
    Path("table.csv").write_text("\n".join(["x,number,colour,answer", *rows]))
    Path("table.yaml").write_text(
        "data: {name: table, path: table.csv, target: answer}\nmodel: {hidden: [4]}\noptimizer: adam\n"
    )
    result = call("train", "table.yaml", "--folds", "3", "--set", "training.epochs=1", "--run-dir", "group")
    assert result.code == 0
    assert "no test rows are drawn" in result.err
    assert [call("eval", f"group/fold-{fold}", "--json").json["examples"] for fold in range(3)] == [34, 34, 33]


@pytest.fixture
def patients() -> list[str]:
    """The patient of each row of ``patients.csv``, of which every row has a time and a weight."""
    rng = np.random.default_rng(1)
    named = [f"p{int(number**2) // 9}" for number in rng.integers(1, 13, size=120)]
    rows = [
        f"{x:.3f},{name},2024-01-{1 + index // 5:02},{index % 3 + 1},{'yes' if x + noise > 0 else 'no'}"
        for index, (name, x, noise) in enumerate(zip(named, rng.normal(size=120), rng.normal(size=120), strict=True))
    ]
    Path("patients.csv").write_text("\n".join(["x,patient,day,count,answer", *rows]))
    return named


@pytest.mark.parametrize(
    ("split", "note"),
    [
        ("{by: group, column: patient}", "every row is a test row once"),
        ("{by: time, column: day}", "each fold is tested on the block of time behind its rows"),
    ],
)
def test_folds_by_group_and_time(split: str, note: str, patients: list[str]) -> None:
    """Of unequal sizes, with weights: interrupted, resumed, and each to rounding as it trains alone."""
    Path("table.yaml").write_text(
        f"data: {{name: table, path: patients.csv, target: answer, split: {split}, weight: count}}\n"
        "model: {hidden: [6]}\noptimizer: {name: adam, lr: 0.05}\n"
        "training: {epochs: 4, batch_size: 16, device: cpu, precision: highest, threads: 1}\n"
    )
    with pytest.warns(match=note):
        whole = train_folds("table.yaml", 3, run_dir="whole")
    assert {"test_loss", "test_objective", "test_weighted_accuracy"} <= whole.summary.kept.keys()
    with pytest.warns(match=note), pytest.raises(InterruptedRunError):
        train_folds("table.yaml", 3, run_dir="part", listeners=[interrupting(2)])
    assert resume_group("part").summary == whole.summary
    held, sizes = list[str](), set()
    for fold in range(3):
        assert_same_bytes(f"whole/fold-{fold}", f"part/fold-{fold}")
        loaded = load_spec(f"whole/fold-{fold}/resolved.yaml")
        train(loaded, run_dir=f"alone-{fold}")
        ours, theirs = (load_checkpoint(Path(f"{run}-{fold}", LAST)) for run in ("whole/fold", "alone"))
        assert ours.data_fingerprint == theirs.data_fingerprint
        assert ours.experiment.facts == loaded.experiment.facts
        sizes.add(loaded.experiment.facts.train_rows)
        for name, tensor in theirs.state.parameters.items():
            torch.testing.assert_close(ours.state.parameters[name], tensor, rtol=1e-4, atol=1e-5)
        test = load_data(loaded.experiment).test
        assert test is not None
        assert test.index is not None
        held += {patients[row] for row in test.index.tolist()} if "group" in split else []
        assert evaluate_checkpoint(Path(f"whole/fold-{fold}"))["examples"] == len(test)
    assert len(sizes) > 1
    assert sorted(held) == (sorted(set(patients)) if "group" in split else [])


def test_stated_test_rows_are_not_read(call: Call, patients: list[str]) -> None:
    text = Path("patients.csv").read_text().splitlines()
    words = ["part", *(("train", "train", "train", "valid", "test")[index % 5] for index in range(len(patients)))]
    Path("patients.csv").write_text("\n".join(f"{line},{word}" for line, word in zip(text, words, strict=True)))
    Path("table.yaml").write_text(
        "data: {name: table, path: patients.csv, target: answer, split: {by: column, column: part}}\n"
        "model: {hidden: []}\noptimizer: sgd\ntraining: {epochs: 1}\n"
    )
    result = call("train", "table.yaml", "--folds", "3", "--run-dir", "group")
    assert result.code == 0
    assert "note: the 24 stored test rows are not read: with folds the test rows are those held out" in result.err
    facts = [read(f"group/fold-{fold}/facts.json") for fold in range(3)]
    assert [(of["train_rows"], of["validation_rows"], of["test_rows"]) for of in facts] == [(48, 24, 24)] * 3


def test_a_fold_that_diverges_leaves_the_others_alone(call: Call) -> None:
    result = call("train", "linear.yaml", "--folds", "6", "--run-dir", "group")
    summary = read("group/summary.json")
    assert 0 < len(summary["diverged"]) < 6
    assert result.code == 3
    named = f"fold{'s' * (len(summary['diverged']) > 1)} {', '.join(map(str, summary['diverged']))} diverged"
    assert f"error: {named}; the other" in result.err


def test_other_commands_on_the_group(call: Call, group: None) -> None:
    for command in (("eval", "group"), ("predict", "group", "--index", "0")):
        refused = call(*command)
        assert refused.code == 2
        assert "group holds the runs of 4 folds; name one of them: group/fold-0" in refused.err
    assert call("plot", "curves", "group", "--out", "curves.svg").code == 0
    shown = texts(draw_curves([read_curves("group")]))
    assert "band: lowest to highest of 4 folds" in shown
    assert "group group, mean over 4 folds, data iris" in shown
    assert [run["path"] for run in call("runs", ".", "--json").json] == [f"group/fold-{fold}" for fold in FOLDS]
    found = call("gradcheck", "group", "--json").json
    assert (found["folds"], found["passed"]) == (list(FOLDS), True)
    assert [network["fold"] for network in found["networks"]] == list(FOLDS)
    assert call("train", "iris.yaml", "--from", "group", "--run-dir", "x").err.startswith(
        "error: group holds the runs of 4 folds; name one of them, e.g. group/fold-0"
    )


def test_the_page_of_the_group(call: Call, group: None) -> None:
    assert call("report", "group").out == "group/report.html\n"
    page = Path("group/report.html").read_text()
    summary = json.loads(Path("group/summary.json").read_text())["kept"]
    accuracy = summary["test_accuracy"]
    row = [f"{100 * accuracy[name]:.2f} %" for name in ("mean", "std", "standard_error", "min", "max")]
    cells = re.sub(r"\s*<[^>]*>\s*", "|", page)
    assert f"Test accuracy||{'||'.join(row)}|" in cells
    for fold in FOLDS:
        kept = json.loads(Path(f"group/fold-{fold}/result.json").read_text())["kept"]
        assert f"{fold}||completed||epoch {kept['epoch']}||" in cells
        assert f"{100 * kept['test_accuracy']:.2f} %" in cells
    assert "Mean, in a band from the lowest to the highest" in page
    Path("group/fold-2/result.json").unlink()
    assert call("report", "group", "--out", "x.html").code == 0
    assert "Resume with <code>mlptrain train --resume group</code>" in Path("x.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("iris.yaml", "--folds", "4", "--seeds", "0,1"), "--folds conflicts with --seeds"),
        (("--resume", "group", "--folds", "4"), "--folds conflicts with --resume"),
        (("--resume", "group/fold-1"), "together with other folds; resume all of them: `mlptrain train --resume "),
        (("group",), "holds the runs of several folds"),
        (("group/fold-1/resolved.yaml", "--folds", "3"), "--folds conflicts with data.fold"),
        (("iris.yaml", "--folds", "1"), "--folds 1  data.fold.of: must be at least 2, got 1"),
        (("iris.yaml", "--folds", "151"), "--folds 151  data.fold: splits 150 training rows into 151 folds"),
        (("iris.yaml", "--folds", "1001"), "--folds 1001  data.fold.of: must be at most 1,000, got 1001"),
        (("iris.yaml", "--folds", "2", "--set", "data.validation=75"), "--folds 2  data.validation: takes 75 of 75"),
    ],
)
def test_mistakes(call: Call, group: None, arguments: tuple[str, ...], message: str) -> None:
    result = call("train", *arguments)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert not Path("runs").exists()


def test_a_group_with_a_run_that_is_not_its_own(call: Call, group: None) -> None:
    shutil.rmtree("group/fold-2")
    shutil.copytree("group/fold-1", "group/fold-2")
    refused = call("train", "--resume", "group", "--set", "training.epochs=11")
    assert (refused.code, "group/fold-2 is not the experiment of group/fold-0 with fold 2" in refused.err) == (2, True)


@pytest.mark.parametrize(
    "content", ["", "[", "{}", '{"folds": 1}', '{"folds": "4"}', '{"folds": 1e9}', '{"folds": 5000}']
)
def test_a_damaged_number_of_folds(call: Call, group: None, content: str) -> None:
    Path("group/folds.json").write_text(content)
    refused = call("train", "--resume", "group")
    assert refused.code == 2
    assert "group/folds.json is damaged" in refused.err


def test_from_python() -> None:
    with pytest.warns(match="no test rows"):
        outcome = mlptrain.train_folds(
            {"data": "iris", "model": {"hidden": [4]}, "optimizer": "adam"},
            folds=3,
            overrides={"training.epochs": 1},
            run_dir="group",
        )
    assert outcome.group.numbers == [0, 1, 2]
    assert outcome.summary.plain() == read("group/summary.json")
    with pytest.raises(UserError, match=r"conflicts with data\.fold"):
        mlptrain.train_folds("group/fold-0/resolved.yaml", folds=3)
    with pytest.raises(SpecError, match="--folds 1000"):
        mlptrain.train_folds(load_text(IRIS), folds=1000)
