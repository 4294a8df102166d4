"""Columns that give the target away: one that alone predicts it is a leak, or the others are not needed.

A column that is written down after the outcome, or follows from it, makes a network that is useless where the outcome
is not known yet (Kaufman, Rosset, Perlich & Stitelman, Leakage in Data Mining, 2012).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mlptrain.sources.facts import Column
from mlptrain.system.text import printable

Floats = NDArray[np.float64]

MIN_ACCURACY = 0.999
MIN_REDUCTION = 0.999
MIN_CORRELATION = 0.999
_ROWS = 20_000  # that are looked at, evenly spaced: 12 columns take 0.1 s
_NUMBERS = 5_000_000  # that are looked at in wide tables
_MIN_ROWS = 30  # with fewer almost any column seems to know the target
_MIN_OTHERS = 10  # rows that are not of the most frequent class; of fewer one among many columns knows by chance
_MAX_DESCRIBED = 5
_MAX_CLASSES = 100  # that thresholds are sought for
_MAX_CELLS = 5_000_000  # of a table of levels by classes


@dataclass(frozen=True)
class Leak:
    """A column of the file that predicts the target alone: ``value`` is the measure that ``rule`` names, up to 1."""

    column: str
    rule: str
    value: float

    def describe(self) -> str:
        """A warning in words."""
        shown = printable(self.column)
        return (
            f"'{shown}' alone predicts the target ({self.rule} {self.value:.5g}); if it is not known when a prediction "
            f"is wanted, leave it out: data.columns: {{{shown}: drop}}"
        )


def described(leaks: Sequence[Leak]) -> list[str]:
    """A warning for each of the first five, and one for all others."""
    texts = [leak.describe() for leak in leaks[:_MAX_DESCRIBED]]
    if more := leaks[_MAX_DESCRIBED:]:
        names = ", ".join(f"'{printable(leak.column)}'" for leak in more[:_MAX_DESCRIBED])
        texts.append(
            f"{len(more):,} more columns predict the target alone: {names}{', …' * (len(more) > _MAX_DESCRIBED)}"
        )
    return texts


def find_leaks(x: NDArray[np.float32], y: NDArray[np.generic], columns: Sequence[Column]) -> tuple[Leak, ...]:
    """The leaks among stored columns (rows, columns), of labels (rows,) or targets (rows, targets).

    Of classes: a rule on the column alone, that is a class for each of its values or for each of as many intervals as
    there are classes, is right for 99.9 % of the rows, and its errors are at most 0.1 % of those of a constant guess:
    Goodman & Kruskal's λ (1954). Values are looked up among the other rows, so that one that stands in a single row
    says nothing. Of numbers: Pearson's or Spearman's correlation, or for values that repeat the adjusted correlation
    ratio, is above 0.999. None where there is a single column, whose business it is.
    """
    if len({column.origin for column in columns}) < 2:
        return ()
    count = min(len(x), _ROWS, max(_MIN_ROWS, _NUMBERS // len(columns)))
    if count < _MIN_ROWS:
        return ()
    rows = np.arange(count) * len(x) // count
    measure: Callable[..., tuple[str, float]]
    if y.ndim == 1:
        labels = np.unique(y[rows], return_inverse=True)[1]
        guess = np.bincount(labels)
        if count - guess.max() < _MIN_OTHERS:
            return ()
        measure = partial(_of_classes, labels=labels, guess=guess)
    else:
        measure = partial(_of_targets, targets=y[rows].astype(np.float64))
    found: dict[str, Leak] = {}
    for place, column in enumerate(columns):
        rule, value = measure(x[rows, place].astype(np.float64), is_number=column.kind == "numeric")
        if rule and (column.origin not in found or value > found[column.origin].value):
            found[column.origin] = Leak(column.origin, rule, value)
    return tuple(found.values())


def _of_classes(
    values: Floats, labels: NDArray[np.int64], guess: NDArray[np.int64], *, is_number: bool
) -> tuple[str, float]:
    """The accuracy of the better rule, and its name; none where it is not good enough."""
    rows, likely = len(labels), int(guess.argmax())
    order = np.argsort(values, kind="stable")
    levels = np.empty(rows, dtype=np.int64)
    changes = np.diff(values[order]) != 0
    changes &= ~np.isnan(values[order][:-1])  # missing values are one level
    levels[order] = np.concatenate([[0], np.cumsum(changes)])
    rules = [("accuracy of looking its values up", _looked_up(levels, labels, len(guess), likely))]
    # Each error between intervals adds two changes of the class, where every value stands in one row.
    most = len(guess) - 1 + 2 * (1 - MIN_ACCURACY) * rows
    is_hopeless = changes.all() and np.count_nonzero(np.diff(labels[order])) > most
    if is_number and len(guess) <= _MAX_CLASSES and not is_hopeless:
        rules.append(("accuracy of thresholds on it", _by_thresholds(values, labels, len(guess), likely)))
    name, correct = max(rules, key=lambda rule: rule[1])
    errors, of_guess = rows - correct, rows - int(guess.max())
    if correct < MIN_ACCURACY * rows or errors > (1 - MIN_REDUCTION) * of_guess:
        return "", 0.0
    return name, correct / rows


def _looked_up(levels: NDArray[np.int64], labels: NDArray[np.int64], classes: int, likely: int) -> int:
    """Rows that are right when each gets the most frequent class of the other rows with its value."""
    count = int(levels.max()) + 1
    if count > len(levels) / 2 or count * classes > _MAX_CELLS:
        return 0
    table = np.bincount(levels * classes + labels, minlength=count * classes).reshape(count, classes)
    first, second = table.max(axis=1), np.partition(table, -2, axis=1)[:, -2]
    single = table.sum(axis=1) == 1
    right = np.where((first - 1 > second) | ((second == 0) & (first > 1)), first, 0)
    return int(right.sum() + table[single, likely].sum())


def _by_thresholds(values: Floats, labels: NDArray[np.int64], classes: int, likely: int) -> int:
    """Rows that are right with an interval for each class, in the order of the classes' medians."""
    there = ~np.isnan(values)
    missing = np.bincount(labels[~there], minlength=classes)
    values, labels = values[there], labels[there]
    present = [one for one in range(classes) if (labels == one).any()]
    if len(present) < 2:
        return int(missing.max()) + len(labels) * bool(present and present[0] == likely)
    medians = {one: float(np.median(values[labels == one])) for one in present}
    ordered = sorted(present, key=lambda one: (medians[one], one))
    edges = [_threshold(values, labels, low, high) for low, high in pairwise(ordered)]
    if sorted(edges) != edges:
        return 0
    predicted = np.array(ordered)[np.searchsorted(np.array(edges), values, side="left")]
    return int((predicted == labels).sum() + missing.max())


def _threshold(values: Floats, labels: NDArray[np.int64], low: int, high: int) -> float:
    """The value up to which ``low`` is the guess and beyond which ``high`` is, with the fewest errors."""
    chosen = (labels == low) | (labels == high)
    own, is_low = values[chosen], labels[chosen] == low
    order = np.argsort(own, kind="stable")
    own, is_low = own[order], is_low[order]
    right = np.cumsum(np.where(is_low, 1, -1))  # up to each row, and a constant
    ends = np.append(own[1:] != own[:-1], True)
    return float(own[ends][right[ends].argmax()])


def _of_targets(values: Floats, targets: Floats, *, is_number: bool) -> tuple[str, float]:
    """``_of_numbers`` of the target that follows most closely."""
    return max((_of_numbers(values, target, is_number=is_number) for target in targets.T), key=lambda found: found[1])


def _of_numbers(values: Floats, target: Floats, *, is_number: bool) -> tuple[str, float]:
    """The largest measure of how far a number follows from the column, and its name; none below the limit."""
    there = ~np.isnan(values)
    if there.sum() < max(_MIN_ROWS, MIN_ACCURACY * len(values)):
        return "", 0.0
    values, target = values[there], target[there]
    found = [("correlation ratio", _ratio(values, target))]
    if is_number:
        found.append(("correlation", _correlation(values, target)))
        found.append(("rank correlation", _correlation(_ranks(values), _ranks(target))))
    name, value = max(found, key=lambda one: one[1])
    return (name, value) if value > MIN_CORRELATION else ("", 0.0)


def _correlation(a: Floats, b: Floats) -> float:
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a @ a) * (b @ b)))
    return abs(float(a @ b)) / norm if norm > 0 else 0.0


def _ranks(values: Floats) -> Floats:
    """Ranks, equal values with the mean of theirs."""
    return pl.Series(values).rank("average").to_numpy()


def _ratio(values: Floats, target: Floats) -> float:
    """The root of the share of the variance that the means by value explain, adjusted for their number."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    total = float(((target - target.mean()) ** 2).sum())
    if len(counts) > len(values) / 2 or total <= 0:
        return 0.0
    means = np.bincount(inverse, weights=target) / counts
    within = float(((target - means[inverse]) ** 2).sum())
    explained = 1 - within / (len(values) - len(counts)) * (len(values) - 1) / total
    return float(np.sqrt(max(0.0, explained)))
