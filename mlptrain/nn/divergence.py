"""How far two predictions of classes are apart."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from mlptrain.nn.losses import columns
from mlptrain.spec.loss import LossSpec


class Divergence:
    """KL(p ‖ q) = Σ p·(log p − log q) of the probabilities that reference and outputs are the logits of, in nats.

    The sum is over the classes of a row, and over its labels where each is a yes or no; rows are reduced as the loss of
    the section reduces them. The gradient by q's logits is q − p, under softmax and sigmoid alike.
    """

    def __init__(self, section: LossSpec) -> None:
        self._section, self._probabilities = section, _LINKS[section.contains]

    def __call__(self, outputs: Tensor, reference: Tensor) -> Tensor:
        """The objective of logits (n, k), of shape (), which autograd can differentiate."""
        log_p, log_q = (self._log_probabilities(columns(logits)) for logits in (reference, outputs))
        of_rows = (log_p.exp() * (log_p - log_q)).sum(dim=-2)
        return of_rows.mean() if self._section.reduction == "mean" else of_rows.sum()

    def write_gradient(self, outputs: Tensor, reference: Tensor, out: Tensor) -> None:
        """Write its gradient by ``outputs`` into ``out``; all are logits in columns, (models, k, n)."""
        torch.sub(self._probabilities(outputs), self._probabilities(reference), out=out)
        if self._section.reduction == "mean":
            out.div_(out.shape[-1])

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
