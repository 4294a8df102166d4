"""``evaluation.calibrate: temperature``: fitted at the end, stored with the kept weights, used wherever they are."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import mlptrain
from mlptrain import views
from mlptrain.experiment import resume, train
from mlptrain.experiment.checkpoints import load_checkpoint
from mlptrain.inference.evaluate import load_split
from mlptrain.report.figures import draw_reliability
from mlptrain.spec import load_text
from tests.catalogue import calibration_error
from tests.command import Call
from tests.faults.tools.checkpoints import assert_refused_at_every_door, best_of, last_of, read, seal

CONFIG = """\
name: calibrated
data: {name: digits, train_size: 300, validation: 0.5}
model: {hidden: [32]}
optimizer: {name: adam, lr: 0.02}
training: {epochs: 8, device: cpu, threads: 1}
evaluation: {metrics: [log_loss, ece], calibrate: temperature, keep: last}
"""
BINARY = (
    "data={name: moons, noise: 0.4, validation: 0.4, test: 0.2}",
    "loss=bce",
    "training.epochs=60",
    "evaluation.keep=best",
)
FILES = ("metrics.jsonl", "result.json", "checkpoints/last.safetensors")


def calibrated(folder: Path, *overrides: str) -> dict[str, Any]:
    return train(load_text(CONFIG, overrides=list(overrides)), run_dir=folder).result.plain()


@pytest.fixture(scope="module", params=[(), BINARY], ids=["softmax", "sigmoid"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("calibrated") / "run"
    calibrated(folder, *request.param)
    return folder


def logits_and_labels(run: Path, split: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Two logits or more, by hand of a single one."""
    network = mlptrain.load(run)
    _, rows = load_split(network.checkpoint, split)
    with torch.no_grad():
        logits = network(rows.inputs).double()
    return torch.hstack([-logits / 2, logits / 2]) if logits.shape[1] == 1 else logits, rows.targets


def test_it_is_the_best_of_a_grid_on_the_validation_rows(run: Path) -> None:
    logits, labels = logits_and_labels(run, "validation")
    temperature = mlptrain.load(run).temperature
    grid = temperature * np.geomspace(0.5, 2, 201)
    losses = [float(torch.nn.functional.cross_entropy(logits / one, labels)) for one in grid]
    assert int(np.argmin(losses)) == 100
    assert abs(temperature - 1) > 0.05


def test_result_eval_and_figures_agree(run: Path, call: Call) -> None:
    result = json.loads((run / "result.json").read_text())
    found = result["calibration"]
    temperature = found["temperature"]
    assert load_checkpoint(run / "checkpoints" / result["kept"]["checkpoint"]).temperature == temperature
    for split in ("validation", "test"):
        logits, labels = logits_and_labels(run, split)
        for when, divisor in (("before", 1.0), ("after", temperature)):
            loss = float(torch.nn.functional.cross_entropy(logits / divisor, labels))
            error = calibration_error(labels.numpy(), (logits / divisor).softmax(dim=1).numpy())
            assert found[when][f"{split}_log_loss"] == pytest.approx(loss, rel=1e-6)
            assert found[when][f"{split}_ece"] == pytest.approx(error, rel=1e-5)
        report = call("eval", str(run), "--split", split, "--json").json
        assert report["temperature"] == temperature
        for key in ("log_loss", "ece"):
            assert report["metrics"][key] == pytest.approx(found["after"][f"{split}_{key}"], rel=1e-6)
            assert result["kept"][f"{split}_{key}"] == found["after"][f"{split}_{key}"]
        assert report["loss"] == pytest.approx(found["before"][f"{split}_log_loss"], rel=1e-5)
    assert found["after"]["validation_log_loss"] < found["before"]["validation_log_loss"]
    shown = call("eval", str(run), "--split", "test").out
    assert f"probabilities at temperature {temperature:.4g}" in shown


def test_the_error_has_the_bins_that_the_configuration_gives_it(tmp_path: Path) -> None:
    result = calibrated(tmp_path / "run", "evaluation.metrics=[{name: ece, bins: 4}]")
    for split in ("validation", "test"):
        assert result["calibration"]["after"][f"{split}_ece"] == pytest.approx(result["kept"][f"{split}_ece"])


def test_probabilities_are_scaled_and_logits_are_not(run: Path, call: Call) -> None:
    network = mlptrain.load(run)
    logits, _ = logits_and_labels(run, "test")
    _, rows = load_split(network.checkpoint, "test")
    expected = (logits / network.temperature).softmax(dim=1)
    predicted = call("predict", str(run), "--split", "test", "--index", "3", "--json").json[0]
    assert predicted["probabilities"] == pytest.approx(expected[3].tolist(), rel=1e-4)
    with torch.no_grad():
        assert predicted["outputs"] == pytest.approx(network(rows.inputs[3:4])[0].tolist(), rel=1e-5)
    stored = rows.stored()[:5]
    assert network.predict_proba(stored).numpy() == pytest.approx(expected[:5].numpy(), rel=1e-4)
    exported = mlptrain.export(run, epochs=0)
    assert float(exported["temperature"]) == network.temperature


def test_without_it_nothing_is_scaled(tmp_path: Path) -> None:
    result = calibrated(tmp_path / "run", "evaluation.calibrate=none")
    assert result["calibration"] is None
    assert mlptrain.load(tmp_path / "run").temperature == 1
    assert mlptrain.evaluate(tmp_path / "run")["temperature"] is None
    assert "temperature" not in mlptrain.export(tmp_path / "run", epochs=0)


@pytest.mark.parametrize("keep", ["best", "last"])
def test_killed_before_the_result_and_resumed_it_has_the_same_bytes(keep: str, tmp_path: Path) -> None:
    """Before the temperature was stored, and after; and where the run was stopped halfway."""
    whole = tmp_path / "whole"
    calibrated(whole, f"evaluation.keep={keep}")
    files = [*FILES, "checkpoints/best.safetensors"] if keep == "best" else list(FILES)
    for name, stored in (("after", True), ("before", False)):
        cut = tmp_path / name
        shutil.copytree(whole, cut)
        (cut / "result.json").unlink()
        kept = (best_of if keep == "best" else last_of)(cut)
        header, tensors = read(kept)
        assert header["temperature"] > 0
        if not stored:
            seal(kept, {**header, "temperature": None}, tensors)
        resume(cut)
        for file in files:
            assert (whole / file).read_bytes() == (cut / file).read_bytes(), (name, file)
    calibrated(tmp_path / "part", f"evaluation.keep={keep}", "training.epochs=3")
    resume(tmp_path / "part", epochs=8)
    for file in [file for file in files if file != "result.json"]:  # it has read the test set twice
        assert (whole / file).read_bytes() == (tmp_path / "part" / file).read_bytes(), file


def test_every_seed_has_its_own(tmp_path: Path) -> None:
    outcome = mlptrain.train_seeds(load_text(CONFIG), seeds=[0, 1, 2], run_dir=tmp_path / "group")
    found = [mlptrain.load(one.folder.path).temperature for one in outcome.outcomes]
    assert len(set(found)) == 3
    alone = calibrated(tmp_path / "alone", "seed=1")["calibration"]["temperature"]
    assert found[1] == pytest.approx(alone, rel=1e-3)
    assert outcome.summary.kept["test_ece"].max > outcome.summary.kept["test_ece"].min


def test_no_finite_temperature_is_said(tmp_path: Path, call: Call) -> None:
    """Two classes that a line separates: every validation row is right, and probabilities stay as they are."""
    (tmp_path / "c.yaml").write_text(CONFIG)
    separable = ("--set", "data={name: digits, classes: [0, 1], validation: 20}", "--set", "training.epochs=20")
    told = call("train", str(tmp_path / "c.yaml"), "--run-dir", str(tmp_path / "run"), *separable)
    assert "note: temperature is undefined: no finite temperature minimises the log-loss" in told.err
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert result["calibration"]["temperature"] is None
    assert result["calibration"]["after"] == {}
    assert mlptrain.load(tmp_path / "run").temperature == 1
    assert call("report", str(tmp_path / "run")).code == 0


@pytest.mark.parametrize("temperature", [0, -1.5, math.inf, "1", 1e39])
def test_a_forged_temperature_is_refused(temperature: object, tmp_path: Path) -> None:
    run = tmp_path / "run"
    calibrated(run, "evaluation.keep=best", "training.epochs=2")
    for path in (best_of(run), last_of(run)):
        header, tensors = read(path)
        seal(path, {**header, "temperature": temperature}, tensors)
    assert_refused_at_every_door(run)


def test_the_diagram_shows_both(run: Path, call: Call, tmp_path: Path) -> None:
    diagram = views.reliability(run, split="test")
    before, after = diagram.moments
    found = json.loads((run / "result.json").read_text())["calibration"]
    for moment, figures in ((before, found["before"]), (after, found["after"])):
        assert moment.ece == pytest.approx(figures["test_ece"], rel=1e-6)
        assert moment.log_loss == pytest.approx(figures["test_log_loss"], rel=1e-6)
        used = moment.counts > 0
        assert ((moment.low <= moment.accuracy) & (moment.accuracy <= moment.high))[used].all()
    assert before.counts.sum() == after.counts.sum() == len(load_split(mlptrain.load(run).checkpoint, "test")[1])
    figure = draw_reliability(diagram)
    heights = [bar.get_height() for bar in figure.axes[0].containers[0]]
    assert heights == pytest.approx(before.accuracy[before.counts > 0].tolist())
    assert f"ECE {100 * after.ece:.2f} %" in figure.axes[2].get_title("left")
    call("plot", "reliability", str(run), "--out", str(tmp_path / "r.png"))
    assert (tmp_path / "r.png").read_bytes()[:4] == b"\x89PNG"
    call("report", str(run), "--out", str(tmp_path / "page.html"))
    page = (tmp_path / "page.html").read_text()
    assert "Reliability diagram" in page
    assert "Before and after calibration" in page


def test_no_diagram_without_probabilities(tmp_path: Path, call: Call) -> None:
    plain = ("evaluation={metrics: [f1], calibrate: none}", "loss=mse", "training.epochs=1")
    calibrated(tmp_path / "run", *plain)
    assert "a network trained with 'mse' does not give" in call("plot", "reliability", str(tmp_path / "run")).message
    calibrated(tmp_path / "sine", "data={name: function}", "loss=mse", "evaluation={calibrate: none}")
    assert "a reliability diagram needs classes" in call("plot", "reliability", str(tmp_path / "sine")).message
