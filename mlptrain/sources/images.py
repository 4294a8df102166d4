"""The published image data sets as a source: facts from a constant, rows from checked files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mlptrain.sources.facts import RawData, SourceFacts
from mlptrain.sources.published import IMAGE_DATASETS


@dataclass(frozen=True)
class Images:
    """``mnist``, ``fashion_mnist`` or ``digits``."""

    name: str
    by_seed: ClassVar[bool] = False

    def facts(self) -> SourceFacts:
        """As published."""
        published = IMAGE_DATASETS[self.name]
        return SourceFacts(
            train_counts=published.train_counts,
            test_counts=published.test_counts,
            n_features=published.n_features,
            class_names=published.class_names,
            image_shape=published.image_shape,
            maximum=published.maximum,
        )

    def read(self, *, seed: int, folder: Path) -> RawData:  # noqa: ARG002 – what is stored does not follow from a seed
        """Pixels uint8 (n, height·width) and labels."""
        from mlptrain.sources.digits import read_digits
        from mlptrain.sources.store import read_images

        raw = read_digits() if IMAGE_DATASETS[self.name].folder is None else read_images(self.name, folder)
        train, test = ((images.reshape(len(images), -1)) for images in (raw.train_images, raw.test_images))
        return RawData(train, raw.train_labels.astype("int64"), test, raw.test_labels.astype("int64"))
