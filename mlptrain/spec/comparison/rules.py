"""Rules between the sections of a comparison and its base, and what is allowed but takes something away.

``data`` and ``evaluation`` are the base's, the other sections the comparison's own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from mlptrain.keys import metric_of, split_of
from mlptrain.sources.facts import DataFacts
from mlptrain.spec.augmentation import AugmentationSpec
from mlptrain.spec.base import either, first_of
from mlptrain.spec.choosing import best_in_words, recorded_metrics
from mlptrain.spec.comparison.sections import (
    Arm,
    Candidate,
    ComparedMetric,
    ComparisonSpec,
    ScoringSpec,
    TargetSpec,
    TuningSpec,
    seeds_for_verdict,
)
from mlptrain.spec.data import DataSpec
from mlptrain.spec.executor import ExecutorSpec, divides_gpus
from mlptrain.spec.experiment import EvaluationSpec, ExperimentSpec, TrainingSpec
from mlptrain.spec.hints import meant
from mlptrain.spec.loss import LossSpec
from mlptrain.spec.metrics import METRICS, TopK, higher_is_better, is_share, metric_named, metrics_at_end
from mlptrain.spec.model import ModelSpec
from mlptrain.spec.reader import dotted
from mlptrain.spec.rules import RULES
from mlptrain.spec.rules.model import initial_weights_fit
from mlptrain.spec.rules.registry import Finding, Rules
from mlptrain.spec.rules.training import optimizer_fits
from mlptrain.spec.splitting import ColumnSplit
from mlptrain.spec.wording import must_be

WIDE_TIE = 0.05
_ALWAYS = ("loss", "objective", "accuracy")  # figures that are recorded without being named

_OF_THE_BASE = Rules()  # at whose file the faults are reported
COMPARISON_RULES = Rules()


@_OF_THE_BASE.rule
def base_is_trained(training: TrainingSpec) -> Iterator[Finding]:
    """Untrained networks are the same for every optimizer."""
    if training.epochs < 1:
        yield ("training", "epochs"), "must be at least 1, got 0"


@_OF_THE_BASE.rule
def budgets_are_equal(training: TrainingSpec) -> Iterator[Finding]:
    """Every trial trains for as many epochs as the others."""
    if training.early_stopping is not None:
        message = (
            "would give trials unequal budgets: in a comparison or a search every one trains all epochs; leave it out, "
            "since evaluation.keep: best scores each trial's best epoch anyway"
        )
        yield ("training", "early_stopping"), message


BASE_RULES = (*RULES, *_OF_THE_BASE, initial_weights_fit)


@COMPARISON_RULES.rule
def has_arms(optimizers: Mapping[str, Candidate], arms: Mapping[str, Arm]) -> Iterator[Finding]:
    """One of the two sections says what is compared."""
    if not optimizers and not arms:
        example = "{SGD: {name: sgd, lr: [0.01, 0.1]}, Adam: {name: adam, lr: [0.001, 0.01]}}"
        yield ("optimizers",), f"required key is missing, or arms of any keys; e.g. optimizers: {example}"
    elif optimizers and arms:
        yield ("optimizers",), "says a second time what is compared, beside arms; leave one of the two out"


@COMPARISON_RULES.rule
def base_has_classes(
    data: DataSpec, facts: DataFacts, metric: ComparedMetric | None, optimizers: Mapping[str, Candidate]
) -> Iterator[Finding]:
    """Optimizers are compared by accuracy where no metric is named, which a regression does not have."""
    if metric is not None or not optimizers:
        return
    if not facts.class_names:
        message = (
            f"is a regression: the targets of '{data.label}' are numbers, but optimizers are compared by accuracy; "
            "compare them by another metric with `mlptrain compare`: arms: {Adam: {optimizer: adam}, "
            "SGD: {optimizer: sgd}} and metric: test_rmse"
        )
        yield ("base",), message
    elif facts.is_multi_label:
        message = f"has several labels of a row in data '{data.label}', but comparisons are of one class of each"
        yield ("base",), message


@COMPARISON_RULES.rule
def metric_is_recorded(
    data: DataSpec,
    facts: DataFacts,
    evaluation: EvaluationSpec,
    loss: LossSpec,
    metric: ComparedMetric | None,
    scoring: ScoringSpec,
) -> Iterator[Finding]:
    """Runs record the figure, on rows that are not trained on, and better is the way that it is."""
    if metric is None:
        return
    split, key = split_and_key(metric.name)
    if split == "train":
        yield ("metric", "name"), _of_training_rows(key)
    elif split == "test" and facts.test_rows == 0:
        yield ("metric", "name"), f"is not recorded: data '{data.label}' has no test rows; use validation_{key}"
    elif split == "validation" and not data.has_validation:
        remedy = f", or use test_{key}" if facts.test_rows else ""
        yield ("metric", "name"), f"is not recorded: the base's data.validation is 0; set that{remedy}"
    elif split and scoring.split not in (None, split):
        yield ("scoring", "split"), f"is {scoring.split}, but the metric is {metric.name}; leave one of them out"
    recorded = recorded_keys(evaluation, facts, loss)
    if key not in recorded:
        yield ("metric", "name"), _not_recorded(key, recorded, facts, loss, data)
    else:
        yield from _wrong_goal(metric, key)


@COMPARISON_RULES.rule
def metric_exists(
    unread: bool,  # noqa: ARG001 - it is there where the rule above lacks what it reads
    metric: ComparedMetric | None,
) -> Iterator[Finding]:
    """What is wrong with a metric whatever the data are, where these cannot be read."""
    if metric is None:
        return
    split, key = split_and_key(metric.name)
    if split == "train":
        yield ("metric", "name"), _of_training_rows(key)
    if (message := _no_split(key, known=_ALWAYS)) is not None:
        yield ("metric", "name"), message
    elif key not in _ALWAYS and metric_named(key) is None:
        hint = f"; did you mean '{name}'?" if (name := meant(key, [*METRICS, *_ALWAYS], "metrics")) else ""
        yield ("metric", "name"), f"there is no metric '{key}', so which way is better is not known{hint}"
    else:
        yield from _wrong_goal(metric, key)


def _of_training_rows(key: str) -> str:
    return f"is of the rows that are trained on; use validation_{key}, or test_{key}"


def _wrong_goal(metric: ComparedMetric, key: str) -> Iterator[Finding]:
    if metric.goal is not None and (metric.goal == "max") != higher_is_better(key):
        way = "higher" if higher_is_better(key) else "lower"
        yield ("metric", "goal"), f"is {metric.goal}, but {key} is better when {way}; leave the goal out"


def _no_split(key: str, known: Collection[str]) -> str | None:
    """That a metric begins with another word for a split, and what to write; None for any other."""
    short, _, figure = key.partition("_")
    if short in ("val", "valid", "dev", "eval") and (figure in known or metric_named(figure) is not None):
        return f"there is no split '{short}'; did you mean 'validation_{figure}'?"
    return None


def _not_recorded(key: str, recorded: list[str], facts: DataFacts, loss: LossSpec, data: DataSpec) -> str:
    """Why no run records a metric, and what to do."""
    known, kind = first_of(recorded, 8), metric_named(key)
    if (message := _no_split(key, recorded)) is not None:
        return message
    if kind is None:
        name = meant(key, [*METRICS, "loss"], "metrics")
        hint = f"; did you mean '{name}'?" if name else ";"
        fitting = [name for name in METRICS if name not in recorded and _fits(name, facts, loss)]
        others = f"; evaluation.metrics of the base may add {', '.join(fitting)}" if fitting else ""
        return (
            f"there is no metric '{key}', so which way is better is not known{hint} this base records {known}{others}"
        )
    if kind is not TopK and (reason := kind.model_validate({"name": key}).misfit(facts, loss, data=data.label)):
        return f"{key} {reason}"
    name = f"{{name: top_k, k: {key.removeprefix('top_')}}}" if kind is TopK else key
    return (
        f"{key} is not recorded by runs of this base; add it there, evaluation: {{metrics: [{name}]}}, or use {known}"
    )


def _fits(name: str, facts: DataFacts, loss: LossSpec) -> bool:
    """Whether a metric is defined for the data and the loss."""
    kind = METRICS[name]
    values = {"name": name} | ({"k": 2} if kind is TopK else {})
    return kind.model_validate(values).misfit(facts, loss, data="") is None


@COMPARISON_RULES.rule
def losses_are_comparable(
    metric: ComparedMetric | None, arms: Mapping[str, Arm], facts: DataFacts
) -> Iterator[Finding]:
    """Values of different losses are different quantities."""
    key = split_and_key(metric.name)[1] if metric is not None else ""
    if key not in ("loss", "objective"):
        return
    for name, arm in arms.items():
        for path in (*arm.fixed, *arm.grids):
            if changes_loss(path):
                others = "rmse" if facts.is_regression else "accuracy"
                message = f"changes what the metric {key} measures, so that arms could not be compared; use {others}"
                yield ("arms", name, path), message


def changes_loss(path: str) -> bool:
    """Whether a key changes what the loss measures; smoothed losses are minimised, and plain ones reported."""
    return path == "loss" or (path.startswith("loss.") and path != "loss.label_smoothing")


@COMPARISON_RULES.rule
def ties_of_fractions(tie: float | None, metric: ComparedMetric | None) -> Iterator[Finding]:
    """Half the width of a tie is below 1 where the figures are fractions."""
    is_fraction = metric is None or is_share(split_and_key(metric.name)[1])
    if tie is not None and tie >= 1 and is_fraction:
        yield ("tie",), f"must be below 1, got {tie:g}"


@COMPARISON_RULES.rule
def values_have_tuning(
    optimizers: Mapping[str, Candidate], arms: Mapping[str, Arm], tuning: TuningSpec | None
) -> Iterator[Finding]:
    """Something must choose among several values."""
    tuned = [("optimizers", name, key) for name, one in optimizers.items() for key in one.grids]
    tuned += [("arms", name, key) for name, arm in arms.items() for key in arm.grids]
    for place in tuned:
        if tuning is None:
            message = "has values to choose from, but tuning is none; give one value, or tuning such as {seeds: 3}"
            yield place, message


@COMPARISON_RULES.rule
def tuning_has_validation(
    data: DataSpec,
    evaluation: EvaluationSpec,
    optimizers: Mapping[str, Candidate],
    arms: Mapping[str, Arm],
    tuning: TuningSpec | None,
) -> Iterator[Finding]:
    """Values are chosen by validation data, never by the test set."""
    has_grids = any(one.grids for one in optimizers.values()) or any(arm.grids for arm in arms.values())
    if tuning is None or not has_grids:
        return
    if not data.has_validation:
        message = (
            "tuning chooses by validation rows, but its data.validation is 0; set that, e.g. 0.1, or give every "
            f"{'arm' if arms else 'optimizer'} fixed values"
        )
        yield ("base",), message
    elif (split := evaluation.resolved(data).split) != "validation":
        yield ("base",), f"tuning chooses by validation rows, but its evaluation.split is {split}; set validation"


@COMPARISON_RULES.rule
def target_is_measured(
    data: DataSpec,
    facts: DataFacts,
    evaluation: EvaluationSpec,
    target: TargetSpec | None,
    optimizers: Mapping[str, Candidate],
    metric: ComparedMetric | None,
    loss: LossSpec,
) -> Iterator[Finding]:
    """Trials record the metric of the target after every epoch, whichever the base has."""
    if target is None or _is_refused(facts, optimizers, metric):
        return
    recorded = recorded_keys(evaluation, facts, loss)
    known = list(dict.fromkeys(["accuracy", "loss", judged_key(metric, recorded), *recorded]))
    if target.split not in ("validation", "test") or target.key not in known:
        shown = target.split if target.split in ("validation", "test") else "validation"
        names = [f"{shown}_{key}" for key in known if facts.class_names or key != "accuracy"]
        slip = meant(target.key or target.metric, known, "metrics")
        hint = f"; did you mean '{shown}_{slip}'?" if slip else ""
        yield ("target", "metric"), must_be(f"{either(names)}, which trials record", target.metric) + hint
        return
    if not facts.class_names and target.metric.endswith("accuracy"):
        yield (
            ("target", "metric"),
            f"is not measured: the targets of '{data.label}' are numbers; use {target.split}_loss",
        )
        return
    split = evaluation.resolved(data).split
    if target.split == "validation" and not data.has_validation:
        remedy = "set that" + (f", or use test_{target.key}" if split == "test" else "")
        yield ("target", "metric"), f"needs validation rows, but the base's data.validation is 0; {remedy}"
    elif target.split != split:
        remedy = f"set that to {target.split}" + ("" if split == "none" else f", or use a metric of {split}")
        yield ("target", "metric"), f"is not measured: the base's evaluation.split is {split}; {remedy}"


@COMPARISON_RULES.rule
def target_exists(
    unread: bool,  # noqa: ARG001 - as above
    target: TargetSpec | None,
) -> Iterator[Finding]:
    """What is wrong with a target whatever the data are, where these cannot be read."""
    if target is not None and target.split not in ("validation", "test"):
        slip = meant(target.key or target.metric, ["accuracy", "loss"], "metrics")
        hint = f"; did you mean 'validation_{slip}'?" if slip else ""
        known = "a figure of validation or test rows that trials record, such as validation_loss"
        yield ("target", "metric"), must_be(known, target.metric) + hint


def _is_refused(facts: DataFacts, optimizers: Mapping[str, Candidate], metric: ComparedMetric | None) -> bool:
    """Whether ``base_has_classes`` refuses the data anyway."""
    return bool(optimizers) and metric is None and not facts.class_names


@COMPARISON_RULES.rule
def scoring_has_its_split(
    data: DataSpec,
    facts: DataFacts,
    scoring: ScoringSpec,
    optimizers: Mapping[str, Candidate],
    metric: ComparedMetric | None,
) -> Iterator[Finding]:
    """There are rows to score on."""
    if _is_refused(facts, optimizers, metric) or (metric is not None and split_and_key(metric.name)[0]):
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


@COMPARISON_RULES.rule
def seeds_disjoint(tuning: TuningSpec | None, scoring: ScoringSpec) -> Iterator[Finding]:
    """A seed that values were chosen by would score too well."""
    if tuning is None or isinstance(tuning.seeds, int) or isinstance(scoring.seeds, int):
        return
    for index, seed in enumerate(tuning.seeds):
        if seed in scoring.seeds:
            message = f"{seed} is a scoring seed too, and would score values that it chose; take another, or a count"
            yield ("tuning", "seeds", index), message


@COMPARISON_RULES.rule
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


def split_and_key(name: str) -> tuple[str, str]:
    """``("validation", "rmse")`` of ``validation_rmse``, and ``("", "rmse")`` of ``rmse``."""
    if split_of(name) in ("train", "validation", "test") and metric_of(name):
        return split_of(name), metric_of(name)
    return "", name


def recorded_keys(evaluation: EvaluationSpec, facts: DataFacts, loss: LossSpec) -> list[str]:
    """The figures of the kept weights, without their split."""
    keys = [metric.key for metric in metrics_at_end(evaluation.metrics, facts, loss)]
    of_split = [key for key in recorded_metrics("test", facts, keys) if key.startswith("test_")]
    return [metric_of(key) for key in of_split]


def judged_key(metric: ComparedMetric | None, recorded: Sequence[str]) -> str:
    """What arms are compared by, without its split: by default accuracy, of a regression the RMSE."""
    key = split_and_key(metric.name)[1] if metric is not None else ""
    return key or next(name for name in ("accuracy", "rmse", "loss") if name in recorded)


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
    tuned = any(entry.grids for entry in spec.compared.values())
    if spec.tuning is not None and not tuned:
        yield ("tuning",), f"has no effect: no {'arm' if spec.arms else 'optimizer'} has values to choose from"
    if tuned and spec.scoring.split == "validation":
        yield ("scoring", "split"), "scores on rows that tuning chooses by, which flatters the winner; use test data"
    if len(set(spec.budgets.values())) > 1:
        counts = ", ".join(f"{name} {count}" for name, count in spec.budgets.items())
        message = f"tuning budgets differ, which favours the larger: settings of {counts}; give each grid the same size"
        yield ("arms" if spec.arms else "optimizers",), message
    contents = {name: candidate.plain() for name, candidate in spec.optimizers.items()}
    for name, content in contents.items():
        first = next(other for other in contents if contents[other] == content)
        if first != name:
            yield ("optimizers", name), f"is the same as '{first}', so the two can only tie"
    if spec.tie_width > WIDE_TIE and spec.is_of_fractions:
        message = f"counts differences up to {spec.tie_width * 100:g} percentage points as ties; 0.001 is 0.1 points"
        yield ("tie",), message
    yield from executor_warnings(spec.executor, spec.base.training)


def kept_by_loss(metric: ComparedMetric, base: ExperimentSpec, changed: Iterable[str]) -> Iterator[Finding]:
    """That the epoch whose weights are kept is not the best one by a metric that was chosen for a study.

    Left out where both usually name the same epoch: the accuracy, which all else here is kept and compared by too, and
    those that follow from a squared loss. ``changed`` are the keys that trials change.
    """
    evaluation, key = base.evaluation, metric.key
    follows = ("loss", "objective", "accuracy", *(("rmse", "r2") if base.loss.name == "mse" else ()))
    if evaluation.keep != "best" or metric_of(evaluation.metric) != "loss" or key in follows:
        return
    if any(path.startswith("evaluation") for path in changed):
        return
    message = (
        f"is {key} after the epoch of the {best_in_words(evaluation.metric)}, which is the one that is kept; set "
        f"base.evaluation.metric: validation_{key} to keep the best by it"
    )
    yield ("metric",), message


def executor_warnings(executor: ExecutorSpec, training: TrainingSpec) -> Iterator[Finding]:
    """A part of a GPU that nothing trains on."""
    if divides_gpus(executor) and training.device == "cpu":
        yield ("executor", "gpus"), "has no effect: base.training.device is cpu"


def comparison_notes(spec: ComparisonSpec) -> Iterator[str]:
    """What is to be known of a comparison's figures, in words."""
    tuned = any(entry.grids for entry in spec.compared.values())
    if tuned and spec.scoring.split == "test" and (note := test_rows_of_tuning(spec.base.data)) is not None:
        yield note


def test_rows_of_tuning(data: DataSpec) -> str | None:
    """That a seed is tuned on test rows of another, where it is; generated rows are every seed's own."""
    if not data.draws_test_by_seed or data.source().by_seed:
        return None
    by = "column, column: …" if isinstance(data.split, ColumnSplit) else data.split.by
    return (
        "test rows are drawn by the seed, so that those of a scoring seed may have been used in tuning, under other "
        f"seeds; base.data.split: {{by: {by}, draw: 0}} gives all seeds the same test rows"
    )
