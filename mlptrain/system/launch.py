"""What a launcher such as ``torchrun`` says of this process: the how-manieth it is of those that train one model."""

from __future__ import annotations

import os
from dataclasses import dataclass

from mlptrain.errors import UserError

_NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class Launch:
    """This is worker ``rank`` of ``count``, and ``local_rank`` of the ``local_count`` on this machine."""

    rank: int
    count: int
    local_rank: int
    local_count: int

    @property
    def is_first(self) -> bool:
        """Whether this is the one that reads the configuration, writes the run folder and prints."""
        return self.rank == 0


def launched() -> Launch | None:
    """From the environment variables that torchrun sets; None for a process on its own, or the only worker.

    Raises UserError where they do not fit together.
    """
    if not all(os.environ.get(name) for name in _NEEDED):
        return None
    rank, count = _number("RANK"), _number("WORLD_SIZE")
    if count == 1:
        return None
    local_rank, local_count = _number("LOCAL_RANK", rank), _number("LOCAL_WORLD_SIZE", count)
    if not (rank < count and local_rank < local_count <= count):
        raise UserError(
            f"RANK={rank}, WORLD_SIZE={count}, LOCAL_RANK={local_rank}, LOCAL_WORLD_SIZE={local_count} do not fit "
            "together; start the workers with torchrun, or unset RANK to train in one process"
        )
    return Launch(rank, count, local_rank, local_count)


def assists() -> bool:
    """Whether this is a worker of several, and not the first; false where that is not clear."""
    try:
        launch = launched()
    except UserError:
        return False
    return launch is not None and not launch.is_first


def _number(name: str, default: int | None = None) -> int:
    text = os.environ.get(name, "" if default is None else str(default))
    if not text.isdecimal():
        raise UserError(f"{name}={text!r} in the environment: expected a whole number, as torchrun sets it")
    return int(text)
