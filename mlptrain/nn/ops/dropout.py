"""Dropout: the op that draws a mask in training steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from mlptrain.nn.noise import Noise, TrainingMode
from mlptrain.nn.ops.base import Call, Calls, CompiledOp, Site
from mlptrain.nn.shares import Share


@dataclass(frozen=True)
class Dropout(CompiledOp):
    """Srivastava, Hinton, Krizhevsky, Sutskever & Salakhutdinov (2014), scaled in training: y = z·mask/(1 − p)."""

    p: float = 0.5
    name: ClassVar[str] = "dropout"
    by_row: ClassVar[bool] = False
    needs_output: ClassVar[bool] = False

    @property
    def threshold(self) -> int:
        """The least of 2¹⁶ equally likely integers from −2¹⁵ on that keeps a value: p·2¹⁶ are below it."""
        return min(round(self.p * 2**16), 2**16 - 1) - 2**15

    def apply(self, z: Tensor, parameters: Sequence[Tensor], *, mode: TrainingMode | None = None) -> Tensor:  # noqa: ARG002
        """z itself, but for training steps with noise."""
        if mode is None or mode.noise is None:
            return z
        bits = mode.noise.bits(z.t().shape).t()
        # As z lies in memory: across it a product of 8,192 × 112 took twice the time of all this (2-core AMD EPYC,
        # 2026-11-26).
        kept = (bits.contiguous() if z.is_contiguous() else bits) >= self.threshold
        return z * kept.to(z) / (1 - self.p)

    def compiled(self, site: Site) -> Calls:
        """A mask for every group of models that share their noise, of 0 and 1/(1 − p)."""
        if not site.noise:
            return Calls([partial(site.y.copy_, site.z)] if site.y is not site.z else [], [])
        drawn = draw_masks(self, site.noise, site.buffer, site.z.shape[1:], share=site.share)
        pairs = [(models, drawn.mask[group]) for group, (models, _) in enumerate(site.noise)]
        if len(pairs) == len(site.z):  # each group is one model
            pairs = [(slice(0, len(pairs)), drawn.mask)]
        forward = [partial(torch.mul, site.z[models], mask, out=site.y[models]) for models, mask in pairs]
        return Calls(
            [*drawn.calls, *forward], [partial(site.delta[models].mul_, mask) for models, mask in pairs], drawn.prepare
        )


@dataclass(frozen=True)
class Masks:
    """Of every group of models that share their noise a mask of 0 and 1/(1 − p), (groups, …), and what fills them.

    ``prepare`` runs before a step, also where ``calls`` are replayed in a CUDA graph.
    """

    mask: Tensor
    prepare: list[Call]
    calls: list[Call]


def draw_masks(
    op: Dropout,
    noise: Sequence[tuple[slice, Noise]],
    buffer: Callable[..., Tensor],
    shape: Sequence[int],
    *,
    rows_at: int = 1,
    share: Share | None = None,
) -> Masks:
    """Masks of this shape, whose dimension ``rows_at`` are rows; ``noise``, ``buffer``, ``share`` are those of a Site.

    Of a share the bits of the whole batch are drawn, so that its rows have the masks that they have in one process.
    """
    drawn = [share.whole if share is not None and axis == rows_at else length for axis, length in enumerate(shape)]
    count, size = len(noise), math.prod(drawn)
    words = buffer("words", count, -(-size // 4), dtype=torch.int64)
    bits = words.view(torch.int16)[:, :size].view(count, *drawn)
    if share is not None:
        bits = bits.narrow(1 + rows_at, share.start, share.stop - share.start)
    prepare: list[Call] = [partial(source.write, words[group]) for group, (_, source) in enumerate(noise)]
    mask = buffer("mask", count, *shape)
    return Masks(mask, prepare, [partial(torch.ge, bits, op.threshold, out=mask), partial(mask.mul_, 1 / (1 - op.p))])
