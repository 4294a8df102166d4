"""The figures that training records, by their keys ``{split}_{name}``, and which way each gets better."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mlptrain.keys import metric_of
from mlptrain.sources.facts import DataFacts
from mlptrain.spec import metrics


def higher_is_better(key: str) -> bool:
    """Of a key such as ``validation_loss``; losses, and whatever is not a metric, are better when lower."""
    return metrics.higher_is_better(metric_of(key))


def best_in_words(key: str) -> str:
    """``lowest validation loss`` or ``highest validation ROC-AUC``."""
    split, _, name = key.partition("_")
    return f"{'highest' if higher_is_better(key) else 'lowest'} {split} {metrics.name_of(name)}"


def recorded_metrics(split: str, facts: DataFacts, further: Sequence[str] = ()) -> list[str]:
    """The keys of the figures of an epoch where ``split`` (validation, test or none) is measured.

    ``further`` are the keys of ``evaluation.metrics``, which training has not.
    """
    names = ["loss", "accuracy"] if facts.class_names else ["loss"]
    names += ["objective"] if facts.weight else []
    keys = metrics.further_keys(further, weighted=bool(facts.weight), classes=facts.class_names)
    measured = [] if split == "none" else [f"{split}_{name}" for name in [*names, *keys]]
    return [*(f"train_{name}" for name in names), *measured]


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
