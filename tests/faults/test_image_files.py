"""Images for `mlptrain predict` that are damaged, forged or bombs: predicted, or refused with one line of their own."""

from __future__ import annotations

import io
import random
import struct
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from mlptrain.errors import UserError
from mlptrain.inference.image_files import read_image
from mlptrain.sources.arrays.image_files import FORMATS
from tests.faults.tools.hostile import NO_FILES, call, ends_within, put, refused

Attacks = Callable[[str, int, int], Iterator[int]]


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def noise(width: int, height: int, mode: str = "L") -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values).convert(mode)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, *chunks: bytes, bits: int = 8, colour: int = 0, pixels: bytes = b"") -> bytes:
    """A PNG that claims this size, whatever pixels follow."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(pixels, 1))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + data + chunk(b"IEND", b"")


ONES = zlib.compress(bytes(300_000_000), 9)  # 300 kB
GIF_SCREEN = saved(noise(8, 8), "GIF")
BMP = saved(noise(8, 8), "BMP")
PREDICTED: dict[str, bytes] = {
    "16 bits": saved(Image.fromarray((np.arange(64, dtype=np.uint16) * 1_000).reshape(8, 8)), "PNG"),
    "CMYK": saved(noise(8, 8, "CMYK"), "JPEG"),
    "CMYK in TIFF": saved(noise(8, 8, "CMYK"), "TIFF"),
    "alpha": saved(noise(8, 8, "RGBA"), "PNG"),
    "grey with alpha": saved(noise(8, 8, "LA"), "PNG"),
    "all transparent": saved(Image.new("RGBA", (20, 20), (0, 0, 0, 0)), "PNG"),
    "palette": saved(noise(8, 8).quantize(4), "PNG"),
    "palette with a transparent entry": saved(noise(8, 8).quantize(4), "PNG", transparency=1),
    "one bit": saved(noise(8, 8, "1"), "PNG"),
    "animated GIF": saved(noise(8, 8), "GIF", save_all=True, append_images=[noise(8, 8, "1")] * 50),
    "animated WEBP": saved(noise(9, 9), "WEBP", save_all=True, append_images=[noise(9, 9, "1")] * 5),
    "animated PNG": saved(noise(9, 9), "PNG", save_all=True, append_images=[noise(9, 9, "1")] * 5),
    "TIFF of several pages": saved(noise(9, 9), "TIFF", save_all=True, append_images=[noise(9, 9, "1")] * 5),
    "one pixel": saved(noise(1, 1), "PNG"),
    "one row of 100,000": saved(noise(100_000, 1), "PNG"),
    "one column of 60,000": saved(noise(1, 60_000), "JPEG"),
    "a megabyte behind the end": saved(noise(8, 8), "PNG") + bytes(1_000_000),
    "a cut EXIF entry": saved(noise(8, 8), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06"),
    "an EXIF entry that is none": saved(noise(8, 8), "JPEG", exif=b"Exif\0\0" + b"\xff" * 100),
}  # fmt: skip
REFUSED: dict[str, bytes] = {
    "a PNG of 10¹⁰ pixels": png(100_000, 100_000),
    "a PNG of 2³¹ × 2³¹": png(2**31 - 1, 2**31 - 1),
    "a PNG of 81 million pixels": png(9_000, 9_000, pixels=bytes(9_001 * 9_000)),
    "a PNG of no width": png(0, 5),
    "a PNG of no height": png(5, 0),
    "a PNG of other depth": png(8, 8, bits=7),
    "a PNG of another colour": png(8, 8, colour=9),
    "too few pixels": png(50, 50, pixels=bytes(100)),
    "text that unpacks to 300 MB": png(8, 8, chunk(b"zTXt", b"a\0\0" + ONES), pixels=bytes(72)),
    "a GIF of a large screen": GIF_SCREEN[:6] + struct.pack("<HH", 65_535, 65_535) + GIF_SCREEN[10:],
    "a BMP of 10¹⁰ pixels": BMP[:18] + struct.pack("<ii", 100_000, 100_000) + BMP[26:],
    "a BMP of negative width": BMP[:18] + struct.pack("<ii", -8, 8) + BMP[26:],
    "a PPM of 10¹⁰ pixels": b"P5 100000 100000 255\n" + bytes(100),
    "a PPM of no pixels": b"P5 0 0 255\n",
    "a PPM of endless digits": b"P5 " + b"9" * 1_000_000 + b" 5 255\n",
    "a TIFF whose pages are a ring": b"II*\0\x08\0\0\0\0\0\x08\0\0\0",
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n(executed) (w) file closefile\n",
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "text": b"no image at all",
    "a pickle": b"\x80\x04cposix\nsystem\n(X\x04\x00\x00\x00touctR.",
    "zeros": bytes(10_000),
    "empty": b"",
    "LAB": saved(noise(8, 8, "LAB"), "TIFF"),
    "floats": saved(Image.fromarray(np.ones((8, 8), np.float32)), "TIFF"),
    "32 bits": saved(Image.fromarray(np.full((8, 8), 100_000, np.int32)), "TIFF"),
}


@pytest.mark.parametrize("content", PREDICTED.values(), ids=PREDICTED)
def test_odd_images_are_predicted(run: Path, content: bytes, attacks: Attacks) -> None:
    path = run.parent / "image.png"
    path.write_bytes(content)
    for _ in attacks("images: odd ones", 1, 1):
        code, out, err = call("predict", run, path, "--json")
        assert code == 0, err
        assert '"confidence"' in out


@pytest.mark.parametrize("content", REFUSED.values(), ids=REFUSED)
def test_images_that_mean_harm(run: Path, content: bytes, attacks: Attacks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run.parent)
    path = run.parent / "image.png"
    path.write_bytes(content)
    for _ in attacks("images: those that mean harm", 1, 1):
        started = time.process_time()
        tracemalloc.start()
        try:
            with pytest.raises(UserError, match=r"image\.png"):
                read_image(path)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 300_000_000
        message = refused("predict", run, path)
        assert time.process_time() - started < 5
        assert "image.png" in message
        assert len(message.splitlines()) == 1
    assert not Path("executed").exists()


@pytest.mark.parametrize("size", [(1, 49_000_000), (49_000_000, 1), (400, 100_001)])
def test_an_image_far_longer_than_any_is_refused_by_its_header(tmp_path: Path, size: tuple[int, int]) -> None:
    """A file of 100 kB took 2 GB and 20 s: what is done for every row and border pixel was done 49 million times."""
    (tmp_path / "image.png").write_bytes(png(*size))
    with pytest.raises(
        UserError, match=f"has {size[0]:,} × {size[1]:,} pixels; scale it down to .* and 100,000 a side"
    ):
        read_image(tmp_path / "image.png")


@pytest.mark.parametrize("size", [(100, 100_000), (100_000, 100), (3_000, 3_000)])
@pytest.mark.parametrize("mode", ["L", "P", "I;16", "1", "LA", "RGBA"])
def test_large_images_are_made_smaller_whatever_their_proportions(
    tmp_path: Path, size: tuple[int, int], mode: str
) -> None:
    """The left half is white, the right one black; where there is transparency, transparent and black."""
    light = np.zeros(size[::-1], np.uint8)
    light[:, : size[0] // 2] = 255
    if mode == "I;16":
        image = Image.fromarray(light.astype(np.uint16) * 257)
    elif mode in ("LA", "RGBA"):
        black = Image.new("L", size, 0)
        image = Image.merge(mode, [black] * (len(mode) - 1) + [Image.fromarray(255 - light)])
    else:
        image = Image.fromarray(light).convert(mode)
    image.save(tmp_path / "image.png", compress_level=1)
    grey = read_image(tmp_path / "image.png").grey
    height, width = grey.shape
    assert 1_000_000 < grey.size <= 4_000_000
    assert width / height == pytest.approx(size[0] / size[1], rel=0.01)
    assert (grey[:, : width // 2] == 1).all()
    assert (grey[:, width // 2 :] == 0).all()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_orientations_that_mean_nothing_turn_nothing(tmp_path: Path, kind: str) -> None:
    path, image = tmp_path / "image", noise(9, 5)
    for orientation in range(256):
        exif = Image.Exif()
        exif[0x0112] = orientation
        path.write_bytes(saved(image, kind, exif=exif))
        picture = read_image(path)
        turned = 2 <= orientation <= 8
        assert picture.notes == (("turned as its EXIF entry says",) if turned else ())
        upright = np.asarray(image)
        if kind in ("PNG", "TIFF") and orientation == 6:  # to be turned by 90° clockwise
            np.testing.assert_allclose(picture.grey, np.rot90(upright, -1) / np.float32(255), rtol=1e-6)
        assert picture.grey.shape == (upright.T.shape if 5 <= orientation <= 8 else upright.shape)


def test_pixels_that_have_no_grey_are_named(tmp_path: Path) -> None:
    (tmp_path / "lab.tiff").write_bytes(saved(noise(8, 8, "LAB"), "TIFF"))
    with pytest.raises(UserError, match=r"lab\.tiff holds pixels of mode LAB; save it as grey or RGB"):
        read_image(tmp_path / "lab.tiff")


def test_damaged_images(tmp_path: Path, attacks: Attacks, chance: random.Random) -> None:
    """Bits flipped and ends cut off in every format: an image of sound values, or one line that says no."""
    path = tmp_path / "image"
    options: dict[str, dict[str, Any]] = {"TIFF": {"compression": "tiff_lzw"}}
    options["GIF"] = {"save_all": True, "append_images": [noise(40, 30, "1")]}
    good = [
        (kind, saved(noise(40, 30, mode), kind, **options.get(kind, {})))
        for kind in FORMATS
        for mode in ("L", "RGB", "P" if kind in ("PNG", "GIF", "BMP") else "L")
    ]
    read = 0
    for number in attacks("images: bits flipped, ends cut off", 600, 12_000):
        kind, content = good[number % len(good)]
        changed = bytearray(content)
        for _ in range(chance.randrange(4)):
            place = chance.randrange(chance.choice([len(changed), min(100, len(changed))]))
            changed[place] ^= 1 << chance.randrange(8)
        if chance.random() < 0.3:
            changed = changed[: chance.randrange(len(changed))]
        path.write_bytes(changed)
        started, message = time.process_time(), ""
        try:
            with ends_within(60):
                picture = read_image(path)
        except UserError as error:
            message = str(error)
        else:
            read += 1
            assert picture.grey.ndim == 2
            assert picture.grey.size
            assert 0 <= picture.grey.min() <= picture.grey.max() <= 1
        assert not message or str(path) in message
        assert time.process_time() - started < 5, kind
    assert read


@pytest.mark.parametrize("kind", NO_FILES)
def test_no_file_in_the_place_of_one(run: Path, kind: str) -> None:
    path = run.parent / "image.png"
    put(path, kind)
    assert "image.png" in refused("predict", run, path)


def test_names_that_are_none(run: Path) -> None:
    for name in ("x" * 5_000, "a/" * 3_000, "\udcff.png", "a\0b.png", "\x1b[31m.png"):
        with pytest.raises(UserError):
            read_image(run.parent / name)


def test_a_great_deal_of_text_in_a_png_is_not_kept(run: Path) -> None:
    info = PngImagePlugin.PngInfo()
    for number in range(200):
        info.add_text(f"key {number}", "x" * 100_000, zip=True)
    path = run.parent / "image.png"
    path.write_bytes(saved(noise(8, 8), "PNG", pnginfo=info))
    call("predict", run, path)
