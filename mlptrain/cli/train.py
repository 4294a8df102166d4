"""``mlptrain train``: one run, or several seeds or folds at once; new or resumed. Torch is imported inside."""

from __future__ import annotations

import re
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlptrain.cli import screen, train_screen
from mlptrain.cli.options import (
    SEEDS,
    AllowCode,
    DataDir,
    Json,
    Logs,
    Set,
    complete_config,
    complete_run,
    seeds_without_clash,
)
from mlptrain.errors import DivergedError, InterruptedRunError, UserError
from mlptrain.system.launch import Launch, launched

_SECONDS_TO_BE_ENDED = 5.0  # by a launcher, which looks after its workers every 0.1 s

if TYPE_CHECKING:
    from mlptrain.experiment import GroupOutcome, Outcome
    from mlptrain.runs import RunFolder
    from mlptrain.spec import Experiment


def train(
    config: Annotated[
        Path | None, typer.Argument(help="A configuration.", show_default=False, autocompletion=complete_config)
    ] = None,
    overrides: Set = [],  # noqa: B006 - typer copies it
    seeds: Annotated[
        str | None, typer.Option(metavar=SEEDS, help="Train with each of these seeds at once, whatever the file's is.")
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(
            metavar="K",
            help="Cross-validation: train at once with each of K parts of the training rows held out as test rows.",
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN", help="Resume this run folder, or group of seeds or folds.", autocompletion=complete_run
        ),
    ] = None,
    from_run: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="RUN",
            help="Start from the kept weights of this run, or from those in a checkpoint, .npz or safetensors file.",
            autocompletion=complete_run,
        ),
    ] = None,
    run_dir: Annotated[Path | None, typer.Option(help="The run folder itself; new or empty.")] = None,
    logs: Logs = [],  # noqa: B006 - typer copies it
    data_dir: DataDir = None,
    code: AllowCode = False,  # noqa: ARG001 - its callback allows it
    as_json: Json = False,
) -> None:
    """Train a network, or resume a run.

    Ends with the kept weights' figures on every split and the run folder's path; losses are means per example. With
    --seeds 0,1,2 several at once: ends with every seed's figures, their mean and standard deviation. With --folds 5
    the same for every fold of a cross-validation, and the mean's standard error. Folds are drawn by class or at random;
    with data.split by group of whole groups, and by time each trains on what lies before the rows that it holds out.
    """
    if (worker := launched()) is not None and not worker.is_first:
        _assist(worker, data_dir=data_dir)
        return
    try:
        if resume is not None:
            _check_resume(resume, config=config, seeds=seeds, folds=folds, from_run=from_run, run_dir=run_dir)
            outcome = _resume(resume, _new_epochs(overrides), data_dir=data_dir, log=logs)
        else:
            options: dict[str, Any] = {"run_dir": run_dir, "data_dir": data_dir, "log": logs}
            outcome = _train(config, overrides, seeds, folds, from_run=from_run, **options)
    except DivergedError as error:  # of one run; diverged seeds are part of an outcome
        if error.run is not None:
            _show_run(error.run, as_json=as_json)
        raise
    from mlptrain.experiment import Outcome

    if isinstance(outcome, Outcome):
        _show_run(outcome.folder.path, as_json=as_json)
    else:
        _show_group(outcome, as_json=as_json)


def _assist(worker: Launch, *, data_dir: Path | None) -> None:
    """Take part in the training of the first worker, which alone prints.

    An error that both have is shown once: the launcher ends this process as soon as the first one has ended.
    """
    warnings.simplefilter("ignore")
    try:
        from mlptrain.experiment.together import assist

        assist(worker, data_dir=data_dir, on_loss=lambda text: screen.say(f"error: {text}", err=True))
    except InterruptedRunError:
        raise typer.Exit(1) from None  # what else there is to say of it, the first worker says
    except Exception:
        time.sleep(_SECONDS_TO_BE_ENDED)
        screen.say(f"worker {worker.rank} of {worker.count}, counted from 0, has failed:", err=True)
        raise


def _check_resume(
    resume: Path,
    *,
    config: Path | None,
    seeds: str | None,
    folds: int | None,
    from_run: Path | None,
    run_dir: Path | None,
) -> None:
    """Raises UserError for what a resumed run has settled already."""
    if config is not None:
        raise UserError(f"name one of the two: {config} to train a new run, or --resume {resume}")
    if seeds is not None:
        raise UserError(
            f"--seeds conflicts with --resume, which resumes all seeds of {resume}: leave --seeds out; other seeds "
            "need `mlptrain train CONFIG --seeds` and a folder of their own"
        )
    if folds is not None:
        raise UserError(f"--folds conflicts with --resume, which resumes all folds of {resume}: leave --folds out")
    if from_run is not None:
        raise UserError(
            f"--from conflicts with --resume, which continues from the weights of {resume}; to start a new run from "
            f"them: `mlptrain train CONFIG --from {resume}`"
        )
    if run_dir is not None:
        raise UserError(f"--run-dir conflicts with --resume, which continues in {resume}")


def _train(
    config: Path | None,
    overrides: list[str],
    seeds: str | None,
    folds: int | None,
    *,
    from_run: Path | None,
    **options: Any,
) -> Outcome | GroupOutcome:
    if config is None and from_run is not None and (own := from_run / "resolved.yaml").is_file():
        raise UserError(f"--from needs a configuration too; that of the run itself is {own}")
    if config is None:
        raise UserError("nothing to train: name a configuration, or a run folder with --resume")
    if folds is not None and seeds is not None:
        raise UserError("--folds conflicts with --seeds: the folds of a cross-validation share one seed")
    from mlptrain.runs import RunGroup
    from mlptrain.spec import load_spec
    from mlptrain.spec.load import in_folds, starting_from

    if RunGroup.is_group(config):
        word = RunGroup.open(config).word
        raise UserError(f"{config} holds the runs of several {word}s; resume with `mlptrain train --resume {config}`")
    numbers = seeds_without_clash(seeds, overrides)
    loaded = load_spec(config, overrides)  # before torch is imported: a typing error is answered at once
    if from_run is not None:
        loaded = starting_from(loaded, from_run, overrides=overrides)
    screen.show_warnings([*loaded.warnings, *loaded.dropped])
    shown, word = loaded.experiment, "seed"
    if folds is not None:
        shown, *_ = in_folds(loaded, folds)  # before torch is imported, too
        numbers, word = list(range(folds)), "fold"
    from mlptrain import experiment

    with train_screen.Progress(shown, epochs=loaded.spec.training.epochs, numbers=numbers, word=word) as progress:
        options |= {"on_fetch": progress.fetch, "on_note": progress.note, "launch": launched(), "progress": False}
        if folds is not None:
            return experiment.train_folds(loaded, folds, listeners=[progress], **options)
        if numbers is None:
            return experiment.train(loaded, listeners=[progress], **options)
        return experiment.train_seeds(loaded, numbers, listeners=[progress], **options)


def _resume(path: Path, epochs: int | None, **options: Any) -> Outcome | GroupOutcome:
    from mlptrain.runs import RunFolder, RunGroup

    group = RunGroup.open(path) if RunGroup.is_group(path) else None
    numbers = None if group is None else group.numbers
    members = [path] if group is None else [group.member(number) for number in group.numbers]
    folders = [RunFolder.open(member) for member in members]
    unfinished = [folder for folder in folders if not folder.result.exists()]
    spec = (unfinished or folders)[0].experiment()  # a diverged seed is not extended with the others
    if epochs is not None and spec.training.epochs and spec.schedule.stretches:
        screen.say(f"note: {_stretched(spec, epochs)}", err=True)
    from mlptrain import experiment

    word, until = "seed" if group is None else group.word, epochs or spec.training.epochs
    with train_screen.Progress(spec, epochs=until, numbers=numbers, word=word) as progress:
        options |= {"on_fetch": progress.fetch, "on_note": progress.note, "launch": launched(), "progress": False}
        options["epochs"] = epochs
        if group is None:
            return experiment.resume(path, listeners=[progress], **options)
        return experiment.resume_group(path, listeners=[progress], **options)


def _stretched(experiment: Experiment, epochs: int) -> str:
    """What more epochs do to a schedule whose factors depend on the length of the run."""
    before = experiment.training.run_length(experiment.facts.train_rows)
    after = before._replace(steps=epochs * before.per_epoch)
    schedule, lr = experiment.schedule, experiment.optimizer.lr
    ended, continues = lr * schedule.factor_at(before.steps - 1, before), lr * schedule.factor_at(before.steps, after)
    return (
        f"the schedule '{schedule.name}' now spans {epochs:,} epochs: lr continues at {continues:.3g}, where "
        f"{experiment.training.epochs:,} epochs end at {ended:.3g}. The result is not that of {epochs:,} epochs at once"
    )


def _new_epochs(overrides: list[str]) -> int | None:
    """The number in ``--set training.epochs=N``, the only setting that a resumed run may change."""
    epochs = None
    for override in overrides:
        number = re.fullmatch(r"\s*training\.epochs\s*=\s*(0*[1-9][0-9]{0,7})\s*", override)
        if number is None or int(number[1]) > 10_000_000:
            raise UserError(f"--set {override[:80]}: a resumed run can only change training.epochs, to a whole number")
        epochs = int(number[1])
    return epochs


def _show_run(run: Path, *, as_json: bool) -> None:
    """The result in its folder, which of one that diverged has no more to show than its place."""
    from mlptrain.runs import RunFolder

    result = RunFolder(run).read_result()
    with screen.result_of(run):
        if as_json and result is not None:
            screen.say_json({"run": str(run), **result.plain()})
        elif result is not None and result.status == "completed":
            environment = RunFolder(run).read_environment()
            scaling = environment.scaling if _is_fitted(RunFolder(run)) else None
            train_screen.show_result(str(run), result, scaling=scaling, class_weights=environment.class_weights)
        else:
            if result is not None and result.status == "diverged" and result.diagnosis is not None:
                train_screen.show_causes(result.diagnosis)
            screen.say(f"run folder: {run}")


def _is_fitted(folder: RunFolder) -> bool:
    """Whether a run's inputs are scaled by numbers of its training rows, which no file that it was given holds."""
    return folder.experiment().data.scaling == "standard"


def _show_group(outcome: GroupOutcome, *, as_json: bool) -> None:
    """The results of all seeds or folds. Raises DivergedError where one has diverged."""
    summary, group, word = outcome.summary, str(outcome.group.path), outcome.group.word
    results = {number: run.result for number, run in zip(outcome.group.numbers, outcome.outcomes, strict=True)}
    with screen.result_of(outcome.group.path):
        if as_json:
            places = {number: str(outcome.group.member(number)) for number in results}
            runs = [{word: number, "run": places[number], **result.plain()} for number, result in results.items()]
            screen.say_json({"group": group, **summary.plain(), "runs": runs})
        else:
            scaled = _is_fitted(outcome.outcomes[0].folder)
            train_screen.show_group(group, results, summary.kept, word=word, scaled=scaled)
    if diverged := {number: result for number, result in results.items() if result.status == "diverged"}:
        completed = len(results) - len(diverged)
        others = f"; the other {'one is' if completed == 1 else f'{completed} are'} complete" if completed else ""
        named, first = train_screen.name_numbers(list(diverged), word), next(iter(diverged.values()))
        raise DivergedError(
            f"{named} diverged{others}; try {first.advice}", epoch=first.epoch, step=first.step, lr=first.lr
        )
