"""Data files that scikit-learn brings along, read where it keeps them.

Importing ``sklearn.datasets`` takes over a second, reading one of its files 0.02 s.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from mlptrain.errors import DataError


def bundled_file(name: str) -> Path:
    """The path of a data file such as ``iris.csv``. Raises DataError where this scikit-learn does not have it there."""
    package = importlib.util.find_spec("sklearn")
    file = Path((package and package.origin) or "").parent / "datasets" / "data" / name
    if not file.is_file():
        raise DataError(f"this version of scikit-learn does not bring {name} along; install another one")
    return file
