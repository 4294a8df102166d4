"""Training from weights that are there: `train --from RUN`, and `model.init: {name: file, path: …}`."""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from torch.nn import functional

import mlptrain
from mlptrain.errors import CheckpointError, InterruptedRunError
from mlptrain.experiment import resume, train
from mlptrain.spec import load_spec
from mlptrain.spec.load import starting_from
from tests.command import Call
from tests.listeners import interrupting

CONFIG = """\
name: small
data: {name: digits, validation: 100}
model: {hidden: [16]}
optimizer: {name: sgd, lr: 0.1}
training: {epochs: 2, batch_size: 50, device: cpu, precision: highest}
"""
ADAM = ("--set", "optimizer={name: adam, lr: 0.003}", "--set", "training.epochs=3")
LAST, BEST, INITIAL = (f"checkpoints/{name}.safetensors" for name in ("last", "best", "initial"))
SAME = ("resolved.yaml", "metrics.jsonl", "facts.json", LAST, BEST, INITIAL)


@pytest.fixture(autouse=True)
def _configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("small.yaml").write_text(CONFIG)


@pytest.fixture
def source(call: Call) -> str:
    """A run whose kept weights are not its last ones."""
    assert call("train", "small.yaml", "--run-dir", "source", "--set", "optimizer.lr=0.3").code == 0
    # Validation fell in every epoch; what was kept is put an epoch earlier by training on at a rate that is too large.
    assert call("train", "small.yaml", "--from", "source", "--run-dir", "a", "--set", "optimizer.lr=3").code == 0
    assert read("a/result.json")["kept"]["epoch"] < 2
    return "a"


def read(path: str) -> Any:
    return json.loads(Path(path).read_text())


def lines(run: str) -> list[dict[str, float]]:
    return [json.loads(line) for line in Path(run, "metrics.jsonl").read_text().splitlines()]


def assert_same(one: str, other: str) -> None:
    for name in SAME:
        assert Path(one, name).read_bytes() == Path(other, name).read_bytes(), name


def test_it_is_a_fresh_optimizer_on_the_kept_weights(source: str, call: Call) -> None:
    """Held against torch's Adam, which starts from the kept checkpoint of the source."""
    assert call("train", "small.yaml", "--from", source, *ADAM, "--run-dir", "b").code == 0
    kept = load_file(f"{source}/{BEST}")
    parameters = {name: torch.from_numpy(tensor).double().requires_grad_() for name, tensor in kept.items()}
    optimizer = torch.optim.Adam([parameters[name] for name in sorted(parameters)], lr=0.003)
    arrays = {name: torch.from_numpy(array) for name, array in mlptrain.export("b", epochs=3, rows=True).items()
              if array.dtype.kind in "fi"}  # fmt: skip
    for order in arrays["order"]:
        for rows in order.split(50):
            x = functional.linear(
                arrays["train.x"][rows].double(), parameters["layers.0.weight"], parameters["layers.0.bias"]
            )
            logits = functional.linear(x.relu(), parameters["layers.1.weight"], parameters["layers.1.bias"])
            optimizer.zero_grad()
            torch.autograd.backward(functional.cross_entropy(logits, arrays["train.y"][rows]))
            optimizer.step()
    for name, tensor in load_file(f"b/{LAST}").items():
        if name in parameters:
            np.testing.assert_allclose(tensor, parameters[name].detach(), atol=2e-5)
    before, *trained = lines("b")
    assert (before["epoch"], before["step"], [line["epoch"] for line in trained]) == (0, 0, [1, 2, 3])
    best = lines(source)[read(f"{source}/result.json")["kept"]["epoch"]]
    assert before["validation_loss"] == best["validation_loss"]


def test_the_run_needs_nothing_else_and_repeats_to_the_byte(source: str, call: Call) -> None:
    assert call("train", "small.yaml", "--from", source, *ADAM, "--run-dir", "b").code == 0
    environment = read("b/environment.json")
    kept = read(f"{source}/result.json")["kept"]["epoch"]
    assert environment["started_from"] == {"file": f"{source}/{BEST}", "epoch": kept}
    shutil.rmtree(source)
    shutil.move("b", "elsewhere")
    assert call("train", "elsewhere/resolved.yaml", "--run-dir", "again").code == 0
    assert_same("elsewhere", "again")
    assert read("again/environment.json")["hashes"] == environment["hashes"]
    weights = load_file(f"again/{INITIAL}")
    digest = hashlib.sha256(b"".join(weights[name].tobytes() for name in sorted(weights, key=order_of)))
    assert load_spec("again/resolved.yaml").spec.model.init.model_dump()["sha256"] == digest.hexdigest()
    for arguments in (("eval", "again"), ("predict", "again", "--index", "0"), ("report", "again"), ("runs", ".")):
        assert call(*arguments).code == 0


def order_of(name: str) -> tuple[str, bool]:
    """Layer by layer, the weight before the bias."""
    layer, _, kind = name.rpartition(".")
    return layer, kind == "bias"


def test_resuming(source: str, call: Call) -> None:
    """After an interruption in the first epoch or a later one, and to more epochs; without the source."""
    assert call("train", "small.yaml", "--from", source, *ADAM, "--run-dir", "whole").code == 0
    loaded = load_spec("small.yaml", ["optimizer={name: adam, lr: 0.003}", "training.epochs=3"])
    for epoch in (0, 1):
        with pytest.raises(InterruptedRunError):
            train(loaded, from_run=source, run_dir=Path(f"cut{epoch}"), listeners=[interrupting(at=epoch)])
    shutil.copytree("whole", "longer")
    shutil.rmtree(source)
    for epoch in (0, 1):
        resume(f"cut{epoch}")
        assert_same("whole", f"cut{epoch}")
    assert call("train", "--resume", "longer", "--set", "training.epochs=5").code == 0
    assert call("train", "whole/resolved.yaml", "--set", "training.epochs=5", "--run-dir", "five").code == 0
    assert_same("longer", "five")


def test_resuming_notices_other_initial_weights(source: str) -> None:
    loaded = starting_from(load_spec("small.yaml"), source)
    with pytest.raises(InterruptedRunError):
        train(loaded, run_dir=Path("cut"), listeners=[interrupting(at=0)])
    weights = load_file(f"cut/{INITIAL}")
    weights["layers.0.bias"][0] += 1
    save_file(weights, f"cut/{INITIAL}")
    with pytest.raises(CheckpointError, match="holds other weights than expected"):
        resume("cut")
    Path("cut", INITIAL).unlink()
    with pytest.raises(CheckpointError, match="no such file"):
        resume("cut")


def test_all_seeds_start_alike(source: str, call: Call) -> None:
    told = call("train", "small.yaml", "--from", source, "--seeds", "0,4", "--run-dir", "group")
    assert told.code == 0
    assert "seed 4 draws other validation rows" in told.err
    first, second = (load_file(f"group/seed-{seed}/{INITIAL}") for seed in (0, 4))
    for name, tensor in load_file(f"{source}/{BEST}").items():
        np.testing.assert_array_equal(first[name], tensor)
        np.testing.assert_array_equal(second[name], tensor)
    assert lines("group/seed-0")[1]["train_loss"] != lines("group/seed-4")[1]["train_loss"]
    assert call("train", "--resume", "group", "--set", "training.epochs=3").code == 0
    assert call("train", "group/seed-4/resolved.yaml", "--run-dir", "alone").code == 0
    assert lines("alone")[3] == pytest.approx(lines("group/seed-4")[3], rel=1e-5)


def test_a_checkpoint_stands_for_itself(source: str, call: Call) -> None:
    for name in ("best", "last"):
        file = f"{source}/checkpoints/{name}.safetensors"
        assert call("train", "small.yaml", "--from", file, "--set", "training.epochs=0", "--run-dir", name).code == 0
    losses = [line["validation_loss"] for line in lines(source)]
    assert lines("best")[0]["validation_loss"] == min(losses)
    assert lines("last")[0]["validation_loss"] == losses[-1] > min(losses)


def test_notes(source: str, call: Call) -> None:
    """On numbers of the scaling that differ; none where nothing differs, nor where the file says nothing."""
    new = ("train", "small.yaml", "--set", "training.epochs=0", "--run-dir")
    assert "note" not in call(*new, "same", "--from", source).err
    told = call(*new, "other", "--from", source, "--set", "data.scaling={mean: 0.3, std: 0.4}").err
    assert "trained on inputs scaled by x / 16; this run scales by (x / 16 − 0.3) / 0.4, as its data section" in told
    assert call("export", source, "--to", "npz").code == 0
    assert "scaled by x / 16;" in call(*new, "npz", "--from", "weights.npz", "--set", "data.scaling=none").err
    save_file(load_file(f"same/{INITIAL}"), "plain.safetensors")
    assert "note" not in call(*new, "plain", "--from", "plain.safetensors", "--set", "data.scaling=none").err
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train(load_spec("small.yaml", ["data.scaling=none", "training.epochs=0"]), from_run=source)
    assert ["scaled by x / 16" in str(one.message) for one in caught] == [True]


def test_what_is_refused_leaves_no_folder(source: str, call: Call) -> None:
    new = ("train", "small.yaml", "--run-dir", "new", "--from")
    assert call("train", "small.yaml", "--seeds", "0,1", "--run-dir", "group").code == 0
    file = f"{source}/{BEST}"
    for arguments, message in (
        ((*new, source, "--set", "model.hidden=[8]"), f"error: {file}: layers.0.weight (layer 1) has shape (16, 64), "
         "expected (8, 64): the file holds a network 64-16-10, expected 64-8-10"),
        ((*new, source, "--set", "model.hidden=[16, 10]"), f"error: {file} has no layers.2.weight, expected (10, 10); "
         "it holds layers.0.bias, layers.0.weight, layers.1.bias, layers.1.weight"),
        ((*new, source, "--set", "model.bias=false"), f"error: {file} has layers.0.bias too, which this network has "
         "not: set the norms, activations and biases of model as in the network that the file holds"),
        ((*new, source, "--set", "data.classes=[0, 1]"), f"error: {file}: layers.1.weight (layer 2) has shape (10, 16),"
         " expected (2, 16): the file holds a network 64-16-10, expected 64-16-2"),
        ((*new, "nowhere"), "error: nowhere: no such file or run folder"),
        ((*new, "."), "error: . is not a run folder: it has no resolved.yaml"),
        ((*new, "group"), "error: group holds the runs of 2 seeds; name one of them, e.g. group/seed-0"),
        (("train", "--resume", source, "--from", source), "error: --from conflicts with --resume, which continues "
         f"from the weights of {source}; to start a new run from them: `mlptrain train CONFIG --from {source}`"),
        (("train", "--from", source), f"error: --from needs a configuration too; that of the run itself is "
         f"{source}/resolved.yaml"),
    ):  # fmt: skip
        refused = call(*arguments)
        assert (refused.code, refused.message) == (2, message)
        assert not Path("new").exists()


def test_a_comparison_starts_all_trials_from_the_file(source: str, call: Call) -> None:
    """The plan pins the weights, which may not change until the comparison is complete."""
    shutil.copy(f"{source}/{BEST}", "weights.safetensors")
    arguments = ("compare-optimizers", "small.yaml", "--optimizers", "sgd,adam", "--lr", "0.01", "--seeds", "6")
    base = ("--set", "base.model.init={name: file, path: weights.safetensors}", "--set", "base.training.epochs=1")
    assert call(*arguments, *base, "--run-dir", "compared").code == 0
    trials = [json.loads(line) for line in Path("compared/trials.jsonl").read_text().splitlines()]
    assert len({trial["hashes"]["initial_weights"] for trial in trials}) == 1
    assert len({trial["hashes"]["batch_order"] for trial in trials}) == 6
    shutil.copy(f"{source}/{LAST}", "weights.safetensors")
    refused = call("compare-optimizers", "compared/plan.yaml", "--run-dir", "repeated")
    assert refused.code == 2
    assert "holds other weights than expected" in refused.err
