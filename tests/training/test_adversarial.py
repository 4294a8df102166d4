"""Whole trainings with a term for disturbed inputs: what is reported, repeated, resumed, and what it is good for."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional

from mlptrain.experiment.build import build_trainer, load_data
from mlptrain.nn.engines.adversarial import Adversarial
from mlptrain.spec import Experiment
from mlptrain.training.trainer import Trainer
from tests import catalogue
from tests.training.test_many_models import assert_each_is_its_single_run, experiment_of, run, together

TERMS = [catalogue.yaml(*case) for case in catalogue.cases(catalogue.ADVERSARIAL)]
MODEL = "{hidden: [13, 7], dropout: 0.2}"


def experiment(term: str | None, seed: int = 0, **values: Any) -> Experiment:
    settings: dict[str, Any] = {"data": "{name: digits, validation: 0.2}", "model": MODEL, "epochs": 3, **values}
    return experiment_of(seed=seed, **settings, **({} if term is None else {"adversarial": term}))


@pytest.mark.parametrize("term", TERMS)
def test_the_losses_of_a_training_are_plain_and_of_the_clean_rows(term: str) -> None:
    """Those of the initial weights, which a tiny rate leaves as they are."""
    one = experiment(term, optimizer="{name: sgd, lr: 1e-30}", model="{hidden: [13]}")
    trainer = build_trainer([one], [load_data(one)])
    examples, model = trainer.model().examples, trainer.model()
    outputs = trainer.network.forward(model.parameters, examples.inputs)
    [[epoch]] = run(trainer, first=1, last=1)
    assert epoch is not None
    assert epoch.train is not None
    assert epoch.train.loss == pytest.approx(float(functional.cross_entropy(outputs, examples.targets)), rel=1e-6)
    assert epoch.train.accuracy == pytest.approx(float((outputs.argmax(1) == examples.targets).double().mean()))


@pytest.mark.parametrize("term", TERMS)
def test_each_model_is_what_it_is_alone(term: str) -> None:
    optimizers = ("{name: adam, lr: 0.003}", "{name: adam, lr: 0.003}", "{name: sgd, lr: 0.05}")
    assert_each_is_its_single_run(
        [experiment(term, seed, optimizer=one) for seed, one in zip((0, 1, 1), optimizers, strict=True)]
    )


def test_models_of_one_seed_share_their_directions_and_others_do_not() -> None:
    trainer = together([experiment("{name: vat, epsilon: 0.5}", seed, model="{hidden: []}") for seed in (0, 0, 1)])
    trainer.parameters.flat.zero_()  # the disturbances are the directions themselves then
    engine = trainer.engine
    assert isinstance(engine, Adversarial)
    found = []
    for epoch in (1, 1, 2):
        engine.start_epoch(epoch)
        targets, inputs = next(trainer.batches.blocks(1, steps=1))
        x = next(inputs)
        engine(x, targets)
        found.append(engine.disturbed - torch.stack([x[0], x[0], x[1]]))
    for r in found:
        torch.testing.assert_close(r[0], r[1])
        assert not torch.allclose(r[0], r[2], atol=0.1)
    torch.testing.assert_close(found[0], found[1])
    assert not torch.allclose(found[0], found[2], atol=0.1)


@pytest.mark.parametrize("term", TERMS)
@pytest.mark.parametrize("boundary", [1, 2])
def test_a_resumed_training_gives_the_same_bytes(term: str, boundary: int) -> None:
    one = experiment(term, optimizer="{name: adam, lr: 0.003}")
    splits = load_data(one)
    unbroken, resumed = (build_trainer([one], [splits]) for _ in range(2))
    torch.manual_seed(5)  # the global stream is not read
    run(unbroken, last=boundary)
    run(resumed, last=boundary - 1)  # stands elsewhere before it is given the state
    resumed.model().load(unbroken.model().state())
    for ours, theirs in zip(*(run(made, first=boundary + 1) for made in (resumed, unbroken)), strict=True):
        [mine], [other] = ours, theirs
        assert mine is not None
        assert other is not None
        assert (mine.train, mine.evaluated) == (other.train, other.evaluated)
    assert torch.equal(unbroken.parameters.flat, resumed.parameters.flat)


def attacked(trainer: Trainer, epsilon: float) -> float:
    """Share of validation rows still classified right after a step of this length along the gradient of the loss."""
    rows = trainer.models[0].evaluated
    assert rows is not None
    x = rows.inputs.clone().requires_grad_()
    outputs = trainer.network.forward(trainer.model().parameters, x)
    (g,) = torch.autograd.grad(functional.cross_entropy(outputs, rows.targets, reduction="sum"), x)
    moved = x.detach() + epsilon * functional.normalize(g)
    found = trainer.network.forward(trainer.model().parameters, moved).argmax(dim=1)
    return float((found == rows.targets).double().mean())


@pytest.mark.parametrize("term", ["{name: vat, epsilon: 0.5}", "{name: fgsm, epsilon: 0.5}"])
def test_a_network_trained_so_withstands_what_a_plain_one_does_not(term: str) -> None:
    settings: dict[str, Any] = {"model": "{hidden: [64]}", "optimizer": "{name: adam, lr: 0.003}", "epochs": 20}
    found = []
    for chosen in (None, term):
        one = experiment(chosen, **settings)
        trainer = build_trainer([one], [load_data(one)])
        run(trainer, last=20)
        found.append(attacked(trainer, 0.5))
    plain, hardened = found
    assert hardened > plain + 0.1


def test_a_regression_can_be_trained_adversarially() -> None:
    one = experiment(
        "{name: fgsm, epsilon: 0.1}",
        data="{name: random_regression, n_targets: 3}",
        loss="mse",
        optimizer="{name: adam, lr: 0.01}",
        model="{hidden: [8]}",
    )
    epochs = run(together([one]), last=3)
    losses = [epoch.evaluated.loss for [epoch] in epochs if epoch is not None and epoch.evaluated is not None]
    assert losses[-1] < losses[0]
