"""The trials of a search are those that Optuna alone draws, with the same seed, budget and batches."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import optuna
import pytest

from mlptrain.runs.search import Importance
from mlptrain.searching.sampling import Sampling, Told
from mlptrain.seeds import derived_seed
from mlptrain.spec.search.sections import Choices, Method, Range

SPACE = {"x": Range("uniform", -2.0, 2.0), "rate": Range("log_uniform", 1e-4, 1.0), "n": Range("integers", 1, 9)}
TRIALS, BATCH = 40, 8


def surface(setting: dict[str, Any]) -> float:
    """Smallest, 0, at x 1, rate 0.01 and n 3."""
    return float((setting["x"] - 1) ** 2 + (math.log10(setting["rate"]) + 2) ** 2 + 0.1 * (setting["n"] - 3) ** 2)


def searched(method: Method, seed: int, value: Callable[[dict[str, Any]], float] = surface) -> list[dict[str, Any]]:
    sampling = Sampling(SPACE, method=method, seed=seed, goal="min")
    tried: list[dict[str, Any]] = []
    while len(tried) < TRIALS:
        asked = sampling.ask(BATCH)
        sampling.tell([Told(value(setting)) for setting in asked])
        tried += asked
    return tried


def by_optuna(sampler: optuna.samplers.BaseSampler) -> list[dict[str, Any]]:
    floats, whole = optuna.distributions.FloatDistribution, optuna.distributions.IntDistribution
    space: Any = {"x": floats(-2, 2), "rate": floats(1e-4, 1, log=True), "n": whole(1, 9)}
    study = optuna.create_study(sampler=sampler)
    for _ in range(TRIALS // BATCH):
        trials = [study.ask(space) for _ in range(BATCH)]
        for trial in trials:
            study.tell(trial, surface(trial.params))
    return [trial.params for trial in study.trials]


@pytest.mark.parametrize("method", ["random", "halton", "tpe"])
def test_the_trials_are_those_of_optuna_alone(method: Method) -> None:
    for seed in (0, 7):
        own = derived_seed(seed, "search") % 2**32
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            samplers: dict[str, optuna.samplers.BaseSampler] = {
                "random": optuna.samplers.RandomSampler(seed=own),
                "halton": optuna.samplers.QMCSampler(qmc_type="halton", scramble=True, seed=own),
                "tpe": optuna.samplers.TPESampler(seed=own, multivariate=True, constant_liar=True),
            }
            assert searched(method, seed) == by_optuna(samplers[method])


def test_tpe_finds_what_chance_does_not() -> None:
    best = {method: [min(map(surface, searched(method, seed))) for seed in range(5)] for method in ("tpe", "random")}
    assert sorted(best["tpe"])[2] < 0.5 * sorted(best["random"])[2]


def test_a_gaussian_process_comes_close() -> None:
    sampling = Sampling({"x": SPACE["x"]}, method="gp", seed=0, goal="min")
    values = []
    for _ in range(4):
        asked = sampling.ask(4)
        values += [(one["x"] - 1) ** 2 for one in asked]
        sampling.tell([Told(value) for value in values[-4:]])
    assert min(values) < 1e-3


def test_a_grid_is_tried_as_a_whole_and_once() -> None:
    sampling = Sampling({"a": Choices([[1], [2, 3]]), "b": Choices(["x", None])}, method="grid", seed=0, goal="max")
    found = sampling.ask(3)
    sampling.tell([Told(1.0)] * 3)
    found += sampling.ask(3)
    sampling.tell([Told(2.0)])
    assert sampling.ask(3) == []
    assert [(one["a"], one["b"]) for one in found] == [([1], "x"), ([1], None), ([2, 3], "x"), ([2, 3], None)]


def test_trials_that_diverge_keep_later_ones_away() -> None:
    """Below 0 none has a value: three quarters of the later trials lie above; by chance a half."""
    sampling = Sampling({"x": SPACE["x"]}, method="tpe", seed=3, goal="min")
    found: list[float] = []
    for _ in range(8):
        asked = [one["x"] for one in sampling.ask(6)]
        sampling.tell([Told(None if x < 0 else (x - 1) ** 2) for x in asked])
        found += asked
    assert sum(x > 0 for x in found[-24:]) >= 18


def importances(trials: int, seed: int = 0, space: dict[str, Range] = SPACE) -> dict[str, Importance]:
    """Of trials by chance whose value is x squared and a hundredth of n."""
    sampling = Sampling(space, method="random", seed=seed, goal="min")
    asked = sampling.ask(trials)
    sampling.tell([Told(one["x"] ** 2 + 0.01 * one.get("n", 0)) for one in asked])
    return sampling.importances()


def test_importances_are_of_what_matters() -> None:
    found = importances(40)
    assert found["x"].mean > 0.9
    assert all(one.low <= one.mean <= one.high for one in found.values())
    assert abs(sum(one.mean for one in found.values()) - 1) < 1e-9
    assert importances(40) == found


def test_importances_of_fewer_trials_are_less_certain() -> None:
    few, many = (max(one.high - one.low for one in importances(trials, 1).values()) for trials in (16, 80))
    assert few > 2 * many


def test_too_few_trials_have_no_importances() -> None:
    assert importances(15) == {}
    assert importances(40, space={"x": SPACE["x"]}) == {}
    sampling = Sampling(SPACE, method="random", seed=0, goal="min")
    sampling.ask(20)
    sampling.tell([Told(1.0)] * 20)  # all are alike
    assert sampling.importances() == {}
    sampling = Sampling(SPACE, method="random", seed=0, goal="min")
    sampling.ask(20)
    sampling.tell([Told(one / 20, is_pruned=one > 10) for one in range(20)])
    assert sampling.importances() == {}  # of 11 whole trials
