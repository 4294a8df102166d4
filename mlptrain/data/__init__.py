"""From a data section to tensors: reading, fetching, checking, generating, splitting, scaling."""

from __future__ import annotations

from mlptrain.data.scaling import NO_SCALING, Scaling
from mlptrain.data.splits import Split, Splits, load_splits
from mlptrain.sources.store import data_folder

__all__ = ["NO_SCALING", "Scaling", "Split", "Splits", "data_folder", "load_splits"]
