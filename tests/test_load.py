"""A trained network in Python: `mlptrain.load` against `mlptrain eval`, torch and the formulas."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional

import mlptrain
from mlptrain.errors import CheckpointError, DataError, DeviceError, RunFolderError, UserError
from mlptrain.experiment.build import load_data
from mlptrain.inference.module import TrainedNetwork
from mlptrain.sources.digits import read_digits
from mlptrain.sources.store import read_images
from mlptrain.spec import load_spec, load_text

CONFIGS = Path(__file__).parent.parent / "configs"
QUICK = ["training.epochs=3", "training.threads=1", "training.device=cpu"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three epochs on the digits."""
    folder = tmp_path_factory.mktemp("runs") / "digits"
    mlptrain.train(load_spec(CONFIGS / "digits.yaml", QUICK), run_dir=folder)
    return folder


def train(tmp_path: Path, text: str) -> Path:
    training = "training: {epochs: 2, device: cpu, threads: 1}\n"
    loaded = load_text(f"name: small\noptimizer: {{name: sgd, lr: 0.01}}\n{training}{text}")
    return mlptrain.train(loaded, run_dir=tmp_path / "run").folder.path


def digits_test() -> tuple[Any, torch.Tensor]:
    """Raw test images (360, 8, 8) of 0 to 16, and their labels."""
    raw = read_digits()
    return raw.test_images, torch.from_numpy(raw.test_labels).long()


def test_it_gives_the_figures_of_eval(run: Path) -> None:
    network = mlptrain.load(run)
    report = mlptrain.evaluate(run, split="test")
    images, labels = digits_test()
    logits = network(network.preprocess(images)).detach()
    assert float((logits.argmax(1) == labels).double().mean()) == report["accuracy"]
    assert float(functional.cross_entropy(logits.double(), labels)) == pytest.approx(report["loss"], rel=1e-6)
    confusion = torch.zeros(10, 10, dtype=torch.int64)
    confusion.index_put_((labels, network.predict_proba(images).argmax(1)), torch.tensor(1), accumulate=True)
    assert confusion.tolist() == report["confusion"]


def test_probabilities_are_the_softmax_of_the_logits(run: Path) -> None:
    network = mlptrain.load(run)
    images, _ = digits_test()
    found = network.predict_proba(images)
    wanted = functional.softmax(network(torch.from_numpy(images).flatten(1).float() / 16).double(), dim=1)
    torch.testing.assert_close(found, wanted.detach(), rtol=1e-9, atol=1e-12)
    assert not found.requires_grad


def test_names_and_shapes_are_those_of_an_ordinary_module(run: Path) -> None:
    network = mlptrain.load(run)
    assert {name: tuple(values.shape) for name, values in network.state_dict().items()} == {
        "layers.0.weight": (64, 64),
        "layers.0.bias": (64,),
        "layers.1.weight": (32, 64),
        "layers.1.bias": (32,),
        "layers.2.weight": (10, 32),
        "layers.2.bias": (10,),
    }
    assert isinstance(network, torch.nn.Module)
    assert not network.training
    assert network.class_names == tuple("0123456789")
    assert network.experiment.model.hidden == [64, 32]
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert "(1): Layer(64, 32, bias=True, ops=relu)" in repr(network)
    assert "(2): Layer(32, 10, bias=True, ops=identity)" in repr(network)


def test_printing_shows_norms_dropout_and_residual_connections(tmp_path: Path) -> None:
    model = "model={hidden: [8, 8], norm: batch, dropout: 0.2, input_dropout: 0.1, residual: true}"
    spec = load_spec(CONFIGS / "digits.yaml", [model, "training.epochs=0", "evaluation={split: none, keep: last}"])
    shown = repr(mlptrain.load(mlptrain.train(spec, run_dir=tmp_path / "run").folder.path))
    assert "(0): Layer(64, 8, bias=True, ops=input dropout 0.1, batch norm, relu, dropout 0.2)" in shown
    assert "(1): Layer(8, 8, bias=True, ops=batch norm, relu, dropout 0.2, residual)" in shown


def test_it_equals_the_same_network_built_of_torch_modules(run: Path) -> None:
    network = mlptrain.load(run)
    plain = torch.nn.Sequential(
        torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10)
    )
    values = list(network.state_dict().values())
    plain.load_state_dict(dict(zip(plain.state_dict(), values, strict=True)))
    x = network.preprocess(digits_test()[0])
    assert torch.equal(network(x), plain(x))


def test_an_optimizer_of_torch_can_go_on_training(run: Path) -> None:
    network = mlptrain.load(run)
    images, labels = digits_test()
    x, optimizer = network.preprocess(images), torch.optim.Adam(network.parameters(), lr=1e-3)
    before = float(functional.cross_entropy(network(x), labels).detach())
    for _ in range(20):
        optimizer.zero_grad()
        torch.autograd.backward(functional.cross_entropy(network(x), labels))
        optimizer.step()
    assert float(functional.cross_entropy(network(x), labels).detach()) < 0.8 * before
    other = copy.deepcopy(mlptrain.load(run))
    other.load_state_dict(network.state_dict())
    assert torch.equal(other(x), network(x))


def test_a_learnt_slope_is_a_parameter(tmp_path: Path) -> None:
    run = train(tmp_path, "data: digits\nmodel: {hidden: [6], activation: prelu, bias: false}\n")
    network = mlptrain.load(run)
    slope = network.state_dict()["layers.0.slope"]
    assert list(network.state_dict()) == ["layers.0.weight", "layers.0.slope", "layers.1.weight"]
    assert slope.shape == ()
    assert float(slope) != 0.25
    x = network.preprocess(digits_test()[0])
    first, last = network.state_dict()["layers.0.weight"], network.state_dict()["layers.1.weight"]
    torch.testing.assert_close(network(x), functional.prelu(x @ first.T, slope.reshape(1)) @ last.T)


def test_preprocessing_is_that_of_training(tmp_path: Path) -> None:
    run = train(tmp_path, "data: {name: digits, scaling: standard, validation: 0}\nmodel: {hidden: [4]}\n")
    network = mlptrain.load(run)
    test = load_data(network.experiment).test
    assert test is not None
    images, _ = digits_test()
    as_numbers = torch.from_numpy(images).double()
    forms = (images, images.reshape(360, 64), torch.from_numpy(images), as_numbers, images.tolist())
    for form in forms:
        assert torch.equal(network.preprocess(form), test.inputs)
    assert torch.equal(network.preprocess(images[3]), test.inputs[3:4])


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 28, 28)), r"shape \(2, 28, 28\): expected \(n, 8, 8\), \(8, 8\) or \(n, 64\), as in 'digits'"),
        (np.zeros((2, 1, 8, 8)), r"shape \(2, 1, 8, 8\)"),
        (np.zeros(64), r"shape \(64,\)"),
        (np.full((8, 8), 17), "outside 0 to 16"),
        (np.full((8, 8), -1), "outside 0 to 16"),
        (np.full((8, 8), np.nan), "nan, outside 0 to 16"),
        (np.full((8, 8), "7"), "data of type <U1: expected an array of numbers"),
        ([[0] * 8, [0] * 7], "rows of different lengths"),
        (np.full((8, 8), 1j), "complex128: expected an array of numbers"),
    ],
)
def test_images_that_are_none_of_the_data_set_are_refused(run: Path, images: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        mlptrain.load(run).preprocess(images)


Scaled = Callable[[NDArray[np.float64], int], Any]  # raw images and their maximum on another scale
OTHER_SCALES: dict[str, tuple[Scaled, str]] = {
    "from 0 to 1": (
        lambda raw, most: raw / most,
        "from 0 to 1, but those of '{data}' go from 0 to {most}: multiply them",
    ),
    "as ToTensor makes them": (
        lambda raw, most: torch.from_numpy(raw / most).float(),
        "from 0 to 1, but those of '{data}' go from 0 to {most}: multiply them by {most}",
    ),
    "half precision": (lambda raw, most: torch.from_numpy(raw / most).half(), "multiply them by {most}"),
    "resized, a little above 1": (
        lambda raw, most: 1.03 * raw / most,
        "from 0 to 1.03, but .*: multiply them by {most}",
    ),
    "booleans": (
        lambda raw, most: raw > most / 2,
        "booleans, but those of '{data}' go from 0 to {most}: multiply them",
    ),
    "a tensor of booleans": (
        lambda raw, most: torch.from_numpy(raw > 0),
        "booleans, but those of '{data}' go from 0 to",
    ),
    "0 and 1 as bytes": (lambda raw, most: (raw > most / 2).astype(np.uint8), "multiply them by {most}"),
    "from -1 to 1": (lambda raw, most: 2 * raw / most - 1, "from -1 to 1, outside 0 to {most}, .*not scaled yet"),
    "standardised": (lambda raw, most: (raw - raw.mean()) / raw.std(), "outside 0 to {most}, .*not scaled yet"),
    "twice as bright": (lambda raw, most: 2 * raw, "outside 0 to {most}"),
}


def assert_scales_are_told_apart(network: TrainedNetwork, raw: NDArray[Any], most: int) -> None:
    """Every other scale is refused; the raw pixels in whatever type are not, nor an image that is black."""
    data = network.experiment.data.name
    for scaled, message in OTHER_SCALES.values():
        for images in (raw, raw[:1]):
            with pytest.raises(DataError, match=message.format(data=data, most=most)):
                network.predict_proba(scaled(images.astype(np.float64), most))
    expected = network.predict_proba(raw)
    for kind in ("uint8", "int64", "uint16", "uint32", "float16", "float32", ">f4", ">u2", "longdouble"):
        torch.testing.assert_close(network.predict_proba(raw.astype(kind)), expected)
    assert len(network.predict_proba(np.zeros((2, *raw.shape[1:])))) == 2
    assert len(network.predict_proba(raw[:0])) == 0
    for image in raw:  # alone, whatever is on it
        network.preprocess(image)


def test_digits_on_another_scale_are_refused(run: Path) -> None:
    images, _ = digits_test()
    assert_scales_are_told_apart(mlptrain.load(run), images, 16)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_images_on_another_scale_are_refused(name: str, data_dir: Path, tmp_path: Path) -> None:
    text = f"data: {{name: {name}, train_size: 200, validation: 0}}\nmodel: {{hidden: [4]}}\noptimizer: sgd\n"
    loaded = load_text(f"name: few\n{text}training: {{epochs: 1, device: cpu, threads: 1}}\n")
    run = mlptrain.train(loaded, run_dir=tmp_path / "run", data_dir=data_dir).folder.path
    assert_scales_are_told_apart(mlptrain.load(run), read_images(name, data_dir).test_images[:500], 255)


def test_what_is_not_an_image_has_any_scale_but_is_finite(tmp_path: Path) -> None:
    run = train(tmp_path, "data: {name: iris, validation: 0}\nmodel: {hidden: [4]}\n")
    network = mlptrain.load(run)
    assert network.predict_proba(np.array([[0.5, -1, 0, 1]])).shape == (1, 3)
    for missing in (np.nan, np.inf):
        with pytest.raises(DataError, match="not finite"):
            network.predict_proba(np.array([[0.5, missing, 0, 1]]))


def test_a_single_logit_gives_two_probabilities(tmp_path: Path) -> None:
    run = train(tmp_path, "data: {name: digits, classes: [3, 7]}\nmodel: {hidden: [4]}\nloss: bce\n")
    network = mlptrain.load(run)
    images, labels = digits_test()
    found = network.predict_proba(images[labels == 7])
    logits = network(network.preprocess(images[labels == 7])).detach().double()
    torch.testing.assert_close(found, torch.cat([1 - logits.sigmoid(), logits.sigmoid()], dim=1))
    assert network.class_names == ("3", "7")


def test_a_regression_has_values_and_no_probabilities(tmp_path: Path) -> None:
    run = train(tmp_path, "data: {name: random_regression, n_targets: 2}\nmodel: {hidden: [4]}\nloss: mse\n")
    network = mlptrain.load(run)
    assert network(network.preprocess(torch.zeros(3, 10))).shape == (3, 2)
    assert network.class_names == ()
    with pytest.raises(UserError, match="'mse' gives no probabilities"):
        network.predict_proba(torch.zeros(3, 10))


def test_nothing_is_printed_drawn_or_needed_besides_the_checkpoint(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLPTRAIN_DATA_DIR", str(tmp_path / "nothing here"))
    checkpoint = tmp_path / "alone.safetensors"
    checkpoint.write_bytes((run / "checkpoints" / "best.safetensors").read_bytes())
    state = torch.random.get_rng_state()
    capfd.readouterr()
    network = mlptrain.load(str(checkpoint))
    assert capfd.readouterr() == ("", "")
    assert torch.equal(torch.random.get_rng_state(), state)
    for name, values in mlptrain.load(run).state_dict().items():
        assert torch.equal(network.state_dict()[name], values)


def test_a_checkpoint_of_mnist_loads_without_the_data(data_dir: Path, tmp_path: Path) -> None:
    text = "data: {name: mnist, train_size: 200, validation: 0}\nmodel: {hidden: [8]}\nevaluation: {split: none}\n"
    loaded = load_text(f"name: small\noptimizer: {{name: sgd, lr: 0.1}}\ntraining: {{epochs: 1, device: cpu}}\n{text}")
    run = mlptrain.train(loaded, run_dir=tmp_path / "run", data_dir=data_dir).folder.path
    network = mlptrain.load(run)
    assert network(network.preprocess(np.zeros((1, 28, 28), np.uint8))).shape == (1, 10)


def test_mistakes_are_one_message_each(run: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such checkpoint or run folder"):
        mlptrain.load(tmp_path / "nowhere")
    with pytest.raises(RunFolderError, match="is not a run folder"):
        mlptrain.load(tmp_path)
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes((run / "checkpoints" / "best.safetensors").read_bytes()[:-4])
    with pytest.raises(CheckpointError, match="damaged"):
        mlptrain.load(damaged)
    with pytest.raises(DeviceError, match="'tpu': expected auto, cpu, cuda"):
        mlptrain.load(run, device="tpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_a_device_that_is_not_there(run: Path) -> None:
    assert next(mlptrain.load(run, device="auto").parameters()).device.type == "cpu"
    with pytest.raises(DeviceError, match="no CUDA device"):
        mlptrain.load(run, device="cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_on_cuda(run: Path) -> None:
    images, _ = digits_test()
    network = mlptrain.load(run, device="cuda")
    assert network.preprocess(images).is_cuda
    found, wanted = network.predict_proba(images), mlptrain.load(run).predict_proba(images)
    torch.testing.assert_close(found.cpu(), wanted, rtol=1e-4, atol=1e-6)


def test_the_package_loads_torch_only_when_asked() -> None:
    code = (
        "import sys, mlptrain\n"
        "assert 'torch' not in sys.modules, 'import'\n"
        "assert {'load', 'train', 'resume', 'evaluate'} <= set(dir(mlptrain))\n"
        "assert 'torch' not in sys.modules, 'dir'\n"
        "from mlptrain import load\n"
        "assert 'torch' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent.parent)


def test_an_unknown_attribute_is_an_attribute_error() -> None:
    assert {type(getattr(mlptrain, name)) for name in mlptrain.__all__} == {str, ModuleType, FunctionType}
    with pytest.raises(AttributeError, match="has no attribute 'predictt'"):
        getattr(mlptrain, "predictt")  # noqa: B009 - type checkers refuse the attribute
