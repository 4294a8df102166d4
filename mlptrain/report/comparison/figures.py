"""Pictures of a comparison with a row for each arm: scores, differences, time to target."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from mlptrain.report.comparison import words
from mlptrain.report.comparison.rows import fastest_first
from mlptrain.report.comparison.units import Units
from mlptrain.report.style import INK, LINE_STYLES, QUIET, colour, marker, new_figure, set_title, styled
from mlptrain.runs.comparison import Accuracy, OptimizerResult, Pair, Reason, Status, Summary

_WIDTH = 7.2  # inches
_ROW, _LOW_ROW = 0.46, 0.3
_LOW_FROM = 16  # rows, from which on they are low, so that the picture fits on a screen
_FIRST_COLUMN, _SECOND_COLUMN = 7.0, 66.0  # points right of the axes
_SPREAD = 0.32  # of a row: how far equal values are stacked away from its middle
_PLACES = 90  # side by side in a row before values count as equal
_MAX_PAIRED = 3  # arms, up to which the scores of a seed are joined by a line
_MAX_SEEDS_PAIRED = 20
_MAX_WHOLE = 5  # rows of differences, up to which an arm that trained to its end is never off the axis
_UNDER: Reason = "under-tuned"
# Values below a gap stand as text at the edge where the gap is so many times as wide as all that lies above it.
_FAR = 4.0
_LEAST_GAP = 0.05
_WIDE = 3.0  # times the median width of the intervals: how far one of them may stretch the axis


@styled
def draw_scores(summary: Summary) -> Figure:
    """Every scored trial, a row for each arm, with the mean and its 95 % interval; best mean first.

    Values far worse than all others stand as a text at the edge, so that the axis can spread out the others.
    """
    split, seeds, units = words.split_name(summary.split), len(summary.seeds), Units.of(summary)
    title = words.titled(summary, f"{split} {units.name} over {words.counted(seeds, 'seed')}")
    figure, axes = _rows(summary.ranking, title=title, x=f"{split} {units.title}")
    values = [[units.sign * trial.score for trial in entry.trials] for _, entry in summary.ranked]
    means = [_Interval.of(entry.accuracy, units) for _, entry in summary.ranked]
    low, high = _limits(values, means, units)
    _set_limits(axes, low, high, units)
    heights = [_stacked(row, y=y, span=high - low) for y, row in enumerate(values)]
    if scores_are_joined(summary):
        axes.plot(values, heights, color="#b9c0c9", linewidth=0.6, zorder=1)  # a line for each column: a seed's
    for y, (name, entry) in enumerate(summary.ranked):
        if seeds > 1 and low < means[y].mean < high:
            _interval(axes, y, means[y], colour(summary.number(name)), linewidth=11, alpha=0.25, zorder=1.5)
            _bar(axes, means[y].mean, y)
        _draw_trials(axes, values[y], heights[y], [trial.status for trial in entry.trials], index=summary.number(name))
        _name_beyond(axes, entry, y, low, units)
    shows_majority = summary.majority is not None and low < summary.majority < high
    if shows_majority:
        axes.axvline(summary.majority or 0.0, color=QUIET, linestyle=LINE_STYLES[2], linewidth=1.0, zorder=1)
    _right_labels(axes, "mean", [units.value(entry.accuracy.mean) for _, entry in summary.ranked])
    verdicts = [_UNDER if pair.reason == _UNDER else pair.verdict for pair in _against_best(summary)]
    _right_labels(axes, "against the best", ["", *verdicts], start=_SECOND_COLUMN)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: units.tick(value)))
    _legend_of_scores(figure, summary, majority=shows_majority)
    return figure


@styled
def draw_differences(summary: Summary) -> Figure:
    """The best mean against every other arm: the mean difference by seed, its 95 % interval, the verdict.

    The shaded band is the width of a tie.
    """
    best, *others = summary.ranking
    pairs, units, arms = _against_best(summary), Units.of(summary), summary.optimizers
    title = words.titled(summary, f"{words.split_name(summary.split)} {units.name} compared with {best}'s")
    tie = f"; grey: a tie, {units.width(summary.tie)}" if summary.tie else ""
    way = "" if units.higher_is_better else "; lower is better"
    of = (
        "mean difference by seed, uncorrected 95 % interval"
        if len(summary.seeds) > 1
        else "difference for the one seed"
    )
    x = f"{of}\n({units.unit}{way}{tie})"
    figure, axes = _rows(others, title=title, x=x)
    intervals = [_Interval.of(pair, units) for pair in pairs]
    lasting = {pair.a for pair in pairs if not (arms[pair.a].diverged or arms[pair.a].failed)}
    whole = len(pairs) <= _MAX_WHOLE
    kept = [one.mean for pair, one in zip(pairs, intervals, strict=True) if whole and pair.a in lasting]
    low, high = _limits([[one.mean] for one in intervals] + [[0.0]], intervals, units, kept=kept)
    high = max(high, 1.5 * summary.tie, 0.12 * (high - low))
    _set_limits(axes, low, high, units)
    axes.axvspan(-summary.tie, summary.tie, color="#e3e7ec", zorder=0, linewidth=0)
    axes.axvline(0, color=INK, linewidth=0.8, zorder=1)
    for y, (pair, interval) in enumerate(zip(pairs, intervals, strict=True)):
        index = summary.number(pair.a)
        if interval.mean >= low:
            _interval(axes, y, interval, colour(index), linewidth=2.4, zorder=3)
        else:
            _at_edge(axes, y, units.difference(pair.mean), units)
        axes.plot([interval.mean], [y], color=colour(index), marker=marker(index), markersize=8, zorder=4)
    _right_labels(axes, "verdict", list(map(_told, pairs)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: units.tick(value)))
    return figure


@styled
def draw_times(summary: Summary) -> Figure:
    """The epoch after which each trial reached the target, the fastest arm first; misses are on the right."""
    assert summary.target is not None
    fastest = fastest_first(summary)
    title = words.titled(summary, f"time to a {words.describe_target(summary.target)}")
    x = f"epoch after which a seed reached it ({words.steps_of_epoch(summary)} each; black: the median)"
    figure, axes = _rows([name for name, _ in fastest], title=title, x=x)
    start, end = summary.epochs * 1.02 + 0.4, summary.epochs * 1.16 + 1.2
    miss = (start + end) / 2
    axes.set_xlim(0, end)
    axes.axvspan(start, end, color="#eef0f3", zorder=0, linewidth=0)
    for y, (name, times) in enumerate(fastest):
        at = [miss if epoch is None else float(epoch) for epoch in times.trials]
        states: list[Status] = ["diverged" if epoch is None else "completed" for epoch in times.trials]
        _draw_trials(axes, at, _stacked(at, y=y, span=end), states, index=summary.number(name))
        if times.median is not None:
            _bar(axes, times.median, y)
    _right_labels(axes, "median (reached)", [words.epochs_and_reached(times) for _, times in fastest])
    ticks = MaxNLocator(integer=True, min_n_ticks=1).tick_values(0, summary.epochs)
    ticks = [int(tick) for tick in ticks if 0 <= tick <= summary.epochs and start - tick > 0.08 * end]
    axes.set_xticks([*ticks, miss], [*(f"{tick:,}" for tick in ticks), "not\nreached"])
    return figure


def _against_best(summary: Summary) -> list[Pair]:
    """Every other arm against the one with the best mean, in the order of the ranking."""
    return [pair.mirrored() for pair in summary.ranked_pairs if pair.a == summary.ranking[0]]


def _told(pair: Pair) -> str:
    """The verdict with its p-value, and the reason that the p-value does not tell."""
    return f"{pair.verdict} ({f'{_UNDER}, ' if pair.reason == _UNDER else ''}p = {pair.p_holm:.2g})"


def _rows(names: Sequence[str], *, title: str, x: str) -> tuple[Figure, Axes]:
    """Axes with a row for each name, the first one on top."""
    labels = [words.wrapped(name) for name in names]
    lines = max(label.count("\n") + 1 for label in labels)
    row = _ROW if len(names) < _LOW_FROM else _LOW_ROW
    figure = new_figure(_WIDTH, max(row, 0.17 * lines + 0.1) * len(names) + 1.25 + 0.17 * x.count("\n"))
    figure.set_layout_engine("constrained", w_pad=0.09, h_pad=0.06)
    axes = figure.add_subplot()
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), labels)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    for y in range(1, len(names)):
        axes.axhline(y - 0.5, color="#eceff2", linewidth=0.6, zorder=0)
    axes.spines["left"].set_visible(False)
    set_title(figure, title)
    axes.set_xlabel(x)
    return figure, axes


def _right_labels(axes: Axes, heading: str, labels: Sequence[str], *, start: float = _FIRST_COLUMN) -> None:
    """A figure or words for every row, ``start`` points right of the axes."""
    for text, y, size, shade in [(heading, -0.62, 8, QUIET), *((label, y, 9.5, INK) for y, label in enumerate(labels))]:
        axes.annotate(
            text, (1, y), (start, 0), xycoords=("axes fraction", "data"), textcoords="offset points", fontsize=size,
            color=shade, va="center" if y >= 0 else "bottom", annotation_clip=False,
        )  # fmt: skip


@dataclass(frozen=True)
class _Interval:
    """A mean and its 95 % interval times ``units.sign``, so that better is higher."""

    mean: float
    low: float | None
    high: float | None

    @classmethod
    def of(cls, found: Accuracy | Pair, units: Units) -> _Interval:
        if units.higher_is_better:
            return cls(found.mean, found.low, found.high)
        return cls(-found.mean, *(None if end is None else -end for end in (found.high, found.low)))


def _limits(
    rows: Sequence[Sequence[float]], means: Sequence[_Interval], units: Units, *, kept: Sequence[float] = ()
) -> tuple[float, float]:
    """The axis: all values, or those above a gap that would squeeze them, with the intervals of the means shown.

    The ``kept`` values lie on it wherever they are.
    An interval that is far wider than the others, of an arm that diverged now and then, is not followed to its end.
    """
    values = sorted(value for row in rows for value in row)
    low, high = values[0], values[-1]
    for below, above in pairwise(values):
        if above > min(kept, default=high):
            break
        shown = sum(max(row) >= above for row in rows)
        least = _LEAST_GAP if units.is_share else 0.1 * abs(high)
        if above - below > max(_FAR * (high - above), least) and shown >= max(2, len(rows) / 2):
            low = above
            break
    least = 0.01 if units.is_share else 0.01 * abs(high) or 0.01
    intervals = [(mean.low, mean.high) for mean in means if mean.mean >= low]
    known = [(start, end) for start, end in intervals if start is not None and end is not None]
    width = statistics.median_low(end - start for start, end in known) if known else 0.0
    room = max(1.5 * (high - low), _WIDE * width) or least
    bounds = [min(max(end, low - room), high + room) for ends in known for end in ends]
    low, high = min([low, *bounds]), max([high, *bounds])
    margin = 0.04 * (high - low) or least
    return low - margin, high + margin


def _stacked(values: Sequence[float], *, y: float, span: float) -> list[float]:
    """A height for every value of a row, so that equal ones stand above and below each other."""
    seats: dict[int, list[int]] = {}
    for index, value in enumerate(values):
        seats.setdefault(round(value / span * _PLACES), []).append(index)
    heights = [float(y)] * len(values)
    for same in seats.values():
        step = min(0.17, 2 * _SPREAD / max(1, len(same) - 1))
        for place, index in enumerate(same):
            heights[index] = y + (place - (len(same) - 1) / 2) * step
    return heights


def scores_are_joined(summary: Summary) -> bool:
    """Whether the picture of the scores joins those of a seed by a line: among many it would be a thicket."""
    return len(summary.optimizers) <= _MAX_PAIRED and 1 < len(summary.seeds) <= _MAX_SEEDS_PAIRED


def _interval(axes: Axes, y: int, mean: _Interval, shade: str, **line: Any) -> None:
    """The 95 % interval of a mean, where there is one, with an arrow where it goes on beyond the axis."""
    if mean.low is None or mean.high is None:
        return
    axes.plot([mean.low, mean.high], [y, y], color=shade, solid_capstyle="butt", **line)
    left, right = axes.get_xlim()
    for edge, place, arrow in ((left, 0.0, "◀"), (right, 1.0, "▶")):
        if min(left, right) == edge > mean.low or max(left, right) == edge < mean.high:
            axes.annotate(
                arrow, (place, y), xycoords=("axes fraction", "data"), color=shade, fontsize=9, va="center",
                ha="right" if place else "left", zorder=5,
            )  # fmt: skip


def _bar(axes: Axes, x: float, y: int) -> None:
    """The mean or the median of a row."""
    axes.plot([x, x], [y - 0.42, y + 0.42], color=INK, linewidth=2, zorder=2)


def _draw_trials(axes: Axes, x: Sequence[float], y: Sequence[float], states: Sequence[Status], *, index: int) -> None:
    """A marker for every trial: filled, hollow where it did not learn, a cross where it did not last."""
    shade = colour(index)
    filled = {"marker": marker(index), "mfc": shade, "mec": "white", "mew": 0.35}
    cross = {"marker": "x", "mec": INK, "mew": 1.2}
    styles: dict[Status, dict[str, Any]] = {
        "completed": filled,
        "did not learn": filled | {"mfc": "white", "mec": shade, "mew": 1.2},
        "diverged": cross,
        "failed": cross,
    }
    for state in dict.fromkeys(states):
        own = np.array([other == state for other in states])
        axes.plot(np.array(x)[own], np.array(y)[own], linestyle="", markersize=6.2, zorder=3, **styles[state])


def _name_beyond(axes: Axes, entry: OptimizerResult, y: int, low: float, units: Units) -> None:
    """A text at the edge for the trials that lie beyond it."""
    outside = [trial for trial in entry.trials if units.sign * trial.score < low]
    if not outside:
        return
    least, most = (pick(trial.score for trial in outside) for pick in (min, max))
    shown = units.value(least) if least == most else units.interval(least, most)
    states = Counter(trial.status for trial in outside)
    what = f"{len(outside)} of {len(entry.trials)} seeds"
    if len(states) > 1:
        what = ", ".join([what, *(f"{count} {state}" for state, count in states.items() if state != "completed")])
    elif "completed" not in states:
        what = f"{what} {outside[0].status}"
    _at_edge(axes, y, f"{shown} ({what})", units)


def _at_edge(axes: Axes, y: int, text: str, units: Units) -> None:
    """A text at the edge beyond which worse values lie."""
    left = units.higher_is_better
    axes.annotate(
        f"◀ {text}" if left else f"{text} ▶", (0.006 if left else 0.994, y), xycoords=("axes fraction", "data"),
        fontsize=8.5, va="center", ha="left" if left else "right", zorder=5,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0, "alpha": 0.85},
    )  # fmt: skip


def _set_limits(axes: Axes, low: float, high: float, units: Units) -> None:
    """The limits of an axis of scores times ``units.sign``, on which the scores themselves rise to the right."""
    axes.set_xlim(*((low, high) if units.higher_is_better else (high, low)))


def _legend_of_scores(figure: Figure, summary: Summary, *, majority: bool) -> None:
    states = {trial.status for entry in summary.optimizers.values() for trial in entry.trials}
    handles = [Line2D([], [], color=QUIET, marker="o", linestyle="", label="a seed")]
    if len(summary.seeds) > 1:
        handles.append(Line2D([], [], color=INK, linewidth=2, label="mean"))
        handles.append(Line2D([], [], color=QUIET, linewidth=8, alpha=0.25, label="its 95 % interval"))
    if "did not learn" in states:
        handles.append(Line2D([], [], color=QUIET, marker="o", mfc="white", linestyle="", label="did not learn"))
    if states & {"diverged", "failed"}:
        handles.append(
            Line2D([], [], color=INK, marker="x", linestyle="", label=f"diverged or failed: {words.lost_as(summary)}")
        )
    if majority:
        handles.append(Line2D([], [], color=QUIET, linestyle=LINE_STYLES[2], linewidth=1.0, label="majority class"))
    columns = 3 if len(handles) > 4 else len(handles)
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, fontsize=8.5)
