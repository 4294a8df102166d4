"""Sheets of small images: samples, mistakes, first-layer weights."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mlptrain.report.arrays import AugmentedSamples, FloatArray, Mistakes, Samples, SeenImages, WeightImages
from mlptrain.report.style import COLOURS, fitted, new_figure, styled

_IMAGE = 0.94  # of a column's width; the rest is a gap
_APART = 0.16  # of a column's width, between an image and what is made of it
_WITHIN = 0.998  # of all weights are within the scale: one large weight would turn all others grey


def percentage(fraction: float) -> str:
    """With one decimal; what would be rounded up to 100 % is given as above 99.9 %."""
    return "> 99.9 %" if 0.9995 <= fraction < 1 else f"{100 * fraction:.1f} %"


@styled
def draw_samples(samples: Samples) -> Figure:
    """The training images with their classes; the bar beside them gives the scaled values."""
    captions = [
        f"{samples.class_names[label]}\nrow {row}" for label, row in zip(samples.labels, samples.index, strict=True)
    ]
    which = "the first training image" if len(captions) == 1 else f"the first {len(captions)} training images"
    if samples.index[-1] >= len(captions):
        which = f"{len(captions)} training images at equal distances"
    bar = f"pixel value after scaling ({samples.scaling}; no unit)"
    title = f"{samples.label}: {which}\nclass, and row of the training split"
    return _sheet(samples.images, captions, columns=8, title=title, bar=bar)


@styled
def draw_augmented(augmented: AugmentedSamples) -> Figure:
    """A row for each training image: itself in a blue frame, and beside it what augmentation makes of it."""
    samples, drawn = augmented.samples, augmented.drawn
    captions = []
    for label, row, mixtures in zip(samples.labels, samples.index, augmented.mixtures, strict=True):
        captions += [f"{samples.class_names[label]} · row {row}", *mixtures]
    images = np.concatenate([samples.images[:, None], drawn], axis=1)
    title = (
        f"{samples.label}: augmented training images\n{augmented.changes}\nframed: the image itself, with its class "
        f"and row of the training split; beside it {drawn.shape[1]} draws"
    )
    bar = f"pixel value after scaling ({samples.scaling}; no unit)"
    columns = images.shape[1]
    return _sheet(images.reshape(-1, *images.shape[2:]), captions, columns=columns, title=title, bar=bar, lead=True)


@styled
def draw_mistakes(mistakes: Mistakes) -> Figure:
    """The misclassified images, the most confident first, each with its true and predicted class and the confidence."""
    names = mistakes.class_names
    captions = [
        f"{names[true]} → {names[predicted]}\n{percentage(confidence)}\nrow {row}"
        for true, predicted, confidence, row in zip(
            mistakes.true, mistakes.predicted, mistakes.confidence, mistakes.index, strict=True
        )
    ]
    title = (
        f"{mistakes.label}: the most confident of {mistakes.wrong:,} wrong in {mistakes.examples:,} "
        f"{mistakes.split} images\ntrue class → predicted class, the confidence in the predicted one, and "
        f"the row of the {mistakes.split} split"
    )
    return _sheet(mistakes.images, captions, columns=6, title=title, bar="pixel value after scaling (no unit)")


@styled
def draw_seen(seen: SeenImages) -> Figure:
    """Image files as the network was given them."""
    title = f"{seen.label}: what the network saw\nfile, predicted class and the confidence in it"
    return _sheet(seen.images, seen.captions, columns=6, title=title, bar="ink (no unit)")


@styled
def draw_weights(weights: WeightImages) -> Figure:
    """First-layer weights, one image per hidden unit, on one scale, symmetric about 0, that clips the longest 0.2 %."""
    shown = len(weights.units)
    which = f"all {shown} units" if shown == weights.total else f"the {shown} longest of {weights.total:,} units"
    return _sheet(
        weights.images,
        [str(unit) for unit in weights.units],
        columns=math.ceil(math.sqrt(shown)),
        title=f"{weights.label}: first-layer weights by unit, {which}",
        bar="weight (no unit)",
        signed=True,
    )


def _sheet(
    images: FloatArray,
    captions: Sequence[str],
    *,
    columns: int,
    title: str,
    bar: str,
    signed: bool = False,
    lead: bool = False,
) -> Figure:
    """Images (n, height, width) row by row on one grey or, for signed values, colour scale, which a bar explains.

    Of images (n, height, width, 3) the scale is that of the brightness of red, green and blue. With ``lead`` the first
    of every row is in a frame and set apart.
    """
    norm, colours, extend = Normalize(images.min(), images.max()), "gray_r", "neither"
    if signed:
        largest = float(np.quantile(np.abs(images), _WITHIN)) or 1.0
        # The lightness of cividis rises evenly, so that the sign survives print in black and white.
        norm, colours, extend = Normalize(-largest, largest), "cividis", "both"
    if images.ndim == 4:
        images, colours, bar = np.clip(norm(images), 0, 1), "gray", f"{bar}, of each colour"
    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    lines = max(caption.count("\n") + 1 for caption in captions)
    widest = max(len(line) for caption in captions for line in caption.split("\n"))
    side = max(1.0, 0.075 * widest + 0.1) if len(images) > 1 else 4.2  # inches of a column
    high = _IMAGE * images.shape[1] / images.shape[2]
    row = high + (0.16 * lines + 0.14) / side  # in columns, as all lengths within the axes
    apart = _APART if lead else 0.0
    width = max(6.0, side * (columns + apart) + 1.3)
    figure = new_figure(width, max(3.4, side * row * rows + 0.4))
    # One pair of axes for all images: with one pair each, drawing 400 took 23 s instead of 7 s (2-core AMD EPYC).
    axes = figure.add_subplot(aspect="equal", anchor="NW")
    axes.set_axis_off()
    for index, (image, caption) in enumerate(zip(images, captions, strict=True)):
        place, bottom = index % columns, (index // columns + 1) * row
        left = place + (apart if place else 0.0)
        extent = (left, left + _IMAGE, bottom, bottom - high)
        axes.imshow(image, cmap=colours, norm=norm, interpolation="nearest", extent=extent, clip_on=False)
        edge, line = (COLOURS[0], 2.0) if lead and not place else ("#c8ced6", 1.0)
        frame = Rectangle((left, bottom), _IMAGE, -high, fill=False, edgecolor=edge, linewidth=line, clip_on=False)
        axes.add_patch(frame)
        middle, above = left + _IMAGE / 2, bottom - high - 0.04 / side
        axes.text(middle, above, caption, fontsize=8.5, ha="center", va="bottom", linespacing=1.15)
    axes.set(xlim=(0, columns + apart), ylim=(row * rows + 0.03, 0))
    figure.suptitle(fitted(title, width), x=0.01, ha="left", fontsize=10.5)
    mappable = ScalarMappable(norm=norm, cmap=colours)
    scale = figure.colorbar(mappable, ax=axes, shrink=0.7, aspect=28, pad=0.02, label=bar, extend=extend, panchor=False)
    scale.outline.set_visible(False)
    return figure
