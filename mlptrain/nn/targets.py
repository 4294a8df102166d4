"""Targets of a regression, scaled for training and back in their own unit for everything that is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from mlptrain.errors import DataError
from mlptrain.system.jsonfiles import Figure, Positive, Record


class TargetScaling(Record):
    """y becomes (y − mean) / std, of every target by itself; with ``log1p`` (log(1 + y) − mean) / std."""

    mean: Annotated[tuple[Figure, ...], Field(strict=False, min_length=1)]
    std: Annotated[tuple[Positive, ...], Field(strict=False)]
    log1p: bool = False

    @classmethod
    def fit(cls, y: Tensor, *, log1p: bool) -> TargetScaling:
        """Mean and population standard deviation of targets (n, t); a constant target has std 1.

        Raises DataError for targets that have no logarithm.
        """
        values = y.double()
        if log1p and not bool((values > -1).all()):
            raise DataError(f"target_scaling: log1p needs targets above −1, got {float(values.min()):g}")
        values = values.log1p() if log1p else values
        std = values.std(dim=0, correction=0)
        std[values.amin(dim=0) == values.amax(dim=0)] = 1  # a sum is rounded, so that the std need not be 0
        return cls(mean=tuple(values.mean(dim=0).tolist()), std=tuple(std.tolist()), log1p=log1p)

    def scaled(self, y: Tensor) -> Tensor:
        """Targets (n, t) as they are trained on."""
        values = y.double()
        mean, std = (values.new_tensor(numbers) for numbers in (self.mean, self.std))
        return (((values.log1p() if self.log1p else values) - mean) / std).to(y.dtype)

    def restored(self, values: Tensor, *, dim: int = -1) -> Tensor:
        """Outputs or scaled targets in the unit of y; ``dim`` runs over the targets, each as often as the outputs are.

        Of quantiles a target has several outputs, one after the other.
        """
        each = values.shape[dim] // len(self.mean)
        shape = [1] * values.dim()
        shape[dim] = -1
        mean, std = (
            values.new_tensor(numbers).repeat_interleave(each).view(shape) for numbers in (self.mean, self.std)
        )
        found = values * std + mean
        return found.expm1() if self.log1p else found


def restored(scalings: Sequence[TargetScaling], values: Tensor) -> Tensor:
    """Outputs or targets of models, (models, t, n), in the unit of their targets; there is one scaling for each."""
    if len(scalings) == 1:
        return scalings[0].restored(values, dim=1)
    return torch.stack([one.restored(of, dim=0) for one, of in zip(scalings, values, strict=True)])
