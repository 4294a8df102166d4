from __future__ import annotations

import gzip
import importlib.machinery
import importlib.util
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from mlptrain.errors import DataError
from mlptrain.sources.digits import read_digits


def test_rows_and_split_are_sklearns() -> None:
    digits = load_digits()
    train, test = (np.sort(rows) for rows in train_test_split(np.arange(1797), test_size=0.2, random_state=0))

    raw = read_digits()

    np.testing.assert_array_equal(raw.train_images, digits.images[train])
    np.testing.assert_array_equal(raw.train_labels, digits.target[train])
    np.testing.assert_array_equal(raw.test_images, digits.images[test])
    np.testing.assert_array_equal(raw.test_labels, digits.target[test])


def test_another_place_inside_scikit_learn_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    read = read_digits()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    elsewhere = read_digits()
    np.testing.assert_array_equal(elsewhere.train_images, read.train_images)
    np.testing.assert_array_equal(elsewhere.test_labels, read.test_labels)


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(b"\n".join([b"1," * 64 + b"9"] * 1797)),
        gzip.compress(b"one,two"),
        gzip.compress(b"1,2" * 99)[:20],
        b"no gzip",
    ],
    ids=["other numbers", "words", "truncated", "not an archive"],
)
def test_other_content_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    file = tmp_path / "datasets" / "data" / "digits.csv.gz"
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    spec = importlib.machinery.ModuleSpec("sklearn", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)

    with pytest.raises(DataError, match="Reinstall scikit-learn"):
        read_digits()
