"""Where and how precisely a run computes: decided once, recorded, and the same whenever the run is repeated."""

from __future__ import annotations

import contextlib
import math
import os
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch

from mlptrain.errors import DeviceError
from mlptrain.seeds import derived_seed
from mlptrain.system.cores import taking_turns, usable_cores
from mlptrain.system.launch import Launch

Precision = Literal["highest", "high", "medium"]

# Products of the shapes below err by 4e-7 in float32, under "medium" too, and by 3e-3 in bfloat16 (2-core AMD EPYC):
# anything under the limit is float32 in all but name.
LARGEST_ERROR = 2e-6
# Operations of a step that give one more thread enough to do. Two threads take 1.02 to 1.33 of the time of one below 4
# million, 0.94 to 1.1 from there to 8, 0.84 to 1.03 at 10, 0.8 at 38, 0.6 from 300 on (digits and MNIST, SGD and Adam,
# medians of interleaved rounds; 2-core AMD EPYC, 2026-11-26). More than two cores: not measured.
FLOPS_PER_THREAD = 5e6
_SHAPES = ((64, 784, 500), (64, 500, 10), (500, 64, 784), (125, 784, 64), (2500, 392, 196))


@dataclass(frozen=True)
class ResolvedDevice:
    """Device, matrix-product precision and number of CPU threads of one run."""

    device: str
    precision: Precision
    threads: int


def resolve_device(
    *,
    device: str,
    precision: Precision | Literal["auto"],
    threads: int | str,
    step_flops: float = math.inf,
    launch: Launch | None = None,
) -> ResolvedDevice:
    """Resolve what a configuration wishes for. Raises DeviceError for a device that is not there.

    ``step_flops`` are the floating-point operations of the products of one training step, of all models that train
    together. The threads are those of all workers of a ``launch`` on this machine, which ``applied`` divides.
    """
    chosen = _device(device)
    count = _worthwhile_threads(step_flops, launch) if isinstance(threads, str) else threads
    return ResolvedDevice(chosen, _fastest_exact_precision(chosen) if precision == "auto" else precision, count)


def _worthwhile_threads(step_flops: float, launch: Launch | None) -> int:
    """As many as the arithmetic of a step gives work to, of those that torch would take and this process may use.

    By arithmetic and not by a stop-watch, so that it is the same every time on one machine. Of a launch torch would
    take one thread in each worker, since torchrun sets OMP_NUM_THREADS to 1.
    """
    cores = int(usable_cores())
    most = max(1, cores if launch is not None else min(torch.get_num_threads(), cores))
    return int(min(most, 1 + step_flops // FLOPS_PER_THREAD))


def _device(wish: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:[0-9]{1,3})?", wish):
        raise DeviceError(f"device '{wish}': expected auto, cpu, cuda or cuda:N")
    if wish == "cpu" or (wish == "auto" and not torch.cuda.is_available()):
        return "cpu"
    if not torch.cuda.is_available():
        raise DeviceError(
            f"device {wish} was asked for, but this machine has no CUDA device that torch can use; choose auto or cpu"
        )
    index = int(wish.partition(":")[2] or 0)
    if index >= torch.cuda.device_count():
        known = ", ".join(f"cuda:{number}" for number in range(torch.cuda.device_count()))
        raise DeviceError(f"device {wish} was asked for, but this machine has only {known}")
    return f"cuda:{index}"


@contextlib.contextmanager
def applied(resolved: ResolvedDevice, launch: Launch | None = None) -> Iterator[None]:
    """Set threads and precision for this block, in which training takes turns, and put back what was there.

    The workers of a launch divide the threads on each machine. One of these takes the turns for all, who cannot get
    ahead of it by more than a step: two that each waited for a turn would wait for each other too.
    """
    workers = 1 if launch is None else launch.local_count
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    if resolved.device != "cpu":  # cuBLAS repeats its results only with a workspace of fixed size
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        # Autograd's thread takes the context of the device at its first product, and says so.
        warnings.filterwarnings("ignore", message="Attempting to run cuBLAS", category=UserWarning)
    try:
        torch.set_num_threads(max(1, resolved.threads // workers))
        torch.set_float32_matmul_precision(resolved.precision)
        is_first = launch is None or launch.local_rank == 0
        with taking_turns(max(resolved.threads, workers)) if is_first else contextlib.nullcontext():
            yield
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)


def _fastest_exact_precision(device: str) -> Precision:
    """The loosest setting whose products are still float32-accurate against float64.

    ``medium`` sends products to faster kernels; on a processor with bfloat16 matrix units, or a GPU with TF32, those
    round. The error is a property of the machine, so the decision is the same every time; a stop-watch's would not be.
    """
    return _fastest_exact(device, product_error)


@lru_cache
def _fastest_exact(device: str, measure: Callable[[str], float]) -> Precision:
    """Measured once in a process: it takes as long as training on a hundred rows."""
    levels: tuple[Precision, ...] = ("medium", "high")
    return next((level for level in levels if _error_under(level, device, measure) < LARGEST_ERROR), "highest")


def error_under(level: Precision, device: str) -> float:
    """``product_error`` with the setting ``level``; the current one is put back."""
    return _error_under(level, device, product_error)


def _error_under(level: Precision, device: str, measure: Callable[[str], float]) -> float:
    with applied(ResolvedDevice(device, level, torch.get_num_threads())):
        return measure(device)


def product_error(device: str) -> float:
    """Largest relative error (Frobenius norm) of float32 products against float64 under the current setting."""
    generator = torch.Generator().manual_seed(derived_seed(0, "precision"))
    errors = []
    for rows, inner, columns in _SHAPES:
        a = torch.randn(rows, inner, generator=generator).to(device)
        b = torch.randn(inner, columns, generator=generator).to(device)
        exact = a.double() @ b.double()
        errors.append(((a @ b) - exact).norm() / exact.norm())
    return float(torch.stack(errors).max())
