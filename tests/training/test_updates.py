"""The chain of updates against torch.optim with torch's schedulers, step by step in float64."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torch.optim import lr_scheduler

from mlptrain.errors import UserError
from mlptrain.nn.parameters import Parameters, Stack
from mlptrain.spec import load_text
from mlptrain.spec.experiment import TrainingSpec
from mlptrain.spec.optimizer import OptimizerSpec
from mlptrain.spec.schedule import Linear, RunLength, Schedule
from mlptrain.training.trainer import CONSTANT
from mlptrain.updates.chain import NO_INGREDIENTS, ModelState, Updates
from mlptrain.views import learning_rates
from tests.catalogue import (
    OPTIMIZERS,
    SCHEDULES,
    Settings,
    cases,
    optimizer_section,
    schedule_section,
)

WEIGHTS = ("layers.0.weight", "layers.1.weight")
SHAPES: dict[str, tuple[int, ...]] = {"layers.0.weight": (3, 5), "layers.0.bias": (3,), "layers.1.weight": (2, 3)}
TOTAL, PER_EPOCH = 12, 3
RUN = RunLength(TOTAL, PER_EPOCH)
LINEAR = Linear(name="linear", final=0.1)
# Neighbours with equal settings, which are updated in one call, and others.
SIDE_BY_SIDE: list[tuple[str, Settings]] = [
    ("sgd", {"lr": 0.1}),
    ("sgd", {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.1}),
    ("sgd", {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.1}),
    ("adam", {"lr": 0.3}),
    ("adam", {"lr": 0.01, "amsgrad": True}),
    ("sgd", {"lr": 0.1}),
]


def stack_of(models: int, *, seed: int = 0, dtype: torch.dtype = torch.float64) -> Stack:
    """Parameters at random."""
    stack, generator = Stack(SHAPES, models=models, dtype=dtype), torch.Generator().manual_seed(seed)
    for member in stack.members:
        for view in member.values():
            view.normal_(generator=generator)
    return stack


class Models:
    """A stack with its updates, and in ``step`` the same gradients for every one made so."""

    def __init__(
        self,
        sections: Sequence[OptimizerSpec],
        schedule: Schedule | Sequence[Schedule],
        *,
        dtype: torch.dtype = torch.float64,
        training: TrainingSpec = NO_INGREDIENTS,
    ) -> None:
        self.parameters = stack_of(len(sections), dtype=dtype)
        self.gradients = self.parameters.gradients()
        self.updates = Updates(
            self.parameters,
            self.gradients,
            sections,
            weights=WEIGHTS,
            schedules=[schedule] * len(sections) if isinstance(schedule, Schedule) else schedule,
            run=RUN,
            training=training,
        )

    def step(self, number: int) -> list[Parameters]:
        """One step; returns the gradients of every model."""
        drawn = stack_of(self.parameters.models, seed=100 + number, dtype=self.parameters.flat.dtype)
        self.gradients.flat.copy_(drawn.flat)
        self.updates.advance()
        self.updates.apply()
        return drawn.members


def copied(state: ModelState) -> ModelState:
    return ModelState(
        {name: tensor.clone() for name, tensor in state.parameters.items()},
        {name: {key: tensor.clone() for key, tensor in of.items()} for name, of in state.buffers.items()},
        {name: scalar.clone() for name, scalar in state.scalars.items()},
        {name: tensor.clone() for name, tensor in state.raw.items()},
    )


def reference_of(name: str, settings: Settings, member: Parameters) -> tuple[torch.optim.Optimizer, list[Tensor]]:
    """torch's optimizer on copies of a model's parameters."""
    leaves = [view.clone().requires_grad_() for view in member.values()]
    return OPTIMIZERS[name].reference(leaves, **settings), leaves


def assert_steps_equal(
    names: Sequence[tuple[str, Settings]],
    schedule: Schedule,
    schedulers: Sequence[lr_scheduler.LRScheduler],
    references: Sequence[tuple[torch.optim.Optimizer, list[Tensor]]],
    models: Models,
) -> None:
    for number in range(TOTAL):
        for model, scheduler in enumerate(schedulers):
            assert models.updates.lr(model, number) == pytest.approx(scheduler.get_last_lr()[0], rel=1e-12)
        gradients = models.step(number)
        for model, (optimizer, leaves) in enumerate(references):
            for leaf, gradient in zip(leaves, gradients[model].values(), strict=True):
                leaf.grad = gradient.clone()
            optimizer.step()
            schedulers[model].step()
            tolerance = OPTIMIZERS[names[model][0]].tolerance
            for ours, leaf in zip(models.parameters.members[model].values(), leaves, strict=True):
                torch.testing.assert_close(ours, leaf.detach(), rtol=tolerance, atol=1e-13)


@pytest.mark.parametrize("names", [SIDE_BY_SIDE, *([one] for one in SIDE_BY_SIDE), cases(OPTIMIZERS, "good")])
@pytest.mark.parametrize("schedule", [LINEAR, Linear(name="linear"), CONSTANT])
def test_a_schedule_drives_models_side_by_side_as_lambda_lr(
    names: list[tuple[str, Settings]], schedule: Schedule
) -> None:
    models = Models([optimizer_section(*one) for one in names], schedule)
    references = [reference_of(*one, member) for one, member in zip(names, models.parameters.members, strict=True)]
    schedulers = [
        lr_scheduler.LambdaLR(optimizer, lambda step: schedule.factor_at(step, RUN)) for optimizer, _ in references
    ]
    assert_steps_equal(names, schedule, schedulers, references, models)


@pytest.mark.parametrize(("name", "settings"), cases(SCHEDULES))
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_schedule_equals_torchs(name: str, settings: Settings, optimizer: str) -> None:
    schedule, names = schedule_section(name, settings), [(optimizer, {"lr": 0.05})]
    models = Models([optimizer_section(*names[0])], schedule)
    references = [reference_of(*names[0], models.parameters.members[0])]
    schedulers = [SCHEDULES[name].reference(references[0][0], RUN, **settings)]
    assert_steps_equal(names, schedule, schedulers, references, models)


@pytest.mark.parametrize("taken", [0, 1, 5, TOTAL - 1])
@pytest.mark.parametrize("schedule", [LINEAR, CONSTANT])
def test_a_state_continues_to_the_same_bits(schedule: Schedule, taken: int) -> None:
    """All optimizers side by side; a new chain has taken other steps before it is given the states."""
    sections = [optimizer_section(*one) for one in (*SIDE_BY_SIDE, *cases(OPTIMIZERS))]
    unbroken, resumed = (Models(sections, schedule, dtype=torch.float32) for _ in range(2))
    for number in range(taken):
        unbroken.step(number)
    if taken:
        resumed.step(99)
    for model in range(len(sections)):
        resumed.updates.load(model, copied(unbroken.updates.state(model)))
    resumed.updates.start(taken)
    assert torch.equal(unbroken.parameters.flat, resumed.parameters.flat)
    for number in range(taken, TOTAL):
        unbroken.step(number)
        resumed.step(number)
        assert torch.equal(unbroken.parameters.flat, resumed.parameters.flat)
    for model in range(len(sections)):
        ours, theirs = resumed.updates.state(model), unbroken.updates.state(model)
        assert ours.buffers.keys() == theirs.buffers.keys()
        for name, buffers in ours.buffers.items():
            assert all(torch.equal(buffers[key], theirs.buffers[name][key]) for key in SHAPES)
        assert ours.scalars == theirs.scalars


def test_start_alone_sets_the_step_of_the_schedule() -> None:
    models = Models([optimizer_section("sgd", {"lr": 0.5})], Linear(name="linear"))
    before = models.parameters.members[0].clone()
    models.updates.start(TOTAL // 2)
    [gradients] = models.step(0)
    for name, view in models.parameters.members[0].items():
        torch.testing.assert_close(view, before[name] - 0.25 * gradients[name], rtol=1e-12, atol=1e-14)


def test_a_state_of_another_network_or_optimizer_is_refused() -> None:
    sections = [optimizer_section("adam", {}), optimizer_section("sgd", {})]
    models = Models(sections, CONSTANT)
    before = models.parameters.flat.clone()
    adam, sgd = (copied(models.updates.state(model)) for model in range(2))
    cut = {name: tensor[:1] for name, tensor in adam.parameters.items()}
    for wrong in (sgd, ModelState(cut, adam.buffers, adam.scalars), ModelState(adam.parameters, adam.buffers)):
        with pytest.raises(ValueError, match="expected"):
            models.updates.load(0, wrong)
    assert torch.equal(models.parameters.flat, before)


def test_the_drawn_rates_are_those_of_the_steps() -> None:
    experiment = load_text(
        "name: x\ndata: {name: digits, train_size: 600, validation: 0}\nmodel: {hidden: [4]}\n"
        "optimizer: {name: sgd, lr: 0.5}\n"
        "schedule: {name: multi_step, milestones: [2], warmup: 3}\ntraining: {epochs: 4, batch_size: 100}\n"
    ).experiment
    rates = learning_rates(experiment)
    assert rates.epochs.tolist() == [step / 6 for step in range(24)]
    assert rates.lr.tolist() == pytest.approx([0.5 / 3, 1 / 3, *[0.5] * 10, *[0.05] * 12])
    with pytest.raises(UserError, match="0 epochs has no steps"):
        learning_rates(experiment.with_training(epochs=0))
