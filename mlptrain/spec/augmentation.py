"""The ``augmentation`` section: what is done at random to the inputs of training batches, and to nothing else."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from mlptrain.spec.base import Section

# Keys that move pixels about, and those that need to know where a pixel is: both need images.
MOVES = ("shift", "rotate", "scale", "shear", "elastic", "flip")
OF_IMAGES = (*MOVES, "erase")


class ElasticSpec(Section):
    """Elastic distortions (Simard et al., 2003): every pixel is displaced, its neighbours by about the same.

    Uniform noise from −1 to 1 for each pixel and direction, smoothed by a Gaussian of standard deviation sigma, times
    alpha. Displacements have a standard deviation of about 0.16·alpha/sigma pixels, which is 1 for 36 and 6, and up to
    twice that at the edges. torchvision means half as much by the same alpha.
    """

    alpha: float = Field(ge=0, le=1e4, description="Strength, in pixels: the factor of the smoothed noise.")
    sigma: float = Field(gt=0, le=100, description="Standard deviation of the smoothing, in pixels.")

    @property
    def displacement(self) -> float:
        """Standard deviation of the displacements along each axis far from the edges, in pixels.

        That of the noise, 1/√3, times the root of the sum of the squared weights, which is 1/(2√π·sigma) where the
        Gaussian is wide against a pixel.
        """
        return self.alpha / math.sqrt(3) * min(1.0, 1 / (2 * math.sqrt(math.pi) * self.sigma))


class AugmentationSpec(Section):
    """Random changes of the inputs of training batches, others in every epoch; evaluation never sees them.

    shift, rotate, scale, shear, elastic and flip are one resampling of the image, bilinear on a background of 0. They
    and erase need images; noise and mixup suit any data. 0 and none are off.
    """

    shift: int = Field(0, ge=0, le=10_000, description="Whole pixels from −shift to shift, across and down.")
    rotate: float = Field(0.0, ge=0, le=180, description="Degrees, from −rotate to rotate, around the centre.")
    scale: float = Field(0.0, ge=0, le=0.9, description="Factors from 1 − scale to 1 + scale.")
    shear: float = Field(0.0, ge=0, le=80, description="Degrees, from −shear to shear, of the upright lines.")
    elastic: ElasticSpec | None = Field(None, description="Smooth displacements of all pixels. Default: none.")
    flip: Literal["none", "horizontal", "vertical"] = Field(
        "none", description="Half of the images: left and right, or top and bottom, change places."
    )
    noise: float = Field(
        0.0,
        ge=0,
        le=10,
        description="Standard deviation of the Gaussian noise in every input; the largest pixel value is 1. For data "
        "other than images in the unit of the scaled inputs.",
    )
    erase: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Probability that a rectangle of the image becomes background (Zhong et al., 2020): 2 to 33 % of "
        "the area, 0.3 to 3.3 times as high as wide.",
    )
    mixup: float = Field(
        0.0,
        ge=0,
        le=100,
        description="Every example is mixed with another one of its batch, inputs and targets alike; the share, one "
        "for a batch, is from Beta(mixup, mixup) (Zhang et al., 2018). For the cross-entropies.",
    )

    def active(self) -> list[str]:
        """The keys that do something, in order."""
        return [key for key, value in self if value and value != "none"]

    def described(self) -> str:
        """What it does, in the words of the configuration: ``shift 2, rotate 15, elastic alpha 36 sigma 6``."""
        return ", ".join(f"{key} {_described(getattr(self, key))}" for key in self.active())


def _described(value: object) -> str:
    if isinstance(value, ElasticSpec):
        return f"alpha {value.alpha:g} sigma {value.sigma:g}"
    return value if isinstance(value, str) else f"{value:g}"
