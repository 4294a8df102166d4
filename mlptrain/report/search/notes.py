"""What is to be noted of a search's results, on screen and page."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from mlptrain.report.comparison.words import listed
from mlptrain.report.search.words import edge_note, infeasible_text, outcome_text, repeated_text
from mlptrain.runs.search import SearchSummary
from mlptrain.spec.metrics import figure_text


def notes_of(summary: SearchSummary, folder: Path) -> Iterator[str]:
    """All there is to note, in sentences; ``folder`` is the search's."""
    yield from _unfinished(summary, folder)
    if repeated := repeated_text(summary):
        yield repeated
    if infeasible := infeasible_text(summary):
        yield infeasible
    if outcomes := outcome_text(summary):
        yield outcomes
    yield from _ties(summary)
    yield from map(edge_note, summary.edges)
    yield from _fresh_seeds(summary)
    yield from _tested(summary)


def _unfinished(summary: SearchSummary, folder: Path) -> Iterator[str]:
    if summary.asked == summary.budget:
        return
    end = f"end it with `mlptrain search {shlex.quote(str(folder))} --set trials={summary.asked}`"
    tests = "" if summary.tested is None else "; test rows are read at the end alone"
    yield (
        f"{summary.asked} of {summary.budget} trials: time was up; rerun the same command for the rest, or {end}{tests}"
    )


def _ties(summary: SearchSummary) -> Iterator[str]:
    """Other settings that are as good as the chosen one."""
    chosen = summary.chosen
    if chosen is None:
        return
    settings = {one.trial: one for one in reversed(summary.trials) if one.status == "completed"}
    equal = sorted(one.number for one in settings.values() if one.value == chosen.value)
    if len(equal) > 1:
        figure = figure_text(summary.metric.key, chosen.value)
        some = f"trials {listed(equal)}" if len(equal) < 9 else f"{len(equal)} settings"
        yield f"{some} tie for the best value, {figure}; the first drawn, trial {chosen.number}, was taken"


def _fresh_seeds(summary: SearchSummary) -> Iterator[str]:
    """What the best trial's own figure, by which it was chosen, is worth beside those of fresh seeds."""
    chosen, fresh, metric = summary.chosen, summary.validation, summary.metric
    if chosen is None or chosen.value is None or fresh is None:
        return
    own, again = figure_text(metric.key, chosen.value), figure_text(metric.key, fresh.mean)
    gain = (chosen.value - fresh.mean) * (1 if metric.higher_is_better else -1)
    if gain > 0:
        yield f"the best trial's own {own} is flattered, since it was chosen by it; with fresh seeds {again}"
    elif fresh.std is not None and -gain > fresh.std:
        yield f"with fresh seeds {again}, better than the best trial's own {own}"


def _tested(summary: SearchSummary) -> Iterator[str]:
    """That test rows were read for other settings before."""
    if summary.tested is not None and len(summary.tested) > 1:
        settings = f"{len(summary.tested)} settings: those of trials {listed(summary.tested)}"
        yield (
            f"test rows were read for {settings}, since the search went on after its first test figures; trials.jsonl "
            "has them all"
        )
