"""What a notebook shows of a finished run or group: its figures as a table, and its curves."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from mlptrain.errors import UserError
from mlptrain.keys import run_figure, table_of
from mlptrain.report.curves import draw_curves
from mlptrain.report.frame import render
from mlptrain.report.history import read_curves
from mlptrain.report.style import picture_bytes
from mlptrain.runs.group import AnySummary
from mlptrain.runs.records import RunResult

_WIDEST = 5  # figures beside each other; of more there is a row for each
_PANEL = (4.4, 3.2)  # inches


def run_html(path: Path, result: RunResult) -> str:
    """How a run ended, the figures of its kept weights on every split, and its curves."""
    if result.status == "diverged":
        return _shown(path, result.message, [], f"Try {result.advice}." if result.diagnosis else "")
    kept = result.kept
    head = f"{result.state}, kept: epoch {kept.epoch:,} of {result.epochs:,}"
    rows = table_of(kept.metrics, show=run_figure, widest=_WIDEST)
    diagnosis = "" if result.diagnosis is None else result.diagnosis.message
    return _shown(path, head, rows, ". ".join(filter(None, (result.about_kept, result.about_choice, diagnosis))))


def group_html(path: Path, word: str, results: Mapping[int, RunResult], summary: AnySummary) -> str:
    """The kept figures of every run of a group, each a seed or a fold by ``word``, with their mean and spread."""
    kept = {key: spread for key, spread in summary.kept.items() if not key.startswith("train_")} or summary.kept
    rows: list[tuple[str, ...]] = [(word, "kept", *(key.replace("_", " ") for key in kept))]
    for number, result in results.items():
        if result.status == "diverged":
            rows.append((str(number), f"diverged in epoch {result.epoch}", *("" for _ in kept)))
        else:
            of_run = (run_figure(key, result.kept.metrics.get(key)) for key in kept)
            rows.append((str(number), f"epoch {result.kept.epoch}", *of_run))
    rows.append(("mean", "", *(run_figure(key, spread.mean) for key, spread in kept.items())))
    rows.append(("std", "", *(run_figure(key, spread.std) for key, spread in kept.items())))
    completed = sum(result.status == "completed" for result in results.values())
    return _shown(path, f"{completed} of {len(results)} {word}s completed", rows, "")


def _shown(path: Path, head: str, rows: Sequence[Sequence[str]], note: str) -> str:
    picture = None
    with suppress(UserError):  # nothing was measured, or the folder is gone: the figures are here all the same
        content = picture_bytes(draw_curves([read_curves(path)], panel=_PANEL, titled=False), "png")
        picture = base64.b64encode(content).decode()
    return render("notebook.html.jinja", path=str(path), head=head, rows=rows, note=note, picture=picture)
