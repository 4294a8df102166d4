"""What a finished comparison leaves behind for its reader: tables, pictures and a page in its folder.

summary.csv, summary.md, summary.tex, pictures/*.png and *.svg   after every comparison
report.html                                                      by `mlptrain report FOLDER`

Matplotlib and Jinja are imported where something is drawn.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mlptrain.errors import MachineError, MlptrainError, RunFolderError, SpecError
from mlptrain.keys import metric_of, split_of
from mlptrain.report.comparison.budgets import budgets
from mlptrain.report.comparison.files import summary_csv, summary_latex, summary_markdown
from mlptrain.report.comparison.rates import rates_are_tuned
from mlptrain.report.loading import load_matplotlib
from mlptrain.runs import is_comparison
from mlptrain.runs.comparison import ComparisonFiles, Summary, Timings, rerun
from mlptrain.spec.comparison.load import check_format, load_comparison, plan_digest
from mlptrain.spec.reader import read_file
from mlptrain.system import signals
from mlptrain.system.atomic import write_atomically
from mlptrain.system.paths import AnyPath, user_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mlptrain.report.comparison.artist import Artist


def write_outputs(path: Path, summary: Summary, timings: Timings, *, artist: Artist | None = None) -> None:
    """Write the tables and then the pictures of a comparison into its folder, where summary.json lies.

    The pictures are drawn here, unless the ``artist`` draws them.

    Raises MachineError where the disk refuses, or a picture cannot be drawn; what was written before stays.
    """
    try:
        for name, text in (
            ("summary.csv", summary_csv(summary)),
            ("summary.md", summary_markdown(summary, timings)),
            ("summary.tex", summary_latex(summary, timings)),
        ):
            write_atomically(path / name, text.encode())
        (path / "pictures").mkdir(exist_ok=True)
        if artist is None or not artist.draw(path):
            _write_pictures(path / "pictures", summary, timings)
    except OSError as error:
        raise MachineError(
            f"{error.filename or path}: {error.strerror or error}; the comparison's tables and pictures cannot be "
            f"written. Free or mount the disk, then {rerun(path)}: it retrains nothing"
        ) from error


def comparison_page(path: AnyPath) -> str:
    """The page of the finished comparison in the folder ``path``, one self-contained HTML file.

    Raises RunFolderError for any other folder, for a comparison that is not finished and for a damaged one.
    """
    path = user_path(path)
    if not is_comparison(path):
        raise RunFolderError(f"{path} is not a comparison's folder: it holds no plan.yaml")
    files = ComparisonFiles(path)
    try:
        content, document = read_file(files.plan)
        check_format(document.value, files.plan)
        base = load_comparison(files.plan).base
    except SpecError as error:
        raise RunFolderError(f"{files.plan} is not a plan ({error}); the folder is damaged") from None
    summary, timings = files.read_summary(), files.read_timings()
    if plan_digest(document.value) != summary.plan:
        raise RunFolderError(
            f"{files.plan} is not the plan that summary.json is of, so one of the two was edited; restore plan.yaml "
            f"and {rerun(path)}, which rewrites summary.json from the recorded trials"
        )
    load_matplotlib()
    from mlptrain.report.comparison.page import render_comparison

    try:
        return render_comparison(summary, timings, base=base, plan=content.decode(), folder=path)
    except (LookupError, TypeError, ValueError, ZeroDivisionError):  # types are right, but parts do not fit together
        raise RunFolderError(
            f"{files.summary} is damaged: its parts disagree; {rerun(path)}, which rewrites it"
        ) from None


def _write_pictures(folder: Path, summary: Summary, timings: Timings) -> None:
    """Every picture that the comparison can give, as PNG and SVG. Raises OSError, and MachineError where one fails."""
    load_matplotlib()
    gc.disable()  # collecting garbage among the many small parts of pictures took a sixth of the time
    try:
        for name, draw in pictures(summary, timings):
            write_picture(folder, name, draw)
    except (MlptrainError, OSError):
        raise
    except Exception as error:  # of matplotlib's, whatever is wrong with it here
        if signals.received:  # an interruption, which matplotlib's C++ code turns into an error of its own
            raise KeyboardInterrupt from error
        raise MachineError(
            f"the pictures of {folder.parent} cannot be drawn: {type(error).__name__}: {error}. All else is complete; "
            f"`mlptrain doctor` says what is wrong, then {rerun(folder.parent)}: it retrains nothing"
        ) from error
    finally:
        gc.enable()


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


def write_picture(folder: Path, name: str, draw: Callable[[], Figure]) -> None:
    """Draw a picture and write it as PNG and SVG. Raises OSError, and what matplotlib raises."""
    from mlptrain.report.style import picture_bytes

    figure = draw()
    for kind in ("png", "svg"):
        write_atomically(folder / f"{name}.{kind}", picture_bytes(figure, kind))
