"""What the terminal shows of a search."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from mlptrain.cli.compare_screen import TrialProgress, show_cost
from mlptrain.cli.screen import say, show_table
from mlptrain.report.comparison.words import counted
from mlptrain.report.search.words import (
    edge_note,
    figure_text,
    half_text,
    infeasible_text,
    of_importances,
    outcome_text,
    spread_text,
    trial_rows,
)
from mlptrain.runs.search import SearchSummary
from mlptrain.spec.search.sections import SearchSpec

_BEST = 5  # trials that are shown


class ShownProgress(TrialProgress):
    """Live progress over trials, with the best value so far."""

    def __init__(self, spec: SearchSpec) -> None:
        super().__init__()
        self._metric = spec.judged_by

    def best(self, value: float) -> None:
        """The best value so far."""
        self.show_beside(f"best {self._metric.name} {figure_text(self._metric.key, value)}")


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
    head, *best = [[*row[:2], *row[4:]] for row in trial_rows(summary) if row[2] in ("status", "completed")]
    title = f"the best of {summary.asked} trials by {summary.metric.name}"
    show_table(head, best[:_BEST], title=title, right=(0, 1))
    if summary.importances:
        rows = [
            (key, f"{100 * one.mean:.0f} %", f"{100 * one.low:.0f} to {100 * one.high:.0f} %")
            for key, one in summary.importances.items()
        ]
        show_table(("key", "share of the variance", "range"), rows, title="importances (fANOVA)", right=(1, 2))
    for note in _notes(summary):
        say(f"note: {note}")
    say(summary.sentence)
    say(half_text(summary))
    say(f"search: {folder}")
    say(f"page: mlptrain report {shlex.quote(folder)}")
    if summary.best is not None:
        say(f"train: mlptrain train {shlex.quote(f'{folder}/best.yaml')}")


def _notes(summary: SearchSummary) -> Iterator[str]:
    if summary.asked < summary.budget:
        yield f"{summary.asked} of {summary.budget} trials: time was up; rerun the same command for the rest"
    if infeasible := infeasible_text(summary):
        yield infeasible
    if outcomes := outcome_text(summary):
        yield outcomes
    yield from map(edge_note, summary.edges)
    yield from of_importances(summary)
    if summary.validation is not None and summary.chosen is not None and summary.chosen.value is not None:
        yield (
            f"the best trial's own {figure_text(summary.metric.key, summary.chosen.value)} is flattered, since it was "
            f"chosen by it; {spread_text(summary.metric.key, summary.validation)} over fresh seeds is not"
        )
