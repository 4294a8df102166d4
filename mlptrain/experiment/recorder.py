"""Puts what training yields on disk: log lines at once, checkpoints at epoch boundaries but not at every one."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mlptrain.data import Splits
from mlptrain.experiment.checkpoints import Checkpoint, save_checkpoint
from mlptrain.nn.parameters import Parameters
from mlptrain.runs import RunFolder, RunLog
from mlptrain.runs.steps import step_figures
from mlptrain.spec import Experiment, to_yaml
from mlptrain.system.atomic import write_atomically
from mlptrain.system.jsonfiles import LARGEST
from mlptrain.training.keep import KeepBest
from mlptrain.training.layers import RECORDED, measure_layers
from mlptrain.training.metrics import Metrics
from mlptrain.training.trainer import Epoch, TrainedModel
from mlptrain.updates.chain import ModelState

# A synced write took 0.7 ms for 60 kB and 3.4 ms for 2 MB (2-core AMD EPYC, local disk), several times the shortest
# epochs, and thousands of those must not pay for it each.
SECONDS_BETWEEN_CHECKPOINTS = 5.0
LAYER_ROWS = 512  # of what ``training.record_layers`` measures after every epoch


class Recorder:
    """Keeps the last epoch boundary of one run in memory and, every few seconds and at the end, on disk.

    The copy in memory is what a signal in mid-epoch saves. ``best`` is written before ``last``, and the log is synced
    before both, so that whatever ``last`` says is on disk is on disk. ``checkpoint`` is the boundary that a resumed run
    starts from.
    """

    def __init__(
        self,
        folder: RunFolder,
        experiment: Experiment,
        splits: Splits,
        model: TrainedModel,
        *,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        """Raises OSError, and RunFolderError for damaged steps."""
        self.folder, self.experiment, self.splits, self.model = folder, experiment, splits, model
        self.saved_epoch = checkpoint.epoch if checkpoint else -1
        self.log = RunLog(folder, epoch=self.saved_epoch, layers=experiment.training.record_layers)
        self.keep = KeepBest(model, experiment.evaluation.metric, checkpoint.best if checkpoint else None)
        self._spec = to_yaml(experiment.spec)  # a millisecond
        self._best_is_new = False
        self._rows = model.examples.spaced(LAYER_ROWS)
        self._epoch, self._step = (checkpoint.epoch, checkpoint.step) if checkpoint else (-1, -1)
        self._saving_seconds = 0.0
        self._saved_at = time.monotonic()
        self._parameters = model.parameters.clone()
        self._buffers: dict[str, Parameters] = {}
        self._scalars: dict[str, Tensor] = {}
        self._raw: Parameters | None = None
        self._packed: tuple[Mapping[str, Tensor], str] = ({}, "")
        self._step_figures: dict[str, list[Tensor]] = {"loss": [], "accuracy": []}
        if checkpoint is not None and folder.steps.exists():
            for name, values in step_figures(folder.steps, least=checkpoint.step).items():
                self._step_figures[name] = [torch.from_numpy(values[: checkpoint.step])]

    def record(self, epoch: Epoch) -> None:
        """Log one epoch, remember its boundary, save where it is time. Raises OSError."""
        if self.experiment.training.record_steps and epoch.step_losses is not None:
            self._step_figures["loss"].append(epoch.step_losses)
            if epoch.step_accuracies is not None:
                self._step_figures["accuracy"].append(epoch.step_accuracies)
        self._remember(epoch.epoch, epoch.step)
        line = metrics_line(epoch, self.experiment)
        if self.experiment.evaluation.keep == "best" and self.keep.take(epoch.epoch, line):
            self._best_is_new = True
        first = self.saved_epoch < 1 <= epoch.epoch
        due = first or time.monotonic() - self._saved_at >= SECONDS_BETWEEN_CHECKPOINTS
        timings = {
            "epoch": epoch.epoch,
            "training": epoch.training_seconds,
            "evaluation": epoch.evaluation_seconds,
            "waiting": epoch.waiting_seconds,
        }
        # Before the checkpoint, which promises these lines; so its seconds stand in the next line.
        layers = [self._layers(epoch.epoch)] if self.experiment.training.record_layers else []
        self.log.append(line, timings | {"checkpoint": self._saving_seconds}, *layers)
        self._saving_seconds = self.save() if due else 0.0

    def save(self) -> float:
        """Bring the last boundary to disk; returns the seconds it took. Raises OSError."""
        if self._epoch == self.saved_epoch or self._epoch < 0:
            return 0.0
        started = time.perf_counter()
        self.log.sync()
        if any(self._step_figures.values()):
            self._save_steps()
        best = self.keep.best
        if self._best_is_new and best is not None and self.keep.parameters is not None:
            step = best.epoch * self.experiment.steps_per_epoch
            of_best = self._checkpoint(best.epoch, step, ModelState(self.keep.parameters))
            save_checkpoint(self.folder.best, of_best, spec=self._spec)
            self._best_is_new = False
        state = ModelState(self._parameters, self._buffers, self._scalars, self._raw or {}, *self._packed)
        last = self._checkpoint(self._epoch, self._step, state, metrics_digest=self.log.metrics_digest)
        save_checkpoint(self.folder.last, last, spec=self._spec)
        self.saved_epoch, self._saved_at = self._epoch, time.monotonic()
        return time.perf_counter() - started

    def _checkpoint(self, epoch: int, step: int, state: ModelState, *, metrics_digest: str = "") -> Checkpoint:
        return Checkpoint(
            experiment=self.experiment,
            epoch=epoch,
            step=step,
            preprocessing=self.splits.preprocessing,
            data_fingerprint=self.splits.fingerprint,
            state=state,
            best=self.keep.best,
            metrics_digest=metrics_digest,
            class_weights=next(iter(self.model.loss.class_weights), ()),
        )

    def _remember(self, epoch: int, step: int) -> None:
        self._epoch, self._step = epoch, step
        state = self.model.state()
        self._parameters.copy_(state.parameters)
        if state.raw:
            self._raw = (self._raw or self._parameters.clone()).copy_(state.raw)
        for name, buffers in state.buffers.items():
            if name not in self._buffers:
                self._buffers[name] = Parameters.zeros(
                    self.experiment.parameter_shapes, device=self._parameters.flat.device
                )
            self._buffers[name].copy_(buffers)
        self._scalars = {name: scalar.clone() for name, scalar in state.scalars.items()}
        self._packed = state.own, state.plain  # copies already

    def _layers(self, epoch: int) -> dict[str, Any]:
        """The line of ``layers.jsonl``: every figure with the number of its layer, such as ``gradient_1``."""
        trainer, rows = self.model.trainer, self._rows
        found = measure_layers(
            trainer.network, self.model.parameters, loss=self.model.loss, x=rows.inputs, targets=rows.targets
        )
        return {"epoch": epoch} | {
            f"{name}_{number}": min(float(getattr(layer, figure)), LARGEST)
            for name, figure in RECORDED.items()
            for number, layer in enumerate(found, 1)
        }

    def _save_steps(self) -> None:
        stream = io.BytesIO()
        for name, parts in self._step_figures.items():
            self._step_figures[name] = [torch.cat(parts)] if parts else []
        columns: dict[str, Any] = {name: parts[0].numpy() for name, parts in self._step_figures.items() if parts}
        np.savez(stream, **columns)
        write_atomically(self.folder.steps, stream.getvalue())


def metrics_line(epoch: Epoch, experiment: Experiment) -> dict[str, Any]:
    """One line of ``metrics.jsonl``; metrics that there are not are left out."""
    line: dict[str, Any] = {"epoch": epoch.epoch, "step": epoch.step, "lr": epoch.lr}
    for name, metrics in (("train", epoch.train), (str(experiment.evaluation.split), epoch.evaluated)):
        if metrics is not None:
            line |= named(name, metrics)
    return line


def named(split: str, metrics: Metrics) -> dict[str, float]:
    """``{split}_loss`` and, where there are these, accuracy and objective, and the further figures that are defined."""
    figures = {"loss": metrics.loss, "accuracy": metrics.accuracy, "objective": metrics.objective}
    defined = {name: value for name, value in figures.items() if value is not None} | dict(metrics.further.figures)
    return {f"{split}_{name}": value for name, value in defined.items()}
