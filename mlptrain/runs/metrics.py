"""Losses and accuracies of a run in columns, by epoch or by step, as means or as sums over the examples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mlptrain.errors import RunFolderError, UserError
from mlptrain.runs.folder import RunFolder, member_word, runs_of_group
from mlptrain.runs.records import figures_of
from mlptrain.runs.steps import recorded_steps
from mlptrain.spec import Experiment
from mlptrain.system.paths import AnyPath

if TYPE_CHECKING:
    import polars as pl

Columns = dict[str, NDArray[Any]]  # float64, and int64 where numbers count steps, epochs or examples


def metrics(run: AnyPath, *, by: str = "epoch", reduction: str = "mean") -> Columns:
    """The figures of a run, finished or not, as columns (n,) by name: ``pandas.DataFrame(metrics(run))`` is a table.

    By epoch: ``epoch``, ``step``, ``lr``; ``running_train_loss`` and ``running_train_accuracy``, means over the epoch
    while it was trained; ``validation_…`` or ``test_…``, measured after it, with the further figures of
    ``evaluation.metrics``, nan where they are undefined. Epoch 0 is before training and has nan for the training. By
    step: ``step``, ``epoch``, ``examples`` of the batch, ``batch_loss``, ``batch_accuracy``, both before the
    step changed the weights.

    Losses are means per example, whatever the loss's reduction, and accuracies fractions. With ``reduction="sum"`` they
    are sums over the examples of the epoch or step, and named ``…_loss_sum`` and ``…_correct``, the number of examples
    that were classified correctly. Objectives, where another mean is minimised than the loss, and further figures stay
    as they are.

    Raises UserError for a run without recorded steps or another ``by`` or ``reduction``, RunFolderError for a folder
    that is not a run, is damaged, or has no epoch yet.
    """
    for what, value, choices in (("by", by, ("epoch", "step")), ("reduction", reduction, ("mean", "sum"))):
        if value not in choices:
            raise UserError(f"{what} '{value}': choose {' or '.join(choices)}")
    folder = RunFolder.open(run)
    experiment = folder.experiment()
    columns, examples = (_by_epoch if by == "epoch" else _by_step)(folder, experiment)
    return _sums(columns, examples) if reduction == "sum" else columns


def history(run: AnyPath) -> pl.DataFrame:
    """``metrics`` by epoch as a data frame, with null for what is undefined; of a group with its seed or fold before.

    Raises as ``metrics``.
    """
    import polars as pl

    if members := runs_of_group(run):
        word = member_word(members[0])
        numbered = {int(member.name.rpartition("-")[2]): history(member) for member in members}
        frames = [frame.select(pl.lit(number).alias(word), pl.all()) for number, frame in numbered.items()]
        return pl.concat(frames, how="diagonal")
    return pl.DataFrame(metrics(run)).fill_nan(None)


def _by_epoch(folder: RunFolder, experiment: Experiment) -> tuple[Columns, Columns]:
    """The columns, and to how many examples those that begin so refer."""
    lines = folder.read_metrics()
    if not lines:
        raise RunFolderError(f"{folder.path} has no epoch on record yet")
    places = ("epoch", "step", "lr")
    rows = [{name: line[name] for name in places} | figures_of(line) for line in lines]
    # Those of the last epoch in their order: the first lacks some, and any may lack a figure that is undefined there.
    names = dict.fromkeys([*places, *rows[-1], *(name for row in rows for name in row)])
    columns = {name: np.array([row.get(name, np.nan) for row in rows]) for name in names}
    counts = {"running_train": experiment.facts.train_rows, **experiment.facts.rows}
    return columns, {split: np.full(len(rows), count) for split, count in counts.items()}


def _by_step(folder: RunFolder, experiment: Experiment) -> tuple[Columns, Columns]:
    figures = recorded_steps(folder)
    per_epoch, size = experiment.steps_per_epoch, experiment.batch_size
    step = np.arange(len(figures["loss"]))
    last = experiment.facts.train_rows - (per_epoch - 1) * size
    examples = np.where(step % per_epoch == per_epoch - 1, last, size)
    columns = {"step": step + 1, "epoch": step // per_epoch + 1, "examples": examples}
    return columns | {f"batch_{name}": values for name, values in figures.items()}, {"batch": examples}


def _sums(columns: Columns, examples: Columns) -> Columns:
    """Losses and accuracies times the examples that they are means of."""
    summed: Columns = {}
    for name, values in columns.items():
        start, _, kind = name.rpartition("_")
        if kind == "loss" and start in examples:
            summed[f"{name}_sum"] = values * examples[start]
        elif kind == "accuracy" and start in examples:
            summed[f"{start}_correct"] = np.rint(values * examples[start])
        else:  # further figures, such as balanced_accuracy, are no means over the examples
            summed[name] = values
    return summed
