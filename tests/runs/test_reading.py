"""Figures in a run folder's files that no training gives are damage, whoever wrote them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlptrain.errors import RunFolderError
from mlptrain.runs import RunFolder, list_runs
from mlptrain.runs.log import read_lines
from mlptrain.system.jsonfiles import Record
from tests.runs.test_group import make_run

LINE = {"epoch": 0, "step": 0, "lr": 0.1, "validation_loss": 2.5, "validation_accuracy": 1.0}
KEPT = {"checkpoint": "best.safetensors", "epoch": 2, "test_loss": 0.5, "test_accuracy": 0.0}
RESULT = {
    "status": "completed", "epochs": 2, "steps": 8, "last": {"train_loss": 3.4e38}, "diagnosis": None,
    "test_evaluations": 1, "kept": KEPT,
}  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value"),
    [("validation_accuracy", True), ("validation_loss", 1e308), ("lr", -((10**18) ** 3))],
)
def test_a_line_of_the_log(tmp_path: Path, key: str, value: float) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(json.dumps(LINE) + "\n")
    assert list(read_lines(path)) == [LINE]
    path.write_text(json.dumps(LINE | {key: value}) + "\n")
    with pytest.raises(RunFolderError, match=r"metrics\.jsonl:1 is not the line of epoch 0; the run folder is damaged"):
        list(read_lines(path))


@pytest.mark.parametrize(("key", "value"), [("test_accuracy", True), ("test_loss", -1e39)])
def test_a_figure_of_the_result(tmp_path: Path, key: str, value: float) -> None:
    folder = RunFolder(tmp_path)
    folder.result.write_text(json.dumps(RESULT))
    result = folder.read_result()
    assert result is not None
    later: dict[str, object] = dict.fromkeys(("calibration", "stopped_early", "choice", "still_falling"))
    later["undefined"] = {}
    assert result.plain() == RESULT | later  # which earlier versions did not write
    folder.result.write_text(json.dumps(RESULT | {"kept": KEPT | {key: value}}))
    with pytest.raises(RunFolderError, match=r"result\.json is damaged: completed\.kept.* is not "):
        folder.read_result()


def test_running_means_of_an_earlier_version_are_no_figures_of_the_kept_weights(tmp_path: Path) -> None:
    """Its results called the last epoch's running means train_loss, also among the figures of the kept weights."""
    means = {"train_loss": 0.9, "train_accuracy": 0.7}
    run = make_run(tmp_path / "run")
    run.metrics.write_text(run.metrics.read_text().replace(', "validation_loss": 2.5', ""))
    run.result.write_text(json.dumps(RESULT | {"kept": KEPT | means, "last": means | {"validation_loss": 0.3}}))
    result = run.read_result()
    assert result is not None
    assert result.plain()["kept"] == KEPT
    alone = {"checkpoint": "last.safetensors", "epoch": 2} | means
    run.result.write_text(json.dumps(RESULT | {"kept": alone, "last": means}))
    [listed] = list_runs(tmp_path)
    assert (listed.metric, listed.value) == ("running_train_loss", 2.5)  # of the log's last line
    own = {"running_train_loss": 0.9, "running_train_accuracy": 0.7}
    run.result.write_text(json.dumps(RESULT | {"kept": alone | {"train_loss": 0.3}, "last": own}))
    [listed] = list_runs(tmp_path)
    assert (listed.metric, listed.value) == ("train_accuracy", 0.7)


def test_the_layout_of_an_earlier_version(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    facts = run.facts.read_bytes()
    run.facts.unlink()  # which those versions did not write
    with pytest.raises(RunFolderError, match=r"run was written by an earlier version of mlptrain .*; train it again$"):
        RunFolder.open(run.path)
    assert [summary.status for summary in list_runs(tmp_path)] == ["outdated"]
    run.facts.write_bytes(facts[:-5])  # damaged, which is another thing
    assert [summary.status for summary in list_runs(tmp_path)] == ["damaged"]
    run.facts.write_bytes(facts)
    assert [summary.status for summary in list_runs(tmp_path)] == ["interrupted"]


class Outer(Record):
    inner: Inner


class Inner(Record):
    value: int


def test_a_record_reads_no_variable_of_whoever_makes_the_first_one() -> None:
    """Such as a type's name here, or, under CPython 3.13.0, memory that is none of its variables."""
    Inner, made = int, globals()["Inner"]  # noqa: N806, F841
    assert Outer(inner=made(value=1)).plain() == {"inner": {"value": 1}}
