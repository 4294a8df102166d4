"""``mlptrain plot``: pictures as PNG or SVG files. Matplotlib and torch are imported inside the commands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlptrain.cli import screen
from mlptrain.errors import MachineError, UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

plot_app = typer.Typer(help="Draw runs, activations and data as PNG or SVG files.", no_args_is_help=True)

Out = Annotated[
    Path | None,
    typer.Option(
        help="The picture's file, ending in .png or .svg; default: the kind, e.g. curves.png, in this folder."
    ),
]
Runs = Annotated[
    list[Path],
    typer.Argument(metavar="RUN", help="Run folders; that of `train --seeds` stands for its runs.", show_default=False),
]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder or a checkpoint file.", show_default=False)]
Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="A configuration.", show_default=False)]
Split = Annotated[
    str | None, typer.Option(help="train, validation or test; default test, else validation, else train.")
]
Count = Annotated[int, typer.Option(min=1, max=400, help="How many at most.")]
DataDir = Annotated[
    Path | None,
    typer.Option(help="Where data sets lie; default $MLPTRAIN_DATA_DIR, else the user's cache folder."),
]


@plot_app.command()
def curves(
    runs: Runs,
    steps: Annotated[bool, typer.Option("--steps", help="By step, for runs with training.record_steps.")] = False,
    out: Out = None,
) -> None:
    """Loss and accuracy by epoch or step, several runs in one picture; unfinished ones too."""
    file = _file(out, "steps" if steps else "curves")
    from mlptrain.report.curves import draw_curves, draw_steps
    from mlptrain.report.history import read_history, read_steps, run_labels

    runs = _each(runs)
    labels = run_labels(runs)
    read, draw = (read_steps, draw_steps) if steps else (read_history, draw_curves)
    _save(draw([read(run, label=label) for run, label in zip(runs, labels, strict=True)]), file)


@plot_app.command()
def activation(
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="Activations, or half_tanh: tanh(x/2).")],
    derivatives: Annotated[int, typer.Option(min=1, max=6, help="Up to which derivative.")] = 1,
    interval: Annotated[
        tuple[float, float] | None,
        typer.Option("--range", metavar="LOW HIGH", help="Default -4 4; with --derivatives above 1, -7 7."),
    ] = None,
    out: Out = None,
) -> None:
    """Activation functions beside their gradients, or with derivatives up to the sixth."""
    file = _file(out, "activation")
    from mlptrain import views
    from mlptrain.report.figures import draw_activations

    low, high = interval or ((-4.0, 4.0) if derivatives == 1 else (-7.0, 7.0))
    _save(draw_activations(views.activation_curves(names, derivatives=derivatives, low=low, high=high)), file)


@plot_app.command()
def decision(runs: Runs, out: Out = None, data_dir: DataDir = None) -> None:
    """Which class a network sees where in the plane, a panel per run: for data with two inputs."""
    file = _file(out, "decision")
    from mlptrain import views
    from mlptrain.report.figures import draw_decisions
    from mlptrain.report.history import run_labels

    runs = _each(runs)
    labels = run_labels(runs)
    pairs = zip(runs, labels, strict=True)
    _save(draw_decisions([views.decision_map(run, label=label, data_dir=data_dir) for run, label in pairs]), file)


@plot_app.command()
def samples(config: Config, count: Count = 40, out: Out = None, data_dir: DataDir = None) -> None:
    """The first training images with their classes, as scaled; of data in the plane, all points."""
    file = _file(out, "samples")
    from mlptrain.spec import load_spec

    spec = load_spec(config).experiment
    from mlptrain import views
    from mlptrain.report.arrays import LabelledPoints
    from mlptrain.report.figures import draw_points
    from mlptrain.report.images import draw_samples

    with screen.Fetching() as fetching:
        found = views.samples(spec, count=count, data_dir=data_dir, on_fetch=fetching.fetch)
    _save(draw_points(found) if isinstance(found, LabelledPoints) else draw_samples(found), file)


@plot_app.command()
def histogram(config: Config, out: Out = None, data_dir: DataDir = None) -> None:
    """How often every input value occurs in the scaled training rows, in 100 bins."""
    file = _file(out, "histogram")
    from mlptrain.spec import load_spec

    spec = load_spec(config).experiment
    from mlptrain import views
    from mlptrain.report.figures import draw_histogram

    with screen.Fetching() as fetching:
        found = views.input_histogram(spec, data_dir=data_dir, on_fetch=fetching.fetch)
    _save(draw_histogram(found), file)


@plot_app.command()
def confusion(run: Run, split: Split = None, out: Out = None, data_dir: DataDir = None) -> None:
    """Which class was called which, in counts."""
    file = _file(out, "confusion")
    _check_split(split)
    from mlptrain import views
    from mlptrain.report.figures import draw_confusion

    with screen.Fetching() as fetching:
        found = views.confusion(run, split=split, data_dir=data_dir, on_fetch=fetching.fetch)
    _save(draw_confusion(found), file)


@plot_app.command()
def mistakes(run: Run, split: Split = None, count: Count = 24, out: Out = None, data_dir: DataDir = None) -> None:
    """The wrong calls with the highest confidence, with the true and the called class."""
    file = _file(out, "mistakes")
    _check_split(split)
    from mlptrain import views
    from mlptrain.report.images import draw_mistakes

    with screen.Fetching() as fetching:
        found = views.mistakes(run, split=split, count=count, data_dir=data_dir, on_fetch=fetching.fetch)
    if not found.wrong:
        raise UserError(
            f"{run} calls all {found.examples:,} {found.split} examples right, so there is no mistake to draw; "
            "--split chooses other examples"
        )
    _save(draw_mistakes(found), file)


@plot_app.command()
def weights(run: Run, count: Count = 64, out: Out = None) -> None:
    """The first layer's weights as images, one per hidden unit."""
    file = _file(out, "weights")
    from mlptrain import views
    from mlptrain.report.images import draw_weights

    _save(draw_weights(views.first_layer_weights(run, count=count)), file)


def _each(runs: list[Path]) -> list[Path]:
    """The runs, with those of a group in its place."""
    from mlptrain.runs import runs_of_seeds

    return [run for path in runs for run in runs_of_seeds(path) or [path]]


def _file(out: Path | None, kind: str) -> Path:
    """Where the picture goes; asked before anything is computed. Raises UserError for what cannot be a picture."""
    path = out or Path(f"{kind}.png")
    if path.suffix.lower() not in (".png", ".svg"):
        raise UserError(f"--out {path}: a picture's file ends in .png or .svg, not in '{path.suffix}'")
    check_target(path)
    return path


def check_target(path: Path) -> None:
    """Raises UserError where no file of this name can be: a folder of that name, or no folder to put it in."""
    if path.is_dir():
        raise UserError(f"--out {path} is a folder; name a file")
    if not path.parent.is_dir():
        raise UserError(f"--out {path}: there is no folder {path.parent}; make it first")


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


def _save(figure: Figure, path: Path) -> None:
    from mlptrain.report.style import picture_bytes

    save(path, picture_bytes(figure, path.suffix.lower().removeprefix(".")))


def _check_split(split: str | None) -> None:
    if split not in (None, "train", "validation", "test"):
        raise UserError(f"--split must be train, validation or test, got '{split}'")
