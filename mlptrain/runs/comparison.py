"""What a comparison leaves in its folder, typed once: records of trials, the summary, seconds per epoch.

``mlptrain.comparison`` computes these results, the report and the command line read them. The files lie in the open, so
their content is checked against these types whenever it is read. Accuracies, scores and differences are fractions.

plan.yaml          everything that decides the results, with the extension rule; its hash is in the folder's name
trials.jsonl       a line per trial, failed ones too, without any clock value, each with its own digest; a batch of
                   models is written whole
summary.json       the table, the verdicts, what failed; summary.csv, summary.md and summary.tex hold the table
timings.json       seconds per epoch of the chosen settings, timed alone and interleaved
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from mlptrain.runs.study import Seconds, StudyFiles
from mlptrain.runs.trials import Changes, CurveName, Name, Positive, Sparse, SplitName
from mlptrain.spec.comparison.sections import ComparedMetric, TargetSpec
from mlptrain.spec.kinds import COMPARISON
from mlptrain.spec.optimizer import OptimizerSpec
from mlptrain.system.files import read_regular
from mlptrain.system.jsonfiles import MAX_BYTES, Count, Figure, Fraction, Record, from_json

Difference = Annotated[float, Field(ge=-1, le=1)]
Epoch = Annotated[int, Field(ge=1, le=10_000_000)]
TunedValue = Annotated[float, Field(ge=0, le=1e30)] | list[Fraction]  # a number, or a pair of betas
Status = Literal["completed", "did not learn", "diverged", "failed"]
Verdict = Literal["better", "worse", "tie", "not decided", "no verdict"]
Reason = Literal["not significant", "under-tuned", "too few seeds"]

_MIRRORED: Mapping[Verdict, Verdict] = {"better": "worse", "worse": "better"}


# --- summary.json ---


class ScoredTrial(Sparse):
    """One scored trial. ``score`` enters the mean; of a trial that did not last it is the majority class's share.

    ``epoch`` is that of the kept weights or, with ``step``, where it diverged; ``message`` says why it failed.
    """

    seed: Count
    trial: str
    status: Status
    score: Fraction
    accuracy: Fraction | None
    loss: Figure | None
    epoch: Count | None
    step: Count | None = None
    message: str | None = None


class Accuracy(Record):
    """The mean over the seeds with Student's 95 % interval, whose bounds are None for one seed, and the median."""

    mean: Fraction
    low: Fraction | None
    high: Fraction | None
    median: Fraction


class TimeToTarget(Record):
    """Epochs to the target: the median (None where the median trial missed it), and each trial's (None: a miss)."""

    median: Annotated[float, Field(ge=1, le=10_000_000)] | None
    reached: Count
    n: Count
    trials: list[Epoch | None]


class Curve(Record):
    """Mean, lowest and highest value over the trials that lasted, epoch by epoch."""

    mean: list[Figure]
    low: list[Figure]
    high: list[Figure]


class TriedSetting(Record):
    """The tuned values of a setting, and its validation accuracy by tuning seed (None: the trial did not last)."""

    setting: dict[str, TunedValue]
    accuracies: Annotated[list[Fraction | None], Field(min_length=1)]


class OptimizerResult(Sparse):
    """One optimizer of the comparison, or one arm; ``curves`` has no entry where no trial lasted.

    ``steps_per_epoch`` is there where an arm changes it, ``gradients_per_step`` where a step may evaluate several, and
    ``parameters``, those of the chosen setting's network, where arms differ in them.
    ``at_default`` is there of an optimizer by its import path: the keys whose value is its constructor's.
    """

    setting: OptimizerSpec | None = None
    changes: Changes | None = None  # of an arm
    grids: Mapping[str, Sequence[TunedValue]]
    tuning_trials: Count
    failed_tuning_trials: Count
    extensions: Count
    under_tuned: bool
    tuning: Sequence[TriedSetting]
    trials: Sequence[ScoredTrial]
    accuracy: Accuracy
    completed: Count
    did_not_learn: Count
    diverged: Count
    failed: Count
    epochs_to_target: TimeToTarget | None
    curves: dict[CurveName, Curve]
    steps_per_epoch: Positive | None = None
    gradients_per_step: Positive | None = None
    parameters: Count | None = None
    at_default: list[str] | None = None

    @property
    def tuning_accuracies(self) -> list[float | None]:
        """Of every tuning trial, None where it did not last."""
        return [value for tried in self.tuning for value in tried.accuracies]

    @property
    def rate_key(self) -> str:
        """The name of the learning rate among the tuned fields."""
        return "lr" if self.changes is None else "optimizer.lr"

    @property
    def rate(self) -> float | None:
        """The learning rate of the chosen setting; None of an arm that leaves it as it is."""
        if self.setting is not None:
            return self.setting.lr
        value = (self.changes or {}).get("optimizer.lr")
        return value if isinstance(value, float) else None


class Pair(Record):
    """Arm ``a`` against ``b`` over ``n`` seeds; ``verdict`` is on ``a``, ``reason`` says why it claims nothing.

    ``mean``, ``low`` and ``high`` are of a's score minus b's, in their unit: the mean and its 95 % bootstrap interval,
    which is this pair's alone and whose bounds are None for one seed. ``p`` is the sign-flip test's, ``p_holm``
    corrected over all pairs.
    """

    a: str
    b: str
    n: Positive
    mean: Difference
    low: Difference | None
    high: Difference | None
    p: Fraction
    p_holm: Fraction
    verdict: Verdict
    reason: Reason | None = None  # of what is not decided or has no verdict; None in files of earlier versions

    @property
    def outcome(self) -> str:
        """The verdict with its reason: ``not decided (under-tuned)``."""
        return self.verdict if self.reason is None else f"{self.verdict} ({self.reason})"

    def mirrored(self) -> Pair:
        """The same result as ``b`` against ``a``."""
        low, high = (None if bound is None else -bound for bound in (self.high, self.low))
        verdict = _MIRRORED.get(self.verdict, self.verdict)
        swapped = {"a": self.b, "b": self.a, "mean": -self.mean, "low": low, "high": high, "verdict": verdict}
        return self.model_copy(update=swapped)


class Summary(Record):
    """A finished comparison. ``optimizers`` stand in the order of the plan, ``ranking`` names them best mean first.

    ``majority`` is the share of the largest class in the scored split, ``majority_bar`` the lowest accuracy that is
    significantly above it (None where there is none); where the split is drawn by the seed, the first seed's.
    ``inclusion`` holds the pairs in which an optimizer scored worse than its own special case.
    """

    name: Name
    plan: Name
    split: SplitName
    seeds: Annotated[list[Count], Field(min_length=1)]
    tuning_seeds: list[Count]
    epochs: Epoch
    steps_per_epoch: Positive
    target: TargetSpec | None
    tie: Fraction
    majority: Fraction | None
    majority_bar: Fraction | None
    ranking: list[str]
    optimizers: Annotated[Mapping[Name, OptimizerResult], Field(min_length=2)]
    pairs: Sequence[Pair]
    inclusion: Sequence[Pair]
    seeds_for_verdict: Positive
    sentence: str

    @property
    def compared_by(self) -> ComparedMetric | None:
        """The metric of a study; None of optimizers, which are compared by their accuracy."""
        return None

    @property
    def winner(self) -> tuple[str, str, float]:
        """The best arm, the name of its figure, and the mean of that over the seeds."""
        name = self.compared_by.name if self.compared_by is not None else f"{self.split}_accuracy"
        return self.ranking[0], name, self.optimizers[self.ranking[0]].accuracy.mean

    @property
    def ranked(self) -> Iterator[tuple[str, OptimizerResult]]:
        """The optimizers by their names, best mean accuracy first."""
        return ((name, self.optimizers[name]) for name in self.ranking)

    @property
    def ranked_pairs(self) -> list[Pair]:
        """Every pair once, the better ranked one first, in the order of the ranking."""
        rank = {name: index for index, name in enumerate(self.ranking)}
        pairs = [pair if rank[pair.a] < rank[pair.b] else pair.mirrored() for pair in self.pairs]
        return sorted(pairs, key=lambda pair: (rank[pair.a], rank[pair.b]))

    @property
    def lasted(self) -> bool:
        """Whether any trial reached its last epoch."""
        return any(entry.curves for entry in self.optimizers.values())

    def number(self, name: str) -> int:
        """Which series the optimizer ``name`` is: its colour and marker in every picture. Raises ValueError."""
        return list(self.optimizers).index(name)


# --- summary.json of a study: any arms, by any metric, in its own unit ---


class Score(Accuracy):
    """The metric's mean over the seeds with Student's 95 % interval, and its median."""

    mean: Figure
    low: Figure | None
    high: Figure | None
    median: Figure


class StudyTrial(ScoredTrial):
    """One scored trial; the ``score`` of one that did not last is that of answers that ignore the inputs."""

    score: Figure


class TriedChanges(TriedSetting):
    """The tuned values of a setting, and its metric on validation rows by tuning seed."""

    setting: Changes
    accuracies: Annotated[list[Figure | None], Field(min_length=1, alias="scores")]


class StudyPair(Pair):
    """Differences in the metric's unit."""

    mean: Figure
    low: Figure | None
    high: Figure | None


class ArmResult(OptimizerResult):
    """One arm of a study."""

    changes: Changes
    grids: Mapping[str, Sequence[Any]]
    tuning: Sequence[TriedChanges]
    trials: Sequence[StudyTrial]
    accuracy: Score = Field(alias="score")


class StudySummary(Summary):
    """A finished study: as a comparison of optimizers, with ``arms`` and the ``metric`` that they are compared by.

    ``majority`` is None but where that is the accuracy.
    """

    metric: ComparedMetric
    tie: Figure
    optimizers: Annotated[Mapping[Name, ArmResult], Field(min_length=2, alias="arms")]
    pairs: Sequence[StudyPair]
    inclusion: Sequence[StudyPair]

    @property
    def compared_by(self) -> ComparedMetric:
        """The metric."""
        return self.metric


# --- timings.json ---


class Timings(Record):
    """Seconds per training epoch of each chosen setting trained alone, without evaluation, checkpoints or warm-up.

    ``seconds_per_epoch`` is the median of the rounds in ``samples``, None where the setting could not be timed.
    """

    rounds: Count = 0
    seconds_per_epoch: dict[str, Seconds | None] = Field(default_factory=dict)
    samples: dict[str, list[Seconds]] = Field(default_factory=dict)
    settings: dict[str, OptimizerSpec] = Field(default_factory=dict)


class StudyTimings(Timings):
    """The same of a study, whose arms have ``changes`` and no settings."""

    changes: dict[str, Changes]


class ComparisonFiles(StudyFiles):
    """Where the files of a comparison lie, and the results in them."""

    kind = COMPARISON

    def read_summary(self) -> Summary:
        """Raises RunFolderError where there is none yet, or a damaged one."""
        return self.read(self.summary, StudySummary if _has(self.summary, "arms") else Summary)

    def read_timings(self) -> Timings:
        """The seconds; none of any optimizer where nothing was timed. Raises RunFolderError for a damaged file."""
        if not self.timings.is_file():
            return Timings()
        return self.read(self.timings, StudyTimings if _has(self.timings, "changes") else Timings)


def _has(path: Path, key: str) -> bool:
    """Whether a file has the key of a study; what is wrong with the file is said by who reads it."""
    try:
        return key in from_json(read_regular(path, most=MAX_BYTES))
    except (OSError, ValueError, TypeError):
        return False
