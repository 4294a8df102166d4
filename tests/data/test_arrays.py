"""Arrays of files: which are inputs and targets, what these are, and one message for everything else."""

from __future__ import annotations

import gzip
import io
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import yaml
from numpy.typing import NDArray

from mlptrain.errors import DataError, SpecError, UserError
from mlptrain.experiment import train
from mlptrain.experiment.build import load_data
from mlptrain.experiment.checkpoints import check_room, load_checkpoint
from mlptrain.sources.facts import DataFacts, RawData
from mlptrain.spec import load_spec
from mlptrain.spec.load import Loaded, in_folds
from mlptrain.system import memory, sealed

Values = NDArray[Any]
N, D = 40, 3


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def inputs(*shape: int, kind: str = "float64") -> Values:
    values = np.random.default_rng(0).normal(size=shape or (N, D))
    return (values * 40 + 128).clip(0, 255).astype(kind)


def labels(n: int = N, k: int = 4) -> Values:
    return np.arange(n) % k


def loaded(path: str = "d.npz", *, loss: str = "cross_entropy", **keys: Any) -> Loaded:
    data = {"name": "arrays", "path": path, "validation": 0, "test": 0, **keys}
    of_network = {"model": {"hidden": [3]}, "optimizer": "sgd", "loss": loss, "training": {"epochs": 10}}
    Path("c.yaml").write_text(yaml.safe_dump({"data": data, **of_network}))
    return load_spec(Path("c.yaml"))


def facts_of(path: str = "d.npz", **keys: Any) -> DataFacts:
    return loaded(path, **keys).experiment.facts


def rows_of(path: str = "d.npz", **keys: Any) -> RawData:
    return loaded(path, **keys).spec.data.source().read(seed=0, folder=Path())


def message(path: str = "d.npz", **keys: Any) -> str:
    """That of facts, located; or that of reading."""
    with pytest.raises(UserError) as caught:
        rows_of(path, **keys)
    assert "\n" not in str(caught.value)
    if not isinstance(caught.value, SpecError):
        return str(caught.value)
    [fault] = caught.value.faults
    assert (fault.source, fault.path.startswith("data"), fault.line is None) == ("c.yaml", True, False)
    return f"{fault.path}: {fault.message}"


def save(**arrays: Values) -> None:
    np.savez("d.npz", allow_pickle=True, **arrays)


@pytest.mark.parametrize(
    ("shape", "image", "channels", "axes"),
    [
        ((N,), None, 1, (0,)),
        ((N, 6), None, 1, (0, 1)),
        ((N, 4, 5), (4, 5), 1, (0, 1, 2)),
        ((N, 4, 5, 1), (4, 5), 1, (0, 1, 2, 3)),
        ((N, 4, 5, 3), (4, 5), 3, (0, 1, 2, 3)),
        ((N, 3, 4, 5), (4, 5), 3, (0, 2, 3, 1)),
        ((N, 1, 4, 5), (4, 5), 1, (0, 2, 3, 1)),
        ((N, 3, 4, 3), (3, 4), 3, (0, 1, 2, 3)),
        ((4, 5, 3, N), (4, 5), 3, (3, 0, 1, 2)),  # as MATLAB stores them
        ((6, N), None, 1, (1, 0)),
    ],
)
@pytest.mark.parametrize("kind", ["uint8", "float64"])
def test_axes_are_told_by_the_shape(
    folder: Path, shape: tuple[int, ...], image: tuple[int, int] | None, channels: int, axes: tuple[int, ...], kind: str
) -> None:
    x = inputs(*shape, kind=kind)
    save(x=x, y=labels())
    facts, rows = facts_of(), rows_of()
    expected = x.transpose(axes).reshape(N, -1)
    assert (facts.image_shape, facts.channels, facts.n_features) == (image, channels, expected.shape[1])
    assert rows.x.dtype == (np.uint8 if kind == "uint8" else np.float32)
    np.testing.assert_array_equal(rows.x, expected.astype(rows.x.dtype))
    assert rows.x.flags.c_contiguous
    assert rows.x.flags.writeable
    assert facts.maximum == (255 if kind == "uint8" else None)
    told = [note for note in loaded().notes if "channel" in note or "last axis" in note]
    assert bool(told) == (len(shape) == 4 or shape[0] != N)


@pytest.mark.parametrize(
    "kind", ["float16", "float32", ">f4", "longdouble", "int8", "int64", ">i2", "uint16", "uint8", "bool"]
)
def test_numbers_of_every_type(folder: Path, kind: str) -> None:
    x = inputs().clip(0, 127).astype(kind)
    save(x=x, y=labels())
    rows = rows_of(maximum=None)
    assert rows.x.dtype == (np.uint8 if kind in ("uint8", "bool") else np.float32)
    np.testing.assert_array_equal(rows.x.astype(np.float64), x.astype(np.float32).astype(np.float64))
    assert facts_of().maximum == {"uint8": 255, "bool": 1}.get(kind)


@pytest.mark.parametrize(
    ("y", "names", "expected", "says"),
    [
        (np.array([5, 2, 9, 5]), ("2", "5", "9"), [1, 0, 2, 1], "whole numbers, 3 classes: 2, 5, 9"),
        (np.array([-1, 1, 1, -1]), ("-1", "1"), [0, 1, 1, 0], "whole numbers"),
        (np.array(["b10", "b9", "a", "b9"]), ("a", "b9", "b10"), [2, 1, 0, 1], "texts, 3 classes: a, b9, b10"),
        (np.array([b"no", b"yes", b"no", b"no"]), ("no", "yes"), [0, 1, 0, 0], "texts"),
        (np.array([True, False, True, True]), ("False", "True"), [1, 0, 1, 1], "truth values"),
        (np.array([[5], [2], [9], [5]]), ("2", "5", "9"), [1, 0, 2, 1], "whole numbers"),
        (np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0]]), ("0", "1", "2"), [1, 2, 0, 1], "one-hot rows of 3"),
        (np.eye(4, dtype=np.float32), ("0", "1", "2", "3"), [0, 1, 2, 3], "one-hot rows of 4"),
    ],
)
def test_classes(folder: Path, y: Values, names: tuple[str, ...], expected: list[int], says: str) -> None:
    save(x=inputs(4, 2), y=y)
    facts, rows = facts_of(), rows_of()
    assert (facts.class_names, facts.n_targets) == (names, 0)
    assert rows.y.dtype == np.int64
    assert rows.y.tolist() == expected
    assert any(says in note for note in loaded().notes), loaded().notes


def test_numbers_are_a_regression(folder: Path) -> None:
    x = inputs(1500, 2)
    price, pair = np.linspace(0, 1, 1500), inputs(1500, 2)
    for y, width in ((price, 1), (price[:, None], 1), (pair, 2), (np.arange(1500) * 7, 1)):
        save(x=x, y=y)
        facts = facts_of(loss="mse")
        assert (facts.class_names, facts.n_targets) == ((), width)
        np.testing.assert_array_equal(rows_of(loss="mse").y, y.reshape(1500, -1).astype(np.float32))
    save(x=x, y=labels(1500, 140))
    assert len(facts_of().class_names) == 140, "ten rows of each are classes"
    save(x=x, y=labels(1500, 5))
    assert facts_of(task="regression", loss="mse").n_targets == 1
    save(x=x, y=labels(1500, 5).astype(float) / 2)
    assert facts_of(loss="mse").n_targets == 1
    assert facts_of(task="classification").class_names == ("0.0", "0.5", "1.0", "1.5", "2.0")


def test_labels_of_which_a_row_may_have_several(folder: Path) -> None:
    y = np.array([[1, 1, 0], [0, 0, 0], [0, 1, 0], [1, 1, 1]])
    save(x=inputs(4, 2), y=y)
    facts, rows = facts_of(loss="multi_label_bce"), rows_of(loss="multi_label_bce")
    assert (facts.class_names, facts.n_targets, facts.is_multi_label) == (("0", "1", "2"), 3, True)
    assert rows.y.dtype == np.float32
    assert rows.y.tolist() == y.tolist()


def test_names_are_guessed_and_said(folder: Path) -> None:
    x, y = inputs(), labels()
    for names in (
        ("x_train", "y_train", "x_test", "y_test"),
        ("train_images", "train_labels", "test_images", "test_labels"),
    ):
        save(**dict(zip(names, (x, y, x[:9], y[:9]), strict=True)), extra=x)
        facts = facts_of()
        assert (facts.train_rows, facts.test_rows) == (N, 9)
        assert any(f"x is '{names[0]}'" in note for note in loaded().notes)
        assert "not used: extra" in loaded().notes
    for pair in (("X", "y"), ("data", "target"), ("features", "labels")):
        save(**dict(zip(pair, (x, y), strict=True)))
        assert facts_of().rows == {"train": N}
    save(one=x, two=y, three=x[:5], four=y[:5])
    assert facts_of(x="one", y="two").rows == {"train": N}
    assert facts_of(x="one", y="two", x_test="three", y_test="four").rows == {"test": 5, "train": N}


def test_test_rows_are_drawn_where_none_are_stored(folder: Path) -> None:
    x, y = inputs(), labels()
    save(x=x, y=y)
    experiment = loaded(test=0.2, validation=0.25).experiment
    assert experiment.facts.rows == {"test": 8, "validation": 8, "train": 24}
    splits = load_data(experiment)
    assert {len(part) for part in (splits.test, splits.validation) if part is not None} == {8}
    save(x=x, y=y, x_test=x[:5] + 1, y_test=y[:5])
    experiment = loaded(test=0.2, validation=0).experiment
    assert experiment.facts.rows == {"test": 5, "train": N}
    test = load_data(experiment).test
    assert test is not None
    np.testing.assert_allclose(test.stored().numpy(), x[:5] + 1, rtol=1e-6)


@pytest.mark.parametrize("names", [("X", "labels"), ("x", "label"), ("X", "targets"), ("x", "target"), ("X", "y")])
@pytest.mark.parametrize("kind", ["npz", "mat"])
def test_inputs_called_x_beside_targets_of_any_usual_name(folder: Path, names: tuple[str, str], kind: str) -> None:
    x, y = inputs(), labels()
    arrays = dict(zip(names, (x, y), strict=True))
    if kind == "mat":
        scipy.io.savemat("d.mat", arrays)
        rows = loaded(path="d.mat").spec.data.source().read(seed=0, folder=Path())
    else:
        save(**arrays)
        rows = rows_of()
    np.testing.assert_array_equal(rows.x, x.astype(rows.x.dtype))
    np.testing.assert_array_equal(rows.y, y)


def test_labels_are_targets_or_names_of_classes(folder: Path) -> None:
    save(x=inputs(), y=labels())
    with pytest.raises(SpecError, match=r"data\.labels: unknown key; did you mean 'y' or 'class_names'\?"):
        loaded(labels="y")


def test_columns_that_no_checkpoint_has_room_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a million columns in small: found before a folder is made, by what the checkpoint would hold."""
    save(x=inputs(N, 10_100, kind="float32"), y=labels())
    loaded()
    train(Path("c.yaml"), overrides=["training.epochs=0"], run_dir="run")
    header = int.from_bytes(Path("run/checkpoints/last.safetensors").read_bytes()[:8], "little")
    monkeypatch.setattr(sealed, "MAX_HEADER_BYTES", int(1.15 * header))
    checkpoint = load_checkpoint(Path("run/checkpoints/last.safetensors"))
    check_room(checkpoint.experiment, checkpoint.preprocessing)
    monkeypatch.setattr(sealed, "MAX_HEADER_BYTES", header - 1)
    with pytest.raises(DataError, match=r"data 'arrays' has 10,100 columns, whose names and preprocessing "):
        train(Path("c.yaml"), run_dir="third")
    assert not Path("third").exists()


@pytest.mark.parametrize("names", [("x_val", "y_val"), ("X_valid", "Y_valid"), ("xDev", "yDev")])
def test_stored_validation_rows_are_used(folder: Path, names: tuple[str, str]) -> None:
    """Those of a fold of the training rows too; a validation of 0 leaves them out, another wish is said to be void."""
    x, y = inputs(), labels()
    save(x_train=x, y_train=y, **dict(zip(names, (x[:6] + 1, y[:6]), strict=True)))
    experiment = loaded(test=0.2, validation=0.1).experiment
    assert experiment.facts.rows == {"test": 8, "validation": 6, "train": 32}
    splits = load_data(experiment)
    assert splits.validation is not None
    np.testing.assert_allclose(splits.validation.stored().numpy(), x[:6] + 1, rtol=1e-6)
    assert facts_of().rows == {"train": N}
    assert [fault.path for fault in loaded(validation=5).warnings] == ["data.validation"]
    folds = [loaded(validation=0.1, fold={"of": 3, "index": index}).experiment.facts for index in (0, 2)]
    assert [fold.rows for fold in folds] == [
        {"test": 14, "validation": 6, "train": 26},
        {"test": 13, "validation": 6, "train": 27},
    ]
    assert [one.facts for one in in_folds(loaded(validation=0.1), 3)][::2] == folds


def test_validation_rows_that_do_not_fit(folder: Path) -> None:
    x, y = inputs(), labels()
    save(x=x, y=y, a=x[:5, :2], b=y[:5])
    words = "expected training and validation rows of one shape, on one scale"
    assert words in message(x="x", y="y", x_val="a", y_val="b", validation=0.1)
    assert "there are validation rows in d.npz: a, but not both" in message(x="x", y="y", x_val="a", validation=0.1)


def test_the_first_rows(folder: Path) -> None:
    x, y = inputs(), labels()
    save(x=x, y=y, x_test=x[:9], y_test=y[:9])
    experiment = loaded(train_size=20, test_size=4, validation=0.1, classes=[1, 2, 3]).experiment
    assert experiment.facts.rows == {"test": 4, "validation": 2, "train": 18}
    splits = load_data(experiment)
    assert splits.test is not None
    np.testing.assert_allclose(splits.test.stored().numpy(), x[:9][y[:9] > 0][:4], rtol=1e-6)
    np.testing.assert_allclose(splits.train.x.numpy(), x[y > 0][:20], rtol=1e-6)
    assert "data.train_size: must be at most 30, the rows of 'arrays' of these classes, got 31" in message(
        train_size=31, classes=[1, 2, 3]
    )
    assert "data.test_size: must be at most 9, the rows of 'arrays', got 10" in message(test_size=10)
    save(x=x, y=y)
    assert "data.test_size: has nothing to choose from: 'arrays' has no test rows of its own" in message(test_size=3)


@pytest.mark.parametrize("split", ["stratified", "auto"])
def test_rows_are_drawn_as_split_says(folder: Path, split: str) -> None:
    save(x=inputs(), y=np.repeat([0, 1], [32, 8]))
    splits = load_data(loaded(test=10, validation=10, split=split).experiment)
    parts = [some for some in (splits.train, splits.validation, splits.test) if some is not None]
    counts = [some.chosen_targets().bincount().tolist() for some in parts]
    assert counts == [[16, 4], [8, 2], [8, 2]]


def test_a_wish_for_test_rows_where_there_are_some_has_no_effect(folder: Path) -> None:
    save(x=inputs(), y=labels(), x_test=inputs(), y_test=labels())
    [warning] = loaded(test=0.5).warnings
    assert (warning.path, warning.message) == ("data.test", "has no effect: the data have test rows of their own")
    assert loaded(test=0.2).warnings == ()


def test_what_does_not_fit_into_memory_is_refused_before_it_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlptrain.sources.arrays.source.available_memory", lambda: 1439)
    save(x=inputs(), y=labels())
    assert "d.npz: x (40, 3) float64 would take about 0.0 GB of memory, but 0.0 GB are free" in message()
    monkeypatch.setattr("mlptrain.sources.arrays.source.available_memory", lambda: 1440)
    assert rows_of().x.shape == (40, 3)


def test_several_files_may_have_arrays_of_one_name(folder: Path) -> None:
    np.savez("train.npz", allow_pickle=True, x=inputs(), y=labels())
    np.savez("test.npz", allow_pickle=True, x=inputs(6, D), y=labels(6))
    Path("more.yaml").touch()
    assert facts_of("t*.npz").rows == {"test": 6, "train": N}


def test_a_single_matrix_has_its_targets_last(folder: Path) -> None:
    x = inputs()
    np.save("m.npy", np.column_stack([x, x @ [1.0, 2.0, 3.0]]))
    facts, rows = facts_of("m.npy", loss="mse"), rows_of("m.npy", loss="mse")
    assert (facts.n_features, facts.n_targets) == (D, 1)
    np.testing.assert_allclose(np.asarray(rows.y[:, 0], np.float64), x @ [1, 2, 3], rtol=1e-6)
    assert [column.name for column in facts.columns] == ["x0", "x1", "x2"]


def test_columns_are_standardised_as_scikit_learn_does(folder: Path) -> None:
    from sklearn.preprocessing import StandardScaler

    x = inputs() * [1, 1000, 1e-3]
    save(x=x, y=labels())
    found = load_data(loaded().experiment).train.inputs.numpy()
    np.testing.assert_allclose(found, StandardScaler().fit_transform(x), rtol=1e-4, atol=1e-6)


def test_chosen_classes_and_their_names(folder: Path) -> None:
    x, y = inputs(), np.array([10, 3, 7, 10] * 10)
    save(x=x, y=y, x_test=x[:4], y_test=y[:4])
    facts, rows = facts_of(classes=[10, 3]), rows_of(classes=[10, 3])
    assert facts.class_names == ("10", "3")
    assert facts.rows == {"test": 3, "train": 30}
    assert rows.y.tolist() == [{10: 0, 3: 1}[label] for label in y if label != 7]
    np.testing.assert_array_equal(rows.x, x[y != 7].astype(np.float32))
    assert facts_of(class_names=["cat", "dog", "emu"]).class_names == ("cat", "dog", "emu")
    assert facts_of(class_names=["cat", "dog", "emu"], classes=["emu", "dog"]).class_names == ("emu", "dog")
    save(x=inputs(4, 2), y=np.array([0, 2, 2, 0]))
    assert facts_of(class_names=["T-shirt", "trouser", "pullover"]).class_names == ("T-shirt", "pullover")


def test_classes_that_only_test_rows_have_are_classes_too(folder: Path) -> None:
    save(x=inputs(4, 2), y=np.array([1, 2, 2, 1]), x_test=inputs(2, 2), y_test=np.array([0, 2]))
    assert facts_of().class_names == ("0", "1", "2")
    assert rows_of().y.tolist() == [1, 2, 2, 1]


def test_matlab_has_doubles_rows_and_cells(folder: Path) -> None:
    from scipy.io import savemat

    x, y = inputs(), labels().astype(float)
    savemat("d.mat", {"X": x, "y": y[None]})
    assert facts_of("d.mat").class_names == ("0", "1", "2", "3")
    assert any("whole numbers" in note for note in loaded("d.mat").notes)
    savemat("d.mat", {"X": x.T, "y": np.array(["ab", "c"] * (N // 2), dtype=object)})
    assert facts_of("d.mat").class_names == ("ab", "c")
    np.testing.assert_array_equal(rows_of("d.mat").x, x.astype(np.float32))
    savemat("d.mat", {"X": x, "y": np.array(["ab", "c"] * (N // 2))})
    assert facts_of("d.mat").class_names == ("ab", "c")


def with_value(value: float, row: int, column: int) -> Values:
    x = inputs()
    x[row, column] = value
    return x


class Runs:
    """A pickle of it would make a folder."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("it-ran",)


def write_bytes(name: str, content: bytes) -> Callable[[], str]:
    def write() -> str:
        Path(name).write_bytes(content)
        return name

    return write


def write_mat(**values: Any) -> Callable[[], str]:
    def write() -> str:
        from scipy.io import savemat

        savemat("d.mat", values)
        return "d.mat"

    return write


def write_torch() -> str:
    import torch

    torch.save({"x": torch.zeros(3)}, "d.pt")
    return "d.pt"


def sparse() -> Any:
    from scipy.sparse import csc_array

    return csc_array(inputs())


NPZ: dict[str, tuple[dict[str, Any], str]] = {
    "nan": ({"x": with_value(np.nan, 7, 2), "y": labels()}, "d.npz: x: row 7, column 2 is nan (both counted from 0)"),
    "inf": ({"x": with_value(-np.inf, 0, 1), "y": labels()}, "row 0, column 1 is -inf"),
    "too large": ({"x": with_value(1e300, 3, 0), "y": labels()}, "row 3, column 0 is 1e+300, too large for float32"),
    "lengths": ({"x": inputs(), "y": labels(39)}, "d.npz: x has shape (40, 3), but there are 39 targets"),
    "test only in part": ({"x": inputs(), "y": labels(), "x_test": inputs(), "y_tset": labels()},
        "not used: x_test, y_tset"),
    "test shape": ({"x": inputs(), "y": labels(), "x_test": inputs(9, 2), "y_test": labels(9)},
        "of one shape, on one scale"),
    "test scale": (
        {"x": inputs(kind="uint8"), "y": labels(), "x_test": inputs(), "y_test": labels()},
        "expected training and test rows of one shape, on one scale",
    ),
    "complex": ({"x": inputs() + 1j, "y": labels()}, "x holds values of type <c16: expected numbers"),
    "objects": ({"x": np.array([[Runs()]] * N), "y": labels()},
        "x holds values of type object: expected numbers; objects are pickles"),
    "object labels": ({"x": inputs(), "y": np.array([Runs()] * N)},
        "y holds values of type object: expected numbers or texts"),
    "texts": ({"x": inputs().astype(str), "y": labels()}, "x holds values of type <U"),
    "dates": ({"x": np.zeros((N, 2), "M8[s]"), "y": labels()}, "expected numbers"),
    "fields": ({"x": np.zeros(N, [("a", "f4"), ("b", "i4")]), "y": labels()}, "expected numbers"),
    "no rows": ({"x": np.zeros((0, 3)), "y": np.zeros(0)}, "y has shape (0,): expected targets"),
    "a number": ({"x": np.array(3.0), "y": labels()}, "x has shape (): expected (n, d)"),
    "five axes": ({"x": inputs(N, 2, 2, 2, 3), "y": labels()},
        "x has shape (40, 2, 2, 2, 3): expected (n, d), (n, height"),
    "four channels": ({"x": inputs(N, 8, 8, 4), "y": labels()},
        "expected (n, d), (n, height, width), (n, height, width, 3)"),
    "one class": ({"x": inputs(), "y": np.zeros(N, int)}, "y holds the one class '0': expected two or more"),
    "empty label": ({"x": inputs(), "y": np.array(["a", ""] * (N // 2))},
        "y: the target of row 1 (counted from 0) is empty, and 19 more"),
    "nan target": ({"x": inputs(), "y": np.array([1.5, np.nan] * (N // 2))},
        "y: the target of row 1 (counted from 0) is nan"),
    "matrix of texts": ({"x": inputs(), "y": np.full((N, 2), "a")}, "y has shape (40, 2): expected targets (n,)"),
    "other names": (
        {"alpha": inputs(), "beta": labels()},
        "data.x: must name the array of the inputs. d.npz holds alpha (40, 3) float64, beta (40,) int64",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", NPZ)
def test_one_message(folder: Path, case: str) -> None:
    arrays, words = NPZ[case]
    save(**arrays)
    if case == "test only in part":
        assert words in loaded().notes
        return
    assert words in message().replace(f"{Path.cwd()}/", "")
    assert not Path("it-ran").exists()


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"x": "xtrain"},
            "data.x: there is no array 'xtrain'; did you mean 'x_train'? d.npz holds x_train (40, 3) float64"),
        ({"x_test": "x_train"}, "there are test rows in d.npz: x_train, but not both inputs and targets"),
        ({"classes": [0, 9]}, "data.classes: there is no class '9'; the classes are 0, 1, 2, 3"),
        ({"classes": [0, 0]}, "data.classes: must name each class once, got 0, 0"),
        ({"class_names": ["a", "b"]},
            "data.class_names: must have 4 items, one for each of the values 0, 1, 2, 3, got 2"),
        ({"scaling": "unit"},
            "data.scaling: unit divides by the largest possible input, which 'arrays' does not know; set data.maximum"),
        ({"maximum": 50}, "expected 0 to 50, which data.maximum sets"),
        ({"path": "e.npz"}, "data.path: "),
        ({"path": []}, "data.path: must be a path, or a list of paths, got []"),
        ({"path": "."}, "data.path: . cannot be read: Is a directory"),
        ({"task": "regresion"}, "did you mean 'regression'?"),
        ({"size": 3}, "data.size: "),
        ({"classes": [1.5, 2]}, "data.classes[0]: must be a name or a whole number, got 1.5"),
        ({"maximum": 0}, "data.maximum: must be at least 1, got 0"),
    ],
)  # fmt: skip
def test_keys_that_do_not_fit(folder: Path, keys: dict[str, Any], words: str) -> None:
    save(x_train=inputs(), y_train=labels())
    found = message(**{"path": "d.npz", **keys})
    assert words in found.replace(f"{Path.cwd()}/", "").replace(str(Path.cwd()), ".")


def test_all_names_that_there_are_not_are_told_at_once(folder: Path) -> None:
    save(x_train=inputs(), y_train=labels())
    with pytest.raises(SpecError) as caught:
        rows_of("d.npz", x="inputs", y="labels", x_test="x_train")
    assert [(fault.path, fault.message.partition("; ")[0]) for fault in caught.value.faults] == [
        ("data.x", "there is no array 'inputs'"),
        ("data.y", "there is no array 'labels'"),
    ]
    assert all(
        "; " in fault.message and "d.npz holds x_train (40, 3)" in fault.message for fault in caught.value.faults
    )


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (write_bytes("d.npy", pickle.dumps(Runs())),
            "d.npy is a pickle: expected an .npz, .npy, .mat or safetensors file"),
        (write_bytes("d.npz", b""), "is empty: expected an .npz"),
        (write_bytes("d.npz", b"PK\x03\x04 cut off"), "d.npz is damaged: File is not a zip file"),
        (write_bytes("d.npy", b"\x93NUMPY\x01\x00\xff\xff{'descr'"), "d.npy is damaged: "),
        (write_bytes("d.npy", b"\x93NUMPY\x09\x00"), "d.npy is damaged: "),
        (write_bytes("d.npy.gz", b"\x1f\x8b\x08cut"), "cannot be read: "),
        (write_bytes("d.mat", b"MATLAB 7.3 MAT-file" + bytes(600)),
            "is a MATLAB 7.3 file, which is HDF5; save it with the option -v7"),
        (write_bytes("d.mat", b"MATLAB 5.0 MAT-file" + bytes(20)), "d.mat is damaged: "),
        (write_bytes("d.safetensors", b"\x20\0\0\0\0\0\0\0{not json"), "d.safetensors is damaged: "),
        (write_bytes("d.html", b"<!DOCTYPE html>"), "is a web page"),
        (write_bytes("d.csv", "größe;preis\n1;2\n".encode()), "d.csv is a text; if it is a table, `data: "),
        (write_bytes("d.csv", "größe;preis\n1;2\n".encode("latin-1")), "d.csv is a text; if it is a table"),
        (write_torch, "is a pickle of torch, which can run code and is not read"),
        (write_mat(X=sparse(), y=labels()), "X holds values of type sparse: expected numbers"),
        (write_mat(X=inputs(), y={"a": 1}), "y holds values of type struct: expected numbers or texts"),
        (write_mat(X=inputs(), y=np.array([inputs(2), "a"] * 20, dtype=object)),
            "y is a cell array: expected numbers or texts"),
    ],
)  # fmt: skip
def test_files_that_hold_no_arrays(folder: Path, write: Callable[[], str], words: str) -> None:
    assert words in message(write())
    assert not Path("it-ran").exists()


def test_a_file_that_is_cut_off_is_damaged(folder: Path) -> None:
    np.save("x.npy", inputs(500, 5))
    np.save("y.npy", labels(500))
    Path("x.npy").write_bytes(Path("x.npy").read_bytes()[:-8])
    found = message("?.npy").replace(f"{Path.cwd()}/", "")
    assert found == "data.path: x.npy is damaged: 20,120 bytes, but the header promises 20,128"


@pytest.mark.parametrize("kind", ["npy", "mat"])
def test_a_packed_file_that_unpacks_to_more_than_the_memory_is_refused(
    kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer = io.BytesIO()
    values = np.zeros((3_000_000, 4), np.float64)
    if kind == "npy":
        np.save(buffer, values)
    else:
        scipy.io.savemat(buffer, {"m": values})
    Path(f"m.{kind}.gz").write_bytes(gzip.compress(buffer.getvalue(), 1))
    meminfo = folder / "meminfo"
    meminfo.write_text("MemAvailable: 50000 kB\n", encoding="ascii")
    monkeypatch.setattr(memory, "FILES", memory.MemoryFiles(meminfo, ()))
    assert f"m.{kind}.gz unpacks to more than 0.0 GB, which with its arrays is more memory than" in message(
        path=f"m.{kind}.gz"
    )
