"""The page of a search: what ``templates/search.html.jinja`` shows of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlptrain.report.comparison.words import allowed, counted
from mlptrain.report.frame import render
from mlptrain.report.search import words
from mlptrain.report.search.figures import KEYS_IN_A_ROW, Shown, axis_title, ended_at
from mlptrain.report.search.notes import notes_of
from mlptrain.runs.search import SearchSummary, SearchTimings
from mlptrain.spec import Experiment, describe_model
from mlptrain.spec.metrics import figure_text
from mlptrain.spec.search.sections import Choices


def render_search(
    summary: SearchSummary,
    timings: SearchTimings,
    *,
    base: Experiment,
    plan: str,
    best: str,
    pictures: Mapping[str, Any],
    folder: Path,
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
        allowed=allowed(best),
        pictures=pictures,
        captions=_captions(summary, seconds=bool(ended_at(summary, timings))),
        words=words,
        trials=words.trial_rows(summary),
        classes=_classes(summary),
        scored=_scored(summary),
        notes=list(notes_of(summary, folder)),
    )


def _classes(summary: SearchSummary) -> dict[int, str]:
    """Of the columns of the table of trials: words, lists and sections begin at the left."""
    columns = {1: "main", 2: "text"}
    for column, choice in enumerate(summary.choices().values(), start=4):
        if isinstance(choice, Choices) and not all(type(value) in (int, float) for value in choice.values):
            columns[column] = "text"
    return columns


def _captions(summary: SearchSummary, *, seconds: bool) -> dict[str, str]:
    """What the pictures of trials show, by their names; every trial that a mark at the edge stands for is counted."""
    beyond, pruned = Shown.of(summary).beyond, sum(trial.status == "pruned" for trial in summary.trials)
    lost = sum(trial.value is None for trial in summary.trials)
    edges = f" {counted(beyond, 'trial')} beyond the axis: an arrow at its edge each." if beyond else ""
    edges += f" {counted(lost, 'trial')} without a value: a cross at the edge each." if lost else ""
    early = " A pruned trial stands at its value of an earlier epoch." if pruned else ""
    half = f"the dotted line ends the first half of the trials, {summary.half.trials} of {summary.asked}"
    times = (
        "; on the right by time, as if trials were trained one after another: those of a batch, which train together, "
        "share its seconds by their epochs, and the line is at half the seconds"
    )
    lines = " A row begins with the key that the one above ends with." if len(summary.space) > KEYS_IN_A_ROW else ""
    lines += " Lines through the same choice lie beside each other." if _has_choices(summary) else ""
    lines += " Dashed ones were pruned: their values are of an earlier epoch." if pruned else ""
    lines += f" {counted(beyond, 'trial')} beyond the colour bar: in its darkest colour." if beyond else ""
    lines += f" {counted(lost, 'trial')} without a value: dotted." if lost else ""
    return {
        "history": f"Every marker is a trial, the line the best value of those trained to the end; {half}"
        f"{times if seconds else ''}.{early}{edges}",
        "parallel": f"Every line is a trial, through its values; the brighter, the better its {axis_title(summary)}."
        f"{' The thick line is the best.' if summary.best is not None else ''}{lines}",
        "values": f"Every marker is a trial, in the ring the best one.{early}{edges}",
    }


def _has_choices(summary: SearchSummary) -> bool:
    return any(isinstance(choice, Choices) for choice in summary.choices().values())


def _scored(summary: SearchSummary) -> list[list[str]]:
    key = summary.metric.key
    rows = [
        [
            str(one.seed),
            figure_text(key, one.validation),
            *([figure_text(key, one.test)] if summary.test is not None else []),
        ]
        for one in summary.scored
    ]
    return [["seed", f"validation_{key}", *([f"test_{key}"] if summary.test is not None else [])], *rows]
