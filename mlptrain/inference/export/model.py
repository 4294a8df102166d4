"""A trained network as one file that predicts from raw rows elsewhere: ``mlptrain.export_model``."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

import mlptrain
from mlptrain.errors import RunFolderError, UserError
from mlptrain.inference.evaluate import load_kept
from mlptrain.inference.export.inputs import Input
from mlptrain.inference.export.onnx_file import PRODUCER, onnx_model
from mlptrain.inference.export.predictor import Predictor
from mlptrain.runs import RunFolder
from mlptrain.spec.weights import InitialWeights
from mlptrain.system.atomic import write_atomically
from mlptrain.system.paths import AnyPath, user_path

ABOUT = "about.json"  # among the extra files of a .pt2
MAX_INPUTS = 1_000  # of a graph


@dataclass(frozen=True)
class ExportedModel:
    """The bytes of a file; what it reads, what its only output is called, and of which shape that is behind n.

    ``about`` is its metadata: texts, of which those called ``…names`` and ``inputs`` are JSON.
    """

    content: bytes = field(repr=False)
    inputs: tuple[Input, ...]
    output: str
    shape: tuple[int, ...]
    about: dict[str, str]
    epoch: int


def export_model(run: AnyPath, out: AnyPath) -> ExportedModel:
    """Write a run, or a checkpoint file, as a model that takes raw rows; the suffix of ``out`` is .onnx or .pt2.

    `mlptrain/README.md` says how each is used. Raises UserError for another suffix, where the extra ``onnx`` is not
    installed, and for networks that the format cannot hold; RunFolderError for a run that diverged; the errors of a run
    or checkpoint that cannot be read; OSError where the file cannot be written.
    """
    file = user_path(out)
    kinds = {suffix: to for to, (suffix, _) in MODELS.items()}
    if file.suffix.lower() not in kinds:
        raise UserError(f"{file}: a model's file ends in {' or '.join(kinds)}, not in '{file.suffix}'")
    found = exported_model(run, kinds[file.suffix.lower()])
    write_atomically(file, found.content)
    return found


def exported_model(run: AnyPath, to: str) -> ExportedModel:
    """The model of a format in ``MODELS``. Raises as ``export_model``."""
    refuse_diverged(run)
    return model_of(Predictor(load_kept(run)), to)


def model_of(predictor: Predictor, to: str) -> ExportedModel:
    """The model of a format in ``MODELS``. Raises UserError for networks that the format cannot hold."""
    if len(predictor.inputs) > MAX_INPUTS:
        raise UserError(
            f"the table has {len(predictor.inputs):,} columns, each of which would be an input of the model, and at "
            f"most {MAX_INPUTS:,} are exported so; use --to npz, whose script reads any number"
        )
    about, (_, write) = _about(predictor), MODELS[to]
    experiment = predictor.experiment
    outputs = len(experiment.facts.class_names) if predictor.gives_probabilities else experiment.widths[-1]
    return ExportedModel(
        write(predictor, about), predictor.inputs, predictor.output, (outputs,), about, predictor.epoch
    )


def refuse_diverged(run: AnyPath) -> None:
    """Raises RunFolderError where a run diverged; a checkpoint file stands for itself."""
    path = user_path(run)
    if not path.is_dir():
        return
    folder = RunFolder.open(path)
    result = folder.read_result()
    if result is not None and result.status == "diverged":
        kept = next((file for file in (folder.best, folder.last) if file.exists()), None)
        remedy = f"; to export the weights from before, name {kept}" if kept is not None else ""
        raise RunFolderError(f"{path} diverged, and has no trained network to export{remedy}")


def is_model(file: Path) -> bool:
    """Whether an existing file is a model that mlptrain wrote."""
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            return any(name.endswith(f"extra/{ABOUT}") for name in archive.namelist())
    with file.open("rb") as stream:
        return PRODUCER.encode() in stream.read(64)  # which stands behind the version of the format


def _about(predictor: Predictor) -> dict[str, str]:
    checkpoint, experiment, facts = predictor.checkpoint, predictor.experiment, predictor.experiment.facts
    weights = {name: tensor.cpu().numpy() for name, tensor in checkpoint.state.parameters.items()}
    return {
        "name": experiment.name,
        "data": experiment.data.label,
        "task": "regression" if facts.is_regression else "multi_label" if facts.is_multi_label else "classification",
        "class_names": json.dumps(facts.class_names, ensure_ascii=False),
        "target_names": json.dumps(facts.target_names, ensure_ascii=False),
        "output_names": json.dumps(facts.class_names or experiment.value_names, ensure_ascii=False),
        "inputs": json.dumps([one.plain() for one in predictor.inputs], ensure_ascii=False),
        "output": predictor.output,
        "temperature": str(predictor.temperature),
        "epoch": str(checkpoint.epoch),
        "weights_sha256": InitialWeights(weights, Path(), {}).sha256,
        "mlptrain": mlptrain.__version__,
    }


def _torch_model(predictor: Predictor, about: dict[str, str]) -> bytes:
    """A .pt2 of torch.export, which has no texts: categories are codes, and their names lie beside in ``ABOUT``."""
    stream = io.BytesIO()
    extra = json.dumps(about, ensure_ascii=False)
    torch.export.save(predictor.program, stream, extra_files={ABOUT: extra})
    return stream.getvalue()


MODELS: dict[str, tuple[str, Callable[[Predictor, dict[str, str]], bytes]]] = {
    "onnx": (".onnx", onnx_model),
    "torch": (".pt2", _torch_model),
}
