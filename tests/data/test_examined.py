"""``mlptrain check`` looks at values that facts do not need: what ``train`` would refuse, it refuses too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from mlptrain.errors import UserError
from mlptrain.experiment import train
from mlptrain.sources.arrays import image_files, source
from tests.command import Call

DRAW = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def config(**data: Any) -> str:
    content = {"data": data, "model": {"hidden": [3]}, "optimizer": "sgd", "training": {"epochs": 1}}
    Path("c.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return "c.yaml"


def images(count: int = 12) -> list[Path]:
    """Of two classes, 6 × 5 pixels."""
    files = []
    for number in range(count):
        file = Path("pictures", "ab"[number % 2], f"{number}.png")
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(DRAW.integers(0, 255, (6, 5), np.uint8)).save(file)
        files.append(file)
    return files


def same_refusal(call: Call, name: str) -> str:
    """What check says at the place of data.path, and that training says it too."""
    checked = call("check", name)
    assert checked.code == 2
    place, _, says = checked.message.partition("  data.path: ")
    assert place.removeprefix("error: ").startswith("c.yaml:")
    with pytest.raises(UserError) as caught:
        train(Path(name))
    assert says.partition(" (")[0] in str(caught.value)
    return says


def test_images_of_another_size(call: Call) -> None:
    other = images()[7]
    Image.new("L", (9, 6)).save(other)
    assert same_refusal(call, config(name="images", path="pictures")).endswith(
        "7.png has 6 × 9 pixels, but 0.png 6 × 5; set data.size, e.g. [6, 5], to which all are scaled"
    )
    assert call("check", config(name="images", path="pictures", size=6)).code == 0


def test_an_image_that_is_cut_off(call: Call) -> None:
    broken = images()[5]
    Image.fromarray(DRAW.integers(0, 255, (6, 5), np.uint8)).save(broken)
    broken.write_bytes(broken.read_bytes()[:60])
    assert "5.png" in same_refusal(call, config(name="images", path="pictures"))
    broken.write_bytes(b"no image")
    assert "5.png is not an image" in same_refusal(call, config(name="images", path="pictures", size=4))


def test_it_says_how_many_images_it_looked_at(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    images()
    name = config(name="images", path="pictures")
    assert "pictures: all 12 images were looked at" in call("check", name).out
    monkeypatch.setattr(image_files, "_MAX_HEADS", 6)
    monkeypatch.setattr(image_files, "_MAX_DECODED", 3)
    notes = call("check", name, "--json").json[0]["notes"]
    assert "pictures: 6 of 12 images were looked at, 3 of them to the last pixel" in notes


@pytest.mark.parametrize(("value", "says"), [(np.nan, "row 3, column 1 is nan"), (1e39, "too large for float32")])
@pytest.mark.parametrize("kind", ["npz", "npy"])
def test_values_of_arrays(call: Call, value: float, says: str, kind: str) -> None:
    x, y = DRAW.normal(size=(40, 3)), np.arange(40) % 2
    x[3, 1] = value
    if kind == "npz":
        np.savez("d.npz", allow_pickle=True, x=x, y=y)
    else:
        np.save("d.npy", np.column_stack([x, y]))
    assert says in same_refusal(call, config(name="arrays", path=f"d.{kind}", task="classification"))


def test_it_says_which_arrays_it_looked_at(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez("d.npz", allow_pickle=True, x=DRAW.normal(size=(40, 3)), y=np.arange(40) % 2)
    name = config(name="arrays", path="d.npz")
    assert "d.npz: x: all values were looked at" in call("check", name, "--json").json[0]["notes"]
    monkeypatch.setattr(source, "_MAX_EXAMINED", 500)
    [note] = [note for note in call("check", name, "--json").json[0]["notes"] if "looked at" in note]
    assert note.startswith("d.npz: x: its 0 MB of values were not looked at")


@pytest.mark.parametrize("value", [1e37, -3e18])
def test_targets_too_large_to_be_squared(call: Call, value: float) -> None:
    y = DRAW.normal(size=40)
    y[4] = value
    np.savez("d.npz", allow_pickle=True, x=DRAW.normal(size=(40, 3)), y=y)
    refused = call("train", config(name="arrays", path="d.npz"))
    assert (refused.code, Path("runs").exists()) == (2, False)
    assert refused.message.startswith("c.yaml:2:3  data: d.npz: y: the target of row 4 (counted from 0) is ")
    assert "its square is beyond the numbers of float32" in refused.message
