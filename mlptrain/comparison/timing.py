"""Seconds of the chosen settings, each trained alone and all of them interleaved: the only seconds that are quoted."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlptrain.comparison.plan import Plan
from mlptrain.comparison.trials import Trial, splits_of
from mlptrain.experiment.build import build_trainer
from mlptrain.runs.comparison import StudyTimings, Timings
from mlptrain.spec.comparison.changes import Changes, plain_changes
from mlptrain.training.device import applied

ROUNDS, MAX_ROUNDS = 3, 30
MAX_SECONDS = 60.0  # of three rounds together; slower tasks get fewer
ENOUGH_SECONDS = 1.0  # rounds that take less together are as many as fit, since short epochs are disturbed the most


def time_alone(
    plan: Plan, chosen: Mapping[str, Changes], *, data_dir: Path, on_share: Callable[[float], None]
) -> Timings:
    """Seconds per training epoch of every arm, without evaluation, checkpoints or warm-up.

    Each trains alone; after an epoch that is not counted, rounds of one epoch each take turns, so that a
    machine that gets slower or faster does so for all. ``on_share`` is given the parts of arms that are done.
    """
    names = list(chosen)
    samples: dict[str, list[float]] = {}
    with applied(plan.resolved):
        for start in range(0, len(names), plan.models_at_once):  # as many as fit into memory; nearly always all
            runs = {name: _epochs(plan, chosen[name], data_dir) for name in names[start : start + plan.models_at_once]}
            samples |= _interleaved(runs, on_share)
    medians = {name: statistics.median(seconds) if seconds else None for name, seconds in samples.items()}
    rounds = max(map(len, samples.values()))
    timed: dict[str, Any] = {"rounds": rounds, "seconds_per_epoch": medians, "samples": samples}
    if plan.spec.metric is not None:
        return StudyTimings(**timed, changes={name: plain_changes(one) for name, one in chosen.items()})
    return Timings.model_validate(timed | {"settings": dict(chosen)})


def _interleaved(runs: Mapping[str, Iterator[float]], on_share: Callable[[float], None]) -> dict[str, list[float]]:
    """Seconds of each run's epochs after its first, one epoch of every run before the next of any."""
    on_share(0.0)
    warm = [next(epochs, 0.0) for epochs in runs.values()]
    seconds = max(sum(warm), 1e-9)
    rounds = max(1, min(ROUNDS, int(MAX_SECONDS / seconds)), min(MAX_ROUNDS, int(ENOUGH_SECONDS / seconds)))
    samples: dict[str, list[float]] = {name: [] for name in runs}
    on_share(len(runs) / (rounds + 1))
    for _ in range(rounds):
        for name, epochs in runs.items():
            samples[name] += itertools.islice(epochs, 1)
            on_share(1 / (rounds + 1))
    return samples


def _epochs(plan: Plan, changes: Changes, data_dir: Path) -> Iterator[float]:
    """Seconds of one epoch after the other; ends where the model diverges or the machine cannot train it."""
    seed = plan.spec.scoring_seeds[0]
    trial = Trial("scoring", "", changes, seed)
    experiment = trial.experiment(plan.task)
    [splits] = splits_of(replace(plan.batch([trial]), data_dir=data_dir), [experiment])
    try:
        trainer = build_trainer([experiment], [splits], evaluate=False)
        for [epoch] in trainer.epochs(first=1, last=MAX_ROUNDS + 1, should_stop=lambda: False):
            if epoch is not None:
                yield epoch.training_seconds
    except (MemoryError, RuntimeError):
        return
