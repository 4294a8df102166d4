"""What training batches are changed into: images distorted, noise added, rectangles erased, examples mixed.

A batch is changed as a whole, on its device, as stored, before it is scaled, so that background stays background. What
is drawn follows from the seed, the epoch and the place in its order alone: models of one seed train on the same inputs,
and a resumed run needs no state. Each ingredient has a generator of its own, so that leaving one out changes no other.
What is drawn for every pixel is drawn on the device of the batch, and is another there than on the CPU.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mlptrain.data.distortion import displacements, erase_, inverse_affine, resample
from mlptrain.data.preprocessing import Preprocessing
from mlptrain.seeds import derived_seed
from mlptrain.sources.facts import DataFacts
from mlptrain.spec.augmentation import MOVES, AugmentationSpec

_PIECE = 64  # rows at once on a CPU: what is computed of them stays in a core's cache; a GPU takes the whole batch
_ERASED = (0.02, 0.33)  # smallest and largest share of the image
_RATIO = (0.3, 3.3)  # height over width
_BITS = 16  # of a number of the elastic noise, which is a third of the cost of a float


@dataclass(frozen=True)
class Mix:
    """How the examples of a batch are mixed: each keeps ``share`` of itself, and ``partners`` (n,) give the rest.

    The share is at least a half, so that an example's own label is the larger part of its targets.
    """

    share: float
    partners: Tensor

    def of(self, values: Tensor) -> Tensor:
        """Inputs or targets (n, …) mixed."""
        return torch.lerp(values.index_select(0, self.partners), values, self.share)


class Augmentation:
    """What the section asks for, for data with these facts."""

    def __init__(self, section: AugmentationSpec, facts: DataFacts) -> None:
        self.section, self.facts = section, facts
        active = section.active()
        self.moves = any(key in MOVES for key in active)
        unit = facts.maximum if facts.image_shape else None  # of the noise; without one it is added to scaled inputs
        self.raw_noise = section.noise * (unit or 0)
        self.scaled_noise = 0.0 if unit else section.noise

    @classmethod
    def of(cls, section: AugmentationSpec, facts: DataFacts) -> Augmentation | None:
        """None where the section asks for nothing."""
        return cls(section, facts) if section.active() else None

    def epoch(self, seed: int, epoch: int, *, device: torch.device | str = "cpu") -> AugmentedEpoch:
        """What is drawn for the batches of an epoch, which lie on ``device``."""
        return AugmentedEpoch(self, seed, epoch, device=device)


class AugmentedEpoch:
    """The batches of one epoch of the models with one seed, changed one after the other in the order of the steps."""

    def __init__(
        self, augmentation: Augmentation, seed: int, epoch: int, *, device: torch.device | str = "cpu"
    ) -> None:
        self._augmentation = augmentation

        def generator(purpose: str, device: torch.device | str = "cpu") -> torch.Generator:
            return torch.Generator(device).manual_seed(derived_seed(seed, f"augmentation {purpose}", epoch))

        self._elastic, self._noise = generator("elastic", device), generator("noise", device)
        self._moves, self._erase, self._partners = generator("moves"), generator("erase"), generator("partners")
        self._mixes: deque[Mix] = deque()  # of the next batches
        self._shares = np.random.default_rng(derived_seed(seed, "augmentation shares", epoch))

    def targets(self, targets: Tensor, batch_size: int) -> Tensor:
        """The targets (n, …) of the next batches, whose inputs are written afterwards.

        Where examples are mixed, labels become rows of the classes' shares.
        """
        section, classes = self._augmentation.section, len(self._augmentation.facts.class_names)
        if not section.mixup:
            return targets
        if not targets.is_floating_point():
            targets = functional.one_hot(targets, classes).to(torch.get_default_dtype())
        batches = torch.split(targets, batch_size)
        for batch, share in zip(batches, self._shares.beta(section.mixup, section.mixup, len(batches)), strict=True):
            partners = torch.randperm(len(batch), generator=self._partners).to(batch.device)
            self._mixes.append(Mix(float(max(share, 1 - share)), partners))
        return torch.cat([mix.of(batch) for mix, batch in zip(self._mixes, batches, strict=True)])

    def write(self, stored: Tensor, preprocessing: Preprocessing, *, out: Tensor) -> None:
        """The next batch (n, n_features), as stored, changed and scaled into ``out``; ``stored`` may be overwritten."""
        at_once = len(stored) if stored.is_cuda else _PIECE
        for rows, into in zip(torch.split(stored, at_once), torch.split(out, at_once), strict=True):
            preprocessing.write(self._changed(rows), out=into)
            if std := self._augmentation.scaled_noise:
                into.add_(self._normal(into), alpha=std)
        if self._mixes:
            out.copy_(self._mixes.popleft().of(out))

    def _changed(self, rows: Tensor) -> Tensor:
        augmentation, section = self._augmentation, self._augmentation.section
        shape = augmentation.facts.image_shape
        if shape is None or not (augmentation.moves or augmentation.raw_noise or section.erase):
            return rows
        channels = augmentation.facts.channels
        images = rows.float().view(-1, *shape, channels).permute(0, 3, 1, 2).contiguous()
        if augmentation.moves:
            images = self._moved(images)
        if std := augmentation.raw_noise:
            images.add_(self._normal(images), alpha=std)
        if section.erase:
            erase_(images, self._rectangles(images))
        return images.permute(0, 2, 3, 1).reshape(rows.shape)

    def _normal(self, like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=self._noise, device=like.device)

    def _moved(self, images: Tensor) -> Tensor:
        section, n = self._augmentation.section, len(images)
        u = torch.rand(6, n, generator=self._moves)  # all of them, so that no key changes what another draws
        around = 2 * u[:3] - 1
        shift = (u[3:5] * (2 * section.shift + 1)).floor() - section.shift
        mirror = torch.ones(n, 2)
        if section.flip != "none":
            mirror[:, int(section.flip == "vertical")] -= 2 * (u[5] < 0.5)
        maps = inverse_affine(
            rotate=section.rotate * around[0],
            shear=section.shear * around[1],
            scale=1 + section.scale * around[2],
            shift=shift.t(),
            mirror=mirror,
        )
        field = None
        if (elastic := section.elastic) is not None:
            noise = self._uniform(n, *images.shape[2:])
            field = displacements(noise, alpha=elastic.alpha, sigma=elastic.sigma)
        return resample(images, maps.to(images.device), field)

    def _uniform(self, n: int, height: int, width: int) -> Tensor:
        """Numbers from −1 to 1, (n, 2, height, width)."""
        count = n * 2 * height * width
        words = torch.empty(-(-count * _BITS // 64), dtype=torch.int64, device=self._elastic.device)
        words.random_(-(2**63), None, generator=self._elastic)
        return torch.div(words.view(torch.int16)[:count].view(n, 2, height, width), 2 ** (_BITS - 1))

    def _rectangles(self, images: Tensor) -> Tensor:
        """What is erased of each image, (n, 4) as ``erase_`` takes it; of height 0 where nothing is."""
        n, _, height, width = images.shape
        u = torch.rand(5, n, generator=self._erase)
        area = (_ERASED[0] + u[0] * (_ERASED[1] - _ERASED[0])) * height * width
        ratio = (math.log(_RATIO[0]) + u[1] * math.log(_RATIO[1] / _RATIO[0])).exp()
        tall, wide = (area * ratio).sqrt().round().clamp(1, height), (area / ratio).sqrt().round().clamp(1, width)
        top, left = (u[2] * (height - tall + 1)).floor(), (u[3] * (width - wide + 1)).floor()
        tall *= u[4] < self._augmentation.section.erase
        return torch.stack([top, left, tall, wide], dim=1).to(images.device)
