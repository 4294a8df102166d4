"""What a comparison will take, before it starts: trials, seconds by a probe, disk, and what its seeds can tell apart."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from mlptrain.comparison.plan import Plan
from mlptrain.comparison.statistics import seeds_needed, smallest_detectable, verdict_possible
from mlptrain.comparison.trials import TrialBatch
from mlptrain.errors import InterruptedRunError
from mlptrain.spec import load_text

PROBE_SECONDS = 3.0
# Paired standard deviation of accuracies over seeds that is assumed before there is any: Nesterov against Adam on MNIST
# with the network 784-392-196-98-10 had 0.0018.
ASSUMED_SPREAD = 0.002
_BYTES_PER_RECORD, _BYTES_PER_EPOCH = 900, 4 * 22  # four figures of 20 digits each epoch


def preview(plan: Plan, *, data_dir: Path | None = None) -> dict[str, Any]:
    """Keys: tuning_trials, most_extension_trials, scoring_trials, batches, models_at_once, seconds, bytes, seeds,
    seeds_for_verdict, verdict_possible, assumed_spread, smallest_detectable (None where no verdict is possible).

    Trains one batch of models for three seconds and keeps nothing of it. ``seconds`` are without extensions.
    """
    spec = plan.spec
    tuning = plan.tuning_batches(plan.first_grids(), data_dir=data_dir)
    chosen = {name: spec.settings(name)[0] for name in spec.optimizers}
    scoring = plan.scoring_batches(chosen, data_dir=data_dir)
    batches = [*tuning, *scoring]
    largest = max(batches, key=lambda batch: len(batch.trials))
    per_model_epoch = probe(largest)
    epochs = spec.base.training.epochs
    trials = sum(len(batch.trials) for batch in batches)
    possible = verdict_possible(len(spec.scoring_seeds), pairs=spec.pairs)
    detectable = smallest_detectable(
        len(spec.scoring_seeds), pairs=spec.pairs, spread=ASSUMED_SPREAD, tie=spec.tie
    )
    return {
        "plan": plan.digest,
        "tuning_trials": sum(len(batch.trials) for batch in tuning),
        "most_extension_trials": _most_extension_trials(plan),
        "scoring_trials": sum(len(batch.trials) for batch in scoring),
        "batches": len(batches),
        "models_at_once": max(len(batch.trials) for batch in batches),
        "seconds": per_model_epoch * epochs * trials,
        "bytes": trials * (_BYTES_PER_RECORD + _BYTES_PER_EPOCH * epochs),
        "seeds": len(spec.scoring_seeds),
        "seeds_for_verdict": seeds_needed(spec.pairs),
        "verdict_possible": possible,
        "assumed_spread": ASSUMED_SPREAD,
        "smallest_detectable": detectable if possible else None,
    }


def _most_extension_trials(plan: Plan) -> int:
    """Trials that extensions can add at most: one value more in the field with the most settings beside it, each time."""
    spec = plan.spec
    if spec.tuning is None:
        return 0
    most = 0
    for fields in plan.first_grids().values():
        sizes = {field: len(values) for field, values in fields.items()}
        before = 1
        for size in sizes.values():
            before *= size
        after = 1
        for size in sizes.values():
            after *= size + spec.tuning.extensions
        most += after - before
    return most * len(spec.tuning_seeds)


def probe(batch: TrialBatch) -> float:
    """Seconds per epoch and model, evaluation included, when the models of this batch train together."""
    from mlptrain.parts import build_trainer, load_data
    from mlptrain.training.device import Decisions, in_force

    task = load_text(batch.base).spec
    with in_force(Decisions(batch.device, batch.precision, batch.threads)):  # type: ignore[arg-type]
        specs = [task.model_copy(update={"optimizer": trial.setting, "seed": trial.seed}) for trial in batch.trials]
        data = {}
        for spec in specs:
            like = next(iter(data.values()), None)
            data.setdefault(spec.seed, load_data(spec, data_dir=batch.data_dir, like=like))
        trainer = build_trainer(specs, [data[spec.seed] for spec in specs])
        started = time.perf_counter()
        next(trainer.epochs(first=0, last=0, should_stop=lambda: False))
        evaluation = time.perf_counter() - started
        steps, started = 0, time.perf_counter()

        def enough() -> bool:
            nonlocal steps
            steps += 1
            return time.perf_counter() - started > PROBE_SECONDS

        try:
            for _ in trainer.epochs(first=1, last=10_000, should_stop=enough):
                pass
        except InterruptedRunError:
            pass
        per_step = (time.perf_counter() - started) / steps
    return (evaluation + per_step * trainer.steps_per_epoch) / len(batch.trials)
