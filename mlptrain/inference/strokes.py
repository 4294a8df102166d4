"""Strokes on paper, found under uneven light and among lines, frames and dust.

The ground is estimated at every place by a morphological closing: the picture with all that is dark and narrow filled
up. What lies clearly below is ink. Lines that run through the picture, frames, specks and what reaches in from the edge
are taken away, and noted. Lengths are in pixels of a copy of at most ``_SIDE`` pixels a side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

_SIDE = 640  # pixels to look at; a telephone's picture has six times as many a side, and nothing more to say
_COARSE = 48  # pixels a side that the polarity is decided on
_MIN_CONTRAST = 0.035  # of the ground's brightness; what is fainter counts as blank
_NOISES = 5.0  # standard deviations of the ground's noise that ink must exceed
_SLOPES = np.linspace(-0.09, 0.09, 37)  # of lines on paper that lies askew: up to five degrees
_EVEN = 0.7  # darkest against brightest ground that still counts as even light
_SQUARE = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True)
class Strokes:
    """Ink (height, width) from 0 to 1, and what is to be said about it; all 0 where the picture is blank."""

    ink: Floats
    notes: tuple[str, ...] = ()


def small_copy(grey: Floats) -> Floats:
    """The picture (height, width) with at most ``_SIDE`` pixels a side, by means of areas."""
    factor = _SIDE / max(grey.shape)
    if factor >= 1:
        return grey
    height, width = (max(1, round(side * factor)) for side in grey.shape)
    return np.asarray(Image.fromarray(grey).resize((width, height), Image.Resampling.BOX))


def darkness_against_lightness(grey: Floats) -> tuple[float, float]:
    """How much of the picture (height, width) is darker, and how much is lighter than what surrounds it.

    Sums of squared differences from the median of a window of half the picture: strokes cover less than half of one.
    """
    height, width = (min(_COARSE, side) for side in grey.shape)
    coarse = np.asarray(Image.fromarray(grey).resize((width, height), Image.Resampling.BOX))
    window = [max(3, side // 2) | 1 for side in coarse.shape]
    difference = coarse - ndimage.median_filter(coarse, size=window, mode="reflect")
    noise = 3 * _spread(difference)
    strong = np.where(np.abs(difference) > max(noise, 0.01), difference, 0)
    return float((strong[strong < 0] ** 2).sum()), float((strong[strong > 0] ** 2).sum())


def find_strokes(grey: Floats, *, dark: bool) -> Strokes:
    """The strokes of a picture (height, width), dark on light or light on dark, without what is not a stroke."""
    grey = np.asarray(grey, dtype=np.float32)
    ground, contrast = _contrast(grey, dark=dark, size=0.45 * min(grey.shape))
    level = _level(contrast)
    if level is None:
        return Strokes(np.zeros_like(grey), ("blank: nothing stands out from the ground",))
    width = _stroke_width(contrast > level)
    ground, contrast = _contrast(grey, dark=dark, size=max(3.0, 3.5 * width))
    notes = []
    light = np.quantile(ground, [0.02, 0.98])
    if dark and light[0] < _EVEN * light[1]:
        notes.append(f"uneven light: the ground falls to {light[0] / light[1]:.0%} of its brightest".replace("%", " %"))
    kept, removed = _only_strokes(contrast)
    if not kept.any():
        return Strokes(np.zeros_like(grey), (*notes, "blank: nothing stands out from the ground", *removed))
    strong = float(np.quantile(contrast[kept], 0.8))
    near = ndimage.binary_dilation(kept, _SQUARE, iterations=max(1, round(width / 4)))
    ink = np.clip((contrast / strong - 0.15) / 0.7, 0, 1) * near
    return Strokes(ink.astype(np.float32), (*notes, *removed))


def _contrast(grey: Floats, *, dark: bool, size: float) -> tuple[Floats, Floats]:
    """The ground without strokes narrower than ``size``, and how far each pixel lies below (or above) it, 0 to 1."""
    blur = max(grey.shape) / 450
    smooth = ndimage.gaussian_filter(grey, blur) if blur > 0.3 else grey
    window = max(3, round(size)) | 1
    morph = ndimage.grey_closing if dark else ndimage.grey_opening
    ground = morph(ndimage.gaussian_filter(smooth, blur * 2) if blur > 0.3 else smooth, size=window, mode="nearest")
    contrast = 1 - smooth / np.maximum(ground, 0.02) if dark else (smooth - ground) / np.maximum(1 - ground, 0.5)
    contrast = contrast - np.median(contrast)
    return ground, np.clip(contrast, 0, 1).astype(np.float32)


def _level(contrast: Floats) -> float | None:
    """The contrast from which on a pixel is ink, half of the strongest; None where nothing stands out."""
    strongest = float(np.sort(contrast, axis=None)[-max(1, contrast.size // 2000) :].mean())
    noise = _spread(contrast)
    if strongest < max(_MIN_CONTRAST, _NOISES * noise):
        return None
    return max(0.4 * strongest, _NOISES / 2 * noise)


def _only_strokes(contrast: Floats) -> tuple[Mask, list[str]]:
    """Pixels of the digit, and what else there was, in words."""
    notes: list[str] = []
    contrast = contrast.copy()
    for _ in range(3):
        level = _level(contrast)
        if level is None:
            break
        mask = contrast > level
        kept, what = _cleaned(mask, contrast > 0.5 * level)
        notes += [note for note in what if note not in notes]
        if kept.any():
            return kept, notes
        contrast[ndimage.binary_dilation(mask, _SQUARE, iterations=2)] = 0
    return np.zeros(contrast.shape, bool), notes


def _cleaned(mask: Mask, wider: Mask) -> tuple[Mask, list[str]]:
    notes = []
    clean = mask
    for axis in (0, 1):
        clean, found = _without_lines(clean, axis)
        if found:
            notes.append("lines left out")
    clean, found = _without_frames(clean)
    if found:
        notes.append("a frame left out")
    kept, more = _chosen(clean)
    return kept, [*dict.fromkeys(notes), *more]


def _without_lines(mask: Mask, axis: int) -> tuple[Mask, bool]:
    """The mask without straight lines from edge to edge, along rows (axis 0) or columns (axis 1)."""
    turned = mask if axis == 0 else mask.T
    height, width = turned.shape
    y, x = np.nonzero(turned)
    if not len(y):
        return mask, False
    best: list[tuple[float, float, int]] = []
    margin = math.ceil(0.09 * width)
    for slope in _SLOPES if width > 60 else [0.0]:
        places = np.rint(y - slope * (x - width / 2)).astype(np.int64) + margin
        covered = np.bincount(places, minlength=height + 2 * margin) / width
        best += [(float(covered[place]), float(slope), int(place) - margin) for place in np.nonzero(covered > 0.8)[0]]
    if not best:
        return mask, False
    runs = _run_lengths(turned)
    clean = turned.copy()
    columns = np.arange(width)
    for _, slope, place in sorted(best, reverse=True):
        rows = np.rint(place + slope * (columns - width / 2)).astype(np.int64)
        inside = (rows >= 0) & (rows < height)
        at = runs[rows[inside], columns[inside]]
        if not (at > 0).any():
            continue
        thick = float(np.median(at[at > 0]))
        if thick > 0.1 * height:
            continue
        limit = 1.7 * thick + 1
        reach = math.ceil(limit)
        for shift in range(-reach, reach + 1):
            moved = rows + shift
            inside = (moved >= 0) & (moved < height)
            where = (moved[inside], columns[inside])
            clean[where] &= runs[where] > limit
    if clean.sum() < 0.05 * turned.sum():
        pass
    return (clean if axis == 0 else clean.T), True


def _run_lengths(mask: Mask) -> NDArray[np.int64]:
    """For every pixel of the mask the length of its run along the column, 0 elsewhere."""
    padded = np.pad(mask, ((1, 1), (0, 0)))
    lengths = np.zeros(mask.shape, dtype=np.int64)
    changes = np.diff(padded.astype(np.int8), axis=0)
    columns, starts = np.nonzero(changes.T == 1)
    _, ends = np.nonzero(changes.T == -1)
    marks = np.zeros((mask.shape[0] + 1, mask.shape[1]), dtype=np.int64)
    np.add.at(marks, (starts, columns), ends - starts)
    np.add.at(marks, (ends, columns), starts - ends)
    lengths = np.cumsum(marks, axis=0)[:-1]
    return lengths


def _without_frames(mask: Mask) -> tuple[Mask, bool]:
    labels, count = ndimage.label(mask, _SQUARE)
    found = False
    clean = mask.copy()
    for number, box in enumerate(ndimage.find_objects(labels), 1):
        part = labels[box] == number
        height, width = part.shape
        if min(height, width) < 0.25 * min(mask.shape) or min(height, width) < 8:
            continue
        tolerance = max(1, round(0.02 * max(part.shape)))
        sides = []
        for turned in (part, part.T):
            reached = ndimage.binary_dilation(turned, np.ones((2 * tolerance + 1, 1), bool))
            rows = np.nonzero(reached.mean(axis=1) > 0.75)[0]
            sides.append(rows)
        if any(len(rows) == 0 or np.ptp(rows) < 0.4 * extent for rows, extent in zip(sides, part.shape, strict=True)):
            continue
        frame = np.zeros_like(part)
        for rows, turned, into in zip(sides, (part, part.T), (frame, frame.T), strict=True):
            runs = _run_lengths(turned)
            for end in (rows.min(), rows.max()):
                band = slice(max(0, end - tolerance), end + tolerance + 1)
                at = runs[band].max(axis=0)
                thick = float(np.median(at[at > 0]))
                lower, upper = max(0, band.start - round(thick)), band.stop + round(thick)
                into[lower:upper] |= turned[lower:upper] & (runs[lower:upper] <= 1.7 * thick + 1)
        rest = part & ~frame
        others = (mask[box] & ~part) | rest
        if others.sum() < 0.01 * part.size:
            continue
        clean[box] &= ~frame
        found = True
    return clean, found


def _chosen(mask: Mask) -> tuple[Mask, list[str]]:
    """The parts that make up the digit."""
    labels, count = ndimage.label(mask, _SQUARE)
    if not count:
        return mask, []
    boxes = ndimage.find_objects(labels)
    areas = ndimage.sum_labels(mask, labels, np.arange(1, count + 1))
    tall = np.array([box[0].stop - box[0].start for box in boxes])
    wide = np.array([box[1].stop - box[1].start for box in boxes])
    notes = []
    at_edge = np.array([
        box[0].start == 0 or box[1].start == 0 or box[0].stop == mask.shape[0] or box[1].stop == mask.shape[1]
        for box in boxes
    ])  # fmt: skip
    large = np.maximum(tall, wide)
    use = np.ones(count, bool)
    inner = ~at_edge & (large >= 0.2 * min(mask.shape))
    if at_edge.any() and inner.any():
        use &= ~at_edge
        if (areas[at_edge] >= 0.1 * areas[inner].max()).any():
            notes.append("doubtful: something that reaches in from the edge is left out")
    main = int(np.argmax(np.where(use, areas, 0)))
    box = boxes[main]
    reach = 0.3 * large[main]
    for part in np.nonzero(use)[0]:
        if part == main:
            continue
        if areas[part] < 0.02 * areas[main]:
            use[part] = False
            continue
        gap = max(
            *(max(boxes[part][a].start - box[a].stop, box[a].start - boxes[part][a].stop, 0) for a in (0, 1)), 0
        )
        if gap > reach and areas[part] < 0.15 * areas[main]:
            use[part] = False
    siblings = [
        part
        for part in np.nonzero(use)[0]
        if part != main
        and large[part] >= 0.5 * large[main]
        and any(boxes[part][a].start >= box[a].stop or box[a].start >= boxes[part][a].stop for a in (0, 1))
    ]
    if siblings:
        notes.append(f"doubtful: several digits or drawings ({len(siblings) + 1}); cut them out one by one")
    elif wide[main] > 1.7 * tall[main]:
        notes.append("doubtful: wider than a digit, perhaps several that touch")
    return np.isin(labels, np.nonzero(use)[0] + 1), notes


def _stroke_width(mask: Mask) -> float:
    """The width of the strokes in pixels: four times the mean distance to the ground, which is so for a bar."""
    return 4 * float(ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1][mask].mean()) - 1


def _spread(values: Floats) -> float:
    """The standard deviation of the bulk: 1.4826 times the median distance from the median."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))
