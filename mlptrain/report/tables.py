"""Pictures of a network for a table: curves of its classes, and what its columns are worth."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from mlptrain.report.arrays import ClassCurves, PermutationImportance
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
    styled,
)
from mlptrain.system.text import shortened

_MAX_BARS = 20
_LETTERS = 32  # of a column's or a class's name
_LETTERS_PER_INCH = 12  # of a legend, its lines and gaps included


@styled
def draw_class_curves(found: ClassCurves, *, panel: tuple[float, float] = (4.6, 4.4), titled: bool = True) -> Figure:
    """The ROC curve of each class with its area, and beside it precision over recall, with the share of the class."""
    labels = [
        f"{shortened(curve.name, _LETTERS)}: area {curve.area:.4f}, average precision {curve.average_precision:.4f}"
        for curve in found.curves
    ]
    labels += ["a guess by chance", "share of the class, the precision of a guess by chance"]
    beside = len(found.curves) > 2 and max(map(len, labels)) <= _LETTERS_PER_INCH * panel[0]
    figure = new_figure(2 * panel[0], panel[1] + 0.22 * (len(found.curves) if beside else len(labels)))
    if titled:
        title = f"{found.label}: {found.rows:,} {found.split} examples"
        figure.suptitle(fitted(title, 2 * panel[0], size=12), x=0.01, ha="left")
    roc, precision = figure.add_subplot(1, 2, 1), figure.add_subplot(1, 2, 2)
    roc.plot([0, 1], [0, 1], color=INK, linewidth=0.9, linestyle=LINE_STYLES[1], zorder=1)
    for index, curve in enumerate(found.curves):
        look = {"color": colour(index), "linestyle": LINE_STYLES[index % len(LINE_STYLES)], "marker": marker(index)}
        for axes, x, y in (
            (roc, curve.false_positive, curve.true_positive),
            (precision, curve.recall, curve.precision),
        ):
            axes.plot(x, y, label=labels[index], markevery=marked(len(x), index), markersize=4, **look)
        precision.axhline(curve.share, color=colour(index), linewidth=0.9, linestyle=LINE_STYLES[2], zorder=1)
    rest = " (one against the rest)" if found.classes > 1 else f" of {shortened(found.curves[0].name, _LETTERS)}"
    roc.set_title(fitted(f"ROC curve{rest}", panel[0]))
    roc.set(xlabel="false positive rate (%)", ylabel="true positive rate (%)")
    precision.set(title="Precision and recall", xlabel="recall (%)", ylabel="precision (%)")
    for axes in (roc, precision):
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(percent_ticks())
    handles = roc.get_legend_handles_labels()[0]
    dashed, dotted = (
        roc.plot([], [], color=QUIET, linewidth=0.9, linestyle=style)[0] for style in (LINE_STYLES[1], LINE_STYLES[2])
    )
    figure.legend(
        [*handles, dashed, dotted],
        labels,
        loc="outside lower center",
        ncols=2 if beside else 1,
        handlelength=3.2,
    )
    return figure


@styled
def draw_importance(found: PermutationImportance, *, width: float = 7.2, titled: bool = True) -> Figure:
    """A bar for each of the most important columns: the mean increase of the loss, and its spread over the repeats."""
    order = found.order[:_MAX_BARS]
    figure = new_figure(width, 1.5 + 0.27 * len(order) + (0.5 if titled else 0))
    if titled:
        title = f"{found.label}: {found.rows:,} {found.split} rows"
        figure.suptitle(fitted(title, width, size=12), x=0.01, ha="left")
    axes = figure.add_subplot()
    mean, std = found.increase[order].mean(axis=1), found.increase[order].std(axis=1)
    places = np.arange(len(order))
    axes.barh(places, mean, color=colour(0), alpha=0.75, height=0.7)
    axes.errorbar(mean, places, xerr=std, fmt="none", ecolor=INK, elinewidth=1.1, capsize=2.5)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_yticks(places, [shortened(found.columns[column], _LETTERS) for column in order])
    axes.grid(visible=False, axis="y")
    axes.set_ylim(len(order) - 0.4, -0.6)
    axes.set_title(fitted(f"Permutation importance: mean and spread of {found.repeats} repeats", width - 1))
    which = f"\n{found.which}" if found.which else ""
    axes.set_xlabel(f"increase of the loss where the column is shuffled\n{found.loss}{which}")
    return figure
