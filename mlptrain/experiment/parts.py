"""Which models of a group share a trainer: those that can, and of these no more than a processor's cache holds.

Several models in one trainer share calls and products, which pays for small ones. What each step reads and writes,
weights, gradients and an optimizer's buffers, is theirs all together though, and where the cache does not hold it, it
passes through the memory in every step: four networks 784-1024-1024-10 with Adam took 11.7 ms per step and model in one
trainer and 6.4 in one each (2-core AMD EPYC with 32 MB of L3, 2026-11-26).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

from mlptrain.data import Splits
from mlptrain.experiment.build import alike, device_of
from mlptrain.nn.parameters import padded
from mlptrain.spec import Experiment
from mlptrain.updates.optimizers import count_buffers
from mlptrain.updates.wrapped import needs_closure

# A constant and no measurement: the last bits of a model depend on how many it trains with, and a resumed group repeats
# to the same bytes, on another machine too. On that machine 784-500-256-10 with Adam (8.4 MB a model) was fastest
# alone, 784-256-10 (3.3 MB) in threes, 784-64-10 (0.8 MB) in sixes to eights.
CACHE_BYTES = 10_000_000

T = TypeVar("T")


def parts_of(experiments: Sequence[Experiment], splits: Sequence[Splits]) -> list[list[int]]:
    """The models of a group as places in it, those of one trainer each; they follow from sizes and settings alone.

    Those that are not ``alike``, or have unequal numbers of training rows, cannot share one. On a GPU, which has no
    such cache to keep to, all others do.
    """
    kinds: dict[tuple[int, str], list[int]] = {}
    for place, (its, experiment) in enumerate(zip(splits, experiments, strict=True)):
        kinds.setdefault((len(its.train), alike(experiment)), []).append(place)
    if device_of(experiments[0]) != "cpu":
        return list(kinds.values())
    most = min(map(most_together, experiments))
    return [part for places in kinds.values() for part in chunks(places, most)]


def most_together(experiment: Experiment) -> int:
    """How many such models share a trainer on the CPU, at least one.

    Counted is what a step of one reads or writes besides its batch: weights, gradients, buffers, averages.
    """
    if needs_closure(experiment.optimizer):  # each of whose evaluations is one of all models of a trainer
        return 1
    weights = sum(map(padded, experiment.parameter_shapes.values()))
    per_weight = 2 + count_buffers(experiment.optimizer) + bool(experiment.training.ema)
    return max(1, CACHE_BYTES // (4 * weights * per_weight))


def chunks(models: Sequence[T], most: int) -> list[list[T]]:
    """Neighbours, at most so many together, in as few parts as that allows and of nearly equal lengths."""
    parts = -(-len(models) // most)
    bounds = [len(models) * part // parts for part in range(parts + 1)]
    return [list(models[start:stop]) for start, stop in pairwise(bounds)]
