"""What every ``data`` section has: where its rows come from, which of them are used, and how many are held out."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mlptrain.sources.facts import Choice, DataFacts, Source
from mlptrain.spec.base import Section, count_or_fraction
from mlptrain.spec.inputs import InputLayout
from mlptrain.spec.splitting import GroupSplit, RandomSplit, SplitSpec

MAX_ROWS = 10_000_000
Validation = Annotated[
    int | float,
    count_or_fraction(most=MAX_ROWS),
    Field(description="Rows drawn from the training rows by the seed: a count, or a fraction below 1; 0 is none."),
]


class DataSection(Section):
    """What every data set knows before it is loaded."""

    validation: Validation = 0.1
    split: SplitSpec = Field(
        RandomSplit(by="random"),
        description="How test and validation rows are drawn: random, stratified by class, or of a table by the group, "
        "the time or the word in a column. auto: stratified for classes, else random.",
    )

    @property
    def has_validation(self) -> bool:
        """Whether there are validation rows."""
        return bool(self.validation)

    def source(self) -> Source:
        """Where the rows come from."""
        raise NotImplementedError

    def choice(self) -> Choice:
        """Which of the rows are used."""
        given = self.model_dump(include={"classes", "train_size", "test_size", "test", "validation"})
        return Choice(**given, split=self.split.by, split_seed=self.split_seed)

    @property
    def split_seed(self) -> int:
        """What groups are drawn by."""
        return self.split.draw if isinstance(self.split, GroupSplit) else 0

    def facts(self) -> DataFacts:
        """The facts of the chosen rows. Raises as Source.facts and DataFacts.of."""
        return DataFacts.of(self.source().facts(), self.choice())

    def layout(self, facts: DataFacts) -> InputLayout:
        """The inputs that a row becomes."""
        return InputLayout.of_numbers(facts.n_features)

    def warnings(self) -> list[tuple[str, str]]:
        """What is doubtful in the data, each with the key of the section that it belongs to."""
        return []

    def notes(self) -> list[str]:
        """What was detected in the files, in words."""
        return []
