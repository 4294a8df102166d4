"""Pictures of a search: every trial by its values, what mattered, the best value against trials and against time."""

from __future__ import annotations

import itertools
import math
import re
import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from mlptrain.report.comparison.units import Units
from mlptrain.report.comparison.words import counted
from mlptrain.report.search.words import value_text
from mlptrain.report.style import COLOURS, INK, QUIET, fitted, new_figure, percent_ticks, set_title, styled
from mlptrain.runs.search import SearchSummary, SearchTimings, Tried
from mlptrain.spec.metrics import figure_text, is_share
from mlptrain.spec.search.sections import Choice, Range

_MAP = "viridis"
_BETTER = 0.75  # the part of the trials that axes and colours always hold
_REACH = 2.5  # what lies so many times as far from the best as that part reaches is drawn at the edge
_WIDTH = 7.2  # inches
_LONG_LABEL = 40  # letters of an axis's label, from which on it has two lines
_LINE = 17  # letters of a key or a choice in one line of a label
_APART = 0.07  # of the axis's length between two labels of a range, at least
# Of trials by their status; those of another one have no value.
_LINES: dict[str, Any] = {"completed": "-", "pruned": (0, (5, 2))}
_MARKER = {"completed": "o", "pruned": "x"}
_ABSENT = -0.14  # the height of trials without a key
_LETTERS_ALONG, _FEW_LETTERS = 75, 9  # of the choices of the only key beside each other; of one in a line, at least
KEYS_IN_A_ROW = 7  # of parallel coordinates


def axis_title(summary: SearchSummary) -> str:
    """``validation accuracy (%)``, ``validation RMSE (target units; lower is better)``."""
    return f"validation {Units(summary.metric.key, summary.metric.higher_is_better).axis}"


def _metric_label(summary: SearchSummary) -> str:
    """The same, a long one in two lines."""
    title = axis_title(summary)
    return title if len(title) <= _LONG_LABEL else title.replace(" (", "\n(", 1)


@dataclass(frozen=True)
class Shown:
    """The values that axes and colours spread out, and how many trials are worse than all of them."""

    low: float
    high: float
    beyond: int

    @classmethod
    def of(cls, summary: SearchSummary) -> Shown:
        """All values, but for those so bad that the others would lie on a line."""
        values = [trial.value for trial in summary.trials if trial.value is not None]
        if not values:
            return cls(0.0, 1.0, 0)
        sign = 1 if summary.metric.higher_is_better else -1
        signed = [sign * value for value in values]
        best = max(signed)
        reach = _REACH * (best - float(np.quantile(signed, 1 - _BETTER)))
        kept = [value for value in signed if value >= best - reach] if reach > 0 else signed
        low, high = sorted((sign * min(kept), sign * best))
        return cls(low, high, len(values) - len(kept))

    def limits(self) -> tuple[float, float]:
        """The ends of an axis, with a margin for the markers at them."""
        margin = 0.08 * (self.high - self.low) or 0.01 * abs(self.high) or 0.01
        return self.low - margin, self.high + margin

    def holds(self, value: float) -> bool:
        """Whether a value lies on the axis."""
        return self.low <= value <= self.high


@styled
def draw_parallel(summary: SearchSummary) -> Figure:
    """Every trial as a line through its values, the better the brighter; the best one is thick and on top."""
    axes_of = [
        _Axis(key, choice, has_absent=any(key not in trial.changes for trial in summary.trials))
        for key, choice in summary.choices().items()
    ]
    rows = _in_rows(axes_of)
    figure = new_figure(max(_WIDTH, 1.5 * (len(rows[0]) + 1)), 4.2 * len(rows) + 0.4)
    panels = figure.subplots(len(rows), 1, squeeze=False)[:, 0]
    shown, sign = Shown.of(summary), 1 if summary.metric.higher_is_better else -1
    norm = Normalize(*((shown.low, shown.high) if shown.low < shown.high else shown.limits()))
    colours = colormaps[_MAP if sign > 0 else f"{_MAP}_r"]
    ranked = sorted(summary.trials, key=lambda one: -math.inf if one.value is None else sign * one.value)
    for axes, row in zip(panels, rows, strict=True):
        for rank, trial in enumerate(ranked):
            beside = (rank + 0.5) / len(ranked) - 0.5
            heights = [axis.height(trial, beside) for axis in row]
            if trial.number == summary.best:
                axes.plot(heights, color=COLOURS[1], linewidth=3, zorder=3)
            else:
                colour = QUIET if trial.value is None else colours(norm(trial.value))
                axes.plot(heights, color=colour, linewidth=1.0, alpha=0.8, linestyle=_LINES.get(trial.status, ":"))
        _upright(axes, row, width=figure.get_figwidth())
    set_title(figure, fitted(f"{summary.name}: every trial by its values", figure.get_figwidth()))
    if any(trial.value is not None for trial in ranked):
        worse = "neither" if not shown.beyond else "min" if sign > 0 else "max"
        bar = figure.colorbar(
            ScalarMappable(norm, colours),
            ax=panels,
            pad=0.01,
            aspect=20 * len(rows),
            label=_metric_label(summary),
            extend=worse,
        )
        bar.ax.yaxis.set_major_formatter(_ticks(summary))
    figure.legend(handles=_legend(summary, shown, lines=True), loc="outside lower center", ncols=3, fontsize=8.5)
    return figure


def _in_rows(axes: Sequence[_Axis]) -> list[Sequence[_Axis]]:
    """Rows of as many axes each as a page has room for; every further one begins with the last one of the row above."""
    count = max(1, math.ceil((len(axes) - 1) / (KEYS_IN_A_ROW - 1)))
    ends = [round(row * (len(axes) - 1) / count) for row in range(count + 1)]
    return [axes[start : end + 1] for start, end in pairwise(ends)]


def _upright(axes: Axes, row: Sequence[_Axis], *, width: float) -> None:
    """The axes of a row's keys with their labels; ``width`` is that of the figure, in inches."""
    for place, axis in enumerate(row):
        axes.axvline(place, color=INK, linewidth=0.8)
        for height, text in axis.ticks():
            axes.annotate(
                text, (place, height), xytext=(4, 0), textcoords="offset points", fontsize=8, color=INK, va="center",
                bbox={"facecolor": "white", "alpha": 0.9, "edgecolor": "none", "pad": 0.6}, zorder=4,
            )  # fmt: skip
    widest = max(len(line) for _, text in row[-1].ticks() for line in text.split("\n"))
    axes.set_xlim(-0.15, len(row) - 1 + 0.1 + 0.055 * min(widest, 2 * _LINE) * len(row) / width)
    axes.set_ylim(_ABSENT - 0.06 if any(axis.has_absent for axis in row) else -0.06, 1.06)
    axes.set_xticks(range(len(row)), [broken(axis.key) for axis in row])
    axes.set_yticks([])
    axes.grid(visible=False)
    for side in ("left", "right", "top", "bottom"):
        axes.spines[side].set_visible(False)


@styled
def draw_values(summary: SearchSummary) -> Figure:
    """The metric of every trial against the value of the only key."""
    [(key, choice)] = summary.choices().items()
    axis, shown = _Axis(key, choice), Shown.of(summary)
    ticks = axis.ticks()
    room = _LETTERS_ALONG // len(ticks)
    is_upright = not isinstance(choice, Range) and room < _FEW_LETTERS and any(len(text) > room for _, text in ticks)
    if not isinstance(choice, Range):
        ticks = [(place, textwrap.fill(text, _LINE if is_upright else room)) for place, text in ticks]
    figure = new_figure(_WIDTH, 5.2 if is_upright else 4.0)
    axes = figure.add_subplot()
    places = _beside(axis, [trial.changes[key] for trial in summary.trials])
    _markers(axes, summary, places, shown)
    axes.set_xticks([place for place, _ in ticks], [text for _, text in ticks])
    if is_upright:
        axes.tick_params(axis="x", rotation=90)
    axes.set_xlim(-0.06, 1.06)
    way = " (logarithmic scale)" if isinstance(choice, Range) and choice.is_log else ""
    set_title(figure, fitted(f"{summary.name}: every trial", _WIDTH))
    axes.set(xlabel=f"{key}{way}", ylabel=_metric_label(summary))
    axes.yaxis.set_major_formatter(_ticks(summary))
    figure.legend(handles=_legend(summary, shown), loc="outside lower center", ncols=3, fontsize=8.5)
    return figure


def _beside(axis: _Axis, values: Sequence[Any]) -> list[float]:
    """The places of trials along the axis of the only key, those of the same choice beside each other."""
    at = [axis.place(value) for value in values]
    counts, seen = Counter(at), Counter[float]()
    places = []
    for place in at:
        middle, seen[place] = seen[place] - (counts[place] - 1) / 2, seen[place] + 1
        places.append(place + middle * min(0.015, axis.width / counts[place]))
    return places


class _Axis:
    """One key of the space as an axis from 0 to 1."""

    def __init__(self, key: str, choice: Choice, *, has_absent: bool = False) -> None:
        self.key, self._choice, self.has_absent = key, choice, has_absent
        # Trials of the same choice lie beside each other: one would hide the others.
        self.width = 0.0 if isinstance(choice, Range) else min(0.08, 0.3 / max(1, len(choice.values) - 1))

    def height(self, trial: Tried, beside: float) -> float:
        """Where the line of a trial goes through, below the axis where its other values leave no room for this key."""
        if self.key not in trial.changes:
            return _ABSENT + beside * 0.08
        return self.place(trial.changes[self.key]) + beside * self.width

    def place(self, value: Any) -> float:
        if isinstance(self._choice, Range):
            return self._choice.place(value)
        return self._choice.values.index(value) / max(1, len(self._choice.values) - 1)

    def ticks(self) -> list[tuple[float, str]]:
        """Places and labels that name them exactly: of a range both ends and round numbers between."""
        absent = [(_ABSENT, "not set")] if self.has_absent else []
        if not isinstance(self._choice, Range):
            names = labels_of(self._choice.values)
            return absent + [(index / max(1, len(names) - 1), name) for index, name in enumerate(names)]
        low, high = self._choice.low, self._choice.high
        found = {0.0: low, 1.0: high}
        for value in _round_numbers(self._choice):
            place = self.place(value)
            if all(abs(place - other) >= _APART for other in found):
                found[place] = value
        return absent + [(place, _number(value)) for place, value in sorted(found.items())]


def _number(value: float) -> str:
    """As short as it is exact, to ten digits."""
    return f"{value:g}" if float(f"{value:g}") == value else f"{value:.10g}"


def _round_numbers(choice: Range) -> list[float]:
    """Numbers of few digits between the ends of a range, the roundest first."""
    low, high = choice.low, choice.high
    if not choice.is_log:
        locator = MaxNLocator(nbins=5, integer=choice.is_whole, steps=[1, 2, 5, 10])
        return [float(value) for value in locator.tick_values(low, high) if low < value < high]
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1,) if high / low >= 1000 else (1, 3) if high / low >= 30 else (1, 2, 5)
    values = [float(f"{factor}e{decade}") for factor in factors for decade in decades]
    return [value for value in values if low < value < high and (not choice.is_whole or value.is_integer())]


def labels_of(values: Sequence[Any]) -> list[str]:
    """Choices as short texts, no two the same: of sections the name and what differs from others of that name.

    Numbers have four digits where these tell them apart.
    """
    texts = [_label(value, values) for value in values]
    counts = Counter(texts)
    return [text if counts[text] == 1 else _exact(value) for value, text in zip(values, texts, strict=True)]


def _exact(value: Any) -> str:
    return _number(value) if isinstance(value, float) else value_text(value)


def _label(value: Any, values: Sequence[Any]) -> str:
    if not isinstance(value, dict) or "name" not in value:
        return value_text(value)
    alike = [one for one in values if isinstance(one, dict) and one.get("name") == value["name"]]
    differ = [key for key, part in value.items() if any(one.get(key) != part for one in alike)]
    return "\n".join([value_text(value["name"]), *(f"{key}: {value_text(value[key])}" for key in differ)])


def broken(key: str, width: int = _LINE) -> str:
    """A key in lines of a label, which end at dots, of longer parts at underscores, and never inside a word."""
    lines = [""]
    for part in re.findall(r"[^.]+\.?", key):
        for piece in [part] if len(part) <= width else re.findall(r"[^_]*_|[^_]+", part):
            if lines[-1] and len(lines[-1]) + len(piece) > width:
                lines.append("")
            lines[-1] += piece
    return "\n".join(lines)


@styled
def draw_importances(summary: SearchSummary) -> Figure:
    """The share of the explained variance of each key, the largest first, with its range over resamples."""
    keys, found = list(summary.importances), list(summary.importances.values())
    figure = new_figure(7.2, 1.2 + 0.4 * len(keys))
    axes = figure.add_subplot()
    means = [one.mean for one in found]
    axes.barh(range(len(keys)), means, color=COLOURS[0], height=0.6, alpha=0.75)
    axes.hlines(range(len(keys)), [one.low for one in found], [one.high for one in found], color=INK, linewidth=1.6)
    for end in ("low", "high"):
        axes.plot([getattr(one, end) for one in found], range(len(keys)), "|", color=INK, markersize=8)
    axes.set_yticks(range(len(keys)), [broken(key, 30) for key in keys])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.02)
    axes.xaxis.set_major_formatter(percent_ticks())
    completed = sum(trial.status == "completed" for trial in summary.trials)
    set_title(figure, fitted(f"{summary.name}: what mattered in {counted(completed, 'trial')}", _WIDTH))
    axes.set_xlabel("share of the explained variance (%; fANOVA), with its range over resamples")
    return figure


@styled
def draw_history(summary: SearchSummary, timings: SearchTimings) -> Figure:
    """Every trial and the best so far, against trials and against seconds; dotted: half of the trials or seconds."""
    seconds, shown = ended_at(summary, timings), Shown.of(summary)
    figure = new_figure(8.4 if seconds else 7.2, 4.0)
    panels = figure.subplots(1, 2 if seconds else 1, sharey=True, squeeze=False)[0]
    _history(panels[0], summary, [trial.number for trial in summary.trials], shown)
    panels[0].axvline(summary.half.trials - 0.5, color=QUIET, linestyle=":", linewidth=1.2)
    panels[0].set_xlim(-0.5 - 0.02 * len(summary.trials), len(summary.trials) - 0.5 + 0.02 * len(summary.trials))
    panels[0].xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
    panels[0].set(xlabel="trial", ylabel=_metric_label(summary))
    if seconds:
        _history(panels[1], summary, seconds, shown)
        if min(seconds) <= max(seconds) / 2:  # else nothing had been found by then
            panels[1].axvline(max(seconds) / 2, color=QUIET, linestyle=":", linewidth=1.2)
        panels[1].set_xlim(0, 1.03 * max(seconds))
        panels[1].set_xlabel("seconds of training, one after another")
    panels[0].yaxis.set_major_formatter(_ticks(summary))
    set_title(figure, fitted(f"{summary.name}: the best so far", figure.get_figwidth()))
    best = Line2D([], [], color=COLOURS[0], linewidth=2, label="best so far, of completed trials")
    half = Line2D(
        [],
        [],
        color=QUIET,
        linestyle=":",
        label="half of the trials" + (", of the seconds" if seconds else ""),
    )
    handles = [*([] if summary.best is None else [best]), *_legend(summary, shown), half]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=8.5)
    return figure


def _history(axes: Axes, summary: SearchSummary, at: Sequence[float], shown: Shown) -> None:
    _markers(axes, summary, at, shown)
    order = sorted(range(len(at)), key=lambda index: at[index])  # with several workers batches end in another order
    best = best_over([summary.trials[index] for index in order], higher_is_better=summary.metric.higher_is_better)
    values = [float("nan") if value is None else value for value in best]
    axes.step([at[index] for index in order], values, where="post", color=COLOURS[0], linewidth=2, zorder=2)


def _markers(axes: Axes, summary: SearchSummary, at: Sequence[float], shown: Shown) -> None:
    """A marker for every trial; those beyond the axis and those without a value stand at its worse edge."""
    axes.set_ylim(*shown.limits())
    if all(trial.value is None for trial in summary.trials):
        axes.yaxis.set_major_locator(NullLocator())
    is_up = summary.metric.higher_is_better
    edge = 0.015 if is_up else 0.985
    foot = axes.get_xaxis_transform()
    for moment, trial in zip(at, summary.trials, strict=True):
        marker = _MARKER.get(trial.status, "X")
        if trial.value is None:
            axes.plot(moment, edge, marker, transform=foot, color=COLOURS[1], markersize=5, zorder=3, clip_on=False)
        elif shown.holds(trial.value):
            axes.plot(moment, trial.value, marker, color=QUIET, markersize=4, zorder=3)
        else:
            arrow, fill = "v" if is_up else "^", "none" if trial.status == "pruned" else QUIET
            axes.plot(moment, edge, arrow, transform=foot, color=QUIET, mfc=fill, markersize=5, zorder=3, clip_on=False)
        if trial.number == summary.best and trial.value is not None:
            axes.plot(moment, trial.value, "o", markersize=10, mfc="none", mec=COLOURS[1], mew=1.6, zorder=4)


def _legend(summary: SearchSummary, shown: Shown, *, lines: bool = False) -> list[Artist]:
    """What the trials' marks mean, and how many there are of each."""
    counts = Counter[str](trial.status for trial in summary.trials)
    handles: list[Artist] = []
    if summary.best is not None:
        look: dict[str, Any] = {"linewidth": 3, "color": COLOURS[1]} if lines else {
            "linestyle": "", "marker": "o", "markersize": 9, "mfc": "none", "mec": COLOURS[1], "mew": 1.6
        }  # fmt: skip
        handles.append(Line2D([], [], label=f"the best, trial {summary.best}", **look))
    for status, count in sorted(counts.items()):
        marker, has_value = _MARKER.get(status, "X"), status in ("completed", "pruned")
        colour = QUIET if has_value or lines else COLOURS[1]
        look = {"linestyle": _LINES.get(status, ":")} if lines else {"linestyle": "", "marker": marker, "markersize": 5}
        handles.append(Line2D([], [], color=colour, label=f"{status}: {count}", **look))
    if shown.beyond and lines:
        darkest = Line2D([], [], color=colormaps[_MAP](0.0), label=f"as dark: {shown.beyond} beyond the colour bar")
        handles.append(darkest)
    elif shown.beyond:
        is_up = summary.metric.higher_is_better
        values = [trial.value for trial in summary.trials if trial.value is not None]
        worst = figure_text(summary.metric.key, min(values) if is_up else max(values))
        label = f"beyond the axis: {shown.beyond}, to {worst}"
        handles.append(Line2D([], [], linestyle="", marker="v" if is_up else "^", color=QUIET, label=label))
    return handles


def _ticks(summary: SearchSummary) -> FuncFormatter:
    return percent_ticks() if is_share(summary.metric.key) else FuncFormatter(lambda value, _: f"{value:,.6g}")


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
    """The seconds of training after which each trial had ended, as if it had been trained after the one before it.

    Trials that trained together share the seconds of their batch by their epochs. One without any training ends with
    the one before it. Empty where not all are known.
    """
    epochs = {trial.trial: trial.epochs for trial in summary.trials}
    moments: dict[str, float] = {}
    end = 0.0
    for batch, seconds in timings.seconds.items():
        names = timings.trials.get(batch, [])
        counts = [epochs.get(name, 0) for name in names]
        shares = counts if any(counts) else [1] * len(names)
        for name, reached in zip(names, itertools.accumulate(shares), strict=True):
            moments[name] = end + seconds * reached / sum(shares)
        end += seconds
    found: list[float] = []
    for trial in summary.trials:
        if trial.reason is not None:
            found.append(found[-1] if found else 0.0)
        elif trial.trial in moments:
            found.append(moments[trial.trial])
        else:
            return []
    return found
