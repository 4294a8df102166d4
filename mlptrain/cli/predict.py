"""``mlptrain predict``: what a trained network makes of image files, of rows of a table or of its data set."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlptrain.cli import screen
from mlptrain.cli.options import DataDir, Json, Run, Split, output_file
from mlptrain.cli.predict_table import SUFFIXES, predict_files, runners_up
from mlptrain.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mlptrain.inference.module import TrainedNetwork
    from mlptrain.inference.predict import Prediction

_MAX_ROWS = 100_000  # at once; MNIST has 70,000
_MAX_COLUMNS = 6  # of a regression's outputs, beside each other
_SHADES = " ░▒▓█"


def predict(
    checkpoint: Run,
    images: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FILE]...", help="Image files, PNG, JPEG and others, or folders of them; or files of a table."
        ),
    ] = None,
    index: Annotated[
        list[str],
        typer.Option(metavar="N", help="Predict these rows of the data set instead: 3, 0-9 or 0,4,7. May be repeated."),
    ] = [],  # noqa: B006 - typer copies it
    split: Split = None,
    invert: Annotated[
        bool | None,
        typer.Option("--invert/--no-invert", help="Images are dark on light, or not; default: decided for each."),
    ] = None,
    top: Annotated[int, typer.Option(min=1, max=20, help="How many classes the table shows of each.")] = 3,
    show: Annotated[
        bool, typer.Option("--show", help="Show what the network saw; `mlptrain plot seen` makes a picture of it.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Of a table: write all predictions to this file, ending in .csv, .parquet or .jsonl."),
    ] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Predict images, rows of a table, or rows of the data set.

    Digits are found on paper under uneven light, on ruled paper and in printed frames; notes say what was done and what
    is doubtful. Files that cannot be read are named at the end, with exit code 2.

    Of a network that was trained on a table FILE has its columns, in any order; the target may be absent. Notes count
    values that are missing or that training has not seen.
    """
    if bool(images) == bool(index):
        raise UserError("name one of the two: files, or --index with a row of the data set")
    if split is not None and not index:
        raise UserError("--split needs --index; files belong to no split")
    if invert is not None and not images:
        raise UserError("--invert and --no-invert need image files; rows of the data set are used as stored")
    rows = _rows(index)
    file = None if out is None else output_file(out, default=out, what="prediction", suffixes=SUFFIXES)
    from mlptrain.inference import predict as inference
    from mlptrain.inference.evaluate import unfinished
    from mlptrain.inference.module import load
    from mlptrain.runs.records import untrained

    network = load(checkpoint)
    if show and network.image_shape is None:
        raise UserError(f"--show needs images; the network was trained on data '{network.experiment.data.label}'")
    if (state := unfinished(checkpoint)) is not None:
        screen.say(f"note: {state}; its weights after epoch {network.epoch} are used", err=True)
    if weights := untrained(network.epoch):
        screen.say(f"note: epoch 0 was kept: {weights}", err=True)
    faults: tuple[str, ...] = ()
    if images and network.experiment.facts.is_table:
        if invert is not None:
            raise UserError("--invert and --no-invert need image files; the network was trained on a table")
        predict_files(network.checkpoint, images, out=file, top=top, as_json=as_json)
        return
    if file is not None:
        raise UserError("--out needs the file of a table, and a network that was trained on one")
    if images:
        outcome = inference.predict_images(network, images, invert=invert)
        predictions, faults = outcome.predictions, outcome.faults
        if others := outcome.passed_over:
            named = ", ".join(map(str, others[:3])) + ", …" * (len(others) > 3)
            screen.say(f"note: passed over, since not named as images: {named} ({len(others):,})", err=True)
    else:
        with screen.Fetching() as fetching:
            predictions = inference.predict_rows(network, rows, split=split, data_dir=data_dir, on_fetch=fetching.fetch)
    if predictions and as_json:
        screen.say_json([prediction.as_json(seen=show) for prediction in predictions])
    elif predictions:
        _show_predictions(network, predictions, top=top)
        if show:
            _show_seen(predictions)
    if faults:
        raise UserError("\n".join(faults))


def _rows(texts: Sequence[str]) -> list[int]:
    """The rows that ``--index`` names: numbers and ranges that include both ends, joined by commas."""
    rows: list[int] = []
    for text in texts:
        for part in text.split(","):
            ends = re.fullmatch(r"\s*(-?[0-9]{1,12})\s*(?:(?:-|\.\.)\s*([0-9]{1,12})\s*)?", part)
            if ends is None:
                raise UserError(f"--index '{text}': expected a row's number, counted from 0, a range as 0-9, or 0,4,7")
            first, last = int(ends[1]), int(ends[2] or ends[1])
            if first > last:
                raise UserError(f"--index '{text}': the range runs backwards; write {last}-{first}")
            if len(rows) + last - first >= _MAX_ROWS:
                raise UserError(f"--index '{text}': at most {_MAX_ROWS:,} rows at once; see `mlptrain eval` for all")
            rows += range(first, last + 1)
    return rows


def _show_predictions(network: TrainedNetwork, predictions: Sequence[Prediction], *, top: int) -> None:
    """A line per image or row: class, confidence and runners-up, or the values of a regression."""
    experiment = network.experiment
    if experiment.facts.is_multi_label:
        _show_labels(network, predictions, top=top)
        return
    if not network.class_names:
        names = experiment.loss.output_names(experiment.facts)
        if len(names) > _MAX_COLUMNS or experiment.facts.n_targets > 1:
            names = ()
        rows = [
            [
                _what(one),
                *([f"{value:.6g}" for value in one.outputs] if names else [_numbers(one.outputs)]),
                _numbers(one.true),
            ]
            for one in predictions
        ]
        screen.show_table(("row", *(names or ("predicted",)), "true"), rows)
        return
    with_truth = predictions[0].true is not None
    rows = [
        [
            _what(prediction),
            str(prediction.name),
            *([_truth(network, prediction)] if with_truth else []),
            "" if prediction.confidence is None else screen.share(prediction.confidence),
            runners_up(network.class_names, prediction.label, prediction.probabilities, prediction.outputs, top - 1),
            *([] if with_truth else ["; ".join(prediction.notes)]),
        ]
        for prediction in predictions
    ]
    columns = ("row", "class", "true") if with_truth else ("image", "class")
    notes = () if with_truth else ("notes",)
    screen.show_table((*columns, "confidence", "runners-up", *notes), rows, right=[len(columns)])
    if doubtful := sum(bool(prediction.doubts) for prediction in predictions):
        screen.say(f"{doubtful} of {len(predictions)} doubtful: see the notes, and --show for what the network saw")
    if not network.gives_probabilities:
        screen.say(
            f"a network trained with the loss '{network.experiment.loss.name}' gives no probabilities: the class is "
            "the largest output, and the runners-up stand with their outputs"
        )


def _show_labels(network: TrainedNetwork, predictions: Sequence[Prediction], *, top: int) -> None:
    """A line per row: the labels that are more likely than not, those that it has, and the most probable ones."""
    rows = []
    for one in predictions:
        named = zip(network.class_names, one.probabilities or (), strict=True)
        likely = sorted(named, key=lambda pair: -pair[1])[:top]
        labels = one.true if isinstance(one.true, tuple) else ()
        true = ", ".join(network.class_names[int(label)] for label in labels) or "none"
        wrong = "" if one.true == one.label else " (misclassified)"
        chances = ", ".join(f"{name} {screen.share(chance)}" for name, chance in likely)
        rows.append([_what(one), one.name or "none", true + wrong, chances])
    screen.show_table(("row", "labels", "true", "most probable"), rows)


def _show_seen(predictions: Sequence[Prediction]) -> None:
    """The images that the network was given, in characters: two pixels one above the other make one."""
    for prediction in predictions:
        assert prediction.seen is not None
        screen.say(f"\n{_what(prediction)} as the network saw it, predicted class {prediction.name}:")
        lines = _in_characters(prediction.seen)
        edge = "─" * len(lines[0])
        screen.say("\n".join([f"┌{edge}┐", *(f"│{line}│" for line in lines), f"└{edge}┘"]))


def _in_characters(image: NDArray[np.float64]) -> list[str]:
    """An image (height, width) from 0 to 1 as lines of shades, or of half blocks where its two pixels differ.

    Of colours (height, width, 3) the mean is shown.
    """
    rows = (image if image.ndim == 2 else image.mean(axis=2)).tolist()
    rows += [[0.0] * image.shape[1]] * (len(rows) % 2)
    return ["".join(map(_character, upper, lower)) for upper, lower in zip(rows[::2], rows[1::2], strict=True)]


def _character(upper: float, lower: float) -> str:
    if abs(upper - lower) > 0.4:
        return "▀" if upper > lower else "▄"
    return _SHADES[round((upper + lower) / 2 * (len(_SHADES) - 1))]


def _what(prediction: Prediction) -> str:
    return prediction.image if prediction.image is not None else f"{prediction.split} {prediction.index}"


def _truth(network: TrainedNetwork, prediction: Prediction) -> str:
    assert isinstance(prediction.true, int)
    return network.class_names[prediction.true] + ("" if prediction.true == prediction.label else " (misclassified)")


def _numbers(values: int | tuple[float, ...] | None) -> str:
    return ", ".join(f"{value:.6g}" for value in values) if isinstance(values, tuple) else ""
