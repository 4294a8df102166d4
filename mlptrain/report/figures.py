"""Pictures of activations, of the plane, of counts: arrays in, a figure out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from mlptrain.report.arrays import (
    ActivationCurve,
    Confusion,
    DecisionMap,
    FittedCurve,
    FloatArray,
    InputHistogram,
    LabelledPoints,
    Rates,
    ReliabilityDiagram,
    ReliabilityMoment,
    Residuals,
)
from mlptrain.report.style import (
    INK,
    LINE_STYLES,
    QUIET,
    class_colours,
    colour,
    fitted,
    marker,
    new_figure,
    percent_ticks,
    set_log_scale,
    styled,
)
from mlptrain.system.text import printable, shortened

_ORDER_NAMES = ("function", "gradient", "2nd derivative", "3rd derivative")
_PANEL_COLUMNS = 4
_FITS_BESIDE = 3  # names of lines in a row of the legend
_MAX_TARGETS = 4  # of a regression that have room
_MAX_COUNTED = 25  # classes of a confusion matrix whose cells have room for a number
_LETTERS = 32  # of a class's name beside a confusion matrix
_SHORT = 10  # letters of a name that need no room of their own
_INCH_PER_LETTER = 0.075
_SLANT = 40  # degrees, of long names below a confusion matrix
_PALE = 0.5  # of white over the probabilities, so that points stand out


@styled
def draw_activations(curves: Sequence[ActivationCurve], *, shared: bool = False, overlay: bool = False) -> Figure:
    """Every activation beside its gradient, a panel each; with higher derivatives all in one panel each.

    With ``overlay`` it is the other way round: a panel for the functions and one for every derivative, with a line for
    each activation. ``shared`` gives all panels one y-axis.
    """
    orders = len(curves[0].values)
    count, inches = (orders, (4.6, 3.6)) if overlay else (len(curves), (3.5, 3.2))
    figure, panels = _panels(count, *((6.8, 4.4) if count == 1 else inches), shared=shared)
    for axes, leftmost in panels:
        axes.axhline(0, color=INK, linewidth=0.7)
        axes.axvline(0, color=INK, linewidth=0.7)
        axes.set(xlabel="input z (no unit)", ylabel="value (no unit)" if leftmost else "")
    for number, curve in enumerate(curves):
        for order, values in enumerate(curve.values):
            line = number if overlay else order
            axes, _ = panels[order if overlay else number]
            axes.plot(
                curve.z,
                values,
                color=colour(line),
                linestyle=LINE_STYLES[line % len(LINE_STYLES)],
                marker=marker(line) if line > 2 else None,
                markevery=(40 + 18 * line, 130),
                label=_titled(curve, separator=":  ") if overlay else _order_name(order),
            )
            axes.margins(x=0)
    for index, (axes, _) in enumerate(panels):
        # No text of a user's is in these titles, so that a dollar sign is the beginning of a formula.
        axes.set_title(_order_name(index) if overlay else _titled(curves[index], separator="\n"), parse_math=True)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    columns = 1 + (len(curves) > 3) if overlay else min(orders, 4)
    legend = figure.legend(handles, labels, loc="outside lower center", ncols=columns, handlelength=3.4)
    for text in legend.get_texts():
        text.set_parse_math(overlay)
    return figure


def _titled(curve: ActivationCurve, *, separator: str) -> str:
    """Name, constants and formula: ``elu, α = 2`` and f(z) = …."""
    name = ", ".join([curve.name, *(f"{letter} = {value:g}" for letter, value in curve.constants)])
    return f"{name}{separator}$f(z) = {curve.formula}$" if curve.formula else name


def _order_name(order: int) -> str:
    return _ORDER_NAMES[order] if order < len(_ORDER_NAMES) else f"{order}th derivative"


@styled
def draw_decisions(maps: Sequence[DecisionMap]) -> Figure:
    """A panel per run: class colours blended by probability, black lines where the predicted class changes, the points.

    A title states the layer widths and the training accuracy.
    """
    size = 5.4 if len(maps) == 1 else 3.6
    named = len({decision.training.label for decision in maps}) == len(maps)
    titles = [
        fitted(
            (f"{decision.training.label}: " if named else "")
            + f"{decision.model}\ntraining accuracy {100 * decision.accuracy:.1f} %",
            size,
        )
        for decision in maps
    ]
    # A panel is as high as it is wide, which the layout sees too late: room for long titles is made here.
    more_lines = max(title.count("\n") for title in titles) - 1
    figure, panels = _panels(len(maps), size, size + 0.3 + 0.35 * more_lines)
    for (axes, leftmost), decision, title in zip(panels, maps, titles, strict=True):
        _draw_regions(axes, decision)
        _draw_points(axes, decision.training)
        axes.set(title=title, xlabel="x₁ (no unit)", ylabel="x₂ (no unit)" if leftmost else "")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 5, 10]))
    _class_legend(figure, max((decision.training.class_names for decision in maps), key=len))
    return figure


@styled
def draw_fits(fits: Sequence[FittedCurve]) -> Figure:
    """A panel per run: the training points, the function that they come from, and the network's outputs as lines.

    Without a network: the points and the function.
    """
    figure, panels = _panels(len(fits), *((6.8, 4.2) if len(fits) == 1 else (4.2, 3.6)))
    for (axes, leftmost), fit in zip(panels, fits, strict=True):
        axes.scatter(fit.inputs, fit.targets, s=14, color=QUIET, alpha=0.6, linewidths=0, label="training points")
        if fit.truth is not None:
            axes.plot(fit.x, fit.truth, color=colour(0), linestyle=LINE_STYLES[1], label="function")
        if fit.outputs is not None:
            for index, (name, line) in enumerate(zip(fit.output_names, fit.outputs.T, strict=True)):
                axes.plot(fit.x, line, color=colour(1 + index), label=name)
        title = f"{fit.label}: " + (fit.model or f"{len(fit.inputs):,} training points")
        if fit.loss is not None:
            title += f"\ntraining {fit.loss[0]} {fit.loss[1]:.3g}"
        axes.set(title=title, xlabel="x (no unit)", ylabel="target and output (no unit)" if leftmost else "")
        axes.margins(x=0)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    columns = len(labels) if len(labels) <= _FITS_BESIDE else _FITS_BESIDE
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, handlelength=3.2)
    return figure


def _panels(count: int, width: float, height: float, *, shared: bool = False) -> tuple[Figure, list[tuple[Axes, bool]]]:
    """Panels row by row, sizes in inches, each with whether it is the leftmost of its row; ``shared``: one y-axis."""
    columns = min(_PANEL_COLUMNS, count)
    rows = math.ceil(count / columns)
    figure = new_figure(width * columns, height * rows + 0.4)
    panels: list[tuple[Axes, bool]] = []
    for n in range(count):
        above = panels[0][0] if shared and panels else None
        panels.append((figure.add_subplot(rows, columns, n + 1, sharey=above), n % columns == 0))
    return figure, panels


@styled
def draw_points(data: LabelledPoints) -> Figure:
    """Training points of the plane with their classes."""
    figure = new_figure(5.4, 5.6)
    axes = figure.add_subplot()
    _draw_points(axes, data)
    axes.set_aspect("equal")
    title = f"{data.label}: {len(data.points):,} training points"
    axes.set(title=fitted(title, 4.8), xlabel="x₁ (no unit)", ylabel="x₂ (no unit)")
    _class_legend(figure, data.class_names)
    return figure


@styled
def draw_rates(rates: Rates) -> Figure:
    """The learning rate of every step, over the epochs."""
    figure = new_figure(6.8, 3.6)
    axes = figure.add_subplot()
    highest = f"while {rates.metric} gets better" if rates.metric else "_"
    axes.plot(rates.epochs, rates.lr, color=colour(0), label=highest)
    if rates.lowest is not None:
        label = f"if {rates.metric} never gets better"
        axes.plot(rates.epochs, rates.lowest, color=colour(1), linestyle=LINE_STYLES[1], label=label)
        axes.fill_between(rates.epochs, rates.lowest, rates.lr, color=QUIET, alpha=0.12, linewidth=0)
        figure.legend(loc="outside lower center", ncols=2)
    axes.set(
        title=fitted(f"{rates.label}: schedule {rates.schedule}", 6.4), xlabel="epoch", ylabel="learning rate (no unit)"
    )
    axes.set_ylim(bottom=0)
    axes.margins(x=0.01)
    return figure


@styled
def draw_histogram(histogram: InputHistogram) -> Figure:
    """Counts of input values on a logarithmic axis, since most pixels of an image are background."""
    figure = new_figure(7.2, 4.2)
    axes = figure.add_subplot()
    edges, counts = histogram.edges, histogram.counts
    axes.bar(edges[:-1], counts, width=np.diff(edges), align="edge", color=colour(0), edgecolor="white", linewidth=0.4)
    set_log_scale(axes)
    axes.axvline(histogram.mean, color=colour(1), linestyle=LINE_STYLES[1], linewidth=1.8)
    axes.set_title(fitted(f"{histogram.label}: {histogram.what} values of {histogram.rows:,} training rows", 6.4))
    axes.set_xlabel(f"{histogram.what} value after scaling ({histogram.scaling}; no unit)")
    axes.set_ylabel("values per bin (count, logarithmic)")
    facts = f"mean {round(histogram.mean, 4) + 0.0:.4f}, standard deviation {histogram.std:.4f}"
    span = f"{int(counts.sum()):,} values from {edges[0]:.3f} to {edges[-1]:.3f} in {len(counts)} bins"
    handles = [Rectangle((0, 0), 1, 1, color=colour(0)), Line2D([], [], color=colour(1), linestyle=LINE_STYLES[1])]
    figure.legend(handles, [span, facts], loc="outside lower center", handlelength=2.4)
    return figure


@styled
def draw_confusion(confusion: Confusion) -> Figure:
    """Counts of true against predicted classes; shades are square roots of the shares of the true class."""
    counts, names = confusion.counts, [shortened(name, _LETTERS) for name in confusion.class_names]
    k = len(names)
    side = min(10.0, max(4.6, 0.62 * k + 1.6))
    room = _INCH_PER_LETTER * max(0, max(map(len, names)) - _SHORT)
    width, height = side + 0.9 + room, side + 0.3 + room * np.sin(np.radians(_SLANT))
    title = f"{confusion.label}: {int(counts.sum() - np.trace(counts)):,} wrong of {int(counts.sum()):,} "
    title = fitted(title + f"{confusion.split} examples", width, size=12)
    figure = new_figure(width, height + 0.2 * title.count("\n"))
    figure.suptitle(title, x=0.01, ha="left")
    axes = figure.add_subplot()
    totals = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    shades = np.sqrt(counts / totals)
    image = axes.imshow(shades, cmap="Blues", vmin=0, vmax=1)
    axes.grid(visible=False)
    ticks = np.arange(0, k, max(1, k // 25))
    long = max(map(len, names)) > 3
    axes.set_xticks(ticks, [names[i] for i in ticks], rotation=_SLANT if long else 0, ha="right" if long else "center")
    axes.set_yticks(ticks, [names[i] for i in ticks])
    if k <= _MAX_COUNTED:
        for i, j in np.ndindex(k, k):
            shown = f"{counts[i, j]:,}" if counts[i, j] else "·"
            axes.text(j, i, shown, ha="center", va="center", fontsize=8.5, color="white" if shades[i, j] > 0.6 else INK)
    axes.set(xlabel="predicted class (count in every cell)", ylabel="true class")
    shares = [0, 0.01, 0.05, 0.2, 0.5, 1]
    bar = figure.colorbar(image, ax=axes, shrink=0.8, label="share of the true class (%)")
    bar.set_ticks(list(np.sqrt(shares)), labels=[f"{100 * share:g}" for share in shares])
    bar.outline.set_visible(False)
    return figure


@styled
def draw_residuals(fit: Residuals, *, panel: tuple[float, float] = (4.6, 4.2), titled: bool = True) -> Figure:
    """Of every target predicted against true values, on the line of equality where they agree, and the residuals.

    Of more than four targets the first four.
    """
    targets = min(fit.true.shape[1], _MAX_TARGETS)
    figure = new_figure(2 * panel[0], panel[1] * targets)
    if titled:
        title = f"{fit.label}: {len(fit.true):,} {fit.split} examples"
        figure.suptitle(fitted(title, 2 * panel[0], size=12), x=0.01, ha="left")
    for target in range(targets):
        true, predicted = fit.true[:, target], fit.predicted[:, target]
        which = f", target {target + 1} of {fit.true.shape[1]}" if fit.true.shape[1] > 1 else ""
        name = ""
        if fit.names:
            which = f", {printable(fit.names[target])}" if fit.true.shape[1] > 1 else ""
            name = f" of {printable(fit.names[target])}"
        dots = {"s": 14, "color": colour(0), "alpha": max(0.15, min(1.0, 30 / len(true) ** 0.5)), "linewidths": 0}
        axes = figure.add_subplot(targets, 2, 2 * target + 1)
        ends = [min(true.min(), predicted.min()), max(true.max(), predicted.max())]
        axes.plot(ends, ends, color=INK, linewidth=0.9, linestyle=LINE_STYLES[1], label="predicted = true", zorder=1)
        axes.scatter(true, predicted, **dots)
        margin = 0.03 * (ends[1] - ends[0]) or 1.0
        limits = ends[0] - margin, ends[1] + margin
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
        axes.set(
            xlim=limits,
            ylim=limits,
            aspect="equal",
            title=fitted(f"Predicted against true{which}", panel[0]),
            xlabel=f"true value{name}",
            ylabel=f"{fit.what}{name}",
        )
        axes.legend(loc="upper left")
        axes = figure.add_subplot(targets, 2, 2 * target + 2)
        residuals = predicted - true
        axes.axhline(0, color=INK, linewidth=0.9, linestyle=LINE_STYLES[1], zorder=1)
        axes.scatter(predicted, residuals, **dots)
        title = f"Residuals{which} (root mean square {np.sqrt(np.mean(residuals**2)):.3g})"
        axes.set(title=fitted(title, panel[0]), xlabel=f"{fit.what}{name}", ylabel="residual (predicted − true)")
    return figure


@styled
def draw_reliability(
    diagram: ReliabilityDiagram, *, panel: tuple[float, float] = (4.6, 5.0), titled: bool = True
) -> Figure:
    """Accuracy by confidence, on the diagonal where probabilities are what they claim, and below how many examples.

    A column without temperature and, where one was fitted, one with it.
    """
    columns = len(diagram.moments)
    figure = new_figure(columns * panel[0], panel[1])
    if titled:
        examples = f"{int(diagram.moments[0].counts.sum()):,} {diagram.split} examples"
        figure.suptitle(fitted(f"{diagram.label}: {examples}", columns * panel[0], size=12), x=0.01, ha="left")
    grid = figure.add_gridspec(2, columns, height_ratios=(3.4, 1), hspace=0.02)
    top = max(float(moment.counts.max() / moment.counts.sum()) for moment in diagram.moments)
    for number, moment in enumerate(diagram.moments):
        axes = figure.add_subplot(grid[0, number])
        _draw_reliability(axes, moment)
        what = f"With temperature {moment.temperature:.3g}" if number else "Probabilities as the network gives them"
        axes.set_title(f"{what}\nECE {100 * moment.ece:.2f} %, log-loss {moment.log_loss:.4f} nats")
        below = figure.add_subplot(grid[1, number], sharex=axes)
        edges = np.linspace(0, 1, len(moment.counts) + 1)
        below.bar(edges[:-1], moment.counts / moment.counts.sum(), np.diff(edges), align="edge", color=QUIET, alpha=0.7)
        below.set(xlabel="confidence (largest probability, %)", ylim=(0, 1.08 * top))
        axes.tick_params(labelbottom=False)
        for axis in (axes.yaxis, below.yaxis, below.xaxis):
            axis.set_major_formatter(percent_ticks())
        if not number:
            axes.set_ylabel("accuracy (% of the bin)")
            below.set_ylabel("examples (%)")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2 if columns == 1 else 4, handlelength=2.2)
    return figure


def _draw_reliability(axes: Axes, moment: ReliabilityMoment) -> None:
    """Bars of accuracy, from there to the confidence the gap, and the diagonal."""
    used = moment.counts > 0
    edges = np.linspace(0, 1, len(moment.counts) + 1)
    left, width = edges[:-1][used], np.diff(edges)[used]
    accuracy, confidence = moment.accuracy[used], moment.confidence[used]
    axes.bar(left, accuracy, width, align="edge", color=colour(0), alpha=0.6, edgecolor="white", label="accuracy")
    axes.bar(
        left,
        confidence - accuracy,
        width,
        bottom=accuracy,
        align="edge",
        facecolor="none",
        edgecolor=colour(1),
        hatch="/////",
        linewidth=1.1,
        label="gap to the confidence",
    )
    axes.errorbar(
        left + width / 2,
        accuracy,
        yerr=np.clip([accuracy - moment.low[used], moment.high[used] - accuracy], 0, None),
        fmt="none",
        ecolor=INK,
        elinewidth=0.9,
        capsize=2,
        label="95 % interval (Wilson)",
    )
    axes.plot([0, 1], [0, 1], color=INK, linewidth=0.9, linestyle=LINE_STYLES[1], label="accuracy = confidence")
    axes.set(xlim=(0, 1), ylim=(0, 1.02))


def _draw_regions(axes: Axes, decision: DecisionMap) -> None:
    colours = class_colours(decision.probabilities.shape[2])
    blended = np.clip(decision.probabilities @ colours, 0, 1)
    shown = _PALE + (1 - _PALE) * blended
    axes.imshow(shown, origin="lower", extent=decision.extent, interpolation="bilinear", aspect="equal")
    axes.grid(visible=False)
    for index in range(decision.probabilities.shape[2]):
        # The lead over the best other class, at every grid point.
        others: FloatArray = np.delete(decision.probabilities, index, axis=2)
        margin = decision.probabilities[:, :, index] - others.max(axis=2)
        if margin.min() < 0 < margin.max():
            axes.contour(margin, levels=[0.0], extent=decision.extent, colors=INK, linewidths=0.7)


def _draw_points(axes: Axes, data: LabelledPoints) -> None:
    for index, face in enumerate(class_colours(len(data.class_names))):
        x, y = data.points[data.labels == index].T
        axes.scatter(x, y, s=20, color=face, marker=marker(index), edgecolors=INK, linewidths=0.5)


def _class_legend(figure: Figure, names: Sequence[str]) -> None:
    edge: dict[str, Any] = {"linestyle": "", "markersize": 6.5, "markeredgecolor": INK, "markeredgewidth": 0.5}
    faces = class_colours(len(names))
    handles = [Line2D([], [], color=face, marker=marker(index), **edge) for index, face in enumerate(faces)]
    labels = [f"class {name}" for name in names]
    columns = max(1, min(len(names), int(figure.get_figwidth() * 10) // (max(map(len, labels)) + 6)))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, handletextpad=0.2)
