"""Activations and gradients of a network layer by layer, at several moments of its training."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mlptrain.report.arrays import FloatArray, LayerMoment, LayerProfiles
from mlptrain.report.curves import thinned
from mlptrain.report.style import (
    LINE_STYLES,
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

_MAX_LINES = 6
_SHIFT = 0.12  # of a layer's width between two moments, so that their bars do not cover each other


@styled
def draw_layers(profiles: LayerProfiles) -> Figure:
    """Three panels over the layers: mean and spread of activations, shares that are zero or saturated, gradient norms.

    Below them the same by epoch, where the run recorded it. A gradient of 0 has no place on the logarithmic axis and is
    written at its foot.
    """
    count = len(profiles.moments[0].mean)
    rows = 1 if profiles.recorded is None else 2
    width = max(11.0, 3.2 + 0.9 * count)
    figure = new_figure(width, 0.6 + 4.0 * rows)
    for index, draw in enumerate((_draw_activations, _draw_shares, _draw_gradients)):
        axes = figure.add_subplot(rows, 3, index + 1)
        for number, moment in enumerate(profiles.moments):
            draw(axes, moment, number, (number - (len(profiles.moments) - 1) / 2) * _SHIFT)
        ticks = np.arange(count)
        shown = ticks[:: max(1, count // 12)] if count > 15 else ticks
        names = [*(str(n + 1) for n in range(count - 1)), "out"]
        axes.set_xticks(shown, [names[n] for n in shown])
        axes.set_xlim(-0.5, count - 0.5)
        axes.set_xlabel("layer (hidden 1, 2, …, output)")
    first, second, third = figure.axes
    first.set(title="Activations", ylabel="mean ± standard deviation (no unit)")
    second.set(title="Zero and saturated activations", ylabel="share of the activations (%)", ylim=(-0.03, 1.03))
    second.yaxis.set_major_formatter(percent_ticks())
    third.set(title="Gradients of the weights", ylabel="norm (loss per unit of weight, logarithmic)")
    _finish_gradients(third, profiles)
    handles, labels = first.get_legend_handles_labels()
    styles, words = second.get_legend_handles_labels()
    handles = [*handles, *styles[:2]]
    labels = [*labels, *(word.partition(", ")[2] for word in words[:2])]
    if profiles.recorded is not None:
        _draw_recorded(figure, profiles.recorded)
    figure.legend(handles, labels, loc="outside lower center", ncols=min(5, len(labels)), handlelength=3)
    title = f"{profiles.label}: {profiles.model}, on {profiles.rows:,} training rows"
    figure.suptitle(fitted(title, width, size=12), x=0.01, ha="left")
    return figure


def _draw_recorded(figure: Figure, recorded: Mapping[str, FloatArray]) -> None:
    """By epoch, a line for each layer, or for a few of many."""
    epochs, count = recorded["std"].shape
    shown = np.unique(np.linspace(0, count - 1, min(count, _MAX_LINES)).astype(int))
    for index, (key, title, unit) in enumerate(
        (
            ("std", "Spread of the activations by epoch", "standard deviation (no unit)"),
            ("saturated", "Saturated activations by epoch", "share of the activations (%)"),
            ("gradient", "Gradients by epoch", "norm (loss per unit of weight, logarithmic)"),
        )
    ):
        axes = figure.add_subplot(2, 3, 4 + index)
        for number, layer in enumerate(shown):
            values = recorded[key][:, layer]
            values = np.where(values > 0, values, np.nan) if key == "gradient" else values
            name = "output" if layer == count - 1 else f"hidden {layer + 1}"
            x, y = thinned(np.arange(epochs, dtype=np.float64), values)
            axes.plot(x, y, markevery=marked(len(x), number), label=name, **series(number))
        axes.set(title=title, xlabel="epoch (0 is before training)", ylabel=unit)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
        if key == "saturated":
            axes.set_ylim(-0.03, 1.03)
            axes.yaxis.set_major_formatter(percent_ticks())
        elif key == "gradient" and bool((recorded[key][:, shown] > 0).any()):
            set_log_scale(axes)
    figure.axes[3].legend(loc="best", fontsize=8)


def _draw_activations(axes: Axes, moment: LayerMoment, number: int, shift: float) -> None:
    axes.errorbar(
        np.arange(len(moment.mean)) + shift, moment.mean, yerr=moment.std, label=moment.title, color=colour(number),
        marker=marker(number), linestyle="", capsize=3, elinewidth=1.4,
    )  # fmt: skip


def _draw_shares(axes: Axes, moment: LayerMoment, number: int, shift: float) -> None:
    x = np.arange(len(moment.zero)) + shift
    for values, style, word in ((moment.zero, 0, "exactly 0"), (moment.saturated, 2, "saturated: next to no slope")):
        axes.plot(
            x, values, color=colour(number), marker=marker(number), linestyle=LINE_STYLES[style],
            markersize=8 if style == 0 else 4, markerfacecolor=colour(number) if style == 0 else "white",
            label=f"{moment.title}, {word}",
        )  # fmt: skip


def _draw_gradients(axes: Axes, moment: LayerMoment, number: int, shift: float) -> None:
    x = np.arange(len(moment.gradient)) + shift
    shown = np.where(moment.gradient > 0, moment.gradient, np.nan)
    axes.plot(x, shown, color=colour(number), marker=marker(number), linestyle=LINE_STYLES[0])


def _finish_gradients(axes: Axes, profiles: LayerProfiles) -> None:
    if any(bool((moment.gradient > 0).any()) for moment in profiles.moments):
        set_log_scale(axes)
    for number, moment in enumerate(profiles.moments):
        for layer in np.flatnonzero(moment.gradient == 0):
            axes.annotate(
                "0", (float(layer), 0.02 + 0.05 * number), xycoords=("data", "axes fraction"), color=colour(number),
                ha="center", weight="bold",
            )  # fmt: skip
