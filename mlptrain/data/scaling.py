"""Scaling of inputs: the numbers, how they are found, and how they are applied."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from mlptrain.errors import DataError


@dataclass(frozen=True)
class Scaling:
    """x becomes (x / divisor − mean) / std, with one number each for all inputs."""

    divisor: float
    mean: float
    std: float

    def apply(self, x: Tensor) -> Tensor:
        """Scaled copy of ``x`` (any shape, any real type), float32.

        ``divisor`` alone gives the bits of torchvision's ToTensor, all three those of its Normalize after that.
        """
        return self.write(x, out=torch.empty(x.shape, dtype=torch.float32, device=x.device))

    def write(self, x: Tensor, *, out: Tensor) -> Tensor:
        """``apply`` into ``out``, which is returned."""
        out.copy_(x)
        # In place, and steps that change nothing left out: each is a pass over the memory.
        if self.divisor != 1:
            out.div_(self.divisor)
        if self.mean != 0:
            out.sub_(self.mean)
        if self.std != 1:
            out.div_(self.std)
        return out


NO_SCALING = Scaling(divisor=1.0, mean=0.0, std=1.0)


def scaling_for(choice: str | Mapping[str, float] | None, x: Tensor, *, maximum: int | None) -> Scaling:
    """The numbers that ``choice`` stands for on training inputs ``x``.

    ``choice`` is ``"none"``, ``"unit"`` (divide by ``maximum``), ``"standard"`` (divide by ``maximum`` where there is
    one, then one mean and one population standard deviation over all values) or a mapping with ``mean`` and ``std``
    (used after dividing by ``maximum``); None is unit where there is a maximum, else none.

    Raises DataError for another choice, for unit without a maximum, and where the standard deviation is not positive.
    """
    found = _given(choice, maximum=maximum)
    if found is None:
        divisor = float(maximum or 1)
        mean, std = _mean_and_std(x)
        found = Scaling(divisor, mean / divisor, std / divisor)
    if not (math.isfinite(found.mean) and math.isfinite(found.std) and found.std > 0):
        raise DataError(f"scaling needs a finite mean and a std above 0, got mean {found.mean} and std {found.std}")
    return found


def is_scaling_for(choice: str | Mapping[str, float] | None, scaling: Scaling, *, maximum: int | None) -> bool:
    """Whether ``scaling_for`` can have given these numbers, on whatever inputs."""
    given = _given(choice, maximum=maximum)
    return scaling == (given or Scaling(float(maximum or 1), scaling.mean, scaling.std)) and scaling.std > 0


def _given(choice: str | Mapping[str, float] | None, *, maximum: int | None) -> Scaling | None:
    """The numbers that do not depend on the inputs; None for those that do."""
    if choice == "standard":
        return None
    if choice == "none" or (choice is None and maximum is None):
        return NO_SCALING
    if choice == "unit" and maximum is None:
        raise DataError("scaling 'unit' divides by the data's maximum, which generated data have not; use 'none'")
    if choice in (None, "unit"):
        return Scaling(float(maximum or 1), 0.0, 1.0)
    if isinstance(choice, Mapping) and set(choice) == {"mean", "std"}:
        return Scaling(float(maximum or 1), float(choice["mean"]), float(choice["std"]))
    raise DataError(f"scaling {choice!r} is unknown; use none, unit, standard, or mean and std")


def _mean_and_std(x: Tensor) -> tuple[float, float]:
    """Mean and population standard deviation over all values.

    Of uint8 from the histogram in whole numbers, so that only the last division and the root are rounded.
    """
    if x.dtype != torch.uint8:
        values = x.double()
        return float(values.mean()), float(values.std(correction=0))
    counts: list[int] = torch.bincount(x.flatten(), minlength=256).tolist()
    total = sum(counts)
    first = sum(value * count for value, count in enumerate(counts))
    second = sum(value * value * count for value, count in enumerate(counts))
    return first / total, math.sqrt((total * second - first * first) / (total * total))
