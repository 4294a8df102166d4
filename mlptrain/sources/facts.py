"""What is known of data before a row of them is read, and after some of the rows are chosen.

A configuration says what is requested; rows, columns and classes are facts of the data. They are read once, when a
configuration is loaded, and are stored in every run folder and checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol, Self

from pydantic import Field, model_validator

from mlptrain.errors import DataError
from mlptrain.sources.grouping import block_of_fold, drawn_groups, folds_of_groups
from mlptrain.system.jsonfiles import Count, Record

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Names = Annotated[tuple[str, ...], Field(strict=False)]  # a list in JSON
Shape = Annotated[tuple[Count, Count], Field(strict=False)]
MAX_CLASSES = 10_000  # of an array
MAX_FLOAT32 = 3.4028234663852886e38
UNSEEN = -1.0  # the code of a level that the training file does not have
DAYS_IN = {"year": 365.25, "week": 7.0, "day": 1.0}
EPOCH = 10_957  # days from 1970 to 2000, from where they are counted: float32 then has minutes
MAX_TARGET = 1e18  # of a regression: its square, and sums of such, float32 has
# How test and validation rows are drawn from the training rows; see ``mlptrain/spec/splitting.py``.
SplitBy = Literal["auto", "random", "stratified", "group", "time", "column"]


class Column(Record):
    """A stored input column; ``categories`` are the values of a categorical one, in the order of their codes.

    Of a table also: ``source`` is the file's column, where that has another name, and ``part`` what of a date this one
    is; ``missing`` are the training file's rows without a value.
    """

    name: str
    kind: Literal["numeric", "categorical"] = "numeric"
    categories: Names = ()
    source: str = ""
    part: Literal["", "days", "year_sin", "year_cos", "week_sin", "week_cos", "day_sin", "day_cos"] = ""
    missing: Count = 0

    @property
    def origin(self) -> str:
        """The name of the file's column."""
        return self.source or self.name


Kind = Literal["number", "text", "date", "datetime"]


class FileFacts(Record):
    """How further files are read as the training file was: its columns in order with their kinds.

    ``has_names``: columns are matched by name, else by place. ``date_formats`` are those of columns of dates;
    ``is_sparse``: absent columns are zeros.
    """

    kinds: dict[str, Kind]
    has_names: bool = True
    date_formats: dict[str, str] = Field({})
    is_sparse: bool = False


@dataclass(frozen=True)
class SourceFacts:
    """A data set as it is stored or generated.

    ``train_counts`` and ``test_counts`` hold the rows of each class, or one total where those of each class are not
    known. ``class_names`` is empty where targets are numbers, of which a row then has ``n_targets``; where a row may
    have several labels at once, it holds their names, and ``n_targets`` is their number. ``maximum`` is the
    largest possible input with 0 the smallest, None where inputs have no such range. ``image_shape`` is (height, width)
    where a row is an image, whose pixels have ``channels`` values side by side: 1 is grey, 3 are red, green and blue.
    ``columns`` describes the inputs where they have names, ``target_names`` are those of the targets. ``file`` is how
    the files of a table are read. ``digest`` is a SHA-256 of the files, where facts were read from files. ``notes`` say
    in words what was detected and not stated. ``stated`` are the rows among those of ``train_counts`` that a column
    states to be for training, validation and test, ``group_sizes`` the rows of each group of rows that are kept
    together; ``weight`` is the column of sample weights.
    """

    train_counts: tuple[int, ...]
    n_features: int
    test_counts: tuple[int, ...] = ()
    validation_counts: tuple[int, ...] = ()
    stated: tuple[int, int, int] | None = None
    group_sizes: tuple[int, ...] = ()
    class_names: tuple[str, ...] = ()
    n_targets: int = 0
    image_shape: tuple[int, int] | None = None
    channels: int = 1
    maximum: int | None = None
    columns: tuple[Column, ...] = ()
    target_names: tuple[str, ...] = ()
    file: FileFacts | None = None
    digest: str = ""
    weight: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Choice:
    """Which rows of a data set an experiment takes, in this order.

    ``classes`` are kept and relabelled 0..k−1 in the order given; the first ``train_size`` and ``test_size`` rows are
    kept; ``test`` rows, where none are stored, and then ``validation`` rows are drawn from the training rows, as
    ``split`` says, by the seed; where there is a ``split_seed``, test rows, folds and all groups are drawn by that.
    ``test`` and ``validation`` are counts, or fractions below 1.
    With a ``fold``, (of, index), the test rows are those of part ``index`` from 0 on of as many nearly equal parts of
    the training rows, whatever else is said or stored. Parts by group are made of whole ones; a part by time is a block
    with ``of`` others, of which those before it are trained on and those behind it are not used.
    """

    classes: Sequence[int] | None = None
    train_size: int | None = None
    test_size: int | None = None
    test: float = 0
    validation: float = 0
    split: SplitBy = "random"
    split_seed: int | None = None
    fold: tuple[int, int] | None = None

    def rows(
        self, train: int, *, test: int = 0, validation: int = 0, group_sizes: Sequence[int] = ()
    ) -> dict[str, int]:
        """How many rows each split has, of so many training rows: where some are stored apart, none are drawn.

        ``group_sizes`` are those of the training rows where these are drawn as whole groups.
        """
        sizes = list(group_sizes)

        def take(purpose: str, wish: float) -> int:
            nonlocal sizes
            rows = drawn(wish, max(0, train))  # of fewer than none the rules say what is wrong
            if self.split != "group" or not rows or not any(sizes):
                return rows
            groups = set(drawn_groups(sizes, rows, seed=self.split_seed or 0, purpose=purpose))
            rows = sum(sizes[group] for group in groups)
            sizes = [0 if group in groups else size for group, size in enumerate(sizes)]
            return rows

        if self.fold is not None:
            of, index = self.fold
            if self.split == "time":
                block = block_of_fold(train, of, index)
                train, test = block.start, len(block)
            elif self.split == "group":
                folds = folds_of_groups(tuple(sizes), of, seed=self.split_seed or 0)
                test = sum(size for size, fold in zip(sizes, folds, strict=True) if fold == index)
                sizes = [0 if fold == index else size for size, fold in zip(sizes, folds, strict=True)]
                train -= test
            else:
                test = (train - index + of - 1) // of
                train -= test
        elif not test:
            test = take("test", self.test)
            train -= test
        if not validation:
            validation = take("validation", self.validation)
            train -= validation
        return {"train_rows": train, "validation_rows": validation, "test_rows": test}


class DataKeyError(DataError):
    """What ``key`` of the data section asks for is not there, such as rows, a file, or an array of a file.

    ``inside`` are the keys and positions below it, as ("missing",) of ``numeric``; ``all`` are this error and those
    of other keys that were found with it.
    """

    def __init__(self, key: str, message: str, *, inside: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.path: tuple[str | int, ...] = (key, *inside)
        self.all: tuple[DataKeyError, ...] = (self,)

    def beside(self, others: Sequence[DataKeyError]) -> DataKeyError:
        """This error, with the others."""
        self.all = (self, *others)
        return self


def drawn(wish: float, rows: int) -> int:
    """How many of ``rows`` a count, or a fraction below 1, takes."""
    return int(wish) if isinstance(wish, int) or wish >= 1 else round(wish * rows)


class DataFacts(Record):
    """What the data of an experiment are after the choice of rows: the numbers that its network and steps follow from.

    ``train_rows`` are those that are trained on, without validation and test rows. The other fields are those of
    ``SourceFacts``, of the chosen classes.
    """

    train_rows: int  # not positive where the choice leaves none; a rule of the specification reports that
    validation_rows: Count
    test_rows: Count
    n_features: Count
    class_names: Names = ()
    n_targets: Count = 0
    image_shape: Shape | None = None
    channels: Literal[1, 3] = 1
    maximum: Count | None = None
    columns: Annotated[tuple[Column, ...], Field(strict=False)] = ()
    target_names: Names = ()
    file: FileFacts | None = None
    digest: str = ""
    weight: str = ""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        height, width = self.image_shape or (1, self.n_features // self.channels)
        if height * width * self.channels != self.n_features or len(self.columns) not in (0, self.n_features):
            raise ValueError(f"{self.n_features} inputs are not those of the image or of the columns")
        of_labels = self.n_targets in (0, len(self.class_names))
        if not (of_labels if self.class_names else self.n_targets):
            raise ValueError("targets are either classes, labels or numbers")
        return self

    @property
    def is_regression(self) -> bool:
        """Whether targets are numbers; there is then no accuracy."""
        return not self.class_names

    @property
    def has_classes(self) -> bool:
        """Whether every row has one of several classes."""
        return bool(self.class_names) and not self.n_targets

    @property
    def is_table(self) -> bool:
        """Whether the rows come from a table with columns of its own."""
        return self.file is not None

    @property
    def is_multi_label(self) -> bool:
        """Whether a row may have several of the named labels at once, or none; each is then a target of 0 or 1."""
        return bool(self.class_names and self.n_targets)

    @property
    def pixels_shape(self) -> tuple[int, ...] | None:
        """The shape of a row as an image: (height, width), of colours (height, width, 3); None where it is none."""
        if self.image_shape is None or self.channels == 1:
            return self.image_shape
        return (*self.image_shape, self.channels)

    @property
    def rows(self) -> dict[str, int]:
        """Rows of every split that there is: test, validation, train, in the order in which figures are preferred."""
        rows = {"test": self.test_rows, "validation": self.validation_rows, "train": self.train_rows}
        return {name: count for name, count in rows.items() if count}

    @classmethod
    def of(cls, source: SourceFacts, choice: Choice) -> DataFacts:
        """The facts of the chosen rows; counts that no data can satisfy are left for the specification's rules.

        Raises DataKeyError for classes that there are not, or are named twice, and for more folds than rows.
        """
        known, chosen = len(source.class_names), list(choice.classes or ())
        if any(index >= known for index in chosen) or len(set(chosen)) < len(chosen):
            raise DataKeyError("classes", f"must name classes from 0 to {known - 1}, each once, got {chosen}")
        train = choice.train_size or stored_rows(source.train_counts, choice.classes)
        test = choice.test_size or stored_rows(source.test_counts, choice.classes)
        validation = stored_rows(source.validation_counts, None)
        if source.stated is not None:
            train, stated_validation, stated_test = source.stated
            validation, test = stated_validation or validation, stated_test or test
        if choice.fold is not None:
            _check_folds(choice.fold[0], choice.split, train, groups=len(source.group_sizes))
        shared: dict[str, Any] = {name: value for name, value in vars(source).items() if name in cls.model_fields}
        if choice.classes is not None:
            shared["class_names"] = tuple(source.class_names[index] for index in choice.classes)
        shared |= choice.rows(train, test=test, validation=validation, group_sizes=source.group_sizes)
        return cls(**shared)

    def with_rows(self, other: DataFacts) -> Self:
        """With as many rows in every split as ``other`` has."""
        names = ("train_rows", "validation_rows", "test_rows")
        return self.model_copy(update={name: getattr(other, name) for name in names})


def _check_folds(of: int, split: SplitBy, rows: int, *, groups: int) -> None:
    """Raises DataKeyError for more folds than there are parts to hold out."""
    if split == "group" and 0 < groups < of:
        number = "one group" if groups == 1 else f"{groups:,} groups"
        raise DataKeyError("fold", f"splits {number} into {of:,} folds, and a group lies in one; take fewer")
    if split == "time" and of + 1 > rows:
        message = f"splits {rows:,} training rows into {of + 1:,} blocks of time, one more than folds; take fewer folds"
        raise DataKeyError("fold", message)
    if of > rows:
        raise DataKeyError("fold", f"splits {rows:,} training rows into {of:,} folds; take fewer")


def stored_rows(counts: Sequence[int], classes: Sequence[int] | None) -> int:
    """Rows of the chosen classes; ``counts`` are those of a split."""
    return sum(counts if classes is None or not counts else (counts[index] for index in classes))


@dataclass(frozen=True)
class RawData:
    """Rows as stored or generated: x (n, n_features) uint8 or float32; labels (n,) int64 or targets (n, t) float32.

    Targets of several labels at once are 0 and 1. ``weight`` (n,) float32 are sample weights. ``split`` (n,) int64 has
    the group of every training row, numbered as ``group_sizes`` of the facts; or when it is from, as a rank; or whether
    it is stated to be for training, 0, validation, 1, or test, 2.
    """

    x: NDArray[np.generic]
    y: NDArray[np.generic]
    test_x: NDArray[np.generic] | None = None
    test_y: NDArray[np.generic] | None = None
    validation_x: NDArray[np.generic] | None = None
    validation_y: NDArray[np.generic] | None = None
    weight: NDArray[np.float32] | None = None
    test_weight: NDArray[np.float32] | None = None
    validation_weight: NDArray[np.float32] | None = None
    split: NDArray[np.int64] | None = None


class Source(Protocol):
    """One kind of data. ``by_seed``: whether the rows themselves follow from the seed."""

    by_seed: ClassVar[bool]

    def facts(self) -> SourceFacts:
        """What is known without reading rows. Raises DataError where a file is absent or damaged."""

    def read(self, *, seed: int, folder: Path) -> RawData:
        """The rows; ``folder`` is the data folder.

        Raises DataAbsentError where files must be fetched first, DataError for damaged ones, MachineError.
        """
