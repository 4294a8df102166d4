"""Checkpoints: one safetensors file each, nothing that can run code, and a digest over every byte.

``mlptrain.system.sealed`` says how the digest is kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from mlptrain.data import Preprocessing
from mlptrain.errors import CheckpointError, DataError, SpecError
from mlptrain.sources.facts import DataFacts
from mlptrain.spec import Experiment, load_text, to_yaml
from mlptrain.spec.model import MAX_PARAMETERS
from mlptrain.system import sealed
from mlptrain.system.atomic import write_atomically
from mlptrain.system.files import open_regular
from mlptrain.system.jsonfiles import Count, Figure, Positive, Record, first_fault
from mlptrain.system.sealed import BLANK, FORMAT_VERSION, read_header
from mlptrain.training.keep import Best
from mlptrain.updates.chain import ModelState
from mlptrain.updates.optimizers import make_optimizer
from mlptrain.updates.wrapped import check_state, is_wrapped

MAX_BYTES = 6 * 4 * MAX_PARAMETERS  # weights, their average and three buffers of float32, and room
_MAX_DETAIL = 500  # characters; a name in a foreign file may have a million
_STATE = "optimizer."
_RAW = "raw."  # before the names of the weights that training continues with, where the parameters are an average
_FEW_COLUMNS = 10_000  # and levels of these, which always fit
_ROOM = 100_000  # bytes of what a header holds besides columns
_OWN = "own."  # before the numbers of the tensors in the state of a wrapped optimizer
_MAX_COUNTED = 2**24  # where float32, in which optimizers count their steps, adds 1 in vain


ClassWeights = Annotated[tuple[Annotated[Figure, Field(ge=0)], ...], Field(strict=False)]


class _Header(Record):
    """What the metadata of a file holds; the fields are those of Checkpoint, with the configuration as YAML."""

    format: int
    digest: str
    epoch: Count
    step: Count
    best: Best | None
    preprocessing: Preprocessing
    facts: DataFacts
    data_fingerprint: str
    metrics_digest: str
    class_weights: ClassWeights = ()
    spec: str
    temperature: Positive | None = None  # files of earlier versions have none
    optimizer_state: str | None = None  # of a wrapped optimizer: what is no tensor of its state, as JSON


@dataclass(frozen=True)
class Checkpoint:
    """Weights with all that is needed to use them, and in ``last`` all that is needed to resume.

    ``epoch`` 0 is before training. ``state`` has more than weights in ``last`` only, as has ``metrics_digest``, the
    SHA-256 of the metrics of all epochs until then. ``class_weights`` are those of the loss, fitted on the training
    rows; empty where it has none. ``temperature`` divides the logits that probabilities are made of; None until one is
    fitted.
    """

    experiment: Experiment
    epoch: int
    step: int
    preprocessing: Preprocessing
    data_fingerprint: str
    state: ModelState
    best: Best | None = None
    metrics_digest: str = ""
    class_weights: tuple[float, ...] = ()
    temperature: float | None = None


_SHARED = _Header.model_fields.keys() & {field.name for field in fields(Checkpoint)}


def save_checkpoint(path: Path, checkpoint: Checkpoint, *, spec: str = "") -> None:
    """Write the file, whole or not at all; ``spec`` is ``to_yaml`` of its own, where it is at hand. Raises OSError."""
    state = checkpoint.state
    tensors = dict(state.parameters)
    for name, buffers in state.buffers.items():
        tensors |= {f"{_STATE}{name}.{parameter}": tensor for parameter, tensor in buffers.items()}
    tensors |= {f"{_STATE}{name}": tensor for name, tensor in state.scalars.items()}
    tensors |= {f"{_RAW}{name}": tensor for name, tensor in state.raw.items()}
    tensors |= {f"{_OWN}{name}": tensor for name, tensor in state.own.items()}
    header = _Header(
        format=FORMAT_VERSION,
        digest=BLANK,
        facts=checkpoint.experiment.facts,
        spec=spec or to_yaml(checkpoint.experiment.spec),
        optimizer_state=state.plain or None,
        **{name: getattr(checkpoint, name) for name in _SHARED},
    )
    plain = {key: value for key, value in header.plain().items() if key != "optimizer_state" or value is not None}
    content = save(
        {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
        {"mlptrain": json.dumps(plain)},
    )
    write_atomically(path, sealed.sealed(content))


def check_room(experiment: Experiment, preprocessing: Preprocessing) -> None:
    """Raises DataError where names and preprocessing of the columns are more than the header of a file may hold."""
    facts = experiment.facts
    if facts.n_features + sum(len(column.categories) for column in facts.columns) <= _FEW_COLUMNS:
        return
    text = json.dumps({"facts": facts.plain(), "preprocessing": preprocessing.plain()})
    size = len(json.dumps(text)) + _ROOM  # a text of JSON in JSON, as the header has it
    if size > sealed.MAX_HEADER_BYTES:
        raise DataError(
            f"data '{experiment.data.label}' has {facts.n_features:,} columns, whose names and preprocessing take "
            f"{size / 1e6:,.0f} MB of a checkpoint's header, which may have {sealed.MAX_HEADER_BYTES / 1e6:,.0f}; "
            "leave columns out, or give them shorter names"
        )


def load_checkpoint(path: Path) -> Checkpoint:
    """Read and check a file. Raises CheckpointError, one message, for anything but an intact checkpoint.

    Whoever can compute a SHA-256 can write any content, so nothing in it is believed: names, types, shapes and ranges
    are checked too, and weights must be finite, as those of every boundary that is saved are.
    """
    try:
        with open_regular(path) as stream:
            header = read_header(path, stream, most=MAX_BYTES)
            stream.seek(0)
            tensors = load(stream.read())
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such checkpoint") from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None
    except SafetensorError as error:
        raise CheckpointError(f"{path} is corrupt: header and content disagree: {error}") from None
    try:
        return _checkpoint(_Header.model_validate(header), tensors, source=str(path))
    except (SpecError, ValueError) as error:
        detail = first_fault(error) if isinstance(error, ValidationError) else str(error)
        detail = detail.partition("\n")[0][:_MAX_DETAIL]
        raise CheckpointError(f"{path} is corrupt: header and content disagree: {detail}") from None


def check_resumable(path: Path, checkpoint: Checkpoint) -> None:
    """Raises CheckpointError unless the checkpoint holds a state that its optimizer can be in after its steps.

    Sums and means of squares may be infinite, where weights stay as they are; all that is nan makes nan of weights.
    """
    state = checkpoint.state
    if is_wrapped(checkpoint.experiment.optimizer):
        try:
            check_state(checkpoint.experiment.optimizer, checkpoint.experiment.parameter_shapes, state.own, state.plain)
        except ValueError as error:
            raise CheckpointError(f"{path} is not what training stopped at: {error}") from None
        return
    optimizer = make_optimizer(checkpoint.experiment.optimizer, [torch.zeros(1)])
    try:
        optimizer.load_state({name: [torch.zeros(1)] for name in state.buffers}, state.scalars)  # of checked shapes
        if checkpoint.epoch and getattr(optimizer.settings, "momentum", 0) and not state.buffers:
            raise ValueError("there is no momentum")  # SGD has none before its first step
        if checkpoint.experiment.training.ema and not state.raw:
            raise ValueError("there are no raw weights beside their average")
        for name, tensors in state.buffers.items():
            flat = torch.cat([tensor.flatten() for tensor in tensors.values()])
            if flat.isnan().any() or (name in optimizer.non_negative and (flat < 0).any()):
                raise ValueError(f"the optimizer's {name} cannot come out of training")
        steps = state.scalars.get("step")
        if steps is not None and steps != min(checkpoint.step, _MAX_COUNTED):
            raise ValueError(f"the optimizer has taken {float(steps):g} steps, not {checkpoint.step}")
    except ValueError as error:
        raise CheckpointError(f"{path} is not what training stopped at: {error}") from None


def _checkpoint(header: _Header, tensors: Mapping[str, Tensor], *, source: str) -> Checkpoint:
    """Metadata and tensors as a checkpoint. Raises SpecError or ValueError where they do not fit together."""
    experiment = load_text(header.spec, source=source, facts=header.facts).experiment
    state = replace(_sorted_tensors(experiment, tensors), plain=header.optimizer_state or "")
    if not header.preprocessing.fits(experiment.facts.n_features):
        raise ValueError("its preprocessing is of other columns than its facts")
    weighted = getattr(experiment.loss, "class_weights", "none") != "none"
    if len(header.class_weights) != (len(experiment.facts.class_names) if weighted else 0):
        raise ValueError("its class weights are not those of its classes")
    if header.step != header.epoch * experiment.steps_per_epoch:
        raise ValueError(f"step {header.step} is not the last of epoch {header.epoch}")
    if not all(bool(tensor.isfinite().all()) for tensor in (*state.parameters.values(), *state.raw.values())):
        raise ValueError("weights that are not finite")
    return Checkpoint(experiment=experiment, state=state, **{name: getattr(header, name) for name in _SHARED})


def _sorted_tensors(experiment: Experiment, tensors: Mapping[str, Tensor]) -> ModelState:
    """Parameters in the order of the network, buffers by the optimizer's names. Raises ValueError for other tensors."""
    shapes, learnt = experiment.shapes, experiment.parameter_shapes
    parameters: dict[str, Tensor] = {}
    raw: dict[str, Tensor] = {}
    state: dict[str, dict[str, Tensor]] = {}
    scalars: dict[str, Tensor] = {}
    own: dict[str, Tensor] = {}
    wrapped = is_wrapped(experiment.optimizer)
    for name, tensor in tensors.items():
        if wrapped and name.startswith(_OWN):
            own[name.removeprefix(_OWN)] = tensor
            continue
        if tensor.dtype != torch.float32:
            raise ValueError(f"tensor {name!r} is {tensor.dtype}, expected torch.float32")
        buffer, _, parameter = name.removeprefix(_STATE).partition(".")
        if name in shapes:
            parameters[name] = tensor
        elif name.startswith(_RAW) and (experiment.training.ema or wrapped):
            raw[name.removeprefix(_RAW)] = tensor
        elif not name.startswith(_STATE):
            raise ValueError(f"unexpected tensor {name!r}")
        elif parameter:
            state.setdefault(buffer, {})[parameter] = tensor
        else:
            scalars[buffer] = tensor
    averaged = [(raw, shapes)] if raw else []
    for group, wanted in ((parameters, shapes), *averaged, *((buffers, learnt) for buffers in state.values())):
        found = {name: tuple(tensor.shape) for name, tensor in group.items()}
        if wrong := sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name)):
            name = wrong[0]
            raise ValueError(
                f"another network than its configuration: tensor {name!r} has shape {found.get(name)}, expected "
                f"{wanted.get(name)}"
            )
    if wrong := [name for name, scalar in scalars.items() if scalar.shape]:
        raise ValueError(f"the optimizer's {wrong[0]!r} is not a single number")
    ordered = {buffer: {name: state[buffer][name] for name in learnt} for buffer in sorted(state)}
    of_raw = {name: raw[name] for name in shapes} if raw else {}
    return ModelState({name: parameters[name] for name in shapes}, ordered, scalars, of_raw, own)
