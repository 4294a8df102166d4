"""`model.init: {name: file, path: …}`: what is read, and one located error for everything else, without torch."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from numpy.typing import NDArray

from mlptrain.errors import SpecError
from mlptrain.spec import load_spec
from mlptrain.spec.weights import read_weights

SHAPES = {"layers.0.weight": (3, 64), "layers.0.bias": (3,), "layers.1.weight": (10, 3), "layers.1.bias": (10,)}
Arrays = dict[str, NDArray[Any]]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """A configuration in a folder of its own that names a file of weights."""
    (tmp_path / "configs").mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    def write(path: str) -> Path:
        file = tmp_path / "configs" / "net.yaml"
        file.write_text(f"data: digits\nmodel: {{hidden: [3], init: {{name: file, path: {path}}}}}\noptimizer: sgd\n")
        return file

    return write


def arrays() -> Arrays:
    generator = np.random.default_rng(0)
    return {name: generator.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}


def save_npz(path: Path, values: Arrays) -> None:
    np.savez(path, allow_pickle=True, **values)


def test_the_path_starts_from_the_files_folder(config: Callable[[str], Path], tmp_path: Path) -> None:
    save_npz(tmp_path / "configs/weights.npz", arrays())
    experiment = load_spec(config("weights.npz")).experiment
    assert Path(experiment.spec.model.init.model_dump()["path"]) == tmp_path / "configs/weights.npz"
    assert load_spec(config("../configs/weights.npz")).experiment.parameter_shapes == SHAPES


def test_a_header_whose_length_begins_as_a_pickle_does_is_read(tmp_path: Path) -> None:
    file, text = tmp_path / "weights.safetensors", ""
    while not (content := safetensors.numpy.save(arrays(), {"note": text})).startswith(b"\x80"):
        text += "-"
    file.write_bytes(content)
    assert read_weights(file, SHAPES).tensors.keys() == SHAPES.keys()


def test_that_of_an_option_starts_from_the_current_folder(config: Callable[[str], Path], tmp_path: Path) -> None:
    save_npz(tmp_path / "elsewhere/here.npz", arrays())
    option = "model.init={name: file, path: here.npz}"
    assert load_spec(config("nothing.npz"), [option]).experiment.parameter_shapes == SHAPES
    assert load_spec(config("nothing.npz"), ["model.init.path=here.npz"]).experiment.parameter_shapes == SHAPES


def test_the_home_folder(config: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    save_npz(tmp_path / "mine.npz", arrays())
    assert load_spec(config("~/mine.npz")).experiment.parameter_shapes == SHAPES


def test_what_numpy_and_safetensors_write(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    values = arrays()
    save_npz(tmp_path / "a.npz", values)
    np.savez_compressed(tmp_path / "b.npz", allow_pickle=True, **values)
    save_npz(tmp_path / "c.npz", {name: value.astype(np.float64) for name, value in values.items()})
    save_npz(tmp_path / "d.npz", {name: np.asfortranarray(value) for name, value in values.items()})
    save_npz(tmp_path / "e.npz", {**values, "epochs": np.array(3), "initial.layers.0.weight": np.zeros(1)})
    save_npz(tmp_path / "f.npz", {name: value.astype(">f4") for name, value in values.items()})
    save_file(values, tmp_path / "g.safetensors")
    digests = set()
    for file in sorted(tmp_path.iterdir()):
        found = read_weights(file, SHAPES)
        digests.add(found.sha256)
        for name, value in values.items():
            np.testing.assert_array_equal(found.tensors[name], value)
            assert found.tensors[name].dtype == np.float32
    assert len(digests) == 1


class Runs:
    """A pickle of it would make a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("it-ran",)


def changed(**values: Any) -> Callable[[Path], None]:
    return lambda path: save_npz(path, {**arrays(), **{f"layers.{k[1]}.{k[3:]}": v for k, v in values.items()}})


def without(name: str) -> Callable[[Path], None]:
    return lambda path: save_npz(path, {key: value for key, value in arrays().items() if key != name})


def torch_file(path: Path) -> None:
    import torch

    torch.save(arrays(), path)


NAN = np.full((10, 3), np.nan, dtype=np.float32)
FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "absent": (lambda path: None, "no such file or run folder"),
    "missing tensor": (without("layers.1.bias"), "has no layers.1.bias, expected (10,); it holds layers.0.weight,"),
    "other names": (
        lambda path: save_npz(path, {"W1": np.zeros((3, 64)), "b1": np.zeros(3)}),
        "has no layers.0.weight, expected (3, 64); it holds W1, b1",
    ),
    "nothing": (lambda path: save_npz(path, {}), "has no layers.0.weight, expected (3, 64); it is empty"),
    "another width": (
        changed(l1_weight=np.zeros((10, 4), np.float32)),
        "layers.1.weight (layer 2) has shape (10, 4), expected (10, 3)",
    ),
    "transposed": (
        changed(l0_weight=np.zeros((64, 3), np.float32)),
        "expected 64-3-10; weights are (outputs, inputs), so transpose it",
    ),
    "a bias of two axes": (
        changed(l0_bias=np.zeros((3, 1), np.float32)),
        "layers.0.bias (layer 1) has shape (3, 1), expected (3,): biases have one axis, so flatten it",
    ),
    "another layer": (
        changed(l2_weight=np.zeros((5, 10), np.float32)),
        "has layers.2.weight too, which this network has not: the file holds a network 64-3-10-5, expected 64-3-10",
    ),
    "a norm": (
        changed(l1_norm_weight=np.ones(10, np.float32)),
        "has layers.1.norm_weight too, which this network has not: set the norms, activations and biases of model as",
    ),
    "nan": (changed(l1_weight=NAN), "layers.1.weight holds 30 numbers that are not finite in float32"),
    "too large": (changed(l0_bias=np.array([1.0, 1e300, 2.0])), "layers.0.bias holds 1 numbers that are not finite"),
    "whole numbers": (changed(l0_bias=np.arange(3)), "layers.0.bias is int64, expected float32 or float64"),
    "half precision": (changed(l0_bias=np.zeros(3, np.float16)), "is float16, expected float32 or float64"),
    "complex numbers": (changed(l0_bias=np.zeros(3, complex)), "is complex128, expected float32 or float64"),
    "text": (changed(l0_bias=np.array(["a", "b", "c"])), "expected float32 or float64"),
    "objects": (changed(l0_bias=np.array([Runs()] * 3, dtype=object)), "is object, expected float32 or float64"),
    "a single array": (lambda path: path.write_bytes(_npy()), "is a single array; save all of them: numpy.savez("),
    "a pickle": (lambda path: path.write_bytes(pickle.dumps(Runs())), "is a pickle, as torch.save writes it"),
    "torch.save": (torch_file, "is a pickle, as torch.save writes it, which can run code and is not read"),
    "empty": (lambda path: path.touch(), "is neither an .npz nor a safetensors file"),
    "prose": (lambda path: path.write_text("weights, as agreed " * 99), "is neither an .npz nor a safetensors file"),
    "cut off": (lambda path: path.write_bytes(_cut()), "is not a sound .npz file"),
    "a pipe": (os.mkfifo, "cannot be read: it is not a regular file"),
    "a folder": (lambda path: path.mkdir(), "is not a run folder: it has no resolved.yaml"),
}


def _npy() -> bytes:
    import io

    stream = io.BytesIO()
    np.save(stream, np.zeros(3))
    return stream.getvalue()


def _cut() -> bytes:
    import io

    stream = io.BytesIO()
    np.savez(stream, allow_pickle=True, **arrays())
    return stream.getvalue()[:700]


@pytest.mark.parametrize("name", FILES)
def test_everything_else_is_one_located_error(name: str, config: Callable[[str], Path], tmp_path: Path) -> None:
    make, message = FILES[name]
    make(tmp_path / "configs/weights.npz")
    with pytest.raises(SpecError) as refused:
        load_spec(config("weights.npz"))
    [fault] = refused.value.faults
    assert (fault.source, fault.line, fault.column) == (str(tmp_path / "configs/net.yaml"), 2, 47)
    assert fault.path == "model.init.path"
    assert str(tmp_path / "configs/weights.npz") in fault.message
    assert message in fault.message
    assert not Path("it-ran").exists()


def test_a_digest_pins_the_weights(config: Callable[[str], Path], tmp_path: Path) -> None:
    values = arrays()
    save_npz(tmp_path / "configs/weights.npz", values)
    digest = read_weights(tmp_path / "configs/weights.npz", SHAPES).sha256
    assert load_spec(config(f"weights.npz, sha256: {digest}")).experiment.parameter_shapes == SHAPES
    values["layers.0.bias"][1] += 1e-6
    save_npz(tmp_path / "configs/weights.npz", values)
    with pytest.raises(SpecError, match=f"expected {digest}"):
        load_spec(config(f"weights.npz, sha256: {digest}"))
    with pytest.raises(SpecError, match="sha256: must be"):
        load_spec(config("weights.npz, sha256: abc"))


def test_the_other_faults_are_reported_with_it(config: Callable[[str], Path]) -> None:
    with pytest.raises(SpecError) as refused:
        load_spec(config("weights.npz"), ["training.epochs=-1", "evaluation.split=test", "evaluation.keep=best"])
    assert {fault.path for fault in refused.value.faults} == {"training.epochs", "model.init.path", "evaluation.keep"}


def test_check_reads_them_without_torch(config: Callable[[str], Path], tmp_path: Path) -> None:
    save_npz(tmp_path / "configs/weights.npz", arrays())
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from mlptrain.cli import main\n"
        f"main(['check', {str(config('weights.npz'))!r}])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    (tmp_path / "configs/weights.npz").unlink()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no such file or run folder" in done.stderr
