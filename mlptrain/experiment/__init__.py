"""Runs from beginning to end: parts, loop and run folder meet here, for one model or for several seeds at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from mlptrain.data import Splits
from mlptrain.errors import MachineError, RunFolderError, UserError
from mlptrain.experiment.build import build_trainer, load_data
from mlptrain.experiment.environment import describe_environment
from mlptrain.experiment.recorded import OnEpochs, Outcome, RecordedRun, train_all
from mlptrain.experiment.reopening import (
    Reopened,
    check_members,
    is_done,
    load_own_checkpoint,
    reopen,
    with_training,
)
from mlptrain.runs import RunFolder, SeedGroup, machine_errors
from mlptrain.runs.records import GroupSummary
from mlptrain.sources.fetch import Progress
from mlptrain.spec import ExperimentSpec, Loaded, load_spec, to_yaml
from mlptrain.system.disk import refusal
from mlptrain.system.signals import stop_on_signals
from mlptrain.training.device import Decisions, decide, in_force
from mlptrain.training.trainer import Epoch, Trainer

__all__ = [
    "OnEpoch",
    "OnEpochs",
    "Outcome",
    "SeedsOutcome",
    "load_own_checkpoint",
    "resume",
    "resume_seeds",
    "train",
    "train_seeds",
]

OnEpoch = Callable[[Epoch], None]


@dataclass(frozen=True)
class SeedsOutcome:
    """The finished runs of several seeds, and the content of their group's ``summary.json``."""

    group: SeedGroup
    outcomes: tuple[Outcome, ...]
    summary: GroupSummary


def train(
    loaded: Loaded | Path | str,
    *,
    run_dir: Path | None = None,
    data_dir: Path | None = None,
    on_epoch: OnEpoch | None = None,
    on_fetch: Progress | None = None,
) -> Outcome:
    """Train an experiment into a new run folder below ``runs/``, or at ``run_dir``.

    Raises the errors of mlptrain.errors: of the specification, data and device before a folder is made;
    DivergedError and InterruptedRunError from the loop, with the folder left in order.
    """
    if not isinstance(loaded, Loaded):
        loaded = load_spec(loaded)
    decisions = _decide(loaded.spec)
    with in_force(decisions), ExitStack() as stack:
        spec = with_training(loaded.spec, **asdict(decisions))
        splits = load_data(spec, data_dir=data_dir, on_fetch=on_fetch)
        trainer = build_trainer([spec], [splits])
        should_stop = stack.enter_context(stop_on_signals())
        folder = stack.enter_context(RunFolder.create(spec.name, run_dir=run_dir))
        run = RecordedRun(folder, spec, splits)
        with _discarded_on_failure(folder):
            _write_start(run, trainer, 0, decisions, source=loaded.source)
        [outcome] = train_all([run], trainer, place=folder.path, should_stop=should_stop, on_epochs=_first(on_epoch))
    if run.diverged is not None:
        raise run.diverged
    return outcome


def train_seeds(
    loaded: Loaded | Path | str,
    seeds: Sequence[int],
    *,
    run_dir: Path | None = None,
    data_dir: Path | None = None,
    on_epochs: OnEpochs | None = None,
    on_fetch: Progress | None = None,
) -> SeedsOutcome:
    """Train an experiment with several seeds at once, each into a run folder of its own in one group folder.

    Every run is what ``train`` gives with its seed alone, to float32 rounding. A diverged seed leaves the others alone:
    its outcome says so. Raises as ``train`` but for DivergedError, and UserError for no seed, or one named twice.
    """
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise UserError(f"seeds {list(seeds)}: wanted at least one whole number from 0 on, each once")
    if not isinstance(loaded, Loaded):
        loaded = load_spec(loaded)
    decisions = _decide(loaded.spec)
    with in_force(decisions), ExitStack() as stack:
        base = with_training(loaded.spec, **asdict(decisions))
        specs = [base.model_copy(update={"seed": seed}) for seed in seeds]
        splits = _splits_of(specs, data_dir=data_dir, on_fetch=on_fetch)
        trainer = build_trainer(specs, splits)
        should_stop = stack.enter_context(stop_on_signals())
        group = stack.enter_context(SeedGroup.create(base.name, run_dir=run_dir))
        runs = [
            RecordedRun(RunFolder(group.member(spec.seed)), spec, its) for spec, its in zip(specs, splits, strict=True)
        ]
        with _discarded_on_failure(group):
            for index, run in enumerate(runs):
                with RunFolder.create(base.name, run_dir=run.folder.path):
                    _write_start(run, trainer, index, decisions, source=loaded.source)
            group.write_start(seeds)
        outcomes = train_all(runs, trainer, place=group.path, should_stop=should_stop, on_epochs=on_epochs)
        return _finish(group, outcomes)


def resume(
    run: Path | str,
    *,
    epochs: int | None = None,
    data_dir: Path | None = None,
    on_epoch: OnEpoch | None = None,
    on_fetch: Progress | None = None,
) -> Outcome:
    """Go on with an interrupted run, or with ``epochs`` extend a completed one, under the recorded decisions.

    Raises RunFolderError for a run that cannot be resumed: completed, diverged, damaged, or one of several seeds.
    """
    folder = RunFolder.open(Path(run))
    if (group := SeedGroup.around(folder.path)) is not None:
        raise RunFolderError(
            f"{folder.path} was trained together with other seeds; go on with all of them: "
            f"`mlptrain train --resume {group.path}`"
        )
    with ExitStack() as stack:
        _lock(folder, stack)
        opened = reopen(folder, epochs)
        stack.enter_context(in_force(_decide(opened.spec)))
        recorded = opened.on(load_data(opened.spec, data_dir=data_dir, on_fetch=on_fetch), data_dir)
        trainer = build_trainer([recorded.spec], [recorded.splits])
        should_stop = stack.enter_context(stop_on_signals())
        [outcome] = train_all(
            [recorded], trainer, place=folder.path, should_stop=should_stop, on_epochs=_first(on_epoch)
        )
    if recorded.diverged is not None:
        raise recorded.diverged
    return outcome


def resume_seeds(
    path: Path | str,
    *,
    epochs: int | None = None,
    data_dir: Path | None = None,
    on_epochs: OnEpochs | None = None,
    on_fetch: Progress | None = None,
) -> SeedsOutcome:
    """``resume`` for all runs of a group. Runs that are finished, or further than others, wait for these."""
    group = SeedGroup.open(Path(path))
    with ExitStack() as stack:
        _lock(group, stack)
        folders = [RunFolder.open(group.member(seed)) for seed in group.seeds]
        check_members(group, folders)
        done = [folder for folder in folders if is_done(folder, epochs)]
        if len(done) == len(folders):
            return _finish_again(group, folders, epochs)
        opened = [
            Reopened(folder, load_spec(folder.resolved).spec, finished=True)
            if folder in done
            else reopen(folder, epochs)
            for folder in folders
        ]
        stack.enter_context(in_force(_decide(opened[0].spec)))
        splits = _splits_of([one.spec for one in opened], data_dir=data_dir, on_fetch=on_fetch)
        runs = [one.on(its, data_dir) for one, its in zip(opened, splits, strict=True)]
        trainer = build_trainer([run.spec for run in runs], splits)
        should_stop = stack.enter_context(stop_on_signals())
        with machine_errors(group.path):
            group.summary.unlink(missing_ok=True)
        outcomes = train_all(runs, trainer, place=group.path, should_stop=should_stop, on_epochs=on_epochs)
        return _finish(group, outcomes)


def _finish_again(group: SeedGroup, folders: Sequence[RunFolder], epochs: int | None) -> SeedsOutcome:
    """The summary of a group that was killed after its last result. Raises RunFolderError where there is one."""
    outcomes = [Outcome.read(folder) for folder in folders]
    if epochs is None and not group.summary.exists():
        return _finish(group, outcomes)
    if all(outcome.result.status == "diverged" for outcome in outcomes):
        raise RunFolderError(f"all seeds of {group.path} diverged; start anew with a smaller learning rate")
    raise RunFolderError(f"{group.path} is complete; extend it with --set training.epochs=N")


def _lock(folder: RunFolder | SeedGroup, stack: ExitStack) -> None:
    """Before anything is read that another process, which trains in it, may be changing."""
    with machine_errors(folder.path):
        stack.enter_context(folder)


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


def _decide(spec: ExperimentSpec) -> Decisions:
    wanted = spec.training
    return decide(device=wanted.device, precision=wanted.precision, threads=wanted.threads)


def _first(on_epoch: OnEpoch | None) -> OnEpochs | None:
    """A listener to one run's epochs as a listener to those of all."""

    def listen(epochs: Sequence[Epoch | None]) -> None:
        if on_epoch is not None and epochs[0] is not None and epochs[0].diverged is None:
            on_epoch(epochs[0])

    return listen if on_epoch is not None else None


def _splits_of(specs: Sequence[ExperimentSpec], *, data_dir: Path | None, on_fetch: Progress | None) -> list[Splits]:
    """The splits of every seed; stored rows are in memory once."""
    first = load_data(specs[0], data_dir=data_dir, on_fetch=on_fetch)
    return [first, *(load_data(spec, data_dir=data_dir, like=first) for spec in specs[1:])]


def _write_start(run: RecordedRun, trainer: Trainer, index: int, decisions: Decisions, *, source: bytes) -> None:
    member = trainer.member(index)
    environment = describe_environment(
        decisions,
        data_fingerprint=run.splits.fingerprint,
        initial_weights=member.parameters.clone().flat,
        batch_order=member.order(1),
    )
    run.folder.write_start(config=source, resolved=to_yaml(run.spec), environment=environment)


def _finish(group: SeedGroup, outcomes: Sequence[Outcome]) -> SeedsOutcome:
    with machine_errors(group.path):
        summary = group.write_summary([outcome.result for outcome in outcomes])
    return SeedsOutcome(group, tuple(outcomes), summary)
