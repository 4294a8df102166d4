"""From a plan to its summary: draw settings, train them, tell the sampler; score the best one on fresh seeds.

Recorded trials are not retrained: the same call draws the same settings again and goes on where an earlier one was
stopped, with the same bytes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from mlptrain.comparison.executors import Executor, make_executor
from mlptrain.comparison.protocol import Progress
from mlptrain.comparison.trials import Trial, TrialBatch, task_data
from mlptrain.errors import RunFolderError, SpecError, UserError
from mlptrain.runs.comparison import TrialRecord
from mlptrain.runs.search import SearchSummary, SearchTimings
from mlptrain.searching.folder import SearchFolder
from mlptrain.searching.plan import SearchPlan, make_plan
from mlptrain.searching.sampling import Sampling, Setting, Told
from mlptrain.searching.summary import best_of, best_yaml, outcome_of, summarise
from mlptrain.sources.store import data_folder
from mlptrain.spec import Config, Overrides
from mlptrain.spec.foreign import code_allowed
from mlptrain.spec.search.load import load_search
from mlptrain.spec.search.sections import ADAPTIVE, SearchSpec
from mlptrain.system.disk import machine_errors
from mlptrain.system.paths import AnyPath
from mlptrain.system.signals import ended_by_signals

_THEN = "rerun the same command to resume, or name another folder with --run-dir; finished batches are saved"
OnSummary = Callable[[SearchFolder, SearchSummary], None]


class SearchProgress(Progress):
    """Notified of what happens; shows nothing itself."""

    def best(self, value: float) -> None:
        """The best value so far."""


def search(
    spec: SearchSpec | Config,
    *,
    overrides: Overrides = (),
    folder: AnyPath | None = None,
    data_dir: AnyPath | None = None,
    hours: float | None = None,
    progress: SearchProgress | None = None,
    on_summary: OnSummary = lambda *_: None,
    allow_code: bool = False,
) -> tuple[SearchFolder, SearchSummary]:
    """Run a search, or what is missing of it, in ``runs/<name>-<plan hash>/`` or ``folder``.

    ``spec`` may be a YAML file, or a mapping of the same content, with ``overrides`` as in ``load_search``. After
    ``hours`` no further settings are drawn: how many there are then depends on the machine, what they are does not.
    With ``allow_code`` modules that it names may be imported, see ``mlptrain.spec.foreign``. ``data_dir`` is the data
    folder, and ``progress`` is told what happens.

    Returns its folder and its summary, which is written last; ``on_summary`` is called while the folder is still
    locked. Raises the errors of mlptrain.errors; after an InterruptedRunError the same call resumes.
    """
    if not isinstance(spec, SearchSpec):
        with code_allowed(allow_code):
            spec = load_search(spec, overrides).spec
    elif overrides:
        raise UserError("overrides of a search that is loaded already: give them to load_search")
    if hours is not None and not hours > 0:
        raise UserError(f"--hours must be above 0, got {hours:g}")
    plan = make_plan(spec)
    files = SearchFolder.of(plan, folder=folder)
    with (
        ended_by_signals("stopped by a signal"),
        closing(make_executor(spec.executor)) as executor,
        machine_errors(files.path, what="search's folder", then=_THEN),
        code_allowed(allow_code),
        files,
    ):
        running = _Search(plan, files, executor, progress or SearchProgress(), data_folder(data_dir).resolve(), hours)
        summary = running.run()
        files.write_result(summary)
        on_summary(files, summary)
    return files, summary


@dataclass
class _Search:
    """A search while it runs; ``order`` names the batches in the order in which they were drawn."""

    plan: SearchPlan
    folder: SearchFolder
    executor: Executor
    progress: SearchProgress
    data_dir: Path
    hours: float | None
    order: list[str] = field(default_factory=list)
    records: dict[str, TrialRecord] = field(default_factory=dict)
    settings: list[Setting] = field(default_factory=list)
    drawn: list[str] = field(default_factory=list)  # the trials of all settings
    best: float | None = None

    def run(self) -> SearchSummary:
        """All trials, then the best setting's scores."""
        spec = self.plan.spec
        sampling = Sampling(spec.space, method=spec.method, seed=spec.seed, goal=spec.judged_by.goal or "max")
        self._timings = self._known_timings()
        self.progress.phase("search", trials=spec.budget, done=0)
        started = time.monotonic()
        while len(self.drawn) < spec.budget:
            asked = sampling.ask(min(self._round, spec.budget - len(self.drawn)))
            if not asked:
                break  # the end of a grid
            sampling.tell([self._told(name) for name in self._try(asked)])
            if self.hours is not None and time.monotonic() - started >= 3600 * self.hours:
                break
        setting = None
        if (best := best_of(self.plan, self.drawn, self.records)) is not None:
            setting = self.settings[best]
        scored = self._score(setting) if setting is not None else []
        self.folder.sort(self.order, drop_scored=True)
        summary = summarise(self.plan, self.settings, self.drawn, self.records, scored, sampling.importances())
        if setting is not None:
            self.folder.write_best(best_yaml(self.plan, setting, summary))
        return summary

    @property
    def _round(self) -> int:
        """How many settings are drawn at once: all, where none depends on outcomes and nothing may end the search."""
        spec = self.plan.spec
        if spec.method in ADAPTIVE:
            return spec.at_once
        if self.hours is None:
            return spec.budget
        return -(-spec.at_once // spec.together) * spec.together  # whole batches: the same with and without hours

    def _try(self, asked: list[Setting]) -> list[str]:
        """The names of the trials of some settings, once all are recorded; what was tried before is not again."""
        trials = [self.plan.trial(setting) for setting in asked]
        names = [self.plan.identity(trial) for trial in trials]
        new: dict[str, Trial] = {}
        for name, trial in zip(names, trials, strict=True):
            if name not in self.records and name not in new:
                self._check(trial, number=len(self.drawn) + names.index(name))
                new[name] = trial
        batches = self.plan.batches(list(new.values()), data_dir=self.data_dir)
        missing = self._train(batches)
        known = sum(len(batch.trials) for batch in batches) - missing
        self.progress.advance(float(len(asked) - len(new) + known))
        self.settings += asked
        self.drawn += names
        self._show_best()
        return names

    def _check(self, trial: Trial, *, number: int) -> None:
        """Raises UserError for a setting that no experiment can have, where the ends of ranges were checked alone."""
        try:
            trial.experiment(self.plan.task)
        except (SpecError, ValueError) as error:
            message = str(error).strip().splitlines()[-1]
            raise UserError(f"trial {number} cannot be trained: {trial.changes}: {message}; change the space") from None

    def _train(self, batches: list[TrialBatch]) -> int:
        """Train the batches that are not recorded; how many trials these had."""
        self.order += [batch.identity for batch in batches]
        missing = self.folder.missing(batches)
        if missing:
            # Here, also for batches that run elsewhere: one process fetches, and faulty data are reported at once.
            task_data(self.plan.task, self.data_dir, on_fetch=self.progress.fetch)
            self.progress.advance(0.0)
            self._mark = time.monotonic()
            self.executor.run(missing, self._done, self.progress.advance)
        self.records |= self.folder.records(batches)
        return sum(len(batch.trials) for batch in missing)

    def _done(self, records: list[TrialRecord]) -> None:
        """A batch is trained."""
        self.folder.add(records)
        now = time.monotonic()
        self._timings.seconds[records[0].batch] = now - self._mark
        self._timings.trials[records[0].batch] = [record.trial for record in records]
        self._mark = now
        self.folder.write_result(self._timings)
        self._follow(records)

    def _follow(self, records: list[TrialRecord]) -> None:
        """Show what the best of trials that have just ended is worth."""
        metric = self.plan.spec.judged_by
        found = [outcome_of(self.plan, record).value for record in records if record.role == "tuning"]
        values = [value for value in (self.best, *found) if value is not None]
        if values:
            self.best = (max if metric.higher_is_better else min)(values)

    def _show_best(self) -> None:
        self._follow([self.records[name] for name in self.drawn])
        if self.best is not None:
            self.progress.best(self.best)

    def _told(self, name: str) -> Told:
        return outcome_of(self.plan, self.records[name])

    def _score(self, setting: Setting) -> list[TrialRecord]:
        """The records of the setting with every scoring seed."""
        batches = self.plan.scoring_batches(setting, data_dir=self.data_dir)
        left = sum(len(batch.trials) for batch in self.folder.missing(batches))
        self.progress.phase("scoring", trials=len(batches), done=len(batches) - left)
        self._train(batches)
        return [self.records[name] for batch in batches for name in batch.identities]

    def _known_timings(self) -> SearchTimings:
        """The seconds of recorded batches; damaged ones are lost."""
        try:
            return self.folder.read_search_timings()
        except RunFolderError:
            return SearchTimings()
