"""The ``data`` sections of the user's own arrays, images and IDX files."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Annotated, Literal

from pydantic import Field

from mlptrain.sources.arrays import archives, idx_files, image_files
from mlptrain.sources.arrays.source import ArraySource
from mlptrain.sources.arrays.targets import MAX_CLASSES
from mlptrain.sources.facts import Choice, Source
from mlptrain.spec.base import name_or_number, path_or_paths, side_or_sides
from mlptrain.spec.rows import DataSection, Validation
from mlptrain.spec.scaling import ImageScaling

MAX_SIDE = 10_000  # pixels
_PATH = "Starts from this file's folder; ~ is the home folder."


class _Own(DataSection):
    """Data of the user's own, as arrays: what was not stated is detected, and ``check`` says what."""

    test: Validation = Field(
        0.2,
        description="Test rows, drawn by the seed: a count, or a fraction below 1; 0 is none. Without effect where the "
        "data have test rows of their own.",
    )
    classes: Annotated[list[Annotated[str | int, name_or_number()]], Field(min_length=2)] | None = Field(
        None, description="A subset of the classes by their names or values, in the order given. Default: all."
    )
    task: Literal["auto", "classification", "regression"] = Field(
        "auto",
        description="auto: texts and whole numbers are classes, but of many values with few rows each a regression, as "
        "fractional numbers are.",
    )

    def names(self) -> tuple[str, ...] | None:
        """The chosen classes as texts."""
        return None if self.classes is None else tuple(map(str, self.classes))

    def choice(self) -> Choice:
        """What is drawn; classes are chosen by the source, which knows their names."""
        return replace(super().choice(), classes=None)

    def warnings(self) -> list[tuple[str, str]]:
        """A wish for test rows where there are some."""
        if self.test == type(self).model_fields["test"].default or not self.source().facts().test_counts:
            return []
        return [("test", "has no effect: the data have test rows of their own")]

    def notes(self) -> list[str]:
        """What was detected."""
        return list(self.source().facts().notes)


_Maximum = Annotated[int, Field(ge=1, le=2**53)]
_ClassNames = Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=2, max_length=MAX_CLASSES)]


class ArraysData(_Own):
    """Arrays of .npz, .npy, .mat and safetensors files: inputs (n, d), or images (n, h, w), (n, h, w, 3), (n, 3, h, w).

    Keras' mnist.npz as it is, and others whose arrays have the usual names, need no more than their path.
    """

    name: Literal["arrays"]
    path: Annotated[str | list[str], path_or_paths()] = Field(
        description=f"A file, or a list or a pattern of files. {_PATH}"
    )
    x: str | None = Field(None, description="The array of the inputs. Default: told by its name.")
    y: str | None = Field(None, description="The array of the targets. Default: told by its name.")
    x_test: str | None = Field(None, description="Inputs of the test rows. Default: told by its name, or none.")
    y_test: str | None = Field(None, description="Targets of the test rows. Default: told by its name, or none.")
    class_names: _ClassNames | None = Field(
        None, description="Names for the values of the classes, in the order of these. Default: the values."
    )
    maximum: _Maximum | None = Field(
        None, description="The largest possible input, 0 being the smallest. Default: 255 of bytes, else unknown."
    )
    scaling: ImageScaling = Field(
        "standard",
        description="none; unit: divide by the maximum; standard: every column to mean 0 and std 1 over the training "
        "rows, of images one mean and one std; or {mean: …, std: …} after dividing by the maximum.",
    )

    def source(self) -> Source:
        """The files."""
        names = self.model_dump(include={"x", "y", "x_test", "y_test"})
        return ArraySource(
            find=partial(archives.parts_of, self.path, names),
            task=self.task,
            classes=self.names(),
            class_names=tuple(self.class_names) if self.class_names is not None else None,
            maximum=self.maximum,
        )


class ImagesData(_Own):
    """A folder of images with a subfolder for each class, or train/ and test/ of such folders, or a table (CSV).

    A table has file names, which start from its folder, and labels: the columns file and label, else the first two.
    """

    name: Literal["images"]
    path: str = Field(min_length=1, description=f"The folder, or the table of file names and labels. {_PATH}")
    size: Annotated[int | list[int], side_or_sides(most=MAX_SIDE)] | None = Field(
        None, description="Pixels that images are scaled to: a side, or [height, width]. Default: all have one size."
    )
    mode: Literal["auto", "grey", "rgb"] = Field(
        "auto", description="grey: one value for each pixel; rgb: three; auto: rgb where the first image has colours."
    )
    scaling: ImageScaling = Field("unit", description="As of mnist: none; unit: divide by 255; standard; numbers.")

    def shape(self) -> tuple[int, int] | None:
        """Height and width that images are scaled to."""
        if self.size is None:
            return None
        height, width = (self.size, self.size) if isinstance(self.size, int) else self.size
        return height, width

    def source(self) -> Source:
        """The files."""
        find = partial(image_files.parts_of, self.path, size=self.shape(), mode=self.mode)
        return ArraySource(find=find, task=self.task, classes=self.names())


class IdxData(_Own):
    """IDX files as those of MNIST, named as they are, plain or .gz: K-MNIST, EMNIST, QMNIST, one's own, of any size."""

    name: Literal["idx"]
    path: str = Field(
        min_length=1,
        description="The folder of the files; where it holds several sets, with the beginning of their names, as "
        f"EMNIST/raw/emnist-letters. {_PATH}",
    )
    class_names: _ClassNames | None = Field(
        None, description="Names for the labels, in the order of these. Default: the labels."
    )
    maximum: _Maximum | None = Field(
        None, description="The largest possible pixel, 0 being the smallest. Default: 255 of bytes, else unknown."
    )
    scaling: ImageScaling = Field(
        "unit", description="As of mnist: none; unit: divide by the maximum; standard; numbers."
    )

    def source(self) -> Source:
        """The files."""
        return ArraySource(
            find=partial(idx_files.parts_of, self.path),
            task=self.task,
            classes=self.names(),
            class_names=tuple(self.class_names) if self.class_names is not None else None,
            maximum=self.maximum,
        )
