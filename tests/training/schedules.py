"""A schedule that no configuration names."""

from __future__ import annotations

from typing import Literal

from mlptrain.spec.schedule import Schedule


class Linear(Schedule):
    """From the optimizer's lr in the first step to ``last`` times it, which the step after the run would have."""

    name: Literal["linear"]
    last: float = 0.0

    def factor(self, step: int, total: int) -> float:
        return 1 + (self.last - 1) * step / total
