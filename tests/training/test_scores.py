"""Further figures where they are undefined or tied, and calibration against definitions written out by hand."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter
from scipy.optimize import minimize_scalar
from sklearn import metrics
from torch import Tensor
from torch.nn import functional

from mlptrain.spec.metrics import MetricSpec, higher_is_better, title_of
from mlptrain.training.calibration import expected_calibration_error, fit_temperature, reliability
from mlptrain.training.scores import Scorer, Scores
from tests.catalogue import METRICS, calibration_error

SECTION: TypeAdapter[MetricSpec] = TypeAdapter(MetricSpec)


def scores(outputs: Tensor, targets: Tensor, *names: str, classes: int = 0, temperature: float = 1.0) -> Scores:
    sections = [SECTION.validate_python({"name": name, **METRICS[name].settings}) for name in names]
    class_names = tuple("abcdefghijklmno"[:classes])
    return Scorer(sections, class_names)(outputs, targets, temperature=temperature)


def drawn(n: int, k: int, seed: int = 0, spread: float = 2.0) -> tuple[Tensor, Tensor]:
    """Logits that know something of the labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(k, (n,), generator=generator)
    return spread * (torch.randn(n, k, generator=generator) + 1.2 * functional.one_hot(labels, k)), labels


@pytest.mark.parametrize(
    ("name", "labels", "predicted", "reason"),
    [
        ("roc_auc", [0, 1, 1, 0], [0, 1, 2, 0], "there are no rows of class 'c'"),
        ("average_precision", [0, 0, 0, 0], [0, 1, 2, 0], "there are no rows of classes 'b', 'c'"),
        ("recall", [0, 1, 1, 0], [0, 1, 2, 0], "there are no rows of class 'c'"),
        ("precision", [0, 1, 2, 0], [0, 1, 1, 0], "nothing was predicted as class 'c'"),
        ("f1", [0, 1, 1, 0], [0, 1, 1, 0], "there are no rows of class 'c', and nothing was predicted as such"),
    ],
)
def test_a_class_without_rows_or_predictions(name: str, labels: list[int], predicted: list[int], reason: str) -> None:
    outputs = functional.one_hot(torch.tensor(predicted), 3).float()
    found = scores(outputs, torch.tensor(labels), name, "mcc", "balanced_accuracy", "log_loss", classes=3)
    assert found.undefined == {name: reason}
    assert set(found.figures) == {"mcc", "balanced_accuracy", "log_loss"}
    right = np.array(labels) == predicted
    shares = [right[np.array(labels) == label].mean() for label in set(labels)]
    assert found.figures["balanced_accuracy"] == pytest.approx(np.mean(shares))


def test_f1_is_defined_where_a_class_was_missed_altogether() -> None:
    outputs = functional.one_hot(torch.tensor([0, 1, 1, 0]), 3).float()
    found = scores(outputs, torch.tensor([0, 1, 2, 0]), "f1", classes=3)
    assert found.figures["f1"] == pytest.approx(metrics.f1_score([0, 1, 2, 0], [0, 1, 1, 0], average="macro"))


def test_of_two_classes_the_second_decides() -> None:
    """Nothing is predicted as the first, which leaves the figures of the second as they are."""
    logits = torch.tensor([[1.0], [2.0], [0.5]])
    found = scores(logits, torch.tensor([[0.0], [1.0], [1.0]]), "precision", "recall", "f1", "roc_auc", classes=2)
    assert found.figures == pytest.approx({"precision": 2 / 3, "recall": 1, "f1": 0.8, "roc_auc": 0.5})
    none = scores(-logits, torch.tensor([[0.0], [0.0], [0.0]]), "precision", "recall", "roc_auc", classes=2)
    assert none.undefined["recall"] == "there are no rows of class 'b'"
    assert none.undefined["precision"] == "nothing was predicted as class 'b'"


def test_ties_count_as_in_scikit_learn() -> None:
    """A network that has died gives every row the same outputs."""
    labels = torch.tensor([0, 1, 2, 2, 1, 0, 0])
    found = scores(torch.zeros(7, 3), labels, "roc_auc", "average_precision", "brier", "log_loss", "mcc", classes=3)
    p = np.full((7, 3), 1 / 3)
    expected = {"roc_auc": 0.5, "average_precision": 1 / 3, "brier": 2 / 3, "log_loss": math.log(3), "mcc": 0.0}
    assert found.figures == pytest.approx(expected)
    assert metrics.roc_auc_score(labels, p, multi_class="ovr") == pytest.approx(0.5)


def test_log_loss_of_hopeless_probabilities_is_not_cut() -> None:
    found = scores(torch.tensor([[0.0, 900.0], [3.0, 0.0]]), torch.tensor([0, 0]), "log_loss", "brier", classes=2)
    assert found.figures["log_loss"] == pytest.approx((900 + math.log1p(math.exp(-3))) / 2)


def test_regressions_without_a_value() -> None:
    outputs, targets = torch.tensor([[1.0, 2.0], [2.0, 1.0]]), torch.tensor([[3.0, 0.0], [3.0, 1.0]])
    found = scores(outputs, targets, "r2", "mape", "rmse", "mae")
    assert found.undefined == {"r2": "all rows have the same target", "mape": "the target of 1 row is 0"}
    assert found.figures["mae"] == pytest.approx(np.abs(outputs.numpy() - targets.numpy()).mean())
    assert "r2" in scores(outputs[:1], targets[:1], "r2").undefined  # a single row


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_outputs_that_are_not_finite_give_no_figure(value: float) -> None:
    outputs = torch.tensor([[value, 0.0], [0.0, 1.0]])
    found = scores(outputs, torch.tensor([0, 1]), "roc_auc", "f1", "ece", classes=2)
    assert found.figures == {}
    assert set(found.undefined.values()) == {"the network's outputs are not finite"}


def test_every_metric_has_a_direction_that_a_perfect_network_shows() -> None:
    """Right outputs are better than drawn ones, in the direction of the table."""
    logits, labels = drawn(300, 4)
    perfect = 60.0 * functional.one_hot(labels, 4)
    names = [name for name in METRICS if name not in ("accuracy", "rmse", "mae", "r2", "mape")]
    some, best = (scores(outputs, labels, *names, classes=4).figures for outputs in (logits, perfect))
    values = torch.linspace(1, 5, 30).unsqueeze(1)
    names = ["rmse", "mae", "r2", "mape"]
    some = {**some, **scores(values + torch.sin(7 * values), values, *names).figures}
    best = {**best, **scores(values, values, *names).figures}
    for key, value in some.items():
        assert (best[key] > value) == higher_is_better(key), key
        assert best[key] != value
        assert re.search(r"\(.+\)$", title_of(key)), key


@pytest.mark.parametrize("bins", [1, 4, 15])
def test_reliability_in_bins(bins: int) -> None:
    logits, labels = drawn(500, 5)
    p, y = logits.double().softmax(dim=1).numpy(), labels.numpy()
    p[:3] = [[0.5, 0.5, 0, 0, 0], [1, 0, 0, 0, 0], [0.25, 0.25, 0.25, 0.25, 0]]  # on the edges
    found = reliability(p, y, bins=bins)
    edges = np.arange(bins + 1) / bins
    members = [((edges[i] < p.max(axis=1)) & (p.max(axis=1) <= edges[i + 1])).sum() for i in range(bins)]
    assert found.counts.tolist() == members
    assert expected_calibration_error(found) == pytest.approx(calibration_error(y, p, bins), abs=1e-12)
    assert expected_calibration_error(found) > 0.01


def log_loss(logits: NDArray[np.float64], labels: NDArray[np.int64], temperature: float) -> float:
    scaled = torch.from_numpy(logits) / temperature
    if scaled.shape[1] == 1:
        target = torch.from_numpy(labels).double().unsqueeze(1)
        return float(functional.binary_cross_entropy_with_logits(scaled, target))
    return float(functional.cross_entropy(scaled, torch.from_numpy(labels)))


@pytest.mark.parametrize(("k", "spread"), [(10, 6.0), (3, 0.3), (2, 2.0), (1, 5.0)])
def test_the_temperature_is_the_lowest_of_a_grid(k: int, spread: float) -> None:
    """Of logits that are too sure, too unsure, and of a single one; finer around the lowest of all."""
    outputs, labels = drawn(400, max(k, 2), spread=spread)
    logits, y = outputs.double().numpy(), labels.numpy()
    if k == 1:
        logits = logits[:, 1:] - logits[:, :1]
    temperature = fit_temperature(logits, y)
    assert temperature is not None
    grid = np.geomspace(0.02, 50, 400)
    for _ in range(3):
        losses = [log_loss(logits, y, one) for one in grid]
        at = int(np.argmin(losses))
        grid = np.linspace(grid[max(at - 1, 0)], grid[min(at + 1, len(grid) - 1)], 50)
    assert temperature == pytest.approx(grid[25], rel=2e-3)
    assert log_loss(logits, y, temperature) <= min(losses) + 1e-12


def test_a_scaled_network_has_a_scaled_temperature() -> None:
    outputs, labels = drawn(300, 4)
    logits, y = outputs.double().numpy(), labels.numpy()
    one, ten = fit_temperature(logits, y), fit_temperature(10 * logits, y)
    assert one is not None
    assert ten == pytest.approx(10 * one, rel=1e-9)


@pytest.mark.parametrize(("k", "spread"), [(4, 3.0), (1, 0.5)])
def test_a_temperature_by_weight_is_that_of_rows_that_stand_there_as_often(k: int, spread: float) -> None:
    """Of weights times any factor; and the lowest that SciPy finds for scikit-learn's log-loss."""
    outputs, labels = drawn(300, max(k, 2), spread=spread)
    logits, y = outputs.double().numpy(), labels.numpy()
    times = np.random.default_rng(1).integers(1, 5, 300) ** 2
    if k == 1:
        logits = logits[:, 1:] - logits[:, :1]
    found = fit_temperature(logits, y, weights=times / 7)
    assert found == pytest.approx(fit_temperature(logits.repeat(times, axis=0), y.repeat(times)), rel=1e-9)
    assert found != pytest.approx(fit_temperature(logits, y), rel=1e-3)

    def loss(log_temperature: float) -> float:
        two = np.hstack([0 * logits, logits]) if k == 1 else logits
        probabilities = functional.softmax(torch.from_numpy(two) / np.exp(log_temperature), dim=1)
        return float(metrics.log_loss(y, probabilities.numpy(), sample_weight=times))

    lowest = minimize_scalar(loss, bounds=(-4, 4), method="bounded", options={"xatol": 1e-9})
    assert found == pytest.approx(np.exp(lowest.x), rel=1e-5)


def test_where_no_temperature_is_the_best_there_is_none() -> None:
    labels = np.array([0, 1, 2, 1])
    right = np.eye(3)[labels]
    assert fit_temperature(right, labels) is None  # the smaller the better
    assert fit_temperature(-right, labels) is None  # the larger the better
    assert fit_temperature(np.zeros((4, 3)), labels) is None  # all the same
    assert fit_temperature(np.full((4, 3), np.nan), labels) is None
    right[0] = [0.5, 0.6, 0.0]
    assert fit_temperature(right, labels) is not None
