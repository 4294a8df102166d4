"""Where batches of trials run: here, or on the nodes of a Ray cluster. The results are the same to the byte."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mlptrain.comparison.trials import Record, TrialBatch, run_batch
from mlptrain.errors import InterruptedRunError, MachineError, UserError
from mlptrain.spec.comparison import ExecutorSpec, RayExecutor

if TYPE_CHECKING:
    from mlptrain.comparison.protocol import Executor, Progress

OnDone = Callable[[list[Record]], None]
CONNECT_SECONDS = 20.0


class Local:
    """One batch after the other in this process."""

    def __init__(self, should_stop: Callable[[], bool]) -> None:
        self._should_stop = should_stop

    def run(self, batches: list[TrialBatch], on_done: OnDone, progress: Progress) -> None:
        """Run all batches. Raises InterruptedRunError."""
        for batch in batches:
            share = len(batch.trials) / (_epochs(batch) + 1)

            def advance(_epoch: int, share: float = share) -> None:
                progress.advance(share)

            on_done(run_batch(batch, should_stop=self._should_stop, on_epoch=advance))


def _epochs(batch: TrialBatch) -> int:
    from mlptrain.spec import load_text

    return load_text(batch.base).spec.training.epochs


class Ray:
    """Batches as Ray tasks. A task whose worker dies is started again, by Ray, on a node that is alive."""

    def __init__(self, executor: RayExecutor, should_stop: Callable[[], bool]) -> None:
        self._executor, self._should_stop = executor, should_stop

    def run(self, batches: list[TrialBatch], on_done: OnDone, progress: Progress) -> None:
        """Run all batches. Raises InterruptedRunError, UserError for a cluster that is not there."""
        ray = _connected(self._executor)
        try:
            # Ray would set OMP_NUM_THREADS to the task's CPUs; the plan's number goes, which run_batch sets itself.
            cpus = min(batches[0].threads, _largest_node(ray))
            task = ray.remote(num_cpus=cpus, max_retries=-1)(run_batch)
            waiting = {task.remote(batch): batch for batch in batches}
            while waiting:
                if self._should_stop():
                    raise InterruptedRunError("stopped by a signal")
                done, _ = ray.wait(list(waiting), num_returns=1, timeout=0.5)
                for reference in done:
                    batch = waiting.pop(reference)
                    on_done(ray.get(reference))
                    progress.advance(len(batch.trials))
        finally:
            ray.shutdown()


def make_executor(spec: ExecutorSpec, should_stop: Callable[[], bool]) -> Executor:
    """The executor that a comparison names."""
    return Ray(spec, should_stop) if isinstance(spec, RayExecutor) else Local(should_stop)


def _connected(executor: RayExecutor) -> Any:
    """The module ray, connected. Raises UserError where ray is not installed or no cluster answers."""
    import os

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    try:
        import ray
    except ImportError:
        raise UserError(
            "executor ray: Ray is not installed; install it with `pip install 'mlptrain[ray]'` or take executor local"
        ) from None
    address = executor.address
    try:
        ray.init(
            address=None if address == "local" else address,
            log_to_driver=False,
            logging_level="error",
            **({"include_dashboard": False} if address == "local" else {}),
        )
    except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
        raise UserError(
            f"executor ray: no cluster answers at '{address}' ({str(error).splitlines()[0]}); "
            "start one with `ray start --head`, or take address local or executor local"
        ) from error
    return ray


def _largest_node(ray: Any) -> int:
    """CPUs of the largest node that is alive."""
    counts = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    if not any(counts):
        raise MachineError("executor ray: the cluster has no node with a CPU")
    return max(counts)
