"""``mlptrain gradcheck``: are the gradients of a configuration right?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlptrain.cli import screen
from mlptrain.cli.gradcheck_screen import show_check, show_seeds_check
from mlptrain.cli.options import SEEDS, AllowCode, ConfigOrRun, DataDir, Json, Set, seeds_without_clash
from mlptrain.errors import UserError

if TYPE_CHECKING:
    from mlptrain.spec import Experiment


def gradcheck(
    source: ConfigOrRun,
    overrides: Set = [],  # noqa: B006 - typer copies it
    seeds: Annotated[
        str | None, typer.Option(metavar=SEEDS, help="Check a configuration with each of these seeds, in one summary.")
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Print the three derivatives side by side.")] = False,
    count: Annotated[int, typer.Option(min=1, max=200, help="How many of each tensor --show prints.")] = 10,
    data_dir: DataDir = None,
    code: AllowCode = False,  # noqa: ARG001 - its callback allows it
    as_json: Json = False,
) -> None:
    """Check the gradients against autograd and differences.

    Every parameter's gradient by hand, by autograd and by central differences, penalties (weight decay, L1) included:
    before training, or of a run's weights. Exit code 0 where all agree, 1 where one disagrees or could not be checked.
    """
    from mlptrain.runs import RunGroup

    if show and (seeds is not None or RunGroup.is_group(source)):
        raise UserError("--show prints the numbers of one network: name one seed with --set seed=N, or one run")
    check = _gradcheck_weights if source.is_dir() or source.suffix == ".safetensors" else _gradcheck_config
    if not check(source, overrides, seeds, show=count if show else 0, data_dir=data_dir, as_json=as_json):
        raise typer.Exit(1)


def _gradcheck_config(
    config: Path, overrides: list[str], seeds: str | None, *, show: int, data_dir: Path | None, as_json: bool
) -> bool:
    from mlptrain.spec import load_spec

    numbers = seeds_without_clash(seeds, overrides)
    loaded = load_spec(config, overrides)  # before torch is imported: a typing error is answered at once
    screen.show_warnings(loaded.warnings)
    _note_decoupled_decay(loaded.experiment)
    from mlptrain.checks import gradients

    with screen.Fetching() as fetching:
        source: dict[str, Any] = {"data_dir": data_dir, "on_fetch": fetching.fetch}
        if numbers is not None:
            many = gradients.SeedsCheck.of(gradients.gradcheck_seeds(loaded, numbers, **source))
            return show_seeds_check(config, loaded.spec.name, many, as_json=as_json)
        check = gradients.gradcheck(loaded, **source)
    return show_check(config, loaded.spec.name, 0, check, show=show, as_json=as_json)


def _gradcheck_weights(
    path: Path, overrides: list[str], seeds: str | None, *, show: int, data_dir: Path | None, as_json: bool
) -> bool:
    """Of a run, a checkpoint file or a group of runs."""
    if overrides or seeds is not None:
        option = "--seeds" if overrides == [] else "--set"
        raise UserError(
            f"{option} needs a configuration; {path} holds weights, which are checked with the settings they were "
            "trained with: leave it out"
        )
    from mlptrain.checks import gradients
    from mlptrain.inference.evaluate import load_kept, unfinished
    from mlptrain.runs import RunGroup

    with screen.Fetching() as fetching:
        source: dict[str, Any] = {"data_dir": data_dir, "on_fetch": fetching.fetch}
        if RunGroup.is_group(path):
            checks = gradients.gradcheck_group(path, **source)
            many = gradients.SeedsCheck.of(checks, word=RunGroup.open(path).word)
            return show_seeds_check(path, str(path), many, as_json=as_json)
        checkpoint = load_kept(path)
        _note_decoupled_decay(checkpoint.experiment)
        if (state := unfinished(path)) is not None:
            screen.say(f"note: {state}; its weights after epoch {checkpoint.epoch} are checked", err=True)
        check = gradients.gradcheck(checkpoint, **source)
    return show_check(path, checkpoint.experiment.name, checkpoint.epoch, check, show=show, as_json=as_json)


def _note_decoupled_decay(experiment: Experiment) -> None:
    optimizer = experiment.optimizer
    if optimizer.weight_decay and not optimizer.penalty:
        screen.say(
            f"note: the weight decay of {optimizer.name} is decoupled: it shrinks the weights beside the gradient, and "
            "is not part of the objective",
            err=True,
        )
