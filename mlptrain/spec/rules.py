"""What no single key can tell: rules between sections, and settings that are allowed but surely not meant.

A rule names the sections it reads as its arguments and runs when all of them are without faults of their own, so that
one mistake does not hide another.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from mlptrain.spec.data import MOST_DRAWN_NUMBERS, DataSpec, ImageData, RandomClassificationData, RandomRegressionData
from mlptrain.spec.experiment import EvaluationSpec, ExperimentSpec, TrainingSpec, output_width
from mlptrain.spec.model import MOST_PARAMETERS, LossSpec, ModelSpec, NormalInit, parameter_shapes
from mlptrain.spec.optimizer import SGD, OptimizerSpec
from mlptrain.spec.reader import KeyPath

Finding = tuple[KeyPath, str]


def loss_fits_data(data: DataSpec, loss: LossSpec) -> Iterator[Finding]:
    """Bce needs two classes; numbers as targets need mse or mae."""
    classes = len(data.class_names)
    if classes == 0 and loss.name not in ("mse", "mae"):
        yield ("loss",), f"'{loss.name}' needs classes, but the targets of '{data.name}' are numbers; use mse or mae"
    elif loss.name == "bce" and classes != 2:
        remedy = "set data.classes, e.g. [0, 1]" if hasattr(data, "classes") else "use cross_entropy"
        yield ("loss",), f"'bce' needs exactly two classes, data '{data.name}' has {_count(classes)}; {remedy}"


def enough_rows(data: DataSpec) -> Iterator[Finding]:
    """train_size, test_size and validation fit the data set's size."""
    if isinstance(data, ImageData):
        for key, size, counts in (
            ("train_size", data.train_size, data.facts.train_counts),
            ("test_size", data.test_size, data.facts.test_counts),
        ):
            stored = data.stored_rows(counts)
            if size is not None and size > stored:
                of_these = " of these classes" if data.classes is not None else ""
                yield ("data", key), f"must be at most {stored:,}, the rows of '{data.name}'{of_these}, got {size:,}"
        if data.train_rows > data.stored_rows(data.facts.train_counts):
            return  # how many rows there are to validate with is not known
    if data.validation_rows >= data.train_rows:
        yield (
            ("data", "validation"),
            f"takes {data.validation_rows:,} of {data.train_rows:,} training rows and leaves none to train on; "
            "take fewer, or a fraction such as 0.1",
        )
    elif data.validation and data.validation_rows == 0:
        message = (
            f"takes no row: {data.validation:g} of {data.train_rows:,} rows rounds to 0; use a count, or 0 for none"
        )
        yield ("data", "validation"), message


def data_fit_memory(data: DataSpec) -> Iterator[Finding]:
    """Rows and features, each in its range, do not ask for terabytes together."""
    if isinstance(data, (RandomClassificationData, RandomRegressionData)):
        numbers = data.n_samples * (data.n_features + getattr(data, "n_targets", 0))
        if numbers > MOST_DRAWN_NUMBERS:
            message = f"makes {numbers:,} numbers with these features; the limit is {MOST_DRAWN_NUMBERS:,}"
            yield ("data", "n_samples"), message


def evaluation_has_its_split(data: DataSpec, evaluation: EvaluationSpec) -> Iterator[Finding]:
    """The measured split exists, and best needs a validation loss."""
    split = evaluation.split
    if split == "validation" and data.validation == 0:
        yield (
            ("evaluation", "split"),
            "needs validation rows, but data.validation is 0; set that, or choose none",
        )
    if split == "test" and data.test_rows == 0:
        yield ("evaluation", "split"), f"data '{data.name}' has no test rows; choose validation or none"
    if evaluation.keep == "best" and (split or ("validation" if data.validation else "none")) != "validation":
        message = (
            "best is the lowest validation loss and needs split: validation with data.validation above 0; use last"
        )
        yield ("evaluation", "keep"), message


def network_fits_memory(data: DataSpec, loss: LossSpec, model: ModelSpec) -> Iterator[Finding]:
    """A typing error in a width does not ask for terabytes."""
    widths = (data.input_width, *model.hidden, output_width(data, loss))
    parameters = sum(math.prod(shape) for shape in parameter_shapes(widths, bias=model.bias).values())
    if parameters > MOST_PARAMETERS:
        yield ("model", "hidden"), f"makes {parameters:,} parameters; the limit is {MOST_PARAMETERS:,}"


RULES: tuple[Callable[..., Iterator[Finding]], ...] = (
    loss_fits_data,
    enough_rows,
    data_fit_memory,
    evaluation_has_its_split,
    network_fits_memory,
)


def broken_rules(
    sections: Mapping[str, Any], rules: Iterable[Callable[..., Iterator[Finding]]] = RULES
) -> Iterator[Finding]:
    """Findings of every rule whose sections are all in ``sections``."""
    for rule in rules:
        needed = inspect.signature(rule).parameters
        if all(name in sections for name in needed):
            yield from rule(**{name: sections[name] for name in needed})


def warnings_about(spec: ExperimentSpec) -> Iterator[Finding]:
    """Settings without effect, and settings known to keep a network from learning."""
    yield from _without_effect(spec.model, spec.optimizer, spec.training, spec)
    output, loss = spec.model.output_activation.name, spec.loss.name
    if loss in ("cross_entropy", "bce") and output != "identity":
        yield (
            ("model", "output_activation"),
            f"'{output}' changes the logits that '{loss}' reads and can keep the network from learning; "
            "identity is what the loss expects",
        )


def _without_effect(
    model: ModelSpec, optimizer: OptimizerSpec, training: TrainingSpec, spec: ExperimentSpec
) -> Iterator[Finding]:
    # A default that is written out, as in resolved.yaml, is no reason to warn.
    if not model.hidden and model.activation.name != "relu":
        yield ("model", "activation"), "has no effect: there is no hidden layer"
    if isinstance(model.init, NormalInit) and model.init.bias == "normal" and not model.bias:
        yield ("model", "init", "bias"), "has no effect: model.bias is false"
    if isinstance(optimizer, SGD) and optimizer.dampening and not optimizer.momentum:
        yield ("optimizer", "dampening"), "has no effect: momentum is 0"
    if isinstance(training.batch_size, int) and training.batch_size > spec.training_rows:
        yield (
            ("training", "batch_size"),
            f"{training.batch_size:,} exceeds the {spec.training_rows:,} training rows; every epoch is one step of all",
        )


def _count(number: int) -> str:
    words = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    return words[number] if number < len(words) else str(number)
