"""Rules about what is measured, and about what goes by it: the kept epoch, the end of the run, the learning rate."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mlptrain.sources.facts import DataFacts
from mlptrain.spec.base import either
from mlptrain.spec.choosing import recorded_metrics
from mlptrain.spec.data import (
    DataSpec,
)
from mlptrain.spec.experiment import EvaluationSpec, TrainingSpec
from mlptrain.spec.hints import meant, value_hint
from mlptrain.spec.loss import LossSpec, targets_of
from mlptrain.spec.metrics import METRICS, WEIGHTED, TopK, metric_named, metrics_of_targets
from mlptrain.spec.reader import KeyPath
from mlptrain.spec.rules.registry import Finding, Rules
from mlptrain.spec.schedule import Plateau, Schedule

_SPLIT_BEFORE = re.compile(r"^(?:train|validation|valid|val|eval|dev|test)_")

RULES = Rules()


@RULES.rule
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


@RULES.rule
def metrics_fit(data: DataSpec, facts: DataFacts, loss: LossSpec, evaluation: EvaluationSpec) -> Iterator[Finding]:
    """Every further metric is defined for data and loss, and is listed once."""
    first: dict[str, int] = {}
    for number, metric in enumerate(evaluation.metrics):
        path = ("evaluation", "metrics", number)
        if (at := first.setdefault(metric.key, number)) != number:
            yield path, f"'{metric.name}' stands in the list already, as number {at + 1}; its key is {metric.key}"
        elif (misfit := metric.misfit(facts, loss, data=data.label)) is not None:
            yield path, f"'{metric.name}' {misfit}"


@RULES.rule
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


@RULES.rule
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
