"""Image files as a network can read them: grey, of the data set's size, light ink on dark ground.

An image of exactly the data set's size is used pixel for pixel. Any other is brought to the form in which the data set
was made: its content is cut out, scaled with antialiasing to a box, keeping its proportions, and put on empty ground.
MNIST's box is 20 × 20 of the 28 × 28 pixels, with the centre of mass in the middle (LeCun, Bottou, Bengio & Haffner,
Gradient-based learning applied to document recognition, 1998, section III.A; over the test images it lies at 14.5 of 28
in mean, half a pixel beyond). Fashion-MNIST and the digits fill the whole image.
"""

from __future__ import annotations

import math
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from scipy import ndimage

from mlptrain.errors import UserError
from mlptrain.inference.strokes import darkness_against_lightness, find_strokes, small_copy
from mlptrain.system.files import open_regular

Grey = NDArray[np.float32]

MAX_PIXELS = 50_000_000  # decoding one with transparency takes 8 to 16 bytes for each
MAX_SIDE = 100_000  # pixels; in an image one pixel wide each is border and a row of its own, which costs most
_LIMITS = f"scale it down to at most {MAX_PIXELS:,} pixels in all and {MAX_SIDE:,} a side"
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")  # decoders that only decode; EPS would run a program
_LISTED = ", ".join(FORMATS)
_ENOUGH = 4_000_000  # pixels to scale down from
_ORIENTATION = 0x0112  # of EXIF: 2 to 8 say how to turn or mirror an image, 1 is upright, others mean nothing
_MIN_CONTRAST = 0.1  # of the full range; below that an image is blank
_INK = 0.3  # of the strongest ink: fainter pixels are noise of the paper


@dataclass(frozen=True)
class Picture:
    """An image (height, width) of values from 0 to 1, and what was done to it, in words."""

    grey: Grey
    notes: tuple[str, ...] = ()
    inverted: bool = False


def read_image(path: Path) -> Picture:
    """A file as it is seen: turned as its EXIF entry says, on white where it is transparent, 0 black and 1 white.

    Raises UserError for anything but a readable image of at most ``MAX_PIXELS`` pixels.
    """
    try:
        file = open_regular(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such image file") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}; name image files one by one") from None
    with file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd metadata, and of sizes, which are checked here
        try:
            with Image.open(file, formats=FORMATS) as image:
                return _decoded(path, image)
        except (UserError, MemoryError):
            raise
        except Image.DecompressionBombError:
            raise UserError(f"{path}: the image is far too large; {_LIMITS}") from None
        except UnidentifiedImageError:
            empty = not os.fstat(file.fileno()).st_size
            raise UserError(f"{path} is {'empty' if empty else f'not an image in {_LISTED}'}") from None
        except Exception as error:  # decoders raise nearly anything for damaged files
            raise UserError(f"{path} is a damaged image and cannot be decoded: {error}") from None


def _decoded(path: Path, image: Image.Image) -> Picture:
    if image.width * image.height > MAX_PIXELS or max(image.size) > MAX_SIDE:
        raise UserError(f"{path}: the image has {image.width:,} × {image.height:,} pixels; {_LIMITS}")
    notes = ["the first frame of several"] if getattr(image, "is_animated", False) else []
    if image.getexif().get(_ORIENTATION) in range(2, 9):
        notes.append("turned as its EXIF entry says")
    image.load()  # which turns a TIFF, and forgets its entry
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode in ("F", "LAB"):  # floating-point numbers of unknown range, and no known way to grey
        raise UserError(f"{path} holds pixels of mode {image.mode}; save it as grey or RGB with 8 or 16 bits")
    grey, white = _grey(path, image)
    return Picture(np.asarray(grey, dtype=np.float32) / np.float32(white), tuple(notes))


def _grey(path: Path, image: Image.Image) -> tuple[Image.Image, int]:
    """One channel, reduced where there are more than enough pixels, and its value for white."""
    if image.mode.startswith("I"):  # 16 bits, which Pillow also delivers as 32-bit integers
        whole = image.convert("I")
        extrema: Any = whole.getextrema()  # of a mode with one channel: the lowest and the highest value
        if extrema[0] < 0 or extrema[1] > 65_535:
            raise UserError(f"{path} holds pixels of more than 16 bits; save it with 8 or 16 bits")
        return _reduced(whole), 65_535
    if image.has_transparency_data:
        seen = _reduced(image if image.mode in ("LA", "RGBA") else image.convert("RGBA")).convert("RGBA")
        ground = _behind(seen)
        return Image.alpha_composite(Image.new("RGBA", seen.size, (ground, ground, ground, 255)), seen).convert("L"), 255
    return _reduced(image.convert("L")), 255


def _behind(image: Image.Image) -> int:
    """The grey to put behind what is transparent: that of a card, else white behind dark strokes, black behind light.

    A card is opaque, but for its corners and what surrounds it, and has something on it; strokes are of one grey, or
    leave most of their box free.
    """
    grey, opacity = (np.asarray(band, dtype=np.float64) / 255 for band in (image.convert("RGB").convert("L"), image.getchannel("A")))
    box = image.getchannel("A").getbbox()
    if box is None:
        return 255
    visible = opacity[box[1] : box[3], box[0] : box[2]]
    mean = float(np.average(grey, weights=opacity))
    spread = math.sqrt(float(np.average((grey - mean) ** 2, weights=opacity)))
    if visible.mean() > 0.6 and spread > 0.1:
        return round(float(np.median(grey[opacity > 0.5])) * 255)
    return 255 if mean <= 0.5 else 0


def _reduced(image: Image.Image) -> Image.Image:
    """Means of squares of pixels where there are more than enough."""
    factor = math.ceil(math.sqrt(image.width * image.height / _ENOUGH))
    return image.reduce(factor) if factor > 1 else image


def is_dark_on_light(grey: Grey) -> bool:
    """Whether strokes are darker than their surroundings."""
    darker, lighter = darkness_against_lightness(grey)
    return darker > lighter


def fit(grey: Grey, shape: tuple[int, int], *, data: str, invert: bool | None = None) -> Picture:
    small = small_copy(grey)
    dark = is_dark_on_light(small) if invert is None else invert
    light = 1 - grey if dark else grey
    first = ("dark on light, inverted",) if dark else ()
    if grey.shape == shape and _as_stored(light, data):
        return Picture(light, first, dark)
    strokes = find_strokes(small, dark=dark)
    ink = strokes.ink
    if not ink.any():
        return Picture(np.zeros(shape, np.float32), (*first, *strokes.notes), dark)
    left, top, right, bottom = Image.fromarray(ink > _INK * ink.max()).getbbox() or (0, 0, *ink.shape[::-1])
    ink = ink[top:bottom, left:right]
    box = (20, 20) if data == "mnist" else shape
    scale = min(box[0] / ink.shape[0], box[1] / ink.shape[1])
    height, width = (max(1, round(side * scale)) for side in ink.shape)
    shrunk = np.asarray(Image.fromarray(ink).resize((width, height), Image.Resampling.BILINEAR))
    shrunk = shrunk / shrunk.max()  # thin lines fade when they are scaled down
    top, left = (_offset(shrunk.sum(axis=1 - axis), shape[axis], by_mass=data == "mnist") for axis in (0, 1))
    fitted = np.zeros(shape, np.float32)
    fitted[top : top + height, left : left + width] = shrunk
    size = f"{grey.shape[1]} × {grey.shape[0]}"
    cut = f"cut out of {size} pixels and scaled to {shape[1]} × {shape[0]}"
    return Picture(fitted, (*first, cut, *strokes.notes), dark)


def _as_stored(light: Grey, data: str) -> bool:
    """MNIST: longest side 19 or 20, centre of mass at 14 to 15, ground exactly 0."""
    inked = light > 0
    if inked.all() or light.max() < 0.98 * (14 / 16 if data == "digits" else 1):
        return False
    rows, columns = (np.nonzero(inked.any(axis=1 - axis))[0] for axis in (0, 1))
    longest = max(np.ptp(rows), np.ptp(columns)) + 1
    if data == "mnist":
        centres = ndimage.center_of_mass(light)
        return bool(longest in (19, 20) and all(13.4 <= centre <= 14.6 for centre in centres))
    centres = ((rows[0] + rows[-1] + 1) / 2, (columns[0] + columns[-1] + 1) / 2)
    return bool(
        longest >= light.shape[0] - 2 and all(abs(c - side / 2) <= 1.5 for c, side in zip(centres, light.shape))
    )


def _offset(profile: Grey, length: int, *, by_mass: bool) -> int:
    """Where the ink of each row or column (n,) begins in ``length``, centred by its centre of mass or by its box."""
    free = length - len(profile)
    if not by_mass:
        return free // 2
    centre = float((profile * (np.arange(len(profile)) + 0.5)).sum() / profile.sum())
    return min(max(round(length / 2 + 0.5 - centre), 0), free)


def _border(grey: Grey) -> Grey:
    """The outermost pixels, (n,); corners of a single row or column count twice."""
    return np.concatenate([grey[0], grey[-1], grey[1:-1, 0], grey[1:-1, -1]])
