"""Rules about rows, targets and scaling of the data, and the loss that is fitted to them."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from mlptrain.sources.facts import DataFacts, stored_rows
from mlptrain.spec.data import (
    MAX_DRAWN_NUMBERS,
    DataSpec,
    RandomClassificationData,
    RandomMultilabelData,
    RandomRegressionData,
)
from mlptrain.spec.loss import BinaryCrossEntropy, LossSpec, targets_of
from mlptrain.spec.rules.registry import Finding, Rules
from mlptrain.spec.splitting import BY_COLUMN, GroupSplit, StratifiedSplit
from mlptrain.spec.table import TableData

_MAX_CLASSES_NAMED = 20  # in a message

RULES = Rules()


@RULES.rule
def loss_fits_data(data: DataSpec, facts: DataFacts, loss: LossSpec) -> Iterator[Finding]:
    """The loss can be fitted to the data's targets."""
    if (misfit := loss.misfit(facts, name=data.label)) is not None:
        remedy = "set data.classes, e.g. [0, 1]" if hasattr(data, "classes") else "use cross_entropy"
        is_too_many = targets_of(facts) == "classes" and isinstance(loss, BinaryCrossEntropy)
        yield ("loss",), f"'{loss.name}' {misfit}" + (f"; {remedy}" if is_too_many else "")


@RULES.rule
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


@RULES.rule
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


@RULES.rule
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


@RULES.rule
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


@RULES.rule
def fold_is_the_test_split(data: DataSpec) -> Iterator[Finding]:
    """With a fold no further test rows are drawn."""
    if data.fold is not None and data.choice().test:
        message = "draws test rows, but with data.fold the rows of the fold are the test rows; set test: 0"
        yield ("data", "test"), message


@RULES.rule
def data_fit_memory(data: DataSpec) -> Iterator[Finding]:
    """Rows × features fit in memory where each alone is in its range."""
    if isinstance(data, (RandomClassificationData, RandomRegressionData, RandomMultilabelData)):
        targets = data.n_classes if isinstance(data, RandomMultilabelData) else getattr(data, "n_targets", 0)
        numbers = data.n_samples * (data.n_features + targets)
        if numbers > MAX_DRAWN_NUMBERS:
            message = f"makes {numbers:,} numbers with these features; the limit is {MAX_DRAWN_NUMBERS:,}"
            yield ("data", "n_samples"), message


@RULES.rule
def scaling_has_its_maximum(data: DataSpec, facts: DataFacts) -> Iterator[Finding]:
    """What divides by the largest possible input needs one."""
    if data.scaling == "unit" and facts.maximum is None:
        key = "set data.maximum, or use standard" if hasattr(data, "maximum") else "use standard"
        yield (
            ("data", "scaling"),
            f"unit divides by the largest possible input, which '{data.label}' does not know; {key}",
        )
