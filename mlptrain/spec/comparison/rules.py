"""Rules between the sections of a comparison and its base, and what is allowed but takes something away.

``data`` and ``evaluation`` are the base's, the other sections the comparison's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mlptrain.sources.facts import DataFacts
from mlptrain.spec.augmentation import AugmentationSpec
from mlptrain.spec.comparison.sections import (
    Candidate,
    ComparisonSpec,
    ScoringSpec,
    TargetSpec,
    TuningSpec,
    seeds_for_verdict,
)
from mlptrain.spec.data import DataSpec
from mlptrain.spec.experiment import EvaluationSpec, TrainingSpec
from mlptrain.spec.model import ModelSpec
from mlptrain.spec.reader import dotted
from mlptrain.spec.rules import Finding, optimizer_fits

WIDE_TIE = 0.05


def base_has_classes(data: DataSpec, facts: DataFacts) -> Iterator[Finding]:
    """Optimizers are compared by accuracy, which a regression does not have."""
    if not facts.class_names:
        message = (
            f"is a regression: the targets of '{data.label}' are numbers, but optimizers are compared by accuracy; "
            "use data with classes"
        )
        yield ("base",), message
    elif facts.is_multi_label:
        message = f"has several labels of a row in data '{data.label}', but comparisons are of one class of each"
        yield ("base",), message


def base_is_trained(training: TrainingSpec) -> Iterator[Finding]:
    """Untrained networks are the same for every optimizer. A rule of the base, whose file has the place."""
    if training.epochs < 1:
        yield ("training", "epochs"), "must be at least 1, got 0"


def budgets_are_equal(training: TrainingSpec) -> Iterator[Finding]:
    """Every trial trains for as many epochs as the others. A rule of the base, whose file has the place."""
    if training.early_stopping is not None:
        message = (
            "would give optimizers unequal budgets: in a comparison every trial trains all epochs; leave it out, since "
            "evaluation.keep: best scores each trial's best epoch anyway"
        )
        yield ("training", "early_stopping"), message


def values_have_tuning(optimizers: Mapping[str, Candidate], tuning: TuningSpec | None) -> Iterator[Finding]:
    """Something must choose among several values."""
    for name, candidate in optimizers.items():
        for field in candidate.grids if tuning is None else ():
            message = "has values to choose from, but tuning is none; give one value, or tuning such as {seeds: 3}"
            yield ("optimizers", name, field), message


def tuning_has_validation(
    data: DataSpec, evaluation: EvaluationSpec, optimizers: Mapping[str, Candidate], tuning: TuningSpec | None
) -> Iterator[Finding]:
    """Values are chosen by validation data, never by the test set."""
    if tuning is None or not any(candidate.grids for candidate in optimizers.values()):
        return
    if not data.has_validation:
        message = (
            "tuning chooses by validation rows, but its data.validation is 0; set that, e.g. 0.1, or give every "
            "optimizer fixed values"
        )
        yield ("base",), message
    elif (split := evaluation.resolved(data).split) != "validation":
        yield ("base",), f"tuning chooses by validation rows, but its evaluation.split is {split}; set validation"


def target_is_measured(
    data: DataSpec, facts: DataFacts, evaluation: EvaluationSpec, target: TargetSpec | None
) -> Iterator[Finding]:
    """The metric of the target is measured after every epoch."""
    if target is None or not facts.class_names:
        return
    split = evaluation.resolved(data).split
    if target.split == "validation" and not data.has_validation:
        remedy = "set that" + (f", or use test_{target.metric.split('_')[1]}" if split == "test" else "")
        yield ("target", "metric"), f"needs validation rows, but the base's data.validation is 0; {remedy}"
    elif target.split != split:
        remedy = f"set that to {target.split}" + ("" if split == "none" else f", or use a metric of {split}")
        yield ("target", "metric"), f"is not measured: the base's evaluation.split is {split}; {remedy}"


def scoring_has_its_split(data: DataSpec, facts: DataFacts, scoring: ScoringSpec) -> Iterator[Finding]:
    """There are rows to score on."""
    if not facts.class_names:
        return
    if scoring.split == "test" and facts.test_rows == 0:
        yield ("scoring", "split"), f"data '{data.label}' has no test rows; choose validation"
    elif scoring.split == "validation" and not data.has_validation:
        yield ("scoring", "split"), "needs validation rows, but the base's data.validation is 0; set that, or test"
    elif facts.test_rows == 0 and not data.has_validation:
        message = (
            f"has no rows to score on: data '{data.label}' has no test rows and data.validation is 0; set that, "
            "e.g. 0.1"
        )
        yield ("base",), message


def seeds_disjoint(tuning: TuningSpec | None, scoring: ScoringSpec) -> Iterator[Finding]:
    """A seed that values were chosen by would score too well."""
    if tuning is None or isinstance(tuning.seeds, int) or isinstance(scoring.seeds, int):
        return
    for index, seed in enumerate(tuning.seeds):
        if seed in scoring.seeds:
            message = f"{seed} is a scoring seed too, and would score values that it chose; take another, or a count"
            yield ("tuning", "seeds", index), message


def optimizers_fit_base(
    optimizers: Mapping[str, Candidate],
    model: ModelSpec,
    facts: DataFacts,
    training: TrainingSpec,
    augmentation: AugmentationSpec,
) -> Iterator[Finding]:
    """Every optimizer can train the base."""
    for name, candidate in optimizers.items():
        for path, message in optimizer_fits(candidate.settings()[0], model, facts, training, augmentation):
            where = ("name",) if path[0] == "optimizer" else ()
            of_base = "" if where else f"cannot train the base, whose {dotted(path)} "
            yield ("optimizers", name, *where), of_base + message


COMPARISON_RULES = (
    base_has_classes,
    values_have_tuning,
    tuning_has_validation,
    target_is_measured,
    scoring_has_its_split,
    seeds_disjoint,
    optimizers_fit_base,
)


def comparison_warnings(spec: ComparisonSpec) -> Iterator[Finding]:
    """What keeps a comparison from a verdict, or makes one unfair."""
    seeds, needed = len(spec.scoring_seeds), seeds_for_verdict(spec.pairs)
    if seeds < needed:
        pairs = "one pair" if spec.pairs == 1 else f"{spec.pairs} pairs"
        message = (
            f"no verdict is possible over {pairs} with {seeds} {'seed' if seeds == 1 else 'seeds'}, figures only: the "
            f"corrected p cannot go below {min(1.0, spec.pairs * 2 / 2**seeds):.2g}; {needed} seeds are needed"
        )
        yield ("scoring", "seeds"), message
    tuned = any(candidate.grids for candidate in spec.optimizers.values())
    if spec.tuning is not None and not tuned:
        yield ("tuning",), "has no effect: no optimizer has values to choose from"
    if tuned and spec.scoring.split == "validation":
        yield ("scoring", "split"), "scores on rows that tuning chooses by, which flatters the winner; use test data"
    if len(set(spec.budgets.values())) > 1:
        counts = ", ".join(f"{name} {count}" for name, count in spec.budgets.items())
        message = f"tuning budgets differ, which favours the larger: settings of {counts}; give each grid the same size"
        yield ("optimizers",), message
    contents = {name: candidate.plain() for name, candidate in spec.optimizers.items()}
    for name, content in contents.items():
        first = next(other for other in contents if contents[other] == content)
        if first != name:
            yield ("optimizers", name), f"is the same as '{first}', so the two can only tie"
    if spec.tie > WIDE_TIE:
        message = f"counts differences up to {spec.tie * 100:g} percentage points as ties; 0.001 is 0.1 points"
        yield ("tie",), message
