"""Seconds of the chosen settings, each trained alone and all of them interleaved: the only seconds that are quoted."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mlptrain.comparison.plan import Plan
from mlptrain.comparison.trials import task_data
from mlptrain.spec import OptimizerSpec, load_text

ROUNDS, MOST_ROUNDS = 3, 30
MOST_SECONDS = 60.0  # of three rounds together; slower tasks get fewer
ENOUGH_SECONDS = 1.0  # rounds that take less together are as many as fit, since short epochs are disturbed the most


def settings_of(chosen: Mapping[str, OptimizerSpec]) -> dict[str, Any]:
    """What was timed, to tell whether seconds on record are of the settings that were chosen in the end."""
    return {name: setting.model_dump() for name, setting in chosen.items()}


def time_alone(
    plan: Plan,
    chosen: Mapping[str, OptimizerSpec],
    *,
    data_dir: Path,
    on_share: Callable[[float], None],
) -> dict[str, Any]:
    """Seconds per training epoch of every optimizer, without evaluation, checkpoints or warm-up.

    Each optimizer trains alone; after an epoch that is not counted, rounds of one epoch each go around, so that a
    machine that gets slower or faster does so for all. Keys: rounds, seconds_per_epoch (name to the median, None where
    it diverged at once or could not be trained), samples (name to list), settings. ``on_share`` is told of parts of
    optimizers as they are done.
    """
    from mlptrain.training.device import ResolvedDevice, applied

    names = list(chosen)
    samples: dict[str, list[float]] = {}
    with applied(ResolvedDevice(plan.device, plan.precision, plan.threads)):  # type: ignore[arg-type]
        for start in range(0, len(names), plan.models_at_once):  # as many as fit into memory; nearly always all
            runs = {name: _epochs(plan, chosen[name], data_dir) for name in names[start : start + plan.models_at_once]}
            samples |= _interleaved(runs, on_share)
    return {
        "rounds": max(map(len, samples.values())),
        "seconds_per_epoch": {
            name: statistics.median(seconds) if seconds else None for name, seconds in samples.items()
        },
        "samples": samples,
        "settings": settings_of(chosen),
    }


def _interleaved(runs: Mapping[str, Iterator[float]], on_share: Callable[[float], None]) -> dict[str, list[float]]:
    """Seconds of each run's epochs after its first, one epoch of every run before the next of any."""
    on_share(0.0)
    warm = [next(epochs, 0.0) for epochs in runs.values()]
    one = max(sum(warm), 1e-9)
    rounds = max(1, min(ROUNDS, int(MOST_SECONDS / one)), min(MOST_ROUNDS, int(ENOUGH_SECONDS / one)))
    samples: dict[str, list[float]] = {name: [] for name in runs}
    on_share(len(runs) / (rounds + 1))
    for _ in range(rounds):
        for name, epochs in runs.items():
            samples[name] += [seconds for seconds in [next(epochs, None)] if seconds is not None]
            on_share(1 / (rounds + 1))
    return samples


def _epochs(plan: Plan, setting: OptimizerSpec, data_dir: Path) -> Iterator[float]:
    """Seconds of one epoch after the other; ends where the model diverges or the machine cannot train it."""
    from mlptrain.experiment.build import build_trainer

    seed = plan.spec.scoring_seeds[0]
    spec = load_text(plan.task).experiment.changed(optimizer=setting, seed=seed)
    splits = task_data(plan.task, data_dir)(seed)
    try:
        trainer = build_trainer([spec], [splits], evaluate=False)
        for [found] in trainer.epochs(first=1, last=MOST_ROUNDS + 1, should_stop=lambda: False):
            if found is not None:
                yield found.training_seconds
    except (MemoryError, RuntimeError):
        return
