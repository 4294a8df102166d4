"""Loss and accuracy of a network on a whole split, and the table that `mlptrain eval` shows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mlptrain.data import Examples
from mlptrain.nn.functions import softmax
from mlptrain.nn.losses import Loss, columns
from mlptrain.nn.network import MLP
from mlptrain.nn.parameters import Parameters
from mlptrain.training.scores import NO_SCORES, Scorer, Scores

# Rows at once: bounds the memory of the activations. 10,000 rows through 784-392-196-98-10 take 55 ms in chunks of
# 2,048 and 107 ms in chunks of 4,096 (2-core AMD EPYC).
CHUNK_ROWS = 2048


@dataclass(frozen=True)
class Metrics:
    """Means over the examples of a split; accuracy is a fraction, None for regression.

    ``objective`` is the mean that is minimised, by weights of classes and examples, and smoothed; None where that is
    the loss.
    ``further`` are the figures of ``evaluation.metrics``, none of what was measured while it was trained.
    """

    loss: float
    accuracy: float | None
    objective: float | None = None
    further: Scores = field(default=Scores())

    @property
    def always(self) -> dict[str, Any]:
        """Loss and accuracy by name, without what a configuration asks for besides."""
        return {"loss": self.loss, "accuracy": self.accuracy}


def outputs_of(network: MLP, parameters: Parameters, x: Tensor) -> Tensor:
    """Outputs (n, width) for inputs (n, n_features), in chunks."""
    return _outputs(network, parameters, torch.split(x, chunk_rows(network)))


def chunk_rows(network: MLP) -> int:
    """Rows at once, of each of which every member has its own."""
    return max(1, CHUNK_ROWS // network.members)


@torch.no_grad()
def evaluate(
    network: MLP,
    parameters: Parameters,
    *,
    loss: Loss,
    examples: Examples,
    classify: bool,
    once: bool = False,
    scorer: Scorer = NO_SCORES,
    temperature: float = 1.0,
) -> Metrics:
    """Mean loss, accuracy and the scorer's further figures; targets as the loss encodes them.

    Touches no generator, parameter or buffer. ``temperature`` divides the logits that probabilities are made of; the
    loss is that of the network's own outputs.

    ``once``, for rows that are not evaluated again, gives the same bits and keeps no scaled copy of them: that of
    MNIST's training rows would take 188 MB.
    """
    if once:
        examples = replace(examples)  # which takes with it what it has cached
        outputs = _outputs(network, parameters, (piece.inputs for piece in examples.pieces(chunk_rows(network))))
    else:
        outputs = outputs_of(network, parameters, examples.inputs)
    outputs, targets = loss.in_unit(outputs), loss.in_unit_targets(examples.targets)
    total = loss.per_example(outputs, targets).double().mean()
    correct = int(loss.correct(outputs, targets).sum()) if classify else 0
    further = scorer(outputs, *loss.parted(targets), temperature=temperature)
    objective = None if loss.is_plain else float(loss.mean_of_terms(columns(outputs), columns(targets)))
    return Metrics(float(total), correct / len(examples) if classify else None, objective, further)


@torch.no_grad()
def _outputs(network: MLP, parameters: Parameters, chunks: Iterable[Tensor]) -> Tensor:
    return torch.cat([network.forward(parameters, chunk) for chunk in chunks])


def wilson_interval(correct: int, examples: int) -> list[float]:
    """Wilson's 95 % interval of a share, low and high, from scipy."""
    from scipy.stats import binomtest  # here: it takes longer to import than to train a small network

    interval = binomtest(correct, examples).proportion_ci(confidence_level=0.95, method="wilson")
    return [float(interval.low), float(interval.high)]


def classification_table(predicted: Tensor, labels: Tensor, *, class_names: tuple[str, ...]) -> dict[str, Any]:
    """What there is to say of predictions (n,) against labels (n,): keys wrong, interval, per_class, confusion.

    ``interval`` is that of ``wilson_interval`` for the accuracy; precision and recall are scikit-learn's, None
    where undefined: the precision of a class that was never predicted, the recall of one without examples;
    ``confusion[i][j]`` counts examples of class i that were predicted as j.
    """
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    true, found = labels.cpu().numpy(), predicted.cpu().numpy()
    known = list(range(len(class_names)))
    correct = int((true == found).sum())
    precision, recall, _, support = precision_recall_fscore_support(true, found, labels=known, zero_division=np.nan)
    shares = ([None if np.isnan(share) else float(share) for share in column] for column in (precision, recall))
    return {
        "wrong": len(true) - correct,
        "interval": wilson_interval(correct, len(true)),
        "per_class": [
            {"class": name, "precision": found_right, "recall": was_found, "examples": count}
            for name, found_right, was_found, count in zip(class_names, *shares, support.tolist(), strict=True)
        ],
        "confusion": confusion_matrix(true, found, labels=known).tolist(),
    }


def label_table(outputs: Tensor, targets: Tensor, *, names: tuple[str, ...]) -> dict[str, Any]:
    """``classification_table`` of logits (n, k) for several labels of a row, against targets (n, k) of 0 and 1.

    An example is wrong where one of its labels is; every label's row has its own ``accuracy`` too, ``examples`` are
    those that have the label, and there is no confusion.
    """
    from sklearn.metrics import precision_recall_fscore_support

    found, true = (outputs > 0).cpu().numpy(), (targets > 0.5).cpu().numpy()
    correct = int((true == found).all(axis=1).sum())
    rows = []
    for index, name in enumerate(names):
        given = true[:, index], found[:, index]
        precision, recall, *_ = precision_recall_fscore_support(*given, average="binary", zero_division=np.nan)
        shares = {key: None if np.isnan(s) else float(s) for key, s in (("precision", precision), ("recall", recall))}
        accuracy = float((given[0] == given[1]).mean())
        rows.append({"class": name, **shares, "examples": int(given[0].sum()), "accuracy": accuracy})
    return {
        "wrong": len(true) - correct,
        "interval": wilson_interval(correct, len(true)),
        "per_class": rows,
        "confusion": None,
    }


def quantile_table(outputs: Tensor, targets: Tensor, *, quantiles: Sequence[float]) -> dict[str, Any]:
    """How predicted quantiles (n, t·q), target by target, agree with targets (n, t): keys per_quantile and crossing.

    ``below`` is the share of targets at or below a predicted quantile, over all targets; ``crossing`` is the share of
    examples and targets of which a higher quantile is below a lower one.
    """
    by_target = outputs.double().view(len(outputs), targets.shape[1], len(quantiles))
    below = (targets.double().unsqueeze(2) <= by_target).double().mean(dim=(0, 1)).tolist()
    crossing = (by_target.diff(dim=2) < 0).any(dim=2).double().mean()
    rows = [{"quantile": level, "below": share} for level, share in zip(quantiles, below, strict=True)]
    return {"per_quantile": rows, "crossing": float(crossing)}


def predicted_classes(outputs: Tensor) -> Tensor:
    """Class of each row (n,): the largest output, or for a single logit whether it is above 0."""
    return (outputs[:, 0] > 0).long() if outputs.shape[1] == 1 else outputs.argmax(dim=1)


def probabilities(outputs: Tensor, temperature: float | Tensor = 1.0, *, multi_label: bool = False) -> Tensor:
    """Class probabilities (n, k) in float64: softmax of k outputs, or 1 − σ and σ of a single logit, each over T.

    Of several labels at once σ of every logit.
    """
    outputs = outputs.double() / temperature
    if multi_label:
        return torch.sigmoid(outputs)
    if outputs.shape[1] == 1:
        return torch.cat([torch.sigmoid(-outputs), torch.sigmoid(outputs)], dim=1)
    return softmax(outputs)
