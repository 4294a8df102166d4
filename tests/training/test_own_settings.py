"""Models of one group that differ in numbers, from learning rates to label smoothing: each is as it is alone."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from types import FrameType
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler

from mlptrain.experiment.build import build_trainer, load_data, load_data_of_seeds
from mlptrain.experiment.fit import fit
from mlptrain.experiment.parts import parts_of
from mlptrain.spec import Experiment, load_text
from mlptrain.spec.experiment import TrainingSpec
from mlptrain.spec.optimizer import OptimizerSpec
from mlptrain.spec.schedule import Constant, Cosine, Linear, Schedule, Step
from mlptrain.training.trainer import CONSTANT
from tests.catalogue import OPTIMIZERS, Settings, optimizer_section
from tests.training.test_fit import Heard
from tests.training.test_many_models import (
    assert_each_is_its_single_run,
    assert_same_figures,
    assert_same_state,
    run,
    together,
)
from tests.training.test_updates import RUN, TOTAL, Models, assert_steps_equal, copied, reference_of

SCHEDULES: list[Schedule] = [
    CONSTANT,
    Linear(name="linear", final=0.1),
    Cosine(name="cosine"),
    Step(name="step", step_size=1, gamma=0.5),
    Constant(name="constant", warmup=4),
]


def own_settings(name: str, case: Settings, model: int) -> dict[str, Any]:
    """A case with the numbers of one of several models."""
    decay = (0.0, 0.1, 0.02)[model % 3]
    own = {**case, "lr": 0.01 * 1.3**model, "weight_decay": decay}
    if name == "sgd" and "momentum" in case:
        own["momentum"] = 0.5 + 0.03 * model
        own["dampening"] = 0.0 if case.get("nesterov") else 0.02 * model
    return own


CASES = [
    (name, {key: value for key, value in case.items() if key not in ("lr", "weight_decay")})
    for name, row in OPTIMIZERS.items()
    for case in row.cases
]


@pytest.mark.parametrize("schedules", [[CONSTANT], SCHEDULES[1:2], SCHEDULES], ids=["constant", "one", "several"])
@pytest.mark.parametrize(("name", "case"), CASES)
def test_sixteen_models_equal_torchs_step_by_step(name: str, case: Settings, schedules: Sequence[Schedule]) -> None:
    names = [(name, own_settings(name, case, model)) for model in range(16)]
    of_models = [schedules[model % len(schedules)] for model in range(16)]
    models = Models([optimizer_section(*one) for one in names], of_models)
    references = [reference_of(*one, member) for one, member in zip(names, models.parameters.members, strict=True)]
    schedulers = [
        lr_scheduler.LambdaLR(optimizer, partial(its.factor_at, run=RUN))
        for (optimizer, _), its in zip(references, of_models, strict=True)
    ]
    assert_steps_equal(names, CONSTANT, schedulers, references, models)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_a_decay_of_weights_alone_may_be_each_models_own(name: str) -> None:
    """As alone, where a group of one is held against torch.optim elsewhere."""
    sections = [
        optimizer_section(name, {**own_settings(name, {}, model), "weight_decay_for": "weights"}) for model in range(3)
    ]
    training = TrainingSpec(clip_norm=0.5, ema=0.9)
    many, alone = Models(sections, SCHEDULES[:3], training=training), []
    for model, section in enumerate(sections):
        alone.append(Models([section], SCHEDULES[model], training=training))
        alone[-1].parameters.members[0].copy_(many.parameters.members[model])
        alone[-1].updates.evaluated.members[0].copy_(many.parameters.members[model])
    for number in range(TOTAL):
        gradients = many.step(number)
        for model, one in enumerate(alone):
            one.gradients.members[0].copy_(gradients[model])
            one.updates.advance()
            one.updates.apply()
            for name_, view in one.updates.evaluated.members[0].items():
                ours = many.updates.evaluated.members[model][name_]
                torch.testing.assert_close(ours, view, rtol=1e-12, atol=1e-14)


def calls_of(step: Callable[[], object]) -> Counter[str]:
    """How often every function outside of Python is called."""
    found: Counter[str] = Counter()

    def note(frame: FrameType, event: str, function: Any) -> None:
        del frame
        if event == "c_call":
            found[function.__qualname__] += 1

    sys.setprofile(note)
    try:
        step()
    finally:
        sys.setprofile(None)
    return found


@pytest.mark.parametrize(("name", "case"), CASES)
def test_a_step_of_sixteen_models_is_as_many_calls_as_one_of_two(name: str, case: Settings) -> None:
    counts = []
    for models in (2, 16):
        sections = [optimizer_section(name, own_settings(name, case, model + 1)) for model in range(models)]
        made = Models(sections, SCHEDULES[2])
        made.step(0)
        made.updates.advance()
        counts.append(calls_of(made.updates.apply))
    assert counts[0] == counts[1]


@pytest.mark.parametrize(("name", "case"), CASES)
def test_they_continue_to_the_same_bits(name: str, case: Settings) -> None:
    sections: list[OptimizerSpec] = [optimizer_section(name, own_settings(name, case, model)) for model in range(4)]
    unbroken, resumed = (Models(sections, SCHEDULES[:4], dtype=torch.float32) for _ in range(2))
    for number in range(5):
        unbroken.step(number)
    resumed.step(99)
    for model in range(4):
        resumed.updates.load(model, copied(unbroken.updates.state(model)))
    resumed.updates.start(5)
    for number in range(5, TOTAL):
        unbroken.step(number)
        resumed.step(number)
        assert torch.equal(unbroken.parameters.flat, resumed.parameters.flat)


def experiment_of(model: int, *, seed: int, loss: str = "cross_entropy", **more: str) -> Experiment:
    """One of several models that differ in everything that may be each model's own."""
    text = f"""
seed: {seed}
data: {more.pop("data", "{name: digits, train_size: 300, validation: 50, test_size: 50}")}
model:
  hidden: [13, 7]
  dropout: {(0.0, 0.2, [0.0, 0.5], [0.1, 0.3])[model % 4]}
  input_dropout: {(0.0, 0.1, 0.0, 0.3, 0.1)[model % 5]}
loss: {{name: {loss}, label_smoothing: {(0.0, 0.1, 0.2)[model % 3]}, class_weights: {more.pop("weights", "none")}}}
optimizer: {("{name: adam, lr: 0.01}", "{name: adam, lr: 3e-3, weight_decay: 0.01}", "{name: sgd}")[model // 2 % 3]}
schedule: {("constant", "linear", "{name: cosine, warmup: 3}")[model % 3]}
training: {{epochs: 3, batch_size: 50, device: cpu, early_stopping: {("none", 9)[model % 2]}}}
"""
    return load_text(text, overrides=[f"{key}={value}" for key, value in more.items()]).experiment


@pytest.mark.parametrize(
    ("models", "loss", "more"),
    [
        (16, "cross_entropy", {}),
        (6, "cross_entropy", {"weights": "balanced"}),
        (6, "bce", {"data": "{name: digits, classes: [3, 8], train_size: 200, validation: 50, test_size: 50}"}),
    ],
)
def test_models_with_settings_of_their_own_are_each_their_single_run(
    models: int, loss: str, more: dict[str, str]
) -> None:
    """Two seeds, so that some share batches and noise, and others do not."""
    specs = [experiment_of(model, seed=2 * model // models, loss=loss, **more) for model in range(models)]
    trainer = together(specs)
    found = run(trainer)
    for index, spec in enumerate(specs):
        single = together([spec])
        for epochs, [expected] in zip(found, run(single), strict=True):
            one = epochs[index]
            assert_same_figures(one, expected)
            assert one is not None
            assert expected is not None
            for ours, theirs in ((one.train, expected.train), (one.evaluated, expected.evaluated)):
                mine, its = (None if given is None else given.objective for given in (ours, theirs))
                assert (mine is None) == (its is None)
                assert its is None or mine == pytest.approx(its, rel=1e-5)
        assert_same_state(trainer.model(index), single.model())


def test_so_are_those_that_train_by_autograd() -> None:
    more = {"training.adversarial": "{name: fgsm, epsilon: 0.1}"}
    assert_each_is_its_single_run([experiment_of(model, seed=model // 3, **more) for model in range(5)])


def test_what_differs_in_more_trains_in_another_part() -> None:
    """Networks, losses and ingredients of several kinds in one group, on the same splits."""
    others = ("model.bias=false", "loss.class_weights=balanced", "training.l1=0.001", "model.activation=tanh")
    plain = [experiment_of(model, seed=0) for model in range(4)]
    experiments = [
        *plain[:2],
        *(experiment_of(0, seed=0, **dict([other.split("=", 1)])) for other in others),
        *plain[2:],
    ]
    splits = [load_data(experiments[0])] * len(experiments)
    assert sorted(map(sorted, parts_of(experiments, splits))) == [[0, 1, 6, 7], [2], [3], [4], [5]]
    with pytest.raises(ValueError, match="differ in more than"):
        build_trainer(experiments, splits)
    listener = Heard()
    fit(experiments, splits, [listener])
    for index, experiment in enumerate(experiments):
        alone = Heard()
        fit([experiment], load_data_of_seeds([experiment]), [alone])
        for ours, [theirs] in zip(listener.epochs, alone.epochs, strict=True):
            assert_same_figures(ours[index], theirs)
