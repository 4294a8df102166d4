"""Several models at once against each of them alone, over whole runs, and against each other's misfortunes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import pytest
import torch

from mlptrain.experiment.build import build_trainer, initial_parameters, load_data
from mlptrain.nn.engines.analytic import Backward
from mlptrain.nn.engines.autograd import Autograd
from mlptrain.spec import ExperimentSpec, load_text
from mlptrain.training.trainer import Epoch, Member, Trainer

OPTIMIZERS = (
    "{name: sgd, lr: 0.1}",
    "{name: sgd, lr: 0.05, momentum: 0.9, nesterov: true}",
    "{name: adam, lr: 0.01}",
    "{name: adamw, lr: 0.003, amsgrad: true}",
    "{name: nadam, lr: 0.005}",
    "{name: rmsprop, lr: 0.003, momentum: 0.5, centered: true}",
    "{name: adagrad, lr: 0.05}",
)
# A model's products are made together with others', in another order of additions. Over the three epochs of the runs
# below parameters moved apart by up to 6e-7, an epoch's losses by 3e-7 of their value and a step's by 4e-7 (over ten
# epochs by 2e-6, 7e-7 and 2e-6), and no example changed sides.
PARAMETERS_RTOL, PARAMETERS_ATOL = 1e-4, 1e-5
LOSSES_RTOL = 1e-5
STEP_LOSSES_RTOL = 1e-4


def spec_of(
    optimizer: str = "{name: sgd, lr: 0.1}",
    *,
    seed: int = 0,
    data: str = "{name: digits, validation: 100}",
    model: str = "{hidden: [13, 7]}",
    loss: str = "cross_entropy",
    batch_size: int | str = 100,
    **training: Any,
) -> ExperimentSpec:
    text = f"seed: {seed}\ndata: {data}\nmodel: {model}\nloss: {loss}\noptimizer: {optimizer}\n"
    overrides = [f"training.batch_size={batch_size}", "training.device=cpu"]
    return load_text(text, overrides=overrides + [f"training.{key}={value}" for key, value in training.items()]).spec


def together(specs: Sequence[ExperimentSpec]) -> Trainer:
    """One trainer, with one set of splits for each seed."""
    first = load_data(specs[0])
    splits = {specs[0].seed: first}
    for spec in specs:
        if spec.seed not in splits:
            splits[spec.seed] = load_data(spec, like=first)
    return build_trainer(specs, [splits[spec.seed] for spec in specs])


def run(trainer: Trainer, *, first: int = 0, last: int = 3) -> list[list[Epoch | None]]:
    return list(trainer.epochs(first=first, last=last, should_stop=lambda: False))


def assert_same_figures(one: Epoch | None, other: Epoch | None) -> None:
    assert one is not None
    assert other is not None
    assert (one.epoch, one.step, one.lr, one.diverged) == (other.epoch, other.step, other.lr, other.diverged)
    for ours, theirs in ((one.train, other.train), (one.evaluated, other.evaluated)):
        assert (ours is None) == (theirs is None)
        if ours is not None and theirs is not None:
            assert ours.loss == pytest.approx(theirs.loss, rel=LOSSES_RTOL)
            # An example on the boundary between two classes may fall to the other side.
            assert ours.accuracy == pytest.approx(theirs.accuracy, abs=2e-3)
    if one.step_losses is not None:
        torch.testing.assert_close(one.step_losses, other.step_losses, rtol=STEP_LOSSES_RTOL, atol=1e-6)


def assert_same_state(one: Member, other: Member) -> None:
    for name, ours in one.parameters.items():
        torch.testing.assert_close(ours, other.parameters[name], rtol=PARAMETERS_RTOL, atol=PARAMETERS_ATOL)
    ours_buffers, theirs_buffers = one.optimizer_buffers(), other.optimizer_buffers()
    assert set(ours_buffers) == set(theirs_buffers)
    for name, buffers in ours_buffers.items():
        for parameter, ours in buffers.items():
            torch.testing.assert_close(ours, theirs_buffers[name][parameter], rtol=1e-3, atol=1e-5)
    assert one.optimizer_scalars() == other.optimizer_scalars()


def assert_each_is_its_single_run(specs: Sequence[ExperimentSpec]) -> None:
    trainer = together(specs)
    for index, spec in enumerate(specs):
        alone = initial_parameters(spec, trainer.network)
        for name, ours in trainer.member(index).parameters.items():
            assert torch.equal(ours, alone[name])
    found = run(trainer)
    for index, spec in enumerate(specs):
        single = together([spec])
        for epoch in (1, 2, 3):
            assert torch.equal(trainer.member(index).order(epoch), single.member().order(epoch))
        for epochs, [expected] in zip(found, run(single), strict=True):
            assert_same_figures(epochs[index], expected)
        assert_same_state(trainer.member(index), single.member())


@pytest.mark.parametrize(
    "model",
    [
        "{hidden: [32, 16, 8], activation: gelu}",
        "{hidden: [13, 7]}",  # no weights of a multiple of 16 elements but the first
        "{hidden: [9], activation: prelu, bias: false}",
        "{hidden: []}",
    ],
)
def test_seeds_and_all_optimizers_in_one_trainer(model: str) -> None:
    """Fourteen models: seven settings with two seeds, whose validation rows and so whose batches differ."""
    assert_each_is_its_single_run(
        [spec_of(optimizer, seed=seed, model=model) for seed in (0, 1) for optimizer in OPTIMIZERS]
    )


@pytest.mark.parametrize(
    ("data", "loss"),
    [
        ("{name: digits, classes: [3, 8], validation: 0.2}", "bce"),
        ("{name: digits, validation: 50}", "{name: mse, reduction: sum}"),
        ("{name: random_regression, n_targets: 3}", "mae"),
        ("{name: spirals, points_per_class: 30, validation: 9}", "cross_entropy"),
    ],
)
@pytest.mark.parametrize("batching", [{"batch_size": 20}, {"batch_size": "full"}, {"shuffle": "false"}])
def test_every_loss_and_way_of_batching(data: str, loss: str, batching: dict[str, Any]) -> None:
    """Seeds that share their rows and seeds that do not, and neighbours with equal settings."""
    optimizers = ("{name: adam, lr: 0.01}", "{name: adam, lr: 0.01}", "{name: sgd, lr: 1e-3}")
    seeds_and_optimizers = zip((0, 1, 1), optimizers, strict=True)
    assert_each_is_its_single_run(
        [spec_of(one, seed=seed, data=data, loss=loss, **batching) for seed, one in seeds_and_optimizers]
    )


def test_neighbours_need_not_be_sorted() -> None:
    """The same rows before and after others', and equal settings on both sides of others."""
    settings_and_seeds = ((OPTIMIZERS[2], 0), (OPTIMIZERS[4], 1), (OPTIMIZERS[2], 0), (OPTIMIZERS[2], 1))
    assert_each_is_its_single_run([spec_of(one, seed=seed) for one, seed in settings_and_seeds])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_on_cuda_as_on_the_cpu() -> None:
    specs = [spec_of(optimizer, seed=seed) for seed in (0, 1) for optimizer in OPTIMIZERS]
    on_cuda = [
        spec.model_copy(update={"training": spec.training.model_copy(update={"device": "cuda"})}) for spec in specs
    ]
    trainers = together(specs), together(on_cuda)
    for epochs, expected in zip(run(trainers[1]), run(trainers[0]), strict=True):
        for one, other in zip(epochs, expected, strict=True):
            assert_same_figures(one, other)
    for index in range(len(specs)):
        for name, ours in trainers[1].member(index).parameters.items():
            theirs = trainers[0].member(index).parameters[name]
            torch.testing.assert_close(ours.cpu(), theirs, rtol=1e-3, atol=1e-4)


def test_by_autograd_as_by_hand() -> None:
    specs = [spec_of(OPTIMIZERS[2], seed=seed) for seed in (0, 1)]
    trainers = []
    for gradient in (Backward, Autograd):
        made = together(specs)
        trainers.append(
            Trainer(
                made.network,
                models=made.models,
                loss=made.loss,
                classify=True,
                batch_size=100,
                shuffle=True,
                gradient=gradient,
            )
        )
    for epochs, expected in zip(run(trainers[0]), run(trainers[1]), strict=True):
        for one, other in zip(epochs, expected, strict=True):
            assert_same_figures(one, other)
    for index in range(2):
        assert_same_state(trainers[0].member(index), trainers[1].member(index))


def assert_same_bytes(one: Epoch | None, other: Epoch | None) -> None:
    assert one is not None
    assert other is not None
    for field in fields(Epoch):
        ours, theirs = getattr(one, field.name), getattr(other, field.name)
        if field.name.startswith("step_") and ours is not None:
            assert torch.equal(ours, theirs)
        elif not field.name.endswith("_seconds"):
            assert ours == theirs


HARMLESS = "{name: sgd, lr: 1e-3}"


@pytest.mark.parametrize("lr", ["1e6", "1e20"])
@pytest.mark.parametrize("place", [0, 2, 5])
def test_a_diverging_model_does_not_touch_its_neighbours(place: int, lr: str) -> None:
    """To the last bit: with the learning rate lr in one place, or a harmless one, the five others are the same."""
    settings = [*OPTIMIZERS[:3], *OPTIMIZERS[4:]]
    trainers, found = [], []
    for optimizer in (HARMLESS, f"{{name: sgd, lr: {lr}}}"):
        settings[place] = optimizer
        specs = [spec_of(one, seed=int(index > 2)) for index, one in enumerate(settings)]
        trainers.append(together(specs))
        found.append(run(trainers[-1]))
    calm, wild = found
    if lr == "1e20":
        assert [epochs[place] is None for epochs in wild] == [False, False, True, True]
        last = wild[1][place]
        assert last is not None
        assert last.diverged is not None
        assert last.evaluated is None
        # Alone it would have been found at the same step.
        *_, [alone] = run(together([spec_of(settings[place], seed=int(place > 2))]), last=9)
        assert alone is not None
        assert alone.diverged is not None
        assert (last.diverged.epoch, last.diverged.step) == (alone.diverged.epoch, alone.diverged.step)
        assert str(last.diverged) == str(alone.diverged)
    for index in (one for one in range(len(settings)) if one != place):
        for epochs, expected in zip(wild, calm, strict=True):
            assert_same_bytes(epochs[index], expected[index])
        ours, theirs = (trainer.member(index) for trainer in trainers)
        assert torch.equal(ours.parameters.clone().flat, theirs.parameters.clone().flat)
        for name, buffers in ours.optimizer_buffers().items():
            assert torch.equal(buffers.clone().flat, theirs.optimizer_buffers()[name].clone().flat)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_nor_where_they_have_the_optimizer_in_common(optimizer: str) -> None:
    """Three models with equal settings are updated in one call; the second begins with weights that overflow."""
    made = together([spec_of(optimizer)] * 3)
    trainers, found = [], []
    for factor in (1.0, 1e30):
        models = list(made.models)
        wild = models[1].initial.clone()
        wild.flat.mul_(factor)
        models[1] = replace(models[1], initial=wild)
        trainers.append(
            Trainer(made.network, models=models, loss=made.loss, classify=True, batch_size=100, shuffle=True)
        )
        found.append(run(trainers[-1], first=1))
    assert [epochs[1] is None for epochs in found[1]] == [False, True, True]
    for index in (0, 2):
        for epochs, expected in zip(*found, strict=True):
            assert_same_bytes(epochs[index], expected[index])
        one, other = (trainer.member(index).parameters.clone().flat for trainer in trainers)
        assert torch.equal(one, other)


def test_training_ends_when_all_have_diverged() -> None:
    specs = [spec_of("{name: sgd, lr: 1e20}"), spec_of("{name: sgd, lr: 1e25}", seed=1)]
    found = run(together(specs), last=50)
    assert [[epoch is not None and epoch.diverged is not None for epoch in epochs] for epochs in found] == [
        [False, False],
        [True, True],
    ]


def test_a_diverged_model_goes_on_once_it_is_given_a_sound_state() -> None:
    trainer = together([spec_of("{name: sgd, lr: 1e20, momentum: 0.5}"), spec_of(seed=1)])
    sound = trainer.member(0).parameters.clone()
    assert [epochs[0] is None for epochs in run(trainer, last=2)] == [False, False, True]
    zeros = {"momentum_buffer": {name: torch.zeros_like(values) for name, values in sound.items()}}
    trainer.member(0).load(sound, buffers=zeros, scalars={})
    [epochs] = run(trainer, first=0, last=0)
    assert epochs[0] is not None
    assert epochs[0].diverged is None


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_model_goes_on_among_others_from_where_it_was_alone(optimizer: str) -> None:
    """After one epoch alone, its parameters and optimizer state go to the middle of three models with its settings."""
    spec = spec_of(optimizer, seed=1)
    single = together([spec])
    run(single, last=1)
    trainer = together([spec_of(optimizer, seed=seed) for seed in (0, 1, 2)])
    run(trainer, last=1)  # what the others' state is, and what it was, plays no part
    trainer.member(1).parameters.copy_(trainer.models[0].initial)
    trainer.member(1).load(
        single.member().parameters,
        buffers=single.member().optimizer_buffers(),
        scalars=single.member().optimizer_scalars(),
    )
    for epochs, [expected] in zip(run(trainer, first=2), run(single, first=2), strict=True):
        assert_same_figures(epochs[1], expected)
    assert_same_state(trainer.member(1), single.member())


def test_a_state_of_another_network_or_optimizer_is_refused() -> None:
    trainer = together([spec_of(OPTIMIZERS[2], seed=seed) for seed in (0, 1)])
    other = together([spec_of(OPTIMIZERS[2], model="{hidden: [4]}")]).member()
    member = trainer.member(1)
    before = member.parameters.clone().flat
    for parameters, buffers, scalars in (
        (other.parameters, member.optimizer_buffers(), member.optimizer_scalars()),
        (member.parameters, other.optimizer_buffers(), member.optimizer_scalars()),
        (member.parameters, {}, {}),
    ):
        with pytest.raises(ValueError, match="wanted"):
            member.load(parameters, buffers=buffers, scalars=scalars)
    assert torch.equal(member.parameters.clone().flat, before)


def test_models_share_their_batches_if_they_share_their_rows() -> None:
    specs = [spec_of(OPTIMIZERS[0]), spec_of(OPTIMIZERS[2]), spec_of(seed=1)]
    trainer = together(specs)
    first, second, third = (trainer.member(index).rows for index in range(3))
    assert first is second
    assert trainer.backward.groups == (2, 1)
    [inputs, targets] = next(iter(next(iter(trainer.batches.blocks(1, steps=1))).steps()))
    assert [x.shape for x in inputs] == [(100, 64), (100, 64)]
    assert targets.shape == (3, 1, 100)
    assert torch.equal(targets[0], targets[1])
    assert not torch.equal(targets[0], targets[2])
    # Splits of their own, and the stored rows in memory once.
    assert first.x.data_ptr() == third.x.data_ptr()
    assert first.chosen is not None
    assert third.chosen is not None
    assert not torch.equal(first.chosen, third.chosen)
    assert len(first) == len(third) == 1437 - 100


def test_seeds_without_a_validation_split_share_their_rows_and_not_their_order() -> None:
    trainer = together([spec_of(seed=seed, data="{name: digits, validation: 0}") for seed in (0, 1)])
    one, other = (trainer.member(index) for index in range(2))
    assert one.rows.x.data_ptr() == other.rows.x.data_ptr()
    assert not torch.equal(one.order(1), other.order(1))
    assert trainer.backward.groups == (1, 1)


def test_generated_rows_are_each_seeds_own() -> None:
    trainer = together([spec_of(seed=seed, data="{name: spirals, points_per_class: 20}") for seed in (0, 1)])
    assert not torch.equal(trainer.member(0).rows.x, trainer.member(1).rows.x)


def test_models_with_unequal_numbers_of_rows_are_refused() -> None:
    specs = [spec_of(data=f"{{name: digits, validation: 0, train_size: {size}}}") for size in (300, 200)]
    with pytest.raises(ValueError, match=r"\[200, 300\] rows cannot train together"):
        build_trainer(specs, [load_data(spec) for spec in specs])


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "nadam", "rmsprop", "adagrad"])
def test_a_network_that_trains_without_eps_has_not_diverged(optimizer: str) -> None:
    """Gradients of these dense rows are nowhere 0, so that torch, too, divides by nothing."""
    spec = spec_of(
        f"{{name: {optimizer}, lr: 0.01, eps: 0}}",
        data="{name: random_classification, n_features: 5}",
        model="{hidden: [5], activation: tanh}",
        batch_size=16,
    )
    trainer = together([spec, spec.model_copy(update={"seed": 1})])
    found = run(trainer)
    assert all(epoch is not None and epoch.diverged is None for epochs in found for epoch in epochs)
    last = found[-1][0]
    assert last is not None
    assert last.train is not None
    assert last.train.loss < 1.5
    assert trainer.member(0).parameters.clone().flat.isfinite().all()
