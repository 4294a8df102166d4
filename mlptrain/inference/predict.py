"""What a trained network says of image files, or of examples of its data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mlptrain.errors import CheckpointError, DataError, UserError
from mlptrain.inference.evaluate import choose_split, load_split
from mlptrain.inference.image_files import fit, is_dark_on_light, read_image
from mlptrain.inference.module import TrainedNetwork
from mlptrain.sources.fetch import Progress
from mlptrain.system.text import one_line
from mlptrain.training.metrics import predicted_classes, probabilities


@dataclass(frozen=True)
class Prediction:
    """One image file (``image``) or example (``split`` and ``index``).

    ``outputs`` are the network's; ``label``, ``name``, ``confidence`` and ``probabilities`` (by class, fractions) are
    None for regression, the last two also where the outputs are no logits (mse and mae on classes). ``true`` is the
    example's label, or its target values; None for a file. ``inverted`` and ``notes`` say what was done to a file.
    """

    outputs: tuple[float, ...]
    image: str | None = None
    split: str | None = None
    index: int | None = None
    label: int | None = None
    name: str | None = None
    confidence: float | None = None
    probabilities: tuple[float, ...] | None = None
    true: int | tuple[float, ...] | None = None
    inverted: bool = False
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The keys of `mlptrain predict --json`: ``class`` is the label, all others are fields."""
        keys = ("image", "split", "index", "label", "name", "confidence", "probabilities", "outputs", "true")
        values = {key: getattr(self, key) for key in (*keys, "inverted", "notes")}
        return {("class" if key == "label" else key): value for key, value in values.items()}


def predict_images(
    network: TrainedNetwork, files: Sequence[Path], *, invert: bool | None = None
) -> tuple[Prediction, ...]:
    """Predict image files. ``invert`` says whether they are dark on light; None looks at each one's border.

    Raises UserError with every file that cannot be read, before anything is predicted.
    """
    shape, maximum = network.image_shape, network.maximum
    if shape is None or maximum is None:
        data = network.experiment.data.name
        raise UserError(f"the network was trained on data '{data}', which are no images; predict its rows with --index")
    pixels, facts, faults = [], [], []
    for file in files:
        try:
            picture = read_image(file)
        except UserError as error:
            faults.append(str(error))
            continue
        inverted = is_dark_on_light(picture.grey) if invert is None else invert
        fitted = fit(1 - picture.grey if inverted else picture.grey, shape, data=network.experiment.data.name)
        # Whole numbers as stored in the data set: a test image of 0 to 16, saved as 0 to 255, comes back exactly.
        pixels.append(np.rint(fitted.grey * maximum).astype(np.uint8))
        notes = ("dark on light, inverted",) if inverted else ()
        facts.append({"image": str(file), "inverted": inverted, "notes": notes + picture.notes + fitted.notes})
    if faults:
        raise UserError("\n".join(map(one_line, faults)))
    return _predictions(network, network.preprocess(np.stack(pixels)), facts)


def predict_rows(
    network: TrainedNetwork,
    indices: Sequence[int],
    *,
    split: str | None = None,
    data_dir: Path | None = None,
    on_fetch: Progress | None = None,
) -> tuple[Prediction, ...]:
    """Predict examples by their place, from 0, in a split of the data set as the run uses it.

    ``split`` defaults to test where there is one, else validation, else train. Raises DataError for a split or an
    index that there is not, and where the data are not those of the run.
    """
    experiment = network.experiment
    split = choose_split(experiment, split)
    rows = experiment.facts.rows[split]
    if wrong := [index for index in indices if not 0 <= index < rows]:
        raise DataError(
            f"index {', '.join(map(str, wrong))}: the {split} rows of '{experiment.data.name}' have indices from 0 to "
            f"{rows - 1:,}"
        )
    chosen = load_split(network.checkpoint, split, data_dir=data_dir, on_fetch=on_fetch)
    facts = [{"split": split, "index": index, "true": _true(chosen.targets[index])} for index in indices]
    return _predictions(network, chosen.inputs[list(indices)].to(network.device), facts)


def _true(y: Tensor) -> int | tuple[float, ...]:
    return tuple(y.tolist()) if y.is_floating_point() else int(y)


@torch.no_grad()
def _predictions(network: TrainedNetwork, x: Tensor, facts: Sequence[dict[str, Any]]) -> tuple[Prediction, ...]:
    """What the network says of scaled inputs (n, n_features). Raises CheckpointError where that is not finite."""
    outputs = network(x).cpu()
    if not bool((finite := outputs.isfinite().all(dim=1)).all()):
        first = facts[int((~finite).nonzero()[0])]
        what = first.get("image") or f"{first['split']} {first['index']}"
        raise CheckpointError(
            f"the network gives no finite outputs for {what}: its weights or its preprocessing are too far from 1 to "
            "compute with; train it again, with a smaller learning rate"
        )
    found: list[dict[str, Any]] = [{"outputs": tuple(row)} for row in outputs.tolist()]
    if network.class_names:
        for values, label in zip(found, predicted_classes(outputs).tolist(), strict=True):
            values |= {"label": label, "name": network.class_names[label]}
    if network.gives_probabilities:
        for values, row in zip(found, probabilities(outputs).tolist(), strict=True):
            values |= {"probabilities": tuple(row), "confidence": row[values["label"]]}
    return tuple(Prediction(**values, **fact) for values, fact in zip(found, facts, strict=True))
