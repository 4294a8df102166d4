"""An op on the day it is written: with parameters and noise, without a compiled form, in no table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from mlptrain.data import Examples
from mlptrain.nn.engines import Analytic, Autograd, engine_for
from mlptrain.nn.gradcheck import check_gradients
from mlptrain.nn.initialisation import initialise_
from mlptrain.nn.network import MLP
from mlptrain.nn.noise import TrainingMode
from mlptrain.nn.ops import Op
from mlptrain.nn.parameters import Parameters
from mlptrain.seeds import derived_seed
from mlptrain.spec.optimizer import OptimizerSpec
from mlptrain.spec.schedule import Linear
from mlptrain.training.trainer import Model, Trainer
from tests.catalogue import OPTIMIZERS as ROWS
from tests.catalogue import cases, loss, op, optimizer_section

GOOD = [optimizer_section(*case) for case in cases(ROWS, "good")]
N, WIDTH, CLASSES, HIDDEN = 26, 5, 3, 6


@dataclass(frozen=True)
class NoisyScale(Op):
    """y = gain ⊙ z + shift, and in training steps gain ⊙ z ⊙ (1 + noise) + shift with noise from N(0, spread²)."""

    spread: float = 0.5
    name: ClassVar[str] = "noisy_scale"

    def parameter_shapes(self, width: int) -> dict[str, tuple[int, ...]]:
        return {"gain": (width,), "shift": ()}

    def initial_values(self) -> dict[str, float]:
        return {"gain": 1.5, "shift": -0.25}

    def apply(self, z: Tensor, parameters: Sequence[Tensor], *, mode: TrainingMode | None = None) -> Tensor:
        gain, shift = parameters
        noise = None if mode is None else mode.noise
        factor = 1.0 if noise is None else 1 + self.spread * torch.randn(z.shape, generator=noise.generator)
        return gain * z * factor + shift


def network(*hidden: Op) -> MLP:
    return MLP.of(
        [WIDTH, HIDDEN, CLASSES], hidden=hidden or (NoisyScale(), op("tanh")), output=[op("identity")], bias=True
    )


def initial(given: MLP, seed: int, *, dtype: torch.dtype = torch.float32) -> Parameters:
    parameters = Parameters.zeros(given.parameter_shapes, dtype=dtype)
    initialise_(given, parameters, generator=torch.Generator().manual_seed(seed))
    return parameters


def examples() -> Examples:
    generator = torch.Generator().manual_seed(9)
    return Examples(torch.randn(N, WIDTH, generator=generator), torch.randint(0, CLASSES, (N,), generator=generator))


SHARED = examples()


def trainer(seeds: Sequence[int], optimizers: Sequence[OptimizerSpec], *, given: MLP | None = None) -> Trainer:
    """One model for each seed, all on the same rows."""
    given = given or network()
    models = [
        Model(
            initial(given, seed),
            optimizer,
            seed=seed,
            examples=SHARED,
            evaluated=SHARED,
            schedule=Linear(name="linear", final=0.5),
        )
        for seed, optimizer in zip(seeds, optimizers, strict=True)
    ]
    return Trainer(
        given,
        models=models,
        loss=loss("cross_entropy"),
        classify=True,
        batch_size=8,
        shuffle=True,
        epochs=4,
    )


def run(made: Trainer, *, first: int = 0, last: int = 4) -> None:
    for _ in made.epochs(first=first, last=last, should_stop=lambda: False):
        pass


def test_an_op_without_a_compiled_form_runs_on_autograd_and_any_other_on_the_analytic_engine() -> None:
    for hidden in ((NoisyScale(),), (NoisyScale(), op("tanh")), (op("tanh"), NoisyScale())):
        assert engine_for(network(*hidden)) is Autograd
        assert not Analytic.runs(network(*hidden))
        assert type(trainer([0], GOOD[:1], given=network(*hidden)).engine) is Autograd
    assert engine_for(network(op("tanh"))) is Analytic
    assert engine_for(MLP.of([WIDTH, CLASSES], hidden=[NoisyScale()], output=[op("identity")], bias=True)) is Analytic
    assert engine_for(MLP.of([WIDTH, CLASSES], hidden=[], output=[NoisyScale()], bias=True)) is Autograd


def test_its_parameters_are_named_shaped_and_filled() -> None:
    parameters = initial(network(), 0)
    assert list(parameters.shapes.items()) == [
        ("layers.0.weight", (HIDDEN, WIDTH)),
        ("layers.0.bias", (HIDDEN,)),
        ("layers.0.gain", (HIDDEN,)),
        ("layers.0.shift", ()),
        ("layers.1.weight", (CLASSES, HIDDEN)),
        ("layers.1.bias", (CLASSES,)),
    ]
    assert parameters["layers.0.gain"].tolist() == [1.5] * HIDDEN
    assert float(parameters["layers.0.shift"]) == -0.25


def test_its_gradients_pass_the_check_by_differences() -> None:
    rows = examples()
    check = check_gradients(
        network(),
        loss=loss("cross_entropy"),
        parameters=initial(network(), 3),
        x=rows.x,
        targets=rows.y,
        generator=torch.Generator().manual_seed(0),
    )
    assert check.passed, check
    assert {one.name for one in check.parameters} == set(network().parameter_shapes)


class Scaled(nn.Module):
    """The same in torch, with noise from the outside."""

    def __init__(self) -> None:
        super().__init__()
        self.gain, self.shift = nn.Parameter(torch.full((HIDDEN,), 1.5)), nn.Parameter(torch.tensor(-0.25))
        self.noise = torch.Generator()

    def forward(self, z: Tensor) -> Tensor:
        factor = 1 + 0.5 * torch.randn(z.shape, generator=self.noise) if self.training else torch.ones_like(z)
        return self.gain * z * factor + self.shift


def test_it_trains_as_in_a_plain_pytorch_loop_and_its_noise_follows_from_seed_and_epoch() -> None:
    made = trainer([4], [optimizer_section("sgd", {"lr": 0.1, "momentum": 0.9})])
    noisy = Scaled()
    module = nn.Sequential(nn.Linear(WIDTH, HIDDEN), noisy, nn.Tanh(), nn.Linear(HIDDEN, CLASSES))
    ours = made.model().parameters
    with torch.no_grad():
        for theirs, value in zip(module.parameters(), ours.values(), strict=True):
            theirs.copy_(value)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - 0.5 * step / 16)
    for [epoch] in made.epochs(first=1, last=4, should_stop=lambda: False):
        assert epoch is not None
        noisy.noise.manual_seed(derived_seed(4, "noise", epoch.epoch))
        module.train()
        for rows in torch.split(made.model().order(epoch.epoch), 8):
            optimizer.zero_grad()
            torch.autograd.backward(nn.functional.cross_entropy(module(SHARED.x[rows]), SHARED.y[rows]))
            optimizer.step()
            scheduler.step()
        for theirs, value in zip(module.parameters(), ours.values(), strict=True):
            torch.testing.assert_close(value, theirs.detach(), rtol=1e-4, atol=1e-6)
        module.eval()
        assert epoch.evaluated is not None
        with torch.no_grad():
            expected = nn.functional.cross_entropy(module(SHARED.x), SHARED.y)
        assert epoch.evaluated.loss == pytest.approx(float(expected), rel=1e-4)


def test_noise_is_drawn_in_training_steps_and_plays_a_part() -> None:
    noisy, quiet = trainer([1], GOOD[:1]), trainer([1], GOOD[:1], given=network(NoisyScale(spread=0.0), op("tanh")))
    for made in (noisy, quiet):
        run(made, last=1)
    assert not torch.allclose(noisy.parameters.flat, quiet.parameters.flat, rtol=1e-3, atol=1e-3)


def test_a_model_among_others_gets_what_it_gets_alone() -> None:
    """Every optimizer, with seeds that repeat and seeds that do not, to float32 rounding of updates made together."""
    seeds = [index // 2 for index in range(len(GOOD))]
    together = trainer(seeds, GOOD)
    torch.manual_seed(17)  # the global stream is not read
    run(together)
    for index, (seed, optimizer) in enumerate(zip(seeds, GOOD, strict=True)):
        alone = trainer([seed], [optimizer])
        run(alone)
        for name, values in alone.model().parameters.items():
            torch.testing.assert_close(together.model(index).parameters[name], values, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("boundary", [1, 3])
def test_a_resumed_model_gets_what_the_unbroken_one_gets(boundary: int) -> None:
    """To the last bit, alone and among others, although every epoch draws noise of its own."""
    seeds = [index // 2 for index in range(len(GOOD))]
    for chosen in (seeds[:1], seeds):
        unbroken, resumed = (trainer(chosen, GOOD[: len(chosen)]) for _ in range(2))
        run(unbroken, last=boundary)
        run(resumed, last=boundary - 1)  # stands elsewhere before it is given the states
        for index in range(len(chosen)):
            resumed.model(index).load(unbroken.model(index).state())
        run(unbroken, first=boundary + 1)
        run(resumed, first=boundary + 1)
        assert torch.equal(unbroken.parameters.flat, resumed.parameters.flat)
