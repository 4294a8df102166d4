"""The ``data`` sections of the user's own arrays, images and IDX files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from mlptrain.sources.facts import MAX_CLASSES, Choice, Source
from mlptrain.sources.held import ARRAYS
from mlptrain.spec.base import name_or_number, path_or_paths, side_or_sides, word_or_flag
from mlptrain.spec.rows import MAX_ROWS, DataSection, Validation
from mlptrain.spec.scaling import ImageScaling

if TYPE_CHECKING:
    from mlptrain.sources.arrays.source import ArraySource, Parts

MAX_SIDE = 10_000  # pixels
_Size = Annotated[int, Field(ge=1, le=MAX_ROWS)] | None
_PATH = "Starts from this file's folder; ~ is the home folder."


class _Own(DataSection):
    """Data of the user's own, as arrays: what was not stated is detected, and ``check`` says what."""

    test: Validation = Field(
        0.2,
        description="Test rows, drawn by the seed: a count, or a fraction below 1; 0 is none. Without effect where the "
        "data have test rows of their own.",
    )
    validation: Validation = Field(
        0.1,
        description="As elsewhere. Without effect where the data have validation rows of their own, which are used "
        "unless this is 0.",
    )
    train_size: _Size = Field(None, description="Only the first n training rows as stored. Default: all.")
    test_size: _Size = Field(None, description="Only the first n test rows as stored, where there are some.")
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
        choice = replace(super().choice(), classes=None)
        if self.fold is None or not self.validation or not self.source().facts().validation_counts:
            return choice
        return replace(choice, validation=0)  # of a fold it is asked whether they are drawn

    def warnings(self) -> list[tuple[str, str]]:
        """A wish for test or validation rows where there are some."""
        wishes = [key for key in ("test", "validation") if getattr(self, key) != type(self).model_fields[key].default]
        facts = self.source().facts() if wishes else None
        stored = {"test": facts and facts.test_counts, "validation": facts and facts.validation_counts}
        found = [(key, f"has no effect: the data have {key} rows of their own") for key in wishes if stored[key]]
        return super().warnings() + found

    def notes(self) -> list[str]:
        """What was detected."""
        return list(self.source().facts().notes)

    def examined(self) -> list[str]:
        """Of inputs; targets are read for the facts."""
        from mlptrain.sources.arrays.source import ArraySource

        source = self.source()
        return source.examined() if isinstance(source, ArraySource) else []

    def _of(
        self, find: Callable[[], Parts], class_names: Sequence[str] | None = None, maximum: int | None = None
    ) -> ArraySource:
        from mlptrain.sources.arrays.source import ArraySource  # with NumPy, which other data do without

        return ArraySource(
            find=find,
            task=self.task,
            classes=self.names(),
            class_names=None if class_names is None else tuple(class_names),
            maximum=maximum,
            validates=bool(self.validation),
        )


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
    x: str | None = Field(None, description="The array of the inputs. Default: detected by its name.")
    y: str | None = Field(None, description="The array of the targets. Default: detected by its name.")
    x_test: str | None = Field(None, description="Inputs of the test rows. Default: detected by its name, or none.")
    y_test: str | None = Field(None, description="Targets of the test rows. Default: detected by its name, or none.")
    x_val: str | None = Field(None, description="Inputs of validation rows. Default: detected by its name, or none.")
    y_val: str | None = Field(None, description="Targets of validation rows. Default: detected by its name, or none.")
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
        from mlptrain.sources.arrays import archives

        names = self.model_dump(include=set(ARRAYS))
        return self._of(partial(archives.parts_of, self.path, names), self.class_names, self.maximum)


class ImagesData(_Own):
    """A folder of images with a subfolder for each class, or train/, test/ and val/ of such, or a table (CSV).

    Of a folder train_size and test_size take images from every class in turn. A table has file names, which start from
    its folder, and labels: the columns file and label, else the first two.
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
        from mlptrain.sources.arrays import image_files

        sizes = image_files.Sizes(self.train_size, self.test_size, self.names())
        find = partial(image_files.parts_of, self.path, size=self.shape(), mode=self.mode, sizes=sizes)
        return self._of(find)


class IdxData(_Own):
    """IDX files as those of MNIST, named as they are, plain or .gz: K-MNIST, EMNIST, QMNIST, one's own, of any size."""

    name: Literal["idx"]
    path: str = Field(
        min_length=1,
        description="The folder of the files; where it holds several sets, with the beginning of their names, as "
        f"EMNIST/raw/emnist-letters; or a ZIP archive of them, as EMNIST's gzip.zip, likewise. {_PATH}",
    )
    transpose: Annotated[Literal["auto"] | bool, word_or_flag("auto")] = Field(
        "auto",
        description="Whether rows and columns of the stored images are exchanged, so that they are to be exchanged "
        "again. auto: where the files are called emnist-…, as those of EMNIST are.",
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
        from mlptrain.sources.arrays import idx_files

        find = partial(idx_files.parts_of, self.path, transpose=self.transpose)
        return self._of(find, self.class_names, self.maximum)
