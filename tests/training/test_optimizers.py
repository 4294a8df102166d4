"""Every optimizer against the class of torch.optim, step by step in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from mlptrain.updates.optimizers import Optimizer, count_buffers, make_optimizer
from tests.catalogue import OPTIMIZERS, Settings, cases, optimizer_section

CASES = cases(OPTIMIZERS)


def optimizer_of(name: str, settings: Settings, pieces: list[Tensor]) -> Optimizer[Any]:
    """With our own defaults for what is not given."""
    return make_optimizer(optimizer_section(name, settings), pieces)


def step(optimizer: Optimizer[Any], gradient: list[Tensor]) -> None:
    """With the section's own learning rate."""
    optimizer.step(gradient, optimizer.settings.lr)


SIZES = [(48,), (20, 28)]  # in one piece, and in two as the models of a stack lie


def start(sizes: tuple[int, ...], dtype: torch.dtype = torch.float64) -> list[Tensor]:
    return list(torch.split(torch.linspace(-1, 1, 48, dtype=dtype), list(sizes)))


def gradients(sizes: tuple[int, ...], dtype: torch.dtype = torch.float64) -> list[list[Tensor]]:
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(25, 48, generator=generator, dtype=torch.float64).to(dtype)
    return [list(torch.split(one, list(sizes))) for one in drawn]


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize(("name", "given"), CASES)
def test_steps_equal_torch_optim(name: str, given: Settings, sizes: tuple[int, ...]) -> None:
    ours = start(sizes)
    theirs = [piece.clone().requires_grad_() for piece in ours]
    optimizer = optimizer_of(name, given, ours)
    # `given` alone goes to torch, so that differing defaults show
    reference = OPTIMIZERS[name].reference(theirs, **given)
    for gradient in gradients(sizes):
        before = [piece.clone() for piece in gradient]
        step(optimizer, gradient)
        assert all(map(torch.equal, gradient, before))
        for piece, values in zip(theirs, gradient, strict=True):
            piece.grad = values.clone()
        reference.step()
        for mine, piece in zip(ours, theirs, strict=True):
            torch.testing.assert_close(mine, piece.detach(), rtol=OPTIMIZERS[name].tolerance, atol=1e-14)


@pytest.mark.parametrize(("name", "given"), CASES)
def test_the_step_counts_once_however_many_pieces(name: str, given: Settings) -> None:
    ours, theirs = start((20, 28)), torch.zeros(1, requires_grad=True)
    optimizer = optimizer_of(name, given, ours)
    reference = OPTIMIZERS[name].reference([theirs], **given)
    theirs.grad = torch.ones(1)
    for gradient in gradients((20, 28))[:5]:
        step(optimizer, gradient)
        reference.step()
    state = reference.state[theirs].items()
    expected = {key: value for key, value in state if torch.is_tensor(value) and not value.dim()}
    assert set(optimizer.scalars) == set(expected)
    for key, value in expected.items():
        assert float(optimizer.scalars[key]) == pytest.approx(float(value), rel=1e-6)


@pytest.mark.parametrize(("name", "given"), CASES)
def test_there_are_as_many_buffers_as_torch_keeps(name: str, given: Settings) -> None:
    theirs = torch.ones(3, requires_grad=True)
    reference = OPTIMIZERS[name].reference([theirs], **given)
    theirs.grad = torch.ones(3)
    reference.step()
    expected = sum(torch.is_tensor(value) and value.shape == (3,) for value in reference.state[theirs].values())
    assert count_buffers(optimizer_section(name, given)) == expected


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize(("name", "given"), CASES)
@pytest.mark.parametrize("steps", [0, 1, 7])
def test_state_carries_over(name: str, given: Settings, steps: int, sizes: tuple[int, ...]) -> None:
    unbroken, steps_of = start(sizes, torch.float32), gradients(sizes, torch.float32)
    optimizer = optimizer_of(name, given, unbroken)
    for gradient in steps_of[:steps]:
        step(optimizer, gradient)
    resumed = [piece.clone() for piece in unbroken]
    other = optimizer_of(name, given, resumed)
    buffers = {key: [piece.clone() for piece in pieces] for key, pieces in optimizer.buffers.items()}
    other.load_state(buffers, {key: scalar.clone() for key, scalar in optimizer.scalars.items()})
    for gradient in steps_of[steps:]:
        step(optimizer, gradient)
        step(other, gradient)
    assert all(map(torch.equal, unbroken, resumed))


@pytest.mark.parametrize(("name", "given"), CASES)
def test_the_state_of_one_model_of_three_carries_over(name: str, given: Settings) -> None:
    """Pieces of three models; the middle one is to go on from the state of one that trained alone."""
    shares = (6, 10)
    alone = [torch.linspace(-1, 1, size, dtype=torch.float64) for size in shares]
    optimizer = optimizer_of(name, given, alone)
    generator = torch.Generator().manual_seed(1)
    for _ in range(4):
        step(optimizer, [torch.randn(size, generator=generator, dtype=torch.float64) for size in shares])
    together = [piece.repeat(3) for piece in alone]
    three = optimizer_of(name, given, together)
    three.load_state(optimizer.buffers, optimizer.scalars, place=1, count=3)
    for _ in range(4):
        gradient = [torch.randn(3, size, generator=generator, dtype=torch.float64) for size in shares]
        step(three, [piece.flatten() for piece in gradient])
        step(optimizer, [piece[1].clone() for piece in gradient])
    for mine, theirs in zip(together, alone, strict=True):
        torch.testing.assert_close(mine.view(3, -1)[1], theirs, rtol=1e-12, atol=1e-14)
        if optimizer.buffers:
            assert not torch.equal(mine.view(3, -1)[0], mine.view(3, -1)[1])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_state_of_another_optimizer_is_refused(name: str) -> None:
    optimizer = optimizer_of(name, {}, [torch.zeros(4)])
    with pytest.raises(ValueError, match="state"):
        optimizer.load_state({"nonsense": [torch.zeros(4)]}, {})
    with pytest.raises(ValueError, match="state"):
        optimizer.load_state(optimizer.buffers, {**optimizer.scalars, "nonsense": torch.zeros(())})


@pytest.mark.parametrize(("name", "given"), CASES)
def test_state_of_another_network_is_refused(name: str, given: Settings) -> None:
    optimizer, other = (optimizer_of(name, given, [torch.zeros(size)]) for size in (4, 5))
    step(other, [torch.ones(5)])
    if not other.buffers:
        assert name == "sgd"  # which has no state without momentum
        return
    with pytest.raises(ValueError, match="state"):
        optimizer.load_state(other.buffers, other.scalars)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_solves_a_parabola(name: str) -> None:
    x = torch.full((3,), 5.0)
    optimizer = optimizer_of(name, {"weight_decay": 0.0, **OPTIMIZERS[name].parabola}, [x])
    for _ in range(600):
        step(optimizer, [2 * (x - 1)])
    torch.testing.assert_close(x, torch.ones(3), atol=0.2, rtol=0)
