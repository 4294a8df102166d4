"""Pictures of a search: parallel coordinates, what mattered, the best value against trials and against time."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from mlptrain.report.search.words import value_text
from mlptrain.report.style import COLOURS, INK, QUIET, fitted, new_figure, percent_ticks, styled
from mlptrain.runs.search import SearchSummary, SearchTimings, Tried
from mlptrain.spec.metrics import is_share, short_name_of
from mlptrain.spec.search.sections import Choice, Range

_MAP = "viridis"
_TICKS = 5
_GOOD = 0.5  # the part of the trials whose values the colours spread out; worse ones share the darkest


def axis_title(summary: SearchSummary) -> str:
    """``validation accuracy (%)``."""
    return f"validation {short_name_of(summary.metric.key)}{' (%)' if is_share(summary.metric.key) else ''}"


@styled
def draw_parallel(summary: SearchSummary) -> Figure:
    """Every trial as a line through its values, the better the brighter; the best one is red and on top."""
    axes_of = [_Axis(key, choice) for key, choice in summary.choices().items()]
    figure = new_figure(max(7.2, 1.5 * (len(axes_of) + 1)), 4.2)
    axes = figure.add_subplot()
    known = [trial for trial in summary.trials if trial.value is not None]
    values = [float(trial.value or 0.0) for trial in known]
    sign = 1 if summary.metric.higher_is_better else -1
    worst, best = _colour_range([sign * value for value in values])
    norm = Normalize(worst, best)
    places = [float(place) for place in range(len(axes_of))]
    for trial in sorted(known, key=lambda trial: sign * (trial.value or 0.0)):
        is_best = trial.number == summary.best
        colour = COLOURS[1] if is_best else colormaps[_MAP](norm(sign * (trial.value or 0.0)))
        heights = [axis.place(trial.changes[axis.key]) if axis.key in trial.changes else np.nan for axis in axes_of]
        axes.plot(places, heights, color=colour, linewidth=2.6 if is_best else 1.0, alpha=1.0 if is_best else 0.7)
    for place, axis in zip(places, axes_of, strict=True):
        axes.axvline(place, color=INK, linewidth=0.8)
        for height, text in axis.ticks():
            axes.annotate(
                text, (place, height), xytext=(4, 0), textcoords="offset points", fontsize=8, color=INK, va="center",
                bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.6},
            )  # fmt: skip
    axes.set_xlim(-0.15, len(axes_of) - 1 + 0.45)
    axes.set_ylim(-0.06, 1.06)
    axes.set_xticks(places, [fitted(axis.key, 1.6) for axis in axes_of])
    axes.set_yticks([])
    axes.grid(visible=False)
    for side in ("left", "right", "top", "bottom"):
        axes.spines[side].set_visible(False)
    axes.set_title(f"{summary.name}: every trial by its values; red: the best")
    shown = Normalize(min(sign * worst, sign * best), max(sign * worst, sign * best))
    mappable = ScalarMappable(shown, colormaps[_MAP if sign > 0 else f"{_MAP}_r"])
    bar = figure.colorbar(mappable, ax=axes, pad=0.01, label=axis_title(summary))
    if is_share(summary.metric.key):
        bar.ax.yaxis.set_major_formatter(percent_ticks())
    return figure


class _Axis:
    """One key of the space as an upright axis from 0 to 1."""

    def __init__(self, key: str, choice: Choice) -> None:
        self.key, self._choice = key, choice

    def place(self, value: Any) -> float:
        if isinstance(self._choice, Range):
            return self._choice.place(value)
        return self._choice.values.index(value) / max(1, len(self._choice.values) - 1)

    def ticks(self) -> list[tuple[float, str]]:
        if not isinstance(self._choice, Range):
            names = [_name(value) for value in self._choice.values]
            return [(index / max(1, len(names) - 1), name) for index, name in enumerate(names)]
        low, high = self._choice.low, self._choice.high
        points = np.geomspace(low, high, _TICKS) if self._choice.is_log else np.linspace(low, high, _TICKS)
        return [(self.place(float(value)), f"{value:.2g}") for value in points]


def _name(value: Any) -> str:
    """A choice as a short text; of a section its name."""
    if isinstance(value, dict):
        return str(value.get("name", json.dumps(value)))[:18]
    return value_text(value)[:18]


def _colour_range(values: Sequence[float]) -> tuple[float, float]:
    """The values between which colours differ: the better part of them, since a few bad ones would hide the rest."""
    if not values:
        return 0.0, 1.0
    worst, best = float(np.quantile(values, 1 - _GOOD)), max(values)
    return (worst, best) if worst < best else (best - 1e-9, best)


@styled
def draw_importances(summary: SearchSummary) -> Figure:
    """The share of the variance over the space that each key explains, the largest first."""
    keys = list(summary.importances)
    figure = new_figure(7.2, 0.9 + 0.36 * len(keys))
    axes = figure.add_subplot()
    axes.barh(range(len(keys)), list(summary.importances.values()), color=COLOURS[0], height=0.6)
    axes.set_yticks(range(len(keys)), [fitted(key, 2.4) for key in keys])
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(percent_ticks())
    axes.set_title(f"{summary.name}: what mattered")
    axes.set_xlabel("share of the variance of all trials (fANOVA)")
    return figure


@styled
def draw_history(summary: SearchSummary, timings: SearchTimings) -> Figure:
    """Every trial and the best so far, against trials and against seconds; dotted: half the budget."""
    figure = new_figure(7.2, 3.4)
    seconds = ended_at(summary, timings)
    panels = figure.subplots(1, 2 if seconds else 1, sharey=True, squeeze=False)[0]
    _history(panels[0], summary, [trial.number + 1 for trial in summary.trials], "trials")
    panels[0].set_ylabel(axis_title(summary))
    if seconds:
        _history(panels[1], summary, seconds, "seconds of training")
    if is_share(summary.metric.key):
        panels[0].yaxis.set_major_formatter(percent_ticks())
    figure.suptitle(f"{summary.name}: the best so far; dotted: half the budget", fontsize=11)
    return figure


def _history(axes: Any, summary: SearchSummary, at: Sequence[float], title: str) -> None:
    order = sorted(range(len(at)), key=lambda index: at[index])  # with several workers batches end in another order
    trials = [summary.trials[index] for index in order]
    moments = [at[index] for index in order]
    known = [(moment, trial) for moment, trial in zip(moments, trials, strict=True) if trial.value is not None]
    for status, marker in (("completed", "o"), ("pruned", "x")):
        some = [(moment, trial.value) for moment, trial in known if trial.status == status]
        if some:
            axes.scatter(*zip(*some, strict=True), s=14, marker=marker, color=QUIET, linewidth=0.8, label=status)
    best = best_over(trials, higher_is_better=summary.metric.higher_is_better)
    values = [float("nan") if value is None else value for value in best]
    axes.step(moments, values, where="post", color=COLOURS[0], linewidth=2, label="best so far")
    axes.axvline(max(moments) / 2, color=QUIET, linestyle=":", linewidth=1)
    shown = sorted(trial.value for _, trial in known if trial.value is not None)
    if shown:  # a few bad trials would hide the rest
        low, high = (np.quantile(shown, 0.25), shown[-1]) if summary.metric.higher_is_better else (
            shown[0], np.quantile(shown, 0.75))  # fmt: skip
        margin = 0.08 * (high - low) or 0.01
        axes.set_ylim(low - margin, high + margin)
    axes.set_xlim(0, None)
    axes.set_xlabel(title)
    if any(trial.status == "pruned" for trial in trials):
        axes.legend(fontsize=8)


def best_over(trials: Sequence[Tried], *, higher_is_better: bool) -> list[float | None]:
    """After each of the trials the best value of those that trained to the end, None before the first."""
    better = max if higher_is_better else min
    best: float | None = None
    found: list[float | None] = []
    for trial in trials:
        if trial.status == "completed" and trial.value is not None:
            best = trial.value if best is None else better(best, trial.value)
        found.append(best)
    return found


def ended_at(summary: SearchSummary, timings: SearchTimings) -> list[float]:
    """The seconds of training after which each trial had ended; none where not all are known."""
    moments = dict(zip(timings.seconds, itertools.accumulate(timings.seconds.values()), strict=True))
    batches = {trial: batch for batch, trials in timings.trials.items() for trial in trials}
    found = [moments.get(batches.get(trial.trial, "")) for trial in summary.trials]
    known = [moment for moment in found if moment is not None]
    return known if len(known) == len(found) else []
