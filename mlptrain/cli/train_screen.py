"""What the terminal shows of a training: progress on standard error, results on standard output."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlptrain.cli.screen import Fetching, new_table, print_table, say, show_table
from mlptrain.keys import metric_of, metrics_among, run_figure, split_of, table_of
from mlptrain.system.cores import Pressure

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

    from mlptrain.runs.records import Calibration, CompletedRun, Diagnosis, RunResult, Scaling, Spread
    from mlptrain.spec import Experiment
    from mlptrain.training.endings import Ending
    from mlptrain.training.trainer import Epoch

_KEPT_FIGURES = "figures of the kept weights; losses are means per example:"
_MAX_KINDS = 5  # figures beside each other; of more there is a row for each
_MAX_FIGURES = 6  # of a group's runs beside each other; of more those of a split stand below each other
_MAX_WEIGHTS = 20  # of classes in a line


class Progress(Fetching):
    """Live progress of training: a bar in a terminal, plain lines elsewhere.

    With ``numbers`` of several models that train together, each a seed or a fold by the ``word``: mean and spread over
    those that have not diverged.
    """

    def __init__(
        self, experiment: Experiment, *, epochs: int, numbers: Sequence[int] | None = None, word: str = "seed"
    ) -> None:
        from mlptrain.experiment.progress import Course

        super().__init__()
        self.epochs, self.numbers, self.word = epochs, numbers, word
        self._course = Course(experiment, epochs=epochs, word="" if numbers is None else word)
        self._training: RichProgress | None = None
        self._task: Any = None
        self._printed_at = 0.0
        self._pressure: Pressure | None = None

    def started(self, models: Sequence[object]) -> None:  # noqa: ARG002 - as every listener
        """Nothing is shown before the first epoch."""
        import torch

        self._pressure = Pressure(torch.get_num_threads())

    def epoch(self, epochs: Sequence[Epoch | None]) -> None:
        """One epoch of every model is over; None for a model that takes no part in it."""
        from mlptrain.experiment.progress import living

        ended: dict[str, list[int]] = {}
        for number, epoch in zip(self.numbers or (), epochs, strict=self.numbers is not None):
            if epoch is not None and epoch.ending is not None:
                ended.setdefault(epoch.ending.message, []).append(number)
        for message, numbers in ended.items():
            self._console.print(f"{name_numbers(numbers, self.word)} {message}", soft_wrap=True)
        if taken := living(epochs):
            self._show(taken)
            if self._pressure is not None and (note := self._pressure.note(taken[0].waiting_seconds)):
                self._pressure = None  # once is enough
                self._console.print(f"note: {note}", soft_wrap=True)

    def ended(self, endings: Sequence[Ending | None]) -> None:
        """The results are shown by others."""

    def _show(self, epochs: Sequence[Epoch]) -> None:
        """One epoch of one model, or of several that train together."""
        from mlptrain.experiment.progress import PLAIN_EPOCHS

        number, now = epochs[0].epoch, time.monotonic()
        figures, left = self._course.figures(epochs), self._course.left(number)
        if self._console.is_terminal:
            self._draw(number, figures, left)
        elif self.epochs <= PLAIN_EPOCHS or now - self._printed_at >= 1 or number == self.epochs:
            self._printed_at = now
            self._console.print(
                "  ".join(filter(None, [f"epoch {number}/{self.epochs}", figures, left])), soft_wrap=True
            )

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
    run: str, result: CompletedRun, *, scaling: Scaling | None = None, class_weights: Mapping[str, float] | None = None
) -> None:
    """The metrics a run ends with, the numbers that were fitted for it, its diagnosis, and where it lies."""
    kept, metrics = result.kept, result.kept.metrics
    if result.stopped_early is not None:
        say(result.stopped_early.message)
    about = f": {result.about_kept}" if result.about_kept else ""
    say(f"kept: epoch {kept.epoch} of {result.epochs}, {kept.checkpoint}{about}")
    say(_KEPT_FIGURES)
    head, *rows = table_of(metrics, show=run_figure, widest=_MAX_KINDS)
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
    if result.still_falling is not None:
        say(f"note: {result.still_falling}: {_longer(run, result)}", err=True)
    say(f"run folder: {run}")


def _longer(path: str, result: CompletedRun) -> str:
    """The command that trains on for as many epochs again."""
    return f"`mlptrain train --resume {shlex.quote(path)} --set training.epochs={2 * result.epochs}`"


def show_calibration(calibration: Calibration) -> None:
    """The temperature, and what it did to log-loss and calibration error, by sample weights where there are some."""
    from mlptrain.spec.metrics import WEIGHTED  # here: it is not needed to start

    by = WEIGHTED if f"validation_{WEIGHTED}log_loss" in calibration.after else ""
    word = by.replace("_", " ")
    parts = [
        f"{split}{' (which it was fitted on)' * (split == 'validation')} {word}log-loss "
        f"{calibration.before[f'{split}_{by}log_loss']:.4f} → {calibration.after[f'{split}_{by}log_loss']:.4f}, "
        f"{word}ECE {100 * calibration.before[f'{split}_{by}ece']:.2f} → "
        f"{100 * calibration.after[f'{split}_{by}ece']:.2f} %"
        for split in ("validation", "test")
        if f"{split}_{by}log_loss" in calibration.after
    ]
    say(f"temperature {calibration.temperature:.4g}: {'; '.join(parts)}")


def show_group(
    group: str, runs: Mapping[int, RunResult], kept: Mapping[str, Spread], *, word: str = "seed", scaled: bool = False
) -> None:
    """A line for each seed or fold, mean and spread of the kept weights' metrics, and where they lie."""
    completed = sum(result.status == "completed" for result in runs.values())
    say(f"{completed} of {len(runs):,} {word}{'' if len(runs) == 1 else 's'} completed")
    say(_KEPT_FIGURES)
    cells = [[name] for name in kept]  # figures that stand in one cell below each other
    if stacked := len(kept) > _MAX_FIGURES:
        cells = [[f"{split}_{kind}" for kind in metrics_among(kept)] for split in dict.fromkeys(map(split_of, kept))]
    table = new_table(word, "kept", *(["figure"] if stacked else []))
    table.collapse_padding, table.pad_edge = True, False  # nine columns in a terminal of 80
    for names in cells:
        table.add_column(split_of(names[0]) if stacked else names[0].replace("_", "\n"), justify="right")
    of_splits = ["\n".join(map(metric_of, cells[0]))] if stacked else []

    def row(values: Mapping[str, float | None]) -> list[str]:
        shown = {name: run_figure(name, value) for name, value in values.items()}
        return [*of_splits, *("\n".join(shown.get(name, "") for name in names) for names in cells)]

    for number, result in runs.items():
        if result.status == "completed":
            remark = ", untrained" if not result.kept.epoch else ""
            remark += f" of {result.epochs}" if result.stopped_early is not None else ""
            remark += f" ({result.diagnosis.kind})" if result.diagnosis else ""
            values = row({name: result.kept.metrics[name] for name in kept})
            table.add_row(str(number), f"epoch {result.kept.epoch}{remark}", *values, end_section=stacked)
        else:
            table.add_row(str(number), f"diverged in epoch {result.epoch}")
    table.add_section()
    if kept:
        table.add_row("mean", "", *row({key: spread.mean for key, spread in kept.items()}), end_section=stacked)
        for name, spread in {"std": "std", "std error": "standard_error"}.items():
            if all(hasattr(of_runs, spread) for of_runs in kept.values()):
                values = row({key: getattr(of_runs, spread) for key, of_runs in kept.items()})
                table.add_row(name, "", *values, end_section=stacked)
    print_table(table)
    reasons: dict[str, list[int]] = {}
    for number, result in runs.items():
        for name, reason in (result.undefined if result.status == "completed" else {}).items():
            reasons.setdefault(f"{name} is undefined: {reason}", []).append(number)
    for reason, numbers in reasons.items():
        say(f"note: {name_numbers(numbers, word)}: {reason}", err=True)
    falling = {n: run for n, run in runs.items() if run.status == "completed" and run.still_falling is not None}
    if falling:
        first, result = next(iter(falling.items()))
        others = f"; so was that of {name_numbers(list(falling)[1:], word)}" if len(falling) > 1 else ""
        said = f"{word} {first}: {result.still_falling}"
        say(f"note: {said}{others}: {_longer(group, result)}", err=True)
    _show_diagnoses({number: run.diagnosis for number, run in runs.items() if run.diagnosis is not None}, word)
    if word == "fold":
        say("test: the rows of each fold, which it is not trained on; no row is in two of them")
    if len(runs) == 1:
        say("note: one seed has no spread; --seeds names the seeds, such as --seeds 0,1,2,3,4 for five", err=True)
    if scaled:
        say(f"scaling, fitted on each {word}'s own training rows: the numbers are in its run's environment.json")
    say(f"group folder: {group}")


def _show_diagnoses(diagnoses: Mapping[int, Diagnosis], word: str) -> None:
    """Why models did not learn: of each kind the first one's diagnosis, and which others share the kind."""
    for kind in ("diverged", "stuck", "slow"):
        numbers = [number for number, diagnosis in diagnoses.items() if diagnosis.kind == kind]
        if numbers:
            show_diagnosis(diagnoses[numbers[0]], who=f"{word} {numbers[0]} ")
        if others := numbers[1:]:
            verb = "" if kind == "diverged" else "is " if len(others) == 1 else "are "
            also = f"{name_numbers(others, word)} {verb}{kind} too"
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


def name_numbers(numbers: Sequence[int], word: str) -> str:
    """``seed 1`` or ``folds 1, 2``."""
    return f"{word}{'' if len(numbers) == 1 else 's'} {', '.join(map(str, numbers))}"
