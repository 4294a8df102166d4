"""What the terminal shows of data: the columns of a table, classes, splits, doubts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlptrain.cli import screen
from mlptrain.spec.overview import legend
from mlptrain.system.text import printable, shortened

MAX_COLUMNS = 60  # that are listed; --json has all
_MAX_CLASSES = 30
_NAME, _VALUES = 28, 25  # letters of a cell


def show_columns(columns: Sequence[Mapping[str, Any]], *, most: int = MAX_COLUMNS) -> None:
    """A line for each column of a table; of very many the first ones and the target."""
    if not columns:
        return
    shown = [*columns[:most], *(column for column in columns[most:] if column["kind"] == "target")]
    rows = [
        (
            shortened(column["name"], _NAME),
            column["kind"],
            f"{column['missing']:,}" if column["missing"] else "",
            "" if column["levels"] is None else f"{column['levels']:,}",
            _values(column),
            column["becomes"],
        )
        for column in shown
    ]
    screen.show_table(("column", "kind", "missing", "levels", "values", "becomes"), rows, right=(2, 3))
    for line in legend(shown):
        screen.say(line)
    if len(shown) < len(columns):
        screen.say(f"… and {len(columns) - len(shown):,} columns more; --json lists all")


def _values(column: Mapping[str, Any]) -> str:
    """The range of numbers and dates, or the first levels, as many as have room."""
    examples = column["examples"]
    if not examples:
        return f"{column['low']} … {column['high']}" if column["low"] else ""
    for count in range(len(examples), 0, -1):
        text = ", ".join(examples[:count]) + (", …" if count < column["levels"] else "")
        if len(text) <= _VALUES:
            return text
    return f"{shortened(examples[0], _VALUES - 3)}, …"


def show_data(report: Mapping[str, Any]) -> None:
    """The figures of `mlptrain data show`."""
    columns = report["columns"]
    if columns and "becomes" in columns[0]:
        show_columns(columns)
    why = f", since {report['why']}" if report["why"] else ""
    target = f" of {' and '.join(map(printable, report['targets']))}" if report["targets"] else ""
    screen.say(f"{report['task']}{target}{why}")
    rows = report["rows"]
    screen.say(
        f"rows: {rows['train']:,} training, {rows['validation']:,} validation, {rows['test']:,} test; "
        f"{report['inputs']:,} inputs of the network"
    )
    _show_classes(report)
    _show_duplicates(report["duplicates"])
    for note in report["notes"]:
        if not note.startswith(f"{report['task']}: "):  # which is said already
            screen.say(f"note: {note}")


def _show_classes(report: Mapping[str, Any]) -> None:
    counts, test = report["class_counts"], report["test_class_counts"] or {}
    if counts is None:
        return
    total, test_total = sum(counts.values()), sum(test.values())
    shown = list(counts.items())
    if len(shown) > _MAX_CLASSES:
        shown = sorted(shown, key=lambda one: -one[1])[:_MAX_CLASSES]
    table = [[name, f"{count:,}", screen.share(count / total)] for name, count in shown]
    if test:
        table = [[*row, f"{test[row[0]]:,}", screen.share(test[row[0]] / test_total)] for row in table]
    head = ["class", "rows", "share", *(["test file", "share"] if test else [])]
    screen.show_table(head, table, right=range(1, len(head)))
    if len(shown) < len(counts):
        screen.say(f"the {len(shown)} most frequent of {len(counts):,} classes")


def _show_duplicates(found: Mapping[str, int | None] | None) -> None:
    if found is None:
        return
    words = []
    if found["rows"]:
        words.append(f"{_rows(found['rows'])} repeat an earlier one, with inputs and target")
    if found["contradicting"]:
        words.append(f"{_rows(found['contradicting'])} share their inputs with a row of another target")
    words += [
        f"{_rows(count)} of the {what} file stand in the training file, too"
        for what in ("test", "validation")
        if (count := found[what])
    ]
    screen.say(f"duplicates: {'; '.join(words) if words else 'none'}")


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"
