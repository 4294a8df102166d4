"""Pictures of a digit as people make them: paper, light, lines, frames and files of many kinds, drawn from a seed.

``KINDS`` names them; each takes the digit (28, 28) with values from 0 to 255 and a generator, which decides strength,
place, size and direction. ``save`` writes what a kind returns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

Floats = NDArray[np.float64]
Rng = np.random.Generator


@dataclass(frozen=True)
class Drawn:
    """A picture, the suffix of its file, and the options to save it with."""

    image: Image.Image
    suffix: str = ".png"
    options: dict[str, Any] = field(default_factory=dict)

    def save(self, stem: Path) -> Path:
        path = stem.with_suffix(self.suffix)
        self.image.save(path, **self.options)
        return path


def enlarged(digit: NDArray[np.uint8], height: int, *, smooth: float = 0.0) -> Floats:
    """The digit's box with the ink from 0 to 1, this many pixels long; ``smooth`` sharpens edges after blurring."""
    rows, columns = np.nonzero(digit)
    cut = digit[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    scale = height / max(cut.shape)
    width, tall = (max(1, round(side * scale)) for side in cut.shape[::-1])
    large = Image.fromarray(np.pad(cut, 2)).resize(
        (round(width * (cut.shape[1] + 4) / cut.shape[1]), round(tall * (cut.shape[0] + 4) / cut.shape[0])),
        Image.Resampling.BICUBIC if scale > 1 else Image.Resampling.LANCZOS,
    )
    ink = np.asarray(large, dtype=np.float64) / 255
    if smooth:
        ink = np.clip((ndimage.gaussian_filter(ink, smooth * scale) - 0.35) / 0.3, 0, 1)
    return ink


def thinned(digit: NDArray[np.uint8], height: int, width: float) -> Floats:
    """The digit's middle line, drawn with a pen of this width in pixels."""
    solid = enlarged(digit, height) > 0.4
    middle = _skeleton(solid)
    distance = ndimage.distance_transform_edt(~middle)
    return np.asarray(np.clip((width / 2 + 0.5) - distance, 0, 1), dtype=np.float64)


def _skeleton(solid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Zhang and Suen's thinning (A fast parallel algorithm for thinning digital patterns, 1984)."""
    image = np.pad(solid, 1).astype(np.int8)
    while True:
        before = image.sum()
        for step in (0, 1):
            p = [np.roll(image, shift, (0, 1)) for shift in
                 ((1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1))]  # fmt: skip
            neighbours = sum(p)
            turns = sum((p[i] == 0) & (p[(i + 1) % 8] == 1) for i in range(8))
            first, second = (p[0] * p[2] * p[4], p[2] * p[4] * p[6]) if step == 0 else (
                p[0] * p[2] * p[6], p[0] * p[4] * p[6])  # fmt: skip
            gone = (image == 1) & (neighbours >= 2) & (neighbours <= 6) & (turns == 1) & (first == 0) & (second == 0)
            image[gone] = 0
        if image.sum() == before:
            return np.asarray(image[1:-1, 1:-1] == 1)


def placed(ink: Floats, shape: tuple[int, int], rng: Rng, *, margin: float = 0.06) -> Floats:
    """The ink somewhere on an empty sheet (height, width), at least a share of the shorter side from its edge."""
    sheet = np.zeros(shape)
    edge = round(margin * min(shape))
    top, left = (
        int(rng.integers(edge, max(edge + 1, a - b - edge + 1))) for a, b in zip(shape, ink.shape, strict=True)
    )
    part = ink[: shape[0] - top, : shape[1] - left]
    sheet[top : top + part.shape[0], left : left + part.shape[1]] = part
    return sheet


def sheet(digit: NDArray[np.uint8], rng: Rng, *, share: tuple[float, float] = (0.35, 0.7), **options: Any) -> Floats:
    """The digit as ink from 0 to 1 on a sheet of a random shape between 150 and 500 pixels a side."""
    shape = (int(rng.integers(150, 500)), int(rng.integers(150, 500)))
    return placed(enlarged(digit, int(min(shape) * rng.uniform(*share)), **options), shape, rng)


def on_paper(ink: Floats, rng: Rng, *, paper: Floats | float | None = None, darkness: float | None = None) -> Floats:
    """Grey from 0 to 1: what the paper reflects, less the ink's share."""
    paper = rng.uniform(0.75, 1.0) if paper is None else paper
    darkness = rng.uniform(0.6, 0.95) if darkness is None else darkness
    return np.asarray(paper * (1 - darkness * ink), dtype=np.float64)


def grey(values: Floats) -> Image.Image:
    return Image.fromarray(np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8))


def _axes(shape: tuple[int, ...]) -> tuple[Floats, Floats]:
    """Rows and columns from -1 to 1."""
    y, x = np.meshgrid(np.linspace(-1, 1, shape[0]), np.linspace(-1, 1, shape[1]), indexing="ij")
    return y, x


def ramp(shape: tuple[int, ...], rng: Rng, low: float) -> Floats:
    """From 1 down to ``low`` in any direction."""
    y, x = _axes(shape)
    angle = rng.uniform(0, 2 * np.pi)
    along = y * np.sin(angle) + x * np.cos(angle)
    return np.asarray(1 - (1 - low) * (along - along.min()) / np.ptp(along))


def vignette(shape: tuple[int, ...], rng: Rng, low: float) -> Floats:
    """From 1 at some place near the middle down to ``low`` in the farthest corner."""
    y, x = _axes(shape)
    distance = np.hypot(y - rng.uniform(-0.4, 0.4), x - rng.uniform(-0.4, 0.4))
    return np.asarray(1 - (1 - low) * (distance / distance.max()) ** rng.uniform(1.5, 3))


def shadow(shape: tuple[int, ...], rng: Rng, low: float) -> Floats:
    """A hard shadow over a part of the sheet, with a soft edge."""
    y, x = _axes(shape)
    angle = rng.uniform(0, 2 * np.pi)
    along = y * np.sin(angle) + x * np.cos(angle) - rng.uniform(-0.5, 0.5)
    return np.asarray(1 - (1 - low) / (1 + np.exp(-along / rng.uniform(0.03, 0.15))))


def darker_edge(digit: NDArray[np.uint8], rng: Rng) -> Drawn:
    """Paper that darkens by 2 to 40 % towards all edges."""
    ink = sheet(digit, rng)
    y, x = _axes(ink.shape)
    towards = np.maximum(np.abs(y), np.abs(x)) ** rng.uniform(1, 12)
    return Drawn(
        grey(on_paper(ink, rng, paper=rng.uniform(0.8, 1) * (1 - rng.choice([0.02, 0.03, 0.1, 0.2, 0.4]) * towards)))
    )


def lit(light: Callable[[tuple[int, ...], Rng, float], Floats]) -> Callable[[NDArray[np.uint8], Rng], Drawn]:
    """Uneven light, saved as JPEG with a camera's noise."""

    def draw(digit: NDArray[np.uint8], rng: Rng) -> Drawn:
        ink = sheet(digit, rng, share=(0.3, 0.6))
        paper = rng.uniform(0.8, 1) * light(ink.shape, rng, rng.uniform(0.35, 0.65))
        image = on_paper(ink, rng, paper=paper) + rng.normal(0, rng.uniform(0, 0.02), ink.shape)
        return Drawn(grey(image), ".jpg", {"quality": int(rng.integers(70, 96))})

    return draw


def same_size(digit: NDArray[np.uint8], rng: Rng) -> Drawn:
    """28 × 28 pixels, with the digit of any size at any place, on any ground, dark or light."""
    ink = placed(enlarged(digit, int(rng.integers(11, 25))), (28, 28), rng, margin=0)
    ground, stroke = rng.choice([(1, 0), (0, 1), (0.5, 1), (0.5, 0), (0.8, 0.2), (0.2, 0.9), (0.1, 0.7), (0.95, 0.3)])
    return Drawn(grey(ground + (stroke - ground) * ink))


def corner(digit: NDArray[np.uint8], rng: Rng) -> Drawn:
    """28 × 28 pixels, the digit as it is but in a corner."""
    rows, columns = np.nonzero(digit)
    down, right = (int(rng.choice([-at.min(), 27 - at.max()])) for at in (rows, columns))
    return Drawn(Image.fromarray(np.roll(digit, (down, right), (0, 1))))


def transparent(stroke: tuple[float, float]) -> Callable[[NDArray[np.uint8], Rng], Drawn]:
    """Strokes of a drawing canvas on transparent ground, whose hidden colour is black or white."""

    def draw(digit: NDArray[np.uint8], rng: Rng) -> Drawn:
        ink = sheet(digit, rng)
        colour = np.rint(np.clip(rng.uniform(*stroke) + rng.uniform(-0.04, 0.04, 3), 0, 1) * 255).astype(np.uint8)
        pixels = np.empty((*ink.shape, 4), np.uint8)
        pixels[..., :3] = np.where(ink[..., None] > 0, colour, rng.choice([0, 255]))
        pixels[..., 3] = np.rint(np.clip(ink, 0, 1) * 255)
        return Drawn(Image.fromarray(pixels))

    return draw


def card(digit: NDArray[np.uint8], rng: Rng) -> Drawn:
    """A round white card with a dark digit on transparent ground."""
    ink = sheet(digit, rng, share=(0.3, 0.45))
    mask = ndimage.binary_dilation(ink > 0.3, iterations=3)
    rows, columns = np.nonzero(mask)
    y, x = np.mgrid[: ink.shape[0], : ink.shape[1]]
    away = np.maximum(np.abs(y - rows.mean()) / np.ptp(rows), np.abs(x - columns.mean()) / np.ptp(rows))
    pixels = np.empty((*ink.shape, 4), np.uint8)
    pixels[..., :3] = np.rint(np.clip(1 - 0.9 * ink, 0, 1) * 255)[..., None]
    pixels[..., 3] = np.where(away < 0.75, 255, 0)
    return Drawn(Image.fromarray(pixels))


def _lines(shape: tuple[int, ...], rng: Rng, *, vertical: bool, slope: float = 0.0) -> Floats:
    """Lines from 0 to 1 at equal distances; one lies on the border every other time."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    across = (x + slope * y) if vertical else (y + slope * x)
    pitch = rng.uniform(0.07, 0.2) * min(shape)
    first = 0.0 if rng.random() < 0.5 else rng.uniform(0, pitch)
    width = rng.uniform(1, max(1.5, 0.008 * min(shape)))
    distance = np.abs((across - first + pitch / 2) % pitch - pitch / 2)
    return np.asarray(np.clip(width / 2 + 0.5 - distance, 0, 1))


def lined(*, squared: bool, dark: tuple[float, float], slope: float = 0.0) -> Callable[[NDArray[np.uint8], Rng], Drawn]:
    """Ruled or squared paper with lines of so much of the paper's brightness."""

    def draw(digit: NDArray[np.uint8], rng: Rng) -> Drawn:
        ink, turned = sheet(digit, rng), rng.uniform(-slope, slope)
        lines = _lines(ink.shape, rng, vertical=False, slope=turned)
        if squared:
            lines = np.maximum(lines, _lines(ink.shape, rng, vertical=True, slope=-turned))
        paper = rng.uniform(0.85, 1) * (1 - rng.uniform(*dark) * lines)
        return Drawn(grey(on_paper(ink, rng, paper=paper)))

    return draw


def framed(*, inset: tuple[float, float]) -> Callable[[NDArray[np.uint8], Rng], Drawn]:
    """A form's field: a printed frame, so far from the edge, with the digit in it."""

    def draw(digit: NDArray[np.uint8], rng: Rng) -> Drawn:
        shape = (int(rng.integers(150, 400)), int(rng.integers(150, 400)))
        ink = np.zeros(shape)
        edges = [round(rng.uniform(*inset) * side) for side in (shape[0], shape[0], shape[1], shape[1])]
        top, bottom, left, right = edges[0], shape[0] - edges[1], edges[2], shape[1] - edges[3]
        width = int(rng.integers(1, 7))
        ink[top:bottom, left:right] = 1
        ink[top + width : bottom - width, left + width : right - width] = 0
        ink *= rng.uniform(0.5, 1)
        inner = (bottom - top - 2 * width - 4, right - left - 2 * width - 4)
        large = enlarged(digit, int(min(inner) * rng.uniform(0.4, 0.75)))
        spot = placed(large, inner, rng, margin=0.03)
        ink[top + width + 2 : bottom - width - 2, left + width + 2 : right - width - 2] = spot
        return Drawn(grey(on_paper(ink, rng)))

    return draw


def form_field(digit: NDArray[np.uint8], rng: Rng) -> Drawn:
    """Printed round the digit: a frame that lies askew, a box open above, a comb, a line below, a rounded frame."""
    height = int(rng.integers(60, 200))
    side, width = round(height * rng.uniform(1.3, 1.8)), int(rng.integers(1, 5))
    ink = placed(enlarged(digit, height), (side, side), rng, margin=0.08)
    frame = np.zeros((side, side))
    kind = rng.integers(5)
    frame[-width:] = 1
    if kind != 3:
        frame[:, :width] = frame[:, -width:] = 1
    if kind in (0, 4):
        frame[:width] = 1
    if kind == 2:
        frame[: side // 2] = 0
    if kind == 4:
        y, x = np.abs(np.mgrid[:side, :side] - (side - 1) / 2)
        radius = 0.15 * side
        away = np.hypot(np.maximum(y - side / 2 + radius, 0), np.maximum(x - side / 2 + radius, 0))
        frame[:] = np.clip(
            1 - np.abs(np.maximum(away, np.maximum(y, x) - side / 2 + radius) - radius + width / 2) + width / 2 - 0.5,
            0,
            1,
        )
    whole = np.pad(np.maximum(ink, frame * rng.uniform(0.4, 1)), int(rng.integers(10, 80)))
    if kind == 0:
        whole = ndimage.rotate(whole, rng.uniform(-4, 4), reshape=False, order=1)
    return Drawn(grey(on_paper(whole, rng)))


def pencil_on_lines(digit: NDArray[np.uint8], rng: Rng) -> Drawn:
    """Thin strokes on ruled or squared paper, whose lines are thinner and fainter than the strokes, but not by much."""
    height = int(rng.integers(120, 300))
    pen = rng.uniform(0.02, 0.05) * height
    large = np.pad(thinned(digit, height, pen), 6)
    shape = (int(height * rng.uniform(1.4, 2.2)), int(height * rng.uniform(1.4, 2.2)))
    ink = placed(large, shape, rng)
    lines = _lines(shape, rng, vertical=False, slope=rng.uniform(-0.02, 0.02))
    if rng.random() < 0.5:
        lines = np.maximum(lines, _lines(shape, rng, vertical=True))
    paper = 0.9 * (1 - rng.uniform(0.1, 0.35) * lines)
    return Drawn(grey(on_paper(ink, rng, paper=paper, darkness=rng.uniform(0.45, 0.8))), ".jpg", {"quality": 85})


def thin_pen(digit: NDArray[np.uint8], rng: Rng) -> Drawn:
    """A fineliner: lines of 1 to 2 % of the digit's height."""
    height = int(rng.integers(150, 500))
    large = np.pad(thinned(digit, height, max(1.0, rng.uniform(0.008, 0.02) * height)), 6)
    return Drawn(grey(on_paper(placed(large, (round(height * 1.5), round(height * 1.7)), rng), rng)))


def no_brightness(digit: NDArray[np.uint8], rng: Rng) -> Drawn:
    """Ink and paper of nearly the same brightness that differ in colour alone."""
    ink = sheet(digit, rng)[..., None]
    pairs = [
        ((90, 200, 90), (235, 110, 130)),
        ((200, 60, 60), (70, 110, 200)),
        ((250, 250, 250), (255, 240, 60)),
        ((150, 150, 150), (80, 160, 220)),
    ]
    paper, colour = (np.array(one, float) for one in pairs[rng.integers(len(pairs))])
    return Drawn(Image.fromarray(np.rint(np.clip(paper * (1 - ink) + colour * ink, 0, 255)).astype(np.uint8)))


def deep_shade(digit: NDArray[np.uint8], rng: Rng) -> Drawn:
    """Brightness falls to between an eighth and a third."""
    ink = sheet(digit, rng, share=(0.3, 0.6))
    light = [ramp, vignette][rng.integers(2)](ink.shape, rng, rng.uniform(0.12, 0.33))
    return Drawn(grey(on_paper(ink, rng, paper=0.95 * light) + rng.normal(0, 0.006, ink.shape)), ".jpg")


def crossed_frame(digit: NDArray[np.uint8], rng: Rng) -> Drawn:
    """A field whose frame the digit touches or crosses."""
    height = int(rng.integers(120, 220))
    large = enlarged(digit, height)
    ink = np.zeros((int(height * 1.8), int(height * 1.8)))
    top, left = (ink.shape[0] - large.shape[0]) // 2, (ink.shape[1] - large.shape[1]) // 2
    ink[top : top + large.shape[0], left : left + large.shape[1]] = large
    side, width = round(height * rng.uniform(0.94, 1.25)), int(rng.integers(1, 5))
    frame = np.zeros_like(ink)
    down, right = ((ink.shape[0] - side) // 2 + round(height * rng.uniform(-0.08, 0.08)) for _ in range(2))
    frame[down : down + side, right : right + side] = 1
    frame[down + width : down + side - width, right + width : right + side - width] = 0
    return Drawn(grey(on_paper(np.maximum(ink, frame * rng.uniform(0.5, 1)), rng)))


def several(digit: NDArray[np.uint8], rng: Rng) -> Drawn:
    """Two to four of the same digit side by side."""
    count, height = int(rng.integers(2, 5)), int(rng.integers(60, 150))
    each = [np.pad(enlarged(digit, round(height * rng.uniform(0.85, 1))), 4) for _ in range(count)]
    tall = max(one.shape[0] for one in each)
    row = np.concatenate([np.pad(one, ((0, tall - one.shape[0]), (0, int(rng.integers(0, 20))))) for one in each], 1)
    return Drawn(grey(on_paper(np.pad(row, int(rng.integers(20, 60))), rng)))


def noisy(digit: NDArray[np.uint8], rng: Rng) -> Drawn:
    ink = sheet(digit, rng)
    return Drawn(
        grey(on_paper(ink, rng, paper=rng.uniform(0.6, 0.9)) + rng.normal(0, rng.uniform(0.03, 0.12), ink.shape))
    )


def speckled(digit: NDArray[np.uint8], rng: Rng) -> Drawn:
    """Dust: dark and light pixels here and there, and a few larger specks."""
    ink = sheet(digit, rng)
    image = on_paper(ink, rng)
    salt = rng.random(ink.shape)
    image[salt < 0.003], image[salt > 0.997] = 0, 1
    for _ in range(int(rng.integers(1, 8))):
        y, x, size = rng.integers(0, ink.shape[0]), rng.integers(0, ink.shape[1]), int(rng.integers(2, 5))
        image[y : y + size, x : x + size] = 0.2
    return Drawn(grey(image))


def blurred(digit: NDArray[np.uint8], rng: Rng) -> Drawn:
    ink = sheet(digit, rng)
    return Drawn(grey(ndimage.gaussian_filter(on_paper(ink, rng), min(ink.shape) * rng.uniform(0.005, 0.02))))


def compressed(digit: NDArray[np.uint8], rng: Rng) -> Drawn:
    return Drawn(grey(on_paper(sheet(digit, rng), rng)), ".jpg", {"quality": int(rng.integers(5, 30))})


def pencil(digit: NDArray[np.uint8], rng: Rng) -> Drawn:
    """Thin, faint strokes on paper with grain."""
    height = int(rng.integers(120, 400))
    large = np.pad(thinned(digit, height, rng.uniform(0.015, 0.04) * height), 6)
    shape = (int(height * rng.uniform(1.4, 2.5)), int(height * rng.uniform(1.4, 2.5)))
    ink = placed(large, shape, rng)
    paper = rng.uniform(0.75, 0.95) + ndimage.gaussian_filter(rng.normal(0, 0.02, shape), 1)
    return Drawn(grey(on_paper(ink, rng, paper=paper, darkness=rng.uniform(0.25, 0.6))), ".jpg", {"quality": 85})


def faint(digit: NDArray[np.uint8], rng: Rng) -> Drawn:
    ink = sheet(digit, rng)
    ground, contrast = rng.uniform(0.3, 0.9), rng.uniform(0.06, 0.2) * rng.choice([-1, 1])
    return Drawn(grey(ground + contrast * ink + rng.normal(0, 0.005, ink.shape)))


def photographed(digit: NDArray[np.uint8], rng: Rng) -> Drawn:
    """Twelve million pixels from a telephone: uneven light, blur, noise, turned by EXIF."""
    ink = placed(enlarged(digit, int(rng.integers(60, 200)), smooth=0.6), (300, 400), rng)
    light = ramp(ink.shape, rng, rng.uniform(0.5, 0.9)) * vignette(ink.shape, rng, rng.uniform(0.7, 0.95))
    image = on_paper(ink, rng, paper=0.85 * light) + rng.normal(0, 0.01, ink.shape)
    large = grey(image).resize((4000, 3000), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x0112] = 8  # turned by 90° counter-clockwise to be upright
    return Drawn(large.transpose(Image.Transpose.ROTATE_270), ".jpg", {"quality": 80, "exif": exif})


def coloured(digit: NDArray[np.uint8], rng: Rng) -> Drawn:
    """Ink of one colour on paper of another, as PNG, palette or CMYK."""
    ink = sheet(digit, rng)[..., None]
    papers = [(250, 240, 200), (255, 200, 200), (190, 220, 255), (200, 250, 200), (255, 235, 90), (170, 170, 175)]
    inks = [(20, 30, 140), (160, 20, 30), (10, 80, 40), (30, 30, 30), (90, 20, 110)]
    paper, colour = (np.array(choice[rng.integers(len(choice))], float) for choice in (papers, inks))
    image = Image.fromarray(np.rint(np.clip(paper * (1 - ink) + colour * ink, 0, 255)).astype(np.uint8))
    return [Drawn(image), Drawn(image.quantize(16)), Drawn(image.convert("CMYK"), ".jpg")][rng.integers(3)]


def chalk(digit: NDArray[np.uint8], rng: Rng) -> Drawn:
    """Light on dark under uneven light."""
    ink = sheet(digit, rng)
    light = ramp(ink.shape, rng, rng.uniform(0.5, 1))
    board = rng.uniform(0.08, 0.3)
    return Drawn(grey(light * (board + (0.9 - board) * ink) + rng.normal(0, 0.01, ink.shape)))


def tight(digit: NDArray[np.uint8], rng: Rng) -> Drawn:
    """Cut out closely around the strokes."""
    ink = np.pad(enlarged(digit, int(rng.integers(40, 300))), int(rng.integers(0, 3)))
    return Drawn(grey(on_paper(ink[2:-2, 2:-2], rng) if rng.random() < 0.5 else ink[2:-2, 2:-2]))


def edge_objects(digit: NDArray[np.uint8], rng: Rng) -> Drawn:
    """The table beside the paper, or a finger on its edge."""
    ink = np.pad(sheet(digit, rng, share=(0.35, 0.55)), int(rng.integers(40, 80)))
    image = on_paper(ink, rng)
    y, x = _axes(ink.shape)
    angle = rng.uniform(0, 2 * np.pi)
    if rng.random() < 0.5:
        along = y * np.sin(angle) + x * np.cos(angle)
        image[along > np.abs(along).max() * 0.85] = rng.uniform(0.05, 0.5)
    else:
        side = rng.choice([-1, 1])
        finger = np.hypot((y - side) / 0.35, (x - rng.uniform(-0.8, 0.8)) / 0.15) < 1
        image[finger] = rng.uniform(0.2, 0.6)
    return Drawn(grey(ndimage.gaussian_filter(image, 1)), ".jpg")


def clean(*, light: bool) -> Callable[[NDArray[np.uint8], Rng], Drawn]:
    """Black on white or white on black, of any size and place."""

    def draw(digit: NDArray[np.uint8], rng: Rng) -> Drawn:
        ink = np.clip(sheet(digit, rng), 0, 1)
        return Drawn(grey(ink if light else 1 - ink))

    return draw


def as_stored(digit: NDArray[np.uint8], rng: Rng) -> Drawn:
    """Exported to the pixel."""
    return Drawn(Image.fromarray(digit if rng.random() < 0.5 else 255 - digit))


def clean280(digit: NDArray[np.uint8], rng: Rng) -> Drawn:
    """The whole image ten times as large, dark or light."""
    large = np.asarray(Image.fromarray(digit).resize((280, 280), Image.Resampling.BICUBIC))
    return Drawn(Image.fromarray(large if rng.random() < 0.5 else 255 - large))


def blank(digit: NDArray[np.uint8], rng: Rng) -> Drawn:
    """Paper with nothing on it, under even or uneven light."""
    shape = (int(rng.integers(100, 400)), int(rng.integers(100, 400)))
    light = [lambda *_: np.ones(shape), ramp, vignette, shadow][rng.integers(4)](shape, rng, rng.uniform(0.5, 0.9))
    noise = rng.choice([0, 0.01, 0.05])
    return Drawn(grey(rng.uniform(0.3, 1) * light + rng.normal(0, noise, shape)), rng.choice([".png", ".jpg"]))


def blank_lined(digit: NDArray[np.uint8], rng: Rng) -> Drawn:
    empty = np.zeros_like(digit)
    empty[14, 14] = 1  # hardly any ink
    return lined(squared=bool(rng.integers(2)), dark=(0.1, 0.5))(empty, rng)


def worst(digit: NDArray[np.uint8], rng: Rng) -> Drawn:
    """All at once: ruled, turned a little, in uneven light, blurred, noisy, compressed."""
    ink = sheet(digit, rng, share=(0.35, 0.6), smooth=0.5)
    slope = rng.uniform(-0.04, 0.04)
    lines = _lines(ink.shape, rng, vertical=False, slope=slope)
    light = [ramp, vignette, shadow][rng.integers(3)](ink.shape, rng, rng.uniform(0.5, 0.8))
    image = on_paper(ink, rng, paper=0.9 * light * (1 - rng.uniform(0.1, 0.4) * lines))
    image = ndimage.gaussian_filter(image, 1) + rng.normal(0, 0.02, ink.shape)
    return Drawn(grey(image), ".jpg", {"quality": int(rng.integers(50, 90))})


Kind = Callable[[NDArray[np.uint8], Rng], Drawn]
KINDS: dict[str, Kind] = {
    "as stored": as_stored,
    "clean, dark": clean(light=False),
    "clean, light": clean(light=True),
    "clean, whole image": clean280,
    "paper darker at the edge": darker_edge,
    "light falls off": lit(ramp),
    "vignette": lit(vignette),
    "hard shadow": lit(shadow),
    "28 × 28, any place": same_size,
    "28 × 28, in the corner": corner,
    "light on transparent": transparent((0.75, 1)),
    "dark on transparent": transparent((0, 0.35)),
    "grey on transparent": transparent((0.4, 0.6)),
    "card on transparent": card,
    "ruled, faint": lined(squared=False, dark=(0.1, 0.5)),
    "squared, faint": lined(squared=True, dark=(0.1, 0.5)),
    "ruled, dark": lined(squared=False, dark=(0.5, 0.95)),
    "squared, dark": lined(squared=True, dark=(0.5, 0.95)),
    "ruled, turned": lined(squared=False, dark=(0.2, 0.9), slope=0.05),
    "frame at the edge": framed(inset=(0, 0)),
    "frame inside": framed(inset=(0.03, 0.15)),
    "frame crossed": crossed_frame,
    "other fields": form_field,
    "pencil on lines": pencil_on_lines,
    "thin pen": thin_pen,
    "colour alone": no_brightness,
    "deep shade": deep_shade,
    "several digits": several,
    "noise": noisy,
    "dust": speckled,
    "blur": blurred,
    "JPEG artefacts": compressed,
    "pencil": pencil,
    "faint": faint,
    "4000 × 3000": photographed,
    "colours": coloured,
    "chalk": chalk,
    "cut closely": tight,
    "table or finger": edge_objects,
    "all at once": worst,
    "blank": blank,
    "blank, lined": blank_lined,
}  # fmt: skip
