"""Dropout: the op that does something else in training steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mlptrain.nn.ops.base import Op


@dataclass(frozen=True)
class Dropout(Op):
    """Srivastava, Hinton, Krizhevsky, Sutskever & Salakhutdinov (2014), scaled in training: y = z·mask/(1 − p).

    The mask is drawn in float32 on the CPU, so that it does not depend on the device.
    """

    p: float = 0.5
    name: ClassVar[str] = "dropout"

    def apply(self, z: Tensor, parameters: Sequence[Tensor], *, noise: torch.Generator | None = None) -> Tensor:  # noqa: ARG002
        """z itself, but for training steps."""
        if noise is None:
            return z
        kept = torch.rand(z.shape, generator=noise) >= self.p
        return z * kept.to(z) / (1 - self.p)
