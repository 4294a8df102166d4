"""A checkpoint gives back what went in, and anything else gives one clear error."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from mlptrain.data import Scaling
from mlptrain.errors import CheckpointError
from mlptrain.experiment.build import build_network, initial_parameters
from mlptrain.experiment.checkpoints import Best, Checkpoint, load_checkpoint, save_checkpoint
from mlptrain.spec import ExperimentSpec, load_text


def make_spec(hidden: str = "[6, 5]", data: str = "{name: digits, scaling: standard}") -> ExperimentSpec:
    return load_text(
        f"data: {data}\nmodel: {{hidden: {hidden}, activation: prelu}}\noptimizer: {{name: adam, lr: 1e-3}}\n"
    ).spec


def make_checkpoint(spec: ExperimentSpec) -> Checkpoint:
    parameters = initial_parameters(spec, build_network(spec))
    return Checkpoint(
        spec=spec,
        epoch=3,
        step=63,
        scaling=Scaling(16.0, 0.25, 1 / 3),
        data_fingerprint="ab" * 32,
        parameters=dict(parameters),
        optimizer_state={
            "exp_avg": {name: torch.full_like(tensor, 0.1) for name, tensor in parameters.items()},
            "exp_avg_sq": {name: tensor.square() for name, tensor in parameters.items()},
        },
        optimizer_scalars={"step": torch.tensor(63.0)},
        best=Best(2, 0.1234567890123456789),
    )


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, make_checkpoint(make_spec()))
    return path


def test_round_trip(saved: Path) -> None:
    wanted, got = make_checkpoint(make_spec()), load_checkpoint(saved)
    assert (got.spec, got.epoch, got.step, got.scaling) == (wanted.spec, 3, 63, wanted.scaling)
    assert (got.best, got.data_fingerprint) == (wanted.best, wanted.data_fingerprint)
    assert list(got.parameters) == list(wanted.parameters)
    for name, tensor in wanted.parameters.items():
        assert torch.equal(got.parameters[name], tensor)
    for buffer, tensors in wanted.optimizer_state.items():
        for name, tensor in tensors.items():
            assert torch.equal(got.optimizer_state[buffer][name], tensor)
    assert got.optimizer_scalars["step"] == 63


def test_inputs_that_are_not_divided(tmp_path: Path) -> None:
    """As those of generated data, which a divisor of 1 leaves as they are."""
    spec = make_spec(data="spirals")
    wanted = replace(make_checkpoint(spec), scaling=Scaling(1.0, 0.0, 1.0), step=3 * spec.steps_per_epoch)
    save_checkpoint(tmp_path / "last.safetensors", wanted)
    assert load_checkpoint(tmp_path / "last.safetensors").scaling == wanted.scaling


def test_the_file_is_plain_safetensors(saved: Path) -> None:
    with safe_open(saved, framework="pt") as file:
        assert "layers.0.weight" in file.keys()  # noqa: SIM118 - no mapping
        assert json.loads(file.metadata()["mlptrain"])["epoch"] == 3


def test_same_content_same_bytes(saved: Path, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "again.safetensors", make_checkpoint(make_spec()))
    assert (tmp_path / "again.safetensors").read_bytes() == saved.read_bytes()


def test_a_failed_write_leaves_the_old_file_and_nothing_else(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()

    def full_disk(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(saved, make_checkpoint(make_spec("[7]")))
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_another_networks_tensors_are_refused(tmp_path: Path) -> None:
    mixed = make_checkpoint(make_spec("[6, 4]"))
    path = tmp_path / "mixed.safetensors"
    wrong = Checkpoint(
        spec=make_spec("[6, 5]"),
        epoch=1,
        step=1,
        scaling=mixed.scaling,
        data_fingerprint="",
        parameters=mixed.parameters,
    )
    save_checkpoint(path, wrong)
    with pytest.raises(CheckpointError, match="another network"):
        load_checkpoint(path)


def test_absent(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        load_checkpoint(tmp_path / "none.safetensors")
