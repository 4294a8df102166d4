"""Runs in MLflow: a run there for each here, in an experiment of the configuration's name.

They go where the environment variable ``MLFLOW_TRACKING_URI`` says, else into MLflow's own default, a file in the
current folder.
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import Any

from mlptrain.runs import RunFolder, RunGroup
from mlptrain.runs.records import Line, RunResult
from mlptrain.system.atomic import write_atomically
from mlptrain.trackers import final_scalars, hyperparameters, outcome, scalars

_SECONDS_BETWEEN = 1.0  # of what is sent: a synced write of its database takes longer than a short epoch
_MAX_METRICS = 1000  # at once, MLflow's own limit
_MAX_PARAMETERS = 100
_MAX_TEXT = 500  # letters of a parameter, its limit for stores of earlier versions
# Nothing is sent to MLflow's makers, and a server that has gone keeps nobody waiting for minutes, as by default.
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}


def open_tracker(folder: RunFolder, place: Path | None) -> MLflow:  # noqa: ARG001 – as every tracker's
    """The run in MLflow, begun or continued. Raises whatever its store does."""
    return MLflow(folder)


class MLflow:
    """A run there, whose number is kept in ``mlflow.txt`` of the run folder, so that it is continued."""

    def __init__(self, folder: RunFolder) -> None:
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # tracebacks of errors, which are noted
        import mlflow
        from mlflow import entities

        self._entities, self._client = entities, mlflow.MlflowClient()
        self._metrics: list[Any] = []
        self._sent_at, self._ended = time.monotonic(), False
        kept = folder.path / "mlflow.txt"
        self._id = kept.read_text(encoding="utf-8").strip() if kept.exists() else ""
        if not self._id or not self._is_there():
            self._id = self._begin(folder)
            write_atomically(kept, f"{self._id}\n".encode())
        self._client.update_run(self._id, status="RUNNING")
        known = self._client.get_metric_history(self._id, "lr")
        self._next = max((metric.step for metric in known), default=-1) + 1

    def _is_there(self) -> bool:
        """Whether this store has the run: another may be in use now, or somebody has deleted it."""
        try:
            return str(self._client.get_run(self._id).info.lifecycle_stage) == "active"
        except Exception as error:
            if getattr(error, "error_code", "") == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise

    def _begin(self, folder: RunFolder) -> str:
        name = folder.experiment().name
        known = self._client.get_experiment_by_name(name)
        experiment = self._client.create_experiment(name) if known is None else known.experiment_id
        path = folder.path.resolve()
        name = f"{path.parent.name}/{path.name}" if RunGroup.is_group(path.parent) else path.name
        run = self._client.create_run(experiment, run_name=name)
        values = [self._entities.Param(key, str(value)[:_MAX_TEXT]) for key, value in hyperparameters(folder).items()]
        for start in range(0, len(values), _MAX_PARAMETERS):
            self._client.log_batch(run.info.run_id, params=values[start : start + _MAX_PARAMETERS])
        self._client.log_artifact(run.info.run_id, str(folder.resolved))
        return str(run.info.run_id)

    def line(self, line: Line, at: float) -> None:
        """Every figure of an epoch, at the epoch, unless a process before this one has sent it."""
        if line["epoch"] >= self._next:
            self._add(scalars(line), line["epoch"], at)
        if time.monotonic() - self._sent_at >= _SECONDS_BETWEEN:
            self._send()

    def end(self, result: RunResult) -> None:
        """The figures of the kept weights, at their epoch, and how the run ended."""
        epoch, figures = final_scalars(result)
        self._add(figures, epoch, time.time())
        self._send()
        self._client.set_tag(self._id, "outcome", outcome(result))
        self._client.set_terminated(self._id, "FINISHED" if result.status == "completed" else "FAILED")
        self._ended = True

    def close(self) -> None:
        """Send what is left of an interrupted run."""
        if not self._ended:
            self._send()
            self._client.set_terminated(self._id, "KILLED")

    def _add(self, figures: dict[str, float], step: int, at: float) -> None:
        self._metrics += [self._entities.Metric(tag, value, int(1000 * at), step) for tag, value in figures.items()]

    def _send(self) -> None:
        for start in range(0, len(self._metrics), _MAX_METRICS):
            self._client.log_batch(self._id, metrics=self._metrics[start : start + _MAX_METRICS])
        self._metrics.clear()
        self._sent_at = time.monotonic()
