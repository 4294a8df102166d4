"""The captured step on CUDA against the same calls one by one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mlptrain.spec import load_text
from mlptrain.training.capture import CapturedStep, step_runner
from mlptrain.updates.optimizers import OPTIMIZERS, Optimizer, make_optimizer
from tests.nn.problems import Problem, problem

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
# Two epochs of 23 rows in batches of 6: the last is shorter, and full ones follow it.
EPOCHS = [slice(start, start + 6) for start in (0, 6, 12, 18)] * 2


def optimizers_of(given: Problem, names: list[str]) -> list[tuple[Optimizer, list[Tensor]]]:
    """An optimizer for each model, with momentum where there is one to set."""
    made = []
    for model, name in enumerate(names):
        momentum = ", momentum: 0.9" if name in ("sgd", "rmsprop") else ""
        text = f"data: digits\nmodel: {{hidden: [4]}}\noptimizer: {{name: {name}, lr: 0.01{momentum}}}\n"
        settings = load_text(text).spec.optimizer.model_dump(exclude={"name"})
        optimizer = make_optimizer(name, given.parameters.pieces(model, model + 1), **settings)
        made.append((optimizer, list(given.gradients.pieces(model, model + 1))))
    return made


def assert_captured_equals_plain(names: list[str], groups: tuple[int, ...]) -> None:
    one, other = (
        problem([16, 5], groups=groups, activation="prelu", n=23, batch_size=6, dtype=torch.float32, device="cuda")
        for _ in range(2)
    )
    for given in (one, other):
        given.gradients.flat.nan_to_num_()
    captured, updates = step_runner(one.engine, optimizers_of(one, names)), optimizers_of(other, names)
    assert isinstance(captured, CapturedStep)
    for rows in EPOCHS:
        outputs = captured(*one.batch(rows)).clone()
        expected = other.engine(*other.batch(rows)).clone()
        for optimizer, gradients in updates:
            optimizer.step(gradients)
        torch.testing.assert_close(outputs, expected, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(one.parameters.flat, other.parameters.flat, rtol=1e-5, atol=1e-6)


@needs_cuda
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_one_model(name: str) -> None:
    assert_captured_equals_plain([name], (1,))


@needs_cuda
def test_models_with_all_optimizers() -> None:
    assert_captured_equals_plain([*OPTIMIZERS, "sgd"], (3, 1, 3))


def test_a_step_on_the_cpu_is_gradients_and_updates() -> None:
    one, other = (problem([5], groups=(2, 1), n=6) for _ in range(2))
    for given in (one, other):
        given.gradients.flat.nan_to_num_()
    step = step_runner(one.engine, optimizers_of(one, ["sgd", "adam", "sgd"]))
    updates = optimizers_of(other, ["sgd", "adam", "sgd"])
    for _ in range(3):
        outputs = step(*one.batch()).clone()
        assert torch.equal(outputs, other.step())
        for optimizer, gradients in updates:
            optimizer.step(gradients)
        assert torch.equal(one.parameters.flat, other.parameters.flat)
