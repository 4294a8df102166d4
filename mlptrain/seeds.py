"""Random numbers keyed by what they are for, never drawn from a global stream.

One experiment seed gives a separate seed for every (purpose, epoch). The shuffle of epoch 7 is then the same whatever
was drawn before it, so a resumed run needs no generator state and two optimizers see the same batches.
"""

from __future__ import annotations

import hashlib
import re


def derived_seed(seed: int, purpose: str, epoch: int = 0) -> int:
    """A 63-bit seed for one purpose (``"shuffle"``, ``"initial weights"``, …) in one epoch.

    The first eight bytes of SHA-256 over ``"seed/purpose/epoch"``, with the top bit cleared: torch and numpy both
    take it. Neighbouring seeds give unrelated streams, which ``seed + epoch`` would not (seed 0, epoch 1 would equal
    seed 1, epoch 0).
    """
    digest = hashlib.sha256(f"{seed}/{purpose}/{epoch}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def seed_range(text: str) -> range:
    """The seeds in ``7``, or in ``0..99`` or ``0-99``, both ends included; empty for anything else."""
    found = re.fullmatch(r"\s*([0-9]{1,30})(?:\s*(?:\.\.|-)\s*([0-9]{1,30}))?\s*", text)
    return range(0) if found is None else range(int(found[1]), int(found[2] or found[1]) + 1)
