"""Folders and tables of images, against torchvision's ImageFolder and Pillow, and one message for what is wrong."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from PIL import Image

from mlptrain.errors import SpecError, UserError
from mlptrain.sources.arrays import image_files
from mlptrain.sources.facts import DataFacts, RawData
from mlptrain.spec import load_spec
from mlptrain.spec.load import Loaded

CLASSES = ("cat", "dog 2", "dog 10")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLPTRAIN_CACHE_DIR", "kept")
    return tmp_path


def picture(*shape: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(256, size=shape, dtype=np.uint8))


def fill(root: str, shape: tuple[int, ...] = (5, 7, 3), n: int = 4, *, suffix: str = ".png") -> None:
    for number, name in enumerate(CLASSES):
        Path(root, name).mkdir(parents=True)
        for index in range(n):
            picture(*shape, seed=10 * number + index).save(Path(root, name, f"im{index}{suffix}"))


def loaded(path: str = "im", *, loss: str = "cross_entropy", **keys: Any) -> Loaded:
    data = {"name": "images", "path": path, "validation": 0, "test": 0, **keys}
    Path("c.yaml").write_text(
        yaml.safe_dump({"data": data, "model": {"hidden": [3]}, "optimizer": "sgd", "loss": loss})
    )
    return load_spec(Path("c.yaml"))


def facts_of(path: str = "im", **keys: Any) -> DataFacts:
    return loaded(path, **keys).experiment.facts


def rows_of(path: str = "im", **keys: Any) -> RawData:
    return loaded(path, **keys).spec.data.source().read(seed=0, folder=Path())


def message(path: str = "im", **keys: Any) -> str:
    with pytest.raises(UserError) as caught:
        rows_of(path, **keys)
    text = str(caught.value)
    if isinstance(caught.value, SpecError):
        [fault] = caught.value.faults
        assert fault.line is not None
        text = f"{fault.path}: {fault.message}"
    assert "\n" not in text
    return text.replace(f"{Path.cwd()}/", "")


def reference(root: str, mode: str, size: tuple[int, int] | None = None) -> tuple[NDArray[Any], list[str]]:
    """What torchvision reads, in our order of files, with names for labels."""
    from torchvision.datasets import ImageFolder

    found = ImageFolder(root)
    by_file = {path: found.classes[label] for path, label in found.samples}
    images = []
    order = [path for name in CLASSES for path in by_file if by_file[path] == name]
    for path in order:
        image = Image.open(path).convert(mode)
        if size is not None:
            image = image.resize(size[::-1], Image.Resampling.BILINEAR)
        images.append(np.asarray(image).reshape(-1))
    return np.stack(images), [by_file[path] for path in order]


@pytest.mark.parametrize(("mode", "word", "channels"), [("RGB", "rgb", 3), ("L", "grey", 1), ("RGB", "auto", 3)])
@pytest.mark.parametrize("size", [None, (3, 4), (11, 9)])
def test_a_folder_is_read_as_torchvision_reads_it(
    folder: Path, mode: str, word: str, channels: int, size: tuple[int, int] | None
) -> None:
    fill("im")
    keys: dict[str, Any] = {} if size is None else {"size": list(size)}
    facts, rows = facts_of(mode=word, **keys), rows_of(mode=word, **keys)
    x, names = reference("im", mode, size)
    np.testing.assert_array_equal(rows.x, x)
    assert [facts.class_names[label] for label in rows.y] == names
    assert facts.class_names == CLASSES, "in natural order"
    assert (facts.image_shape, facts.channels, facts.maximum) == (size or (5, 7), channels, 255)
    assert rows.x.dtype == np.uint8


def test_train_and_test_folders(folder: Path) -> None:
    fill("im/train", n=5)
    fill("im/test", n=2)
    fill("im/val", n=1)
    Path("im/train/notes.txt").touch()
    Path("im/train/.hidden").mkdir()
    picture(5, 7, 3).save("im/train/stray.png")
    assert facts_of().rows == {"test": 6, "train": 15}
    rows = rows_of()
    assert rows.test_x is not None
    np.testing.assert_array_equal(rows.test_x, reference("im/test", "RGB")[0])
    notes = "\n".join(loaded().notes)
    assert "classes are in natural order" in notes
    assert facts_of(validation=0.1).rows == {"test": 6, "validation": 3, "train": 15}, "unless validation is 0"
    assert "not used, since in no class's folder: stray.png (1)" in notes
    assert "mode: rgb, as the first image, im0.png" in notes


def test_stored_validation_rows(folder: Path) -> None:
    for split, n in (("train", 5), ("valid", 2)):
        fill(f"im/{split}", n=n)
    rows = loaded(validation=0.1).spec.data.source().read(seed=0, folder=Path())
    assert rows.validation_x is not None
    assert rows.test_x is None
    np.testing.assert_array_equal(rows.validation_x, reference("im/valid", "RGB")[0])
    [warning] = [fault for fault in loaded(validation=0.3).warnings if fault.path == "data.validation"]
    assert "has no effect: the data have validation rows of their own" in warning.message
    assert facts_of().rows == {"train": 15}
    for file in Path("im/valid/cat").iterdir():
        file.unlink()
    assert facts_of(validation=0.1).validation_rows == 4, "not every class has some"


def test_fewer_images_are_of_every_class(folder: Path) -> None:
    """The first of each class in turn: the first as stored would all be of one."""
    fill("im/train", n=5)
    fill("im/test", n=2)
    facts, rows = facts_of(train_size=7, test_size=4), rows_of(train_size=7, test_size=4)
    assert facts.rows == {"test": 4, "train": 7}
    whole = rows_of()
    assert rows.y.tolist() == [0, 0, 0, 1, 1, 2, 2]
    np.testing.assert_array_equal(rows.x, whole.x[[0, 1, 2, 5, 6, 10, 11]])
    assert rows.test_y is not None
    assert rows.test_y.tolist() == [0, 0, 1, 2]
    chosen = rows_of(train_size=4, classes=["dog 10", "cat"])
    np.testing.assert_array_equal(chosen.x, whole.x[[0, 1, 10, 11]])
    assert chosen.y.tolist() == [1, 1, 0, 0]
    assert "data.train_size: must be at most 15, the rows of 'images', got 16" in message(train_size=16)


def test_images_in_folders_of_a_classs_folder(folder: Path) -> None:
    fill("im", (4, 4))
    Path("im/cat/more/deep").mkdir(parents=True)
    Path("im/cat/im0.png").rename("im/cat/more/deep/im0.png")
    assert facts_of().train_rows == 12
    assert facts_of().channels == 1, "the first image is grey"


def test_a_table_of_file_names_and_labels(folder: Path) -> None:
    fill("im", (4, 4))
    files = [f"im/{name}/im{index}.png" for index in range(4) for name in CLASSES]
    labels = ["b" if "cat" in file else "a" for file in files]
    expected = np.stack([np.asarray(Image.open(file)).reshape(-1) for file in files])
    for head, cells in (
        ("file,label", [f"{file},{label}" for file, label in zip(files, labels, strict=True)]),
        ("id;class;path", [f"7;{label};{file}" for file, label in zip(files, labels, strict=True)]),
        ("", [f"{file}\t{label}" for file, label in zip(files, labels, strict=True)]),
        ("", [f'"{file}","{label}"' for file, label in zip(files, labels, strict=True)]),
    ):
        Path("t.csv").write_text("\n".join([head, *cells] if head else cells))
        facts, rows = facts_of("t.csv"), rows_of("t.csv")
        assert [facts.class_names[label] for label in rows.y] == labels
        np.testing.assert_array_equal(rows.x, expected)
    Path("t.csv").write_text("file,age\n" + "\n".join(f"{file},{number}.5" for number, file in enumerate(files)))
    assert loaded("t.csv", loss="mse").experiment.facts.n_targets == 1


def test_images_are_read_as_they_are_seen(folder: Path) -> None:
    """Turned as EXIF says, on white where transparent, 16 bits as 8, the first frame, palettes as their colours."""
    fill("im", (4, 4, 3), n=1)
    grey = np.arange(16, dtype=np.uint8).reshape(4, 4) * 16
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(grey).save("im/cat/a.jpg", exif=turned, quality=100)
    Image.fromarray(grey.astype(np.uint16) * 257).save("im/cat/b.png")
    clear = np.zeros((4, 4, 4), np.uint8)
    clear[0, 0] = 10, 20, 30, 255
    Image.fromarray(clear).save("im/cat/c.png")
    Image.fromarray(grey).quantize(8).save("im/cat/d.gif")
    Path("im/cat/im0.png").unlink()
    rows = rows_of(mode="rgb").x.reshape(-1, 4, 4, 3)
    assert np.abs(rows[0, :, :, 0].astype(int) - np.rot90(grey, -1)).max() <= 8
    np.testing.assert_array_equal(rows[1], np.repeat(grey[:, :, None], 3, axis=2))
    assert rows[2][0, 0].tolist() == [10, 20, 30]
    assert rows[2][1:].min() == 255
    with Image.open("im/cat/d.gif") as image:
        np.testing.assert_array_equal(rows[3], np.asarray(image.convert("RGB")))


def test_decoded_pixels_are_kept_where_it_took_long(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_files, "_SLOW", 0.0)
    fill("im", (4, 4))
    before = rows_of().x
    [kept] = Path("kept/images").iterdir()
    with monkeypatch.context() as context:
        context.setattr(image_files, "decoded", None)
        np.testing.assert_array_equal(rows_of().x, before)
    picture(4, 4, seed=99).save("im/cat/im0.png")
    after = rows_of().x
    assert (after != before).any()
    np.testing.assert_array_equal(after[1:], before[1:])
    [other] = Path("kept/images").iterdir()
    assert other != kept, "in place of the older one"
    other.write_bytes(b"cut off")
    np.testing.assert_array_equal(rows_of().x, after)
    Path("file").touch()
    monkeypatch.setenv("MLPTRAIN_CACHE_DIR", "file")
    np.testing.assert_array_equal(rows_of().x, after)


def put(*files: str, content: bytes | None = None) -> Callable[[], None]:
    def write() -> None:
        for file in files:
            Path(file).parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                picture(4, 4).save(file)
            else:
                Path(file).write_bytes(content)

    return write


def sizes() -> None:
    fill("im", (4, 4))
    picture(4, 9).save("im/dog 2/im1.png")
    picture(5, 5).save("im/dog 10/im3.png")


def damaged() -> None:
    fill("im", (40, 40))
    for file in ("im/cat/im2.png", "im/dog 2/im1.png", "im/dog 2/im3.png"):
        Path(file).write_bytes(Path(file).read_bytes()[:200])


def no_image() -> None:
    fill("im", (4, 4))
    Path("im/dog 10/im3.png").write_text("<html>")


def huge() -> None:
    fill("im", (4, 4))
    content = Path("im/cat/im1.png").read_bytes()
    Path("im/cat/im1.png").write_bytes(content.replace(struct.pack(">II", 4, 4), struct.pack(">II", 90_000, 90_000)))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: None, "data.path: im: no such file or folder"),
        (lambda: Path("im").mkdir(), "data.path: the folder im holds nothing: expected a subfolder of images for each"),
        (put("im/a.png", "im/b.png"), "data.path: the folder im holds images, but no subfolder for each class"),
        (put("im/a.txt", content=b""), "data.path: the folder im holds no images"),
        (put("im/cat/a.png", "im/cat/b.png"),
         "data.path: the folder im holds the one class 'cat': expected two or more"),
        (put("im/cat/a.txt", "im/dog/b.txt", content=b""), "data.path: the folder im/cat holds no image files, whose"),
        (sizes,
         "im/dog 2/im1.png has 4 × 9 pixels, but im0.png 4 × 4; set data.size, e.g. [4, 4], to which all are scaled "
                "(2 such files)"),
        (damaged, "im/cat/im2.png cannot be read: image file is truncated (3 such files)"),
        (no_image, "im/dog 10/im3.png is not an image in PNG, JPEG"),
        (huge, "im/cat/im1.png "),
        (put("im", content=b"\xff\xfe\0"),
         "data.path: im is not a folder, nor a table in UTF-8 of file names and labels"),
        (put("im", content=b""), "data.path: im:1:1: expected a file name and a label in every row"),
        (put("im", content=b"file,label\n"), "data.path: im holds no rows"),
        (put("im", content=b"file,label\nx.png,1\ny.png,2\n"), "data.path: im:2:1: no such file: x.png (2 are absent)"),
        (put("im", content=b"file,label\nx.png\n"), "data.path: im:2:1: expected a file name and a label in every row"),
        (put("im", content=b"file,label\nim,\n"), "data.path: im:2:1: the label of im is empty"),
    ],
)  # fmt: skip
def test_one_message(folder: Path, make: Callable[[], None], words: str) -> None:
    make()
    assert words in message()


def test_faults_of_keys(folder: Path) -> None:
    fill("im", (4, 4))
    faults: tuple[tuple[dict[str, Any], str], ...] = (
        ({"size": 0}, "data.size: must be a whole number from 1 to 10,000, or [height, width] of them, got 0"),
        ({"size": [3]}, "data.size: must be a whole number from 1 to 10,000, or [height, width] of them, got [3]"),
        ({"mode": "gray"}, "data.mode: must be auto, grey or rgb, got the text 'gray'; did you mean 'grey'?"),
        ({"mode": "RGB"}, "did you mean 'rgb'?"),
        ({"classes": ["cat", "dgo 2"]}, "data.classes: there is no class 'dgo 2'; did you mean 'dog 2'?"),
        ({"classes": ["ctt", "dgo 2"], "train_size": 3}, "data.classes: there is no class 'ctt'; did you mean 'cat'?"),
        ({"task": "regression"}, "the folders of im holds texts: expected numbers for a regression"),
    )
    for keys, words in faults:
        assert words in message(**keys), keys
