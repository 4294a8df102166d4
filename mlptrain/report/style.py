"""How all pictures look, and how they become bytes: the same picture gives the same bytes.

Colours are those of Okabe & Ito (Color Universal Design, 2008), which the colour-blind can distinguish; markers, line
styles or numbers repeat the meaning of every colour, for print in black and white.
"""

from __future__ import annotations

import contextlib
import io
import math
import re
import textwrap
import warnings
from collections.abc import Iterator
from html import escape
from itertools import pairwise
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogFormatter, MaxNLocator, NullLocator, ScalarFormatter

from mlptrain.report.arrays import FloatArray

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7A7A7A")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
# Neighbours of this order differ in lightness too, for areas, which have no marker.
CLASS_COLOURS = ("#0072B2", "#F0E442", "#D55E00", "#56B4E9", "#009E73", "#CC79A7", "#E69F00", "#7A7A7A")
LINE_STYLES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.2, 1.4)), (0, (6, 2, 1.2, 2)))
INK = "#1f2328"
QUIET = "#59636e"
_DOTS_PER_INCH = 150
_FEW_POINTS = 15  # up to this number every point of a line has its marker
_MARKED = 8
_LONG = 1e6  # from which on numbers along a logarithmic axis are written as powers of ten
_LETTERS = {".": 0.32, ",": 0.32, "-": 0.36, "e": 0.62}  # widths in DejaVu Sans as parts of its size; a digit's: 0.64
_BETWEEN = 0.09  # inches between two labels of an axis at least
_MAX_LABELS = 8

_SETTINGS: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": QUIET,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlepad": 8,
    "axes.titley": 1.0,  # with a given height matplotlib need not measure every label
    "figure.titlesize": 12,
    "figure.titleweight": "bold",
    "font.family": ["DejaVu Sans"],  # comes with matplotlib, so that pictures do not depend on the machine's fonts
    "font.size": 9.5,
    "grid.color": "#dde1e6",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "svg.hashsalt": "mlptrain",
    "text.color": INK,
    "text.parse_math": False,  # a run's name may hold a dollar sign
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
}


def plain_power(x: float) -> str:
    """``0.003``, ``10,000``; what has more digits in the shortest form: ``1e-5``, ``1e20``."""
    if 10 <= x < _LONG:
        return f"{x:,.0f}"
    return re.sub(r"e([+-])0*", lambda match: f"e{match[1].replace('+', '')}", f"{x:g}")


class _PlainLogFormatter(LogFormatter):
    """Powers of ten as 0.01 instead of 10 with a raised -2, which would need the math parser."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return plain_power(x) if super().__call__(x, pos) else ""


class _PlainFormatter(ScalarFormatter):
    """Every tick with its own power of ten, 2e10: matplotlib writes one for all of them over the axis, on the title."""

    def __init__(self) -> None:
        super().__init__(useOffset=False, useMathText=False)

    def __call__(self, x: float, pos: int | None = None) -> str:
        return super().__call__(x, pos) + (super().get_offset().removeprefix("1") if x else "")

    def get_offset(self) -> str:
        """Nothing: every tick says it."""
        return ""


@contextlib.contextmanager
def _look(more: dict[Any, Any] | None = None) -> Iterator[None]:
    """Matplotlib's own settings with ours on top for this block, whatever the user's are.

    Matplotlib's warnings of missing letters and of names too long for a picture are silenced: the picture shows both.
    """
    with mpl.rc_context(), warnings.catch_warnings():
        for category in (UserWarning, RuntimeWarning):  # deprecations stay visible for the tests
            warnings.simplefilter("ignore", category)
        mpl.rcdefaults()
        with mpl.rc_context(_SETTINGS | (more or {})):
            yield


styled = _look()  # decorates a function whose figure has the look of all others


class _Picture(Figure):
    """A figure that a notebook shows, also where pyplot was never imported."""

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        engine, dots = self.get_layout_engine(), self.dpi
        width, height = (round(96 * inches) for inches in self.get_size_inches())  # dots of a page: more are sharpness
        try:
            return picture_bytes(self, "png"), {"width": width, "height": height}
        finally:  # it may be changed, and shown once more
            self.set_layout_engine(engine)
            self.set_dpi(dots)


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, sizes in inches, outside any window system."""
    figure = _Picture(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def picture_bytes(figure: Figure, kind: str, *, text_as_shapes: bool = True) -> bytes:
    """The file content as ``png`` (150 dots per inch) or ``svg``. Fixes the layout of the figure.

    Letters in an SVG are drawn as shapes, so that it looks the same everywhere, or stay text that can be searched, in
    the reader's fonts.
    """
    stream = io.BytesIO()
    with _look({"svg.fonttype": "path" if text_as_shapes else "none"}):
        figure.set_dpi(_DOTS_PER_INCH)
        for axes in figure.axes:  # that of an x-axis stands below its right end, where nothing else is
            if type(axes.yaxis.get_major_formatter()) is ScalarFormatter:
                axes.yaxis.set_major_formatter(_PlainFormatter())
        if (engine := figure.get_layout_engine()) is not None:
            engine.execute(figure)
            figure.set_layout_engine(None)  # with one, even one that is done, saving draws everything twice
        # zlib's level 3: a tenth larger than the default 6, and a third quicker to write.
        more: dict[str, Any] = {"pil_kwargs": {"compress_level": 3}} if kind == "png" else {}
        nothing = dict.fromkeys(("Software",) if kind == "png" else ("Creator", "Date", "Format", "Type"))
        figure.savefig(stream, format=kind, dpi=_DOTS_PER_INCH, metadata=nothing, **more)
    return stream.getvalue()


def inline_svg(figure: Figure, *, prefix: str, title: str, description: str) -> str:
    """The figure as an <svg> element for a page: scaled by its view box, ids beginning with ``prefix``, described.

    ``title`` and ``description`` are escaped here.
    """
    text = picture_bytes(figure, "svg", text_as_shapes=False).decode()
    body = text[text.index("<svg") :]
    box = re.search(r'viewBox="([^"]+)"', body)
    assert box is not None
    inner = body[body.index(">") + 1 : body.rindex("</svg>")]
    # The style's rule for all elements would reach beyond the picture: the page has the same rule for `svg *`.
    inner = re.sub(r"<(metadata|style)\b.*?</\1>", "", inner, flags=re.DOTALL)
    inner = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}-", inner)
    return (
        f'<svg role="img" aria-labelledby="{prefix}-title {prefix}-description" viewBox="{box[1]}" '
        f'style="--inches: {float(box[1].split()[2]) / 72:.2f}" '
        'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
        f'<title id="{prefix}-title">{escape(title)}</title>'
        f'<desc id="{prefix}-description">{escape(description)}</desc>{inner.strip()}</svg>'
    )


def set_title(figure: Figure, title: str) -> None:
    """A picture's title, from its left edge on, where it has more room than over the axes."""
    figure.suptitle(title, x=0.01, ha="left", fontsize=10.5)


def fitted(text: str, width: float, *, size: float = 10.5) -> str:
    """A bold title in lines that a picture of ``width`` inches holds; ``size`` is that of its letters, in points."""
    return "\n".join(textwrap.fill(line, max(20, int(width * 112 / size))) for line in text.split("\n"))


def colour(index: int) -> str:
    """The colour of the index-th series."""
    return COLOURS[index % len(COLOURS)]


def marker(index: int) -> str:
    """The marker of the index-th series: with the colour, 56 pairs before one repeats."""
    return MARKERS[(index + index // len(COLOURS)) % len(MARKERS)]


def class_colours(n_classes: int) -> FloatArray:
    """Red, green and blue (n_classes, 3) in [0, 1] of every class."""
    if n_classes <= len(CLASS_COLOURS):
        return np.array([to_rgb(CLASS_COLOURS[index]) for index in range(n_classes)])
    return np.asarray(mpl.colormaps["turbo"](np.linspace(0.05, 0.95, n_classes))[:, :3], dtype=np.float64)


def percent_ticks() -> FuncFormatter:
    """Ticks of shares as percent, each with the digits that it needs: 45 and 99.95."""
    return FuncFormatter(lambda share, _: f"{100 * share:.6g}")


def series(index: int) -> dict[str, Any]:
    """How the index-th series is drawn as a line: colour, marker, line style."""
    return {"color": colour(index), "marker": marker(index), "linestyle": LINE_STYLES[index % len(LINE_STYLES)]}


def marked(n: int, index: int) -> int | tuple[int, int]:
    """``markevery`` of a line with n points: every point of a few, else about eight, shifted by the series' index."""
    return 1 if n <= _FEW_POINTS else (index * n // 29 % max(1, n // _MARKED), n // _MARKED)


def set_log_scale(axes: Axes, *, hide: bool = False) -> None:
    """A logarithmic y-axis with plain numbers, also between the powers of ten where it spans few of them.

    Values that are not above 0 lie at its lower end, or with ``hide`` leave a gap.
    """
    axes.set_yscale("log", nonpositive="mask" if hide else "clip")
    set_plain_ticks(axes.yaxis)


def set_log_ticks(axis: Axis, low: float, high: float, *, inches: float, size: float, beyond: float = 0.0) -> None:
    """Ticks along a logarithmic axis from ``low`` to ``high`` whose labels, ``size`` points high, keep apart.

    The finest of powers of ten, of every second one and so on, and of round numbers between them. No label reaches
    further than ``beyond`` inches over an end of the axis, which is ``inches`` long.
    """
    axis.set_major_locator(FixedLocator(log_ticks(low, high, inches=inches, size=size, beyond=beyond)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: plain_power(value)))
    axis.set_minor_locator(NullLocator())


def log_ticks(low: float, high: float, *, inches: float, size: float, beyond: float) -> list[float]:
    """Where ``set_log_ticks`` has its ticks."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    decades = last - first
    sets = [
        [float(f"{digit}e{power}") for power in range(first, last + 1) for digit in digits]
        for digits in (range(1, 10), (1, 2, 5), (1, 3))
    ]
    if high <= 10 * low:  # of less than a decade evenly spaced numbers may be rounder
        sets.insert(0, list(MaxNLocator(nbins=4, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)))
    sets += [
        [float(f"1e{power}") for power in range(first, last + 1) if power % step == 0] for step in range(1, decades + 1)
    ]
    best: list[float] = []
    for ticks in sets:
        shown: list[tuple[float, float, float]] = []
        for tick in ticks:
            if low <= tick <= high:
                at, half = (
                    inches * math.log(tick / low) / math.log(high / low),
                    _text_width(plain_power(tick), size) / 2,
                )
                if at - half >= -beyond and at + half <= inches + beyond:
                    shown.append((tick, at - half, at + half))
        apart = all(after[1] - before[2] >= _BETWEEN for before, after in pairwise(shown))
        if apart and len(best) < len(shown) <= _MAX_LABELS:
            best = [tick for tick, _, _ in shown]
            if len(best) >= 3:
                break
    return best


def _text_width(text: str, size: float) -> float:
    """Inches of a number in letters of ``size`` points."""
    return size / 72 * sum(_LETTERS.get(letter, 0.64) for letter in text)


def set_plain_ticks(axis: Axis) -> None:
    """Plain numbers along a logarithmic axis, also between the powers of ten where it spans few of them."""
    axis.set_major_formatter(_PlainLogFormatter(minor_thresholds=(2.0, 0.6)))
    axis.set_minor_formatter(_PlainLogFormatter(minor_thresholds=(2.0, 0.6)))
