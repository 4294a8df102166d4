"""``evaluation.metrics`` on real runs: every figure against scikit-learn's, from the outputs of the loaded network."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import mlptrain
from mlptrain.experiment import resume, train
from mlptrain.inference.evaluate import load_split
from mlptrain.inference.module import TrainedNetwork
from mlptrain.report.page import render_page
from mlptrain.runs.listing import list_runs, sort_runs
from mlptrain.spec import load_text
from tests.catalogue import METRICS, yaml
from tests.command import Call

VALUES = ("rmse", "mae", "r2", "mape")
TASKS = {
    "ten classes": (
        "{name: digits, train_size: 700, validation: 0.3}",
        "cross_entropy",
        [name for name in METRICS if name not in VALUES],
    ),
    "three classes": ("{name: iris, validation: 0.3}", "cross_entropy", [m for m in METRICS if m not in VALUES]),
    "two classes, one logit": (
        "{name: digits, classes: [3, 8]}",
        "bce",
        [name for name in METRICS if name not in (*VALUES, "top_k")],
    ),
    "two classes, two logits": (
        "{name: moons, noise: 0.4}",
        "cross_entropy",
        [name for name in METRICS if name not in (*VALUES, "top_k")],
    ),
    "classes without probabilities": ("{name: iris, validation: 0.3}", "mse", ["accuracy", "f1", "mcc", "top_k"]),
    "one target": ("{name: function}", "huber", list(VALUES)),
    "three targets": ("{name: random_regression, n_targets: 3}", "mse", list(VALUES)),
}
CONFIG = """\
name: metrics
data: {data}
model: {{hidden: [16]}}
loss: {loss}
optimizer: {{name: adam, lr: 0.02}}
training: {{epochs: 10, device: cpu, threads: 1}}
evaluation: {{metrics: [{metrics}]}}
"""


def config(data: str, loss: str, names: list[str]) -> str:
    listed = ", ".join(yaml(name, METRICS[name].settings) for name in names)
    return CONFIG.format(data=data, loss=loss, metrics=listed)


def expected(network: TrainedNetwork, split: str) -> dict[str, float]:
    """Every metric that the configuration lists, from the outputs on a split."""
    _, rows = load_split(network.checkpoint, split)
    with torch.no_grad():
        outputs = network(rows.inputs).double()
    if network.gives_probabilities:
        outputs = torch.hstack([-outputs, outputs]) / 2 if outputs.shape[1] == 1 else outputs
        outputs = outputs.softmax(dim=1)
    y, scores = rows.targets.double().numpy() if not network.class_names else rows.targets.numpy(), outputs.numpy()
    return {metric.key: METRICS[metric.name].reference(y, scores) for metric in network.experiment.evaluation.metrics}


@pytest.mark.parametrize(("data", "loss", "names"), TASKS.values(), ids=TASKS)
def test_every_metric_equals_its_reference(data: str, loss: str, names: list[str], tmp_path: Path) -> None:
    outcome = mlptrain.train(load_text(config(data, loss, names)), run_dir=tmp_path / "run")
    result = outcome.result.plain()
    network = mlptrain.load(tmp_path / "run")
    assert result["undefined"] == {}
    kept = result["kept"]
    for split in network.experiment.facts.rows:
        wanted = expected(network, split)
        found = {key: kept[f"{split}_{key}"] for key in wanted}
        assert found == pytest.approx(wanted, rel=1e-6, abs=1e-9), split
        report = mlptrain.evaluate(tmp_path / "run", split=split)
        assert report["metrics"] == pytest.approx({key: value for key, value in wanted.items() if key != "accuracy"})
    line = [json.loads(text) for text in (tmp_path / "run/metrics.jsonl").read_text().splitlines()][kept["epoch"]]
    measured = {key: value for key, value in line.items() if key.startswith("validation_")}
    assert measured == {key: kept[key] for key in measured}
    assert {f"validation_{key}" for key in expected(network, "validation")} <= measured.keys()


def test_without_them_a_run_is_what_it_was(tmp_path: Path) -> None:
    """The further figures touch no other one, and no weight."""
    plain = CONFIG.format(data="digits", loss="cross_entropy", metrics="")
    some = CONFIG.format(data="digits", loss="cross_entropy", metrics="roc_auc, f1")
    for name, text in (("plain", plain), ("some", some)):
        mlptrain.train(load_text(text), run_dir=tmp_path / name)
    lines = [(tmp_path / name / "metrics.jsonl").read_text().splitlines() for name in ("plain", "some")]
    further = ("validation_roc_auc", "validation_f1")
    for one, other in zip(*(map(json.loads, file) for file in lines), strict=True):
        assert set(further) <= other.keys()
        assert one == {key: value for key, value in other.items() if key not in further}
    tensors = [mlptrain.load(tmp_path / name).state_dict() for name in ("plain", "some")]
    assert all(bool((tensors[0][name] == tensors[1][name]).all()) for name in tensors[0])


SMALL = CONFIG.format(
    data="{name: digits, train_size: 100, test_size: 40, validation: 8}",
    loss="cross_entropy",
    metrics="roc_auc, recall, precision, f1, balanced_accuracy, mcc",
)


def test_a_choice_by_what_has_no_value_is_said(tmp_path: Path, call: Call) -> None:
    text = """\
data: {name: digits, train_size: 60, validation: 5}
model: {hidden: [16]}
optimizer: {name: adam, lr: 0.02}
training: {epochs: 4, device: cpu, threads: 1, early_stopping: {patience: 2, metric: validation_roc_auc}}
evaluation: {metrics: [roc_auc], keep: best, metric: validation_roc_auc}
"""
    (tmp_path / "config.yaml").write_text(text)
    told = call("train", str(tmp_path / "config.yaml"), "--run-dir", str(tmp_path / "run"))
    reason = "validation_roc_auc has no value in any epoch, so that the last one is kept"
    assert reason in " ".join(told.err.split())
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["undefined"]["choice"] == reason
    assert result["choice"] is None
    assert result["kept"]["epoch"] == result["epochs"] == 2
    message = "no better validation_roc_auc for 2 epochs, which has no value in any of them"
    assert message in result["stopped_early"]["message"]
    assert message in " ".join(told.out.split())
    page = " ".join(render_page(tmp_path / "run").split())
    assert "after epoch 2 (the last)" in page
    assert reason in page


def test_page_names_the_metric_that_chose_and_has_a_line_for_each_label(tmp_path: Path, call: Call) -> None:
    text = config("{name: digits, train_size: 300, validation: 0.5}", "cross_entropy", ["roc_auc"])
    choice = ("evaluation.metric=validation_roc_auc", "evaluation.calibrate=temperature")
    train(load_text(text, overrides=list(choice)), run_dir=tmp_path / "chosen")
    page = " ".join(render_page(tmp_path / "chosen").split())
    assert "(highest validation ROC-AUC)" in page
    assert "it was measured before calibration" in page
    labels = config("{name: random_multilabel, validation: 0.3}", "multi_label_bce", ["accuracy"])
    train(load_text(labels), run_dir=tmp_path / "labels")
    call("report", str(tmp_path / "labels"))
    page = re.sub(r"<[^>]+>", " ", (tmp_path / "labels" / "report.html").read_text())
    assert "label accuracy precision recall examples" in " ".join(page.split())


def test_fractions_are_not_called_per_cent(tmp_path: Path, call: Call) -> None:
    (tmp_path / "config.yaml").write_text(config("{name: function}", "huber", ["mape"]))
    call("train", str(tmp_path / "config.yaml"), "--run-dir", str(tmp_path / "run"))
    told = call("eval", str(tmp_path / "run"), "--split", "train").out
    assert "(fraction of the target, mean)" in told
    assert "%" not in told


def test_what_is_undefined_is_absent_and_explained(tmp_path: Path, call: Call) -> None:
    """Eight validation rows cannot have ten classes; the figures that do not need them are there."""
    run = tmp_path / "run"
    outcome = mlptrain.train(load_text(SMALL), run_dir=run)
    result = outcome.result.plain()
    reason = result["undefined"]["validation_roc_auc"]
    assert reason.startswith("there are no rows of classes '")
    assert "validation_roc_auc" not in result["kept"]
    assert "validation_mcc" in result["kept"]
    assert "nan" not in (run / "metrics.jsonl").read_text().lower()
    assert f"roc_auc is undefined: {reason}" in call("eval", str(run), "--split", "validation").out
    report = call("eval", str(run), "--split", "validation", "--json").json
    assert report["metrics"]["roc_auc"] is None
    assert report["undefined"]["roc_auc"] == reason
    columns = mlptrain.metrics(run)
    assert "validation_roc_auc" not in columns
    assert "validation_balanced_accuracy" in columns
    assert "validation_balanced_accuracy" in mlptrain.metrics(run, reduction="sum")  # no mean over the examples
    (tmp_path / "small.yaml").write_text(SMALL)
    group = call("train", str(tmp_path / "small.yaml"), "--seeds", "0,1", "--run-dir", str(tmp_path / "group"))
    assert "note: seed 0: validation_roc_auc is undefined: there are no rows of classes '" in group.err
    summary = json.loads((tmp_path / "group/summary.json").read_text())
    assert "validation_roc_auc" not in summary["kept"]
    assert summary["kept"]["validation_mcc"]["mean"] == pytest.approx(
        np.mean(
            [json.loads(file.read_text())["kept"]["validation_mcc"] for file in tmp_path.glob("group/*/result.json")]
        )
    )


@pytest.mark.parametrize("loss", ["mse", "mae"])
def test_a_constant_target_and_zeros(loss: str, tmp_path: Path) -> None:
    text = CONFIG.format(data="{name: function, function: step}", loss=loss, metrics="r2, mape, rmse")
    result = mlptrain.train(load_text(text), run_dir=tmp_path / "run").result.plain()
    assert "0" in result["undefined"]["train_mape"]
    assert result["kept"]["train_rmse"] > 0


def test_runs_are_listed_and_sorted_by_them(tmp_path: Path) -> None:
    for name, rate in (("slow", 1e-5), ("quick", 2e-2)):
        text = CONFIG.format(data="digits", loss="cross_entropy", metrics="roc_auc, log_loss")
        mlptrain.train(load_text(text, overrides=[f"optimizer.lr={rate}"]), run_dir=tmp_path / name)
    runs = list_runs(tmp_path)
    for key in ("test_roc_auc", "test_log_loss"):
        assert [run.path.name for run in sort_runs(runs, key)] == ["quick", "slow"], key


def test_resumed_it_has_the_same_bytes(tmp_path: Path) -> None:
    text = CONFIG.format(data="digits", loss="cross_entropy", metrics="f1, ece")
    mlptrain.train(load_text(text), run_dir=tmp_path / "whole")
    mlptrain.train(load_text(text, overrides=["training.epochs=1"]), run_dir=tmp_path / "part")
    resume(tmp_path / "part", epochs=10)
    for file in ("metrics.jsonl", "checkpoints/best.safetensors", "checkpoints/last.safetensors"):
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "part" / file).read_bytes(), file


def test_of_seeds_those_that_all_have(tmp_path: Path) -> None:
    """Seed 3 draws no validation row of the third class, and its group has no figure of all classes."""
    text = CONFIG.format(data="{name: iris, validation: 6}", loss="cross_entropy", metrics="roc_auc, mcc")
    outcome = mlptrain.train_seeds(load_text(text), seeds=[0, 3], run_dir=tmp_path / "group")
    first, second = (one.result.plain() for one in outcome.outcomes)
    assert "validation_roc_auc" in first["kept"]
    assert second["undefined"] == {"validation_roc_auc": "there are no rows of class 'virginica'"}
    assert "validation_roc_auc" not in outcome.summary.kept
    assert {"train_roc_auc", "validation_mcc"} <= outcome.summary.kept.keys()


def test_the_best_epoch_and_the_end_may_go_by_them(tmp_path: Path) -> None:
    """Whichever way each gets better; an epoch in which the figure is undefined is not the best."""
    for key, best in (("roc_auc", max), ("ece", min)):
        text = CONFIG.format(data="digits", loss="cross_entropy", metrics="roc_auc, ece")
        run = tmp_path / key
        changes = [f"evaluation.metric=validation_{key}", "training.epochs=12"]
        changes += [f"training.early_stopping={{patience: 3, metric: validation_{key}}}"]
        result = mlptrain.train(load_text(text, overrides=changes), run_dir=run).result.plain()
        values = [json.loads(line)[f"validation_{key}"] for line in (run / "metrics.jsonl").read_text().splitlines()]
        assert result["kept"]["epoch"] == values.index(best(values))
        assert result["kept"][f"validation_{key}"] == best(values)


def test_a_figure_that_is_never_defined_chooses_nothing(tmp_path: Path, call: Call) -> None:
    text = load_text(SMALL, overrides=["evaluation.metric=validation_roc_auc"])
    result = mlptrain.train(text, run_dir=tmp_path / "run").result.plain()
    assert (result["kept"]["checkpoint"], result["kept"]["epoch"]) == ("last.safetensors", 10)
    assert "validation_roc_auc" in result["undefined"]
    assert mlptrain.load(tmp_path / "run").epoch == 10
    assert call("eval", str(tmp_path / "run")).code == 0


@pytest.mark.parametrize("loss", ["mse", "mae", "huber", "quantile"])
def test_a_regression_ends_with_rmse_and_r2(loss: str, tmp_path: Path) -> None:
    """In the target's own unit, of the kept weights alone, and not of predicted quantiles."""
    text = config("{name: diabetes}", loss, [])
    outcome = mlptrain.train(load_text(text), run_dir=tmp_path / "run")
    kept, report = outcome.result.plain()["kept"], mlptrain.evaluate(tmp_path / "run", split="test")
    if loss == "quantile":
        assert not report["metrics"]
        assert not any("rmse" in key for key in kept)
        return
    network = mlptrain.load(tmp_path / "run")
    _, rows = load_split(network.checkpoint, "test")
    with torch.no_grad():
        found = network(rows.inputs).double().numpy()
    wanted = {key: METRICS[key].reference(rows.targets.double().numpy(), found) for key in ("rmse", "r2")}
    assert report["metrics"] == pytest.approx(wanted)
    assert {key: kept[f"test_{key}"] for key in wanted} == pytest.approx(wanted)
    assert {f"{split}_{key}" for split in ("train", "validation") for key in wanted} <= kept.keys()
    assert "rmse" not in (tmp_path / "run/metrics.jsonl").read_text()
    evaluation = report | {"split": "test"}
    assert "Test root mean squared error" in render_page(tmp_path / "run", evaluation=evaluation)
