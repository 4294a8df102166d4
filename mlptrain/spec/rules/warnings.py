"""Warnings about settings without effect, and settings known to keep a network from learning."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

from mlptrain.spec.adversarial import VirtualAdversarial
from mlptrain.spec.base import either
from mlptrain.spec.experiment import EvaluationSpec, Experiment, TrainingSpec
from mlptrain.spec.inputs import CategoryEmbedding
from mlptrain.spec.loss import BinaryCrossEntropy
from mlptrain.spec.model import BatchNorm, LayerNorm, NoNorm, NormalInit
from mlptrain.spec.optimizer import SGD
from mlptrain.spec.rules.registry import Finding, Rules, broken_rules
from mlptrain.spec.scaling import FixedScaling
from mlptrain.spec.schedule import Cosine, CosLog, MultiStep, Plateau, Step

MAX_TURN = 45  # degrees by which a digit can be turned and still read
SMALL_SIDE = 16  # pixels, up to which images have no margin that they can move in
# Standard deviation of the noise, for each pixel of an image's side, from which about one copy in six is nearer to an
# image of another class: the median distance to the nearest of those is 0.23 for each pixel of digits and MNIST, 0.17
# of Fashion-MNIST (of 1,000 images among 10,000; largest pixel value 1), and half of it is one standard deviation.
NOISE_BY_SIDE = 0.1
_FEW_STEPS, _ENOUGH_STEPS = 200, 500  # of a run with the default number of epochs; at least so many are advised
SMALLEST_STEP = 6e-6  # of one input: float32 gives a number near 1 to 6e-8, and then this to a hundredth

WARNINGS = Rules()


def warnings_about(experiment: Experiment) -> Iterator[Finding]:
    """What all warnings say of an experiment."""
    return broken_rules({"experiment": experiment}, WARNINGS)


@WARNINGS.rule
def scaling_in_raw_units(experiment: Experiment) -> Iterator[Finding]:
    """Scaling numbers that no values from 0 to 1 can have: a mean outside of them, or a std above 1."""
    scaling, maximum = getattr(experiment.data, "scaling", None), experiment.facts.maximum
    if not isinstance(scaling, FixedScaling) or maximum is None:
        return
    mean, std = scaling.mean, scaling.std
    if 0 <= mean <= 1 and std <= 1:
        return
    key = "std" if 0 <= mean <= 1 else "mean"
    value, what = (std, "standard deviation") if key == "std" else (mean, "mean")
    in_unit = [number / maximum if number > 1 else number for number in (mean, std)]
    fits = 0 <= in_unit[0] <= 1 and in_unit[1] <= 0.5  # the largest standard deviation of values from 0 to 1
    remedy = f"{{mean: {in_unit[0]:.4g}, std: {in_unit[1]:.4g}}}" if fits else "standard, which measures both"
    yield (
        ("data", "scaling", key),
        f"{value:g} cannot be the {what} of inputs from 0 to 1: those of '{experiment.data.label}' are divided by "
        f"their maximum, {maximum}, before; use {remedy}",
    )


@WARNINGS.rule
def adversarial_lengths(experiment: Experiment) -> Iterator[Finding]:
    """Disturbances that reach from one row to others, and differences that float32 rounds off."""
    term, n_features = experiment.training.adversarial, experiment.facts.n_features
    if term is None:
        return
    # √(2n)·std is the root mean square distance of two rows of n inputs; values from 0 to 1 have at most a std of 0.5.
    std = {"standard": 1.0, "unit": 0.5}.get(str(getattr(experiment.data, "scaling", None)))
    if std is not None and (length := term.length(n_features)) > (half := math.sqrt(n_features / 2) * std):
        message = (
            f"moves each row by {length:.3g}, and rows of {n_features:,} inputs are about {2 * half:.3g} apart: "
            f"disturbed rows are those of other classes; take {term.epsilon * half / length / 2:.1g} or less"
        )
        yield ("training", "adversarial", "epsilon"), message
    if isinstance(term, VirtualAdversarial) and term.step < SMALLEST_STEP * math.sqrt(n_features):
        each = term.step / math.sqrt(n_features)
        message = f"moves each of {n_features:,} inputs by about {each:.0e}, which float32 rounds off; use 0.01"
        yield ("training", "adversarial", "step"), message


@WARNINGS.rule
def augmentation_that_misleads(experiment: Experiment) -> Iterator[Finding]:
    """Changes after which an image is one of another class, or hardly one at all."""
    augmentation, facts, name = experiment.augmentation, experiment.facts, experiment.data.label
    classes = set(facts.class_names)
    if name in ("mnist", "digits"):
        symmetric = {"0", "1", "8"} | ({"3"} if augmentation.flip == "vertical" else set())
        if augmentation.flip != "none" and (mirrored := sorted(classes - symmetric)):
            message = f"a mirrored {either(mirrored)} is another character, which no test image shows; leave flip out"
            yield ("augmentation", "flip"), message
        if augmentation.rotate > MAX_TURN and {"6", "9"} <= classes:
            message = (
                f"beyond {MAX_TURN}° a 6 comes to look like a 9, and both are classes here; 15 is usual for digits"
            )
            yield ("augmentation", "rotate"), message
    if name == "fashion_mnist" and augmentation.flip == "vertical":
        yield ("augmentation", "flip"), "turns clothes upside down, which no test image shows; horizontal suits them"
    if facts.image_shape is not None:
        side = min(facts.image_shape)
        if side / (4 if side > SMALL_SIDE else 8) < augmentation.shift < side:
            yield ("augmentation", "shift"), f"moves images of {side} pixels by up to {augmentation.shift} out of sight"
        if augmentation.noise > side * NOISE_BY_SIDE:
            message = (
                f"drowns images of {side} pixels, which lie about {0.2 * side:.2g} from the nearest one of another "
                f"class; take {side * NOISE_BY_SIDE / 2:.1g} or less"
            )
            yield ("augmentation", "noise"), message
        if (elastic := augmentation.elastic) is not None and elastic.displacement > side / 10:
            message = (
                f"displaces the pixels of images of {side} by {elastic.displacement:.3g} (standard deviation): of "
                "little is left what it was; displacements are about 0.16·alpha/sigma"
            )
            yield ("augmentation", "elastic", "alpha"), message
    if augmentation.mixup and experiment.batch_size == 1:
        yield ("augmentation", "mixup"), "has no effect: a batch of one example has nothing to mix it with"


@WARNINGS.rule
def layers_that_are_not_there(experiment: Experiment) -> Iterator[Finding]:
    """Settings of hidden layers, embeddings and biases where there are none."""
    model = experiment.model
    # A default that is written out, as in resolved.yaml, is no reason to warn.
    if not model.hidden and model.activation.name != "relu":
        yield ("model", "activation"), "has no effect: there is no hidden layer"
    if model.embedding != CategoryEmbedding() and not experiment.layout.coded:
        yield ("model", "embedding"), "has no effect: no column is encoded by embedding"
    for key in ("norm", "dropout", "residual"):
        value = getattr(model, key)
        if not model.hidden and value and not isinstance(value, NoNorm):
            yield ("model", key), "has no effect: there is no hidden layer"


@WARNINGS.rule
def layers_that_cannot_train(experiment: Experiment) -> Iterator[Finding]:
    """Dropout, norms and residual connections where they do harm, or nothing."""
    model, rows = experiment.model, experiment.facts.train_rows
    dropped = [width for width, rate in zip(model.hidden, model.rates(), strict=True) if rate]
    if 1 in dropped:
        yield ("model", "dropout"), "in a layer of one unit drops everything that the next layer reads"
    if model.hidden and isinstance(model.norm, LayerNorm) and 1 in model.hidden:
        yield ("model", "norm"), "layer norm in a layer of one unit gives the same for every example"
    batch_norm = isinstance(model.output_norm, BatchNorm) or (model.hidden and isinstance(model.norm, BatchNorm))
    if batch_norm and rows > 1 and rows % experiment.batch_size == 1:
        message = (
            f"leaves one row for the last batch of every epoch, which has no variance for batch norm: it trains the "
            f"output layer alone; {rows:,} rows divide better by {experiment.batch_size + 1:,}"
        )
        yield ("training", "batch_size"), message
    if experiment.training.norm_statistics != "running" and not batch_norm:
        yield ("training", "norm_statistics"), "has no effect: there is no batch norm"
    if model.residual and model.hidden and not any(a == b for a, b in pairwise(model.hidden)):
        yield ("model", "residual"), "has no effect: no two neighbouring hidden layers have the same width"


@WARNINGS.rule
def biases_that_are_not_there(experiment: Experiment) -> Iterator[Finding]:
    """Initial values of biases that the model lacks."""
    init = experiment.model.init
    if isinstance(init, NormalInit) and init.bias == "normal" and not experiment.model.bias:
        yield ("model", "init", "bias"), "has no effect: model.bias is false"


@WARNINGS.rule
def updates_without_effect(experiment: Experiment) -> Iterator[Finding]:
    """Settings of an optimizer that others leave idle, and an average over more steps than there are."""
    optimizer = experiment.optimizer
    if isinstance(optimizer, SGD) and optimizer.dampening and not optimizer.momentum:
        yield ("optimizer", "dampening"), "has no effect: momentum is 0"
    if optimizer.weight_decay_for != "all" and not optimizer.weight_decay:
        yield ("optimizer", "weight_decay_for"), "has no effect: weight_decay is 0"
    ema, steps = experiment.training.ema, experiment.training.epochs * experiment.steps_per_epoch
    if ema and 0 < steps <= 1 / (1 - ema):
        message = (
            f"averages over about {1 / (1 - ema):,.0f} steps, but the run has {steps:,}: the average stays near the "
            f"first weights; {_shorter_average(steps)}"
        )
        yield ("training", "ema"), message


def _shorter_average(steps: int) -> str:
    """What to do where a run has too few steps for its average: a tenth of them is a usual length."""
    return f"take {1 - 10 / steps:.3g}" if steps >= 100 else "train longer, or leave it out"


@WARNINGS.rule
def too_few_rows(experiment: Experiment) -> Iterator[Finding]:
    """Training rows that are fewer than a batch wants, or than there are classes."""
    batch_size, rows = experiment.training.batch_size, experiment.facts.train_rows
    if isinstance(batch_size, int) and batch_size > rows and batch_size != TrainingSpec().batch_size:
        message = f"{batch_size:,} exceeds the {rows:,} training rows; every epoch is one step with all of them"
        yield ("training", "batch_size"), message
    classes = 0 if experiment.facts.is_multi_label else len(experiment.facts.class_names)
    if rows < classes:
        key = "train_size" if getattr(experiment.data, "train_size", None) else "validation"
        yield ("data", key), f"leaves {rows:,} training rows for {classes:,} classes; some of these have none"


@WARNINGS.rule
def few_steps(experiment: Experiment) -> Iterator[Finding]:
    """Epochs that nobody chose, and that are too few steps over a small data set."""
    training, per_epoch = experiment.training, experiment.steps_per_epoch
    if "epochs" in training.model_fields_set or (steps := training.epochs * per_epoch) >= _FEW_STEPS:
        return
    stopping = "" if training.early_stopping else ", with training.early_stopping where these may be too many"
    message = (
        f"the default of {training.epochs} epochs is only {steps:,} step{'s' * (steps != 1)} with "
        f"{experiment.facts.train_rows:,} training rows, and few networks have learnt by then; "
        f"set training.epochs: {max(100, -(-_ENOUGH_STEPS // per_epoch))}{stopping}"
    )
    yield ("training", "epochs"), message


@WARNINGS.rule
def drops_without_effect(experiment: Experiment) -> Iterator[Finding]:
    """Drops of the learning rate after the end of the run, and cycles that are too short for one."""
    epochs, schedule = experiment.training.epochs, experiment.schedule
    if isinstance(schedule, Step) and 0 < epochs <= schedule.step_size:
        message = f"has no effect: the first drop comes after epoch {schedule.step_size:,} of {epochs:,}"
        yield ("schedule", "step_size"), message
    if isinstance(schedule, MultiStep) and (late := [mark for mark in schedule.milestones if 0 < epochs <= mark]):
        yield ("schedule", "milestones"), f"{late} have no effect: the run has {epochs:,} epochs"
    run = experiment.training.run_length(experiment.facts.train_rows)
    if isinstance(schedule, (Cosine, CosLog)) and schedule.cycles > 1 and run.steps:
        first = (run.steps - schedule.warmup_steps(run)) * schedule.first_cycle
        if first < 2:
            message = (
                f"gives the first of {schedule.cycles} cycles {first:.2g} steps, in which lr cannot fall; take fewer"
            )
            yield ("schedule", "cycles"), message


@WARNINGS.rule
def smoothing_that_misleads(experiment: Experiment) -> Iterator[Finding]:
    """Smoothing takes most of what can be said of two classes, and with many a large one hides the target."""
    smoothing = getattr(experiment.loss, "label_smoothing", 0.0)
    classes = len(experiment.facts.class_names)
    low, high = smoothing / max(1, classes), 1 - smoothing + smoothing / max(1, classes)
    if smoothing and (isinstance(experiment.loss, BinaryCrossEntropy) or smoothing > 0.5):
        yield (
            ("loss", "label_smoothing"),
            f"{smoothing:g} over {classes:,} classes makes the targets {low:.3g} and {high:.3g}: probabilities stay "
            "between these, so that a sure answer is never given as one; 0 leaves them free",
        )


@WARNINGS.rule
def endings_without_effect(experiment: Experiment) -> Iterator[Finding]:
    """Figures that end nothing and lower nothing, since the run is over before."""
    epochs, stopping, schedule = experiment.training.epochs, experiment.training.early_stopping, experiment.schedule
    the_run = f"the run has {epochs:,} epoch{'s' * (epochs != 1)}"
    if stopping is not None and 0 < epochs <= stopping.earliest:
        key = "start" if epochs <= stopping.start + 1 else "patience"
        message = f"has no effect: training can stop after epoch {stopping.earliest:,} at the earliest, and {the_run}"
        yield ("training", "early_stopping", key), message
    if isinstance(schedule, Plateau):
        first = schedule.first_epoch(experiment.training.run_length(experiment.facts.train_rows))
        if 0 < epochs <= (earliest := first + schedule.patience + 1):
            message = f"has no effect: lr can drop after epoch {earliest:,} at the earliest, and {the_run}"
            yield ("schedule", "patience"), message
    if experiment.evaluation.keep == "last" and experiment.evaluation.metric != EvaluationSpec().metric:
        yield ("evaluation", "metric"), "has no effect: evaluation.keep is last"


@WARNINGS.rule
def activation_on_logits(experiment: Experiment) -> Iterator[Finding]:
    """An output activation that the loss has already."""
    loss, output = experiment.loss, experiment.model.output_activation.name
    if loss.reads == "logits" and output != "identity":
        message = (
            f"'{output}' is applied to the logits that '{loss.name}' expects and can keep the network from learning; "
            f"use identity, {loss.name} contains the {loss.contains}"
        )
        yield ("model", "output_activation"), message
