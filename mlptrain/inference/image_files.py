"""Image files as a network can read them: grey, of the data set's size, light ink on dark ground.

An image of exactly the data set's size is used pixel for pixel. Any other is brought to the form in which the data set
was made: what is on it is cut out, scaled with antialiasing to a box, keeping its proportions, and put on empty ground.
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

from mlptrain.errors import UserError
from mlptrain.system.files import open_regular

Grey = NDArray[np.float32]

MOST_PIXELS = 50_000_000  # decoding one with transparency takes 8 to 16 bytes for each
MOST_SIDE = 100_000  # pixels; of an image a pixel wide, all of them are border and rows of their own, which cost most
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")  # decoders that only decode; EPS would run a program
_ENOUGH = 4_000_000  # pixels, which are more than enough to scale down from
_NO_GREY = {
    "F": "floating-point pixels of unknown range; save it with 8 or 16 bits",
    "LAB": "LAB pixels; save it as RGB",
}
_ORIENTATION = 0x0112  # of EXIF: 2 to 8 say how an image is to be turned or mirrored, 1 is upright, others mean nothing
_LEAST_CONTRAST = 0.1  # of the full range; below that an image is blank
_INK = 0.3  # of the strongest ink: what is fainter is noise of the paper


@dataclass(frozen=True)
class Picture:
    """An image (height, width) of values from 0 to 1, and what was done to it, in words."""

    grey: Grey
    notes: tuple[str, ...] = ()


def read_image(path: Path) -> Picture:
    """A file as it is seen: turned as its EXIF entry says, on white where it is transparent, 0 black and 1 white.

    Raises UserError for what is not a readable image of at most ``MOST_PIXELS`` pixels.
    """
    try:
        file = open_regular(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such image file") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}; name image files one by one") from None
    with file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd metadata, and of sizes, which are judged here
        try:
            with Image.open(file, formats=FORMATS) as image:
                return _decoded(path, image)
        except UserError:
            raise
        except MemoryError:
            raise
        except BlockingIOError as error:
            raise UserError(f"{path} cannot be read: {error.strerror}") from None
        except Image.DecompressionBombError:
            raise UserError(f"{path}: {_too_large('far too many')}") from None
        except UnidentifiedImageError:
            content = "is empty" if not os.fstat(file.fileno()).st_size else f"is no image in {', '.join(FORMATS)}"
            raise UserError(f"{path} {content}") from None
        except Exception as error:  # decoders raise nearly anything for damaged files
            raise UserError(f"{path} is a damaged image and cannot be decoded: {error}") from None


def _too_large(pixels: str) -> str:
    return f"the image has {pixels} pixels, the limit is {MOST_PIXELS:,}; scale it down first"


def _decoded(path: Path, image: Image.Image) -> Picture:
    if (pixels := image.width * image.height) > MOST_PIXELS:
        raise UserError(f"{path}: {_too_large(f'{pixels:,}')}")
    if (side := max(image.size)) > MOST_SIDE:
        raise UserError(f"{path}: the image is {side:,} pixels long, the limit is {MOST_SIDE:,}; scale it down first")
    notes = ["the first frame of several"] if getattr(image, "is_animated", False) else []
    if image.getexif().get(_ORIENTATION) in range(2, 9):
        notes.append("turned as its EXIF entry says")
    image.load()  # which turns a TIFF, and forgets its entry
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode in _NO_GREY:
        raise UserError(f"{path} holds {_NO_GREY[image.mode]}")
    if image.mode.startswith("I"):
        return Picture(_from_integers(path, image), tuple(notes))
    if image.has_transparency_data:
        seen = _reduced(image if image.mode in ("LA", "RGBA") else image.convert("RGBA")).convert("RGBA")
        grey = Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen).convert("L")
    else:
        grey = _reduced(image.convert("L"))
    return Picture(np.asarray(grey, dtype=np.float32) / np.float32(255), tuple(notes))


def _from_integers(path: Path, image: Image.Image) -> Grey:
    """16-bit pixels, which Pillow also delivers as 32-bit integers."""
    whole = image.convert("I")
    extrema: Any = whole.getextrema()  # of a mode with one channel: the lowest and the highest value
    if extrema[0] < 0 or extrema[1] > 65_535:
        raise UserError(f"{path} holds pixels of more than 16 bits; save it with 8 or 16 bits")
    return np.asarray(_reduced(whole), dtype=np.float32) / np.float32(65_535)


def _reduced(image: Image.Image) -> Image.Image:
    """The image with the means of squares of pixels for pixels, where it has more than enough."""
    factor = math.ceil(math.sqrt(image.width * image.height / _ENOUGH))
    return image.reduce(factor) if factor > 1 else image


def is_dark_on_light(grey: Grey) -> bool:
    """Whether the border is light, its median above one half, and in mean no darker than what it encloses.

    The second condition keeps light objects that fill their image: by the first alone, two bags of Fashion-MNIST's
    70,000 images would be inverted, and no other image of the three data sets.
    """
    inside = grey[1:-1, 1:-1]
    even = 1e-3  # of a uniform image both means are the same but for rounding
    return bool(_border_median(grey) > 0.5 and (not inside.size or _border(grey).mean() >= inside.mean() - even))


def fit(grey: Grey, shape: tuple[int, int], *, data: str) -> Picture:
    """Light ink on dark ground (height, width), brought to ``shape`` as the images of ``data`` are.

    Ground becomes 0 and the strongest ink 1. An image of that shape already is returned as it is.
    """
    if grey.shape == shape:
        return Picture(grey)
    ink = np.clip(grey - _border_median(grey), 0, None)
    if float(ink.max()) < _LEAST_CONTRAST:
        return Picture(np.zeros(shape, np.float32), ("blank: nothing stands out from the ground",))
    strong = ink > _INK * ink.max()
    rows, columns = (np.flatnonzero(strong.any(axis=axis)) for axis in (1, 0))
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    box, by_mass = ((20, 20), True) if data == "mnist" else (shape, False)
    scale = min(box[0] / ink.shape[0], box[1] / ink.shape[1])
    height, width = (max(1, round(side * scale)) for side in ink.shape)
    small = np.asarray(Image.fromarray(ink).resize((width, height), Image.Resampling.BILINEAR))
    small = small / small.max()  # thin lines fade when they are scaled down
    top, left = _corner(small, shape, by_mass=by_mass)
    fitted = np.zeros(shape, np.float32)
    fitted[top : top + height, left : left + width] = small
    size = f"{grey.shape[1]} × {grey.shape[0]}"
    return Picture(fitted, (f"cut out of {size} pixels and scaled to {shape[1]} × {shape[0]}",))


def _corner(small: Grey, shape: tuple[int, int], *, by_mass: bool) -> tuple[int, int]:
    """Row and column at which ``small`` lies centred in ``shape``, by its centre of mass or by its box."""
    corner = []
    for axis in (0, 1):
        free = shape[axis] - small.shape[axis]
        if by_mass:
            profile = small.sum(axis=1 - axis)
            centre = float((profile * (np.arange(len(profile)) + 0.5)).sum() / profile.sum())
            corner.append(min(max(round(shape[axis] / 2 + 0.5 - centre), 0), free))
        else:
            corner.append(free // 2)
    return corner[0], corner[1]


def _border_median(grey: Grey) -> float:
    return float(np.median(_border(grey)))


def _border(grey: Grey) -> Grey:
    """The outermost pixels, (n,); corners of a single row or column count twice."""
    return np.concatenate([grey[0], grey[-1], grey[1:-1, 0], grey[1:-1, -1]])
