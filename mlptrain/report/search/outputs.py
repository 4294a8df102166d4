"""What a finished search leaves behind for its reader: pictures and a page in its folder.

pictures/*.png and *.svg   after every search
report.html                by `mlptrain report FOLDER`

Matplotlib and Jinja are imported where something is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mlptrain.errors import MachineError, MlptrainError, RunFolderError, SpecError
from mlptrain.report.loading import load_matplotlib
from mlptrain.runs.search import RERUN, SearchFiles, SearchSummary, SearchTimings
from mlptrain.spec.comparison.load import plan_digest
from mlptrain.spec.reader import read_file
from mlptrain.spec.search.load import check_format, load_search
from mlptrain.system import signals
from mlptrain.system.atomic import write_atomically
from mlptrain.system.paths import AnyPath

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_outputs(path: Path, summary: SearchSummary, timings: SearchTimings) -> None:
    """Write the pictures of a search into its folder.

    Raises MachineError where the disk refuses, or a picture cannot be drawn.
    """
    load_matplotlib()
    try:
        folder = path / "pictures"
        folder.mkdir(exist_ok=True)
        from mlptrain.report.style import picture_bytes

        for name, figure in _pictures(summary, timings):
            for kind in ("png", "svg"):
                write_atomically(folder / f"{name}.{kind}", picture_bytes(figure, kind))
    except OSError as error:
        raise MachineError(
            f"{error.filename or path}: {error.strerror or error}; the search's pictures cannot be written. Free or "
            f"mount the disk, then {RERUN}: it retrains nothing"
        ) from error
    except MlptrainError:
        raise
    except Exception as error:  # of matplotlib's, whatever is wrong with it here
        if signals.received:
            raise KeyboardInterrupt from error
        raise MachineError(
            f"the pictures of {path} cannot be drawn: {type(error).__name__}: {error}. All else is complete; "
            f"`mlptrain doctor` says what is wrong, then {RERUN}: it retrains nothing"
        ) from error


def search_page(path: AnyPath) -> str:
    """The page of the finished search in the folder ``path``, one self-contained HTML file.

    Raises RunFolderError for a search that is not finished and for a damaged one.
    """
    files = SearchFiles(path)
    try:
        content, document = read_file(files.plan)
        check_format(document.value, files.plan)
        base = load_search(files.plan).base
    except SpecError as error:
        raise RunFolderError(f"{files.plan} is not a search's plan ({error}); the folder is damaged") from None
    summary, timings = files.read_summary(), files.read_timings()
    if plan_digest(document.value) != summary.plan:
        raise RunFolderError(
            f"{files.plan} is not the plan that summary.json is of, so one of the two was edited; restore search.yaml "
            f"and {RERUN}, which rewrites summary.json from the recorded trials"
        )
    load_matplotlib()
    from mlptrain.report.search.page import render_search

    best = files.best.read_text() if files.best.is_file() else ""
    pictures = dict(_pictures(summary, timings))
    return render_search(summary, base=base, plan=content.decode(), best=best, pictures=pictures, folder=files.path)


def _pictures(summary: SearchSummary, timings: SearchTimings) -> Iterator[tuple[str, Figure]]:
    """The pictures that the search can give, with the names of their files."""
    from mlptrain.report.search.figures import draw_history, draw_importances, draw_parallel

    yield "history", draw_history(summary, timings)
    yield "parallel", draw_parallel(summary)
    if summary.importances:
        yield "importances", draw_importances(summary)
