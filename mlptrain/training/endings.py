"""How the training of a model ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mlptrain.errors import DivergedError


@dataclass(frozen=True)
class Ending:
    """``kind`` says how; ``epoch``, ``step`` (both counted since training began) and ``lr`` are those of the last step.

    ``diverged``: a loss or parameter is no longer finite, which ``message`` says; ``failed``: the machine could not
    train the model.
    """

    kind: Literal["completed", "stopped early", "diverged", "failed"]
    epoch: int
    step: int
    lr: float
    message: str = ""

    @classmethod
    def diverged(cls, what: str, *, epoch: int, step: int, lr: float) -> Ending:
        """``what`` is no longer finite."""
        where = f"at step {step:,} (epoch {epoch}) with lr {lr:g}"
        return cls("diverged", epoch, step, lr, f"diverged: {what} is not finite {where}")

    def error(self) -> DivergedError:
        """A divergence as an error."""
        return DivergedError(self.message, epoch=self.epoch, step=self.step, lr=self.lr)
