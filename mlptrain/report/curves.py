"""Loss, accuracy and further figures of one or several runs, by epoch or by step."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from mlptrain.errors import UserError
from mlptrain.keys import SPLITS, metrics_among, split_of
from mlptrain.report.arrays import FloatArray
from mlptrain.report.history import History
from mlptrain.report.style import (
    INK,
    LINE_STYLES,
    QUIET,
    colour,
    fitted,
    marked,
    marker,
    new_figure,
    percent_ticks,
    series,
    set_log_scale,
    styled,
)
from mlptrain.spec.metrics import higher_is_better, is_share, title_of

# What the figures of a split are: those of training were taken from weights that changed on the way.
SPLIT_NAMES = {
    "train": "train, mean during the epoch",
    "validation": "validation, at the epoch's end",
    "test": "test, at the epoch's end",
}
_POSITIONS = {"epoch": "epoch (passes over the training rows)", "step": "step (batches trained on)"}
_MAX_POINTS = 1500  # of a line: more than a picture has pixels, and an SVG would grow with every epoch
_PANEL = (5.2, 4.3)  # inches
_LEGEND_ROW = 0.2  # inches; a panel has room for two
_GUESS = "constant guess"
ALWAYS = ("loss", "accuracy")  # what every classifier is measured at, and every step of a training


@dataclass(frozen=True)
class Look:
    """How curves are drawn: ``log`` is the scale of the loss, None for what suits it.

    ``limits`` of an axis (low, high), accuracies as fractions, by metric; ``guess`` is whether a line shows what a
    constant guess gives.
    """

    log: bool | None = None
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    guess: bool = True


@styled
def draw_curves(
    histories: Sequence[History],
    *,
    metrics: Sequence[str] | None = None,
    panel: tuple[float, float] = _PANEL,
    titled: bool = True,
    look: Look = Look(),
) -> Figure:
    """Loss, accuracy and further figures by epoch, a panel each: runs differ in colour and marker, splits in style.

    A group of seeds or folds is drawn as their mean, in a band from the lowest to the highest. Loss has a logarithmic
    axis where it spans a decade or more. Regression has no accuracy and so one panel. ``panel`` is a panel's size in
    inches; ``titled`` names the runs and their data above. Raises UserError where no run has the metrics, or none that
    a logarithmic axis can show.
    """
    figure, axes_of = _panels(histories, metrics or metrics_of(histories), panel, titled=titled)
    alone = len(histories) == 1
    styles = _split_styles(histories)
    for metric, axes in axes_of.items():
        for number, history in enumerate(histories):
            for key in _keys(history, metric):
                split = split_of(key)
                index = (0 if split == "train" else 1) if alone else number
                x, y = history.values[key]
                if history.members:
                    _band(axes, x, [run.values[key][1][: len(x)] for run in history.members], index)
                x, y = thinned(x, y)
                axes.plot(
                    x,
                    y,
                    color=colour(index),
                    marker=marker(index),
                    markevery=marked(len(x), number),
                    markerfacecolor="white" if split == "train" else colour(index),
                    linestyle=styles[split],
                    label=SPLIT_NAMES[split] if alone else f"{history.label}{_state(history)}",
                    zorder=3 + SPLITS.index(split),
                )
        if alone:
            _mark(axes, histories[0])
        _finish(axes, histories, metric, look, letters=int(13 * panel[1] - 18))
    _legend(figure, [] if alone else _keys_of_several(histories, styles), histories)
    return figure


@styled
def draw_steps(
    histories: Sequence[History],
    *,
    metrics: Sequence[str] = ALWAYS,
    panel: tuple[float, float] = _PANEL,
    titled: bool = True,
    look: Look = Look(),
) -> Figure:
    """Training loss and accuracy of every step: faint as measured, and strong their running mean.

    Of a group of seeds or folds the mean over their running means, in the band of these. Otherwise as ``draw_curves``.
    """
    figure, axes_of = _panels(histories, metrics, panel, titled=titled)
    alone = len(histories) == 1
    for metric, axes in axes_of.items():
        for number, history in enumerate(histories):
            for key in _keys(history, metric):
                x, y = history.values[key]
                window = max(1, len(y) // 60)
                name = "" if alone else f"{history.label}{_state(history)}, "
                if history.members:
                    smooth = [_smoothed(run.values[key][1][: len(x)], window) for run in history.members]
                    _band(axes, x[window - 1 :], smooth, number)
                else:
                    label = f"{name}single steps"
                    axes.plot(*thinned(x, y), label=label, color=colour(number), linewidth=0.6, alpha=0.3, zorder=2)
                at, mean = thinned(x[window - 1 :], _smoothed(y, window))
                label = f"{name}mean of the last {window} steps"
                axes.plot(
                    at, mean, linewidth=1.9, markevery=marked(len(at), 0), label=label, zorder=3, **series(number)
                )
        _finish(axes, histories, metric, look, letters=int(13 * panel[1] - 18))
    _legend(figure, [], histories)
    return figure


def metrics_of(histories: Sequence[History]) -> list[str]:
    """Loss and accuracy, and the further figures that any of the runs has, such as ``roc_auc``."""
    return list(dict.fromkeys([*ALWAYS, *metrics_among(key for one in histories for key in one.values)]))


def _panels(
    histories: Sequence[History], metrics: Sequence[str], panel: tuple[float, float], *, titled: bool
) -> tuple[Figure, dict[str, Axes]]:
    """A panel for each metric that there is, at most three in a row, or four in two rows."""
    shown = [metric for metric in metrics if any(_keys(history, metric) for history in histories)]
    if not shown:
        raise UserError(f"no run has {' or '.join(metrics)} to draw")
    columns = min(len(shown), 2 if len(shown) == 4 else 3)
    rows = -(-len(shown) // columns)
    width = panel[0] * columns
    figure = new_figure(width, panel[1] * rows)
    if titled:
        figure.suptitle(fitted(_title(histories), width, size=12), x=0.01, ha="left")
    return figure, {metric: figure.add_subplot(rows, columns, index + 1) for index, metric in enumerate(shown)}


def _title(histories: Sequence[History]) -> str:
    """Which runs, which data: the label of one, the number of several."""
    data = ", ".join(dict.fromkeys(history.data for history in histories if history.data))
    one = histories[0]
    over = f", mean over {len(one.members)} {one.word}s" if one.members else ""
    groups = Counter(history.word for history in histories if history.members)
    runs = len(histories) - groups.total()
    parts = [f"{runs} run{'s' * (runs > 1)}"] * (runs > 0)
    parts += [f"{count} group{'s' * (count > 1)} of {word}s" for word, count in groups.items()]
    several = " and ".join(parts)
    who = f"{one.label}{over}{_state(one)}" if len(histories) == 1 else several
    return f"{who}, data {data}" if data else who


def _split_styles(histories: Sequence[History]) -> dict[str, Any]:
    """The line style of each split that has figures; training is dashed beside others."""
    known = {split_of(key) for history in histories for key in history.values}
    measured = [split for split in SPLITS[1:] if split in known]
    styles = dict(zip(measured, (LINE_STYLES[0], LINE_STYLES[2]), strict=False))
    return ({"train": LINE_STYLES[1 if measured else 0]} if "train" in known else {}) | styles


def _band(axes: Axes, x: FloatArray, seeds: Sequence[FloatArray], index: int) -> None:
    """From the lowest to the highest of the seeds' values, each (n,), at ``x`` (n,)."""
    low, high = np.min(seeds, axis=0), np.max(seeds, axis=0)
    parts = np.array_split(np.arange(len(x)), min(len(x), _MAX_POINTS))
    at, bottom, top = x[[part[0] for part in parts]], [low[p].min() for p in parts], [high[p].max() for p in parts]
    axes.fill_between(at, bottom, top, color=colour(index), alpha=0.18, linewidth=0, zorder=1.5)


def _mark(axes: Axes, history: History) -> None:
    """Upright lines at the epochs of note."""
    for epoch, what in history.marks.items():
        style = LINE_STYLES[3 if what == "kept" else 2]
        axes.axvline(epoch, color=INK, linestyle=style, linewidth=1.1, zorder=1.9, label=f"{what}: epoch {epoch:,}")


def _smoothed(y: FloatArray, window: int) -> FloatArray:
    """Means of ``window`` values in a row, (n − window + 1,)."""
    return np.convolve(y, np.ones(window) / window, mode="valid")


def thinned(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """At most 1,500 of the points (n,), with the lowest and highest of every stretch, so that no spike is lost."""
    if len(x) <= _MAX_POINTS:
        return x, y
    chosen = {0, len(x) - 1}
    for stretch in np.array_split(np.arange(len(x)), _MAX_POINTS // 2 - 1):
        chosen |= {int(stretch[y[stretch].argmin()]), int(stretch[y[stretch].argmax()])}
    kept = np.array(sorted(chosen))
    return x[kept], y[kept]


def _finish(axes: Axes, histories: Sequence[History], metric: str, look: Look, letters: int) -> None:
    """Scale, limits, guess, names and title of a panel whose curves are drawn, and which is so many letters high."""
    by = histories[0].unit
    name = "loss" if metric == "loss" else title_of(metric)
    title = f"{plain_name(metric)} by {by}"
    lowest, highest = look.limits.get(metric, (-np.inf, np.inf))
    guesses = [guess for guess in _guesses(histories, metric) if look.guess and lowest <= guess[0] <= highest]
    if metric == "loss":
        names = {history.loss for history in histories}
        name = names.pop() if len(names) == 1 else "loss (each run's own, mean per example)"
    if is_share(metric):
        axes.yaxis.set_major_formatter(percent_ticks())
    elif not higher_is_better(metric):
        values = [history.values[key][1] for history in histories for key in _keys(history, metric)]
        own = look if metric == "loss" else Look()
        title += _scale_loss(axes, np.concatenate([*values, [value for value, _, _ in guesses]]), own)
    for value, text, shade in guesses:
        axes.axhline(value, color=shade, linestyle=LINE_STYLES[2], linewidth=1.3, zorder=1.8, label=text)
    axes.set(title=title, xlabel=_POSITIONS[by], ylabel=textwrap.fill(name, letters))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins="auto", steps=[1, 2, 5, 10], min_n_ticks=1))
    axes.margins(x=0.02)
    start, end = axes.get_xlim()
    if end - start < 1:  # a single epoch
        axes.set_xlim(start - 0.5, end + 0.5)
    if metric in look.limits:
        axes.set_ylim(*look.limits[metric])


def plain_name(metric: str) -> str:
    """``Loss``, ``ROC-AUC``, ``Top-5 accuracy``: the metric's title without its unit."""
    name = within(metric)
    return name[:1].upper() + name[1:]


def within(metric: str) -> str:
    """The same within a sentence: ``loss``, ``ROC-AUC``."""
    return title_of(metric).partition(" (")[0]


def _scale_loss(axes: Axes, losses: FloatArray, look: Look) -> str:
    """Set the scale; what the title says of it."""
    lowest = look.limits.get("loss", (losses.min(), 0))[0]
    if not (lowest > 0 and 0 < 10 * losses.min() <= losses.max() if look.log is None else look.log):
        return ""
    if losses.max() <= 0:
        raise UserError("no loss is above 0, and a logarithmic axis shows no other; draw it with --linear")
    set_log_scale(axes, hide=True)
    return " (logarithmic scale)" if losses.min() > 0 else " (logarithmic scale; losses of 0 are not shown)"


def _guesses(histories: Sequence[History], metric: str) -> Iterator[tuple[float, str, str]]:
    """Value, text and colour of every line at a constant guess; runs whose values are nearly equal share a line."""
    alike: list[list[int]] = []
    known = [number for number, history in enumerate(histories) if metric in history.guess and _keys(history, metric)]
    for number in sorted(known, key=lambda number: histories[number].guess[metric]):
        value = histories[number].guess[metric]
        near = 0.005 if metric == "accuracy" else 0.01 * value  # seeds draw other training rows of the same data
        if alike and value - histories[alike[-1][0]].guess[metric] <= near:
            alike[-1].append(number)
        else:
            alike.append([number])
    for numbers in alike:
        values = [histories[number].guess[metric] for number in numbers]
        value, about = float(np.mean(values)), "about " if max(values) > min(values) else ""
        what = f"loss {about}{value:.4g}" if metric == "loss" else f"most frequent class: {about}{100 * value:.3g} %"
        whose = "" if len(alike) == 1 else ", ".join([*(histories[number].label for number in numbers[:3]), ""])
        yield value, f"{whose}{_GUESS} ({what})", QUIET if len(alike) == 1 else colour(numbers[0])


def _keys_of_several(histories: Sequence[History], styles: Mapping[str, Any]) -> list[Line2D]:
    """What colours and markers stand for, and in grey the line styles."""
    runs = [
        Line2D([], [], color=colour(number), marker=marker(number), label=f"{history.label}{_state(history)}")
        for number, history in enumerate(histories)
    ]
    splits = [
        Line2D([], [], color=QUIET, linestyle=style, marker="o", label=SPLIT_NAMES[split])
        for split, style in styles.items()
    ]
    for line, split in zip(splits, styles, strict=True):
        line.set_markerfacecolor("white" if split == "train" else QUIET)
    return runs + splits


def _legend(figure: Figure, keys: Sequence[Line2D], histories: Sequence[History]) -> None:
    """One legend below all panels: what has a line in several of them is named once, or ``keys`` stand for them."""
    drawn = [line for axes in figure.axes for line in axes.get_lines()]
    guesses = {str(line.get_label()): line for line in drawn if f"{_GUESS} (" in str(line.get_label())}
    lines: dict[str, Artist] = {}
    for line in keys or [line for line in drawn if line not in guesses.values()]:
        if (label := str(line.get_label())) not in guesses:
            lines.setdefault(label, line)
    if counts := sorted({(history.word, len(history.members)) for history in histories if history.members}):
        these = " or ".join(f"{count} {word}s" for word, count in counts)
        lines[f"band: lowest to highest of {these}"] = Patch(color=QUIET, alpha=0.3)
    lines |= guesses
    width = max(map(len, lines))
    columns = max(1, min(len(lines), int(figure.get_figwidth() * 12.5) // (width + 8)))
    rows = -(-len(lines) // columns)
    figure.set_figheight(figure.get_figheight() + _LEGEND_ROW * max(0, rows - 2))
    figure.legend(list(lines.values()), list(lines), loc="outside lower center", ncols=columns, handlelength=3.2)


def _keys(history: History, metric: str) -> list[str]:
    return [f"{split}_{metric}" for split in SPLITS if f"{split}_{metric}" in history.values]


def _state(history: History) -> str:
    return "" if history.status == "completed" else f" ({history.status})"
