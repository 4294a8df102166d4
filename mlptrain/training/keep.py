"""Which weights a model stands for: those with the lowest loss on the measured split, where that is wished for."""

from __future__ import annotations

from dataclasses import dataclass

from mlptrain.nn.parameters import Parameters
from mlptrain.training.trainer import Epoch, TrainedModel


@dataclass(frozen=True)
class Best:
    """The epoch with the lowest validation loss so far."""

    epoch: int
    loss: float


class KeepBest:
    """Follows a model and keeps a copy of its best weights.

    ``best`` may be one on record; ``parameters`` is then None until a later epoch is better.
    """

    def __init__(self, model: TrainedModel, best: Best | None = None) -> None:
        self._model = model
        self.best = best
        self.parameters: Parameters | None = None

    def take(self, epoch: Epoch) -> bool:
        """Whether the epoch is the best so far."""
        if epoch.evaluated is None or (self.best is not None and epoch.evaluated.loss >= self.best.loss):
            return False
        self.best = Best(epoch.epoch, epoch.evaluated.loss)
        if self.parameters is None:
            self.parameters = self._model.parameters.clone()
        else:
            self.parameters.copy_(self._model.parameters)
        return True
