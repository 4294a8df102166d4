"""Which weights a model stands for: those of the epoch with the best metric, where that is wished for.

By default the plain loss, also where training minimises a smoothed or weighted one: so runs can be compared.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import AliasChoices, Field

from mlptrain.nn.parameters import Parameters
from mlptrain.spec.choosing import is_better
from mlptrain.system.jsonfiles import Count, Figure, Record
from mlptrain.training.trainer import TrainedModel


class Best(Record):
    """The epoch with the best value so far; checkpoints of earlier versions call it the loss."""

    epoch: Count
    value: Figure = Field(validation_alias=AliasChoices("value", "loss"))


class KeepBest:
    """Follows a model and keeps a copy of its best weights, of equally good ones the first.

    ``best`` may be one on record; ``parameters`` is then None until a later epoch is better.
    """

    def __init__(self, model: TrainedModel, metric: str, best: Best | None = None) -> None:
        self._model, self._metric = model, metric
        self.best = best
        self.parameters: Parameters | None = None

    def take(self, epoch: int, figures: Mapping[str, float]) -> bool:
        """Whether the epoch, which has just ended with these figures, is the best so far."""
        value = figures.get(self._metric)
        if value is None or not is_better(self._metric, value, None if self.best is None else self.best.value):
            return False
        self.best = Best(epoch=epoch, value=value)
        found = self._model.parameters
        self.parameters = found.clone() if self.parameters is None else self.parameters.copy_(found)
        return True
