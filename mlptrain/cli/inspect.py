"""``mlptrain gradcheck`` and ``mlptrain predict``: look into a network before and after training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlptrain.cli import screen
from mlptrain.cli.options import Config, DataDir, Json, Run, Set, Split
from mlptrain.errors import UserError

if TYPE_CHECKING:
    from mlptrain.inference.module import TrainedNetwork
    from mlptrain.inference.predict import Prediction
    from mlptrain.nn.gradcheck import GradientCheck


def gradcheck(config: Config, overrides: Set = [], data_dir: DataDir = None, as_json: Json = False) -> None:  # noqa: B006 - typer copies it
    """Check the gradients against autograd and differences.

    Every parameter's gradient by hand, by autograd and by central differences; exit code 1 where they disagree.
    """
    from mlptrain.spec import load_spec

    loaded = load_spec(config, overrides)  # before torch is imported: a typing error is answered at once
    screen.show_warnings(loaded.warnings)
    from mlptrain.checks.gradients import gradcheck as check_experiment
    from mlptrain.nn.gradcheck import AUTOGRAD_TOLERANCE, DIFFERENCE_TOLERANCE, EPSILON

    with screen.Fetching() as fetching:
        check = check_experiment(loaded, data_dir=data_dir, on_fetch=fetching.fetch)
    if as_json:
        screen.say_json(
            {
                "config": str(config),
                "rows": check.rows,
                "objective": check.objective,
                "epsilon": EPSILON,
                "tolerances": {"autograd": AUTOGRAD_TOLERANCE, "differences": DIFFERENCE_TOLERANCE},
                "parameters": [asdict(parameter) | {"passed": parameter.passed} for parameter in check.parameters],
                "passed": check.passed,
                "verdict": check.verdict,
            }
        )
    else:
        _show_gradcheck(loaded.spec.name, check)
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
    from mlptrain.inference import predict as inference
    from mlptrain.inference.evaluate import unfinished
    from mlptrain.inference.module import load
    from mlptrain.runs.records import untrained

    network = load(checkpoint)
    if (state := unfinished(checkpoint)) is not None:
        screen.say(f"note: {state}; its weights after epoch {network.epoch} are used", err=True)
    if weights := untrained(network.epoch):
        screen.say(f"note: epoch 0 was kept: {weights}", err=True)
    if images:
        predictions = inference.predict_images(network, images, invert=invert)
    else:
        with screen.Fetching() as fetching:
            predictions = inference.predict_rows(
                network, index, split=split, data_dir=data_dir, on_fetch=fetching.fetch
            )
    if as_json:
        screen.say_json([prediction.as_json() for prediction in predictions])
    else:
        _show_predictions(network, predictions, top=top)


def _show_gradcheck(name: str, check: GradientCheck) -> None:
    """A line per parameter tensor and the verdict."""
    from mlptrain.nn.gradcheck import AUTOGRAD_TOLERANCE, DIFFERENCE_TOLERANCE, EPSILON

    title = f"{name}: {check.rows} rows, loss {check.objective:.6g}, float64, ε = {EPSILON:g}"
    columns = ("gradient norm", "analytic - autograd", "analytic - differences", "checked", "at a kink")
    rows = [
        [
            parameter.name,
            "×".join(map(str, parameter.shape)) or "1",
            f"{parameter.gradient_norm:.3g}",
            f"{parameter.autograd_error:.1e}",
            "" if parameter.difference_error is None else f"{parameter.difference_error:.1e}",
            f"{parameter.checked:,}",
            f"{parameter.left_out:,}",
            "ok" if parameter.passed else "WRONG",
        ]
        for parameter in check.parameters
    ]
    screen.show_table(("parameter", "shape", *columns, ""), rows, title=title, right=range(2, 7))
    screen.say(
        f"largest errors relative to the gradient's norm; tolerances {AUTOGRAD_TOLERANCE:g} and "
        f"{DIFFERENCE_TOLERANCE:g}"
    )
    screen.say(check.verdict)


def _show_predictions(network: TrainedNetwork, predictions: Sequence[Prediction], *, top: int) -> None:
    """A line per image or row: class, confidence and runners-up, or the values of a regression."""
    if not network.class_names:
        rows = [
            [_what(prediction), _numbers(prediction.outputs), _numbers(prediction.true)] for prediction in predictions
        ]
        screen.show_table(("row", "predicted", "true"), rows)
        return
    with_truth = predictions[0].true is not None
    rows = [
        [
            _what(prediction),
            str(prediction.name),
            *([_truth(network, prediction)] if with_truth else []),
            "" if prediction.confidence is None else f"{prediction.confidence:.2%}".replace("%", " %"),
            ", ".join(_runners_up(network, prediction, top - 1)),
            *([] if with_truth else ["; ".join(prediction.notes)]),
        ]
        for prediction in predictions
    ]
    columns = ("row", "class", "true") if with_truth else ("image", "class")
    notes = () if with_truth else ("notes",)
    screen.show_table((*columns, "confidence", "runners-up", *notes), rows, right=[len(columns)])
    if not network.gives_probabilities:
        screen.say(
            f"a network trained with the loss '{network.experiment.loss.name}' gives no probabilities: the class is "
            "the largest output, and the runners-up stand with their outputs"
        )


def _what(prediction: Prediction) -> str:
    return prediction.image if prediction.image is not None else f"{prediction.split} {prediction.index}"


def _truth(network: TrainedNetwork, prediction: Prediction) -> str:
    assert isinstance(prediction.true, int)
    return network.class_names[prediction.true] + ("" if prediction.true == prediction.label else " (misclassified)")


def _runners_up(network: TrainedNetwork, prediction: Prediction, count: int) -> list[str]:
    values = prediction.outputs if prediction.probabilities is None else prediction.probabilities
    order = sorted(
        (label for label in range(len(values)) if label != prediction.label), key=lambda label: -values[label]
    )
    as_text = "{:.4g}".format if prediction.probabilities is None else "{:.2%}".format
    return [f"{network.class_names[label]} {as_text(values[label]).replace('%', ' %')}" for label in order[:count]]


def _numbers(values: int | tuple[float, ...] | None) -> str:
    return ", ".join(f"{value:.6g}" for value in values) if isinstance(values, tuple) else ""
