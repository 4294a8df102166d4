"""Checkpoints: one safetensors file each, nothing that can run code, and a digest over every byte.

The header's metadata holds one JSON text under ``mlptrain`` (one key, because safetensors does not keep the order of
several, and the same run is to give the same bytes). Its ``digest`` is SHA-256 over the whole file with the digest's 64
characters as zeros, so that any changed byte, of header or tensors, is found.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from mlptrain.data import Scaling
from mlptrain.errors import CheckpointError, SpecError
from mlptrain.runs import write_atomically
from mlptrain.spec import ExperimentSpec, load_text, to_yaml

FORMAT_VERSION = 1
_BLANK = "0" * 64
_MOST_HEADER_BYTES = 10_000_000
_STATE = "optimizer."


@dataclass(frozen=True)
class Best:
    """The epoch with the lowest validation loss so far."""

    epoch: int
    loss: float


@dataclass(frozen=True)
class Checkpoint:
    """Weights with all that is needed to use them, and in ``last`` all that is needed to go on.

    ``parameters`` and each entry of ``optimizer_state`` map parameter names to tensors; ``optimizer_scalars`` are the
    state's tensors of shape (). ``epoch`` 0 is before training.
    """

    spec: ExperimentSpec
    epoch: int
    step: int
    scaling: Scaling
    data_fingerprint: str
    parameters: Mapping[str, Tensor]
    optimizer_state: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    optimizer_scalars: Mapping[str, Tensor] = field(default_factory=dict)
    best: Best | None = None


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write the file, whole or not at all. Raises OSError."""
    tensors = dict(checkpoint.parameters)
    for name, buffers in checkpoint.optimizer_state.items():
        tensors |= {f"{_STATE}{name}.{parameter}": tensor for parameter, tensor in buffers.items()}
    tensors |= {f"{_STATE}{name}": tensor for name, tensor in checkpoint.optimizer_scalars.items()}
    described = {
        "format": FORMAT_VERSION,
        "digest": _BLANK,
        "epoch": checkpoint.epoch,
        "step": checkpoint.step,
        "best": asdict(checkpoint.best) if checkpoint.best else None,
        "scaling": asdict(checkpoint.scaling),
        "data_fingerprint": checkpoint.data_fingerprint,
        "spec": to_yaml(checkpoint.spec),
    }
    content = save(
        {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
        {"mlptrain": json.dumps(described)},
    )
    digest = hashlib.sha256(content).hexdigest()
    write_atomically(path, content.replace(_BLANK.encode(), digest.encode(), 1))


def load_checkpoint(path: Path) -> Checkpoint:
    """Read and check a file. Raises CheckpointError, one message, for anything but an intact checkpoint."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such checkpoint") from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None
    described = _described(path, content)
    try:
        tensors = load(content)
        spec = load_text(described["spec"], source=str(path)).spec
        best = described["best"]
        checkpoint = Checkpoint(
            spec=spec,
            epoch=int(described["epoch"]),
            step=int(described["step"]),
            scaling=Scaling(**described["scaling"]),
            data_fingerprint=str(described["data_fingerprint"]),
            best=Best(**best) if best else None,
            **_sorted_tensors(spec, tensors),
        )
    except (SafetensorError, SpecError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} does not hold what its header promises: {error}") from None
    shapes = {name: tuple(tensor.shape) for name, tensor in checkpoint.parameters.items()}
    if shapes != spec.parameter_shapes or any(t.dtype != torch.float32 for t in checkpoint.parameters.values()):
        raise CheckpointError(
            f"{path} holds another network than its configuration: tensors {shapes}, wanted {spec.parameter_shapes}"
        )
    return checkpoint


def _described(path: Path, content: bytes) -> dict[str, Any]:
    """The metadata, once magic, version and digest are found right."""
    start, length = content[:8], int.from_bytes(content[:8], "little")
    if len(start) < 8 or not 2 <= length <= min(_MOST_HEADER_BYTES, len(content) - 8):
        raise CheckpointError(f"{path} is no checkpoint of mlptrain, or is cut off ({len(content):,} bytes)")
    try:
        described = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["mlptrain"])
        version, digest = described["format"], described["digest"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise CheckpointError(f"{path} is no checkpoint of mlptrain, or its header is damaged") from None
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has format {version}, but this mlptrain reads up to {FORMAT_VERSION}; update mlptrain"
        )
    if version != FORMAT_VERSION or not isinstance(digest, str) or len(digest) != len(_BLANK):
        raise CheckpointError(f"{path} is no checkpoint of mlptrain, or its header is damaged")
    blank = content.replace(digest.encode(), _BLANK.encode(), 1)
    if hashlib.sha256(blank).hexdigest() != digest:
        raise CheckpointError(
            f"{path} is damaged: its content does not have the SHA-256 that it was saved with; use another copy"
        )
    return dict(described)


def _sorted_tensors(spec: ExperimentSpec, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Parameters in the order of the network, buffers by the optimizer's names."""
    shapes = spec.parameter_shapes
    parameters = {name: tensors[name] for name in shapes if name in tensors}
    state: dict[str, dict[str, Tensor]] = {}
    scalars: dict[str, Tensor] = {}
    for name in tensors.keys() - parameters.keys():
        if not name.startswith(_STATE):
            raise ValueError(f"unexpected tensor {name!r}")
        buffer, _, parameter = name.removeprefix(_STATE).partition(".")
        if parameter:
            state.setdefault(buffer, {})[parameter] = tensors[name]
        else:
            scalars[buffer] = tensors[name]
    ordered = {buffer: {name: state[buffer][name] for name in shapes} for buffer in sorted(state)}
    return {"parameters": parameters, "optimizer_state": ordered, "optimizer_scalars": scalars}
