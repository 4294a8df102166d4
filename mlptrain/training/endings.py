"""How the training of a model ends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mlptrain.errors import DivergedError
from mlptrain.spec.stopping import EarlyStopping, Waiting


@dataclass(frozen=True)
class Ending:
    """``kind`` says how; ``epoch``, ``step`` (both counted since training began) and ``lr`` are those of the last step.

    ``stopped early``: a metric has not got better for long enough; ``diverged``: a loss or parameter is no longer
    finite; both say so in ``message``. ``failed``: the machine could not train the model.
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

    @classmethod
    def stopped_early(cls, waiting: Waiting, *, epoch: int, step: int, lr: float) -> Ending:
        """Early stopping has waited for long enough."""
        return cls("stopped early", epoch, step, lr, f"stopped early after epoch {epoch}: {waiting.section.reason}")

    def error(self) -> DivergedError:
        """A divergence as an error."""
        return DivergedError(self.message, epoch=self.epoch, step=self.step, lr=self.lr)


def follow(waiting: Waiting, line: Mapping[str, Any], *, epochs: int) -> Ending | None:
    """The ending of a run of ``epochs`` with the epoch of this line of ``metrics.jsonl``, or None."""
    enough = waiting.take(line["epoch"], line.get(waiting.section.metric))
    if not enough or line["epoch"] >= epochs:
        return None
    return Ending.stopped_early(waiting, epoch=line["epoch"], step=line["step"], lr=line["lr"])


def early_ending(stopping: EarlyStopping | None, lines: Iterable[Mapping[str, Any]], *, epochs: int) -> Ending | None:
    """The ending of a run of ``epochs`` that these lines of ``metrics.jsonl`` lead to, or None."""
    if stopping is None:
        return None
    waiting = Waiting(stopping)
    endings = (follow(waiting, line, epochs=epochs) for line in lines)
    return next((ending for ending in endings if ending is not None), None)
