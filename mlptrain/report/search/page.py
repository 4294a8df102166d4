"""The page of a search: what ``templates/search.html.jinja`` shows of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlptrain.report.frame import render
from mlptrain.report.search import words
from mlptrain.report.search.figures import axis_title
from mlptrain.runs.search import SearchSummary
from mlptrain.spec import Experiment, describe_model


def render_search(
    summary: SearchSummary, *, base: Experiment, plan: str, best: str, pictures: Mapping[str, Any], folder: Path
) -> str:
    """The page. ``plan`` and ``best`` are the texts of search.yaml and best.yaml, which lie in ``folder``."""
    return render(
        "search.html.jinja",
        summary=summary,
        base=base,
        model=describe_model(base),
        plan=plan.rstrip(),
        best=best.rstrip(),
        best_path=str(folder / "best.yaml"),
        pictures=pictures,
        title=axis_title(summary),
        words=words,
        trials=_trials(summary),
        scored=_scored(summary),
        notes=[text for text in (words.outcome_text(summary), *map(words.edge_note, summary.edges)) if text],
    )


def _trials(summary: SearchSummary) -> list[list[str]]:
    """A heading and a row for each trial, best first, those without a value last."""
    key, sign = summary.metric.key, -1 if summary.metric.higher_is_better else 1
    ranked = sorted(
        summary.trials, key=lambda trial: (trial.value is None, 0.0 if trial.value is None else sign * trial.value)
    )
    rows = [
        [
            str(trial.number),
            words.figure_text(key, trial.value),
            trial.status,
            str(trial.epochs),
            *(words.value_text(trial.changes[name]) for name in summary.space),
        ]
        for trial in ranked
    ]
    return [["trial", summary.metric.name, "status", "epochs", *summary.space], *rows]


def _scored(summary: SearchSummary) -> list[list[str]]:
    key = summary.metric.key
    rows = [
        [
            str(one.seed),
            words.figure_text(key, one.validation),
            *([words.figure_text(key, one.test)] if summary.test is not None else []),
        ]
        for one in summary.scored
    ]
    return [["seed", f"validation_{key}", *([f"test_{key}"] if summary.test is not None else [])], *rows]
