"""Rules about what a step does: schedule, bounds, augmentation, adversarial terms and the optimizer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import version

from mlptrain.sources.facts import DataFacts
from mlptrain.spec.augmentation import OF_IMAGES, AugmentationSpec
from mlptrain.spec.data import (
    DataSpec,
)
from mlptrain.spec.experiment import TrainingSpec
from mlptrain.spec.loss import LossSpec
from mlptrain.spec.model import ModelSpec
from mlptrain.spec.optimizer import LBFGS, Muon, OptimizerSpec
from mlptrain.spec.rules.registry import Finding, Rules
from mlptrain.spec.schedule import Schedule

RULES = Rules()


@RULES.rule
def warmup_fits_run(facts: DataFacts, schedule: Schedule, training: TrainingSpec) -> Iterator[Finding]:
    """The warm-up ends before the run does."""
    run = training.run_length(facts.train_rows)
    if run.steps and (steps := schedule.warmup_steps(run)) >= run.steps:
        message = f"takes {steps:,} steps, but the run has {run.steps:,}; take fewer, or a fraction such as 0.05"
        yield ("schedule", "warmup"), message


@RULES.rule
def max_norm_fits_layers(model: ModelSpec, training: TrainingSpec) -> Iterator[Finding]:
    """A list of bounds has one for each layer."""
    bounds, layers = training.max_norm, len(model.hidden) + 1
    if isinstance(bounds, list) and len(bounds) != layers:
        of = f"{len(model.hidden)} hidden and the output" if model.hidden else "the output alone"
        message = f"must have a bound for each layer, {layers} in all ({of}), got {len(bounds)}; or give one number"
        yield ("training", "max_norm"), message


@RULES.rule
def adversarial_fits_loss(loss: LossSpec, training: TrainingSpec) -> Iterator[Finding]:
    """Virtual adversarial training compares probabilities."""
    term = training.adversarial
    if term is not None and term.needs not in (None, loss.reads):
        message = f"'{term.name}' compares class probabilities, and the outputs of '{loss.name}' are none; use fgsm"
        yield ("training", "adversarial"), message


@RULES.rule
def augmentation_fits_data(
    data: DataSpec, facts: DataFacts, loss: LossSpec, augmentation: AugmentationSpec
) -> Iterator[Finding]:
    """Images are there to be moved, within their size, and targets that can be mixed."""
    active = augmentation.active()
    if facts.image_shape is None:
        for key in (key for key in active if key in OF_IMAGES):
            message = (
                f"needs images, but '{data.label}' has {facts.n_features:,} numbers per row; noise suits these too"
            )
            yield ("augmentation", key), message
    elif augmentation.shift >= min(facts.image_shape):
        height, width = facts.image_shape
        message = (
            f"must be below the images' {height} × {width} pixels, got {augmentation.shift}; 2 is usual for 28 × 28"
        )
        yield ("augmentation", "shift"), message
    if "mixup" in active and loss.reads != "logits":
        remedy = "leave mixup out" if facts.is_regression else "use the loss cross_entropy, or leave mixup out"
        message = f"mixes classes, which the loss '{loss.name}' does not read; {remedy}"
        yield ("augmentation", "mixup"), message
    if "mixup" in active and facts.weight:
        message = "mixes examples, and those of data.weight have weights of their own; leave one of the two out"
        yield ("augmentation", "mixup"), message


@RULES.rule
def optimizer_fits(
    optimizer: OptimizerSpec,
    model: ModelSpec,
    facts: DataFacts,
    training: TrainingSpec,
    augmentation: AugmentationSpec,
) -> Iterator[Finding]:
    """Muon is there; and what L-BFGS minimises is the same function whenever a step evaluates it."""
    if isinstance(optimizer, Muon) and (installed := _torch_version()) < (2, 9):
        found = ".".join(map(str, installed))
        yield ("optimizer", "name"), f"'muon' needs torch 2.9 or newer, and {found} is installed"
    if not isinstance(optimizer, LBFGS):
        return
    whole, size = facts.train_rows, training.batch_size
    if isinstance(size, int) and size < whole:
        message = f"must be full for the optimizer 'lbfgs', which evaluates the same rows again and again, got {size}"
        yield ("training", "batch_size"), message
    changing = {
        ("model", "dropout"): any(model.rates()),
        ("model", "input_dropout"): bool(model.input_dropout),
        ("augmentation",): bool(augmentation.active()),
        ("training", "adversarial"): training.adversarial is not None,
    }
    for path, does in changing.items():
        if does:
            yield path, "draws at random in every evaluation, and the optimizer 'lbfgs' needs the same function in each"
    others = {
        ("model", "members"): model.members.k > 1,
        ("training", "clip_norm"): training.clip_norm is not None,
        ("training", "clip_value"): training.clip_value is not None,
        ("training", "max_norm"): training.max_norm is not None,
        ("training", "l1"): bool(training.l1),
    }
    for path, is_set in others.items():
        if is_set:
            yield path, "is no part of what the optimizer 'lbfgs' minimises; leave it out, or take another optimizer"


def _torch_version() -> tuple[int, ...]:
    """That of the installed torch, without importing it."""
    return tuple(int(part) for part in re.findall(r"[0-9]+", version("torch"))[:2])
