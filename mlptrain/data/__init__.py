"""From a data section to tensors: reading, fetching, checking, generating, splitting, scaling."""

from __future__ import annotations

from mlptrain.data.scaling import Scaling
from mlptrain.data.splits import Split, Splits, load_splits
from mlptrain.data.store import data_folder

__all__ = ["Scaling", "Split", "Splits", "data_folder", "load_splits"]
