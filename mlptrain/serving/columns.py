"""What a row of a request holds: its columns in their order, what each takes, and a value to begin with."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mlptrain.errors import DataError
from mlptrain.inference.module import TrainedNetwork
from mlptrain.system.text import printable, shortened

_LETTERS = 60  # of a value in a message
_SINCE = datetime.date(2000, 1, 1)  # which dates are counted from, in days


@dataclass(frozen=True)
class Field:
    """A column that the network reads; ``levels`` are those of a category, ``default`` is a usual value.

    A number's default is what missing ones become, the training rows' median as a rule.
    """

    name: str
    kind: Literal["number", "category", "date", "datetime"]
    levels: tuple[str, ...] = ()
    default: str = ""

    @property
    def wanted(self) -> str:
        """What a value may be, in words."""
        example = {"date": " such as 2026-11-26", "datetime": " such as 2026-11-26T09:30"}.get(self.kind, "")
        return ("a text or a number" if self.kind == "category" else f"a {self.kind}{example}") + ", or null"

    @property
    def example(self) -> float | str:
        """The default as JSON has it."""
        return float(self.default) if self.kind == "number" else self.default

    def read(self, value: Any) -> Any:
        """A value of a request as a table holds it. Raises ValueError for one of another kind."""
        if value is None:
            return None
        if self.kind == "category":
            if isinstance(value, (dict, list)):
                raise ValueError
            return ("false", "true")[value] if isinstance(value, bool) else value
        if self.kind == "number":
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise ValueError
            return value
        if not isinstance(value, str):
            raise ValueError
        parse = datetime.date if self.kind == "date" else datetime.datetime
        return parse.fromisoformat(value)


@dataclass(frozen=True)
class Rows:
    """The columns of rows, and the reading of rows that came as objects or as lists.

    ``names`` are all that a table of such rows has, in order; ``sparse``: one that an object lacks is 0.
    """

    fields: tuple[Field, ...]
    names: tuple[str, ...]
    sparse: bool = False

    @classmethod
    def of(cls, network: TrainedNetwork) -> Rows:
        """Those of a network that was trained on a table."""
        facts, fitted = network.experiment.facts, network.preprocessing.columns
        assert facts.file is not None
        assert fitted is not None
        fields: dict[str, Field] = {}
        for column, one in zip(facts.columns, fitted.of, strict=True):
            name, levels, fill = column.origin, column.categories, getattr(one, "fill", 0.0)
            kind = facts.file.kinds[name]
            if column.kind == "categorical":
                fields[name] = Field(name, "category", levels, "".join(levels[:1]))
            elif kind not in ("date", "datetime"):
                fields[name] = Field(name, "number", default=f"{fill:.6g}")
            elif column.part == "days":
                day = (_SINCE + datetime.timedelta(days=round(fill))).isoformat()
                fields[name] = Field(name, kind, default=day if kind == "date" else f"{day}T00:00")
        order = [name for name in facts.file.kinds if name not in facts.target_names]
        used = tuple(fields[name] for name in order if name in fields)
        # Without names a table is read by place, which those take too that the network does not read.
        names = tuple(fields) if facts.file.has_names else tuple(order)
        return cls(used, names, facts.file.is_sparse)

    def read(self, rows: Sequence[Any]) -> dict[str, list[Any]]:
        """The values of each column. Raises DataError that names the row, counted from 1, and the column."""
        columns: dict[str, list[Any]] = {name: [None] * len(rows) for name in self.names}
        for place, row in enumerate(rows):
            for field, value in zip(self.fields, self._values(row, place), strict=True):
                try:
                    columns[field.name][place] = field.read(value)
                except ValueError:
                    where = f"row {place + 1:,}, column '{printable(field.name)}'"
                    raise DataError(f"{where}: expected {field.wanted}, got {_shown(value)}") from None
        return columns

    def _values(self, row: Any, place: int) -> list[Any]:
        if isinstance(row, dict):
            lacking = [] if self.sparse else [field.name for field in self.fields if field.name not in row]
            if lacking:
                more = f" and {len(lacking) - 1:,} more" if len(lacking) > 1 else ""
                lacks = f"row {place + 1:,} lacks the column '{printable(lacking[0])}'{more}"
                raise DataError(f"{lacks}; null stands for a missing value")
            return [row.get(field.name, 0) for field in self.fields]
        if not isinstance(row, list):
            raise DataError(f"row {place + 1:,}: expected an object or a list, got {_shown(row)}")
        if len(row) != len(self.fields):
            names = ", ".join(printable(field.name) for field in self.fields[:10]) + ", …" * (len(self.fields) > 10)
            raise DataError(
                f"row {place + 1:,} has {len(row):,} values, expected {len(self.fields):,} in the order {names}"
            )
        return row


def check_numbers(rows: Sequence[Any], shapes: Sequence[tuple[int, ...]]) -> None:
    """Raises DataError, naming the row counted from 1, for one that is not numbers in nested lists of such a shape."""
    for place, row in enumerate(rows):
        found = _shape(row)
        if found not in shapes:
            wanted = " or ".join(" × ".join(f"{side:,}" for side in shape) for shape in shapes)
            what = _shown(row) if not isinstance(row, list) else "others"
            if isinstance(row, list) and found is not None:
                what = " × ".join(f"{side:,}" for side in found)
            raise DataError(f"row {place + 1:,}: expected {wanted} numbers in a list, got {what}")


def _shape(row: Any) -> tuple[int, ...] | None:
    """Of nested lists of numbers; None for anything else."""
    if not isinstance(row, list) or not row:
        return None
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in row):
        return (len(row),)
    inner = {_shape(value) for value in row}
    [one] = inner if len(inner) == 1 else [None]
    return None if one is None else (len(row), *one)


def _shown(value: Any) -> str:
    """A value as JSON has it, shortened."""
    return shortened(json.dumps(value, ensure_ascii=False), _LETTERS)
