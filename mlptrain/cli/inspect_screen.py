"""What ``mlptrain gradcheck`` and ``mlptrain predict`` show on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlptrain.cli import screen

if TYPE_CHECKING:
    from mlptrain.inference.module import TrainedNetwork
    from mlptrain.inference.predict import Prediction
    from mlptrain.nn.gradcheck import GradientCheck


def show_gradcheck(name: str, check: GradientCheck) -> None:
    """A line per parameter tensor and the verdict."""
    from mlptrain.nn.gradcheck import AUTOGRAD_TOLERANCE, DIFFERENCE_TOLERANCE, EPSILON

    title = f"{name}: {check.rows} rows, loss {check.objective:.6g}, float64, ε = {EPSILON:g}"
    columns = ("gradient norm", "analytic - autograd", "analytic - differences", "checked", "at a kink")
    rows = [
        [
            one.name,
            "×".join(map(str, one.shape)) or "1",
            f"{one.gradient_norm:.3g}",
            f"{one.autograd_error:.1e}",
            "" if one.difference_error is None else f"{one.difference_error:.1e}",
            f"{one.checked:,}",
            f"{one.left_out:,}",
            "ok" if one.passed else "WRONG",
        ]
        for one in check.parameters
    ]
    screen.show_table(("parameter", "shape", *columns, ""), rows, title=title, right=range(2, 7))
    screen.say(
        f"largest errors relative to the gradient's norm; tolerances {AUTOGRAD_TOLERANCE:g} and "
        f"{DIFFERENCE_TOLERANCE:g}"
    )
    screen.say(check.verdict)


def show_predictions(network: TrainedNetwork, predictions: Sequence[Prediction], *, top: int) -> None:
    """A line per image or row: class, confidence and runners-up, or the values of a regression."""
    if not network.class_names:
        rows = [[_what(one), _numbers(one.outputs), _numbers(one.true)] for one in predictions]
        screen.show_table(("row", "predicted", "true"), rows)
        return
    with_truth = predictions[0].true is not None
    rows = [
        [
            _what(one),
            str(one.name),
            *([_truth(network, one)] if with_truth else []),
            "" if one.confidence is None else f"{one.confidence:.2%}".replace("%", " %"),
            ", ".join(_runners_up(network, one, top - 1)),
            *([] if with_truth else ["; ".join(one.notes)]),
        ]
        for one in predictions
    ]
    columns = ("row", "class", "true") if with_truth else ("image", "class")
    notes = () if with_truth else ("notes",)
    screen.show_table((*columns, "confidence", "runners-up", *notes), rows, right=[len(columns)])
    if not network.gives_probabilities:
        screen.say(
            f"a network trained with the loss '{network.experiment.loss.name}' gives no probabilities: the class is "
            "the largest output, and the runners-up stand with their outputs"
        )


def _what(one: Prediction) -> str:
    return one.image if one.image is not None else f"{one.split} {one.index}"


def _truth(network: TrainedNetwork, one: Prediction) -> str:
    assert isinstance(one.true, int)
    return network.class_names[one.true] + ("" if one.true == one.label else " (misclassified)")


def _runners_up(network: TrainedNetwork, one: Prediction, count: int) -> list[str]:
    values = one.outputs if one.probabilities is None else one.probabilities
    order = sorted((label for label in range(len(values)) if label != one.label), key=lambda label: -values[label])
    as_text = "{:.4g}".format if one.probabilities is None else "{:.2%}".format
    return [f"{network.class_names[label]} {as_text(values[label]).replace('%', ' %')}" for label in order[:count]]


def _numbers(values: int | tuple[float, ...] | None) -> str:
    return ", ".join(f"{value:.6g}" for value in values) if isinstance(values, tuple) else ""
