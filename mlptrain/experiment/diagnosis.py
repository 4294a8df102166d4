"""Whether a network learnt and, where it did not, why: the causes of ``causes.py``, each measured on a ``Case``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from mlptrain.data import Splits
from mlptrain.experiment.case import Case
from mlptrain.experiment.causes import CAUSES
from mlptrain.experiment.trials import Trials, best_constant_loss, even_constant_loss, largest_share
from mlptrain.runs.records import Diagnosis, Kind
from mlptrain.spec import Experiment
from mlptrain.training.endings import Ending
from mlptrain.training.layers import LayerFigures, measure_layers
from mlptrain.training.metrics import Metrics
from mlptrain.training.trainer import TrainedModel


def chance_lines(constant: float, *, even: float = 0.0, largest: float = 0.0) -> tuple[float, float]:
    """The loss above which and the accuracy below which a network has learnt next to nothing.

    0.92 of what the best ``constant`` guess costs, or of what that of equal classes would, ``even`` (ln k for
    cross-entropy), where this is more, up to 0.99 of the former: where one class is rare, inputs that say something of
    it may take little off the loss of its share. The accuracy is a quarter of the way from the share of the ``largest``
    class to 1.
    """
    return max(0.92 * constant, min(0.99 * constant, 0.92 * even)), largest + (1 - largest) / 4


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
    kept: float = math.inf,
    models: int = 1,
) -> Diagnosis | None:
    """None for a network that learnt; ``losses`` are the training losses of all epochs, ``models`` train together.

    ``kept`` is the training loss of the kept weights.

    *Stuck*: the last one is above the line of ``chance_lines``, with an accuracy below theirs, and not falling; also
    where a whole layer is idle, so that what falls is the output biases on their way to a constant guess. *Slow*:
    falling above that line. A regression whose loss falls and has halved since the first epoch is learning.
    """
    constant = best_constant_loss(experiment, model.loss, model.loss.in_unit_targets(model.examples.targets))
    n_classes, even, largest = len(experiment.facts.class_names), 0.0, 0.0
    if n_classes:
        even, largest = even_constant_loss(experiment), largest_share(splits.train.chosen_targets())
    loss_line, accuracy_line = chance_lines(constant, even=even, largest=largest)
    falling = is_falling(losses)
    if train.loss <= loss_line:
        return None
    if kept <= loss_line and train.loss <= 0.92 * even:
        return None  # of unequal classes the mean over an early epoch is soon above the line
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
        if loss_line > 0.92 * constant:  # the classes are unequal
            described += f" (always the most frequent class: {largest:.3f})"
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
