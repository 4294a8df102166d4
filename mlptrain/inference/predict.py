"""Predictions of a trained network for image files or for examples of its data set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlptrain.errors import CheckpointError, DataError, UserError
from mlptrain.inference.evaluate import Outputs, load_split
from mlptrain.inference.image_files import fit, plain_image, read_image
from mlptrain.inference.module import TrainedNetwork
from mlptrain.sources.arrays.image_files import SENT, SUFFIXES
from mlptrain.sources.fetch import Progress
from mlptrain.sources.published import IMAGE_DATASETS
from mlptrain.system.paths import AnyPath, user_path
from mlptrain.training.metrics import predicted_classes, probabilities


@dataclass(frozen=True)
class Prediction:
    """One image file (``image``) or example (``split`` and ``index``).

    ``outputs`` are the network's, which a temperature leaves as they are; ``label``, ``name``, ``confidence`` and
    ``probabilities`` (by class, fractions) are None for regression, the last two also where the outputs are no logits
    (mse and mae on classes). ``true`` is the example's label, or its target values; None for a file. Where a row may
    have several labels at once, ``label`` and ``true`` are tuples of them, ``name`` joins their names, empty where
    there are none, ``probabilities`` are those of each label, and there is no confidence. ``inverted`` and ``notes``
    are what was done to a file; notes that begin with "doubtful" or "blank" question its prediction. ``seen`` is the
    image that the network was given, before scaling, (height, width) or (height, width, 3) from 0 to 1; None for data
    without images.
    """

    image: str | None = None
    split: str | None = None
    index: int | None = None
    label: int | tuple[int, ...] | None = None
    name: str | None = None
    confidence: float | None = None
    probabilities: tuple[float, ...] | None = None
    outputs: tuple[float, ...] = ()
    true: int | tuple[float, ...] | None = None
    inverted: bool = False
    notes: tuple[str, ...] = ()
    seen: NDArray[np.float64] | None = None

    @property
    def doubts(self) -> tuple[str, ...]:
        """The notes that question the prediction."""
        return tuple(note for note in self.notes if note.startswith(("doubtful", "blank")))

    def as_json(self, *, seen: bool = False) -> dict[str, Any]:
        """The fields in their order, with the key ``class`` for ``label``; ``seen`` as lists where asked for."""
        values = {("class" if key == "label" else key): value for key, value in asdict(self).items()}
        image = values.pop("seen")
        return values | ({"seen": None if image is None else image.round(4).tolist()} if seen else {})


@dataclass(frozen=True)
class ImagePredictions:
    """What came of image files: a prediction for each that can be read, and a message for each that cannot.

    ``passed_over`` are other files in the folders that were named.
    """

    predictions: tuple[Prediction, ...]
    faults: tuple[str, ...] = ()
    passed_over: tuple[Path, ...] = ()


@torch.no_grad()
def predict_images(
    network: TrainedNetwork, paths: Sequence[AnyPath | bytes], *, invert: bool | None = None
) -> ImagePredictions:
    """Predict image files, and those in folders and below them, in the order of their names; or the bytes of files.

    In a folder images are known by the end of their names, and what begins with a dot does not count. ``invert`` says
    whether images are dark on light; None decides for each one. A file that cannot be read withholds no other. Raises
    UserError where the network was not trained on images.
    """
    shape, maximum = network.image_shape, network.maximum
    data, label = network.experiment.data.name, network.experiment.data.label
    if shape is not None and maximum is None:
        raise UserError(f"the largest pixel of data '{label}' is not known; train with data.maximum set")
    if shape is None or maximum is None:
        raise UserError(
            f"the network was trained on data '{label}', which are not images; predict its rows with --index"
        )
    pixels, facts, faults, others = [], [], list[str](), list[Path]()
    for file in _expanded(paths, others):
        try:
            if isinstance(file, Path) and _is_folder(file):
                raise UserError(f"{file} holds no image files, whose names end in {', '.join(SUFFIXES)}")
            picture = read_image(file) if data in IMAGE_DATASETS else plain_image(file, shape, invert=invert)
        except UserError as error:
            faults.append(str(error).replace("\n", r"\n"))
            continue
        fitted = (
            fit(picture.grey, (shape[0], shape[1]), data=data, invert=invert) if data in IMAGE_DATASETS else picture
        )
        # Whole numbers as stored in the data set: a test image of 0 to 16, saved as 0 to 255, is recovered exactly.
        pixels.append(np.rint(fitted.grey * maximum).astype(np.uint8))
        notes = picture.notes + (fitted.notes if fitted is not picture else ())
        image = SENT if isinstance(file, bytes) else file
        facts.append({"image": str(image), "inverted": fitted.inverted, "notes": notes, "seen": pixels[-1] / maximum})
    if not pixels:
        return ImagePredictions((), tuple(faults), tuple(others))
    # Without the check of network.preprocess: so dark an image is the file's, not a mistake of scale.
    stacked = torch.from_numpy(np.stack(pixels)).reshape(len(pixels), -1)
    outputs = network(network.preprocessing.apply(stacked.to(network.device))).cpu()
    predictions = _predictions(network, outputs, facts)
    return ImagePredictions(predictions, tuple(faults), tuple(others))


def _expanded(paths: Sequence[AnyPath | bytes], others: list[Path]) -> Iterator[Path | bytes]:
    """The paths with the images of folders in place of these, if any. Other files go to ``others``."""
    for given in paths:
        if isinstance(given, bytes) or not _is_folder(path := Path(given)):
            yield given if isinstance(given, bytes) else Path(given)
            continue
        folder = user_path(path)
        files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
        shown = [file for file in files if not any(part.startswith(".") for part in file.relative_to(folder).parts)]
        images = [file for file in shown if file.suffix.lower() in SUFFIXES]
        others += [file for file in shown if file.suffix.lower() not in SUFFIXES]
        yield from images or [path]


def _is_folder(path: Path) -> bool:
    try:
        return user_path(path).is_dir()
    except (OSError, UserError):  # a name that is too long, or no such home folder: read_image says so
        return False


@torch.no_grad()
def predict_rows(
    network: TrainedNetwork,
    indices: Sequence[int],
    *,
    split: str | None = None,
    data_dir: AnyPath | None = None,
    on_fetch: Progress | None = None,
) -> tuple[Prediction, ...]:
    """Predict examples by their index, from 0, in a split of the data set as the run uses it.

    ``split`` defaults to test where there is one, else validation, else train. Raises DataError for an unknown split or
    index, and where the data are not those of the run.
    """
    split, chosen = load_split(network.checkpoint, split, data_dir=data_dir, on_fetch=on_fetch)
    if wrong := [index for index in indices if not 0 <= index < len(chosen)]:
        listed = ", ".join(map(str, wrong[:10])) + ", …" * (len(wrong) > 10)
        data = network.experiment.data.label
        raise DataError(f"index {listed}: the {split} rows of '{data}' have indices from 0 to {len(chosen) - 1:,}")
    rows = chosen.targets[list(indices)].tolist()
    if network.experiment.facts.is_multi_label:
        rows = [[label for label, value in enumerate(y) if value] for y in rows]
    true = (tuple(y) if isinstance(y, list) else y for y in rows)
    facts = [{"split": split, "index": index, "true": y} for index, y in zip(indices, true, strict=True)]
    if network.image_shape is not None and network.maximum is not None:
        images = chosen.stored()[list(indices)].reshape(-1, *network.image_shape).double().numpy()
        for fact, image in zip(facts, images, strict=True):
            fact["seen"] = image / network.maximum
    if network.experiment.facts.is_table:  # as an evaluation of all rows gives them, to the bit
        outputs = Outputs(network.checkpoint, device=str(network.device))(chosen.inputs)
        return _predictions(network, outputs[list(indices)], facts)
    return _predictions(network, network(chosen.inputs[list(indices)].to(network.device)).cpu(), facts)


@torch.no_grad()
def predict_raw(network: TrainedNetwork, rows: Any) -> tuple[Prediction, ...]:
    """Predict raw rows that are no table, as ``network.preprocess`` takes them, which says what it raises."""
    outputs = network(network.preprocess(rows)).cpu()
    return _predictions(network, outputs, [{"split": "row", "index": index} for index in range(len(outputs))])


def _predictions(network: TrainedNetwork, outputs: Tensor, facts: Sequence[dict[str, Any]]) -> tuple[Prediction, ...]:
    """One for each row of the outputs (n, outputs). Raises CheckpointError where these are not finite."""
    if not bool((finite := outputs.isfinite().all(dim=1)).all()):
        first = facts[int((~finite).nonzero()[0])]
        what = first.get("image") or f"{first['split']} {first['index']}"
        raise CheckpointError(
            f"the network gives no finite outputs for {what}: its weights or its preprocessing are too far from 1 to "
            "compute with; retrain it with a smaller learning rate"
        )
    predictions = [{"outputs": tuple(row), **fact} for row, fact in zip(outputs.tolist(), facts, strict=True)]
    if network.experiment.facts.is_multi_label:
        several = probabilities(outputs, multi_label=True).tolist()
        for values, row, logits in zip(predictions, several, outputs.tolist(), strict=True):
            labels = tuple(label for label, logit in enumerate(logits) if logit > 0)
            names = ", ".join(network.class_names[label] for label in labels)
            values |= {"label": labels, "name": names, "probabilities": tuple(row)}
        return tuple(Prediction(**values) for values in predictions)
    if network.class_names:
        for values, label in zip(predictions, predicted_classes(outputs).tolist(), strict=True):
            values |= {"label": label, "name": network.class_names[label]}
    if network.gives_probabilities:
        for values, row in zip(predictions, probabilities(outputs, network.temperature).tolist(), strict=True):
            values |= {"probabilities": tuple(row), "confidence": row[values["label"]]}
    return tuple(Prediction(**values) for values in predictions)
