"""From a plan to its summary: draw settings, train them, tell the sampler; score the best one on fresh seeds.

Recorded trials are not retrained: the same call draws the same settings again and resumes where an earlier one was
stopped, with the same bytes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import groupby

from mlptrain.comparison.study import Progress, Running, checked, running
from mlptrain.comparison.trials import Trial
from mlptrain.errors import RunFolderError, UserError
from mlptrain.runs.search import SearchSummary, SearchTimings
from mlptrain.runs.trials import TrialRecord
from mlptrain.searching.folder import SearchFolder
from mlptrain.searching.plan import SearchPlan, make_plan
from mlptrain.searching.sampling import Setting
from mlptrain.searching.summary import Drawn, best_of, best_yaml, outcome_of, summarise
from mlptrain.spec import Config, Overrides
from mlptrain.spec.comparison.changes import plain_changes
from mlptrain.spec.foreign import code_allowed
from mlptrain.spec.search.load import load_search, located
from mlptrain.spec.search.sections import SearchSpec
from mlptrain.system.atomic import write_atomically
from mlptrain.system.paths import AnyPath

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
    all are tried. With ``allow_code`` modules that it names may be imported, see ``mlptrain.spec.foreign``.
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
    with code_allowed(allow_code):
        plan = make_plan(checked(spec, overrides, load_search))
        with located(spec):
            plan.check_possible()
        files = SearchFolder.of(plan, folder=run_dir)
        with running(plan, files, data_dir=data_dir, progress=progress) as study:
            summary = _Search(plan, files, study, hours, _known_timings(files)).run()
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
    timings: SearchTimings
    drawn: list[Drawn] = field(default_factory=list)
    known: dict[str, Drawn] = field(default_factory=dict)  # by the names of their trials
    best: float | None = None
    started: float = field(default_factory=time.monotonic)
    has_trained: bool = False

    def run(self) -> SearchSummary:
        """All trials, then the best setting's scores."""
        spec = self.plan.spec
        sampling, at_once = self.plan.sampling(), self.plan.at_once(self.hours)
        self.study.progress.phase("search", trials=spec.budget, done=0)
        is_cut = False
        while len(self.drawn) < spec.budget:
            asked = sampling.ask(min(at_once, spec.budget - len(self.drawn)))
            if not asked:
                break  # the end of a grid
            tried = self._try(asked)
            if is_cut := not tried:
                break
            sampling.tell([outcome_of(self.plan, one.record) for one in tried])
        best = best_of(self.plan, self.drawn)
        setting = None if best is None else self.drawn[best].setting
        scored = self._score(setting, is_final=not is_cut) if setting is not None else []
        self.folder.sort(self.study.order)
        tested = [self.plan.identity(self.plan.trial(dict(record.changes or {}))) for record in self.folder.tested]
        summary = summarise(self.plan, self.drawn, scored, tested, sampling.importances())
        if setting is not None:
            write_atomically(self.folder.best, best_yaml(self.plan, setting, summary).encode())
        return summary

    def _try(self, asked: list[Setting]) -> list[Drawn]:
        """Some settings, once all are recorded; what was tried before is not again.

        Empty where time is up and some are not recorded; one round is trained in any case.
        """
        trials = [self.plan.trial(setting) for setting in asked]
        names = [self.plan.identity(trial) for trial in trials]
        new: dict[str, tuple[int, Trial]] = {}  # with their places among those asked
        for place, (name, trial) in enumerate(zip(names, trials, strict=True)):
            if name in self.known or name in new:
                continue
            if (reason := self.plan.why_not(trial)) is None:
                new[name] = place, trial
            else:  # which follows from the setting, and is found again on resume
                self.known[name] = Drawn(name, plain_changes(trial.changes), reason=reason)
        rounds = groupby(new.values(), key=lambda item: item[0] // self.plan.round)
        batches = [batch for _, group in rounds for batch in self.plan.tuning_batches([trial for _, trial in group])]
        if missing := self.study.missing(batches):
            if self.hours is not None and self.has_trained and time.monotonic() - self.started >= 3600 * self.hours:
                return []
            self.has_trained = True
        records = self.study.train(batches, on_done=self._done)
        self.study.progress.advance(float(len(asked) - missing))
        self.known |= {name: Drawn(name, plain_changes(new[name][1].changes), one) for name, one in records.items()}
        tried = [self.known[name] for name in names]
        self.drawn += tried
        self._follow([one.record for one in tried if one.record is not None])
        return tried

    def _done(self, records: list[TrialRecord]) -> None:
        """A batch is trained."""
        self.folder.add(records)
        batch, now = records[0].batch, time.monotonic()
        self.timings.seconds[batch] = now - self.study.mark
        self.timings.trials[batch] = [record.trial for record in records]
        self.study.mark = now
        self.folder.write_timings(self.timings)
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
        batches = self.plan.scoring_batches(setting, is_final=is_final)
        records = self.study.train(batches, phase="scoring", on_done=self._done)
        return [records[name] for batch in batches for name in batch.identities]


def _known_timings(folder: SearchFolder) -> SearchTimings:
    """The seconds of recorded batches; damaged ones are lost."""
    try:
        return folder.read_timings()
    except RunFolderError:
        return SearchTimings()
