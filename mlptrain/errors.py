"""What can go wrong, by whose hand.

Every message says what came, what was expected and what to do; the command line prints it without a traceback.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MAX_SHOWN = 100  # faults of one configuration; a file of a megabyte can have ten thousand


class MlptrainError(Exception):
    """Root of the tree; ``exit_code`` is what the process ends with."""

    exit_code = 1

    def _render_traceback_(self) -> list[str]:
        """What IPython shows of the error: its message, as the command line prints it."""
        return [f"{type(self).__name__}: {self}"]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the memory of the machine or of a GPU is exhausted.

    MemoryError and torch's OutOfMemoryError are decided by class. For the machine's own memory torch raises a plain
    RuntimeError, and the loader of libraries an ImportError, so that only their words say it.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return any(sign in str(error) for sign in (os.strerror(errno.ENOMEM), "alloc", "out of memory", "failed to map"))


class UserError(MlptrainError):
    """What the user named is wrong: a file, a key, a device."""

    exit_code = 2


class MachineError(MlptrainError):
    """The machine failed us: disk, network or memory."""

    exit_code = 1


@dataclass(frozen=True)
class Fault:
    """One fault of a configuration: ``source:line:column  path: message``, on one line whatever its names hold.

    ``line`` and ``column`` count from 1; both are None where the fault has no place in a file
    (``source`` is then, for instance, ``--set optimizer.lr=fast``).
    """

    source: str
    line: int | None
    column: int | None
    path: str
    message: str

    def __str__(self) -> str:
        place = self.source if self.line is None else f"{self.source}:{self.line}:{self.column}"
        text = f"{place}  {self.path}: {self.message}" if self.path else f"{place}  {self.message}"
        return text.replace("\n", r"\n")


class SpecError(UserError):
    """A configuration with faults; ``faults`` holds them in the order of their places, the message some hundred."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        lines = [str(fault) for fault in self.faults[:MAX_SHOWN]]
        if more := len(self.faults) - len(lines):
            lines.append(f"and {more:,} more")
        super().__init__("\n".join(lines))


class DataError(UserError):
    """A data set is absent, damaged, not the published one, or cannot give what was asked of it."""


class DataAbsentError(DataError):
    """The files of a data set are not in the data folder, so that the caller may offer to fetch them."""


class CheckpointError(UserError):
    """A checkpoint is damaged, of another format, or belongs to another network."""


class RunFolderError(UserError):
    """A run folder cannot be made, read or resumed."""


class DeviceError(UserError):
    """A device was asked for that this machine does not have."""


class DivergedError(MlptrainError):
    """A loss or a parameter is no longer finite: in which ``epoch``, at which ``step``, with which ``lr``."""

    exit_code = 3

    def __init__(self, message: str, *, epoch: int, step: int, lr: float) -> None:
        super().__init__(message)
        self.epoch, self.step, self.lr = epoch, step, lr
        self.run: Path | None = None  # the run folder, once there is one


class InterruptedRunError(MlptrainError):
    """A signal stopped the run after a step; the last epoch boundary is on disk."""

    exit_code = 130
