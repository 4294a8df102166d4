"""What the terminal shows of a search."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from mlptrain.cli.compare_screen import TrialProgress
from mlptrain.cli.screen import say, show_table
from mlptrain.report.search.words import edge_note, figure_text, half_text, of_importances, outcome_text, spread_text, value_text
from mlptrain.runs.search import SearchSummary
from mlptrain.searching.protocol import SearchProgress
from mlptrain.spec.search.sections import SearchSpec

_BEST = 5  # trials that are shown


class ShownProgress(TrialProgress, SearchProgress):
    """Live progress over trials, with the best value so far."""

    def __init__(self, spec: SearchSpec) -> None:
        super().__init__()
        self._metric = spec.judged_by

    def best(self, value: float) -> None:
        """The best value so far."""
        self.show_beside(f"best {self._metric.name} {figure_text(self._metric.key, value)}")


def show_summary(folder: str, summary: SearchSummary) -> None:
    """The best trials, the scores of the chosen setting, what mattered, and the sentence."""
    show_table(*_trials(summary), title=f"the best of {summary.asked} trials by {summary.metric.name}", right=(0, 1))
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


def _trials(summary: SearchSummary) -> tuple[list[str], list[list[Any]]]:
    """A heading and a row for each of the best trials."""
    head = ["trial", summary.metric.name, *summary.space]
    known = [trial for trial in summary.trials if trial.value is not None and trial.status == "completed"]
    sign = -1 if summary.metric.higher_is_better else 1
    known.sort(key=lambda trial: sign * (trial.value or 0.0))
    rows = [
        [
            trial.number,
            figure_text(summary.metric.key, trial.value),
            *(value_text(trial.changes[key]) for key in summary.space),
        ]
        for trial in known[:_BEST]
    ]
    return head, rows


def _notes(summary: SearchSummary) -> Iterator[str]:
    if summary.asked < summary.budget:
        yield f"{summary.asked} of {summary.budget} trials: time was up; rerun the same command for the rest"
    if outcomes := outcome_text(summary):
        yield outcomes
    yield from map(edge_note, summary.edges)
    if summary.importances:
        yield from of_importances(summary)
    if summary.validation is not None and summary.chosen is not None and summary.chosen.value is not None:
        yield (
            f"the best trial's own {figure_text(summary.metric.key, summary.chosen.value)} is flattered, since it was "
            f"chosen by it; {spread_text(summary.metric.key, summary.validation)} over fresh seeds is not"
        )
