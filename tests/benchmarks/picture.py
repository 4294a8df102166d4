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
from tests.benchmarks.table import ratio_text
from tests.benchmarks.workloads import FLOOR, OPTIMIZER_TITLES, OPTIMIZERS, OURS

COLUMNS = 2
BAR = 0.26  # height of a bar; a row of the picture is 1 high
INCHES_PER_ROW = 0.42


@dataclass(frozen=True)
class Panel:
    """One set of axes: title, the seconds of ours below it, and by row title the ratio for every optimizer it has."""

    title: str
    ours: str
    ratios: dict[str, dict[str, float]]


def draw(results: Record) -> bytes:
    """The picture as PNG."""
    return picture_bytes(_figure(results), "png")


def panels_of(results: Record) -> list[Panel]:
    """What there is to draw, in the order of the results."""
    panels = [_panel(name, section, results) for name, section in results["steady"].items()]
    whole = results.get("whole_process", {"workloads": {}})
    for name, section in whole["workloads"].items():
        title = f"{name}, whole process of {whole['epochs']} epochs: {section['title']}"
        panels.append(_panel(title, section, results, whole=True))
    return [panel for panel in panels if panel.ratios]


def _panel(name: str, section: Record, results: Record, *, whole: bool = False) -> Panel:
    ratios: dict[str, dict[str, float]] = {}
    ours = []
    for row in section["rows"]:
        if not row.get("counts", True) or row["ratio"] is None:
            continue
        if row["title"] == OURS:
            ours.append(f"{row['seconds']:#.3g} s")
        else:
            ratios.setdefault(row["title"], {})[row.get("optimizer", "sgd")] = row["ratio"]
    ordered = dict(sorted(ratios.items(), key=lambda item: min(item[1].values())))
    if whole:
        return Panel(name, f"ours {ours[0] if ours else '–'} from start to exit", ordered)
    epochs = section["epochs_per_timing"]
    what = "epoch" if epochs == 1 else f"{epochs:,} epochs"
    each = " and model" if section["models"] > 1 else ""
    return Panel(f"{name}: {section['title']}", f"ours {' / '.join(ours)} per {what}{each}", ordered)


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
    """Bars from 1 to the ratio, the fastest row on top, with the ratio at the end of each."""
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
    axes.set_title(panel.title, pad=18)
    axes.text(0, 1.02, panel.ours, transform=axes.transAxes, fontsize=8.5, color=QUIET, va="bottom")
    _log_axis(axes, [ratio for ratios in panel.ratios.values() for ratio in ratios.values()])


def _log_axis(axes: Axes, ratios: list[float]) -> None:
    axes.set_xscale("log")
    axes.set_xlim(min(0.5, *ratios) / 1.35, max(2.0, *ratios) * 1.5)
    axes.xaxis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("× ours")
