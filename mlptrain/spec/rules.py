"""Rules between sections, and warnings about settings that are allowed but hardly intended.

A rule names the sections it reads as its arguments and runs when all of them are valid by themselves, so that one
mistake does not hide another.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

from mlptrain.errors import UserError
from mlptrain.sources.facts import DataFacts, stored_rows
from mlptrain.spec.adversarial import VirtualAdversarial
from mlptrain.spec.augmentation import OF_IMAGES, AugmentationSpec
from mlptrain.spec.base import either
from mlptrain.spec.choosing import recorded_metrics
from mlptrain.spec.data import (
    MAX_DRAWN_NUMBERS,
    DataSpec,
    RandomClassificationData,
    RandomMultilabelData,
    RandomRegressionData,
)
from mlptrain.spec.experiment import EvaluationSpec, Experiment, TrainingSpec
from mlptrain.spec.hints import meant, value_hint
from mlptrain.spec.inputs import CategoryEmbedding, NoEmbedding
from mlptrain.spec.loss import BinaryCrossEntropy, LossSpec, targets_of
from mlptrain.spec.metrics import METRICS, WEIGHTED, TopK, metric_named, metrics_of_targets
from mlptrain.spec.model import MAX_PARAMETERS, BatchNorm, FileInit, LayerNorm, ModelSpec, NoNorm, NormalInit
from mlptrain.spec.optimizer import LBFGS, SGD, Muon, OptimizerSpec
from mlptrain.spec.reader import KeyPath
from mlptrain.spec.scaling import FixedScaling
from mlptrain.spec.schedule import Cosine, CosLog, MultiStep, Plateau, Schedule, Step
from mlptrain.spec.splitting import BY_COLUMN, GroupSplit, StratifiedSplit
from mlptrain.spec.table import TableData
from mlptrain.spec.weights import read_weights

Finding = tuple[KeyPath, str]
MAX_TURN = 45  # degrees by which a digit can be turned and still read
SMALL_SIDE = 16  # pixels, up to which images have no margin that they can move in
# Standard deviation of the noise, for each pixel of an image's side, from which about one copy in six is nearer to an
# image of another class: the median distance to the nearest of those is 0.23 for each pixel of digits and MNIST, 0.17
# of Fashion-MNIST (of 1,000 images among 10,000; largest pixel value 1), and half of it is one standard deviation.
NOISE_BY_SIDE = 0.1
_FEW_STEPS, _ENOUGH_STEPS = 200, 500  # of a run with the default number of epochs; at least so many are advised
_MAX_CLASSES_NAMED = 20  # in a message
_SPLIT_BEFORE = re.compile(r"^(?:train|validation|valid|val|eval|dev|test)_")
SMALLEST_STEP = 6e-6  # of one input: float32 gives a number near 1 to 6e-8, and then this to a hundredth


def loss_fits_data(data: DataSpec, facts: DataFacts, loss: LossSpec) -> Iterator[Finding]:
    """The loss can be fitted to the data's targets."""
    if (misfit := loss.misfit(facts, name=data.label)) is not None:
        remedy = "set data.classes, e.g. [0, 1]" if hasattr(data, "classes") else "use cross_entropy"
        is_too_many = targets_of(facts) == "classes" and isinstance(loss, BinaryCrossEntropy)
        yield ("loss",), f"'{loss.name}' {misfit}" + (f"; {remedy}" if is_too_many else "")


def class_weights_fit(facts: DataFacts, loss: LossSpec) -> Iterator[Finding]:
    """Given weights are those of the classes that there are, and not all 0."""
    weights, names, path = getattr(loss, "class_weights", "none"), facts.class_names, ("loss", "class_weights")
    if targets_of(facts) != "classes" or isinstance(weights, str):
        return
    if isinstance(weights, list) and len(weights) != len(names):
        yield path, f"must have {len(names)} items, one for each class, got {len(weights)}"
        return
    for name in weights if isinstance(weights, dict) else ():
        if name not in names:
            near = get_close_matches(name, names, n=1)
            shown = ", ".join(names[:_MAX_CLASSES_NAMED]) + ", …" * (len(names) > _MAX_CLASSES_NAMED)
            yield (
                (*path, name),
                f"there is no class '{name}'; "
                + (f"did you mean '{near[0]}'?" if near else f"the classes are {shown}"),
            )
            return
    unnamed = isinstance(weights, dict) and len(weights) < len(names)  # which have the weight 1
    if not unnamed and not any(weights.values() if isinstance(weights, dict) else weights):
        yield path, "are all 0, so that nothing would be trained; give one class a positive weight"


def sizes_are_stored(data: DataSpec, facts: DataFacts) -> Iterator[Finding]:  # noqa: ARG001
    """train_size and test_size are at most the rows of the data set; classes exist where there are facts."""
    sizes = {key: getattr(data, key, None) for key in ("train_size", "test_size")}
    if not any(sizes.values()):
        return
    source = data.source().facts()
    for key, counts in (("train_size", source.train_counts), ("test_size", source.test_counts)):
        size, stored = sizes[key], stored_rows(counts, data.choice().classes)
        if size is not None and not stored:
            yield (
                ("data", key),
                f"has nothing to choose from: '{data.label}' has no test rows of its own; see data.test",
            )
        elif size is not None and size > stored:
            of_classes = " of these classes" if getattr(data, "classes", None) is not None else ""
            yield ("data", key), f"must be at most {stored:,}, the rows of '{data.label}'{of_classes}, got {size:,}"


def rows_are_left(data: DataSpec, facts: DataFacts) -> Iterator[Finding]:
    """Test and validation rows are some of the training rows, and not all."""
    rows = facts.train_rows + facts.validation_rows
    test = data.choice().test
    whole = ", since groups are drawn whole" if isinstance(data.split, GroupSplit) else ""
    if facts.train_rows < 1 and rows < 1 and test:
        yield ("data", "test"), f"takes all {facts.test_rows:,} rows{whole} and leaves none to train on; take fewer"
    elif facts.train_rows < 1:
        message = (
            f"takes {facts.validation_rows:,} of {rows:,} training rows{whole} and leaves none to train on; "
            "take fewer, or a fraction such as 0.1"
        )
        yield ("data", "validation"), message
    elif data.validation and facts.validation_rows == 0:
        message = f"takes no rows: {data.validation:g} of {rows:,} rows rounds to 0; use a count, or 0 for none"
        yield ("data", "validation"), message


def split_fits_data(data: DataSpec, facts: DataFacts) -> Iterator[Finding]:
    """There are classes to keep the shares of, and columns to go by."""
    if isinstance(data.split, BY_COLUMN) and not isinstance(data, TableData):
        yield (
            ("data", "split"),
            f"'{data.split.by}' goes by a column of a table, and '{data.name}' has none; use random",
        )
    if isinstance(data.split, StratifiedSplit) and not facts.has_classes:
        targets = "labels, of which a row may have several" if facts.is_multi_label else "numbers"
        yield ("data", "split"), f"stratified keeps the shares of classes, but the targets are {targets}; use random"


def fold_is_the_test_split(data: DataSpec) -> Iterator[Finding]:
    """With a fold no further test rows are drawn."""
    if data.fold is not None and data.choice().test:
        message = "draws test rows, but with data.fold the rows of the fold are the test rows; set test: 0"
        yield ("data", "test"), message


def data_fit_memory(data: DataSpec) -> Iterator[Finding]:
    """Rows × features fit in memory where each alone is in its range."""
    if isinstance(data, (RandomClassificationData, RandomRegressionData, RandomMultilabelData)):
        targets = data.n_classes if isinstance(data, RandomMultilabelData) else getattr(data, "n_targets", 0)
        numbers = data.n_samples * (data.n_features + targets)
        if numbers > MAX_DRAWN_NUMBERS:
            message = f"makes {numbers:,} numbers with these features; the limit is {MAX_DRAWN_NUMBERS:,}"
            yield ("data", "n_samples"), message


def scaling_has_its_maximum(data: DataSpec, facts: DataFacts) -> Iterator[Finding]:
    """What divides by the largest possible input needs one."""
    if data.scaling == "unit" and facts.maximum is None:
        key = "set data.maximum, or use standard" if hasattr(data, "maximum") else "use standard"
        yield (
            ("data", "scaling"),
            f"unit divides by the largest possible input, which '{data.label}' does not know; {key}",
        )


def evaluation_has_its_split(data: DataSpec, facts: DataFacts, evaluation: EvaluationSpec) -> Iterator[Finding]:
    """The measured split exists, and best has validation rows to go by."""
    if evaluation.split == "validation" and not data.has_validation:
        message = "needs validation rows, but data.validation is 0; set data.validation, or choose none"
        yield ("evaluation", "split"), message
    if evaluation.split == "test" and facts.test_rows == 0:
        yield ("evaluation", "split"), f"data '{data.label}' has no test rows; choose validation or none"
    if evaluation.keep == "best" and evaluation.resolved(data).split != "validation":
        message = (
            f"best goes by {evaluation.metric[:40]} and needs split: validation with data.validation above 0; use last"
        )
        yield ("evaluation", "keep"), message


def metrics_fit(data: DataSpec, facts: DataFacts, loss: LossSpec, evaluation: EvaluationSpec) -> Iterator[Finding]:
    """Every further metric is defined for data and loss, and is listed once."""
    first: dict[str, int] = {}
    for number, metric in enumerate(evaluation.metrics):
        path = ("evaluation", "metrics", number)
        if (at := first.setdefault(metric.key, number)) != number:
            yield path, f"'{metric.name}' stands in the list already, as number {at + 1}; its key is {metric.key}"
        elif (misfit := metric.misfit(facts, loss, data=data.label)) is not None:
            yield path, f"'{metric.name}' {misfit}"


def calibration_has_its_rows(facts: DataFacts, loss: LossSpec, evaluation: EvaluationSpec) -> Iterator[Finding]:
    """A temperature divides logits, and is fitted on validation rows."""
    if evaluation.calibrate == "none":
        return
    if loss.reads != "logits" or not facts.has_classes:
        message = f"temperature divides the logits of classes, which '{loss.name}' does not read; use none"
        yield ("evaluation", "calibrate"), message
    elif facts.validation_rows == 0:
        message = "temperature is fitted on validation rows, but data.validation is 0; set data.validation, or use none"
        yield ("evaluation", "calibrate"), message


def metrics_are_measured(
    data: DataSpec, facts: DataFacts, schedule: Schedule, training: TrainingSpec, evaluation: EvaluationSpec
) -> Iterator[Finding]:
    """What chooses the kept epoch, the end of the run or the learning rate is in the log, and not of the test set."""
    resolved = evaluation.resolved(data)
    recorded = recorded_metrics(str(resolved.split), facts, [metric.key for metric in evaluation.metrics])
    if resolved.keep == "best" and resolved.split == "validation":
        measured = [key for key in recorded if key.startswith("validation_")]  # training's are of weights on the move
        yield from _unmeasured(evaluation.metric, ("evaluation", "metric"), measured, str(resolved.split), facts)
    if training.early_stopping is not None:
        path = ("training", "early_stopping", "metric")
        yield from _unmeasured(training.early_stopping.metric, path, recorded, str(resolved.split), facts)
    if isinstance(schedule, Plateau):
        yield from _unmeasured(schedule.metric, ("schedule", "metric"), recorded, str(resolved.split), facts)


def _unmeasured(metric: str, path: KeyPath, recorded: list[str], split: str, facts: DataFacts) -> Iterator[Finding]:
    """A metric that is not among the recorded ones, or that would choose by the test set."""
    choices = [key for key in recorded if not key.startswith("test_")]
    if metric in choices:
        return
    found = targets_of(facts)
    fitting = [] if found == "labels" else metrics_of_targets(found)
    listable = {name: METRICS[name] for name in fitting if name != "accuracy"}
    word = _SPLIT_BEFORE.sub("", metric, count=1)
    name = word if metric_named(word) in listable.values() else meant(word, listable, "metrics")
    name = TopK(name="top_k").key if name == "top_k" else name
    if word.startswith(WEIGHTED) and not facts.weight:
        yield path, f"needs sample weights, as data.weight names a column of; use {either(choices)}"
        return
    if metric in recorded:
        yield path, f"{metric} would choose by the test set, whose figures then are too good; use {either(choices)}"
    elif metric.startswith("validation_") and split != "validation":
        message = (
            f"needs {metric}, but evaluation.split is {split}; set evaluation.split: validation, with data.validation "
            f"above 0, or use {either(choices)}"
        )
        yield path, message
    elif name is not None and (key := f"validation_{name}") in choices:
        yield path, f"must be {either(choices)}, got '{metric[:40]}'; did you mean '{key}'?"
    elif name is not None and split == "validation":
        plain = name.removeprefix(WEIGHTED)
        section = plain if plain in listable else f"{{name: top_k, k: {plain.removeprefix('top_')}}}"
        yield path, f"needs {section} in the list evaluation.metrics; add it there, or use {either(choices)}"
    else:
        unfit = word != "accuracy" and metric_named(word) is not None
        hint = "" if unfit else value_hint(metric, choices, "metric")
        yield path, f"must be {either(choices)}, got '{metric[:40]}'{hint}"


def network_fits_memory(data: DataSpec, facts: DataFacts, loss: LossSpec, model: ModelSpec) -> Iterator[Finding]:
    """The parameters fit in memory, also where a width is mistyped."""
    shapes = model.parameter_shapes(data.layout(facts), loss.n_outputs(facts))
    parameters = sum(math.prod(shape) for shape in shapes.values())
    if parameters > MAX_PARAMETERS:
        yield ("model", "hidden"), f"makes {parameters:,} parameters; the limit is {MAX_PARAMETERS:,}"


def embedding_has_its_columns(data: DataSpec, facts: DataFacts, model: ModelSpec) -> Iterator[Finding]:
    """There are numbers to embed."""
    if not isinstance(model.numeric_embedding, NoEmbedding) and not data.layout(facts).numeric:
        yield ("model", "numeric_embedding"), f"embeds numbers, and '{data.label}' has none among its inputs"


def categories_stay_whole(
    data: DataSpec, facts: DataFacts, augmentation: AugmentationSpec, training: TrainingSpec
) -> Iterator[Finding]:
    """A category that is embedded is the number of its slot, which nothing may be added to."""
    if not data.layout(facts).coded:
        return
    remedy = "encode categories one_hot, or leave it out"
    for key in (key for key in ("noise", "mixup") if getattr(augmentation, key)):
        message = f"changes inputs, and categories that are embedded cannot be changed a little; {remedy}"
        yield ("augmentation", key), message
    if training.adversarial is not None:
        message = f"disturbs inputs, and categories that are embedded cannot be disturbed a little; {remedy}"
        yield ("training", "adversarial"), message


def adversarial_fits_loss(loss: LossSpec, training: TrainingSpec) -> Iterator[Finding]:
    """Virtual adversarial training compares probabilities."""
    term = training.adversarial
    if term is not None and term.needs not in (None, loss.reads):
        message = f"'{term.name}' compares class probabilities, and the outputs of '{loss.name}' are none; use fgsm"
        yield ("training", "adversarial"), message


def norm_has_rows(facts: DataFacts, model: ModelSpec, training: TrainingSpec) -> Iterator[Finding]:
    """Batch norm takes mean and variance over more than one row."""
    norms = {"norm": model.norm if model.hidden else None, "output_norm": model.output_norm}
    one = training.batch_size == 1 or facts.train_rows == 1
    for key, norm in norms.items():
        if one and isinstance(norm, BatchNorm):
            yield ("model", key), "batch norm needs batches of two rows or more; use norm: layer, or a larger batch"


def warmup_fits_run(facts: DataFacts, schedule: Schedule, training: TrainingSpec) -> Iterator[Finding]:
    """The warm-up ends before the run does."""
    run = training.run_length(facts.train_rows)
    if run.steps and (steps := schedule.warmup_steps(run)) >= run.steps:
        message = f"takes {steps:,} steps, but the run has {run.steps:,}; take fewer, or a fraction such as 0.05"
        yield ("schedule", "warmup"), message


def max_norm_fits_layers(model: ModelSpec, training: TrainingSpec) -> Iterator[Finding]:
    """A list of bounds has one for each layer."""
    bounds, layers = training.max_norm, len(model.hidden) + 1
    if isinstance(bounds, list) and len(bounds) != layers:
        of = f"{len(model.hidden)} hidden and the output" if model.hidden else "the output alone"
        message = f"must have a bound for each layer, {layers} in all ({of}), got {len(bounds)}; or give one number"
        yield ("training", "max_norm"), message


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


def initial_weights_fit(data: DataSpec, facts: DataFacts, loss: LossSpec, model: ModelSpec) -> Iterator[Finding]:
    """The file of initial weights is there and holds this network; not among RULES, since it reads that file."""
    if isinstance(model.init, FileInit):
        network = data.layout(facts), loss.n_outputs(facts)
        shapes = model.parameter_shapes(*network) | model.state_shapes(*network)
        try:
            read_weights(Path(model.init.path), shapes, sha256=model.init.sha256)
        except UserError as error:
            yield ("model", "init", "path"), str(error)


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


RULES: tuple[Callable[..., Iterator[Finding]], ...] = (
    loss_fits_data,
    class_weights_fit,
    sizes_are_stored,
    rows_are_left,
    split_fits_data,
    fold_is_the_test_split,
    data_fit_memory,
    scaling_has_its_maximum,
    evaluation_has_its_split,
    metrics_fit,
    calibration_has_its_rows,
    metrics_are_measured,
    network_fits_memory,
    embedding_has_its_columns,
    categories_stay_whole,
    norm_has_rows,
    warmup_fits_run,
    max_norm_fits_layers,
    adversarial_fits_loss,
    augmentation_fits_data,
    optimizer_fits,
)


def broken_rules(sections: Mapping[str, Any], rules: Iterable[Callable[..., Iterator[Finding]]]) -> Iterator[Finding]:
    """Findings of every rule whose sections are all in ``sections``."""
    for rule in rules:
        names = inspect.signature(rule).parameters
        if sections.keys() >= names.keys():
            yield from rule(**{name: sections[name] for name in names})


def warnings_about(experiment: Experiment) -> Iterator[Finding]:
    """Settings without effect, and settings known to keep a network from learning."""
    yield from _scaling_in_raw_units(experiment)
    yield from _adversarial_lengths(experiment)
    yield from _augmentation_that_misleads(experiment)
    model, loss = experiment.model, experiment.loss
    output, batch_size, rows = model.output_activation.name, experiment.training.batch_size, experiment.facts.train_rows
    # A default that is written out, as in resolved.yaml, is no reason to warn.
    if not model.hidden and model.activation.name != "relu":
        yield ("model", "activation"), "has no effect: there is no hidden layer"
    if model.embedding != CategoryEmbedding() and not experiment.layout.coded:
        yield ("model", "embedding"), "has no effect: no column is encoded by embedding"
    for key in ("norm", "dropout", "residual"):
        value = getattr(model, key)
        if not model.hidden and value and not isinstance(value, NoNorm):
            yield ("model", key), "has no effect: there is no hidden layer"
    yield from _layers_that_cannot_train(experiment)
    if isinstance(model.init, NormalInit) and model.init.bias == "normal" and not model.bias:
        yield ("model", "init", "bias"), "has no effect: model.bias is false"
    yield from _updates_without_effect(experiment)
    if isinstance(batch_size, int) and batch_size > rows and batch_size != TrainingSpec().batch_size:
        message = f"{batch_size:,} exceeds the {rows:,} training rows; every epoch is one step with all of them"
        yield ("training", "batch_size"), message
    classes = 0 if experiment.facts.is_multi_label else len(experiment.facts.class_names)
    if rows < classes:
        key = "train_size" if getattr(experiment.data, "train_size", None) else "validation"
        yield ("data", key), f"leaves {rows:,} training rows for {classes:,} classes; some of these have none"
    yield from _few_steps(experiment)
    yield from _drops_without_effect(experiment)
    yield from _smoothing_that_misleads(experiment)
    yield from _endings_without_effect(experiment)
    if loss.reads == "logits" and output != "identity":
        message = (
            f"'{output}' is applied to the logits that '{loss.name}' expects and can keep the network from learning; "
            f"use identity, {loss.name} contains the {loss.contains}"
        )
        yield ("model", "output_activation"), message


def _few_steps(experiment: Experiment) -> Iterator[Finding]:
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


def _updates_without_effect(experiment: Experiment) -> Iterator[Finding]:
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


def _drops_without_effect(experiment: Experiment) -> Iterator[Finding]:
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


def _smoothing_that_misleads(experiment: Experiment) -> Iterator[Finding]:
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


def _endings_without_effect(experiment: Experiment) -> Iterator[Finding]:
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


def _shorter_average(steps: int) -> str:
    """What to do where a run has too few steps for its average: a tenth of them is a usual length."""
    return f"take {1 - 10 / steps:.3g}" if steps >= 100 else "train longer, or leave it out"


def _adversarial_lengths(experiment: Experiment) -> Iterator[Finding]:
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


def _augmentation_that_misleads(experiment: Experiment) -> Iterator[Finding]:
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


def _layers_that_cannot_train(experiment: Experiment) -> Iterator[Finding]:
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


def _scaling_in_raw_units(experiment: Experiment) -> Iterator[Finding]:
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
