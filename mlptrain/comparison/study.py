"""A study, which is a comparison or a search: its plan, fixed and hashed before the first trial, and how it runs.

The folder is locked, an executor trains the batches of trials that are not recorded there yet, and the summary is
written last. The same call resumes wherever an earlier one was stopped. Which trials these are, its kind says.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic

from mlptrain.comparison.trials import OnDone, Trial, TrialBatch, task_data
from mlptrain.errors import UserError
from mlptrain.executors import Executor, make_executor, software
from mlptrain.runs.trials import SplitName, TrialRecord
from mlptrain.sources.store import data_folder
from mlptrain.spec import Config, Experiment, Overrides, to_yaml
from mlptrain.spec.base import Section
from mlptrain.spec.kinds import Kind, plan_digest
from mlptrain.spec.study import LoadedStudy, Spec
from mlptrain.system.disk import machine_errors
from mlptrain.system.paths import AnyPath
from mlptrain.system.signals import ended_by_signals
from mlptrain.training.device import ResolvedDevice
from mlptrain.updates.wrapped import check_usable

if TYPE_CHECKING:
    from mlptrain.comparison.folder import StudyFolder

# What the models of one batch may be and take. A batch that is lost to a crash is retrained whole.
MAX_MODELS = 64
MAX_BYTES = 2_000_000_000
_THEN = "rerun the same command to resume, or name another folder with --run-dir; finished batches are saved"


@dataclass(frozen=True)
class StudyPlan(Generic[Spec]):
    """A study with device, precision and threads as resolved. The hash names the study's folder."""

    spec: Spec
    resolved: ResolvedDevice
    kind: ClassVar[Kind]

    @property
    def name(self) -> str:
        """The study's name."""
        return self.spec.name

    @cached_property
    def task(self) -> Experiment:
        """The experiment that every trial trains but for its changes and seed, with the resolved values in it."""
        experiment = Experiment(self.spec.base, self.spec.base.data.facts())
        return experiment.changed(seed=0).with_training(**asdict(self.resolved))

    @cached_property
    def _task_text(self) -> str:
        return to_yaml(self.task.spec)

    def identity(self, trial: Trial) -> str:
        """The name of a trial."""
        return trial.identity(self._task_text)

    @property
    def split(self) -> SplitName:
        """The split that scoring reads."""
        raise NotImplementedError

    @property
    def followed(self) -> tuple[str, ...]:
        """Further metrics whose curves trials record."""
        return ()

    def own(self) -> dict[str, Any]:
        """What the plan says besides the study and its layout, in the order of the kind's keys."""
        return {"software": software()}

    def to_plain(self) -> dict[str, Any]:
        """Everything that decides the results; where trials run does not.

        A study with device, precision and threads written out, that can be run again as it stands, and the keys of a
        plan.
        """
        values = self.spec.to_plain()
        values.pop("executor", None)
        values["base"] = values["base"] | {"training": values["base"]["training"] | asdict(self.resolved)}
        return values | {"format": self.kind.format} | self.own()

    @cached_property
    def digest(self) -> str:
        """The plan's hash."""
        return plan_digest(self.to_plain())

    def batch(self, trials: Sequence[Trial]) -> TrialBatch:
        """Trials of any changes and seeds as one batch; those that can do so train together."""
        names, metric = tuple(map(self.identity, trials)), self.spec.judged_by.key
        followed = self.followed
        return TrialBatch(self.task, tuple(trials), names, self.resolved, self.split, metric=metric, followed=followed)

    def batches(self, trials: Sequence[Trial], most: int) -> list[TrialBatch]:
        """Trials in batches of ``most`` at a time."""
        return [self.batch(trials[at : at + most]) for at in range(0, len(trials), most)]


def fitting(experiments: Iterable[Experiment]) -> int:
    """How many models of these experiments fit into the memory that a batch may take, at least one."""
    return max(1, MAX_BYTES // max(map(_training_bytes, experiments)))


def _training_bytes(experiment: Experiment) -> int:
    """What one model takes while it trains."""
    parameters = sum(map(math.prod, experiment.parameter_shapes.values()))
    activations = experiment.model.members.k * experiment.batch_size * sum(experiment.widths[1:])
    return 4 * (8 * parameters + 4 * activations)


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
        batches = [replace(batch, data_dir=self.data_dir) for batch in batches]
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
) -> Spec:
    """A study that is loaded already, or a YAML file or mapping of one. Raises SpecError, and UserError."""
    if not isinstance(spec, Section):
        return load(spec, overrides).spec
    if overrides:
        raise UserError("overrides of a study that is loaded already: give them where it is loaded")
    return spec


def check_optimizers(trials: Iterable[Trial], task: Experiment) -> None:
    """Try the optimizers of trials that are classes by their import path, before a folder is made.

    Raises UserError for one that cannot train.
    """
    for trial in trials:
        check_usable(trial.experiment(task).spec.optimizer)


@contextmanager
def running(
    plan: StudyPlan[Any], folder: StudyFolder, *, data_dir: AnyPath | None, progress: Progress | None
) -> Iterator[Running]:
    """A study while its folder is locked. Raises the errors of mlptrain.errors, among them InterruptedRunError."""
    with (
        ended_by_signals("stopped by a signal"),
        closing(make_executor(plan.spec.executor)) as executor,
        machine_errors(folder.path, what=f"{plan.kind.name}'s folder", then=_THEN),
        folder,
    ):
        # Workers elsewhere have another working folder.
        yield Running(plan, folder, executor, progress or Progress(), data_folder(data_dir).resolve())
