"""Evaluating a checkpoint on the data it was trained on: which file, which split, which metrics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from mlptrain.data import Examples, Splits
from mlptrain.errors import CheckpointError, DataError, RunFolderError
from mlptrain.experiment.build import build_network, load_data, loss_of, prepared
from mlptrain.experiment.checkpoints import Checkpoint, load_checkpoint
from mlptrain.experiment.resuming import load_own_checkpoint
from mlptrain.nn.parameters import Parameters
from mlptrain.runs import RunFolder
from mlptrain.runs.records import untrained
from mlptrain.sources.fetch import Progress
from mlptrain.sources.store import data_folder
from mlptrain.spec import Experiment
from mlptrain.spec.loss import Quantile
from mlptrain.system.paths import AnyPath, user_path
from mlptrain.training.device import applied, resolve_device
from mlptrain.training.metrics import (
    classification_table,
    evaluate,
    label_table,
    outputs_of,
    predicted_classes,
    quantile_table,
)
from mlptrain.training.scores import Scorer


def load_kept(path: AnyPath) -> Checkpoint:
    """The checkpoint in a file, or the kept one of a run folder, which must be of that run.

    Raises CheckpointError or RunFolderError, one message each.
    """
    path = user_path(path)
    try:
        if path.is_file():
            return load_checkpoint(path)
        if not path.is_dir():
            raise CheckpointError(f"{path}: no such checkpoint or run folder; `mlptrain runs` lists the runs")
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None
    folder = RunFolder.open(path)
    result = folder.read_result()
    completed = result if result is not None and result.status == "completed" else None
    kept = folder.best if folder.experiment().evaluation.keep == "best" else folder.last
    if completed is not None and completed.kept.checkpoint == folder.last.name:
        kept = folder.last  # where the metric that chooses was undefined throughout
    if not kept.exists() and folder.last.exists():
        raise RunFolderError(f"{kept}, the run's kept checkpoint, is gone; for the last weights name {folder.last}")
    if not kept.exists():
        raise RunFolderError(f"{path} holds no checkpoint yet; resume with `mlptrain train --resume {path}`")
    checkpoint = load_own_checkpoint(folder, kept)
    if completed is not None and completed.kept.epoch != checkpoint.epoch:
        raise CheckpointError(
            f"{kept} holds the weights after epoch {checkpoint.epoch}, but {folder.result} says that epoch "
            f"{completed.kept.epoch} was kept; one of them was replaced"
        )
    return checkpoint


@dataclass(frozen=True)
class Evaluation:
    """What a checkpoint was measured at: the keys of ``evaluate_checkpoint``, and what they do not say of its training.

    ``missing_classes`` names those without training rows, ``weights`` says where they are those before training; both
    are empty as a rule.
    """

    report: dict[str, Any]
    weights: str
    missing_classes: str

    @property
    def notes(self) -> list[str]:
        """All that there is to say."""
        return [note for note in (self.weights and f"epoch 0 was kept: {self.weights}", self.missing_classes) if note]


def unfinished(path: AnyPath) -> str | None:
    """Why a run's kept checkpoint is not a final one, in words; None for a completed run and for a file."""
    path = user_path(path)
    if not path.is_dir():
        return None
    result = RunFolder.open(path).read_result()
    if result is None:
        return f"{path} is not finished"
    return f"{path} diverged" if result.status == "diverged" else None


def load_split(
    checkpoint: Checkpoint, split: str | None, *, data_dir: AnyPath | None = None, on_fetch: Progress | None = None
) -> tuple[str, Examples]:
    """The named split, else test, else validation, else train: its name, and its rows preprocessed as recorded.

    Raises DataError for a split that there is not, and where the data are not those of the training.
    """
    name, splits = _load_splits(checkpoint, split, data_dir=data_dir, on_fetch=on_fetch)
    return name, getattr(splits, name)


def _load_splits(
    checkpoint: Checkpoint, split: str | None, *, data_dir: AnyPath | None, on_fetch: Progress | None
) -> tuple[str, Splits]:
    """The name of the split, and all of them."""
    experiment, rows = checkpoint.experiment, checkpoint.experiment.facts.rows
    name = split or next(iter(rows))
    if name not in rows:
        raise DataError(f"data '{experiment.data.name}' of this run has no {name} rows; choose {', '.join(rows)}")
    splits = load_data(experiment, data_dir=data_dir, preprocessing=checkpoint.preprocessing, on_fetch=on_fetch)
    if splits.fingerprint != checkpoint.data_fingerprint:
        raise DataError(f"this run was trained on other data than what is in {data_folder(data_dir)} now")
    return name, splits


def evaluate_checkpoint(
    path: AnyPath,
    *,
    split: str | None = None,
    data_dir: AnyPath | None = None,
    device: str = "auto",
    on_fetch: Progress | None = None,
) -> dict[str, Any]:
    """Metrics of a checkpoint file, or of a run's kept checkpoint, on one of its splits.

    Keys: split, examples, loss (the mean per example, whatever the reduction), accuracy, wrong, interval, per_class,
    confusion, metrics, undefined, temperature; those from accuracy to confusion are None for regression, as is a
    precision or recall that is undefined. For data with several labels of a row, where it is correct if all of them
    are, per_class has the labels, each with an accuracy of its own, and confusion is None. ``metrics`` are the further
    figures that the configuration lists, None where they are ``undefined``, which says why; their probabilities are
    those of the logits divided by ``temperature``, None without one, and the loss is that of the logits as they are.
    Besides objective, where another mean is minimised than the loss, and for the loss quantile per_quantile and
    crossing. ``split`` defaults to test where there is one, else validation, else train.
    """
    return evaluation_of(path, split=split, data_dir=data_dir, device=device, on_fetch=on_fetch).report


def evaluation_of(
    path: AnyPath,
    *,
    split: str | None = None,
    data_dir: AnyPath | None = None,
    device: str = "auto",
    on_fetch: Progress | None = None,
) -> Evaluation:
    """``evaluate_checkpoint``, with what there is to note."""
    checkpoint = load_kept(path)
    experiment, facts = checkpoint.experiment, checkpoint.experiment.facts
    resolved = resolve_device(device=device, precision="auto", threads=experiment.training.threads)
    with applied(resolved):
        split, splits = _load_splits(checkpoint, split, data_dir=data_dir, on_fetch=on_fetch)
        chosen: Examples = getattr(splits, split)
        loss = loss_of(experiment, [checkpoint.class_weights], [checkpoint.preprocessing.target])
        ready = prepared(chosen, loss=loss, experiment=experiment, device=resolved.device)
        network = build_network(experiment)
        parameters = Parameters.zeros(network.shapes, device=resolved.device)
        parameters.copy_(checkpoint.state.parameters)
        scorer = Scorer.of(experiment)
        metrics = evaluate(
            network,
            parameters,
            loss=loss,
            examples=ready,
            classify=not facts.is_regression,
            scorer=scorer,
            temperature=checkpoint.temperature or 1.0,
        )

        def outputs() -> Tensor:
            return loss.in_unit(outputs_of(network, parameters, ready.inputs))

        table = _table(experiment, outputs, chosen)
        if metrics.objective is not None:
            table["objective"] = metrics.objective
    report = {
        "split": split,
        "examples": len(chosen),
        "loss": metrics.loss,
        "accuracy": metrics.accuracy,
        **table,
        "metrics": {key: metrics.further.figures.get(key) for key in scorer.keys},
        "undefined": dict(metrics.further.undefined),
        "temperature": checkpoint.temperature,
    }
    return Evaluation(report, untrained(checkpoint.epoch), splits.missing_classes(facts.class_names))


def _table(experiment: Experiment, outputs: Callable[[], Tensor], chosen: Examples) -> dict[str, Any]:
    """What there is to say of the outputs for the chosen rows."""
    facts = experiment.facts
    if facts.has_classes:
        return classification_table(predicted_classes(outputs()), chosen.targets, class_names=facts.class_names)
    if facts.is_multi_label:
        return label_table(outputs().cpu(), chosen.targets, names=facts.class_names)
    table: dict[str, Any] = dict.fromkeys(("wrong", "interval", "per_class", "confusion"))
    if isinstance(experiment.loss, Quantile):
        table |= quantile_table(outputs().cpu(), chosen.targets, quantiles=experiment.loss.quantiles)
    return table
