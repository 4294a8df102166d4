"""What can keep a network from learning: each is one function that measures it, in the order of ``CAUSES``."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from mlptrain.experiment.case import Case, with_changes
from mlptrain.nn.noise import TrainingMode
from mlptrain.runs.records import plain_value
from mlptrain.spec.model import FileInit
from mlptrain.spec.optimizer import SGD, Foreign
from mlptrain.spec.schedule import Plateau

_PROBE_ROWS = 2048
_MAX_EPOCHS = 10_000_000
_DECAYED = 0.1  # of the learning rate, on the average of a run: with less a schedule may be at fault
_FADED = 0.01  # of what a layer has at one end of the network: at the other, hardly anything is left
_LEARNT = 0.3  # of what the best learning rate of the trials gains over a constant guess: with less a rate is at fault
_BEST = 0.9  # of the same, from the initial weights on: the lowest rate that gains so much is the one advised
_LOST = 0.01  # of the same: where no rate gains as much, the highest that loses no more is advised


def _output_activation(case: Case) -> None:
    """An activation on the logits, or one that cannot reach the targets."""
    experiment, name = case.changed, case.changed.model.output_activation.name
    if name == "identity":
        return
    if experiment.loss.reads == "logits":
        cuts = "; it cuts off every negative one and its gradient with it" if name == "relu" else ""
        case.add(
            f"model.output_activation: '{name}' is applied to the logits that '{experiment.loss.name}' expects{cuts}",
            model__output_activation="identity",
        )
        return
    rows, layer = case.trials.rows(experiment, _PROBE_ROWS), case.model.trainer.network.layers[-1]
    reach = layer.bend(case.model.parameters, torch.linspace(-1e3, 1e3, 2001, device=rows.x.device).unsqueeze(1))
    low, high = float(reach.min()), float(reach.max())
    margin = 0.01 * float(rows.targets.std(correction=0))
    outside = float(((rows.targets < low - margin) | (rows.targets > high + margin)).double().mean())
    if outside > 0.05:
        case.add(
            f"model.output_activation: '{name}' gives no values below {low:.3g} or above {high:.3g}, where "
            f"{outside:.0%} of the targets lie",
            model__output_activation="identity",
        )


def _loss(case: Case) -> None:
    """A loss of absolute differences on one-hot targets, whose best constant guess is 0 for every class."""
    experiment = case.changed
    if experiment.loss.reads == "logits" or experiment.facts.is_regression or len(experiment.facts.class_names) < 3:
        return
    absolute = experiment.loss.name == "mae" or getattr(experiment.loss, "delta", math.inf) < 0.1
    if absolute and case.helps(loss="cross_entropy"):
        k = len(experiment.facts.class_names)
        case.add(
            f"loss: under '{experiment.loss.name}' outputs that are 0 for every class are the best constant guess, "
            f"since {k - 1} of {k} one-hot targets are 0, and the outputs settle there",
            loss="cross_entropy",
        )


def _inputs(case: Case) -> None:
    """Inputs far from mean 0 and standard deviation 1."""
    data = case.experiment.data
    if data.scaling == "standard" or "scaling" not in type(data).model_fields:
        return
    x = case.trials.rows(case.changed, _PROBE_ROWS).inputs.double()
    mean, std, low, high = float(x.mean()), float(x.std(correction=0)), float(x.min()), float(x.max())
    size = math.hypot(mean, std)
    if not (size > 5 or size < 0.05 or abs(mean) > 4 * std) or not case.helps(share=0.85, data__scaling="standard"):
        return
    scaling = case.experiment.data.scaling
    how = "are not scaled" if scaling == "none" else "are scaled to an unusual range"
    case.add(
        f"data.scaling: the inputs {how}: from {low:.4g} to {high:.4g}, with mean {mean:.3g} and standard deviation "
        f"{std:.3g}, where 'standard' gives 0 and 1",
        data__scaling="standard",
    )


def _initial_weights(case: Case) -> None:
    """Weights that start equal, tiny or huge."""
    if case.kind == "diverged" and not case.changed.model.hidden:
        return  # of a linear model the loss is convex: from everywhere a low enough rate goes down
    for layer in case.first_layers():
        usual = "1/√inputs"
        if layer.gain == 0:
            what = f"all weights of {layer.name} start at 0, so that nothing passes through it"
        elif layer.silent == 1 and layer.gain >= 0.05:
            what = f"every unit of {layer.name} gives 0 for every example before the first step"
        elif layer.alike and layer.gain >= 0.05:
            what = f"all {layer.units:,} units of {layer.name} start alike, and what starts alike learns alike"
        elif layer.gain < 0.05:
            what = f"the weights of {layer.name} start {1 / layer.gain:,.3g} times smaller than {usual}"
            what += ", so that the outputs hardly depend on the inputs"
        elif layer.gain > 5:
            what = f"the weights of {layer.name} start {layer.gain:,.3g} times larger than {usual}"
            if layer.flat > 0.5:
                what += f", and {layer.flat:.0%} of its activations lie where the slope is nearly 0"
        else:
            continue
        usual_init = "kaiming_normal" if case.changed.model.activation.name in _RECTIFIERS else "xavier_normal"
        if case.helps(model__init=usual_init):
            if isinstance(case.changed.model.init, FileInit):
                what += "; the weights come from a file, and where --from names it, leave that out"
            case.add(f"model.init: {what}", model__init=usual_init)
            return


_RECTIFIERS = ("relu", "leaky_relu", "prelu", "elu", "selu", "gelu", "silu", "softplus")


def _depth(case: Case) -> None:
    """Gradients that shrink or grow from layer to layer, and layers that are idle before the first step."""
    layers = case.first_layers()
    if len(layers) < 3:
        return
    first, last = layers[0], layers[-1]
    largest = max(layer.gradient for layer in layers)
    idle = [layer for layer in layers[:-1] if layer.idle == 1]
    if idle:
        what = f"every unit of {idle[0].name} is idle before the first step"
    elif first.gradient < _FADED * largest:
        what = (
            f"the gradient vanishes on its way back: its norm is {largest:.2g} at its largest, and "
            f"{first.gradient:.2g} in the weights of hidden layer 1"
        )
    elif last.spread < _FADED * first.spread:
        what = (
            f"the inputs get lost on their way: from row to row they change {first.name} by {first.spread:.2g} and "
            f"{last.name} by {last.spread:.2g}"
        )
    elif last.gradient < _FADED * first.gradient:
        what = (
            f"the gradient grows on its way back: its norm is {last.gradient:.2g} in the last weights and "
            f"{first.gradient:.2g} in the first"
        )
    else:
        return
    activation, init = case.changed.model.activation.name, case.changed.model.init.name
    ways: list[dict[str, Any]] = []
    if activation in _RECTIFIERS and init != "kaiming_normal":
        ways.append({"model__init": "kaiming_normal"})
    if activation in ("tanh", "arctan", "identity") and init != "xavier_normal":
        ways.append({"model__init": "xavier_normal"})
    ways += [
        {"model__activation": "relu", "model__init": "kaiming_normal"},
        {"model__activation": "leaky_relu", "model__init": "kaiming_normal"},
        {"model__hidden": case.changed.model.hidden[:2], "model__activation": "relu", "model__init": "kaiming_normal"},
    ]
    for way in ways:
        if case.helps(**way):
            key = next(iter(way)).replace("__", ".")
            case.add(f"{key}: {what}", **way)
            return


_CENTERED = (
    "true divides by the standard deviation of each gradient, which is 0, or by rounding the root of less, where a "
    "gradient hardly changes from step to step"
)


def _optimizer_settings(case: Case) -> None:
    """Settings that stop an optimizer or make it divide by nothing."""
    optimizer = case.changed.optimizer
    if isinstance(optimizer, Foreign):
        return  # what its settings mean, its class knows alone
    fields = type(optimizer).model_fields
    eps = getattr(optimizer, "eps", None)
    eps = None if isinstance(eps, list) else eps
    usual_eps = fields["eps"].default if eps is not None else None
    if case.kind == "diverged" and eps is not None and float(torch.tensor(eps, dtype=torch.float32)) == 0:
        rounded = "" if eps == 0 else ", which is 0 in float32,"
        case.add(
            f"optimizer.eps: {eps:g}{rounded} divides by 0 where a gradient is 0 or its square underflows, and a "
            "smaller learning rate leaves that as it is",
            optimizer__eps=usual_eps,
        )
    if case.kind == "diverged" and getattr(optimizer, "centered", False):
        [without] = case.trials.at(with_changes(case.changed, {"optimizer.centered": False}), [optimizer.lr])
        if math.isfinite(without.loss):
            case.add(f"optimizer.centered: {_CENTERED}", optimizer__centered=False)
    suspects: list[tuple[bool, str, Any, str]] = [
        (getattr(optimizer, "centered", False), "centered", False, _CENTERED),
        (eps is not None and eps > 1e-6, "eps", usual_eps, "{value:g} outweighs the gradients that it is added to"),
        (
            getattr(optimizer, "momentum", 0) > 0.98,
            "momentum",
            0.9,
            "{value:g} hardly forgets any step, so that the weights overshoot",
        ),
        (
            getattr(optimizer, "dampening", 0) > 0.5,
            "dampening",
            0.0,
            "{value:g} keeps that share of every gradient after the first out of the steps",
        ),
        (getattr(optimizer, "lr_decay", 0) > 0, "lr_decay", 0.0, "{value:g} takes the learning rate away too soon"),
        (
            getattr(optimizer, "initial_accumulator_value", 0) > 0,
            "initial_accumulator_value",
            0.0,
            "{value:g} outweighs the squared gradients that are added to it",
        ),
    ]
    for suspected, key, usual, what in suspects:
        remedy = {f"optimizer__{key}": usual}
        if suspected and f"optimizer.{key}" not in case.remedies and case.helps(share=0, **remedy):
            case.add(f"optimizer.{key}: {what.format(value=getattr(optimizer, key))}", **remedy)


def _dropout(case: Case) -> None:
    """Dropout that leaves next to nothing."""
    p = max(case.changed.model.rates(), default=0.0)
    if p >= 0.8:
        case.add(f"model.dropout: {p:g} leaves {1 - p:.0%} of the activations of a layer in a step", model__dropout=0.2)


def _training_settings(case: Case) -> None:
    """Bounds and a penalty that leave no room to learn; the remedies are usual values."""
    suspects: list[tuple[str, float, str]] = [
        ("clip_norm", 1.0, "cuts the gradient down to this norm, and leaves next to nothing of it"),
        ("clip_value", 1.0, "cuts off every element of the gradient at this, and leaves next to nothing of it"),
        ("max_norm", 4.0, "holds the weights of every unit to this norm, too little to distinguish inputs"),
        ("l1", 0.0, "outweighs what the data say: the penalty's gradient is this for every weight"),
    ]
    for key, usual, what in suspects:
        value, remedy = getattr(case.changed.training, key), {f"training__{key}": usual}
        if value not in (None, usual) and case.helps(share=0, **remedy):
            case.add(f"training.{key}: {plain_value(value)} {what}", **remedy)


def _weight_decay(case: Case) -> None:
    """Weight decay that is not small beside the data gradient: where training has settled, the two balance."""
    experiment, optimizer = case.experiment, case.experiment.optimizer
    decay, lr = optimizer.weight_decay, optimizer.lr
    if decay == 0 or isinstance(optimizer, Foreign):
        return
    less = min(decay / 1000, 1e-4)
    shrinks = (
        isinstance(optimizer, SGD) or optimizer.decoupled
    )  # elsewhere the decay is divided by the size of the gradient
    momentum = 0.0 if optimizer.decoupled else getattr(optimizer, "momentum", 0.0)
    per_step = lr * decay / (1 - min(momentum, 0.99))
    if case.kind == "diverged":
        if shrinks and lr * decay >= 1:
            case.add(
                f"optimizer.weight_decay: {decay:g} at lr {lr:g} takes {lr * decay:.3g} times every weight away in "
                "every step",
                optimizer__weight_decay=less,
            )
        return
    steps = experiment.training.epochs * experiment.steps_per_epoch
    if shrinks and per_step * steps < 0.5:
        return
    model, rows = case.model, case.model.examples.spaced(case.trials.measured)
    weights = model.parameters.clone(dtype=torch.float64)
    network, mode = model.trainer.network, TrainingMode(update_statistics=False)
    leaves = {name: weights[name].detach().requires_grad_() for name in network.parameter_shapes}
    decayed = leaves if optimizer.weight_decay_for == "all" else network.weight_names
    targets = rows.targets.double() if rows.targets.is_floating_point() else rows.targets
    outputs = network.rows({**weights, **leaves}, rows.inputs.double(), mode=mode)
    objective = network.objective(model.loss, outputs, targets)
    if experiment.loss.reduction == "sum":
        objective = objective * (model.trainer.batch_size / len(rows))
    gradients = torch.autograd.grad(objective, list(leaves.values()), allow_unused=True)
    decay_norm = decay * math.hypot(*(float(weights[name].norm()) for name in decayed))
    gradient_norm = float(sum(float(g.square().sum()) for g in gradients if g is not None) ** 0.5)
    if decay_norm < 0.3 * gradient_norm and per_step * steps < 3:
        return
    relation = "exceeds" if decay_norm > gradient_norm else "is not small beside"
    case.add(
        f"optimizer.weight_decay: the weight-decay term (norm {decay_norm:.2g}) {relation} the data gradient (norm "
        f"{gradient_norm:.2g}) with weight_decay {decay:g} at lr {lr:g}",
        optimizer__weight_decay=less,
    )


def _disturbances(case: Case) -> None:
    """Changes of the training rows after which too little is left of them; the trials train on them as they are."""
    experiment = case.experiment
    changes, term = experiment.augmentation.active(), experiment.training.adversarial
    if not (changes or term) or not case.learns_at_its_rate():
        return
    [own] = case.trials.at(case.changed, [experiment.optimizer.lr])
    learnt = f"{case.trials.steps} trial steps on rows as they are end at a loss of {own.loss:.3g}"
    if changes:
        case.add(f"augmentation: {', '.join(changes)} may leave too little of an example; {learnt}", augmentation="{}")
    if term is not None:
        case.add(
            f"training.adversarial.epsilon: {term.epsilon:g} may turn examples into those of other classes; {learnt}",
            training__adversarial__epsilon=term.epsilon / 10,
        )


def _schedule(case: Case) -> None:
    """A schedule that takes the learning rate away before the network has learnt, or holds it back too long."""
    experiment, schedule = case.experiment, case.experiment.schedule
    run = experiment.training.run_length(experiment.facts.train_rows)
    steps, lr = case.epochs * run.per_epoch, experiment.optimizer.lr
    if isinstance(schedule, Plateau):
        share = case.model.trainer.updates.lr(case.model.index, run.steps) / lr
        leaves = f"has left {share:.2g} of the learning rate, since {schedule.metric} did not get better"
    else:
        factors = [schedule.factor_at(step, run) for step in range(0, steps, -(-steps // 1000))] if steps else []
        share = sum(factors) / max(1, len(factors))
        leaves = f"leaves {share:.2g} of the learning rate on the average of {steps:,} steps"
        leaves += f" and {factors[-1]:.1g} at the end" if factors else ""
    if share < _DECAYED and case.learns_at_its_rate():
        remark = f"{case.trials.steps} trial steps at the whole rate learn more"
        case.add(f"schedule: '{schedule.name}' {leaves}; {remark}", schedule="constant")


def _learning_rate(case: Case) -> None:
    """The run's own learning rate in the trials, beside all others."""
    lr, trials = case.experiment.optimizer.lr, case.trials
    constant = trials.constant_loss(case.changed)
    [own], found = trials.at(case.changed, [lr]), trials.at(case.changed, trials.rates)
    by_rate = {rate: one.loss for rate, one in zip(trials.rates, found, strict=True)}
    best = min(by_rate.values())
    if best <= 0.97 * constant:
        start = min(
            constant, by_rate[trials.rates[0]]
        )  # less than the constant's where the initial weights had learnt before
        enough = start - _BEST * (start - best)
        advised = next(rate for rate, loss in by_rate.items() if loss <= enough)
        if start - best < _LOST * (constant - best):  # a rate that leaves the weights as they are is no advice
            advised = max(rate for rate, loss in by_rate.items() if loss <= best + _LOST * (constant - best))
        unlearns = advised < lr and own.loss - start > _LEARNT * (constant - start)
        fails = constant - own.loss < _LEARNT * (constant - best) or unlearns
        fails = fails and not (case.kind == "diverged" and advised > lr)
    else:  # far from the targets, as with huge weights, all that shows is which rates go the wrong way
        lower = {rate: loss for rate, loss in by_rate.items() if rate < lr} or by_rate
        advised = min(lower, key=lambda rate: lower[rate])
        fails = advised < lr and own.loss > max(2 * lower[advised], 2 * constant)
    learnt = constant - case.loss >= _LEARNT * (constant - best) and not case.remedies
    if learnt or not fails:
        return
    changed = "with the changes above " if case.remedies else ""
    ended = f"end at a loss of {own.loss:.3g}" if math.isfinite(own.loss) else "diverge"
    case.add(
        f"optimizer.lr: {lr:g} {_moved(case, too_high=advised < lr)}; {changed}{trials.steps} trial steps {ended} with "
        f"it, and end at a loss of {by_rate[advised]:.3g} with {advised:g}",
        optimizer__lr=advised,
    )


def _moved(case: Case, *, too_high: bool) -> str:
    """How far the weights went from where they began, in lengths of the initial weights, where that says something."""
    if case.kind != "diverged":
        initial = case.model.trainer.models[case.model.index].initial.clone(dtype=torch.float64).flat
        last = case.model.parameters.clone(dtype=torch.float64).flat
        start, moved = float(torch.linalg.vector_norm(initial)), float(torch.linalg.vector_norm(last - initial))
        usual = 0.05 * len(initial) ** 0.5 / max(case.changed.widths) ** 0.5
        if start > usual and moved > 10 * start and too_high:
            return f"threw the weights {moved / start:.3g} times their initial length away"
        if start > usual and moved < 0.02 * start and not too_high:
            return f"moved the weights by only {100 * moved / start:.2g}% of their initial length"
    return "is too high" if too_high else "is too low"


def _idle_units(case: Case) -> None:
    """Layers most of whose units give 0, or hardly answer, on every row."""
    worst = [layer for layer in case.layers if layer.idle >= 0.5 or layer.flat >= 0.9]
    if not worst:
        return
    alive = {layer.name: layer.idle < 0.5 and layer.flat < 0.9 for layer in case.first_layers()}
    for layer in worst:
        rows = min(case.trials.measured, len(case.model.examples))
        if layer.silent >= 0.5:
            what = f"{layer.silent:.0%} of the units of {layer.name} give 0 for every one of {rows:,} examples"
        elif layer.idle >= 0.5:
            what = f"{layer.idle:.0%} of the units of {layer.name} are saturated for every one of {rows:,} examples"
        elif layer.zeros >= 0.9:
            what = f"{layer.zeros:.0%} of the activations of {layer.name} are 0"
        else:
            what = f"{layer.flat:.0%} of the activations of {layer.name} are saturated"
        what += " and can no longer learn" if layer.idle >= 0.5 else " and hardly learn any more"
        if not case.remedies and alive.get(layer.name) and layer.name != "the output layer":
            case.add(f"{what}; before training that was not so", optimizer__lr=case.experiment.optimizer.lr / 10)
        else:
            case.add(what)


def _length(case: Case) -> None:
    """Where nothing is wrong but the number of steps."""
    if case.remedies:
        return
    epochs, steps = case.experiment.training.epochs, case.experiment.training.epochs * case.experiment.steps_per_epoch
    if case.kind == "diverged":
        lr = case.experiment.optimizer.lr
        case.add(
            f"optimizer.lr: {case.trials.steps} trial steps from the initial weights do not diverge with {lr:g}, so "
            "that it took longer; a lower rate is what usually helps",
            optimizer__lr=lr / 10,
        )
    elif steps < (enough := max(case.trials.least, case.trials.steps)):
        more = math.ceil(10 * enough / case.experiment.steps_per_epoch)
        case.add(
            f"training.epochs: {epochs} are {steps:,} step{'s' * (steps > 1)} in all",
            training__epochs=min(more, _MAX_EPOCHS),
        )
    elif case.kind == "slow" and case.learnable():
        case.add(
            f"training.epochs: {epochs} were not enough, nothing else was found",
            training__epochs=min(4 * epochs, _MAX_EPOCHS),
        )


CAUSES: tuple[Callable[[Case], None], ...] = (
    _output_activation,
    _loss,
    _inputs,
    _initial_weights,
    _depth,
    _optimizer_settings,
    _dropout,
    _training_settings,
    _weight_decay,
    _disturbances,
    _schedule,
    _learning_rate,
    _idle_units,
    _length,
)
