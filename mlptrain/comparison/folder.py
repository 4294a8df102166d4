"""A comparison's folder: the plan before the first trial, every trial's record, the summary last.

plan.yaml          everything that decides the results, with the extension rule; its hash is in the folder's name
trials.jsonl       a line per trial, failed ones too, without any clock value, each with a digest of its own; a batch of
                   models stands there whole
summary.json       the table, the verdicts, what failed; summary.csv and summary.md and summary.tex hold the table
timings.json       seconds per epoch of the chosen settings, timed alone and interleaved
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mlptrain.comparison.plan import Plan
from mlptrain.comparison.records import AGAIN, check_record, read_batches, read_content, to_line
from mlptrain.comparison.trials import Record, TrialBatch, check_paired
from mlptrain.errors import MachineError, RunFolderError, SpecError
from mlptrain.runs import is_comparison, write_atomically
from mlptrain.spec import ExperimentSpec, load_text
from mlptrain.spec.dump import yaml_text
from mlptrain.spec.reader import dotted, parse, read_file
from mlptrain.system.atomic import is_temporary, remove_temporary
from mlptrain.system.disk import refusal, remedy
from mlptrain.system.jsonfiles import read_json
from mlptrain.system.lock import FolderLock


@contextlib.contextmanager
def folder_errors(folder: Path) -> Iterator[None]:
    """What the disk refuses, as a MachineError that names the folder."""
    try:
        yield
    except OSError as error:
        again = (
            "the same command goes on, or give it another folder with --run-dir; every finished batch of trials is kept"
        )
        raise MachineError(refusal(error, folder, what="comparison's folder", then=again)) from error


class ComparisonFolder:
    """Paths and records of a comparison. Use as a context: it is locked while trials run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.plan = path / "plan.yaml"
        self.trials = path / "trials.jsonl"
        self.summary = path / "summary.json"
        self.timings = path / "timings.json"
        self._lock: FolderLock | None = None
        self._batches: dict[str, list[Record]] = {}

    @classmethod
    def of(cls, plan: Plan, *, parent: Path = Path("runs"), folder: Path | None = None) -> ComparisonFolder:
        """``parent/<name>-<plan hash>/``, or ``folder`` itself; made where it is not there yet.

        Raises RunFolderError for a folder that holds anything but this very plan, MachineError where the disk refuses.
        """
        found = cls(folder or parent / f"{plan.spec.name}-{plan.digest}")
        content = yaml_text(plan.to_plain()).encode()
        try:
            if not found.plan.is_file():
                found._begin(content)
            found._check_plan(content)
        except OSError as error:
            raise MachineError(
                f"the comparison's folder {found.path} cannot be used: {error.strerror or error}. {remedy(error)}, or "
                "choose another folder with --run-dir; the same command goes on"
            ) from error
        return found

    def _begin(self, content: bytes) -> None:
        refused = RunFolderError(f"{self.path} exists and holds no comparison; name a new or empty folder")
        if self.path.exists() and not self.path.is_dir():
            raise refused
        self.path.mkdir(parents=True, exist_ok=True)
        lock = FolderLock(self.path)
        try:
            if self.plan.is_file():
                return  # another process has begun with it in between
            if not all(map(is_temporary, self.path.iterdir())):
                raise refused
            write_atomically(self.plan, content)
        finally:
            lock.release()

    def _check_plan(self, content: bytes) -> None:
        if self.plan.stat().st_size == len(content) and self.plan.read_bytes() == content:
            return
        try:
            theirs = read_file(self.plan)[1].value
        except SpecError as error:
            raise RunFolderError(f"{self.plan} cannot be read ({error}); name a new folder") from None
        different = list(_differences(theirs, parse(content.decode(), source="").value))
        where = ", ".join(different[:3]) or "its wording"
        more = f" and {len(different) - 3} more" if len(different) > 3 else ""
        raise RunFolderError(
            f"{self.path} holds another plan, or {self.plan.name} was edited: {where}{more} differ; name a new folder"
        )

    @classmethod
    def open(cls, path: Path) -> ComparisonFolder:
        """An existing comparison. Raises RunFolderError for anything else."""
        if not is_comparison(path):
            raise RunFolderError(f"{path} is no comparison's folder: it holds no plan.yaml")
        return cls(path)

    def __enter__(self) -> Self:
        self._lock = FolderLock(self.path)
        try:
            for folder in (self.path, self.path / "pictures"):
                remove_temporary(folder)
            content = read_content(self.trials)
            self._batches = read_batches(content, path=self.trials)
            check_paired([record for records in self._batches.values() for record in records])
            if content != self._content() or self.trials.is_symlink():  # a link could lead out of the folder
                self._write()  # without what a crash cut off, so that the next batch can be appended
        except BaseException:
            self._unlock()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def missing(self, batches: Sequence[TrialBatch]) -> list[TrialBatch]:
        """The batches that are not recorded, and those that the machine failed to train.

        A trial counts as part of its batch only: on record in another one, it has been trained beside other models.
        """
        failed = {name for name, batch in self._batches.items() if any(one["status"] == "failed" for one in batch)}
        return [batch for batch in batches if batch.identity not in self._batches.keys() - failed]

    def add(self, records: Sequence[Record]) -> None:
        """Record a batch, whole, on the disk. Raises RunFolderError where its pairing is broken, and OSError.

        Lines are appended: with 2,000 trials on record this took 12 ms, and writing the whole file anew 600 ms.
        """
        name = records[0]["batch"]
        again = name in self._batches
        self._batches[name] = [record | {"batch_size": len(records)} for record in records]
        check_paired([record for batch in self._batches.values() for record in batch])
        if again:
            self._write()
            return
        with self.trials.open("ab") as stream:
            stream.write(_lines(self._batches[name]))
            stream.flush()
            os.fsync(stream.fileno())

    def _content(self) -> bytes:
        return b"".join(map(_lines, self._batches.values()))

    def _write(self) -> None:
        write_atomically(self.trials, self._content())

    def records(self, batches: Sequence[TrialBatch]) -> dict[str, Record]:
        """The records of recorded batches, by the names of their trials.

        Raises RunFolderError where a record is not of the trial that its place and name say, or does not fit the task.
        """
        found: dict[str, Record] = {}
        for batch in batches:
            task, names, records = _task(batch.base), batch.identities, self._batches[batch.identity]
            if len(records) != len(names):
                raise RunFolderError(f"{self.trials}: batch {batch.identity} has not its {len(names)} trials; {AGAIN}")
            for trial, name, record in zip(batch.trials, names, records, strict=True):
                try:
                    check_record(record, trial, name=name, task=task, split=batch.split)
                except ValueError as error:
                    raise RunFolderError(
                        f"{self.trials}: the record of trial {name} is changed ({error}); {AGAIN}"
                    ) from None
                found[name] = record
        return found

    def sort(self, order: Sequence[str]) -> None:
        """Bring the batches into the plan's order, by their names, whatever order they came in. Raises OSError."""
        places = {name: place for place, name in enumerate(order)}
        self._batches = dict(sorted(self._batches.items(), key=lambda item: places.get(item[0], len(places))))
        if self.trials.read_bytes() != self._content():
            self._write()

    def read_timings(self) -> dict[str, Any] | None:
        """The seconds on record; None where there are none, or a damaged file that is going to be written anew."""
        from mlptrain.report.comparison.record import read_timings

        try:
            timings = read_json(self.timings, dict[str, Any])
            read_timings(timings)
        except (RunFolderError, ValueError):
            return None
        return timings

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
        return read_json(self.summary, dict[str, Any])


@cache
def _task(base: str) -> ExperimentSpec:
    return load_text(base).spec


def _differences(one: Any, other: Any, path: tuple[str | int, ...] = ()) -> Iterator[str]:
    """The keys under which two plans differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in [*one, *(key for key in other if key not in one)]:
            yield from _differences(one.get(key), other.get(key), (*path, key))
    elif one != other:
        yield dotted(path)


def _lines(records: Sequence[Record]) -> bytes:
    return b"".join(map(to_line, records))
