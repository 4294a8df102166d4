"""``mlptrain report``: the page of a run or of a comparison. Matplotlib and torch are imported inside."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlptrain.cli import screen
from mlptrain.cli.plot import DataDir, check_target, save
from mlptrain.errors import UserError


def report(
    run: Annotated[
        Path, typer.Argument(metavar="RUN_OR_COMPARISON", help="A run's or a comparison's folder.", show_default=False)
    ],
    out: Annotated[Path | None, typer.Option(help="The page's file; default: report.html in the folder.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Write one self-contained HTML page.

    Of a run: outcome, curves, confusion, mistakes, specification, environment. Of a comparison: scores, verdicts,
    learning curves, learning rates, time to target, what failed, the protocol.
    """
    from mlptrain.report.comparison.outputs import comparison_page
    from mlptrain.runs import is_comparison

    if is_comparison(run):
        file = _file(out, run)
        save(file, comparison_page(run).encode())
        return
    from mlptrain.runs import RunFolder

    file = _file(out, RunFolder.open(run).path)
    from mlptrain import views
    from mlptrain.report.page import render_page

    with screen.Fetching() as fetching:
        parts = views.page_parts(run, data_dir=data_dir, on_fetch=fetching.fetch)
    save(file, render_page(run, **parts).encode())


def _file(out: Path | None, folder: Path) -> Path:
    """Where the page goes. Raises UserError for what cannot be a page."""
    file = out or folder / "report.html"
    if file.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"--out {file}: a page's file ends in .html, not in '{file.suffix}'")
    check_target(file)
    return file
