from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor

from mlptrain.data import Scaling, Splits, load_splits
from mlptrain.errors import DataError
from mlptrain.sources.generated import make_spirals

NOWHERE = Path("/nonexistent")


def load(name: str = "digits", *, seed: int = 0, folder: Path = NOWHERE, **fields: Any) -> Splits:
    return load_splits(name, seed=seed, folder=folder, **fields)


def sklearns_digits() -> tuple[Tensor, Tensor]:
    """Pixels 0 to 16 (1437, 64) and labels of the training rows, in stored order."""
    digits = load_digits()
    train, _ = train_test_split(np.arange(1797), test_size=0.2, random_state=0)
    rows = np.sort(train)
    return torch.from_numpy(digits.data[rows]).float(), torch.from_numpy(digits.target[rows]).long()


def same(first: Splits, second: Splits) -> bool:
    """Whether all tensors are equal to the bit."""
    pairs = [(getattr(first, name), getattr(second, name)) for name in ("train", "validation", "test")]
    return all(
        a is b is None or (a is not None and b is not None and torch.equal(a.x, b.x) and torch.equal(a.y, b.y))
        for a, b in pairs
    )


@pytest.mark.parametrize(("name", "class_name"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")])
def test_unit_has_the_bits_of_torchvisions_to_tensor(data_dir: Path, name: str, class_name: str) -> None:
    from torchvision import datasets, transforms

    splits = load(name, folder=data_dir)

    published = getattr(datasets, class_name)
    for split, train in ((splits.train, True), (splits.test, False)):
        assert split is not None
        reference = published(data_dir, train=train, transform=transforms.ToTensor())
        assert split.x.shape == (len(reference), 784)
        assert torch.equal(split.y, reference.targets)
        for index in range(0, len(reference), 101):
            assert torch.equal(split.x[index], reference[index][0].flatten())
    assert splits.class_names is not None
    assert [each.split(" - ")[0] for each in published.classes] == list(splits.class_names)
    assert splits.image_shape == (28, 28)
    assert splits.validation is None


def test_given_mean_and_std_have_the_bits_of_torchvisions_normalize(data_dir: Path) -> None:
    from torchvision import datasets, transforms

    splits = load("mnist", folder=data_dir, train_size=5120, test_size=1024, scaling={"mean": 0.1307, "std": 0.3081})

    both = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])
    reference = datasets.MNIST(data_dir, train=True, transform=both)
    assert splits.test is not None
    assert (len(splits.train.x), len(splits.test.x)) == (5120, 1024)
    for index in range(0, 5120, 37):
        assert torch.equal(splits.train.x[index], reference[index][0].flatten())


def test_standard_is_one_mean_and_std_over_the_whole_training_set(data_dir: Path) -> None:
    from torchvision import datasets

    splits = load("fashion_mnist", folder=data_dir, scaling="standard", validation=10_000)

    pixels = datasets.FashionMNIST(data_dir, train=True).data.numpy()
    assert splits.scaling.divisor == 255
    assert splits.scaling.mean == pytest.approx(pixels.mean(dtype=np.float64) / 255, rel=1e-13)
    assert splits.scaling.std == pytest.approx(pixels.std(dtype=np.float64) / 255, rel=1e-12)
    assert splits.validation is not None
    everything = torch.cat([splits.train.x, splits.validation.x]).double()
    assert float(everything.mean()) == pytest.approx(0, abs=1e-6)
    assert float(everything.std(correction=0)) == pytest.approx(1, abs=1e-6)
    # The range that the numpy-from-scratch course prints.
    assert (round(float(everything.min()), 2), round(float(everything.max()), 2)) == (-0.81, 2.02)


def test_zeros_against_ones_has_the_published_counts(data_dir: Path) -> None:
    splits = load("mnist", folder=data_dir, classes=[0, 1])
    assert splits.test is not None
    assert (len(splits.train.x), len(splits.test.x)) == (12_665, 2_115)


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
    splits = load(scaling=scaling)
    torch.testing.assert_close(splits.train.x, expected(x).float(), atol=1e-6, rtol=0)
    assert torch.equal(splits.train.y, y)
    assert splits.train.x.dtype == torch.float32
    torch.testing.assert_close(splits.scaling.apply(x.to(torch.uint8)), splits.train.x, atol=0, rtol=0)


def test_classes_are_relabelled_in_the_order_given_before_the_first_rows_are_taken() -> None:
    x, y = sklearns_digits()

    splits = load(classes=[7, 2], train_size=50, test_size=5, scaling="none")

    rows = [index for index, label in enumerate(y.tolist()) if label in (7, 2)][:50]
    assert torch.equal(splits.train.x, x[rows])
    assert splits.train.y.tolist() == [{7: 0, 2: 1}[label] for label in y[rows].tolist()]
    assert splits.class_names == ("7", "2")
    assert splits.test is not None
    assert len(splits.test.x) == len(splits.test.y) == 5


@pytest.mark.parametrize(("validation", "count"), [(0.1, 144), (0.25, 359), (1, 1), (300, 300), (1436, 1436)])
def test_validation_parts_the_training_rows_and_keeps_their_order(validation: float, count: int) -> None:
    whole = load()
    splits = load(validation=validation)

    assert splits.validation is not None
    assert len(splits.validation.x) == count
    position = {tuple(row): index for index, row in enumerate(whole.train.x.tolist())}
    assert len(position) == 1437, "the digits have no two equal rows, so a row tells where it stood"
    kept = [position[tuple(row)] for row in splits.train.x.tolist()]
    drawn = [position[tuple(row)] for row in splits.validation.x.tolist()]
    assert sorted(kept + drawn) == list(range(1437))
    assert kept == sorted(kept)
    assert drawn == sorted(drawn)
    assert torch.equal(splits.train.y, whole.train.y[kept])
    assert torch.equal(splits.validation.y, whole.train.y[drawn])
    assert splits.test is not None
    assert whole.test is not None
    assert torch.equal(splits.test.x, whole.test.x)


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
    assert all(abs(count - 200) < 40 for count in splits.validation.y.bincount().tolist())


def test_scaling_is_found_before_the_split_and_after_the_choice_of_rows() -> None:
    x, y = sklearns_digits()
    chosen = x[(y == 3) | (y == 8)][:100].double() / 16

    splits = load(classes=[3, 8], train_size=100, validation=50, scaling="standard")

    assert splits.scaling.mean == pytest.approx(float(chosen.mean()), rel=1e-12)
    assert splits.scaling.std == pytest.approx(float(chosen.std(correction=0)), rel=1e-12)


def test_recorded_scaling_replaces_the_choice() -> None:
    recorded = Scaling(divisor=16, mean=0.3, std=0.4)
    splits = load(classes=[3, 8], scaling="standard", fixed_scaling=recorded)
    plain = load(classes=[3, 8], scaling="none")
    assert splits.scaling == recorded
    torch.testing.assert_close(splits.train.x, (plain.train.x / 16 - 0.3) / 0.4)


def test_splits_like_others_share_the_rows_and_are_those_of_their_own_seed() -> None:
    first = load(seed=0, validation=100, scaling="standard")
    alone, like = (load(seed=1, validation=100, scaling="standard", like=given) for given in (None, first))

    assert like.all_training_rows.x is first.all_training_rows.x
    assert like.fingerprint == alone.fingerprint != first.fingerprint
    assert like.scaling == alone.scaling
    for name in ("train", "validation", "test"):
        assert torch.equal(getattr(like, name).x, getattr(alone, name).x)
        assert torch.equal(getattr(like, name).y, getattr(alone, name).y)
    assert like.chosen is not None
    assert torch.equal(like.scaling.apply(like.all_training_rows.x[like.chosen]), like.train.x)


def test_generated_splits_like_others_have_rows_of_their_own() -> None:
    first = load("spirals", seed=0, points_per_class=20)
    alone, like = (load("spirals", seed=1, points_per_class=20, like=given) for given in (None, first))
    assert torch.equal(like.train.x, alone.train.x)
    assert not torch.equal(like.train.x, first.train.x)


def test_generated_data_come_unscaled_and_without_test_rows() -> None:
    splits = load("spirals", seed=4, points_per_class=20, noise=0.1)

    x, y = make_spirals(points_per_class=20, noise=0.1, seed=4)
    assert torch.equal(splits.train.x, x)
    assert torch.equal(splits.train.y, y)
    assert (splits.test, splits.validation, splits.image_shape) == (None, None, None)
    assert splits.class_names == ("0", "1", "2")


def test_generated_regression_has_targets_and_no_classes() -> None:
    splits = load("random_regression", n_samples=20, n_targets=3, validation=5)
    assert splits.validation is not None
    assert (splits.train.y.shape, splits.validation.y.shape) == ((15, 3), (5, 3))
    assert splits.train.y.dtype == torch.float32
    assert splits.class_names is None


def test_generated_data_can_be_standardised_and_their_classes_chosen() -> None:
    splits = load("random_classification", n_samples=500, n_classes=6, classes=[5, 0], scaling="standard")
    assert splits.class_names == ("5", "0")
    assert set(splits.train.y.tolist()) == {0, 1}
    assert float(splits.train.x.double().mean()) == pytest.approx(0, abs=1e-6)
    assert float(splits.train.x.double().std(correction=0)) == pytest.approx(1, abs=1e-6)
    assert splits.scaling.divisor == 1


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
    assert load(**{**BASE, "fixed_scaling": Scaling(16, 0, 1)}).fingerprint == fingerprint


def test_fingerprint_of_generated_data_sees_every_number() -> None:
    first = load("spirals", noise=0.2)
    assert load("spirals", noise=0.2).fingerprint == first.fingerprint
    assert load("spirals", noise=0.200001).fingerprint != first.fingerprint
    assert load("spirals", noise=0.2, seed=1).fingerprint != first.fingerprint


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": "imagenet"}, "unknown data 'imagenet'; known are mnist, fashion_mnist, digits, spirals"),
        ({"noise": 1}, "'digits' has no noise; it takes nothing"),
        ({"name": "spirals", "points": 3}, "'spirals' has no points; it takes n_classes, noise, points_per_class"),
        ({"classes": [0, 10]}, r"classes \[0, 10\]: wanted at least one of 0 to 9, each once"),
        ({"classes": [-1, 1]}, r"classes \[-1, 1\]"),
        ({"classes": [1, 1]}, "each once"),
        ({"classes": []}, "at least one"),
        ({"name": "random_regression", "classes": [0, 1]}, "no classes to choose from"),
        ({"train_size": 1438}, "train_size 1438: wanted 1 to 1437"),
        ({"train_size": 0}, "train_size 0: wanted 1 to 1437"),
        ({"test_size": 361}, "test_size 361: wanted 1 to 360"),
        ({"classes": [0], "test_size": 28}, "wanted 1 to 27"),
        ({"name": "spirals", "test_size": 5}, "'spirals' has no test rows"),
        ({"validation": 1437}, "validation 1437 of 1437 training rows takes 1437"),
        ({"validation": -1}, "at least 1"),
        ({"validation": 1.5}, "a count or a fraction"),
        ({"train_size": 4, "validation": 0.1}, "validation 0.1 of 4 training rows takes 0"),
        ({"train_size": 4, "validation": 0.9}, "takes 4: wanted at least 1, and at least 1 left"),
        ({"name": "spirals", "scaling": "unit"}, "'unit' divides by the data's maximum"),
        ({"scaling": "minmax"}, "scaling 'minmax' is unknown"),
        ({"scaling": {"mean": 0.5}}, "is unknown; use none, unit, standard, or mean and std"),
        ({"scaling": {"mean": 0.5, "std": 0}}, "a std above 0, got mean 0.5 and std 0.0"),
        ({"name": "random_regression", "n_samples": 1, "n_features": 1, "scaling": "standard"}, "a std above 0"),
        ({"name": "random_regression", "n_samples": 0}, "no training rows"),
        ({"name": "random_classification", "n_samples": 1, "n_classes": 50, "classes": [0]}, "no training rows"),
    ],
)
def test_what_the_data_cannot_give_is_said(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        load(**fields)
