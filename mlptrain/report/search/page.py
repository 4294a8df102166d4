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
        trials=words.trial_rows(summary),
        scored=_scored(summary),
        notes=[
            text
            for text in (
                words.infeasible_text(summary),
                words.outcome_text(summary),
                *map(words.edge_note, summary.edges),
            )
            if text
        ],
    )


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
