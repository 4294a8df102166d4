"""Steps whose objective has a term for disturbed inputs: adversarial and virtual adversarial training.

A step is several passes through one network: the masks of its first pass hold for all of them, so that the inputs are
all that differs. Passes on disturbed inputs use their own batch's statistics and leave the running ones alone.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mlptrain.nn.divergence import Divergence
from mlptrain.nn.engines.autograd import Autograd
from mlptrain.nn.engines.base import Engine
from mlptrain.nn.losses import Loss, SampleWeighted
from mlptrain.nn.network import MLP
from mlptrain.seeds import derived_seed
from mlptrain.spec import adversarial
from mlptrain.spec.adversarial import AdversarialSpec
from mlptrain.spec.base import Section


class Adversarial(Engine):
    """The gradient of loss(x) + weight · term(x + r) with r held fixed; the outputs of a step are those of x.

    ``term`` compares the outputs of every member with ``references``. These and ``disturbed``, the inputs x + r
    (models, n, in), which all members share, are those of the last step.
    """

    section: AdversarialSpec
    term: Loss | Divergence
    disturbed: Tensor
    references: Tensor

    def __init__(self, network: MLP, **settings: Any) -> None:
        super().__init__(network, **settings)
        self.passes = Autograd(network, **settings)

    @classmethod
    def runs(cls, network: MLP) -> bool:
        """Where its passes run."""
        return Autograd.runs(network)

    def start_epoch(self, epoch: int) -> None:
        """As Engine."""
        self.passes.start_epoch(epoch)

    @torch.no_grad()
    def run(self, inputs: Sequence[Tensor], targets: Tensor) -> Tensor:
        """As Engine."""
        parts = [x.expand(size, *x.shape) for x, size in zip(inputs, self.groups, strict=True)]
        x = parts[0] if len(parts) == 1 else torch.cat(parts)
        outputs = self.passes.forward(x)
        share, upstream = self.network.share(self.loss), torch.empty_like(outputs)
        targets = targets.repeat(1, 1, self.network.members)
        self.loss.write_gradient(outputs, targets, upstream)
        self.disturbed, self.references = self._disturb(x, upstream.mul_(share), outputs, targets)
        found = self.passes.forward(self.disturbed, again=True)
        self.term.write_gradient(found, self.references, upstream)
        self.passes.backward(upstream.mul_(self.section.weight * share), add=True)
        return torch.stack([self.network.combined(rows.t()).t() for rows in outputs])

    @abstractmethod
    def _disturb(self, x: Tensor, upstream: Tensor, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Write the gradient of the clean pass, and find x + r and what its outputs are compared with."""


class VirtualAdversarial(Adversarial):
    """KL(p(x) ‖ p(x + r)) with r = ε · unit(∇_d KL(p(x) ‖ p(x + ξd))), the gradient through p(x) stopped.

    Miyato, Maeda, Koyama & Ishii, Virtual adversarial training (2017), algorithm 1. The KL divergence has its minimum,
    0, at d = 0, so that its gradient at ξd is ξHd to first order, with H its Hessian there: a step of the power
    iteration to H's first eigenvector. d starts at random, drawn for every row, epoch by epoch from the model's seed;
    where the gradient vanishes it stays what it was. ξ = 1e-2 moves p by more than float32 rounds off, which 1e-6 does
    not.
    """

    section: adversarial.VirtualAdversarial

    def __init__(self, network: MLP, *, section: adversarial.VirtualAdversarial, **settings: Any) -> None:
        super().__init__(network, **settings)
        self._weighted = isinstance(self.loss, SampleWeighted)
        self.section, self.term = section, Divergence(self.loss.section, weighted=self._weighted)
        self._distance = Divergence(self.loss.section)
        self._sources = [torch.Generator() for _ in self.noise] or [torch.Generator()]
        self.start_epoch(0)

    def start_epoch(self, epoch: int) -> None:
        """As Engine."""
        super().start_epoch(epoch)
        for seed, source in zip(self._seeds or [0], self._sources, strict=True):
            source.manual_seed(derived_seed(seed, "adversarial", epoch))

    def _disturb(self, x: Tensor, upstream: Tensor, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        self.passes.backward(upstream)
        d = torch.empty_like(x)
        for source, models in zip(
            self._sources, [models for models, _ in self.noise] or [slice(0, self.models)], strict=True
        ):
            d[models] = torch.randn(x.shape[1:], generator=source)
        d = unit(d, instead=d)
        for _ in range(self.section.iterations):
            found = self.passes.forward(torch.add(x, d, alpha=self.section.step), again=True)
            self._distance.write_gradient(found, outputs, upstream)
            d = unit(self.passes.backward(upstream, weights=False, inputs=True), instead=d)
        references = torch.cat([outputs, targets[:, -1:]], dim=1) if self._weighted else outputs
        return torch.add(x, d, alpha=self.section.epsilon), references


class FastGradient(Adversarial):
    """The loss of x + r, with r = ε · g/‖g‖₂ or ε · sign(g) for the gradient g of the loss by x; 0 where g is 0.

    Goodfellow, Shlens & Szegedy, Explaining and harnessing adversarial examples (2015), section 5, for ∞-norm. The
    backward pass of x gives g along with the gradient of the parameters.
    """

    section: adversarial.FastGradient

    def __init__(self, network: MLP, *, section: adversarial.FastGradient, **settings: Any) -> None:
        super().__init__(network, **settings)
        self.section, self.term = section, self.loss

    def _disturb(self, x: Tensor, upstream: Tensor, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ARG002
        g = self.passes.backward(upstream, inputs=True)
        direction = g.sign() if self.section.norm == "linf" else unit(g, instead=torch.zeros_like(g))
        return torch.add(x, direction, alpha=self.section.epsilon), targets


ADVERSARIAL: dict[type[Section], type[Adversarial]] = {
    adversarial.VirtualAdversarial: VirtualAdversarial,
    adversarial.FastGradient: FastGradient,
}


def adversarial_engine(section: AdversarialSpec) -> Callable[..., Adversarial]:
    """What makes the engine of a section."""
    return partial(ADVERSARIAL[type(section)], section=section)


def unit(rows: Tensor, *, instead: Tensor) -> Tensor:
    """Rows (…, in) of Euclidean length 1 in the same directions; those of ``instead`` for rows of zeros.

    Divided by the largest element first, whose square may be too small for float32.
    """
    largest = rows.abs().amax(dim=-1, keepdim=True)
    scaled = rows / largest
    return torch.where(largest > 0, scaled / torch.linalg.vector_norm(scaled, dim=-1, keepdim=True), instead)
