"""The captured step on CUDA against the same calls one by one."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from mlptrain.spec.experiment import TrainingSpec
from mlptrain.spec.schedule import Linear, Plateau, RunLength, Schedule
from mlptrain.training.capture import CapturedStep, step_runner
from mlptrain.training.trainer import CONSTANT
from mlptrain.updates.chain import NO_INGREDIENTS, Updates
from tests.catalogue import OPTIMIZERS, Settings, cases, optimizer_section
from tests.nn.problems import Problem, problem

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
every_schedule = pytest.mark.parametrize(
    "schedule", [CONSTANT, Linear(name="linear", final=0.1), Plateau(name="plateau")]
)
# Two epochs of 23 rows in batches of 6: the last is shorter, and full ones follow it.
EPOCHS = [slice(start, start + 6) for start in (0, 6, 12, 18)] * 2
GOOD = cases(OPTIMIZERS, "good")


def updates_of(
    given: Problem,
    optimizers: Sequence[tuple[str, Settings]],
    schedule: Schedule,
    training: TrainingSpec = NO_INGREDIENTS,
) -> Updates:
    """The updates of a problem's models."""
    return Updates(
        given.parameters,
        given.gradients,
        [optimizer_section(*one) for one in optimizers],
        weights=given.network.weight_names,
        schedules=[schedule] * len(optimizers),
        run=RunLength(len(EPOCHS), len(EPOCHS) // 2),
        training=training,
    )


def assert_captured_equals_plain(
    optimizers: Sequence[tuple[str, Settings]],
    groups: tuple[int, ...],
    schedule: Schedule,
    training: TrainingSpec = NO_INGREDIENTS,
) -> None:
    one, other = (
        problem([16, 5], groups=groups, activation="prelu", n=23, batch_size=6, dtype=torch.float32, device="cuda")
        for _ in range(2)
    )
    for given in (one, other):
        given.gradients.flat.nan_to_num_()
    one_updates = updates_of(one, optimizers, schedule, training)
    captured = step_runner(one.engine, one_updates)
    updates = updates_of(other, optimizers, schedule, training)
    assert isinstance(captured, CapturedStep)
    for number, rows in enumerate(EPOCHS):
        if isinstance(schedule, Plateau):
            one_updates.scale(0, 0.7**number)
            updates.scale(0, 0.7**number)
        outputs = captured(*one.batch(rows)).clone()
        expected = other.engine(*other.batch(rows)).clone()
        updates.advance()
        updates.apply()
        torch.testing.assert_close(outputs, expected, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(one.parameters.flat, other.parameters.flat, rtol=1e-5, atol=1e-6)
        for ours, theirs in zip(one_updates.evaluated.members, updates.evaluated.members, strict=True):
            for name, view in ours.items():
                torch.testing.assert_close(view, theirs[name], rtol=1e-5, atol=1e-6)


@needs_cuda
@every_schedule
@pytest.mark.parametrize("optimizer", GOOD)
def test_one_model(optimizer: tuple[str, Settings], schedule: Schedule) -> None:
    assert_captured_equals_plain([optimizer], (1,), schedule)


@needs_cuda
@every_schedule
@pytest.mark.parametrize("captured", [True, False])
def test_what_surrounds_the_optimizers(schedule: Schedule, captured: bool) -> None:
    """With an optimizer that stays outside of the graph, what comes after it stays there too."""
    decaying = {"lr": 0.01, "weight_decay": 0.1, "weight_decay_for": "weights"}
    optimizers: list[tuple[str, Settings]] = [("adamw", decaying), ("sgd" if captured else "nadam", decaying)]
    training = TrainingSpec(clip_norm=0.5, l1=1e-3, max_norm=0.7, ema=0.8)
    assert_captured_equals_plain(optimizers, (2,), schedule, training)


@needs_cuda
@every_schedule
def test_models_with_all_optimizers(schedule: Schedule) -> None:
    assert_captured_equals_plain([*GOOD, GOOD[0]], (3, 1, len(GOOD) - 3), schedule)


@needs_cuda
@pytest.mark.parametrize("optimizer", GOOD)
def test_a_schedule_on_cuda_as_on_the_cpu(optimizer: tuple[str, Settings]) -> None:
    """There the rate of a step lies in a tensor, here it is a number."""
    schedule, found = Linear(name="linear", final=0.1), []
    for device in ("cuda", "cpu"):
        given = problem([16, 5], n=23, batch_size=6, dtype=torch.float32, device=device)
        given.gradients.flat.nan_to_num_()
        step = step_runner(given.engine, updates_of(given, [optimizer], schedule))
        for rows in EPOCHS:
            step(*given.batch(rows))
        found.append(given.parameters.flat.cpu())
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-4)


@every_schedule
def test_a_step_on_the_cpu_is_gradients_and_updates(schedule: Schedule) -> None:
    optimizers: list[tuple[str, Settings]] = [("sgd", {"lr": 0.1}), ("adam", {"lr": 0.01}), ("sgd", {"lr": 0.1})]
    one, other = (problem([5], groups=(2, 1), n=6) for _ in range(2))
    for given in (one, other):
        given.gradients.flat.nan_to_num_()
    step = step_runner(one.engine, updates_of(one, optimizers, schedule))
    updates = updates_of(other, optimizers, schedule)
    for _ in range(3):
        outputs = step(*one.batch()).clone()
        assert torch.equal(outputs, other.step())
        updates.advance()
        updates.apply()
        assert torch.equal(one.parameters.flat, other.parameters.flat)
