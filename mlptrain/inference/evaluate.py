"""Evaluating a checkpoint on the data it was trained on: which file, which split, which metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mlptrain.data import Examples, Preprocessing, Splits
from mlptrain.errors import CheckpointError, DataError, RunFolderError, UserError
from mlptrain.experiment.build import build_network, load_data, prepared
from mlptrain.experiment.checkpoints import Checkpoint, load_checkpoint
from mlptrain.experiment.resuming import load_own_checkpoint
from mlptrain.nn.losses import make_loss
from mlptrain.nn.parameters import Parameters
from mlptrain.runs import RunFolder
from mlptrain.runs.records import untrained
from mlptrain.sources.fetch import Progress
from mlptrain.sources.held import holding, is_held
from mlptrain.sources.store import data_folder
from mlptrain.sources.tables.given import is_path, names_of
from mlptrain.spec import Experiment
from mlptrain.spec.loss import Quantile
from mlptrain.spec.table import TableData
from mlptrain.system.paths import AnyPath, user_path
from mlptrain.training.device import applied, resolve_device
from mlptrain.training.metrics import (
    chunk_rows,
    classification_table,
    evaluate,
    label_table,
    outputs_of,
    predicted_classes,
    quantile_table,
)
from mlptrain.training.scores import Scorer

if TYPE_CHECKING:
    from mlptrain.sources.tables.further import Counts, Further

_CHUNKS = 32  # of an evaluation, in a part of a later file: some 60,000 rows


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
    are empty as a rule. ``of_rows`` are notes on rows of another file.
    """

    report: dict[str, Any]
    weights: str
    missing_classes: str
    of_rows: tuple[str, ...] = ()

    @property
    def notes(self) -> list[str]:
        """All that there is to say."""
        of_training = (self.weights and f"epoch 0 was kept: {self.weights}", self.missing_classes)
        return [*filter(None, of_training), *self.of_rows]


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
    name = _name_of(checkpoint, split)
    return name, getattr(load_splits_of(checkpoint, data_dir=data_dir, on_fetch=on_fetch), name)


def _name_of(checkpoint: Checkpoint, split: str | None) -> str:
    experiment, rows = checkpoint.experiment, checkpoint.experiment.facts.rows
    name = split or next(iter(rows))
    if name not in rows:
        raise DataError(f"data '{experiment.data.label}' of this run has no {name} rows; choose {', '.join(rows)}")
    return name


def load_splits_of(checkpoint: Checkpoint, *, data_dir: AnyPath | None, on_fetch: Progress | None) -> Splits:
    """The rows of the training, preprocessed as recorded. Raises DataError where the data are others by now."""
    preprocessing = checkpoint.preprocessing
    splits = load_data(checkpoint.experiment, data_dir=data_dir, preprocessing=preprocessing, on_fetch=on_fetch)
    if splits.fingerprint != checkpoint.data_fingerprint:
        raise DataError(f"this run was trained on other data than what is in {data_folder(data_dir)} now")
    return splits


def evaluate_checkpoint(
    path: AnyPath,
    *,
    split: str | None = None,
    data: Any = None,
    data_dir: AnyPath | None = None,
    device: str = "auto",
    on_fetch: Progress | None = None,
) -> dict[str, Any]:
    """Metrics of a checkpoint file at ``path``, or of a run's kept checkpoint, on one of its splits.

    Keys: split, examples, loss (the mean per example, whatever the reduction), accuracy, wrong, interval, per_class,
    confusion, metrics, undefined, temperature; those from accuracy to confusion are None for regression, as is a
    precision or recall that is undefined. For data with several labels of a row, where it is correct if all of them
    are, per_class has the labels, each with an accuracy of its own, and confusion is None. ``metrics`` are the further
    figures that the configuration lists, None where they are ``undefined``, which says why; their probabilities are
    those of the logits divided by ``temperature``, None without one, and the loss is that of the logits as they are.
    Besides objective, where another mean is minimised than the loss, and for the loss quantile per_quantile and
    crossing. ``split`` defaults to test where there is one, else validation, else train.

    Of a network that was trained on a table ``data`` are other rows with their targets: a file or a frame with its
    columns, as ``as_table`` takes them. ``split`` is then None, and there are keys data (what they are called), missing
    and unseen (how many values, by column). The very data that ``train`` was given are those of its splits instead.

    ``data_dir`` is where data sets lie, ``on_fetch`` is notified of a download's bytes, and ``device`` is auto, cpu,
    cuda or cuda:N. Raises UserError for a split that there is not, or one of other rows, DataError for rows that cannot
    be read, and the errors of a run or checkpoint that cannot.
    """
    return evaluation_of(path, split=split, data=data, data_dir=data_dir, device=device, on_fetch=on_fetch).report


def evaluation_of(
    path: AnyPath,
    *,
    split: str | None = None,
    data: Any = None,
    data_dir: AnyPath | None = None,
    device: str = "auto",
    on_fetch: Progress | None = None,
) -> Evaluation:
    """``evaluate_checkpoint``, with what there is to note."""
    checkpoint = load_kept(path)
    experiment, facts = checkpoint.experiment, checkpoint.experiment.facts
    with ExitStack() as stack:
        if data is not None and not is_path(data) and is_held(own := getattr(experiment.data, "path", "")):
            given = stack.enter_context(holding(data))
            if given["path"] == own:  # the rows that the run was trained on
                data = None
        if data is not None and split is not None:
            raise UserError("rows of another file belong to no split; name a split or a file")
        resolved = resolve_device(device=device, precision="auto", threads=experiment.training.threads)
        stack.enter_context(applied(resolved))
        missing_classes, of_rows = "", list[str]()
        beside: dict[str, Any] = {}
        if data is None:
            split = _name_of(checkpoint, split)
            splits = load_splits_of(checkpoint, data_dir=data_dir, on_fetch=on_fetch)
            chosen: Examples = getattr(splits, split)
            missing_classes = splits.missing_classes(facts.class_names)
        else:
            rows = later_rows(checkpoint, data, with_target=True)
            x, counts = later_inputs(checkpoint, rows)
            scaling, weight = Preprocessing(target=checkpoint.preprocessing.target), rows.weights()
            chosen = Examples(
                x, torch.from_numpy(rows.targets()), None, scaling, None if weight is None else torch.from_numpy(weight)
            )
            beside = {"data": names_of(data), "missing": counts.missing, "unseen": counts.unseen}
            of_rows = [*rows.notes, *counts.notes(facts.columns)]
        weighted = chosen.weight is not None  # a later file may lack the column
        loss = make_loss(
            experiment.loss, [checkpoint.class_weights], [checkpoint.preprocessing.target], weighted=weighted
        )
        ready = prepared(chosen, loss=loss, experiment=experiment, device=resolved.device)
        network = build_network(experiment)
        parameters = Parameters.zeros(network.shapes, device=resolved.device)
        parameters.copy_(checkpoint.state.parameters)
        scorer = replace(Scorer.of(experiment, at_end=True), weighted=weighted)
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
        **beside,
    }
    return Evaluation(report, untrained(checkpoint.epoch), missing_classes, tuple(of_rows))


class Outputs:
    """A network as an evaluation computes it: for inputs (n, inputs) its outputs, on the CPU.

    Those of a regression are in the own unit of its targets. The same rows, in parts that are multiples of an
    evaluation's chunks, give the same bits.
    """

    def __init__(self, checkpoint: Checkpoint, *, device: str = "auto") -> None:
        experiment = checkpoint.experiment
        self._resolved = resolve_device(device=device, precision="auto", threads=experiment.training.threads)
        self._network = build_network(experiment)
        self._parameters = Parameters.zeros(self._network.shapes, device=self._resolved.device)
        self._parameters.copy_(checkpoint.state.parameters)
        self._loss = make_loss(experiment.loss, [checkpoint.class_weights], [checkpoint.preprocessing.target])

    def __call__(self, inputs: Tensor) -> Tensor:
        """Outputs (n, outputs)."""
        with applied(self._resolved):
            found = outputs_of(self._network, self._parameters, inputs.to(self._resolved.device))
            return self._loss.in_unit(found).cpu()


def later_rows(checkpoint: Checkpoint, data: Any, *, with_target: bool) -> Further:
    """Rows of a later file or frame, see ``further_rows``. Raises UserError where no table was trained on."""
    section = checkpoint.experiment.data
    if not isinstance(section, TableData):
        raise UserError(
            f"the network was trained on data '{section.label}', which are no table, so that it reads no other file; "
            "--split and --index choose rows of its data"
        )
    from mlptrain.sources.tables.further import further_rows

    return further_rows(data, section.source(), checkpoint.experiment.facts, with_target=with_target)


def later_inputs(checkpoint: Checkpoint, rows: Further) -> tuple[Tensor, Counts]:
    """The inputs of all later rows, (n, inputs), and counts of what they lack."""
    counts = rows.counter()
    return torch.cat(list(input_parts(checkpoint, rows, counts))), counts


def input_parts(checkpoint: Checkpoint, rows: Further, counts: Counts) -> Iterator[Tensor]:
    """The inputs of later rows, (rows, inputs) a part at a time; ``counts`` are added to."""
    at_once = _CHUNKS * chunk_rows(build_network(checkpoint.experiment))
    done = 0
    for stored in rows.stored(at_once):
        rows.count_unseen(counts, stored, done)
        done += len(stored)
        yield checkpoint.preprocessing.apply(torch.from_numpy(stored))


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
