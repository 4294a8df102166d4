"""Which rows each step reads: orders keyed by seed and epoch alone, and batches gathered into buffers made once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from mlptrain.data.augmentation import Augmentation, AugmentedEpoch
from mlptrain.data.examples import Examples
from mlptrain.nn.losses import columns
from mlptrain.nn.shares import Share
from mlptrain.seeds import derived_seed


def epoch_order(n: int, *, seed: int, epoch: int, shuffle: bool = True) -> Tensor:
    """Positions 0 to n − 1 of the training rows, (n,) int64 on the CPU, in the order in which an epoch reads them."""
    if not shuffle:
        return torch.arange(n)
    generator = torch.Generator().manual_seed(derived_seed(seed, "shuffle", epoch))
    return torch.randperm(n, generator=generator)


# Some steps of an epoch: targets (models, t, n) of all of them, and the inputs (batch, n_features) of every group for
# each step as it is reached, which are overwritten by the next one's.
Block = tuple[Tensor, Iterator[list[Tensor]]]

# Inputs that are gathered and scaled in one go, of several steps where batches are small: 1 MB, which stay in the
# cores' own caches until they are read. Steps of 125 rows of 784 bytes take 17 µs one by one, 14 in twos, 12.5 in fours
# and 11.5 in sixteens, as long as no other program takes the cache that all cores share, and then in fives 40 (2-core
# AMD EPYC, 2026-11-26).
_GATHERED = 2**18


class Batches:
    """The batches of groups of models: ``models[g]`` models train on ``examples[g]`` in the orders of ``seeds[g]``.

    With an ``augmentation`` every batch is a changed copy; where it mixes examples, targets are shares of the classes.

    Where several workers compute one batch, ``share_of`` says by its number of rows which of them are this one's: all
    that is given is of these alone. An augmentation changes the whole batch in each worker, since what is drawn for a
    row depends on its place; without one, no more than the share is read.
    Groups that read the same stored rows, scaled alike, are gathered at once. Microseconds of a step, one and two
    threads (2-core AMD EPYC, 2026-11-26), at once against one after the other: 229 and 133 against 295 and 348 for 16
    batches of 125 images, 1,850 and 724 against 1,845 and 855 for 16 of 512, 24 and 21 against 246 for 64 of 32 digits.
    """

    def __init__(
        self,
        examples: Sequence[Examples],
        *,
        seeds: Sequence[int],
        models: Sequence[int],
        batch_size: int,
        shuffle: bool,
        augmentation: Augmentation | None = None,
        share_of: Callable[[int], Share] | None = None,
    ) -> None:
        self.examples, self.seeds, self.models = list(examples), list(seeds), list(models)
        self.batch_size, self.shuffle, self._augmentation = batch_size, shuffle, augmentation
        # Else batches are slices of the inputs.
        self._copied = shuffle or augmentation is not None or share_of is not None
        self._n = len(self.examples[0])
        starts = range(0, self._n, batch_size)
        self.shares = [] if share_of is None else [share_of(min(batch_size, self._n - start)) for start in starts]
        # Positions in an epoch's order of the rows of all shares.
        of_steps = [
            torch.arange(start + share.start, start + share.stop)
            for start, share in zip(starts, self.shares, strict=bool(self.shares))
        ]
        self._own = torch.cat(of_steps).to(examples[0].x.device) if of_steps else None
        x = self.examples[0].x
        preprocessing = self.examples[0].preprocessing
        self._same_rows = augmentation is None and all(
            (some.x.data_ptr(), some.x.shape, some.x.stride()) == (x.data_ptr(), x.shape, x.stride())
            and some.preprocessing == preprocessing
            for some in self.examples
        )
        # What augmentation draws is drawn batch by batch.
        steps = 1 if augmentation is not None else _GATHERED // (len(examples) * batch_size * max(1, x.shape[1]))
        self._at_once = max(1, steps)
        size = min(self._at_once * batch_size, self._n)
        self._stored = x.new_empty((len(examples) if self._same_rows else 1) * size, x.shape[1])
        self._buffer = x.new_empty(len(examples) * size if self._copied else 0, x.shape[1], dtype=torch.float32)
        owners = [group for group, count in enumerate(self.models) for _ in range(count)]
        self._split: dict[int, list[list[Tensor]]] = {}  # the batches in the buffers, by the number of rows in them
        self._in_order: dict[
            tuple[int, int], Tensor
        ] = {}  # targets of each block, where they are the same in every epoch
        self._owners = None if len(owners) == len(self.examples) else torch.tensor(owners, device=x.device)

    def blocks(self, epoch: int, *, steps: int, last: int | None = None) -> Iterator[Block]:
        """The epoch's steps, so many at once: their targets are brought together in one go.

        ``last`` is the number of steps after which it ends, by default all; several workers cannot end it early.
        """
        n, size = self._n, self.batch_size
        orders = [self._rows(group, epoch) for group in range(len(self.examples))] if self._copied else None
        device = self.examples[0].x.device
        drawn = (
            [self._augmentation.epoch(seed, epoch, device=device) for seed in self.seeds]
            if self._augmentation
            else None
        )
        if orders is not None and self._own is not None and drawn is None:
            orders = [order.index_select(0, self._own) for order in orders]
            n, size = len(self._own), self.shares[0].stop - self.shares[0].start
        n = n if last is None else min(n, last * size)
        for start in range(0, n, steps * size):
            stop = min(start + steps * size, n)
            if orders is None:
                if (start, stop) not in self._in_order:
                    self._in_order[start, stop] = self._of_models([some.targets[start:stop] for some in self.examples])
                yield self._in_order[start, stop], self._slices(start, stop)
            else:
                rows = [order[start:stop] for order in orders]
                targets = [some.y.index_select(0, at) for some, at in zip(self.examples, rows, strict=True)]
                if drawn is not None:
                    targets = [
                        one.targets(of_rows, self.batch_size) for one, of_rows in zip(drawn, targets, strict=True)
                    ]
                of_models, inputs = self._of_models(targets), self._gathered(rows, drawn, size)
                if self._own is None or drawn is None:
                    yield of_models, inputs
                else:
                    own = self._own[(self._own >= start) & (self._own < stop)] - start
                    yield of_models.index_select(2, own), self._parts(inputs, self.shares[start // size :])

    def _rows(self, group: int, epoch: int) -> Tensor:
        """Indices into a group's x in the order of the epoch."""
        examples = self.examples[group]
        order = epoch_order(self._n, seed=self.seeds[group], epoch=epoch, shuffle=self.shuffle).to(examples.x.device)
        return order if examples.index is None else examples.index.index_select(0, order)

    def _of_models(self, targets: Sequence[Tensor]) -> Tensor:
        """Targets of every group, (groups, t, n), repeated for the models of each: (models, t, n)."""
        groups = torch.cat([columns(part) for part in targets])
        if len(self.examples) == 1:
            return groups.expand(self.models[0], -1, -1)
        return groups if self._owners is None else groups.index_select(0, self._owners)

    def _slices(self, start: int, stop: int) -> Iterator[list[Tensor]]:
        for first in range(start, stop, self.batch_size):
            yield [some.inputs[first : min(first + self.batch_size, stop)] for some in self.examples]

    @staticmethod
    def _parts(batches: Iterator[list[Tensor]], shares: Sequence[Share]) -> Iterator[list[Tensor]]:
        for batch, share in zip(batches, shares, strict=False):
            yield [x[share.rows] for x in batch]

    def _gathered(
        self, orders: Sequence[Tensor], drawn: Sequence[AugmentedEpoch] | None, size: int
    ) -> Iterator[list[Tensor]]:
        for rows in zip(*(torch.split(order, size * self._at_once) for order in orders), strict=True):
            n, groups = rows[0].shape[0], len(rows)
            every = self._buffer[: groups * n]
            if self._same_rows:
                some = self.examples[0]
                stored = every if some.x.dtype == every.dtype else self._stored[: groups * n]
                torch.index_select(some.x, 0, rows[0] if groups == 1 else torch.cat(rows), out=stored)
                some.preprocessing.write(stored, out=every)
                yield from self._batches(n, size)
                continue
            for group, (some, at, buffer) in enumerate(zip(self.examples, rows, torch.split(every, n), strict=True)):
                stored = buffer if some.x.dtype == buffer.dtype else self._stored[:n]
                torch.index_select(some.x, 0, at, out=stored)
                if drawn is None:
                    some.preprocessing.write(stored, out=buffer)
                else:
                    drawn[group].write(stored, some.preprocessing, out=buffer)
            yield from self._batches(n, size)

    def _batches(self, n: int, size: int) -> list[list[Tensor]]:
        """The buffer's rows, ``n`` of each group, ``size`` by ``size``, which is the same in every call."""
        if n not in self._split:
            of_groups = [torch.split(one, size) for one in torch.split(self._buffer[: len(self.examples) * n], n)]
            self._split[n] = [list(batch) for batch in zip(*of_groups, strict=True)]
        return self._split[n]
