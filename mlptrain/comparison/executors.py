"""Where batches of trials run: in this process, or on the nodes of a Ray cluster, with the same results to the byte."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mlptrain.comparison.trials import Record, TrialBatch, run_batch
from mlptrain.spec import load_text
from mlptrain.spec.comparison.sections import ExecutorSpec, RayExecutor

if TYPE_CHECKING:
    from mlptrain.comparison.protocol import Executor, Progress


class Local:
    """One batch after the other in this process."""

    def run(self, batches: list[TrialBatch], on_done: Callable[[list[Record]], None], progress: Progress) -> None:
        """Run all batches. Raises DataError or MachineError where the data cannot be had."""
        epochs = load_text(batches[0].base).spec.training.epochs
        for batch in batches:
            share = _Share(len(batch.trials), epochs, progress)
            on_done(run_batch(batch, on_epoch=share.reach))
            share.reach(epochs)  # where all models have diverged, no epoch tells of the last

    def close(self) -> None:
        """Nothing."""


class _Share:
    """How much of a batch a progress has been told of."""

    def __init__(self, trials: int, epochs: int, progress: Progress) -> None:
        self._per_epoch, self._epoch, self._progress = trials / epochs, 0, progress

    def reach(self, epoch: int) -> None:
        """The batch has trained so many epochs."""
        self._progress.advance(self._per_epoch * (epoch - self._epoch))
        self._epoch = epoch


def make_executor(spec: ExecutorSpec) -> Executor:
    """The executor that a comparison names."""
    if isinstance(spec, RayExecutor):
        from mlptrain.comparison.ray_cluster import Ray

        return Ray(spec.address)
    return Local()
