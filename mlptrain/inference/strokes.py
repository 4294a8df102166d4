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
    ground = morph(smooth, size=window, mode="nearest")
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
    clean, found = _without_frames(mask)
    if found:
        notes.append("a frame left out")
    for axis in (0, 1):
        clean, found = _without_lines(clean, wider, axis)
        if found:
            notes.append("lines left out")
    kept, more = _chosen(clean)
    return kept, [*dict.fromkeys(notes), *more]


def _without_lines(mask: Mask, wider: Mask, axis: int) -> tuple[Mask, bool]:
    """The mask without straight lines from edge to edge, along rows (axis 0) or columns (axis 1)."""
    turned, faint = (mask, wider) if axis == 0 else (mask.T, wider.T)
    height, width = turned.shape
    y, x = np.nonzero(faint)
    if not len(y):
        return mask, False
    margin = math.ceil(_SLOPES.max() * width / 2) + 1
    places = np.arange(-margin, height + margin)
    columns = np.arange(width)
    lines: list[tuple[float, float, int]] = []
    for slope in _SLOPES if width > 60 else [0.0]:
        offsets = slope * (columns - (width - 1) / 2)
        at = np.rint(y - offsets[x]).astype(np.int64) + margin
        within = _share_within(places, slope, height, width)
        covered = np.bincount(at, minlength=len(places)) / np.maximum(within * width, 1)
        lines += [(covered[k], slope, int(places[k])) for k in np.nonzero((covered > 0.8) & (within > 0.3))[0]]
    runs, clean, found = _run_lengths(faint), turned.copy(), False
    done: list[tuple[float, int]] = []
    for _, slope, place in sorted(lines, reverse=True):
        rows = np.rint(place + slope * (columns - (width - 1) / 2)).astype(np.int64)
        inside = (rows >= 0) & (rows < height)
        at = runs[rows[inside], columns[inside]]
        thick = float(np.quantile(at[at > 0], 0.3))
        if thick > 0.08 * height or thick > 20:
            continue
        found = True
        limit = 1.7 * thick + 1
        for shift in range(-math.ceil(limit), math.ceil(limit) + 1):
            moved = rows + shift
            inside = (moved >= 0) & (moved < height)
            where = (moved[inside], columns[inside])
            clean[where] &= runs[where] > limit
    return (clean if axis == 0 else clean.T), found


def _share_within(places: NDArray[np.int64], slope: float, height: int, width: int) -> NDArray[np.float64]:
    """Which share of each line lies inside of the picture; the lines cross the middle column at these places."""
    if slope == 0:
        return ((places >= 0) & (places < height)).astype(np.float64)
    ends = np.sort([(-0.5 - places) / slope, (height - 0.5 - places) / slope], axis=0) / width + 0.5
    return np.asarray(np.diff(np.clip(ends, 0, 1), axis=0)[0])


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
        ends, thickness = [], []
        for turned in (part, part.T):
            reached = ndimage.binary_dilation(turned, np.ones((2 * tolerance + 1, 1), bool))
            rows = np.nonzero(reached.mean(axis=1) > 0.85)[0]
            if len(rows) == 0 or np.ptp(rows) < 0.4 * len(turned):
                break
            ends.append((rows.min(), rows.max()))
            for end in ends[-1]:
                at = _run_lengths(turned)[max(0, end - tolerance) : end + tolerance + 1].max(axis=0)
                thickness.append(float(np.median(at[at > 0])))
        if len(ends) < 2 or min(thickness) > 0.08 * min(part.shape):
            continue
        thick = min(thickness)
        frame = np.zeros_like(part)
        for pair, turned, into in zip(ends, (part, part.T), (frame, frame.T), strict=True):
            runs = _run_lengths(turned)
            for end in pair:
                band = slice(max(0, end - tolerance - round(thick)), end + tolerance + 1 + round(thick))
                into[band] |= turned[band] & (runs[band] <= 1.7 * thick + 1)
        others = mask[box] & ~frame
        tall = np.nonzero(others.any(axis=1))[0]
        if len(tall) == 0 or np.ptp(tall) < 0.2 * height:
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
        and 0.5 < tall[part] / tall[main] < 2
        and areas[part] > 0.25 * areas[main]
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
