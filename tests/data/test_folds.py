"""The folds of a cross-validation: which rows are held out in which, against scikit-learn's StratifiedKFold."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import KFold, StratifiedKFold

from mlptrain.data import Splits, load_splits, read_data
from mlptrain.data.drawing import fold_numbers
from mlptrain.errors import SpecError
from mlptrain.spec import Experiment, load_text
from mlptrain.spec.load import in_folds

NOWHERE = Path("/nonexistent")
DATA = {
    "digits": "{name: digits, classes: [3, 1, 4], train_size: 200, validation: 0.25}",
    "iris": "{name: iris, test: 0, validation: 7}",
    "spirals": "{name: spirals, points_per_class: 13, validation: 0}",
    "numbers": "{name: random_regression, n_samples: 47, validation: 0.1}",
    "labels": "{name: random_multilabel, n_samples: 50, validation: 5}",
}
LOSSES = {"numbers": "mse", "labels": "multi_label_bce"}


def experiment(name: str, *more: str, of: int = 5, index: int = 0, seed: int = 0) -> Experiment:
    loss = LOSSES.get(name, "cross_entropy")
    text = f"data: {DATA[name]}\nmodel: {{hidden: []}}\nloss: {loss}\noptimizer: sgd\nseed: {seed}\n"
    overrides = [f"data.fold={{of: {of}, index: {index}}}", *more]
    return load_text(text, overrides=overrides).experiment


def splits_of(one: Experiment) -> Splits:
    return load_splits(one, read_data(one, folder=NOWHERE))


def chosen(splits: Splits, name: str) -> list[int]:
    examples = getattr(splits, name)
    return [] if examples is None else examples.index.tolist()


@given(
    labels=st.lists(st.integers(0, 4), min_size=10, max_size=80),
    of=st.integers(2, 10),
    seed=st.integers(0, 2**63 - 1),
)
def test_sizes_and_classes_of_folds_are_those_of_scikit_learn(labels: list[int], of: int, seed: int) -> None:
    """Which fold has one row more of a class is chance; of all rows it is the first ones, as there."""
    n = len(labels)
    numbers = fold_numbers(n, of, seed=seed, labels=torch.tensor(labels)).numpy()
    sizes = [len(test) for _, test in KFold(of).split(np.zeros(n))]
    assert np.bincount(numbers, minlength=of).tolist() == sizes
    assert np.bincount(fold_numbers(n, of, seed=seed).numpy(), minlength=of).tolist() == sizes
    for label in set(labels):
        ours = np.bincount(numbers[np.array(labels) == label], minlength=of)
        assert ours.max() - ours.min() <= 1
    if np.bincount(labels).max() >= of:  # it refuses others, and warns of some
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = [test for _, test in StratifiedKFold(of).split(np.zeros(n), labels)]
        for label in set(labels):
            ours = np.bincount(numbers[np.array(labels) == label], minlength=of)
            assert sorted(ours.tolist()) == sorted(int(np.sum(np.array(labels)[test] == label)) for test in theirs)


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("of", [2, 5, 7])
def test_every_row_is_held_out_once(name: str, of: int) -> None:
    experiments = [experiment(name, of=of, index=index) for index in range(of)]
    splits = [splits_of(one) for one in experiments]
    rows = len(splits[0].train.x)
    assert sorted(row for its in splits for row in chosen(its, "test")) == list(range(rows))
    for one, its in zip(experiments, splits, strict=True):
        parts = [chosen(its, part) for part in ("train", "validation", "test")]
        assert sorted(sum(parts, [])) == list(range(rows))  # noqa: RUF017
        facts = one.facts
        assert [facts.train_rows, facts.validation_rows, facts.test_rows] == list(map(len, parts))
    if experiments[0].facts.has_classes:
        counts = np.array([its.test.chosen_targets().bincount(minlength=3).tolist() for its in splits if its.test])
        assert (counts.max(axis=0) - counts.min(axis=0) <= 1).all()


def test_folds_are_drawn_by_the_seed() -> None:
    one, again, other = (chosen(splits_of(experiment("iris", seed=seed)), "test") for seed in (0, 0, 1))
    assert one == again
    assert one != other


def test_stored_test_rows_are_left_out() -> None:
    """Its rows are among the stored training rows, whatever is stored besides."""
    its, raw = splits_of(experiment("digits")), read_data(experiment("digits"), folder=NOWHERE)
    assert raw.test_x is not None
    assert its.test is not None
    assert its.test.x is its.train.x
    assert torch.equal(its.train.x, torch.from_numpy(raw.x))


def test_preprocessing_is_fitted_on_the_training_rows_of_the_fold() -> None:
    its = splits_of(experiment("iris", "data.scaling=standard"))
    np.testing.assert_allclose(its.train.inputs.double().mean(dim=0), 0, atol=1e-6)
    assert its.test is not None
    assert (its.test.inputs.mean(dim=0).abs() > 1e-4).any()


def test_another_fold_of_an_experiment_is_the_one_that_its_own_file_gives() -> None:
    for name, data in DATA.items():
        loaded = load_text(
            f"data: {data}\nmodel: {{hidden: []}}\nloss: {LOSSES.get(name, 'cross_entropy')}\noptimizer: sgd"
        )
        assert in_folds(loaded, 5) == [experiment(name, index=index) for index in range(5)]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("{name: iris, test: 0, fold: {of: 5, index: 5}}", "data.fold.index: must be below of, got 5 with of 5"),
        ("{name: iris, test: 0, fold: {of: 1, index: 0}}", "data.fold.of: must be at least 2, got 1"),
        ("{name: iris, test: 0, fold: {of: 5}}", "data.fold.index: required key is missing"),
        ("{name: iris, test: 0, fold: 5}", "data.fold: must be a mapping"),
        ("{name: iris, test: 0, fold: {of: 151, index: 0}}", "data.fold: splits 150 training rows into 151 folds"),
        ("{name: iris, fold: {of: 5, index: 0}}", "data.test: draws test rows, but with data.fold"),
        ("{name: iris, test: 0, validation: 120, fold: {of: 5, index: 0}}", "data.validation: takes 120 of 120"),
    ],
)
def test_folds_that_there_cannot_be(data: str, expected: str) -> None:
    with pytest.raises(SpecError) as refusal:
        load_text(f"data: {data}\nmodel: {{hidden: []}}\noptimizer: sgd\n")
    assert expected in str(refusal.value)


@pytest.mark.parametrize("name", ["digits", "iris", "labels"])
def test_a_number_draws_the_folds_of_all_seeds(name: str) -> None:
    held_out: list[int] = []
    for index in range(3):
        drawn = [splits_of(experiment(name, "data.split={by: random, draw: 5}", of=3, index=index, seed=seed))
                 for seed in (0, 1)]  # fmt: skip
        first, second, theirs = (
            chosen(one, "test") for one in (*drawn, splits_of(experiment(name, of=3, index=index, seed=5)))
        )
        assert first == second == theirs
        assert chosen(drawn[0], "validation") != chosen(drawn[1], "validation")
        held_out += first
    assert sorted(held_out) == list(range(len(held_out)))
