"""``mlptrain report``: the page of a run or of a comparison. Matplotlib and torch are imported inside."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlptrain.cli import screen
from mlptrain.cli.options import DataDir, RunOrComparison
from mlptrain.cli.plot import output_file, save


def report(
    run: RunOrComparison,
    out: Annotated[Path | None, typer.Option(help="The page's file; default: report.html in the folder.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Write one HTML page on a run or a comparison.

    Of a run: outcome, curves, confusion, mistakes, specification, environment. Of a comparison: scores, verdicts,
    learning curves, learning rates, time to target, what failed, the protocol. The page is self-contained.
    """
    from mlptrain.runs import RunFolder, is_comparison

    comparison = is_comparison(run)
    folder = run if comparison else RunFolder.open(run).path
    file = output_file(out, default=folder / "report.html", what="page", suffixes=(".html", ".htm"))
    if comparison:
        from mlptrain.report.comparison.outputs import comparison_page

        save(file, comparison_page(run).encode())
        return
    from mlptrain import views
    from mlptrain.report.page import render_page

    with screen.Fetching() as fetching:
        parts = views.page_parts(run, data_dir=data_dir, on_fetch=fetching.fetch)
    save(file, render_page(run, **parts).encode())
