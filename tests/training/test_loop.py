"""The loop against a plain PyTorch loop, and what it promises of order, interruption and divergence."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from mlptrain.data import Examples
from mlptrain.errors import InterruptedRunError
from mlptrain.experiment.build import build_network, initial_parameters
from mlptrain.nn.engines import Engine
from mlptrain.nn.initialisation import initialise_
from mlptrain.nn.network import MLP
from mlptrain.nn.parameters import Parameters
from mlptrain.spec import load_text
from mlptrain.spec.optimizer import SGD
from mlptrain.spec.schedule import Linear, RunLength, Schedule
from mlptrain.training.metrics import evaluate
from mlptrain.training.trainer import CONSTANT, Epoch, Model, Trainer
from tests.catalogue import loss as make_loss
from tests.catalogue import op
from tests.nn.problems import every_engine

ROWS, WIDTH = 70, 12


def make_trainer(
    *,
    batch_size: int = 16,
    lr: float = 0.05,
    seed: int = 0,
    evaluated: bool = True,
    activation: str = "tanh",
    engine: type[Engine] | None = None,
    weight_decay: float = 0.0,
    schedule: Schedule = CONSTANT,
    epochs: int = 3,
) -> Trainer:
    text = f"""
seed: {seed}
data: {{name: random_classification, n_samples: {ROWS}, n_features: {WIDTH}, n_classes: 3}}
model: {{hidden: [9, 5], activation: {activation}}}
optimizer: {{name: sgd, lr: {lr}, momentum: 0.9, weight_decay: {weight_decay}}}
"""
    experiment = load_text(text).experiment
    network = build_network(experiment)
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(ROWS, WIDTH, generator=generator)
    y = torch.randint(0, 3, (ROWS,), generator=generator)
    model = Model(
        initial=initial_parameters(experiment, network),
        optimizer=experiment.optimizer,
        seed=seed,
        examples=Examples(x, y),
        evaluated=Examples(x[:20], y[:20]) if evaluated else None,
        schedule=schedule,
    )
    return Trainer(
        network,
        models=[model],
        loss=make_loss("cross_entropy"),
        classify=True,
        batch_size=batch_size,
        shuffle=True,
        engine=engine,
        epochs=epochs,
    )


def batches_of(trainer: Trainer, epoch: int, size: int) -> tuple[Tensor, ...]:
    """Positions among the rows of the only model, step by step."""
    return torch.split(trainer.model().order(epoch), size)


def run(trainer: Trainer, *, first: int = 0, last: int = 3) -> list[Epoch]:
    """The epochs of the only model."""
    found = [epochs[0] for epochs in trainer.epochs(first=first, last=last, should_stop=lambda: False)]
    return [epoch for epoch in found if epoch is not None]


@every_engine
@pytest.mark.parametrize("schedule", [CONSTANT, Linear(name="linear")])
def test_equals_a_plain_pytorch_loop(engine: type[Engine], schedule: Schedule) -> None:
    trainer = make_trainer(engine=engine, schedule=schedule)
    assert type(trainer.engine) is engine
    member = trainer.model()
    model = nn.Sequential(nn.Linear(WIDTH, 9), nn.Tanh(), nn.Linear(9, 5), nn.Tanh(), nn.Linear(5, 3))
    names = [f"{index}.{kind}" for index in (0, 2, 4) for kind in ("weight", "bias")]
    model.load_state_dict({name: t.clone() for name, t in zip(names, member.parameters.values(), strict=True)})
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: schedule.factor_at(step, RunLength(15, 5)))
    x, y, rates = member.examples.x, member.examples.y, [0.05]
    for epoch in run(trainer):
        if epoch.epoch:
            losses, accuracies, correct = [], [], 0
            for rows in batches_of(trainer, epoch.epoch, 16):
                optimizer.zero_grad()
                outputs = model(x[rows])
                loss = nn.functional.cross_entropy(outputs, y[rows])
                losses.append(loss.item() * len(rows))
                hits = int((outputs.argmax(1) == y[rows]).sum())
                accuracies.append(hits / len(rows))
                correct += hits
                torch.autograd.backward(loss)
                rates.append(float(scheduler.get_last_lr()[0]))
                optimizer.step()
                scheduler.step()
            assert epoch.train is not None
            assert epoch.train.loss == pytest.approx(sum(losses) / ROWS, rel=1e-5)
            assert epoch.train.accuracy == correct / ROWS
            assert epoch.step_losses is not None
            assert epoch.step_accuracies is not None
            sizes = [16, 16, 16, 16, 6]
            assert epoch.step_losses.tolist() == pytest.approx(
                [one / n for one, n in zip(losses, sizes, strict=True)], rel=1e-5
            )
            assert epoch.step_accuracies.tolist() == accuracies
        else:
            assert (epoch.train, epoch.step_losses, epoch.step_accuracies) == (None, None, None)
        assert (epoch.step, epoch.ending) == (5 * epoch.epoch, None)
        assert epoch.lr == pytest.approx(rates[-1], rel=1e-12)  # of its last step
        assert epoch.evaluated is not None
        with torch.no_grad():
            reference = nn.functional.cross_entropy(model(x[:20]), y[:20])
        assert epoch.evaluated.loss == pytest.approx(reference.item(), rel=1e-5)
    for ours, theirs in zip(member.parameters.values(), model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs.detach(), rtol=1e-4, atol=1e-6)


def test_the_last_shorter_batch_counts_by_its_size() -> None:
    epochs = run(make_trainer(batch_size=64, lr=1e-9, evaluated=False), first=1, last=1)
    trainer = make_trainer(batch_size=64, evaluated=False)
    member = trainer.model()
    whole = evaluate(trainer.network, member.parameters, loss=trainer.loss, examples=member.examples, classify=True)
    assert epochs[0].train is not None
    assert epochs[0].train.loss == pytest.approx(whole.loss, rel=1e-6)
    assert epochs[0].train.accuracy == whole.accuracy
    assert epochs[0].step_losses is not None
    assert len(epochs[0].step_losses) == 2


def test_losses_of_many_steps_that_are_found_in_several_goes() -> None:
    """Outputs of 12,000 rows and 200 columns are more than are kept at once; lr is so small that nothing moves."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(12_000, 2, generator=generator)
    y = torch.randn(12_000, 200, generator=generator)
    network = MLP.of([2, 200], hidden=[], output=[op("identity")], bias=True)
    initial = Parameters.zeros(network.parameter_shapes)
    initialise_(network, initial, generator=generator)
    model = Model(initial, SGD(name="sgd", lr=1e-12), seed=3, examples=Examples(x, y), evaluated=None)
    trainer = Trainer(network, models=[model], loss=make_loss("mse"), classify=False, batch_size=1_700, shuffle=True)
    [epoch] = run(trainer, first=1, last=1)
    outputs = nn.functional.linear(x, initial["layers.0.weight"], initial["layers.0.bias"])
    expected = [float(nn.functional.mse_loss(outputs[rows], y[rows])) for rows in batches_of(trainer, 1, 1_700)]
    assert epoch.step_losses is not None
    assert epoch.step_losses.tolist() == pytest.approx(expected, rel=1e-5)
    assert epoch.train is not None
    assert epoch.train.loss == pytest.approx(float(nn.functional.mse_loss(outputs, y)), rel=1e-5)
    assert (epoch.train.accuracy, epoch.step_accuracies) == (None, None)


def test_each_epoch_is_a_permutation_of_its_own() -> None:
    member = make_trainer().model()
    orders = [member.order(epoch) for epoch in range(1, 4)]
    for order in orders:
        assert sorted(order.tolist()) == list(range(ROWS))
    assert not torch.equal(orders[0], orders[1])
    assert torch.equal(orders[1], make_trainer().model().order(2))
    assert not torch.equal(orders[1], make_trainer(seed=1).model().order(2))


def test_batches_do_not_depend_on_what_else_draws_random_numbers() -> None:
    first, second = make_trainer(), make_trainer()
    run(first)
    torch.manual_seed(99)
    for _ in second.epochs(first=0, last=3, should_stop=lambda: False):
        torch.rand(7)  # the global stream is no business of ours
    assert torch.equal(first.parameters.flat, second.parameters.flat)


def test_training_leaves_the_global_stream_alone() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    run(make_trainer())
    assert torch.equal(before, torch.get_rng_state())


def test_evaluation_does_not_disturb_training() -> None:
    with_evaluation, without = make_trainer(), make_trainer(evaluated=False)
    run(with_evaluation)
    run(without)
    assert torch.equal(with_evaluation.parameters.flat, without.parameters.flat)


def test_training_leaves_the_initial_parameters_alone() -> None:
    trainer = make_trainer()
    initial = trainer.models[0].initial
    before = initial.flat.clone()
    assert torch.equal(trainer.parameters.flat, before)
    run(trainer, last=1)
    assert torch.equal(initial.flat, before)
    assert not torch.equal(trainer.parameters.flat, before)


def test_the_step_of_divergence_is_the_first_with_a_loss_that_is_not_finite() -> None:
    trainer = make_trainer(lr=1e20, activation="relu")
    member = trainer.model()
    model = nn.Sequential(nn.Linear(WIDTH, 9), nn.ReLU(), nn.Linear(9, 5), nn.ReLU(), nn.Linear(5, 3))
    with torch.no_grad():
        for theirs, ours in zip(model.parameters(), member.parameters.values(), strict=True):
            theirs.copy_(ours)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e20, momentum=0.9)
    losses = []
    for rows in batches_of(trainer, 1, 16):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(member.examples.x[rows]), member.examples.y[rows])
        losses.append(loss.item())
        torch.autograd.backward(loss)
        optimizer.step()
    untrained, last = run(trainer, last=50)
    assert untrained.ending is None
    assert last.ending is not None
    assert last.evaluated is None
    expected = next(step for step, loss in enumerate(losses, 1) if not torch.tensor(loss).isfinite())
    assert (last.ending.kind, last.ending.epoch, last.ending.step, last.ending.lr) == ("diverged", 1, expected, 1e20)
    error = last.ending.error()
    assert (error.epoch, error.step, error.lr) == (1, expected, 1e20)
    assert "the training loss is not finite at step" in str(error) == last.ending.message


def test_divergence_in_a_later_epoch_counts_steps_from_the_beginning() -> None:
    trainer = make_trainer(activation="identity", lr=0.1, weight_decay=50.0)
    *_, last = run(trainer, last=50)
    assert last.ending is not None
    assert last.epoch > 1
    assert last.step_losses is not None
    within = next(step for step, loss in enumerate(last.step_losses.tolist(), 1) if not torch.tensor(loss).isfinite())
    assert (last.ending.epoch, last.ending.step) == (last.epoch, (last.epoch - 1) * 5 + within)


def test_a_parameter_that_overflows_in_the_last_step_is_found() -> None:
    trainer = make_trainer(batch_size=ROWS, lr=1e30, weight_decay=1e6)
    trainer.model().examples.x.zero_()  # the loss stays finite, whatever the first layer's weights
    trainer.model().parameters["layers.0.weight"].fill_(1e3)
    [epoch] = run(trainer, first=1, last=9)
    assert epoch.train is not None
    assert epoch.train.loss < 10
    assert epoch.ending is not None
    assert "a parameter is not finite at step 1 " in epoch.ending.message


def test_a_loss_that_overflows_is_found_where_the_parameters_stay_finite() -> None:
    """Errors of 1e25, whose squares are more than float32 holds."""
    network = MLP.of([2, 1], hidden=[], output=[op("identity")], bias=True)
    examples = Examples(torch.ones(6, 2), torch.full((6, 1), 1e25))
    initial = Parameters.zeros(network.parameter_shapes)
    model = Model(initial, SGD(name="sgd", lr=1e-30), seed=0, examples=examples, evaluated=None)
    trainer = Trainer(network, models=[model], loss=make_loss("mse"), classify=False, batch_size=4, shuffle=True)
    [epoch] = run(trainer, first=1, last=9)
    assert epoch.ending is not None
    assert "the training loss is not finite at step 1 " in epoch.ending.message
    assert trainer.parameters.flat.isfinite().all()


def test_an_evaluated_loss_that_is_not_finite_is_found_also_before_training() -> None:
    trainer = make_trainer(activation="identity")
    evaluated = trainer.models[0].evaluated
    assert evaluated is not None
    evaluated.x[3, 4] = torch.inf
    [epoch] = run(trainer, last=9)
    assert epoch.ending is not None
    assert (epoch.ending.epoch, epoch.ending.step) == (0, 0)
    assert "the evaluated loss" in epoch.ending.message


@pytest.mark.parametrize("stop_after", [1, 4, 8])
def test_a_signal_stops_after_the_step(stop_after: int) -> None:
    trainer = make_trainer()
    calls = 0

    def should_stop() -> bool:
        nonlocal calls
        calls += 1
        return calls >= stop_after

    with pytest.raises(InterruptedRunError):
        list(trainer.epochs(first=0, last=10, should_stop=should_stop))
    assert calls == stop_after


def test_full_batch_needs_no_shuffle() -> None:
    trainer = make_trainer(batch_size=ROWS)
    assert torch.equal(trainer.model().order(3), torch.arange(ROWS))
    assert trainer.steps_per_epoch == 1
    run(trainer)
