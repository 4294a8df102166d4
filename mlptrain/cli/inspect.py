"""``mlptrain gradcheck`` and ``mlptrain predict``: look into a network before and after training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlptrain.cli import inspect_screen, screen
from mlptrain.errors import UserError

if TYPE_CHECKING:
    from mlptrain.nn.gradcheck import GradientCheck

DataDir = Annotated[
    Path | None,
    typer.Option(help="Where data sets lie; default $MLPTRAIN_DATA_DIR, else the user's cache folder."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]


def gradcheck(
    config: Annotated[Path, typer.Argument(help="A configuration, e.g. configs/digits.yaml.", show_default=False)],
    overrides: Annotated[
        list[str],
        typer.Option("--set", metavar="KEY=VALUE", help="Override a value, e.g. loss=mse. May be repeated."),
    ] = [],  # noqa: B006 - typer copies it
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Check the gradients by hand against autograd and central differences; exit code 1 where they disagree."""
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
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint file or a run folder.", show_default=False)],
    images: Annotated[
        list[Path] | None, typer.Argument(metavar="[IMAGE]...", help="Image files: PNG, JPEG and others.")
    ] = None,
    index: Annotated[
        list[int], typer.Option(metavar="N", help="Predict this row of the data set instead. May be repeated.")
    ] = [],  # noqa: B006 - typer copies it
    split: Annotated[
        str | None,
        typer.Option(help="Of --index: train, validation or test; default test, else validation, else train."),
    ] = None,
    invert: Annotated[
        bool | None,
        typer.Option("--invert/--no-invert", help="Images are dark on light, or not; default: seen by the border."),
    ] = None,
    top: Annotated[int, typer.Option(min=1, max=20, help="How many classes the table shows of each.")] = 3,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Class and confidence for image files, or for rows of the data set."""
    if bool(images) == bool(index):
        raise UserError("name one of the two: image files, or --index with a row of the data set")
    if split is not None and not index:
        raise UserError("--split belongs to --index; image files are of no split")
    if invert is not None and not images:
        raise UserError("--invert and --no-invert belong to image files; rows of the data set are used as stored")
    from mlptrain.inference import predict as prediction
    from mlptrain.inference.evaluate import unfinished
    from mlptrain.inference.module import load

    network = load(checkpoint)
    if (state := unfinished(checkpoint)) is not None:
        screen.say(f"note: {state}; its weights after epoch {network.epoch} are used", err=True)
    if images:
        found = prediction.predict_images(network, images, invert=invert)
    else:
        with screen.Fetching() as fetching:
            found = prediction.predict_rows(network, index, split=split, data_dir=data_dir, on_fetch=fetching.fetch)
    if as_json:
        screen.say_json([one.as_json() for one in found])
    else:
        inspect_screen.show_predictions(network, found, top=top)


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
        "parameters": [
            {
                "name": one.name,
                "shape": list(one.shape),
                "gradient_norm": one.gradient_norm,
                "autograd_error": one.autograd_error,
                "difference_error": one.difference_error,
                "checked": one.checked,
                "left_out": one.left_out,
                "passed": one.passed,
            }
            for one in check.parameters
        ],
        "passed": check.passed,
        "verdict": check.verdict,
    }
