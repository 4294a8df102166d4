from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor

from mlptrain.data import Examples, Preprocessing, Scale, Splits, load_splits, read_data
from mlptrain.errors import DataError
from mlptrain.experiment.build import SharedData
from mlptrain.sources.facts import DataFacts, RawData
from mlptrain.sources.generated import make_spirals
from mlptrain.spec import Experiment, load_text

NOWHERE = Path("/nonexistent")


def experiment(name: str = "digits", *, seed: int = 0, **fields: Any) -> Experiment:
    """An experiment on these data; without validation rows unless they are asked for."""
    loss = "mse" if name == "random_regression" else "cross_entropy"
    data = {"name": name, "validation": 0, **fields}
    return load_text(f"seed: {seed}\ndata: {data}\nmodel: {{hidden: []}}\nloss: {loss}\noptimizer: sgd\n").experiment


def load(
    name: str = "digits",
    *,
    seed: int = 0,
    folder: Path = NOWHERE,
    preprocessing: Preprocessing | None = None,
    **fields: Any,
) -> Splits:
    one = experiment(name, seed=seed, **fields)
    return load_splits(one, read_data(one, folder=folder), preprocessing=preprocessing)


def scale_of(splits: Splits) -> Scale:
    """The one transform of a chain with one mean and one std for all inputs."""
    [scale] = splits.preprocessing.transforms
    assert isinstance(scale, Scale)
    return scale


def sklearns_digits() -> tuple[Tensor, Tensor]:
    """Pixels 0 to 16 (1437, 64) and labels of the training rows, in stored order."""
    digits = load_digits()
    train, _ = train_test_split(np.arange(1797), test_size=0.2, random_state=0)
    rows = np.sort(train)
    return torch.from_numpy(digits.data[rows]).float(), torch.from_numpy(digits.target[rows]).long()


def equal(one: Examples | None, other: Examples | None) -> bool:
    """Whether what a network would see and its targets are equal to the bit."""
    if one is None or other is None:
        return one is other
    return torch.equal(one.inputs, other.inputs) and torch.equal(one.targets, other.targets)


def same(first: Splits, second: Splits) -> bool:
    return all(equal(getattr(first, name), getattr(second, name)) for name in ("train", "validation", "test"))


@pytest.mark.parametrize(("name", "class_name"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")])
def test_unit_has_the_bits_of_torchvisions_to_tensor(data_dir: Path, name: str, class_name: str) -> None:
    from torchvision import datasets, transforms

    splits, facts = load(name, folder=data_dir), experiment(name).facts

    published = getattr(datasets, class_name)
    for split, train in ((splits.train, True), (splits.test, False)):
        assert split is not None
        reference = published(data_dir, train=train, transform=transforms.ToTensor())
        assert split.inputs.shape == (len(reference), 784)
        assert len(split) == len(reference) == (facts.train_rows if train else facts.test_rows)
        assert torch.equal(split.targets, reference.targets)
        for index in range(0, len(reference), 101):
            assert torch.equal(split.inputs[index], reference[index][0].flatten())
    assert [each.split(" - ")[0] for each in published.classes] == list(facts.class_names)
    assert facts.image_shape == (28, 28)
    assert splits.validation is None


def test_given_mean_and_std_have_the_bits_of_torchvisions_normalize(data_dir: Path) -> None:
    from torchvision import datasets, transforms

    splits = load("mnist", folder=data_dir, train_size=5120, test_size=1024, scaling={"mean": 0.1307, "std": 0.3081})

    both = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])
    reference = datasets.MNIST(data_dir, train=True, transform=both)
    assert splits.test is not None
    assert (len(splits.train), len(splits.test)) == (5120, 1024)
    for index in range(0, 5120, 37):
        assert torch.equal(splits.train.inputs[index], reference[index][0].flatten())


def test_standard_is_one_mean_and_std_over_the_rows_that_are_trained_on(data_dir: Path) -> None:
    from torchvision import datasets

    splits = load("fashion_mnist", folder=data_dir, scaling="standard", validation=10_000)

    assert splits.train.index is not None
    pixels = datasets.FashionMNIST(data_dir, train=True).data.numpy()[splits.train.index.numpy()]
    assert len(pixels) == 50_000
    scale = scale_of(splits)
    assert scale.divisor == 255
    assert scale.mean == pytest.approx(pixels.mean(dtype=np.float64) / 255, rel=1e-13)
    assert scale.std == pytest.approx(pixels.std(dtype=np.float64) / 255, rel=1e-12)
    trained = splits.train.inputs.double()
    assert float(trained.mean()) == pytest.approx(0, abs=1e-6)
    assert float(trained.std(correction=0)) == pytest.approx(1, abs=1e-6)
    # The range that the numpy-from-scratch course prints.
    assert (round(float(trained.min()), 2), round(float(trained.max()), 2)) == (-0.81, 2.02)


def test_zeros_against_ones_has_the_published_counts(data_dir: Path) -> None:
    splits = load("mnist", folder=data_dir, classes=[0, 1])
    assert splits.test is not None
    assert (len(splits.train), len(splits.test)) == (12_665, 2_115)
    facts = experiment("mnist", classes=[0, 1]).facts
    assert (facts.train_rows, facts.test_rows) == (12_665, 2_115)


@pytest.mark.parametrize(
    ("scaling", "expected"),
    [
        (None, lambda x: x / 16),
        ("unit", lambda x: x / 16),
        ("none", lambda x: x),
        ({"mean": 0.5, "std": 2}, lambda x: (x / 16 - 0.5) / 2),
        ("standard", lambda x: (x - x.double().mean()) / x.double().std(correction=0)),
    ],
)
def test_scalings_of_digits(scaling: Any, expected: Any) -> None:
    x, y = sklearns_digits()
    splits = load(**({} if scaling is None else {"scaling": scaling}))
    inputs = splits.train.inputs
    torch.testing.assert_close(inputs, expected(x).float(), atol=1e-6, rtol=0)
    assert torch.equal(splits.train.targets, y)
    assert inputs.dtype == torch.float32
    torch.testing.assert_close(splits.preprocessing.apply(x.to(torch.uint8)), inputs, atol=0, rtol=0)
    assert splits.train.x.dtype == torch.uint8, "what is stored takes a byte per pixel, not four"


def test_classes_are_relabelled_in_the_order_given_before_the_first_rows_are_taken() -> None:
    x, y = sklearns_digits()
    fields: dict[str, Any] = {"classes": [7, 2], "train_size": 50, "test_size": 5, "scaling": "none"}

    splits = load(**fields)

    rows = [index for index, label in enumerate(y.tolist()) if label in (7, 2)][:50]
    assert torch.equal(splits.train.inputs, x[rows])
    assert splits.train.targets.tolist() == [{7: 0, 2: 1}[label] for label in y[rows].tolist()]
    assert experiment(**fields).facts.class_names == ("7", "2")
    assert splits.test is not None
    assert len(splits.test) == len(splits.test.inputs) == len(splits.test.targets) == 5


@pytest.mark.parametrize(("validation", "count"), [(0.1, 144), (0.25, 359), (1, 1), (300, 300), (1436, 1436)])
def test_validation_parts_the_training_rows_and_keeps_their_order(validation: float, count: int) -> None:
    whole = load()
    splits = load(validation=validation)

    assert splits.validation is not None
    assert len(splits.validation) == len(splits.validation.inputs) == count
    facts = experiment(validation=validation).facts
    assert (facts.train_rows, facts.validation_rows, facts.test_rows) == (1437 - count, count, 360)
    position = {tuple(row): index for index, row in enumerate(whole.train.inputs.tolist())}
    assert len(position) == 1437, "the digits have no two equal rows, so a row tells where it stood"
    kept = [position[tuple(row)] for row in splits.train.inputs.tolist()]
    drawn = [position[tuple(row)] for row in splits.validation.inputs.tolist()]
    assert sorted(kept + drawn) == list(range(1437))
    assert kept == sorted(kept)
    assert drawn == sorted(drawn)
    assert torch.equal(splits.train.targets, whole.train.targets[kept])
    assert torch.equal(splits.validation.targets, whole.train.targets[drawn])
    assert splits.test is not None
    assert equal(splits.test, whole.test)


def arrays(n: int = 40) -> RawData:
    """Rows whose only input is their number, and labels 0, 1, 2, 0, …"""
    return RawData(np.arange(n, dtype=np.float32)[:, None], np.arange(n) % 3)


OF_ARRAYS = DataFacts(train_rows=40, validation_rows=0, test_rows=0, n_features=1, class_names=("a", "b", "c"))


def numbers_of(examples: Examples | None) -> list[int]:
    return [] if examples is None else [int(value) for value in examples.inputs.flatten()]


@pytest.mark.parametrize(
    ("test", "validation", "sizes"), [(10, 6, (24, 6, 10)), (0.25, 0.5, (15, 15, 10)), (5, 0, (35, 0, 5))]
)
def test_test_rows_are_drawn_first_and_from_training_rows_that_have_none(
    test: float, validation: float, sizes: tuple[int, int, int]
) -> None:
    splits = Splits.of(arrays(), OF_ARRAYS, seed=3, test=test, validation=validation)

    rows = [numbers_of(one) for one in (splits.train, splits.validation, splits.test)]
    assert tuple(map(len, rows)) == sizes
    assert sorted(itertools.chain(*rows)) == list(range(40))
    assert all(part == sorted(part) for part in rows)
    for examples, part in zip((splits.train, splits.validation, splits.test), rows, strict=True):
        assert examples is None or examples.targets.tolist() == [number % 3 for number in part]
    without = Splits.of(arrays(), OF_ARRAYS, seed=3, test=test)
    assert numbers_of(without.test) == rows[2], "which rows are tested on does not follow from validation"
    other = Splits.of(arrays(), OF_ARRAYS, seed=4, test=test, validation=validation)
    assert numbers_of(other.test) != rows[2]


def test_validation_rows_follow_the_seed_and_nothing_else() -> None:
    torch.manual_seed(1)
    first = load(validation=0.2, seed=3)
    state = torch.random.get_rng_state()
    torch.manual_seed(1)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(2)

    assert same(first, load(validation=0.2, seed=3))
    assert not same(first, load(validation=0.2, seed=4))


def test_validation_is_a_fair_sample() -> None:
    splits = load("spirals", points_per_class=1000, n_classes=3, validation=600)
    assert splits.validation is not None
    # Hypergeometric: 200 of each class, standard deviation 10.3.
    assert all(abs(count - 200) < 40 for count in splits.validation.targets.bincount().tolist())


def test_scaling_is_fitted_after_the_choice_of_rows_on_those_that_are_left_to_train_on() -> None:
    x, y = sklearns_digits()
    chosen = x[(y == 3) | (y == 8)][:100].double() / 16

    splits = load(classes=[3, 8], train_size=100, validation=50, scaling="standard")

    assert splits.train.index is not None
    trained, scale = chosen[splits.train.index], scale_of(splits)
    assert len(trained) == 50
    assert scale.mean == pytest.approx(float(trained.mean()), rel=1e-12)
    assert scale.std == pytest.approx(float(trained.std(correction=0)), rel=1e-12)
    assert scale.mean != pytest.approx(float(chosen.mean()), rel=1e-6)


def test_recorded_preprocessing_replaces_the_choice() -> None:
    recorded = Preprocessing(transforms=(Scale(divisor=16, mean=0.3, std=0.4),))
    splits = load(classes=[3, 8], scaling="standard", preprocessing=recorded)
    plain = load(classes=[3, 8], scaling="none")
    assert splits.preprocessing == recorded
    for split, as_stored in ((splits.train, plain.train), (splits.test, plain.test)):
        assert split is not None
        assert as_stored is not None
        torch.testing.assert_close(split.inputs, (as_stored.inputs / 16 - 0.3) / 0.4)


def test_seeds_share_the_rows_and_have_the_splits_of_their_own() -> None:
    shared = SharedData(experiment(validation=100, scaling="standard"))
    first, second = shared(0), shared(1)
    alone = load(seed=1, validation=100, scaling="standard")

    assert second.train.x.data_ptr() == first.train.x.data_ptr()
    assert second.fingerprint == alone.fingerprint != first.fingerprint
    assert second.preprocessing == alone.preprocessing != first.preprocessing
    assert same(second, alone)
    assert second.train.index is not None
    rows = second.train.x[second.train.index]
    assert torch.equal(second.preprocessing.apply(rows), second.train.inputs)


def test_generated_rows_are_those_of_each_seed() -> None:
    shared = SharedData(experiment("spirals", points_per_class=20))
    first, second = shared(0), shared(1)
    assert same(second, load("spirals", seed=1, points_per_class=20))
    assert not torch.equal(second.train.inputs, first.train.inputs)


def test_generated_data_come_unscaled_and_without_test_rows() -> None:
    fields: dict[str, Any] = {"seed": 4, "points_per_class": 20, "noise": 0.1}
    splits, facts = load("spirals", **fields), experiment("spirals", **fields).facts

    x, y = make_spirals(points_per_class=20, noise=0.1, seed=4)
    assert torch.equal(splits.train.inputs, x)
    assert torch.equal(splits.train.targets, y)
    assert (splits.test, splits.validation, facts.image_shape) == (None, None, None)
    assert facts.class_names == ("0", "1", "2")


def test_generated_regression_has_targets_and_no_classes() -> None:
    splits = load("random_regression", n_samples=20, n_targets=3, validation=5)
    facts = experiment("random_regression", n_samples=20, n_targets=3, validation=5).facts
    assert splits.validation is not None
    assert (splits.train.targets.shape, splits.validation.targets.shape) == ((15, 3), (5, 3))
    assert splits.train.targets.dtype == torch.float32
    assert (facts.class_names, facts.n_targets, facts.is_regression) == ((), 3, True)


def test_generated_data_can_be_standardised() -> None:
    splits = load("random_classification", n_samples=500, n_classes=6, scaling="standard")
    assert set(splits.train.targets.tolist()) == set(range(6))
    assert float(splits.train.inputs.double().mean()) == pytest.approx(0, abs=1e-6)
    assert float(splits.train.inputs.double().std(correction=0)) == pytest.approx(1, abs=1e-6)
    assert scale_of(splits).divisor == 1


def test_classes_of_generated_data_can_be_chosen() -> None:
    fields: dict[str, Any] = {"n_classes": 6, "points_per_class": 20, "classes": [5, 0]}
    splits, whole = load("spirals", **fields), load("spirals", n_classes=6, points_per_class=20)
    assert experiment("spirals", **fields).facts.class_names == ("5", "0")
    assert splits.train.targets.tolist() == [1] * 20 + [0] * 20
    assert torch.equal(splits.train.inputs, torch.cat([whole.train.inputs[:20], whole.train.inputs[100:]]))


BASE: dict[str, Any] = {"classes": [1, 2, 3], "train_size": 200, "test_size": 50, "validation": 40, "scaling": "unit"}


@pytest.mark.parametrize(
    "change",
    [
        {"classes": [1, 3, 2]},
        {"classes": [1, 2, 4]},
        {"train_size": 201},
        {"test_size": 51},
        {"validation": 41},
        {"validation": 0},
        {"scaling": "none"},
        {"scaling": {"mean": 0.0, "std": 1.0000001}},
        {"seed": 1},
    ],
)
def test_fingerprint_changes_with_whatever_changes_the_data(change: dict[str, Any]) -> None:
    assert load(**{**BASE, **change}).fingerprint != load(**BASE).fingerprint


def test_fingerprint_stays_where_the_data_stay() -> None:
    fingerprint = load(**BASE).fingerprint
    assert re.fullmatch("[0-9a-f]{64}", fingerprint)
    assert load(**BASE).fingerprint == fingerprint
    assert load(**{**BASE, "validation": 0.2}).fingerprint == fingerprint
    assert load(**{**BASE, "scaling": {"mean": 0, "std": 1}}).fingerprint == fingerprint
    recorded = Preprocessing(transforms=(Scale(divisor=16, mean=0, std=1),))
    assert load(**{**BASE, "scaling": "none"}, preprocessing=recorded).fingerprint == fingerprint


def test_fingerprint_of_generated_data_sees_every_number() -> None:
    first = load("spirals", noise=0.2)
    assert load("spirals", noise=0.2).fingerprint == first.fingerprint
    assert load("spirals", noise=0.200001).fingerprint != first.fingerprint
    assert load("spirals", noise=0.2, seed=1).fingerprint != first.fingerprint


def test_fingerprint_of_arrays_sees_every_row_label_and_draw() -> None:
    def fingerprint(raw: RawData, *, seed: int = 0, test: float = 10) -> str:
        return Splits.of(raw, OF_ARRAYS, seed=seed, test=test, validation=6).fingerprint

    first = fingerprint(arrays())
    assert fingerprint(arrays()) == first
    assert fingerprint(arrays(), seed=1) != first
    assert fingerprint(arrays(), test=11) != first
    for row in range(40):
        one, other = arrays(), arrays()
        np.asarray(one.x)[row] += 0.5
        np.asarray(other.y)[row] += 1
        assert first not in (fingerprint(one), fingerprint(other)), row


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        (
            {"validation": 40},
            "validation 40 of 40 training rows takes 40: it must take at least 1 and leave at least 1",
        ),
        ({"validation": 41}, "validation 41 of 40 training rows takes 41"),
        ({"validation": 0.01}, "validation 0.01 of 40 training rows takes 0"),
        ({"validation": 0.99}, "takes 40"),
        ({"validation": -1}, "takes -1"),
        ({"test": 40}, "test 40 of 40 training rows takes 40"),
        ({"test": 30, "validation": 10}, "validation 10 of 10 training rows takes 10"),
        ({"scaling": {"mean": 0.5, "std": 0}}, "a std above 0, got mean 0.5 and std 0.0"),
        ({"scaling": {"mean": float("inf"), "std": 1}}, "a finite mean and a std above 0, got mean inf"),
        ({"validation": 39, "scaling": "standard"}, "a std above 0, got mean .* and std 0.0"),
    ],
)
def test_what_the_rows_cannot_give_is_said(wishes: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        Splits.of(arrays(), OF_ARRAYS, seed=0, **wishes)
