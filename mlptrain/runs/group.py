"""Runs of one experiment with several seeds, or in all folds of a cross-validation, trained together.

A group is a folder of run folders.

seed-<n>/        a run folder for each seed; of a cross-validation fold-<n>/, from 0 on
seeds.json       the seeds, written once all their folders are there: a group that has it can be resumed; or folds.json
summary.json     mean and spread over the runs; written last
"""

from __future__ import annotations

import math
import statistics
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from mlptrain.errors import RunFolderError
from mlptrain.runs.folder import NewFolder
from mlptrain.runs.records import FoldSpread, FoldsStart, FoldsSummary, GroupStart, GroupSummary, RunResult, Spread
from mlptrain.system.atomic import remove_temporary, write_atomically
from mlptrain.system.jsonfiles import read_json, to_json
from mlptrain.system.paths import AnyPath, user_path

AnySummary = GroupSummary | FoldsSummary


class RunGroup(NewFolder, ABC):
    """Paths of a group and what may be done to them. Create with ``create`` of a kind, read with ``open``.

    Use as a context to train: its runs are locked with it. ``word`` is what its runs are called, each by its number.
    """

    word: ClassVar[str]

    def __init__(self, path: AnyPath) -> None:
        path = user_path(path)
        super().__init__(path)
        self.start = path / f"{self.word}s.json"
        self.summary = path / "summary.json"

    @classmethod
    def is_group(cls, path: AnyPath) -> bool:
        """Whether the folder holds runs of this kind of group, or of either."""
        return any(kind(path).start.is_file() for kind in KINDS if issubclass(kind, cls))

    @classmethod
    def open(cls, path: AnyPath) -> RunGroup:
        """An existing group, of its kind. Raises RunFolderError for anything else."""
        kinds = [kind for kind in KINDS if issubclass(kind, cls)]
        for kind in kinds:
            if (group := kind(path)).start.is_file():
                return group
        names = " or ".join(kind(path).start.name for kind in kinds)
        raise RunFolderError(
            f"{path} is not a group of {' or '.join(f'{kind.word}s' for kind in kinds)}: it has no {names}"
        )

    @property
    @abstractmethod
    def numbers(self) -> list[int]:
        """The numbers of the runs, in their order. Raises RunFolderError where the file is damaged."""

    def member(self, number: int) -> Path:
        """Where a run lies."""
        return self.path / f"{self.word}-{number}"

    @abstractmethod
    def write_start(self, numbers: Sequence[int]) -> None:
        """Write what is known before training. Raises OSError."""

    def write_summary(self, results: Sequence[RunResult]) -> AnySummary:
        """Write and return ``summarised``. Raises as that, and OSError."""
        summary = self.summarised(results)
        remove_temporary(self.path)
        write_atomically(self.summary, to_json(summary))
        return summary

    def summarised(self, results: Sequence[RunResult]) -> AnySummary:
        """Mean, sample standard deviation, smallest and largest of every metric of the kept weights.

        ``results`` are those of the runs, in their order; diverged ones are counted and have no metrics. A metric that
        is undefined for one of them is left out. Raises RunFolderError where one lacks a metric of another.
        """
        numbers = self.numbers
        completed = [
            (number, result) for number, result in zip(numbers, results, strict=True) if result.status == "completed"
        ]
        kept = {number: result.kept.metrics for number, result in completed}
        undefined = {name for _, result in completed for name in result.undefined}
        names = [name for name in next(iter(kept.values()), {}) if name not in undefined]
        names = [name for name in names if not name.startswith("train_") or all(name in own for own in kept.values())]
        for number, metrics in kept.items():
            if not set(names) <= metrics.keys():
                raise RunFolderError(f"{self.member(number)}: its result lacks metrics of the others'; it was edited")
        return self._summary(
            numbers,
            [number for number in numbers if number not in kept],
            {name: [metrics[name] for metrics in kept.values()] for name in names},
        )

    @abstractmethod
    def _summary(self, numbers: list[int], diverged: list[int], kept: dict[str, list[float]]) -> AnySummary:
        """What the summary holds; ``kept`` has the figures of the runs that completed."""


class SeedGroup(RunGroup):
    """Runs that differ in their seed."""

    _suffix = "-seeds"
    word = "seed"

    @property
    def numbers(self) -> list[int]:
        """The seeds, in the order in which they were named."""
        return read_json(self.start, GroupStart).seeds

    def write_start(self, numbers: Sequence[int]) -> None:
        """Write the seeds. Raises OSError."""
        write_atomically(self.start, to_json(GroupStart(seeds=list(numbers))))

    def _summary(self, numbers: list[int], diverged: list[int], kept: dict[str, list[float]]) -> GroupSummary:
        spreads = {name: Spread(**_spread(values)) for name, values in kept.items()}
        return GroupSummary(seeds=numbers, diverged=diverged, kept=spreads)


class FoldGroup(RunGroup):
    """Runs that differ in the fold that is held out."""

    _suffix = "-folds"
    word = "fold"

    @property
    def numbers(self) -> list[int]:
        """All folds, from 0 on."""
        return list(range(read_json(self.start, FoldsStart).folds))

    def write_start(self, numbers: Sequence[int]) -> None:
        """Write how many there are. Raises OSError."""
        write_atomically(self.start, to_json(FoldsStart(folds=len(numbers))))

    def _summary(self, numbers: list[int], diverged: list[int], kept: dict[str, list[float]]) -> FoldsSummary:
        spreads = {}
        for name, values in kept.items():
            of_runs = _spread(values)
            error = None if of_runs["std"] is None else of_runs["std"] / math.sqrt(len(values))
            spreads[name] = FoldSpread(**of_runs, standard_error=error)
        return FoldsSummary(folds=len(numbers), diverged=diverged, kept=spreads)


KINDS: tuple[type[RunGroup], ...] = (SeedGroup, FoldGroup)


def _spread(values: Sequence[float]) -> dict[str, Any]:
    std = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": statistics.fmean(values), "std": std, "min": min(values), "max": max(values)}
