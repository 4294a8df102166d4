"""Values to choose from: geometric grids, and how one grows beyond its edge.

Values are rounded to 12 significant digits, so that ``log_grid: [1e-3, 1, 4]`` holds the same 0.01 as a list written
by hand does, and a trial has one name however its grid was written.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

Side = Literal["low", "high"]


def log_grid(low: float, high: float, points: int) -> list[float]:
    """``points`` values from ``low`` to ``high``, both exact and included, each the same multiple of the one before.

    Needs 0 < low < high and at least two points.
    """
    start, stop = math.log(low), math.log(high)
    inner = (math.exp(start + (stop - start) * index / (points - 1)) for index in range(1, points - 1))
    return [float(low), *(_rounded(value) for value in inner), float(high)]


def extended(values: Sequence[float], side: Side) -> float | None:
    """The next value beyond the lowest or highest of ``values``, which ascend.

    The rule: the ratio between the two values next to that edge is kept, so [0.01, 0.1] extends to 1 and down to
    0.001. None where there is no such ratio (fewer than two values, or a value that is not positive) or where the
    result leaves the range of floats.
    """
    if len(values) < 2:
        return None
    edge, neighbour = (values[0], values[1]) if side == "low" else (values[-1], values[-2])
    if min(edge, neighbour) <= 0:
        return None
    value = _rounded(edge * (edge / neighbour))
    return value if 0 < value < math.inf else None


def is_ordered(values: Sequence[object]) -> bool:
    """Whether values are numbers, so that they have a lowest and a highest one."""
    return all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)


def _rounded(value: float) -> float:
    return float(f"{value:.12g}")


def beyond(value: float, side: Side) -> float:
    """The next value on one side; of a whole number the next whole one."""
    if isinstance(value, int):
        return value + (1 if side == "high" else -1)
    return math.nextafter(value, math.inf if side == "high" else -math.inf)
