"""Whether a network learnt and, where it did not, why: the causes of ``causes.py``, each measured on a ``Case``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from mlptrain.data import Splits
from mlptrain.experiment.case import Case
from mlptrain.experiment.causes import CAUSES
from mlptrain.experiment.trials import Trials, best_constant_loss
from mlptrain.runs.records import Diagnosis, Kind
from mlptrain.spec import Experiment
from mlptrain.training.endings import Ending
from mlptrain.training.layers import LayerFigures, measure_layers
from mlptrain.training.metrics import Metrics
from mlptrain.training.trainer import TrainedModel


def chance_lines(constant: float, n_classes: int) -> tuple[float, float]:
    """The loss above which and the accuracy below which a network has learnt next to nothing.

    0.92 of what the best ``constant`` guess costs (ln k for cross-entropy on k classes), and a quarter of the way from
    1/k to 1.
    """
    return 0.92 * constant, 1 / n_classes + (1 - 1 / n_classes) / 4 if n_classes else 0.0


def is_falling(losses: Sequence[float]) -> bool:
    """Whether the training loss was still on its way down: the last third of the epochs lowered it in every one.

    Weight decay, a too large step or dead units let a loss settle or wander, and then some late epoch raises it or
    leaves it as it was.
    """
    tail = losses[-max(3, math.ceil(len(losses) / 3)) :]
    steps = [after - before for before, after in pairwise(tail)]
    return len(steps) > 0 and all(step < 0 for step in steps) and sum(steps) < -1e-3 * tail[0]


def diagnose(
    model: TrainedModel,
    experiment: Experiment,
    splits: Splits,
    *,
    train: Metrics,
    losses: Sequence[float],
    models: int = 1,
) -> Diagnosis | None:
    """None for a network that learnt; ``losses`` are the training losses of all epochs, ``models`` train together.

    *Stuck*: the last one is above 0.92 of a constant guess's, with an accuracy near chance, and not falling; also where
    a whole layer is idle, so that what falls is the output biases on their way to that guess. *Slow*: falling above
    that line. A regression whose loss falls and has halved since the first epoch is learning.
    """
    constant = best_constant_loss(experiment, model.loss, model.loss.in_unit_targets(model.examples.targets))
    n_classes = len(experiment.facts.class_names)
    answers = 2 ** min(n_classes, 60) if experiment.facts.is_multi_label else n_classes  # an accuracy is of all labels
    loss_line, accuracy_line = chance_lines(constant, answers)
    falling = is_falling(losses)
    if train.loss <= loss_line:
        return None
    if not falling and train.accuracy is not None and train.accuracy >= accuracy_line:
        return None
    trials = Trials(experiment, splits.train, models=models)
    layers = _measured(model, trials.measured)
    blocked = any(layer.idle == 1 for layer in layers)
    if falling and not blocked and train.accuracy is None and train.loss <= losses[0] / 2:
        return None
    kind: Kind = "slow" if falling and not blocked else "stuck"
    over = f" over {n_classes} {'labels' if experiment.facts.is_multi_label else 'classes'}" if n_classes else ""
    loss = f"{train.loss:.4f}" if train.loss < 1e5 else f"{train.loss:.4g}"
    described = f"training loss {loss} (a constant guess{over} costs {constant:.4f})"
    if train.accuracy is not None:
        described += f", accuracy {train.accuracy:.3f}"
    case = Case(experiment, splits, model, trials, kind=kind, loss=train.loss, layers=layers, epochs=len(losses))
    learns = "the loss is still falling" if falling else "the network did not learn"
    if kind == "stuck" and falling:
        learns = "the network cannot learn any more, though the loss still falls towards that of a constant guess"
    return _with_causes(case, f"{kind}: {learns}: {described}")


def diagnose_divergence(
    model: TrainedModel, experiment: Experiment, splits: Splits, ending: Ending, *, models: int = 1
) -> Diagnosis:
    """Why a run diverged: what is wrong with its configuration, seen before its first step and in the trials.

    ``models`` train together.
    """
    case = Case(experiment, splits, model, Trials(experiment, splits.train, models=models), kind="diverged")
    return _with_causes(case, ending.message)


def _with_causes(case: Case, message: str) -> Diagnosis:
    """Everything is measured, what comes first in a network first."""
    for measure in CAUSES:
        measure(case)
    return case.diagnosis(message)


def _measured(model: TrainedModel, n: int) -> list[LayerFigures]:
    """The layers after training, on ``n`` rows."""
    rows = model.examples.spaced(n)
    return measure_layers(model.trainer.network, model.parameters, loss=model.loss, x=rows.inputs, targets=rows.targets)
