"""``mlptrain metrics``: the figures of a run as a table, as CSV or as JSON, by epoch or step, as means or sums."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlptrain.cli import screen
from mlptrain.cli.options import Json, OneRun, output_file
from mlptrain.errors import UserError
from mlptrain.keys import run_figure

if TYPE_CHECKING:
    from mlptrain.runs.metrics import Columns

_SHOWN = 40  # rows of a table on the screen, unless --every says otherwise
_OF = {
    ("epoch", "mean"): "losses are means per example",
    ("epoch", "sum"): "losses are sums over the examples of the split",
    ("step", "mean"): "losses are means per example of the step's batch, before the step",
    ("step", "sum"): "losses are sums over the examples of the step's batch, before the step",
}


def metrics(
    run: OneRun,
    by: Annotated[
        str, typer.Option(help="epoch or step; steps need record_steps.", autocompletion=lambda: ["epoch", "step"])
    ] = "epoch",
    reduction: Annotated[
        str, typer.Option(help="mean, per example, or sum, over the examples.", autocompletion=lambda: ["mean", "sum"])
    ] = "mean",
    every: Annotated[int | None, typer.Option(min=1, metavar="N", help="Every N-th row alone, and the last.")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print comma-separated values with all digits.")] = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE.csv", help="Write them to this file instead.")] = None,
    as_json: Json = False,
) -> None:
    """Losses and accuracies by epoch or step, also as CSV.

    Those called running_train are means over an epoch while it was trained, from weights that changed on the way; for
    the kept weights' own see `mlptrain eval RUN --split train`.
    """
    if as_json and (as_csv or out is not None):
        raise UserError("name one of the two: --json, or --csv and --out")
    file = None if out is None else output_file(out, default=out, what="table", suffixes=(".csv",))
    from mlptrain.runs.metrics import metrics as metrics_of

    columns = metrics_of(run, by=by, reduction=reduction)
    number = columns[by]
    whole = not (as_csv or as_json or file)
    step = every or (math.ceil(len(number) / _SHOWN) if whole else 1)
    kept = number % step == 0
    kept[-1] = True
    columns = {name: values[kept] for name, values in columns.items()}
    if file is not None:
        screen.write_file(file, _csv(columns).encode())
    elif as_csv:
        screen.say(_csv(columns).removesuffix("\n"))
    elif as_json:
        rows = [dict(zip(columns, row, strict=True)) for row in _rows(columns)]
        screen.say_json({"run": str(run), "by": by, "reduction": reduction, "rows": rows})
    else:
        objectives = any(name.endswith("_objective") for name in columns)
        means = "; objectives, what training minimises, are means" if objectives else ""
        screen.say(f"{_OF[by, reduction]}{means}:")
        shown = [[_text(name, value) for name, value in zip(columns, row, strict=True)] for row in _rows(columns)]
        screen.show_table([name.replace("_", "\n") for name in columns], shown, right=range(len(columns)))
        if every is None and step > 1:
            some = f"a row for every {step:,} of {number[-1]:,} {by}s"
            screen.say(f"note: {some}; --every 1 shows all of them, --csv prints all", err=True)


def _rows(columns: Columns) -> Iterator[tuple[float | int, ...]]:
    """Rows of plain numbers, whole ones where they count."""
    for row in zip(*(values.tolist() for values in columns.values()), strict=True):
        named = zip(columns, row, strict=True)
        yield tuple(
            int(value) if name.endswith("_correct") and not math.isnan(value) else value for name, value in named
        )


def _csv(columns: Columns) -> str:
    """With repr's digits, which give back the same float; empty where there is no figure."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(["" if math.isnan(value) else value for value in row] for row in _rows(columns))
    return stream.getvalue()


def _text(name: str, value: float) -> str:
    if math.isnan(value):
        return "–"
    if name == "lr":
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else run_figure(name, value)
