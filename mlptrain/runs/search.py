"""What a search leaves in its folder, typed once: the summary, seconds of its batches.

``mlptrain.searching`` computes these results, the report and the command line read them. The files lie in the open, so
their content is checked against these types whenever it is read.

search.yaml        everything that decides the results; its hash is in the folder's name
trials.jsonl       a line per trial, as a comparison's, without any clock value
summary.json       the trials in the order in which they were drawn, the best one, its scores, what was important
best.yaml          the chosen setting as an experiment, which `mlptrain train` trains to the recorded figure
timings.json       seconds of every batch of trials
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from mlptrain.runs.study import Seconds, StudyFiles
from mlptrain.runs.trials import Changes, Name, Positive
from mlptrain.spec.comparison.sections import ComparedMetric
from mlptrain.spec.kinds import SEARCH
from mlptrain.spec.search.sections import Choice, Choices, Method, Range
from mlptrain.system.jsonfiles import Count, Figure, Fraction, Record
from mlptrain.system.paths import AnyPath

Outcome = Literal["completed", "pruned", "diverged", "failed", "infeasible"]


class Tried(Record):
    """One trial as it was drawn; ``value`` is the metric of its kept weights on validation rows.

    ``trial`` names its record in trials.jsonl, which settings drawn twice share. ``epochs`` are those it was trained.
    ``changes`` are the keys of the space that count beside each other. One that no experiment can have is infeasible,
    for a ``reason``, and has no record.
    """

    number: Count
    trial: str
    changes: Changes
    status: Outcome
    reason: str | None = None
    epochs: Count
    value: Figure | None


class Scored(Record):
    """The chosen setting trained with one seed, alone; ``test`` is None where no test rows were read."""

    seed: Count
    trial: str
    status: Outcome
    epoch: Count | None
    validation: Figure | None
    test: Figure | None


class Spread(Record):
    """Over the scoring seeds that lasted; the standard deviation is None for one."""

    n: Positive
    mean: Figure
    std: Figure | None
    min: Figure
    max: Figure


class Edge(Record):
    """The chosen value of a key lies at an end of what was searched, and the key takes values beyond it."""

    key: Name
    value: Any
    side: Literal["low", "high"]
    end: Figure


class Half(Record):
    """What half the trials would have found."""

    trials: Positive
    number: Count | None
    value: Figure | None


class Importance(Record):
    """The share of the explained variance that one key explains by itself: mean and range over resamples of trials."""

    mean: Fraction
    low: Fraction
    high: Fraction


class SearchSummary(Record):
    """A finished search; ``asked`` is below ``budget`` where --hours ended it before.

    ``tested`` are the numbers of the trials whose settings were scored on test rows, None where there are no such rows:
    none where --hours ended it, several where it was extended and another setting was then the best.
    """

    name: Name
    plan: Name
    method: Method
    metric: ComparedMetric
    space: dict[str, Any]
    budget: Positive
    asked: Positive
    epochs: Positive
    trained_epochs: Count
    trials: Annotated[Sequence[Tried], Field(min_length=1)]
    best: Count | None
    scored: Sequence[Scored]
    tested: Sequence[Count] | None
    validation: Spread | None
    test: Spread | None
    importances: dict[str, Importance]
    edges: Sequence[Edge]
    half: Half
    sentence: str

    @property
    def chosen(self) -> Tried | None:
        """The best trial; None where none lasted."""
        return None if self.best is None else self.trials[self.best]

    @property
    def winner(self) -> tuple[str, str | None, float | None]:
        """The best trial, the name of its figure, and the mean of that over the scoring seeds, on test rows if any."""
        spread, split = (self.validation, "validation") if self.test is None else (self.test, "test")
        if self.best is None or spread is None:
            return "", None, None
        return f"trial {self.best}", f"{split}_{self.metric.key}", spread.mean

    def choices(self) -> dict[str, Choice]:
        """The space."""
        return {key: choice_of(entry) for key, entry in self.space.items()}


def choice_of(entry: Any) -> Choice:
    """What ``Choice.plain`` has written."""
    if isinstance(entry, list):
        return Choices(entry)
    [(name, (low, high))] = entry.items()
    return Range(name, low, high)


class SearchTimings(Record):
    """Seconds of every batch of trials, and which these are, in the order in which they ended one after the other."""

    seconds: dict[str, Seconds] = Field(default_factory=dict)
    trials: dict[str, list[str]] = Field(default_factory=dict)


class SearchFiles(StudyFiles):
    """Where the files of a search lie, and the results in them."""

    kind = SEARCH

    def __init__(self, path: AnyPath) -> None:
        super().__init__(path)
        self.best = self.path / "best.yaml"

    def read_summary(self) -> SearchSummary:
        """Raises RunFolderError where there is none yet, or a damaged one."""
        return self.read(self.summary, SearchSummary)

    def read_timings(self) -> SearchTimings:
        """The seconds so far. Raises RunFolderError for a damaged file."""
        return self.read(self.timings, SearchTimings) if self.timings.is_file() else SearchTimings()
