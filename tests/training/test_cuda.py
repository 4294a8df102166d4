"""Whole trainings on a CUDA device: repeated, resumed, among others, and beside the CPU."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import mlptrain

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")

RECIPE: dict[str, Any] = {
    "data": {"name": "digits", "validation": 0.1},
    "model": {"hidden": [64, 64], "norm": "batch", "dropout": 0.3, "input_dropout": 0.1},
    "optimizer": {"name": "adam", "lr": 0.003},
    "augmentation": {"shift": 1, "rotate": 10, "elastic": {"alpha": 4, "sigma": 2}, "noise": 0.1, "erase": 0.2},
    "training": {"epochs": 4, "batch_size": 64, "ema": 0.9, "clip_norm": 1.0, "max_norm": 3.0, "device": "cuda"},
}


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "checkpoints" / "last.safetensors")


def metrics(run: Path) -> list[float]:
    """The losses of the validation rows by epoch."""
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["validation_loss"] for line in lines]


def assert_same(one: Path, other: Path) -> None:
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert (one / "metrics.jsonl").read_bytes() == (other / "metrics.jsonl").read_bytes()


@pytest.mark.parametrize("adversarial", [None, "vat", "fgsm"])
def test_the_same_bytes_again_and_resumed(tmp_path: Path, adversarial: str | None) -> None:
    config = RECIPE | {"training": RECIPE["training"] | ({"adversarial": adversarial} if adversarial else {})}
    for name in ("one", "other"):
        mlptrain.train(config, run_dir=tmp_path / name)
    assert_same(tmp_path / "one", tmp_path / "other")
    mlptrain.train(config, overrides=["training.epochs=2"], run_dir=tmp_path / "resumed")
    mlptrain.resume(tmp_path / "resumed", epochs=4)
    assert_same(tmp_path / "one", tmp_path / "resumed")


def test_among_others_as_alone(tmp_path: Path) -> None:
    mlptrain.train_seeds(RECIPE, [0, 1, 2], run_dir=tmp_path / "group")
    mlptrain.train(RECIPE, overrides=["seed=1"], run_dir=tmp_path / "alone")
    together, alone = (metrics(tmp_path / run) for run in ("group/seed-1", "alone"))
    assert together == pytest.approx(alone, rel=0.05)


def test_on_cuda_as_on_the_cpu(tmp_path: Path) -> None:
    """Of what is drawn on no device."""
    found = []
    for device in ("cuda", "cpu"):
        drawn_nowhere = {"model.dropout": 0, "model.input_dropout": 0, "augmentation": {"shift": 1}}
        mlptrain.train(RECIPE, overrides=drawn_nowhere | {"training.device": device}, run_dir=tmp_path / device)
        found.append(metrics(tmp_path / device))
    assert found[0] == pytest.approx(found[1], rel=0.05)
