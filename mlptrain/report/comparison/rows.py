"""The tables of a comparison as rows of text, headings first, for the page, the files and the terminal alike."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mlptrain.report.comparison import words
from mlptrain.report.comparison.budgets import budgets
from mlptrain.report.comparison.rates import ACCURACY, medians_by_rate
from mlptrain.report.comparison.units import Units
from mlptrain.runs.comparison import Pair, Summary, TimeToTarget, Timings

Rows = list[list[str]]


def result_rows(summary: Summary, timings: Timings) -> Rows:
    """A row for each arm, best mean first."""
    units = Units.of(summary)
    timed, has_target = bool(timings.seconds_per_epoch), summary.target is not None
    rows = [[words.what(summary), "chosen setting", f"mean {units.name}", "95 % interval", "median", "learnt"]]
    rows[0] += ["s/epoch alone"] if timed else []
    rows[0] += ["epochs to target"] if has_target else []
    for name, entry in summary.ranked:
        accuracy, times = entry.accuracy, entry.epochs_to_target
        rows.append(
            [
                name,
                words.describe_setting(entry) + (" (under-tuned)" if entry.under_tuned else ""),
                units.value(accuracy.mean),
                units.interval(accuracy.low, accuracy.high),
                units.value(accuracy.median),
                f"{entry.completed} of {len(entry.trials)}",
                *([_seconds(timings.seconds_per_epoch.get(name))] if timed else []),
                *([words.epochs_and_reached(times)] if times is not None else []),
            ]
        )
    return rows


def pair_rows(pairs: Sequence[Pair], units: Units = ACCURACY) -> Rows:
    """A row for each pair, as differences of the first from the second."""
    head = [
        "pair",
        "difference (points)" if units.is_share else "difference",
        "95 % interval",
        "p (Holm)",
        "p (uncorrected)",
        "verdict on the first",
    ]
    return [head] + [
        [
            f"{pair.a} against {pair.b}",
            units.difference(pair.mean),
            units.differences(pair.low, pair.high),
            f"{pair.p_holm:.3g}",
            f"{pair.p:.3g}",
            pair.outcome,
        ]
        for pair in pairs
    ]


def time_rows(summary: Summary, timings: Timings) -> Rows:
    """A row for each arm, the fastest first: the median time to target in epochs and steps, and in seconds.

    Seconds are there where arms were timed alone: the median of the rounds with their range, times the epochs.
    """
    timed = bool(timings.seconds_per_epoch)
    rows = [[words.what(summary), "reached", "median epochs", "median steps"]]
    rows[0] += ["s/epoch alone", "seconds"] if timed else []
    steps_of = words.steps_by_arm(summary)
    for name, times in fastest_first(summary):
        seconds, samples = timings.seconds_per_epoch.get(name), timings.samples.get(name, [])
        steps = in_seconds = "not reached"
        if times.median is not None:
            steps = f"{times.median * steps_of[name]:,.0f}"
            in_seconds = words.number(times.median * (seconds or 0), digits=3)
        row = [name, f"{times.reached} of {times.n}", words.median_epochs(times), steps]
        if timed:
            spread = f" ({min(samples):.2g} to {max(samples):.2g})" if len(samples) > 1 else ""
            row += [_seconds(seconds) + spread, "" if seconds is None else in_seconds]
        rows.append(row)
    return rows


def rate_rows(summary: Summary) -> Rows:
    """Of every arm that tuned its learning rate: the chosen one, the good range, what did not last."""
    units = Units.of(summary)
    rows = [[words.what(summary), "chosen", f"its median {units.name}", "good range", "width", "tried", "did not last"]]
    for name, entry in summary.ranked:
        medians, outcomes = medians_by_rate(entry, units), entry.tuning_accuracies
        if medians and entry.rate is not None:
            learnt = any(trial.status == "completed" for trial in entry.trials)
            rows.append(
                [
                    name,
                    words.number(entry.rate),
                    "–" if math.isinf(median := medians.get(entry.rate, math.inf)) else units.value(median),
                    words.ends_of_good_range(entry, units),
                    words.describe_good_range(entry, units).removeprefix("good over ")
                    + ("" if learnt else ": no scoring seed learnt"),
                    f"{len(medians)} values",
                    f"{outcomes.count(None)} of {len(outcomes)} trials",
                ]
            )
    return rows


def failure_rows(summary: Summary) -> Rows:
    """The trials that diverged, did not learn or failed, by arm."""
    return [[words.what(summary), "what", "where", "trials"]] + [
        [
            name,
            status,
            words.describe_failure(trials, summary.split, Units.of(summary)),
            f"{len(trials)} of {len(entry.trials)}",
        ]
        for name, entry in summary.ranked
        for status, trials in words.what_failed(entry)
    ]


def budget_rows(summary: Summary) -> Rows:
    """What was tried for every arm, in the order of the plan."""
    return [[words.what(summary), "tried values", "tuning trials", "grid extended", "under-tuned"]] + [
        [
            name,
            "; ".join(f"{field} {words.listed(values)}" for field, values in entry.grids.items())
            or "nothing: all values fixed",
            f"{entry.tuning_trials:,}",
            words.counted(entry.extensions, "time"),
            "yes" if entry.under_tuned else "no",
        ]
        for name, entry in summary.optimizers.items()
    ]


def half_budget_rows(summary: Summary, timings: Timings) -> Rows:
    """Of every arm that was tuned, what half of its settings are expected to find, and what all of them found."""
    units, known = Units.of(summary), budgets(summary, timings)
    timed = any(budget.seconds is not None for budget in known.values())
    lost = "lost by half (points)" if units.is_share else "lost by half"
    rows = [[words.what(summary), "settings", f"{units.name} of one", "of half", "of all", lost]]
    rows[0] += ["seconds for half", "seconds for all"] if timed else []
    for name, budget in known.items():
        best, seconds = budget.best, budget.seconds
        row = [name, f"{len(best)}", *map(units.value, (best[0], budget.of_half, best[-1]))]
        row.append(units.difference(budget.lost).lstrip("+"))
        if timed:
            row += [_seconds(None if seconds is None else seconds * count) for count in (budget.half, len(best))]
        rows.append(row)
    return rows


def fastest_first(summary: Summary) -> list[tuple[str, TimeToTarget]]:
    """The arms by their median time to target; of equals, those that more trials reached it with."""
    timed = [(name, times) for name, entry in summary.ranked if (times := entry.epochs_to_target) is not None]
    return sorted(timed, key=lambda item: (item[1].median or math.inf, -item[1].reached))


def _seconds(value: float | None) -> str:
    return "–" if value is None else words.number(value, digits=3)
