"""The picture: for every workload how many times slower than ours each row is, on a logarithmic axis with ours at 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from mlptrain.report.style import INK, QUIET, colour, new_figure, picture_bytes, styled
from tests.benchmarks.results import Record
from tests.benchmarks.table import ratio_text, seconds_text
from tests.benchmarks.workloads import FLOOR, OPTIMIZER_TITLES, OPTIMIZERS, OURS

COLUMNS = 2
BAR = 0.26  # height of a bar; a row of the picture is 1 high
INCHES_PER_ROW = 0.42
TEXT_LEFT = -0.36  # where titles begin, in widths of the axes: above the names of the rows


@dataclass(frozen=True)
class Panel:
    """One set of axes: title, what stands below it, and by row title the ratio for every optimizer it has."""

    title: str
    details: str
    ratios: dict[str, dict[str, float]]


def draw(results: Record) -> bytes:
    """The picture as PNG."""
    return picture_bytes(_figure(results), "png")


def panels_of(results: Record) -> list[Panel]:
    """What there is to draw: pairs that belong together side by side, the full batch last."""
    steady = {
        name: (section["epochs_per_timing"], _panel(name, section)) for name, section in results["steady"].items()
    }
    panels = [panel for epochs, panel in steady.values() if epochs == 1]
    whole = results.get("whole_process", {"workloads": {}})
    for name, section in whole["workloads"].items():
        panels.append(_panel(name, section, whole=f"whole process of {whole['epochs']} epochs"))
    panels += [panel for epochs, panel in steady.values() if epochs > 1]
    return [panel for panel in panels if panel.ratios]


def _panel(name: str, section: Record, *, whole: str = "") -> Panel:
    ratios: dict[str, dict[str, float]] = {}
    ours = []
    for row in section["rows"]:
        if not row.get("counts", True) or row["ratio"] is None:
            continue
        if row["title"] == OURS:
            ours.append(seconds_text(row["seconds"]))
        else:
            ratios.setdefault(row["title"], {})[row.get("optimizer", "sgd")] = row["ratio"]
    network, _, details = section["title"].removesuffix(" at once").partition(", ")
    floor_first = sorted(ratios.items(), key=lambda item: (item[0] != FLOOR, min(item[1].values())))
    if whole:
        seconds, title = f"ours {ours[0] if ours else '–'} s from start to exit", f"{name}, {whole}: {network}"
    else:
        epochs = section["epochs_per_timing"]
        each = " and model" if section["models"] > 1 else ""
        seconds = f"ours {' / '.join(ours)} s per {'epoch' if epochs == 1 else f'{epochs:,} epochs'}{each}"
        title = f"{name}: {network}"
    return Panel(title, f"{details}; {seconds}", dict(floor_first))


@styled
def _figure(results: Record) -> Figure:
    panels = panels_of(results)
    rows = [panels[start : start + COLUMNS] for start in range(0, len(panels), COLUMNS)]
    heights = [max(len(panel.ratios) for panel in row) + 2.2 for row in rows] or [1.0]
    figure = new_figure(12.5, INCHES_PER_ROW * sum(heights) + 0.9)
    grid = figure.add_gridspec(max(1, len(rows)), COLUMNS, height_ratios=heights)
    for index, row in enumerate(rows):
        for column, panel in enumerate(row):
            _draw_panel(figure.add_subplot(grid[index, column]), panel, longest=int(heights[index]) - 2)
    machine = results["machine"]
    figure.suptitle(
        f"Training time relative to mlptrain (1 = ours, longer is slower): {machine['processor']}, "
        f"{machine['usable_cores']} cores, {machine['date']}",
        x=0.01,
        ha="left",
    )
    handles = [Patch(label=OPTIMIZER_TITLES[name], **_look(name)) for name in OPTIMIZERS]
    handles.append(Patch(label=f"{FLOOR} (the floor)", **_look("sgd", floor=True)))
    figure.legend(handles=handles, loc="outside lower left", ncols=len(handles))
    return figure


def _look(name: str, *, floor: bool = False) -> dict[str, Any]:
    """Colour and hatching of an optimizer's bars, which differ in print too."""
    if floor:
        return {"facecolor": "white", "edgecolor": QUIET, "hatch": "////", "linewidth": 0.6}
    index = OPTIMIZERS.index(name)
    return {"facecolor": colour(index), "edgecolor": "white", "hatch": ("", "....", "xxxx")[index], "linewidth": 0.0}


def _draw_panel(axes: Axes, panel: Panel, *, longest: int) -> None:
    """Bars from 1 to the ratio, the floor on top and the fastest row next, with the ratio at the end of each."""
    for place, (title, of_optimizer) in enumerate(panel.ratios.items()):
        names = [name for name in OPTIMIZERS if name in of_optimizer]
        for index, name in enumerate(names):
            y = place + (index - (len(names) - 1) / 2) * BAR
            ratio = of_optimizer[name]
            axes.barh(y, ratio - 1, left=1, height=BAR * 0.86, **_look(name, floor=title == FLOOR))
            axes.annotate(
                ratio_text(ratio),
                (ratio, y),
                xytext=(3 if ratio >= 1 else -3, 0),
                textcoords="offset points",
                ha="left" if ratio >= 1 else "right",
                va="center",
                fontsize=7.5,
                color=INK,
            )
    axes.axvline(1, color=INK, linewidth=1.2)
    axes.set_yticks(range(len(panel.ratios)), list(panel.ratios))
    axes.set_ylim(max(longest, len(panel.ratios)) - 0.4, -0.6)
    axes.set_title(panel.title, pad=18, x=TEXT_LEFT)
    details = axes.text(TEXT_LEFT, 1.02, panel.details, transform=axes.transAxes, fontsize=8.5, color=QUIET)
    details.set_in_layout(False)  # or a long line would make the axes narrow
    _log_axis(axes, [ratio for ratios in panel.ratios.values() for ratio in ratios.values()])


def _log_axis(axes: Axes, ratios: list[float]) -> None:
    axes.set_xscale("log")
    low, high = min(0.5, *ratios), max(2.0, *ratios)
    margin = (high / low) ** 0.15  # room for the numbers at the ends of the bars
    axes.set_xlim(low / margin, high * margin)
    axes.xaxis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("× ours")
