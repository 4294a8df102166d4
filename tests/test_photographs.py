"""Digits as people photograph, scan and draw them: right, or with a note that says what is doubtful."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import mlptrain
from mlptrain.inference.image_files import LAYOUTS, fit, read_image
from mlptrain.inference.module import TrainedNetwork
from mlptrain.inference.predict import Prediction, predict_images
from mlptrain.sources.digits import read_digits
from mlptrain.sources.store import RawImages, read_images
from mlptrain.spec import load_text
from tests.pictures import KINDS, Kind

DIGITS = 8  # of every kind


@pytest.fixture(scope="module")
def raw(data_dir: Path) -> RawImages:
    return read_images("mnist", data_dir)


@pytest.fixture(scope="module")
def network(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainedNetwork:
    """Three epochs on 30,000 images of MNIST."""
    text = (
        "name: small\ndata: {name: mnist, train_size: 30000, validation: 0}\n"
        "model: {hidden: [128]}\noptimizer: {name: adam, lr: 0.003}\n"
        "training: {epochs: 3, device: cpu, threads: 1}\nevaluation: {split: none}\n"
    )
    folder = tmp_path_factory.mktemp("runs") / "mnist"
    mlptrain.train(load_text(text), run_dir=folder, data_dir=data_dir)
    return mlptrain.load(folder)


def drawn(kind: str, raw: RawImages, folder: Path, *, count: int = DIGITS) -> tuple[list[Path], NDArray[np.int64]]:
    """Pictures of digits of the test set, and what they are."""
    rng = np.random.default_rng(zlib.crc32(kind.encode()))
    chosen = rng.choice(len(raw.test_images), count, replace=False)
    draw: Kind = KINDS[kind]
    files = [draw(raw.test_images[n], rng).save(folder / str(k)) for k, n in enumerate(chosen)]
    return files, raw.test_labels[chosen].astype(np.int64)


def predicted(network: TrainedNetwork, files: list[Path]) -> tuple[Prediction, ...]:
    outcome = predict_images(network, files)
    assert not outcome.faults
    return outcome.predictions


DOUBTFUL = {
    "blank": "blank: nothing stands out",
    "blank, lined": "blank: nothing stands out",
    "several digits": "cut the digits out",
}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in DOUBTFUL])
def test_a_digit_is_right_or_its_doubt_is_noted(
    kind: str, network: TrainedNetwork, raw: RawImages, tmp_path: Path
) -> None:
    files, labels = drawn(kind, raw, tmp_path)
    found = predicted(network, files)
    wrong = [one for one, label in zip(found, labels, strict=True) if one.label != label and not one.doubts]
    assert len(wrong) <= 2, wrong
    assert sum(one.confidence is not None and one.confidence > 0.9 for one in wrong) <= 1
    assert all(one.seen is not None and one.seen.any() for one in found if not one.doubts)


@pytest.mark.parametrize(("kind", "note"), DOUBTFUL.items())
def test_what_is_no_single_digit_is_noted(
    kind: str, note: str, network: TrainedNetwork, raw: RawImages, tmp_path: Path
) -> None:
    found = predicted(network, drawn(kind, raw, tmp_path, count=12)[0])
    assert all(one.doubts for one in found)
    assert sum(any(note in doubt for doubt in one.doubts) for one in found) >= 10  # a shadow's edge may be a drawing


def test_lines_and_frames_are_left_out(network: TrainedNetwork, raw: RawImages, tmp_path: Path) -> None:
    """What the network sees is what it sees of the same digit on empty paper."""
    for kind, note in (("ruled, dark", "lines left out"), ("frame inside", "a printed frame left out")):
        files, _ = drawn(kind, raw, tmp_path)
        assert sum(note in one.notes for one in predicted(network, files)) >= DIGITS - 1
    digit, paper = raw.test_images[3], np.full((300, 300), 240, np.uint8)
    large = np.asarray(Image.fromarray(digit).resize((200, 200), Image.Resampling.BICUBIC))
    paper[40:240, 50:250] = 240 - np.minimum(large, 220)
    ruled = paper.copy()
    ruled[::30] = np.minimum(ruled[::30], 120)
    plain, lined = (fit(image.astype(np.float32) / np.float32(255), (28, 28), data="mnist") for image in (paper, ruled))
    assert "lines left out" in lined.notes
    assert np.abs(plain.grey - lined.grey).mean() < 0.015


def test_every_image_of_the_data_sets_keeps_its_pixels(data_dir: Path) -> None:
    """Exported as they are, and turned from light to dark."""
    digits = read_digits()
    eight_bit = np.rint(np.concatenate([digits.train_images, digits.test_images]) * (255 / 16)).astype(np.uint8)
    for data, images in (
        ("mnist", read_images("mnist", data_dir).test_images),
        ("fashion_mnist", read_images("fashion_mnist", data_dir).test_images),
        ("digits", eight_bit),
    ):
        for image in images[:: 1 if data == "digits" else 4]:
            grey = image.astype(np.float32) / np.float32(255)
            kept = fit(grey, grey.shape, data=data)
            assert kept.grey is grey
            assert not kept.notes
            if data != "mnist":
                continue  # at the border of the others there can be more object than ground
            inverted = fit(1 - grey, grey.shape, data=data)
            assert inverted.inverted
            np.testing.assert_allclose(inverted.grey, grey, atol=1e-6)
    assert set(LAYOUTS) == {"mnist", "digits"}


def test_light_on_transparent_ground_is_put_on_black(tmp_path: Path) -> None:
    ink = np.zeros((50, 50), np.uint8)
    ink[10:40, 20:26] = 255
    for colour, ground in ((255, 0.0), (230, 0.0), (0, 1.0), (60, 1.0)):
        for hidden in (0, 255):
            grey = np.where(ink > 0, colour, hidden).astype(np.uint8)
            Image.merge("LA", [Image.fromarray(grey), Image.fromarray(ink)]).save(tmp_path / "canvas.png")
            seen = read_image(tmp_path / "canvas.png").grey
            assert seen[0, 0] == ground
            assert seen[20, 22] == pytest.approx(colour / 255)


def test_fashion_on_any_even_ground_is_cut_out(data_dir: Path) -> None:
    """A garment in a larger picture, dark or light around it, is what it is as stored, nearly."""
    image = read_images("fashion_mnist", data_dir).test_images[0].astype(np.float32) / np.float32(255)
    sheet = np.zeros((140, 140), np.float32)
    sheet[28:112, 50:134] = image.repeat(3, 0).repeat(3, 1)
    for picture in (sheet, 1 - sheet):
        found = fit(picture, (28, 28), data="fashion_mnist")
        assert np.corrcoef(found.grey.ravel(), image.ravel())[0, 1] > 0.9
