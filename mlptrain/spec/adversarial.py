"""The ``training.adversarial`` section: the term that a step adds to its objective for disturbed inputs.

Lengths are those of inputs as the network reads them, after scaling; disturbed inputs may leave their range.
"""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from mlptrain.spec.base import Section, ShortName


class _Adversarial(Section):
    needs: ClassVar[str | None] = None  # what the loss must read, where not any will do

    weight: float = Field(1.0, gt=0, le=1e6, description="Factor of the term of disturbed inputs.")


class VirtualAdversarial(_Adversarial):
    """KL(p(x) ‖ p(x + r)), for the r of this length that changes the probabilities most (Miyato et al., 2017)."""

    name: Literal["vat"]
    needs = "logits"
    epsilon: float = Field(2.1, gt=0, le=1e6, description="Euclidean length of r for a row, in units of scaled inputs.")
    step: float = Field(
        1e-2, gt=0, le=1e6, description="Length of the finite difference that finds r; float32 needs about 1e-2."
    )
    iterations: int = Field(1, ge=1, le=100, description="Of the power method; each is a forward and a backward pass.")

    @property
    def products(self) -> int:
        """Of a step, for each weight matrix: three of either term, and two of every iteration."""
        return 6 + 2 * self.iterations

    @property
    def gradients(self) -> int:
        """Of a step: one of either term, and one of every iteration."""
        return 2 + self.iterations

    def length(self, n_features: int) -> float:  # noqa: ARG002
        """Euclidean length of r."""
        return self.epsilon


class FastGradient(_Adversarial):
    """The loss of x + r, for an r along the gradient of the loss by x (Goodfellow et al., 2015)."""

    name: Literal["fgsm"]
    norm: Literal["l2", "linf"] = Field(
        "l2", description="l2: r is the gradient of a row, made epsilon long. linf: r is epsilon times its sign."
    )
    epsilon: float = Field(
        2.0, gt=0, le=1e6, description="Of r for a row (l2) or for each input (linf), in units of scaled inputs."
    )

    @property
    def products(self) -> int:
        """Of a step, for each weight matrix: three of either term."""
        return 6

    @property
    def gradients(self) -> int:
        """Of a step: one of either term."""
        return 2

    def length(self, n_features: int) -> float:
        """Euclidean length of r."""
        return self.epsilon * (math.sqrt(n_features) if self.norm == "linf" else 1.0)


AdversarialSpec = Annotated[VirtualAdversarial | FastGradient, Field(discriminator="name"), ShortName()]
