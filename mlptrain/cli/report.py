"""``mlptrain report``: the page of a run. Matplotlib and torch are imported inside."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlptrain.cli import screen
from mlptrain.cli.plot import DataDir, check_target, save
from mlptrain.errors import UserError


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="The page's file; default: report.html in the run folder.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Write one self-contained HTML page: outcome, curves, confusion, mistakes, specification, environment."""
    from mlptrain.runs import RunFolder

    folder = RunFolder.open(run)
    file = out or folder.path / "report.html"
    if file.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"--out {file}: a page's file ends in .html, not in '{file.suffix}'")
    check_target(file)
    from mlptrain import views
    from mlptrain.report.page import render_page

    with screen.Fetching() as fetching:
        parts = views.page_parts(run, data_dir=data_dir, on_fetch=fetching.fetch)
    save(file, render_page(run, **parts).encode())
