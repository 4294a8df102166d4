"""A trained network in pictures: its classes in the plane, its errors on a split, its weights.

It runs on the CPU: pictures are small.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch
from torch import Tensor

from mlptrain.errors import UserError
from mlptrain.inference.evaluate import evaluate_checkpoint, evaluation_of, load_split
from mlptrain.inference.module import TrainedNetwork, load
from mlptrain.inference.predict import Prediction, predict_images
from mlptrain.nn.losses import make_loss
from mlptrain.report.arrays import (
    Confusion,
    DecisionMap,
    FittedCurve,
    FloatArray,
    IntArray,
    Mistakes,
    ReliabilityDiagram,
    ReliabilityMoment,
    Residuals,
    SeenImages,
    WeightImages,
)
from mlptrain.report.history import run_title
from mlptrain.report.images import percentage
from mlptrain.runs import RunFolder
from mlptrain.spec import describe_model
from mlptrain.spec.loss import Quantile
from mlptrain.spec.metrics import CalibrationError
from mlptrain.system.paths import AnyPath
from mlptrain.system.text import printable
from mlptrain.training import calibration
from mlptrain.training.calibration import BINS, log_probabilities
from mlptrain.training.metrics import CHUNK_ROWS, predicted_classes, probabilities, wilson_interval
from mlptrain.views.inputs import Source, as_images, has_numbers, image_shape, is_curve, labelled_points, training_curve
from mlptrain.views.tables import table_parts

_MAX_LINES = 7  # of the quantiles of a fitted curve, evenly chosen
_MARGIN = 0.15  # around points outside the usual square, in widths of their bounding box


def decision_map(
    run: AnyPath, *, label: str | None = None, resolution: int = 100, **source: Unpack[Source]
) -> DecisionMap:
    """Class probabilities of a run's kept checkpoint on a grid of ``resolution``² points over the plane.

    The grid spans [-1, 1]² where the training points lie in it around 0, else their bounding square with a margin.
    Raises UserError for a network without two inputs or without classes.
    """
    if is_curve(load(run).experiment):
        raise UserError(f"{run}: a decision map needs classes; for one target of one input: `mlptrain plot fit {run}`")
    network = _load_classifier(run, "a decision map")
    experiment, facts = network.experiment, network.experiment.facts
    if not has_numbers(experiment, 2):
        others = " and `mlptrain plot mistakes` work" if facts.image_shape else " works"
        raise UserError(
            f"{run}: a decision map is drawn over two inputs, but data '{experiment.data.label}' has "
            f"{experiment.layout.width:,}; `mlptrain plot confusion`{others} for it"
        )
    _, train = load_split(network.checkpoint, "train", **source)
    left, right, bottom, top = extent = _extent(train.inputs)
    rows, columns = torch.linspace(bottom, top, resolution), torch.linspace(left, right, resolution)
    grid = torch.cartesian_prod(rows, columns).flip(1)
    correct = predicted_classes(_outputs_of(network, train.inputs)) == train.targets
    return DecisionMap(
        training=labelled_points(train, experiment, label or run_title(run, experiment)),
        model=describe_model(experiment),
        accuracy=float(correct.double().mean()),
        extent=extent,
        probabilities=_confidences(network, _outputs_of(network, grid)).reshape(resolution, resolution, -1).numpy(),
    )


def fitted_curve(run: AnyPath, *, label: str | None = None, **source: Unpack[Source]) -> FittedCurve:
    """Outputs of a run's kept checkpoint over the range of the training inputs, a little beyond, and their targets.

    Raises UserError for data of several inputs or targets, or with classes.
    """
    network = load(run)
    experiment, facts = network.experiment, network.experiment.facts
    if not is_curve(experiment):
        raise UserError(
            f"{run}: a fitted curve is drawn for one target of one input, but data '{experiment.data.label}' has "
            f"{experiment.layout.width:,} {'input' if experiment.layout.width == 1 else 'inputs'} and "
            + (f"{len(facts.class_names):,} classes" if facts.has_classes else f"{facts.n_targets:,} targets")
            + "; `mlptrain plot curves` works for every run"
        )
    _, train = load_split(network.checkpoint, "train", **source)
    curve = training_curve(train, experiment, label or experiment.name)
    grid = network.preprocess(curve.x.reshape(-1, 1))
    loss = make_loss(experiment.loss).per_example(_outputs_of(network, train.inputs), train.targets)
    title = "pinball loss" if isinstance(experiment.loss, Quantile) else experiment.loss.name
    names = experiment.loss.output_names(facts) or ("network",)
    drawn = np.unique(np.linspace(0, len(names) - 1, _MAX_LINES).round().astype(int))
    return replace(
        curve,
        outputs=_outputs_of(network, grid).double().numpy()[:, drawn],
        output_names=tuple(names[index] for index in drawn),
        model=describe_model(experiment),
        loss=(title, float(loss.double().mean())),
    )


def confusion(run: AnyPath, *, split: str | None = None, **source: Unpack[Source]) -> Confusion:
    """How often every class was predicted as which, by a run's kept checkpoint; ``split`` as for ``mlptrain eval``.

    Raises UserError for regression.
    """
    network = _load_classifier(run, "a confusion matrix")
    report = evaluate_checkpoint(run, split=split, device="cpu", **source)
    label = run_title(run, network.experiment)
    return Confusion(label, report["split"], np.array(report["confusion"]), network.class_names)


def mistakes(run: AnyPath, *, split: str | None = None, count: int = 24, **source: Unpack[Source]) -> Mistakes:
    """The ``count`` most confident errors of a run's kept checkpoint, fewer where there are fewer.

    Raises UserError for regression and for data without images.
    """
    network = _load_classifier(run, "a picture of mistakes")
    image_shape(network.experiment, str(run))
    split, rows = load_split(network.checkpoint, split, **source)
    outputs = _outputs_of(network, rows.inputs)
    predicted = predicted_classes(outputs)
    confidence = _confidences(network, outputs).gather(1, predicted.unsqueeze(1)).squeeze(1)
    wrong = (predicted != rows.targets).nonzero().squeeze(1)
    worst = wrong[confidence[wrong].argsort(descending=True, stable=True)][:count]
    return Mistakes(
        label=run_title(run, network.experiment),
        split=split,
        wrong=len(wrong),
        examples=len(rows),
        images=as_images(rows.inputs[worst], network.experiment, str(run)),
        true=rows.targets[worst].numpy(),
        predicted=predicted[worst].numpy(),
        confidence=confidence[worst].numpy(),
        class_names=network.class_names,
        index=worst.numpy(),
    )


def residuals(run: AnyPath, *, split: str | None = None, **source: Unpack[Source]) -> Residuals:
    """What a run's kept checkpoint predicts on a split, beside the true values; ``split`` as for ``mlptrain eval``.

    Raises UserError for a classifier.
    """
    network = load(run)
    experiment = network.experiment
    if network.class_names:
        other = "curves" if experiment.facts.is_multi_label else "confusion"
        raise UserError(
            f"{run}: residuals are of numbers, but data '{experiment.data.label}' has "
            f"{'labels' if experiment.facts.is_multi_label else 'classes'}; `mlptrain plot {other}` works for it"
        )
    split, rows = load_split(network.checkpoint, split, **source)
    predicted, what = _outputs_of(network, rows.inputs).double(), "predicted value"
    if isinstance(experiment.loss, Quantile):  # the one that is nearest to the median stands for the target
        levels, central = experiment.loss.quantiles, experiment.loss.central
        predicted, what = predicted[:, central :: len(levels)], f"predicted quantile {levels[central]:g}"
    label = run_title(run, experiment)
    names = experiment.facts.target_names
    return Residuals(label, split, rows.targets.double().numpy(), predicted.numpy(), what, names)


def reliability(run: AnyPath, *, split: str | None = None, **source: Unpack[Source]) -> ReliabilityDiagram:
    """Accuracy against confidence of a run's kept checkpoint; ``split`` as for ``mlptrain eval``.

    The bins are those of the configuration's ``ece``, else 15. Raises UserError where there are no probabilities.
    """
    network = _load_classifier(run, "a reliability diagram")
    experiment = network.experiment
    if not network.gives_probabilities:
        raise UserError(
            f"{run}: a reliability diagram needs probabilities, which a network trained with '{experiment.loss.name}' "
            "does not give"
        )
    split, rows = load_split(network.checkpoint, split, **source)
    outputs, labels = _outputs_of(network, rows.inputs).double().numpy(), rows.targets.numpy()
    bins = next((one.bins for one in experiment.evaluation.metrics if isinstance(one, CalibrationError)), BINS)
    temperatures = dict.fromkeys((1.0, network.checkpoint.temperature or 1.0))
    moments = tuple(_reliability(outputs, labels, temperature, bins) for temperature in temperatures)
    return ReliabilityDiagram(run_title(run, experiment), split, moments)


def _reliability(outputs: FloatArray, labels: IntArray, temperature: float, bins: int) -> ReliabilityMoment:
    logarithms = log_probabilities(outputs, temperature)
    found = calibration.reliability(np.exp(logarithms), labels, bins=bins)
    low, high = np.full((2, bins), np.nan)
    for number in np.flatnonzero(found.counts):
        count = int(found.counts[number])
        low[number], high[number] = wilson_interval(round(found.accuracy[number] * count), count)
    return ReliabilityMoment(
        temperature=temperature,
        counts=found.counts.astype(np.int64),
        confidence=found.confidence,
        accuracy=found.accuracy,
        low=low,
        high=high,
        ece=calibration.expected_calibration_error(found),
        log_loss=float(-logarithms[np.arange(len(labels)), labels].mean()),
    )


def seen(run: AnyPath, images: Sequence[AnyPath], *, count: int = 24, invert: bool | None = None) -> SeenImages:
    """The first ``count`` image files, of folders too, as a run's kept checkpoint is given them.

    Raises UserError for data without images, and where no file can be read.
    """
    network = load(run)
    image_shape(network.experiment, str(run))
    outcome = predict_images(network, images, invert=invert)
    if not outcome.predictions:
        raise UserError("\n".join(outcome.faults))
    found = outcome.predictions[:count]
    grey = np.stack([one.seen for one in found if one.seen is not None])
    return SeenImages(run_title(run, network.experiment), grey, tuple(map(_caption, found)), outcome.faults)


def _caption(prediction: Prediction) -> str:
    """The file's name, its class with the confidence, and whether that is doubtful."""
    name = printable(Path(prediction.image or "").name)
    sure = "" if prediction.confidence is None else f" ({percentage(prediction.confidence)})"
    short = name if len(name) <= 24 else f"…{name[-23:]}"
    return f"{short}\n{prediction.name}{sure}{', doubtful' if prediction.doubts else ''}"


def first_layer_weights(run: AnyPath, *, count: int = 64) -> WeightImages:
    """The first layer's weights of the ``count`` units whose weights are longest, in the order of the units.

    Raises UserError for data without images.
    """
    network = load(run)
    weights = network.get_parameter("layers.0.weight").detach()
    longest = torch.linalg.vector_norm(weights, dim=1).argsort(descending=True, stable=True)[:count]
    units = longest.sort().values
    images = as_images(weights[units], network.experiment, str(run))
    return WeightImages(run_title(run, network.experiment), images, units.numpy(), len(weights))


def page_parts(run: AnyPath, **source: Unpack[Source]) -> dict[str, Any]:
    """What ``report.page.render_page`` takes besides the folder, by its names.

    Empty unless the run is completed: the test set is not evaluated with half-trained weights.
    """
    folder = RunFolder.open(run)
    result = folder.read_result()
    if result is None or result.status != "completed":
        return {}
    experiment = folder.experiment()
    facts, section = experiment.facts, experiment.evaluation
    evaluation = evaluation_of(run, **source)
    parts: dict[str, Any] = {"evaluation": evaluation.report}
    if evaluation.missing_classes:
        parts["missing_classes"] = evaluation.missing_classes
    if facts.has_classes and facts.image_shape:
        parts["mistakes"] = mistakes(run, **source)
    if facts.has_classes and has_numbers(experiment, 2):
        parts["decision"] = decision_map(run, **source)
    if is_curve(experiment):
        parts["fit"] = fitted_curve(run, **source)
    parts |= table_parts(run, experiment, **source)
    is_asked_for = section.calibrate != "none" or any(isinstance(one, CalibrationError) for one in section.metrics)
    if is_asked_for or "curves_of_classes" in parts:
        parts["reliability"] = reliability(run, **source)
    if facts.is_regression:
        parts["residuals"] = residuals(run, **source)
    return parts


def _extent(points: Tensor) -> tuple[float, float, float, float]:
    """Left, right, bottom and top of [-1, 1]², or of the smallest square around the points, with a margin.

    The latter also where all points are on one side, as those of the exclusive or, which would lie on the edge.
    """
    low, high = points.amin(dim=0).double(), points.amax(dim=0).double()
    if float(points.abs().max()) <= 1 and float(low.max()) < 0 < float(high.min()):
        return -1.0, 1.0, -1.0, 1.0
    centre, half = (low + high) / 2, float((high - low).max()) * (0.5 + _MARGIN)
    x, y = centre.tolist()
    return x - half, x + half, y - half, y + half


@torch.no_grad()
def _outputs_of(network: TrainedNetwork, x: Tensor) -> Tensor:
    """Outputs (n, width) for scaled inputs (n, n_features), in chunks that bound the memory."""
    return torch.cat([network(chunk) for chunk in torch.split(x, CHUNK_ROWS)])


def _confidences(network: TrainedNetwork, outputs: Tensor) -> Tensor:
    """Class probabilities (n, k) from outputs (n, width); under mse and mae, which have none, shares of outputs > 0."""
    if network.gives_probabilities:
        return probabilities(outputs, network.temperature)
    positive = outputs.double().clamp(min=1e-12)
    return positive / positive.sum(dim=1, keepdim=True)


def _load_classifier(run: AnyPath, what: str) -> TrainedNetwork:
    """The kept network of a run, or of a checkpoint file; raises UserError for regression, which has no ``what``."""
    network = load(run)
    facts, data = network.experiment.facts, network.experiment.data.label
    if not facts.has_classes:
        others = f"a row of data '{data}' may have several labels at once"
        found = others if facts.is_multi_label else f"the targets of data '{data}' are numbers"
        of_numbers = "" if facts.is_multi_label else f"`mlptrain plot residuals {run}` is for numbers, and "
        raise UserError(
            f"{run}: {what} needs classes, but {found}; {of_numbers}`mlptrain plot curves` works for every run"
        )
    return network
