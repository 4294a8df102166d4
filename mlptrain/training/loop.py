"""The training loop: a generator of epochs that computes and leaves saving, logging and drawing to its caller."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mlptrain.data import Split
from mlptrain.errors import DivergedError, InterruptedRunError
from mlptrain.nn.backward import Backward
from mlptrain.nn.losses import Loss
from mlptrain.nn.network import MLP, Parameters
from mlptrain.seeds import derived_seed
from mlptrain.training.evaluation import Figures, evaluate
from mlptrain.training.optimizers import Optimizer


@dataclass(frozen=True)
class Epoch:
    """What one epoch gave; epoch 0 is before training and has no training figures.

    ``train`` are means over the examples as they were trained on, ``evaluated`` those on the measured split after the
    epoch. ``step`` counts steps since the beginning. ``step_losses`` (mean per example) and ``step_accuracies`` hold
    the epoch's steps.
    """

    epoch: int
    step: int
    lr: float
    train: Figures | None
    evaluated: Figures | None
    training_seconds: float
    evaluation_seconds: float
    step_losses: Tensor | None = None
    step_accuracies: Tensor | None = None


@dataclass
class Trainer:
    """The parts of a run, ready to train: everything on its device, targets as the loss encodes them."""

    network: MLP
    parameters: Parameters
    optimizer: Optimizer
    loss: Loss
    train: Split
    evaluated: Split | None
    classify: bool
    batch_size: int
    shuffle: bool
    seed: int

    def __post_init__(self) -> None:
        self.gradients = Parameters.zeros(self.parameters.shapes, device=self.parameters.flat.device)
        self.backward = Backward(
            self.network,
            loss=self.loss,
            parameters=self.parameters,
            gradients=self.gradients,
            batch_size=self.batch_size,
        )
        self.rows = len(self.train.x)
        self.steps_per_epoch = -(-self.rows // self.batch_size)
        sizes = [min(self.batch_size, self.rows - start) for start in range(0, self.rows, self.batch_size)]
        self.sizes = torch.tensor(sizes, dtype=torch.float64)
        self._x = self.train.x.new_empty(self.batch_size, self.train.x.shape[1])
        self._losses = self.parameters.flat.new_zeros(self.steps_per_epoch)
        self._correct = torch.zeros(self.steps_per_epoch, dtype=torch.int64, device=self._losses.device)

    def order(self, epoch: int) -> Tensor:
        """Row indices (n,) in the order of this epoch, on the CPU; keyed by seed and epoch alone."""
        if not self.shuffle or self.steps_per_epoch == 1:
            return torch.arange(self.rows)
        generator = torch.Generator().manual_seed(derived_seed(self.seed, "shuffle", epoch))
        return torch.randperm(self.rows, generator=generator)

    def _batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs and targets of every step: rows gathered into one buffer, or slices where the order is as stored."""
        if not self.shuffle or self.steps_per_epoch == 1:
            slices = (torch.split(tensor, self.batch_size) for tensor in (self.train.x, self.train.y))
            yield from zip(*slices, strict=True)
            return
        order = self.order(epoch).to(self.train.x.device)
        for rows in torch.split(order, self.batch_size):
            x = torch.index_select(self.train.x, 0, rows, out=self._x[: len(rows)])
            yield x, torch.index_select(self.train.y, 0, rows)

    def epochs(self, *, first: int, last: int, should_stop: Callable[[], bool]) -> Iterator[Epoch]:
        """Train epochs ``first`` to ``last``; with ``first`` 0, begin with the evaluation before training.

        Raises DivergedError within the epoch in which a loss or parameter is no longer finite, and
        InterruptedRunError after the step during which ``should_stop`` became true.
        """
        for epoch in range(first, last + 1):
            started = time.perf_counter()
            train, steps = self._train(epoch, should_stop) if epoch else (None, {})
            trained = time.perf_counter()
            evaluated = self._evaluate(epoch)
            yield Epoch(
                epoch=epoch,
                step=epoch * self.steps_per_epoch,
                lr=float(self.optimizer.settings["lr"]),
                train=train,
                evaluated=evaluated,
                training_seconds=trained - started if epoch else 0.0,
                evaluation_seconds=time.perf_counter() - trained,
                **steps,
            )

    def _train(self, epoch: int, should_stop: Callable[[], bool]) -> tuple[Figures, dict[str, Any]]:
        for step, (x, targets) in enumerate(self._batches(epoch)):
            outputs = self.backward(x, targets)
            self._losses[step] = self.backward.loss_sum
            if self.classify:
                self._correct[step] = self.loss.correct(outputs, targets).sum()
            self.optimizer.step(self.gradients.flat)
            if should_stop():
                raise InterruptedRunError(f"stopped by a signal in epoch {epoch}")
        finite = bool(self.parameters.flat.isfinite().all())
        losses = self._losses.double().cpu()  # the one wait for the device in an epoch
        self._check_finite(epoch, losses, finite)
        figures = Figures(
            float(losses.sum() / self.rows), int(self._correct.sum()) / self.rows if self.classify else None
        )
        per_step: dict[str, Any] = {"step_losses": losses / self.sizes}
        if self.classify:
            per_step["step_accuracies"] = self._correct.cpu() / self.sizes
        return figures, per_step

    def _check_finite(self, epoch: int, losses: Tensor, parameters_finite: bool) -> None:
        bad = (~losses.isfinite()).nonzero()
        if parameters_finite and not len(bad):
            return
        step = int(bad[0]) if len(bad) else len(losses) - 1
        raise diverged(
            "the training loss" if len(bad) else "a parameter",
            epoch=epoch,
            step=(epoch - 1) * self.steps_per_epoch + step + 1,
            lr=float(self.optimizer.settings["lr"]),
        )

    def _evaluate(self, epoch: int) -> Figures | None:
        if self.evaluated is None:
            return None
        split = self.evaluated
        figures = evaluate(
            self.network, self.parameters, loss=self.loss, x=split.x, targets=split.y, classify=self.classify
        )
        if not torch.tensor(figures.loss).isfinite():
            lr = float(self.optimizer.settings["lr"])
            raise diverged("the evaluated loss", epoch=epoch, step=epoch * self.steps_per_epoch, lr=lr)
        return figures


def diverged(what: str, *, epoch: int, step: int, lr: float) -> DivergedError:
    """The error for figures that are no longer finite."""
    return DivergedError(
        f"diverged: {what} is not finite at step {step:,} (epoch {epoch}) with lr {lr:g}; try a smaller learning rate",
        epoch=epoch,
        step=step,
        lr=lr,
    )
