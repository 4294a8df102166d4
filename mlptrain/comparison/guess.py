"""What answers that ignore the inputs are worth by any metric: the score of a trial that did not last."""

from __future__ import annotations

import torch

from mlptrain.data import Splits
from mlptrain.experiment.build import device_of, prepared
from mlptrain.nn.losses import Loss
from mlptrain.spec import Experiment
from mlptrain.training.scores import Scorer


@torch.no_grad()
def guessed(experiment: Experiment, splits: Splits, split: str, metric: str, *, loss: Loss) -> float | None:
    """The metric on a split of the same outputs for every row, ``Loss.constant_guess`` of the training targets.

    Of a regression with mse these are the mean of the training targets, of classes their shares in these. None where
    the metric is undefined for them.
    """
    device = device_of(experiment)
    train, rows = (
        prepared(getattr(splits, name), loss=loss, experiment=experiment, device=device) for name in ("train", split)
    )
    guess = loss.constant_guess(train.targets, experiment.output_width)
    outputs = loss.in_unit(guess.to(rows.targets.device).expand(len(rows), -1))
    targets = loss.in_unit_targets(rows.targets)
    if metric == "loss":
        return float(loss.per_example(outputs, targets).double().mean())
    if metric == "accuracy":
        return int(loss.correct(outputs, targets).sum()) / len(rows)
    return Scorer.of(experiment)(outputs, *loss.parted(targets)).figures.get(metric)
