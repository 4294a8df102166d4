"""What is known of each image data set before a byte of it is read: shapes, class names, rows per class.

The specification needs these to check ``train_size``, ``validation`` and ``classes`` without loading data (or torch);
``mlptrain data verify`` holds them against the files.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ImageFacts:
    """An image classification data set as published.

    ``folder`` is its folder below the data folder, named as torchvision names it; None for one that comes installed.
    ``image_shape`` is (height, width) in pixels, ``maximum`` the largest pixel value, with 0 the smallest.
    ``train_counts`` and ``test_counts`` hold the rows of each class, in the order of ``class_names``.
    """

    title: str
    folder: str | None
    image_shape: tuple[int, int]
    maximum: int
    class_names: tuple[str, ...]
    train_counts: tuple[int, ...]
    test_counts: tuple[int, ...]

    @property
    def n_features(self) -> int:
        """Pixels of one image."""
        height, width = self.image_shape
        return height * width


_DIGIT_NAMES = tuple("0123456789")

IMAGE_DATASETS: dict[str, ImageFacts] = {
    "mnist": ImageFacts(
        title="MNIST",
        folder="MNIST",
        image_shape=(28, 28),
        maximum=255,
        class_names=_DIGIT_NAMES,
        train_counts=(5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
        test_counts=(980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
    ),
    "fashion_mnist": ImageFacts(
        title="Fashion-MNIST",
        folder="FashionMNIST",
        image_shape=(28, 28),
        maximum=255,
        class_names=(
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
        train_counts=(6000,) * 10,
        test_counts=(1000,) * 10,
    ),
    "digits": ImageFacts(
        title="scikit-learn digits",
        folder=None,
        image_shape=(8, 8),
        maximum=16,
        class_names=_DIGIT_NAMES,
        train_counts=(151, 147, 141, 154, 151, 142, 137, 140, 135, 139),
        test_counts=(27, 35, 36, 29, 30, 40, 44, 39, 39, 41),
    ),
}
