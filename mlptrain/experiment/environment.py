"""What a run's metrics depend on besides its configuration."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from dataclasses import asdict

import numpy
import torch

import mlptrain
from mlptrain.data import Splits
from mlptrain.runs.records import Environment, Hashes, Origin
from mlptrain.training.device import ResolvedDevice
from mlptrain.training.trainer import TrainedModel


def describe_environment(resolved: ResolvedDevice, hashes: Hashes, started_from: Origin | None = None) -> Environment:
    """The content of ``environment.json``."""
    on_gpu = resolved.device != "cpu"
    return Environment(
        mlptrain=mlptrain.__version__,
        python=platform.python_version(),
        torch=torch.__version__,
        numpy=numpy.__version__,
        platform=platform.platform(),
        processor=torch.backends.cpu.get_cpu_capability(),
        device_name=torch.cuda.get_device_name(resolved.device) if on_gpu else None,
        **asdict(resolved),
        git_commit=_git_commit(),
        hashes=hashes,
        started_from=started_from,
    )


def hashes_of(splits: Splits, model: TrainedModel) -> Hashes:
    """Of a model before its training."""
    weights, order = (
        hashlib.sha256(tensor.detach().cpu().contiguous().numpy().tobytes()).hexdigest()
        for tensor in (model.parameters.clone().flat, model.order(1))
    )
    return Hashes(data=splits.fingerprint, initial_weights=weights, batch_order=order)


def _git_commit() -> str | None:
    """The commit of the working folder, or None outside a repository or without git."""
    try:
        found = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None
