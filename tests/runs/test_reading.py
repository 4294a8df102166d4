"""Figures in a run folder's files that no training gives are damage, whoever wrote them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlptrain.errors import RunFolderError
from mlptrain.runs.reading import read_lines, read_result

LINE = {"epoch": 0, "step": 0, "lr": 0.1, "validation_loss": 2.5, "validation_accuracy": 1.0}
RESULT = {
    "status": "completed", "epochs": 2, "steps": 8, "last": {"train_loss": 3.4e38}, "diagnosis": None, "test_looks": 1,
    "kept": {"checkpoint": "best.safetensors", "epoch": 2, "test_loss": 0.5, "test_accuracy": 0.0},
}  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value"),
    [("validation_accuracy", 1.5), ("validation_accuracy", -0.1), ("validation_loss", 1e308), ("lr", -((10**18) ** 3))],
)
def test_a_line_of_the_log(tmp_path: Path, key: str, value: float) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(json.dumps(LINE) + "\n")
    assert list(read_lines(path)) == [LINE]
    path.write_text(json.dumps(LINE | {key: value}) + "\n")
    with pytest.raises(RunFolderError, match=r"metrics\.jsonl:1 is not the line of epoch 0; the run folder is damaged"):
        list(read_lines(path))


@pytest.mark.parametrize(("key", "value"), [("test_accuracy", 999.0), ("test_accuracy", True), ("test_loss", -1e39)])
def test_a_figure_of_the_result(tmp_path: Path, key: str, value: float) -> None:
    path = tmp_path / "result.json"
    path.write_text(json.dumps(RESULT))
    assert read_result(path) == RESULT
    path.write_text(json.dumps(RESULT | {"kept": RESULT["kept"] | {key: value}}))  # type: ignore[operator]
    with pytest.raises(RunFolderError, match=r"holds no right kept of a result; the run folder is damaged"):
        read_result(path)
