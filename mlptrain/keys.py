"""The names of figures, ``{split}_{metric}`` such as ``validation_roc_auc``, taken apart, and their numbers as text."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

SPLITS = ("train", "validation", "test")
DIGITS = 4  # significant ones of a figure
_IN_TARGET_UNITS = ("rmse", "mae")
_LONG = 1e5  # from which on four decimals are more digits than anyone reads
_MOST_DECIMALS = 8
_LARGE = 1e12


def split_of(key: str) -> str:
    """``validation`` of ``validation_roc_auc``."""
    return key.partition("_")[0]


def metric_of(key: str) -> str:
    """``roc_auc`` of ``validation_roc_auc``."""
    return key.partition("_")[2]


def metrics_among(keys: Iterable[str]) -> list[str]:
    """The metrics of all keys, each once, in their order."""
    return list(dict.fromkeys(map(metric_of, keys)))


def number_text(value: float, decimals: int | None = None) -> str:
    """Four significant digits, large numbers whole with thousands set off: ``53.21``, ``71,094``, ``0.0001234``.

    With ``decimals`` as many of them. In powers of ten only what no one reads otherwise.
    """
    if decimals is None:
        decimals = decimals_for(value, DIGITS)
    return f"{value:,.{decimals}f}" if decimals <= _MOST_DECIMALS and abs(value) < _LARGE else f"{value:.{DIGITS}g}"


def decimals_for(value: float, digits: int) -> int:
    """How many decimals show so many significant digits; at least none."""
    return max(0, digits - 1 - math.floor(math.log10(abs(value)))) if value and math.isfinite(value) else 0


def run_figure(name: str, value: float | None) -> str:
    """A figure of a run by its key or metric, a fraction as such: with four decimals, or a dash where it is undefined.

    One in the target's unit, and one from 100,000 on, as a loss may be, is as ``number_text`` has it.
    """
    if value is None:
        return "–"
    is_plain = name.endswith(_IN_TARGET_UNITS) or abs(value) >= _LONG
    return number_text(value) if is_plain else f"{value:.4f}"


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
