"""A study from its plan to its summary: what comparisons and searches do alike.

The folder is locked, an executor trains the batches of trials that are not recorded there yet, and the summary is
written last. The same call resumes wherever an earlier one was stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlptrain.comparison.executors import Executor, OnDone, make_executor
from mlptrain.comparison.folder import StudyFolder
from mlptrain.comparison.planning import StudyPlan
from mlptrain.comparison.trials import TrialBatch, task_data
from mlptrain.errors import UserError
from mlptrain.runs.comparison import TrialRecord
from mlptrain.sources.store import data_folder
from mlptrain.spec import Config, Overrides
from mlptrain.spec.base import Section
from mlptrain.spec.foreign import code_allowed
from mlptrain.spec.study import LoadedStudy, Spec
from mlptrain.system.disk import machine_errors
from mlptrain.system.paths import AnyPath
from mlptrain.system.signals import ended_by_signals

_THEN = "rerun the same command to resume, or name another folder with --run-dir; finished batches are saved"


class Progress:
    """Notified of what happens; shows nothing itself."""

    def phase(self, name: str, *, trials: int, done: int) -> None:
        """A phase of so many trials begins, of which ``done`` are recorded."""

    def advance(self, trials: float) -> None:
        """So many more trials are done; parts of trials count, and 0 means that training starts now."""

    def fetch(self, file: str, done: int, total: int | None) -> None:
        """So many bytes of a data set's archive are loaded."""

    def best(self, value: float) -> None:
        """The best value so far, of a search."""


@dataclass
class Running:
    """A study while it runs; ``order`` names the batches in the order in which they were wanted."""

    plan: StudyPlan[Any]
    folder: StudyFolder
    executor: Executor
    progress: Progress
    data_dir: Path
    order: list[str] = field(default_factory=list)
    mark: float = 0.0  # when the batch that trains began, where they train one after the other

    def missing(self, batches: Sequence[TrialBatch]) -> int:
        """How many of their trials are not recorded."""
        return sum(len(batch.trials) for batch in self.folder.missing(batches))

    def train(
        self, batches: Sequence[TrialBatch], *, phase: str = "", on_done: OnDone | None = None
    ) -> dict[str, TrialRecord]:
        """The records of all trials of the batches, by name; the missing ones are trained first, as a ``phase``."""
        self.order += [batch.identity for batch in batches]
        missing = self.folder.missing(batches)
        if missing:
            # Here, also for batches that run elsewhere: one process fetches, and faulty data are reported at once.
            task_data(self.plan.task, self.data_dir, on_fetch=self.progress.fetch)
        if phase:
            trials = sum(len(batch.trials) for batch in batches)
            self.progress.phase(phase, trials=trials, done=trials - self.missing(batches))
        if missing:
            self.progress.advance(0.0)
            self.mark = time.monotonic()
            self.executor.run(missing, on_done or self.folder.add, self.progress.advance)
        return self.folder.records(batches)


def checked(
    spec: Spec | Config,
    overrides: Overrides,
    load: Callable[[Config, Overrides], LoadedStudy[Spec]],
    *,
    allow_code: bool,
) -> Spec:
    """A study that is loaded already, or a YAML file or mapping of one. Raises SpecError, and UserError."""
    if not isinstance(spec, Section):
        with code_allowed(allow_code):
            return load(spec, overrides).spec
    if overrides:
        raise UserError("overrides of a study that is loaded already: give them where it is loaded")
    return spec


@contextmanager
def running(
    plan: StudyPlan[Any],
    folder: StudyFolder,
    *,
    data_dir: AnyPath | None,
    progress: Progress | None,
    allow_code: bool,
) -> Iterator[Running]:
    """A study while its folder is locked. Raises the errors of mlptrain.errors, among them InterruptedRunError."""
    with (
        ended_by_signals("stopped by a signal"),
        closing(make_executor(plan.spec.executor)) as executor,
        machine_errors(folder.path, what=f"{plan.kind.name}'s folder", then=_THEN),
        code_allowed(allow_code),
        folder,
    ):
        # Workers elsewhere have another working folder.
        yield Running(plan, folder, executor, progress or Progress(), data_folder(data_dir).resolve())
