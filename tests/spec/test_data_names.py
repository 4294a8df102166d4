"""Names of data sets: slips of the pen are put right, and known data sets that are not offered are called so."""

from __future__ import annotations

import pytest

from mlptrain.errors import DataError, SpecError
from mlptrain.sources.store import raw_folder
from mlptrain.spec import load_text
from mlptrain.spec.hints import compact

KNOWN = (
    "kmnist", "K-MNIST", "KMNIST", "torchvision.datasets.KMNIST", "emnist", "emnist_letters", "emnst", "qmnist",
    "notMNIST", "mnist_c", "MNIST-M", "cifar10", "CIFAR-100", "cifar", "svhn", "usps", "imagenet", "tiny-imagenet",
    "stl10", "celeba", "california_housing", "fetch_california_housing", "boston", "titanic", "Titanik", "adult",
    "wine_quality", "pima", "covtype", "20newsgroups", "imdb",
    "medmnist", "oracle_mnist",
)  # fmt: skip
SLIPS = {
    "MNIST": "mnist", "mnst": "mnist", "minst": "mnist", "mmnist": "mnist", "mnist_784": "mnist", "FashionMNIST":
    "fashion_mnist", "fashion-mnist": "fashion_mnist", "fmnist": "fashion_mnist", "fashon_mnist": "fashion_mnist",
    "digit": "digits", "load_digits": "digits", "Iris": "iris", "spiral": "spirals",
    "load_wine": "wine", "load_breast_cancer": "breast_cancer", "load_diabetes": "diabetes",
    "palmerpenguins": "penguins",
}  # fmt: skip


def fault_of(name: str) -> str:
    with pytest.raises(SpecError) as caught:
        load_text(f"{{data: {{name: '{name}'}}, model: {{hidden: []}}, optimizer: sgd}}", source="c.yaml")
    [fault] = caught.value.faults
    assert f"got the text '{name}'" in fault.message
    return fault.message


@pytest.mark.parametrize("name", KNOWN)
def test_known_names_are_not_offered(name: str) -> None:
    message = fault_of(name)
    assert "not offered" in message
    assert "did you mean" not in message
    is_idx = compact(name).startswith(("kmnist", "emnist", "emnst", "qmnist"))
    assert ("{name: idx, path: …} reads its files" in message) == is_idx


@pytest.mark.parametrize("name", SLIPS)
def test_slips_are_put_right(name: str) -> None:
    message = fault_of(name)
    assert message.endswith(f"; did you mean '{SLIPS[name]}'?")
    assert "not offered" not in message


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("mine.csv", "{name: table, path: mine.csv}"),
        ("data/train.csv.gz", "{name: table, path: data/train.csv.gz}"),
        ("../x.npz", "{name: arrays, path: ../x.npz}"),
        ("csv", "{name: table, path: …}"),
        ("image_folder", "{name: images, path: …}"),
        ("numpy", "{name: arrays, path: …}"),
        ("a/", "{name: table, path: a/}, {name: arrays, path: a/}, {name: images, path: a/} or {name: idx, path: a/}"),
        ("custom", "{name: table, path: …}, {name: arrays, path: …}, {name: images, path: …} or {name: idx, path: …}"),
    ],
)  # fmt: skip
def test_files_of_ones_own(name: str, hint: str) -> None:
    assert fault_of(name).endswith(f"; data of your own have a kind and a path: {hint}")


def test_the_short_form_and_a_comparisons_base_too() -> None:
    with pytest.raises(SpecError, match="not offered: Kuzushiji-MNIST"):
        load_text("{data: kmnist, model: {hidden: []}, optimizer: sgd}")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("kmnist", "not offered: Kuzushiji-MNIST"),
        ("Fashion-MNIST", "did you mean 'fashion_mnist'?"),
        ("own.yaml", "own.yaml is a configuration, expected the name of downloaded data: mnist or fashion_mnist; "),
        ("own.yaml", "`mlptrain data show own.yaml`"),
    ],
)
def test_what_is_downloaded(name: str, words: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(DataError) as caught:
        raw_folder(name, tmp_path_factory.getbasetemp())
    assert words in str(caught.value)
