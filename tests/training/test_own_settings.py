"""Models of one group that differ in numbers: rates, decay, momentum, schedule, dropout, smoothing; each is as alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler
from torch.utils._python_dispatch import TorchDispatchMode

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
from tests.training.test_many_models import assert_each_is_its_single_run, assert_same_figures, run, together
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
        lr_scheduler.LambdaLR(optimizer, lambda step, its=its: its.factor_at(step, RUN))
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


class Counted(TorchDispatchMode):
    """Counts what torch is asked to do."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.calls[str(func)] += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(("name", "case"), CASES)
def test_a_step_of_sixteen_models_is_as_many_calls_as_one_of_two(name: str, case: Settings) -> None:
    counts = []
    for models in (2, 16):
        sections = [optimizer_section(name, own_settings(name, case, model + 1)) for model in range(models)]
        made = Models(sections, SCHEDULES[2])
        made.step(0)
        made.updates.advance()
        with Counted() as counted:
            made.updates.apply()
        counts.append(counted.calls)
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
optimizer: {("{name: adam, lr: 0.01}", "{name: adam, lr: 0.003, weight_decay: 0.01}", "{name: sgd, lr: 0.1}")[model // 2 % 3]}
schedule: {("constant", "linear", "{name: cosine, warmup: 3}")[model % 3]}
training: {{epochs: 3, batch_size: 50, device: cpu, early_stopping: {("none", 9)[model % 2]}}}
"""
    return load_text(text, overrides=[f"{key}={value}" for key, value in more.items()]).experiment


@pytest.mark.parametrize(
    ("loss", "more"),
    [
        ("cross_entropy", {}),
        ("cross_entropy", {"weights": "balanced"}),
        ("bce", {"data": "{name: digits, classes: [3, 8], train_size: 200, validation: 50, test_size: 50}"}),
    ],
)
def test_sixteen_models_with_settings_of_their_own_are_each_their_single_run(loss: str, more: dict[str, str]) -> None:
    """Two seeds, so that some share batches and noise, and others do not."""
    specs = [experiment_of(model, seed=model // 8, loss=loss, **more) for model in range(16)]
    assert_each_is_its_single_run(specs)
    for index, (spec, epochs) in enumerate(zip(specs, zip(*run(together(specs)), strict=True), strict=True)):
        [alone] = zip(*run(together([spec])), strict=True)
        for one, other in zip(epochs, alone, strict=True):
            assert one is not None
            assert other is not None
            for ours, theirs in ((one.train, other.train), (one.evaluated, other.evaluated)):
                objectives = [None if found is None else found.objective for found in (ours, theirs)]
                assert objectives == pytest.approx(objectives[::-1], rel=1e-5), index


def test_so_are_those_that_train_by_autograd() -> None:
    more = {"training.adversarial": "{name: fast_gradient, epsilon: 0.1}"}
    assert_each_is_its_single_run([experiment_of(model, seed=model // 3, **more) for model in range(5)])


def test_what_differs_in_more_trains_in_another_part() -> None:
    """Networks, losses and ingredients of several kinds in one group, on the same splits."""
    others = ("model.hidden=[5]", "loss=mse", "training.l1=0.001", "model.activation=tanh")
    plain = [experiment_of(model, seed=0) for model in range(4)]
    text_of = [load_text(f"data: digits\nmodel: {{hidden: [4]}}\nseed: 0\n", overrides=[]).experiment]
    del text_of
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
