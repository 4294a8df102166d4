"""Runs of one experiment with several seeds, trained together: a folder of run folders.

seed-<n>/        a run folder for each seed
seeds.json       the seeds, written once all their folders are there: a group that has it can be resumed
summary.json     mean and spread over the seeds; written last
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from mlptrain.errors import RunFolderError
from mlptrain.runs.folder import NewFolder
from mlptrain.runs.records import GroupStart, GroupSummary, RunResult, Spread
from mlptrain.system.atomic import remove_temporary, write_atomically
from mlptrain.system.jsonfiles import read_json, to_json
from mlptrain.system.paths import AnyPath, user_path


class SeedGroup(NewFolder):
    """Paths of a group and what may be done to them. Create with ``create``, read with ``open``.

    Use as a context to train: its runs are locked with it.
    """

    _suffix = "-seeds"

    def __init__(self, path: AnyPath) -> None:
        path = user_path(path)
        super().__init__(path)
        self.start = path / "seeds.json"
        self.summary = path / "summary.json"

    @classmethod
    def is_group(cls, path: AnyPath) -> bool:
        """Whether the folder holds runs of several seeds."""
        return cls(path).start.is_file()

    @classmethod
    def open(cls, path: AnyPath) -> SeedGroup:
        """An existing group. Raises RunFolderError for anything else."""
        group = cls(path)
        if not cls.is_group(path):
            raise RunFolderError(f"{path} is not a group of seeds: it has no {group.start.name}")
        return group

    @property
    def seeds(self) -> list[int]:
        """The seeds, in the order in which they were named. Raises RunFolderError where the file is damaged."""
        return read_json(self.start, GroupStart).seeds

    def member(self, seed: int) -> Path:
        """Where the run of a seed lies."""
        return self.path / f"seed-{seed}"

    def write_start(self, seeds: Sequence[int]) -> None:
        """Write what is known before training. Raises OSError."""
        write_atomically(self.start, to_json(GroupStart(seeds=list(seeds))))

    def write_summary(self, results: Sequence[RunResult]) -> GroupSummary:
        """Write and return mean, sample standard deviation, smallest and largest of every metric of the kept weights.

        ``results`` are those of the runs, in the order of the seeds; diverged ones are counted and have no metrics. A
        metric that is undefined for one of them is left out. Raises RunFolderError where one lacks a metric of another,
        and OSError.
        """
        seeds = self.seeds
        completed = [
            (seed, result) for seed, result in zip(seeds, results, strict=True) if result.status == "completed"
        ]
        kept = {seed: result.kept.metrics for seed, result in completed}
        undefined = {name for _, result in completed for name in result.undefined}
        names = [name for name in next(iter(kept.values()), {}) if name not in undefined]
        names = [name for name in names if not name.startswith("train_") or all(name in own for own in kept.values())]
        for seed, metrics in kept.items():
            if not set(names) <= metrics.keys():
                raise RunFolderError(f"{self.member(seed)}: its result lacks metrics of the others'; it was edited")
        summary = GroupSummary(
            seeds=seeds,
            diverged=[seed for seed in seeds if seed not in kept],
            kept={name: _spread([metrics[name] for metrics in kept.values()]) for name in names},
        )
        remove_temporary(self.path)
        write_atomically(self.summary, to_json(summary))
        return summary


def _spread(values: Sequence[float]) -> Spread:
    std = statistics.stdev(values) if len(values) > 1 else None
    return Spread(mean=statistics.fmean(values), std=std, min=min(values), max=max(values))
