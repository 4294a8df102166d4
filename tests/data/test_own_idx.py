"""IDX files of any size, against the arrays that were written and torchvision's readers, and one message for faults."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from mlptrain.errors import SpecError, UserError
from mlptrain.sources.facts import RawData
from mlptrain.spec import load_spec
from mlptrain.spec.load import Loaded
from tests.data.own_files import IDX_NAMES, idx_bytes, write_idx

Values = NDArray[Any]
RANDOM = np.random.default_rng(0)
X, Y = RANDOM.integers(256, size=(30, 6, 9), dtype=np.uint8), np.arange(30, dtype=np.uint8) % 5
ARRAYS = (X, Y, X[:7] ^ 255, Y[:7])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def loaded(path: str = "idx", *, loss: str = "cross_entropy", **keys: Any) -> Loaded:
    data = {"name": "idx", "path": path, "validation": 0, **keys}
    Path("c.yaml").write_text(
        yaml.safe_dump({"data": data, "model": {"hidden": [3]}, "optimizer": "sgd", "loss": loss})
    )
    return load_spec(Path("c.yaml"))


def rows_of(path: str = "idx", **keys: Any) -> RawData:
    return loaded(path, **keys).spec.data.source().read(seed=0, folder=Path())


def message(path: str = "idx", **keys: Any) -> str:
    with pytest.raises(UserError) as caught:
        rows_of(path, **keys)
    text = str(caught.value)
    if isinstance(caught.value, SpecError):
        [fault] = caught.value.faults
        text = f"{fault.path}: {fault.message}"
    assert "\n" not in text
    return text.replace(f"{Path.cwd()}/", "")


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("place", [".", "raw"])
@pytest.mark.parametrize(
    "names",
    [
        IDX_NAMES,
        [name.replace("t10k", "test") for name in IDX_NAMES],
        [f"kmnist-{name}".replace("t10k", "test") for name in IDX_NAMES],
        [name.replace("-idx", ".idx") for name in IDX_NAMES],
    ],
)
def test_four_files(folder: Path, names: list[str], place: str, packed: bool) -> None:
    write_idx(folder, ARRAYS, names=names, packed=packed)
    path = "idx"
    if place == "raw":
        (folder / "set").mkdir()
        (folder / "idx").rename(folder / "set" / "raw")
        path = "set"
    facts, rows = loaded(path).experiment.facts, rows_of(path)
    assert rows.test_x is not None
    for found, written in zip((rows.x, rows.y, rows.test_x, rows.test_y), ARRAYS, strict=True):
        np.testing.assert_array_equal(found, written.reshape(len(written), -1) if written.ndim > 1 else written)
    assert (facts.image_shape, facts.maximum, facts.rows) == ((6, 9), 255, {"test": 7, "train": 30})
    assert facts.class_names == ("0", "1", "2", "3", "4")


def test_torchvision_reads_the_same(folder: Path) -> None:
    from torchvision.datasets.mnist import read_image_file, read_label_file

    write_idx(folder, ARRAYS, packed=False)
    rows = rows_of()
    np.testing.assert_array_equal(rows.x, read_image_file(f"idx/{IDX_NAMES[0]}").numpy().reshape(30, -1))
    np.testing.assert_array_equal(rows.y, read_label_file(f"idx/{IDX_NAMES[1]}").numpy())


def test_qmnists_labels_are_a_table(folder: Path) -> None:
    table = np.zeros((30, 8), np.int32)
    table[:, 0], table[:, 2] = Y, 2500
    names = ["qmnist-train-images-idx3-ubyte", "qmnist-train-labels-idx2-int"]
    write_idx(folder, (X, table), names=names)
    assert rows_of(test=0).y.tolist() == Y.tolist()
    assert any("the class is the first of 8 columns" in note for note in loaded().notes)


@pytest.mark.parametrize("kind", ["int8", "int16", "int32", "float32"])
def test_numbers_of_every_type(folder: Path, kind: str) -> None:
    values = RANDOM.integers(100, size=(30, 4, 4)).astype(kind)
    write_idx(folder, (values, Y))
    rows = rows_of(scaling="standard")
    assert rows.x.dtype == np.float32
    np.testing.assert_array_equal(rows.x, values.reshape(30, -1))
    write_idx(folder, (values, values[:, 0, 0].astype("float32") / 3))
    assert loaded(scaling="standard", loss="mse").experiment.facts.n_targets == 1


def test_one_set_of_several_is_named(folder: Path) -> None:
    for name in ("letters", "digits"):
        write_idx(folder, ARRAYS, names=[f"emnist-{name}-{one}".replace("t10k", "test") for one in IDX_NAMES])
    assert "idx holds several sets: emnist-digits, emnist-letters; name one, e.g. idx/emnist-digits" in message()
    assert loaded("idx/emnist-letters").experiment.facts.train_rows == 30
    assert loaded("idx/emnist-letters", class_names=["A", "B", "C", "D", "E"]).experiment.facts.class_names[1] == "B"


def upright(x: Values) -> Values:
    return x.swapaxes(1, 2).reshape(len(x), -1)


def test_emnists_images_are_read_upright(folder: Path) -> None:
    """They are stored with rows and columns exchanged; labels are not, nor is another set's."""
    names = [f"emnist-letters-{one}".replace("t10k", "test") for one in IDX_NAMES]
    write_idx(folder, ARRAYS, names=names)
    rows, facts = rows_of(), loaded().experiment.facts
    assert rows.test_x is not None
    assert facts.image_shape == (9, 6)
    np.testing.assert_array_equal(rows.x, upright(X))
    np.testing.assert_array_equal(rows.test_x, upright(X[:7] ^ 255))
    np.testing.assert_array_equal(rows.y, Y)
    assert any("read upright; transpose: false leaves them" in note for note in loaded().notes)
    np.testing.assert_array_equal(rows_of(transpose=False).x, X.reshape(30, -1))
    assert not any("upright" in note for note in loaded(transpose=False).notes)


def test_images_are_transposed_where_it_is_stated(folder: Path) -> None:
    coloured = RANDOM.integers(256, size=(30, 4, 7, 3), dtype=np.uint8)
    write_idx(folder, (coloured, Y))
    np.testing.assert_array_equal(rows_of(transpose=True).x, upright(coloured))
    assert loaded(transpose=True).experiment.facts.image_shape == (7, 4)
    write_idx(folder, (X.reshape(30, -1), Y))
    assert "data.transpose: is true, but idx/train-images-idx3-ubyte.gz has shape (30, 54)" in message(transpose=True)


def test_sets_in_a_zip_archive(folder: Path) -> None:
    """As EMNIST is published: packed files in a folder of an archive, of several sets."""
    with zipfile.ZipFile("gzip.zip", "w") as archive:
        for name, offset in (("letters", 1), ("digits", 0)):
            for file, values in zip(IDX_NAMES, (X, Y + offset, X[:7], Y[:7] + offset), strict=True):
                one = f"gzip/emnist-{name}-{file}.gz".replace("t10k", "test")
                archive.writestr(one, gzip.compress(idx_bytes(values)))
    assert (
        "gzip.zip holds several sets: emnist-digits, emnist-letters; name one, e.g. gzip.zip/emnist-digits"
        in message("gzip.zip")
    )
    rows = rows_of("gzip.zip/emnist-letters")
    np.testing.assert_array_equal(rows.x, upright(X))
    np.testing.assert_array_equal(rows.test_x, upright(X[:7]))
    assert loaded("gzip.zip/emnist-letters").experiment.facts.class_names == ("1", "2", "3", "4", "5")
    content = bytearray(Path("gzip.zip").read_bytes())
    content[200] ^= 255
    Path("gzip.zip").write_bytes(content)
    assert "gzip.zip: gzip/emnist-" in message("gzip.zip/emnist-letters")


def test_validation_rows_and_fewer_rows(folder: Path) -> None:
    names = [*IDX_NAMES, "valid-images-idx3-ubyte", "valid-labels-idx1-ubyte"]
    write_idx(folder, (*ARRAYS, X[9:14], Y[9:14]), names=names)
    found = loaded(validation=0.1, train_size=20, test_size=4)
    rows = found.spec.data.source().read(seed=0, folder=Path())
    np.testing.assert_array_equal(rows.validation_x, X[9:14].reshape(5, -1))
    assert found.experiment.facts.rows == {"test": 4, "validation": 5, "train": 20}
    assert loaded(train_size=20).experiment.facts.rows == {"test": 7, "train": 20}, "validation: 0 leaves them out"
    assert "data.train_size: must be at most 30, the rows of 'idx', got 31" in message(train_size=31)
    write_idx(folder, ARRAYS[:2], names=names)
    for name in names[2:]:
        for file in Path("idx").glob(f"{name}*"):
            file.unlink()
    assert "data.test_size: has nothing to choose from: 'idx' has no test rows of its own" in message(test_size=3)


def change(name: str, content: Callable[[bytes], bytes]) -> Callable[[], None]:
    def write() -> None:
        write_idx(Path(), ARRAYS, packed=False)
        Path("idx", name).write_bytes(content(Path("idx", name).read_bytes()))

    return write


def packed_and_cut() -> None:
    write_idx(Path(), ARRAYS)
    content = gzip.decompress(Path("idx", f"{IDX_NAMES[0]}.gz").read_bytes())
    Path("idx", f"{IDX_NAMES[0]}.gz").write_bytes(gzip.compress(content[:-5]))


def without(name: str) -> Callable[[], None]:
    def write() -> None:
        write_idx(Path(), ARRAYS, packed=False)
        Path("idx", name).unlink()

    return write


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: None, "data.path: idx: no such file or folder"),
        (lambda: Path("idx").mkdir(),
         "does not hold train-images-idx3-ubyte and train-labels-idx1-ubyte, plain or .gz; it is empty"),
        (without(IDX_NAMES[1]), "it holds t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte, train-images-idx3-ubyte"),
        (without(IDX_NAMES[2]),
         "there are test rows in t10k-labels-idx1-ubyte, but not both inputs and targets of them"),
        (lambda: Path("idx").write_bytes(b"x"),
         "data.path: idx is a file: expected the folder that holds images and labels"),
        (change(IDX_NAMES[0], lambda old: old[:-3]), "has 1,633 bytes, but its header promises 1,636: it is cut off"),
        (change(IDX_NAMES[0], lambda old: old + b"0"), "has 1,637 bytes, but its header promises 1,636"),
        (change(IDX_NAMES[0], lambda _: b"<html>"),
         "is a web page, as of a login or an error, instead of the file, expected an IDX file"),
        (change(IDX_NAMES[0], lambda _: b""), "train-images-idx3-ubyte is empty, expected an IDX file"),
        (change(IDX_NAMES[0], lambda _: b"\x1f\x8b\x08cut"), "train-images-idx3-ubyte cannot be read: "),
        (change(IDX_NAMES[1], lambda _: idx_bytes(Y[:29])), "has shape (30, 6, 9), but there are 29 targets"),
        (change(IDX_NAMES[2], lambda _: idx_bytes(X[:7, :5])), "expected training and test rows of one shape"),
        (packed_and_cut, "is an IDX file of 1,631 bytes whose header promises 1,636"),
    ],
)  # fmt: skip
def test_one_message(folder: Path, make: Callable[[], None], words: str) -> None:
    make()
    assert words in message()
