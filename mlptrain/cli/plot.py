"""``mlptrain plot``: pictures as PNG or SVG files. Matplotlib and torch are imported inside the commands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlptrain.cli import screen
from mlptrain.cli.help import new_group
from mlptrain.cli.options import Config, DataDir, Run, Runs, Split
from mlptrain.errors import MachineError, UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mlptrain.sources.fetch import Progress

plot_app = new_group("Draw runs, activations and data as PNG or SVG files.")
_RUNS, _DATA, _FUNCTIONS = "Runs", "Data", "Functions"

Out = Annotated[
    Path | None,
    typer.Option(
        help="The picture's file, ending in .png or .svg; default: the kind, e.g. curves.png, in this folder."
    ),
]
Count = Annotated[int, typer.Option(min=1, max=400, help="How many at most.")]


@plot_app.command(rich_help_panel=_RUNS)
def curves(
    runs: Runs,
    steps: Annotated[bool, typer.Option("--steps", help="By step, for runs with training.record_steps.")] = False,
    out: Out = None,
) -> None:
    """Loss and accuracy by epoch or step of one or several runs.

    Unfinished runs too.
    """

    def draw(_: Progress) -> Figure:
        from mlptrain.report.curves import draw_curves, draw_steps
        from mlptrain.report.history import read_history, read_steps

        read, draw_all = (read_steps, draw_steps) if steps else (read_history, draw_curves)
        return draw_all([read(run, label=label) for run, label in _labelled(runs)])

    _draw("steps" if steps else "curves", out, draw)


@plot_app.command(rich_help_panel=_RUNS)
def decision(runs: Runs, out: Out = None, data_dir: DataDir = None) -> None:
    """Predicted classes in the plane, for data with two inputs.

    A panel for each run.
    """

    def draw(_: Progress) -> Figure:
        from mlptrain import views
        from mlptrain.report.figures import draw_decisions

        return draw_decisions(
            [views.decision_map(run, label=label, data_dir=data_dir) for run, label in _labelled(runs)]
        )

    _draw("decision", out, draw)


@plot_app.command(rich_help_panel=_RUNS)
def confusion(run: Run, split: Split = None, out: Out = None, data_dir: DataDir = None) -> None:
    """The confusion matrix, in counts."""

    def draw(on_fetch: Progress) -> Figure:
        from mlptrain import views
        from mlptrain.report.figures import draw_confusion

        return draw_confusion(views.confusion(run, split=split, data_dir=data_dir, on_fetch=on_fetch))

    _draw("confusion", out, draw)


@plot_app.command(rich_help_panel=_RUNS)
def mistakes(run: Run, split: Split = None, count: Count = 24, out: Out = None, data_dir: DataDir = None) -> None:
    """The most confident errors, with true and predicted class."""

    def draw(on_fetch: Progress) -> Figure:
        from mlptrain import views
        from mlptrain.report.images import draw_mistakes

        errors = views.mistakes(run, split=split, count=count, data_dir=data_dir, on_fetch=on_fetch)
        if not errors.wrong:
            raise UserError(
                f"{run} predicts all {errors.examples:,} {errors.split} examples correctly, so there is no error to "
                "draw; --split chooses other examples"
            )
        return draw_mistakes(errors)

    _draw("mistakes", out, draw)


@plot_app.command(rich_help_panel=_RUNS)
def weights(run: Run, count: Count = 64, out: Out = None) -> None:
    """The first layer's weights as images, one per hidden unit."""

    def draw(_: Progress) -> Figure:
        from mlptrain import views
        from mlptrain.report.images import draw_weights

        return draw_weights(views.first_layer_weights(run, count=count))

    _draw("weights", out, draw)


@plot_app.command(rich_help_panel=_DATA)
def samples(config: Config, count: Count = 40, out: Out = None, data_dir: DataDir = None) -> None:
    """The first training images; of data in the plane, all points.

    As scaled, with their classes.
    """

    def draw(on_fetch: Progress) -> Figure:
        from mlptrain.spec import load_spec

        spec = load_spec(config).spec
        from mlptrain import views
        from mlptrain.report.arrays import LabelledPoints
        from mlptrain.report.figures import draw_points
        from mlptrain.report.images import draw_samples

        rows = views.samples(spec, count=count, data_dir=data_dir, on_fetch=on_fetch)
        return draw_points(rows) if isinstance(rows, LabelledPoints) else draw_samples(rows)

    _draw("samples", out, draw)


@plot_app.command(rich_help_panel=_DATA)
def histogram(config: Config, out: Out = None, data_dir: DataDir = None) -> None:
    """Input values of the scaled training rows, in 100 bins."""

    def draw(on_fetch: Progress) -> Figure:
        from mlptrain.spec import load_spec

        spec = load_spec(config).spec
        from mlptrain import views
        from mlptrain.report.figures import draw_histogram

        return draw_histogram(views.input_histogram(spec, data_dir=data_dir, on_fetch=on_fetch))

    _draw("histogram", out, draw)


@plot_app.command(rich_help_panel=_FUNCTIONS)
def activation(
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="Activations, or half_tanh: tanh(x/2).")],
    derivatives: Annotated[int, typer.Option(min=1, max=6, help="Up to which derivative.")] = 1,
    interval: Annotated[
        tuple[float, float] | None,
        typer.Option("--range", metavar="LOW HIGH", help="Default -4 4; with --derivatives above 1, -7 7."),
    ] = None,
    out: Out = None,
) -> None:
    """Activation functions with their derivatives, up to the sixth."""

    def draw(_: Progress) -> Figure:
        from mlptrain import views
        from mlptrain.report.figures import draw_activations

        low, high = interval or ((-4.0, 4.0) if derivatives == 1 else (-7.0, 7.0))
        return draw_activations(views.activation_curves(names, derivatives=derivatives, low=low, high=high))

    _draw("activation", out, draw)


def _labelled(paths: list[Path]) -> list[tuple[Path, str]]:
    """The runs, with those of a group in its place, and their labels."""
    from mlptrain.report.history import run_labels
    from mlptrain.runs import runs_of_seeds

    runs = [run for path in paths for run in runs_of_seeds(path) or [path]]
    return list(zip(runs, run_labels(runs), strict=True))


def _draw(kind: str, out: Path | None, draw: Callable[[Progress], Figure]) -> None:
    """Draw into ``out``, else into a file named after the kind."""
    path = output_file(out, default=Path(f"{kind}.png"), what="picture", suffixes=(".png", ".svg"))
    with screen.Fetching() as fetching:
        figure = draw(fetching.fetch)
    from mlptrain.report.style import picture_bytes

    save(path, picture_bytes(figure, path.suffix.lower().removeprefix(".")))


def output_file(out: Path | None, *, default: Path, what: str, suffixes: Sequence[str]) -> Path:
    """The file for a ``what``, asked before anything is computed.

    Raises UserError where no such file can be: another suffix, a folder of that name, or no folder to put it in.
    """
    path = out or default
    if path.suffix.lower() not in suffixes:
        raise UserError(f"--out {path}: a {what}'s file ends in {' or '.join(suffixes)}, not in '{path.suffix}'")
    if path.is_dir():
        raise UserError(f"--out {path} is a folder; name a file")
    if not path.parent.is_dir():
        raise UserError(f"--out {path}: there is no folder {path.parent}; make it first")
    return path


def save(path: Path, content: bytes) -> None:
    """Write a file whole or not at all and print its path. Raises MachineError where the disk refuses."""
    from mlptrain.runs import write_atomically

    try:
        write_atomically(path, content)
    except OSError as error:
        raise MachineError(
            f"{path} cannot be written: {error.strerror or error}; choose another file with --out"
        ) from error
    screen.say(path)
