"""Pictures of a comparison over epochs and over learning rates."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import ArrayLike

from mlptrain.report.arrays import FloatArray
from mlptrain.report.comparison.budgets import budgets
from mlptrain.report.comparison.rates import good_range, medians_by_rate, outcomes_by_rate
from mlptrain.report.comparison.units import Units
from mlptrain.report.comparison.words import describe_good_range, split_name, titled, what, wrapped
from mlptrain.report.curves import thinned
from mlptrain.report.style import (
    INK,
    LINE_STYLES,
    QUIET,
    colour,
    marked,
    new_figure,
    series,
    set_log_scale,
    set_log_ticks,
    set_title,
    styled,
)
from mlptrain.runs.comparison import Curve, OptimizerResult, Summary, Timings
from mlptrain.spec.metrics import higher_is_better

_TOGETHER = 6  # arms whose bands one panel can hold; more get a panel each
_WIDTH_OF_ONE, _WIDTH_OF_GRID = 60, 80  # letters of a title
_COLUMNS = 3
_PANEL = (2.55, 2.0)  # inches
_MANY, _SMALL_GRID, _WIDE_GRID = 16, (5, (1.6, 1.25)), (4, (2.4, 1.6))  # from so many panels on
_PANEL_LABELS = 8.5  # points
_BETWEEN_PANELS = 0.13  # inches
_MARGIN = 1.6  # times the highest rate, and a part of the lowest: where an axis of rates ends
_FAR_APART = 2.0  # times the decades of the arm that tried the most: from where on panels have axes of their own
_OTHERS = "#d5dae0"
_HALVED_FROM = 0.9  # the best accuracy from which the axis halves the error instead of counting points
_LEAST_ERROR = 5e-5
_LEAST_LOSS = 1e-100  # on a logarithmic axis; the smallest number of float32 is 1e-45
_TICKS = (0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.985, 0.99, 0.993, 0.995, 0.997, 0.998, 0.999, 0.9995, 0.9999)
_FEW_TICKS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999)


@styled
def draw_learning_curves(summary: Summary, metric: str, *, split: str | None = None) -> Figure:
    """Training loss, or a metric measured after every epoch: the mean over the seeds in the band of all of them.

    The axis holds the curves of all arms that learnt with some seed; one that did not may lie far beyond them.
    Up to six arms share a panel; of more, each has its own, with the others in grey. Trials that diverged or failed
    have no curve. ``split`` is by default that of ``curve_split``.
    """
    split = split or curve_split(summary, metric)
    key = f"{split}_{metric}"
    curves = {name: entry.curves[key] for name, entry in summary.ranked if key in entry.curves}
    held = [curve for name, curve in curves.items() if summary.optimizers[name].completed] or list(curves.values())
    low, high = min(min(curve.low) for curve in held), max(max(curve.high) for curve in held)
    beyond = [name for name, curve in curves.items() if min(curve.low) < low or max(curve.high) > high]
    units = Units(metric)
    logarithmic = not units.is_share and low >= _LEAST_LOSS and 10 * low <= high
    scale = " (log scale)" if logarithmic else ""
    kind = ", mean during the epoch," if split == "train" else ""
    title, x = f"{split_name(split)} {units.name}{kind} by epoch{scale}", "epoch (passes over the training rows)"
    y = {"accuracy": _accuracy_label(high), "loss": "loss (mean per example)"}.get(metric, units.title)
    more: list[Artist] = []
    if len(summary.seeds) > 1:
        more.append(Patch(color=QUIET, alpha=0.3, label="lowest to highest seed"))
    if beyond:
        names = wrapped(beyond[0]) if len(beyond) == 1 else f"{len(beyond)} {what(summary)}s"
        more.append(Line2D([], [], linestyle="", marker=r"^", color=QUIET, label=f"beyond the axis: {names}"))
    first = 0.5 if split == "train" else 0.0  # a mean during an epoch lies at its middle
    last = first + max(len(curve.mean) for curve in curves.values()) - 1
    around = 0.5 if last == first else 0.03 * (last - first)
    mean = Line2D([], [], color=INK, label="mean over the seeds")
    figure, panels = _panels(summary, curves, title, x=x, y=y, legend=[mean, *more])
    target = summary.target.value if summary.target is not None and summary.target.metric == key else None
    for alone, axes in panels.items():
        if alone is not None:
            _draw_others(axes, [curve for name, curve in curves.items() if name != alone], first)
        for name, curve in curves.items():
            if alone in (None, name):
                _draw_band(axes, curve, first, summary.number(name), label=wrapped(name))
        if target is not None:
            axes.axhline(target, color=QUIET, linestyle=LINE_STYLES[1], linewidth=1.0, label="target", zorder=1)
        axes.set_xlim(first - around, last + around)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6 if alone is None else 4, min_n_ticks=1))
        _set_scale(axes, Units(metric, higher_is_better(metric)), low, high, logarithmic=logarithmic)
        if alone is not None and (not logarithmic or high >= 100 * low):  # powers of ten alone are enough
            axes.yaxis.set_minor_locator(NullLocator())
    _name_curves(figure, panels, more)
    return figure


def curve_split(summary: Summary, metric: str) -> str:
    """The split whose curve stands for ``metric``: training for the loss, the measured one for all others."""
    known = {key for entry in summary.optimizers.values() for key in entry.curves}
    splits = ("train",) if metric == "loss" else ("validation", "test", "train")
    return next(split for split in splits if f"{split}_{metric}" in known)


def curves_of(summary: Summary) -> list[str]:
    """The curves that are shown: the loss while training, and the metric where it is measured after every epoch."""
    known = {key for entry in summary.optimizers.values() for key in entry.curves}
    key = Units.of(summary).key
    splits = ("validation", "test") if key == "loss" else ("validation", "test", "train")
    measured = [f"{split}_{key}" for split in splits if f"{split}_{key}" in known]
    return [*(["train_loss"] if "train_loss" in known else []), *measured[:1]]


@styled
def draw_learning_rates(summary: Summary) -> Figure:
    """The validation score over every tried learning rate, a panel for each arm that tuned it.

    Dots are tuning seeds, the line goes through their medians, the band is the good range.
    """
    units = Units.of(summary)
    shown = [(name, entry) for name, entry in summary.ranked if medians_by_rate(entry)]
    values = [value for _, entry in shown for value in entry.tuning_accuracies if value is not None]
    windows = _windows([list(medians_by_rate(entry)) for _, entry in shown])
    own = len({*windows}) > 1
    low, high = min(values, default=0.0), max(values, default=1.0)
    width = _WIDTH_OF_GRID if len(shown) > 2 else _WIDTH_OF_ONE
    figure, panels = _grid(
        [f"{wrapped(name)}\n{describe_good_range(entry, units)}" for name, entry in shown],
        x="learning rate (logarithmic scale" + ("; every panel has its own, equally wide)" if own else ")"),
        y=_accuracy_label(high) if units.key == "accuracy" else units.axis,
        title=titled(summary, f"validation {units.name} by learning rate", width=width),
        legend=_legend_of_rates(shown),
        wide=True,  # room for what the titles say
        own_x=own,
    )
    for axes, (name, entry), ends in zip(panels, shown, windows, strict=True):
        axes.set_xscale("log")
        axes.set_xlim(*ends)
        _set_scale(axes, units, low, high, below=0.12)
        _draw_rates(axes, entry, summary.number(name), units)
        inches = axes.get_position().width * figure.get_figwidth()
        set_log_ticks(axes.xaxis, *ends, inches=inches, size=_PANEL_LABELS, beyond=_BETWEEN_PANELS / 3)
    return figure


@styled
def draw_budgets(summary: Summary, timings: Timings, *, over: Literal["trials", "seconds"] = "trials") -> Figure:
    """The expected best validation score of every arm by how much of its tuning is done, in trials or in seconds.

    Up to six arms share a panel; of more, each has its own, with the others in grey. The ring is at half the budget.
    """
    units, known = Units.of(summary), budgets(summary, timings)
    lines: dict[str, tuple[FloatArray, FloatArray, tuple[float, float]]] = {}
    for name, budget in known.items():
        step = budget.trials if over == "trials" else budget.seconds
        if step is not None:
            at = step * np.arange(1.0, len(budget.best) + 1)
            lines[name] = at, np.array(budget.best), (step * budget.half, budget.of_half)
    low = min(min(y) for _, y, _ in lines.values())
    high = max(max(y) for _, y, _ in lines.values())
    title = f"expected best validation {units.name} by {'tuning trials' if over == 'trials' else 'seconds of tuning'}"
    x = {"trials": "tuning trials, settings in a random order", "seconds": "seconds of tuning, one trial after another"}
    y = _accuracy_label(high) if units.key == "accuracy" else units.axis
    half = Line2D([], [], marker="o", markersize=8, mfc="none", mec=INK, linestyle="", label="half the budget")
    figure, panels = _panels(summary, lines, title, x=x[over], y=y, legend=[half])
    most = max(max(x) for x, _, _ in lines.values())
    for alone, axes in panels.items():
        axes.set_xlim(0, 1.04 * most)
        _set_scale(axes, units, low, high)
        if alone is not None:
            grey = [np.column_stack(line[:2]) for name, line in lines.items() if name != alone]
            axes.add_collection(LineCollection(grey, colors=_OTHERS, linewidths=0.8, zorder=1))
            axes.yaxis.set_minor_locator(NullLocator())
        for name, (at, best, half_way) in lines.items():
            if alone in (None, name):
                axes.plot(at, best, markersize=4.2, label=wrapped(name), zorder=3, **series(summary.number(name)))
                axes.plot(*half_way, "o", markersize=9, mfc="none", mec=INK, mew=1.3, zorder=4)
        axes.xaxis.set_major_locator(MaxNLocator(integer=over == "trials", nbins=6 if alone is None else 4))
    _name_curves(figure, panels, [half])
    return figure


def _panels(
    summary: Summary, names: Collection[str], title: str, *, x: str, y: str, legend: Sequence[Artist]
) -> tuple[Figure, dict[str | None, Axes]]:
    """One panel, under None, for a few arms; else one for each, by its name, with the others in grey and a legend."""
    if len(names) <= _TOGETHER:
        figure = new_figure(5.6, 4.1)
        figure.set_layout_engine("constrained", w_pad=0.09, h_pad=0.06)
        axes = figure.add_subplot()
        axes.set(xlabel=x, ylabel=y)
        set_title(figure, titled(summary, title, width=_WIDTH_OF_ONE))
        return figure, {None: axes}
    handles = [*legend, Line2D([], [], color=_OTHERS, label=f"the other {what(summary)}s")]
    title = titled(summary, title, width=_WIDTH_OF_GRID)
    figure, grid = _grid(list(map(wrapped, names)), x=x, y=y, title=title, legend=handles)
    return figure, dict(zip(names, grid, strict=True))


def _name_curves(figure: Figure, panels: Mapping[str | None, Axes], more: Sequence[Artist]) -> None:
    """The legend of a panel that several arms share, with what else it needs."""
    if None in panels:
        handles = [*panels[None].get_legend_handles_labels()[0], *more]
        figure.legend(handles=handles, loc="outside lower center", ncols=3, handlelength=3.2, fontsize=8.5)


def _grid(
    titles: Sequence[str],
    *,
    x: str,
    y: str,
    title: str,
    legend: Sequence[Artist],
    wide: bool = False,
    own_x: bool = False,
) -> tuple[Figure, list[Axes]]:
    """Panels under their titles, row by row, with one name for all x-axes, one for all y-axes, and one legend.

    With ``own_x`` every x-axis has its labels, else the lowest of each column.
    Placed by hand: for fifteen panels matplotlib's constrained layout takes longer than drawing them.
    """
    columns, panel = (_COLUMNS, _PANEL) if len(titles) < _MANY else _WIDE_GRID if wide else _SMALL_GRID
    columns = min(columns, len(titles))
    rows = math.ceil(len(titles) / columns)
    width = max(panel[0] * columns + 0.9, 5.6)
    above = [  # inches of the panels' titles, by row
        0.16 * max(one.count("\n") + 1 for one in titles[row * columns : (row + 1) * columns]) + (0.4 if own_x else 0.2)
        for row in range(rows)
    ]
    top, bottom = 0.24 * (title.count("\n") + 1) + 0.06, 0.95
    height = rows * panel[1] + sum(above) + top + bottom
    figure = new_figure(width, height)
    figure.set_layout_engine(None)
    across = (width - 0.75 - 0.12) / columns
    panels = []
    for index, one in enumerate(titles):
        row, column = divmod(index, columns)
        left, low = 0.75 + column * across, height - top - sum(above[: row + 1]) - (row + 1) * panel[1]
        axes = figure.add_axes((left / width, low / height, (across - _BETWEEN_PANELS) / width, panel[1] / height))
        axes.set_title(one, fontsize=9 if columns == _COLUMNS else 8, pad=4)
        is_lowest = index + columns >= len(titles)
        axes.tick_params(which="both", labelleft=column == 0, labelbottom=own_x or is_lowest, labelsize=_PANEL_LABELS)
        panels.append(axes)
    figure.suptitle(title, x=0.01, y=1 - 0.06 / height, ha="left", va="top", fontsize=10.5)
    figure.supxlabel(x, y=0.38 / height, va="bottom", fontsize=9.5)
    figure.supylabel(y, x=0.02, fontsize=9.5)
    figure.legend(handles=legend, loc="lower center", ncols=len(legend), fontsize=8.5)
    return figure, panels


def _draw_band(axes: Axes, curve: Curve, first: float, index: int, *, label: str) -> None:
    epochs = np.arange(first, first + len(curve.mean))
    axes.fill_between(epochs, curve.low, curve.high, color=colour(index), alpha=0.13, linewidth=0, zorder=2)
    x, y = _line(curve, first)
    axes.plot(x, y, markevery=marked(len(x), index), markersize=4.2, label=label, zorder=3, **series(index))


def _line(curve: Curve, first: float) -> tuple[FloatArray, FloatArray]:
    return thinned(np.arange(first, first + len(curve.mean), dtype=np.float64), np.array(curve.mean))


def _draw_others(axes: Axes, curves: Sequence[Curve], first: float) -> None:
    lines = [np.column_stack(_line(curve, first)) for curve in curves]
    axes.add_collection(LineCollection(lines, colors=_OTHERS, linewidths=0.8, zorder=1))


def _set_scale(
    axes: Axes, units: Units, low: float, high: float, *, below: float = 0.0, logarithmic: bool = False
) -> None:
    """The axis of a metric from the lowest to the highest value; ``below`` as of ``_set_accuracy_scale``."""
    if units.halves_errors:
        _set_accuracy_scale(axes, low, high, below=below)
        return
    _set_loss_scale(axes, low, high, logarithmic=logarithmic)
    if units.is_share:
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g}"))


def _set_loss_scale(axes: Axes, low: float, high: float, *, logarithmic: bool) -> None:
    if logarithmic:
        set_log_scale(axes)
        axes.set_ylim(low / (high / low) ** 0.04, high * (high / low) ** 0.04)
    else:
        margin = 0.04 * (high - low) or 0.01
        axes.set_ylim(low - margin, high + margin)


def _set_accuracy_scale(axes: Axes, low: float, high: float, *, below: float = 0.0) -> None:
    """Per cent; where the best accuracy is 90 % or more, a step up halves the error, so that 98 and 99 lie apart.

    ``below`` is a share of the axis that stays free under the lowest value.
    """
    scaled, back = (_halvings, _from_halvings) if high >= _HALVED_FROM else (np.asarray, np.asarray)
    bottom, top = float(scaled(low)), float(scaled(high))
    margin = 0.05 * (top - bottom) or 0.01
    lowest, highest = float(back(bottom - margin - below * (top - bottom))), float(back(top + margin))
    if high >= _HALVED_FROM:
        axes.set_yscale("function", functions=(_halvings, _from_halvings))
        # Those that show: matplotlib makes three lines and two texts of every other one too.
        ticks = [tick for tick in (_TICKS if low > 0.7 else _FEW_TICKS) if lowest <= tick <= highest]
        axes.yaxis.set_major_locator(FixedLocator(ticks))
        axes.yaxis.set_minor_locator(NullLocator())
    axes.set_ylim(lowest, highest)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g}"))


def _accuracy_label(best: float) -> str:
    return f"accuracy (%{'; logarithmic in the error' if best >= _HALVED_FROM else ' of examples'})"


def _halvings(accuracy: ArrayLike) -> FloatArray:
    """How often the error is halved, from 1 on; the smallest distinguishable error is 1 in 20,000."""
    return -np.log2(np.maximum(1 - np.asarray(accuracy, dtype=np.float64), _LEAST_ERROR))


def _from_halvings(halvings: ArrayLike) -> FloatArray:
    return 1 - np.exp2(-np.asarray(halvings, dtype=np.float64))


def _windows(rates: Sequence[Sequence[float]]) -> list[tuple[float, float]]:
    """The ends of each panel's axis of rates, all of the same width in decades, so that good ranges compare.

    All from the lowest to the highest rate of all, unless that is far wider than what any arm tried: then each is
    centred on its own.
    """
    low, high = min(map(min, rates)), max(map(max, rates))
    widest = max(max(tried) / min(tried) for tried in rates)
    if math.log(high / low) <= _FAR_APART * math.log(widest):
        return [(low / _MARGIN, high * _MARGIN)] * len(rates)
    half = math.sqrt(widest) * _MARGIN
    middles = [math.sqrt(min(tried) * max(tried)) for tried in rates]
    return [(middle / half, middle * half) for middle in middles]


def _draw_rates(axes: Axes, entry: OptimizerResult, index: int, units: Units) -> None:
    good, medians = good_range(entry, units), medians_by_rate(entry, units)
    if good is not None:
        axes.axvspan(good.low / 1.02, good.high * 1.02, color=colour(index), alpha=0.16, linewidth=0, zorder=0)
    tried = [(rate, value) for rate, accuracies in outcomes_by_rate(entry) for value in accuracies]
    dots = np.array([(rate, value) for rate, value in tried if value is not None]).reshape(-1, 2)
    axes.plot(*dots.T, ".", color=colour(index), alpha=0.75, zorder=3)
    lost, foot = [rate for rate, value in tried if value is None], axes.get_xaxis_transform()
    axes.plot(lost, [0.06] * len(lost), "x", color=INK, markersize=4.5, zorder=3, transform=foot)
    finite = {rate: value for rate, value in medians.items() if math.isfinite(value)}
    axes.plot(list(finite), list(finite.values()), color=colour(index), linewidth=1.4, zorder=2)
    if (chosen := entry.rate) in finite and chosen is not None:
        axes.plot([chosen], [finite[chosen]], "o", markersize=9, mfc="none", mec=INK, mew=1.3, zorder=4)


def _legend_of_rates(shown: Sequence[tuple[str, OptimizerResult]]) -> list[Artist]:
    handles: list[Artist] = [
        Line2D([], [], color=QUIET, marker=".", linestyle="", label="a tuning seed"),
        Line2D([], [], color=QUIET, label="median"),
        Line2D([], [], marker="o", markersize=8, mfc="none", mec=INK, linestyle="", label="chosen"),
        Patch(color=QUIET, alpha=0.3, label="good range"),
    ]
    if any(None in entry.tuning_accuracies for _, entry in shown):
        handles.append(Line2D([], [], color=INK, marker="x", linestyle="", label="did not last"))
    return handles
