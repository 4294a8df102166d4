"""How far two predictions of classes are apart."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from mlptrain.nn.losses import at_least_tiny, columns
from mlptrain.spec.loss import LossSpec


class Divergence:
    """KL(p ‖ q) = Σ p·(log p − log q) of the probabilities that reference and outputs are the logits of, in nats.

    The sum is over the classes of a row, and over its labels where each is a yes or no; rows are reduced as the loss of
    the section reduces them. The gradient by q's logits is q − p, under softmax and sigmoid alike. Where it is
    ``weighted``, the weights of the rows stand behind the reference's logits, as behind targets (``SampleWeighted``).
    """

    def __init__(self, section: LossSpec, *, weighted: bool = False) -> None:
        self._section, self._weighted, self._probabilities = section, weighted, _LINKS[section.contains]

    def __call__(self, outputs: Tensor, reference: Tensor) -> Tensor:
        """The objective of logits (n, k), of shape (), which autograd can differentiate."""
        given, weights = self._parted(columns(reference))
        log_p, log_q = (self._log_probabilities(logits) for logits in (given, columns(outputs)))
        of_rows = (log_p.exp() * (log_p - log_q)).sum(dim=-2)
        return (of_rows * weights).sum() / self._divisor(weights).squeeze()

    def write_gradient(self, outputs: Tensor, reference: Tensor, out: Tensor) -> None:
        """Write its gradient by ``outputs`` into ``out``; all are logits in columns, (models, k, n)."""
        given, weights = self._parted(reference)
        torch.sub(self._probabilities(outputs), self._probabilities(given), out=out)
        if self._weighted:
            out.mul_((weights / self._divisor(weights)).unsqueeze(-2))
        elif self._section.reduction == "mean":
            out.div_(out.shape[-1])

    def _parted(self, reference: Tensor) -> tuple[Tensor, Tensor]:
        """Logits in columns, and the weights of the examples, (models, n); 1 where there are none."""
        if self._weighted:
            return reference[..., :-1, :], reference[..., -1, :]
        return reference, reference.new_ones(()).expand(reference.shape[0], reference.shape[-1])

    def _divisor(self, weights: Tensor) -> Tensor:
        """What a sum over the rows is divided by, (models, 1)."""
        total = at_least_tiny(weights.sum(dim=-1, keepdim=True))
        return total if self._section.reduction == "mean" else torch.ones_like(total)

    def sides_of_kinks(self, outputs: Tensor, reference: Tensor) -> list[Tensor]:  # noqa: ARG002
        """There are none."""
        return []

    def _log_probabilities(self, logits: Tensor) -> Tensor:
        """Of every class, or of yes and no for every label."""
        if self._section.contains == "softmax":
            return logits.log_softmax(dim=-2)
        return torch.cat([functional.logsigmoid(logits), functional.logsigmoid(-logits)], dim=-2)


def _softmax_of_columns(logits: Tensor) -> Tensor:
    return logits.softmax(dim=-2)


_LINKS: dict[str, Callable[[Tensor], Tensor]] = {"softmax": _softmax_of_columns, "sigmoid": torch.sigmoid}
