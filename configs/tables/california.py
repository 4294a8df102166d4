"""California housing as scikit-learn has it, with three random splits whose test rows are a file of their own.

    python configs/tables/california.py cal_housing.data OUT

``cal_housing.data`` is StatLib's (Pace & Barry, 1997), which ``sklearn.datasets.fetch_california_housing`` downloads.
Writes ``OUT/california.csv``, 20,640 rows with eight features and the price in 100,000 dollars, and for the splits 0, 1
and 2 ``OUT/train_0.csv`` with 16,512 rows, of which 3,303 are to validate, and ``OUT/test_0.csv`` with 4,128.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

NAMES = [
    "MedInc",
    "HouseAge",
    "AveRooms",
    "AveBedrms",
    "Population",
    "AveOccup",
    "Latitude",
    "Longitude",
    "MedHouseVal",
]


def features(path: Path) -> NDArray[np.float64]:
    """Columns as ``NAMES``, (rows, 9)."""
    longitude, latitude, age, rooms, bedrooms, people, homes, income, price = np.loadtxt(path, delimiter=",").T
    ratios = rooms / homes, bedrooms / homes, people, people / homes
    return np.column_stack([income, age, *ratios, latitude, longitude, price / 1e5])


def write(path: Path, rows: NDArray[np.float64]) -> None:
    """With a header."""
    np.savetxt(path, rows, fmt="%.10g", delimiter=",", header=",".join(NAMES), comments="")


def main(source: Path, out: Path) -> None:
    """Write the files."""
    rows = features(source)
    out.mkdir(parents=True, exist_ok=True)
    write(out / "california.csv", rows)
    for split in range(3):
        order = np.random.default_rng(split).permutation(len(rows))
        write(out / f"test_{split}.csv", rows[order[:4128]])
        write(out / f"train_{split}.csv", rows[order[4128:]])


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
