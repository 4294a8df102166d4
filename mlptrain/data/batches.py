"""Which rows each step reads: orders keyed by seed and epoch alone, and batches gathered into buffers made once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from mlptrain.data import NO_SCALING, Scaling
from mlptrain.nn.losses import columns
from mlptrain.seeds import derived_seed


@dataclass(frozen=True, eq=False)
class TrainingRows:
    """What the models of one seed train on: ``chosen`` rows (all if None) of x (N, n_features) and their targets.

    ``y`` (N, …) holds the targets as the loss encodes them. x is as stored, and ``scaling`` is applied to what is read:
    MNIST takes 47 MB so instead of 188, and a batch of 512 rows or more half the time to gather and scale that it took
    as float32, one of 64 as much (2-core AMD EPYC). Where a validation split takes rows out, x stays as it is, so that
    several seeds with splits of their own share one x.
    """

    seed: int
    x: Tensor
    y: Tensor
    chosen: Tensor | None = None
    scaling: Scaling = NO_SCALING

    def __len__(self) -> int:
        return len(self.x) if self.chosen is None else len(self.chosen)

    def order(self, epoch: int, *, shuffle: bool = True) -> Tensor:
        """Positions 0 to n − 1 among the rows, (n,) int64 on the CPU, in the order of this epoch."""
        if not shuffle:
            return torch.arange(len(self))
        generator = torch.Generator().manual_seed(derived_seed(self.seed, "shuffle", epoch))
        return torch.randperm(len(self), generator=generator)

    @cached_property
    def in_order(self) -> tuple[Tensor, Tensor]:
        """Scaled inputs and targets of the rows in stored order."""
        return self.first(len(self))

    def first(self, n: int) -> tuple[Tensor, Tensor]:
        """Scaled inputs and targets of the first ``n`` rows."""
        rows = slice(n) if self.chosen is None else self.chosen[:n]
        return self.scaling.apply(self.x[rows]), self.y[rows]


Step = tuple[list[Tensor], Tensor]  # inputs (batch, n_features) of every group, targets (models, t, batch)


@dataclass(frozen=True)
class Block:
    """Some steps of an epoch: targets (models, t, n) of all of them, and the inputs of each as it is reached."""

    targets: Tensor
    batch_size: int
    inputs: Iterator[list[Tensor]]

    def steps(self) -> Iterator[Step]:
        """Every step's inputs and targets. The inputs are overwritten by the next step's."""
        return zip(self.inputs, self.targets.split(self.batch_size, dim=2), strict=True)  # type: ignore[no-untyped-call]


class Batches:
    """The batches of every group of models that share theirs: ``models[g]`` models train on ``rows[g]``."""

    def __init__(self, rows: Sequence[TrainingRows], *, models: Sequence[int], batch_size: int, shuffle: bool) -> None:
        self.rows, self.models = list(rows), list(models)
        self.batch_size, self.shuffle = batch_size, shuffle
        self._n = len(self.rows[0])
        x = self.rows[0].x
        shape = (min(batch_size, self._n), x.shape[1])
        self._stored = x.new_empty(shape)
        self._buffers = [x.new_empty(shape, dtype=torch.float32) for _ in rows] if shuffle else []
        owners = [group for group, count in enumerate(self.models) for _ in range(count)]
        self._in_order: dict[int, Tensor] = {}  # targets of each block, where they are the same in every epoch
        self._owners = None if len(owners) == len(rows) else torch.tensor(owners, device=x.device)

    def blocks(self, epoch: int, *, steps: int) -> Iterator[Block]:
        """The epoch's steps, so many at once: their targets are brought together in one go."""
        at_once = steps * self.batch_size
        orders = [self._places(rows, epoch) for rows in self.rows] if self.shuffle else None
        for start in range(0, self._n, at_once):
            stop = min(start + at_once, self._n)
            if orders is None:
                if start not in self._in_order:
                    self._in_order[start] = self._of_models([rows.in_order[1][start:stop] for rows in self.rows])
                yield Block(self._in_order[start], self.batch_size, self._slices(start, stop))
            else:
                places = [order[start:stop] for order in orders]
                targets = [rows.y.index_select(0, at) for rows, at in zip(self.rows, places, strict=True)]
                yield Block(self._of_models(targets), self.batch_size, self._gathered(places))

    @staticmethod
    def _places(rows: TrainingRows, epoch: int) -> Tensor:
        """Indices into x in the order of the epoch."""
        order = rows.order(epoch).to(rows.x.device)
        return order if rows.chosen is None else rows.chosen.index_select(0, order)

    def _of_models(self, targets: Sequence[Tensor]) -> Tensor:
        """Targets of every group, (groups, t, n), repeated for the models of each: (models, t, n)."""
        groups = torch.cat([columns(part) for part in targets])
        if len(self.rows) == 1:
            return groups.expand(self.models[0], -1, -1)
        return groups if self._owners is None else groups.index_select(0, self._owners)

    def _slices(self, start: int, stop: int) -> Iterator[list[Tensor]]:
        for first in range(start, stop, self.batch_size):
            yield [rows.in_order[0][first : min(first + self.batch_size, stop)] for rows in self.rows]

    def _gathered(self, orders: Sequence[Tensor]) -> Iterator[list[Tensor]]:
        for at in zip(*(order.split(self.batch_size) for order in orders), strict=True):  # type: ignore[no-untyped-call]
            n = at[0].shape[0]
            buffers = self._buffers if n == self.batch_size else [buffer[:n] for buffer in self._buffers]
            for rows, places, buffer in zip(self.rows, at, buffers, strict=True):
                stored = buffer if rows.x.dtype == buffer.dtype else self._stored[:n]
                torch.index_select(rows.x, 0, places, out=stored)
                rows.scaling.write(stored, out=buffer)
            yield buffers
