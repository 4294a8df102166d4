"""How far a training is and what its last epoch came to, in words, and drawn where Python runs in a notebook."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Sequence
from html import escape
from typing import Any

from mlptrain.experiment.fit import Listener
from mlptrain.spec import Experiment
from mlptrain.system.text import duration
from mlptrain.training.endings import Ending
from mlptrain.training.trainer import Epoch

PLAIN_EPOCHS = 30  # in lines up to so many epochs have one each; longer runs one per second
_SECONDS_BETWEEN = 0.2  # of what a notebook is sent, which keeps every picture until the next


class Course:
    """The words for a training of so many ``epochs``, of one model or of several, each a seed or a fold by ``word``."""

    def __init__(self, experiment: Experiment, *, epochs: int, word: str = "") -> None:
        self._experiment, self.epochs, self._word = experiment, epochs, word
        self._first: tuple[int, float] | None = None

    def left(self, epoch: int) -> str:
        """The time that is left after an epoch, by the pace since the first that was asked for; empty at the end."""
        now = time.monotonic()
        if self._first is None:
            self._first = epoch, now
        done, seconds = epoch - self._first[0], now - self._first[1]
        return f"{duration(seconds / done * (self.epochs - epoch))} left" if done and epoch < self.epochs else ""

    def figures(self, epochs: Sequence[Epoch]) -> str:
        """Means over the models, with their standard deviations; examples per second of all models together."""
        parts, split = [], self._experiment.evaluation.split
        of_splits = {"train": [epoch.train for epoch in epochs], split: [epoch.evaluated for epoch in epochs]}
        for name, of_split in of_splits.items():
            losses = [figures.loss for figures in of_split if figures is not None]
            accuracies = [figures.accuracy for figures in of_split if figures and figures.accuracy is not None]
            if losses:
                accuracy = f" accuracy {_mean_and_spread(accuracies)}" if accuracies else ""
                when = " (during the epoch)" if name == "train" else ""
                parts.append(f"{name} loss {_mean_and_spread(losses)}{accuracy}{when}")
        if seconds := epochs[0].training_seconds:
            parts.append(f"{len(epochs) * self._experiment.facts.train_rows / seconds:,.0f} examples/s")
        if self._word:
            parts.append(f"({len(epochs):,} {self._word}{'' if len(epochs) == 1 else 's'})")
        return "  ".join(parts)


def living(epochs: Sequence[Epoch | None]) -> list[Epoch]:
    """Those of models that took part in it and have not diverged."""
    taken = [epoch for epoch in epochs if epoch is not None]
    return [epoch for epoch in taken if epoch.ending is None or epoch.ending.kind != "diverged"]


class Shown(Listener):
    """Progress for a caller in Python: a moving bar in a notebook, lines on standard error elsewhere."""

    def __init__(self, course: Course) -> None:
        self._course, self._shown_at = course, 0.0
        self._handle: Any = None
        self._last: tuple[int, str] | None = None

    def epoch(self, epochs: Sequence[Epoch | None]) -> None:
        """Show it, unless another one was shown a moment ago."""
        if not (taken := living(epochs)):
            return
        number, now = taken[0].epoch, time.monotonic()
        left, in_notebook = self._course.left(number), display_function() is not None
        self._last = number, "  ".join(filter(None, [self._course.figures(taken), left]))
        often = not in_notebook and self._course.epochs <= PLAIN_EPOCHS
        if often or now - self._shown_at >= (_SECONDS_BETWEEN if in_notebook else 1.0):
            self._show(now)

    def ended(self, endings: Sequence[Ending | None]) -> None:  # noqa: ARG002 – the outcome shows them
        """The last epoch, if it is not shown."""
        self._show(time.monotonic())

    def _show(self, now: float) -> None:
        if self._last is None:
            return
        (number, words), self._shown_at, self._last = self._last, now, None
        text = f"epoch {number}/{self._course.epochs}"
        display = display_function()
        if display is None:
            sys.stderr.write(f"{text}  {words}\n")
            return
        bar = f'<progress value="{number}" max="{max(1, self._course.epochs)}" style="width: 12em"></progress>'
        content = {
            "text/plain": f"{text}  {words}",
            "text/html": f"{bar} {text} &ensp; {escape(words).replace('  ', ' &ensp; ')}",
        }
        if self._handle is None:
            self._handle = display(content, raw=True, display_id=True)
        else:
            self._handle.update(content, raw=True)


def display_function() -> Any:
    """What draws into the notebook that this process computes for; None in any other process."""
    ipython: Any = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return None if getattr(shell, "kernel", None) is None else ipython.display.display


def listeners_of(shown: bool | None, experiments: Sequence[Experiment], word: str) -> list[Listener]:
    """One that shows progress where that is wished; None wishes it in a notebook alone."""
    if not (display_function() is not None if shown is None else shown):
        return []
    epochs = max(one.training.epochs for one in experiments)
    return [Shown(Course(experiments[0], epochs=epochs, word=word))]


def _mean_and_spread(values: Sequence[float]) -> str:
    """The mean, and where there are several values ± their sample standard deviation."""
    if len(values) == 1:
        return f"{values[0]:.4f}"
    return f"{statistics.fmean(values):.4f} ± {statistics.stdev(values):.4f}"
