"""The names of figures, ``{split}_{metric}`` such as ``validation_roc_auc``, taken apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

SPLITS = ("train", "validation", "test")


def split_of(key: str) -> str:
    """``validation`` of ``validation_roc_auc``."""
    return key.partition("_")[0]


def metric_of(key: str) -> str:
    """``roc_auc`` of ``validation_roc_auc``."""
    return key.partition("_")[2]


def metrics_among(keys: Iterable[str]) -> list[str]:
    """The metrics of all keys, each once, in their order."""
    return list(dict.fromkeys(map(metric_of, keys)))


def table_of(
    figures: Mapping[str, float],
    *,
    show: Callable[[str, float | None], str],
    widest: int,
    named: Callable[[str], str] = str,
    split_named: Callable[[str], str] = str,
) -> list[tuple[str, ...]]:
    """A head, and a row for each split that has a loss; of more than ``widest`` metrics a row for each metric.

    ``show`` gives the text of a metric's value, None where it is undefined.
    """
    metrics = metrics_among(figures)
    heads = [named(metric) for metric in metrics]
    rows = [
        (split_named(split), *(show(metric, figures.get(f"{split}_{metric}")) for metric in metrics))
        for split in SPLITS
        if f"{split}_loss" in figures
    ]
    if len(metrics) > widest:
        return list(zip(("figure", *heads), *rows, strict=True))
    return [("split", *heads), *rows]
