"""A study's folder while it is written: the plan before the first trial, every trial's record, the summary last.

What lies in it is listed in ``mlptrain.runs.comparison`` and ``mlptrain.runs.search``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from mlptrain.comparison.pairing import check_paired
from mlptrain.comparison.records import read_batches, read_content, to_line
from mlptrain.comparison.study import StudyPlan
from mlptrain.comparison.trials import TrialBatch
from mlptrain.errors import MachineError, RunFolderError, SpecError
from mlptrain.runs.comparison import ComparisonFiles
from mlptrain.runs.study import StudyFiles
from mlptrain.runs.trials import TrialRecord
from mlptrain.spec.dump import yaml_text
from mlptrain.spec.reader import KeyPath, dotted, parse, read_file
from mlptrain.system.atomic import is_temporary, remove_temporary, write_atomically
from mlptrain.system.disk import remedy
from mlptrain.system.lock import LockedFolder
from mlptrain.system.paths import AnyPath, refuse_below_file, user_path


class StudyFolder(StudyFiles, LockedFolder):
    """Files and records of a study. Use as a context: it is locked while trials run."""

    def __init__(self, path: Path) -> None:
        StudyFiles.__init__(self, path)
        LockedFolder.__init__(self, path)
        self._batches: dict[str, list[TrialRecord]] = {}

    @classmethod
    def of(cls, plan: StudyPlan[Any], *, folder: AnyPath | None = None) -> Self:
        """``runs/<name>-<plan hash>/``, or ``folder`` itself; made where it does not exist yet.

        Raises RunFolderError for a folder that holds anything but this very plan, MachineError where the disk refuses.
        """
        files = cls(user_path(folder) if folder else Path("runs") / f"{plan.name}-{plan.digest}")
        content = yaml_text(plan.to_plain()).encode()
        try:
            if not files.plan.is_file():
                files._begin(content)
            files._check_plan(content)
        except OSError as error:
            whose = f"the {cls.kind.name}'s folder"
            raise MachineError(
                f"{whose} {files.path} cannot be used: {error.strerror or error}. {remedy(error)}, or "
                "choose another folder with --run-dir; then rerun the same command to resume"
            ) from error
        return files

    def _begin(self, content: bytes) -> None:
        refused = RunFolderError(
            f"{self.path} exists and is not a {self.kind.name}'s folder; name a new or empty folder"
        )
        if self.path.exists() and not self.path.is_dir():
            raise refused
        refuse_below_file(self.path)
        self.path.mkdir(parents=True, exist_ok=True)
        with LockedFolder(self.path):
            if self.plan.is_file():
                return  # another process has begun with it in between
            if not all(map(is_temporary, self.path.iterdir())):
                raise refused
            write_atomically(self.plan, content)

    def _check_plan(self, content: bytes) -> None:
        """Raises RunFolderError where the plan in the folder is another one, and OSError."""
        if (different := self._differences(content)) is None:
            return
        where = ", ".join(different[:3]) or "its wording"
        more = f" and {len(different) - 3} more" if len(different) > 3 else ""
        verb = "differ" if len(different) > 1 else "differs"
        raise RunFolderError(
            f"{self.path} holds another plan, or {self.plan.name} was edited: {where}{more} {verb}; name a new folder"
        )

    def _differences(self, content: bytes) -> list[str] | None:
        """The keys under which the plan in the folder differs from another one; None where both are the same."""
        if self.plan.stat().st_size == len(content) and self.plan.read_bytes() == content:
            return None
        try:
            theirs = read_file(self.plan)[1].value
        except SpecError as error:
            raise RunFolderError(f"{self.plan} cannot be read ({error}); name a new folder") from None
        self.kind.check_format(theirs, self.plan)
        return list(_differences(theirs, parse(content.decode(), source="").value))

    def __enter__(self) -> Self:
        super().__enter__()
        try:
            for folder in (self.path, self.path / "pictures"):
                remove_temporary(folder)
            content = read_content(self.trials)
            self._batches = read_batches(content, path=self.trials)
            check_paired(self._records)
            if content != self._content() or self.trials.is_symlink():  # a link could lead out of the folder
                self._write()  # without what a crash cut off, so that the next batch can be appended
        except BaseException:
            self.__exit__()
            raise
        return self

    def missing(self, batches: Sequence[TrialBatch]) -> list[TrialBatch]:
        """The batches that are not recorded, and those that the machine failed to train.

        A trial counts as part of its batch only: recorded in another one, it was trained beside other models. One that
        was scored on validation rows is missing where test rows are wanted.
        """

        def is_recorded(batch: TrialBatch) -> bool:
            records = self._batches.get(batch.identity, [])
            names = tuple(record.trial for record in records)
            return names == batch.identities and not any(
                record.status == "failed"
                or (record.scored is not None and record.scored.split not in (batch.split, "test"))
                for record in records
            )

        return [batch for batch in batches if not is_recorded(batch)]

    def add(self, records: Sequence[TrialRecord]) -> None:
        """Record a batch, whole, on the disk. Raises RunFolderError where its pairing is broken, and OSError.

        Lines are appended: with 2,000 trials recorded this took 12 ms, and rewriting the whole file 600 ms.
        """
        name = records[0].batch
        is_retrained = name in self._batches
        self._batches[name] = list(records)
        check_paired(self._records)
        if is_retrained:
            self._write()
            return
        with self.trials.open("ab") as stream:
            stream.write(b"".join(map(to_line, records)))
            stream.flush()
            os.fsync(stream.fileno())

    @property
    def _records(self) -> list[TrialRecord]:
        return [record for batch in self._batches.values() for record in batch]

    def _content(self) -> bytes:
        return b"".join(map(to_line, self._records))

    def _write(self) -> None:
        write_atomically(self.trials, self._content())

    def records(self, batches: Sequence[TrialBatch]) -> dict[str, TrialRecord]:
        """The records of recorded batches, by the names of their trials."""
        return {record.trial: record for batch in batches for record in self._batches[batch.identity]}

    def sort(self, order: Sequence[str]) -> None:
        """Bring the batches into the plan's order, by their names. Raises OSError."""
        ranks = {name: rank for rank, name in enumerate(order)}
        self._batches = dict(sorted(self._batches.items(), key=lambda item: ranks.get(item[0], len(ranks))))
        if self.trials.read_bytes() != self._content():
            self._write()


class ComparisonFolder(ComparisonFiles, StudyFolder):
    """Files and records of a comparison."""

    def _check_plan(self, content: bytes) -> None:
        if self._differences(content) == ["scoring.seeds"] and self.summary.is_file():
            raise RunFolderError(
                f"{self.path} is finished, and its verdicts can be read: seeds added after a look at them make false "
                f"verdicts more likely, so it takes no more. Begin a new comparison with seeds that are not among "
                f"these, all of them at once, and judge by it alone: --set 'scoring.seeds=[100, 101, …]' --run-dir NEW"
            )
        super()._check_plan(content)


def _differences(plan: Any, other: Any, path: KeyPath = ()) -> Iterator[str]:
    """The keys under which two plans differ."""
    if isinstance(plan, dict) and isinstance(other, dict):
        for key in plan | other:
            yield from _differences(plan.get(key), other.get(key), (*path, key))
    elif plan != other:
        yield dotted(path)
