"""How the training of a model ends."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from mlptrain.errors import DivergedError
from mlptrain.spec.stopping import EarlyStopping, Waiting

_FALL = 0.05  # of the loss, within the last third of the epochs: with less, training has nearly levelled off
_GAIN = 0.01  # of what a constant guess costs, likewise: with less, hardly a prediction changes
_ANNEALED = 0.1  # of the highest learning rate: below it a schedule lowers the loss, and the run's length is its own


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


def still_falling(lines: Sequence[Mapping[str, Any]], *, split: str, guess: float | None = None) -> str:
    """What there is to say of a run whose loss was clearly falling when it ended; else empty.

    ``lines`` are those of ``metrics.jsonl``, ``split`` the rows that every epoch was measured on, of which there may be
    none: then it is the training loss that counts. ``guess`` is what a constant guess costs. Clearly: the last loss is
    the lowest, the last third of the epochs took 5 % off it and 1 % of the guess, and no epoch of the last two thirds
    undid half of that. Two epochs say nothing, and where a schedule ends low, a fall at the end is what it is for.
    """
    key = f"{split}_loss" if any(f"{split}_loss" in line for line in lines) else "train_loss"
    losses = [line[key] for line in lines[1:] if key in line and math.isfinite(line[key])]
    if (
        len(losses) < 3
        or len(losses) < len(lines) - 1
        or lines[-1]["lr"] < _ANNEALED * max(line["lr"] for line in lines)
    ):
        return ""
    back = max(1, len(losses) // 3)
    first, last = losses[-1 - back], losses[-1]
    rise = max(after - before for before, after in pairwise(losses[-1 - 2 * back :]))
    if last > min(losses) or first - last < max(_FALL * first, _GAIN * (guess or 0.0)) or rise > (first - last) / 2:
        return ""
    epoch = lines[-1]["epoch"]
    which = "training loss" if key == "train_loss" else key.replace("_", " ")
    return (
        f"the {which} was still falling when the run ended, from {first:.4g} after epoch {epoch - back:,} to "
        f"{last:.4g} after epoch {epoch:,}: more epochs may lower it further"
    )
