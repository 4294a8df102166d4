"""Several models at once against each of them alone, over whole runs, and against each other's misfortunes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import pytest
import torch

from mlptrain.experiment.build import build_trainer, initial_parameters, load_data, load_data_of_seeds
from mlptrain.nn.engines import ENGINES
from mlptrain.spec import Experiment, load_text
from mlptrain.training.trainer import Epoch, TrainedModel, Trainer
from mlptrain.updates.chain import ModelState
from tests import catalogue

OPTIMIZERS = [catalogue.yaml(*case) for case in catalogue.cases(catalogue.OPTIMIZERS, "good")]
# A model's products are made together with others', in another order of additions. Over the three epochs of the runs
# below parameters moved apart by up to 6e-7, an epoch's losses by 3e-7 of their value and a step's by 4e-7 (over ten
# epochs by 2e-6, 7e-7 and 2e-6), and no example changed sides.
PARAMETERS_RTOL, PARAMETERS_ATOL = 1e-4, 1e-5
LOSSES_RTOL = 1e-5
STEP_LOSSES_RTOL = 1e-4


def experiment_of(
    optimizer: str = "{name: sgd, lr: 0.1}",
    *,
    seed: int = 0,
    data: str = "{name: digits, validation: 100}",
    model: str = "{hidden: [13, 7]}",
    loss: str = "cross_entropy",
    batch_size: int | str = 100,
    **training: Any,
) -> Experiment:
    text = f"seed: {seed}\ndata: {data}\nmodel: {model}\nloss: {loss}\noptimizer: {optimizer}\n"
    overrides = [f"training.batch_size={batch_size}", "training.device=cpu"]
    loaded = load_text(text, overrides=overrides + [f"training.{key}={value}" for key, value in training.items()])
    return loaded.experiment


def together(specs: Sequence[Experiment]) -> Trainer:
    """One trainer, with one set of splits for each seed."""
    of_seeds = {spec.seed: spec for spec in specs}
    splits = dict(zip(of_seeds, load_data_of_seeds(list(of_seeds.values())), strict=True))
    return build_trainer(specs, [splits[spec.seed] for spec in specs])


def run(trainer: Trainer, *, first: int = 0, last: int = 3) -> list[list[Epoch | None]]:
    return list(trainer.epochs(first=first, last=last, should_stop=lambda: False))


def assert_same_figures(one: Epoch | None, other: Epoch | None) -> None:
    assert one is not None
    assert other is not None
    assert (one.epoch, one.step, one.lr, one.ending) == (other.epoch, other.step, other.lr, other.ending)
    for ours, theirs in ((one.train, other.train), (one.evaluated, other.evaluated)):
        assert (ours is None) == (theirs is None)
        if ours is not None and theirs is not None:
            assert ours.loss == pytest.approx(theirs.loss, rel=LOSSES_RTOL)
            # An example on the boundary between two classes may fall to the other side.
            assert ours.accuracy == pytest.approx(theirs.accuracy, abs=2e-3)
    if one.step_losses is not None:
        torch.testing.assert_close(one.step_losses, other.step_losses, rtol=STEP_LOSSES_RTOL, atol=1e-6)


def assert_same_state(one: TrainedModel, other: TrainedModel) -> None:
    for name, ours in one.parameters.items():
        torch.testing.assert_close(ours, other.parameters[name], rtol=PARAMETERS_RTOL, atol=PARAMETERS_ATOL)
    ours_buffers, theirs_buffers = one.state().buffers, other.state().buffers
    assert set(ours_buffers) == set(theirs_buffers)
    for name, buffers in ours_buffers.items():
        for parameter, ours in buffers.items():
            torch.testing.assert_close(ours, theirs_buffers[name][parameter], rtol=1e-3, atol=1e-5)
    assert one.state().scalars == other.state().scalars


def assert_each_is_its_single_run(specs: Sequence[Experiment]) -> None:
    trainer = together(specs)
    for index, spec in enumerate(specs):
        alone = initial_parameters(spec, trainer.network)
        for name, ours in trainer.model(index).parameters.items():
            assert torch.equal(ours, alone[name])
    found = run(trainer)
    for index, spec in enumerate(specs):
        single = together([spec])
        for epoch in (1, 2, 3):
            assert torch.equal(trainer.model(index).order(epoch), single.model().order(epoch))
        for epochs, [expected] in zip(found, run(single), strict=True):
            assert_same_figures(epochs[index], expected)
        assert_same_state(trainer.model(index), single.model())


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
    """All optimizers with two seeds each, whose validation rows and so whose batches differ."""
    assert_each_is_its_single_run(
        [experiment_of(optimizer, seed=seed, model=model) for seed in (0, 1) for optimizer in OPTIMIZERS]
    )


@pytest.mark.parametrize("clip", [{"clip_norm": 0.5}, {"clip_value": 0.01}])
def test_what_surrounds_the_optimizers_is_of_each_model_alone(clip: dict[str, float]) -> None:
    """Neighbours with equal settings and others, with gradients of different norms."""
    training: dict[str, Any] = {**clip, "max_norm": [1.0, 0.8, 0.9], "l1": 1e-4, "ema": 0.9}
    wild, calm = (
        f"{{name: {name}, lr: {lr}, weight_decay: 0.1, weight_decay_for: weights}}"
        for name, lr in (("sgd", 0.5), ("adamw", 0.001))
    )
    specs = [experiment_of(optimizer, seed=seed, **training) for seed in (0, 1) for optimizer in (wild, wild, calm)]
    assert_each_is_its_single_run(specs)
    [spec, *_] = specs
    averaged, raw = (together([one]) for one in (spec, spec.with_training(ema=0.0)))
    for [ours], [theirs] in zip(run(averaged), run(raw), strict=True):
        assert ours is not None
        assert theirs is not None
        assert ours.train == theirs.train  # it is the weights themselves that are trained
        assert (ours.evaluated == theirs.evaluated) == (ours.epoch == 0)


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
        [experiment_of(one, seed=seed, data=data, loss=loss, **batching) for seed, one in seeds_and_optimizers]
    )


def test_neighbours_need_not_be_sorted() -> None:
    """The same rows before and after others', and equal settings on both sides of others."""
    settings_and_seeds = ((OPTIMIZERS[2], 0), (OPTIMIZERS[4], 1), (OPTIMIZERS[2], 0), (OPTIMIZERS[2], 1))
    assert_each_is_its_single_run([experiment_of(one, seed=seed) for one, seed in settings_and_seeds])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_on_cuda_as_on_the_cpu() -> None:
    specs = [experiment_of(optimizer, seed=seed) for seed in (0, 1) for optimizer in OPTIMIZERS]
    on_cuda = [spec.with_training(device="cuda") for spec in specs]
    trainers = together(specs), together(on_cuda)
    for epochs, expected in zip(run(trainers[1]), run(trainers[0]), strict=True):
        for one, other in zip(epochs, expected, strict=True):
            assert_same_figures(one, other)
    for index in range(len(specs)):
        for name, ours in trainers[1].model(index).parameters.items():
            theirs = trainers[0].model(index).parameters[name]
            torch.testing.assert_close(ours.cpu(), theirs, rtol=1e-3, atol=1e-4)


def test_by_autograd_as_by_hand() -> None:
    specs = [experiment_of(OPTIMIZERS[2], seed=seed) for seed in (0, 1)]
    trainers = []
    for engine in ENGINES:
        made = together(specs)
        trainers.append(
            Trainer(
                made.network,
                models=made.models,
                loss=made.loss,
                classify=True,
                batch_size=100,
                shuffle=True,
                engine=engine,
            )
        )
    for epochs, expected in zip(run(trainers[0]), run(trainers[1]), strict=True):
        for one, other in zip(epochs, expected, strict=True):
            assert_same_figures(one, other)
    for index in range(2):
        assert_same_state(trainers[0].model(index), trainers[1].model(index))


def assert_same_bytes(one: Epoch | None, other: Epoch | None) -> None:
    assert one is not None
    assert other is not None
    for field in fields(Epoch):
        ours, theirs = getattr(one, field.name), getattr(other, field.name)
        if field.name.startswith("step_") and ours is not None:
            assert torch.equal(ours, theirs)
        elif not field.name.endswith("_seconds"):
            assert ours == theirs


def has_eps(name: str) -> bool:
    return "eps" in catalogue.optimizer_section(name, {}).model_dump()


HARMLESS = "{name: sgd, lr: 1e-3}"


@pytest.mark.parametrize("lr", ["1e6", "1e20"])
@pytest.mark.parametrize("place", [0, 2, 5])
def test_a_diverging_model_does_not_touch_its_neighbours(place: int, lr: str) -> None:
    """To the last bit: with the learning rate lr in one place, or a harmless one, the five others are the same."""
    settings = [*OPTIMIZERS[:3], *OPTIMIZERS[4:7]]
    trainers, found = [], []
    for optimizer in (HARMLESS, f"{{name: sgd, lr: {lr}}}"):
        settings[place] = optimizer
        specs = [experiment_of(one, seed=int(index > 2)) for index, one in enumerate(settings)]
        trainers.append(together(specs))
        found.append(run(trainers[-1]))
    calm, wild = found
    if lr == "1e20":
        assert [epochs[place] is None for epochs in wild] == [False, False, True, True]
        last = wild[1][place]
        assert last is not None
        assert last.ending is not None
        assert last.evaluated is None
        # Alone it would have been found at the same step.
        *_, [alone] = run(together([experiment_of(settings[place], seed=int(place > 2))]), last=9)
        assert alone is not None
        assert alone.ending is not None
        assert last.ending == alone.ending
        assert last.ending.kind == "diverged"
    for index in (one for one in range(len(settings)) if one != place):
        for epochs, expected in zip(wild, calm, strict=True):
            assert_same_bytes(epochs[index], expected[index])
        ours, theirs = (trainer.model(index) for trainer in trainers)
        assert torch.equal(ours.parameters.clone().flat, theirs.parameters.clone().flat)
        for name, buffers in ours.state().buffers.items():
            for parameter, values in buffers.items():
                assert torch.equal(values, theirs.state().buffers[name][parameter])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_nor_where_they_have_the_optimizer_in_common(optimizer: str) -> None:
    """Three models with equal settings are updated in one call; the second begins with weights that overflow."""
    made = together([experiment_of(optimizer)] * 3)
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
        one, other = (trainer.model(index).parameters.clone().flat for trainer in trainers)
        assert torch.equal(one, other)


def test_training_ends_when_all_have_diverged() -> None:
    specs = [experiment_of("{name: sgd, lr: 1e20}"), experiment_of("{name: sgd, lr: 1e25}", seed=1)]
    found = run(together(specs), last=50)
    assert [[epoch is not None and epoch.ending is not None for epoch in epochs] for epochs in found] == [
        [False, False],
        [True, True],
    ]


def test_a_diverged_model_trains_again_once_it_is_given_a_sound_state() -> None:
    trainer = together([experiment_of("{name: sgd, lr: 1e20, momentum: 0.5}"), experiment_of(seed=1)])
    sound = trainer.model(0).parameters.clone()
    assert [epochs[0] is None for epochs in run(trainer, last=2)] == [False, False, True]
    zeros = {"momentum_buffer": {name: torch.zeros_like(values) for name, values in sound.items()}}
    trainer.model(0).load(ModelState(sound, zeros))
    [epochs] = run(trainer, first=0, last=0)
    assert epochs[0] is not None
    assert epochs[0].ending is None


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_model_continues_among_others_from_where_it_was_alone(optimizer: str) -> None:
    """After one epoch alone, its parameters and optimizer state go to the middle of three models with its settings."""
    spec = experiment_of(optimizer, seed=1)
    single = together([spec])
    run(single, last=1)
    trainer = together([experiment_of(optimizer, seed=seed) for seed in (0, 1, 2)])
    run(trainer, last=1)  # what the others' state is, and what it was, plays no part
    trainer.model(1).parameters.copy_(trainer.models[0].initial)
    trainer.model(1).load(single.model().state())
    for epochs, [expected] in zip(run(trainer, first=2), run(single, first=2), strict=True):
        assert_same_figures(epochs[1], expected)
    assert_same_state(trainer.model(1), single.model())


def test_a_state_of_another_network_or_optimizer_is_refused() -> None:
    trainer = together([experiment_of(OPTIMIZERS[2], seed=seed) for seed in (0, 1)])
    other = together([experiment_of(OPTIMIZERS[2], model="{hidden: [4]}")]).model()
    member = trainer.model(1)
    before, own, foreign = member.parameters.clone().flat, member.state(), other.state()
    for state in (
        ModelState(foreign.parameters, own.buffers, own.scalars),
        ModelState(own.parameters, foreign.buffers, own.scalars),
        ModelState(own.parameters),
    ):
        with pytest.raises(ValueError, match="expected"):
            member.load(state)
    assert torch.equal(member.parameters.clone().flat, before)


def test_models_share_their_batches_if_they_share_their_rows() -> None:
    specs = [experiment_of(OPTIMIZERS[0]), experiment_of(OPTIMIZERS[2]), experiment_of(seed=1)]
    trainer = together(specs)
    first, second, third = (trainer.model(index).examples for index in range(3))
    assert first is second
    assert trainer.engine.groups == (2, 1)
    targets, inputs = next(trainer.batches.blocks(1, steps=1))
    assert [x.shape for x in next(inputs)] == [(100, 64), (100, 64)]
    assert targets.shape == (3, 1, 100)
    assert torch.equal(targets[0], targets[1])
    assert not torch.equal(targets[0], targets[2])
    # Splits of their own, and the stored rows in memory once.
    assert first.x.data_ptr() == third.x.data_ptr()
    assert first.index is not None
    assert third.index is not None
    assert not torch.equal(first.index, third.index)
    assert len(first) == len(third) == 1437 - 100


def test_seeds_without_a_validation_split_share_their_rows_and_not_their_order() -> None:
    trainer = together([experiment_of(seed=seed, data="{name: digits, validation: 0}") for seed in (0, 1)])
    one, other = (trainer.model(index) for index in range(2))
    assert one.examples.x.data_ptr() == other.examples.x.data_ptr()
    assert not torch.equal(one.order(1), other.order(1))
    assert trainer.engine.groups == (1, 1)


def test_generated_rows_are_each_seeds_own() -> None:
    trainer = together([experiment_of(seed=seed, data="{name: spirals, points_per_class: 20}") for seed in (0, 1)])
    assert not torch.equal(trainer.model(0).examples.x, trainer.model(1).examples.x)


def test_models_with_unequal_numbers_of_rows_are_refused() -> None:
    specs = [experiment_of(data=f"{{name: digits, validation: 0, train_size: {size}}}") for size in (300, 200)]
    with pytest.raises(ValueError, match=r"\[200, 300\] rows cannot train together"):
        build_trainer(specs, [load_data(spec) for spec in specs])


@pytest.mark.parametrize("optimizer", [name for name in catalogue.OPTIMIZERS if has_eps(name)])
def test_a_network_that_trains_without_eps_has_not_diverged(optimizer: str) -> None:
    """Gradients of these dense rows are nowhere 0, so that torch, too, divides by nothing."""
    spec = experiment_of(
        f"{{name: {optimizer}, lr: 0.01, eps: 0}}",
        data="{name: random_classification, n_features: 5}",
        model="{hidden: [5], activation: tanh}",
        batch_size=16,
    )
    trainer = together([spec, spec.changed(seed=1)])
    found = run(trainer)
    assert all(epoch is not None and epoch.ending is None for epochs in found for epoch in epochs)
    last = found[-1][0]
    assert last is not None
    assert last.train is not None
    slow = ("adadelta", "radam")  # which takes no step at all without eps, and short ones at first
    assert last.train.loss < (1.6 if optimizer in slow else 1.5)
    assert trainer.model(0).parameters.clone().flat.isfinite().all()
