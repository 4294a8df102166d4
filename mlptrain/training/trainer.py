"""The training loop: a generator of epochs that computes and leaves saving, logging and drawing to its caller.

It trains one model or several of one architecture at once. Several share every product and every pass over the memory
that they can share; what comes out of each is what it gives alone, to float32 rounding.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from mlptrain.data import Split
from mlptrain.data.batches import Batches, TrainingRows
from mlptrain.errors import DivergedError, InterruptedRunError
from mlptrain.nn.engines.analytic import Backward
from mlptrain.nn.losses import Loss
from mlptrain.nn.network import MLP
from mlptrain.nn.parameters import Parameters, Stack
from mlptrain.training.capture import step_runner
from mlptrain.training.metrics import Figures, evaluate
from mlptrain.updates.optimizers import Optimizer, make_optimizer

# Outputs of the network that are kept until their losses are found, many steps at once: 512 kB, which stay in a core's
# own cache.
_BLOCK_ELEMENTS = 2**17


@dataclass(frozen=True)
class Epoch:
    """What one epoch gave one model; epoch 0 is before training and has no training figures.

    ``train`` are means over the examples as they were trained on, ``evaluated`` those on the measured split after the
    epoch. ``step`` counts steps since the beginning. ``step_losses`` (mean per example) and ``step_accuracies`` hold
    the epoch's steps. The seconds are those of all models that train together. ``diverged`` says what is no longer
    finite; a diverged model has no further epochs.
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
    diverged: DivergedError | None = None


@dataclass(frozen=True)
class Model:
    """One model to train: where it starts, its optimizer with its settings, its rows and what it is measured on.

    Models with the very same ``rows`` share their batches.
    """

    initial: Parameters
    optimizer: str
    settings: Mapping[str, Any]
    rows: TrainingRows
    evaluated: Split | None


class Trainer:
    """Models of one architecture, ready to train: everything on its device, targets as the loss encodes them.

    Neighbours among ``models`` that share their rows share their first layer's products, and neighbours with equal
    optimizers are updated in one call: sort by rows first. All have equally many rows, batches and epochs. ``gradient``
    is what makes the gradients, ``Backward`` or ``Autograd``.
    """

    def __init__(
        self,
        network: MLP,
        *,
        models: Sequence[Model],
        loss: Loss,
        classify: bool,
        batch_size: int,
        shuffle: bool,
        gradient: type[Backward] = Backward,
    ) -> None:
        self.network, self.models, self.loss = network, tuple(models), loss
        self.classify, self.batch_size = classify, batch_size
        device = models[0].initial.pieces[0].device
        self.parameters = Stack(network.parameter_shapes, models=len(models), device=device)
        for member, model in zip(self.parameters.members, models, strict=True):
            member.copy_(model.initial)
        self.gradients = self.parameters.zeros_like()
        groups = [list(group) for _, group in groupby(models, key=lambda model: id(model.rows))]
        self.rows = len(models[0].rows)
        if any(len(model.rows) != self.rows for model in models):
            raise ValueError(f"models with {sorted({len(model.rows) for model in models})} rows cannot train together")
        self.backward = gradient(
            network,
            loss=loss,
            parameters=self.parameters,
            gradients=self.gradients,
            batch_size=batch_size,
            groups=[len(group) for group in groups],
        )
        self.steps_per_epoch = -(-self.rows // batch_size)
        self.batches = Batches(
            [group[0].rows for group in groups],
            models=[len(group) for group in groups],
            batch_size=batch_size,
            shuffle=shuffle and self.steps_per_epoch > 1,
        )
        self.optimizers, self._places = self._make_optimizers()
        self._step = step_runner(self.backward, list(zip(self.optimizers, self._gradient_pieces, strict=True)))
        sizes = [min(batch_size, self.rows - start) for start in range(0, self.rows, batch_size)]
        self._sizes = torch.tensor(sizes, dtype=torch.float64)
        self._diverged: dict[int, DivergedError] = {}

    def _make_optimizers(self) -> tuple[list[Optimizer], list[tuple[int, int, int]]]:
        """One optimizer for each run of models with equal settings; and each model's: which one, place, of how many."""
        optimizers, places, start = [], [], 0
        self._gradient_pieces = []
        for (name, settings), run in groupby(self.models, key=lambda model: (model.optimizer, dict(model.settings))):
            count = len(list(run))
            optimizers.append(make_optimizer(name, self.parameters.pieces(start, start + count), **settings))
            self._gradient_pieces.append(list(self.gradients.pieces(start, start + count)))
            places += [(len(optimizers) - 1, place, count) for place in range(count)]
            start += count
        return optimizers, places

    def member(self, index: int = 0) -> Member:
        """One of the models with its live parameters and optimizer state."""
        return Member(self, index)

    def epochs(self, *, first: int, last: int, should_stop: Callable[[], bool]) -> Iterator[list[Epoch | None]]:
        """Train epochs ``first`` to ``last``; with ``first`` 0, begin with the evaluation before training.

        Yields one epoch for every model, None for those that diverged in an earlier one, and ends early when all have.
        A model diverges in the epoch in which a loss or parameter of it is no longer finite; the others do not notice.
        Raises InterruptedRunError after the step during which ``should_stop`` became true.
        """
        for epoch in range(first, last + 1):
            before = set(self._diverged)
            started = time.perf_counter()
            trained = self._train(epoch, should_stop) if epoch else [{} for _ in self.models]
            middle = time.perf_counter()
            evaluated = [
                None if index in self._diverged else self._evaluate(index, epoch) for index in range(len(self.models))
            ]
            seconds = (middle - started if epoch else 0.0), time.perf_counter() - middle
            yield [
                None if index in before else self._epoch(index, epoch, *seconds, evaluated=evaluated[index], **figures)
                for index, figures in enumerate(trained)
            ]
            if len(self._diverged) == len(self.models):
                return

    def _epoch(
        self,
        index: int,
        epoch: int,
        training_seconds: float,
        evaluation_seconds: float,
        *,
        train: Figures | None = None,
        **figures: Any,
    ) -> Epoch:
        return Epoch(
            epoch=epoch,
            step=epoch * self.steps_per_epoch,
            lr=float(self.models[index].settings["lr"]),
            train=train,
            training_seconds=training_seconds,
            evaluation_seconds=evaluation_seconds,
            diverged=self._diverged.get(index),
            **figures,
        )

    def _train(self, epoch: int, should_stop: Callable[[], bool]) -> list[dict[str, Any]]:
        """One pass over the rows; the figures of every model."""
        n, k = self.batch_size, self.network.widths[-1]
        steps_at_once = max(1, _BLOCK_ELEMENTS // (len(self.models) * k * n))
        losses, hits = [], []
        for block in self.batches.blocks(epoch, steps=steps_at_once):
            outputs = self.parameters.flat.new_empty(len(self.models), k, block.targets.shape[-1])
            kept = outputs.split(n, dim=2)  # type: ignore[no-untyped-call]
            for (inputs, targets), keep in zip(block.steps(), kept, strict=True):
                keep.copy_(self._step(inputs, targets))
                if should_stop():
                    raise InterruptedRunError(f"stopped by a signal in epoch {epoch}")
            losses.append(_sums(self.loss.losses(outputs, block.targets), n))
            if self.classify:
                hits.append(_sums(self.loss.hits(outputs, block.targets), n))
        finite = self._finite()
        step_losses = torch.cat(losses, dim=1).double().cpu()  # the one wait for the device in an epoch
        step_hits = torch.cat(hits, dim=1).cpu() if self.classify else None
        figures = []
        for index, whole in enumerate(finite):
            loss = float(step_losses[index].sum()) / self.rows
            if not (whole and math.isfinite(loss)):
                self._note_divergence(index, epoch, step_losses[index])
            found: dict[str, Any] = {"step_losses": step_losses[index] / self._sizes}
            accuracy = None
            if step_hits is not None:
                accuracy = int(step_hits[index].sum()) / self.rows
                found["step_accuracies"] = step_hits[index] / self._sizes
            figures.append(found | {"train": Figures(loss, accuracy)})
        return figures

    def _finite(self) -> list[bool]:
        """Whether all parameters of each model are finite. A finite sum, which they usually have, says so at once."""
        if bool(self.parameters.flat.sum().isfinite()):
            return [True] * len(self.models)
        found: list[bool] = all_finite(self.parameters).tolist()
        return found

    def _note_divergence(self, index: int, epoch: int, losses: Tensor) -> None:
        if index in self._diverged:
            return
        bad = (~losses.isfinite()).nonzero()
        step = int(bad[0]) if len(bad) else len(losses) - 1
        self._diverged[index] = diverged(
            "the training loss" if len(bad) else "a parameter",
            epoch=epoch,
            step=(epoch - 1) * self.steps_per_epoch + step + 1,
            lr=float(self.models[index].settings["lr"]),
        )

    def _evaluate(self, index: int, epoch: int) -> Figures | None:
        split = self.models[index].evaluated
        if split is None:
            return None
        member = self.parameters.members[index]
        figures = evaluate(self.network, member, loss=self.loss, x=split.x, targets=split.y, classify=self.classify)
        if not torch.tensor(figures.loss).isfinite():
            lr = float(self.models[index].settings["lr"])
            self._diverged[index] = diverged(
                "the evaluated loss", epoch=epoch, step=epoch * self.steps_per_epoch, lr=lr
            )
        return figures


@dataclass(frozen=True)
class Member:
    """One model of a trainer, as what records and judges it sees it; everything is live."""

    trainer: Trainer
    index: int

    @property
    def parameters(self) -> Parameters:
        """Its parameters, views of the stack."""
        return self.trainer.parameters.members[self.index]

    @property
    def rows(self) -> TrainingRows:
        """What it trains on."""
        return self.trainer.models[self.index].rows

    def order(self, epoch: int) -> Tensor:
        """Positions among its rows in the order of this epoch, (n,)."""
        return self.rows.order(epoch, shuffle=self.trainer.batches.shuffle)

    def optimizer_buffers(self) -> dict[str, Parameters]:
        """Its share of its optimizer's buffers, as views, named like the parameters."""
        optimizer, place, count = self.trainer._places[self.index]
        return {
            name: Parameters([tensor.view(count, -1)[place] for tensor in tensors], self.parameters.shapes)
            for name, tensors in self.trainer.optimizers[optimizer].buffers.items()
        }

    def optimizer_scalars(self) -> dict[str, Tensor]:
        """Its optimizer's tensors of shape ()."""
        return self.trainer.optimizers[self.trainer._places[self.index][0]].scalars

    def load(
        self,
        parameters: Mapping[str, Tensor],
        *,
        buffers: Mapping[str, Mapping[str, Tensor]],
        scalars: Mapping[str, Tensor],
    ) -> None:
        """Take over parameters and optimizer state. Raises ValueError for those of another network or optimizer."""
        optimizer, place, count = self.trainer._places[self.index]
        self.parameters.copy_(parameters)
        sizes = [len(piece) for piece in self.parameters.pieces]
        pieces = {
            name: Parameters.zeros(self.parameters.shapes).copy_(tensors).flat.split(sizes)  # type: ignore[no-untyped-call]
            for name, tensors in buffers.items()
        }
        self.trainer.optimizers[optimizer].load_state(pieces, scalars, place=place, count=count)
        self.trainer._diverged.pop(self.index, None)


def all_finite(stack: Stack) -> Tensor:
    """Whether every parameter of each model is finite, (models,), without waiting for the device.

    Of the parameters alone: an ``eps`` of 0 turns what lies between them into nan, and nothing reads that.
    """
    stacked = [tensor for name in stack.shapes if (tensor := stack.stacked(name)) is not None]
    return torch.stack([tensor.isfinite().reshape(stack.models, -1).all(dim=1) for tensor in stacked]).all(dim=0)


def _sums(values: Tensor, size: int) -> Tensor:
    """Sums (models, steps) over batches of ``size`` columns of values (models, n); the last may be shorter."""
    whole = values.shape[1] // size * size
    sums = values[:, :whole].reshape(len(values), -1, size).sum(dim=2)
    if whole == values.shape[1]:
        return sums
    return torch.cat([sums, values[:, whole:].sum(dim=1, keepdim=True)], dim=1)


def diverged(what: str, *, epoch: int, step: int, lr: float) -> DivergedError:
    """The error for figures that are no longer finite."""
    return DivergedError(
        f"diverged: {what} is not finite at step {step:,} (epoch {epoch}) with lr {lr:g}; try a smaller learning rate",
        epoch=epoch,
        step=step,
        lr=lr,
    )
