"""Training step by step in float64: the engine by hand, that by autograd, and torch's modules with torch.optim."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import pytest
import torch
from torch import Tensor

from mlptrain.updates.optimizers import make_optimizer
from tests.catalogue import LOSSES, OPS, OPTIMIZERS, Settings, cases, op, optimizer_section
from tests.nn.problems import Problem, engines_of, problem

# Full batches, then the shorter last one of an epoch, and full ones again.
BATCHES = [slice(0, 6), slice(3, 9), slice(7, 9), slice(2, 8)]


@dataclass
class Step:
    """Of every model: outputs (n, outputs), and gradients and parameters after the update, in one tensor each."""

    outputs: list[Tensor]
    gradients: list[Tensor]
    parameters: list[Tensor]


def joined(tensors: Any) -> Tensor:
    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors])


def by_engine(given: Problem, optimizer: str, settings: Settings) -> list[Step]:
    pieces, gradients = given.parameters.pieces(0, sum(given.groups)), given.gradients.pieces(0, sum(given.groups))
    made = make_optimizer(optimizer_section(optimizer, settings), pieces)
    for piece in gradients:
        piece.nan_to_num_()  # the elements between the parameters belong to no gradient
    steps = []
    for rows in BATCHES:
        outputs = given.step(rows)
        made.step(list(gradients), made.settings.lr)
        steps.append(
            Step(
                [one.t() for one in outputs],
                [joined(member.values()) for member in given.gradients.members],
                [joined(member.values()) for member in given.parameters.members],
            )
        )
    return steps


def by_modules(given: Problem, optimizer: str, settings: Settings) -> list[Step]:
    modules = given.modules()
    optimizers = [OPTIMIZERS[optimizer].reference(module.parameters(), **settings) for module in modules]
    steps = []
    for rows in BATCHES:
        step = Step([], [], [])
        for model, (module, made) in enumerate(zip(modules, optimizers, strict=True)):
            made.zero_grad()
            outputs = module(given.x[given.owners[model]][rows])
            torch.autograd.backward(given.objective(model, outputs, rows))
            made.step()
            step.outputs.append(outputs.detach())
            step.gradients.append(joined(parameter.grad for parameter in module.parameters()))
            step.parameters.append(joined(module.parameters()))
        steps.append(step)
    return steps


def assert_all_train_alike(
    make: Callable[..., Problem], *names: str, optimizer: str = "adam", settings: Settings | None = None
) -> None:
    """The engines that run the ops of these ``names`` and torch's modules, pairwise, to 1e-10 of every value."""
    settings = settings or {"lr": 0.01}
    engines = engines_of(*(op(name) for name in names))
    paths = [by_engine(make(engine=engine), optimizer, settings) for engine in engines]
    paths.append(by_modules(make(engine=engines[0]), optimizer, settings))
    for number, steps in enumerate(zip(*paths, strict=True)):
        for what in ("outputs", "gradients", "parameters"):
            for one, other in combinations(steps, 2):
                for mine, theirs in zip(getattr(one, what), getattr(other, what), strict=True):
                    torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-13, msg=f"step {number}, {what}")


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", OPS)
def test_every_op_and_loss(activation: str, loss: str, reduction: str) -> None:
    def make(**engine: Any) -> Problem:
        return problem(
            [5, 4], groups=(2, 1), activation=activation, loss=loss, reduction=reduction, n=9, batch_size=6, **engine
        )

    assert_all_train_alike(make, activation)


@pytest.mark.parametrize("groups", [(1,), (1, 1), (2, 1), (3,)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("width", [5, 8])  # the first weights of neighbours lie apart, or form one matrix
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_every_depth_and_grouping(depth: int, width: int, bias: bool, groups: tuple[int, ...]) -> None:
    def make(**engine: Any) -> Problem:
        return problem(
            [width] * (depth - 1), groups=groups, activation="prelu", bias=bias, n=9, batch_size=6, seed=1, **engine
        )

    assert_all_train_alike(make, "prelu")


@pytest.mark.parametrize("output_activation", OPS)
def test_every_output_activation(output_activation: str) -> None:
    def make(**engine: Any) -> Problem:
        return problem(
            [5], groups=(1, 2), activation="tanh", output_activation=output_activation, n=9, batch_size=6, **engine
        )

    assert_all_train_alike(make, output_activation)


@pytest.mark.parametrize(
    ("optimizer", "settings"),
    [*cases(OPTIMIZERS, "good"), *((name, {"lr": 0.02, "weight_decay": 0.01}) for name in OPTIMIZERS)],
)
def test_every_optimizer(optimizer: str, settings: Settings) -> None:
    def make(**engine: Any) -> Problem:
        return problem([5, 4], groups=(2, 1), activation="silu", n=9, batch_size=6, **engine)

    assert_all_train_alike(make, "silu", optimizer=optimizer, settings=settings)
