"""What the terminal shows: progress on standard error, results on standard output.

rich is imported when something is drawn: `--help` and an error message do without.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from mlptrain.errors import Fault

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as RichProgress
    from rich.table import Table

    from mlptrain.data.verify import Check
    from mlptrain.runs import RunSummary
    from mlptrain.spec import ExperimentSpec
    from mlptrain.training.loop import Epoch

_PIPE_WIDTH = 200
_PLAIN_EPOCHS = 30  # without a terminal up to so many epochs have a line each; longer runs one per second


def standard_output() -> Console:
    """Standard output."""
    return _console(stderr=False)


def standard_error() -> Console:
    """Standard error."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    from rich.console import Console

    class PatientConsole(Console):
        """Falls silent when its reader is gone, as `head` is after a few lines; rich would end the training there."""

        def on_broken_pipe(self) -> None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())

    console = PatientConsole(stderr=stderr, highlight=False)
    if not console.is_terminal:
        console.width = _PIPE_WIDTH  # rich would fold tables at 80 columns, which a file or pipe does not have
    return console


def new_table(*columns: str, title: str | None = None) -> Table:
    """An empty table in the house's style."""
    from rich import box
    from rich.table import Table

    return Table(*columns, title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)


def show_error(message: str, *, bare: bool = False) -> None:
    """One message on standard error; bare where it has places of its own or is no error."""
    print(message if bare else f"error: {message}", file=sys.stderr)  # noqa: T201


def show_warnings(warnings: Sequence[Fault]) -> None:
    """What is odd about a configuration, on standard error."""
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)  # noqa: T201


class Fetching:
    """Progress of a download, if there is one."""

    def __init__(self) -> None:
        self._bars: RichProgress | None = None
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def fetch(self, file: str, done: int, total: int | None) -> None:
        """So many bytes of a file have come."""
        console = standard_error()
        if not console.is_terminal:
            if file not in self._tasks:
                console.print(f"downloading {file}", markup=False)
            self._tasks[file] = done
            return
        if self._bars is None:
            from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
            from rich.progress import Progress as RichProgress

            columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
            self._bars = RichProgress(*columns, console=console)
            self._bars.start()
        if file not in self._tasks:
            self._tasks[file] = self._bars.add_task(file, total=total)
        self._bars.update(self._tasks[file], completed=done, total=total)


class Progress(Fetching):
    """Live progress of training: a bar in a terminal, plain lines elsewhere."""

    def __init__(self, spec: ExperimentSpec, *, epochs: int) -> None:
        super().__init__()
        self.spec = spec
        self.epochs = epochs
        self._console = standard_error()
        self._training: RichProgress | None = None
        self._task: Any = None
        self._first: tuple[int, float] | None = None
        self._printed_at = 0.0

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        if self._training is not None:
            self._training.stop()

    def epoch(self, epoch: Epoch) -> None:
        """One epoch has ended."""
        now = time.monotonic()
        if self._first is None:
            self._first = (epoch.epoch, now)
        done, seconds = epoch.epoch - self._first[0], now - self._first[1]
        left = seconds / done * (self.epochs - epoch.epoch) if done else None
        figures = self._figures(epoch)
        if self._console.is_terminal:
            self._draw(epoch.epoch, figures, left)
        elif self.epochs <= _PLAIN_EPOCHS or now - self._printed_at >= 1 or epoch.epoch == self.epochs:
            self._printed_at = now
            remaining = f"  {_duration(left)} left" if left is not None and epoch.epoch < self.epochs else ""
            self._console.print(
                f"epoch {epoch.epoch}/{self.epochs}  {figures}{remaining}", markup=False, soft_wrap=True
            )

    def _figures(self, epoch: Epoch) -> str:
        parts = []
        for name, found in (("train", epoch.train), (self.spec.evaluation.split, epoch.evaluated)):
            if found is not None:
                accuracy = "" if found.accuracy is None else f" accuracy {found.accuracy:.4f}"
                parts.append(f"{name} loss {found.loss:.4f}{accuracy}")
        if epoch.training_seconds:
            parts.append(f"{self.spec.training_rows / epoch.training_seconds:,.0f} examples/s")
        return "  ".join(parts)

    def _draw(self, epoch: int, figures: str, left: float | None) -> None:
        if self._training is None:
            from rich.progress import BarColumn, TextColumn
            from rich.progress import Progress as RichProgress

            columns = (
                TextColumn("epoch {task.completed:.0f}/{task.total:.0f}"),
                BarColumn(bar_width=20),
                TextColumn("{task.description}"),
                TextColumn("{task.fields[left]}"),
            )
            self._training = RichProgress(*columns, console=self._console)
            self._training.start()
            self._task = self._training.add_task("", total=self.epochs, left="")
        shown = f"{_duration(left)} left" if left is not None and epoch < self.epochs else ""
        self._training.update(self._task, completed=epoch, description=figures, left=shown)


def show_result(run: str, result: Mapping[str, Any]) -> None:
    """The figures a run ends with, its diagnosis, and where it lies."""
    kept = result["kept"]
    standard_output().print(f"kept: epoch {kept['epoch']} of {result['epochs']}, {kept['checkpoint']}")
    table = new_table()
    table.add_column("split")
    table.add_column("loss", justify="right")
    with_accuracy = any(key.endswith("_accuracy") for key in kept)
    if with_accuracy:
        table.add_column("accuracy", justify="right")
    for split in ("train", "validation", "test"):
        if f"{split}_loss" in kept:
            accuracy = [f"{kept[f'{split}_accuracy']:.4f}"] if with_accuracy else []
            table.add_row(split, f"{kept[f'{split}_loss']:.4f}", *accuracy)
    standard_output().print(table)
    if result["diagnosis"]:
        show_diagnosis(result["diagnosis"])
    standard_output().print(f"run folder: {run}", markup=False, soft_wrap=True)


def show_diagnosis(diagnosis: Mapping[str, Any]) -> None:
    """Why a network did not learn, on standard error."""
    standard_error().print(f"warning: {diagnosis['message']}", markup=False, soft_wrap=True)
    for cause in diagnosis["causes"]:
        standard_error().print(f"  - {cause}", markup=False, soft_wrap=True)


def show_check(report: Mapping[str, Any]) -> None:
    """A configuration's layers and counts."""
    rows = report["rows"]
    table = new_table(title=f"{report['config']}: no faults")
    for column in ("layer", "inputs", "outputs", "activation", "tensors", "parameters"):
        table.add_column(column, justify="left" if column in ("activation", "tensors") else "right")
    for index, layer in enumerate(report["layers"]):
        tensors = ", ".join(f"{name} {'×'.join(map(str, shape)) or '1'}" for name, shape in layer["tensors"].items())
        table.add_row(
            str(index),
            str(layer["inputs"]),
            str(layer["outputs"]),
            layer["activation"],
            tensors,
            f"{layer['parameters']:,}",
        )
    out = standard_output()
    out.print(table)
    out.print(
        f"{report['parameter_tensors']} parameter tensors, {report['parameters']:,} parameters; "
        f"rows: {rows['train']:,} training, {rows['validation']:,} validation, {rows['test']:,} test; "
        f"steps per epoch: {report['steps_per_epoch']:,}, with {report['optimizer']}",
        soft_wrap=True,
    )
    for warning in report["warnings"]:
        standard_error().print(f"warning: {warning}", markup=False, soft_wrap=True)


def show_evaluation(report: Mapping[str, Any]) -> None:
    """The figures of `mlptrain eval`."""
    out = standard_output()
    out.print(f"{report['split']}: {report['examples']:,} examples, loss {report['loss']:.4f}")
    if report["accuracy"] is None:
        return
    low, high = report["interval"]
    out.print(
        f"accuracy {report['accuracy']:.4f} (95 % interval {low:.4f} to {high:.4f}), "
        f"{report['wrong']:,} wrong of {report['examples']:,}"
    )
    table = new_table("class", title="per class")
    for column in ("precision", "recall", "examples"):
        table.add_column(column, justify="right")
    for row in report["per_class"]:
        table.add_row(row["class"], f"{row['precision']:.4f}", f"{row['recall']:.4f}", f"{row['examples']:,}")
    out.print(table)
    names = [row["class"] for row in report["per_class"]]
    if len(names) <= 20:
        confusion = new_table("true \\ called", title="confusion")
        for name in names:
            confusion.add_column(name, justify="right")
        for name, counts in zip(names, report["confusion"], strict=True):
            confusion.add_row(name, *(f"{count:,}" if count else "·" for count in counts))
        out.print(confusion)


def run_as_json(run: RunSummary) -> dict[str, Any]:
    """A run's line in `mlptrain runs --json`."""
    return asdict(run) | {"path": str(run.path)}


def show_runs(folder: Path, found: Sequence[RunSummary]) -> None:
    """The table of runs."""
    if not found:
        standard_output().print(f"no runs in {folder}; `mlptrain train CONFIG` makes one", markup=False)
        return
    table = new_table("run", "status", "data", "model", "optimizer", "epoch", "metric", "age")
    for run in found:
        metric = f"{run.metric} {run.value:.4f}" if run.metric and run.value is not None else ""
        epoch = "" if run.epoch is None else str(run.epoch)
        table.add_row(run.path.name, run.status, run.data, run.model, run.optimizer, epoch, metric, _duration(run.age))
    standard_output().print(table)


def show_checks(checks: Sequence[Check]) -> None:
    """The findings of `mlptrain data verify`."""
    table = new_table("", "what", "found")
    for check in checks:
        table.add_row("ok" if check.ok else "WRONG", check.what, check.detail)
    standard_output().print(table)


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    for limit, unit, name in ((90, 1, "s"), (5400, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds / 86_400:.0f} d"
