"""Which rows are held out: drawn for testing and validation at random, by class, by group or time, or a fold's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlptrain.errors import DataError
from mlptrain.seeds import derived_seed
from mlptrain.sources.facts import SplitBy, drawn
from mlptrain.sources.grouping import block_of_fold, drawn_groups, folds_of_groups

_FEW = 8  # classes, of which each is sought in the time that sorting all of them takes


@dataclass(frozen=True)
class Drawing:
    """How rows are drawn from the training rows by ``seed``. How many does not depend on it, except of groups.

    ``keys`` (N,) int64, of all stored rows: their classes, their groups, or ranks of their times. Ten million rows
    take 1.3 s at random, 2.1 by class, 1.2 by group and 1.4 by time (one thread of a 2-core AMD EPYC, 2026-11-26).
    """

    by: SplitBy
    seed: int
    keys: Tensor | None = None

    def __call__(self, rows: Tensor, wish: float, *, purpose: str) -> tuple[Tensor, Tensor]:
        """The rows that stay and those that are drawn, ascending.

        ``wish`` is a count, or a fraction below 1; ``purpose``, such as ``test``, has random numbers of its own. Raises
        DataError where none would be drawn, or none would stay.
        """
        if wish == 0:
            return rows, rows[:0]
        count = drawn(wish, len(rows))
        if not 1 <= count < len(rows):
            raise DataError(
                f"{purpose} {wish} of {len(rows)} training rows takes {count}: it must take at least 1 and leave at "
                "least 1 to train on; 0 means none"
            )
        keys = self.keys
        if keys is not None and len(rows) < len(keys):
            keys = keys.index_select(0, rows)
        mask = torch.zeros(len(rows), dtype=torch.bool)
        if self.by == "group" and keys is not None:
            mask = self._of_groups(keys, count, purpose)
        elif self.by == "time" and keys is not None:
            mask[keys.argsort(stable=True)[len(rows) - count :]] = True
        else:
            generator = torch.Generator().manual_seed(derived_seed(self.seed, f"{purpose} split"))
            shares = None if keys is None else self._shares(keys, count, purpose, generator)
            if shares is None or keys is None:
                mask.numpy()[_shuffled(len(rows), generator)[:count]] = True
            else:
                _choose_of_each(mask.numpy(), keys, shares, generator)
        return _parted(rows, mask)

    def fold(self, rows: Tensor, of: int, index: int, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        """The rows that a fold is trained on, before validation rows are drawn of them, and those that it holds out.

        Both ascending. Whole groups, or blocks of time, of which later ones than the fold's are in neither; else drawn
        as ``fold_numbers`` has it, where ``labels`` (N,) are those of all stored rows.
        """
        if self.keys is None or self.by not in ("group", "time"):
            numbers = fold_numbers(len(rows), of, seed=self.seed, labels=None if labels is None else labels[rows])
        elif self.by == "group":
            sizes: list[int] = self.keys.bincount().tolist()
            numbers = torch.tensor(folds_of_groups(tuple(sizes), of, seed=self.seed))[self.keys]
        else:
            block, order = block_of_fold(len(rows), of, index), self.keys.argsort(stable=True)
            mask = torch.zeros(len(rows), dtype=torch.bool)
            mask[order[block.start : block.stop]] = True
            used = order[: block.stop].sort().values
            return _parted(rows[used], mask[used])
        return _parted(rows, numbers == index)

    def _of_groups(self, keys: Tensor, count: int, purpose: str) -> Tensor:
        sizes = keys.bincount()
        groups = drawn_groups(sizes.tolist(), count, seed=self.seed, purpose=purpose)
        if len(groups) == int((sizes > 0).sum()):
            raise DataError(
                f"{purpose} rows are drawn as whole groups, and {len(groups):,} {_groups(groups)} all there are"
            )
        chosen = torch.zeros(len(sizes), dtype=torch.bool)
        chosen[groups] = True
        return chosen[keys]

    def _shares(self, keys: Tensor, count: int, purpose: str, generator: torch.Generator) -> list[int] | None:
        """How many of each class are drawn; None where that cannot be, and need not."""
        counts: list[int] = keys.bincount().tolist()
        most = sum(size - 1 for size in counts if size)
        if count > most:
            if self.by == "auto":
                return None
            raise DataError(
                f"{purpose} takes {count:,} of {len(keys):,} rows, but stratified takes {most:,} at most, since one of "
                "every class stays in training; take fewer, or use split: random"
            )
        return shares_of(counts, count, torch.rand(len(counts), generator=generator).tolist())


def fold_numbers(n: int, of: int, *, seed: int, labels: Tensor | None = None) -> Tensor:
    """Of each of ``n`` rows the fold it is held out in, from 0 to ``of`` − 1, (n,) int64, drawn by the seed.

    Sizes of folds differ by at most one, the first ones are the larger. With ``labels`` (n,) so do the numbers of rows
    of a class in them.
    """
    order = torch.randperm(n, generator=torch.Generator().manual_seed(derived_seed(seed, "folds")))
    if labels is not None:  # dealt like cards, class after class
        order = order[labels[order].argsort(stable=True)]
    numbers = torch.empty(n, dtype=torch.int64)
    numbers[order] = torch.arange(n) % of
    return numbers


def _parted(rows: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Those of the rows where the mask is false, and those where it is true."""
    chosen, of = mask.numpy(), rows.numpy()  # NumPy is five times as fast at this as torch
    places = np.flatnonzero(~chosen), np.flatnonzero(chosen)
    if int(of[-1]) != len(of) - 1:  # ascending rows that are not all of the first ones
        places = of.take(places[0]), of.take(places[1])
    return torch.from_numpy(places[0]), torch.from_numpy(places[1])


def shares_of(counts: Sequence[int], count: int, ties: Sequence[float]) -> list[int]:
    """How many of ``counts`` rows of each class make ``count``: each its share, rounded by the largest remainders.

    One row of every class is left; so ``count`` is at most the sum of all but one each. Of equal remainders the smaller
    of ``ties`` is rounded up.
    """
    total = sum(counts)
    taken = [min(size * count // total, max(0, size - 1)) for size in counts]
    while (missing := count - sum(taken)) > 0:
        free = [index for index, size in enumerate(counts) if taken[index] < size - 1]
        free.sort(key=lambda index: (taken[index] * total - counts[index] * count, ties[index]))
        for index in free[:missing]:
            taken[index] += 1
    return taken


def _choose_of_each(mask: NDArray[np.bool_], keys: Tensor, shares: Sequence[int], generator: torch.Generator) -> None:
    """So many rows of each class as ``shares`` says, at random, are true in ``mask``."""
    narrow = keys.to(torch.int16 if len(shares) < 2**15 else torch.int64).numpy()
    parts: Iterable[NDArray[np.int64]]
    if len(shares) <= _FEW:
        parts = (np.flatnonzero(narrow == one) for one in range(len(shares)))
    else:
        by_class = np.argsort(narrow, kind="stable")  # which sorts 16 bits by radix
        parts = np.split(by_class, np.cumsum(np.bincount(narrow, minlength=len(shares)))[:-1])
    for part, share in zip(parts, shares, strict=True):
        mask[part[_shuffled(len(part), generator)[:share]]] = True


def _shuffled(n: int, generator: torch.Generator) -> NDArray[np.integer]:
    """0 to n − 1 in the order of ``torch.randperm``; 32 bits, which more of the cache holds, take 4/5 of the time."""
    order = torch.randperm(n, generator=generator, dtype=torch.int32 if n < 2**31 else torch.int64)
    shuffled: NDArray[np.integer] = order.numpy()
    return shuffled


def _groups(groups: Sequence[int]) -> str:
    return "group is" if len(groups) == 1 else "groups are"
