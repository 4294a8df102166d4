"""Image files as a network can read them: grey, of the data set's size, light ink on dark ground.

An image of the data set, exported, is used pixel for pixel. Any other is brought to the form in which the data set was
made: its content is found, cut out, scaled with antialiasing to a box, keeping its proportions, and put on empty
ground.
MNIST's box is 20 × 20 of the 28 × 28 pixels, with the centre of mass in the middle (LeCun, Bottou, Bengio & Haffner,
Gradient-based learning applied to document recognition, 1998, section III.A; over the test images it lies at 14.5 of 28
in mean, half a pixel beyond). Fashion-MNIST and the digits fill the whole image.
"""

from __future__ import annotations

import io
import math
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from scipy import ndimage

from mlptrain.errors import UserError
from mlptrain.inference.strokes import BLANK, darkness_and_lightness, find_ink, find_strokes, small_copy
from mlptrain.sources.arrays.image_files import FORMATS, MAX_PIXELS, SENT, decoded, quiet
from mlptrain.system.files import open_regular
from mlptrain.system.paths import AnyPath, user_path

Grey = NDArray[np.float32]

MAX_SIDE = 100_000  # pixels; in an image one pixel wide each is border and a row of its own, which costs most
_LIMITS = f"scale it down to at most {MAX_PIXELS:,} pixels in all and {MAX_SIDE:,} a side"
_LISTED = ", ".join(FORMATS)
_ENOUGH = 4_000_000  # pixels to scale down from
_ORIENTATION = 0x0112  # of EXIF: 2 to 8 say how to turn or mirror an image, 1 is upright, others mean nothing
_FAINTEST = 0.04  # of the full range; what differs less from the ground is no part of an object
_MIN_CONTRAST = 0.1  # of the full range; below that an image is blank
_CLEARER = 4.0  # times the squared contrast, for one colour to be taken instead of brightness


@dataclass(frozen=True)
class Picture:
    """An image of values from 0 to 1, what was done to it, in words, and whether it was inverted.

    It is (height, width), and as ``plain_image`` reads it also (height, width, 3).
    """

    grey: Grey
    notes: tuple[str, ...] = ()
    inverted: bool = False


@dataclass(frozen=True)
class Layout:
    """How the images of a data set were made, which others are brought to.

    ``margin`` in pixels is left free on each side of the content, which is centred ``by_mass``, else by its box.
    ``strokes`` says that the content is drawn in strokes, and ``faintest`` which share of the strongest ink counts as
    content. Images as stored are known by the rest: ``longest``, how long
    in pixels the longer side of the content's box is at least, and ``centre``, how far in pixels that centre lies from
    the image's middle at most, down and to the right, and up and to the left.
    """

    margin: int
    by_mass: bool
    strokes: bool
    faintest: float
    longest: int
    centre: tuple[float, float]

    def is_as_stored(self, grey: Grey) -> bool:
        """Whether an image of the data set's size, light ink on dark ground, is one of its images, to the pixel.

        True of all of MNIST's 70,000, of Fashion-MNIST's 70,000 and of the 1,797 digits.
        """
        if grey.min() > 0 or grey.max() < _FULL_INK:
            return False
        rows, columns = (np.nonzero((grey > 0).any(axis=1 - axis))[0] for axis in (0, 1))
        longest = 1 + max(np.ptp(rows), np.ptp(columns))
        box = ((rows[0] + rows[-1]) / 2, (columns[0] + columns[-1]) / 2)
        centre = ndimage.center_of_mass(grey) if self.by_mass else box
        away = [at - (side - 1) / 2 for at, side in zip(centre, grey.shape, strict=True)]
        fits = all(-self.centre[1] <= distance <= self.centre[0] for distance in away)
        return bool(self.longest <= longest <= max(grey.shape) - 2 * self.margin and fits)


LAYOUTS = {
    "mnist": Layout(margin=4, by_mass=True, strokes=True, faintest=0.3, longest=19, centre=(1.05, 0.05)),
    "digits": Layout(margin=0, by_mass=False, strokes=True, faintest=0.3, longest=8, centre=(1.0, 1.5)),
}
_FULL = Layout(margin=0, by_mass=False, strokes=False, faintest=0, longest=26, centre=(1.0, 0.5))  # of Fashion-MNIST
_FULL_INK = 0.85  # the strongest of an image as stored: 14 of 16 in the digits, 254 of 255 in the others
_INVERTED = "dark on light, inverted"


def read_image(image: AnyPath | bytes) -> Picture:
    """A file, or the bytes of one, as it is seen: 0 black and 1 white.

    Turned as its EXIF entry says, on white where it is transparent. Raises UserError for anything but a readable image
    of at most ``MAX_PIXELS`` pixels.
    """
    path = SENT if isinstance(image, bytes) else user_path(image)
    try:
        file = io.BytesIO(image) if isinstance(image, bytes) else open_regular(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such image file") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}; name image files one by one") from None
    with file, quiet():
        try:
            with Image.open(file, formats=FORMATS) as opened:
                return _decoded(path, opened)
        except (UserError, MemoryError):
            raise
        except Image.DecompressionBombError:
            raise UserError(f"{path}: the image is far too large; {_LIMITS}") from None
        except UnidentifiedImageError:
            empty = not file.seek(0, os.SEEK_END)
            raise UserError(f"{path} is {'empty' if empty else f'not an image in {_LISTED}'}") from None
        except Exception as error:  # decoders raise nearly anything for damaged files
            raise UserError(f"{path} is a damaged image and cannot be decoded: {error}") from None


def plain_image(image: AnyPath | bytes, shape: tuple[int, ...], *, invert: bool | None = None) -> Picture:
    """A file, or the bytes of one, as the images of one's own data are read: scaled to ``shape``, and nothing else.

    ``invert`` makes it its negative. Raises UserError for anything but a readable image.
    """
    file = image if isinstance(image, bytes) else user_path(image)
    with quiet():
        whole = decoded(file, (shape[0], shape[1]), grey=len(shape) == 2)
    pixels = whole.astype(np.float32) / np.float32(255)
    return Picture(1 - pixels, (_INVERTED,), inverted=True) if invert else Picture(pixels)


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
        card = Image.new("RGBA", seen.size, (ground, ground, ground, 255))
        return Image.alpha_composite(card, seen).convert("L"), 255
    return _reduced(_clearest(image)), 255


def _clearest(image: Image.Image) -> Image.Image:
    """The image in grey; or its red, green or blue, where ink and paper differ in colour and hardly in brightness."""
    grey = image.convert("L")
    if image.mode in ("1", "L"):
        return grey
    bands = [grey, *image.convert("RGB").split()]
    small = [np.asarray(band.resize((32, 32), Image.Resampling.BOX), np.float32) / np.float32(255) for band in bands]
    if np.ptp(small[0]) > 0.5 or np.ptp(small, axis=0).max() < 0.1:
        return grey  # clear enough, or without colours
    clear = [max(darkness_and_lightness(band)) for band in small]
    best = int(np.argmax(clear))
    return bands[best] if clear[best] > _CLEARER * clear[0] else grey


def _behind(image: Image.Image) -> int:
    """The grey to put behind what is transparent: that of a card, else white behind dark strokes, black behind light.

    A card is opaque, but for its corners and what surrounds it, and has something on it; strokes are of one grey, or
    leave most of their box free.
    """
    bands = (image.convert("RGB").convert("L"), image.getchannel("A"))
    grey, opacity = (np.asarray(band, dtype=np.float64) / 255 for band in bands)
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


def fit(grey: Grey, shape: tuple[int, int], *, data: str, invert: bool | None = None) -> Picture:
    """A picture brought to ``shape`` as the images of ``data`` are: light ink on dark ground, 0 to 1.

    ``invert`` says whether it is dark on light; None decides. An image of the data set itself keeps its pixels.
    """
    layout = LAYOUTS.get(data, _FULL)
    if grey.shape == shape:
        inverted = is_dark_on_light(grey) if invert is None else invert
        if layout.is_as_stored(light := 1 - grey if inverted else grey):
            return Picture(light, (_INVERTED,) * inverted, inverted)
    found = _strokes(grey, invert) if layout.strokes else _object(grey, invert)
    if not found.grey.any():
        return replace(found, grey=np.zeros(shape, np.float32))
    size = f"{grey.shape[1]} × {grey.shape[0]}"
    cut = f"cut out of {size} pixels and scaled to {shape[1]} × {shape[0]}"
    first = (_INVERTED,) * found.inverted
    return Picture(_framed(found.grey, shape, layout), (*first, cut, *found.notes), found.inverted)


def _strokes(grey: Grey, invert: bool | None) -> Picture:
    """The ink of a drawing."""
    small = small_copy(grey)
    found, dark = find_ink(small) if invert is None else (find_strokes(small, dark=invert), invert)
    notes = ("doubtful: the drawing reaches the edge of the picture",) if found.at_edge else ()
    return Picture(found.ink, (*found.notes, *notes), dark)


def _object(grey: Grey, invert: bool | None) -> Picture:
    """What stands out from the ground at the border, as a garment."""
    inverted = is_dark_on_light(grey) if invert is None else invert
    light = 1 - grey if inverted else grey
    border = _border(light)
    ink = np.clip(light - np.median(border), 0, None)
    noise = 1.4826 * np.median(np.abs(border - np.median(border)))  # as a standard deviation
    ink[ink < max(_FAINTEST, 6 * noise)] = 0
    ink *= ink.max() >= _MIN_CONTRAST
    return Picture(ink, () if ink.any() else (BLANK,), inverted)


def is_dark_on_light(grey: Grey) -> bool:
    """Whether the border is light, its median above one half, and in mean no darker than what it encloses.

    The second condition keeps light objects that fill their image: by the first alone, two bags of Fashion-MNIST's
    70,000 images would be inverted, and no other image of the three data sets.
    """
    border, inside = _border(grey), grey[1:-1, 1:-1]
    even = 1e-3  # of a uniform image both means are the same but for rounding
    return bool(np.median(border) > 0.5 and (not inside.size or border.mean() >= inside.mean() - even))


def _framed(ink: Grey, shape: tuple[int, int], layout: Layout) -> Grey:
    """Ink (height, width) cut out, scaled into the layout's box and placed in ``shape``."""
    left, top, right, bottom = Image.fromarray(ink > layout.faintest * ink.max()).getbbox() or (0, 0, *ink.shape[::-1])
    ink = ink[top:bottom, left:right]
    scale = min((side - 2 * layout.margin) / length for side, length in zip(shape, ink.shape, strict=True))
    height, width = (max(1, round(side * scale)) for side in ink.shape)
    small = np.asarray(Image.fromarray(ink).resize((width, height), Image.Resampling.BILINEAR))
    small = small / small.max()  # thin lines fade when they are scaled down
    top, left = (_offset(small.sum(axis=1 - axis), shape[axis], by_mass=layout.by_mass) for axis in (0, 1))
    fitted = np.zeros(shape, np.float32)
    fitted[top : top + height, left : left + width] = small
    return fitted


def _offset(profile: Grey, length: int, *, by_mass: bool) -> int:
    """Where the ink of each row or column (n,) begins in ``length``, centred by its centre of mass or by its box."""
    free = length - len(profile)
    if not by_mass:
        return (free + 1) // 2  # as 98 % of Fashion-MNIST's images with an odd rest, and 78 % of the digits
    centre = float((profile * (np.arange(len(profile)) + 0.5)).sum() / profile.sum())
    return min(max(round(length / 2 + 0.5 - centre), 0), free)


def _border(grey: Grey) -> Grey:
    """The outermost pixels, (n,); corners of a single row or column count twice."""
    return np.concatenate([grey[0], grey[-1], grey[1:-1, 0], grey[1:-1, -1]])
