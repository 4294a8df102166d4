"""Every optimizer against the class of torch.optim, step by step in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from mlptrain.spec import load_text
from mlptrain.training.optimizers import OPTIMIZERS, make_optimizer

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


def gradients() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(48, generator=generator, dtype=torch.float64) for _ in range(25)]


def test_every_optimizer_has_a_case() -> None:
    assert {name for name, _ in CASES} == set(OPTIMIZERS)


@pytest.mark.parametrize(("name", "given"), CASES)
def test_steps_equal_torch_optim(name: str, given: dict[str, Any]) -> None:
    ours = torch.linspace(-1, 1, 48, dtype=torch.float64)
    theirs = ours.clone().requires_grad_()
    optimizer = make_optimizer(name, ours, **settings_of(name, given))
    # `given` alone goes to torch, so that differing defaults show
    reference = getattr(torch.optim, CLASSES[name])([theirs], **given)
    for gradient in gradients():
        optimizer.step(gradient)
        theirs.grad = gradient.clone()
        reference.step()
        torch.testing.assert_close(ours, theirs.detach(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("name", "given"), CASES)
@pytest.mark.parametrize("steps", [0, 1, 7])
def test_state_carries_over(name: str, given: dict[str, Any], steps: int) -> None:
    unbroken = torch.linspace(-1, 1, 48)
    optimizer = make_optimizer(name, unbroken, **settings_of(name, given))
    for gradient in gradients()[:steps]:
        optimizer.step(gradient.float())
    resumed = unbroken.clone()
    other = make_optimizer(name, resumed, **settings_of(name, given))
    other.load_state({key: tensor.clone() for key, tensor in optimizer.state.items()})
    for gradient in gradients()[steps:]:
        optimizer.step(gradient.float())
        other.step(gradient.float())
    assert torch.equal(unbroken, resumed)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_state_of_another_optimizer_is_refused(name: str) -> None:
    optimizer = make_optimizer(name, torch.zeros(4), **settings_of(name, {}))
    with pytest.raises(ValueError, match="state"):
        optimizer.load_state({"nonsense": torch.zeros(4)})


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_solves_a_parabola(name: str) -> None:
    x = torch.full((3,), 5.0)
    optimizer = make_optimizer(name, x, **settings_of(name, {"lr": 0.3, "weight_decay": 0.0}))
    for _ in range(600):
        optimizer.step(2 * (x - 1))
    torch.testing.assert_close(x, torch.ones(3), atol=0.2, rtol=0)
