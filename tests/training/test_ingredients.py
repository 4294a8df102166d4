"""What surrounds an optimizer's step, against torch's own functions in float64, alone and side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim import swa_utils

from mlptrain.experiment.build import build_network, build_trainer, initial_parameters, load_data
from mlptrain.nn.parameters import Parameters, Stack
from mlptrain.spec import load_text
from mlptrain.spec.experiment import TrainingSpec
from mlptrain.training.trainer import CONSTANT
from mlptrain.updates.chain import NO_INGREDIENTS, ModelState
from mlptrain.updates.ingredients import Average, Decay, MaxNorm, on_gradients
from tests.catalogue import OPTIMIZERS, Settings, cases, optimizer_section
from tests.training.test_updates import LINEAR, SHAPES, TOTAL, WEIGHTS, Models, copied, stack_of

BOUNDS = (1.5, 1.2)  # of the two layers: some rows of the weights that are drawn are longer, some are not
CLIP = 3.0  # between the norms of the gradients that are drawn: about 5, 2.5 and 1
SIZES = (1.0, 0.5, 0.2)
EVERYTHING: dict[str, Any] = {"clip_norm": CLIP, "max_norm": [*BOUNDS], "l1": 0.05, "ema": 0.9}
TRAININGS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "norm": {"clip_norm": CLIP},
    "value": {"clip_value": 0.3},
    "max-norm": {"max_norm": [*BOUNDS]},
    "one bound": {"max_norm": 1.4},
    "l1": {"l1": 0.1},
    "average": {"ema": 0.8},
    "all": EVERYTHING,
    "all, by value": {"clip_value": 0.3, "max_norm": 1.0, "l1": 0.2, "ema": 0.5},
}
SIDE_BY_SIDE: list[tuple[str, Settings]] = [  # neighbours with equal settings, which share their update, and another
    ("sgd", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.2}),
    ("sgd", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.2}),
    ("adamw", {"lr": 0.05, "weight_decay": 0.3}),
]


def averaged(module: nn.Module, decay: float) -> swa_utils.AveragedModel:
    average: Any = swa_utils.get_ema_multi_avg_fn
    return swa_utils.AveragedModel(module, multi_avg_fn=average(decay), use_buffers=True)


class Reference:
    """One model in torch: its leaves, the optimizer with a group for weights and one for the others, its average."""

    def __init__(
        self, name: str, settings: Settings, member: Parameters, training: TrainingSpec, *, decay_for: str
    ) -> None:
        self.leaves = {key: nn.Parameter(view.clone()) for key, view in member.items()}
        weights = [leaf for key, leaf in self.leaves.items() if key in WEIGHTS]
        others = {"params": [leaf for key, leaf in self.leaves.items() if key not in WEIGHTS]}
        if decay_for == "weights":
            others["weight_decay"] = 0.0  # type: ignore[assignment]
        self.optimizer = OPTIMIZERS[name].reference([{"params": weights}, others], **settings)
        self.training = training
        module = nn.ParameterList(self.leaves.values())
        self.average = averaged(module, training.ema)
        self.norms: list[float] = []

    def step(self, gradients: Parameters) -> None:
        training, rows = self.training, training_bounds(self.training)
        for key, leaf in self.leaves.items():
            l1 = training.l1 * leaf.abs().sum() if key in WEIGHTS else 0.0 * leaf.sum()
            [leaf.grad] = torch.autograd.grad((leaf * gradients[key]).sum() + l1, [leaf])
        if training.clip_norm is not None:
            self.norms.append(float(nn.utils.clip_grad_norm_(self.leaves.values(), training.clip_norm)))
        if training.clip_value is not None:
            nn.utils.clip_grad_value_(self.leaves.values(), training.clip_value)
        self.optimizer.step()
        for key, bound in zip(WEIGHTS, rows, strict=bool(rows)):
            values = self.leaves[key].detach().numpy()
            values *= np.minimum(1, bound / np.linalg.norm(values, axis=1, keepdims=True))
        if training.ema:
            self.average.update_parameters(nn.ParameterList(self.leaves.values()))

    @property
    def evaluated(self) -> list[Tensor]:
        found = self.average.module.parameters() if self.training.ema else self.leaves.values()
        return [leaf.detach() for leaf in found]


def training_bounds(training: TrainingSpec) -> list[float]:
    if training.max_norm is None:
        return []
    return training.max_norm if isinstance(training.max_norm, list) else [training.max_norm] * len(WEIGHTS)


def assert_steps_equal(names: list[tuple[str, Settings]], training: TrainingSpec, *, decay_for: str) -> list[Reference]:
    sections = [optimizer_section(name, {**settings, "weight_decay_for": decay_for}) for name, settings in names]
    models = Models(sections, CONSTANT, training=training)
    references = [
        Reference(*one, member, training, decay_for=decay_for)
        for one, member in zip(names, models.parameters.members, strict=True)
    ]
    for number in range(TOTAL):
        drawn = stack_of(len(names), seed=100 + number).members
        for model, own in enumerate(drawn):
            for name, view in own.items():
                models.gradients.members[model][name].copy_(view.mul_(SIZES[model % len(SIZES)]))
        models.updates.advance()
        models.updates.apply()
        for model, reference in enumerate(references):
            reference.step(drawn[model])
            state = models.updates.state(model)
            found = [*(state.raw or state.parameters).values(), *state.parameters.values()]
            for ours, theirs in zip(found, [*reference.leaves.values(), *reference.evaluated], strict=True):
                torch.testing.assert_close(ours, theirs.detach(), rtol=1e-12, atol=1e-13)
    return references


@pytest.mark.parametrize("decay_for", ["all", "weights"])
@pytest.mark.parametrize("training", TRAININGS.values(), ids=TRAININGS)
def test_models_side_by_side_step_as_each_in_torch(training: dict[str, Any], decay_for: str) -> None:
    references = assert_steps_equal(SIDE_BY_SIDE, TrainingSpec(**training), decay_for=decay_for)
    if training.get("clip_norm"):  # by the norm of its own: of the first in every step, of the last in none
        assert min(references[0].norms) > CLIP > max(references[2].norms)
        assert min(references[1].norms) < CLIP < max(references[1].norms)


@pytest.mark.parametrize(("name", "settings"), cases(OPTIMIZERS))
@pytest.mark.parametrize("training", [NO_INGREDIENTS, TrainingSpec(**EVERYTHING)], ids=["alone", "all"])
def test_every_optimizer_lets_weights_alone_decay(name: str, settings: Settings, training: TrainingSpec) -> None:
    assert_steps_equal([(name, {**settings, "weight_decay": 0.2})], training, decay_for="weights")


def test_norms_are_bound_as_torch_renorm_binds_them() -> None:
    """torch adds 1e-7 to the norm, hence the tolerance. Rows of zeros stay, and so do biases."""
    models = Models([optimizer_section("sgd", {"lr": 1e-9})], CONSTANT, training=TrainingSpec(max_norm=1.3))
    member = models.parameters.members[0]
    member["layers.0.weight"][1] = 0
    member["layers.0.bias"].fill_(9)
    before = member.clone()
    models.step(0)
    for name in WEIGHTS:
        torch.testing.assert_close(member[name], before[name].renorm(2, 0, 1.3), rtol=1e-6, atol=1e-8)
        assert float(member[name].norm(dim=1).max()) == pytest.approx(1.3, rel=1e-12)
    assert member["layers.0.bias"].tolist() == pytest.approx([9] * 3)


def test_l1_has_no_slope_at_0() -> None:
    models = Models([optimizer_section("sgd", {"lr": 1.0})], CONSTANT, training=TrainingSpec(l1=0.5))
    member = models.parameters.members[0]
    member["layers.0.weight"].copy_(torch.tensor([0.0, -0.0, 2.0, -2.0, 0.0]))
    models.gradients.flat.zero_()
    models.updates.advance()
    models.updates.apply()
    assert member["layers.0.weight"][0].tolist() == [0, 0, 1.5, -1.5, 0]


@pytest.mark.parametrize("decay_for", ["all", "weights"])
@pytest.mark.parametrize("names", [SIDE_BY_SIDE, *([one] for one in cases(OPTIMIZERS, "good"))])
def test_a_state_continues_to_the_same_bits(names: list[tuple[str, Settings]], decay_for: str) -> None:
    sections = [optimizer_section(name, {**its, "weight_decay_for": decay_for}) for name, its in names]
    settings: dict[str, Any] = {"dtype": torch.float32, "training": TrainingSpec(**EVERYTHING)}
    unbroken, resumed = (Models(sections, LINEAR, **settings) for _ in range(2))
    for number in range(5):
        unbroken.step(number)
    resumed.step(99)
    for model in range(len(names)):
        resumed.updates.load(model, copied(unbroken.updates.state(model)))
    resumed.updates.start(5)
    for number in range(5, TOTAL):
        unbroken.step(number)
        resumed.step(number)
    for ours, theirs in (
        (resumed.parameters, unbroken.parameters),
        (resumed.updates.evaluated, unbroken.updates.evaluated),
    ):
        assert torch.equal(ours.flat, theirs.flat)
    assert not torch.equal(unbroken.parameters.flat, unbroken.updates.evaluated.flat)


def test_a_state_without_its_raw_weights_or_with_unknown_ones_is_refused() -> None:
    sections = [optimizer_section("sgd", {})]
    plain, averaged = (Models(sections, CONSTANT, training=TrainingSpec(ema=ema)) for ema in (0.0, 0.9))
    with pytest.raises(ValueError, match="without raw weights"):
        averaged.updates.load(0, copied(plain.updates.state(0)))
    with pytest.raises(ValueError, match="with raw weights"):
        plain.updates.load(0, copied(averaged.updates.state(0)))
    state = averaged.updates.state(0)
    cut = {name: tensor[:1].clone() for name, tensor in state.raw.items()}
    with pytest.raises(ValueError, match="expected"):
        averaged.updates.load(0, ModelState(copied(state).parameters, raw=cut))


def test_a_model_that_diverged_is_clipped_again_once_it_has_a_sound_state() -> None:
    """Gradients lie with gaps between them; the nan of a factor that was multiplied there must not stay."""
    models = Models([optimizer_section("sgd", {})] * 2, CONSTANT, training=TrainingSpec(clip_norm=1.0))
    sound = [copied(models.updates.state(model)) for model in range(2)]
    for view in models.gradients.members[1].values():
        view.fill_(float("nan"))
    models.updates.apply()
    assert models.parameters.members[0]["layers.1.weight"].isfinite().all()
    models.updates.load(1, sound[1])
    for member in models.gradients.members:
        for view in member.values():
            view.fill_(1.0)
    models.updates.apply()
    assert all(bool(view.isfinite().all()) for view in models.parameters.members[1].values())


def test_no_value_is_read_from_the_device() -> None:
    """On the device ``meta``, where there are no values, whatever reads one fails."""
    parameters, gradients = (Stack(SHAPES, models=3, device="meta") for _ in range(2))
    for training in TRAININGS.values():
        for call in on_gradients(TrainingSpec(**training), parameters, gradients, WEIGHTS):
            call()
    average = Average(parameters, 0.9)
    for step in range(3):
        average.advance(step)
        for call in (MaxNorm(parameters, WEIGHTS, BOUNDS), average):
            call()
    for decoupled in (False, True):
        decay = Decay(parameters, gradients, WEIGHTS, models=slice(1, 3), factors=[0.1, 0.2], decoupled=decoupled)
        decay(torch.ones((), device="meta"))


def plain_loop(
    text: str, epochs: int, optimizer_of: Callable[..., torch.optim.Optimizer], *norm: nn.Module
) -> tuple[list[float], list[Tensor]]:
    """The configuration's own training by hand in torch: losses on the validation rows by epoch, and the average."""
    experiment = load_text(text).experiment
    splits = load_data(experiment)
    trainer = build_trainer([experiment], [splits])
    order = [trainer.model().order(epoch) for epoch in range(1, epochs + 1)]
    initial = initial_parameters(experiment, build_network(experiment))
    module = nn.Sequential(nn.Linear(64, 12), *norm, nn.ReLU(), nn.Linear(12, 10))
    for leaf, name in zip(module.parameters(), trainer.network.parameter_shapes, strict=True):
        leaf.data.copy_(initial[name])
    weights, biases = ([leaf for leaf in module.parameters() if leaf.dim() == dim] for dim in (2, 1))
    groups: list[dict[str, Any]] = [{"params": weights}, {"params": biases, "weight_decay": 0.0}]
    optimizer = optimizer_of(groups, lr=0.01, weight_decay=0.1)
    average = averaged(module, 0.95)
    train, validation = splits.train, splits.validation
    assert validation is not None
    with torch.no_grad():
        losses = [float(nn.functional.cross_entropy(average.eval()(validation.inputs), validation.targets))]
    for positions in order:
        for rows in torch.split(positions, 100):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(module(train.inputs[rows]), train.targets[rows])
            loss = loss + 1e-4 * sum(weight.abs().sum() for weight in weights)
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(module.parameters(), 0.5)
            optimizer.step()
            with torch.no_grad():
                for weight, bound in zip(weights, (1.0, 0.7), strict=True):
                    weight.copy_(weight.renorm(2, 0, bound))
            average.update_parameters(module)
        with torch.no_grad():
            losses.append(float(nn.functional.cross_entropy(average(validation.inputs), validation.targets)))
    statistics = [buffer for name, buffer in average.named_buffers() if "running" in name]
    return losses, [leaf.detach() for leaf in (*average.parameters(), *statistics)]


WHOLE = """\
data: {name: digits, validation: 200}
model: {hidden: [12]}
optimizer: {name: adamw, lr: 0.01, weight_decay: 0.1, weight_decay_for: weights}
training: {epochs: 4, batch_size: 100, clip_norm: 0.5, max_norm: [1.0, 0.7], l1: 1e-4, ema: 0.95, device: cpu}
"""


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_a_training_equals_a_plain_loop_in_torch(norm: str) -> None:
    """With batch norm its scale and shift do not decay, and the running statistics are averaged like all else.

    Biases before it have gradients of nothing but rounding, which Adam would make steps of.
    """
    text = WHOLE.replace("[12]", f"[12], norm: {norm}")
    if norm == "batch":
        text = text.replace("adamw", "sgd")
        losses, parameters = plain_loop(text, 4, torch.optim.SGD, nn.BatchNorm1d(12))
    else:
        losses, parameters = plain_loop(text, 4, torch.optim.AdamW)
    experiment = load_text(text).experiment
    trainer = build_trainer([experiment], [load_data(experiment)])
    found = [epoch for [epoch] in trainer.epochs(first=0, last=4, should_stop=lambda: False)]
    assert [epoch.evaluated.loss for epoch in found if epoch and epoch.evaluated] == pytest.approx(losses, rel=1e-4)
    for ours, theirs in zip(trainer.model().parameters.values(), parameters, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)
