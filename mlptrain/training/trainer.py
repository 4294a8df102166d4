"""The training loop: a generator of epochs that computes and leaves saving, logging and drawing to its caller.

It trains one model or several of one architecture at once. Several share every product and every pass over the memory
that they can share; what comes out of each is what it gives alone, to float32 rounding.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from mlptrain.data import Examples
from mlptrain.data.augmentation import Augmentation
from mlptrain.data.batches import Batches, epoch_order
from mlptrain.errors import InterruptedRunError
from mlptrain.nn.engines import Engine, engine_for
from mlptrain.nn.losses import Loss
from mlptrain.nn.network import MLP
from mlptrain.nn.parameters import Parameters, Stack
from mlptrain.nn.shares import Share
from mlptrain.spec.experiment import TrainingSpec
from mlptrain.spec.optimizer import OptimizerSpec
from mlptrain.spec.schedule import Constant, RunLength, Schedule
from mlptrain.system.cores import take_turn
from mlptrain.training.capture import step_runner
from mlptrain.training.endings import Ending
from mlptrain.training.metrics import Metrics, evaluate
from mlptrain.training.scores import NO_SCORES, Scorer
from mlptrain.training.statistics import measure_statistics
from mlptrain.training.workers import Workers
from mlptrain.updates.chain import NO_INGREDIENTS, ModelState, Updates

# Outputs of the network that are kept until their losses are found, many steps at once: 512 kB, which stay in a core's
# own cache.
_BLOCK_ELEMENTS = 2**17


@dataclass(frozen=True)
class Epoch:
    """What one epoch gave one model; epoch 0 is before training and has no training metrics.

    ``train`` are means over the examples as they were trained on, ``evaluated`` those on the measured split after the
    epoch. ``step`` counts steps since the beginning; ``lr`` is that of the last of them. ``step_losses`` (mean per
    example) and ``step_accuracies`` hold the epoch's steps. The seconds are those of all models that train together;
    ``waiting_seconds`` are those in which other trainings of this machine had their turn, in no other of the three.
    ``ending`` is set where training ends before its last epoch; such a model has no further epochs.
    """

    epoch: int
    step: int
    lr: float
    train: Metrics | None
    evaluated: Metrics | None
    training_seconds: float
    evaluation_seconds: float
    waiting_seconds: float
    step_losses: Tensor | None = None
    step_accuracies: Tensor | None = None
    ending: Ending | None = None


CONSTANT = Constant(name="constant")


@dataclass(frozen=True)
class Model:
    """One model to train: where it starts, its optimizer and schedule, what it is trained and what it is measured on.

    Targets are encoded by the loss. Models with the very same ``examples`` and seed share their batches.
    """

    initial: Parameters
    optimizer: OptimizerSpec
    seed: int
    examples: Examples
    evaluated: Examples | None
    schedule: Schedule = CONSTANT


class Trainer:
    """Models of one architecture, ready to train: everything on its device, targets as the loss encodes them.

    Neighbours among ``models`` that share their rows share their first layer's products, and neighbours with equal
    optimizers are updated in one call: sort by rows first. All have equally many rows, batches and epochs. ``epochs``
    is the length of the run, which the schedule follows; of ``training`` are read ``adversarial``, ``norm_statistics``
    and what ``Updates`` reads; ``augmentation`` changes the batches and nothing else; ``engine`` is the one that makes
    the gradients, by default the fastest that can; ``scorer`` has the further figures that every evaluation measures.

    Of several ``workers`` each has such a trainer; every one computes its share of each batch and updates its own
    parameters with the sum of all gradients, and the first evaluates for all.
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
        epochs: int = 1,
        training: TrainingSpec = NO_INGREDIENTS,
        augmentation: Augmentation | None = None,
        engine: type[Engine] | None = None,
        scorer: Scorer = NO_SCORES,
        workers: Workers | None = None,
    ) -> None:
        self._whole_statistics = training.norm_statistics == "training_rows" and bool(network.state_shapes)
        self.network, self.models, self.loss, self.scorer = network, tuple(models), loss, scorer
        self.classify, self.batch_size = classify, batch_size
        device = models[0].initial.pieces[0].device
        self.parameters = Stack(network.parameter_shapes, network.state_shapes, models=len(models), device=device)
        for member, model in zip(self.parameters.members, models, strict=True):
            member.copy_(model.initial)
        self.gradients = self.parameters.gradients()
        groups = [list(group) for _, group in groupby(models, key=lambda model: (id(model.examples), model.seed))]
        self.rows = len(models[0].examples)
        if len(sizes := {len(model.examples) for model in models}) > 1:
            raise ValueError(f"models with {sorted(sizes)} rows cannot train together")
        self.engine = (engine or engine_for(network, training.adversarial))(
            network,
            loss=loss,
            parameters=self.parameters,
            gradients=self.gradients,
            batch_size=batch_size,
            groups=[len(group) for group in groups],
            seeds=[model.seed for model in models],
        )
        self.steps_per_epoch = -(-self.rows // batch_size)
        self.batches = Batches(
            [group[0].examples for group in groups],
            seeds=[group[0].seed for group in groups],
            models=[len(group) for group in groups],
            batch_size=batch_size,
            shuffle=shuffle and self.steps_per_epoch > 1,
            augmentation=augmentation,
            share_of=None if workers is None else workers.share,
        )
        self._workers = workers
        if workers is not None and not self.engine.sharable:
            raise ValueError("the engine of this network cannot compute shares of a batch")
        self.updates = Updates(
            self.parameters,
            self.gradients,
            [model.optimizer for model in models],
            weights=network.weight_names,
            schedules=[model.schedule for model in models],
            run=RunLength(epochs * self.steps_per_epoch, self.steps_per_epoch),
            training=training,
        )
        self._run_step = step_runner(self.engine, self.updates, workers)
        steps = [min(batch_size, self.rows - start) for start in range(0, self.rows, batch_size)]
        self._sizes = torch.tensor(steps, dtype=torch.float64)
        self._ended: dict[int, Ending] = {}
        self._waited = 0.0  # seconds of the epoch that is trained

    def end(self, index: int, ending: Ending) -> None:
        """A model has no further epochs."""
        self._ended[index] = ending

    def has_ended(self, index: int) -> bool:
        """Whether a model has no further epochs."""
        return index in self._ended

    def revive(self, index: int) -> None:
        """A model that had ended has a new state, and trains again."""
        self._ended.pop(index, None)

    def model(self, index: int = 0) -> TrainedModel:
        """One of the models with its live parameters and state."""
        return TrainedModel(self, index)

    def epochs(
        self, *, first: int, last: int, should_stop: Callable[[], bool], last_steps: int | None = None
    ) -> Iterator[list[Epoch | None]]:
        """Train epochs ``first`` to ``last``; with ``first`` 0, begin with the evaluation before training.

        The last one ends after ``last_steps`` of its steps, by default all of them.

        Yields one epoch for every model, None for those that ended in an earlier one, and ends early when all have.
        A model diverges in the epoch in which a loss or parameter of it is no longer finite; others are not affected.
        Raises InterruptedRunError after the step during which ``should_stop`` became true.
        """
        for epoch in range(first, last + 1):
            before = set(self._ended)
            self._waited = take_turn(should_stop)
            started = time.perf_counter() - self._waited
            limit = last_steps if epoch == last else None
            trained = self._train(epoch, should_stop, limit) if epoch else [{"train": None}] * len(self.models)
            middle = time.perf_counter()
            evaluated = [
                None if index in self._ended else self._evaluate(index, epoch) for index in range(len(self.models))
            ]
            ended = time.perf_counter()
            step = epoch * self.steps_per_epoch
            if limit is not None:
                step += limit - self.steps_per_epoch
            yield [
                None
                if index in before
                else Epoch(
                    epoch=epoch,
                    step=step,
                    lr=self.updates.lr(index, step - 1) if epoch else self.models[index].optimizer.lr,
                    evaluated=evaluated[index],
                    training_seconds=middle - started - self._waited if epoch else 0.0,
                    evaluation_seconds=ended - middle,
                    waiting_seconds=self._waited,
                    ending=self._ended.get(index),
                    **found,
                )
                for index, found in enumerate(trained)
            ]
            if len(self._ended) == len(self.models):
                return

    def _train(self, epoch: int, should_stop: Callable[[], bool], limit: int | None) -> list[dict[str, Any]]:
        """One pass over the rows, or over those of the first ``limit`` steps; what it gave every model."""
        sizes = self._sizes[:limit]
        rows = int(sizes.sum())
        n, k = self.batch_size, self.network.widths[-1]
        if self._workers is not None:
            n = self.batches.shares[0].stop - self.batches.shares[0].start
        shares = iter(self.batches.shares)
        steps_at_once = max(1, _BLOCK_ELEMENTS // (len(self.models) * k * n))
        losses, hits = [], []
        terms, weights = [], []  # what is minimised, where that is not the plain loss
        self.engine.start_epoch(epoch)
        self.updates.start((epoch - 1) * self.steps_per_epoch)
        for targets, inputs in self.batches.blocks(epoch, steps=steps_at_once, last=limit):
            outputs = self.parameters.flat.new_empty(len(self.models), k, targets.shape[-1])
            inputs = inputs if self._workers is None else self._announced(inputs, shares)
            of_steps = (_split(tensor, n) for tensor in (targets, outputs))
            for x, y, keep in zip(inputs, *of_steps, strict=True):
                keep.copy_(self._run_step(x, y))
                self._waited += take_turn(should_stop)
                if should_stop():
                    if self._workers is not None:
                        self._workers.leave()
                    raise InterruptedRunError(f"stopped by a signal in epoch {epoch}")
            losses.append(_sums(self._counted(self.loss.reported(outputs, targets)), n))
            if self.classify:
                hits.append(_sums(self._counted(self.loss.hits(outputs, targets)), n))
            if not self.loss.is_plain:
                given = self.loss.restored(outputs), self.loss.restored_targets(targets)
                rows_terms, of_rows = self.loss.terms(*given).double(), self.loss.weights(*given)
                every = torch.ones_like(rows_terms) if of_rows is None else of_rows.double()
                terms.append(self._counted(rows_terms).sum(dim=1))
                weights.append(self._counted(every).sum(dim=1))
        if self._workers is not None:
            self._workers.check_bits(self.parameters.flat, when=f"after epoch {epoch}")
        self.updates.settle()
        finite = self._finite()
        step_losses = self._of_all(_joined(losses).double().cpu())  # the one wait for the device in an epoch
        step_hits = self._of_all(_joined(hits).cpu()) if self.classify else None
        objectives = None
        if terms:
            sums = self._of_all(torch.stack([torch.stack(terms).sum(dim=0), torch.stack(weights).sum(dim=0)]).cpu())
            objectives = (sums[0] / sums[1]).tolist()
        of_models = []
        for index, whole in enumerate(finite):
            loss = float(step_losses[index].sum()) / rows
            objective = None if objectives is None or self.loss.of_model(index).is_plain else objectives[index]
            if not (whole and math.isfinite(loss) and math.isfinite(objective or 0)):
                self._note_divergence(index, epoch, step_losses[index])
            hit = None if step_hits is None else step_hits[index]
            of_models.append(
                {
                    "train": Metrics(loss, None if hit is None else int(hit.sum()) / rows, objective),
                    "step_losses": step_losses[index] / sizes,
                    "step_accuracies": None if hit is None else hit / sizes,
                }
            )
        return of_models

    def _announced(self, inputs: Iterator[list[Tensor]], shares: Iterator[Share]) -> Iterator[list[Tensor]]:
        """The batches, each once the engine knows which share of which batch it is."""
        for batch in inputs:
            self.engine.share = next(shares)
            yield batch

    def _counted(self, values: Tensor) -> Tensor:
        """Values (models, n) of the rows of a block; of a row that only takes part in a share 0."""
        if self.engine.share is not None and not self.engine.share.own:  # the last of its epoch
            values[:, -1] = 0
        return values

    def _of_all(self, sums: Tensor) -> Tensor:
        """Sums over the rows of this process as those of all workers."""
        return sums if self._workers is None else self._workers.sum_(sums)

    def _finite(self) -> list[bool]:
        """Whether all parameters of each model are finite. A finite sum, which they usually have, says so at once.

        Of the parameters alone: an ``eps`` of 0 turns what lies between them into nan, and nothing reads that. An
        average counts too: of huge weights that jump from one sign to the other it overflows before they do.
        """
        stacks = [self.parameters, *([self.updates.evaluated] if self.updates.evaluated is not self.parameters else [])]
        if all(math.isfinite(stack.flat.sum()) for stack in stacks):
            return [True] * len(self.models)
        finite = [
            stack.stacked(name).isfinite().reshape(stack.models, -1).all(dim=1)
            for stack in stacks
            for name in stack.shapes
        ]
        found: list[bool] = torch.stack(finite).all(dim=0).tolist()
        return found

    def _note_divergence(self, index: int, epoch: int, losses: Tensor) -> None:
        if index in self._ended:
            return
        bad = (~losses.isfinite()).nonzero()
        step = (epoch - 1) * self.steps_per_epoch + (int(bad[0]) if len(bad) else len(losses) - 1)
        what = "the training loss" if len(bad) else "a parameter"
        self._ended[index] = Ending.diverged(what, epoch=epoch, step=step + 1, lr=self.updates.lr(index, step))

    def _evaluate(self, index: int, epoch: int) -> Metrics | None:
        member = self.updates.evaluated.members[index]
        if self._whole_statistics:
            measure_statistics(self.network, member, self.models[index].examples)
        examples = self.models[index].evaluated
        if examples is None:
            return None
        loss = self.loss.of_model(index)
        measure = partial(
            evaluate, self.network, member, loss=loss, examples=examples, classify=self.classify, scorer=self.scorer
        )
        metrics = measure() if self._workers is None else self._workers.from_first(measure)
        if not (math.isfinite(metrics.loss) and math.isfinite(metrics.objective or 0)):
            step = epoch * self.steps_per_epoch
            lr = self.updates.lr(index, max(0, step - 1))
            self._ended[index] = Ending.diverged("the evaluated loss", epoch=epoch, step=step, lr=lr)
        return metrics


@dataclass(eq=False)
class TrainedModel:
    """One model of a trainer, as what records and judges it sees it; everything is live.

    Where its group changes it continues in another trainer.
    """

    trainer: Trainer
    index: int

    @property
    def parameters(self) -> Parameters:
        """The parameters that it is evaluated with and stands for, as views: the average where there is one."""
        return self.trainer.updates.evaluated.members[self.index]

    @property
    def initial(self) -> Parameters:
        """Its parameters before training, on its device."""
        return self.trainer.models[self.index].initial

    @property
    def loss(self) -> Loss:
        """Its loss, with the class weights of its own training rows."""
        return self.trainer.loss.of_model(self.index)

    @property
    def examples(self) -> Examples:
        """What it trains on."""
        return self.trainer.models[self.index].examples

    def order(self, epoch: int) -> Tensor:
        """Positions among its rows in the order of this epoch, (n,)."""
        seed, shuffle = self.trainer.models[self.index].seed, self.trainer.batches.shuffle
        return epoch_order(len(self.examples), seed=seed, epoch=epoch, shuffle=shuffle)

    def state(self) -> ModelState:
        """Its parameters and the state of its updates, as views."""
        return self.trainer.updates.state(self.index)

    def end(self, ending: Ending) -> None:
        """It has no further epochs: among others it takes part, and is dropped."""
        self.trainer.end(self.index, ending)

    @property
    def has_ended(self) -> bool:
        """Whether it has no further epochs."""
        return self.trainer.has_ended(self.index)

    def go_on_as(self, other: TrainedModel) -> None:
        """From here on it is that model, of another trainer, which takes over its state and learning rate."""
        other.load(self.state())
        other.scale(self.trainer.updates.scale_of(self.index))
        self.trainer, self.index = other.trainer, other.index

    def scale(self, factor: float) -> None:
        """What a plateau has made of its learning rate, from the next step on."""
        self.trainer.updates.scale(self.index, factor)

    def load(self, state: ModelState) -> None:
        """Take over parameters and state. Raises ValueError for those of another network or optimizer."""
        self.trainer.updates.load(self.index, state)
        self.trainer.revive(self.index)


def _split(values: Tensor, size: int) -> Sequence[Tensor]:
    """Values (models, k, n) in batches of ``size`` columns; where an epoch is one step, a split costs a tenth of it."""
    return [values] if values.shape[2] <= size else torch.split(values, size, dim=2)


def _joined(of_blocks: Sequence[Tensor]) -> Tensor:
    """Figures of the steps of an epoch, (models, steps)."""
    return of_blocks[0] if len(of_blocks) == 1 else torch.cat(list(of_blocks), dim=1)


def _sums(values: Tensor, size: int) -> Tensor:
    """Sums (models, steps) over batches of ``size`` columns of values (models, n); the last may be shorter."""
    if values.shape[1] <= size:
        return values.sum(dim=1, keepdim=True)
    whole = values.shape[1] // size * size
    sums = values[:, :whole].reshape(len(values), -1, size).sum(dim=2)
    if whole == values.shape[1]:
        return sums
    return torch.cat([sums, values[:, whole:].sum(dim=1, keepdim=True)], dim=1)
