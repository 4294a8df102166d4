"""What a finished search leaves behind for its reader: pictures and a page in its folder.

pictures/*.png and *.svg   after every search
report.html                by `mlptrain report FOLDER`

Matplotlib and Jinja are imported where something is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mlptrain.report.study import read_finished, write_pictures, writing
from mlptrain.runs.search import SearchFiles, SearchSummary, SearchTimings
from mlptrain.system.paths import AnyPath

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_outputs(path: Path, summary: SearchSummary, timings: SearchTimings) -> None:
    """Write the pictures of a search into its folder.

    Raises MachineError where the disk refuses, or a picture cannot be drawn.
    """
    files = SearchFiles(path)
    with writing(files, "pictures"):
        write_pictures(files, lambda: _pictures(summary, timings))


def search_page(path: AnyPath) -> str:
    """The page of the finished search in the folder ``path``, one self-contained HTML file.

    Raises RunFolderError for a search that is not finished and for a damaged one.
    """
    files = SearchFiles(path)
    plan, base, summary = read_finished(files, files.read_summary)
    timings = files.read_timings()
    from mlptrain.report.search.page import render_search

    best = files.best.read_text() if files.best.is_file() else ""
    pictures = {name: draw() for name, draw in _pictures(summary, timings)}
    return render_search(summary, timings, base=base, plan=plan, best=best, pictures=pictures, folder=files.path)


def _pictures(summary: SearchSummary, timings: SearchTimings) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """The pictures that the search can give, by the names of their files. Matplotlib is loaded."""
    from mlptrain.report.search.figures import draw_history, draw_importances, draw_parallel, draw_values

    yield "history", partial(draw_history, summary, timings)
    if len(summary.space) > 1:
        yield "parallel", partial(draw_parallel, summary)
    else:
        yield "values", partial(draw_values, summary)
    if summary.importances:
        yield "importances", partial(draw_importances, summary)
