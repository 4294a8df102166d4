"""The loop against a plain PyTorch loop, and what it promises of order, interruption and divergence."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mlptrain.data import Split
from mlptrain.errors import DivergedError, InterruptedRunError
from mlptrain.parts import build_network, initial_parameters
from mlptrain.nn.losses import make_loss
from mlptrain.spec import load_text
from mlptrain.training.evaluation import evaluate
from mlptrain.training.loop import Epoch, Trainer
from mlptrain.training.optimizers import make_optimizer

ROWS, WIDTH = 70, 12


def make_trainer(
    *, batch_size: int = 16, lr: float = 0.05, seed: int = 0, evaluated: bool = True, activation: str = "tanh"
) -> Trainer:
    text = f"""
seed: {seed}
data: {{name: random_classification, n_samples: {ROWS}, n_features: {WIDTH}, n_classes: 3}}
model: {{hidden: [9, 5], activation: {activation}}}
optimizer: {{name: sgd, lr: {lr}, momentum: 0.9}}
"""
    spec = load_text(text).spec
    network = build_network(spec)
    parameters = initial_parameters(spec, network)
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(ROWS, WIDTH, generator=generator)
    y = torch.randint(0, 3, (ROWS,), generator=generator)
    return Trainer(
        network=network,
        parameters=parameters,
        optimizer=make_optimizer("sgd", parameters.flat, **spec.optimizer.model_dump(exclude={"name"})),
        loss=make_loss("cross_entropy"),
        train=Split(x, y),
        evaluated=Split(x[:20], y[:20]) if evaluated else None,
        classify=True,
        batch_size=batch_size,
        shuffle=True,
        seed=seed,
    )


def run(trainer: Trainer, *, first: int = 0, last: int = 3) -> list[Epoch]:
    return list(trainer.epochs(first=first, last=last, should_stop=lambda: False))


def test_equals_a_plain_pytorch_loop() -> None:
    trainer = make_trainer()
    model = nn.Sequential(nn.Linear(WIDTH, 9), nn.Tanh(), nn.Linear(9, 5), nn.Tanh(), nn.Linear(5, 3))
    names = [f"{index}.{kind}" for index in (0, 2, 4) for kind in ("weight", "bias")]
    model.load_state_dict({name: t.clone() for name, t in zip(names, trainer.parameters.values(), strict=True)})
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    x, y = trainer.train.x, trainer.train.y
    for epoch in run(trainer):
        if epoch.epoch:
            losses, correct = [], 0
            for rows in trainer.order(epoch.epoch).split(16):  # type: ignore[no-untyped-call]
                optimizer.zero_grad()
                outputs = model(x[rows])
                loss = nn.functional.cross_entropy(outputs, y[rows])
                losses.append(loss.item() * len(rows))
                correct += int((outputs.argmax(1) == y[rows]).sum())
                torch.autograd.backward(loss)
                optimizer.step()
            assert epoch.train is not None
            assert epoch.train.loss == pytest.approx(sum(losses) / ROWS, rel=1e-5)
            assert epoch.train.accuracy == correct / ROWS
        assert epoch.evaluated is not None
        with torch.no_grad():
            reference = nn.functional.cross_entropy(model(x[:20]), y[:20])
        assert epoch.evaluated.loss == pytest.approx(reference.item(), rel=1e-5)
    for ours, theirs in zip(trainer.parameters.values(), model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs.detach(), rtol=1e-4, atol=1e-6)


def test_the_last_shorter_batch_counts_by_its_size() -> None:
    epochs = run(make_trainer(batch_size=64, lr=1e-9, evaluated=False), first=1, last=1)
    trainer = make_trainer(batch_size=64, evaluated=False)
    whole = evaluate(
        trainer.network,
        trainer.parameters,
        loss=trainer.loss,
        x=trainer.train.x,
        targets=trainer.train.y,
        classify=True,
    )
    assert epochs[0].train is not None
    assert epochs[0].train.loss == pytest.approx(whole.loss, rel=1e-6)
    assert epochs[0].train.accuracy == whole.accuracy
    assert epochs[0].step_losses is not None
    assert len(epochs[0].step_losses) == 2


def test_each_epoch_is_a_permutation_of_its_own() -> None:
    trainer = make_trainer()
    orders = [trainer.order(epoch) for epoch in range(1, 4)]
    for order in orders:
        assert sorted(order.tolist()) == list(range(ROWS))
    assert not torch.equal(orders[0], orders[1])
    assert torch.equal(orders[1], make_trainer().order(2))
    assert not torch.equal(orders[1], make_trainer(seed=1).order(2))


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


def test_divergence_is_found_in_its_epoch_with_its_step() -> None:
    trainer = make_trainer(lr=1e20, activation="relu")
    with pytest.raises(DivergedError) as caught:
        run(trainer, last=50)
    assert caught.value.epoch == 1
    assert 1 <= caught.value.step <= trainer.steps_per_epoch
    assert caught.value.lr == 1e20


def test_a_parameter_that_overflows_in_the_last_step_is_found() -> None:
    trainer = make_trainer(batch_size=ROWS)
    trainer.parameters.flat[0] = torch.finfo(torch.float32).max
    trainer.train.x.zero_()  # the loss stays finite, whatever the first layer's weights
    trainer.optimizer.settings["lr"] = 1e38
    trainer.optimizer.settings["weight_decay"] = 10.0
    with pytest.raises(DivergedError, match="a parameter"):
        run(trainer, first=1, last=1)


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
    assert torch.equal(trainer.order(3), torch.arange(ROWS))
    assert trainer.steps_per_epoch == 1
    run(trainer)
