"""Runs of one experiment with several seeds, trained together: a folder of run folders.

seed-<n>/        a run folder for each seed
seeds.json       the seeds, written once all their folders are there: a group that has it can be resumed
summary.json     mean and spread over the seeds; written last
"""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from mlptrain.errors import RunFolderError
from mlptrain.runs.folder import RunFolder
from mlptrain.runs.records import GroupStart, GroupSummary, RunResult, Spread
from mlptrain.system.atomic import remove_temporary, write_atomically
from mlptrain.system.jsonfiles import read_json, to_json


class SeedGroup:
    """Paths of a group and what may be done to them. Create with ``create``, read with ``open``.

    Use as a context to train: it and its runs are locked until the block ends. One from ``create`` is locked already.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._folder = RunFolder(path)
        self.start = path / "seeds.json"
        self.summary = path / "summary.json"

    @classmethod
    def create(cls, name: str, *, run_dir: Path | None = None) -> SeedGroup:
        """Make the folder and lock it; raises as RunFolder.create."""
        folder = RunFolder.create(f"{name}-seeds", run_dir=run_dir)
        folder.last.parent.rmdir()  # the checkpoints are those of the runs
        group = cls(folder.path)
        group._folder = folder
        return group

    def __enter__(self) -> Self:
        """Raises as RunFolder.__enter__."""
        with ExitStack() as stack:
            stack.enter_context(self._folder)
            if self.is_group(self.path):
                remove_temporary(self.path)
            stack.pop_all()  # locked until __exit__
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.__exit__()

    @classmethod
    def is_group(cls, path: Path) -> bool:
        """Whether the folder holds runs of several seeds."""
        return cls(path).start.is_file()

    @classmethod
    def open(cls, path: Path) -> SeedGroup:
        """An existing group. Raises RunFolderError for anything else."""
        group = cls(path)
        if not cls.is_group(path):
            raise RunFolderError(f"{path} is not a group of seeds: it has no {group.start.name}")
        return group

    @classmethod
    def around(cls, run: Path) -> SeedGroup | None:
        """The group that a run folder lies in."""
        parent = run.resolve().parent
        if not cls.is_group(parent):
            return None
        group = cls(parent)
        return group if run.resolve() in [group.member(seed) for seed in group.seeds] else None

    @property
    def seeds(self) -> list[int]:
        """The seeds, in the order in which they were named. Raises RunFolderError where the file is damaged."""
        return read_json(self.start, GroupStart).seeds

    def member(self, seed: int) -> Path:
        """Where the run of a seed lies."""
        return self.path / f"seed-{seed}"

    def discard(self) -> None:
        """Remove a folder that was made a moment ago and holds nothing worth keeping."""
        shutil.rmtree(self.path, ignore_errors=True)

    def write_start(self, seeds: Sequence[int]) -> None:
        """Write what is known before training. Raises OSError."""
        write_atomically(self.start, to_json(GroupStart(seeds=list(seeds))))
        remove_temporary(self.path)  # also the mark by which --run-dir could reuse the folder until now

    def write_summary(self, results: Sequence[RunResult]) -> GroupSummary:
        """Write and return mean, sample standard deviation, smallest and largest of every metric of the kept weights.

        ``results`` are those of the runs, in the order of the seeds; diverged ones are counted and have no metrics.
        Raises RunFolderError where one lacks a metric of another, and OSError.
        """
        seeds = self.seeds
        kept = {
            seed: result.kept.metrics
            for seed, result in zip(seeds, results, strict=True)
            if result.status == "completed"
        }
        names = list(next(iter(kept.values()), {}))
        for seed, metrics in kept.items():
            if not set(names) <= metrics.keys():
                raise RunFolderError(f"{self.member(seed)}: its result lacks metrics of the others'; it was edited")
        summary = GroupSummary(
            seeds=seeds,
            diverged=[seed for seed in seeds if seed not in kept],
            kept={name: _spread([metrics[name] for metrics in kept.values()]) for name in names},
        )
        write_atomically(self.summary, to_json(summary))
        return summary


def _spread(values: Sequence[float]) -> Spread:
    std = statistics.stdev(values) if len(values) > 1 else None
    return Spread(mean=statistics.fmean(values), std=std, min=min(values), max=max(values))
