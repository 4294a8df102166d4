"""``train`` and ``resume``, for one run and for several seeds that train together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mlptrain.errors import MachineError, RunFolderError, UserError
from mlptrain.experiment.build import load_data_of_seeds
from mlptrain.experiment.environment import describe_environment
from mlptrain.experiment.fit import Listener, fit
from mlptrain.experiment.recording import Outcome, RecordedRun, Recording
from mlptrain.experiment.resuming import Reopened, check_members, is_done, reopen
from mlptrain.runs import RunFolder, SeedGroup
from mlptrain.runs.records import GroupSummary
from mlptrain.sources.fetch import Progress
from mlptrain.spec import Experiment, Loaded, load_spec, to_yaml
from mlptrain.system.disk import machine_errors, refusal
from mlptrain.system.signals import stop_on_signals
from mlptrain.training.device import ResolvedDevice, applied, resolve_device
from mlptrain.training.trainer import TrainedModel


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
    listeners: Sequence[Listener] = (),
    on_fetch: Progress | None = None,
) -> Outcome:
    """Train an experiment into a new run folder below ``runs/``, or at ``run_dir``.

    Raises the errors of mlptrain.errors: of the specification, data and device before a folder is made;
    DivergedError and InterruptedRunError from the training, with the folder left in order.
    """
    loaded = loaded if isinstance(loaded, Loaded) else load_spec(loaded)
    experiment = loaded.experiment

    def begin(new: _New) -> tuple[Path, list[RecordedRun]]:
        folder = new.stack.enter_context(RunFolder.create(experiment.name, run_dir=run_dir))
        with _discarded_on_failure(folder):
            return folder.path, [new.write_start(0, folder)]

    [outcome] = _train(loaded, [experiment.seed], begin, data_dir=data_dir, listeners=listeners, on_fetch=on_fetch)
    return _sound(outcome)


def train_seeds(
    loaded: Loaded | Path | str,
    seeds: Sequence[int],
    *,
    run_dir: Path | None = None,
    data_dir: Path | None = None,
    listeners: Sequence[Listener] = (),
    on_fetch: Progress | None = None,
) -> SeedsOutcome:
    """Train an experiment with several seeds at once, each into a run folder of its own in one group folder.

    Every run is what ``train`` gives with its seed alone, to float32 rounding. A diverged seed leaves the others alone:
    its outcome says so. Raises as ``train`` but for DivergedError, and UserError for no seed, or one named twice.
    """
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise UserError(f"seeds {list(seeds)}: expected at least one whole number from 0 on, each once")
    loaded = loaded if isinstance(loaded, Loaded) else load_spec(loaded)
    name = loaded.experiment.name
    with ExitStack() as stack:  # the group stays locked until its summary is written

        def begin(new: _New) -> tuple[Path, list[RecordedRun]]:
            group = stack.enter_context(SeedGroup.create(name, run_dir=run_dir))
            with _discarded_on_failure(group):
                runs = []
                for index, seed in enumerate(seeds):
                    with RunFolder.create(name, run_dir=group.member(seed)) as folder:
                        runs.append(new.write_start(index, RunFolder(folder.path)))
                group.write_start(seeds)
            return group.path, runs

        outcomes = _train(loaded, seeds, begin, data_dir=data_dir, listeners=listeners, on_fetch=on_fetch)
        return _finish(SeedGroup(outcomes[0].folder.path.parent), outcomes)


def resume(
    run: Path | str,
    *,
    epochs: int | None = None,
    data_dir: Path | None = None,
    listeners: Sequence[Listener] = (),
    on_fetch: Progress | None = None,
) -> Outcome:
    """Resume an interrupted run, or with ``epochs`` extend a completed one, on the recorded device.

    Raises RunFolderError for a run that cannot be resumed: completed, diverged, damaged, or one of several seeds.
    """
    folder = RunFolder.open(Path(run))
    if SeedGroup.is_group(group := folder.path.resolve().parent):
        raise RunFolderError(
            f"{folder.path} was trained together with other seeds; resume all of them: "
            f"`mlptrain train --resume {group}`"
        )
    with _locked(folder):
        opened = [reopen(folder, epochs)]
        [outcome] = _resume(folder, opened, data_dir=data_dir, listeners=listeners, on_fetch=on_fetch)
    return _sound(outcome)


def resume_seeds(
    path: Path | str,
    *,
    epochs: int | None = None,
    data_dir: Path | None = None,
    listeners: Sequence[Listener] = (),
    on_fetch: Progress | None = None,
) -> SeedsOutcome:
    """``resume`` for all runs of a group. Runs that are finished, or further than others, wait for these."""
    group = SeedGroup.open(Path(path))
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
        outcomes = _resume(group, opened, data_dir=data_dir, listeners=listeners, on_fetch=on_fetch)
        return _finish(group, outcomes)


@dataclass(frozen=True)
class _New:
    """What new run folders are made of, once the models are ready; ``stack`` keeps them locked."""

    stack: ExitStack
    models: Sequence[TrainedModel]
    experiments: Sequence[Experiment]
    splits: Sequence[Any]
    resolved: ResolvedDevice
    source: bytes

    def write_start(self, index: int, folder: RunFolder) -> RecordedRun:
        """Write what is known of one run before training. Raises OSError."""
        experiment, splits, model = self.experiments[index], self.splits[index], self.models[index]
        environment = describe_environment(
            self.resolved,
            data_fingerprint=splits.fingerprint,
            initial_weights=model.parameters.clone().flat,
            batch_order=model.order(1),
        )
        folder.write_start(
            config=self.source, resolved=to_yaml(experiment.spec), facts=experiment.facts, environment=environment
        )
        return RecordedRun(folder, experiment, splits)


def _train(
    loaded: Loaded,
    seeds: Sequence[int],
    begin: Callable[[_New], tuple[Path, list[RecordedRun]]],
    *,
    data_dir: Path | None,
    listeners: Sequence[Listener],
    on_fetch: Progress | None,
) -> list[Outcome]:
    """New runs of one experiment, one for each seed."""
    resolved = _resolve(loaded.experiment)
    with applied(resolved), ExitStack() as stack:
        base = loaded.experiment.with_training(**asdict(resolved))
        experiments = [base.changed(seed=seed) for seed in seeds]
        splits = load_data_of_seeds(experiments, data_dir=data_dir, on_fetch=on_fetch)
        should_stop = stack.enter_context(stop_on_signals())
        recording = Recording(lambda models: begin(_New(stack, models, experiments, splits, resolved, loaded.source)))
        with recording.resumable():
            fit(experiments, splits, [recording, *listeners], should_stop=should_stop)
        return recording.outcomes


def _resume(
    home: RunFolder | SeedGroup,
    opened: Sequence[Reopened],
    *,
    data_dir: Path | None,
    listeners: Sequence[Listener],
    on_fetch: Progress | None,
) -> list[Outcome]:
    """Reopened runs to their end; a group loses its summary once nothing more can be refused."""
    experiments = [one.experiment for one in opened]
    with applied(_resolve(experiments[0])), ExitStack() as stack:
        splits = load_data_of_seeds(experiments, data_dir=data_dir, on_fetch=on_fetch)
        runs = [one.on(its, data_dir) for one, its in zip(opened, splits, strict=True)]
        should_stop = stack.enter_context(stop_on_signals())

        def begin(_: Sequence[TrainedModel]) -> tuple[Path, list[RecordedRun]]:
            if isinstance(home, SeedGroup):
                with machine_errors(home.path):
                    home.summary.unlink(missing_ok=True)
            return home.path, runs

        recording = Recording(begin)
        with recording.resumable():
            starts = [run.start for run in runs]
            fit(experiments, splits, [recording, *listeners], starts=starts, should_stop=should_stop)
        return recording.outcomes


def _sound(outcome: Outcome) -> Outcome:
    """Raises DivergedError where the run ended so."""
    if (error := outcome.error()) is not None:
        raise error
    return outcome


def _finish_again(group: SeedGroup, folders: Sequence[RunFolder], epochs: int | None) -> SeedsOutcome:
    """The summary of a group that was killed after its last result. Raises RunFolderError where there is one."""
    outcomes = [Outcome.read(folder) for folder in folders]
    if epochs is None and not group.summary.exists():
        return _finish(group, outcomes)
    if all(outcome.result.status == "diverged" for outcome in outcomes):
        raise RunFolderError(f"all seeds of {group.path} diverged; start over with a smaller learning rate")
    raise RunFolderError(f"{group.path} is complete; extend it with --set training.epochs=N")


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


def _resolve(experiment: Experiment) -> ResolvedDevice:
    wished = experiment.training
    return resolve_device(device=wished.device, precision=wished.precision, threads=wished.threads)


def _finish(group: SeedGroup, outcomes: Sequence[Outcome]) -> SeedsOutcome:
    with machine_errors(group.path):
        summary = group.write_summary([outcome.result for outcome in outcomes])
    return SeedsOutcome(group, tuple(outcomes), summary)
