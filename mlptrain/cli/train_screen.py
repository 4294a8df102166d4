"""What the terminal shows of a training: progress on standard error, results on standard output."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlptrain.cli.screen import Fetching, duration, figure, new_table, print_table, say, show_table
from mlptrain.keys import table_of
from mlptrain.system.cores import Pressure

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

    from mlptrain.runs.records import Calibration, CompletedRun, Diagnosis, RunResult, Scaling, Spread
    from mlptrain.spec import Experiment
    from mlptrain.training.endings import Ending
    from mlptrain.training.trainer import Epoch

_KEPT_FIGURES = "figures of the kept weights; losses are means per example:"
_MAX_KINDS = 5  # figures beside each other; of more there is a row for each
_MAX_WEIGHTS = 20  # of classes in a line
_PLAIN_EPOCHS = 30  # without a terminal up to so many epochs have a line each; longer runs one per second


class Progress(Fetching):
    """Live progress of training: a bar in a terminal, plain lines elsewhere.

    With ``seeds`` of several models that train together: mean and spread over those that have not diverged.
    """

    def __init__(self, experiment: Experiment, *, epochs: int, seeds: Sequence[int] | None = None) -> None:
        super().__init__()
        self.experiment, self.epochs, self.seeds = experiment, epochs, seeds
        self._training: RichProgress | None = None
        self._task: Any = None
        self._first: tuple[int, float] | None = None
        self._printed_at = 0.0
        self._pressure: Pressure | None = None

    def started(self, models: Sequence[object]) -> None:  # noqa: ARG002 - as every listener
        """Nothing is shown before the first epoch."""
        import torch

        self._pressure = Pressure(torch.get_num_threads())

    def epoch(self, epochs: Sequence[Epoch | None]) -> None:
        """One epoch of every model is over; None for a model that takes no part in it."""
        ended: dict[str, list[int]] = {}
        for seed, epoch in zip(self.seeds or (), epochs, strict=self.seeds is not None):
            if epoch is not None and epoch.ending is not None:
                ended.setdefault(epoch.ending.message, []).append(seed)
        for message, seeds in ended.items():
            self._console.print(f"{name_seeds(seeds)} {message}", soft_wrap=True)
        if living := [epoch for epoch in epochs if epoch is not None and not _has_diverged(epoch)]:
            self._show(living)
            if self._pressure is not None and (note := self._pressure.note(living[0].waiting_seconds)):
                self._pressure = None  # once is enough
                self._console.print(f"note: {note}", soft_wrap=True)

    def note(self, text: str) -> None:
        """What is odd about the data."""
        say(f"note: {text}", err=True)

    def ended(self, endings: Sequence[Ending | None]) -> None:
        """The results are shown by others."""

    def _show(self, epochs: Sequence[Epoch]) -> None:
        """One epoch of one model, or of several that train together."""
        number, now = epochs[0].epoch, time.monotonic()
        if self._first is None:
            self._first = (number, now)
        done, seconds = number - self._first[0], now - self._first[1]
        left = f"{duration(seconds / done * (self.epochs - number))} left" if done and number < self.epochs else ""
        if self._console.is_terminal:
            self._draw(number, self._figures(epochs), left)
        elif self.epochs <= _PLAIN_EPOCHS or now - self._printed_at >= 1 or number == self.epochs:
            self._printed_at = now
            parts = [f"epoch {number}/{self.epochs}", self._figures(epochs), left]
            self._console.print("  ".join(filter(None, parts)), soft_wrap=True)

    def _figures(self, epochs: Sequence[Epoch]) -> str:
        """Means over the models, with their standard deviations; examples per second of all models together."""
        parts, split = [], self.experiment.evaluation.split
        measured = {"train": [epoch.train for epoch in epochs], split: [epoch.evaluated for epoch in epochs]}
        for name, of_split in measured.items():
            losses = [figures.loss for figures in of_split if figures is not None]
            accuracies = [figures.accuracy for figures in of_split if figures and figures.accuracy is not None]
            if losses:
                accuracy = f" accuracy {_mean_and_spread(accuracies)}" if accuracies else ""
                when = " (during the epoch)" if name == "train" else ""
                parts.append(f"{name} loss {_mean_and_spread(losses)}{accuracy}{when}")
        if seconds := epochs[0].training_seconds:
            parts.append(f"{len(epochs) * self.experiment.facts.train_rows / seconds:,.0f} examples/s")
        if self.seeds is not None:
            parts.append(f"({name_count(len(epochs))})")
        return "  ".join(parts)

    def _draw(self, epoch: int, figures: str, left: str) -> None:
        if self._training is None:
            from rich.progress import BarColumn, TextColumn
            from rich.table import Column

            self._training = self.new_bars(
                TextColumn("epoch {task.completed:.0f}/{task.total:.0f}"),
                BarColumn(bar_width=20),
                TextColumn("{task.description}", table_column=Column()),  # folds, and leaves the others their width
                TextColumn("{task.fields[left]}"),
            )
            self._task = self._training.add_task("", total=self.epochs, left="")
        self._training.update(self._task, completed=epoch, description=figures, left=left)


def show_result(
    run: str,
    result: CompletedRun,
    *,
    scaling: Scaling | None = None,
    class_weights: Mapping[str, float] | None = None,
) -> None:
    """The metrics a run ends with, the numbers that were fitted for it, its diagnosis, and where it lies."""
    kept, metrics = result.kept, result.kept.metrics
    if result.stopped_early is not None:
        say(result.stopped_early.message)
    about = f": {result.about_kept}" if result.about_kept else ""
    say(f"kept: epoch {kept.epoch} of {result.epochs}, {kept.checkpoint}{about}")
    say(_KEPT_FIGURES)
    head, *rows = table_of(metrics, show=lambda _, value: figure(value), widest=_MAX_KINDS)
    show_table(head, rows, right=range(1, len(head)))
    if result.calibration is not None and result.calibration.temperature is not None:
        show_calibration(result.calibration)
    for name, reason in result.undefined.items():
        say(f"note: {name} is undefined: {reason}", err=True)
    if "train_objective" in metrics:
        say("objective: what training minimises, smoothed or weighted by class or example")
    if result.about_choice:
        say(result.about_choice)
    if scaling is not None:
        say(f"scaling, fitted on the training rows: {scaling.in_words()}")
    if class_weights:
        shown = [f"{name} {weight:.4g}" for name, weight in list(class_weights.items())[:_MAX_WEIGHTS]]
        more = [f"and {len(class_weights) - _MAX_WEIGHTS} more"] if len(class_weights) > _MAX_WEIGHTS else []
        say(f"class weights: {', '.join(shown + more)}")
    if result.diagnosis is not None:
        show_diagnosis(result.diagnosis)
    say(f"run folder: {run}")


def show_calibration(calibration: Calibration) -> None:
    """The temperature, and what it did to log-loss and calibration error."""
    parts = [
        f"{split}{' (which it was fitted on)' * (split == 'validation')} log-loss "
        f"{calibration.before[f'{split}_log_loss']:.4f} → {calibration.after[f'{split}_log_loss']:.4f}, ECE "
        f"{100 * calibration.before[f'{split}_ece']:.2f} → {100 * calibration.after[f'{split}_ece']:.2f} %"
        for split in ("validation", "test")
        if f"{split}_log_loss" in calibration.after
    ]
    say(f"temperature {calibration.temperature:.4g}: {'; '.join(parts)}")


def show_seeds(group: str, runs: Mapping[int, RunResult], kept: Mapping[str, Spread], *, scaled: bool = False) -> None:
    """A line for each seed, mean and sample standard deviation of the kept weights' metrics, and where they lie."""
    completed = sum(result.status == "completed" for result in runs.values())
    say(f"{completed} of {name_count(len(runs))} completed")
    say(_KEPT_FIGURES)
    table = new_table("seed", "kept")
    table.collapse_padding, table.pad_edge = True, False  # nine columns in a terminal of 80
    for name in kept:
        table.add_column(name.replace("_", "\n"), justify="right")
    for seed, result in runs.items():
        if result.status == "completed":
            remark = ", untrained" if not result.kept.epoch else ""
            remark += f" of {result.epochs}" if result.stopped_early is not None else ""
            remark += f" ({result.diagnosis.kind})" if result.diagnosis else ""
            values = (f"{result.kept.metrics[name]:.4f}" for name in kept)
            table.add_row(str(seed), f"epoch {result.kept.epoch}{remark}", *values)
        else:
            table.add_row(str(seed), f"diverged in epoch {result.epoch}")
    table.add_section()
    if kept:
        table.add_row("mean", "", *(f"{spread.mean:.4f}" for spread in kept.values()))
        table.add_row("std", "", *("–" if spread.std is None else f"{spread.std:.4f}" for spread in kept.values()))
    print_table(table)
    reasons: dict[str, list[int]] = {}
    for seed, result in runs.items():
        for name, reason in (result.undefined if result.status == "completed" else {}).items():
            reasons.setdefault(f"{name} is undefined: {reason}", []).append(seed)
    for reason, seeds in reasons.items():
        say(f"note: {name_seeds(seeds)}: {reason}", err=True)
    _show_diagnoses({seed: run.diagnosis for seed, run in runs.items() if run.diagnosis is not None})
    if len(runs) == 1:
        say("note: one seed has no spread; --seeds names the seeds, such as --seeds 0,1,2,3,4 for five", err=True)
    if scaled:
        say("scaling, fitted on each seed's own training rows: the numbers are in its run's environment.json")
    say(f"group folder: {group}")


def _show_diagnoses(diagnoses: Mapping[int, Diagnosis]) -> None:
    """Why seeds did not learn: of each kind the first one's diagnosis, and which others share the kind."""
    for kind in ("diverged", "stuck", "slow"):
        seeds = [seed for seed, diagnosis in diagnoses.items() if diagnosis.kind == kind]
        if seeds:
            show_diagnosis(diagnoses[seeds[0]], who=f"seed {seeds[0]} ")
        if others := seeds[1:]:
            verb = "" if kind == "diverged" else "is " if len(others) == 1 else "are "
            also = f"{name_seeds(others)} {verb}{kind} too"
            say(f"  {also}; the causes are in each run's result.json", err=True)


def show_diagnosis(diagnosis: Diagnosis, *, who: str = "") -> None:
    """Why a network did not learn, on standard error."""
    say(f"warning: {who}{diagnosis.message}", err=True)
    show_causes(diagnosis)


def show_causes(diagnosis: Diagnosis) -> None:
    """What was found, and all that it asks for as options, with what that did in the trials."""
    for cause in diagnosis.causes:
        say(f"  - {cause}", err=True)
    if diagnosis.remedies:
        options = " ".join(f"--set {shlex.quote(option)}" for option in diagnosis.options)
        say(f"  to try {'all of it' if len(diagnosis.remedies) > 1 else 'it'}: {options}", err=True)
    if diagnosis.trial:
        say(f"  with it: {diagnosis.trial}", err=True)


def _has_diverged(epoch: Epoch) -> bool:
    return epoch.ending is not None and epoch.ending.kind == "diverged"


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
