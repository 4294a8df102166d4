"""What every ``data`` section has: where its rows come from, which of them are used, and how many are held out."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from mlptrain.sources.facts import Choice, DataFacts, Source
from mlptrain.spec.base import Section, count_or_fraction
from mlptrain.spec.inputs import InputLayout
from mlptrain.spec.splitting import BY_SEED, RandomSplit, SplitSpec, TimeSplit

MAX_ROWS = 10_000_000
MAX_FOLDS = 1_000  # each is a run with a folder of its own
Validation = Annotated[
    int | float,
    count_or_fraction(most=MAX_ROWS),
    Field(description="Rows drawn from the training rows by the seed: a count, or a fraction below 1; 0 is none."),
]


class Fold(Section):
    """One part in a cross-validation: its rows are the test rows, all others train and validate."""

    of: int = Field(ge=2, le=MAX_FOLDS, description="How many folds the training rows are split into, by the seed.")
    index: int = Field(ge=0, le=MAX_FOLDS, description="Which of them is held out, from 0 on.")

    @model_validator(mode="after")
    def _is_one_of_them(self) -> Self:
        if self.index >= self.of:
            raise PydanticCustomError(
                "at:index", "must be below of, got {index} with of {of}", {"index": self.index, "of": self.of}
            )
        return self


class DataSection(Section):
    """What every data set knows before it is loaded."""

    validation: Validation = 0.1
    split: SplitSpec = Field(
        RandomSplit(by="random"),
        description="How test and validation rows are drawn: random, stratified by class, or of a table by the group, "
        "the time or the word in a column. auto: stratified for classes, else random.",
    )
    fold: Fold | None = Field(
        None,
        description="One fold of a cross-validation, {of: 5, index: 0}, as `mlptrain train --folds 5` trains all of "
        "them: its rows, with the same share of every class, are the test rows; stored test rows are not read. By "
        "group, whole groups; by time, a block of which only what lies before it is trained on.",
    )

    @property
    def has_validation(self) -> bool:
        """Whether there are validation rows."""
        return bool(self.validation)

    @property
    def held_out(self) -> tuple[int, int] | None:
        """The fold as (of, index)."""
        return None if self.fold is None else (self.fold.of, self.fold.index)

    @property
    def label(self) -> str:
        """What the data are called where they are shown."""
        return str(getattr(self, "name", ""))

    def source(self) -> Source:
        """Where the rows come from."""
        raise NotImplementedError

    def choice(self) -> Choice:
        """Which of the rows are used."""
        given = self.model_dump(include={"classes", "train_size", "test_size", "test", "validation"})
        return Choice(**given, split=self.split.by, split_seed=self.split_seed, fold=self.held_out)

    @property
    def split_seed(self) -> int | None:
        """What groups, test rows and folds are drawn by; None where the run's seed draws them."""
        return None if isinstance(self.split, TimeSplit) else self.split.draw

    @property
    def draws_test_by_seed(self) -> bool:
        """Whether every seed draws test rows of its own, which are training rows of others. Raises as Source.facts."""
        if not isinstance(self.split, BY_SEED) or self.split.draw is not None:
            return False
        return self.fold is not None or (bool(self.choice().test) and not self._has_stored_test)

    def drawn_by(self, number: int) -> Self:
        """With the same test rows for all seeds, drawn by a number, where they follow from the seed."""
        if not self.draws_test_by_seed:
            return self
        return self.model_copy(update={"split": self.split.model_copy(update={"draw": number})})

    @property
    def _has_stored_test(self) -> bool:
        """Whether test rows lie in a file of their own, or are named in a column."""
        facts = self.source().facts()
        return any(facts.test_counts) or (facts.stated is not None and facts.stated[2] > 0)

    def facts(self) -> DataFacts:
        """The facts of the chosen rows. Raises as Source.facts and DataFacts.of."""
        return DataFacts.of(self.source().facts(), self.choice())

    def refuse_other(self, facts: DataFacts) -> None:
        """Raises DataError where files no longer are as ``facts`` on record say: stored numbers would mean others."""

    def inputs_by_column(self, facts: DataFacts) -> dict[str, list[int]]:
        """The inputs that each named column of the data becomes."""
        return {column.origin: [place] for place, column in enumerate(facts.columns)}

    def layout(self, facts: DataFacts) -> InputLayout:
        """The inputs that a row becomes."""
        return InputLayout.of_numbers(facts.n_features)

    def warnings(self) -> list[tuple[str, str]]:
        """What is doubtful in the data, each with the key of the section that it belongs to."""
        idle = isinstance(self.split, BY_SEED) and self.split.draw is not None and self.fold is None
        if not idle or (self.choice().test and not self._has_stored_test):
            return []
        what = "test rows are not drawn, and validation rows are drawn by each run's seed"
        return [("split", f"draw has no effect: {what}")]

    def dropped(self) -> list[str]:
        """Which columns of the data are no inputs, in words."""
        return []

    def notes(self) -> list[str]:
        """What was detected in the files, in words."""
        return []

    def examined(self) -> list[str]:
        """Which values were looked at, in words, of data whose facts come from the heads of files.

        As many as take about a second. Raises DataError for what would be refused when they are read to train.
        """
        return []
