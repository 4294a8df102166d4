"""What the terminal shows of a search."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlptrain.cli.compare_screen import show_cost
from mlptrain.cli.screen import say, show_table
from mlptrain.report.comparison.words import allowed, counted
from mlptrain.report.search.notes import notes_of
from mlptrain.report.search.words import half_text, of_importances, trial_rows, trials_text
from mlptrain.runs.search import SearchSummary
from mlptrain.spec.metrics import figure_text
from mlptrain.spec.search.sections import SearchSpec

_BEST = 5  # trials that are shown
_KEYS = 4  # up to which each of them has a row


def show_preview(spec: SearchSpec, plan: Mapping[str, Any]) -> None:
    """The answer to --plan."""
    keys = counted(len(spec.space), "key")
    if plan["settings"] is not None:
        keys += f", {'a grid' if spec.method == 'grid' else 'a space'} of {plan['settings']:,} settings"
    drawn = "" if plan["at_once"] == plan["trials"] else f", {plan['at_once']} at a time"
    say(
        f"{spec.name}: {plan['trials']:,} trials by {spec.method}{drawn}, over {keys}; {plan['scoring_trials']:,} "
        f"scoring trials; in {plan['batches']:,} batches of up to {plan['models_at_once']} models"
    )
    show_cost(plan, without="the drawing of settings")


def show_summary(folder: str, summary: SearchSummary) -> None:
    """The best trials, the scores of the chosen setting, what mattered, and the sentence."""
    head, *rows = [[*row[:2], *row[4:]] for row in trial_rows(summary, once=True) if row[2] in ("status", "completed")]
    title = f"the best of {trials_text(summary)} by {summary.metric.name}"
    if rows and len(summary.space) > _KEYS:  # a column for each trial: rows of so many values are too wide
        names, *columns = zip(head, *rows[:_BEST], strict=True)
        show_table(names, columns, title=title, right=range(1, len(names)))
    elif rows:
        show_table(head, rows[:_BEST], title=title, right=(0, 1))
    if summary.importances:
        shares = [
            (key, f"{100 * one.mean:.0f} %", f"{100 * one.low:.0f} to {100 * one.high:.0f} %")
            for key, one in summary.importances.items()
        ]
        show_table(("key", "share of the variance", "range"), shares, title="importances (fANOVA)", right=(1, 2))
    for note in (*notes_of(summary, Path(folder)), *of_importances(summary)):
        say(f"note: {note}")
    say(summary.sentence)
    say(half_text(summary))
    say(f"search: {folder}")
    say(f"page: mlptrain report {shlex.quote(folder)}")
    if summary.scored:
        first, key = summary.scored[0], summary.metric.key
        value, split = (first.validation, "validation") if first.test is None else (first.test, "test")
        figure = first.status if value is None else f"{split}_{key} {figure_text(key, value)}"
        others = f", one of the {len(summary.scored)}" if len(summary.scored) > 1 else ""
        say(f"best.yaml: the training with seed {first.seed}{others}, by itself: {figure}")
        best = Path(folder) / "best.yaml"
        say(f"train: mlptrain train {shlex.quote(str(best))}{allowed(best.read_text(encoding='utf-8'))}")
