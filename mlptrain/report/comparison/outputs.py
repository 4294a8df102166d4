"""What a finished comparison leaves behind for its reader: tables, pictures and a page in its folder.

summary.csv, summary.md, summary.tex, pictures/*.png and *.svg   after every comparison
report.html                                                      by `mlptrain report FOLDER`

Matplotlib and Jinja are imported where something is drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mlptrain.errors import RunFolderError
from mlptrain.keys import metric_of, split_of
from mlptrain.report.comparison.budgets import budgets
from mlptrain.report.comparison.files import summary_csv, summary_latex, summary_markdown
from mlptrain.report.comparison.rates import rates_are_tuned
from mlptrain.report.study import read_finished, write_pictures, writing
from mlptrain.runs.comparison import ComparisonFiles, Summary, Timings
from mlptrain.system.atomic import write_atomically
from mlptrain.system.paths import AnyPath

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mlptrain.report.comparison.artist import Artist


def write_outputs(path: Path, summary: Summary, timings: Timings, *, artist: Artist | None = None) -> None:
    """Write the tables and then the pictures of a comparison into its folder, where summary.json lies.

    The pictures are drawn here, unless the ``artist`` draws them.

    Raises MachineError where the disk refuses, or a picture cannot be drawn; what was written before stays.
    """
    files = ComparisonFiles(path)
    with writing(files, "tables and pictures"):
        for name, text in (
            ("summary.csv", summary_csv(summary)),
            ("summary.md", summary_markdown(summary, timings)),
            ("summary.tex", summary_latex(summary, timings)),
        ):
            write_atomically(path / name, text.encode())
        if artist is None or not artist.draw(path):
            write_pictures(files, lambda: pictures(summary, timings))


def comparison_page(path: AnyPath) -> str:
    """The page of the finished comparison in the folder ``path``, one self-contained HTML file.

    Raises RunFolderError for any other folder, for a comparison that is not finished and for a damaged one.
    """
    files = ComparisonFiles(path)
    if not files.plan.is_file():
        raise RunFolderError(f"{files.path} is not a comparison's folder: it holds no plan.yaml")
    plan, base, summary = read_finished(files, files.read_summary)
    timings = files.read_timings()
    from mlptrain.report.comparison.page import render_comparison

    try:
        return render_comparison(summary, timings, base=base, plan=plan, folder=files.path)
    except (LookupError, TypeError, ValueError, ZeroDivisionError):  # types are right, but parts do not fit together
        raise RunFolderError(
            f"{files.summary} is damaged: its parts disagree; {files.rerun}, which rewrites it"
        ) from None


def pictures(summary: Summary, timings: Timings) -> list[tuple[str, Callable[[], Figure]]]:
    """The pictures that the comparison can give, by the names of their files. Matplotlib is loaded."""
    from mlptrain.report.comparison.curves import curves_of, draw_budgets, draw_learning_curves, draw_learning_rates
    from mlptrain.report.comparison.figures import draw_differences, draw_scores, draw_times

    found: list[tuple[str, Callable[[], Figure]]] = [
        ("scores", partial(draw_scores, summary)),
        ("differences", partial(draw_differences, summary)),
    ]
    for key in curves_of(summary) if summary.lasted else ():
        name = metric_of(key) if key != "validation_loss" else key
        curves = partial(draw_learning_curves, summary, metric_of(key), split=split_of(key))
        found.append((f"{name}_curves", curves))
    if rates_are_tuned(summary):
        found.append(("learning_rates", partial(draw_learning_rates, summary)))
    if known := budgets(summary, timings).values():
        found.append(("budget", partial(draw_budgets, summary, timings)))
        if any(budget.seconds is not None for budget in known):
            found.append(("budget_seconds", partial(draw_budgets, summary, timings, over="seconds")))
    if summary.target is not None:
        found.append(("time_to_target", partial(draw_times, summary)))
    return found
