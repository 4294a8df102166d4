"""From a plan to its summary: draw settings, train them, tell the sampler; score the best one on fresh seeds.

Recorded trials are not retrained: the same call draws the same settings again and resumes where an earlier one was
stopped, with the same bytes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from mlptrain.comparison.folder import StudyFolder
from mlptrain.comparison.records import read_batches, read_content
from mlptrain.comparison.study import Progress, Running, checked, running
from mlptrain.comparison.trials import Trial
from mlptrain.errors import RunFolderError, UserError
from mlptrain.runs.comparison import TrialRecord
from mlptrain.runs.search import SearchFiles, SearchSummary, SearchTimings
from mlptrain.searching.plan import SearchPlan, make_plan
from mlptrain.searching.sampling import Setting
from mlptrain.searching.summary import best_of, best_yaml, outcome_of, summarise
from mlptrain.spec import Config, Overrides
from mlptrain.spec.code import code_allowed
from mlptrain.spec.comparison.changes import plain_changes
from mlptrain.spec.search.load import load_search, located
from mlptrain.spec.search.sections import SearchSpec
from mlptrain.system.atomic import write_atomically
from mlptrain.system.lock import LockedFolder
from mlptrain.system.paths import AnyPath


class SearchFolder(SearchFiles, StudyFolder):
    """Files and records of a search."""

    def _become(self, ours: Mapping[str, Any], different: Sequence[str], content: bytes) -> bool:
        """Take another number of trials. Raises RunFolderError for fewer than are on record."""
        if different != ["trials"]:
            return False
        with LockedFolder(self.path):
            if (tried := self._tried()) > (wanted := ours["trials"]):
                raise RunFolderError(
                    f"{self.path} has {tried:,} trials on record, more than trials: {wanted:,} asks for; set trials to "
                    f"{tried:,} or more, or name a new folder with --run-dir"
                )
            self.summary.unlink(missing_ok=True)  # of the search as it was; its trials stay on record
            write_atomically(self.plan, content)
        return True

    def _tried(self) -> int:
        """How many trials are on record; of a search that has not ended yet, each setting counts once."""
        try:
            return self.read_summary().asked
        except RunFolderError:
            batches = read_batches(read_content(self.trials), path=self.trials).values()
            return len({record.trial for batch in batches for record in batch if record.role == "tuning"})


OnSummary = Callable[[SearchFolder, SearchSummary], None]


def search(
    spec: SearchSpec | Config,
    *,
    overrides: Overrides = (),
    run_dir: AnyPath | None = None,
    data_dir: AnyPath | None = None,
    hours: float | None = None,
    progress: Progress | None = None,
    on_summary: OnSummary = lambda *_: None,
    allow_code: bool = False,
) -> tuple[SearchFolder, SearchSummary]:
    """Run a search, or what is missing of it, in ``runs/<name>-<plan hash>/`` or ``run_dir``.

    ``spec`` may be a YAML file, or a mapping of the same content, with ``overrides`` as in ``load_search``. In the
    ``run_dir`` of the same search with other ``trials`` it continues those on record. After ``hours`` no further
    settings are drawn: how many there are then depends on the machine, what they are does not. Test rows are read once
    all are tried. With ``allow_code`` modules that it names may be imported, see ``mlptrain.spec.code``.
    ``data_dir`` is the data folder, and ``progress`` is notified of what happens.

    Returns its folder, whose ``path`` holds search.yaml, trials.jsonl, summary.json and best.yaml, and its summary, of
    the keys of summary.json: ``best`` is the number of one of its ``trials``, None where none lasted, ``validation``
    and ``test`` are over the scoring seeds. ``mlptrain report`` makes a page of the folder, ``mlptrain search`` on it
    writes its pictures and retrains nothing. ``on_summary`` is called while the folder is still locked.

    Raises the errors of mlptrain.errors, RunFolderError where fewer trials are asked for than are on record; after an
    InterruptedRunError the same call resumes.
    """
    if hours is not None and not hours > 0:
        raise UserError(f"--hours must be above 0, got {hours:g}")
    plan = make_plan(checked(spec, overrides, load_search, allow_code=allow_code))
    with located(spec), code_allowed(allow_code):
        plan.check_possible()
    files = SearchFolder.of(plan, folder=run_dir)
    with running(plan, files, data_dir=data_dir, progress=progress, allow_code=allow_code) as study:
        summary = _Search(plan, files, study, hours).run()
        files.write_summary(summary)
        on_summary(files, summary)
    return files, summary


@dataclass
class _Search:
    """A search while it runs."""

    plan: SearchPlan
    folder: SearchFolder
    study: Running
    hours: float | None
    records: dict[str, TrialRecord] = field(default_factory=dict)
    settings: list[Setting] = field(default_factory=list)
    drawn: list[str] = field(default_factory=list)  # the trials of all settings
    reasons: dict[str, str] = field(default_factory=dict)  # of those that no experiment can be
    best: float | None = None
    started: float = field(default_factory=time.monotonic)
    has_trained: bool = False

    def run(self) -> SearchSummary:
        """All trials, then the best setting's scores."""
        spec = self.plan.spec
        sampling, at_once = self.plan.sampling(), self.plan.at_once(self.hours)
        self._timings = self._known_timings()
        self.study.progress.phase("search", trials=spec.budget, done=0)
        is_cut = False
        while len(self.drawn) < spec.budget:
            asked = sampling.ask(min(at_once, spec.budget - len(self.drawn)))
            if not asked:
                break  # the end of a grid
            tried = self._try(asked)
            if is_cut := not tried:
                break
            sampling.tell([outcome_of(self.plan, self.records.get(name)) for name in tried])
        best = best_of(self.plan, self.drawn, self.records)
        setting = None if best is None else self.settings[best]
        scored = self._score(setting, is_final=not is_cut) if setting is not None else []
        self.folder.sort(self.study.order, drop_replaced=True)
        tested = [self.plan.identity(self.plan.trial(dict(record.changes or {}))) for record in self.folder.tested]
        importances = sampling.importances()
        summary = summarise(
            self.plan, self.settings, self.drawn, self.records, self.reasons, scored, tested, importances
        )
        if setting is not None:
            write_atomically(self.folder.best, best_yaml(self.plan, setting, summary).encode())
        return summary

    def _try(self, asked: list[Setting]) -> list[str]:
        """The names of the trials of some settings, once all are recorded; what was tried before is not again.

        Empty where time is up and some are not recorded; one round is trained in any case.
        """
        trials = [self.plan.trial(setting) for setting in asked]
        names = [self.plan.identity(trial) for trial in trials]
        new: dict[str, Trial] = {}
        for name, trial in zip(names, trials, strict=True):
            if name in self.records or name in self.reasons or name in new:
                continue
            if (reason := self.plan.why_not(trial)) is None:
                new[name] = trial
            else:
                self.reasons[name] = reason  # which follows from the setting, and is found again on resume
        places = {name: place for place, name in reversed([*enumerate(names)])}
        rounds = groupby(new, key=lambda name: places[name] // self.plan.round)
        batches = [
            batch
            for _, group in rounds
            for batch in self.plan.tuning_batches([new[name] for name in group], data_dir=self.study.data_dir)
        ]
        if missing := self.study.missing(batches):
            if self.hours is not None and self.has_trained and time.monotonic() - self.started >= 3600 * self.hours:
                return []
            self.has_trained = True
        self.records |= self.study.train(batches, on_done=self._done)
        self.study.progress.advance(float(len(asked) - missing))
        self.settings += [plain_changes(trial.changes) for trial in trials]
        self.drawn += names
        self._follow([self.records[name] for name in names if name in self.records])
        return names

    def _done(self, records: list[TrialRecord]) -> None:
        """A batch is trained."""
        self.folder.add(records)
        batch, now = records[0].batch, time.monotonic()
        self._timings.seconds[batch] = now - self.study.mark
        self._timings.trials[batch] = [record.trial for record in records]
        self.study.mark = now
        self.folder.write_timings(self._timings)
        self._follow(records)

    def _follow(self, records: list[TrialRecord]) -> None:
        """Show what the best trial is worth, with those that have just ended."""
        found = [outcome_of(self.plan, record).value for record in records if record.role == "tuning"]
        values = [value for value in (self.best, *found) if value is not None]
        if values:
            self.best = (max if self.plan.spec.judged_by.higher_is_better else min)(values)
            self.study.progress.best(self.best)

    def _score(self, setting: Setting, *, is_final: bool) -> list[TrialRecord]:
        """The records of the setting with every scoring seed; test rows are read for the final choice."""
        batches = self.plan.scoring_batches(setting, data_dir=self.study.data_dir, is_final=is_final)
        records = self.study.train(batches, phase="scoring", on_done=self._done)
        return [records[name] for batch in batches for name in batch.identities]

    def _known_timings(self) -> SearchTimings:
        """The seconds of recorded batches; damaged ones are lost."""
        try:
            return self.folder.read_timings()
        except RunFolderError:
            return SearchTimings()
