"""The random bits of training steps, and the mode in which ops compute there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mlptrain.seeds import derived_seed

_BITS = 16


class Noise:
    """What the ops of a model draw in the steps of an epoch, one after the other.

    Sixteen bits an element are enough for a mask, whose rate is met to 1e-5 so, and take 0.6 ns; a float takes 2.0
    (2-core AMD EPYC, 2026-11-26). They are drawn on the device of the model, so that a GPU, which draws others, does
    not wait for the CPU.
    """

    def __init__(self, generator: torch.Generator | None = None, *, device: torch.device | str = "cpu") -> None:
        self._generator = generator or torch.Generator(device)
        self._due: int | None = None

    @classmethod
    def of(cls, seed: int, epoch: int, *, device: torch.device | str = "cpu") -> Noise:
        """That of a model with this seed from the first step of an epoch on."""
        noise = cls(device=device)
        noise.start(seed, epoch)
        return noise

    def start(self, seed: int, epoch: int) -> None:
        """The next bits are those of the epoch's first step."""
        self._due = derived_seed(seed, "noise", epoch)

    @property
    def generator(self) -> torch.Generator:
        """Where the next bits come from, seeded when first asked for: most networks draw none."""
        if self._due is not None:
            self._generator.manual_seed(self._due)
            self._due = None
        return self._generator

    def bits(self, shape: Sequence[int]) -> Tensor:
        """Integers from −2¹⁵ to 2¹⁵ − 1, each as likely, int16 of this shape on the generator's device."""
        size = -(-math.prod(shape) * _BITS // 64)
        words = torch.empty(size, dtype=torch.int64, device=self.generator.device)
        return self.write(words).view(torch.int16)[: math.prod(shape)].view(*shape)

    def write(self, words: Tensor) -> Tensor:
        """Fill int64 words, four elements each, as ``bits`` does; they are returned."""
        return words.random_(-(2**63), None, generator=self.generator)


@dataclass(frozen=True)
class TrainingMode:
    """How ops compute in training steps.

    ``noise`` is what they draw from, and from nothing else; without it nothing is dropped. ``update_statistics`` is
    false for passes that shall leave no trace, such as those of disturbed inputs.
    """

    noise: Noise | None = None
    update_statistics: bool = True
