"""`mlptrain export`: the arrays are those of the run, and a program without mlptrain repeats its training from them."""

from __future__ import annotations

import csv
import json
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch.nn import functional

import mlptrain
from mlptrain.errors import RunFolderError
from mlptrain.experiment.build import load_data
from mlptrain.spec import load_spec
from tests.command import Call

ROOT = Path(__file__).parent.parent
DIGITS = str(ROOT / "configs/digits.yaml")
EXAMPLE = ROOT / "configs/numpy_from_scratch.py"
PLAIN = ("--set", "optimizer={name: sgd, lr: 0.1}", "--set", "training.epochs=3", "--set", "training.device=cpu")


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_what_it_holds(call: Call) -> None:
    """Weights as the checkpoints have them, scaling as the formula says, rows and classes as scikit-learn has them."""
    from sklearn.datasets import load_digits

    assert call("train", DIGITS, *PLAIN, "--set", "data.scaling=standard", "--run-dir", "run").code == 0
    shown = call("export", "run", "--to", "npz", "--rows", "--epochs", "2")
    assert (shown.code, shown.out.splitlines()[-2:]) == (0, ["weights.npz", "weights.py"])
    with np.load("weights.npz", allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    best, last = (load_file(f"run/checkpoints/{name}.safetensors") for name in ("best", "last"))
    for name, tensor in best.items():
        np.testing.assert_array_equal(arrays[name], tensor)
        np.testing.assert_array_equal(arrays[f"last.{name}"], last[name])
        assert arrays[f"initial.{name}"].shape == tensor.shape
    assert not np.array_equal(arrays["initial.layers.0.weight"], arrays["last.layers.0.weight"])
    assert arrays["class_names"].tolist() == [str(digit) for digit in range(10)]

    pixels, labels = load_digits(return_X_y=True)
    in_test = np.random.RandomState(0).permutation(len(pixels))[:360]
    stored = np.delete(pixels, in_test, axis=0)  # the training rows in stored order, before validation is drawn
    truth = np.delete(labels, in_test)
    index = arrays["train.index"]
    scaled = (stored / arrays["scaling.divisor"] - arrays["scaling.mean"]) / arrays["scaling.std"]
    np.testing.assert_allclose(arrays["train.x"], scaled[index], atol=1e-6)
    np.testing.assert_allclose(arrays["validation.x"], scaled[arrays["validation.index"]], atol=1e-6)
    np.testing.assert_array_equal(arrays["train.y"], truth[index])
    assert arrays["scaling.mean"] == pytest.approx((stored[index] / 16).mean(), rel=1e-6)
    assert arrays["scaling.std"] == pytest.approx((stored[index] / 16).std(), rel=1e-6)
    assert sorted([*index, *arrays["validation.index"]]) == list(range(len(stored)))
    assert arrays["order"].shape == (2, len(index))
    assert [sorted(order) for order in arrays["order"].tolist()] == [list(range(len(index)))] * 2
    about = json.loads(str(arrays["about"]))
    assert about["spec"] == Path("run/resolved.yaml").read_text()
    assert (about["last_epoch"], about["epoch"]) == (
        3,
        json.loads(Path("run/result.json").read_text())["kept"]["epoch"],
    )


def test_columns_are_scaled_one_by_one(call: Call) -> None:
    from sklearn.datasets import load_iris

    assert call("train", DIGITS, *PLAIN, "--set", "data=iris", "--run-dir", "run").code == 0
    arrays = mlptrain.export("run", rows=True)
    raw = load_iris().data
    scaled = (raw / arrays["scaling.divisor"] - arrays["scaling.mean"]) / arrays["scaling.std"]
    for split in ("train", "validation", "test"):
        np.testing.assert_allclose(arrays[f"{split}.x"], scaled[arrays[f"{split}.index"]], atol=1e-5)


@pytest.mark.parametrize(
    ("optimizer", "reference"),
    [
        ("{name: adam, lr: 0.003}", lambda parameters: torch.optim.Adam(parameters, lr=0.003)),
        (
            "{name: sgd, lr: 0.05, momentum: 0.9, nesterov: true, weight_decay: 0.001}",
            lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.001),
        ),
    ],
)
def test_a_loop_of_torch_repeats_the_training(optimizer: str, reference: Any, call: Call) -> None:
    settings = ("--set", f"optimizer={optimizer}", "--set", "training.epochs=3", "--set", "model.hidden=[20]")
    assert call("train", DIGITS, *settings, "--set", "training.precision=highest", "--run-dir", "run").code == 0
    arrays = {name: torch.from_numpy(array) for name, array in mlptrain.export("run", epochs=3, rows=True).items()
              if array.dtype.kind in "fi"}  # fmt: skip
    names = [name for name in arrays if name.startswith("layers.")]
    parameters = {name: arrays[f"initial.{name}"].double().requires_grad_() for name in names}
    step = reference(list(parameters.values()))
    for order in arrays["order"]:
        for rows in order.split(int(arrays["batch_size"])):
            x = arrays["train.x"][rows].double()
            hidden = functional.linear(x, parameters["layers.0.weight"], parameters["layers.0.bias"]).relu()
            logits = functional.linear(hidden, parameters["layers.1.weight"], parameters["layers.1.bias"])
            step.zero_grad()
            torch.autograd.backward(functional.cross_entropy(logits, arrays["train.y"][rows]))
            step.step()
    for name in names:
        np.testing.assert_allclose(parameters[name].detach(), arrays[f"last.{name}"], atol=2e-5)


def test_plain_numpy_repeats_the_training(call: Call, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    """The example that is shipped: its losses are those of metrics.jsonl, its weights the run's to 1e-5."""
    assert call("train", DIGITS, *PLAIN, "--run-dir", "run").code == 0
    assert call("export", "run", "--to", "npz", "--rows", "--epochs", "3", "--out", "own.npz").code == 0
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE), "own.npz"])
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    *epochs, last = capfd.readouterr().out.splitlines()
    lines = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()][1:]
    assert epochs == [
        f"epoch {line['epoch']}: train loss {line['train_loss']:.4f}, accuracy {line['train_accuracy']:.4f}"
        for line in lines
    ]
    assert float(last.split()[-1]) < 1e-5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (("--set", "optimizer.momentum=0.9"), "computes relu layers with biases, cross_entropy and sgd without"),
        (("--set", "model.activation=tanh"), "computes relu layers"),
        (("--set", "loss.reduction=sum", "--set", "optimizer.lr=0.001"), "computes relu layers"),
        (("--set", "training.epochs=0"), "has 0 epochs: there is no training to repeat"),
        (("--set", "training.epochs=2"), "has 2 epochs, and the order of 1 is there: export it with --epochs 2"),
    ],
)
def test_the_example_says_what_it_does_not_compute(
    changes: tuple[str, ...], message: str, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ("--set", "optimizer={name: sgd, lr: 0.1}", "--set", "training.epochs=1", "--set", "loss=cross_entropy")
    assert call("train", DIGITS, *settings, *changes, "--run-dir", "run").code == 0
    assert call("export", "run", "--to", "npz", "--rows", "--out", "own.npz").code == 0
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE), "own.npz"])
    with pytest.raises(SystemExit, match=message):
        runpy.run_path(str(EXAMPLE), run_name="__main__")


def test_the_example_says_which_file_it_needs(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call("train", DIGITS, *PLAIN, "--run-dir", "run").code == 0
    assert call("export", "run", "--to", "npz", "--epochs", "3", "--out", "without.npz").code == 0
    Path("text.npz").write_text("no arrays")
    Path("empty.npz").touch()
    np.save("one.npy", np.zeros(3))
    messages = {
        (): "usage: python ",
        ("absent.npz",): "absent.npz cannot be read",
        ("text.npz",): "text.npz cannot be read",
        ("empty.npz",): "empty.npz cannot be read",
        ("one.npy",): "has no about, ",
        ("without.npz",): "without.npz has no train.x: export a run folder with --rows and --epochs",
    }
    for arguments, message in messages.items():
        monkeypatch.setattr(sys, "argv", [str(EXAMPLE), *arguments])
        with pytest.raises(SystemExit, match=message):
            runpy.run_path(str(EXAMPLE), run_name="__main__")


def test_weights_of_ones_own_are_not_replaced_unasked(call: Call) -> None:
    assert call("train", DIGITS, *PLAIN, "--run-dir", "run").code == 0
    own = Path("weights.npz")
    for write in (lambda: np.savez(own, W1=np.zeros(3)), lambda: own.write_text("notes")):
        write()
        before = own.read_bytes()
        refused = call("export", "run", "--to", "npz")
        assert (refused.code, own.read_bytes()) == (2, before)
        assert "weights.npz is here already and is not an exported run; name another file with --out" in refused.err
    assert call("export", "run", "--to", "npz", "--out", "weights.npz").code == 0
    assert call("export", "run", "--to", "npz", "--rows").code == 0  # an export may be repeated


def test_the_order_is_that_of_the_rows_in_memory(call: Call) -> None:
    """Without shuffling as stored; a single batch is not shuffled either."""
    for index, setting in enumerate(("training.shuffle=false", "training.batch_size=full")):
        assert call("train", DIGITS, *PLAIN, "--set", setting, "--run-dir", f"run{index}").code == 0
        arrays = mlptrain.export(f"run{index}", epochs=2)
        assert arrays["order"].tolist() == [list(range(1293))] * 2
    assert int(arrays["batch_size"]) == 1293


def test_the_same_run_gives_the_same_bytes_and_no_data_are_needed_for_weights(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call("train", DIGITS, *PLAIN, "--run-dir", "run").code == 0
    for name in ("a", "b"):
        assert call("export", "run", "--to", "npz", "--out", f"{name}.npz").code == 0
    assert Path("a.npz").read_bytes() == Path("b.npz").read_bytes()
    monkeypatch.setattr("mlptrain.inference.evaluate.load_data", lambda *_, **__: pytest.fail("the data were read"))
    report = call("export", "run", "--to", "npz", "--epochs", "0", "--json").json
    assert (report["file"], report["to"]) == ("weights.npz", "npz")
    assert report["arrays"]["layers.0.weight"] == [64, 64]
    assert "order" not in report["arrays"]
    alone = mlptrain.export("run/checkpoints/best.safetensors", epochs=0)
    assert [name for name in alone if name.startswith(("initial.", "last."))] == []


def test_regression_has_targets(call: Call) -> None:
    config = str(ROOT / "configs/regression_by_heart.yaml")
    assert call("train", config, "--set", "training.epochs=2", "--run-dir", "run").code == 0
    arrays = mlptrain.export("run", rows=True)
    train = load_data(load_spec(config).experiment).train
    np.testing.assert_array_equal(arrays["train.y"], train.targets.numpy())
    np.testing.assert_array_equal(arrays["train.x"], train.inputs.numpy())
    assert "class_names" not in arrays


def test_columns_of_a_table_are_described(call: Call) -> None:
    """Which is enough to compute a column of the exported inputs from the table's own."""
    config = str(ROOT / "configs/tables/penguins.yaml")
    assert call("train", config, "--set", "training.epochs=1", "--run-dir", "run").code == 0
    assert call("export", "run", "--to", "npz", "--rows").code == 0
    with np.load("weights.npz", allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    assert not [name for name in arrays if name.startswith("scaling.")]
    with (ROOT / "mlptrain/sources/tables/penguins.csv").open(newline="") as table:
        year = np.array([float(row["year"]) for row in csv.DictReader(table)])[arrays["train.index"]]
    described = json.loads(str(arrays["about"]))["columns"][-1]
    assert described["column"] == "year"
    expected = (year - described["center"]) / described["scale"]
    np.testing.assert_allclose(arrays["train.x"][:, described["start"]], expected, atol=1e-5)


def test_what_cannot_be_exported(call: Call) -> None:
    assert call("train", DIGITS, *PLAIN, "--run-dir", "run").code == 0
    for arguments, message in (
        (("run", "--to", "pickle"), "format 'pickle': choose onnx, torch, npz, tensorboard or mlflow"),
        (("run", "--to", "npz", "--out", "weights.pt"), "ends in .npz, not in '.pt'"),
        (("run", "--to", "npz", "--epochs", "9999999"), "expected 0 to 38,669 epochs of this run"),
        (("nowhere", "--to", "npz"), "nowhere: no such checkpoint or run folder"),
    ):
        refused = call("export", *arguments)
        assert refused.code == 2
        assert message in refused.err
        assert list(Path().glob("*.*")) == []
    with pytest.raises(RunFolderError):
        mlptrain.export(Path())
