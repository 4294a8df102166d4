"""One model trained by several processes: what the first worker sends the others, and what these do.

The first worker is a run like any other: it reads the configuration, writes the run folder and evaluates. The others
are sent the experiments, read the same data by themselves, and only train.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

import mlptrain
from mlptrain.data import Splits
from mlptrain.errors import DeviceError, InterruptedRunError, UserError
from mlptrain.experiment.build import build_network, load_data_of_seeds
from mlptrain.experiment.fit import Listener, Start, fit
from mlptrain.nn.engines import Analytic
from mlptrain.spec import Experiment
from mlptrain.system.launch import Launch
from mlptrain.system.lock import is_locked
from mlptrain.system.paths import AnyPath
from mlptrain.training.device import ResolvedDevice, applied, resolve_device
from mlptrain.training.trainer import TrainedModel
from mlptrain.training.workers import Workers, joined
from mlptrain.updates.wrapped import needs_closure

_ATTEMPTS, _PAUSE = 5, 0.01  # times and seconds: torchrun ends the other workers after 0.1 s


@dataclass(frozen=True)
class Job:
    """What is trained together: experiments whose training section is resolved, on a device of this kind."""

    experiments: Sequence[Experiment]
    resolved: ResolvedDevice


def check_can_share(experiment: Experiment, launch: Launch) -> None:
    """Raises UserError for what several workers cannot train together."""
    alone = "train it in one process, without torchrun"
    if experiment.training.adversarial is not None:
        name = experiment.training.adversarial.name
        raise UserError(f"training.adversarial: '{name}' cannot be computed by several workers; {alone}")
    if needs_closure(experiment.optimizer):
        raise UserError(
            f"optimizer: '{experiment.optimizer.name}' cannot evaluate a batch that several workers share; {alone}"
        )
    if not Analytic.runs(build_network(experiment)):
        what = "model.members" if experiment.model.members.k > 1 else "model.input_dropout with an embedding"
        raise UserError(f"{what} cannot be computed by several workers; {alone}")
    if experiment.batch_size < launch.count:
        raise UserError(
            f"training.batch_size: {launch.count} workers share each batch of {experiment.batch_size}, expected at "
            "least one row for each; raise it, or start fewer workers"
        )
    if (number := experiment.training.device.partition(":")[2]) not in ("", "0"):
        raise UserError(f"training.device: each worker has a GPU of its own, got cuda:{number}; expected auto or cuda")


def start_together(workers: Workers | None, experiments: Sequence[Experiment], resolved: ResolvedDevice) -> None:
    """Of the first worker: send the others what is trained. Raises UserError where they cannot train together."""
    if workers is not None:
        check_can_share(experiments[0], workers.launch)
        workers.check_alike("mlptrain, torch, processor or device", _makes())
        workers.from_first(lambda: Job(experiments, resolved))


def read_together(workers: Workers | None, splits: Sequence[Splits], starts: Sequence[Start] | None) -> None:
    """Of the first worker: once it has its data. Raises UserError where others have other data."""
    if workers is not None:
        workers.check_alike("data", [its.fingerprint for its in splits])
        workers.from_first(lambda: starts)


class _Home(Listener):
    """The folder that the first worker records in, once it has made it."""

    def __init__(self, workers: Workers) -> None:
        self._workers, self._path = workers, Path()

    def started(self, models: Sequence[TrainedModel]) -> None:  # noqa: ARG002 - as every listener
        """Wait for it."""
        self._path = self._workers.receive()

    def is_left(self) -> bool:
        """Whether nobody trains there any more: the first worker has ended without a word, or after its last one."""
        for _ in range(_ATTEMPTS):  # the system gives back the lock of a killed process after its connections
            if self._path == Path() or not is_locked(self._path):
                return self._path != Path()
            time.sleep(_PAUSE)
        return False

    @property
    def advice(self) -> str:
        """What there is to do then."""
        return (
            "worker 0, which recorded the run, has ended; the epochs saved before are kept, resume with "
            f"`mlptrain train --resume {self._path}`"
        )


def assist(launch: Launch, *, data_dir: AnyPath | None = None, on_loss: Callable[[str], None]) -> None:
    """Of all workers but the first: train what it trains, until it is done.

    Raises InterruptedRunError where another worker ends before, and the errors of data and device. Where that was the
    first one, worker 1 says to ``on_loss`` how to resume.
    """
    with joined(launch) as workers:
        if workers is None:
            raise ValueError("a process that was not launched with others has nobody to assist")
        workers.check_alike("mlptrain, torch, processor or device", _makes())
        job: Job = workers.receive()
        resolved = on_own_device(job.resolved, launch)
        with applied(resolved, launch):
            experiments = [one.with_training(device=resolved.device) for one in job.experiments]
            splits = load_data_of_seeds(experiments, data_dir=data_dir)
            workers.check_alike("data", [its.fingerprint for its in splits])
            starts: Sequence[Start] | None = workers.receive()
            home = _Home(workers)
            try:
                fit(experiments, splits, [home], starts=starts, workers=workers)
            except InterruptedRunError:
                if launch.rank == 1 and home.is_left():
                    on_loss(home.advice)
                raise


def on_own_device(resolved: ResolvedDevice, launch: Launch) -> ResolvedDevice:
    """The GPU of this worker's number on its machine, where the first one has one. Raises DeviceError without it."""
    if resolved.device == "cpu":
        return resolved
    try:
        device = resolve_device(device=f"cuda:{launch.local_rank}", precision=resolved.precision, threads=1).device
    except DeviceError as error:
        raise DeviceError(f"{error}; start as many workers on a machine as it has GPUs") from None
    return replace(resolved, device=device)


def _makes() -> tuple[str, ...]:
    """What the bits of a result depend on besides the configuration and the data."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return mlptrain.__version__, torch.__version__, platform.machine(), torch.backends.cpu.get_cpu_capability(), device
