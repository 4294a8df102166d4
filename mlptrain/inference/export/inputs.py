"""What an exported network reads: raw rows as they lie in their file, all values at once or column by column."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from mlptrain.sources.facts import Column, FileFacts
from mlptrain.sources.tables.dialect import MISSING
from mlptrain.spec import Experiment
from mlptrain.spec.table import TableData

ROWS = "rows"  # the only input, where there are no columns of a table
UNSEEN, ABSENT = -1, -2  # the codes of levels that training has not seen, and of missing ones

Kind = Literal["pixels", "values", "number", "category", "date"]


@dataclass(frozen=True)
class Input:
    """One input: ``shape`` is that of a row.

    ``pixels`` are those of a whole image, ``values`` all numbers of a row. The others are columns of a table, of shape
    (): a ``number`` is nan where it is missing; a ``date`` is int64, milliseconds since 1970 in UTC, and the least
    int64, which is numpy's NaT, where it is missing. A ``category`` is float64 where its levels are numbers, nan where
    missing; else its ``dtype`` is ``category``: in ONNX the text itself, of which each of ``missing`` stands for a
    missing value, elsewhere an int64, the position among ``categories``, −1 for others, −2 for missing ones.
    """

    name: str
    kind: Kind
    dtype: Literal["uint8", "float32", "float64", "int64", "category"]
    shape: tuple[int, ...] = ()
    categories: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def is_text(self) -> bool:
        """Whether the values are texts."""
        return self.dtype == "category"

    def plain(self) -> dict[str, Any]:
        """As JSON; without what it does not have."""
        return {key: value for key, value in asdict(self).items() if value or key == "shape"}


def inputs_of(experiment: Experiment) -> tuple[Input, ...]:
    """The inputs of a trained network, in the order of the columns."""
    facts, section = experiment.facts, experiment.data
    if facts.file is not None and isinstance(section, TableData):
        texts = missing_texts(section)
        by_origin = {column.origin: column for column in facts.columns}
        return tuple(_of_column(name, column, facts.file, texts) for name, column in by_origin.items())
    # Of arrays whose largest value is stated it is not on record whether they are bytes.
    are_bytes = facts.maximum is not None and getattr(section, "maximum", None) is None
    kind: Kind = "values" if facts.image_shape is None else "pixels"
    return (Input(ROWS, kind, "uint8" if are_bytes else "float32", facts.pixels_shape or (facts.n_features,)),)


def missing_texts(section: TableData) -> tuple[str, ...]:
    """What stands for a missing value in a table's files."""
    return tuple(dict.fromkeys((*MISSING, *dict(section.source().reading).get("missing_values", ()))))


def _of_column(name: str, column: Column, file: FileFacts, missing: tuple[str, ...]) -> Input:
    if column.part:
        return Input(name, "date", "int64")
    if column.kind == "numeric":
        return Input(name, "number", "float32")
    if file.kinds[name] == "number":
        return Input(name, "category", "float64", categories=column.categories)
    return Input(name, "category", "category", categories=column.categories, missing=missing)
