"""scikit-learn's bundled digits: 1,797 real images of 8 × 8 pixels from 0 to 16, with a fixed test split."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlptrain.errors import DataError
from mlptrain.sources.bundled import bundled_file
from mlptrain.sources.store import RawImages, sha256_of

# Of the decoded rows, so that neither compression nor number format matters.
DIGITS_SHA256 = "68aea062d35a127749050fa0e52dca09d6569ac08092c925610e0954e172dde2"
_TEST_ROWS = 360
_SHAPE = (8, 8)


def read_digits() -> RawImages:
    """The digits, images (n, 8, 8), 1,437 rows for training and 360 for testing, each in stored order.

    The test rows are those of ``train_test_split(test_size=0.2, random_state=0)`` of scikit-learn.

    Raises DataError where the installed copy cannot be read or has another content.
    """
    table = _table()
    if (digest := sha256_of(table)) != DIGITS_SHA256:
        raise DataError(
            f"the digits of the installed scikit-learn are not the known ones: SHA-256 {digest}, expected "
            f"{DIGITS_SHA256}. Reinstall scikit-learn."
        )
    # RandomState is numpy's frozen generator: its permutation is the same in every version.
    in_test = np.zeros(len(table), dtype=bool)
    in_test[np.random.RandomState(0).permutation(len(table))[:_TEST_ROWS]] = True
    images = table[:, :-1].reshape(-1, *_SHAPE)
    labels = table[:, -1]
    return RawImages(images[~in_test], labels[~in_test], images[in_test], labels[in_test])


def _table() -> NDArray[np.uint8]:
    """64 pixels and the label, (1797, 65). Raises DataError where they are not numbers."""
    file = bundled_file("digits.csv.gz")
    if file is None:
        from sklearn.datasets import load_digits

        return np.column_stack(load_digits(return_X_y=True)).astype(np.uint8)
    try:
        return np.loadtxt(file, delimiter=",", ndmin=2).astype(np.uint8)
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"cannot read the digits of scikit-learn, {file}: {error}. Reinstall scikit-learn.") from error
