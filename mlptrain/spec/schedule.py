"""The ``schedule`` section: how the learning rate changes while a run trains, one class per schedule.

A schedule is a pure function of the step and the run's number of steps, so none of it is saved: a resumed run
computes the same factors as an uninterrupted one. Its length is always that of the run.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from mlptrain.spec.base import Section, ShortName


class Schedule(Section):
    """The base of all schedules."""

    def factor(self, step: int, total: int) -> float:
        """What multiplies the optimizer's lr in step ``step``, from 0 to ``total`` − 1; ``total`` is at least 1."""
        raise NotImplementedError


class Constant(Schedule):
    """The optimizer's lr in every step."""

    name: Literal["constant"]

    def factor(self, step: int, total: int) -> float:  # noqa: ARG002
        """1."""
        return 1.0


class Cosine(Schedule):
    """Half a cosine from the optimizer's lr down to ``final`` of it (Loshchilov & Hutter, 2017, without restarts)."""

    name: Literal["cosine"]
    final: float = Field(0.0, ge=0, le=1, description="The factor that the run ends at.")

    def factor(self, step: int, total: int) -> float:
        """final + (1 − final)·(1 + cos(π·step/total))/2."""
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * step / total)) / 2


ScheduleSpec = Annotated[Constant | Cosine, Field(discriminator="name"), ShortName()]
