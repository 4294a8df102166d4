"""Strokes on paper, found under uneven light and among lines, frames and dust.

The ground is estimated at every place: a smooth surface through the whole picture, and what is left of uneven light by
a morphological closing, the picture with all that is dark and narrow filled up. What lies clearly below is ink. Lines
that run through the picture, frames, specks and what reaches in from the edge are left out, and noted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]
Box = tuple[slice, slice]

BLANK = "blank: nothing stands out from the ground"

_SIDE = 640  # pixels to look at; a telephone's picture has six times as many a side, and nothing more to say
_COARSE = 48  # pixels a side for what is large: the light, and whether strokes are dark or light
_MIN_CONTRAST = 0.045  # of the ground's brightness; what is fainter counts as blank
_NOISES = 7.0  # standard deviations of the ground's noise that the strongest ink must exceed
_CLEARLY = 8  # times as much must stand out on one side of the ground for the other not to be tried
_PATTERN = 20  # drawings of one size that are no digits but the paper's, as crossings of its lines are
_EVEN = 0.7  # darkest against brightest ground that still counts as even light
_SLOPES = np.linspace(-0.09, 0.09, 37)  # of lines on paper that lies askew: up to five degrees
_SQUARE = np.ones((3, 3), dtype=bool)  # neighbours of a pixel, diagonal ones too


@dataclass(frozen=True)
class Strokes:
    """Ink (height, width) from 0 to 1, and what else there is to say.

    ``ink`` is 0 everywhere where the picture is blank. ``width`` is the mean width of the strokes in pixels.
    ``at_edge``: what was found goes on beyond the picture.
    """

    ink: Floats
    notes: tuple[str, ...] = ()
    width: float = math.inf
    at_edge: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether there is a drawing, all of it inside the picture."""
        return bool(self.ink.any()) and not self.at_edge


def small_copy(grey: Floats, side: int = _SIDE) -> Floats:
    """The picture (height, width) with at most so many pixels a side, by means of areas."""
    height, width = (max(1, round(length * min(1, side / max(grey.shape)))) for length in grey.shape)
    return np.asarray(Image.fromarray(grey).resize((width, height), Image.Resampling.BOX))


def darkness_and_lightness(grey: Floats) -> tuple[float, float]:
    """How much of the picture (height, width) is darker and how much is lighter than its surroundings, both from 0.

    Sums of squared differences from the median of a window two thirds as large as the picture, of which strokes cover
    less than half.
    """
    coarse = small_copy(grey, _COARSE)
    window = [max(3, 2 * side // 3) | 1 for side in coarse.shape]
    difference = coarse - _median_filtered(coarse, window)
    strong = np.where(np.abs(difference) > max(3 * _spread(difference), 0.01), difference, 0)
    return float((strong[strong < 0] ** 2).sum()), float((strong[strong > 0] ** 2).sum())


def _median_filtered(picture: Floats, window: Sequence[int]) -> Floats:
    """The median of the window around every pixel.

    What is drawn on a screen has a ground of one grey, which is then the median everywhere: counts of darker and of
    lighter pixels tell so in a hundredth of the time.
    """
    ground = np.median(picture)
    half, area = math.prod(window) // 2, math.prod(window)
    below, above = (
        ndimage.uniform_filter(other.astype(np.float64), window, mode="reflect") * area
        for other in (picture < ground, picture > ground)
    )
    if max(below.max(), above.max()) < half + 0.5:  # whole numbers but for rounding
        return np.full_like(picture, ground)
    return np.asarray(ndimage.median_filter(picture, size=window, mode="reflect"))


def find_ink(grey: Floats) -> tuple[Strokes, bool]:
    """The strokes of a picture (height, width), and whether they are dark on light.

    By what stands out more; where that is not much more, or is cut off by the picture's edge as sunlight on a desk is,
    strokes half as wide on the other side of the ground are preferred, and a note says so.
    """
    darkness, lightness = darkness_and_lightness(grey)
    less, more = sorted((darkness, lightness))
    # Of a digit cut out closely half of the paper can be lighter than its surroundings; then most of it is paper.
    dark = darkness > lightness if more > 2 * less else bool(np.median(grey) >= grey.mean())
    found = find_strokes(grey, dark=dark)
    if found.is_whole and more > _CLEARLY * less:
        return found, dark
    other = find_strokes(grey, dark=not dark)
    if not other.is_whole or (found.is_whole and other.width > 0.5 * found.width):
        return found, dark
    unclear = "doubtful: dark on light or light on dark; --invert or --no-invert decides"
    return replace(other, notes=(*other.notes, unclear)), not dark


def find_strokes(grey: Floats, *, dark: bool) -> Strokes:
    """The strokes of a picture (height, width), dark on light or light on dark, without what is not a stroke."""
    trend = _trend(grey)
    even: Floats = np.divide(grey, np.maximum(trend, 0.02)) if dark else np.subtract(grey, trend)
    _, contrast = _contrast(even, dark=dark, width=0.45 * math.sqrt(grey.size))
    level = _ink_level(contrast)
    if level is None:
        return Strokes(np.zeros_like(grey), (BLANK,))
    width, widest = _stroke_widths(contrast > level)
    ground, contrast = _contrast(even, dark=dark, width=max(3.5 * width, 1.2 * widest))
    kept, notes = _only_strokes(contrast)
    if dark:
        low, high = np.quantile(ground * trend, [0.02, 0.98])
        if low < _EVEN * high:
            notes = [f"uneven light: the ground falls to {100 * low / high:.0f} % of its brightest", *notes]
    if not kept.any():
        return Strokes(np.zeros_like(grey), (*notes, BLANK))
    strong = float(np.quantile(contrast[kept], 0.8))
    near = ndimage.binary_dilation(kept, _SQUARE, iterations=max(1, round(width / 4)))
    # Soft edges as in MNIST, but ink of one strength: a pen does not fade where light does.
    ink = np.where(near, np.clip((contrast / strong - 0.15) / 0.7, 0, 1), 0)
    return Strokes(ink.astype(np.float32), tuple(notes), _stroke_widths(kept)[0], _goes_on(kept))


def _trend(grey: Floats) -> Floats:
    """The quadratic surface that most of the picture lies on, which strokes hardly move: Cauchy's weights."""
    coarse = small_copy(grey, _COARSE)
    surface = _quadratic(coarse.shape)
    weights, values = np.ones(coarse.size), coarse.astype(np.float64).ravel()
    for _ in range(10):
        roots = np.sqrt(weights)
        coefficients = np.linalg.lstsq(surface * roots[:, None], values * roots, rcond=None)[0]
        difference = values - surface @ coefficients
        weights = 1 / (1 + (difference / (2 * _spread(difference) + 1e-3)) ** 2)
    whole = _quadratic(grey.shape) @ coefficients
    return np.clip(whole, values.min(), values.max()).reshape(grey.shape).astype(np.float32)


def _quadratic(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """1, x, y, x², xy and y² for every pixel, (height·width, 6); x and y from -1 to 1 over the picture."""
    y, x = (2 * (np.arange(side) + 0.5) / side - 1 for side in shape)
    y, x = (axis.ravel() for axis in np.meshgrid(y, x, indexing="ij"))
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)


def _contrast(even: Floats, *, dark: bool, width: float) -> tuple[Floats, Floats]:
    """The ground under strokes narrower than ``width`` pixels, and how far a pixel lies on ink's side of it."""
    smooth = ndimage.gaussian_filter(even, _blur(even))
    closing = ndimage.grey_closing if dark else ndimage.grey_opening
    ground = closing(smooth, size=max(3, round(width)) | 1, mode="nearest")
    contrast = 1 - smooth / np.maximum(ground, 0.02) if dark else smooth - ground
    return ground, np.asarray(contrast - np.median(contrast))  # a closing follows the brightest grains of the paper


def _ink_level(contrast: Floats) -> float | None:
    """The contrast from which on a pixel is ink; None where nothing stands out."""
    count = max(1, contrast.size // 2000)
    strongest = float(np.partition(contrast, -count, axis=None)[-count:].mean())
    noise = _noise(contrast)
    return None if strongest < max(_MIN_CONTRAST, _NOISES * noise) else max(0.4 * strongest, 2.5 * noise)


def _only_strokes(contrast: Floats) -> tuple[Mask, list[str]]:
    """The pixels of the drawing, and what was left out. Where that was all the ink, fainter ink is looked for."""
    contrast, notes = contrast.copy(), list[str]()
    for _ in range(3):
        if (level := _ink_level(contrast)) is None:
            break
        mask, wider = contrast > level, contrast > 0.5 * level
        rest, across = _without_lines(mask, wider)
        turned, along = _without_lines(rest.T, wider.T)
        rest, framed = _without_frames(turned.T)
        kept, more = _drawing(rest)
        found = [*["a printed frame left out"] * framed, *["lines left out"] * (across or along), *more]
        notes += [note for note in found if note not in notes]
        if kept.any():
            return kept, notes
        contrast[ndimage.binary_dilation(mask, _SQUARE, iterations=2)] = 0
    return np.zeros(contrast.shape, dtype=bool), notes


def _without_lines(mask: Mask, wider: Mask) -> tuple[Mask, bool]:
    """The mask without straight lines that cross the picture along its rows, and whether there were any.

    ``wider`` holds fainter pixels too: there lines are whole, and as thick as they are. Strokes that cross a line are
    thicker than it at that place and stay.
    """
    height, width = mask.shape
    runs, clean, found = _run_lengths(wider), mask.copy(), False
    from_middle = np.arange(width) - (width - 1) / 2
    for slope, place in _lines(wider):
        rows = np.rint(place + slope * from_middle).astype(np.int64)
        inside = (rows >= 0) & (rows < height)
        lengths = runs[rows[inside], np.nonzero(inside)[0]]
        ends = max(2, len(lengths) // 60)
        if not (lengths[:ends].any() and lengths[-ends:].any()):  # a frame's side, which goes with its others
            continue
        thickness = float(np.quantile(lengths[lengths > 0], 0.3))
        if thickness > 0.08 * height:
            continue
        found, limit = True, 1.4 * thickness + 1
        for shift in range(-math.ceil(limit), math.ceil(limit) + 1):
            inside = (rows + shift >= 0) & (rows + shift < height)
            at = (rows[inside] + shift, np.nonzero(inside)[0])
            clean[at] &= runs[at] > limit
    return clean, found


def _lines(mask: Mask) -> Iterator[tuple[float, int]]:
    """Slope and row in the middle column of straight lines that the mask covers by four fifths: a Radon transform."""
    height, width = mask.shape
    y, x = np.nonzero(mask)
    if not len(y):
        return
    from_middle, margin = x - (width - 1) / 2, math.ceil(_SLOPES.max() * width / 2) + 1
    places = np.arange(-margin, height + margin)
    for slope in _SLOPES if width > 60 else [0.0]:
        at = np.rint(y - slope * from_middle).astype(np.int64) + margin
        pixels = np.bincount(at, minlength=len(places))
        if pixels.max() < 0.2 * width:  # of 0.3 of the width, the shortest that counts, four fifths are more
            continue
        within = _share_within(places, slope, height, width)
        covered = pixels / np.maximum(within * width, 1)
        yield from ((float(slope), int(places[k])) for k in np.nonzero((covered > 0.8) & (within > 0.3))[0])


def _share_within(places: NDArray[np.int64], slope: float, height: int, width: int) -> NDArray[np.float64]:
    """Which share of each line lies inside of the picture; the lines cross the middle column at these places."""
    if slope == 0:
        return ((places >= 0) & (places < height)).astype(np.float64)
    ends = np.sort([(-0.5 - places) / slope, (height - 0.5 - places) / slope], axis=0) / width + 0.5
    return np.asarray(np.diff(np.clip(ends, 0, 1), axis=0)[0])


def _run_lengths(mask: Mask) -> NDArray[np.int64]:
    """For every pixel of the mask the length of its run along the column, 0 elsewhere."""
    steps = np.diff(np.pad(mask, ((1, 1), (0, 0))).astype(np.int8), axis=0).T
    columns, starts = np.nonzero(steps == 1)
    ends = np.nonzero(steps == -1)[1]
    marks = np.zeros((mask.shape[0] + 1, mask.shape[1]), dtype=np.int64)
    marks[starts, columns] += ends - starts
    marks[ends, columns] -= ends - starts
    return np.cumsum(marks, axis=0)[:-1]


def _without_frames(mask: Mask) -> tuple[Mask, bool]:
    """The mask without thin rectangles, closed or open on one side, that have something in them."""
    clean, found = mask.copy(), False
    labels, _ = ndimage.label(mask, _SQUARE)
    for number, box in enumerate(ndimage.find_objects(labels), 1):
        part = labels[box] == number
        if min(part.shape) < max(8, 0.15 * min(mask.shape)):
            continue
        frame = _frame(part)
        inside = np.nonzero((mask[box] & ~frame).any(axis=1))[0]
        if frame.any() and len(inside) and np.ptp(inside) > 0.2 * len(part):
            clean[box] &= ~frame
            found = True
    return clean, found


def _frame(part: Mask) -> Mask:
    """The thin straight sides of a component that fills its box, at least three; empty where it is not a frame."""
    tolerance = max(1, round(0.04 * max(part.shape)))
    sides: list[tuple[bool, int]] = []
    for turned in (False, True):
        view = part.T if turned else part
        reached = ndimage.binary_dilation(view, np.ones((2 * tolerance + 1, 1), dtype=bool))
        rows = np.nonzero(reached.mean(axis=1) > 0.85)[0]
        ends = {int(rows.min()), int(rows.max())} if len(rows) else set()
        if ends and np.ptp(rows) < 0.4 * len(view):
            ends = {round(rows.mean())}
        sides += [(turned, end) for end in ends]
    frame = np.zeros_like(part)
    if len(sides) < 3:
        return frame
    runs = {False: _run_lengths(part), True: _run_lengths(part.T)}
    bands = [(turned, slice(max(0, end - tolerance), end + tolerance + 1)) for turned, end in sides]
    longest = [runs[turned][band].max(axis=0) for turned, band in bands]
    thickness = min(float(np.median(lengths[lengths > 0])) for lengths in longest)
    if thickness > 0.08 * min(part.shape):
        return frame
    wide = round(thickness)
    for turned, band in bands:
        view, into = (part.T, frame.T) if turned else (part, frame)
        near = slice(max(0, band.start - wide), band.stop + wide)
        into[near] |= view[near] & (runs[turned][near] <= 1.7 * thickness + 1)
    return frame


def _drawing(mask: Mask) -> tuple[Mask, list[str]]:
    """The components that make up the drawing, and what is doubtful about it."""
    labels, count = ndimage.label(mask, _SQUARE)
    if not count:
        return mask, []
    boxes: list[Box] = ndimage.find_objects(labels)
    areas = np.asarray(ndimage.sum_labels(mask, labels, np.arange(1, count + 1)))
    sizes = np.array([[part.stop - part.start for part in box] for box in boxes])
    notes = []
    use = np.ones(count, dtype=bool)
    reaching = np.array([_reaches_edge(box, mask.shape) for box in boxes])
    inner = ~reaching & (sizes.max(axis=1) >= 0.2 * min(mask.shape))
    if reaching.any() and inner.any():
        use = ~reaching
        if areas[reaching].max() >= 0.1 * areas[inner].max():
            notes.append("doubtful: something that reaches in from the edge is left out")
    main = int(np.argmax(np.where(use, areas, 0)))
    for part in np.nonzero(use)[0]:
        gap, share = _gap(boxes[part], boxes[main]), areas[part] / areas[main]
        line_below = sizes[part][1] > max(8 * sizes[part][0], 0.9 * sizes[main][1])
        speck = share < 0.02 or (share < 0.15 and gap > 0.3 * sizes[main].max())
        use[part] = part == main or not (speck or line_below)
    beside = [
        part
        for part in np.nonzero(use)[0]
        if 0.5 < sizes[part][0] / sizes[main][0] < 2
        and areas[part] > 0.25 * areas[main]
        and _gap(boxes[part], boxes[main]) > 0
    ]
    if len(beside) >= _PATTERN:
        return np.zeros_like(mask), ["grain or a pattern of the paper left out"]
    if beside:
        notes.append(f"doubtful: {len(beside) + 1} drawings side by side; cut the digits out one by one")
    elif sizes[main][1] > 1.7 * sizes[main][0]:
        notes.append("doubtful: wider than a digit, perhaps several that touch")
    return np.isin(labels, np.nonzero(use)[0] + 1), notes


def _reaches_edge(box: Box, shape: tuple[int, ...]) -> bool:
    return any(part.start == 0 or part.stop == side for part, side in zip(box, shape, strict=True))


def _gap(one: Box, other: Box) -> int:
    """The pixels between two boxes along rows or columns, whichever is more; 0 where both overlap."""
    distances: list[int] = [max(a.start - b.stop, b.start - a.stop) + 1 for a, b in zip(one, other, strict=True)]
    return max(0, *distances)


def _goes_on(kept: Mask) -> bool:
    """Whether a drawing touches the picture's edge without filling the picture, as a closely cut one does."""
    box: Box = ndimage.find_objects(kept.astype(np.int8))[0]
    fills = all(part.stop - part.start >= 0.85 * side for part, side in zip(box, kept.shape, strict=True))
    return _reaches_edge(box, kept.shape) and not fills


def _stroke_widths(mask: Mask) -> tuple[float, float]:
    """The mean and the largest width of strokes in pixels.

    Four times the mean distance to the ground, as of a bar, and twice the largest.
    """
    box: Box = ndimage.find_objects(mask.astype(np.int8))[0]
    mask = np.pad(mask[box], 1)
    distance = ndimage.distance_transform_edt(mask)
    return 4 * float(distance[mask].mean()) - 1, 2 * float(distance.max())


def _noise(contrast: Floats) -> float:
    """The standard deviation of grain, from differences of pixels farther apart than smoothing reaches.

    Slow changes of light do not count, nor does ink, as long as most of these pairs do not lie across its edges.
    """
    lag = 1 + math.ceil(3 * _blur(contrast))
    pairs = [(contrast[lag:] - contrast[:-lag]).ravel(), (contrast[:, lag:] - contrast[:, :-lag]).ravel()]
    differences = np.concatenate(pairs)
    median = float(np.median(np.abs(differences))) if differences.size else 0.0
    return 1.4826 * median / math.sqrt(2)


def _blur(picture: Floats) -> float:
    """The standard deviation in pixels of the smoothing against grain, thinner than any stroke."""
    return float(max(picture.shape)) / 450


def _spread(values: NDArray[np.floating]) -> float:
    """The standard deviation of the bulk: 1.4826 times the median distance from the median, as of a normal one."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))
