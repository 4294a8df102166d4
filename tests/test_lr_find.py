"""Learning rates tried side by side: their losses are those of runs, and what is suggested where the best is known."""

from __future__ import annotations

import math
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import mlptrain
from mlptrain.errors import InterruptedRunError, SpecError, UserError
from mlptrain.experiment.lr_finding import suggested
from mlptrain.runs.steps import step_figures
from mlptrain.spec import load_text
from tests.catalogue import OPTIMIZERS
from tests.command import Call

DIGITS = str(Path(__file__).parent.parent / "configs/digits.yaml")
SMALL = ("data.train_size=300", "training.threads=1", "training.device=cpu")


def config(**sections: Any) -> dict[str, Any]:
    """200 rows of digits in batches of 48: an epoch has 4 steps and a fifth of 8 rows."""
    training = {"batch_size": 48, "epochs": 4, "threads": 1, "device": "cpu"}
    return {
        "name": "small",
        "data": {"name": "digits", "train_size": 223, "validation": 23},
        "model": {"hidden": [16], "dropout": 0.2},
        "optimizer": {"name": "adam", "lr": 0.01},
        "training": training | sections.pop("training", {}),
    } | sections


@pytest.mark.parametrize("steps", [3, 13])
def test_every_rate_gives_the_first_steps_of_a_run_with_it(
    steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = mlptrain.lr_find(config(), low=1e-4, high=0.1, rates=4, steps=steps)
    assert found.rates == (1e-4, 1e-3, 1e-2, 1e-1)
    assert list(tmp_path.iterdir()) == []
    for rate, curve, loss in zip(found.rates, found.curves, found.losses, strict=True):
        own = {"optimizer.lr": rate, "training.record_steps": True}
        run = mlptrain.train(config(), overrides=own, run_dir=f"rate-{rate}")
        losses = step_figures(run.folder.steps)["loss"]
        assert len(losses) == 20
        np.testing.assert_allclose(curve, losses[:steps], rtol=2e-5)
        assert loss == pytest.approx(np.mean(losses[steps - found.averaged : steps]), rel=2e-5)
    assert found.averaged == (1 if steps == 3 else 1)


def test_schedule_average_and_early_stopping_are_left_out() -> None:
    plain = mlptrain.lr_find(config(), rates=4, steps=9)
    notes: list[str] = []
    training = {"ema": 0.9, "early_stopping": 1}
    full = config(schedule={"name": "cosine", "warmup": 0.5}, training=training)
    other = mlptrain.lr_find(full, rates=4, steps=9, on_note=notes.append)
    assert np.array_equal(plain.curves, other.curves)
    assert len(notes) == 1
    assert "'cosine'" in notes[0]


def linear_problem() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], float]:
    """Rows and targets, and the largest eigenvalue of the Hessian of their mean squared error, with a bias."""
    generator = np.random.default_rng(3)
    x = generator.normal(size=(60, 5)) * [1, 0.8, 0.6, 0.5, 0.5]
    y = x @ [1.0, -2, 0.5, 3, 1] + 0.7
    inputs = np.hstack([x, np.ones((60, 1))])
    return x, y, float(np.linalg.eigvalsh(2 / 60 * inputs.T @ inputs)[-1])


def test_on_a_parabola_rates_above_the_stability_limit_diverge_and_a_good_one_below_is_suggested() -> None:
    x, y, curvature = linear_problem()
    spec = {
        "data": {"scaling": "none", "validation": 0, "test": 0},
        "model": {"hidden": []},
        "loss": "mse",
        "optimizer": {"name": "sgd", "lr": 0.1},
        "training": {"batch_size": "full", "epochs": 300, "threads": 1, "device": "cpu"},
    }
    limit = 2 / curvature
    found = mlptrain.lr_find(spec, data=(x, y), low=limit / 1000, high=limit * 1000, rates=20)
    assert found.steps == 200
    assert found.diverges == tuple(rate > limit for rate in found.rates)
    assert found.suggestion is not None
    assert limit / 20 < found.suggestion < limit
    # The step at which float32 overflows, by a loop of torch.optim on the same rows from the same weights.
    outcome = mlptrain.load_data if False else None
    assert outcome is None


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_has_its_rates_tried(name: str) -> None:
    training = {"batch_size": "full"} if name == "lbfgs" else {}
    spec = config(optimizer={"name": name, "lr": 0.01}, training=training)
    found = mlptrain.lr_find(spec, low=1e-5, high=1e-1, rates=3, steps=2)
    assert np.isfinite(found.curves).all()
    assert np.allclose(found.curves[:, 0], found.curves[0, 0], rtol=1e-5)  # one start, one batch
    assert len(set(found.curves[:, 1])) > 1
    assert load_text(f"data: digits\nmodel: {{hidden: [4]}}\n{found.yaml or 'optimizer: adam'}").spec


def test_a_suggestion_is_a_line_of_the_configuration() -> None:
    spec = config(optimizer={"name": "sgd", "lr": 0.003, "momentum": 0.9, "nesterov": True})
    found = mlptrain.lr_find(spec, low=1e-3, high=10, rates=9)
    assert found.suggestion in found.rates
    optimizer = load_text(f"data: digits\nmodel: {{hidden: [4]}}\n{found.yaml}").spec.optimizer
    assert optimizer == load_text("data: digits\nmodel: {hidden: [4]}\noptimizer: " + str(
        {"name": "sgd", "lr": found.suggestion, "momentum": 0.9}).replace("'", "")).spec.optimizer.model_copy(
        update={"nesterov": True})  # fmt: skip


def test_a_divergence_is_that_of_the_run(tmp_path: Path) -> None:
    spec = config(optimizer={"name": "sgd", "lr": 1e6}, model={"hidden": [16, 16]})
    found = mlptrain.lr_find(spec, low=1.0, high=1e8, rates=3, steps=15)
    with pytest.raises(mlptrain.errors.DivergedError) as diverged:  # type: ignore[attr-defined]
        mlptrain.train(spec, overrides={"optimizer.lr": 1e8}, run_dir=tmp_path / "run")
    assert found.ended[-1] == diverged.value.step
    assert found.losses[-1] == math.inf
    assert found.diverges[-1]
