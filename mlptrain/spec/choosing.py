"""The figures that training records, by their keys ``{split}_{name}``, and which way each gets better."""

from __future__ import annotations

import math
from collections.abc import Mapping

from mlptrain.sources.facts import DataFacts

# Of every figure that an epoch may have: whether higher is better. What is not here chooses nothing.
HIGHER_IS_BETTER: Mapping[str, bool] = {"loss": False, "accuracy": True}


def higher_is_better(key: str) -> bool:
    """Of a key such as ``validation_loss``. Raises KeyError for a figure that no epoch has."""
    return HIGHER_IS_BETTER[key.partition("_")[2]]


def best_in_words(key: str) -> str:
    """``lowest validation loss`` or ``highest validation accuracy``."""
    return f"{'highest' if higher_is_better(key) else 'lowest'} {key.replace('_', ' ')}"


def recorded_metrics(split: str, facts: DataFacts) -> list[str]:
    """The keys of the figures of an epoch where ``split`` (validation, test or none) is measured."""
    names = ["loss", "accuracy"] if facts.class_names else ["loss"]
    return [f"{part}_{name}" for part in ("train", split) if part != "none" for name in names]


def is_better(key: str, value: float | None, best: float | None, *, by: float = 0.0, relative: bool = False) -> bool:
    """Whether ``value`` is better than ``best`` by more than ``by``, a part of ``best`` where ``relative``.

    Anything is better than no value, but what is not a number is never better.
    """
    if value is None or math.isnan(value):
        return False
    if best is None:
        return True
    if higher_is_better(key):
        return value > (best * (1 + by) if relative else best + by)
    return value < (best * (1 - by) if relative else best - by)
