"""``training.early_stopping``: when a run ends before its last epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import PydanticCustomError, core_schema

from mlptrain.spec.base import Section
from mlptrain.spec.choosing import is_better

MAX_EPOCHS = 10_000_000


class EarlyStopping(Section):
    """Ends a run once a metric has not got better for ``patience`` epochs (as Keras' EarlyStopping)."""

    patience: int = Field(10, ge=1, le=MAX_EPOCHS, description="Epochs without a better value, after which it ends.")
    min_delta: float = Field(0.0, ge=0, le=1e30, description="A better value is better by more than this.")
    start: int = Field(0, ge=0, le=MAX_EPOCHS, description="So many epochs at the beginning do not count.")
    metric: str = Field("validation_loss", description="A figure of metrics.jsonl, such as validation_accuracy.")

    @property
    def reason(self) -> str:
        """Why it ends a run, as the end of a sentence."""
        by = f" by more than {self.min_delta:g}" if self.min_delta else ""
        return f"no better {self.metric}{by} for {self.patience:,} epoch{'s' * (self.patience > 1)}"

    @property
    def earliest(self) -> int:
        """The first epoch after which it can end a run."""
        return self.start + 1 + self.patience


@dataclass
class Waiting:
    """Where early stopping stands after the epochs that it was given: a pure function of their figures."""

    section: EarlyStopping
    best: float | None = None
    best_epoch: int = 0
    epochs: int = 0  # without a better value

    def take(self, epoch: int, value: float | None) -> bool:
        """Whether the run ends with this epoch. That before training, and the first ``start`` ones, do not count."""
        if epoch <= self.section.start:
            return False
        self.epochs += 1
        if is_better(self.section.metric, value, self.best, by=self.section.min_delta):
            self.best, self.best_epoch, self.epochs = value, epoch, 0
        return self.epochs >= self.section.patience


@dataclass(frozen=True)
class ShortStopping:
    """Lets a number stand for ``{patience: …}``, true for a section of defaults, and none or false for no section."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(self._expand, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        [full] = [one for one in handler(schema)["anyOf"] if one != {"type": "null"}]
        return {
            "anyOf": [full, {"type": "integer", "minimum": 1, "maximum": MAX_EPOCHS}, {"enum": [True, False, "none"]}]
        }

    @staticmethod
    def _expand(value: object) -> object:
        if value is False or value == "none":
            return None
        if value is True:
            return {}
        if isinstance(value, int):
            return {"patience": value}
        if value is None or not isinstance(value, (dict, EarlyStopping)):
            expected = "epochs of patience such as 10, a mapping such as {patience: 10}, or none"
            raise PydanticCustomError("expected", "must be {expected}", {"expected": expected})
        return value
