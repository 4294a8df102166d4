"""The page of a comparison: what ``templates/comparison.html.jinja`` shows of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlptrain.keys import metric_of, split_of
from mlptrain.report.comparison import rows, words
from mlptrain.report.comparison.budgets import budgets
from mlptrain.report.comparison.curves import curves_of, draw_budgets, draw_learning_curves, draw_learning_rates
from mlptrain.report.comparison.figures import draw_differences, draw_scores, draw_times, scores_are_joined
from mlptrain.report.comparison.rates import GOOD_WITHIN, rates_are_tuned
from mlptrain.report.comparison.units import Units
from mlptrain.report.frame import render
from mlptrain.runs.comparison import Pair, Summary, Timings
from mlptrain.spec import Experiment, describe_model
from mlptrain.spec.metrics import higher_is_better, short_name_of


def render_comparison(summary: Summary, timings: Timings, *, base: Experiment, plan: str, folder: Path) -> str:
    """The page. ``base`` is the task, ``plan`` the plan's own text, which lies in the comparison's ``folder``."""
    units = Units.of(summary)
    head, *listed = rows.pair_rows(summary.ranked_pairs, units)
    signs = [words.SYMBOLS[pair.verdict] for pair in summary.ranked_pairs]
    return render(
        "comparison.html.jinja",
        summary=summary,
        timings=timings,
        base=base,
        plan=plan.rstrip(),
        plan_path=str(folder / "plan.yaml"),
        allowed=words.allowed(plan),
        model=describe_model(base),
        words=words,
        units=units,
        what=words.what(summary),
        rows=rows,
        caveats=words.caveats(summary) + words.caveats_of_rows(summary, base),
        matrix=_matrix(summary),
        verdicts=[head, *([*row[:-1], f"{sign} {row[-1]}"] for row, sign in zip(listed, signs, strict=True))],
        curves=list(_curves(summary)) if summary.lasted else [],
        incomplete=list(_incomplete(summary)),
        tuned=[value for entry in summary.optimizers.values() for value in entry.tuning_accuracies],
        good_within=GOOD_WITHIN,
        rates_are_tuned=rates_are_tuned,
        budgets=budgets(summary, timings),
        scores_are_joined=scores_are_joined,
        draw_scores=draw_scores,
        draw_differences=draw_differences,
        draw_learning_rates=draw_learning_rates,
        draw_times=draw_times,
        draw_budgets=draw_budgets,
    )


def _matrix(summary: Summary) -> dict[str, list[Pair | None]]:
    """For each arm, best first, its pairs with all of them in that order; None with itself."""
    pairs = {}
    for pair in summary.pairs:
        pairs[pair.a, pair.b], pairs[pair.b, pair.a] = pair, pair.mirrored()
    return {name: [pairs.get((name, other)) for other in summary.ranking] for name in summary.ranking}


def _curves(summary: Summary) -> Iterator[dict[str, Any]]:
    for key in curves_of(summary):
        split, metric = split_of(key), metric_of(key)
        figure = draw_learning_curves(summary, metric, split=split)
        halves = Units(metric, higher_is_better(metric)).halves_errors
        name = metric if key != "validation_loss" else key.replace("_", "-")
        named = {"name": name, "metric": short_name_of(metric), "split": words.split_name(split)}
        yield named | {"figure": figure, "halves": halves}


def _incomplete(summary: Summary) -> Iterator[str]:
    """The arms that have a curve for some of the seeds only."""
    n = len(summary.seeds)
    for name, entry in summary.ranked:
        lasted = sum(trial.status in ("completed", "did not learn") for trial in entry.trials)
        if lasted < n:
            yield f"{name} ({f'only {lasted}' if lasted else 'none'} of {n})"
