"""The plan: which trials, in which batches, under which names and which hash."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import pytest

from mlptrain.comparison.preview import max_extension_trials
from mlptrain.comparison.trials import Trial
from mlptrain.spec.optimizer import SGD, Adam
from tests.comparison.small import BASE, FIXED, TUNED, compare, plan_of

TASK = "the task"


def name_of(trial: Trial, task: str = TASK) -> str:
    return trial.identity(task)


def test_a_name_is_that_of_the_content() -> None:
    trial = Trial("tuning", "mine", SGD(name="sgd", lr=0.1), 3)
    assert name_of(trial) == name_of(Trial("tuning", "yours", SGD(name="sgd", lr=0.1, momentum=0.0), 3))
    others = [
        name_of(trial, "another task"),
        name_of(Trial("scoring", "mine", SGD(name="sgd", lr=0.1), 3)),
        name_of(Trial("tuning", "mine", SGD(name="sgd", lr=0.2), 3)),
        name_of(Trial("tuning", "mine", SGD(name="sgd", lr=0.1, momentum=0.5), 3)),
        name_of(Trial("tuning", "mine", Adam(name="adam", lr=0.1), 3)),
        name_of(Trial("tuning", "mine", SGD(name="sgd", lr=0.1), 4)),
    ]
    assert len({name_of(trial), *others}) == 7


@pytest.mark.parametrize(
    "override",
    [
        "name=another",
        "tie=0.002",
        "base.data.train_size=200",
        "base.data.validation=50",
        "base.data.scaling=standard",
        "base.model.hidden=[9]",
        "base.model.activation=tanh",
        "base.loss={name: cross_entropy, reduction: sum}",
        "base.training.epochs=3",
        "base.training.batch_size=60",
        "base.training.shuffle=false",
        "base.training.threads=2",
        "base.training.precision=high",
        "base.evaluation.keep=last",
        "optimizers.SGD.lr=[0.03, 0.3]",
        "optimizers.SGD.momentum=0.5",
        "optimizers.Adam.weight_decay=0.1",
        "optimizers.AdamW=adamw",
        "tuning.seeds=4",
        "tuning.seeds=[200, 201, 202]",
        "tuning.extensions=2",
        "scoring.seeds=4",
        "scoring.seeds=[5, 6, 7]",
        "scoring.split=validation",
        "target={metric: validation_accuracy, value: 0.9}",
    ],
)
def test_the_hash_changes_with_everything_that_matters(tmp_path: Path, override: str) -> None:
    assert plan_of(TUNED, tmp_path).digest != plan_of(TUNED, tmp_path, override).digest


def test_the_hash_is_of_the_software_and_the_order_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = plan_of(FIXED, tmp_path).digest
    head, first, second, tail = FIXED.splitlines()
    assert plan_of("\n".join([head, second, first, tail]), tmp_path).digest != before
    monkeypatch.setattr("mlptrain.__version__", "999.0")
    assert plan_of(FIXED, tmp_path).digest != before


@pytest.mark.parametrize(
    "override", ["executor=ray", "executor={name: ray, address: 'head:6379'}", "scoring.seeds=[0,1,2]"]
)
def test_the_hash_stays_where_results_do(tmp_path: Path, override: str) -> None:
    assert plan_of(TUNED, tmp_path).digest == plan_of(TUNED, tmp_path, override).digest


def test_a_batch_is_of_one_seed_and_no_larger_than_fits(tmp_path: Path) -> None:
    wide = BASE.replace("hidden: [8]", "hidden: [2000, 2000]")
    for base, most in ((BASE, 64), (wide, 14)):  # 2 GB / (32 bytes for each of 4.1 million parameters + activations)
        plan = plan_of(TUNED.replace("[0.03, 0.3, 3.0]", "{log_grid: [1.0e-3, 1, 70]}"), tmp_path, base=base)
        assert plan.models_at_once == most
        batches = plan.tuning_batches(plan.first_grids())
        assert max(len(batch.trials) for batch in batches) == most
        assert all(len({trial.seed for trial in batch.trials}) == 1 for batch in batches)
        names = list(chain.from_iterable(batch.identities for batch in batches))
        assert len(set(names)) == len(names) == (70 + 3 + 3) * 3


def test_equal_trials_are_trained_once(tmp_path: Path) -> None:
    text = """\
optimizers:
  plain: {name: sgd, lr: [0.1, 1.0]}
  wide: {name: sgd, lr: [0.1, 1.0], momentum: [0.0, 0.9]}
tuning: {seeds: 2, extensions: 0}
scoring: {seeds: 2}
"""
    plan = plan_of(text, tmp_path)
    assert [len(batch.trials) for batch in plan.tuning_batches(plan.first_grids())] == [4, 4]
    found = compare(text, tmp_path)
    assert len(found.of_role("tuning")) == 8
    assert (found.optimizer("plain")["tuning_trials"], found.optimizer("wide")["tuning_trials"]) == (4, 8)


# --- how many trials extensions can add ---


@pytest.mark.parametrize(
    ("optimizers", "wanted"),
    [
        ("{a: {name: sgd, lr: [0.1, 1.0]}, b: {name: adam, lr: [0.1, 1.0]}}", (2 + 2) * 2 * 3 - 2 * 2 * 3),
        ("{a: {name: sgd, lr: [0.1, 1.0], weight_decay: [0.1, 1.0]}, b: adam}", (4 * 4 - 2 * 2) * 3),
        ("{a: {name: adam, lr: [0.1, 1.0], betas: [[0.9, 0.99], [0.8, 0.99]]}, b: sgd}", (4 * 2 - 2 * 2) * 3),
    ],
)
def test_most_extension_trials_by_hand(tmp_path: Path, optimizers: str, wanted: int) -> None:
    plan = plan_of(f"optimizers: {optimizers}\ntuning: {{seeds: 3, extensions: 2}}\n", tmp_path)
    assert max_extension_trials(plan) == wanted


def test_extensions_add_no_more_than_that(tmp_path: Path) -> None:
    """Both values on their outer edges each time, so that the bound is reached."""
    text = """\
optimizers:
  a: {name: sgd, lr: [1.0e-6, 1.0e-5], weight_decay: [1.0e-3, 1.0e-2]}
  b: {name: sgd, lr: 0.1}
tuning: {seeds: 1, extensions: 3}
scoring: {seeds: 1}
"""
    found = compare(text, tmp_path)
    entry = found.optimizer("a")
    added = len(found.of_role("tuning")) - 4
    assert entry["extensions"] == 3
    assert 0 < added <= max_extension_trials(plan_of(text, tmp_path)) == 5 * 5 - 4
