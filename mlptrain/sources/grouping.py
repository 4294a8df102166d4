"""Groups of rows that are drawn whole: how many rows that makes follows from their sizes alone, before any is read."""

from __future__ import annotations

import random
from collections.abc import Sequence

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
