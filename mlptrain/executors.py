"""Where jobs run: in this process, or on the nodes of a Ray cluster, with the same results to the byte.

A job is what one worker trains: a batch of a study's trials, or some of the learning rates that are tried side by side.
What a job is does not depend on where it runs.
"""

from __future__ import annotations

import importlib
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import torch

import mlptrain
from mlptrain.errors import MachineError, MlptrainError, UserError, is_out_of_memory
from mlptrain.sources.held import contents_held, holding_contents
from mlptrain.spec.executor import ExecutorSpec, RayExecutor
from mlptrain.spec.foreign import code_allowed, code_of, code_shipped, is_code_allowed
from mlptrain.spec.optimizer import OptimizerSpec
from mlptrain.training.device import ResolvedDevice

RETRIES = 3  # of a job whose worker died or was killed for its memory; one that ends so each time has failed
CONNECT_SECONDS = 30.0
_PROBE = """
import sys, ray
try:
    ray.init(address=sys.argv[1], log_to_driver=False, logging_level="error")
except Exception as error:
    sys.exit(str(error).strip().splitlines()[0])
"""
_SECONDS_BETWEEN_CHECKS = 2.0

OnAdvance = Callable[[float], None]  # so much more is done, in the unit of a job's size
Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)


class Job(Protocol[Result_co]):
    """What one worker trains, in this process or another; picklable."""

    @property
    def resolved(self) -> ResolvedDevice:
        """Device, precision and threads, which are those of the machine of the command."""

    @property
    def size(self) -> float:
        """How much there is to do, in the unit in which progress is told."""

    def optimizers(self) -> Iterable[OptimizerSpec]:
        """The optimizers that are needed; of the user's own ones the modules are sent along."""

    def run(self, on_advance: OnAdvance) -> Result_co:
        """Do it, and tell ``on_advance`` of all of its size. Raises the errors of mlptrain.errors."""

    def failed(self, reason: str) -> Result_co:
        """What it gives where its worker died each time, unless that is a MachineError."""


class Local:
    """One job after the other in this process."""

    def run(self, jobs: Sequence[Job[Result]], on_done: Callable[[Result], None], on_advance: OnAdvance) -> None:
        """Run all jobs. Raises what a job raises."""
        for job in jobs:
            on_done(job.run(on_advance))

    def close(self) -> None:
        """Nothing to do."""


class Ray:
    """Jobs as Ray tasks. Ray restarts a task whose worker dies, on a node that is alive.

    A job that trains on a GPU takes ``gpus`` of one, in ten-thousandths, as Ray counts.
    """

    def __init__(self, address: str, *, gpus: float = 1.0) -> None:
        self._address, self._gpus = address, math.floor(gpus * 10_000 + 1e-6) / 10_000
        self._ray: Any = None
        self._is_ours = False
        self._cpus = 0

    def run(self, jobs: Sequence[Job[Result]], on_done: Callable[[Result], None], on_advance: OnAdvance) -> None:
        """Run all jobs.

        Raises UserError for a cluster that is not there or cannot train, and what a job raises.
        """
        self._connect()
        tasks = self._submit(jobs)
        checked = time.monotonic()
        while tasks:
            done, _ = self._ray.wait(list(tasks), timeout=_SECONDS_BETWEEN_CHECKS)
            for task in done:
                job = tasks.pop(task)
                on_done(self._result(task, job))
                on_advance(job.size)
            if time.monotonic() - checked > _SECONDS_BETWEEN_CHECKS:
                checked = time.monotonic()
                if self._largest_node(jobs[0].resolved.device) < self._cpus:  # none is left that could run what waits
                    for task in tasks:
                        self._ray.cancel(task)
                    tasks = self._submit(list(tasks.values()))

    def close(self) -> None:
        """Leave the cluster, and stop it where it was started here."""
        if self._is_ours:
            self._ray.shutdown()
            self._is_ours = False

    def _submit(self, jobs: Sequence[Job[Result]]) -> dict[Any, Job[Result]]:
        """A task for each job. It gets as many CPUs as it has threads, or all of the largest node.

        Beside a GPU one is enough, so that CPUs are not what its other parts lie idle for. Ray sets OMP_NUM_THREADS in
        its workers by what a task asks for; a job sets its own number itself.
        """
        resolved = jobs[0].resolved
        gpus = 0.0 if resolved.device == "cpu" else self._gpus
        self._cpus = min(1 if gpus else resolved.threads, self._largest_node(resolved.device))
        task = self._ray.remote(num_cpus=self._cpus, num_gpus=gpus, max_retries=RETRIES)(run_on_node)
        held = self._ray.put(contents_held())  # once for all tasks
        # The user's modules are read here: the node may be another machine, where they do not lie.
        return {task.remote(job, software(), is_code_allowed(), code_of(job.optimizers()), held): job for job in jobs}

    def _result(self, task: Any, job: Job[Result]) -> Result:
        try:
            result: Result = self._ray.get(task)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, MlptrainError):
                raise error.cause from None
            reason = str(error.cause).strip().splitlines()[0]
            raise MachineError(
                f"executor ray: a node cannot run its task ({type(error.cause).__name__}: {reason}); every "
                f"node needs mlptrain {software()['mlptrain']} installed"
            ) from error
        except self._ray.exceptions.RayError as error:
            return job.failed(f"{type(error).__name__}: {error}")
        return result

    def _largest_node(self, device: str) -> int:
        """CPUs of the largest node that is alive and, for training on a GPU, has one. Raises UserError without any."""
        needs_gpu = device != "cpu"
        if needs_gpu and device != "cuda:0":
            raise UserError(
                f"executor ray gives every task a GPU, or its part of one, which torch then calls cuda:0; got "
                f"device {device}, take cuda"
            )
        usable = [
            int(node["Resources"].get("CPU", 0))
            for node in self._ray.nodes()
            if node["Alive"] and (not needs_gpu or node["Resources"].get("GPU", 0) >= self._gpus)
        ]
        if not any(usable):
            missing = "a CPU and a GPU" if needs_gpu else "a CPU"
            raise UserError(f"executor ray: the cluster at '{self._address}' has no node with {missing}; add one")
        return max(usable)

    def _connect(self) -> None:
        """Connect once. Raises UserError where Ray is not installed or no cluster answers."""
        if self._ray is not None:
            return
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
        os.environ.setdefault("RAY_task_oom_retries", str(RETRIES))  # Ray's default is without end
        try:
            ray = importlib.import_module("ray")
        except ImportError:
            raise UserError(
                "executor ray: Ray is not installed; install it with `pip install 'mlptrain[ray]'`, or take executor "
                "local"
            ) from None
        self._ray = ray
        if ray.is_initialized():
            return  # the caller's connection, which stays
        if self._address != "local":
            self._probe()
        handler = signal.getsignal(signal.SIGTERM)
        try:
            ray.init(
                address=self._address,
                log_to_driver=False,
                logging_level="error",
                **({"include_dashboard": False} if self._address == "local" else {}),
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise self._absent(str(error)) from error
        finally:
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, handler)  # Ray puts one of its own in its place
        self._is_ours = True

    def _probe(self) -> None:
        """See whether a cluster answers, in another process: asked for one that does not, Ray waits for minutes.

        Raises UserError where none answers.
        """
        host, _, port = self._address.removeprefix("ray://").rpartition(":")
        if host:
            try:
                socket.create_connection((host, int(port)), timeout=5).close()
            except (OSError, OverflowError) as error:
                raise self._absent(str(error)) from None
        arguments = [sys.executable, "-c", _PROBE, self._address]
        try:
            done = subprocess.run(arguments, capture_output=True, text=True, timeout=CONNECT_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise self._absent(f"none within {CONNECT_SECONDS:.0f} seconds") from None
        if done.returncode != 0:
            raise self._absent((done.stderr.strip().splitlines() or ["no reason given"])[-1])

    def _absent(self, reason: str) -> UserError:
        if self._address == "local":
            return UserError(f"executor ray: Ray cannot be started on this machine ({reason}); take executor local")
        remedy = "start one with `ray start --head`, or take address local, or executor local"
        return UserError(f"executor ray: no cluster answers at '{self._address}' ({reason}); {remedy}")


def run_on_node(
    job: Job[Result],
    expected: Mapping[str, str],
    allow_code: bool = False,
    code: Mapping[str, bytes] | None = None,
    held: Mapping[str, Any] | None = None,
) -> Result:
    """On a worker: do a job with the software of the command.

    ``code`` are the user's own modules, and ``held`` the data that are in the memory of the command. Raises UserError
    where the node has other software, or lacks what the job needs.
    """
    node = f"executor ray: node {socket.gethostname()}"
    if (here := software()) != expected:
        raise UserError(
            f"{node} has {_listed(here)}, the command runs with {_listed(expected)}; results would differ, so install "
            "the same versions on every node"
        )
    if job.resolved.device != "cpu" and not torch.cuda.is_available():
        raise UserError(
            f"{node} was started with a GPU that torch cannot use; install its driver, or start the node with "
            "--num-gpus 0"
        )
    try:
        with code_allowed(allow_code), code_shipped(code or {}), holding_contents(held or {}):
            return job.run(lambda _: None)
    except MlptrainError as error:
        raise (MachineError if isinstance(error, MachineError) else UserError)(f"{node}: {error}") from None
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise MachineError(f"{node} is out of memory; give each node fewer tasks at a time, or more memory") from None


def software() -> dict[str, str]:
    """The versions of what decides the bits of a result."""
    return {"mlptrain": mlptrain.__version__, "torch": str(torch.__version__)}


def _listed(versions: Mapping[str, str]) -> str:
    return " and ".join(f"{name} {version}" for name, version in versions.items())


Executor = Local | Ray


def make_executor(spec: ExecutorSpec) -> Executor:
    """The executor that a section names."""
    return Ray(spec.address, gpus=spec.gpus) if isinstance(spec, RayExecutor) else Local()
