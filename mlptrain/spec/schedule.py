"""The ``schedule`` section: how the learning rate changes while a run trains, one class per schedule.

A schedule is a pure function of the step and the run's number of steps, so none of it is saved: a resumed run
computes the same factors as an uninterrupted one. Its length is always that of the run.
"""

from __future__ import annotations

from typing import Annotated, Literal, Union

from pydantic import Field

from mlptrain.spec.base import Section, ShortName


class Schedule(Section):
    """The base of all schedules."""

    def factor(self, step: int, total: int) -> float:
        """What multiplies the optimizer's lr in step ``step``, from 0 to ``total`` − 1."""
        raise NotImplementedError


class Constant(Schedule):
    """The optimizer's lr in every step."""

    name: Literal["constant"]

    def factor(self, step: int, total: int) -> float:  # noqa: ARG002
        """1."""
        return 1.0


ScheduleSpec = Annotated[Union[Constant], Field(discriminator="name"), ShortName()]  # noqa: UP007
