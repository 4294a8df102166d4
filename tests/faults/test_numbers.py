"""Numbers at their limits: losses against arbitrary precision, divergence when it happens, data that hardly are any."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import mpmath  # type: ignore[import-untyped]
import numpy as np
import pytest
import torch
from torch import Tensor

from mlptrain import experiment
from mlptrain.data import Splits
from mlptrain.errors import DataError, DivergedError, MlptrainError
from mlptrain.experiment.build import build_trainer, load_data
from mlptrain.nn.losses import columns
from mlptrain.runs import RunFolder
from mlptrain.sources.facts import RawData
from mlptrain.spec import load_text
from tests.catalogue import LOSSES, OPTIMIZERS, encoded
from tests.catalogue import loss as make_loss

Attacks = Callable[[str, int, int], Iterator[int]]
LARGE = float(torch.finfo(torch.float32).max)
SIZES = (0.0, 1e-45, 1e-38, 1.0, 88.0, 104.0, 1e4, 1e30)


def check_loss(name: str, row: list[float], label: int) -> None:
    """Value and gradient of one example, as the step and as the evaluation find them, to float32's precision."""
    loss, outputs = make_loss(name), torch.tensor([row])
    targets = encoded(loss, torch.tensor([label]), len(row))
    with mpmath.workdps(60):
        value, gradient = LOSSES[name].exact([mpmath.mpf(logit) for logit in outputs[0].tolist()], label)
    expected = float(value) if abs(value) < LARGE else math.inf
    # Beside a label's logit of 1e30 nothing smaller can be seen; what is told is right to six digits or to 1e-6.
    within = 1e-6 * max(1.0, abs(expected)) if math.isfinite(expected) else 0.0
    for found in (float(loss.losses(columns(outputs), columns(targets))), float(loss.per_example(outputs, targets))):
        assert found == expected or abs(found - expected) <= within, (name, row, label, found, expected)
    for got, exact in zip(loss.gradient(outputs, targets)[0].tolist(), map(float, gradient), strict=True):
        assert abs(got - exact) <= 1e-6 * max(1.0, abs(exact)), (name, row, label, got, exact)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_and_gradients_of_any_logits(name: str, attacks: Attacks, chance: random.Random) -> None:
    width, labels = LOSSES[name].outputs(4), LOSSES[name].labels(4)
    for _ in attacks("logits up to ±1e30 in a loss, against 60 digits", 300, 10_000):
        size = chance.choice(SIZES)
        row = [chance.choice((-1, 1)) * chance.choice((size, size, chance.choice(SIZES))) for _ in range(width)]
        if chance.random() < 0.3:  # equal logits, however large, are a loss of log k
            row = [row[0]] * width
        check_loss(name, row, chance.randrange(labels))


def test_equal_logits_cost_log_k_however_large() -> None:
    loss = make_loss("cross_entropy")
    for size in (1e4, -1e4, 1e30, -1e30):
        outputs = torch.full((1, 10, 3), size)
        assert loss.losses(outputs, torch.zeros(1, 1, 3, dtype=torch.int64))[0].tolist() == pytest.approx(
            [math.log(10)] * 3, rel=1e-6
        )


def configuration(
    *,
    data: str = "{name: random_classification, n_samples: 60, n_features: 6, n_classes: 3, validation: 0}",
    optimizer: str = "sgd",
    lr: float = 0.1,
    loss: str = "cross_entropy",
    epochs: int = 3,
    batch_size: int | str = 16,
    split: str = "none",
    init: str = "default",
) -> str:
    return f"""
data: {data}
model: {{hidden: [5], init: {init}}}
loss: {loss}
optimizer: {{name: {optimizer}, lr: {lr}}}
training: {{epochs: {epochs}, batch_size: {batch_size}, threads: 1}}
evaluation: {{split: {split}}}
"""


CAN_DIVERGE = [name for name in OPTIMIZERS if name != "rprop"]  # whose steps are at most 50, whatever the rate


def first_bad_epoch(text: str) -> int | None:
    """The first epoch in which a step's loss, or a weight after it, is no number: a loop of torch's own."""
    one = load_text(text).experiment
    model = build_trainer([one], [load_data(one)]).model()
    x, y = model.examples.inputs, model.examples.targets
    weights = [tensor.clone().requires_grad_() for tensor in model.parameters.values()]
    optimizer = OPTIMIZERS[one.optimizer.name].reference(weights, lr=one.optimizer.lr)
    for epoch in range(1, one.training.epochs + 1):
        bad = False
        for rows in torch.split(model.order(epoch), one.batch_size):
            optimizer.zero_grad()
            hidden = torch.relu(torch.nn.functional.linear(x[rows], weights[0], weights[1]))
            loss = torch.nn.functional.cross_entropy(
                torch.nn.functional.linear(hidden, weights[2], weights[3]), y[rows]
            )
            torch.autograd.backward(loss)
            optimizer.step()
            bad = bad or not bool(loss.isfinite())
        if bad or not all(bool(tensor.isfinite().all()) for tensor in weights):
            return epoch
    return None


@pytest.mark.parametrize("optimizer", CAN_DIVERGE)
def test_divergence_is_found_in_its_epoch_alone_and_among_others(optimizer: str) -> None:
    """A diverging model between two sound ones: found in the epoch of torch's own loop, and the others continue."""
    wild, tame = configuration(optimizer=optimizer, lr=1e25), configuration(optimizer=optimizer, lr=1e-3)
    experiments = [load_text(text).experiment for text in (tame, wild, tame)]
    expected = first_bad_epoch(wild)
    assert expected is not None
    assert first_bad_epoch(tame) is None
    found: list[int] = []
    for chosen, place in (([experiments[1]], 0), (experiments, 1)):
        splits = load_data(experiments[0])
        epochs = list(build_trainer(chosen, [splits] * len(chosen)).epochs(first=1, last=3, should_stop=lambda: False))
        for epoch in epochs:
            for index, one in enumerate(epoch):
                if one is not None and one.ending is not None:
                    assert index == place
                    found.append(one.epoch)
        if len(chosen) > 1:
            assert all(one is not None for one in (epochs[-1][0], epochs[-1][2]))
            assert epochs[-1][1] is None or expected == 3
    assert found == [expected, expected]


def train(text: str, folder: Path) -> experiment.Outcome:
    return experiment.train(load_text(text), run_dir=folder, on_note=lambda _: None)


DIGITS = "{name: digits, train_size: 60, test_size: 40, validation: 0}"


@pytest.mark.parametrize("optimizer", CAN_DIVERGE)
@pytest.mark.parametrize("data", ["generated, without test rows", "digits"])
def test_weights_thrown_away_by_the_very_last_step_are_no_result(optimizer: str, data: str, tmp_path: Path) -> None:
    """The loss of the only step was sound and the weights after it are finite; what they give is not a number."""
    text = configuration(optimizer=optimizer, lr=1e30, epochs=1, batch_size="full")
    text = text if data != "digits" else text.replace(text.splitlines()[1], f"data: {DIGITS}")
    with pytest.raises(DivergedError, match=r"test loss|loss after training|parameter") as raised:
        train(text, tmp_path / "run")
    assert (raised.value.epoch, raised.value.step) == (1, 1)
    result = RunFolder.open(tmp_path / "run").read_result()
    assert result is not None
    assert result.status == "diverged"
    assert (result.epoch, result.step) == (1, 1)


def test_the_last_step_of_some_seeds_spoils_no_other(tmp_path: Path) -> None:
    """Rates just at the brink: some seeds end with finite figures and others without."""
    text = configuration(data=DIGITS, optimizer="adam", lr=1e30, epochs=1, batch_size="full")
    outcome = experiment.train_seeds(load_text(text), [0, 1, 2], run_dir=tmp_path / "group")
    assert outcome.summary.plain()["diverged"] == [0, 1, 2]
    assert all(one.result.plain()["status"] == "diverged" for one in outcome.outcomes)


def test_weights_that_overflow_in_the_last_step(tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match="a parameter is not finite") as raised:
        train(
            configuration(
                data=DIGITS,
                lr=1e30,
                epochs=1,
                batch_size="full",
                loss="{name: mse, reduction: sum}",
                init="{name: normal, std: 1e4}",
            ),
            tmp_path / "run",
        )
    assert raised.value.step == 1


@pytest.mark.parametrize("split", ["none", "test"])
@pytest.mark.parametrize("loss", ["cross_entropy", "mse", "mae"])
def test_a_loss_that_is_no_number_from_the_beginning(loss: str, split: str, tmp_path: Path) -> None:
    with pytest.raises(DivergedError) as raised:
        train(configuration(data=DIGITS, loss=loss, split=split, init="{name: normal, std: 1e30}"), tmp_path / "run")
    assert raised.value.epoch == (0 if split == "test" else 1)


ODD = {
    "one training row": configuration(data="{name: digits, train_size: 1, test_size: 1, validation: 0}"),
    "one training row, standardised": configuration(
        data="{name: digits, train_size: 1, test_size: 1, validation: 0, scaling: standard}", split="test"
    ),
    "one row to train on and one to choose by": configuration(
        data="{name: random_classification, n_samples: 2, validation: 1, scaling: standard}", split="validation"
    ),
    "one class left of two, for bce": configuration(
        data="{name: digits, classes: [3, 7], train_size: 1, test_size: 1, validation: 0}", loss="bce", split="test"
    ),
    "two classes, one of them with one example": configuration(
        data="{name: digits, classes: [0, 1], train_size: 3, test_size: 2, validation: 0}"
    ),
    "a batch larger than the data": configuration(batch_size=10_000),
    "a last batch of one": configuration(batch_size=59),
    "batches of one": configuration(batch_size=1, optimizer="adam"),
    "points that all lie on a line of three": configuration(
        data="{name: spirals, points_per_class: 2, noise: 0, validation: 0, scaling: standard}"
    ),
    "one target, one row": configuration(data="{name: random_regression, n_samples: 2, validation: 1}", loss="mse"),
    "a rate that moves nothing": configuration(lr=1e-300),
}


@pytest.mark.parametrize("what", ODD)
@pytest.mark.filterwarnings("error")
def test_data_that_hardly_are_any(what: str, tmp_path: Path) -> None:
    """Trains to the end with finite figures, and can be evaluated."""
    from mlptrain.inference.evaluate import evaluate_checkpoint

    outcome = train(ODD[what], tmp_path / "run")
    assert outcome.result.plain()["status"] == "completed"
    figures = outcome.result.plain()["kept"] | outcome.result.plain()["last"]
    assert all(math.isfinite(value) for key, value in figures.items() if key != "checkpoint")
    report = evaluate_checkpoint(tmp_path / "run")
    assert math.isfinite(report["loss"])
    if report["accuracy"] is not None:
        assert 0 <= report["interval"][0] <= report["accuracy"] <= report["interval"][1] <= 1


def test_a_rate_of_zero_and_constant_inputs_are_refused_with_the_reason() -> None:
    facts = load_text(configuration()).experiment.facts
    with pytest.raises(MlptrainError, match="lr: must be above 0, got 0"):
        load_text(configuration(lr=0))
    for constant in (np.full((5, 4), 7, dtype=np.uint8), np.full((5, 4), 0.1, dtype=np.float32)):
        raw = RawData(constant, np.zeros(5, dtype=np.int64))
        with pytest.raises(DataError, match="std above 0"):
            Splits.of(raw, facts, seed=0, scaling="standard")


def test_rows_that_are_all_equal_learn_their_label(tmp_path: Path) -> None:
    """Constant features and one class: nothing distinguishes them, and nothing is not a number."""
    one = load_text(configuration(lr=0.5, epochs=30)).experiment
    splits = load_data(one)
    splits.train.x.fill_(1.0)
    splits.train.y.zero_()
    trainer = build_trainer([one], [splits])
    *_, [last] = trainer.epochs(first=1, last=30, should_stop=lambda: False)
    assert last is not None
    assert last.train is not None
    assert last.train.accuracy == 1
    assert 0 <= last.train.loss < 0.01


def test_denormal_weights_and_inputs_are_no_divergence() -> None:
    """Everything as small as float32 goes: the loss is that of a constant guess, log k."""
    one = load_text(configuration(epochs=2, lr=1e-30)).experiment
    splits = load_data(one)
    splits.train.x.fill_(1e-45)
    trainer = build_trainer([one], [splits])
    trainer.parameters.flat.fill_(1e-45)
    for [epoch] in trainer.epochs(first=1, last=2, should_stop=lambda: False):
        assert epoch is not None
        assert epoch.ending is None
        assert epoch.train is not None
        assert epoch.train.loss == pytest.approx(math.log(3), rel=1e-6)


def softmax_gradient_sums(outputs: Tensor, targets: Tensor) -> list[float]:
    gradient: Tensor = make_loss("cross_entropy", "sum").gradient(outputs, targets)
    return gradient.double().sum(dim=1).tolist()


def test_gradients_of_a_row_add_up_to_nothing_whatever_the_logits(attacks: Attacks, chance: random.Random) -> None:
    for _ in attacks("rows of logits whose gradients must cancel", 200, 5_000):
        row = [chance.choice((-1, 1)) * chance.choice(SIZES) for _ in range(10)]
        assert softmax_gradient_sums(torch.tensor([row]), torch.tensor([chance.randrange(10)])) == pytest.approx(
            [0.0], abs=1e-6
        )
