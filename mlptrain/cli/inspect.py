"""``mlptrain gradcheck`` and ``mlptrain predict``: look into a network before and after training."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlptrain.cli import inspect_screen, screen
from mlptrain.cli.options import Config, DataDir, Json, Run, Set, Split
from mlptrain.errors import UserError

if TYPE_CHECKING:
    from mlptrain.nn.gradcheck import GradientCheck


def gradcheck(config: Config, overrides: Set = [], data_dir: DataDir = None, as_json: Json = False) -> None:  # noqa: B006 - typer copies it
    """Check the gradients against autograd and differences.

    Every parameter's gradient by hand, by autograd and by central differences; exit code 1 where they disagree.
    """
    from mlptrain.spec import load_spec

    loaded = load_spec(config, overrides)  # before torch is imported: a typing error is answered at once
    screen.show_warnings(loaded.warnings)
    from mlptrain.checks.gradients import gradcheck as check_experiment

    with screen.Fetching() as fetching:
        check = check_experiment(loaded, data_dir=data_dir, on_fetch=fetching.fetch)
    if as_json:
        screen.say_json(_check_as_json(str(config), check))
    else:
        inspect_screen.show_gradcheck(loaded.spec.name, check)
    if not check.passed:
        raise typer.Exit(1)


def predict(
    checkpoint: Run,
    images: Annotated[
        list[Path] | None, typer.Argument(metavar="[IMAGE]...", help="Image files: PNG, JPEG and others.")
    ] = None,
    index: Annotated[
        list[int], typer.Option(metavar="N", help="Predict this row of the data set instead. May be repeated.")
    ] = [],  # noqa: B006 - typer copies it
    split: Split = None,
    invert: Annotated[
        bool | None,
        typer.Option("--invert/--no-invert", help="Images are dark on light, or not; default: detected at the border."),
    ] = None,
    top: Annotated[int, typer.Option(min=1, max=20, help="How many classes the table shows of each.")] = 3,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Predict the class of images, or of rows of the data set."""
    if bool(images) == bool(index):
        raise UserError("name one of the two: image files, or --index with a row of the data set")
    if split is not None and not index:
        raise UserError("--split needs --index; image files belong to no split")
    if invert is not None and not images:
        raise UserError("--invert and --no-invert need image files; rows of the data set are used as stored")
    from mlptrain.inference import predict as prediction
    from mlptrain.inference.evaluate import unfinished
    from mlptrain.inference.module import load

    network = load(checkpoint)
    if (state := unfinished(checkpoint)) is not None:
        screen.say(f"note: {state}; its weights after epoch {network.epoch} are used", err=True)
    if images:
        predictions = prediction.predict_images(network, images, invert=invert)
    else:
        with screen.Fetching() as fetching:
            predictions = prediction.predict_rows(
                network, index, split=split, data_dir=data_dir, on_fetch=fetching.fetch
            )
    if as_json:
        screen.say_json([one.as_json() for one in predictions])
    else:
        inspect_screen.show_predictions(network, predictions, top=top)


def _check_as_json(config: str, check: GradientCheck) -> dict[str, Any]:
    """Keys: config, rows, objective, epsilon, tolerances, parameters, passed, verdict.

    Of each parameter: name, shape, gradient_norm, autograd_error, difference_error, checked, left_out, passed.
    """
    from mlptrain.nn.gradcheck import AUTOGRAD_TOLERANCE, DIFFERENCE_TOLERANCE, EPSILON

    return {
        "config": config,
        "rows": check.rows,
        "objective": check.objective,
        "epsilon": EPSILON,
        "tolerances": {"autograd": AUTOGRAD_TOLERANCE, "differences": DIFFERENCE_TOLERANCE},
        "parameters": [asdict(one) | {"passed": one.passed} for one in check.parameters],
        "passed": check.passed,
        "verdict": check.verdict,
    }
