"""Groups that train in parts: who shares a trainer, and that nothing else comes of it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from mlptrain.data import Splits
from mlptrain.errors import InterruptedRunError
from mlptrain.experiment.build import load_data
from mlptrain.experiment.fit import Start, fit
from mlptrain.experiment.parts import CACHE_BYTES, parts_of
from mlptrain.spec import Experiment, load_text
from tests.training.test_fit import Heard, assert_same_bits, figures

LARGE = "[1500, 1100]"  # 1.8 million parameters: with Adam no two share a trainer
MIDDLE = "[500, 330]"  # 0.2 million: no four do


def experiment_of(seed: int, *, hidden: str = LARGE, rows: int = 120, lr: float = 0.001, epochs: int = 3) -> Experiment:
    text = f"""
seed: {seed}
data: {{name: digits, train_size: {rows}, test_size: 20, validation: 20}}
model: {{hidden: {hidden}}}
optimizer: {{name: adam, lr: {lr}}}
training: {{epochs: {epochs}, batch_size: 50, device: cpu}}
"""
    return load_text(text).experiment


def of(experiments: Sequence[Experiment]) -> list[Splits]:
    return [load_data(one) for one in experiments]


def heard(experiments: Sequence[Experiment], starts: Sequence[Start] | None = None) -> Heard:
    listener = Heard()
    fit(experiments, of(experiments), [listener], starts=starts)
    return listener


def alone(experiment: Experiment) -> Heard:
    return heard([experiment])


@pytest.mark.parametrize(("hidden", "count"), [("[8]", 30), (MIDDLE, 7), ("[300]", 23), (LARGE, 4)])
@pytest.mark.parametrize("rows", [[120], [120, 90]])
def test_parts_fit_the_cache_and_are_of_one_number_of_rows(hidden: str, count: int, rows: list[int]) -> None:
    experiments = [experiment_of(seed, hidden=hidden, rows=rows[seed % len(rows)]) for seed in range(count)]
    splits = of(experiments)
    parts = parts_of(experiments, splits)
    assert sorted(place for part in parts for place in part) == list(range(count))
    assert all(part == sorted(part) for part in parts)
    weights = sum(torch.Size(shape).numel() for shape in experiments[0].parameter_shapes.values())
    for part in parts:
        assert len({len(splits[place].train) for place in part}) == 1
        # Of Adam weights, gradients, and two buffers, of 4 bytes for each parameter.
        assert len(part) == 1 or len(part) * weights * 4 * 4 <= CACHE_BYTES
    for size in rows:
        of_size = [len(part) for part in parts if experiments[part[0]].data.choice().train_size == size]
        assert max(of_size) - min(of_size) <= 1
        together = sum(of_size) * weights * 4 * 4
        assert (len(of_size) == 1) == (together <= CACHE_BYTES)


def test_buffers_count() -> None:
    experiments = [experiment_of(seed, hidden=MIDDLE) for seed in range(12)]
    sgd = [
        one.changed(optimizer=load_text("model: {hidden: [1]}\ndata: digits\noptimizer: sgd").experiment.optimizer)
        for one in experiments
    ]
    averaged = [one.with_training(ema=0.9) for one in experiments]
    splits = of(experiments)
    numbers = [len(parts_of(some, splits)) for some in (sgd, experiments, averaged)]
    assert numbers == sorted(numbers)
    assert numbers[0] < numbers[1] < numbers[2]


def test_on_a_gpu_only_unequal_rows_train_apart() -> None:
    experiments = [
        experiment_of(seed, rows=rows).with_training(device="cuda:0") for seed, rows in enumerate((120, 90, 120))
    ]
    assert parts_of(experiments, of(experiments)) == [[0, 2], [1]]


def assert_as_alone(group: Heard, experiments: Sequence[Experiment]) -> None:
    for index, one in enumerate(experiments):
        single = alone(one)
        assert [figures(epochs[index]) for epochs in group.epochs] == [figures(epoch) for [epoch] in single.epochs]
        for number in range(one.training.epochs + 1):
            assert_same_bits(group.states[index, number], single.states[0, number])


def test_a_part_of_one_model_trains_to_the_bits_of_that_model_alone() -> None:
    experiments = [experiment_of(seed) for seed in (3, 0, 11)]
    found = heard(experiments)
    assert len({id(model.trainer) for model in found.models}) == 3
    assert_as_alone(found, experiments)
    for epochs in found.epochs:
        assert len({epoch.training_seconds for epoch in epochs if epoch is not None}) == 1


def test_models_with_unequal_numbers_of_rows_train_in_one_group() -> None:
    experiments = [experiment_of(0, hidden="[7]"), experiment_of(1, hidden="[7]", rows=90)]
    found = heard(experiments)
    assert [epoch and epoch.step for epoch in found.epochs[-1]] == [6, 6]
    assert [model.trainer.rows for model in found.models] == [100, 70]
    assert_as_alone(found, experiments)


def test_parts_that_stand_at_different_epochs_end_as_unbroken_ones() -> None:
    experiments = [experiment_of(seed, hidden=MIDDLE) for seed in range(6)]
    unbroken = heard(experiments)
    assert len({id(model.trainer) for model in unbroken.models}) == 2
    positions = (2, 2, 3, -1, 1, 0)
    starts = [
        Start(position, unbroken.states[index, position] if position >= 0 else None, done=position == 3)
        for index, position in enumerate(positions)
    ]
    resumed = heard(experiments, starts)
    assert resumed.numbers() == [
        [number if number > position else None for position in positions] for number in range(4)
    ]
    for index, position in enumerate(positions):
        for number in range(position + 1, 4):
            assert_same_bits(resumed.states[index, number], unbroken.states[index, number])
    assert [ending and ending.epoch for ending in resumed.endings] == [3, 3, None, 3, 3, 3]


@pytest.mark.parametrize("place", [0, 2, 5])
def test_a_model_that_has_ended_changes_nothing_for_the_others_of_its_part(place: int) -> None:
    """By diverging; the others have the bits of a group in which it is sound at a rate of its own."""
    experiments = [experiment_of(seed, hidden=MIDDLE) for seed in range(6)]
    experiments[place] = experiment_of(place, hidden=MIDDLE, lr=0.002)
    calm = heard(experiments)
    experiments[place] = experiment_of(place, hidden=MIDDLE, lr=1e30)
    found = heard(experiments)
    ending = found.endings[place]
    assert ending is not None
    assert (ending.kind, ending.epoch) == ("diverged", 1)
    assert found.numbers() == [
        [number if index != place or number < 2 else None for index in range(6)] for number in range(4)
    ]
    for index in (index for index in range(6) if index != place):
        assert_same_bits(found.states[index, 3], calm.states[index, 3])
        assert found.endings[index] == calm.endings[index]


def test_a_group_ends_when_all_parts_have() -> None:
    """The epochs that are left are not reported."""
    wild = [experiment_of(seed, lr=1e30, epochs=50) for seed in range(2)]
    found = heard([*wild, experiment_of(2, epochs=2)])
    assert found.numbers() == [[0, 0, 0], [1, 1, 1], [None, None, 2]]
    assert heard(wild).numbers() == [[0, 0], [1, 1]]


def test_an_epoch_that_not_all_parts_have_trained_is_not_reported() -> None:
    experiments = [experiment_of(seed) for seed in range(3)]
    steps, listener = 0, Heard()

    def should_stop() -> bool:
        nonlocal steps
        steps += 1
        return steps > 3 * 2 + 2 * 2  # after two of three parts have trained their second epoch of two steps

    with pytest.raises(InterruptedRunError, match="epoch 2"):
        fit(experiments, of(experiments), [listener], should_stop=should_stop)
    assert listener.calls == [" started", " epoch [0]", " epoch [1]"]
