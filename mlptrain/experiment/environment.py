"""What a run's metrics depend on besides its configuration."""

from __future__ import annotations

import hashlib
import platform
import subprocess

import numpy
import torch
from torch import Tensor

import mlptrain
from mlptrain.runs.records import Environment, Hashes
from mlptrain.training.device import ResolvedDevice


def describe_environment(
    resolved: ResolvedDevice, *, data_fingerprint: str, initial_weights: Tensor, batch_order: Tensor
) -> Environment:
    """The content of ``environment.json``; ``batch_order`` is the first epoch's, later ones follow from the seed."""
    on_gpu = resolved.device != "cpu"
    return Environment(
        mlptrain=mlptrain.__version__,
        python=platform.python_version(),
        torch=torch.__version__,
        numpy=numpy.__version__,
        platform=platform.platform(),
        processor=torch.backends.cpu.get_cpu_capability(),
        device=resolved.device,
        device_name=torch.cuda.get_device_name(resolved.device) if on_gpu else None,
        precision=resolved.precision,
        threads=resolved.threads,
        git_commit=_git_commit(),
        hashes=Hashes(data=data_fingerprint, initial_weights=sha256(initial_weights), batch_order=sha256(batch_order)),
    )


def sha256(tensor: Tensor) -> str:
    """Digest of a tensor's bytes in row order."""
    return hashlib.sha256(tensor.detach().cpu().contiguous().numpy().tobytes()).hexdigest()


def _git_commit() -> str | None:
    """The commit of the working folder, or None outside a repository or without git."""
    try:
        found = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None
