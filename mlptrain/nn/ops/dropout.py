"""Dropout: the op that draws a mask in training steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
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
    numpy = "z"
    by_row: ClassVar[bool] = False
    needs_output: ClassVar[bool] = False

    def rate(self, model: int) -> float:  # noqa: ARG002
        """That of one of the models that train together."""
        return self.p

    def apply(self, z: Tensor, parameters: Sequence[Tensor], *, mode: TrainingMode | None = None) -> Tensor:  # noqa: ARG002
        """z itself, but for training steps with noise."""
        if mode is None or mode.noise is None:
            return z
        bits = mode.noise.bits(z.t().shape).t()
        # As z lies in memory: across it a product of 8,192 × 112 took twice the time of all this (2-core AMD EPYC,
        # 2026-11-26).
        kept = (bits.contiguous() if z.is_contiguous() else bits) >= threshold(self.p)
        return z * kept.to(z) / (1 - self.p)

    def compiled(self, site: Site) -> Calls:
        """A mask for every group of models that share their noise and their rate, of 0 and 1/(1 − p)."""
        if not site.noise:
            return Calls([partial(site.y.copy_, site.z)] if site.y is not site.z else [], [])
        drawn = draw_masks(self, site.noise, site.buffer, site.z.shape[1:], share=site.share)
        pairs = list(zip(drawn.models, drawn.mask, strict=True))
        if len(pairs) == len(site.z):  # each group is one model
            pairs = [(slice(0, len(pairs)), drawn.mask)]
        forward = [partial(torch.mul, site.z[models], mask, out=site.y[models]) for models, mask in pairs]
        return Calls(
            [*drawn.calls, *forward], [partial(site.delta[models].mul_, mask) for models, mask in pairs], drawn.prepare
        )


@dataclass(frozen=True)
class OwnDropout(Dropout):
    """Of models that train together at rates of their own, ``each``; ``MLP.of_model`` has what one of them applies.

    A rate of 0 draws nothing, as a network without dropout, so that what the model draws elsewhere is what it draws
    alone.
    """

    each: tuple[float, ...] = ()

    def rate(self, model: int) -> float:
        """As Dropout."""
        return self.each[model]


def threshold(p: float) -> int:
    """The least of 2¹⁶ equally likely integers from −2¹⁵ on that keeps a value: p·2¹⁶ are below it."""
    return min(round(p * 2**16), 2**16 - 1) - 2**15


@dataclass(frozen=True)
class Masks:
    """Of every group of ``models`` that share noise and rate a mask of 0 and 1/(1 − p), (groups, …), and what fills it.

    ``prepare`` runs before a step, also where ``calls`` are replayed in a CUDA graph.
    """

    models: list[slice]
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

    Of a share the bits of the whole batch are drawn, so that its rows have the masks that they have in one process. Of
    models that share their noise either all or none have a rate of 0.
    """
    drawn = [share.whole if share is not None and axis == rows_at else length for axis, length in enumerate(shape)]
    size = math.prod(drawn)
    words = buffer("words", len(noise), -(-size // 4), dtype=torch.int64)
    bits = words.view(torch.int16)[:, :size].view(len(noise), *drawn)
    if share is not None:
        bits = bits.narrow(1 + rows_at, share.start, share.stop - share.start)
    prepare: list[Call] = [
        partial(source.write, words[group]) for group, (models, source) in enumerate(noise) if op.rate(models.start)
    ]
    if not isinstance(op, OwnDropout):
        p, mask = op.p, buffer("mask", len(noise), *shape)
        calls: list[Call] = [partial(torch.ge, bits, threshold(p), out=mask), partial(mask.mul_, 1 / (1 - p))]
        return Masks([models for models, _ in noise], mask, prepare, calls)
    found: list[slice] = []
    parts: list[slice] = []  # of every group that shares its noise, its places in ``found``
    for models, _ in noise:
        before = len(found)
        for _, same in groupby(range(models.start, models.stop), key=op.rate):
            alike = list(same)
            found.append(slice(alike[0], alike[-1] + 1))
        parts.append(slice(before, len(found)))
    mask = buffer("mask", len(found), *shape)
    rates, shape_of_rates = [op.rate(models.start) for models in found], (-1,) + (1,) * len(shape)
    least = torch.tensor([threshold(p) for p in rates], dtype=torch.int16, device=mask.device).view(shape_of_rates)
    scale = torch.tensor([1 / (1 - p) for p in rates], dtype=mask.dtype, device=mask.device).view(shape_of_rates)
    if len(found) == len(noise):
        calls = [partial(torch.ge, bits, least, out=mask)]
    else:
        calls = [
            partial(torch.ge, bits[group : group + 1], least[part], out=mask[part]) for group, part in enumerate(parts)
        ]
    return Masks(found, mask, prepare, [*calls, partial(mask.mul_, scale)])
