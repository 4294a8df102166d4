"""Runs logged by trackers while they train. What goes wrong there costs the log, never the run."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Self

from mlptrain.experiment.fit import Listener
from mlptrain.experiment.recorder import metrics_line
from mlptrain.experiment.recording import RecordedRun, Recording
from mlptrain.trackers import Log, Tracker, send
from mlptrain.training.endings import Ending
from mlptrain.training.trainer import Epoch, TrainedModel


class Tracking(Listener):
    """Tells one kind of tracker of all runs of a recording, behind which it stands among the listeners.

    Its first failure is noted, and the last thing that it receives. Use as a context, so that it is closed.
    """

    def __init__(self, log: Log, recording: Recording, on_note: Callable[[str], None]) -> None:
        self._log, self._recording, self._on_note = log, recording, on_note
        self._trackers: list[Tracker] = []
        self._failed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for tracker in self._trackers:
            self._attempt(tracker.close)
            if self._failed:
                with suppress(Exception):
                    tracker.close()

    def started(self, models: Sequence[TrainedModel]) -> None:  # noqa: ARG002 – the recording knows the runs
        """Begin with what is on record of each run: nothing of a new one."""
        for run in self._recording.runs:
            self._attempt(partial(self._open, run))

    def epoch(self, epochs: Sequence[Epoch | None]) -> None:
        """The lines that were recorded; a diverged epoch has none."""
        for tracker, run, epoch in zip(self._trackers, self._recording.runs, epochs, strict=False):
            if epoch is not None and run.recorder is not None and not _has_diverged(epoch):
                self._attempt(partial(tracker.line, metrics_line(epoch, run.experiment), time.time()))

    def ended(self, endings: Sequence[Ending | None]) -> None:  # noqa: ARG002 – the outcomes say more
        """The results."""
        for tracker, outcome in zip(self._trackers, self._recording.outcomes, strict=False):
            self._attempt(partial(tracker.end, outcome.result))

    def _open(self, run: RecordedRun) -> None:
        tracker = self._log.open(run.folder)
        self._trackers.append(tracker)
        send(tracker, run.folder, run.folder.read_metrics())

    def _attempt(self, act: Callable[[], None]) -> None:
        """Whatever another program raises."""
        if self._failed:
            return
        try:
            act()
        except Exception as error:
            self._failed = True
            what = " ".join(f"{type(error).__name__}: {error}".split())
            self._on_note(
                f"{self._log.name} failed, and gets nothing more of this run, which continues ({what[:300]}); "
                f"`mlptrain export RUN --to {self._log.name}` logs a run that is over"
            )


def _has_diverged(epoch: Epoch) -> bool:
    return epoch.ending is not None and epoch.ending.kind == "diverged"
