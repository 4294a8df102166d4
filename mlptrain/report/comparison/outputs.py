"""What a finished comparison leaves behind to look at: tables, pictures and a page in its folder.

summary.csv, summary.md, summary.tex, pictures/*.png and *.svg   after every comparison
report.html                                                      by `mlptrain report FOLDER`

Matplotlib is imported where something is drawn.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlptrain.errors import MachineError, RunFolderError, SpecError
from mlptrain.report.comparison.record import Summary, Timings, read_summary, read_timings
from mlptrain.runs import is_comparison, write_atomically
from mlptrain.system.jsonfiles import read_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_AGAIN = "run the same `mlptrain compare-optimizers` again"


def write_outputs(path: Path, summary: Mapping[str, Any], timings: Mapping[str, Any]) -> None:
    """Write the tables and the pictures of a comparison into its folder.

    ``summary`` and ``timings`` are what ``summary.json`` and ``timings.json`` hold. Raises RunFolderError where they
    hold something else, MachineError where the disk refuses.
    """
    from mlptrain.report.comparison.files import summary_csv, summary_latex, summary_markdown

    found, seconds = _checked(path, summary, timings)
    try:
        for name, text in (
            ("summary.csv", summary_csv(found)),
            ("summary.md", summary_markdown(found, seconds)),
            ("summary.tex", summary_latex(found, seconds)),
        ):
            write_atomically(path / name, text.encode())
        _write_pictures(path / "pictures", found)
    except OSError as error:
        raise MachineError(
            f"{error.filename or path}: {error.strerror or error}; the comparison's tables and pictures cannot be "
            f"written. Free or mount the disk, then {_AGAIN}: it trains nothing anew"
        ) from error


def comparison_page(path: Path) -> str:
    """The page of the finished comparison in the folder ``path``, one self-contained HTML file.

    Raises RunFolderError for a folder that is no comparison's, for one that is not finished and for a damaged one.
    """
    if not is_comparison(path):
        raise RunFolderError(f"{path} is no comparison's folder: it holds no plan.yaml")
    if not (path / "summary.json").is_file():
        raise RunFolderError(f"{path} is not finished: {_AGAIN} to go on with it, then make the report")
    timings = path / "timings.json"
    try:
        plain = dict[str, Any]
        values = read_json(path / "summary.json", plain), read_json(timings, plain) if timings.is_file() else {}
    except RunFolderError as error:
        raise RunFolderError(f"{error}; {_AGAIN}, which writes it anew") from None
    found, seconds = _checked(path, *values)
    from mlptrain.report.comparison.page import render_comparison
    from mlptrain.spec import load_text
    from mlptrain.spec.comparison.load import plan_digest
    from mlptrain.spec.dump import yaml_text
    from mlptrain.spec.reader import read_file

    file = path / "plan.yaml"
    try:
        content, document = read_file(file)
        if document.faults:
            raise SpecError(document.faults)
        base = load_text(yaml_text({**document.value["base"], "optimizer": "sgd"})).spec  # a comparison's base has none
    except (SpecError, KeyError, TypeError, ValueError) as error:
        raise RunFolderError(f"{file} is no plan ({error}); the folder is damaged") from None
    if plan_digest(document.value) != found.plan:
        raise RunFolderError(
            f"{file} is not the plan that summary.json is of, so one of the two was edited; put plan.yaml back as it "
            f"was and {_AGAIN}, which writes summary.json from the trials on record"
        )
    return render_comparison(found, seconds, base=base, plan=content.decode(), folder=path)


def _checked(path: Path, summary: Mapping[str, Any], timings: Mapping[str, Any]) -> tuple[Summary, Timings]:
    try:
        found = read_summary(summary)
    except ValueError as error:
        raise RunFolderError(
            f"{path / 'summary.json'} is damaged ({error}); {_AGAIN}, which writes it from the trials on record"
        ) from None
    try:
        return found, read_timings(timings)
    except ValueError as error:
        raise RunFolderError(
            f"{path / 'timings.json'} is damaged ({error}); {_AGAIN}, which takes the times anew"
        ) from None


def _write_pictures(folder: Path, summary: Summary) -> None:
    """Every picture as PNG and SVG; of what the comparison has not, none, and none is left from before."""
    from mlptrain.report.style import picture_bytes

    folder.mkdir(exist_ok=True)
    with _uncollected():
        for name, draw in _pictures(summary).items():
            figure = draw()
            for kind in ("png", "svg"):
                write_atomically(folder / f"{name}.{kind}", picture_bytes(figure, kind))


@contextmanager
def _uncollected() -> Iterator[None]:
    """No search for garbage meanwhile: among the many small parts of pictures it took a sixth of the time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _pictures(summary: Summary) -> dict[str, Callable[[], Figure]]:
    """The pictures that the comparison can give, by the names of their files."""
    from mlptrain.report.comparison.curves import draw_learning_curves, draw_learning_rates
    from mlptrain.report.comparison.figures import draw_differences, draw_scores, draw_times

    pictures: dict[str, Callable[[], Figure]] = {
        "scores": lambda: draw_scores(summary),
        "differences": lambda: draw_differences(summary),
    }
    if any(entry.curves for entry in summary.optimizers.values()):
        pictures["loss_curves"] = lambda: draw_learning_curves(summary, "loss")
        pictures["accuracy_curves"] = lambda: draw_learning_curves(summary, "accuracy")
    if any(entry.medians_by_rate for entry in summary.optimizers.values()):
        pictures["learning_rates"] = lambda: draw_learning_rates(summary)
    if summary.target is not None:
        pictures["time_to_target"] = lambda: draw_times(summary)
    return pictures
