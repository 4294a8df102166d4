"""The picture of ``mlptrain lr-find``."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure

from mlptrain.report.arrays import FloatArray, RateTrials
from mlptrain.report.style import (
    COLOURS,
    INK,
    LINE_STYLES,
    QUIET,
    fitted,
    new_figure,
    set_log_scale,
    set_log_ticks,
    set_plain_ticks,
    set_title,
    styled,
)

_WIDE = 8.0  # of the highest loss to the lowest that has room on a linear axis
_ABOVE = 0.12  # of the height of an axis, over the loss of the untrained network
_DIVERGING = 1e15  # of that loss: the height of an axis at most where all rates diverge
_SMOOTHED = 20  # parts of a curve, each of which is one point
_BRIGHTEST = 0.9  # of the colour map, whose end is too bright on white


@styled
def draw_rate_trials(trials: RateTrials) -> Figure:
    """Left the loss at the end against the rate, with where it diverges; right the losses of the steps by rate.

    A loss above the axis, which ends a little over the untrained network's, is a cross at its upper end.
    """
    figure = new_figure(10.6, 4.4)
    left, right = figure.subplots(1, 2)
    _draw_ends(left, trials)
    mappable = _draw_curves(right, trials)
    bar = figure.colorbar(mappable, ax=right, aspect=28, pad=0.02, label="learning rate")
    bar.outline.set_visible(False)
    set_plain_ticks(bar.ax.yaxis)
    title = f"{trials.label}: {trials.curves.shape[1]:,} steps of {trials.optimizer} at each learning rate"
    set_title(figure, fitted(title, 10.2))
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower left", ncols=4)
    return figure


def _draw_ends(axes: Axes, trials: RateTrials) -> None:
    rates, losses, bad = trials.rates, trials.losses, np.asarray(trials.diverges)
    top = _limits(axes, trials, trials.losses[np.isfinite(trials.losses)])
    fine = ~bad
    axes.set_xscale("log")
    axes.axhline(trials.start, color=QUIET, linestyle=LINE_STYLES[1], linewidth=1.1, label="untrained network")
    if fine.any():
        axes.plot(rates[fine], losses[fine], color=COLOURS[0], marker="o", label="after the steps")
    if bad.any():
        heights = np.where(np.isfinite(losses), np.minimum(losses, top), top)
        axes.plot(
            rates[bad], heights[bad], color=COLOURS[1], marker="x", markersize=7, linestyle="", clip_on=False,
            label="diverges", zorder=3,
        )  # fmt: skip
    if (edge := _edge(trials)) is not None:
        axes.axvspan(edge, rates[-1] * (rates[-1] / rates[-2]) ** 0.5, color=COLOURS[1], alpha=0.08, linewidth=0)
    if trials.suggestion is not None:
        axes.axvline(
            trials.suggestion, color=INK, linewidth=1.1, linestyle=LINE_STYLES[2],
            label=f"suggested: {trials.suggestion:g}",
        )  # fmt: skip
    ends = (rates[0] / (rates[1] / rates[0]) ** 0.5, rates[-1] * (rates[-1] / rates[-2]) ** 0.5)
    steps = f"{trials.averaged} of {trials.curves.shape[1]} steps" if trials.averaged > 1 else "step"
    set_log_ticks(axes.xaxis, *ends, inches=3.9, size=9.5, beyond=0.2)
    axes.set(xlim=ends, xlabel="learning rate", ylabel=f"training loss, mean of the last {steps}")


def _edge(trials: RateTrials) -> float | None:
    """Between the rates from which on all diverge, and the one below; None where the highest does not."""
    count = next((n for n, bad in enumerate(reversed(trials.diverges)) if not bad), len(trials.rates))
    if not count:
        return None
    first = len(trials.rates) - count
    return float(trials.rates[0] if not first else np.sqrt(trials.rates[first - 1] * trials.rates[first]))


def _draw_curves(axes: Axes, trials: RateTrials) -> ScalarMappable:
    """The losses of the steps; returns what its colours mean."""
    rates, steps = trials.rates, trials.curves.shape[1]
    at, smoothed = _means(trials.curves)
    top = _limits(axes, trials, smoothed[~np.asarray(trials.diverges)])
    colours = ListedColormap(mpl.colormaps["viridis"](np.linspace(0, _BRIGHTEST, 256)))
    norm = LogNorm(rates[0], rates[-1])
    for rate, curve, bad in zip(rates, smoothed, trials.diverges, strict=True):
        shown = np.where(np.isfinite(curve), np.minimum(curve, 10 * top), np.nan)  # huge ones the renderer refuses
        own = rate == trials.suggestion
        axes.plot(
            at, shown, color=INK if own else colours(norm(rate)), linestyle=LINE_STYLES[2] if bad else "-",
            linewidth=2.2 if own else 1.2, zorder=3 if own else 2,
        )  # fmt: skip
    axes.set(xlim=(0, steps), xlabel="step", ylabel="")
    return ScalarMappable(norm=norm, cmap=colours)


def _limits(axes: Axes, trials: RateTrials, losses: FloatArray) -> float:
    """Give an axis of ``losses`` its ends, a little above the untrained network's at most, and return the upper one.

    Where all rates diverge it reaches as far as their losses, if these are finite.
    """
    if all(trials.diverges) and trials.start > 0:
        return _limits_of_diverging(axes, trials)
    shown = losses[losses <= trials.start]
    low, high = min([*shown.tolist(), trials.start]), trials.start
    if low > 0 and high > _WIDE * low:
        set_log_scale(axes)
        low, top = low / 1.5, high * (high / low) ** _ABOVE
    else:
        room = _ABOVE * max(high - low, abs(high) * 0.02)
        low, top = low - room, high + 1.5 * room
    axes.set_ylim(low, top)
    return float(top)


def _limits_of_diverging(axes: Axes, trials: RateTrials) -> float:
    """The same for both panels, where the losses of the steps are all there is to see."""
    _, smoothed = _means(trials.curves)
    known = [*smoothed[np.isfinite(smoothed) & (smoothed > 0)].tolist(), trials.start]
    low, high = min(known), min(max(known), _DIVERGING * trials.start)
    set_log_scale(axes)
    top = 1.5 * max(high, _WIDE * low)
    axes.set_ylim(low / 1.5, top)
    return float(top)


def _means(curves: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Middles (k,) of stretches of steps, and means (n, k) of the curves over them."""
    stretches = np.array_split(np.arange(curves.shape[1]), min(curves.shape[1], _SMOOTHED))
    at = np.array([part.mean() + 0.5 for part in stretches])
    return at, np.stack([curves[:, part].mean(axis=1) for part in stretches], axis=1)
