"""From a data section to batches: the choice of rows, splits, preprocessing fitted on the training rows, batches."""

from __future__ import annotations

from mlptrain.data.examples import Examples
from mlptrain.data.preprocessing import Preprocessing, Scale, Standardize
from mlptrain.data.splits import Splits, load_splits, read_data

__all__ = ["Examples", "Preprocessing", "Scale", "Splits", "Standardize", "load_splits", "read_data"]
