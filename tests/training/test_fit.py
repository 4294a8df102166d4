"""One way to train for everybody: where models start, who takes part, and what listeners are told, in which order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch

from mlptrain.errors import InterruptedRunError
from mlptrain.experiment.build import load_data_of_seeds
from mlptrain.experiment.fit import Start, epochs_of, fit
from mlptrain.spec import Experiment, load_text
from mlptrain.training.endings import Ending
from mlptrain.training.trainer import Epoch, TrainedModel
from mlptrain.updates.chain import ModelState
from tests.catalogue import OPTIMIZERS, WRAPPED, Settings, cases, yaml

EPOCHS, SEEDS = 4, (3, 0, 11)
STEPS = 12  # of an epoch: 180 training rows in batches of 16


def experiments_of(name: str, settings: Settings, *changes: str, epochs: int = EPOCHS) -> list[Experiment]:
    text = f"""
data: {{name: digits, train_size: 200, test_size: 20, validation: 20}}
model: {{hidden: [9, 5], activation: tanh}}
optimizer: {yaml(name, settings)}
training: {{epochs: {epochs}, batch_size: 16, device: cpu}}
"""
    return [load_text(text, overrides=[f"seed={seed}", *changes]).experiment for seed in SEEDS]


FULL = {"lbfgs": ["training.batch_size=full"]}  # which evaluates the same rows again and again
ADAM = experiments_of("adam", {"lr": 0.01})


def copied(state: ModelState) -> ModelState:
    return ModelState(
        {name: tensor.clone() for name, tensor in state.parameters.items()},
        {name: {key: tensor.clone() for key, tensor in of.items()} for name, of in state.buffers.items()},
        {name: scalar.clone() for name, scalar in state.scalars.items()},
    )


class Heard:
    """A listener that keeps what it is told, and the state of every model after every epoch that it has part in."""

    def __init__(self, name: str = "", calls: list[str] | None = None) -> None:
        self.name, self.calls = name, calls if calls is not None else []
        self.models: list[TrainedModel] = []
        self.epochs: list[list[Epoch | None]] = []
        self.states: dict[tuple[int, int], ModelState] = {}
        self.endings: list[Ending | None] = []

    def started(self, models: Sequence[TrainedModel]) -> None:
        self.calls.append(f"{self.name} started")
        self.models = list(models)

    def epoch(self, epochs: Sequence[Epoch | None]) -> None:
        numbers = {epoch.epoch for epoch in epochs if epoch is not None}
        self.calls.append(f"{self.name} epoch {sorted(numbers)}")
        self.epochs.append(list(epochs))
        for index, epoch in enumerate(epochs):
            if epoch is not None:
                self.states[index, epoch.epoch] = copied(self.models[index].state())

    def ended(self, endings: Sequence[Ending | None]) -> None:
        self.calls.append(f"{self.name} ended")
        self.endings = list(endings)

    def numbers(self) -> list[list[int | None]]:
        return [[None if epoch is None else epoch.epoch for epoch in epochs] for epochs in self.epochs]


def heard(
    experiments: Sequence[Experiment],
    starts: Sequence[Start] | None = None,
    *,
    should_stop: Callable[[], bool] = lambda: False,
) -> Heard:
    listener = Heard()
    fit(experiments, load_data_of_seeds(experiments), [listener], starts=starts, should_stop=should_stop)
    return listener


def assert_same_bits(one: ModelState, other: ModelState) -> None:
    assert all(torch.equal(values, other.parameters[name]) for name, values in one.parameters.items())
    assert one.buffers.keys() == other.buffers.keys()
    for name, buffers in one.buffers.items():
        assert all(torch.equal(values, other.buffers[name][key]) for key, values in buffers.items())
    assert one.scalars == other.scalars


def figures(epoch: Epoch | None) -> tuple[object, ...]:
    assert epoch is not None
    return epoch.epoch, epoch.step, epoch.lr, epoch.train, epoch.evaluated, epoch.ending


@pytest.mark.parametrize("case", cases(OPTIMIZERS, "good"))
@pytest.mark.parametrize("positions", [(2, -1, 0), (0, 0, 3), (1, 3, 3), (-1, -1, -1)])
def test_models_that_stand_at_different_epochs_end_as_unbroken_ones_to_the_last_bit(
    case: tuple[str, Settings], positions: tuple[int, ...]
) -> None:
    """A model further than others takes part and is dropped until they have caught up."""
    experiments = experiments_of(*case)
    unbroken = heard(experiments)
    starts = [
        Start(position, unbroken.states[index, position] if position >= 0 else None)
        for index, position in enumerate(positions)
    ]
    resumed = heard(experiments, starts)
    assert resumed.numbers() == [
        [epoch if epoch > position else None for position in positions]
        for epoch in range(min(positions) + 1, EPOCHS + 1)
    ]
    for index, position in enumerate(positions):
        for number in range(position + 1, EPOCHS + 1):
            assert_same_bits(resumed.states[index, number], unbroken.states[index, number])
            ours = resumed.epochs[number - min(positions) - 1][index]
            assert figures(ours) == figures(unbroken.epochs[number][index])
    assert resumed.endings == unbroken.endings
    assert [ending and (ending.kind, ending.epoch, ending.step) for ending in unbroken.endings] == [
        ("completed", EPOCHS, EPOCHS * STEPS)
    ] * 3


def test_a_model_that_is_done_only_takes_part() -> None:
    unbroken = heard(ADAM)
    starts = [Start(done=True), Start(1, unbroken.states[1, 1]), Start(EPOCHS, done=True)]
    resumed = heard(ADAM, starts)
    assert resumed.numbers() == [[None, epoch, None] for epoch in (2, 3, 4)]
    assert_same_bits(resumed.states[1, EPOCHS], unbroken.states[1, EPOCHS])
    assert resumed.endings == [None, unbroken.endings[1], None]


def test_a_model_that_diverges_among_others_ends_there() -> None:
    wild = experiments_of("sgd", {"lr": 1e20, "weight_decay": 1e6})[1]
    found = heard([ADAM[0], wild, ADAM[2]])
    assert found.numbers() == [[0, 0, 0], [1, 1, 1], *([number, None, number] for number in (2, 3, 4))]
    first, diverged, last = found.endings
    assert first is not None
    assert last is not None
    assert diverged is not None
    assert (first.kind, last.kind) == ("completed", "completed")
    assert (diverged.kind, diverged.epoch, diverged.lr) == ("diverged", 1, 1e20)
    ended = found.epochs[1][1]
    assert ended is not None
    assert ended.ending == diverged
    alone = heard([wild])
    assert alone.numbers() == [[0], [1]]
    assert alone.endings == [diverged]


def test_listeners_are_told_in_their_order() -> None:
    calls: list[str] = []
    listeners = [Heard("one", calls), Heard("two", calls)]
    fit(ADAM[:2], load_data_of_seeds(ADAM[:2]), listeners)
    expected = ["started", *(f"epoch [{number}]" for number in range(EPOCHS + 1)), "ended"]
    assert calls == [f"{name} {what}" for what in expected for name in ("one", "two")]
    assert listeners[0].epochs[2][0] is listeners[1].epochs[2][0]


def test_epochs_come_one_by_one_after_the_listeners_were_told() -> None:
    listener = Heard()
    for number, epochs in enumerate(epochs_of(ADAM, load_data_of_seeds(ADAM), [listener])):
        assert len(listener.epochs) == number + 1
        assert listener.epochs[-1] == epochs
        assert not listener.endings
    assert len(listener.endings) == 3


def test_without_evaluation_there_is_no_epoch_0_and_training_is_the_same() -> None:
    measured, listener = heard(ADAM), Heard()
    for _ in epochs_of(ADAM, load_data_of_seeds(ADAM), [listener], evaluate=False):
        pass
    assert listener.numbers() == [[number] * 3 for number in range(1, EPOCHS + 1)]
    assert all(epoch is not None and epoch.evaluated is None for epochs in listener.epochs for epoch in epochs)
    for index in range(3):
        assert_same_bits(listener.states[index, EPOCHS], measured.states[index, EPOCHS])


def test_an_interruption_ends_without_an_ending() -> None:
    calls, listener = 0, Heard()

    def should_stop() -> bool:
        nonlocal calls
        calls += 1
        return calls > STEPS + 3

    with pytest.raises(InterruptedRunError, match="epoch 2"):
        fit(ADAM, load_data_of_seeds(ADAM), [listener], should_stop=should_stop)
    assert listener.calls == [" started", " epoch [0]", " epoch [1]"]


class Ends(Heard):
    """A listener that ends some of the models, each after an epoch, and counts how many its trainer has then."""

    def __init__(self, after: dict[int, int]) -> None:
        super().__init__()
        self._after = after
        self.together: list[list[int | None]] = []

    def epoch(self, epochs: Sequence[Epoch | None]) -> None:
        super().epoch(epochs)
        each = list(zip(self.models, epochs, strict=True))
        self.together.append([None if epoch is None else len(model.trainer.models) for model, epoch in each])
        for index, (model, epoch) in enumerate(each):
            if epoch is not None and self._after.get(index) == epoch.epoch:
                model.end(Ending("stopped early", epoch.epoch, epoch.step, epoch.lr))


def assert_close(one: ModelState, other: ModelState) -> None:
    """To float32 rounding, as in test_many_models.py."""
    for name, values in one.parameters.items():
        torch.testing.assert_close(values, other.parameters[name], rtol=1e-4, atol=1e-5)
    assert one.buffers.keys() == other.buffers.keys()
    for name, buffers in one.buffers.items():
        for key, values in buffers.items():
            torch.testing.assert_close(values, other.buffers[name][key], rtol=1e-3, atol=1e-5)
    assert one.scalars == other.scalars


def assert_goes_on_as_alone(experiments: Sequence[Experiment], after: dict[int, int]) -> Ends:
    listener = Ends(after)
    fit(experiments, load_data_of_seeds(experiments), [listener], regroup=True)
    for index, experiment in enumerate(experiments):
        alone = heard([experiment])
        found = [epochs[index] for epochs in listener.epochs if epochs[index] is not None]
        assert len(found) == after.get(index, len(alone.epochs) - 1) + 1
        for epoch, [expected] in zip(found, alone.epochs, strict=False):
            assert epoch is not None
            assert expected is not None
            assert (epoch.epoch, epoch.step, epoch.lr) == (expected.epoch, expected.step, expected.lr)
            assert (epoch.ending and epoch.ending.kind) == (expected.ending and expected.ending.kind)
            for ours, theirs in ((epoch.train, expected.train), (epoch.evaluated, expected.evaluated)):
                assert (ours is None) == (theirs is None)
                if ours is not None and theirs is not None:
                    assert ours.loss == pytest.approx(theirs.loss, rel=1e-5)
            assert_close(listener.states[index, epoch.epoch], alone.states[0, epoch.epoch])
    return listener


@pytest.mark.parametrize("case", cases({**OPTIMIZERS, **WRAPPED}, "good"))
def test_models_that_end_leave_the_steps_of_the_others_which_go_on_as_alone(case: tuple[str, Settings]) -> None:
    listener = assert_goes_on_as_alone(experiments_of(*case, *FULL.get(case[0], ())), {1: 1, 0: 3})
    assert [ending and ending.epoch for ending in listener.endings] == [3, 1, EPOCHS]
    if case[0] != "lbfgs":  # of which each has a trainer of its own
        assert listener.together == [[3, 3, 3], [3, 3, 3], [2, None, 2], [2, None, 2], [None, None, 1]]


@pytest.mark.parametrize(
    "changes",
    [
        ["training.ema=0.9"],
        ["schedule={name: plateau, patience: 0, factor: 0.5, threshold: 0.2}"],
        ["schedule={name: cosine, warmup: 6}"],
        # With Adam biases before batch norm follow the rounding of gradients that are 0.
        ["model.dropout=0.3", "model.norm=batch", "optimizer={name: sgd, lr: 0.05, momentum: 0.9}"],
        ["training.early_stopping={patience: 2, min_delta: 10}"],
    ],
)
def test_what_follows_epochs_goes_on_too(changes: list[str]) -> None:
    """Averages, learning rates as a plateau or a schedule has made them, statistics, patience."""
    experiments = experiments_of("adam", {"lr": 0.02}, *changes)
    listener = assert_goes_on_as_alone(experiments, {1: 2})
    last = listener.epochs[-1][2]
    if "plateau" in changes[0]:
        assert last is not None
        assert last.lr < 0.02
    if "early" in changes[0]:
        assert [ending and (ending.kind, ending.epoch) for ending in listener.endings[::2]] == [
            ("stopped early", 3)
        ] * 2


def test_models_of_several_trainers_share_one_when_few_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """At most two share a trainer here."""
    monkeypatch.setattr("mlptrain.experiment.parts.most_together", lambda _: 2)
    four = [*ADAM, ADAM[0].changed(seed=5)]
    listener = assert_goes_on_as_alone(four, {0: 1, 2: 1})
    assert listener.together[1:3] == [[2, 2, 2, 2], [None, 2, None, 2]]
    assert listener.models[1].trainer is listener.models[3].trainer
