"""What a search will take, before it starts: trials, what the space is, seconds by a probe, and disk."""

from __future__ import annotations

import math
from typing import Any

from mlptrain.comparison.preview import bytes_of, seconds_per_epoch
from mlptrain.comparison.trials import OnFetch, TrialBatch, task_data
from mlptrain.searching.plan import SearchPlan
from mlptrain.sources.store import data_folder
from mlptrain.spec.comparison.changes import plain_changes
from mlptrain.spec.search.load import size_of
from mlptrain.system.paths import AnyPath


def preview(plan: SearchPlan, *, data_dir: AnyPath | None = None, on_fetch: OnFetch | None = None) -> dict[str, Any]:
    """What a plan asks for. Trains the first settings that it draws, and one alone, for seconds; keeps nothing of it.

    Keys: plan (its hash), method, settings (how many the space has; None where a range of it has any number), trials,
    at_once (how many are drawn before any of them is known), scoring_trials, batches, models_at_once, epochs (of all
    trials), seconds, bytes. ``seconds`` are of one process on this machine, without what the sampler takes; where the
    sizes of networks are searched, those that are drawn later may take more or less.
    """
    spec, data_dir = plan.spec, data_folder(data_dir)
    plan.check_possible()
    task_data(plan.task, data_dir, on_fetch=on_fetch)
    at_once = min(plan.at_once(), spec.budget)
    drawn = plan.possible(at_once)
    first = plan.tuning_batches(drawn)
    scoring = plan.scoring_batches(plain_changes(drawn[0].changes))
    rounds = spec.budget / at_once
    trials = round(rounds * len(drawn))
    epochs = spec.base.training.epochs
    lasting = sum(map(_epochs, first)) / (epochs * len(drawn))  # the part of epochs that halving leaves
    per_epoch = seconds_per_epoch(first[:1], data_dir) / len(first[0].trials)
    of_trials = round(trials * epochs * lasting)
    return {
        "plan": plan.digest,
        "method": spec.method,
        "settings": size_of(spec.space),
        "trials": spec.budget,
        "at_once": at_once,
        "scoring_trials": len(scoring),
        "batches": math.ceil(rounds * len(first)) + len(scoring),
        "models_at_once": max(len(batch.trials) for batch in first),
        "epochs": of_trials + epochs * len(scoring),
        "seconds": per_epoch * of_trials + epochs * seconds_per_epoch(scoring, data_dir),
        "bytes": bytes_of(trials + len(scoring), epochs=of_trials + epochs * len(scoring)),
    }


def _epochs(batch: TrialBatch) -> int:
    """The epochs of a batch's trials, where none diverges."""
    if batch.halving is None:
        return len(batch.trials) * batch.base.training.epochs
    alive, at, epochs = len(batch.trials), 0, 0
    for rung in (*batch.halving.rungs, batch.base.training.epochs):
        epochs += alive * (rung - at)
        alive, at = max(1, alive // batch.halving.eta), rung
    return epochs
