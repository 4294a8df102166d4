"""The ``data`` section of a table: which file, what its columns are, and how they become inputs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Discriminator, Field, Tag

from mlptrain.errors import DataError
from mlptrain.sources.facts import Choice, Column, DataFacts, DataKeyError
from mlptrain.sources.tables.kinds import Format
from mlptrain.sources.tables.shipped import SHIPPED
from mlptrain.sources.tables.source import TableSource
from mlptrain.spec.base import MAX_NUMBER, Section, column_or_columns, header_of, path_or_paths, texts
from mlptrain.spec.inputs import InputLayout
from mlptrain.spec.rows import DataSection, Validation
from mlptrain.spec.splitting import BY_COLUMN, AutoSplit, ColumnName, ColumnSplit, SplitSpec

MAX_COLUMNS = 1_000_000

PathOrPaths = Annotated[str | list[str], path_or_paths()]
_Target = Annotated[str | int | list[str | int], column_or_columns(several=True)]
_Header = Annotated[Literal["auto"] | bool | list[str], header_of(most=MAX_COLUMNS)]
_Kind = Literal["drop", "numeric", "categorical", "date"]


class ConstantFill(Section):
    """A given number in the place of missing ones."""

    constant: float = Field(ge=-MAX_NUMBER, le=MAX_NUMBER, description="The number.")


_Missing = Annotated[
    Annotated[Literal["median", "mean", "drop_row", "error"], Tag("word")] | Annotated[ConstantFill, Tag("numbers")],
    Discriminator(lambda value: "numbers" if isinstance(value, (dict, ConstantFill)) else "word"),
]


class NumericSpec(Section):
    """How numbers become inputs; everything is fitted on the training rows."""

    missing: _Missing = Field(
        "median",
        description="In the place of missing numbers: median, mean or {constant: …}; drop_row leaves such rows out, "
        "error refuses them.",
    )
    indicator: bool = Field(True, description="A column of 0 and 1 beside each that has missing values says where.")
    scaling: Literal["none", "standard", "minmax", "robust", "robust_clip", "quantile"] = Field(
        "standard",
        description="standard: mean 0, std 1; minmax: 0 to 1; robust: median 0, quartiles 1 apart; robust_clip: that, "
        "bent smoothly to stay within ±3; quantile: to a normal distribution.",
    )


class CategoricalSpec(Section):
    """How categories become inputs. Missing values and levels that training has not seen are levels of their own."""

    encoding: Literal["one_hot", "ordinal", "embedding"] = Field(
        "one_hot", description="one_hot; ordinal: the level's number; embedding: learnt vectors, see model.embedding."
    )
    min_frequency: int = Field(1, ge=1, le=10_000_000, description="Levels with fewer training rows share one place.")
    max_levels: int = Field(
        100, ge=2, le=10_000, description="The most frequent levels that have a place of their own."
    )


class Block(NamedTuple):
    """The inputs that a stored column becomes: ``width`` of them from ``start`` on.

    A number is one input, and with ``indicator`` a second one; a category is ``slots`` inputs, or one that holds a
    slot's number. The first slots are those of levels; then come that of all other levels, and that of missing values.
    """

    column: Column
    start: int
    width: int
    indicator: bool = False
    slots: int = 0


class TableData(DataSection):
    """What is said of every table: which columns become inputs, and how."""

    task: Literal["auto", "classification", "regression"] = Field(
        "auto", description="auto: from the target's values; check says which and why."
    )
    columns: dict[str, _Kind] = Field({}, description="Exceptions from what is inferred, by column's name or number.")
    numeric: NumericSpec = Field(NumericSpec(), description="How numbers become inputs.")
    categorical: CategoricalSpec = Field(CategoricalSpec(), description="How categories become inputs.")
    target_scaling: Literal["none", "standard", "log1p"] = Field(
        "standard",
        description="Of a regression while it trains; figures and predictions are in the target's own unit. log1p: "
        "log(1 + y), then mean 0 and std 1.",
    )
    weight: ColumnName | None = Field(
        None,
        description="The column of sample weights: of what is minimised, of balanced class weights and of a fitted "
        "temperature an example counts as much as its weight, and figures called weighted_… are measured so. Means, "
        "deviations and levels that preprocessing fits count all training rows alike, as scikit-learn's transformers.",
    )
    test: Validation = Field(
        0.2, description="Test rows, drawn by the seed where there is no test_path: a count, or a fraction below 1."
    )
    split: SplitSpec = Field(AutoSplit(by="auto"), description="As elsewhere; auto, which keeps rare classes.")

    @property
    def scaling(self) -> str:
        """As other data have it: what becomes of numbers."""
        return self.numeric.scaling

    def source(self) -> TableSource:
        """Where the rows come from."""
        raise NotImplementedError

    def _source(self, path: tuple[str, ...], target: str | int | list[str | int], **more: Any) -> TableSource:
        """With what is said of every table."""
        return TableSource(
            path,
            tuple(target) if isinstance(target, list) else target,
            weight=self.weight,
            split=(self.split.by, self.split.column) if isinstance(self.split, BY_COLUMN) else None,
            task=self.task,
            kinds=tuple(self.columns.items()),
            dropping=self._dropping,
            **more,
        )

    def facts(self) -> DataFacts:
        """Of the files. Raises DataKeyError also for targets without a logarithm."""
        facts = super().facts()
        if facts.is_regression and self.target_scaling == "log1p":
            value, place = self.source().content().lowest
            if value <= -1:
                raise DataKeyError("target_scaling", f"log1p needs targets above -1, got {value:g} at {place}")
        return facts

    @property
    def _dropping(self) -> Literal["", "drop_row", "error"]:
        """What becomes of rows without a number, where they are not kept."""
        missing = self.numeric.missing
        return missing if missing == "drop_row" or missing == "error" else ""

    @property
    def has_validation(self) -> bool:
        """Whether there are validation rows; a column that states them is read for that."""
        if self.validation or not isinstance(self.split, ColumnSplit):
            return bool(self.validation)
        stated = self.source().facts().stated
        return stated is not None and stated[1] > 0

    def warnings(self) -> list[tuple[str, str]]:
        """What is suspected, and which rows are left out."""
        return super().warnings() + list(self.source().content().warnings)

    def dropped(self) -> list[str]:
        """Which columns are no inputs, since their values say nothing."""
        return list(self.source().content().inferred.dropped)

    def notes(self) -> list[str]:
        """What was detected."""
        content = self.source().content()
        return [*content.notes, f"{content.inferred.task}: {content.inferred.why}"]

    def blocks(self, facts: DataFacts) -> Iterator[Block]:
        """What becomes of each stored column, in the order of the inputs."""
        start = 0
        for column in facts.columns:
            if column.kind == "numeric":
                indicator = bool(column.missing) and self.numeric.indicator
                block = Block(column, start, 1 + indicator, indicator)
            else:
                slots = min(len(column.categories), self.categorical.max_levels) + 2
                block = Block(column, start, slots if self.categorical.encoding == "one_hot" else 1, slots=slots)
            yield block
            start += block.width

    def refuse_other(self, facts: DataFacts) -> None:
        """Columns, levels or classes that are no longer those on record."""
        now = self.facts()
        for what, one, other in (
            ("columns", now.columns, facts.columns),
            ("classes", now.class_names, facts.class_names),
            ("targets", now.target_names, facts.target_names),
        ):
            if one != other:
                raise DataError(f"{self.label} no longer has the {what} that this run was trained on")

    def inputs_by_column(self, facts: DataFacts) -> dict[str, list[int]]:
        """Of the file's columns, of which a date becomes several."""
        inputs: dict[str, list[int]] = {}
        for block in self.blocks(facts):
            inputs.setdefault(block.column.origin, []).extend(range(block.start, block.start + block.width))
        return inputs

    def layout(self, facts: DataFacts) -> InputLayout:
        """The inputs that the stored columns become; categories hold a slot where their encoding is embedding."""
        blocks, embeds = list(self.blocks(facts)), self.categorical.encoding == "embedding"
        return InputLayout(
            sum(block.width for block in blocks),
            numeric=tuple(block.start for block in blocks if not block.slots),
            coded=tuple((block.start, block.slots) for block in blocks if block.slots and embeds),
        )


class FileTable(TableData):
    """A table of one's own: CSV and its relatives, Parquet, JSON lines, ARFF, LibSVM or text with blanks."""

    name: Literal["table"]
    path: PathOrPaths = Field(description="The file, a pattern such as part-*.csv, or a list of files.")
    test_path: PathOrPaths | None = Field(None, description="Test rows, where they are in a file of their own.")
    validation_path: PathOrPaths | None = Field(None, description="Likewise validation rows.")
    format: Format = Field("auto", description="auto: from the file's name and its first lines.")
    separator: str = Field("auto", min_length=1, max_length=10, description="Between values; auto detects it.")
    header: _Header = Field("auto", description="Whether the first line names the columns, or their names.")
    target: _Target = Field(
        description="The column to predict, by name or by number, -1 for the last; several for several numbers."
    )
    missing_values: Annotated[list[str], texts("a list of texts such as ['-999', unknown]", most=100)] = Field(
        [], description="What stands for a missing value, besides empty, NA, NaN, null and ?."
    )

    @property
    def label(self) -> str:
        """The name of the file, as people call their data."""
        first, *more = _several(self.path)
        return Path(first).name + (f" and {len(more):,} more" if more else "")

    def source(self) -> TableSource:
        """The files."""
        return self._source(
            _several(self.path),
            self.target,
            test_path=() if self.test_path is None else _several(self.test_path),
            validation_path=() if self.validation_path is None else _several(self.validation_path),
            reading=(
                ("format", self.format),
                ("separator", self.separator),
                ("header", tuple(self.header) if isinstance(self.header, list) else self.header),
                ("missing_values", tuple(self.missing_values)),
            ),
        )

    def choice(self) -> Choice:
        """As elsewhere; test rows are drawn only where none are stored."""
        drawn = super().choice()
        return replace(
            drawn,
            test=0 if self.test_path is not None else drawn.test,
            validation=0 if self.validation_path is not None else drawn.validation,
        )

    @property
    def has_validation(self) -> bool:
        """Also where they lie in a file."""
        return self.validation_path is not None or super().has_validation


class ShippedTable(TableData):
    """A table that needs no file: the penguins of Palmer Station, or one that scikit-learn brings along."""

    name: Literal["penguins", "wine", "breast_cancer", "diabetes"]
    target: _Target | None = Field(
        None, description="The column to predict, by name or by number. Default: that which the table is known for."
    )

    def source(self) -> TableSource:
        """The installed file."""
        shipped = SHIPPED[self.name]
        target = shipped.target if self.target is None else self.target
        return self._source(shipped.files(), target, shipped=self.name)


def _several(paths: str | list[str]) -> tuple[str, ...]:
    return (paths,) if isinstance(paths, str) else tuple(paths)
