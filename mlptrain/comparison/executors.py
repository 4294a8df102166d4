"""Where batches of trials run: in this process, or on the nodes of a Ray cluster, with the same results to the byte."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from mlptrain.comparison.trials import TrialBatch, run_batch
from mlptrain.runs.comparison import TrialRecord
from mlptrain.spec.comparison.sections import ExecutorSpec, RayExecutor

OnDone = Callable[[list[TrialRecord]], None]
OnAdvance = Callable[[float], None]  # so many more trials are done; parts of trials count


class Executor(Protocol):
    """Runs batches of trials."""

    def run(self, batches: list[TrialBatch], on_done: OnDone, on_advance: OnAdvance) -> None:
        """Run all batches and hand over each one's records as it is done, in any order."""

    def close(self) -> None:
        """No batch follows. May be called twice."""


class Local:
    """One batch after the other in this process."""

    def run(self, batches: list[TrialBatch], on_done: OnDone, on_advance: OnAdvance) -> None:
        """Run all batches. Raises DataError or MachineError where the data cannot be had."""
        for batch in batches:
            share, reached = len(batch.trials) / batch.base.training.epochs, 0

            def reach(epoch: int, share: float = share) -> None:
                nonlocal reached
                on_advance(share * (epoch - reached))
                reached = epoch

            on_done(run_batch(batch, on_epoch=reach))
            reach(batch.base.training.epochs)  # where all models have diverged, no further epoch is reported

    def close(self) -> None:
        """Nothing."""


def make_executor(spec: ExecutorSpec) -> Executor:
    """The executor that a comparison names."""
    if isinstance(spec, RayExecutor):
        from mlptrain.comparison.ray_cluster import Ray

        return Ray(spec.address)
    return Local()
