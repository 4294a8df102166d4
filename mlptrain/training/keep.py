"""Which weights a model stands for: those with the lowest loss on the measured split, where that is wished for.

The plain loss, also where training minimises a smoothed or weighted one: runs with and without compare by it.
"""

from __future__ import annotations

from mlptrain.nn.parameters import Parameters
from mlptrain.system.jsonfiles import Count, Figure, Record
from mlptrain.training.trainer import Epoch, TrainedModel


class Best(Record):
    """The epoch with the lowest validation loss so far."""

    epoch: Count
    loss: Figure


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
        self.best = Best(epoch=epoch.epoch, loss=epoch.evaluated.loss)
        found = self._model.parameters
        self.parameters = found.clone() if self.parameters is None else self.parameters.copy_(found)
        return True
