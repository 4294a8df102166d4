"""What the JSON files of a run and of a group of seeds hold, typed once; ``mlptrain.system.jsonfiles`` reads them.

The lines of the two logs stay plain mappings, since a log may have ten million of them: a model for each takes 1.4 kB
instead of 0.9 (CPython 3.11).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, TypeAdapter, model_validator

from mlptrain.keys import run_figure
from mlptrain.spec.choosing import higher_is_better
from mlptrain.spec.rows import MAX_FOLDS
from mlptrain.system.jsonfiles import Count, Figure, Positive, Record

Line = dict[str, Any]  # of metrics.jsonl or timings.jsonl: an epoch and its numbers


Metrics = dict[str, Figure]  # such as {"test_loss": 0.1}
Seeds = Annotated[list[Count], Field(min_length=1)]
Folds = Annotated[int, Field(ge=2, le=MAX_FOLDS)]


def figures_of(line: Line) -> Metrics:
    """The figures in a line of ``metrics.jsonl``.

    Those of training are means over the epoch while it was trained, from weights that changed on the way; here
    their names say so, as in ``running_train_loss``.
    """
    figures = {key: value for key, value in line.items() if key not in ("epoch", "step", "lr")}
    return {f"running_{key}" if key.startswith("train_") else key: value for key, value in figures.items()}


class Kept(Record):
    """The weights that a run stands for: checkpoint file, epoch, and beside these in the file their own metrics.

    Epoch 0 is before training. All metrics are of these weights, those of training too.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Figure]

    checkpoint: str
    epoch: Count

    @property
    def metrics(self) -> dict[str, float]:
        """Such as ``test_loss``."""
        return self.model_extra or {}


def untrained(epoch: int, *, epochs: int = 0, metric: str = "validation_loss") -> str:
    """What there is to say of weights kept after ``epoch``, of ``epochs`` trained ones; empty but for epoch 0."""
    if epoch:
        return ""
    none_better = f"; no epoch {'raised' if higher_is_better(metric) else 'lowered'} the {metric.replace('_', ' ')}"
    return "the initial weights, untrained by this run" + (none_better if epochs else "")


Kind = Literal["stuck", "slow", "diverged"]


class Diagnosis(Record):
    """What is wrong with a run, in one sentence, with the causes that were measured.

    ``kind``: ``stuck``; ``slow``, above the same loss but still falling; or ``diverged``. ``remedies`` are the changes
    that the causes ask for, all together, keys such as ``optimizer.lr`` to their values; ``trial`` says what they did
    in a short training, empty where it shows no difference yet.
    """

    kind: Kind
    message: str
    causes: list[str]
    remedies: dict[str, Any] = Field(default_factory=dict)
    trial: str = ""

    @property
    def options(self) -> list[str]:
        """The remedies as options of ``mlptrain train``, such as ``optimizer.lr=0.01`` after ``--set``."""
        return [f"{key}={plain_value(value)}" for key, value in self.remedies.items()]


def plain_value(value: object) -> str:
    """A value as YAML in one line: ``0.01``, ``standard``, ``[64, 64]``."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


class Calibration(Record):
    """The temperature that the kept weights' logits are divided by, and what it did: ``validation_ece`` and so on.

    ``validation_…`` are of the rows that it was fitted on. None, with nothing in ``after``, where no finite one
    minimises their log-loss. Of rows with sample weights ``validation_weighted_ece`` and so on stand beside these.
    """

    temperature: Positive | None
    before: Metrics
    after: Metrics


class StoppedEarly(Record):
    """What ended a run before its last epoch: no better value for so many epochs, since ``best_epoch``."""

    metric: str
    best_epoch: Count
    message: str


class Choice(Record):
    """What it was worth to keep the best of ``epochs`` measured epochs: the metric that chose it, there and at the end.

    The kept value is the best of many on the very rows that chose it, and so flatters.
    """

    metric: str
    epochs: Count
    kept: Figure
    last: Figure

    @property
    def in_words(self) -> str:
        """One sentence."""
        kept, last = (run_figure(self.metric, value) for value in (self.kept, self.last))
        if self.kept == self.last:
            return f"the kept epoch was chosen by its {self.metric}, {kept}, as the best of {self.epochs:,}"
        return (
            f"the kept epoch was chosen by its {self.metric}, {kept} against {last} after the last epoch; as the best "
            f"of {self.epochs:,} on the rows that chose it, that figure is likely a little too good"
        )


class CompletedRun(Record):
    """``result.json`` of a run that was trained to its end; ``last`` are the figures of its last epoch.

    ``undefined`` says why figures of the kept weights are absent, by their names: ``test_roc_auc`` and so on.
    ``stopped_early`` is None where that is the last of the configuration, ``choice`` where the last weights are kept,
    ``still_falling`` but for a run whose loss was clearly falling at its end; it says so in words.
    """

    status: Literal["completed"] = "completed"
    epochs: Count
    steps: Count
    kept: Kept
    last: Metrics
    diagnosis: Diagnosis | None
    test_evaluations: Count
    undefined: dict[str, str] = Field(default_factory=dict)
    calibration: Calibration | None = None
    stopped_early: StoppedEarly | None = None
    choice: Choice | None = None
    still_falling: str | None = None

    @property
    def state(self) -> str:
        """``completed`` or ``stopped early``."""
        return "completed" if self.stopped_early is None else "stopped early"

    @property
    def about_kept(self) -> str:
        """What there is to say of the kept weights; empty for those of a trained epoch."""
        metric = "validation_loss" if self.choice is None else self.choice.metric
        return untrained(self.kept.epoch, epochs=self.epochs, metric=metric)

    @property
    def about_choice(self) -> str:
        """What the choice of the kept epoch was worth; empty where the last is kept."""
        if self.choice is None:
            return ""
        calibrated = self.calibration is not None and self.calibration.temperature is not None
        return self.choice.in_words + "; it was measured before calibration" * calibrated

    @model_validator(mode="after")
    def _without_running_means(self) -> Self:
        """Earlier versions kept running means as the training figures of the kept weights; these are left out."""
        if "train_loss" not in self.last:
            return self
        own = {key: value for key, value in self.kept.plain().items() if not key.startswith("train_")}
        return self.model_copy(update={"kept": Kept.model_validate(own)})


class DivergedRun(Record):
    """``result.json`` of a run whose loss or parameters stopped being finite; runs of earlier versions say not why."""

    status: Literal["diverged"] = "diverged"
    epoch: Count
    step: Count
    lr: Figure
    message: str
    diagnosis: Diagnosis | None = None

    @property
    def state(self) -> str:
        """``diverged``."""
        return self.status

    @property
    def advice(self) -> str:
        """What to try, as the object of a sentence."""
        remedies = {} if self.diagnosis is None else self.diagnosis.remedies
        if not remedies or (set(remedies) == {"optimizer.lr"} and remedies["optimizer.lr"] < self.lr):
            return "a smaller learning rate"
        return " and ".join(f"{key} {plain_value(value)}" for key, value in remedies.items())


RunResult = CompletedRun | DivergedRun
RUN_RESULT: TypeAdapter[RunResult] = TypeAdapter(
    Annotated[RunResult, Field(discriminator="status")], config=ConfigDict(defer_build=True)
)
METRICS: TypeAdapter[dict[str, float]] = TypeAdapter(Metrics, config=ConfigDict(strict=True, defer_build=True))


class Hashes(Record):
    """SHA-256 of what a run is trained from; the batch order is the first epoch's, later ones follow from the seed."""

    data: str
    initial_weights: str
    batch_order: str


class Moments(Record):
    """Mean and population standard deviation of values."""

    mean: Figure
    std: Figure


class Scaling(Record):
    """What inputs go through: x becomes (x / divisor − mean) / std; ``columns`` has numbers of its own for each.

    Under ``scaling: standard`` the numbers are those of the training rows.
    """

    divisor: Figure = 1.0
    mean: Figure = 0.0
    std: Figure = 1.0
    columns: dict[str, Moments] = Field(default_factory=dict)

    def in_words(self, *, most: int = 8) -> str:
        """One line, with the numbers of at most so many columns."""
        if not self.columns:
            x = "x" if self.divisor == 1 else f"x / {self.divisor:g}"
            return x if (self.mean, self.std) == (0, 1) else f"({x} - {self.mean:.6g}) / {self.std:.6g}"
        shown = list(self.columns.items())[:most]
        parts = [f"{name} (x - {numbers.mean:.6g}) / {numbers.std:.6g}" for name, numbers in shown]
        more = [f"and {len(self.columns) - most} more columns"] if len(self.columns) > most else []
        return "; ".join(parts + more)


class Origin(Record):
    """Where initial weights came from: the file as it was named, and the epoch after which it was saved, if it says."""

    file: str
    epoch: Count | None


class Environment(Record):
    """``environment.json``: what a run's metrics depend on besides its configuration.

    ``scaling`` is None where inputs are taken as they are, and in runs of versions that did not record it.
    """

    mlptrain: str
    python: str
    torch: str
    numpy: str
    platform: str
    processor: str
    device: str
    device_name: str | None
    precision: str
    threads: Count
    workers: Count = 1  # that trained one model together when it was begun
    git_commit: str | None
    hashes: Hashes
    scaling: Scaling | None = None
    class_weights: dict[str, Figure] | None = None  # fitted on the training rows
    started_from: Origin | None = None
    constant_guess: Metrics | None = None  # loss and accuracy on the training rows; earlier versions did not write it
    earlier_test_evaluations: Count = 0  # of results that made way for more epochs


class GroupStart(Record):
    """``seeds.json``."""

    seeds: Seeds


class FoldsStart(Record):
    """``folds.json``."""

    folds: Folds


class Spread(Record):
    """One metric over runs; ``std`` is the sample standard deviation, None for one run."""

    mean: Figure
    std: Figure | None
    min: Figure
    max: Figure


class GroupSummary(Record):
    """``summary.json`` of a group: seeds, those that diverged, and the metrics of the kept weights of the others."""

    seeds: Seeds
    diverged: list[Count]
    kept: dict[str, Spread]


class FoldSpread(Spread):
    """With the standard error of the mean, ``std`` / √n, as if the folds were independent of each other."""

    standard_error: Figure | None


class FoldsSummary(Record):
    """``summary.json`` of a cross-validation, as GroupSummary; ``test_…`` are figures of the held-out folds."""

    folds: Folds
    diverged: list[Count]
    kept: dict[str, FoldSpread]
