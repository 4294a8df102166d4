"""``data.split``: how test and validation rows are drawn where they do not lie in files of their own.

A new way is a section here, a case in ``mlptrain/data/drawing.py``, and where it takes other numbers of rows than asked
for, one in ``DataFacts.of``.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mlptrain.spec.base import Section, ShortName, name_or_number

COLUMN = "the name or the number of a column"
ColumnName = Annotated[str | int, name_or_number(COLUMN)]
Draw = Annotated[
    int | None,
    Field(
        ge=0,
        lt=2**63,
        description="Draws the test rows, or folds, of all seeds: those that a run with this seed has. Validation rows "
        "are still drawn by each run's seed. Default: by that too, so that every seed has test rows of its own.",
    ),
]


class AutoSplit(Section):
    """Stratified for classes, and random for numbers or where too many classes have a single row."""

    by: Literal["auto"]
    draw: Draw = None


class RandomSplit(Section):
    """Rows drawn by the seed."""

    by: Literal["random"]
    draw: Draw = None


class StratifiedSplit(Section):
    """Rows drawn by the seed that keep the shares of the classes; one row of every class stays in training."""

    by: Literal["stratified"]
    draw: Draw = None


class GroupSplit(Section):
    """All rows of a group on one side, or in one fold. Which groups is nothing of the seed: all seeds share them."""

    by: Literal["group"]
    column: ColumnName = Field(description="The column that says which group a row is of, such as a patient.")
    draw: int = Field(0, ge=0, lt=2**63, description="Another number draws other groups.")


class TimeSplit(Section):
    """The latest rows are test rows, those before them validation rows; of one time those that stand later.

    A fold is trained on what lies before its rows.
    """

    by: Literal["time"]
    column: ColumnName = Field(description="The column of dates or numbers that says when a row is from.")


class ColumnSplit(Section):
    """A column says of every row train, validation (valid, val, dev) or test; what it never says is drawn.

    Folds are parts of its training rows, and its test rows are not read.
    """

    by: Literal["column"]
    column: ColumnName = Field(description="The column with these words.")
    draw: Draw = None


SplitSpec = Annotated[
    AutoSplit | RandomSplit | StratifiedSplit | GroupSplit | TimeSplit | ColumnSplit,
    Field(discriminator="by"),
    ShortName("by"),
]
BY_COLUMN = (GroupSplit, TimeSplit, ColumnSplit)  # of a table
BY_SEED = (AutoSplit, RandomSplit, StratifiedSplit, ColumnSplit)  # whose test rows the seed draws, or ``draw``
