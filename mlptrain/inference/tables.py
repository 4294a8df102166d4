"""Predictions for rows of a table: from raw columns to classes, probabilities or values in the target's own unit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlptrain.errors import CheckpointError
from mlptrain.experiment.checkpoints import Checkpoint
from mlptrain.inference.evaluate import Outputs, input_parts, later_rows, load_kept
from mlptrain.sources.tables.given import names_of
from mlptrain.spec import Experiment
from mlptrain.system.paths import AnyPath
from mlptrain.training.metrics import predicted_classes, probabilities

if TYPE_CHECKING:
    import polars as pl

Advance = Callable[[int, int], None]  # rows that are done, and all


@dataclass(frozen=True)
class TablePredictions:
    """Predictions for the rows of ``data``, all of them in their order.

    ``outputs`` (n, outputs) float32 are the network's own, of a regression in the target's own unit; ``labels`` (n,)
    and ``probabilities`` (n, classes) float64 are None for regression, the latter also where the outputs are no logits.
    ``missing`` and ``unseen`` count, by column, values that are missing and levels that the training file does not
    have; ``notes`` say so in words, and what was detected in the file.
    """

    experiment: Experiment
    data: str
    outputs: NDArray[np.float32]
    labels: NDArray[np.int64] | None
    probabilities: NDArray[np.float64] | None
    missing: dict[str, int]
    unseen: dict[str, int]
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.outputs)

    def names(self, rows: slice = slice(None)) -> list[str]:
        """The predicted classes as the training file writes them; none for regression."""
        names = self.experiment.facts.class_names
        return [] if self.labels is None else [names[label] for label in self.labels[rows].tolist()]

    def frame(self) -> pl.DataFrame:
        """A row for each: ``predicted_`` and the target's name, then ``probability_`` and the name of every class."""
        import polars as pl

        facts = self.experiment.facts
        if self.labels is None:
            columns = zip(self.experiment.value_names, self.outputs.T, strict=True)
            return pl.DataFrame({f"predicted_{name}": np.ascontiguousarray(values) for name, values in columns})
        target = facts.target_names[0] if facts.target_names else "class"
        classes = pl.Series(range(len(facts.class_names)), dtype=pl.Int64)
        names = pl.Series(self.labels).replace_strict(classes, pl.Series(facts.class_names), return_dtype=pl.String)
        frame = pl.DataFrame({f"predicted_{target}": names})
        if self.probabilities is None:
            return frame
        return frame.with_columns(
            pl.Series(f"probability_{name}", np.ascontiguousarray(values))
            for name, values in zip(facts.class_names, self.probabilities.T, strict=True)
        )

    def rows(self, most: int | None = None) -> Iterator[dict[str, Any]]:
        """Each row with the keys index, class, name, confidence, probabilities, outputs; None where there is none."""
        for index in range(len(self) if most is None else min(most, len(self))):
            label = None if self.labels is None else int(self.labels[index])
            chances = None if self.probabilities is None else self.probabilities[index].tolist()
            yield {
                "index": index,
                "class": label,
                "name": None if label is None else self.experiment.facts.class_names[label],
                "confidence": None if chances is None or label is None else chances[label],
                "probabilities": chances,
                "outputs": self.outputs[index].tolist(),
            }


def predict_table(
    run: AnyPath | Checkpoint,
    data: Any,
    *,
    device: str = "auto",
    on_progress: Advance | None = None,
    compute: Callable[[Tensor], Tensor] | None = None,
) -> TablePredictions:
    """Predict the rows of a file or frame with the raw columns of the table that a run was trained on.

    ``data`` is what ``mlptrain.sources.tables.given.as_table`` takes. Columns are matched by name, or by place where
    the training file has none; the target's, and those that the network does not read, may be absent. The outputs are
    those of an evaluation of the same rows, to the bit; ``compute`` gives them for inputs (n, inputs) without what that
    sets up at every call, 30 ms (2-core AMD EPYC, 2026-11-26).

    Raises UserError where the run was not trained on a table, DataError, located, for what cannot be read, and
    CheckpointError where outputs are not finite.
    """
    checkpoint = run if isinstance(run, Checkpoint) else load_kept(run)
    experiment = checkpoint.experiment
    facts = experiment.facts
    rows = later_rows(checkpoint, data, with_target=False)
    counts, outputs = rows.counter(), []
    done = 0
    inputs = input_parts(checkpoint, rows, counts)
    for part in map(compute or Outputs(checkpoint, device=device), inputs):
        if not bool((finite := part.isfinite().all(dim=1)).all()):
            raise CheckpointError(
                f"the network gives no finite outputs for row {done + int((~finite).nonzero()[0]):,}: its values are "
                "too far from those of the training rows, or its weights too large"
            )
        outputs.append(part)
        done += len(part)
        if on_progress is not None:
            on_progress(done, len(rows))
    found = torch.cat(outputs)
    labels = predicted_classes(found).numpy() if facts.has_classes else None
    chances = None
    if facts.has_classes and experiment.loss.reads == "logits":
        chances = probabilities(found, checkpoint.temperature or 1.0).numpy()
    return TablePredictions(
        experiment,
        names_of(data),
        found.numpy(),
        labels,
        chances,
        counts.missing,
        counts.unseen,
        (*rows.notes, *counts.notes(facts.columns)),
    )
