"""``train`` and ``resume``, for one run and for several seeds that train together."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypedDict, Unpack

import safetensors.numpy

from mlptrain.data import Splits
from mlptrain.errors import DivergedError, MachineError, RunFolderError, UserError
from mlptrain.experiment.build import initial_weights, load_data_of_seeds
from mlptrain.experiment.environment import constant_guess, describe_environment, hashes_of, scaling_of
from mlptrain.experiment.fit import Listener, Start, fit
from mlptrain.experiment.parts import most_together
from mlptrain.experiment.recording import Begin, Outcome, RecordedRun, Recording
from mlptrain.experiment.resuming import Reopened, check_members, is_done, reopen
from mlptrain.experiment.starting import notes_on, started_from
from mlptrain.runs import RunFolder, SeedGroup
from mlptrain.runs.folder import INITIAL
from mlptrain.runs.records import GroupSummary
from mlptrain.sources.fetch import Progress
from mlptrain.spec import Config, Experiment, Loaded, Overrides, as_loaded, to_yaml
from mlptrain.spec.load import starting_from
from mlptrain.system.disk import machine_errors, refusal
from mlptrain.system.paths import AnyPath
from mlptrain.system.signals import stop_on_signals
from mlptrain.training.device import ResolvedDevice, applied, resolve_device
from mlptrain.training.trainer import TrainedModel


class Options(TypedDict, total=False):
    """What trains and resumes alike: where data lie, and who is notified of epochs, of a download's bytes, of notes.

    A note is a sentence on what may not be meant; by default it is a warning of Python's.
    """

    data_dir: AnyPath | None
    listeners: Sequence[Listener]
    on_fetch: Progress | None
    on_note: Callable[[str], None]


@dataclass(frozen=True)
class SeedsOutcome:
    """The finished runs of several seeds, and the content of their group's ``summary.json``."""

    group: SeedGroup
    outcomes: tuple[Outcome, ...]
    summary: GroupSummary


def train(
    config: Loaded | Config,
    *,
    overrides: Overrides = (),
    run_dir: AnyPath | None = None,
    from_run: AnyPath | None = None,
    **options: Unpack[Options],
) -> Outcome:
    """Train an experiment into a new run folder below ``runs/``, or at ``run_dir``; for ``options`` see Options.

    ``config`` is a YAML file or a mapping of the same content, checked alike; ``overrides`` are
    ``["optimizer.lr=0.1"]`` or ``{"optimizer.lr": 0.1}``. ``from_run`` is a run, whose kept weights training starts
    from, or a file of weights; the configuration's ``model.init`` is then without effect.

    Raises the errors of mlptrain.errors: of the specification, data and device before a folder is made;
    DivergedError and InterruptedRunError from the training, with the folder left in order.
    """
    loaded = _loaded(config, overrides, from_run)
    with ExitStack() as locks:
        [outcome] = _train(loaded, [loaded.experiment.seed], RunFolder, run_dir, locks, **options)
    return _sound(outcome)


def train_seeds(
    config: Loaded | Config,
    seeds: Sequence[int],
    *,
    overrides: Overrides = (),
    run_dir: AnyPath | None = None,
    from_run: AnyPath | None = None,
    **options: Unpack[Options],
) -> SeedsOutcome:
    """Train an experiment with several seeds at once, each into a run folder of its own in one group folder.

    Every run is what ``train`` gives with its seed alone, to float32 rounding; with ``from_run`` all start alike. A
    diverged seed leaves the others alone: its outcome says so. Raises as ``train`` but for DivergedError, and UserError
    for no seed, or one named twice.
    """
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise UserError(f"seeds {list(seeds)}: expected at least one whole number from 0 on, each once")
    loaded = _loaded(config, overrides, from_run)
    with ExitStack() as locks:  # the group stays locked until its summary is written
        outcomes = _train(loaded, seeds, SeedGroup, run_dir, locks, **options)
        return _finish(SeedGroup(outcomes[0].folder.path.parent), outcomes)


def resume(run: AnyPath, *, epochs: int | None = None, **options: Unpack[Options]) -> Outcome:
    """Resume an interrupted run, or with ``epochs`` extend a completed one, on the recorded device.

    Raises RunFolderError for a run that cannot be resumed: completed, diverged, damaged, or one of several seeds.
    """
    folder = RunFolder.open(run)
    if SeedGroup.is_group(group := folder.path.resolve().parent):
        raise RunFolderError(
            f"{folder.path} was trained together with other seeds; resume all of them: "
            f"`mlptrain train --resume {group}`"
        )
    with _locked(folder):
        [outcome] = _resume(folder, [reopen(folder, epochs)], **options)
    return _sound(outcome)


def resume_seeds(path: AnyPath, *, epochs: int | None = None, **options: Unpack[Options]) -> SeedsOutcome:
    """``resume`` for all runs of a group. Runs that are finished, or further than others, wait for these."""
    group = SeedGroup.open(path)
    with _locked(group):
        folders = [RunFolder.open(group.member(seed)) for seed in group.seeds]
        check_members(group, folders)
        done = [folder for folder in folders if is_done(folder, epochs)]
        if len(done) == len(folders):
            return _finish_again(group, folders, epochs)
        opened = [
            Reopened(folder, folder.experiment(), finished=True) if folder in done else reopen(folder, epochs)
            for folder in folders
        ]
        outcomes = _resume(group, opened, **options)
        return _finish(group, outcomes)


def _loaded(config: Loaded | Config, overrides: Overrides, from_run: AnyPath | None) -> Loaded:
    loaded = as_loaded(config, overrides)
    return loaded if from_run is None else starting_from(loaded, from_run, overrides=overrides)


def _train(
    loaded: Loaded,
    seeds: Sequence[int],
    kind: type[RunFolder] | type[SeedGroup],
    run_dir: AnyPath | None,
    locks: ExitStack,
    *,
    data_dir: AnyPath | None = None,
    listeners: Sequence[Listener] = (),
    on_fetch: Progress | None = None,
    on_note: Callable[[str], None] = warnings.warn,
) -> list[Outcome]:
    """New runs of one experiment, one for each seed, in a folder of this kind that ``locks`` keeps locked."""
    name, resolved = loaded.experiment.name, _resolve(loaded.experiment, len(seeds))
    with applied(resolved):
        base = loaded.experiment.with_training(**asdict(resolved))
        weights = initial_weights(base)
        if weights is not None:  # which stay those that are recorded, also where the file changes meanwhile
            base = base.with_weights(weights.file.absolute(), sha256=weights.sha256)
        experiments = [base.changed(seed=seed) for seed in seeds]
        splits = load_data_of_seeds(experiments, data_dir=data_dir, on_fetch=on_fetch)
        _note_missing_classes(experiments, splits, on_note)
        for note in () if weights is None else notes_on(weights, experiments, splits):
            on_note(note)

        def begin(models: Sequence[TrainedModel]) -> tuple[Path, list[RecordedRun]]:
            home: RunFolder | SeedGroup = kind.create(name, run_dir=run_dir)
            locks.enter_context(home)
            runs = []
            with _discarded_on_failure(home):
                for experiment, its, model in zip(experiments, splits, models, strict=True):
                    if isinstance(home, RunFolder):
                        folder = home
                    else:
                        with RunFolder.create(name, run_dir=home.member(experiment.seed)) as made:
                            folder = RunFolder(made.path)  # locked with its group from here on
                    environment = describe_environment(
                        resolved,
                        hashes_of(its, model),
                        guess=constant_guess(experiment, its.train),
                        scaling=scaling_of(its.preprocessing, experiment.facts.columns),
                        class_weights=_by_class(experiment, model),
                        started_from=started_from(weights),
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
                if isinstance(home, SeedGroup):
                    home.write_start(seeds)
            return home.path, runs

        return _recorded(experiments, splits, begin, listeners)


def _resume(
    home: RunFolder | SeedGroup,
    opened: Sequence[Reopened],
    *,
    data_dir: AnyPath | None = None,
    listeners: Sequence[Listener] = (),
    on_fetch: Progress | None = None,
    on_note: Callable[[str], None] = warnings.warn,
) -> list[Outcome]:
    """Reopened runs to their end; a group loses its summary once nothing more can be refused."""
    experiments = [one.experiment for one in opened]
    with applied(_resolve(experiments[0])):
        splits = load_data_of_seeds(experiments, data_dir=data_dir, on_fetch=on_fetch)
        _note_missing_classes(experiments, splits, on_note)
        runs = [one.on(its, data_dir) for one, its in zip(opened, splits, strict=True)]

        def begin(_: Sequence[TrainedModel]) -> tuple[Path, list[RecordedRun]]:
            if isinstance(home, SeedGroup):
                with machine_errors(home.path):
                    home.summary.unlink(missing_ok=True)
            return home.path, runs

        return _recorded(experiments, splits, begin, listeners, starts=[run.start for run in runs])


def _recorded(
    experiments: Sequence[Experiment],
    splits: Sequence[Splits],
    begin: Begin,
    listeners: Sequence[Listener],
    starts: Sequence[Start] | None = None,
) -> list[Outcome]:
    recording = Recording(begin)
    with stop_on_signals() as should_stop, recording.resumable():
        fit(experiments, splits, [recording, *listeners], starts=starts, should_stop=should_stop)
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


def _finish_again(group: SeedGroup, folders: Sequence[RunFolder], epochs: int | None) -> SeedsOutcome:
    """The summary of a group that was killed after its last result. Raises RunFolderError where there is one."""
    outcomes = [Outcome.read(folder) for folder in folders]
    if epochs is None and not group.summary.exists():
        return _finish(group, outcomes)
    diverged = [outcome.result for outcome in outcomes if outcome.result.status == "diverged"]
    if len(diverged) == len(outcomes):
        raise RunFolderError(f"all seeds of {group.path} diverged; start over with {diverged[0].advice}")
    if all(outcome.result.status == "diverged" or outcome.result.stopped_early is not None for outcome in outcomes):
        raise RunFolderError(
            f"{group.path} is complete: early stopping ends its seeds whatever training.epochs is; start over with a "
            "larger training.early_stopping.patience"
        )
    raise RunFolderError(f"{group.path} is complete; extend it with --set training.epochs=N")


def _note_missing_classes(
    experiments: Sequence[Experiment], splits: Sequence[Splits], on_note: Callable[[str], None]
) -> None:
    """Once for all seeds that lack the same classes."""
    seeds: dict[str, list[str]] = {}
    for experiment, its in zip(experiments, splits, strict=True):
        if note := its.missing_classes(experiment.facts.class_names):
            seeds.setdefault(note, []).append(str(experiment.seed))
    for note, of in seeds.items():
        on_note(note if len(of) == len(experiments) else f"seed {', '.join(of)}: {note}")


@contextmanager
def _locked(folder: RunFolder | SeedGroup) -> Iterator[None]:
    """Before anything is read that another process, which trains in it, may be changing."""
    with ExitStack() as stack:
        with machine_errors(folder.path):
            stack.enter_context(folder)
        yield


@contextmanager
def _discarded_on_failure(folder: RunFolder | SeedGroup) -> Iterator[None]:
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


def _resolve(experiment: Experiment, models: int = 1) -> ResolvedDevice:
    wished = experiment.training
    return resolve_device(
        device=wished.device,
        precision=wished.precision,
        threads=wished.threads,
        step_flops=min(models, most_together(experiment)) * experiment.step_flops,
    )


def _finish(group: SeedGroup, outcomes: Sequence[Outcome]) -> SeedsOutcome:
    with machine_errors(group.path):
        summary = group.write_summary([outcome.result for outcome in outcomes])
    return SeedsOutcome(group, tuple(outcomes), summary)
