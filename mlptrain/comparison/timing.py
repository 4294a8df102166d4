"""Seconds of the chosen settings, each trained alone and all of them interleaved: the only seconds that are quoted."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlptrain.comparison.plan import Plan
from mlptrain.spec import OptimizerSpec, load_text

ROUNDS = 3
MOST_SECONDS = 60.0  # of all rounds together; slower tasks get fewer of them


def time_alone(plan: Plan, chosen: Mapping[str, OptimizerSpec], *, data_dir: Path | None = None) -> dict[str, Any]:
    """Seconds per training epoch of every optimizer, without evaluation, checkpoints or warm-up.

    Each optimizer trains alone; after an epoch that is not counted, rounds of one epoch each go around, so that a
    machine that gets slower or faster does so for all. Keys: rounds, seconds_per_epoch (name to the median),
    samples (name to list).
    """
    from mlptrain.parts import build_trainer, load_data
    from mlptrain.training.device import Decisions, in_force

    task = load_text(plan.task).spec
    seed = plan.spec.scoring_seeds[0]
    with in_force(Decisions(plan.device, plan.precision, plan.threads)):  # type: ignore[arg-type]
        splits = load_data(task.model_copy(update={"seed": seed}), data_dir=data_dir)
        runs = {}
        for name, setting in chosen.items():
            spec = task.model_copy(update={"optimizer": setting, "seed": seed})
            trainer = build_trainer([spec], [splits], evaluate=False)
            runs[name] = trainer.epochs(first=1, last=ROUNDS + 1, should_stop=lambda: False)
        warm = {name: _seconds(next(epochs)) for name, epochs in runs.items()}
        rounds = max(1, min(ROUNDS, int(MOST_SECONDS / max(sum(warm.values()), 1e-9))))
        samples: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(rounds):
            for name, epochs in runs.items():
                if (found := next(epochs, None)) is not None:
                    samples[name].append(_seconds(found))
    return {
        "rounds": rounds,
        "seconds_per_epoch": {
            name: statistics.median(seconds) if seconds else None for name, seconds in samples.items()
        },
        "samples": samples,
    }


def _seconds(found: Any) -> float:
    """Training seconds of the only model's epoch; a diverged one takes its time too."""
    return float(found[0].training_seconds)
