"""Checkpoints taken apart and put together again, and every way by which one is read."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save

import mlptrain
from mlptrain.errors import MlptrainError
from tests.faults.tools.hostile import ends_within, refused

Tensors = dict[str, torch.Tensor]


def best_of(run: Path) -> Path:
    return run / "checkpoints" / "best.safetensors"


def last_of(run: Path) -> Path:
    return run / "checkpoints" / "last.safetensors"


def read(path: Path) -> tuple[dict[str, Any], Tensors]:
    with safe_open(path, framework="pt") as file:
        described = json.loads(file.metadata()["mlptrain"])
        return described, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping


def seal(path: Path, described: Any, tensors: Tensors) -> None:
    """Write a checkpoint with a right digest, as who means harm can."""
    if isinstance(described, dict) and re_digest(described):
        described = {**described, "digest": "0" * 64}
    text = described if isinstance(described, str) else json.dumps(described)
    content = save({name: tensor.clone() for name, tensor in tensors.items()}, {"mlptrain": text})
    path.write_bytes(content.replace(b"0" * 64, hashlib.sha256(content).hexdigest().encode(), 1))


def re_digest(described: dict[str, Any]) -> bool:
    digest = described.get("digest")
    return isinstance(digest, str) and len(digest) == 64 and digest.isascii() and digest.islower()


def assert_refused_at_every_door(run: Path) -> None:
    """By eval, predict, load, resume, report and plot: nothing is written, and the result stays."""
    made = run.parent / "executed"
    kept = {file: file.read_bytes() for file in run.iterdir() if file.is_file() and file.name != "report.html"}
    for arguments in (
        ("eval", run),
        ("eval", best_of(run)),
        ("predict", run, "--index", 0),
        ("report", run),
        ("plot", "weights", run),
        ("train", "--resume", run, "--set", "training.epochs=4"),
    ):
        message = refused(*arguments)
        assert "safetensors" in message, (arguments, message)
        assert not made.exists()
    for path in (run, best_of(run)):
        with ends_within(60), pytest.raises(MlptrainError, match="safetensors"):
            mlptrain.load(path)
    assert {file: file.read_bytes() for file in kept} == kept
    assert not (run / "report.html").exists()
