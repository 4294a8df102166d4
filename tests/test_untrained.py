"""`training.epochs: 0`: the untrained network has a run folder like any other, and training can follow."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import mlptrain
from mlptrain.inference.export.arrays import export
from tests import catalogue
from tests.command import Call

CONFIG = """\
name: raw
data: {name: digits, validation: 100}
model: {hidden: [12]}
optimizer: {name: adam, lr: 0.01}
training: {epochs: 0, batch_size: 100, device: cpu, precision: highest}
"""
SAME = ("resolved.yaml", "metrics.jsonl", "checkpoints/last.safetensors", "checkpoints/best.safetensors", "result.json")


@pytest.fixture(autouse=True)
def _configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("raw.yaml").write_text(CONFIG)


def read(path: str) -> Any:
    return json.loads(Path(path).read_text())


def lines(run: str) -> list[dict[str, float]]:
    return [json.loads(line) for line in Path(run, "metrics.jsonl").read_text().splitlines()]


def test_its_figures_are_those_of_a_forward_pass(call: Call) -> None:
    assert call("train", "raw.yaml", "--run-dir", "raw").code == 0
    [line] = lines("raw")
    arrays = export("raw", rows=True)
    hidden = np.maximum(arrays["validation.x"] @ arrays["layers.0.weight"].T + arrays["layers.0.bias"], 0)
    logits = torch.from_numpy(hidden @ arrays["layers.1.weight"].T + arrays["layers.1.bias"])
    labels = torch.from_numpy(arrays["validation.y"])
    loss = torch.nn.functional.cross_entropy(logits.double(), labels)
    assert line["validation_loss"] == pytest.approx(float(loss), rel=1e-6)
    assert line["validation_accuracy"] == float((logits.argmax(dim=1) == labels).double().mean())
    assert {key: line[key] for key in ("epoch", "step", "lr")} == {"epoch": 0, "step": 0, "lr": 0.01}
    result = read("raw/result.json")
    assert (result["status"], result["epochs"], result["steps"], result["diagnosis"]) == ("completed", 0, 0, None)
    assert result["kept"]["epoch"] == 0
    for name in arrays:
        if name.startswith("initial."):
            np.testing.assert_array_equal(arrays[name], arrays[name.removeprefix("initial.")])
            np.testing.assert_array_equal(arrays[name], arrays[name.replace("initial.", "last.")])


def test_every_command_takes_it(call: Call) -> None:
    assert call("train", "raw.yaml", "--run-dir", "raw").code == 0
    assert call("eval", "raw", "--json").json["loss"] == pytest.approx(math.log(10), abs=0.3)
    assert len(call("predict", "raw", "--index", "0", "--json").json) == 1
    assert mlptrain.load("raw").epoch == 0
    for kind in ("curves", "confusion", "mistakes", "weights"):
        assert call("plot", kind, "raw").code == 0, kind
    assert call("report", "raw").code == 0
    assert call("gradcheck", "raw.yaml").code == 0
    assert call("check", "raw.yaml").code == 0
    [run] = call("runs", ".", "--json").json
    assert (run["status"], run["epoch"]) == ("completed", 0)


def test_training_follows_as_if_it_had_been_meant(call: Call) -> None:
    assert call("train", "raw.yaml", "--run-dir", "raw").code == 0
    refused = call("train", "--resume", "raw")
    assert refused.code == 2
    assert "extend it with --set training.epochs=10" in refused.message
    assert call("train", "--resume", "raw", "--set", "training.epochs=2").code == 0
    assert call("train", "raw.yaml", "--set", "training.epochs=2", "--run-dir", "whole").code == 0
    for name in SAME:
        if name != "result.json":  # which counts the evaluation of the test set before the extension too
            assert Path("raw", name).read_bytes() == Path("whole", name).read_bytes(), name
    assert read("raw/result.json")["test_evaluations"] == 2


def test_several_seeds(call: Call) -> None:
    assert call("train", "raw.yaml", "--seeds", "0,3", "--run-dir", "group").code == 0
    assert call("train", "raw.yaml", "--set", "seed=3", "--run-dir", "raw").code == 0
    assert lines("group/seed-3")[0] == pytest.approx(lines("raw")[0], rel=1e-6)
    assert call("train", "--resume", "group", "--set", "training.epochs=1").code == 0
    assert [len(lines(f"group/seed-{seed}")) for seed in (0, 3)] == [2, 2]


@pytest.mark.parametrize(("name", "settings"), catalogue.cases(catalogue.SCHEDULES))
def test_a_schedule_over_no_epochs(name: str, settings: catalogue.Settings, call: Call) -> None:
    """It says what it would begin with, and its length is that of the epochs that follow."""
    schedule = f"schedule={catalogue.yaml(name, settings)}"
    assert call("train", "raw.yaml", "--set", schedule, "--run-dir", "raw").code == 0
    assert lines("raw")[0]["lr"] == 0.01
    assert call("train", "--resume", "raw", "--set", "training.epochs=3").code == 0
    assert call("train", "raw.yaml", "--set", schedule, "--set", "training.epochs=3", "--run-dir", "whole").code == 0
    assert Path("raw/metrics.jsonl").read_bytes() == Path("whole/metrics.jsonl").read_bytes()


def test_without_any_evaluation(call: Call) -> None:
    nothing = ("--set", "data.validation=0", "--set", "data.name=iris", "--set", "data.test=0")
    shown = call("train", "raw.yaml", *nothing, "--run-dir", "raw")
    assert shown.code == 0
    measured = call("eval", "raw", "--json").json
    assert measured["split"] == "train"
    assert f"train {measured['loss']:.4f} {measured['accuracy']:.4f}" in " ".join(shown.out.split())
    refused = call("plot", "curves", "raw")
    assert refused.code == 2
    assert "so there is nothing to draw; `mlptrain eval raw`" in refused.message
    assert call("report", "raw").code == 0


def test_there_is_nothing_to_compare(call: Call) -> None:
    refused = call("compare-optimizers", "raw.yaml", "--optimizers", "sgd,adam", "--lr", "0.1")
    assert refused.code == 2
    assert refused.message == "raw.yaml:5:20  training.epochs: must be at least 1, got 0"


def test_fewer_than_none_is_refused(call: Call) -> None:
    refused = call("check", "raw.yaml", "--set", "training.epochs=-1")
    assert (refused.code, "training.epochs: must be at least 0, got -1" in refused.err) == (2, True)
