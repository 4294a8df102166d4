"""Rows that come after training: read as the training file was, and counted where they hold what it does not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlptrain.errors import DataError
from mlptrain.sources.facts import UNSEEN, Column, DataFacts
from mlptrain.sources.tables.encode import as_text, encode_inputs
from mlptrain.sources.tables.given import as_table
from mlptrain.sources.tables.reserved import read_weights_of
from mlptrain.sources.tables.source import TableSource
from mlptrain.sources.tables.table import Like, Table
from mlptrain.sources.tables.whole import read_targets, usable
from mlptrain.system.text import printable

_MAX_EXAMPLES = 3
_MAX_NAMED = 10


@dataclass
class Counts:
    """Of each column of the file values that are missing, and those that the training file does not have.

    ``examples`` are some of the latter.
    """

    rows: int
    missing: dict[str, int]
    unseen: dict[str, int]
    examples: dict[str, tuple[str, ...]]

    def notes(self, of: tuple[Column, ...]) -> list[str]:
        """In words."""
        had = {column.origin for column in of if column.missing}
        words = [
            f"'{printable(name)}' is missing in {count:,} of {self.rows:,} rows"
            + ("" if name in had else ", and never was in the training file")
            for name, count in self.missing.items()
            if count
        ]
        for name, count in self.unseen.items():
            if count:
                named = ", ".join(map(printable, self.examples[name]))
                words.append(f"'{printable(name)}' holds {count:,} values that the training file has not: {named}")
        more = len(words) - _MAX_NAMED
        return words[:_MAX_NAMED] + ([f"and {more:,} more columns with such values"] if more > 0 else [])


@dataclass(frozen=True)
class Further:
    """Rows of later data, as a table, and what is known of the training file."""

    table: Table
    facts: DataFacts
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return int(self.table.frame.height)

    @property
    def has_target(self) -> bool:
        """Whether every target column is there."""
        return all(name in self.table.frame.columns for name in self.facts.target_names)

    def stored(self, rows: int) -> Iterator[NDArray[np.float32]]:
        """The stored matrix, so many rows at a time. Raises DataError as ``encode_inputs``."""
        for start in range(0, len(self), rows):
            part = replace(self.table, frame=self.table.frame.slice(start, rows))
            yield encode_inputs(part, self.facts.columns)

    def targets(self) -> NDArray[Any]:
        """Labels (rows,) or targets (rows, targets). Raises DataError, located, for classes that are not known."""
        return read_targets(self.table, self.facts.target_names, self.facts.class_names)

    def weights(self) -> NDArray[np.float32] | None:
        """Sample weights (rows,), where training had some and these rows do. Raises DataKeyError as at training."""
        name = self.facts.weight
        return read_weights_of(self.table, name) if name and name in self.table.frame.columns else None

    def counter(self) -> Counts:
        """Counts of missing values; unseen ones are added by ``count_unseen``."""
        origins = dict.fromkeys(column.origin for column in self.facts.columns)
        nulls = self.table.frame.select(list(origins)).null_count().row(0)
        return Counts(len(self), dict(zip(origins, nulls, strict=True)), {}, {})

    def count_unseen(self, counts: Counts, x: NDArray[np.float32], start: int) -> None:
        """Add those of the stored rows ``x``, of which the first is row ``start``."""
        for place, column in enumerate(self.facts.columns):
            if column.kind != "categorical":
                continue
            unseen = (x[:, place] == UNSEEN).nonzero()[0]
            counts.unseen[column.origin] = counts.unseen.get(column.origin, 0) + len(unseen)
            known = counts.examples.get(column.origin, ())
            if len(unseen) and len(known) < _MAX_EXAMPLES:
                values = as_text(self.table.frame[column.origin].gather(unseen[:1000] + start))
                more = [value for value in values.unique(maintain_order=True).to_list() if value not in known]
                counts.examples[column.origin] = (*known, *more)[:_MAX_EXAMPLES]


def further_rows(data: Any, source: TableSource, facts: DataFacts, *, with_target: bool) -> Further:
    """Later rows as a trained network reads them: ``data`` is what ``as_table`` takes.

    Columns are matched by name, or by place where the training file has no names; those that the network does not read
    may be absent, and the target unless ``with_target``; rows without one are then left out. Raises DataError for
    columns that are absent and for values that cannot be, located.
    """
    if facts.file is None:
        raise DataError("this network was trained on data that are no table")
    used = {column.origin for column in facts.columns}
    targets = set(facts.target_names)
    wanted = used | targets if with_target else used
    typed = {*wanted, facts.weight} if with_target else wanted
    kinds = {name: kind if name in typed else "text" for name, kind in facts.file.kinds.items()}
    called = Path(source.path[0]).name if source.path else "the training data"
    like = Like(facts.file.model_copy(update={"kinds": kinds}), called)
    optional = set() if with_target else targets
    if facts.file.has_names:
        optional |= facts.file.kinds.keys() - wanted
    table = as_table(data, like=like, optional=optional, **dict(source.reading))
    if with_target and (lacking := targets - set(table.frame.columns)):
        raise DataError(f"there is no target '{printable(min(lacking))}' in what is to be evaluated")
    notes = table.notes
    if with_target:
        table, dropped = usable(table, facts.columns, facts.target_names, source.dropping)
        notes += tuple(dropped)
    elif source.dropping == "error":
        usable(table, facts.columns, (), source.dropping)
    return Further(table, facts, notes)
