"""What a finished study leaves behind for its reader, a comparison or a search: pictures in its folder, and a page.

Matplotlib and Jinja are imported where something is drawn.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from mlptrain.errors import MachineError, MlptrainError, RunFolderError, SpecError
from mlptrain.report.loading import load_matplotlib
from mlptrain.runs.comparison import Summary
from mlptrain.runs.search import SearchSummary
from mlptrain.runs.study import StudyFiles
from mlptrain.spec import Experiment
from mlptrain.spec.kinds import plan_digest
from mlptrain.spec.reader import read_file
from mlptrain.spec.study import base_of_plan
from mlptrain.system import signals
from mlptrain.system.atomic import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Summarised = TypeVar("Summarised", Summary, SearchSummary)
Pictures = Iterable[tuple[str, "Callable[[], Figure]"]]  # by the names of their files


@contextmanager
def writing(files: StudyFiles, what: str) -> Iterator[None]:
    """Raises MachineError where the disk refuses ``what`` is written into the study's folder."""
    try:
        yield
    except OSError as error:
        raise MachineError(
            f"{error.filename or files.path}: {error.strerror or error}; the {files.kind.name}'s {what} cannot be "
            f"written. Free or mount the disk, then {files.rerun}: it retrains nothing"
        ) from error


def write_pictures(files: StudyFiles, pictures: Callable[[], Pictures]) -> None:
    """Every picture, as PNG and SVG. Raises OSError, and MachineError where one cannot be drawn."""
    load_matplotlib()
    gc.disable()  # collecting garbage among the many small parts of pictures took a sixth of the time
    try:
        for name, draw in pictures():
            write_picture(files.path / "pictures", name, draw)
    except (MlptrainError, OSError):
        raise
    except Exception as error:  # of matplotlib's, whatever is wrong with it here
        if signals.received:  # an interruption, which matplotlib's C++ code turns into an error of its own
            raise KeyboardInterrupt from error
        raise MachineError(
            f"the pictures of {files.path} cannot be drawn: {type(error).__name__}: {error}. All else is complete; "
            f"`mlptrain doctor` says what is wrong, then {files.rerun}: it retrains nothing"
        ) from error
    finally:
        gc.enable()


def write_picture(folder: Path, name: str, draw: Callable[[], Figure]) -> None:
    """Draw a picture and write it as PNG and SVG. Raises OSError, and what matplotlib raises."""
    from mlptrain.report.style import picture_bytes

    folder.mkdir(exist_ok=True)
    figure = draw()
    for kind in ("png", "svg"):
        write_atomically(folder / f"{name}.{kind}", picture_bytes(figure, kind))


def read_finished(files: StudyFiles, read: Callable[[], Summarised]) -> tuple[str, Experiment, Summarised]:
    """For a page: the text of the plan, the base, and the summary, by ``read``. Matplotlib is loaded.

    The base has a placeholder as its optimizer: a page needs none, nor the class of one by its import path.

    Raises RunFolderError where the study is not finished, or its folder damaged.
    """
    plan = files.plan
    try:
        content, document = read_file(plan)
        files.kind.check_format(document.value, plan)
        digest = plan_digest(document.value)
        base = base_of_plan(document)
    except SpecError as error:
        raise RunFolderError(f"{plan} is not a plan ({error}); the folder is damaged") from None
    if digest != (summary := read()).plan:
        raise RunFolderError(
            f"{plan} is not the plan that summary.json is of, so one of the two was edited; restore {plan.name} "
            f"and {files.rerun}, which rewrites summary.json from the recorded trials"
        )
    load_matplotlib()
    return content.decode(), base, summary
