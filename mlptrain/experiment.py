"""Runs from beginning to end: parts, loop and run folder meet here, for one model or for several seeds at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mlptrain.data import Splits, data_folder
from mlptrain.data.fetch import Progress
from mlptrain.errors import (
    CheckpointError,
    DataError,
    DivergedError,
    InterruptedRunError,
    MachineError,
    RunFolderError,
    UserError,
)
from mlptrain.parts import build_trainer, initial_parameters, load_data, on_device
from mlptrain.runs import RunFolder, RunLog, SeedGroup, machine_errors
from mlptrain.runs.disk import refusal
from mlptrain.runs.steps import step_figures
from mlptrain.spec import ExperimentSpec, Loaded, load_spec, to_yaml
from mlptrain.training.checkpoints import Checkpoint, check_resumable, load_checkpoint
from mlptrain.training.device import Decisions, decide, in_force
from mlptrain.training.diagnosis import diagnose
from mlptrain.training.environment import describe_environment
from mlptrain.training.evaluation import Figures, evaluate
from mlptrain.training.loop import Epoch, Trainer, diverged
from mlptrain.training.recorder import Recorder, figures_of
from mlptrain.training.signals import stop_on_signals

_PROBE_ROWS = 2048  # enough to see whether weights give numbers at all

OnEpoch = Callable[[Epoch], None]
OnEpochs = Callable[[Sequence[Epoch | None]], None]


@dataclass(frozen=True)
class Outcome:
    """A finished run: its folder and the content of its ``result.json``."""

    folder: RunFolder
    result: Mapping[str, Any]


@dataclass(frozen=True)
class SeedsOutcome:
    """The finished runs of several seeds, and the content of their group's ``summary.json``."""

    group: SeedGroup
    outcomes: tuple[Outcome, ...]
    summary: Mapping[str, Any]


@dataclass
class _Run:
    """One run among those that train together; ``recorder`` is None for one that was finished before."""

    folder: RunFolder
    spec: ExperimentSpec
    splits: Splits
    checkpoint: Checkpoint | None = None
    finished: bool = False
    recorder: Recorder | None = field(default=None, repr=False)
    diverged: DivergedError | None = None


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
        spec = _with_training(loaded.spec, **asdict(decisions))
        splits = load_data(spec, data_dir=data_dir, on_fetch=on_fetch)
        trainer = build_trainer([spec], [splits])
        should_stop = stack.enter_context(stop_on_signals())
        folder = stack.enter_context(RunFolder.create(spec.name, run_dir=run_dir))
        run = _Run(folder, spec, splits)
        with _discarded_on_failure(folder):
            _write_start(run, trainer, 0, decisions, source=loaded.source)
        [outcome] = _train_all([run], trainer, place=folder.path, should_stop=should_stop, on_epochs=_first(on_epoch))
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
        base = _with_training(loaded.spec, **asdict(decisions))
        specs = [base.model_copy(update={"seed": seed}) for seed in seeds]
        splits = _splits_of(specs, data_dir=data_dir, on_fetch=on_fetch)
        trainer = build_trainer(specs, splits)
        should_stop = stack.enter_context(stop_on_signals())
        group = stack.enter_context(SeedGroup.create(base.name, run_dir=run_dir))
        runs = [_Run(RunFolder(group.member(spec.seed)), spec, its) for spec, its in zip(specs, splits, strict=True)]
        with _discarded_on_failure(group):
            for index, run in enumerate(runs):
                with RunFolder.create(base.name, run_dir=run.folder.path):
                    _write_start(run, trainer, index, decisions, source=loaded.source)
            group.write_start(seeds)
        outcomes = _train_all(runs, trainer, place=group.path, should_stop=should_stop, on_epochs=on_epochs)
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
        opened = _reopen(folder, epochs)
        stack.enter_context(in_force(_decide(opened.spec)))
        opened.splits = load_data(opened.spec, data_dir=data_dir, on_fetch=on_fetch)
        _check_data(opened, data_dir)
        trainer = build_trainer([opened.spec], [opened.splits])
        should_stop = stack.enter_context(stop_on_signals())
        [outcome] = _train_all(
            [opened], trainer, place=folder.path, should_stop=should_stop, on_epochs=_first(on_epoch)
        )
    if opened.diverged is not None:
        raise opened.diverged
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
        done = [folder for folder in folders if _is_done(folder, epochs)]
        if len(done) == len(folders):
            return _finish_again(group, folders, epochs)
        runs = [
            _Run(folder, load_spec(folder.resolved).spec, splits=None, finished=True)  # type: ignore[arg-type]
            if folder in done
            else _reopen(folder, epochs)
            for folder in folders
        ]
        stack.enter_context(in_force(_decide(runs[0].spec)))
        splits = _splits_of([run.spec for run in runs], data_dir=data_dir, on_fetch=on_fetch)
        for run, its in zip(runs, splits, strict=True):
            run.splits = its
            _check_data(run, data_dir)
        trainer = build_trainer([run.spec for run in runs], splits)
        should_stop = stack.enter_context(stop_on_signals())
        with machine_errors(group.path):
            group.summary.unlink(missing_ok=True)
        outcomes = _train_all(runs, trainer, place=group.path, should_stop=should_stop, on_epochs=on_epochs)
        return _finish(group, outcomes)


def _finish_again(group: SeedGroup, folders: Sequence[RunFolder], epochs: int | None) -> SeedsOutcome:
    """The summary of a group that was killed after its last result. Raises RunFolderError where there is one."""
    results = [folder.read_result() or {} for folder in folders]
    if epochs is None and not group.summary.exists():
        return _finish(group, [Outcome(folder, result) for folder, result in zip(folders, results, strict=True)])
    if all(result.get("status") == "diverged" for result in results):
        raise RunFolderError(f"all seeds of {group.path} diverged; start anew with a smaller learning rate")
    raise RunFolderError(f"{group.path} is complete; extend it with --set training.epochs=N")


def load_own_checkpoint(folder: RunFolder, path: Path) -> Checkpoint:
    """A checkpoint of this very run. Raises CheckpointError for another run's, or of an edited ``resolved.yaml``."""
    checkpoint, spec = load_checkpoint(path), load_spec(folder.resolved).spec
    if _with_training(checkpoint.spec, epochs=spec.training.epochs) != spec:
        raise CheckpointError(f"{path} belongs to another run than {folder.resolved}, or that file was edited")
    return checkpoint


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


def _write_start(run: _Run, trainer: Trainer, index: int, decisions: Decisions, *, source: bytes) -> None:
    member = trainer.member(index)
    environment = describe_environment(
        decisions,
        data_fingerprint=run.splits.fingerprint,
        initial_weights=member.parameters.clone().flat,
        batch_order=member.order(1),
    )
    run.folder.write_start(config=source, resolved=to_yaml(run.spec), environment=environment)


def _is_done(folder: RunFolder, epochs: int | None) -> bool:
    """Whether there is nothing to go on with in this run of a group, to ``epochs`` in all if given."""
    result = folder.read_result()
    if result is None:
        return False
    return epochs is None or result["status"] == "diverged" or result["epochs"] == epochs


def _reopen(folder: RunFolder, epochs: int | None) -> _Run:
    """A run to go on with; its splits are still to be loaded."""
    spec = load_spec(folder.resolved).spec
    checkpoint = load_own_checkpoint(folder, folder.last) if folder.last.exists() else None
    if checkpoint is not None:
        check_resumable(folder.last, checkpoint)
        folder.check_metrics(spec, epochs=checkpoint.epoch)
        if checkpoint.step and (spec.training.record_steps or folder.steps.exists()):
            step_figures(folder.steps, least=checkpoint.step)
    elif folder.result.exists():
        raise RunFolderError(f"{folder.last} is gone; without it the run cannot be extended, only trained anew")
    spec = _extended(folder, spec, epochs, done=checkpoint.epoch if checkpoint else 0)
    if checkpoint is not None and checkpoint.best is not None:
        _check_best(folder, checkpoint.epoch, checkpoint.best.epoch, epochs=spec.training.epochs)
    return _Run(folder, spec, splits=None, checkpoint=checkpoint)  # type: ignore[arg-type]


def _check_best(folder: RunFolder, last: int, best: int, *, epochs: int) -> None:
    """``best`` is the file of the epoch that ``last`` names, or, where a process was killed between the two, later.

    The later one is right again when its epoch has been trained again. Raises RunFolderError, and CheckpointError.
    """
    found = load_own_checkpoint(folder, folder.best).epoch
    if found != best and found <= last:
        raise RunFolderError(f"{folder.best} is of epoch {found}, wanted {best}; the run folder is damaged")
    if found > epochs:
        raise RunFolderError(f"{folder.best} is of epoch {found} already; training.epochs={epochs} is fewer")


def _check_data(run: _Run, data_dir: Path | None) -> None:
    if run.splits.fingerprint != run.folder.read_environment().get("hashes", {}).get("data"):
        raise DataError(f"{run.folder.path} was trained on other data than what is in {data_folder(data_dir)} now")


def _extended(folder: RunFolder, spec: ExperimentSpec, epochs: int | None, *, done: int) -> ExperimentSpec:
    """The specification to go on with. Raises RunFolderError where there is nothing to go on with."""
    result = folder.read_result()
    if result is not None and result.get("status") == "diverged":
        raise RunFolderError(f"{folder.path} diverged; start a new run with a smaller learning rate instead")
    wanted = epochs or spec.training.epochs
    if wanted < done:
        raise RunFolderError(f"{folder.path} has {done} epochs behind it; training.epochs={wanted} is fewer")
    if result is not None and wanted == done:
        raise RunFolderError(
            f"{folder.path} is complete with {done} epochs; extend it with --set training.epochs={done * 2}"
        )
    return _with_training(spec, epochs=wanted)


def _with_training(spec: ExperimentSpec, **values: Any) -> ExperimentSpec:
    return spec.model_copy(update={"training": spec.training.model_copy(update=values)})


def _train_all(
    runs: Sequence[_Run],
    trainer: Trainer,
    *,
    place: Path,
    should_stop: Callable[[], bool],
    on_epochs: OnEpochs | None,
) -> list[Outcome]:
    """Train all runs to their end and finish their folders; InterruptedRunError leaves all resumable.

    A run that is further than others, or finished, takes part all the same, since the shapes of the products and with
    them the last bits of the others' results depend on it; its figures are dropped until the others have caught up, and
    then it goes on from its own checkpoint.
    """
    epochs = max(run.spec.training.epochs for run in runs if not run.finished)
    with _resumable(place):
        with machine_errors(place):
            for index, run in enumerate(runs):
                if not run.finished:
                    _start_recording(run, trainer, index)
            first = min(run.checkpoint.epoch + 1 if run.checkpoint else 0 for run in runs if not run.finished)
            for run in runs:
                if run.recorder is not None and run.checkpoint is not None and run.checkpoint.epoch + 1 == first:
                    run.recorder.restore(run.checkpoint)
        try:
            for number, found in enumerate(trainer.epochs(first=first, last=epochs, should_stop=should_stop), first):
                with machine_errors(place):
                    taken = [_take(run, number, epoch) for run, epoch in zip(runs, found, strict=True)]
                if on_epochs is not None:
                    on_epochs(taken)
        except InterruptedRunError as error:
            with machine_errors(place):
                raise _interrupted(runs, place, error) from None
        with machine_errors(place):
            return [_finished(run, trainer, index) for index, run in enumerate(runs)]


@contextmanager
def _resumable(place: Path) -> Iterator[None]:
    """A second signal ends at once, without saving. Raises InterruptedRunError."""
    try:
        yield
    except KeyboardInterrupt:
        raise InterruptedRunError(
            f"stopped at once; the epochs saved until then are kept, go on with `mlptrain train --resume {place}`"
        ) from None


def _start_recording(run: _Run, trainer: Trainer, index: int) -> None:
    run.recorder = Recorder(
        run.folder,
        RunLog(run.folder, epoch=run.checkpoint.epoch if run.checkpoint else -1),
        spec=run.spec,
        member=trainer.member(index),
        scaling=run.splits.scaling,
        data_fingerprint=run.splits.fingerprint,
    )
    if run.checkpoint is not None:
        run.folder.extend(resolved=to_yaml(run.spec))


def _take(run: _Run, number: int, epoch: Epoch | None) -> Epoch | None:
    """What epoch ``number`` leads to in a run's folder; returns it unless the run has no part in it."""
    if run.recorder is None:
        return None
    if run.checkpoint is not None and number <= run.checkpoint.epoch:
        if number == run.checkpoint.epoch:
            run.recorder.restore(run.checkpoint)
        return None
    if epoch is not None and epoch.diverged is not None:
        run.recorder.save()
        _note_divergence(run, epoch.diverged)
    elif epoch is not None:
        run.recorder.record(epoch)
    return epoch


def _note_divergence(run: _Run, error: DivergedError) -> None:
    run.folder.write_result(
        {"status": "diverged", "epoch": error.epoch, "step": error.step, "lr": error.lr, "message": str(error)}
    )
    error.run = run.folder.path
    run.diverged = error


def _interrupted(runs: Sequence[_Run], place: Path, error: InterruptedRunError) -> InterruptedRunError:
    """Save what there is; the error that says how to go on."""
    kept = []
    for run in runs:
        if run.recorder is not None and run.diverged is None:
            run.recorder.save()
            kept.append(max(run.recorder.saved_epoch, run.checkpoint.epoch if run.checkpoint else 0))
    of = max(run.spec.training.epochs for run in runs)
    return InterruptedRunError(
        f"{error}; {min(kept, default=0)} of {of} epochs are kept, go on with `mlptrain train --resume {place}`"
    )


def _finished(run: _Run, trainer: Trainer, index: int) -> Outcome:
    if run.recorder is not None and run.diverged is None:
        run.recorder.save()
        try:
            result = _result(run, run.recorder, trainer, index)
        except DivergedError as error:
            _note_divergence(run, error)
        else:
            run.folder.write_result(result)
            return Outcome(run.folder, result)
    return Outcome(run.folder, run.folder.read_result() or {})


def _finish(group: SeedGroup, outcomes: Sequence[Outcome]) -> SeedsOutcome:
    with machine_errors(group.path):
        summary = group.write_summary([outcome.result for outcome in outcomes])
    return SeedsOutcome(group, tuple(outcomes), summary)


def _result(run: _Run, recorder: Recorder, trainer: Trainer, index: int) -> dict[str, Any]:
    """What a run ends with. Raises DivergedError where the last step's weights, not at work before, give no number."""
    folder, spec, member = run.folder, run.spec, trainer.member(index)
    lines = folder.read_metrics()
    last = lines[-1]
    diagnosis = diagnose(
        member,
        spec,
        train=Figures(last["train_loss"], last.get("train_accuracy")),
        losses=[line["train_loss"] for line in lines[1:]],
        initial=initial_parameters(spec, trainer.network).clone(device=spec.training.device),
    )
    if spec.evaluation.keep == "best" and recorder.best is not None:
        kept = next(line for line in lines if line["epoch"] == recorder.best.epoch)
        parameters = recorder.best_parameters or member.parameters.clone().copy_(
            load_checkpoint(folder.best).parameters
        )
        file = folder.best.name
    else:
        kept, parameters, file = last, member.parameters, folder.last.name
    looks = int(folder.read_environment().get("earlier_test_looks", 0))
    figures = {key: value for key, value in kept.items() if key not in ("epoch", "step", "lr")}
    if spec.evaluation.split == "test":
        looks += len(lines)
    elif run.splits.test is not None:
        looks += 1
        test = on_device(run.splits.test, loss=trainer.loss, spec=spec, device=spec.training.device)
        found = evaluate(
            trainer.network, parameters, loss=trainer.loss, x=test.x, targets=test.y, classify=trainer.classify
        )
        _check_finite("the test loss", found, last)
        figures |= figures_of("test", found)
    elif spec.evaluation.split == "none":
        x, targets = member.rows.first(_PROBE_ROWS)
        found = evaluate(trainer.network, parameters, loss=trainer.loss, x=x, targets=targets, classify=False)
        _check_finite("the loss after training", found, last)
    return {
        "status": "completed",
        "epochs": last["epoch"],
        "steps": last["step"],
        "kept": {"checkpoint": file, "epoch": kept["epoch"], **figures},
        "last": {key: value for key, value in last.items() if key not in ("epoch", "step", "lr")},
        "diagnosis": asdict(diagnosis) if diagnosis else None,
        "test_looks": looks,
    }


def _check_finite(what: str, found: Figures, last: Mapping[str, Any]) -> None:
    if not math.isfinite(found.loss):
        raise diverged(what, epoch=last["epoch"], step=last["step"], lr=last["lr"])
