"""Data made from the seed: points in the plane, a function of one variable, random inputs with random targets.

All numbers are drawn in float64 on the CPU from a generator of their own and rounded to float32, so that the data do
not depend on the device or on earlier draws.
"""

from __future__ import annotations

import math
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


def make_random_multilabel(
    *, n_samples: int = 100, n_features: int = 20, n_classes: int = 5, n_labels: int = 2, seed: int
) -> tuple[Tensor, Tensor]:
    """scikit-learn's make_multilabel_classification: counts of words in documents of several topics, the labels.

    Returns inputs (n_samples, n_features) and targets (n_samples, n_classes) of 0 and 1, float32; a row has n_labels on
    average and may have none.
    """
    import torch
    from sklearn.datasets import make_multilabel_classification

    x, y = make_multilabel_classification(
        n_samples,
        n_features,
        n_classes=n_classes,
        n_labels=n_labels,
        random_state=derived_seed(seed, "random multilabel") % 2**32,
    )
    return torch.from_numpy(x).float(), torch.from_numpy(y).float()


def make_xor(*, points_per_corner: int = 1, noise: float = 0.0, seed: int) -> tuple[Tensor, Tensor]:
    """Points around (0, 0), (0, 1), (1, 0) and (1, 1), corner after corner; the class is 1 where one coordinate is.

    Returns points (n, 2) float32, with noise · N(0, 1) in each coordinate, and labels (n,) int64.
    """
    import torch

    corners = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    labels = torch.tensor([0, 1, 1, 0])
    points = corners.repeat_interleave(points_per_corner, dim=0)
    return _noisy(points, noise, seed, "xor").float(), labels.repeat_interleave(points_per_corner)


def make_moons(*, n_samples: int = 200, noise: float = 0.1, seed: int) -> tuple[Tensor, Tensor]:
    """Two half circles that interleave, as scikit-learn's make_moons: (cos t, sin t) and (1 − cos t, ½ − sin t).

    t = linspace(0, π) on each; the first has ⌊n/2⌋ points and class 0. Returns points (n, 2) float32, with noise ·
    N(0, 1) in each coordinate, and labels (n,) int64.
    """
    import torch

    upper = n_samples // 2
    first, second = (torch.linspace(0, math.pi, n, dtype=torch.float64) for n in (upper, n_samples - upper))
    points = torch.cat([_circle(first), torch.tensor([1.0, 0.5], dtype=torch.float64) - _circle(second)])
    return _noisy(points, noise, seed, "moons").float(), (torch.arange(n_samples) >= upper).long()


def make_circles(*, n_samples: int = 200, noise: float = 0.05, factor: float = 0.5, seed: int) -> tuple[Tensor, Tensor]:
    """A circle of radius 1 with one of radius ``factor`` in it, as scikit-learn's make_circles.

    Points lie at equal angles; the outer circle has ⌊n/2⌋ and class 0. Returns points (n, 2) float32, with noise ·
    N(0, 1) in each coordinate, and labels (n,) int64.
    """
    import torch

    outer = n_samples // 2
    angles = [torch.arange(n, dtype=torch.float64) * (2 * math.pi / n) for n in (outer, n_samples - outer)]
    points = torch.cat([_circle(angles[0]), factor * _circle(angles[1])])
    return _noisy(points, noise, seed, "circles").float(), (torch.arange(n_samples) >= outer).long()


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sin": lambda x: x.sin(),
    "cos": lambda x: x.cos(),
    "square": lambda x: x**2,
    "cube": lambda x: x**3,
    "abs": lambda x: x.abs(),
    "step": lambda x: (x >= 0).to(x.dtype),
    "gauss": lambda x: (-(x**2)).exp(),
    "runge": lambda x: 1 / (1 + 25 * x**2),
}


def make_function(
    *, function: str = "sin", low: float = -3.0, high: float = 3.0, n_samples: int = 100, noise: float = 0.0, seed: int
) -> tuple[Tensor, Tensor]:
    """Inputs (n, 1) = linspace(low, high) and targets (n, 1), one of FUNCTIONS plus noise · N(0, 1), float32."""
    import torch

    x = torch.linspace(low, high, n_samples, dtype=torch.float64).unsqueeze(1)
    return x.float(), _noisy(FUNCTIONS[function](x), noise, seed, "function").float()


def _circle(angles: Tensor) -> Tensor:
    import torch

    return torch.stack([angles.cos(), angles.sin()], dim=1)


def _noisy(values: Tensor, noise: float, seed: int, purpose: str) -> Tensor:
    import torch

    generator = _generator(seed, purpose)
    return values + noise * torch.randn(values.shape, dtype=torch.float64, generator=generator)


def _generator(seed: int, purpose: str) -> torch.Generator:
    import torch

    return torch.Generator().manual_seed(derived_seed(seed, purpose))
