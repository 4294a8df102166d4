"""The public names as a strictly typed project uses them: mypy checks their types here, and the test that they work.

``assert_type`` takes no Any for a type. It stands where one is meant: for the values of JSON and the kinds of numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, assert_type

import numpy as np
import polars as pl
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

import mlptrain
from mlptrain.comparison.folder import ComparisonFolder
from mlptrain.errors import DivergedError, Fault, SpecError, UserError
from mlptrain.experiment import GroupOutcome, Outcome
from mlptrain.inference.export.model import ExportedModel
from mlptrain.inference.module import TrainedNetwork
from mlptrain.runs import RunFolder, RunGroup
from mlptrain.runs.comparison import Summary
from mlptrain.runs.records import CompletedRun, Diagnosis, DivergedRun, Kept, StoppedEarly
from mlptrain.sklearn import MLPClassifier, MLPRegressor

IRIS: Mapping[str, object] = {
    "data": "iris",
    "model": {"hidden": [4]},
    "optimizer": {"name": "adam", "lr": 0.03},
    "training": {"epochs": 1, "device": "cpu", "threads": 1},
}


def a_run(folder: Path) -> Outcome:
    outcome = assert_type(mlptrain.train(IRIS, run_dir=folder), Outcome)
    assert_type(outcome.folder, RunFolder)
    assert_type(outcome.folder.path, Path)
    assert_type(outcome.history, pl.DataFrame)
    result = assert_type(outcome.result, CompletedRun | DivergedRun)
    assert result.status == "completed"
    assert_type(result, CompletedRun)
    assert_type(result.kept, Kept)
    assert_type(result.kept.metrics["test_accuracy"], float)
    assert_type(result.last, dict[str, float])
    assert_type(result.diagnosis, Diagnosis | None)
    assert_type(result.stopped_early, StoppedEarly | None)
    assert_type((result.epochs, result.steps, result.test_evaluations), tuple[int, int, int])
    return assert_type(mlptrain.resume(outcome, epochs=2), Outcome)


def groups(folder: Path) -> None:
    seeds = assert_type(mlptrain.train_seeds(IRIS, [0, 1], run_dir=folder / "seeds"), GroupOutcome)
    folds = assert_type(mlptrain.train_folds(IRIS, 2, run_dir=folder / "folds", on_note=print), GroupOutcome)
    assert_type(seeds.group, RunGroup)
    assert_type(seeds.outcomes, tuple[Outcome, ...])
    assert_type(seeds.history, pl.DataFrame)
    spread = folds.summary.kept["test_accuracy"]
    assert_type((spread.mean, spread.std), tuple[float, float | None])


def a_network(run: Outcome, folder: Path) -> None:
    network = assert_type(mlptrain.load(run), TrainedNetwork)
    inputs = assert_type(network.preprocess([[5.1, 3.5, 1.4, 0.2]]), Tensor)
    assert_type(network(inputs), Tensor)
    assert_type(network.predict_proba([[5.1, 3.5, 1.4, 0.2]]), Tensor)
    assert_type(network.class_names, tuple[str, ...])
    assert_type((network.epoch, network.temperature, network.gives_probabilities), tuple[int, float, bool])

    report = assert_type(mlptrain.evaluate(run, split="train"), dict[str, Any])
    columns = assert_type(mlptrain.metrics(run), dict[str, NDArray[Any]])
    arrays = assert_type(mlptrain.export(run, epochs=0), dict[str, NDArray[Any]])
    assert (report["examples"], len(columns["epoch"]), arrays["layers.0.weight"].shape) == (108, 3, (4, 4))
    with pytest.raises(UserError, match=r"ends in \.onnx or \.pt2"):  # the types without the seconds that a model takes
        of_a_model(mlptrain.export_model(run, folder / "model.h5"))


def of_a_model(model: ExportedModel) -> None:
    assert_type((model.output, model.shape, model.epoch), tuple[str, tuple[int, ...], int])


def a_comparison(folder: Path) -> None:
    plan: Mapping[str, object] = {
        "base": {key: value for key, value in IRIS.items() if key != "optimizer"},
        "optimizers": {"slow": {"name": "sgd", "lr": 0.01}, "fast": {"name": "sgd", "lr": 0.1}},
        "tuning": "none",
        "scoring": {"seeds": 2},
    }
    files, summary = assert_type(mlptrain.compare(plan, run_dir=folder), tuple[ComparisonFolder, Summary])
    assert_type(files.path, Path)
    assert_type(summary.ranking, list[str])
    assert_type(summary.optimizers["fast"].accuracy.mean, float)


def pictures(run: Outcome) -> None:
    assert_type(mlptrain.plot.curves(run, log=True, ylim=(0.1, 2)), Figure)
    assert_type(mlptrain.plot.confusion(run, split="test"), Figure)
    assert_type(mlptrain.plot.activation("relu", derivatives=2), Figure)


def estimators() -> None:
    rows, labels = [[float(n % 7), float(n % 3)] for n in range(40)], [n % 3 for n in range(40)]
    classifier = assert_type(MLPClassifier((4,), epochs=1, random_state=0).fit(rows, labels), MLPClassifier)
    assert_type(classifier.predict_proba(rows), NDArray[np.float64])
    assert_type(classifier.history_, list[dict[str, Any]])
    assert_type(classifier.network_, TrainedNetwork)
    assert_type((classifier.n_iter_, classifier.best_epoch_), tuple[int, int])
    assert_type(classifier.loss_curve_, list[float])
    assert_type(MLPRegressor(epochs=1).fit(rows, labels).partial_fit(rows, labels), MLPRegressor)


def errors(folder: Path) -> None:
    with pytest.raises(SpecError) as caught:
        mlptrain.train({**IRIS, "seed": -1})
    assert_type(caught.value.faults, tuple[Fault, ...])
    assert_type((caught.value.faults[0].path, caught.value.faults[0].line), tuple[str, int | None])
    with pytest.raises(DivergedError) as diverged:
        mlptrain.train(
            IRIS, overrides={"optimizer": {"name": "sgd", "lr": 1e12}, "training.epochs": 20}, run_dir=folder
        )
    assert_type((diverged.value.epoch, diverged.value.step, diverged.value.lr), tuple[int, int, float])
    assert_type(diverged.value.run, Path | None)


def test_a_strictly_typed_use_of_every_name(tmp_path: Path) -> None:
    run = a_run(tmp_path / "run")
    groups(tmp_path)
    a_network(run, tmp_path)
    a_comparison(tmp_path / "comparison")
    pictures(run)
    estimators()
    errors(tmp_path / "diverged")
