"""Runs of one experiment with several seeds, trained together: a folder of run folders.

seed-<n>/        a run folder for each seed
seeds.json       the seeds, written once all their folders are there: a group that has it can be resumed
summary.json     mean and spread over the seeds; written last
"""

from __future__ import annotations

import json
import shutil
import statistics
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from mlptrain.errors import RunFolderError
from mlptrain.runs.folder import RunFolder
from mlptrain.runs.reading import read_json
from mlptrain.system.atomic import remove_temporary, write_atomically


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
            raise RunFolderError(f"{path} holds no runs of several seeds: there is no {group.start.name}")
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
        seeds: Any = read_json(self.start).get("seeds")
        are_seeds = isinstance(seeds, list) and all(type(seed) is int and seed >= 0 for seed in seeds)
        if not seeds or not are_seeds or len(set(seeds)) < len(seeds):
            raise RunFolderError(f"{self.start} holds no list of seeds; the folder is damaged")
        found: list[int] = seeds
        return found

    def member(self, seed: int) -> Path:
        """Where the run of a seed lies."""
        return self.path / f"seed-{seed}"

    def discard(self) -> None:
        """Remove a folder that was made a moment ago and holds nothing worth keeping."""
        shutil.rmtree(self.path, ignore_errors=True)

    def write_start(self, seeds: Sequence[int]) -> None:
        """Write what is known before training. Raises OSError."""
        write_atomically(self.start, (json.dumps({"seeds": list(seeds)}) + "\n").encode())
        remove_temporary(self.path)  # also the sign of its beginning, by which it could be begun again until now

    def write_summary(self, results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Write and return mean, sample standard deviation, smallest and largest of every figure of the kept weights.

        ``results`` are those of the runs, in the order of the seeds; diverged ones are counted and have no figures.
        Raises RunFolderError where one lacks a figure of another, and OSError.
        """
        seeds = self.seeds
        kept = [result["kept"] for result in results if result["status"] == "completed"]
        names = [name for name in (kept[0] if kept else {}) if name not in ("checkpoint", "epoch")]
        for seed, result in zip(seeds, results, strict=True):
            if result["status"] == "completed" and not set(names) <= result["kept"].keys():
                raise RunFolderError(f"{self.member(seed)}: its result lacks figures of the others'; it was edited")
        summary = {
            "seeds": seeds,
            "diverged": [seed for seed, result in zip(seeds, results, strict=True) if result["status"] == "diverged"],
            "kept": {name: _spread([float(figures[name]) for figures in kept]) for name in names},
        }
        write_atomically(self.summary, (json.dumps(summary, indent=2, allow_nan=False) + "\n").encode())
        return summary


def _spread(values: Sequence[float]) -> dict[str, float | None]:
    return {
        "mean": statistics.fmean(values),
        "std": statistics.stdev(values) if len(values) > 1 else None,
        "min": min(values),
        "max": max(values),
    }
