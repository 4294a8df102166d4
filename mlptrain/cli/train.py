"""``mlptrain train``: one run, or several seeds at once; new, or gone on with. Torch is imported inside."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlptrain.cli import screen, train_screen
from mlptrain.cli.options import DataDir, Json, Set
from mlptrain.errors import DivergedError, UserError

if TYPE_CHECKING:
    from mlptrain.experiment import Outcome, SeedsOutcome
    from mlptrain.spec import Loaded

_LARGEST_SEED = 2**63 - 1


def train(
    config: Annotated[Path | None, typer.Argument(help="A configuration.", show_default=False)] = None,
    overrides: Set = [],  # noqa: B006 - typer copies it
    seeds: Annotated[
        str | None,
        typer.Option(metavar="N,N,...", help="Train with each of these seeds at once, whatever the file's is."),
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Go on with this run folder, or group of seeds, instead.")
    ] = None,
    run_dir: Annotated[Path | None, typer.Option(help="The run folder itself; new or empty.")] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Train a network; ends with its figures and the run folder's path.

    With --seeds 0,1,2 several at once: ends with every seed's figures, their mean and standard deviation.
    """
    if resume is not None:
        _check_resume(resume, config=config, seeds=seeds, run_dir=run_dir)
        if _is_group(resume):
            _end_seeds(_resume_seeds(resume, _new_epochs(overrides), data_dir=data_dir), as_json=as_json)
        else:
            _train_one(resume, overrides, resume=True, run_dir=None, data_dir=data_dir, as_json=as_json)
    elif config is None:
        raise UserError("nothing to train: name a configuration, or --resume with a run folder to go on with")
    elif config.is_dir() and _is_group(config):
        raise UserError(f"{config} holds the runs of several seeds; go on with `mlptrain train --resume {config}`")
    elif seeds is not None:
        numbers = parse_seeds(seeds)
        if clash := [one for one in overrides if one.partition("=")[0].strip() == "seed"]:
            raise UserError(f"--set {clash[0]} does not go with --seeds {seeds}; name every seed in --seeds")
        outcome = _train_seeds(config, overrides, numbers, run_dir=run_dir, data_dir=data_dir)
        _end_seeds(outcome, as_json=as_json)
    else:
        _train_one(config, overrides, resume=False, run_dir=run_dir, data_dir=data_dir, as_json=as_json)


def parse_seeds(text: str) -> list[int]:
    """The seeds in ``0,1,2``. Raises UserError for anything else, with the parts that are at fault."""
    from mlptrain.spec.comparison.sections import MAX_SEEDS

    wanted = "wanted whole numbers from 0 on with commas between them, ranges written out, such as --seeds 0,1,2"
    parts = [part.strip() for part in text.split(",")]
    if bad := [part for part in parts if not (part.isascii() and part.isdigit())]:
        raise UserError(f"--seeds: {_first_few(bad)} {'is no seed' if len(bad) == 1 else 'are no seeds'}; {wanted}")
    if large := [part for part in parts if len(part) > 30 or int(part) > _LARGEST_SEED]:
        raise UserError(f"--seeds: {_first_few(large)}: the largest seed is 2^63 - 1; {wanted}")
    seeds = [int(part) for part in parts]
    if twice := [seed for seed, times in Counter(seeds).items() if times > 1]:
        raise UserError(f"--seeds: {_first_few(twice)}: named more than once; name every seed once")
    if len(seeds) > MAX_SEEDS:
        raise UserError(f"--seeds names {len(seeds):,} seeds, and at most {MAX_SEEDS:,} train at once; name fewer")
    return seeds


def _first_few(found: Sequence[object]) -> str:
    return ", ".join([f"'{one}'" for one in found[:5]] + (["…"] if len(found) > 5 else []))


def _check_resume(resume: Path, *, config: Path | None, seeds: str | None, run_dir: Path | None) -> None:
    """Raises UserError for what a run that goes on has settled already."""
    if config is not None:
        raise UserError(f"name one of the two: {config} to train it anew, or --resume {resume} to go on with that run")
    if seeds is not None:
        raise UserError(
            f"--seeds does not go with --resume, which goes on with all seeds of {resume}: leave --seeds out; "
            "other seeds need `mlptrain train CONFIG --seeds` and a folder of their own"
        )
    if run_dir is not None:
        raise UserError(f"--run-dir does not go with --resume, which goes on in {resume}")
    from mlptrain.runs import is_comparison

    if is_comparison(resume):
        raise UserError(f"{resume} is a comparison; `mlptrain compare-optimizers {resume}` goes on with it")


def _is_group(path: Path) -> bool:
    from mlptrain.runs import SeedGroup

    return SeedGroup.is_group(path)


def _train_one(
    path: Path, overrides: list[str], *, resume: bool, run_dir: Path | None, data_dir: Path | None, as_json: bool
) -> None:
    """Train a configuration, or go on with a run folder, and show what came out."""
    try:
        if resume:
            outcome = _resume(path, _new_epochs(overrides), data_dir=data_dir)
        else:
            outcome = _train(path, overrides, run_dir=run_dir, data_dir=data_dir)
    except DivergedError as error:
        if error.run is not None and as_json:
            result = json.loads((error.run / "result.json").read_bytes())
            screen.say_json({"run": str(error.run), **result})
        elif error.run is not None:
            screen.say(f"run folder: {error.run}")
        raise
    with screen.result_of(outcome.folder.path):
        if as_json:
            screen.say_json({"run": str(outcome.folder.path), **outcome.result})
        else:
            train_screen.show_result(str(outcome.folder.path), outcome.result)


def _train(config: Path, overrides: list[str], *, run_dir: Path | None, data_dir: Path | None) -> Outcome:
    loaded = _load(config, overrides)
    from mlptrain import experiment

    with train_screen.Progress(loaded.experiment, epochs=loaded.spec.training.epochs) as progress:
        return experiment.train(
            loaded, run_dir=run_dir, data_dir=data_dir, listeners=[progress], on_fetch=progress.fetch
        )


def _train_seeds(
    config: Path, overrides: list[str], seeds: list[int], *, run_dir: Path | None, data_dir: Path | None
) -> SeedsOutcome:
    loaded = _load(config, overrides)
    from mlptrain import experiment

    with train_screen.SeedsProgress(loaded.experiment, epochs=loaded.spec.training.epochs, seeds=seeds) as progress:
        return experiment.train_seeds(
            loaded, seeds, run_dir=run_dir, data_dir=data_dir, listeners=[progress], on_fetch=progress.fetch
        )


def _load(config: Path, overrides: list[str]) -> Loaded:
    """The configuration, before torch is imported: a typing error is answered at once."""
    from mlptrain.spec import load_spec

    loaded = load_spec(config, overrides)
    screen.show_warnings(loaded.warnings)
    return loaded


def _resume(run: Path, epochs: int | None, *, data_dir: Path | None) -> Outcome:
    from mlptrain.runs import RunFolder

    spec = RunFolder.open(run).experiment()
    from mlptrain import experiment

    with train_screen.Progress(spec, epochs=epochs or spec.training.epochs) as progress:
        return experiment.resume(run, epochs=epochs, data_dir=data_dir, listeners=[progress], on_fetch=progress.fetch)


def _resume_seeds(path: Path, epochs: int | None, *, data_dir: Path | None) -> SeedsOutcome:
    from mlptrain.runs import RunFolder, SeedGroup

    group = SeedGroup.open(path)
    folders = [RunFolder.open(group.member(seed)) for seed in group.seeds]
    unfinished = [folder for folder in folders if not folder.result.exists()]
    spec = (unfinished or folders)[0].experiment()  # a diverged seed is not extended with the others
    from mlptrain import experiment

    epochs_in_all = epochs or spec.training.epochs
    with train_screen.SeedsProgress(spec, epochs=epochs_in_all, seeds=group.seeds) as progress:
        return experiment.resume_seeds(
            path, epochs=epochs, data_dir=data_dir, listeners=[progress], on_fetch=progress.fetch
        )


def _new_epochs(overrides: list[str]) -> int | None:
    """The number in ``--set training.epochs=N``, the only setting that a resumed run may change."""
    epochs = None
    for override in overrides:
        key, _, value = override.partition("=")
        number = value.strip()
        if (
            key.strip() != "training.epochs"
            or not re.fullmatch("0*[1-9][0-9]{0,7}", number)
            or int(number) > 10_000_000
        ):
            raise UserError(f"--set {override[:80]}: a resumed run can only change training.epochs, to a whole number")
        epochs = int(number)
    return epochs


def _end_seeds(outcome: SeedsOutcome, *, as_json: bool) -> None:
    """Show what came out of all seeds. Raises DivergedError where one has diverged."""
    summary, group = outcome.summary, str(outcome.group.path)
    runs: list[dict[str, Any]] = [
        {"seed": seed, "run": str(one.folder.path), **one.result}
        for seed, one in zip(summary["seeds"], outcome.outcomes, strict=True)
    ]
    with screen.result_of(outcome.group.path):
        if as_json:
            screen.say_json({"group": group, **summary, "runs": runs})
        else:
            train_screen.show_seeds(group, runs, summary["kept"])
    if summary["diverged"]:
        raise _diverged(runs)


def _diverged(runs: Sequence[dict[str, Any]]) -> DivergedError:
    bad = [run for run in runs if run["status"] == "diverged"]
    whole = len(runs) - len(bad)
    others = f"; the other {'one is' if whole == 1 else f'{whole} are'} complete" if whole else ""
    named = train_screen.name_seeds([run["seed"] for run in bad])
    return DivergedError(
        f"{named} diverged{others}; try a smaller learning rate",
        epoch=bad[0]["epoch"],
        step=bad[0]["step"],
        lr=bad[0]["lr"],
    )
