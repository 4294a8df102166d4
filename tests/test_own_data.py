"""Arrays, IDX files and images of one's own, from a file to a trained network and its predictions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from mlptrain.experiment.build import load_data
from mlptrain.inference.module import load
from mlptrain.sources.digits import read_digits
from mlptrain.spec import load_spec
from tests.command import Call
from tests.data import own_files

CONFIG: dict[str, Any] = {
    "seed": 3,
    "model": {"hidden": [16]},
    "optimizer": {"name": "adam", "lr": 0.01},
    "training": {"epochs": 2, "batch_size": 100, "device": "cpu", "threads": 1, "precision": "highest"},
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder is another than the configuration's."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "own").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path


def write_config(folder: Path, data: dict[str, Any], **sections: Any) -> str:
    file = folder / "own" / "c.yaml"
    file.write_text(yaml.safe_dump({**CONFIG, "data": data, **sections}, allow_unicode=True))
    return str(file)


WRITERS: dict[str, tuple[Callable[..., dict[str, Any]], dict[str, Any]]] = {
    "npz": (own_files.write_npz, {"maximum": 16, "scaling": "unit"}),
    "compressed npz": (own_files.write_compressed, {"maximum": 16, "scaling": "unit"}),
    "npy": (own_files.write_npy, {"maximum": 16, "scaling": "unit"}),
    "npy.gz": (own_files.write_packed_npy, {"maximum": 16, "scaling": "unit"}),
    "mat": (own_files.write_mat, {"maximum": 16, "scaling": "unit"}),
    "safetensors": (own_files.write_safetensors, {"maximum": 16, "scaling": "unit"}),
    "idx": (own_files.write_idx, {"maximum": 16}),
    "table of images": (own_files.write_table, {"scaling": "none", "test": 0}),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_digits_train_to_the_same_bytes_from_every_file(folder: Path, call: Call, kind: str) -> None:
    """The rows, their order and their split are those of ``name: digits``, so that every figure and weight is too."""
    digits = read_digits()
    write, keys = WRITERS[kind]
    arrays = (digits.train_images, digits.train_labels, digits.test_images, digits.test_labels)
    own = write(folder / "own", arrays) | keys
    for run, data in (("own", own), ("digits", {"name": "digits", "scaling": keys.get("scaling", "unit")})):
        assert call("train", write_config(folder, data), "--run-dir", run).code == 0
    metrics = Path("own/metrics.jsonl").read_bytes()
    assert metrics.count(b"\n") == 3
    assert metrics == Path("digits/metrics.jsonl").read_bytes()
    for name, weight in load("own").named_parameters():
        assert torch.equal(weight, load("digits").get_parameter(name)), name
    if kind != "table of images":
        kept = [json.loads(Path(run, "result.json").read_text())["kept"] for run in ("own", "digits")]
        assert kept[0] == kept[1]


def coloured(folder: Path, n: int = 30) -> dict[str, Any]:
    """Pictures of 6 × 8 pixels whose class is their hue, with a light left half."""
    generator = np.random.default_rng(0)
    for split, count in (("train", n), ("test", 9)):
        for hue, name in enumerate(("red", "green", "blue")):
            place = folder / "own" / "hues" / split / name
            place.mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(60, size=(6, 8, 3))
                pixels[:, :, hue] += 90
                pixels[:, :4] += 60
                Image.fromarray(pixels.astype(np.uint8)).save(place / f"{number}.png")
    return {"name": "images", "path": "hues"}


@pytest.fixture
def hues(folder: Path, call: Call) -> Path:
    """A run on them, whose evaluations do without the folder from which it was started."""
    training = {**CONFIG["training"], "epochs": 20, "batch_size": 10}
    config = write_config(folder, coloured(folder), training=training)
    assert call("train", config, "--run-dir", str(folder / "run")).code == 0
    return folder / "run"


def test_pictures_of_colours_are_classified(hues: Path, folder: Path, call: Call) -> None:
    facts = json.loads((hues / "facts.json").read_text())
    assert (facts["n_features"], facts["image_shape"], facts["channels"]) == (6 * 8 * 3, [6, 8], 3)
    evaluation = call("eval", str(hues), "--json").json
    assert (evaluation["examples"], evaluation["accuracy"]) == (27, 1.0)


def test_a_file_is_predicted_as_the_row_that_it_is(hues: Path, folder: Path, call: Call) -> None:
    by_row = call("predict", str(hues), "--index", "0-26", "--json", "--show").json
    files = sorted((folder / "own/hues/test").rglob("*.png"))
    by_file = call("predict", str(hues), *map(str, files), "--json", "--show").json
    names = ("blue", "green", "red")  # classes are in natural order, as are sorted files with one digit
    assert [row["true"] for row in by_row] == [names.index(file.parent.name) for file in files]
    for row, file in zip(by_row, by_file, strict=True):
        assert (row["outputs"], row["seen"], row["name"]) == (file["outputs"], file["seen"], file["name"])
        assert np.shape(row["seen"]) == (6, 8, 3)
    with Image.open(files[0]) as image:
        large = image.resize((80, 60), Image.Resampling.NEAREST)
    large.save("large.png")
    [found] = call("predict", str(hues), "large.png", "--json").json
    assert found["name"] == "blue"
    shown = call("predict", str(hues), "large.png", "--show")
    assert (shown.code, "large.png as the network saw it" in shown.out) == (0, True)


def test_a_network_takes_images_of_colours(hues: Path) -> None:
    network = load(hues)
    assert network.image_shape == (6, 8, 3)
    images = np.random.default_rng(1).integers(256, size=(5, 6, 8, 3))
    for given in (images, images.reshape(5, -1)):
        np.testing.assert_array_equal(network.preprocess(given).numpy(), images.reshape(5, -1).astype(np.float32) / 255)
    assert network.preprocess(images[0]).shape == (1, 144)
    with pytest.raises(Exception, match=r"expected \(n, 6, 8, 3\), \(6, 8, 3\) or \(n, 144\)"):
        network.preprocess(images[:, :, :, 0])


def test_pictures_of_pictures(hues: Path, folder: Path, call: Call) -> None:
    for what in ("samples", "histogram"):
        assert call("plot", what, str(folder / "own/c.yaml"), "--out", f"{what}.png").code == 0
    file = str(folder / "own/hues/test/red/0.png")
    for what, more in (("weights", ()), ("confusion", ()), ("seen", (file,))):
        assert call("plot", what, str(hues), *more, "--out", f"{what}.png").code == 0
    assert call("report", str(hues)).code == 0
    with Image.open("samples.png") as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    for hue in range(3):
        others = np.delete(pixels, hue, axis=2).max(axis=2)
        assert ((pixels[:, :, hue] - others) > 50).mean() > 0.005, "each colour is to be seen"


def test_colours_are_augmented_together(folder: Path) -> None:
    """Mirrored, every pixel keeps its three colours; a shift moves all alike; what is erased is black in all."""
    from mlptrain.data.augmentation import Augmentation

    data = coloured(folder) | {"validation": 0, "scaling": "none"}
    for section in ({"flip": "horizontal"}, {"shift": 2}, {"erase": 1.0}):
        experiment = load_spec(Path(write_config(folder, data, augmentation=section))).experiment
        rows = load_data(experiment).train
        augmentation = Augmentation.of(experiment.augmentation, experiment.facts)
        assert augmentation is not None
        out = torch.empty(len(rows), 144)
        augmentation.epoch(0, 1).write(rows.stored().clone(), rows.preprocessing, out=out)
        before, after = (rows.inputs.view(-1, 6, 8, 3), out.view(-1, 6, 8, 3))
        if "flip" in section:
            mirrored = sum(torch.allclose(*pair, atol=1e-3) for pair in zip(after, before.flip(2), strict=True))
            same = sum(torch.allclose(*pair, atol=1e-3) for pair in zip(after, before, strict=True))
            assert 20 < mirrored == len(rows) - same
        elif "shift" in section:
            for image, moved in zip(before, after, strict=True):
                shifts = [(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3) if _is_shifted(image, moved, dy, dx)]
                assert len(shifts) == 1
        else:
            gone = (after == 0).all(dim=3)
            assert float(gone.float().mean()) > 0.02
            assert torch.equal(after[~gone], before[~gone])


def _is_shifted(image: torch.Tensor, moved: torch.Tensor, dy: int, dx: int) -> bool:
    expected = torch.zeros_like(image)
    height, width = image.shape[:2]
    to_y, to_x = slice(max(0, dy), height + min(0, dy)), slice(max(0, dx), width + min(0, dx))
    from_y, from_x = slice(max(0, -dy), height + min(0, -dy)), slice(max(0, -dx), width + min(0, -dx))
    expected[to_y, to_x] = image[from_y, from_x]
    return torch.allclose(moved, expected, atol=1e-3)


def test_a_run_whose_files_have_changed_is_refused(hues: Path, folder: Path, call: Call) -> None:
    image = folder / "own/hues/train/red/3.png"
    Image.new("RGB", (8, 6)).save(image)
    for arguments in (("train", "--resume", str(hues), "--set", "training.epochs=21"), ("eval", str(hues))):
        refused = call(*arguments)
        assert (refused.code, "trained on other data" in refused.message) == (2, True)
    image.unlink()
    refused = call("eval", str(hues))
    assert refused.code == 2
    (folder / "own/hues").rename(folder / "own/huse")
    refused = call("eval", str(hues))
    assert (refused.code, "hues: no such file or folder; did you mean 'huse'?" in refused.message) == (2, True)


def test_resolved_files_repeat_a_run(hues: Path, folder: Path, call: Call) -> None:
    assert call("train", str(hues / "resolved.yaml"), "--run-dir", "again").code == 0
    for name in ("metrics.jsonl", "facts.json"):
        assert Path("again", name).read_bytes() == (hues / name).read_bytes()


def test_check_says_what_was_detected(folder: Path, call: Call) -> None:
    np.savez(
        folder / "own/d.npz", allow_pickle=True, X=np.zeros((12, 3, 5, 5), np.uint8), y=np.eye(3)[np.arange(12) % 3]
    )
    config = write_config(folder, {"name": "arrays", "path": "d.npz"})
    shown = call("check", config)
    assert shown.code == 0
    for words in (
        "detected by their names: x is 'X', y is 'y'",
        "3 channels, detected by the first axis",
        "one-hot rows of 3 classes",
    ):
        assert words in shown.out.replace("\n", " ")
    assert len(call("check", config, "--json").json[0]["notes"]) == 3


def test_images_without_a_known_range_are_not_predicted_from_files(folder: Path, call: Call) -> None:
    np.savez(
        folder / "own/d.npz", allow_pickle=True, x=np.random.default_rng(0).normal(size=(40, 4, 4)), y=np.arange(40) % 2
    )
    Image.new("L", (4, 4)).save("a.png")
    for data, code in (({}, 2), ({"maximum": 9, "scaling": "none"}, 0)):
        if data:
            np.savez(folder / "own/d.npz", allow_pickle=True, x=np.ones((40, 4, 4)), y=np.arange(40) % 2)
        config = write_config(folder, {"name": "arrays", "path": "d.npz", **data})
        assert call("train", config, "--run-dir", f"run{code}").code == 0
        found = call("predict", f"run{code}", "a.png")
        assert found.code == code
    assert (
        "the largest pixel of data 'arrays' is not known; train with data.maximum set"
        in call("predict", "run2", "a.png").err
    )
