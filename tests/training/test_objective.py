"""Training with weighted and smoothed losses, quantiles and several labels: what is recorded, repeated, and told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import entropy
from sklearn.datasets import make_multilabel_classification
from sklearn.metrics import accuracy_score, precision_recall_fscore_support
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional

import mlptrain
from mlptrain.checks.gradients import gradcheck
from mlptrain.errors import DataError, SpecError
from mlptrain.experiment import resume, train, train_seeds
from mlptrain.experiment.build import build_trainer, class_weights_of, load_data, load_data_of_seeds
from mlptrain.experiment.checkpoints import load_checkpoint
from mlptrain.inference.evaluate import evaluate_checkpoint, load_split
from mlptrain.inference.predict import predict_rows
from mlptrain.runs import RunFolder
from mlptrain.spec import load_spec
from mlptrain.views.networks import fitted_curve, residuals

IRIS: dict[str, Any] = {
    "data": {"name": "iris", "validation": 0.3},
    "model": {"hidden": [6]},
    "loss": {"name": "cross_entropy", "label_smoothing": 0.1, "class_weights": "balanced"},
    "optimizer": {"name": "adam", "lr": 0.02},
    "training": {"epochs": 3, "batch_size": 16},
}
CURVE: dict[str, Any] = {
    "data": {"name": "function", "noise": 0.3, "n_samples": 300, "test": 60},
    "model": {"hidden": [16]},
    "loss": {"name": "quantile", "quantiles": [0.2, 0.6, 0.9]},
    "optimizer": {"name": "adam", "lr": 0.02},
    "training": {"epochs": 8, "batch_size": 32},
}
LABELS: dict[str, Any] = {
    "data": {"name": "random_multilabel", "n_samples": 300, "n_classes": 4, "test": 0.3},
    "model": {"hidden": [16]},
    "loss": "multi_label_bce",
    "optimizer": {"name": "adam", "lr": 0.02},
    "training": {"epochs": 8, "batch_size": 32},
}


def fitted(experiment: Any) -> list[float]:
    """By scikit-learn, of the training rows alone."""
    labels = load_data(experiment).train.targets.numpy()
    found: list[float] = compute_class_weight("balanced", classes=np.unique(labels), y=labels).tolist()
    return found


def test_balanced_weights_are_those_of_the_training_rows_and_are_on_record(tmp_path: Path) -> None:
    outcome = train(IRIS, run_dir=tmp_path / "run")
    experiment = load_spec(IRIS).experiment
    expected = fitted(experiment)
    assert len(set(expected)) == 3
    folder = outcome.folder
    assert folder.read_environment().class_weights == pytest.approx(
        dict(zip(experiment.facts.class_names, expected, strict=True)), rel=1e-12
    )
    for file in (folder.best, folder.last):
        assert load_checkpoint(file).class_weights == pytest.approx(expected, rel=1e-12)
    # The objective is what torch makes of the kept network's outputs, with these weights; the loss is plain.
    network = mlptrain.load(folder.path)
    assert outcome.result.status == "completed"
    kept = outcome.result.kept.metrics
    for split in ("train", "validation", "test"):
        _, rows = load_split(network.checkpoint, split)
        outputs = network(rows.inputs).detach().double()
        weight = torch.tensor(expected, dtype=torch.float64)
        objective = functional.cross_entropy(outputs, rows.targets, weight=weight, label_smoothing=0.1)
        assert kept[f"{split}_objective"] == pytest.approx(float(objective), rel=1e-6)
        assert kept[f"{split}_loss"] == pytest.approx(float(functional.cross_entropy(outputs, rows.targets)), rel=1e-6)
        report = evaluate_checkpoint(folder.path, split=split)
        assert (report["objective"], report["loss"]) == pytest.approx((float(objective), kept[f"{split}_loss"]), 1e-6)
    assert gradcheck(folder.path).passed
    assert gradcheck(IRIS).passed
    lines = folder.read_metrics()
    assert "train_objective" not in lines[0]
    assert all({"train_objective", "validation_objective"} <= line.keys() for line in lines[1:])
    assert min(lines, key=lambda line: line["validation_loss"])["epoch"] == load_checkpoint(folder.best).epoch


def test_a_plain_loss_has_no_objective_beside_it(tmp_path: Path) -> None:
    outcome = train(IRIS, overrides=["loss=cross_entropy"], run_dir=tmp_path / "run")
    assert "objective" not in outcome.folder.metrics.read_text() + outcome.folder.result.read_text()
    assert "objective" not in evaluate_checkpoint(outcome.folder.path)
    assert outcome.folder.read_environment().class_weights is None


def test_running_objective_is_that_of_the_batches(tmp_path: Path) -> None:
    """One epoch of one batch: the weighted, smoothed mean of the first outputs."""
    changes = ["training.batch_size=full", "training.epochs=1"]
    outcome = train(IRIS, overrides=changes, run_dir=tmp_path / "run")
    experiment = load_spec(IRIS, changes).experiment
    trainer = build_trainer([experiment], [load_data(experiment)])
    rows = trainer.models[0].examples
    outputs = trainer.network.forward(trainer.models[0].initial, rows.inputs).double()
    weight = torch.tensor(fitted(experiment), dtype=torch.float64)
    expected = functional.cross_entropy(outputs, rows.targets, weight=weight, label_smoothing=0.1)
    assert outcome.folder.read_metrics()[1]["train_objective"] == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize("config", [IRIS, CURVE, LABELS], ids=["weighted", "quantile", "labels"])
def test_resumed_and_among_others_as_alone(config: dict[str, Any], tmp_path: Path) -> None:
    alone = train(config, overrides=["seed=1"], run_dir=tmp_path / "alone").folder
    train(config, overrides=["seed=1", "training.epochs=2"], run_dir=tmp_path / "resumed")
    epochs = config["training"]["epochs"]
    resumed = resume(tmp_path / "resumed", epochs=epochs).folder
    assert resumed.metrics.read_bytes() == alone.metrics.read_bytes()
    for name, tensor in load_checkpoint(alone.last).state.parameters.items():
        assert torch.equal(load_checkpoint(resumed.last).state.parameters[name], tensor)
    group = train_seeds(config, [0, 1, 2], run_dir=tmp_path / "group").group
    member = RunFolder(group.member(1))
    assert load_checkpoint(member.last).class_weights == load_checkpoint(alone.last).class_weights
    for one, other in zip(member.read_metrics(), alone.read_metrics(), strict=True):
        assert one == pytest.approx(other, rel=1e-4)


def test_seeds_with_validation_rows_of_their_own_have_weights_of_their_own() -> None:
    experiments = [load_spec(IRIS, [f"seed={seed}"]).experiment for seed in range(4)]
    trainer = build_trainer(experiments, load_data_of_seeds(experiments))
    found = [trainer.model(index).loss.class_weights for index in range(4)]
    assert len(set(found)) > 1
    for experiment, [weights] in zip(experiments, found, strict=True):
        assert weights == pytest.approx(fitted(experiment), rel=1e-12)


@pytest.mark.filterwarnings("ignore:no training rows")
def test_a_class_without_training_rows_is_named(tmp_path: Path) -> None:
    few = ["data={name: random_classification, n_samples: 6, n_classes: 5}"]
    with pytest.raises(DataError, match="class '4' has none"):
        train(IRIS, overrides=few, run_dir=tmp_path / "run")
    with pytest.raises(DataError, match="class '4' has none"):
        gradcheck(IRIS, overrides=few)
    assert not (tmp_path / "run").exists()


def test_given_weights() -> None:
    by_name = load_spec(IRIS, ["loss.class_weights={virginica: 2, setosa: 0.5}"]).experiment
    train_rows = load_data(by_name).train
    assert class_weights_of(by_name, train_rows) == (0.5, 1.0, 2.0)
    in_order = load_spec(IRIS, ["loss.class_weights=[0, 0, 3]"]).experiment
    assert class_weights_of(in_order, train_rows) == (0.0, 0.0, 3.0)
    with pytest.raises(DataError, match="nothing would be trained"):
        class_weights_of(in_order, train_rows.head(1))  # of the first class


BROKEN = {
    "[1, 2]": "must have 3 items, one for each class, got 2",
    "[1, -2, 3]": r"class_weights\[1\]: must be at least 0, got -2",
    "[0, 0, 0]": "all 0",
    "{setosa: 0, versicolor: 0, virginica: 0}": "all 0",
    "{setosa: 1, virginca: 2}": "class_weights.virginca: there is no class 'virginca'; did you mean 'virginica'",
    "{cat: 1}": "no class 'cat'; the classes are setosa, versicolor, virginica",
    "balancd": "did you mean 'balanced'",
    "3": "must be none, balanced, a list of a number for each class or {CLASS: number}, got 3",
    "[1, a, 2]": r"class_weights\[1\]: must be a number, got the text 'a'",
}


@pytest.mark.parametrize("weights", BROKEN)
def test_weights_that_cannot_be(weights: str) -> None:
    with pytest.raises(SpecError, match=BROKEN[weights]):
        load_spec(IRIS, [f"loss.class_weights={weights}"])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["loss.label_smoothing=1"], "must be below 1"),
        (["loss={name: mse, label_smoothing: 0.1}"], "belongs to loss cross_entropy or loss bce"),
        (["loss=quantile"], "needs numbers, but data 'iris' has classes"),
        (["loss=multi_label_bce"], "needs several labels of a row, but data 'iris' has classes"),
        (["data=random_multilabel"], "a row of data 'random_multilabel' may have several labels.* use multi_label_bce"),
        (["data=random_regression", "loss=multi_label_bce"], "are numbers; use mse, mae, huber or quantile"),
        (["data=random_regression", "loss={name: quantile, quantiles: [0.5, 0.5]}"], "ascending order, each once"),
        (["data=random_regression", "loss={name: quantile, quantiles: [0.5, 1]}"], r"quantiles\[1\]: must be below 1"),
        (["data=random_regression", "loss={name: quantile, quantiles: 0.5}"], r"write \[0.5\]"),
        (
            ["data={name: random_multilabel, n_labels: 6}", "loss=multi_label_bce"],
            "n_labels: must be at most n_classes",
        ),
    ],
)
def test_losses_that_do_not_fit(overrides: list[str], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        load_spec(IRIS, overrides)


def test_smoothing_of_two_classes_is_warned_of() -> None:
    [warning] = load_spec(IRIS, ["data.classes=[0, 1]", "loss={name: bce, label_smoothing: 0.1}"]).warnings
    assert "makes the targets 0.05 and 0.95" in str(warning)
    assert not load_spec(IRIS).warnings


def test_quantiles_from_end_to_end(tmp_path: Path) -> None:
    folder = train(CURVE, overrides=["training.epochs=60"], run_dir=tmp_path / "run").folder
    report = evaluate_checkpoint(folder.path, split="train")
    network = mlptrain.load(folder.path)
    _, rows = load_split(network.checkpoint, "train")
    outputs = network(rows.inputs).detach()
    below = (rows.targets <= outputs).double().mean(dim=0).tolist()
    assert [row["below"] for row in report["per_quantile"]] == pytest.approx(below)
    assert below == pytest.approx([0.2, 0.6, 0.9], abs=0.1)  # which is what quantiles are
    assert report["crossing"] == float((outputs.diff(dim=1) < 0).any(dim=1).double().mean())
    [prediction] = predict_rows(network, [3])
    assert len(prediction.outputs) == 3
    assert prediction.label is None
    fit = fitted_curve(folder.path)
    assert fit.output_names == ("quantile 0.2", "quantile 0.6", "quantile 0.9")
    assert fit.outputs is not None
    assert fit.outputs.shape == (1001, 3)
    shown = residuals(folder.path, split="train")
    assert shown.what == "predicted quantile 0.6"  # the nearest to the median
    assert np.allclose(shown.predicted, outputs[:, 1:2])


def test_several_labels_from_end_to_end(tmp_path: Path) -> None:
    folder = train(LABELS, run_dir=tmp_path / "run").folder
    report, network = evaluate_checkpoint(folder.path), mlptrain.load(folder.path)
    _, rows = load_split(network.checkpoint, "test")
    outputs = network(rows.inputs).detach()
    found, true = (outputs > 0).numpy(), rows.targets.numpy() > 0
    assert report["accuracy"] == accuracy_score(true, found)
    assert report["wrong"] == round((1 - report["accuracy"]) * len(true))
    precision, recall, _, support = precision_recall_fscore_support(true, found, zero_division=np.nan)
    for index, row in enumerate(report["per_class"]):
        assert row["accuracy"] == accuracy_score(true[:, index], found[:, index])
        assert (row["precision"], row["recall"], row["examples"]) == (precision[index], recall[index], support[index])
    assert report["confusion"] is None
    assert report["loss"] == pytest.approx(
        float(functional.binary_cross_entropy_with_logits(outputs.double(), rows.targets.double())), rel=1e-6
    )
    for prediction in predict_rows(network, [0, 1, 2]):
        assert prediction.index is not None
        assert prediction.label == tuple(found[prediction.index].nonzero()[0].tolist())
        assert prediction.true == tuple(true[prediction.index].nonzero()[0].tolist())
        assert prediction.probabilities == pytest.approx(outputs[prediction.index].double().sigmoid().tolist())
        json.dumps(prediction.as_json())
    guess = folder.read_environment().constant_guess
    assert guess is not None
    _, trained = load_split(network.checkpoint, "train")
    shares = trained.targets.double().mean(dim=0).numpy()
    assert guess["loss"] == pytest.approx(entropy([shares, 1 - shares]).mean())
    counts = np.unique(trained.targets.numpy(), axis=0, return_counts=True)[1]
    assert guess["accuracy"] == counts.max() / len(trained)
    assert report["accuracy"] > 0.4 > guess["accuracy"]


def test_rows_of_several_labels_are_those_of_scikit_learn() -> None:
    source = load_spec(LABELS).experiment.data.source()
    raw = source.read(seed=3, folder=Path())
    assert [raw.x.dtype, raw.y.dtype] == [np.dtype(np.float32)] * 2
    assert raw.y.shape == (300, 4)
    assert set(np.unique(raw.y)) == {0, 1}
    again = source.read(seed=3, folder=Path())
    assert (again.x == raw.x).all()
    assert not (source.read(seed=4, folder=Path()).x == raw.x).all()
    found = [make_multilabel_classification(300, 20, n_classes=4, random_state=seed)[1].mean() for seed in range(5)]
    assert abs(raw.y.mean() - np.mean(found)) < 0.06
