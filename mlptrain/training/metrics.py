"""Loss and accuracy of a network on a whole split, and the table that `mlptrain eval` shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mlptrain.data import Examples
from mlptrain.nn.functions import softmax
from mlptrain.nn.losses import Loss
from mlptrain.nn.network import MLP
from mlptrain.nn.parameters import Parameters

# Rows at once: bounds the memory of the activations. 10,000 rows through 784-392-196-98-10 take 55 ms in chunks of
# 2,048 and 107 ms in chunks of 4,096 (2-core AMD EPYC).
CHUNK_ROWS = 2048


@dataclass(frozen=True)
class Metrics:
    """Means over the examples of a split; accuracy is a fraction, None for regression."""

    loss: float
    accuracy: float | None


@torch.no_grad()
def outputs_of(network: MLP, parameters: Parameters, x: Tensor) -> Tensor:
    """Outputs (n, width) for inputs (n, n_features), in chunks."""
    return torch.cat([network.forward(parameters, chunk) for chunk in torch.split(x, CHUNK_ROWS)])


@torch.no_grad()
def evaluate(network: MLP, parameters: Parameters, *, loss: Loss, examples: Examples, classify: bool) -> Metrics:
    """Mean loss and accuracy; targets as the loss encodes them. Touches no generator, parameter or buffer."""
    outputs = outputs_of(network, parameters, examples.inputs)
    total = loss.per_example(outputs, examples.targets).double().mean()
    correct = int(loss.correct(outputs, examples.targets).sum()) if classify else 0
    return Metrics(float(total), correct / len(examples) if classify else None)


def classification_table(predicted: Tensor, labels: Tensor, *, class_names: tuple[str, ...]) -> dict[str, Any]:
    """What there is to say of predictions (n,) against labels (n,): keys wrong, interval, per_class, confusion.

    ``interval`` is Wilson's 95 % interval of the accuracy, from scipy; precision and recall are scikit-learn's, 0
    where undefined; ``confusion[i][j]`` counts examples of class i that were predicted as j.
    """
    from scipy.stats import binomtest  # here: it takes longer to import than to train a small network
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    true, found = labels.cpu().numpy(), predicted.cpu().numpy()
    known = list(range(len(class_names)))
    correct = int((true == found).sum())
    interval = binomtest(correct, len(true)).proportion_ci(confidence_level=0.95, method="wilson")
    precision, recall, _, support = precision_recall_fscore_support(true, found, labels=known, zero_division=0)
    figures = (column.tolist() for column in (precision, recall, support))
    return {
        "wrong": len(true) - correct,
        "interval": [float(interval.low), float(interval.high)],
        "per_class": [
            {"class": name, "precision": found_right, "recall": was_found, "examples": count}
            for name, found_right, was_found, count in zip(class_names, *figures, strict=True)
        ],
        "confusion": confusion_matrix(true, found, labels=known).tolist(),
    }


def predicted_classes(outputs: Tensor) -> Tensor:
    """Class of each row (n,): the largest output, or for a single logit whether it is above 0."""
    return (outputs[:, 0] > 0).long() if outputs.shape[1] == 1 else outputs.argmax(dim=1)


def probabilities(outputs: Tensor) -> Tensor:
    """Class probabilities (n, k) in float64: softmax of k outputs, or 1 − σ and σ of a single logit."""
    outputs = outputs.double()
    if outputs.shape[1] == 1:
        return torch.cat([torch.sigmoid(-outputs), torch.sigmoid(outputs)], dim=1)
    return softmax(outputs)
