"""`mlptrain predict`: what a user gives it, images above all, and what comes back."""

from __future__ import annotations

import json
import shutil
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import mlptrain
from mlptrain import views
from mlptrain.cli import main
from mlptrain.data import Preprocessing, Scale
from mlptrain.errors import UserError
from mlptrain.experiment.checkpoints import load_checkpoint, save_checkpoint
from mlptrain.sources.digits import read_digits
from mlptrain.sources.store import read_images
from mlptrain.spec import load_spec, load_text
from mlptrain.updates.chain import ModelState

CONFIGS = Path(__file__).parent.parent / "configs"
Bytes = NDArray[np.uint8]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five epochs on the digits."""
    folder = tmp_path_factory.mktemp("runs") / "digits"
    settings = ["training.epochs=5", "training.threads=1", "training.device=cpu"]
    mlptrain.train(load_spec(CONFIGS / "digits.yaml", settings), run_dir=folder)
    return folder


@pytest.fixture(scope="module")
def mnist_run(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two epochs on 20,000 images of MNIST."""
    text = (
        "name: small\ndata: {name: mnist, train_size: 20000, validation: 0, scaling: {mean: 0.1307, std: 0.3081}}\n"
        "model: {hidden: [64]}\noptimizer: {name: adam, lr: 0.003}\n"
        "training: {epochs: 2, device: cpu, threads: 1}\nevaluation: {split: none}\n"
    )
    folder = tmp_path_factory.mktemp("runs") / "mnist"
    mlptrain.train(load_text(text), run_dir=folder, data_dir=data_dir)
    return folder


Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Runs `mlptrain predict` in a folder of its own; returns exit code, output and errors."""
    monkeypatch.chdir(tmp_path)

    def predict(*arguments: Any) -> tuple[int, str, str]:
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(["predict", *map(str, arguments)])
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return int(ended.value.code or 0), out, err

    return predict


def as_json(result: tuple[int, str, str]) -> list[dict[str, Any]]:
    code, out, err = result
    assert code == 0, err
    found: list[dict[str, Any]] = json.loads(out)
    return found


def save(image: Bytes, name: str, **options: Any) -> str:
    Image.fromarray(image).save(name, **options)
    return name


def eight_bit(digit: Bytes) -> Bytes:
    """A digit of 0 to 16 as 0 to 255."""
    scaled: Bytes = np.rint(digit * (255 / 16)).astype(np.uint8)
    return scaled


def drawn(digit: Bytes, size: int = 200) -> Bytes:
    """An MNIST image as somebody would draw it: large, in the corner of a larger sheet, dark on light."""
    large = np.asarray(Image.fromarray(digit).resize((size, size), Image.Resampling.BICUBIC))
    sheet = np.full((2 * size, 3 * size), 250, np.uint8)
    sheet[20 : 20 + size, 30 : 30 + size] = np.minimum(250, 255 - large)
    return sheet


def assert_same_probabilities(files: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
    for file, row in zip(files, rows, strict=True):
        np.testing.assert_allclose(file["probabilities"], row["probabilities"], rtol=0, atol=1e-6)
        assert not file["inverted"]
        assert file["notes"] == []


def test_an_mnist_test_image_as_png_equals_its_row(call: Call, mnist_run: Path, data_dir: Path) -> None:
    images = read_images("mnist", data_dir).test_images
    numbers = range(12)
    rows = as_json(call(mnist_run, *[f"--index={n}" for n in numbers], "--json", "--data-dir", data_dir))
    files = as_json(call(mnist_run, *[save(images[n], f"{n}.png") for n in numbers], "--json"))
    assert_same_probabilities(files, rows)
    for n in numbers:
        Image.fromarray(images[n].astype(np.uint16) * 257).save(f"{n}.png")
    sixteen_bits = as_json(call(mnist_run, *[f"{n}.png" for n in numbers], "--json"))
    assert_same_probabilities(sixteen_bits, rows)
    assert [row["true"] for row in rows] == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9, 0, 6]


def test_a_digits_test_image_as_png_equals_its_row(call: Call, run: Path) -> None:
    """Though 0 to 16 does not fit 0 to 255 in whole steps: pixels are rounded to the data set's whole numbers."""
    images = read_digits().test_images
    rows = as_json(call(run, *[f"--index={n}" for n in range(30)], "--json"))
    files = as_json(call(run, *[save(eight_bit(images[n]), f"{n}.png") for n in range(30)], "--json"))
    assert_same_probabilities(files, rows)


def test_no_image_of_a_data_set_is_taken_for_dark_on_light(data_dir: Path) -> None:
    from mlptrain.inference.image_files import is_dark_on_light

    for images in (
        read_images("fashion_mnist", data_dir).train_images,
        read_images("mnist", data_dir).test_images,
        eight_bit(read_digits().train_images),
    ):
        bright = images[(images > 127).reshape(len(images), -1).mean(1) > 0.4]  # no other can have a bright border
        assert not any(is_dark_on_light(image.astype(np.float32) / 255) for image in bright)


def test_drawn_digits_are_recognised(call: Call, mnist_run: Path, data_dir: Path) -> None:
    """Large, off the centre and dark on light: nearly as many are right as of the test images themselves."""
    raw = read_images("mnist", data_dir)
    files = [save(drawn(raw.test_images[n]), f"{n}.png") for n in range(60)]
    found = as_json(call(mnist_run, *files, "--json"))
    assert all(one["inverted"] for one in found)
    right = sum(one["class"] == int(label) for one, label in zip(found, raw.test_labels[:60], strict=True))
    assert right >= 57


def test_the_table_says_what_was_done(call: Call, mnist_run: Path, data_dir: Path) -> None:
    seven = drawn(read_images("mnist", data_dir).test_images[0])
    code, out, _ = call(mnist_run, save(seven, "a[b]7.png"), "--top", 2)
    line = next(line for line in out.splitlines() if "a[b]7.png" in line)
    assert code == 0
    assert line.split()[1] == "7"
    assert "dark on light, inverted; cut out of 600 × 400 pixels and scaled to 28 × 28" in line
    confidence, runner_up = line.split("%")[:2]
    assert 50 < float(confidence.split()[-1]) <= 100
    assert len(runner_up.split()) == 2
    assert line.count("%") == 2


def test_keys_of_the_json_output(call: Call, run: Path) -> None:
    (one,) = as_json(call(run, "--index", 3, "--split", "validation", "--json"))
    assert list(one) == [
        "image",
        "split",
        "index",
        "class",
        "name",
        "confidence",
        "probabilities",
        "outputs",
        "true",
        "inverted",
        "notes",
    ]
    assert (one["split"], one["index"], one["image"]) == ("validation", 3, None)
    assert one["class"] == int(np.argmax(one["outputs"]))
    assert one["confidence"] == max(one["probabilities"])
    assert sum(one["probabilities"]) == pytest.approx(1)
    assert one["probabilities"] == pytest.approx(torch.tensor(one["outputs"]).double().softmax(0).tolist(), abs=1e-9)


def test_rows_are_those_of_the_run(call: Call, tmp_path: Path) -> None:
    """With classes chosen, index counts among the chosen rows, and labels are the chosen classes' places."""
    text = "name: pair\ndata: {name: digits, classes: [7, 3]}\nmodel: {hidden: [8]}\nloss: bce\noptimizer: adam\n"
    run = mlptrain.train(load_text(f"{text}training: {{epochs: 5, device: cpu}}\n"), run_dir=tmp_path / "run")
    raw = read_digits()
    chosen = raw.test_labels[(raw.test_labels == 7) | (raw.test_labels == 3)]
    found = as_json(call(run.folder.path, "--index", 0, "--index", len(chosen) - 1, "--json"))
    assert [("7", "3")[one["true"]] for one in found] == [str(chosen[0]), str(chosen[-1])]
    for one in found:
        logit = one["outputs"][0]
        assert one["probabilities"] == pytest.approx([1 / (1 + np.exp(logit)), 1 / (1 + np.exp(-logit))], rel=1e-6)
        assert one["name"] == ("7", "3")[one["class"]] == ("7" if logit <= 0 else "3")


def test_inversion_is_seen_by_the_border_and_can_be_overruled(call: Call, run: Path) -> None:
    digit = eight_bit(read_digits().test_images[3])
    light, dark = save(digit, "light.png"), save(255 - digit, "dark.png")
    seen = as_json(call(run, light, dark, "--json"))
    assert [one["inverted"] for one in seen] == [False, True]
    assert seen[0]["probabilities"] == seen[1]["probabilities"]
    assert seen[1]["notes"] == ["dark on light, inverted"]
    for option, wanted in (("--invert", True), ("--no-invert", False)):
        forced = as_json(call(run, light, dark, option, "--json"))
        assert [one["inverted"] for one in forced] == [wanted, wanted]
        agreeing = forced[1 if wanted else 0]["probabilities"]
        assert agreeing == seen[0]["probabilities"]
        assert forced[0]["probabilities"] != forced[1]["probabilities"]


def forms_of(digit: Bytes) -> dict[str, Image.Image]:
    """One grey image in other modes that show the same."""
    grey = Image.fromarray(digit)
    opaque = Image.merge("RGBA", [*[grey] * 3, Image.new("L", grey.size, 255)])
    ink_on_transparent = Image.merge("LA", [Image.new("L", grey.size, 0), Image.fromarray(digit)])
    palette = grey.convert("RGB").quantize(256)
    wide = Image.fromarray(digit.astype(np.uint16) * 257)
    rotated = grey.transpose(Image.Transpose.ROTATE_90)  # and the EXIF entry turns it back
    return {
        "rgb.png": grey.convert("RGB"),
        "opaque.png": opaque,
        "transparent.png": ink_on_transparent,
        "palette.png": palette,
        "sixteen.png": wide,
        "sixteen.tiff": wide,
        "grey.bmp": grey,
        "turned.png": rotated,
    }


def test_every_kind_of_pixel_gives_the_same(call: Call, run: Path) -> None:
    """8 and 16 bits, colour, palette, ink on a transparent ground (dark on white then), turned by EXIF."""
    digit = eight_bit(read_digits().test_images[3])
    for name, image in forms_of(digit).items():
        exif = Image.Exif()
        exif[0x0112] = 6 if name == "turned.png" else 1  # 6: to be turned by 90° clockwise
        image.save(name, exif=exif)
    (plain,) = as_json(call(run, save(digit, "plain.png"), "--json"))
    for one in as_json(call(run, *forms_of(digit), "--json")):
        np.testing.assert_allclose(one["probabilities"], plain["probabilities"], rtol=1e-5, err_msg=one["image"])
        assert one["inverted"] == (one["image"] == "transparent.png")
        assert ("turned as its EXIF entry says" in one["notes"]) == (one["image"] == "turned.png")


def test_a_jpeg_is_nearly_the_same(call: Call, mnist_run: Path, data_dir: Path) -> None:
    image = read_images("mnist", data_dir).test_images[0]
    files = (save(image, "a.png"), save(image, "a.jpg", quality=95))
    plain, jpeg = as_json(call(mnist_run, *files, "--json"))
    assert jpeg["class"] == plain["class"] == 7
    assert jpeg["confidence"] == pytest.approx(plain["confidence"], abs=0.05)


def test_of_an_animation_the_first_frame_is_taken_and_said(call: Call, run: Path) -> None:
    images = [Image.fromarray(eight_bit(image)) for image in read_digits().test_images[:3]]
    images[0].save("moving.gif", save_all=True, append_images=images[1:])
    moving, still = as_json(call(run, "moving.gif", save(np.asarray(images[0]), "still.png"), "--json"))
    assert moving["probabilities"] == still["probabilities"]
    assert moving["notes"] == ["the first frame of several"]


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 300), (300, 1), (3000, 40)])
def test_odd_sizes_and_blank_images_are_predicted(call: Call, run: Path, size: tuple[int, int]) -> None:
    (one,) = as_json(call(run, save(np.full(size, 255, np.uint8), "blank.png"), "--json"))
    assert "blank: nothing stands out from the ground" in one["notes"]
    line = np.full(size, 255, np.uint8)
    line[size[0] // 2, size[1] // 2] = 0
    (one,) = as_json(call(run, save(line, "dot.png"), "--json"))
    assert sum(one["probabilities"]) == pytest.approx(1)


def png(width: int, height: int) -> bytes:
    """A PNG whose header claims this size, with no pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_every_unreadable_file_is_named_and_withholds_no_other(call: Call, run: Path) -> None:
    good = save(eight_bit(read_digits().test_images[0]), "good.png")
    Path("text.png").write_text("no image at all")
    Path("empty.png").touch()
    Path("cut.png").write_bytes(Path(good).read_bytes()[:-30])
    Path("folder.png").mkdir()
    Path("none.png").write_bytes(png(0, 5))
    Path("bomb.png").write_bytes(png(30_000, 30_000))
    Path("large.png").write_bytes(png(9_000, 9_000))
    Image.fromarray(np.zeros((8, 8), np.float32)).save("float.tiff")
    wanted = {
        "text.png": "is not an image in PNG, JPEG",
        "empty.png": "is empty",
        "cut.png": "is a damaged image",
        "folder.png": "holds no image files, whose names end in .png, .jpg",
        "none.png": "none.png",
        "bomb.png": "is far too large; scale it down to at most 50,000,000 pixels",
        "large.png": "9,000 × 9,000 pixels; scale it down to at most 50,000,000 pixels",
        "float.tiff": "pixels of mode F; save it as grey or RGB with 8 or 16 bits",
        "absent.png": "no such image file",
    }
    code, out, err = call(run, "text.png", good, *list(wanted)[1:], "--json")
    assert code == 2
    assert [one["image"] for one in json.loads(out)] == ["good.png"]
    assert call(run, *wanted)[1] == ""
    lines = err.splitlines()
    assert len(lines) == len(wanted)
    for line, (name, message) in zip(lines, wanted.items(), strict=True):
        assert name in line
        assert message in line


def test_rows_may_be_named_by_ranges(call: Call, run: Path) -> None:
    for text, wanted in (("0-3", [0, 1, 2, 3]), ("7..9", [7, 8, 9]), ("4,0,2-3", [4, 0, 2, 3]), ("5-5", [5])):
        assert [one["index"] for one in as_json(call(run, "--index", text, "--json"))] == wanted


def test_a_folder_is_predicted_as_its_images_in_order(call: Call, run: Path) -> None:
    digits = read_digits().test_images
    for n, name in enumerate(("b/2.png", "b/10.JPG", "a.bmp", ".hidden.png", "b/.cache/x.png")):
        Path("many", name).parent.mkdir(parents=True, exist_ok=True)
        save(eight_bit(digits[n]), f"many/{name}")
    Path("many/notes.txt").write_text("a 3 and a 7")
    Path("many/b/IMG_1.heic").write_bytes(b"of a telephone")
    code, out, err = call(run, "many", "--json")
    assert code == 0
    assert [one["image"] for one in json.loads(out)] == ["many/a.bmp", "many/b/10.JPG", "many/b/2.png"]
    assert err == "note: passed over, since not named as images: many/b/IMG_1.heic, many/notes.txt (2)\n"
    Path("many/b/cut.png").write_bytes(Path("many/b/2.png").read_bytes()[:-30])
    code, out, err = call(run, "many")
    assert code == 2
    assert "many/a.bmp" in out
    assert "many/b/cut.png is a damaged image" in err


def test_a_picture_of_what_the_network_saw(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    digits = read_digits().test_images
    Path("many").mkdir()
    for n in range(3):
        save(eight_bit(digits[n]), f"many/{n}.png")
    seen = views.seen(run, [Path("many")], count=2)
    np.testing.assert_allclose(seen.images, digits[:2] / 16)
    assert [caption.split("\n")[0] for caption in seen.captions] == ["0.png", "1.png"]
    with pytest.raises(SystemExit) as ended:
        main(["plot", "seen", str(run), "many", "--out", "saw.png"])
    assert not ended.value.code
    with Image.open("saw.png") as picture:
        assert picture.width > 300
    save(np.zeros((8, 8), np.uint8), "many/3.png")
    Path("many/4.png").write_text("no image")
    seen = views.seen(run, [Path("many")])
    assert (len(seen.images), len(seen.faults)) == (4, 1)
    with pytest.raises(SystemExit) as ended:
        main(["plot", "seen", str(run), "many", "--out", "rest.png"])
    assert ended.value.code == 2
    assert "many/4.png is not an image" in capfd.readouterr().err
    assert Path("rest.png").stat().st_size > 0
    with pytest.raises(UserError, match=r"many/4\.png is not an image"):
        views.seen(run, [Path("many/4.png")])


def test_show_gives_what_the_network_saw(call: Call, run: Path) -> None:
    digit = read_digits().test_images[3]
    (file,) = as_json(call(run, save(255 - eight_bit(digit), "dark.png"), "--json", "--show"))
    (row,) = as_json(call(run, "--index", 3, "--json", "--show"))
    np.testing.assert_allclose(file["seen"], digit / 16, atol=1e-4)
    assert row["seen"] == file["seen"]
    code, out, _ = call(run, "dark.png", "--show")
    assert code == 0
    lines = out.split(f"predicted class {file['class']}:\n")[1].splitlines()
    assert [len(line) for line in lines] == [10] * 6  # 8 × 8 pixels in 4 lines, and an edge
    for line, pair in zip(lines[1:-1], (digit / 16).reshape(4, 2, 8), strict=True):
        for character, (upper, lower) in zip(line[1:-1], pair.T, strict=True):
            assert (character == " ") == (upper + lower <= 0.25 and abs(upper - lower) <= 0.4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name one of the two: files, or --index"),
        (["a.png", "--index", "1"], "name one of the two"),
        (["--index", "360"], "index 360: the test rows of 'digits' have indices from 0 to 359"),
        (["--index", "2", "--index", "-1"], "index -1: the test rows"),
        (["--index", "a"], "--index 'a': expected a row's number, counted from 0, a range as 0-9, or 0,4,7"),
        (["--index", "1e1"], "--index '1e1': expected a row's number"),
        (["--index", "0-"], "--index '0-': expected a row's number"),
        (["--index", "5-3"], "--index '5-3': the range runs backwards; write 3-5"),
        (["--index", "350-360"], "index 360: the test rows of 'digits' have indices from 0 to 359"),
        (["--index", "0..9999999999"], "at most 100,000 rows at once"),
        (["--index", "0", "--split", "exam"], "has no exam rows; choose "),
        (["a.png", "--split", "test"], "--split needs --index"),
        (["--index", "0", "--invert"], "--invert and --no-invert need image files"),
    ],
)
def test_wrong_questions(call: Call, run: Path, arguments: list[str], message: str) -> None:
    code, out, err = call(run, *arguments)
    assert (code, out) == (2, "")
    assert message in err


def test_a_regression_shows_values(call: Call, tmp_path: Path) -> None:
    text = "name: r\ndata: {name: random_regression, n_targets: 2}\nmodel: {hidden: [4]}\nloss: mse\noptimizer: sgd\n"
    run = mlptrain.train(load_text(f"{text}training: {{epochs: 1, device: cpu}}\n"), run_dir=tmp_path / "run")
    (one,) = as_json(call(run.folder.path, "--index", 2, "--split", "train", "--json"))
    assert [one[key] for key in ("class", "name", "confidence", "probabilities")] == [None] * 4
    assert len(one["outputs"]) == len(one["true"]) == 2
    code, out, _ = call(run.folder.path, "--index", 2, "--split", "train")
    assert code == 0
    assert f"{one['outputs'][0]:.6g}, {one['outputs'][1]:.6g}" in out
    code, _, err = call(run.folder.path, "a.png")
    assert code == 2
    assert "'random_regression', which are not images; predict its rows with --index" in err


def test_outputs_of_mse_are_not_called_probabilities(call: Call, tmp_path: Path) -> None:
    text = "name: m\ndata: digits\nmodel: {hidden: [8]}\nloss: mse\noptimizer: {name: adam, lr: 0.01}\n"
    run = mlptrain.train(load_text(f"{text}training: {{epochs: 3, device: cpu}}\n"), run_dir=tmp_path / "run")
    (one,) = as_json(call(run.folder.path, "--index", 0, "--json"))
    assert (one["confidence"], one["probabilities"]) == (None, None)
    assert one["class"] == int(np.argmax(one["outputs"]))
    code, out, _ = call(run.folder.path, "--index", 0)
    assert code == 0
    assert "%" not in out
    assert "gives no probabilities" in out


def test_runs_without_a_final_checkpoint(call: Call, run: Path, tmp_path: Path) -> None:
    unfinished = tmp_path / "unfinished"
    shutil.copytree(run, unfinished)
    (unfinished / "result.json").unlink()
    code, out, err = call(unfinished, "--index", 0)
    assert code == 0
    assert "test 0" in out
    assert f"note: {unfinished} is not finished; its weights after epoch " in err
    shutil.rmtree(unfinished / "checkpoints")
    code, out, err = call(unfinished, "--index", 0)
    assert (code, out) == (2, "")
    assert "holds no checkpoint yet; resume with `mlptrain train --resume" in err
    assert call(run, "--index", 0)[2] == ""
    assert call(tmp_path / "nowhere", "--index", 0)[0] == 2


@pytest.mark.parametrize("kind", ["weights", "scaling"])
def test_outputs_that_are_not_finite_are_no_prediction(call: Call, run: Path, tmp_path: Path, kind: str) -> None:
    """All that such a file holds is finite and in its range, and what a network makes of it is not."""
    file = tmp_path / "forged.safetensors"
    checkpoint = load_checkpoint(run / "checkpoints" / "best.safetensors")
    if kind == "weights":
        large = {name: torch.full_like(tensor, 3e38) for name, tensor in checkpoint.state.parameters.items()}
        checkpoint = replace(checkpoint, state=ModelState(large))
    else:
        tiny = Preprocessing(transforms=(Scale(divisor=16, std=1e-320),))
        checkpoint = replace(checkpoint, preprocessing=tiny)
    save_checkpoint(file, checkpoint)
    image = save(eight_bit(read_digits().test_images[0]), "digit.png")
    asked: list[tuple[list[Any], str]] = [([image], "digit.png")]
    if kind == "weights":  # the data of another scaling are other data, which is told before
        asked.append((["--index", 3, "--index", 4], "test 3"))
    for arguments, what in asked:
        for more in ([], ["--json"]):
            code, out, err = call(file, *arguments, *more)
            assert (code, out) == (2, "")
            assert err.startswith(f"error: the network gives no finite outputs for {what}: ")
            assert err.count("\n") == 1


def test_a_line_feed_in_a_name_makes_no_second_line(call: Call, run: Path) -> None:
    code, _, err = call(run, "a\nb.png", "c.png")
    assert code == 2
    assert err == "error: a\\nb.png: no such image file\nc.png: no such image file\n"


def test_other_data_than_those_of_the_run_are_refused(call: Call, run: Path, tmp_path: Path) -> None:
    file = tmp_path / "other.safetensors"
    checkpoint = load_checkpoint(run / "checkpoints" / "best.safetensors")
    save_checkpoint(file, replace(checkpoint, data_fingerprint="0" * 64))
    code, out, err = call(file, "--index", 0)
    assert (code, out) == (2, "")
    assert "this run was trained on other data" in err
