"""The benchmark's judgement, on samples made up here, and that its rows train the same problem."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from mlptrain.training.device import applied, resolve_device
from tests.benchmarks import ours, peers_torch
from tests.benchmarks.problem import load_problem
from tests.benchmarks.results import deviation, steady_record, untrained
from tests.benchmarks.steady import Timed, Workers
from tests.benchmarks.workloads import AUTOGRAD, FLOOR, OURS, SEEDS, WORKLOADS, Precision, Row, rows_of


def timed(
    title: str, seconds: list[float], losses: list[list[float]], *, precision: Precision | None = None, models: int = 1
) -> Timed:
    row = Row("W2", "peers_torch", "autograd", title, "sgd", precision, models)
    return Timed(row, seconds=seconds, losses=losses)


def test_the_median_of_the_fastest_variant_is_what_counts() -> None:
    record = steady_record(
        WORKLOADS["W2"],
        [
            timed(OURS, [0.2, 0.1, 0.9], [[1.0]]),
            timed(FLOOR, [0.05], [[]]),
            timed(AUTOGRAD, [0.1, 0.8, 0.8], [[1.0]], precision="highest"),
            timed(AUTOGRAD, [0.4, 0.4, 9.0], [[1.0]], precision="medium"),
        ],
    )
    counted = {row["title"]: row for row in record["rows"] if row["counts"]}
    assert counted[AUTOGRAD]["precision"] == "medium"
    assert counted[AUTOGRAD]["ratio"] == pytest.approx(2.0)
    assert record["against"]["sgd"] == {
        "over_floor": pytest.approx(4.0),
        "over_fastest_peer": pytest.approx(0.5),
        "fastest_peer": AUTOGRAD,
    }


def test_models_at_once_are_compared_by_the_seconds_of_one() -> None:
    found = [timed(OURS, [1.6], [[1.0] * 16], models=16), timed("one by one", [0.2], [[1.0]])]
    record = steady_record(WORKLOADS["W2-seeds"], found)
    assert [row["ratio"] for row in record["rows"]] == pytest.approx([1.0, 2.0])


def test_rates_stand_beside_as_many_seeds_which_are_no_peer() -> None:
    found = [timed(OURS, [1.2], [[1.0] * 16], models=16), timed(SEEDS, [1.6], [[]], models=16)]
    record = steady_record(WORKLOADS["W2-rates"], [*found, timed("slow", [0.5], [[1.0]])])
    assert record["against"]["sgd"]["over_seeds"] == pytest.approx(0.75)
    assert record["against"]["sgd"]["fastest_peer"] == "slow"
    assert not untrained({"steady": {"W2-rates": record}})


@pytest.mark.parametrize(
    ("theirs", "wanted"),
    [
        ([[1.0, 2.0], [0.5, 1.0]], 0.0),
        ([[1.0, 2.0]], 0.0),  # a slow row has fewer epochs
        ([[1.0], [0.5]], 0.0),  # one by one: the first model
        ([[1.0, 4.0], [0.5, 2.0]], 1.0),  # one model alone is far off
        ([[1.0, float("nan")], [0.5, float("nan")]], float("inf")),
        ([[], []], None),
    ],
)
def test_losses_are_held_against_ours_model_by_model(theirs: list[list[float]], wanted: float | None) -> None:
    assert deviation(theirs, [[1.0, 2.0], [0.5, 1.0]]) == wanted


def test_a_row_that_has_not_trained_is_reported() -> None:
    stuck = timed("stuck", [0.1], [[2.3], [2.3]])
    record = steady_record(WORKLOADS["W2"], [timed(OURS, [0.1], [[0.8], [0.4]]), stuck])
    [message] = untrained({"steady": {"W2": record}})
    assert "stuck" in message


@pytest.mark.skipif(importlib.util.find_spec("optax") is not None, reason="optax is installed")
def test_a_peer_that_is_not_installed_says_so(tmp_path: Path) -> None:
    row = next(row for row in rows_of(WORKLOADS["spirals"]) if row.framework == "peers_jax")
    with (tmp_path / "log").open("w") as log, Workers(folder=tmp_path, data_dir=tmp_path, log=log) as workers:
        assert workers.ask("peers_jax", do="open", number=0, row=vars(row))["missing"] in ("jax", "optax")


def test_ours_and_autograd_train_the_same_network(tmp_path: Path) -> None:
    own, other = (
        next(row for row in rows_of(WORKLOADS["spirals"]) if row.framework == name) for name in ("ours", "peers_torch")
    )
    with applied(resolve_device(device="cpu", precision="auto", threads="auto")):
        ours.write_inputs("spirals", folder=tmp_path, data_dir=tmp_path)
        problem = load_problem(other, folder=tmp_path, data_dir=tmp_path)
        [first], [second] = next(ours.epochs(own, tmp_path)), next(peers_torch.autograd(problem))
    assert first == pytest.approx(second, rel=1e-4)
    assert first < 0.9  # ln 3 at chance
