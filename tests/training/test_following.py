"""What follows the figures of a run, epoch by epoch: early stopping, a plateau of the learning rate, the best epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim import lr_scheduler

from mlptrain.experiment.build import load_data_of_seeds
from mlptrain.experiment.fit import Start, epochs_of, fit
from mlptrain.runs.records import Line
from mlptrain.spec import Experiment, load_text
from mlptrain.spec.choosing import is_better
from mlptrain.spec.schedule import Drops, Plateau, RunLength
from mlptrain.spec.stopping import EarlyStopping
from mlptrain.training.endings import early_ending
from tests.catalogue import OPTIMIZERS, Settings, optimizer_section
from tests.training.test_fit import Heard, assert_same_bits
from tests.training.test_updates import SIDE_BY_SIDE, TOTAL, Models, reference_of

METRICS: dict[str, Literal["min", "max"]] = {"validation_loss": "min", "validation_accuracy": "max"}
# Few values, so that equal ones and differences of exactly a threshold are frequent.
FIGURES = st.lists(st.integers(0, 12).map(lambda n: n / 8), max_size=40)


def keras_stops(
    values: Sequence[float], *, mode: str, patience: int, min_delta: float, start_from_epoch: int
) -> int | None:
    """The epoch, counted from 0, at whose end Keras' callback EarlyStopping says stop; written from its documentation.

    A value counts as better where it is so by more than min_delta; epochs before start_from_epoch are passed over.
    """
    sign = -1 if mode == "min" else 1
    best, wait = -math.inf, 0
    for epoch, value in enumerate(values):
        if epoch < start_from_epoch:
            continue
        wait += 1
        if sign * value - min_delta > best:
            best, wait = sign * value, 0
        if wait >= patience and epoch > 0:
            return epoch
    return None


def lines_of(values: Sequence[float], metric: str) -> list[Line]:
    """A log whose line 0, before training, has a figure that no later one is better than."""
    before = -9.0 if METRICS[metric] == "min" else 9.0
    figures = enumerate([before, *values])
    return [{"epoch": epoch, "step": 5 * epoch, "lr": 0.1, metric: value} for epoch, value in figures]


@settings(deadline=None)
@given(FIGURES, st.sampled_from(list(METRICS)), st.integers(1, 6), st.integers(0, 3), st.integers(0, 9))
def test_early_stopping_stops_where_keras_does(
    values: list[float], metric: str, patience: int, eighths: int, start: int
) -> None:
    stopping = EarlyStopping(patience=patience, min_delta=eighths / 8, start=start, metric=metric)
    expected = keras_stops(
        values, mode=METRICS[metric], patience=patience, min_delta=eighths / 8, start_from_epoch=start
    )
    ending = early_ending(stopping, lines_of(values, metric), epochs=100)
    if expected is None:
        assert ending is None
        return
    assert ending is not None
    assert (ending.kind, ending.epoch, ending.step) == ("stopped early", expected + 1, 5 * expected + 5)
    assert ending.epoch >= stopping.earliest
    assert early_ending(stopping, lines_of(values, metric)[: ending.epoch], epochs=100) is None
    assert early_ending(stopping, lines_of(values, metric)[: ending.epoch + 1], epochs=ending.epoch) is None


def test_what_early_stopping_says() -> None:
    ending = early_ending(EarlyStopping(patience=1, min_delta=0.25), lines_of([1.0, 0.75], "validation_loss"), epochs=9)
    assert ending is not None
    assert ending.message == "stopped early after epoch 2: no better validation_loss by more than 0.25 for 1 epoch"


def test_what_is_not_a_number_is_never_better() -> None:
    assert not is_better("validation_loss", math.nan, None)
    assert not is_better("validation_accuracy", None, 0.1)
    assert is_better("validation_loss", 1.0, None)
    nothing = [{"epoch": epoch, "step": epoch, "lr": 0.1} for epoch in range(9)]  # no figure at all
    ending = early_ending(EarlyStopping(patience=3), nothing, epochs=9)
    assert ending is not None
    assert ending.epoch == 3


@settings(deadline=None)
@given(
    FIGURES,
    st.sampled_from(list(METRICS)),
    st.fixed_dictionaries(
        {
            "patience": st.integers(0, 4),
            "factor": st.sampled_from([0.1, 0.5, 0.9]),
            "threshold": st.sampled_from([0.0, 1e-4, 0.125, 0.5]),
            "threshold_mode": st.sampled_from(["rel", "abs"]),
            "cooldown": st.integers(0, 3),
        }
    ),
    st.sampled_from([0.0, 1e-3, 0.2]),
)
def test_a_plateau_lowers_the_rate_as_torchs_does(
    values: list[float], metric: str, chosen: dict[str, Any], least: float
) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.3)
    reference = lr_scheduler.ReduceLROnPlateau(optimizer, mode=METRICS[metric], min_lr=0.3 * least, eps=0.0, **chosen)
    drops = Drops(Plateau(name="plateau", metric=metric, min=least, **chosen))
    for line in lines_of(values, metric):
        drops.take(line["epoch"], line[metric])
        if line["epoch"]:
            reference.step(line[metric])
        assert 0.3 * drops.factor == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)


@pytest.mark.parametrize(("warmup", "first"), [(0, 1), (1, 1), (5, 1), (6, 2), (10, 2), (0.5, 10)])
def test_epochs_of_the_warmup_do_not_count(warmup: float, first: int) -> None:
    schedule = Plateau(name="plateau", patience=0, warmup=warmup)
    drops = Drops(schedule, schedule.first_epoch(RunLength(100, 5)))
    factors = []
    for epoch in range(first + 2):
        drops.take(epoch, 1.0)
        factors.append(drops.factor)
    assert factors == [1.0] * (first + 1) + [0.1]


@pytest.mark.parametrize("names", [SIDE_BY_SIDE, [("adam", {"lr": 0.01})] * 3, [("nadam", {"lr": 0.1})] * 2])
def test_models_side_by_side_have_rates_of_their_own(names: list[tuple[str, Settings]]) -> None:
    """Each against torch's optimizer whose rate torch's scheduler lowers, by figures that differ between models."""
    models = Models([optimizer_section(*one) for one in names], Plateau(name="plateau"))
    references = [reference_of(*one, member) for one, member in zip(names, models.parameters.members, strict=True)]
    schedulers = [
        lr_scheduler.ReduceLROnPlateau(optimizer, patience=model, factor=0.5, eps=0.0)
        for model, (optimizer, _) in enumerate(references)
    ]
    drops = [Drops(Plateau(name="plateau", patience=model, factor=0.5)) for model in range(len(names))]
    for number in range(TOTAL):
        gradients = models.step(number)
        for model, (optimizer, leaves) in enumerate(references):
            for leaf, gradient in zip(leaves, gradients[model].values(), strict=True):
                leaf.grad = gradient.clone()
            optimizer.step()
            schedulers[model].step(1.0)
            drops[model].take(number + 1, 1.0)
            models.updates.scale(model, drops[model].factor)
            rate = optimizer.param_groups[0]["lr"]
            assert models.updates.lr(model, number) == pytest.approx(rate, rel=1e-12)
            tolerance = OPTIMIZERS[names[model][0]].tolerance
            for ours, leaf in zip(models.parameters.members[model].values(), leaves, strict=True):
                torch.testing.assert_close(ours, leaf.detach(), rtol=tolerance, atol=1e-13)
    assert len({drop.factor for drop in drops}) > 1


TEXT = """
data: {name: digits, train_size: 200, test_size: 20, validation: 60}
model: {hidden: [9, 5], activation: tanh}
optimizer: {name: adam, lr: 0.1}
schedule: {name: plateau, patience: 0, factor: 0.5, warmup: 12}
training: {epochs: 25, batch_size: 16, device: cpu, early_stopping: 3}
"""


def experiments(*overrides: str, seeds: Sequence[int] = (3, 0, 11)) -> list[Experiment]:
    return [load_text(TEXT, overrides=[*overrides, f"seed={seed}"]).experiment for seed in seeds]


def heard(those: Sequence[Experiment], starts: Sequence[Start] | None = None) -> Heard:
    listener = Heard()
    fit(those, load_data_of_seeds(those), [listener], starts=starts)
    return listener


def log_of(found: Heard, model: int) -> list[Line]:
    """The lines of a model's log."""
    epochs = [epochs[model] for epochs in found.epochs]
    return [
        {"epoch": epoch.epoch, "step": epoch.step, "lr": epoch.lr, "validation_loss": epoch.evaluated.loss}
        for epoch in epochs
        if epoch is not None and epoch.evaluated is not None
    ]


def test_models_stop_among_others_where_they_do_alone_at_rates_of_their_own() -> None:
    those = experiments()
    together = heard(those)
    stops = [ending.epoch for ending in together.endings if ending is not None and ending.kind == "stopped early"]
    assert len(set(stops)) > 1
    for model, experiment in enumerate(those):
        alone = heard([experiment])
        mine, its = together.endings[model], alone.endings[0]
        assert mine is not None
        assert its is not None
        assert (mine.kind, mine.epoch, mine.step, mine.message) == (its.kind, its.epoch, its.step, its.message)
        ours, theirs = log_of(together, model), log_of(alone, 0)
        assert [line["lr"] for line in ours] == [line["lr"] for line in theirs]
        assert len(ours) == len(theirs) == mine.epoch + 1
        for one, other in zip(ours, theirs, strict=True):
            assert one["validation_loss"] == pytest.approx(other["validation_loss"], rel=1e-5)
        for name, view in together.states[model, mine.epoch].parameters.items():
            torch.testing.assert_close(view, alone.states[0, mine.epoch].parameters[name], rtol=1e-4, atol=1e-5)


def test_the_rates_of_a_run_are_those_that_its_own_figures_ask_for() -> None:
    """The rate of an epoch's last step against torch's scheduler, which is given the figures of the log."""
    [experiment] = experiments("training.early_stopping=none", seeds=(0,))
    lines = log_of(heard([experiment]), 0)
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1)
    reference = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, factor=0.5, eps=0.0)
    assert lines[1]["lr"] == pytest.approx(0.1 * 9 / 12)  # 140 rows are 9 steps of an epoch, 12 of them warm up
    for line in lines[2:]:
        assert line["lr"] == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
        reference.step(line["validation_loss"])
    assert lines[-1]["lr"] < 0.02


@pytest.mark.parametrize("positions", [(2, -1, 0), (5, 3, 4), (0, 6, 1)])
def test_models_that_stand_at_different_epochs_follow_their_own_history(positions: tuple[int, ...]) -> None:
    those = experiments()
    unbroken = heard(those)
    ends = [ending.epoch for ending in unbroken.endings if ending is not None]
    starts = [
        Start(
            position,
            unbroken.states[index, position] if position >= 0 else None,
            history=log_of(unbroken, index)[: position + 1],
        )
        for index, position in enumerate(positions)
    ]
    resumed = heard(those, starts)
    assert resumed.endings == unbroken.endings
    for index, position in enumerate(positions):
        lines = log_of(resumed, index)
        assert lines == log_of(unbroken, index)[position + 1 :]
        for number in range(position + 1, ends[index] + 1):
            assert_same_bits(resumed.states[index, number], unbroken.states[index, number])


def test_without_evaluation_nothing_is_followed() -> None:
    [experiment] = experiments("training.early_stopping={patience: 1, metric: train_loss}", seeds=(0,))
    found = list(epochs_of([experiment], load_data_of_seeds([experiment]), evaluate=False))
    assert len(found) == 25
