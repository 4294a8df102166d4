"""A table as a source of rows: read once, and what it says kept for as long as its files stay as they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from mlptrain.errors import DataError
from mlptrain.sources.facts import DataKeyError, FileFacts, RawData, SourceFacts
from mlptrain.sources.files import files_of
from mlptrain.sources.tables.columns import Schema, infer
from mlptrain.sources.tables.encode import encode_inputs, encode_labels, encode_targets
from mlptrain.sources.tables.read import read_table
from mlptrain.sources.tables.shipped import SHIPPED
from mlptrain.sources.tables.table import Table
from mlptrain.system.text import printable

if TYPE_CHECKING:
    from mlptrain.sources.tables.leaks import Leak


@dataclass(frozen=True)
class TableSource:
    """Rows of one or several files, and of a test file where there is one. Paths are absolute."""

    path: tuple[str, ...]
    target: str | int | tuple[str | int, ...]
    test_path: tuple[str, ...] = ()
    task: Literal["auto", "classification", "regression"] = "auto"
    kinds: tuple[tuple[str, str], ...] = ()
    dropping: str = ""  # rows without a number: drop_row, error, or kept
    reading: tuple[tuple[str, Any], ...] = field(default=())  # options of ``read_table``
    shipped: str = ""  # the table of ``SHIPPED`` that the files are
    by_seed: ClassVar[bool] = False

    def facts(self) -> SourceFacts:
        """What the files say. Raises DataError and DataKeyError for what cannot be used."""
        return self.content().facts

    def read(self, *, seed: int, folder: Path) -> RawData:  # noqa: ARG002 – the rows lie in the files
        """The stored matrix and targets; see ``encode_inputs``."""
        return self.content().raw

    def content(self) -> Content:
        """All of it; read again where a file has changed."""
        files = [(path, *_stamp(path)) for path in (*files_of(self.path), *files_of(self.test_path, key="test_path"))]
        return _content(self, tuple(files))


@dataclass(frozen=True)
class Content:
    """What the files of a source hold."""

    facts: SourceFacts
    schema: Schema
    raw: RawData
    leaks: tuple[Leak, ...]
    notes: tuple[str, ...]
    warnings: tuple[tuple[str, str], ...]


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


@lru_cache(maxsize=2)  # a table and another one beside it; each holds its rows
def _content(source: TableSource, files: tuple[Any, ...]) -> Content:  # noqa: ARG001 – a key of the cache
    from mlptrain.sources.tables.leaks import find_leaks

    options: Mapping[str, Any] = dict(source.reading)
    table = SHIPPED[source.shipped].read() if source.shipped else read_table(source.path, **options)
    schema = infer(table, target=source.target, task=source.task, kinds=dict(source.kinds))
    notes, warnings = list(table.notes), list(schema.notes)
    table, dropped = usable(table, schema, source.dropping)
    warnings += [("path", note) for note in dropped]
    x, y = encode_inputs(table, schema.columns), _targets(table, schema)
    leaks = find_leaks(x, y, schema.columns)
    warnings += [("columns", leak.describe()) for leak in leaks]
    digest, test_x, test_y = table.digest, None, None
    if source.test_path:
        test = read_table(source.test_path, **options, like=table)
        test, dropped = usable(test, schema, source.dropping)
        notes += [f"test file: {note}" for note in test.notes]
        warnings += [("test_path", note) for note in dropped]
        test_x, test_y = encode_inputs(test, schema.columns), _targets(test, schema)
        digest = f"{digest}{test.digest}"
    classes = len(schema.class_names)
    facts = SourceFacts(
        train_counts=_counts(y, classes),
        test_counts=() if test_y is None else _counts(test_y, classes),
        n_features=len(schema.columns),
        class_names=schema.class_names,
        n_targets=0 if classes else len(schema.targets),
        columns=schema.columns,
        target_names=schema.targets,
        file=_file_facts(table),
        digest=digest,
    )
    return Content(facts, schema, RawData(x, y, test_x, test_y), leaks, tuple(notes), tuple(warnings))


def _file_facts(table: Table) -> FileFacts:
    known = table.schema
    return FileFacts(
        kinds=dict(known.kinds),
        has_names=known.has_names,
        date_formats=dict(known.date_formats),
        is_sparse=known.is_sparse,
    )


def _targets(table: Table, schema: Schema) -> Any:
    if schema.task == "classification":
        return encode_labels(table, schema.targets[0], schema.class_names)
    return encode_targets(table, schema.targets)


def _counts(y: Any, classes: int) -> tuple[int, ...]:
    import numpy as np

    return tuple(np.bincount(y, minlength=classes).tolist()) if classes else (len(y),)


def usable(table: Table, schema: Schema, dropping: str) -> tuple[Table, list[str]]:
    """The rows that have a target, and no missing number where ``dropping`` says so; what was dropped in words."""
    from dataclasses import replace

    import polars as pl

    notes = []
    frame = table.frame
    wanted = pl.repeat(value=True, n=frame.height, eager=True, dtype=pl.Boolean)
    for name in schema.targets:
        gone = frame[name].null_count()
        if gone:
            notes.append(f"{gone:,} of {frame.height:,} rows have no '{printable(name)}', the target, and are left out")
            wanted &= frame[name].is_not_null()
    numbers = [column.origin for column in schema.columns if column.kind == "numeric"]
    for name in dict.fromkeys(numbers):
        if dropping and frame[name].null_count():
            row = frame[name].is_null().arg_max() or 0
            if dropping == "error":
                raise DataKeyError(
                    "numeric", f"is error, and {table.where(row, name)} has no '{printable(name)}'", inside=("missing",)
                )
            notes.append(
                f"{(frame[name].is_null() & wanted).sum():,} rows have no '{printable(name)}' and are left out"
            )
            wanted &= frame[name].is_not_null()
    if not notes:
        return table, []
    if not wanted.any():
        raise DataError(f"{table.parts[0].path} has no row left: {'; '.join(notes)}")
    return replace(table, frame=frame.filter(wanted)), notes
