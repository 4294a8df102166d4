"""``mlptrain gradcheck`` and ``mlptrain predict``: look into a network before and after training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlptrain.cli import screen
from mlptrain.cli.gradcheck_screen import show_check, show_seeds_check
from mlptrain.cli.options import SEEDS, ConfigOrRun, DataDir, Json, Run, Set, Split, parse_seeds
from mlptrain.errors import UserError

if TYPE_CHECKING:
    from mlptrain.inference.module import TrainedNetwork
    from mlptrain.inference.predict import Prediction
    from mlptrain.spec import Experiment


def gradcheck(
    source: ConfigOrRun,
    overrides: Set = [],  # noqa: B006 - typer copies it
    seeds: Annotated[
        str | None,
        typer.Option(metavar=SEEDS, help="Check a configuration with each of these seeds, in one summary."),
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Print the three derivatives side by side.")] = False,
    count: Annotated[int, typer.Option(min=1, max=200, help="How many of each tensor --show prints.")] = 10,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Check the gradients against autograd and differences.

    Every parameter's gradient by hand, by autograd and by central differences, weight decay's L2 penalty included:
    before training, or of a run's weights. Exit code 0 where all agree, 1 where one disagrees or could not be checked.
    """
    from mlptrain.runs import SeedGroup

    if show and (seeds is not None or SeedGroup.is_group(source)):
        raise UserError("--show prints the numbers of one network: name one seed with --set seed=N, or one run")
    if source.is_dir() or source.suffix == ".safetensors":
        passed = _gradcheck_weights(
            source, overrides, seeds, show=count if show else 0, data_dir=data_dir, as_json=as_json
        )
    else:
        passed = _gradcheck_config(
            source, overrides, seeds, show=count if show else 0, data_dir=data_dir, as_json=as_json
        )
    if not passed:
        raise typer.Exit(1)


def _gradcheck_config(
    config: Path, overrides: list[str], seeds: str | None, *, show: int, data_dir: Path | None, as_json: bool
) -> bool:
    from mlptrain.spec import load_spec

    numbers = None if seeds is None else parse_seeds(seeds)
    if clash := [text for text in overrides if numbers and text.partition("=")[0].strip() == "seed"]:
        raise UserError(f"--set {clash[0]} conflicts with --seeds {seeds}; name every seed in --seeds")
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
    from mlptrain.runs import SeedGroup

    with screen.Fetching() as fetching:
        source: dict[str, Any] = {"data_dir": data_dir, "on_fetch": fetching.fetch}
        if SeedGroup.is_group(path):
            many = gradients.SeedsCheck.of(gradients.gradcheck_group(path, **source))
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
            "is no part of the objective",
            err=True,
        )


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
