"""A checkpoint gives back what went in, and anything else gives one clear error."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from mlptrain.data import Preprocessing, Scale
from mlptrain.errors import CheckpointError
from mlptrain.experiment.build import build_network, initial_parameters
from mlptrain.experiment.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from mlptrain.spec import Experiment, load_text
from mlptrain.training.keep import Best
from mlptrain.updates.chain import ModelState


def make_experiment(hidden: str = "[6, 5]", data: str = "{name: digits, scaling: standard}") -> Experiment:
    return load_text(
        f"data: {data}\nmodel: {{hidden: {hidden}, activation: prelu}}\noptimizer: {{name: adam, lr: 1e-3}}\n"
    ).experiment


def make_checkpoint(experiment: Experiment) -> Checkpoint:
    parameters = initial_parameters(experiment, build_network(experiment))
    buffers = {
        "exp_avg": {name: torch.full_like(tensor, 0.1) for name, tensor in parameters.items()},
        "exp_avg_sq": {name: tensor.square() for name, tensor in parameters.items()},
    }
    return Checkpoint(
        experiment=experiment,
        epoch=3,
        step=63,
        preprocessing=Preprocessing(transforms=(Scale(divisor=16.0, mean=0.25, std=1 / 3),)),
        data_fingerprint="ab" * 32,
        state=ModelState(dict(parameters), buffers, {"step": torch.tensor(63.0)}),
        best=Best(epoch=2, loss=0.1234567890123456789),
    )


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, make_checkpoint(make_experiment()))
    return path


def test_round_trip(saved: Path) -> None:
    wanted, got = make_checkpoint(make_experiment()), load_checkpoint(saved)
    assert (got.experiment, got.epoch, got.step) == (wanted.experiment, 3, 63)
    assert got.preprocessing == wanted.preprocessing
    assert (got.best, got.data_fingerprint) == (wanted.best, wanted.data_fingerprint)
    assert list(got.state.parameters) == list(wanted.state.parameters)
    for name, tensor in wanted.state.parameters.items():
        assert torch.equal(got.state.parameters[name], tensor)
    for buffer, tensors in wanted.state.buffers.items():
        for name, tensor in tensors.items():
            assert torch.equal(got.state.buffers[buffer][name], tensor)
    assert got.state.scalars["step"] == 63


def test_inputs_that_are_not_divided(tmp_path: Path) -> None:
    """As those of generated data, which a divisor of 1 leaves as they are."""
    experiment = make_experiment(data="spirals")
    wanted = replace(
        make_checkpoint(experiment),
        preprocessing=Preprocessing(transforms=(Scale(),)),
        step=3 * experiment.steps_per_epoch,
    )
    save_checkpoint(tmp_path / "last.safetensors", wanted)
    assert load_checkpoint(tmp_path / "last.safetensors").preprocessing == wanted.preprocessing


def test_the_file_is_plain_safetensors(saved: Path) -> None:
    with safe_open(saved, framework="pt") as file:
        assert "layers.0.weight" in file.keys()  # noqa: SIM118 - no mapping
        assert json.loads(file.metadata()["mlptrain"])["epoch"] == 3


def test_same_content_same_bytes(saved: Path, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "again.safetensors", make_checkpoint(make_experiment()))
    assert (tmp_path / "again.safetensors").read_bytes() == saved.read_bytes()


def test_a_failed_write_leaves_the_old_file_and_nothing_else(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()

    def full_disk(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(saved, make_checkpoint(make_experiment("[7]")))
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_another_networks_tensors_are_refused(tmp_path: Path) -> None:
    mixed = make_checkpoint(make_experiment("[6, 4]"))
    path = tmp_path / "mixed.safetensors"
    wrong = Checkpoint(
        experiment=make_experiment("[6, 5]"),
        epoch=1,
        step=1,
        preprocessing=mixed.preprocessing,
        data_fingerprint="",
        state=ModelState(mixed.state.parameters),
    )
    save_checkpoint(path, wrong)
    with pytest.raises(CheckpointError, match="another network"):
        load_checkpoint(path)


def test_absent(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        load_checkpoint(tmp_path / "none.safetensors")
