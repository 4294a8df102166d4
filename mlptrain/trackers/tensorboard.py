"""Event files for TensorBoard, written by its own record writer from torch's summaries.

Its ``SummaryWriter`` puts the machine's name into that of every file, which a run folder does not hold, keeps up to two
minutes of events in memory, and reports a full disk to whoever writes next. Here an event is written when it comes.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from mlptrain.runs import RunFolder, RunGroup
from mlptrain.runs.records import Line, RunResult
from mlptrain.system.atomic import write_atomically
from mlptrain.trackers import final_scalars, hyperparameters, outcome, scalars

FOLDER = "tensorboard"  # in a run folder
_FILES = "events.out.tfevents.{}.mlptrain"


def open_tracker(folder: RunFolder, place: Path | None) -> TensorBoard:
    """Start the events of a run over, in its folder or in one of its name at ``place``. Raises OSError."""
    return TensorBoard(folder, events_folder(folder, place))


def events_folder(folder: RunFolder, place: Path | None) -> Path:
    """Where the events of a run lie: below ``place`` a run of a group keeps the group's name before its own."""
    if place is None:
        return folder.path / FOLDER
    path = folder.path.resolve()
    return place / path.parent.name / path.name if RunGroup.is_group(path.parent) else place / path.name


class TensorBoard:
    """One file of events, in place of those that an earlier process has written for the run.

    These stay without their events: a TensorBoard that is looking reads one file after the other, and would stop where
    the one that it has read is gone.
    """

    def __init__(self, folder: RunFolder, into: Path) -> None:
        from tensorboard.compat.proto import event_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter
        from torch.utils import tensorboard as torchs

        summary: Any = torchs.summary
        self._event, self._summary = event_pb2, summary
        into.mkdir(parents=True, exist_ok=True)
        number, earlier = int(time.time()), sorted(into.glob(_FILES.format("*")))
        for file in earlier:
            write_atomically(file, b"")
        if earlier:
            number = max(number, int(earlier[-1].name.split(".")[3]) + 1)
        self._records: Any = RecordWriter((into / _FILES.format(f"{number:010d}")).open("xb"))
        self._write(file_version="brain.Event:2")
        if earlier:  # whoever has read them forgets their epochs
            self._write(session_log=event_pb2.SessionLog(status=event_pb2.SessionLog.START))
        self._write(summary=self._summary.hparams(hyperparameters(folder), {})[1])
        lines = folder.resolved.read_text(encoding="utf-8").splitlines()
        self._text("configuration", "".join(f"    {line}\n" for line in lines))  # code in Markdown, as texts are shown

    def line(self, line: Line, at: float) -> None:
        """Every figure of an epoch, at the epoch."""
        for tag, value in scalars(line).items():
            self._write(summary=self._summary.scalar(tag, value), step=line["epoch"], at=at)
        self._records.flush()

    def end(self, result: RunResult) -> None:
        """The figures of the kept weights, at their epoch, and how the run ended."""
        epoch, figures = final_scalars(result)
        for tag, value in figures.items():
            self._write(summary=self._summary.scalar(tag, value), step=epoch)
        self._text("outcome", outcome(result))
        if result.status == "completed":
            self._write(summary=self._summary.hparams({}, {})[2])

    def close(self) -> None:
        """Close the file."""
        self._records.close()

    def _text(self, tag: str, text: str) -> None:
        self._write(summary=self._summary.text(tag, text))

    def _write(self, *, at: float | None = None, **fields: Any) -> None:
        event = self._event.Event(wall_time=time.time() if at is None else at, **fields)
        self._records.write(event.SerializeToString())
