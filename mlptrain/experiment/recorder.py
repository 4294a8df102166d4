"""Puts what the loop yields on disk: log lines at once, checkpoints at epoch boundaries but not at every one."""

from __future__ import annotations

import io
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mlptrain.data import Scaling
from mlptrain.experiment.checkpoints import Best, Checkpoint, save_checkpoint
from mlptrain.nn.parameters import Parameters
from mlptrain.runs import RunFolder, RunLog, write_atomically
from mlptrain.runs.steps import step_figures
from mlptrain.spec import ExperimentSpec
from mlptrain.training.metrics import Figures
from mlptrain.training.trainer import Epoch, Member

# A synced write took 0.7 ms for 60 kB and 3.4 ms for 2 MB (2-core AMD EPYC, local disk), several times the shortest
# epochs, and thousands of those must not pay for it each.
SECONDS_BETWEEN_CHECKPOINTS = 5.0


class Recorder:
    """Keeps the last epoch boundary in memory and, every few seconds and at the end, on disk.

    The copy in memory is what a signal in mid-epoch saves. ``best`` is written before ``last``, and the log is synced
    before both, so that whatever ``last`` says is on disk is on disk.
    """

    def __init__(
        self,
        folder: RunFolder,
        log: RunLog,
        *,
        spec: ExperimentSpec,
        member: Member,
        scaling: Scaling,
        data_fingerprint: str,
    ) -> None:
        self.folder = folder
        self.log = log
        self.spec = spec
        self.member = member
        self.scaling = scaling
        self.data_fingerprint = data_fingerprint
        self.best: Best | None = None
        self.best_parameters: Parameters | None = None
        self._best_is_new = False
        self._epoch = self._step = -1
        self.saved_epoch = -1
        self._saving_seconds = 0.0
        self._saved_at = time.monotonic()
        self._parameters = member.parameters.clone()
        self._buffers: dict[str, Parameters] = {}
        self._scalars: dict[str, Tensor] = {}
        self._step_figures: dict[str, list[Tensor]] = {"loss": [], "accuracy": []}

    def restore(self, checkpoint: Checkpoint) -> None:
        """Begin from a checkpoint's boundary.

        Raises ValueError where it is not of this network or optimizer, and RunFolderError for damaged steps.
        """
        self.member.load(
            checkpoint.parameters, buffers=checkpoint.optimizer_state, scalars=checkpoint.optimizer_scalars
        )
        self.best = checkpoint.best
        self._remember(checkpoint.epoch, checkpoint.step)
        self.saved_epoch = checkpoint.epoch
        if self.folder.steps.exists():
            for name, values in step_figures(self.folder.steps, least=checkpoint.step).items():
                self._step_figures[name] = [torch.from_numpy(values[: checkpoint.step])]

    def record(self, epoch: Epoch) -> None:
        """Log one epoch, remember its boundary, save where it is time. Raises OSError."""
        if self.spec.training.record_steps and epoch.step_losses is not None:
            self._step_figures["loss"].append(epoch.step_losses)
            if epoch.step_accuracies is not None:
                self._step_figures["accuracy"].append(epoch.step_accuracies)
        self._remember(epoch.epoch, epoch.step)
        if self.spec.evaluation.keep == "best" and epoch.evaluated is not None:
            self._keep_if_best(epoch.epoch, epoch.evaluated)
        first = self.saved_epoch < 1 <= epoch.epoch
        due = first or time.monotonic() - self._saved_at >= SECONDS_BETWEEN_CHECKPOINTS
        timings = {"epoch": epoch.epoch, "training": epoch.training_seconds, "evaluation": epoch.evaluation_seconds}
        # Before the checkpoint, which promises these lines; so its seconds stand in the next line.
        self.log.append(
            metrics_line(epoch, split=str(self.spec.evaluation.split)), timings | {"checkpoint": self._saving_seconds}
        )
        self._saving_seconds = self.save() if due else 0.0

    def save(self) -> float:
        """Bring the last boundary to disk; returns the seconds it took. Raises OSError."""
        if self._epoch == self.saved_epoch or self._epoch < 0:
            return 0.0
        started = time.perf_counter()
        self.log.sync()
        if any(self._step_figures.values()):
            self._save_steps()
        if self._best_is_new and self.best is not None and self.best_parameters is not None:
            step = self.best.epoch * self.member.trainer.steps_per_epoch
            save_checkpoint(self.folder.best, self._checkpoint(self.best.epoch, step, self.best_parameters))
            self._best_is_new = False
        last = self._checkpoint(self._epoch, self._step, self._parameters, buffers=self._buffers, scalars=self._scalars)
        save_checkpoint(self.folder.last, replace(last, metrics_digest=self.log.metrics_digest))
        self.saved_epoch, self._saved_at = self._epoch, time.monotonic()
        return time.perf_counter() - started

    def _checkpoint(
        self,
        epoch: int,
        step: int,
        parameters: Parameters,
        *,
        buffers: dict[str, Parameters] | None = None,
        scalars: dict[str, Tensor] | None = None,
    ) -> Checkpoint:
        return Checkpoint(
            spec=self.spec,
            epoch=epoch,
            step=step,
            scaling=self.scaling,
            data_fingerprint=self.data_fingerprint,
            parameters=parameters,
            optimizer_state=buffers or {},
            optimizer_scalars=scalars or {},
            best=self.best,
        )

    def _remember(self, epoch: int, step: int) -> None:
        self._epoch, self._step = epoch, step
        self._parameters.copy_(self.member.parameters)
        for name, buffers in self.member.optimizer_buffers().items():
            if name in self._buffers:
                self._buffers[name].copy_(buffers)
            else:
                self._buffers[name] = buffers.clone()
        self._scalars = {name: scalar.clone() for name, scalar in self.member.optimizer_scalars().items()}

    def _keep_if_best(self, epoch: int, figures: Figures) -> None:
        if self.best is not None and figures.loss >= self.best.loss:
            return
        self.best = Best(epoch, figures.loss)
        self._best_is_new = True
        if self.best_parameters is None:
            self.best_parameters = self.member.parameters.clone()
        else:
            self.best_parameters.copy_(self.member.parameters)

    def _save_steps(self) -> None:
        stream = io.BytesIO()
        for name, parts in self._step_figures.items():
            self._step_figures[name] = [torch.cat(parts)] if parts else []
        columns: dict[str, Any] = {name: parts[0].numpy() for name, parts in self._step_figures.items() if parts}
        np.savez(stream, **columns)
        write_atomically(self.folder.steps, stream.getvalue())


def metrics_line(epoch: Epoch, *, split: str) -> dict[str, Any]:
    """One line of ``metrics.jsonl``; figures that there are not are left out."""
    line: dict[str, Any] = {"epoch": epoch.epoch, "step": epoch.step, "lr": epoch.lr}
    for name, figures in (("train", epoch.train), (split, epoch.evaluated)):
        if figures is not None:
            line |= figures_of(name, figures)
    return line


def figures_of(split: str, figures: Figures) -> dict[str, float]:
    """``{split}_loss`` and, where there is one, ``{split}_accuracy``."""
    named = {f"{split}_loss": figures.loss}
    return named if figures.accuracy is None else named | {f"{split}_accuracy": figures.accuracy}
