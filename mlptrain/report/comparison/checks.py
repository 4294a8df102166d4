"""What the types of a comparison's record do not say: which of its figures belong together."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlptrain.report.comparison.record import Optimizer, Summary, TimeToTarget, Value


def fault_in(summary: Summary) -> str | None:
    """The first of the figures that do not belong together, and why; None where all do."""
    names = sorted(summary.optimizers)
    if sorted(summary.ranking) != names:
        return "ranking: names other optimizers than there are"
    if sorted(sorted((pair.a, pair.b)) for pair in summary.pairs) != [list(two) for two in combinations(names, 2)]:
        return "pairs: name other optimizers than there are, or not every two of them once"
    if not {name for pair in summary.inclusion for name in (pair.a, pair.b)} <= set(names):
        return "inclusion: names other optimizers than there are"
    for name, entry in summary.optimizers.items():
        if fault := _fault_of(entry, summary):
            return f"optimizers.{name}.{fault}"
    if len({frozenset(entry.curves) for entry in summary.optimizers.values() if entry.lasts}) > 1:
        return "curves: the optimizers have different ones"
    return None


def _fault_of(entry: Optimizer, summary: Summary) -> str | None:
    if [trial.seed for trial in entry.trials] != summary.seeds:
        return "trials: their seeds are not the comparison's"
    if entry.completed > len(entry.trials):
        return "completed: more than there are trials"
    if (fault := _fault_of_times(entry.epochs_to_target, summary)) is not None:
        return f"epochs_to_target{fault}"
    if not _is_rate(entry.setting.get("lr")):
        return "setting.lr: must be a positive number"
    if not ({"train_loss", "train_accuracy"} <= entry.curves.keys() if entry.lasts else not entry.curves):
        return "curves: not those of its trials"
    for name, curve in entry.curves.items():
        length = summary.epochs + (not name.startswith("train_"))  # what is measured is measured before training too
        if {len(curve.mean), len(curve.low), len(curve.high)} != {length}:
            return f"curves.{name}: not a value for each epoch"
        if name.endswith("accuracy") and not all(0 <= one <= 1 for one in (*curve.mean, *curve.low, *curve.high)):
            return f"curves.{name}: no fractions"
    for tried in entry.tuning:
        if not _is_rate(tried.setting.get("lr", 1.0)) or len(tried.accuracies) != len(summary.tuning_seeds) > 0:
            return "tuning: is damaged"
    return None


def _fault_of_times(times: TimeToTarget | None, summary: Summary) -> str | None:
    if times is None or summary.target is None:
        return None if times is None and summary.target is None else ": is there without a target, or not with one"
    if not times.n == len(times.trials) == len(summary.seeds):
        return ".trials: not one for each trial"
    if times.reached != sum(epoch is not None for epoch in times.trials):
        return ".reached: not as many as have reached it"
    epochs = [epoch for epoch in (*times.trials, times.median) if epoch is not None]
    return None if all(1 <= epoch <= summary.epochs for epoch in epochs) else ": beyond the last epoch"


def _is_rate(value: Value) -> bool:
    return type(value) in (int, float) and 0 < value <= 1e30  # type: ignore[operator]
