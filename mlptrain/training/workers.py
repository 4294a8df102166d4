"""Several processes that train one model together: each computes its share of every batch, and all sum the gradients.

Every worker holds the whole model and all rows. A step is one sum of the flat gradient over the workers, besides those
that batch norm and weights of examples need; what follows it is computed by each alike, to the same bits, which is
verified once an epoch. Sums are torch.distributed's: gloo between CPUs, NCCL between GPUs.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from mlptrain.errors import InterruptedRunError, MachineError, UserError, is_out_of_memory
from mlptrain.nn.shares import Share
from mlptrain.system.launch import Launch
from mlptrain.system.signals import ended_at_once

T = TypeVar("T")


class Workers:
    """The workers of a launch, of which this process is one; made by ``joined``.

    Every method but ``share`` waits for all workers, which have to call the same ones in the same order. Each raises
    InterruptedRunError where another worker has ended.
    """

    def __init__(self, launch: Launch) -> None:
        self.launch = launch

    def share(self, rows: int) -> Share:
        """Which rows of a batch of so many are this worker's."""
        return Share.of(rows, self.launch.rank, self.launch.count, self.sum_)

    def sum_(self, tensor: Tensor) -> Tensor:
        """Replace a tensor by the sum of those of all workers: the same bits in each."""
        with _ended_with_others():
            dist.all_reduce(tensor)
        return tensor

    def from_first(self, make: Callable[[], T]) -> T:
        """What the first worker makes, in all; the others do not make it, and wait."""
        content: list[Any] = [make() if self.launch.is_first else None]
        with _ended_with_others():
            dist.broadcast_object_list(content, src=0)
        made: T = content[0]
        return made

    def receive(self) -> Any:
        """Of all but the first: what the first worker has made for them, in ``from_first``."""
        return self.from_first(lambda: None)

    def check_alike(self, what: str, of_each: Any) -> None:
        """Raises UserError, in every worker, where they have different values of what has to be the same."""
        found: list[Any] = [None] * self.launch.count
        with _ended_with_others():
            dist.all_gather_object(found, of_each)
        for rank, value in enumerate(found):
            if value != found[0]:
                raise UserError(
                    f"worker {rank} has another {what} than worker 0: {value} and {found[0]}; all workers need the "
                    "same versions, the same data and processors of one kind"
                )

    def check_bits(self, flat: Tensor, *, when: str) -> None:
        """Raises MachineError, in every worker, where a tensor does not have the same bits in all."""
        bits = int(flat.view(torch.int32 if flat.element_size() == 4 else torch.int64).sum(dtype=torch.int64))
        extremes = torch.tensor([bits, ~bits])
        with _ended_with_others():
            dist.all_reduce(extremes, op=dist.ReduceOp.MAX)
        if int(extremes[0]) != ~int(extremes[1]):
            raise MachineError(
                f"the workers' weights differ {when}; they compute to the same bits on processors of one kind with the "
                "same versions. Resume in one process, or on such machines"
            )

    @staticmethod
    def leave() -> None:
        """Free this process of sums that wait on a GPU for a worker that has ended; the last call."""
        if torch.cuda.is_available() and (group := dist.group.WORLD) is not None:
            with contextlib.suppress(RuntimeError):
                group.abort()


@contextlib.contextmanager
def joined(launch: Launch | None) -> Iterator[Workers | None]:
    """Within the block the workers of a launch, once all have come; None without a launch.

    A signal ends the process at once while it waits for the others. Raises MachineError where they cannot meet.
    """
    if launch is None:
        yield None
        return
    backend = "gloo"
    if torch.cuda.is_available() and dist.is_nccl_available():
        torch.cuda.set_device(min(launch.local_rank, torch.cuda.device_count() - 1))
        backend = "cpu:gloo,cuda:nccl"
    try:
        with ended_at_once():
            dist.init_process_group(backend, rank=launch.rank, world_size=launch.count)
    except (RuntimeError, ValueError) as error:
        first, *_ = [*str(error).strip().splitlines(), ""]
        place = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise MachineError(f"the {launch.count} workers cannot meet at {place}: {first}") from error
    try:
        yield Workers(launch)
    finally:
        if dist.is_initialized():
            with contextlib.suppress(RuntimeError):
                dist.destroy_process_group()


@contextlib.contextmanager
def _ended_with_others() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        Workers.leave()
        raise InterruptedRunError("another worker has ended") from error
