"""What the terminal shows: progress on standard error, results on standard output.

rich is imported when something is drawn: `--help` and an error message do without.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from mlptrain.errors import Fault, MachineError
from mlptrain.keys import SPLITS, metric_of, metrics_among, run_figure
from mlptrain.system.text import duration, printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as RichProgress
    from rich.table import Table

    from mlptrain.checks.doctor import Finding
    from mlptrain.runs import RunSummary
    from mlptrain.spec.executor import LocalExecutor, RayExecutor

_PIPE_WIDTH, _LEAST_WIDTH, _MAX_WIDTH = 200, 80, 10_000


def say(text: object, *, err: bool = False) -> None:
    """One line of plain text on standard output or standard error."""
    stream = sys.stderr if err else sys.stdout
    print(printable(str(text)), file=stream, flush=True)


def say_json(value: object) -> None:
    """A result as JSON on standard output. JSON has no nan and no infinity: null stands for both."""
    say(json.dumps(_finite(value), indent=2, allow_nan=False))


def _finite(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def console(*, stderr: bool = False) -> Console:
    """Standard output or standard error."""
    from rich.console import Console
    from rich.text import Text

    class PlainConsole(Console):
        """Shows every text as it is: brackets are no markup, and control characters are written out."""

        def render_str(self, text: str, **options: Any) -> Text:
            return super().render_str(printable(text), **options | {"markup": False, "emoji": False})

    # Bold and moving bars are escape sequences too, and whoever asks for no colour gets none of them.
    plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") in ("dumb", "unknown")
    made = PlainConsole(stderr=stderr, highlight=False, force_terminal=False if plain else None)
    if not _has_width(made):
        made.width = _PIPE_WIDTH  # rich would fold tables at 80 columns, which a file or pipe does not have
    elif not stderr:
        made.width = max(made.width, _LEAST_WIDTH)  # a narrower terminal wraps; rich would cut figures off
    return made


def _has_width(made: Console) -> bool:
    """Whether lines end at the console's width: in a terminal, and where COLUMNS is exported, which no shell does."""
    return made.file.isatty() or os.environ.get("COLUMNS", "").isdecimal()


def new_table(*columns: str, title: str | None = None) -> Table:
    """An empty table in the common style."""
    from rich import box
    from rich.table import Table

    return Table(*columns, title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)


def show_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None, right: Sequence[int] = ()
) -> None:
    """A table on standard output; ``right`` are the numbers of the columns that are set to the right."""
    table = new_table(title=title)
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index in right else "left")
    for row in rows:
        table.add_row(*map(str, row))
    print_table(table)


def print_table(table: Table) -> None:
    """A table of texts on standard output, whole: where it is too wide cells continue in the next line.

    rich would cut words, and take from the widest column first. A file or pipe gets lines of any length, unless
    COLUMNS is exported; a table that needs little more than 80 columns stands closer there.
    """
    out = console()
    options = out.options.update(max_width=_MAX_WIDTH)
    natural = out.measure(table, options=options).maximum
    if _LEAST_WIDTH < natural <= _LEAST_WIDTH + len(table.columns) + 1:  # what _narrow saves
        _narrow(table)
        natural = out.measure(table, options=options).maximum
    if natural > out.width:
        if _has_width(out):
            _fit(table, out.width)
        else:
            out.width = natural
    out.print(table)


def _narrow(table: Table) -> None:
    """Two spaces between columns instead of three, and none at the edges."""
    table.collapse_padding, table.pad_edge = True, False


def _fit(table: Table, width: int) -> None:
    """Give the columns widths that add up to ``width``, with spaces of two between them.

    Every word keeps its line where that is possible; else words of the widest columns of text are folded.
    """
    _narrow(table)
    texts = [[str(cell) for cell in (column.header, *column.cells)] for column in table.columns]
    lines = [max(len(line) for text in cells for line in text.split("\n")) for cells in texts]
    room = width - 2 * len(texts)
    words = [max((len(word) for text in cells for word in text.split()), default=1) for cells in texts]
    widths = [min(word, room // 3) for word in words]  # a hash or a long path may be folded
    free = room - sum(widths)
    for index in sorted(range(len(widths)), key=lambda index: lines[index] - widths[index]):  # figures first
        more = max(0, min(lines[index] - widths[index], free))
        widths[index], free = widths[index] + more, free - more
    of_text = [index for index, column in enumerate(table.columns) if column.justify == "left"]
    for _ in range(-free):
        widths[max(of_text or range(len(widths)), key=widths.__getitem__)] -= 1
    for column, own in zip(table.columns, widths, strict=True):
        column.width, column.overflow = max(1, own), "fold"


def show_error(message: str, *, bare: bool = False) -> None:
    """One message on standard error; bare where it names positions in a file or is not an error."""
    with contextlib.suppress(OSError):  # nobody reads it, and the exit code stays
        say(message if bare else f"error: {message}", err=True)


def write_file(path: Path, content: bytes, *, announced: bool = True) -> None:
    """Write a file whole or not at all and print its path, unless a result does that.

    Raises MachineError where the disk refuses.
    """
    from mlptrain.system.atomic import write_atomically
    from mlptrain.system.disk import remedy

    try:
        write_atomically(path, content)
    except OSError as error:
        reason = error.strerror or error
        raise MachineError(f"{path} cannot be written: {reason}. {remedy(error)}, or choose another file") from error
    if announced:
        say(path)


@contextlib.contextmanager
def result_of(folder: Path) -> Iterator[None]:
    """Raises MachineError where the result of hours cannot be shown, with the folder that holds it."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise MachineError(f"{folder} is complete, but its result cannot be shown: {error.strerror}") from error


def show_warnings(warnings: Sequence[Fault | str]) -> None:
    """What is odd about a configuration, on standard error."""
    for warning in warnings:
        say(f"warning: {warning}", err=True)


def warn_without_gpu(executor: LocalExecutor | RayExecutor, device: str, *, where: str, key: str) -> None:
    """That a part of a GPU is asked for at ``where``, and this machine, whose ``device`` all nodes take, has none.

    ``key`` is where the device is set.
    """
    from mlptrain.spec.executor import divides_gpus

    if divides_gpus(executor) and device == "auto":
        import torch

        if not torch.cuda.is_available():
            reason = f"{key} is auto, and this machine has no GPU that torch can use"
            show_warnings([f"{where}: has no effect: {reason}"])


class Fetching:
    """Progress of a download, if there is one: bars in a terminal, lines elsewhere."""

    def __init__(self) -> None:
        self._console = console(stderr=True)
        self._bars: RichProgress | None = None
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def note(self, text: str) -> None:
        """What is odd about the data, or not as the configuration says."""
        say(f"note: {text}", err=True)

    def new_bars(self, *columns: Any) -> RichProgress:
        """Bars of these columns; those before them, as of a download that is over, stop."""
        from rich.progress import Progress as RichProgress

        self.__exit__()
        self._bars = RichProgress(*columns, console=self._console)
        self._bars.start()
        return self._bars

    def fetch(self, file: str, done: int, total: int | None) -> None:
        """So many bytes of a file have arrived."""
        if self._console.is_terminal:
            from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn

            name = TextColumn("{task.description}", markup=False)
            bars = self._bars or self.new_bars(name, BarColumn(), DownloadColumn(), TransferSpeedColumn())
            if file not in self._tasks:
                self._tasks[file] = bars.add_task(file, total=total)
            bars.update(self._tasks[file], completed=done, total=total)
        elif file not in self._tasks:
            self._tasks[file] = done
            self._console.print(f"downloading {file}")


class Counting(Fetching):
    """Progress of many rows: a bar in a terminal, elsewhere a line for every tenth; nothing for what is done soon."""

    _FEW = 200_000

    def count(self, done: int, total: int) -> None:
        """So many rows of ``total`` are done."""
        if total < self._FEW:
            return
        if self._console.is_terminal:
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

            columns = TextColumn("rows"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
            bars = self._bars or self.new_bars(*columns)
            if "rows" not in self._tasks:
                self._tasks["rows"] = bars.add_task("rows", total=total)
            bars.update(self._tasks["rows"], completed=done)
        elif (tenth := 10 * done // total) > self._tasks.get("rows", 0):
            self._tasks["rows"] = tenth
            self._console.print(f"{done:,} of {total:,} rows")


_MAX_TENSORS = 2  # in one line of a table that is to fit into 80 columns


def show_check_of_study(found: Mapping[str, Any]) -> None:
    """What a comparison compares, or a search searches, and by what."""
    by = f"by {found['metric']}, {'higher' if found['goal'] == 'max' else 'lower'} is better; "
    seeds = len(found["scoring_seeds"])
    if "arms" in found:
        arms, tuning = found["arms"], len(found["tuning_seeds"])
        tuned = sum(arm["settings"] for arm in arms.values() if arm["settings"] > 1) * tuning
        what = f"{len(arms)} arms ({', '.join(arms)}) {by}{tuned:,} tuning trials before extensions, "
        say(f"{found['name']}: {what}{len(arms) * seeds:,} scoring trials")
        return
    rows = [(key, _choices(values)) for key, values in found["space"].items()]
    show_table(("key", "values"), rows, title=f"{found['config']}: no faults")
    pruned = "" if found["prune"] == "none" else f", pruned by {found['prune']}"
    what = f"{found['trials']:,} trials by {found['method']}{pruned}, {by}"
    say(f"{found['name']}: {what}the best setting is scored on {seeds} fresh seed{'' if seeds == 1 else 's'}")


def _choices(values: object) -> str:
    """The values of a key as YAML has them, numbers of a grid with four digits where these tell them apart."""
    from mlptrain.spec.dump import yaml_value

    numbers = values if isinstance(values, list) and all(isinstance(one, float) for one in values) else []
    short = [f"{number:.4g}" for number in numbers]
    return f"[{', '.join(short)}]" if short and len({*short}) == len(short) else yaml_value(values)


def show_check(report: Mapping[str, Any]) -> None:
    """A configuration's layers and counts."""
    columns = ("layer", "inputs", "outputs", "operations", "tensors", "parameters")
    layers = []
    for index, layer in enumerate(report["layers"]):
        named = [f"{name} {'×'.join(map(str, shape)) or '1'}" for name, shape in layer["tensors"].items()]
        tensors = ("\n" if len(named) > _MAX_TENSORS else ", ").join(named)
        widths = (layer["inputs"], layer["outputs"])
        layers.append([index, *widths, ", ".join(layer["operations"]), tensors, f"{layer['parameters']:,}"])
    show_table(columns, layers, title=f"{report['config']}: no faults", right=(0, 1, 2, 5))
    rows = report["rows"]
    beside = f" and {report['statistics']:,} running statistics, which are not trained" if report["statistics"] else ""
    say(
        f"{report['parameter_tensors']} parameter tensors, {report['parameters']:,} parameters{beside}; "
        f"rows: {rows['train']:,} training, {rows['validation']:,} validation, {rows['test']:,} test; "
        f"steps per epoch: {report['steps_per_epoch']:,}, with {report['optimizer']}"
    )
    for note in report["notes"]:
        say(f"data: {note}")


def show_evaluation(report: Mapping[str, Any]) -> None:
    """The figures of `mlptrain eval`."""
    of = report["split"] or report["data"]
    say(f"{of}: {report['examples']:,} examples, loss {run_figure('loss', report['loss'])} (mean per example)")
    if "objective" in report:
        say(f"objective {report['objective']:.4f}, what training minimises: smoothed, or weighted by class or example")
    if "per_quantile" in report:
        below = [(f"{row['quantile']:g}", run_figure("below", row["below"])) for row in report["per_quantile"]]
        show_table(("quantile", "share of targets at or below"), below, right=(0, 1))
        if len(below) > 1:
            say(f"quantiles cross for {run_figure('crossing', report['crossing'])} of the targets")
    if report["metrics"]:
        from mlptrain.spec.metrics import title_of_fraction

        rows = [(key, run_figure(key, value), title_of_fraction(key)) for key, value in report["metrics"].items()]
        over = "" if report["temperature"] is None else f", probabilities at temperature {report['temperature']:.4g}"
        show_table(("metric", "value", "what"), rows, title=f"further figures{over}", right=(1,))
        for key, reason in report["undefined"].items():
            say(f"{key} is undefined: {reason}")
    if report["accuracy"] is None:
        return
    low, high = report["interval"]
    say(
        f"accuracy {report['accuracy']:.4f} (95 % interval {low:.4f} to {high:.4f}), "
        f"{report['wrong']:,} wrong of {report['examples']:,}"
    )
    of_labels = report["confusion"] is None
    what = "label" if of_labels else "class"
    shares = (["accuracy"] if of_labels else []) + ["precision", "recall"]
    rows = [
        (row["class"], *(run_figure(name, row[name]) for name in shares), f"{row['examples']:,}")
        for row in report["per_class"]
    ]
    show_table((what, *shares, "examples"), rows, title=f"per {what}", right=range(1, len(shares) + 2))
    if any("–" in row for row in rows):
        say(f"–: undefined, since the {what} was never predicted (precision) or has no examples (recall)")
    if of_labels:
        say("an example counts as correct if all its labels are; the accuracies of the table are of single labels")
        return
    names = [row["class"] for row in report["per_class"]]
    if len(names) <= 20:
        counts = [[f"{count:,}" if count else "·" for count in row] for row in report["confusion"]]
        heads, title = names, "confusion"
        if sum(map(len, names)) + 3 * len(names) > _LEAST_WIDTH - 20:  # names would be folded, or wider than a terminal
            names, heads = [f"{number} {name}" for number, name in enumerate(names)], list(map(str, range(len(names))))
            title = "confusion: classes by their numbers"
        confusion = [[name, *row] for name, row in zip(names, counts, strict=True)]
        show_table(("true \\ predicted", *heads), confusion, title=title, right=range(1, len(names) + 1))


def share(value: float) -> str:
    """``12.50 %``."""
    return f"{value:.2%}".replace("%", " %")


def show_evaluations(reports: Sequence[Mapping[str, Any]]) -> None:
    """A line for each of several evaluations, which have a key ``run`` besides those of one."""
    rows = []
    further = list(dict.fromkeys(key for report in reports for key in report["metrics"]))
    for report in reports:
        row = [
            report["run"],
            report["split"] or report["data"],
            f"{report['examples']:,}",
            run_figure("loss", report["loss"]),
        ]
        if report["accuracy"] is not None:
            low, high = report["interval"]
            row += [f"{report['accuracy']:.4f}", f"{low:.4f} to {high:.4f}", f"{report['wrong']:,}"]
        more = [run_figure(key, report["metrics"][key]) if key in report["metrics"] else "" for key in further]
        rows.append([*[*row, "", "", ""][:7], *more])
    columns = ("run", "split", "examples", "loss", "accuracy", "95 % interval", "wrong", *further)
    show_table(columns, rows, title="losses are means per example", right=(2, 3, 4, *range(6, len(columns))))


_OF_TRAINING = ("train_loss", "train_accuracy")  # what the table of runs has room for


def show_runs(places: Sequence[Path], listed: Sequence[RunSummary]) -> None:
    """The table of runs, and that of comparisons and searches."""
    if not listed:
        say(f"no runs in {' or '.join(map(str, places))}; `mlptrain train CONFIG` makes one")
    if runs := [one for one in listed if one.what == "run"]:
        _show_runs(places, runs)
    from mlptrain.spec.metrics import figure_text

    rows = [
        (
            _place(one.path, places),
            f"{one.what}, {one.status}",
            one.name,
            "" if one.trials is None else f"{one.trials:,}",
            one.best,
            "" if one.metric is None else f"{one.metric} {figure_text(metric_of(one.metric), one.value)}",
            duration(one.age),
        )
        for one in listed
        if one.what != "run"
    ]
    if rows:
        columns = ("folder", "what", "name", "trials", "best", "mean over scoring seeds", "age")
        show_table(columns, rows, title="comparisons and searches", right=(3, 6))


def _place(path: Path, places: Sequence[Path]) -> str:
    """A folder as the table names it; a seed's run lies in the folder of its group."""
    return str(path.relative_to(places[0]) if len(places) == 1 and path != places[0] else path)


def _show_runs(places: Sequence[Path], runs: Sequence[RunSummary]) -> None:
    """In a narrow terminal the figures of a run stand below each other."""
    kinds = dict.fromkeys(["loss", "accuracy", *metrics_among(name for run in runs for name in run.figures)])
    figures = [f"{split}_{kind}" for split in SPLITS for kind in kinds]
    figures = [name for name in figures if any(name in run.figures for run in runs)]
    figures = [name for name in figures if name in _OF_TRAINING or not name.startswith("train_")]
    first = ("run", "status", "data", "model", "optimizer", "lr", "epoch")
    rows = []
    for run in runs:
        optimizer = run.optimizer if run.lr is None else run.optimizer.replace(f" {run.lr:g}", "", 1)
        epoch = "" if run.epoch is None else f"{run.epoch}" + (f" of {run.epochs}" if run.epoch != run.epochs else "")
        lr = "" if run.lr is None else f"{run.lr:g}"
        shown = [run_figure(key, run.figures[key]) if key in run.figures else "" for key in figures]
        rows.append(
            [_place(run.path, places), run.status, run.data, run.model, optimizer, lr, epoch, *shown, duration(run.age)]
        )
    in_width = _has_width(console())
    head = [*first, *(name.replace("_", "\n" if in_width else "_") for name in figures), "age"]
    numbers = range(len(first) - 2, len(head))
    if in_width and _natural_width([head, *rows]) > console().width:
        head, rows, numbers = _stacked(first, figures, rows)
    title = "figures of the kept weights; losses are means per example" if figures else None
    show_table(head, rows, title=title, right=numbers)


def _stacked(
    first: Sequence[str], figures: Sequence[str], rows: Sequence[Sequence[str]]
) -> tuple[list[str], list[list[str]], range]:
    """The table of runs with the values of a split in a cell: loss over accuracy, and so on."""
    splits = [split for split in SPLITS if f"{split}_loss" in figures]
    kinds = metrics_among(figures)
    names = "\n".join(kinds)
    head = ["run\nstatus, age", "data, model\noptimizer, lr", "epoch", *(f"{split}\n{names}" for split in splits)]
    stacked = []
    for row in rows:
        name, status, data, model, optimizer, lr, epoch = row[: len(first)]
        value = dict(zip(figures, row[len(first) : -1], strict=True))
        cells = ["\n".join(value.get(f"{split}_{kind}", "") for kind in kinds).rstrip() for split in splits]
        what = f"{data}, {model}\n{optimizer}, lr {lr}" if model else ""
        stacked.append([f"{name}\n{status}, {row[-1]}", what, epoch, *cells])
    return head, stacked, range(2, len(head))


def _natural_width(rows: Sequence[Sequence[str]]) -> int:
    columns = zip(*rows, strict=True)
    return sum(max(len(line) for text in column for line in text.split("\n")) + 3 for column in columns)


def show_finding(finding: Finding) -> None:
    """A line of `mlptrain doctor`, and what to do."""
    level = "PROBLEM" if finding.level == "problem" else finding.level
    say(f"{level:<8} {finding.about}: {finding.found}")
    if finding.advice:
        say(f"{'':<8} → {finding.advice}")
