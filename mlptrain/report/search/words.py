"""What is said of a search's results, on screen and page."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from mlptrain.keys import DIGITS, decimals_for, number_text
from mlptrain.report.comparison.words import counted
from mlptrain.runs.search import Edge, SearchSummary, Spread
from mlptrain.spec import Experiment
from mlptrain.spec.dump import yaml_value
from mlptrain.spec.metrics import figure_text, is_share
from mlptrain.spec.search.sections import ADAPTIVE

_REASONS = 3  # that are listed, why settings could not be trained


def spread_text(key: str, spread: Spread) -> str:
    """Mean ± standard deviation over seeds, both with the same decimals."""
    if spread.std is None:
        return figure_text(key, spread.mean)
    if is_share(key):
        return f"{100 * spread.mean:.2f} ± {100 * spread.std:.2f} %"
    decimals = max(decimals_for(spread.mean, DIGITS), decimals_for(spread.std, 2))
    return f"{number_text(spread.mean, decimals)} ± {number_text(spread.std, decimals)}"


def value_text(value: Any) -> str:
    """A value of the space as YAML has it, floats to four digits."""
    return f"{value:.4g}" if isinstance(value, float) else yaml_value(value)


def of_importances(summary: SearchSummary) -> list[str]:
    """What importances are of, and what they cannot tell, or why there are none, in sentences."""
    keys = len(summary.space)
    completed = sum(trial.status == "completed" for trial in summary.trials)
    whole = f"{counted(completed, 'trial')} trained to the end"
    if not summary.importances:
        return (
            []
            if keys == 1 or not completed
            else [f"importances are left out: {whole} say{'s' if completed == 1 else ''} too little of {keys} keys"]
        )
    notes = [
        f"importances are of {whole}, as mean and range over resamples of these: where ranges overlap, which key "
        "matters more is open"
    ]
    if left := _ended_early(summary):
        notes.append(f"{left} are left out of them: keys whose values end trials early matter more than they say")
    if summary.method in ADAPTIVE:
        notes.append(f"most trials of {summary.method} lie where values are good, so importances say less of the rest")
    return notes


def _ended_early(summary: SearchSummary) -> str:
    counts = Counter[str](trial.status for trial in summary.trials)
    parts = [f"{counts[status]} {status}" for status in ("pruned", "diverged", "failed") if counts[status]]
    return ", ".join(parts)


def edge_note(edge: Edge) -> str:
    """The warning about a value on an edge."""
    beyond = "below" if edge.side == "low" else "above"
    return (
        f"the best {edge.key}, {value_text(edge.value)}, lies on the edge of what was searched "
        f"({value_text(edge.end)}); better values may lie {beyond} it: widen the range and search again"
    )


def outcome_text(summary: SearchSummary) -> str:
    """How many trials ended before their last epoch, and how; nothing where none did."""
    if not (early := _ended_early(summary)):
        return ""
    full = summary.epochs * len({trial.trial for trial in summary.trials if trial.reason is None})
    return f"{early}; together the trials have {summary.trained_epochs:,} epochs, of {full:,} at most"


def infeasible_text(summary: SearchSummary) -> str:
    """How many settings no experiment can have, and why; nothing where there are none."""
    counts = Counter(trial.reason for trial in summary.trials if trial.reason is not None)
    if not counts:
        return ""
    reasons = [f"{reason} ({count})" if len(counts) > 1 else reason for reason, count in counts.most_common(_REASONS)]
    more = f"; and {len(counts) - _REASONS} further reasons" if len(counts) > _REASONS else ""
    return f"{counts.total()} of {summary.asked} settings could not be trained: {'; '.join(reasons)}{more}"


def test_note(base: Experiment) -> str:
    """Which rows the chosen setting was tested on, and what its spread is over."""
    unused = "No trial trained on the test rows or was chosen by them"
    if base.data.source().by_seed:
        return f"{unused}: every seed generates rows of its own, and ± is over these too."
    return (
        f"{unused}: they are the same for all seeds, and ± is over initial weights, batches and, where these are "
        "drawn, validation rows."
    )


def trials_text(summary: SearchSummary) -> str:
    """``50 trials``, with how many settings they tried where some were drawn more than once."""
    settings = len({trial.trial for trial in summary.trials})
    return counted(summary.asked, "trial") + (f" of {counted(settings, 'setting')}" if settings < summary.asked else "")


def repeated_text(summary: SearchSummary) -> str:
    """That settings were drawn more than once; nothing where none was."""
    settings = len({trial.trial for trial in summary.trials})
    if settings == summary.asked:
        return ""
    return (
        f"{summary.asked} trials drew {counted(settings, 'different setting')}: one drawn again was not trained again"
    )


def half_text(summary: SearchSummary) -> str:
    """What half the budget would have found."""
    half, chosen = summary.half, summary.chosen
    if half.value is None and chosen and any(trial.status == "pruned" for trial in summary.trials[: half.trials]):
        return (
            f"what half the budget would have found is not known: none of the first {half.trials} trials, which were "
            "pruned beside the others, trained to its end"
        )
    if half.value is None or chosen is None:
        return f"the first {half.trials} trials alone would have found nothing"
    found = figure_text(summary.metric.key, half.value)
    # A grid is tried in the order of its values: its first half is no fair half.
    which = "the first half of the grid" if summary.method == "grid" else "half the budget"
    if half.number == chosen.number:
        return f"{which}, {half.trials} trials, would have found the same setting"
    return f"{which}, {half.trials} trials, would have found {found} (trial {half.number})"


def trial_rows(summary: SearchSummary, *, once: bool = False) -> list[list[str]]:
    """A heading and a row for each trial, best first, those without a value last.

    With ``once`` a setting that was drawn more than once has the row of its first trial alone.
    """
    key, sign = summary.metric.key, -1 if summary.metric.higher_is_better else 1
    trials = list({one.trial: one for one in reversed(summary.trials)}.values())[::-1] if once else summary.trials
    ranked = sorted(trials, key=lambda one: math.inf if one.value is None else sign * one.value)
    rows = [
        [str(one.number), figure_text(key, one.value), one.status, str(one.epochs)]
        + [value_text(one.changes[name]) if name in one.changes else "–" for name in summary.space]
        for one in ranked
    ]
    return [["trial", summary.metric.name, "status", "epochs", *summary.space], *rows]
