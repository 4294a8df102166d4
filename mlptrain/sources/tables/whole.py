"""All that the files of a table hold, read at once: rows, targets and weights, what they are, and what is doubtful."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mlptrain.errors import DataError
from mlptrain.sources.facts import Column, DataKeyError, RawData, SourceFacts
from mlptrain.sources.held import held, is_held
from mlptrain.sources.tables.columns import find_column, infer
from mlptrain.sources.tables.encode import encode_inputs, encode_labels, encode_targets
from mlptrain.sources.tables.given import as_table
from mlptrain.sources.tables.leaks import described, find_leaks
from mlptrain.sources.tables.read import read_table
from mlptrain.sources.tables.reserved import read_split, read_weights_of
from mlptrain.sources.tables.shipped import SHIPPED
from mlptrain.sources.tables.source import Inferred, Role, TableContent, TableSource
from mlptrain.sources.tables.table import Table
from mlptrain.system.text import printable


def content_of(source: TableSource) -> TableContent:
    """What its files hold now. Raises DataError and DataKeyError for what cannot be used."""
    options: Mapping[str, Any] = dict(source.reading)
    table = SHIPPED[source.shipped].read() if source.shipped else _read(source.path, "path", options)
    reserved = _reserved(source, table.frame.columns)
    inferred = infer(table, target=source.target, task=source.task, kinds=dict(source.kinds), reserved=reserved)
    for name, key in reserved.items():
        if name in inferred.targets:
            inside = ("column",) if key == "split" else ()
            raise DataKeyError(key, f"'{printable(name)}' is the target already", inside=inside)
    names: dict[str, str] = {key: name for name, key in reserved.items()}
    notes, warnings = list(table.notes), list(inferred.notes)
    table, raw, dropped = _rows(table, source, inferred, names.get("weight"), key="path")
    warnings += dropped
    by = "" if source.split is None else source.split[0]
    split = read_split(table, names["split"], by) if by else None
    leaks = find_leaks(raw["x"], raw["y"], inferred.columns)
    warnings += [("columns", text) for text in described(leaks)]
    digest = table.digest
    needless = [names["split"]] if by else []  # of a file of its own
    for what, paths in (("test", source.test_path), ("validation", source.validation_path)):
        if paths:
            wanted = f"{what}_path"
            other = _read(paths, wanted, options, like=table, optional=needless)
            other, rows, dropped = _rows(other, source, inferred, names.get("weight"), key=wanted)
            raw |= {f"{what}_{name}": values for name, values in rows.items()}
            notes += [f"{what} file: {note}" for note in other.notes]
            warnings += dropped
            digest += other.digest
    if (weight := raw["weight"]) is not None:
        notes.append(
            f"weights from {weight.min():g} to {weight.max():g} in column '{printable(names['weight'])}': figures "
            "count all rows alike, but for objective and those called weighted_…"
        )
    classes = len(inferred.class_names)
    facts = SourceFacts(
        train_counts=_counts(raw["y"], classes),
        test_counts=_counts(raw.get("test_y"), classes),
        validation_counts=_counts(raw.get("validation_y"), classes),
        stated=_stated(split, raw) if by == "column" else None,
        group_sizes=tuple(np.bincount(split).tolist()) if split is not None and by == "group" else (),
        n_features=len(inferred.columns),
        class_names=inferred.class_names,
        n_targets=0 if classes else len(inferred.targets),
        columns=inferred.columns,
        target_names=inferred.targets,
        file=table.schema,
        digest=digest,
        weight=names.get("weight", ""),
    )
    lowest = _lowest(table, inferred)
    return TableContent(facts, inferred, RawData(**raw, split=split), lowest, leaks, tuple(notes), tuple(warnings))


def _read(paths: tuple[str, ...], key: str, options: Mapping[str, Any], **like: Any) -> Table:
    """The rows of files, or of a frame that is held. Raises DataKeyError, of the key that names them."""
    with _said_of(key):
        if is_held(paths[0]):
            return as_table(held(paths[0]), missing_values=options["missing_values"], **like)
        return read_table(paths, **options, **like)


@contextmanager
def _said_of(key: str) -> Iterator[None]:
    """What is wrong with a file as a fault of the key that names it."""
    try:
        yield
    except DataKeyError:
        raise
    except DataError as error:
        raise DataKeyError(key, str(error)) from None


def _rows(
    table: Table, source: TableSource, inferred: Inferred, weight: str | None, *, key: str
) -> tuple[Table, dict[str, Any], list[tuple[str, str]]]:
    """The rows of a file that are used: as a table, as x, y and weight, and what was dropped, with the file's key."""
    table, dropped = usable(table, inferred.columns, inferred.targets, source.dropping)
    with _said_of(key):
        x = encode_inputs(table, inferred.columns)
        y = read_targets(table, inferred.targets, inferred.class_names)
    weights = None if weight is None else read_weights_of(table, weight)
    return table, {"x": x, "y": y, "weight": weights}, [(key, note) for note in dropped]


def _lowest(table: Table, inferred: Inferred) -> tuple[float, str]:
    """The lowest target of a regression, and its place; nothing of classes."""
    if inferred.task == "classification":
        return float("inf"), ""
    found = [(float(str(table.frame[name].min())), name) for name in inferred.targets]
    value, name = min(found)
    return value, table.where(table.frame[name].arg_min() or 0, name)


def _reserved(source: TableSource, names: Sequence[str]) -> dict[str, Role]:
    """Columns that are no inputs, each with the key that names it. Raises DataKeyError for one with two duties."""
    reserved: dict[str, Role] = {}
    wishes: dict[Role, str | int | None] = {"weight": source.weight, "split": source.split and source.split[1]}
    for key, wanted in wishes.items():
        if wanted is not None:
            inside = ("column",) if key == "split" else ()
            name = find_column(names, wanted, key=key, inside=inside)
            if name in reserved:
                raise DataKeyError(key, f"'{printable(name)}' is the column of weights already", inside=inside)
            reserved[name] = key
    return reserved


def _stated(parts: Any, raw: Container[str]) -> tuple[int, int, int]:
    """Rows that are stated to be for training, validation and test. Raises DataKeyError for a file besides."""
    counts = np.bincount(parts, minlength=3).tolist()
    for what, count in (("validation", counts[1]), ("test", counts[2])):
        if count and f"{what}_x" in raw:
            raise DataKeyError(f"{what}_path", f"is given, but data.split names {count:,} {what} rows in data.path too")
    return counts[0], counts[1], counts[2]


def read_targets(table: Table, names: Sequence[str], class_names: Sequence[str]) -> NDArray[Any]:
    """Labels (rows,) where there are classes, else targets (rows, targets). Raises DataError, located."""
    return encode_labels(table, names[0], class_names) if class_names else encode_targets(table, names)


def _counts(y: Any, classes: int) -> tuple[int, ...]:
    if y is None:
        return ()
    return tuple(np.bincount(y, minlength=classes).tolist()) if classes else (len(y),)


def usable(table: Table, columns: Sequence[Column], targets: Sequence[str], dropping: str) -> tuple[Table, list[str]]:
    """The rows that have a target, and no missing number where ``dropping`` says so; what was dropped in words."""
    notes = []
    frame = table.frame
    wanted = pl.repeat(value=True, n=frame.height, eager=True, dtype=pl.Boolean)
    for name in targets:
        gone = frame[name].null_count()
        if gone:
            notes.append(f"{gone:,} of {frame.height:,} rows have no '{printable(name)}', the target, and are left out")
            wanted &= frame[name].is_not_null()
    numbers = [column.origin for column in columns if column.kind == "numeric"]
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
    return table.filtered(wanted), notes
