"""``train`` and ``resume``, for one run, and for several seeds or folds that train together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import safetensors.numpy

from mlptrain.data import Splits
from mlptrain.errors import DivergedError, MachineError, RunFolderError, UserError
from mlptrain.experiment.build import initial_weights, load_data_of_seeds, resolved_for
from mlptrain.experiment.checkpoints import check_room
from mlptrain.experiment.environment import constant_guess, describe_environment, hashes_of, scaling_of
from mlptrain.experiment.fit import Listener, Start, fit
from mlptrain.experiment.parts import most_together
from mlptrain.experiment.progress import listeners_of
from mlptrain.experiment.recording import Begin, Outcome, RecordedRun, Recording
from mlptrain.experiment.resuming import Reopened, check_members, is_done, reopen
from mlptrain.experiment.starting import notes_on, started_from
from mlptrain.experiment.together import read_together, start_together
from mlptrain.experiment.tracking import Tracking
from mlptrain.report.loading import load_matplotlib
from mlptrain.runs import FoldGroup, RunFolder, RunGroup, SeedGroup
from mlptrain.runs.folder import INITIAL
from mlptrain.runs.group import AnySummary
from mlptrain.runs.metrics import history
from mlptrain.sources.fetch import Progress
from mlptrain.sources.held import holding
from mlptrain.spec import Config, Experiment, Loaded, Overrides, as_loaded, to_yaml
from mlptrain.spec.foreign import code_allowed
from mlptrain.spec.load import in_folds, starting_from
from mlptrain.system.disk import machine_errors, refusal
from mlptrain.system.launch import Launch
from mlptrain.system.paths import AnyPath
from mlptrain.system.signals import stop_on_signals
from mlptrain.system.warn import warn
from mlptrain.trackers import Log, parse_logs
from mlptrain.training.device import applied
from mlptrain.training.trainer import TrainedModel
from mlptrain.training.workers import Workers, joined

if TYPE_CHECKING:
    import polars as pl


class Options(TypedDict, total=False):
    """What trains and resumes alike: where data lie, and who is notified of epochs, of a download's bytes, of notes.

    A note is a sentence on what may not be meant; by default it is a warning of Python's. With a ``launch`` this is
    the first of its workers, and the others ``assist``. ``log`` names trackers that receive the run while it
    trains: ``tensorboard``, ``tensorboard:FOLDER``, ``mlflow`` or several; of one that fails there is a note, and the
    run continues. ``progress`` is shown in a notebook, with True elsewhere too, on standard error, with False nowhere.
    """

    data_dir: AnyPath | None
    listeners: Sequence[Listener]
    on_fetch: Progress | None
    on_note: Callable[[str], None]
    launch: Launch | None
    log: str | Sequence[str]
    progress: bool | None


@dataclass(frozen=True)
class _Given:
    """Options with their defaults."""

    data_dir: AnyPath | None = None
    listeners: Sequence[Listener] = ()
    on_fetch: Progress | None = None
    on_note: Callable[[str], None] = warn
    launch: Launch | None = None
    log: str | Sequence[str] = ()
    progress: bool | None = None


@dataclass(frozen=True)
class GroupOutcome:
    """The finished runs of several seeds or folds, and the content of their group's ``summary.json``.

    It stands for the group's folder wherever a path may, and a notebook shows its figures and curves.
    """

    group: RunGroup
    outcomes: tuple[Outcome, ...]
    summary: AnySummary

    @property
    def history(self) -> pl.DataFrame:
        """As of an Outcome, of all runs below each other; the first column is the seed or fold."""
        return history(self)

    def __fspath__(self) -> str:
        return str(self.group.path)

    def _repr_html_(self) -> str:
        load_matplotlib()
        from mlptrain.report.outcomes import group_html

        results = {number: one.result for number, one in zip(self.group.numbers, self.outcomes, strict=True)}
        return group_html(self.group.path, self.group.word, results, self.summary)


def train(
    config: Loaded | Config,
    *,
    overrides: Overrides = (),
    data: Any = None,
    run_dir: AnyPath | None = None,
    from_run: AnyPath | None = None,
    allow_code: bool = False,
    **options: Unpack[Options],
) -> Outcome:
    """Train an experiment into a new run folder below ``runs/``, or at ``run_dir``.

    ``config`` is a YAML file or a mapping of the same content, checked alike; ``overrides`` are
    ``["optimizer.lr=0.1"]`` or ``{"optimizer.lr": 0.1}``. ``from_run`` is a run, whose kept weights training starts
    from, or a file of weights; the configuration's ``model.init`` is then without effect.

    ``data`` go where a file goes, with the same checks: arrays or tensors (x, y) or (x, y, x_test, y_test), or a
    mapping with these names; a frame of polars or pandas or a mapping of columns, of which ``data.target`` names the
    target, two of them for training and test, or (frame, targets). Nothing of them is stored but a digest, so that
    ``resume`` and ``evaluate`` take them again.

    With ``allow_code`` a module that the configuration names may be imported, see ``mlptrain.spec.foreign``. Further
    ``options`` are ``data_dir``, where data sets lie; ``log``, trackers such as ``tensorboard`` that receive the
    run; ``progress``, whether it is shown; and ``on_note``, ``on_fetch`` and ``listeners``, which are notified of
    notes, of a download's bytes and of epochs: see ``mlptrain.experiment.running.Options``.

    Raises the errors of mlptrain.errors: of the specification, data and device before a folder is made;
    DivergedError and InterruptedRunError from the training, with the folder left in order.
    """
    with _starting(config, overrides, data, from_run, allow_code) as (loaded, locks):
        [outcome] = _train(loaded, [loaded.experiment], RunFolder, run_dir, locks, _Given(**options))
    return _sound(outcome)


def train_seeds(
    config: Loaded | Config,
    seeds: Sequence[int],
    *,
    overrides: Overrides = (),
    data: Any = None,
    run_dir: AnyPath | None = None,
    from_run: AnyPath | None = None,
    allow_code: bool = False,
    **options: Unpack[Options],
) -> GroupOutcome:
    """Train an experiment with several seeds at once, each into a run folder of its own in one group folder.

    The other arguments are those of ``train``: ``config``, ``overrides``, ``data``, ``run_dir``, the group's folder,
    ``from_run``, ``allow_code`` and ``options``. Every run is what ``train`` gives with its seed alone, to float32
    rounding; with ``from_run`` all start alike. A diverged seed leaves the others alone: its outcome says so. Raises as
    ``train`` but for DivergedError, and UserError for no seed, or one named twice.
    """
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise UserError(f"seeds {list(seeds)}: expected at least one whole number from 0 on, each once")
    with _starting(config, overrides, data, from_run, allow_code) as (loaded, locks):
        experiments = [loaded.experiment.changed(seed=seed) for seed in seeds]
        outcomes = _train(loaded, experiments, SeedGroup, run_dir, locks, _Given(**options), numbers=seeds)
        return _finish(SeedGroup(outcomes[0].folder.path.parent), outcomes)


def train_folds(
    config: Loaded | Config,
    folds: int,
    *,
    overrides: Overrides = (),
    data: Any = None,
    run_dir: AnyPath | None = None,
    from_run: AnyPath | None = None,
    allow_code: bool = False,
    **options: Unpack[Options],
) -> GroupOutcome:
    """Cross-validation: train an experiment once for each of ``folds`` of its training rows, held out as test rows.

    All train at once, each into a run folder of its own in one group folder. Each row is held out exactly once, in a
    fold with the same share of every class; by group as scikit-learn's GroupKFold has it, and of a column that states
    the split each training row. By time a fold is trained on what lies before its rows, as in TimeSeriesSplit. Where
    rows are validated on, they are drawn from those that a fold leaves. Test rows that are stored are not read, and
    none are drawn. Folds follow from ``data.split.draw``, else from the seed, and initial weights from the seed,
    which all runs share. The other arguments are those of ``train``: ``config``, ``overrides``, ``data``, ``run_dir``,
    the group's folder, ``from_run``, ``allow_code`` and ``options``. A diverged fold leaves the others alone: its
    outcome says so. Raises as ``train`` but for DivergedError, and UserError for a configuration that is one fold
    already.
    """
    with _starting(config, overrides, data, from_run, allow_code) as (loaded, locks):
        experiments = in_folds(loaded, folds)
        given = _Given(**options)
        for note in _notes_on_folds(loaded.experiment, experiments[-1]):
            given.on_note(note)
        outcomes = _train(loaded, experiments, FoldGroup, run_dir, locks, given, numbers=range(folds))
        return _finish(FoldGroup(outcomes[0].folder.path.parent), outcomes)


def _notes_on_folds(whole: Experiment, last: Experiment) -> Iterator[str]:
    """What becomes of the test rows that there would be without folds, of which the last one uses all that any does."""
    not_read = sum(whole.facts.rows.values()) - sum(last.facts.rows.values())
    if not_read:
        yield f"the {not_read:,} stored test rows are not read: with folds the test rows are those held out of training"
    elif whole.facts.test_rows:
        by_time = "each fold is tested on the block of time behind its rows"
        meaning = by_time if last.data.split.by == "time" else "with folds every row is a test row once"
        yield f"no test rows are drawn: {meaning}, whatever data.test is"


def resume(
    run: AnyPath,
    *,
    epochs: int | None = None,
    data: Any = None,
    allow_code: bool = False,
    **options: Unpack[Options],
) -> Outcome:
    """Resume an interrupted run, or with ``epochs`` extend a completed one, on the recorded device.

    ``data`` are those that ``train`` was given, where it was given some; ``allow_code`` and ``options`` are as there.

    Raises DivergedError and InterruptedRunError as ``train``, DataError where the data have changed, and RunFolderError
    for a run that cannot be resumed: completed, diverged, damaged, or one of a group.
    """
    folder = RunFolder.open(run)
    if RunGroup.is_group(path := folder.path.resolve().parent):
        raise RunFolderError(
            f"{folder.path} was trained together with other {RunGroup.open(path).word}s; resume all of them: "
            f"`mlptrain train --resume {path}`"
        )
    with holding(data), code_allowed(allow_code), _locked(folder):
        [outcome] = _resume(folder, [reopen(folder, epochs)], _Given(**options))
    return _sound(outcome)


def resume_group(
    path: AnyPath,
    *,
    epochs: int | None = None,
    data: Any = None,
    allow_code: bool = False,
    **options: Unpack[Options],
) -> GroupOutcome:
    """``resume`` for all runs of a group. Runs that are finished, or further than others, wait for these."""
    group = RunGroup.open(path)
    with holding(data), code_allowed(allow_code), _locked(group):
        folders = [RunFolder.open(group.member(number)) for number in group.numbers]
        check_members(group, folders)
        done = [folder for folder in folders if is_done(folder, epochs)]
        if len(done) == len(folders):
            return _finish_again(group, folders, epochs)
        opened = [
            Reopened(folder, folder.experiment(), finished=True) if folder in done else reopen(folder, epochs)
            for folder in folders
        ]
        return _finish(group, _resume(group, opened, _Given(**options)))


@contextmanager
def _starting(
    config: Loaded | Config, overrides: Overrides, data: Any, from_run: AnyPath | None, allow_code: bool
) -> Iterator[tuple[Loaded, ExitStack]]:
    """What ``train`` and its like are given, checked, and what keeps the new folder locked until all is written."""
    with holding(data) as given, code_allowed(allow_code), ExitStack() as locks:
        loaded = as_loaded(config, overrides, given)
        yield loaded if from_run is None else starting_from(loaded, from_run, overrides=overrides), locks


def _train(
    loaded: Loaded,
    experiments: Sequence[Experiment],
    kind: type[RunFolder] | type[SeedGroup] | type[FoldGroup],
    run_dir: AnyPath | None,
    locks: ExitStack,
    options: _Given,
    *,
    numbers: Sequence[int] = (0,),
) -> list[Outcome]:
    """New runs, each of an experiment, in a folder of this kind that ``locks`` keeps locked; ``numbers`` name them."""
    logs, launch = parse_logs(options.log), options.launch
    name, at_once = loaded.experiment.name, min(len(experiments), most_together(experiments[0]))
    resolved = resolved_for(experiments[0], models=at_once, launch=launch)
    with joined(launch) as workers, applied(resolved, launch):
        experiments = [one.with_training(**asdict(resolved)) for one in experiments]
        weights = initial_weights(experiments[0])
        if weights is not None:  # which stay those that are recorded, also where the file changes meanwhile
            file, sha256 = weights.file.absolute(), weights.sha256
            experiments = [one.with_weights(file, sha256=sha256) for one in experiments]
        start_together(workers, experiments, resolved)
        splits = _read(experiments, options)
        check_room(experiments[0], splits[0].preprocessing)
        read_together(workers, splits, None)
        for note in () if weights is None else notes_on(weights, experiments, splits):
            options.on_note(note)

        def begin(models: Sequence[TrainedModel]) -> tuple[Path, list[RecordedRun]]:
            home: RunFolder | RunGroup = kind.create(name, run_dir=run_dir)
            locks.enter_context(home)
            runs = []
            with _discarded_on_failure(home):
                for number, experiment, its, model in zip(numbers, experiments, splits, models, strict=True):
                    if isinstance(home, RunFolder):
                        folder = home
                    else:
                        with RunFolder.create(name, run_dir=home.member(number)) as made:
                            folder = RunFolder(made.path)  # locked with its group from here on
                    environment = describe_environment(
                        resolved,
                        hashes_of(its, model),
                        guess=constant_guess(experiment, its.train),
                        scaling=scaling_of(its.preprocessing, experiment.facts.columns),
                        class_weights=_by_class(experiment, model),
                        started_from=started_from(weights),
                        workers=launch.count if launch is not None else 1,
                    )
                    recorded = experiment
                    if weights is not None:
                        recorded = experiment.with_weights(INITIAL, sha256=weights.sha256)
                    folder.write_start(
                        config=loaded.source,
                        resolved=to_yaml(recorded.spec),
                        facts=experiment.facts,
                        environment=environment,
                        initial=None if weights is None else safetensors.numpy.save(weights.tensors),
                    )
                    runs.append(RecordedRun(folder, replace(recorded, folder=folder.path), its))
                if isinstance(home, RunGroup):
                    home.write_start(numbers)
            return home.path, runs

        word = kind.word if issubclass(kind, RunGroup) else ""
        return _recorded(experiments, splits, begin, options, logs, word=word, workers=workers)


def _resume(home: RunFolder | RunGroup, opened: Sequence[Reopened], options: _Given) -> list[Outcome]:
    """Reopened runs to their end; a group loses its summary once nothing more can be refused."""
    logs, launch = parse_logs(options.log), options.launch
    experiments = [one.experiment for one in opened]
    resolved = resolved_for(experiments[0], launch=launch)
    with joined(launch) as workers, applied(resolved, launch):
        start_together(workers, experiments, resolved)
        splits = _read(experiments, options)
        runs = [one.on(its, options.data_dir) for one, its in zip(opened, splits, strict=True)]
        starts = [run.start for run in runs]
        read_together(workers, splits, starts)

        def begin(_: Sequence[TrainedModel]) -> tuple[Path, list[RecordedRun]]:
            if isinstance(home, RunGroup):
                with machine_errors(home.path):
                    home.summary.unlink(missing_ok=True)
            return home.path, runs

        word = home.word if isinstance(home, RunGroup) else ""
        return _recorded(experiments, splits, begin, options, logs, word=word, starts=starts, workers=workers)


def _recorded(
    experiments: Sequence[Experiment],
    splits: Sequence[Splits],
    begin: Begin,
    options: _Given,
    logs: Sequence[Log],
    *,
    word: str,
    starts: Sequence[Start] | None = None,
    workers: Workers | None,
) -> list[Outcome]:
    """The outcomes of runs that ``begin`` makes; ``word`` is what those of a group are called."""
    recording = Recording(begin, workers)
    shown = [*options.listeners, *listeners_of(options.progress, experiments, word)]
    with stop_on_signals() as stopped, recording.resumable(), ExitStack() as stack:
        tracked = [stack.enter_context(Tracking(log, recording, options.on_note)) for log in logs]
        listeners = [recording, *tracked, *shown]
        fit(experiments, splits, listeners, starts=starts, should_stop=stopped, workers=workers)
    return recording.outcomes


def _by_class(experiment: Experiment, model: TrainedModel) -> dict[str, float] | None:
    """The weight of every class by its name, None where the loss has none."""
    rows = model.loss.class_weights
    return dict(zip(experiment.facts.class_names, rows[0], strict=True)) if rows else None


def _sound(outcome: Outcome) -> Outcome:
    """Raises DivergedError where the run ended so."""
    result = outcome.result
    if result.status == "diverged":
        error = DivergedError(
            f"{result.message}; try {result.advice}", epoch=result.epoch, step=result.step, lr=result.lr
        )
        error.run = outcome.folder.path
        raise error
    return outcome


def _finish_again(group: RunGroup, folders: Sequence[RunFolder], epochs: int | None) -> GroupOutcome:
    """The summary of a group that was killed after its last result. Raises RunFolderError where there is one."""
    outcomes = [Outcome.read(folder) for folder in folders]
    if epochs is None and not group.summary.exists():
        return _finish(group, outcomes)
    diverged = [outcome.result for outcome in outcomes if outcome.result.status == "diverged"]
    if len(diverged) == len(outcomes):
        raise RunFolderError(f"all {group.word}s of {group.path} diverged; start over with {diverged[0].advice}")
    if all(outcome.result.status == "diverged" or outcome.result.stopped_early is not None for outcome in outcomes):
        raise RunFolderError(
            f"{group.path} is complete: early stopping ends its {group.word}s whatever training.epochs is; start over "
            "with a larger training.early_stopping.patience"
        )
    raise RunFolderError(f"{group.path} is complete; extend it with --set training.epochs=N")


def _read(experiments: Sequence[Experiment], options: _Given) -> list[Splits]:
    """The data of all, with a note for the seeds or folds that lack the same classes."""
    splits = load_data_of_seeds(experiments, data_dir=options.data_dir, on_fetch=options.on_fetch)
    numbers: dict[str, list[str]] = {}
    by_fold = len({one.data.fold for one in experiments}) > 1
    for experiment, its in zip(experiments, splits, strict=True):
        if note := its.missing_classes(experiment.facts.class_names):
            number = experiment.data.fold.index if by_fold and experiment.data.fold else experiment.seed
            numbers.setdefault(note, []).append(str(number))
    for note, of in numbers.items():
        who = f"{'fold' if by_fold else 'seed'} {', '.join(of)}: "
        options.on_note(note if len(of) == len(experiments) else who + note)
    return splits


@contextmanager
def _locked(folder: RunFolder | RunGroup) -> Iterator[None]:
    """Before anything is read that another process, which trains in it, may be changing."""
    with ExitStack() as stack:
        with machine_errors(folder.path):
            stack.enter_context(folder)
        yield


@contextmanager
def _discarded_on_failure(folder: RunFolder | RunGroup) -> Iterator[None]:
    """What cannot be begun leaves no folder. Raises MachineError where the disk refuses."""
    try:
        yield
    except BaseException as error:
        if not isinstance(error, OSError):
            folder.discard()
            raise
        reason = refusal(error, folder.path, what="run folder", then="train again; no run was started")
        folder.discard()
        raise MachineError(reason) from error


def _finish(group: RunGroup, outcomes: Sequence[Outcome]) -> GroupOutcome:
    with machine_errors(group.path):
        summary = group.write_summary([outcome.result for outcome in outcomes])
    return GroupOutcome(group, tuple(outcomes), summary)
