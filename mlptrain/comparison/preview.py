"""What a comparison will take, before it starts: trials, seconds by a probe, disk, and what its seeds can show."""

from __future__ import annotations

import contextlib
import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlptrain.comparison.plan import Plan
from mlptrain.comparison.statistics import smallest_detectable, verdict_possible
from mlptrain.comparison.trials import OnFetch, TrialBatch, splits_of, task_data
from mlptrain.data import Splits
from mlptrain.errors import InterruptedRunError
from mlptrain.experiment.build import build_trainer
from mlptrain.experiment.parts import parts_of
from mlptrain.sources.store import data_folder
from mlptrain.spec import Experiment
from mlptrain.spec.comparison.grids import is_ordered
from mlptrain.spec.comparison.sections import seeds_for_verdict
from mlptrain.system.paths import AnyPath
from mlptrain.training.device import applied

PROBE_SECONDS = 1.5  # for each size of batch, of which there are two
MAX_PARTS = 8  # of a batch; building the trainer of each takes time too
# Paired standard deviation of accuracies over seeds that is assumed before there is any: that of two networks of which
# chance alone decides on a share of the rows, √(share / rows), but at least that of MNIST. Of Nesterov against Adam it
# was 0.0018 on MNIST with the network 784-392-196-98-10, and over 20 seeds 0.0070 on the 360 test rows of digits,
# 0.0063 on the 114 of breast_cancer, 0.0080 on the 69 of penguins; of hard data it is larger, 0.0104 on Fashion-MNIST
# after four epochs (2026-11-26).
SHARE_BY_CHANCE, LEAST_SPREAD = 0.01, 0.002
_BYTES_PER_RECORD, _BYTES_PER_EPOCH = 900, 4 * 22  # four figures of 20 digits each epoch


def preview(plan: Plan, *, data_dir: AnyPath | None = None, on_fetch: OnFetch | None = None) -> dict[str, Any]:
    """What a plan asks for. Trains the largest batch of tuning, and of scoring, for seconds and keeps nothing of it.

    Keys: plan (its hash), tuning_trials, most_extension_trials, scoring_trials, batches, models_at_once, seconds,
    bytes, seeds, scored_rows, seeds_for_verdict, verdict_possible, assumed_spread, smallest_detectable (None where no
    verdict is possible). The spread is assumed by the number of scored rows, see ``assumed_spread``; of another metric
    than the accuracy it is None, and smallest_detectable counts standard deviations of the differences. ``seconds`` are
    of one process on this machine; they and ``bytes`` are without extensions.
    """
    spec, data_dir = plan.spec, data_folder(data_dir)
    task_data(plan.task, data_dir, on_fetch=on_fetch)
    tuning = plan.tuning_batches(plan.first_grids())
    chosen = {name: candidate.settings()[0] for name, candidate in spec.compared.items()}
    scoring = plan.scoring_batches(chosen)
    tuning_trials, scoring_trials = (sum(len(batch.trials) for batch in some) for some in (tuning, scoring))
    epochs, trials = spec.base.training.epochs, tuning_trials + scoring_trials
    possible = verdict_possible(len(spec.scoring_seeds), pairs=spec.pairs)
    # Of figures in another unit nothing is known beforehand: then in standard deviations of the differences.
    is_accuracy = spec.judged_by.key == "accuracy"
    facts = plan.task.facts
    rows = facts.test_rows if plan.split == "test" else facts.validation_rows
    spread, tie = (assumed_spread(rows), spec.tie_width) if is_accuracy else (1.0, 0.0)
    detectable = smallest_detectable(len(spec.scoring_seeds), pairs=spec.pairs, spread=spread, tie=tie)
    return {
        "plan": plan.digest,
        "tuning_trials": tuning_trials,
        "most_extension_trials": max_extension_trials(plan),
        "scoring_trials": scoring_trials,
        "batches": len(tuning) + len(scoring),
        "models_at_once": max(len(batch.trials) for batch in [*tuning, *scoring]),
        "seconds": epochs * sum(seconds_per_epoch(some, data_dir) for some in (tuning, scoring)),
        "bytes": bytes_of(trials, epochs=epochs * trials),
        "seeds": len(spec.scoring_seeds),
        "scored_rows": rows,
        "seeds_for_verdict": seeds_for_verdict(spec.pairs),
        "verdict_possible": possible,
        "assumed_spread": spread if is_accuracy else None,
        "smallest_detectable": detectable if possible else None,
    }


def assumed_spread(rows: int) -> float:
    """The standard deviation of paired differences of accuracies on so many rows that is assumed beforehand."""
    return max(LEAST_SPREAD, math.sqrt(SHARE_BY_CHANCE / rows))


def max_extension_trials(plan: Plan) -> int:
    """Trials that extensions can add at most: each time one value more in every tuned field that has an order."""
    extensions = plan.spec.tuning.extensions if plan.spec.tuning else 0
    settings = 0
    for grids in plan.first_grids().values():
        sizes = [(len(values), extensions if is_ordered(values) else 0) for values in grids.values()]
        settings += math.prod(size + more for size, more in sizes) - math.prod(size for size, _ in sizes)
    return settings * len(plan.spec.tuning_seeds)


def bytes_of(trials: int, *, epochs: int) -> int:
    """Of the records of some trials, which train so many ``epochs`` in all."""
    return trials * _BYTES_PER_RECORD + _BYTES_PER_EPOCH * epochs


def seconds_per_epoch(batches: Sequence[TrialBatch], data_dir: Path) -> float:
    """Of all batches one after the other, by a probe of the largest."""
    if not batches:
        return 0.0
    largest = replace(max(batches, key=lambda batch: len(batch.trials)), data_dir=data_dir)
    return _probe(largest) / len(largest.trials) * sum(len(batch.trials) for batch in batches)


def _probe(batch: TrialBatch) -> float:
    """Seconds per epoch, evaluation included, when the models of this batch train together.

    The first of its parts, which are models of one form each, are trained, and stand for the others.
    """
    with applied(batch.resolved):
        experiments = [trial.experiment(batch.base) for trial in batch.trials]
        splits = splits_of(batch, experiments)
        parts = parts_of(experiments, splits)[:MAX_PARTS]
        seconds = [
            _probe_of_part([experiments[at] for at in part], [splits[at] for at in part], PROBE_SECONDS / len(parts))
            for part in parts
        ]
    return sum(seconds) * len(experiments) / sum(map(len, parts))


def _probe_of_part(experiments: Sequence[Experiment], splits: Sequence[Splits], most: float) -> float:
    """Of models that share a trainer, by training them for at ``most`` so many seconds."""
    whole: list[float] = []  # epochs
    evaluating, began, steps = 0.0, 0.0, 0

    def enough() -> bool:
        nonlocal steps
        steps += 1
        return time.perf_counter() - began > most

    trainer = build_trainer(experiments, splits)
    with contextlib.suppress(InterruptedRunError):
        for epochs in trainer.epochs(first=0, last=1_000_000, should_stop=enough):
            epoch = next(epoch for epoch in epochs if epoch is not None)
            if epoch.epoch:
                whole.append(epoch.training_seconds + epoch.evaluation_seconds)
            else:
                evaluating, began = epoch.evaluation_seconds, time.perf_counter()
    per_step = (time.perf_counter() - began) / steps
    return statistics.median(whole) if whole else evaluating + per_step * trainer.steps_per_epoch
