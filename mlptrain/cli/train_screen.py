"""What the terminal shows of a training: progress on standard error, results on standard output."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlptrain.cli.screen import Fetching, duration, new_table, standard_error, standard_output

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

    from mlptrain.spec import Experiment
    from mlptrain.training.endings import Ending
    from mlptrain.training.trainer import Epoch

_PLAIN_EPOCHS = 30  # without a terminal up to so many epochs have a line each; longer runs one per second


class Progress(Fetching):
    """Live progress of training: a bar in a terminal, plain lines elsewhere."""

    def __init__(self, experiment: Experiment, *, epochs: int) -> None:
        super().__init__()
        self.experiment = experiment
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

    def started(self, models: Sequence[object]) -> None:
        """Nothing is shown before the first epoch."""

    def epoch(self, epochs: Sequence[Epoch | None]) -> None:
        """One epoch is over."""
        if living := [epoch for epoch in epochs if epoch is not None and epoch.ending is None]:
            self._show(living)

    def ended(self, endings: Sequence[Ending | None]) -> None:
        """The results are shown by others."""

    def _show(self, found: Sequence[Epoch]) -> None:
        """One epoch of one model, or of several that train together."""
        number, now = found[0].epoch, time.monotonic()
        if self._first is None:
            self._first = (number, now)
        done, seconds = number - self._first[0], now - self._first[1]
        left = seconds / done * (self.epochs - number) if done else None
        if self._console.is_terminal:
            self._draw(number, self._figures(found), left)
        elif self.epochs <= _PLAIN_EPOCHS or now - self._printed_at >= 1 or number == self.epochs:
            self._printed_at = now
            remaining = f"{duration(left)} left" if left is not None and number < self.epochs else ""
            parts = [f"epoch {number}/{self.epochs}", self._figures(found), remaining]
            self._console.print("  ".join(filter(None, parts)), markup=False, soft_wrap=True)

    def _figures(self, found: Sequence[Epoch]) -> str:
        """Means over the models, with their standard deviations; examples per second of all models together."""
        parts = []
        measured = [epoch.evaluated for epoch in found]
        for name, of_split in (
            ("train", [epoch.train for epoch in found]),
            (self.experiment.evaluation.split, measured),
        ):
            losses = [figures.loss for figures in of_split if figures is not None]
            accuracies = [figures.accuracy for figures in of_split if figures and figures.accuracy is not None]
            if losses:
                accuracy = f" accuracy {_mean_and_spread(accuracies)}" if accuracies else ""
                parts.append(f"{name} loss {_mean_and_spread(losses)}{accuracy}")
        if found[0].training_seconds:
            parts.append(f"{len(found) * self.experiment.facts.train_rows / found[0].training_seconds:,.0f} examples/s")
        return "  ".join(parts)

    def _draw(self, epoch: int, figures: str, left: float | None) -> None:
        if self._training is None:
            from rich.progress import BarColumn, TextColumn
            from rich.progress import Progress as RichProgress
            from rich.table import Column

            columns = (
                TextColumn("epoch {task.completed:.0f}/{task.total:.0f}"),
                BarColumn(bar_width=20),
                TextColumn("{task.description}", table_column=Column()),  # folds, and leaves the others their width
                TextColumn("{task.fields[left]}"),
            )
            self._training = RichProgress(*columns, console=self._console)
            self._training.start()
            self._task = self._training.add_task("", total=self.epochs, left="")
        shown = f"{duration(left)} left" if left is not None and epoch < self.epochs else ""
        self._training.update(self._task, completed=epoch, description=figures, left=shown)


class SeedsProgress(Progress):
    """Live progress of several seeds: mean and spread over those that have not diverged."""

    def __init__(self, experiment: Experiment, *, epochs: int, seeds: Sequence[int]) -> None:
        super().__init__(experiment, epochs=epochs)
        self.seeds = seeds

    def epoch(self, epochs: Sequence[Epoch | None]) -> None:
        """One epoch of every seed is over; None stands for a seed that has no part in it."""
        diverged: dict[str, list[int]] = {}
        for seed, epoch in zip(self.seeds, epochs, strict=True):
            if epoch is not None and epoch.ending is not None:
                diverged.setdefault(epoch.ending.message, []).append(seed)
        for message, seeds in diverged.items():
            self._console.print(f"{name_seeds(seeds)} {message}", markup=False, soft_wrap=True)
        super().epoch(epochs)

    def _figures(self, found: Sequence[Epoch]) -> str:
        return "  ".join(filter(None, [super()._figures(found), f"({name_count(len(found))})"]))


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


def show_seeds(group: str, runs: Sequence[Mapping[str, Any]], kept: Mapping[str, Mapping[str, float | None]]) -> None:
    """A line for each seed, mean and sample standard deviation of the kept weights' figures, and where they lie.

    ``runs`` are results with their ``seed``; ``kept`` has the keys of a group's summary.
    """
    out = standard_output()
    completed = [run for run in runs if run["status"] == "completed"]
    out.print(f"{len(completed)} of {name_count(len(runs))} completed; figures of the kept weights:")
    table = new_table("seed", "kept")
    table.collapse_padding, table.pad_edge = True, False  # nine columns in a terminal of 80
    for name in kept:
        table.add_column(name.replace("_", "\n"), justify="right")
    for run in runs:
        if run["status"] == "completed":
            remark = f" ({run['diagnosis']['kind']})" if run["diagnosis"] else ""
            epoch = f"epoch {run['kept']['epoch']}{remark}"
            table.add_row(str(run["seed"]), epoch, *(f"{run['kept'][name]:.4f}" for name in kept))
        else:
            table.add_row(str(run["seed"]), f"diverged in epoch {run['epoch']}")
    table.add_section()
    for statistic in ("mean", "std") if kept else ():
        values = [spread[statistic] for spread in kept.values()]
        table.add_row(statistic, "", *("–" if value is None else f"{value:.4f}" for value in values))
    out.print(table)
    _show_diagnoses(runs)
    if len(runs) == 1:
        note = "note: one seed has no spread; --seeds names the seeds, such as --seeds 0,1,2,3,4 for five"
        standard_error().print(note, markup=False, soft_wrap=True)
    out.print(f"group folder: {group}", markup=False, soft_wrap=True)


def _show_diagnoses(runs: Sequence[Mapping[str, Any]]) -> None:
    """Why seeds did not learn: of each kind the first one's diagnosis, and which others share the kind."""
    for kind in ("stuck", "slow"):
        found = [run for run in runs if (run.get("diagnosis") or {}).get("kind") == kind]
        if found:
            show_diagnosis(found[0]["diagnosis"], who=f"seed {found[0]['seed']} ")
        if found[1:]:
            also = f"{name_seeds([run['seed'] for run in found[1:]])} {'is' if len(found) == 2 else 'are'} {kind} too"
            standard_error().print(f"  {also}; the causes are in each run's result.json", markup=False, soft_wrap=True)


def show_diagnosis(diagnosis: Mapping[str, Any], *, who: str = "") -> None:
    """Why a network did not learn, on standard error."""
    standard_error().print(f"warning: {who}{diagnosis['message']}", markup=False, soft_wrap=True)
    for cause in diagnosis["causes"]:
        standard_error().print(f"  - {cause}", markup=False, soft_wrap=True)


def name_seeds(seeds: Sequence[int]) -> str:
    """``seed 1`` or ``seeds 1, 2``."""
    return f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}"


def name_count(seeds: int) -> str:
    """``1 seed`` or ``2 seeds``."""
    return f"{seeds:,} {'seed' if seeds == 1 else 'seeds'}"


def _mean_and_spread(values: Sequence[float]) -> str:
    """The mean, and where there are several values ± their sample standard deviation."""
    if len(values) == 1:
        return f"{values[0]:.4f}"
    import statistics

    return f"{statistics.fmean(values):.4f} ± {statistics.stdev(values):.4f}"
