"""The published image data sets: what is known of each before a byte of it is read, and reading it.

The specification checks ``train_size``, ``validation`` and ``classes`` against these facts without loading data (or
torch); ``mlptrain data verify`` compares them with the files.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mlptrain.sources.facts import RawData, SourceFacts


@dataclass(frozen=True)
class Images:
    """A source of images with class labels."""

    name: str
    known: SourceFacts
    by_seed: ClassVar[bool] = False

    def facts(self) -> SourceFacts:
        """As published."""
        return self.known

    def read(self, *, seed: int, folder: Path) -> RawData:  # noqa: ARG002 – stored rows do not follow from a seed
        """Pixels uint8 (n, height·width) and labels."""
        from mlptrain.sources.digits import read_digits
        from mlptrain.sources.store import DOWNLOADS, read_images

        raw = read_images(self.name, folder) if self.name in DOWNLOADS else read_digits()
        train, test = (images.reshape(len(images), -1) for images in (raw.train_images, raw.test_images))
        return RawData(train, raw.train_labels.astype("int64"), test, raw.test_labels.astype("int64"))


def _facts(
    side: int, maximum: int, names: tuple[str, ...], train: tuple[int, ...], test: tuple[int, ...]
) -> SourceFacts:
    """Of square images, with ``side`` in pixels."""
    return SourceFacts(
        train_counts=train,
        test_counts=test,
        n_features=side**2,
        class_names=names,
        image_shape=(side, side),
        maximum=maximum,
    )


_DIGITS = tuple("0123456789")
_CLOTHES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"
)  # fmt: skip

_MNIST = _facts(
    28,
    255,
    _DIGITS,
    train=(5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
    test=(980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
)
_BUNDLED = _facts(
    8,
    16,
    _DIGITS,
    train=(151, 147, 141, 154, 151, 142, 137, 140, 135, 139),
    test=(27, 35, 36, 29, 30, 40, 44, 39, 39, 41),
)
_FASHION = _facts(28, 255, _CLOTHES, train=(6000,) * 10, test=(1000,) * 10)

IMAGE_DATASETS = {
    "mnist": Images("mnist", _MNIST),
    "fashion_mnist": Images("fashion_mnist", _FASHION),
    "digits": Images("digits", _BUNDLED),
}
