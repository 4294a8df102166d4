"""Groups and times: how many rows a split or a fold has follows from sizes alone, before any row is read."""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence
from functools import lru_cache

from mlptrain.seeds import derived_seed


def drawn_groups(sizes: Sequence[int], rows: int, *, seed: int, purpose: str) -> list[int]:
    """Groups, by their positions among ``sizes``, whose rows together are near ``rows``; those of size 0 are not there.

    In an order drawn by the seed each is taken that brings the sum nearer, and the smallest one where none does. Raises
    ValueError where there is no group.
    """
    there = [group for group, size in enumerate(sizes) if size]
    random.Random(derived_seed(seed, f"{purpose} split")).shuffle(there)
    chosen, total = [], 0
    for group in there:
        if abs(total + sizes[group] - rows) < abs(total - rows):
            chosen.append(group)
            total += sizes[group]
    return chosen or [min(there, key=lambda group: sizes[group])]


@lru_cache(maxsize=1)  # every fold asks for it, and a million groups take a second
def folds_of_groups(sizes: tuple[int, ...], of: int, *, seed: int) -> tuple[int, ...]:
    """The fold of each group, from 0 to ``of`` − 1, of at least as many groups; every fold gets one.

    As scikit-learn's GroupKFold: the largest group first, each into the fold with the fewest rows so far; the seed says
    which of equally large ones comes first. As many groups as folds keep their order.
    """
    if len(sizes) == of:
        return tuple(range(of))
    order = list(range(len(sizes)))
    random.Random(derived_seed(seed, "folds")).shuffle(order)
    order.sort(key=lambda group: -sizes[group])
    folds, lightest = [0] * len(sizes), [(0, fold) for fold in range(of)]
    for group in order:
        rows, folds[group] = lightest[0]
        heapq.heapreplace(lightest, (rows + sizes[group], folds[group]))
    return tuple(folds)


def block_of_fold(rows: int, of: int, index: int) -> range:
    """The places of a fold's held-out rows in the order of time, as scikit-learn's TimeSeriesSplit has them.

    Of ``of`` + 1 blocks the first is never held out, and is longer by what does not divide.
    """
    size = rows // (of + 1)
    start = rows - (of - index) * size
    return range(start, start + size)
