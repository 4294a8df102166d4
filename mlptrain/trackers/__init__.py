"""Other programs' screens for a run: what is in its folder, sent to TensorBoard or MLflow, live or when it is over.

The run folder stays the record. A tracker receives the lines of ``metrics.jsonl``, and a resumed run sends again what
it has already, so that it ends with each epoch once.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol

from mlptrain.errors import RunFolderError, UserError
from mlptrain.keys import metric_of, split_of
from mlptrain.runs import RunFolder
from mlptrain.runs.log import read_lines
from mlptrain.runs.records import Line, RunResult
from mlptrain.spec.dump import plain
from mlptrain.system.paths import user_path


class Tracker(Protocol):
    """What is logged of one run. Every method may raise whatever goes wrong."""

    def line(self, line: Line, at: float) -> None:
        """The line of an epoch that ended ``at`` so many seconds since 1970."""

    def end(self, result: RunResult) -> None:
        """The run is over."""

    def close(self) -> None:
        """Nothing more comes, whether the run is over or was interrupted."""


@dataclass(frozen=True)
class Log:
    """Where a run is logged: the name of a tracker, and a folder of choice where it takes one."""

    name: str
    place: Path | None = None

    @property
    def written(self) -> str:
        """As it is named after ``--log``."""
        return self.name if self.place is None else f"{self.name}:{self.place}"

    def open(self, folder: RunFolder) -> Tracker:
        """The tracker of one run, which has nothing yet but its configuration. Raises whatever goes wrong."""
        module = importlib.import_module(_TRACKERS[self.name][0])
        tracker: Tracker = module.open_tracker(folder, self.place)
        return tracker


# Module here, and what it cannot do without.
_TRACKERS = {
    "tensorboard": ("mlptrain.trackers.tensorboard", "tensorboard"),
    "mlflow": ("mlptrain.trackers.mlflow", "mlflow"),
}
NAMES = tuple(_TRACKERS)


def parse_logs(written: str | Sequence[str]) -> list[Log]:
    """``tensorboard``, ``tensorboard:FOLDER`` or ``mlflow``, or several, each once.

    Raises UserError for another name, and for a package that is not installed.
    """
    logs = []
    for one in [written] if isinstance(written, str) else written:
        name, _, place = one.partition(":")
        if name not in _TRACKERS:
            raise UserError(f"log '{one}': choose {' or '.join(NAMES)}; tensorboard:FOLDER names a folder of choice")
        if place and name == "mlflow":
            raise UserError(f"log '{one}': the environment variable MLFLOW_TRACKING_URI says where MLflow keeps runs")
        try:
            importlib.import_module(_TRACKERS[name][1])
        except ImportError:
            raise UserError(
                f"log '{name}' needs a package that is not installed: `pip install \"mlptrain[{name}]\"`"
            ) from None
        logs.append(Log(name, user_path(place) if place else None))
    return list({log.name: log for log in logs}.values())


def replay(folder: RunFolder, log: Log) -> int:
    """A run, finished or not, as its folder has it; the number of epochs sent, that before training too.

    Raises RunFolderError for a run without an epoch, and whatever goes wrong with the tracker.
    """
    lines = folder.read_metrics()
    if not lines:
        raise RunFolderError(f"{folder.path} has no epoch on record yet")
    result = folder.read_result()
    tracker = log.open(folder)
    try:
        send(tracker, folder, lines)
        if result is not None:
            tracker.end(result)
    finally:
        tracker.close()
    return len(lines)


def send(tracker: Tracker, folder: RunFolder, lines: Sequence[Line]) -> None:
    """Lines that are on record, each at the time that its epoch took after the run's beginning."""
    for line, at in zip(lines, _times(folder, len(lines)), strict=True):
        tracker.line(line, at)


def _times(folder: RunFolder, n: int) -> list[float]:
    """When the first ``n`` epochs ended, in seconds since 1970, as if the run had never paused."""
    try:
        began = folder.config.stat().st_mtime
        spent = [sum(value for key, value in line.items() if key != "epoch") for line in read_lines(folder.timings)]
    except (OSError, RunFolderError):
        return [time.time()] * n  # no figure depends on the timings
    return [began + seconds for seconds in accumulate((spent + [0.0] * n)[:n])]


def scalars(line: Line) -> dict[str, float]:
    """Figures of an epoch under the names that trackers group by: ``loss/train``, ``loss/validation``, ``lr``."""
    figures = {key: value for key, value in line.items() if key not in ("epoch", "step")}
    return {key if key == "lr" else f"{metric_of(key)}/{split_of(key)}": value for key, value in figures.items()}


def final_scalars(result: RunResult) -> tuple[int, dict[str, float]]:
    """The kept epoch and the figures of its weights, such as ``kept/test_accuracy``; none of a run that diverged."""
    if result.status == "diverged":
        return result.epoch, {}
    return result.kept.epoch, {f"kept/{key}": value for key, value in result.kept.metrics.items()}


def outcome(result: RunResult) -> str:
    """How a run ended, in a sentence."""
    if result.status == "diverged":
        return result.message
    diagnosis = "" if result.diagnosis is None else f"; {result.diagnosis.message}"
    return f"{result.state} after epoch {result.epochs}, kept: epoch {result.kept.epoch}{diagnosis}"


def hyperparameters(folder: RunFolder) -> dict[str, bool | float | str]:
    """Every value of the configuration as applied, by its path: ``optimizer.lr``, ``model.hidden``."""
    return dict(_flat(plain(folder.experiment().spec)))


def _flat(values: dict[str, Any], before: str = "") -> Iterator[tuple[str, bool | float | str]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value if isinstance(value, (bool, int, float, str)) else str(value)
