"""Loss and accuracy of one or several runs, by epoch or by step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from mlptrain.errors import UserError
from mlptrain.report.arrays import FloatArray
from mlptrain.report.history import SPLITS, History
from mlptrain.report.style import LINE_STYLES, colour, marked, marker, new_figure, series, set_log_scale, styled

Metric = Literal["loss", "accuracy"]

_POSITIONS = {"epoch": "epoch (passes over the training rows)", "step": "step (batches trained on)"}
_MAX_POINTS = 1500  # of a line: more than a picture has pixels, and an SVG would grow with every epoch
_PANEL = (5.2, 4.3)  # inches


@styled
def draw_curves(
    histories: Sequence[History],
    *,
    metrics: Sequence[Metric] = ("loss", "accuracy"),
    panel: tuple[float, float] = _PANEL,
    titled: bool = True,
) -> Figure:
    """Loss and accuracy by epoch, a panel each: runs differ in colour and marker, splits in line style.

    Loss has a logarithmic axis where it spans a decade or more. Regression has no accuracy and so one panel. ``panel``
    is a panel's size in inches; ``titled`` names a single run above. Raises UserError where no run has the metrics.
    """
    alone = len(histories) == 1
    dashed = any(f"{split}_loss" in history.values for split in SPLITS[1:] for history in histories)
    figure = _figure(histories, metrics, panel, partial(_draw_history, alone=alone, dashed=dashed))
    if titled and alone:
        figure.suptitle(f"{histories[0].label}{_state(histories[0])}", x=0.01, ha="left")
    return figure


@styled
def draw_steps(histories: Sequence[History]) -> Figure:
    """Training loss and accuracy of every step: faint as measured, and strong their running mean."""
    return _figure(histories, ("loss", "accuracy"), _PANEL, _draw_steps)


def _figure(
    histories: Sequence[History], metrics: Sequence[Metric], panel: tuple[float, float], draw: Callable[..., None]
) -> Figure:
    """A panel for each metric that there is, with ``draw(axes, history, key, number=)`` for every line."""
    shown = [metric for metric in metrics if any(_keys(history, metric) for history in histories)]
    if not shown:
        raise UserError(f"no run has {' or '.join(metrics)} to draw")
    figure = new_figure(panel[0] * len(shown), panel[1])
    for index, metric in enumerate(shown):
        axes = figure.add_subplot(1, len(shown), index + 1)
        for number, history in enumerate(histories):
            for key in _keys(history, metric):
                draw(axes, history, key, number=number)
        _finish(axes, histories, metric)
    _legend(figure)
    return figure


def _draw_history(axes: Axes, history: History, key: str, *, number: int, alone: bool, dashed: bool) -> None:
    split = key.partition("_")[0]
    index = (0 if split == "train" else 1) if alone else number
    x, y = thinned(*history.values[key])
    name = "training" if split == "train" else split
    axes.plot(
        x,
        y,
        color=colour(index),
        marker=marker(index),
        markevery=marked(len(x), number),
        markerfacecolor="white" if split == "train" else colour(index),
        linestyle=LINE_STYLES[1 if dashed and split == "train" else 0],
        label=name if alone else f"{history.label}, {name}{_state(history)}",
        zorder=3 + SPLITS.index(split),
    )


def _draw_steps(axes: Axes, history: History, key: str, *, number: int) -> None:
    x, y = history.values[key]
    window = max(1, len(y) // 60)
    name = f"{history.label}{_state(history)}"
    axes.plot(*thinned(x, y), color=colour(number), linewidth=0.6, alpha=0.3, zorder=2, label=f"{name}, single steps")
    means = np.convolve(y, np.ones(window) / window, mode="valid")
    at, mean = thinned(x[window - 1 :], means)
    label = f"{name}, mean of the last {window} steps"
    axes.plot(at, mean, linewidth=1.9, markevery=marked(len(at), 0), label=label, zorder=3, **series(number))


def thinned(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """At most 1,500 of the points (n,), with the lowest and highest of every stretch, so that no spike is lost."""
    if len(x) <= _MAX_POINTS:
        return x, y
    chosen = {0, len(x) - 1}
    for stretch in np.array_split(np.arange(len(x)), _MAX_POINTS // 2 - 1):
        chosen |= {int(stretch[y[stretch].argmin()]), int(stretch[y[stretch].argmax()])}
    kept = np.array(sorted(chosen))
    return x[kept], y[kept]


def _finish(axes: Axes, histories: Sequence[History], metric: Metric) -> None:
    by = histories[0].unit
    title, name = f"{metric.capitalize()} by {by}", "accuracy (% of examples)"
    if metric == "loss":
        names = {history.loss for history in histories}
        name = names.pop() if len(names) == 1 else "loss (each run's own, per example)"
        losses = np.concatenate([history.values[key][1] for history in histories for key in _keys(history, metric)])
        if 0 < 10 * losses.min() <= losses.max():
            set_log_scale(axes)
            title += " (logarithmic scale)"
    else:
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, symbol=""))
    axes.set(title=title, xlabel=_POSITIONS[by], ylabel=name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins="auto", min_n_ticks=1))
    axes.margins(x=0.02)
    low, high = axes.get_xlim()
    if high - low < 1:  # a single epoch
        axes.set_xlim(low - 0.5, high + 0.5)


def _legend(figure: Figure) -> None:
    """One legend below all panels: what has a line in several of them is named once."""
    lines: dict[str, Line2D] = {}
    for axes in figure.axes:
        for line in axes.get_lines():
            lines.setdefault(str(line.get_label()), line)
    width = max(map(len, lines))
    columns = max(1, min(len(lines), int(figure.get_figwidth() * 12.5) // (width + 8)))
    figure.legend(list(lines.values()), list(lines), loc="outside lower center", ncols=columns, handlelength=3.2)


def _keys(history: History, metric: Metric) -> list[str]:
    return [f"{split}_{metric}" for split in SPLITS if f"{split}_{metric}" in history.values]


def _state(history: History) -> str:
    return "" if history.status == "completed" else f" ({history.status})"
