"""What the columns of a table are: kinds inferred from the values, the target and its task, and what becomes of each.

Nothing is fitted here. Names of levels and classes are those of the whole training file; whatever is counted or
measured to prepare inputs comes from the training rows alone, later.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import polars as pl

from mlptrain.errors import DataError
from mlptrain.sources.facts import Column, DataKeyError
from mlptrain.sources.tables.encode import as_text
from mlptrain.sources.tables.source import Described, Inferred, Kind, Role, Task
from mlptrain.sources.tables.table import Table
from mlptrain.system.text import printable

MAX_CLASSES = 20  # distinct whole numbers in a target that are taken for classes
_FEW_LEVELS = 20  # distinct texts that are levels, however few rows there are
_TEXT_SHARE = 0.5  # of the rows: with more distinct values than that a column of text is no category
_MAX_LEVELS = 10_000  # in the facts; beyond it a column of text is dropped
_MAX_NAMED = 5
_REASONS = {"text": "text of many different values"}
_COUNTED = 1_000_000  # rows
_KEPT = 0.9  # of different numbers, that float32 should tell apart


def infer(
    table: Table,
    *,
    target: str | int | Sequence[str | int],
    task: Literal["auto", "classification", "regression"] = "auto",
    kinds: Mapping[str, str] | None = None,
    reserved: Mapping[str, Role] | None = None,
) -> Inferred:
    """What is inferred from a training table. ``reserved`` are columns with another role, such as weights, by name.

    Raises DataKeyError for columns that are not there and kinds that the values cannot have, DataError where no input
    is left.
    """
    names = table.frame.columns
    targets = _targets(names, target)
    given, written = _given(names, targets, kinds or {})
    columns: list[Column] = []
    described: list[Described] = []
    notes: list[tuple[str, str]] = []
    dropped: dict[str, list[tuple[str, str]]] = {}  # by reason
    for name in names:
        values = table.frame[name]
        low, high = _ends(values)
        levels = None
        if low is None or len(values) <= _COUNTED:
            levels = values.n_unique() - (values.null_count() > 0)
        role: Role | None = "target" if name in targets else (reserved or {}).get(name)
        if role is not None:
            described.append(_describe(values, role, "", levels, low, high))
            continue
        kind, why, warning = _kind(
            table,
            name,
            given.get(name),
            written.get(name, name),
            levels or 0,
            is_constant=not values.null_count() and (levels == 1 if levels is not None else low == high),
        )
        described.append(_describe(values, kind, why, levels, low, high))
        if warning and kind == "drop":
            dropped.setdefault(why.partition(":")[0], []).append((printable(name), warning))
        elif warning:
            notes.append(("columns", warning))
        if kind == "numeric" and not warning and (rounded := _rounded(values, low, high)):
            notes.append(("columns", rounded))
        if kind != "drop":
            columns += stored_columns(name, values, kind)
    if not columns:
        raise DataError(f"{table.parts[0].path} has no column left to learn from: {_dropped(described)}")
    found, why = _task(table, targets, task)
    class_names = levels_of(table.frame[targets[0]]) if found == "classification" else ()
    for name in targets:
        low, high = _ends(table.frame[name])
        if len(class_names) == 1 or (not class_names and low == high):
            (only,) = levels_of(table.frame[name])
            raise DataKeyError("target", f"'{printable(name)}' has one value only, {only!r}: nothing to learn")
        if not class_names and (rounded := _rounded(table.frame[name], low, high)):
            notes.append(("target", rounded))
    return Inferred(
        tuple(columns), targets, found, why, class_names, tuple(described), tuple(notes), tuple(_summed_up(dropped))
    )


def _summed_up(dropped: Mapping[str, Sequence[tuple[str, str]]]) -> Iterator[str]:
    """One sentence for all columns, (name, warning), that are dropped for the same reason."""
    for reason, those in dropped.items():
        (first, warning), names = those[0], [f"'{name}'" for name, _ in those]
        if len(those) == 1:
            yield warning
            continue
        shown = f"{', '.join(names[:_MAX_NAMED])}, …" if len(names) > _MAX_NAMED else ", ".join(names)
        remedy = f"; data.columns: {{{first}: categorical}} keeps one" if reason == "text" else ""
        yield f"{len(those):,} columns are dropped ({_REASONS.get(reason, reason)}): {shown}{remedy}"


def _targets(names: Sequence[str], wanted: str | int | Sequence[str | int]) -> tuple[str, ...]:
    if isinstance(wanted, (str, int)):
        return (find_column(names, wanted, key="target"),)
    found: list[str] = []
    for index, one in enumerate(wanted):
        name = find_column(names, one, key="target", inside=(index,))
        if name in found:
            raise DataKeyError("target", f"names '{printable(name)}' twice", inside=(index,))
        found.append(name)
    return tuple(found)


def _given(
    names: Sequence[str], targets: Sequence[str], kinds: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """The kinds that are stated, by column, and how each column is written there."""
    given: dict[str, str] = {}
    written: dict[str, str] = {}
    for one, kind in kinds.items():
        name = find_column(names, one, key="columns", inside=(one,))
        if name in given:
            raise DataKeyError("columns", f"names '{printable(name)}' twice", inside=(one,))
        if name in targets:
            message = f"'{printable(name)}' is the target; leave it out here, data.task says what it is"
            raise DataKeyError("columns", message, inside=(one,))
        given[name], written[name] = kind, one
    return given, written


def find_column(names: Sequence[str], wanted: str | int, *, key: str, inside: tuple[str | int, ...] = ()) -> str:
    """The name of a column, by its name or its number, −1 the last. Raises DataKeyError with what was meant.

    A text that is not a name may be a number: the keys of a mapping are texts.
    """
    if wanted in names:
        return str(wanted)
    if isinstance(wanted, str) and re.fullmatch(r"-?[0-9]{1,9}", wanted):
        wanted = int(wanted)
    if isinstance(wanted, int):
        if -len(names) <= wanted < len(names):
            return names[wanted]
        message = f"there is no column {wanted}: the table has {len(names):,}, counted from 0"
        raise DataKeyError(key, message, inside=inside)
    folded = {name.strip().lower(): name for name in names}
    if wanted.strip().lower() in folded:
        near = [folded[wanted.strip().lower()]]
    else:
        near = difflib.get_close_matches(wanted, names, n=1)
    shown = ", ".join(f"'{printable(name)}'" for name in names[:10]) + (", …" if len(names) > 10 else "")
    hint = f"did you mean '{printable(near[0])}'?" if near else f"the columns are {shown}"
    if key == "target" and wanted.strip().lower() in ("last", "first"):
        hint = f"{-1 if wanted.strip().lower() == 'last' else 0} is the {wanted.strip().lower()} column"
    raise DataKeyError(key, f"there is no column '{printable(wanted)}'; {hint}", inside=inside)


def _kind(
    table: Table, name: str, wanted: str | None, written: str, levels: int, *, is_constant: bool
) -> tuple[Kind, str, str]:
    """What a column is taken for, why, and what the user should know of it; ``written`` is its name in ``kinds``.

    ``levels`` are the different values of text.
    """
    values, shown = table.frame[name], printable(name)
    present = len(values) - values.null_count()
    if wanted == "drop":
        return "drop", "as asked for", ""
    if wanted == "numeric" and not values.dtype.is_numeric():
        of_dates = values.dtype != pl.String
        numbers = values.cast(pl.Int64).cast(pl.Float64) if of_dates else values.cast(pl.Float64, strict=False)
        bad = (numbers.is_null() & values.is_not_null()).arg_max() or 0
        raise DataKeyError(
            "columns",
            f"'{shown}' holds text, such as {printable(str(values[bad]))!r} at {table.where(bad, name)}; correct it, "
            "add it to missing_values, or use categorical",
            inside=(written,),
        )
    if wanted == "date" and not values.dtype.is_temporal():
        first = values.is_not_null().arg_max() or 0
        value = values[[first]].cast(pl.String)[0]  # by polars, whose Float32 is 159.1 rather than 159.10000610351562
        raise DataKeyError(
            "columns",
            f"'{shown}' has values that are not read as dates, such as {printable(str(value))!r} at "
            f"{table.where(first, name)}; write them as 2024-05-31, or use another kind",
            inside=(written,),
        )
    if present == 0:
        return "drop", "no value at all", f"'{shown}' has no value at all and is dropped"
    if wanted in ("numeric", "categorical", "date"):
        return wanted, "as asked for", ""  # type: ignore[return-value]
    if is_constant:
        return "drop", "constant", f"'{shown}' is constant and dropped"
    if values.dtype.is_temporal():
        return "date", "dates", ""
    if values.dtype.is_numeric():
        return "numeric", "numbers", _identifier(values, shown)
    if (levels > _FEW_LEVELS and levels > _TEXT_SHARE * present) or levels > _MAX_LEVELS:
        why = f"text: {levels:,} different values in {present:,} rows"
        return "drop", why, f"'{shown}' is dropped, as {why}; data.columns: {{{shown}: categorical}} keeps it"
    return "categorical", f"{levels:,} levels", ""


def _identifier(values: pl.Series, shown: str) -> str:
    """A warning where a column counts the rows: it says when a row was written, not what it is."""
    if not values.dtype.is_integer() or values.null_count() or len(values) < _FEW_LEVELS:
        return ""
    for some in (values.head(_FEW_LEVELS), values):
        steps = some.diff().drop_nulls()
        if int(steps.min() or 0) < 1 and int(steps.max() or 0) > -1:  # type: ignore[arg-type]
            return ""
    return (
        f"'{shown}' looks like an identifier, since every row has another number, in order; data.columns: "
        f"{{{shown}: drop}} leaves it out"
    )


def _rounded(values: pl.Series, low: Any, high: Any) -> str:
    """A warning where float32 makes many numbers equal, as those of a narrow range far from 0.

    They are counted only where that may be: of whole numbers above 2²⁴, and in a range of fewer than 2¹⁰ steps. Of
    others what rounding takes is small beside their spread.
    """
    largest = max(abs(low or 0), abs(high or 0))
    step = 2.0 ** (math.frexp(largest)[1] - 24)
    if values.dtype == pl.Float32 or not math.isfinite(largest):
        return ""
    if not (high - low < 2**10 * step or (values.dtype.is_integer() and step > 1)):
        return ""
    some = values.head(_COUNTED).drop_nulls().cast(pl.Float64)
    different, kept = some.n_unique(), some.cast(pl.Float32).n_unique()
    if kept > _KEPT * different:
        return ""
    return (
        f"'{printable(values.name)}' has numbers too close to each other for float32, in which rows are stored: of "
        f"{different:,} different ones {kept:,} are left, {step:g} apart; subtract an offset in the file, such as "
        f"{low if values.dtype.is_integer() else f'{low:.17g}'}, its lowest"
    )


def _ends(values: pl.Series) -> tuple[Any, Any]:
    """The lowest and the highest number or date; None of text, and where there is none."""
    if values.dtype.is_numeric() or values.dtype.is_temporal():
        return values.min(), values.max()
    return None, None


def _describe(values: pl.Series, kind: Kind | Role, why: str, levels: int | None, low: Any, high: Any) -> Described:
    ends = [("" if end is None else f"{end:g}" if isinstance(end, float) else str(end)) for end in (low, high)]
    return Described(values.name, kind, why, values.null_count(), levels, *ends)


def stored_columns(name: str, values: pl.Series, kind: Kind) -> list[Column]:
    """The stored columns that one of the file becomes."""
    missing = values.null_count()
    if kind == "numeric":
        return [Column(name=name, missing=missing)]
    if kind == "categorical":
        return [Column(name=name, kind="categorical", categories=levels_of(values), missing=missing)]
    cycles = [("year", values.dt.ordinal_day()), ("week", values.dt.weekday())]
    if values.dtype == pl.Datetime:
        cycles.append(("day", values.dt.hour() * 60 + values.dt.minute()))
    named: dict[Any, str] = {"days": "days"}
    for cycle, parts in cycles:
        if parts.n_unique() > 2 or (cycle == "week" and parts.n_unique() > 1):
            named |= {f"{cycle}_{wave}": f"{cycle} {wave}" for wave in ("sin", "cos")}
    return [Column(name=f"{name} ({words})", source=name, part=part, missing=missing) for part, words in named.items()]


def levels_of(values: pl.Series) -> tuple[str, ...]:
    """The values of a category as text, in order: numbers by size, text by its characters."""
    return tuple(as_text(values.drop_nulls().unique().sort()).to_list())


def _task(table: Table, targets: Sequence[str], wanted: str) -> tuple[Task, str]:
    """Classification or regression, and why."""
    values = table.frame[targets[0]]
    for name in targets:
        if table.frame[name].null_count() == table.frame.height:
            raise DataKeyError("target", f"'{printable(name)}' has no value at all")
    if wanted == "regression" or len(targets) > 1:
        for name in targets:
            if not (text := table.frame[name]).dtype.is_numeric():
                first = _first_text(text)
                raise DataKeyError(
                    "target",
                    f"'{printable(name)}' holds text, such as {printable(str(text[first]))!r} at "
                    f"{table.where(first, name)}: a regression needs numbers",
                )
        if wanted == "classification":
            raise DataKeyError("task", "classification has one target; several are a regression")
        return "regression", "as asked for" if wanted == "regression" else "several targets"
    if wanted == "classification":
        return "classification", "as asked for"
    if not values.dtype.is_numeric():
        _refuse_unlike(table, targets[0])
        return "classification", "the target is text"
    present = values.drop_nulls()
    if values.dtype.is_float() and not bool((present == present.round()).all()):
        return "regression", "the target has numbers with decimals"
    distinct = present.n_unique()
    why = f"the target has {distinct:,} different whole numbers"
    if distinct <= MAX_CLASSES:
        return "classification", why + "; data.task: regression if they are amounts" * (distinct > 2)
    return "regression", f"{why}; data.task: classification if they are classes"


def _first_text(values: pl.Series) -> int:
    """The row of the first value that is not a number, or of the first of all where the column holds dates."""
    is_text = values.is_not_null()
    if values.dtype == pl.String:
        is_text &= values.cast(pl.Float64, strict=False).is_null()
    return is_text.arg_max() or 0


def _refuse_unlike(table: Table, name: str) -> None:
    """Raises DataKeyError for a target of texts or dates of which most rows have one of their own: they are no classes.

    Such are a text in a column of numbers, amounts with their unit, and names of the rows.
    """
    values = table.frame[name].drop_nulls()
    distinct = values.n_unique()
    if distinct > _FEW_LEVELS and distinct > _TEXT_SHARE * len(values):
        row = _first_text(table.frame[name])
        raise DataKeyError(
            "target",
            f"'{printable(name)}' has {distinct:,} different values in {len(values):,} rows, which are not all "
            f"numbers, such as {printable(str(table.frame[name][row]))!r} at {table.where(row, name)}; "
            "correct it, add it to missing_values, or set data.task: classification if they are classes",
        )


def _dropped(described: Sequence[Described]) -> str:
    gone = [f"'{printable(one.name)}' ({one.why})" for one in described if one.kind == "drop"]
    more = ", …" if len(gone) > _MAX_NAMED else ""
    return ", ".join(gone[:_MAX_NAMED]) + more if gone else "there is only the target"
