"""What a trained network says: of the plane, of a split, of its own weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mlptrain.errors import UserError
from mlptrain.inference.evaluate import choose_split, evaluate_checkpoint, load_split
from mlptrain.report.arrays import Confusion, DecisionMap, Mistakes, WeightImages
from mlptrain.runs import RunFolder
from mlptrain.sources.fetch import Progress
from mlptrain.spec import describe_model, load_spec
from mlptrain.training.metrics import predicted_classes
from mlptrain.views.kept import (
    as_images,
    image_shape,
    labelled_points,
    load_classifier,
    load_trained,
)

_MARGIN = 0.05  # around points outside the usual square, in widths of their bounding box


def decision_map(
    run: Path,
    *,
    label: str | None = None,
    resolution: int = 100,
    data_dir: Path | None = None,
    on_fetch: Progress | None = None,
) -> DecisionMap:
    """Class probabilities of a run's kept checkpoint on a grid of ``resolution``² points over the plane.

    The grid spans [-1, 1]² where that holds every training point, else their bounding square with a margin. Raises
    UserError for a network that has not two inputs or does not classify.
    """
    trained = load_classifier(run, "a decision map")
    spec = trained.spec
    if spec.data.input_width != 2:
        raise UserError(
            f"{run}: a decision map is drawn over two inputs, but data '{spec.data.name}' has "
            f"{spec.data.input_width:,}; `mlptrain plot confusion` and `mlptrain plot mistakes` work for it"
        )
    train = load_split(trained.checkpoint, "train", data_dir=data_dir, on_fetch=on_fetch)
    left, right, bottom, top = extent = _extent(train.x)
    columns = torch.linspace(left, right, resolution)
    rows = torch.linspace(bottom, top, resolution)
    grid = torch.cartesian_prod(rows, columns).flip(1)
    found = trained.confidences(grid).numpy()
    right_calls = predicted_classes(trained.outputs(train.x)) == train.y
    return DecisionMap(
        training=labelled_points(train.x, train.y, spec, label or spec.name),
        model=describe_model(spec),
        accuracy=float(right_calls.double().mean()),
        extent=extent,
        probabilities=found.reshape(resolution, resolution, -1),
    )


def confusion(
    run: Path, *, split: str | None = None, data_dir: Path | None = None, on_fetch: Progress | None = None
) -> Confusion:
    """How often every class was called what, by a run's kept checkpoint; ``split`` as for ``mlptrain eval``.

    Raises UserError for regression.
    """
    trained = load_classifier(run, "a confusion matrix")
    split = choose_split(trained.spec, split)
    rows = load_split(trained.checkpoint, split, data_dir=data_dir, on_fetch=on_fetch)
    k = len(trained.spec.data.class_names)
    pairs = rows.y * k + predicted_classes(trained.outputs(rows.x))
    counts = torch.bincount(pairs, minlength=k * k).reshape(k, k).numpy()
    return Confusion(trained.spec.name, split, counts, trained.spec.data.class_names)


def mistakes(
    run: Path,
    *,
    split: str | None = None,
    count: int = 24,
    data_dir: Path | None = None,
    on_fetch: Progress | None = None,
) -> Mistakes:
    """The ``count`` wrong calls of a run's kept checkpoint with the highest confidence, fewer where there are fewer.

    Raises UserError for regression and for data that are no images.
    """
    trained = load_classifier(run, "a picture of mistakes")
    image_shape(trained.spec, str(run))
    split = choose_split(trained.spec, split)
    rows = load_split(trained.checkpoint, split, data_dir=data_dir, on_fetch=on_fetch)
    called = predicted_classes(trained.outputs(rows.x))
    confidence = trained.confidences(rows.x).gather(1, called.unsqueeze(1)).squeeze(1)
    wrong = (called != rows.y).nonzero().squeeze(1)
    worst = wrong[confidence[wrong].argsort(descending=True, stable=True)][:count]
    return Mistakes(
        label=trained.spec.name,
        split=split,
        wrong=len(wrong),
        examples=len(rows.x),
        images=as_images(rows.x[worst], trained.spec, str(run)),
        true=rows.y[worst].numpy(),
        called=called[worst].numpy(),
        confidence=confidence[worst].numpy(),
        class_names=trained.spec.data.class_names,
    )


def first_layer_weights(run: Path, *, count: int = 64) -> WeightImages:
    """The first layer's weights of the ``count`` units whose weights are longest, in the order of the units.

    Raises UserError for data that are no images.
    """
    trained = load_trained(run)
    weights = trained.parameters["layers.0.weight"]
    longest = torch.linalg.vector_norm(weights, dim=1).argsort(descending=True, stable=True)[:count]
    units = longest.sort().values
    images = as_images(weights[units], trained.spec, str(run))
    return WeightImages(trained.spec.name, images, units.numpy(), len(weights))


def page_parts(run: Path, *, data_dir: Path | None = None, on_fetch: Progress | None = None) -> dict[str, Any]:
    """What ``report.page.render_page`` takes besides the folder: evaluation, mistakes, decision.

    Empty unless the run is completed: the test set is not for looking at half-trained weights.
    """
    folder = RunFolder.open(run)
    result = folder.read_result()
    if result is None or result.status != "completed":
        return {}
    spec = load_spec(folder.resolved).spec
    where: dict[str, Any] = {"data_dir": data_dir, "on_fetch": on_fetch}
    parts: dict[str, Any] = {"evaluation": evaluate_checkpoint(run, **where)}
    if not spec.is_regression and hasattr(spec.data, "facts"):
        parts["mistakes"] = mistakes(run, **where)
    if not spec.is_regression and spec.data.input_width == 2:
        parts["decision"] = decision_map(run, **where)
    return parts


def _extent(points: Tensor) -> tuple[float, float, float, float]:
    """Left, right, bottom and top of [-1, 1]², or of the smallest square around the points, with a margin."""
    if float(points.abs().max()) <= 1:
        return -1.0, 1.0, -1.0, 1.0
    low, high = points.amin(dim=0).double(), points.amax(dim=0).double()
    centre, half = (low + high) / 2, float((high - low).max()) * (0.5 + _MARGIN)
    x, y = centre.tolist()
    return x - half, x + half, y - half, y + half
