"""Data made from the seed: spirals, and random inputs with random targets.

All numbers are drawn in float64 on the CPU from a generator of their own and rounded to float32, so that the data do
not depend on the device or on earlier draws.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from mlptrain.seeds import derived_seed
from mlptrain.sources.facts import RawData, SourceFacts

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Generated:
    """A source without files: ``make`` draws inputs and targets from a seed."""

    known: SourceFacts
    make: Callable[..., tuple[Tensor, Tensor]]
    by_seed: ClassVar[bool] = True

    def facts(self) -> SourceFacts:
        """As its settings determine them."""
        return self.known

    def read(self, *, seed: int, folder: Path) -> RawData:  # noqa: ARG002 – no files
        """Every seed has rows of its own."""
        x, y = self.make(seed=seed)
        return RawData(x.numpy(), y.numpy())


def make_spirals(
    *, n_classes: int = 3, points_per_class: int = 100, noise: float = 0.2, seed: int
) -> tuple[Tensor, Tensor]:
    """Interleaved spiral arms in the plane, one per class, class after class.

    Class j has the radius r = linspace(0, 1) and the angle t = linspace(4j, 4(j + 1)) + noise · N(0, 1) in radians,
    and lies at (r sin t, r cos t). Returns points (n, 2) float32 and labels (n,) int64.
    """
    import torch

    generator = _generator(seed, "spirals")
    radius = torch.linspace(0, 1, points_per_class, dtype=torch.float64)
    arms = []
    for label in range(n_classes):
        even = torch.linspace(4 * label, 4 * (label + 1), points_per_class, dtype=torch.float64)
        angle = even + noise * torch.randn(points_per_class, dtype=torch.float64, generator=generator)
        arms.append(torch.stack([radius * angle.sin(), radius * angle.cos()], dim=1))
    return torch.cat(arms).float(), torch.arange(n_classes).repeat_interleave(points_per_class)


def make_random_regression(
    *, n_samples: int = 64, n_features: int = 10, n_targets: int = 1, seed: int
) -> tuple[Tensor, Tensor]:
    """Inputs (n_samples, n_features) and unrelated targets (n_samples, n_targets), all N(0, 1), float32."""
    import torch

    generator = _generator(seed, "random regression")
    inputs = torch.randn(n_samples, n_features, dtype=torch.float64, generator=generator)
    targets = torch.randn(n_samples, n_targets, dtype=torch.float64, generator=generator)
    return inputs.float(), targets.float()


def make_random_classification(
    *, n_samples: int = 100, n_features: int = 10, n_classes: int = 4, seed: int
) -> tuple[Tensor, Tensor]:
    """Inputs (n_samples, n_features) N(0, 1) float32 and unrelated, uniform labels (n_samples,) int64."""
    import torch

    generator = _generator(seed, "random classification")
    inputs = torch.randn(n_samples, n_features, dtype=torch.float64, generator=generator)
    return inputs.float(), torch.randint(n_classes, (n_samples,), generator=generator)


def _generator(seed: int, purpose: str) -> torch.Generator:
    import torch

    return torch.Generator().manual_seed(derived_seed(seed, purpose))
