"""Every optimizer against the class of torch.optim, step by step in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from mlptrain.spec import load_text
from mlptrain.updates.optimizers import OPTIMIZERS, make_optimizer

CASES: list[tuple[str, dict[str, Any]]] = [
    ("sgd", {}),
    ("sgd", {"lr": 0.1, "weight_decay": 0.01}),
    ("sgd", {"lr": 0.1, "momentum": 0.9}),
    ("sgd", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}),
    ("sgd", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("adam", {}),
    ("adam", {"lr": 0.1, "betas": [0.8, 0.9], "eps": 1e-4, "weight_decay": 0.1, "amsgrad": True}),
    ("adamw", {}),
    ("adamw", {"lr": 0.1, "weight_decay": 0.3, "amsgrad": True}),
    ("nadam", {}),
    ("nadam", {"lr": 0.1, "momentum_decay": 0.1, "weight_decay": 0.1}),
    ("rmsprop", {}),
    ("rmsprop", {"lr": 0.1, "momentum": 0.9, "centered": True, "weight_decay": 0.1, "alpha": 0.9}),
    ("adagrad", {}),
    ("adagrad", {"lr": 0.1, "lr_decay": 0.1, "initial_accumulator_value": 0.5, "weight_decay": 0.1}),
]
CLASSES = {
    "sgd": "SGD", "adam": "Adam", "adamw": "AdamW", "nadam": "NAdam", "rmsprop": "RMSprop", "adagrad": "Adagrad"
}  # fmt: skip


def settings_of(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """The settings in force: what is given, and the specification's defaults."""
    text = f"data: digits\nmodel: {{hidden: [4]}}\noptimizer: {{name: {name}}}\n"
    return load_text(text).spec.optimizer.model_dump(exclude={"name"}) | given


SIZES = [(48,), (20, 28)]  # in one piece, and in two as the models of a stack lie


def start(sizes: tuple[int, ...], dtype: torch.dtype = torch.float64) -> list[Tensor]:
    return list(torch.linspace(-1, 1, 48, dtype=dtype).split(sizes))  # type: ignore[no-untyped-call]


def gradients(sizes: tuple[int, ...], dtype: torch.dtype = torch.float64) -> list[list[Tensor]]:
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(25, 48, generator=generator, dtype=torch.float64).to(dtype)
    return [list(one.split(sizes)) for one in drawn]


def test_every_optimizer_has_a_case() -> None:
    assert {name for name, _ in CASES} == set(OPTIMIZERS)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize(("name", "given"), CASES)
def test_steps_equal_torch_optim(name: str, given: dict[str, Any], sizes: tuple[int, ...]) -> None:
    ours = start(sizes)
    theirs = [piece.clone().requires_grad_() for piece in ours]
    optimizer = make_optimizer(name, ours, **settings_of(name, given))
    # `given` alone goes to torch, so that differing defaults show
    reference = getattr(torch.optim, CLASSES[name])(theirs, **given)
    for gradient in gradients(sizes):
        before = [piece.clone() for piece in gradient]
        optimizer.step(gradient)
        assert all(map(torch.equal, gradient, before))
        for piece, values in zip(theirs, gradient, strict=True):
            piece.grad = values.clone()
        reference.step()
        for mine, piece in zip(ours, theirs, strict=True):
            torch.testing.assert_close(mine, piece.detach(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("name", "given"), CASES)
def test_the_step_counts_once_however_many_pieces(name: str, given: dict[str, Any]) -> None:
    ours, theirs = start((20, 28)), torch.zeros(1, requires_grad=True)
    optimizer = make_optimizer(name, ours, **settings_of(name, given))
    reference = getattr(torch.optim, CLASSES[name])([theirs], **given)
    theirs.grad = torch.ones(1)
    for gradient in gradients((20, 28))[:5]:
        optimizer.step(gradient)
        reference.step()
    state = reference.state[theirs].items()
    expected = {key: value for key, value in state if torch.is_tensor(value) and not value.dim()}
    assert set(optimizer.scalars) == set(expected)
    for key, value in expected.items():
        assert float(optimizer.scalars[key]) == pytest.approx(float(value), rel=1e-6)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize(("name", "given"), CASES)
@pytest.mark.parametrize("steps", [0, 1, 7])
def test_state_carries_over(name: str, given: dict[str, Any], steps: int, sizes: tuple[int, ...]) -> None:
    unbroken, steps_of = start(sizes, torch.float32), gradients(sizes, torch.float32)
    optimizer = make_optimizer(name, unbroken, **settings_of(name, given))
    for gradient in steps_of[:steps]:
        optimizer.step(gradient)
    resumed = [piece.clone() for piece in unbroken]
    other = make_optimizer(name, resumed, **settings_of(name, given))
    buffers = {key: [piece.clone() for piece in pieces] for key, pieces in optimizer.buffers.items()}
    other.load_state(buffers, {key: scalar.clone() for key, scalar in optimizer.scalars.items()})
    for gradient in steps_of[steps:]:
        optimizer.step(gradient)
        other.step(gradient)
    assert all(map(torch.equal, unbroken, resumed))


@pytest.mark.parametrize(("name", "given"), CASES)
def test_the_state_of_one_model_of_three_carries_over(name: str, given: dict[str, Any]) -> None:
    """Pieces of three models; the middle one is to go on from the state of one that trained alone."""
    shares = (6, 10)
    alone = [torch.linspace(-1, 1, size, dtype=torch.float64) for size in shares]
    optimizer = make_optimizer(name, alone, **settings_of(name, given))
    generator = torch.Generator().manual_seed(1)
    for _ in range(4):
        optimizer.step([torch.randn(size, generator=generator, dtype=torch.float64) for size in shares])
    together = [piece.repeat(3) for piece in alone]
    three = make_optimizer(name, together, **settings_of(name, given))
    three.load_state(optimizer.buffers, optimizer.scalars, place=1, count=3)
    for _ in range(4):
        gradient = [torch.randn(3, size, generator=generator, dtype=torch.float64) for size in shares]
        three.step([piece.flatten() for piece in gradient])
        optimizer.step([piece[1].clone() for piece in gradient])
    for mine, theirs in zip(together, alone, strict=True):
        torch.testing.assert_close(mine.view(3, -1)[1], theirs, rtol=1e-12, atol=1e-14)
        if optimizer.buffers:
            assert not torch.equal(mine.view(3, -1)[0], mine.view(3, -1)[1])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_state_of_another_optimizer_is_refused(name: str) -> None:
    optimizer = make_optimizer(name, [torch.zeros(4)], **settings_of(name, {}))
    with pytest.raises(ValueError, match="state"):
        optimizer.load_state({"nonsense": [torch.zeros(4)]}, {})
    with pytest.raises(ValueError, match="state"):
        optimizer.load_state(optimizer.buffers, {**optimizer.scalars, "nonsense": torch.zeros(())})


@pytest.mark.parametrize("name", ["adam", "nadam", "rmsprop", "adagrad"])
def test_state_of_another_network_is_refused(name: str) -> None:
    optimizer, other = (make_optimizer(name, [torch.zeros(size)], **settings_of(name, {})) for size in (4, 5))
    with pytest.raises(ValueError, match="state"):
        optimizer.load_state(other.buffers, other.scalars)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_solves_a_parabola(name: str) -> None:
    x = torch.full((3,), 5.0)
    optimizer = make_optimizer(name, [x], **settings_of(name, {"lr": 0.3, "weight_decay": 0.0}))
    for _ in range(600):
        optimizer.step([2 * (x - 1)])
    torch.testing.assert_close(x, torch.ones(3), atol=0.2, rtol=0)
