"""Why a classifier did not learn: measured on the network where that is possible, read off its configuration else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from mlptrain.nn.parameters import Parameters
from mlptrain.runs.records import Diagnosis
from mlptrain.spec import Experiment
from mlptrain.training.metrics import Metrics
from mlptrain.training.trainer import TrainedModel

_PROBE_ROWS = 2048


def chance_lines(n_classes: int) -> tuple[float, float]:
    """The loss above which and the accuracy below which a classifier has learnt next to nothing.

    0.92·ln k of the ln k that a constant guess costs, and a quarter of the way from 1/k to 1.
    """
    return 0.92 * math.log(n_classes), 1 / n_classes + (1 - 1 / n_classes) / 4


def is_falling(losses: Sequence[float]) -> bool:
    """Whether the training loss was still on its way down: the last third of the epochs lowered it in every one.

    Weight decay, a too large step or dead units let a loss settle or wander, and then some late epoch raises it or
    leaves it as it was.
    """
    tail = losses[-max(3, math.ceil(len(losses) / 3)) :]
    steps = [after - before for before, after in pairwise(tail)]
    return len(steps) > 0 and all(step < 0 for step in steps) and sum(steps) < -1e-3 * tail[0]


def diagnose(
    model: TrainedModel, experiment: Experiment, *, train: Metrics, losses: Sequence[float], initial: Parameters
) -> Diagnosis | None:
    """None for a network that learnt; ``losses`` are the training losses of all epochs, ``initial`` the first weights.

    Judged on classifiers with cross_entropy or bce, whose loss under a constant guess is ln k.
    """
    n_classes = len(experiment.facts.class_names)
    if experiment.loss.reads != "logits" or train.accuracy is None:
        return None
    loss_line, accuracy_line = chance_lines(n_classes)
    falling = is_falling(losses)
    if train.loss <= loss_line or (train.accuracy >= accuracy_line and not falling):
        return None
    described = (
        f"training loss {train.loss:.4f} (a constant guess over {n_classes} classes costs {math.log(n_classes):.4f}), "
        f"accuracy {train.accuracy:.3f}"
    )
    causes = _causes(model, experiment, initial)
    if falling:
        message = f"slow: {described}; the loss is still falling, so train longer or raise the learning rate"
        return Diagnosis(kind="slow", message=message, causes=list(causes))
    unknown = ("no known cause was found; look at the learning rate and at the scaling of the data first",)
    message = f"stuck: the network did not learn: {described}"
    return Diagnosis(kind="stuck", message=message, causes=list(causes or unknown))


def _causes(model: TrainedModel, experiment: Experiment, initial: Parameters) -> tuple[str, ...]:
    rows = model.examples.head(_PROBE_ROWS)
    x, targets = rows.inputs, rows.targets
    causes = _output_activation(experiment) + _dead_units(model, x)
    causes += _weight_decay(model, experiment, x, targets)
    causes += _learning_rate(model, experiment, initial)
    return tuple(causes)


def _output_activation(experiment: Experiment) -> list[str]:
    name = experiment.model.output_activation.name
    if name == "identity":
        return []
    return [
        f"model.output_activation: '{name}' is applied to the logits that '{experiment.loss.name}' expects"
        + ("; it cuts off every negative one and its gradient with it" if name == "relu" else "")
        + "; set it to identity"
    ]


@torch.no_grad()
def _dead_units(model: TrainedModel, x: Tensor) -> list[str]:
    """Layers of rectifiers most of whose units give zero for every example."""
    causes = []
    network, parameters = model.trainer.network, model.parameters
    for layer in network.layers:
        x = layer.activate(parameters, layer.product(parameters, x))
        dead = float((x == 0).all(dim=0).double().mean())
        if dead >= 0.5 and any(op.kinks for op in layer.ops):
            last = layer is network.layers[-1]
            where = "the output layer" if last else f"hidden layer {layer.index + 1}"
            remedy = "set model.output_activation to identity" if last else "lower the learning rate or use leaky_relu"
            causes.append(
                f"{dead:.0%} of the units of {where} give 0 for every one of {len(x):,} examples and can no longer "
                f"learn; {remedy}"
            )
    return causes


def _weight_decay(model: TrainedModel, experiment: Experiment, x: Tensor, targets: Tensor) -> list[str]:
    """Weight decay that is not small beside the data gradient: where training has settled, the two balance."""
    decay = experiment.optimizer.weight_decay
    if decay == 0:
        return []
    trainer = model.trainer
    outputs = {name: tensor.detach().requires_grad_() for name, tensor in model.parameters.items()}
    objective = trainer.loss(trainer.network.forward(outputs, x), targets)
    if experiment.loss.reduction == "sum":
        objective = objective * (trainer.batch_size / len(x))
    gradients = torch.autograd.grad(objective, list(outputs.values()), allow_unused=True)
    decay_norm = decay * float(torch.linalg.vector_norm(model.parameters.clone().flat))
    gradient_norm = float(sum(float(g.square().sum()) for g in gradients if g is not None) ** 0.5)
    shrunk = experiment.training.epochs * trainer.steps_per_epoch * experiment.optimizer.lr * decay
    if decay_norm < 0.3 * gradient_norm and shrunk < 3:
        return []
    relation = "exceeds" if decay_norm > gradient_norm else "is not small beside"
    norms = f"the weight-decay term (norm {decay_norm:.2g}) {relation} the data gradient (norm {gradient_norm:.2g})"
    return [
        f"optimizer.weight_decay: {norms} with weight_decay {decay:g} at lr {experiment.optimizer.lr:g}; "
        f"try {decay / 1000:g} or 0"
    ]


def _learning_rate(model: TrainedModel, experiment: Experiment, initial: Parameters) -> list[str]:
    """How far the weights went from where they began, in lengths of the initial weights."""
    start = float(torch.linalg.vector_norm(initial.flat))
    moved = float(torch.linalg.vector_norm(model.parameters.clone().flat - initial.flat))
    ratio = moved / start if start else math.inf
    lr = experiment.optimizer.lr
    if ratio > 10:
        return [f"optimizer.lr: {lr:g} threw the weights {ratio:.3g} times their initial length away; try {lr / 100:g}"]
    if ratio < 0.02:
        return [f"optimizer.lr: {lr:g} moved the weights by only {ratio:.2%} of their initial length; try {lr * 10:g}"]
    return []
