"""A comparison's folder: the plan before the first trial, every trial's record, the summary last.

plan.yaml          everything that decides the results, with the extension rule; its hash is in the folder's name
trials.jsonl       a line per trial, failed ones too, without any clock value
summary.json       the table, the verdicts, what failed; summary.csv and summary.md and summary.tex hold the table
timings.json       seconds per epoch of the chosen settings, timed alone and interleaved
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mlptrain.comparison.plan import Plan
from mlptrain.comparison.trials import Record, TrialBatch, check_paired
from mlptrain.errors import RunFolderError
from mlptrain.runs import RunFolder, machine_errors, write_atomically
from mlptrain.runs.folder import lock, read_json
from mlptrain.spec.dump import yaml_text


class ComparisonFolder:
    """Paths and records of a comparison. Use as a context: it is locked while trials run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.plan = path / "plan.yaml"
        self.trials = path / "trials.jsonl"
        self.summary = path / "summary.json"
        self.timings = path / "timings.json"
        self._lock: int | None = None
        self._records: dict[str, Record] = {}

    @classmethod
    def of(cls, plan: Plan, *, parent: Path = Path("runs"), folder: Path | None = None) -> ComparisonFolder:
        """``parent/<name>-<plan hash>/``, or ``folder`` itself; made where it is not there yet.

        Raises RunFolderError for a folder that holds anything but this very plan, MachineError where the disk refuses.
        """
        found = cls(folder or parent / f"{plan.spec.name}-{plan.digest}")
        text = yaml_text(plan.to_plain())
        if found.plan.is_file():
            if found.plan.read_text(encoding="utf-8") != text:
                raise RunFolderError(
                    f"{found.path} holds another plan (comparison, device, precision or threads differ, or "
                    f"{found.plan.name} was edited); name a new folder"
                )
            return found
        if found.path.exists() and (not found.path.is_dir() or any(found.path.iterdir())):
            raise RunFolderError(f"{found.path} exists and holds no comparison; name a new or empty folder")
        with machine_errors(found.path):
            found.path.mkdir(parents=True, exist_ok=True)
            write_atomically(found.plan, text.encode())
        return found

    @classmethod
    def open(cls, path: Path) -> ComparisonFolder:
        """An existing comparison. Raises RunFolderError for anything else."""
        if not cls.is_comparison(path):
            raise RunFolderError(f"{path} is no comparison's folder: it holds no plan.yaml")
        return cls(path)

    @classmethod
    def is_comparison(cls, path: Path) -> bool:
        """Whether the folder belongs to a comparison."""
        return cls(path).plan.is_file()

    def __enter__(self) -> Self:
        self._lock = lock(RunFolder(self.path))
        for leftover in self.path.glob(".*.tmp"):
            leftover.unlink(missing_ok=True)
        self._records = {record["trial"]: record for record in self.read_records() if record["status"] != "failed"}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def read_records(self) -> list[Record]:
        """The records on disk. A last line that a crash cut off is left out, and so is a batch that is not whole.

        Raises RunFolderError where a line is damaged.
        """
        records: list[Record] = []
        if not self.trials.is_file():
            return records
        for number, line in enumerate(self.trials.read_bytes().splitlines(keepends=True), 1):
            if not line.endswith(b"\n"):
                break
            try:
                record = json.loads(line)
                sound = {"trial", "batch", "batch_size", "role", "seed", "status"} <= record.keys()
            except (ValueError, AttributeError):
                sound = False
            if not sound:
                raise RunFolderError(f"{self.trials}:{number} is no record of a trial; the folder is damaged")
            records.append(record)
        sizes: dict[str, int] = {}
        for record in records:
            sizes[record["batch"]] = sizes.get(record["batch"], 0) + 1
        return [record for record in records if sizes[record["batch"]] % record["batch_size"] == 0]

    def missing(self, batches: Sequence[TrialBatch]) -> list[TrialBatch]:
        """The batches whose trials are not all recorded."""
        return [batch for batch in batches if not all(name in self._records for name in batch.identities)]

    def add(self, records: Sequence[Record]) -> None:
        """Record a batch, whole, on the disk. Raises RunFolderError where its pairing is broken, and OSError."""
        self._records |= {record["trial"]: record | {"batch_size": len(records)} for record in records}
        check_paired(list(self._records.values()))
        self._write()

    def _write(self) -> None:
        write_atomically(
            self.trials,
            b"".join((json.dumps(record, allow_nan=False) + "\n").encode() for record in self._records.values()),
        )

    def record(self, identity: str) -> Record:
        """A trial's record."""
        return self._records[identity]

    @property
    def known(self) -> frozenset[str]:
        """The names of all recorded trials."""
        return frozenset(self._records)

    def sort(self, order: Sequence[str]) -> None:
        """Bring the records into the plan's order, whatever order they came in. Raises OSError."""
        places = {identity: place for place, identity in enumerate(order)}
        self._records = dict(sorted(self._records.items(), key=lambda item: places.get(item[0], len(places))))
        self._write()

    def write_timings(self, timings: Mapping[str, Any]) -> None:
        """Write the seconds, which are no two times the same, into a file of their own. Raises OSError."""
        write_atomically(self.timings, (json.dumps(timings, indent=2, allow_nan=False) + "\n").encode())

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write the summary. Raises OSError."""
        write_atomically(self.summary, (json.dumps(summary, indent=2, allow_nan=False) + "\n").encode())

    def read_summary(self) -> dict[str, Any]:
        """The summary. Raises RunFolderError where there is none yet."""
        if not self.summary.is_file():
            raise RunFolderError(
                f"{self.path} is not finished: run the same `mlptrain compare-optimizers` again to go on with it"
            )
        return read_json(self.summary)
