"""The part of a batch that one of several workers computes, where they train one model together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Share:
    """Rows ``start`` to ``stop`` of a batch of ``whole`` rows; the other workers have the others.

    The gradients of all shares add up to that of the whole batch: each is that of its own rows' part of the objective,
    whose mean is over the whole batch. ``sum_`` replaces a tensor by the sum of those of all workers, with the same
    bits in each; all have to call it equally often.

    A batch may have fewer rows than there are workers. One without a row computes the first, which then counts for
    nothing, so that it takes part in the sums: ``own`` is 0 there.
    """

    start: int
    stop: int
    whole: int
    own: int
    sum_: Callable[[Tensor], object]

    @classmethod
    def of(cls, whole: int, rank: int, count: int, sum_: Callable[[Tensor], object]) -> Share:
        """That of worker ``rank`` of ``count``: shares are neighbours in order, the first ones larger by one row."""
        each, more = divmod(whole, count)
        own, start = each + (rank < more), rank * each + min(rank, more)
        return cls(start, start + own, whole, own, sum_) if own else cls(0, 1, whole, 0, sum_)

    @property
    def rows(self) -> slice:
        """Its place in the batch."""
        return slice(self.start, self.stop)

    def part(self) -> float:
        """How much a mean over its rows is of the mean over the whole batch."""
        return self.own / self.whole
