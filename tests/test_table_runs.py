"""Runs on tables: sample weights from the file to the figures, what no split may leak, and files that were changed."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from sklearn import metrics
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor

import mlptrain
from mlptrain.checks.gradients import gradcheck
from mlptrain.errors import DataError, SpecError
from mlptrain.experiment import Outcome, resume, train, train_seeds
from mlptrain.experiment.build import build_trainer, load_data
from mlptrain.experiment.checkpoints import load_checkpoint
from mlptrain.inference.evaluate import evaluate_checkpoint, load_split
from mlptrain.runs import RunFolder
from mlptrain.spec import load_spec

Row = dict[str, Any]
PARTS = ("train", "train", "train", "validation", "test")
ALL_OF_CLASSES: list[Any] = [
    "balanced_accuracy",
    "f1",
    "precision",
    "recall",
    "roc_auc",
    "average_precision",
    "log_loss",
    "brier",
]
ALL_OF_CLASSES += ["ece", "mcc", {"name": "top_k", "k": 2}]


def rows_of(n: int = 240) -> list[Row]:
    """Two numbers, of which one is missing at times, two categories, a date, weights, words of a split, and targets."""
    generator = np.random.default_rng(11)
    rows = []
    for index in range(n):
        x, z = generator.normal(size=2)
        colour = generator.choice(["red", "green", "blue", "grey"], p=[0.5, 0.3, 0.15, 0.05])
        rows.append(
            {
                "x": f"{x:.4f}",
                "z": "" if index % 7 == 0 else f"{10 * z:.3f}",
                "colour": "" if index % 11 == 0 else colour,
                "shape": generator.choice(["round", "flat"]),
                "when": f"2023-{1 + index % 12:02}-{1 + index % 28:02}",
                "w": f"{generator.choice([0, 0.25, 1, 2.5])}",
                "part": PARTS[index % 5],
                "kind": ("ant", "bee", "cat")[int(np.digitize(x + 0.2 * z + (colour == "red"), [0, 1]))],
                "size": f"{3 + 2 * x - z + generator.normal() / 4:.4f}",
            }
        )
    return rows


def write(path: Path, rows: Sequence[Row]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def config(path: Path, *, target: str = "kind", drop: Sequence[str] = (), **sections: Any) -> dict[str, Any]:
    other = "size" if target == "kind" else "kind"
    data = {"name": "table", "path": str(path), "target": target, "columns": dict.fromkeys([other, *drop], "drop")}
    return {
        "data": data | sections.pop("data", {}),
        "model": {"hidden": [6]},
        "loss": "cross_entropy" if target == "kind" else "mse",
        "optimizer": {"name": "adam", "lr": 0.02},
        "training": {"epochs": 3, "batch_size": 32, "device": "cpu", "precision": "highest"},
        **sections,
    }


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return write(tmp_path / "t.csv", rows_of())


def weights_of(outcome: Outcome) -> Tensor:
    """All parameters after the last epoch."""
    return torch.cat([tensor.flatten() for tensor in load_checkpoint(outcome.folder.last).state.parameters.values()])


WEIGHED: dict[str, Any] = {"weight": "w", "split": {"by": "column", "column": "part"}}


def reference(key: str) -> Callable[[Any, Any, Any], float]:
    """By scikit-learn, of labels, probabilities and weights."""

    def of(y: Any, p: Any, w: Any) -> float:
        found, known = p.argmax(axis=1), np.arange(3)
        every = y[:, None] == known
        macro = {"average": "macro", "labels": known}
        match key:
            case "accuracy":
                return float(metrics.accuracy_score(y, found, sample_weight=w))
            case "balanced_accuracy":
                return float(metrics.balanced_accuracy_score(y, found, sample_weight=w))
            case "f1" | "precision" | "recall":
                return float(getattr(metrics, f"{key}_score")(y, found, sample_weight=w, **macro))
            case "roc_auc" | "average_precision":
                return float(getattr(metrics, f"{key}_score")(every, p, sample_weight=w))
            case "log_loss" | "objective":
                return float(metrics.log_loss(y, p, sample_weight=w))
            case "brier":
                return float(np.average(((p - every) ** 2).sum(axis=1), weights=w))
            case "mcc":
                return float(metrics.matthews_corrcoef(y, found, sample_weight=w))
            case "top_2":
                return float(metrics.top_k_accuracy_score(y, p, k=2, sample_weight=w))
            case "ece":
                confidence, hit, total = p.max(axis=1), found == y, np.zeros(15)
                bins = np.ceil(confidence * 15).astype(int) - 1
                for number in range(15):
                    inside = bins == number
                    total[number] = abs((w * (hit - confidence))[inside].sum())
                return float(total.sum() / w.sum())
        raise KeyError(key)

    return of


def test_figures_with_and_without_weights_are_scikit_learns(table: Path, tmp_path: Path) -> None:
    spec = config(table, data=WEIGHED, evaluation={"metrics": ALL_OF_CLASSES, "metric": "validation_weighted_f1"})
    outcome = train(spec, run_dir=tmp_path / "run")
    assert outcome.result.status == "completed"
    kept, network = outcome.result.kept.metrics, mlptrain.load(outcome.folder.path)
    keys = ["accuracy", *(key if isinstance(key, str) else "top_2" for key in ALL_OF_CLASSES)]
    for split in ("train", "validation", "test"):
        _, rows = load_split(network.checkpoint, split)
        p = torch.softmax(network(rows.inputs).detach().double(), dim=1).numpy()
        y, w = rows.targets.numpy(), rows.chosen_weights().double().numpy()
        assert set(w) == {0, 0.25, 1, 2.5}
        for key in keys:
            with_ones = reference(key)(y, p, np.ones(len(y)))
            assert kept[f"{split}_{key}"] == pytest.approx(with_ones, rel=1e-6), key
            by_weight = reference(key)(y, p, w)
            assert kept[f"{split}_weighted_{key}"] == pytest.approx(by_weight, rel=1e-6), key
            assert by_weight != pytest.approx(with_ones, rel=1e-6), key
        assert kept[f"{split}_objective"] == pytest.approx(reference("objective")(y, p, w), rel=1e-6)
        assert kept[f"{split}_loss"] == pytest.approx(reference("log_loss")(y, p, np.ones(len(y))), rel=1e-6)
    assert outcome.result.choice is not None
    assert outcome.result.choice.metric == "validation_weighted_f1"
    report = evaluate_checkpoint(outcome.folder.path, split="test")
    assert report["metrics"]["weighted_mcc"] == pytest.approx(kept["test_weighted_mcc"], rel=1e-6)
    assert report["objective"] == pytest.approx(kept["test_objective"], rel=1e-6)
    lines = outcome.folder.read_metrics()
    assert all("validation_weighted_accuracy" in line for line in lines)
    assert "train_objective" in lines[-1]


def test_a_later_file_is_measured_by_its_weights_where_it_has_some(table: Path, tmp_path: Path) -> None:
    outcome = train(config(table, data=WEIGHED, evaluation={"metrics": ["f1"]}), run_dir=tmp_path / "run")
    assert outcome.result.status == "completed"
    test = [row for row in rows_of() if row["part"] == "test"]
    own = evaluate_checkpoint(outcome.folder.path, split="test")
    given = evaluate_checkpoint(outcome.folder.path, data=write(tmp_path / "later.csv", test))
    for key in ("loss", "accuracy", "objective", "metrics"):
        assert given[key] == own[key]
    assert "weighted_f1" in given["metrics"]
    without = write(
        tmp_path / "without.csv", [{k: v for k, v in row.items() if k not in ("w", "part")} for row in test]
    )
    plain = evaluate_checkpoint(outcome.folder.path, data=without)
    assert plain["loss"] == own["loss"]
    assert list(plain["metrics"]) == ["f1"]
    assert "objective" not in plain


def test_figures_of_a_regression_by_weight(table: Path, tmp_path: Path) -> None:
    """In the target's own unit, though it is trained on scaled targets."""
    evaluation = {"metrics": ["rmse", "mae", "r2", "mape"], "metric": "validation_objective"}
    spec = config(table, target="size", data=WEIGHED, evaluation=evaluation)
    outcome = train(spec, run_dir=tmp_path / "run")
    assert outcome.result.status == "completed"
    kept, network = outcome.result.kept.metrics, mlptrain.load(outcome.folder.path)
    of = {
        "rmse": metrics.root_mean_squared_error,
        "mae": metrics.mean_absolute_error,
        "r2": metrics.r2_score,
        "mape": metrics.mean_absolute_percentage_error,
    }
    for split in ("train", "test"):
        _, rows = load_split(network.checkpoint, split)
        found, y, w = network(rows.inputs).detach().numpy(), rows.targets.numpy(), rows.chosen_weights().numpy()
        for key, function in of.items():
            assert kept[f"{split}_{key}"] == pytest.approx(function(y, found), rel=1e-5)
            assert kept[f"{split}_weighted_{key}"] == pytest.approx(function(y, found, sample_weight=w), rel=1e-5)
        squared = metrics.mean_squared_error(y, found, sample_weight=w)
        assert kept[f"{split}_objective"] == pytest.approx(squared, rel=1e-5)
    running = outcome.folder.read_metrics()[-1]
    assert 0.3 < running["train_objective"] / running["train_loss"] < 3, "both in the square of the target's unit"
    assert not any("accuracy" in key for key in kept)


def test_class_weights_and_temperature_count_rows_by_weight(table: Path, tmp_path: Path) -> None:
    """As often as their weight, of 0, 1/4, 1 or 5/2, times 4: by scikit-learn and SciPy, of rows that are repeated."""
    loss = {"name": "cross_entropy", "class_weights": "balanced"}
    spec = config(table, data=WEIGHED, loss=loss, evaluation={"calibrate": "temperature", "metrics": ["ece"]})
    outcome = train(spec, run_dir=tmp_path / "run")
    assert outcome.result.status == "completed"
    found, network = outcome.result.calibration, mlptrain.load(outcome.folder.path)
    assert found is not None
    assert found.temperature is not None

    def repeated(split: str) -> tuple[Tensor, Any]:
        _, rows = load_split(network.checkpoint, split)
        times = (4 * rows.chosen_weights()).long()
        logits = network(rows.inputs).detach().double()
        return logits.repeat_interleave(times, 0), rows.targets.repeat_interleave(times).numpy()

    _, y = repeated("train")
    expected = compute_class_weight("balanced", classes=np.arange(3), y=y)
    assert list(network.checkpoint.class_weights) == pytest.approx(expected.tolist(), rel=1e-12)

    logits, y = repeated("validation")
    lowest = minimize_scalar(
        lambda log: float(metrics.log_loss(y, torch.softmax(logits / np.exp(log), 1).numpy())),
        bounds=(-4, 4),
        method="bounded",
        options={"xatol": 1e-9},
    )
    assert found.temperature == pytest.approx(np.exp(lowest.x), rel=1e-5)
    for split in ("validation", "test"):
        logits, y = repeated(split)
        for figures, divisor in ((found.before, 1.0), (found.after, found.temperature)):
            p = torch.softmax(logits / divisor, 1).numpy()
            assert figures[f"{split}_weighted_log_loss"] == pytest.approx(metrics.log_loss(y, p), rel=1e-6)
            by_hand = reference("ece")(y, p, np.ones(len(y)))
            assert figures[f"{split}_weighted_ece"] == pytest.approx(by_hand, rel=1e-6)
        assert {f"{split}_log_loss", f"{split}_ece"} < found.after.keys()
    assert not any("accuracy" in key for key in found.after)


def test_balanced_weights_of_a_class_whose_rows_weigh_nothing(tmp_path: Path) -> None:
    rows = [row | {"w": 0 if row["kind"] == "bee" else 1} for row in rows_of(60)]
    loss = {"name": "cross_entropy", "class_weights": "balanced"}
    spec = config(write(tmp_path / "t.csv", rows), data=WEIGHED, loss=loss)
    with pytest.raises(DataError, match="class 'bee' has none with a weight above 0"):
        train(spec, run_dir=tmp_path / "run")


def test_rows_that_count_twice_are_rows_that_stand_there_twice(tmp_path: Path) -> None:
    """From the file to the weights of the network: the gradient of a step on all rows is the same."""
    rows = [row | {"w": index % 4} for index, row in enumerate(rows_of(60))]
    given = write(tmp_path / "weights.csv", rows)
    repeated = write(tmp_path / "repeated.csv", [row for row in rows for _ in range(row["w"])])
    trained = []
    for path, drop in ((given, []), (repeated, ["w"])):
        data = {"test": 0, "validation": 0, "numeric": {"scaling": "none", "missing": {"constant": 0.5}}}
        data |= {} if drop else {"weight": "w"}
        spec = config(path, drop=["part", "when", *drop], data=data)
        spec["optimizer"] = {"name": "sgd", "lr": 0.05, "momentum": 0.9}
        spec["training"] |= {"batch_size": "full", "epochs": 20}
        trained.append(weights_of(train(spec, run_dir=tmp_path / path.stem)))
    torch.testing.assert_close(*trained, rtol=2e-4, atol=2e-5)


def test_seeds_with_weights_and_splits_of_their_own_are_each_as_alone(table: Path, tmp_path: Path) -> None:
    spec = config(table, data={"weight": "w"}, loss={"name": "cross_entropy", "class_weights": "balanced"})
    spec["evaluation"] = {"metrics": ["f1"]}
    together = train_seeds(spec, [0, 1, 5], run_dir=tmp_path / "group")
    for seed, outcome in zip([0, 1, 5], together.outcomes, strict=True):
        alone = train(spec | {"seed": seed}, run_dir=tmp_path / f"{seed}")
        assert alone.result.status == outcome.result.status == "completed"
        assert alone.folder.read_environment().hashes == outcome.folder.read_environment().hashes
        torch.testing.assert_close(weights_of(alone), weights_of(outcome), rtol=1e-4, atol=1e-5)
        assert outcome.result.kept.metrics == pytest.approx(alone.result.kept.metrics, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("adversarial", [None, "vat", "fgsm"])
def test_the_gradient_check_passes_with_weights(table: Path, adversarial: str | None) -> None:
    spec = config(table, data=WEIGHED)
    if adversarial:
        spec["training"] |= {"adversarial": {"name": adversarial, "epsilon": 0.5}}
    report = gradcheck(spec)
    assert report.passed is True


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"augmentation": {"mixup": 0.2}, "data": WEIGHED}, r"augmentation.mixup: mixes examples, and those of data.w"),
        ({"evaluation": {"metric": "validation_weighted_f1"}}, r"evaluation.metric: needs sample weights, as data.we"),
        (
            {"evaluation": {"metric": "validation_weighted_f1"}, "data": WEIGHED},
            r"evaluation.metric: needs f1 in the list evaluation.metrics",
        ),
    ],
)
def test_what_weights_do_not_go_with(table: Path, sections: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        load_spec(config(table, **sections))


def test_a_split_without_any_weight_is_refused(tmp_path: Path) -> None:
    rows = [row | ({"w": 0} if row["part"] == "validation" else {}) for row in rows_of(100)]
    with pytest.raises(DataError, match="all 20 validation rows have the weight 0"):
        load_data(load_spec(config(write(tmp_path / "t.csv", rows), data=WEIGHED)).experiment)


CHANGES: list[Callable[[list[Row]], list[Row]]] = [
    lambda rows: rows[:-1],
    lambda rows: [rows[0] | {"x": "9"}, *rows[1:]],
    lambda rows: [*rows[:-1], rows[-1] | {"kind": "bee" if rows[-1]["kind"] == "cat" else "cat"}],
    lambda rows: [*rows[:-1], rows[-1] | {"w": "0.75"}],
    lambda rows: [row | {"colour": row["colour"].replace("red", "rouge")} for row in rows],
    lambda rows: [row | {"kind": row["kind"].replace("bee", "bumblebee")} for row in rows],
    lambda rows: [*rows[:-1], rows[-1] | {"colour": "orange"}],
    lambda rows: [row | {"shape": "round"} for row in rows],
    lambda rows: [row | {"part": "test" if row["part"] == "validation" else row["part"]} for row in rows],
    lambda rows: [{"extra": index, **row} for index, row in enumerate(rows)],
    lambda rows: [{key: value for key, value in row.items() if key != "z"} for row in rows],
    lambda rows: [*rows, rows[0]],
]


def test_a_changed_file_is_refused(table: Path, tmp_path: Path) -> None:
    """By ``eval`` and ``resume`` alike, whatever was changed; put back it is the same again."""
    outcome = train(config(table, data=WEIGHED, training={"epochs": 1}), run_dir=tmp_path / "run")
    assert outcome.result.status == "completed"
    message = r"other data than|no longer has the|lacks|there is no column"
    for change in CHANGES:
        write(table, change(rows_of()))
        with pytest.raises(DataError, match=message):
            evaluate_checkpoint(outcome.folder.path)
        with pytest.raises(DataError, match=message):
            resume(outcome.folder.path, epochs=2)
    assert RunFolder.open(outcome.folder.path).read_result() == outcome.result
    write(table, rows_of())
    loss = evaluate_checkpoint(outcome.folder.path)["loss"]
    assert loss == pytest.approx(outcome.result.kept.metrics["test_loss"], rel=1e-6)
    assert resume(outcome.folder.path, epochs=2).result.status == "completed"


NUMERIC: list[dict[str, Any]] = [
    {"scaling": scaling} for scaling in ("none", "standard", "minmax", "robust", "robust_clip", "quantile")
]
NUMERIC += [{"missing": missing} for missing in ("median", "mean", {"constant": 1.5})] + [{"indicator": False}]
CATEGORICAL: list[dict[str, Any]] = [{"encoding": "ordinal"}, {"min_frequency": 12}, {"max_levels": 2}]
TRANSFORMS: list[dict[str, Any]] = [
    *({"numeric": settings} for settings in NUMERIC),
    *({"categorical": settings} for settings in CATEGORICAL),
    *({"target": "size", "target_scaling": scaling} for scaling in ("none", "standard")),
]


def trained_bits(spec: dict[str, Any]) -> tuple[Tensor, str]:
    """All parameters after two epochs, and what was fitted."""
    experiment = load_spec(spec).experiment
    splits = load_data(experiment)
    trainer = build_trainer([experiment], [splits])
    for _ in trainer.epochs(first=1, last=2, should_stop=lambda: False):
        pass
    return trainer.parameters.flat.clone(), splits.preprocessing.model_dump_json()


@pytest.mark.parametrize("data", TRANSFORMS, ids=str)
def test_nothing_of_validation_and_test_rows_reaches_what_is_trained(tmp_path: Path, data: dict[str, Any]) -> None:
    """Other numbers, levels, missing values, dates, weights and targets there leave every trained bit as it was."""
    data, rows = dict(data), rows_of(120)
    spec = config(tmp_path / "t.csv", target=data.pop("target", "kind"), data=WEIGHED | data)
    own = [row for row in rows if row["part"] == "train"]
    held = [row for row in rows if row["part"] != "train"]
    changed = [
        row
        | {
            "x": f"{1e4 * (index - 20)}",
            "z": "-7e5" if row["z"] == "" else "",  # as many are missing as before
            "colour": "grey" if row["colour"] != "" else "",
            "shape": "flat",
            "when": f"1999-{1 + index % 12:02}-{1 + index % 28:02}",
            "w": "2.5",
            "kind": "ant",
            "size": "-250",
        }
        for index, row in enumerate(held)
    ]
    lacking = sum(row["z"] == "" for row in held)
    for index, row in enumerate(changed):
        row["z"] = "" if index < lacking else "-7e5"
    found = []
    for some in (held, changed):
        write(tmp_path / "t.csv", [*own, *some])
        found.append(trained_bits(spec))
    assert torch.equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]
    # In a file of their own even levels that training has never seen, and values missing where none was.
    strange = [row | {"x": "", "colour": f"new {index}", "shape": ""} for index, row in enumerate(changed)]
    spec["data"] |= {
        "split": "random",
        "test_path": str(tmp_path / "e.csv"),
        "validation_path": str(tmp_path / "e.csv"),
    }
    found = []
    write(tmp_path / "t.csv", own)
    for some in (held, strange):
        write(tmp_path / "e.csv", some)
        found.append(trained_bits(spec))
    assert torch.equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]
    # The test sees what it looks for: a training row does change what is trained.
    write(tmp_path / "t.csv", [row | {"x": "3.25"} if row is own[3] else row for row in own])
    assert float(own[3]["w"]) > 0
    assert not torch.equal(trained_bits(spec)[0], found[0][0])
    assert re.fullmatch(r"\{.*\}", found[0][1])
