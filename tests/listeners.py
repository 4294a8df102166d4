"""Listeners of trainings that tests hand to ``train``, ``train_seeds`` and the like."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence

from mlptrain.experiment import Listener
from mlptrain.training.trainer import Epoch


class OnEpoch(Listener):
    """Calls a function after every epoch, with what each model gave."""

    def __init__(self, call: Callable[[Sequence[Epoch | None]], None]) -> None:
        self._call = call

    def epoch(self, epochs: Sequence[Epoch | None]) -> None:
        self._call(epochs)


def interrupting(at: int) -> OnEpoch:
    """A listener that is hit by Ctrl-C after this epoch, so that the first step of the next is the last."""

    def press(epochs: Sequence[Epoch | None]) -> None:
        if any(epoch is not None and epoch.epoch == at for epoch in epochs):
            os.kill(os.getpid(), signal.SIGINT)

    return OnEpoch(press)
