"""``mlptrain plot``: pictures as PNG or SVG files, and ``mlptrain report``: the page of a run or of a comparison.

Matplotlib, Jinja and torch are imported inside the commands, ``mlptrain.plot`` when it is first called.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import mlptrain
from mlptrain.cli import screen
from mlptrain.cli.help import new_group
from mlptrain.cli.options import AllowCode, Config, Curves, DataDir, Run, RunOrComparison, Runs, Set, Split, output_file
from mlptrain.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mlptrain.views.inputs import Source

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
    runs: Curves,
    steps: Annotated[bool, typer.Option("--steps", help="By step, for runs with training.record_steps.")] = False,
    labels: Annotated[
        str | None,
        typer.Option(metavar="NAME,NAME,...", help="Names of the curves, in the order of the runs; quote a comma."),
    ] = None,
    log: Annotated[
        bool | None, typer.Option("--log/--linear", help="The axis of the loss; default: what suits the figures.")
    ] = None,
    ylim: Annotated[
        tuple[float, float] | None, typer.Option(metavar="LOW HIGH", help="Ends of the axis of the loss.")
    ] = None,
    accuracy_ylim: Annotated[
        tuple[float, float] | None, typer.Option(metavar="LOW HIGH", help="Ends of the axis of the accuracy, in %.")
    ] = None,
    guess: Annotated[
        bool, typer.Option("--guess/--no-guess", help="A line at what a constant guess reaches on the training rows.")
    ] = True,
    out: Out = None,
) -> None:
    """Loss, accuracy and other figures of runs by epoch or step.

    The runs may be unfinished; by step there are loss and accuracy only.
    A group of seeds or folds is drawn as their mean, in a band from the lowest to the highest. Figures of training are
    means during an epoch and lie at its middle, half an epoch before those measured at its end.
    """
    names, ends = _names(labels), {"ylim": ylim, "accuracy_ylim": accuracy_ylim}
    _draw(
        out,
        "steps" if steps else "curves",
        lambda: mlptrain.plot.curves(*runs, steps=steps, labels=names, log=log, guess=guess, **ends),
    )


@plot_app.command(rich_help_panel=_RUNS)
def decision(runs: Runs, out: Out = None, data_dir: DataDir = None) -> None:
    """Predicted classes in the plane, for data with two inputs."""
    _draw_data(out, "decision", data_dir, lambda source: mlptrain.plot.decision(*runs, **source))


@plot_app.command(rich_help_panel=_RUNS)
def fit(runs: Runs, out: Out = None, data_dir: DataDir = None) -> None:
    """Targets and outputs over the input, for data with one input."""
    _draw_data(out, "fit", data_dir, lambda source: mlptrain.plot.fit(*runs, **source))


@plot_app.command(rich_help_panel=_RUNS)
def confusion(run: Run, split: Split = None, out: Out = None, data_dir: DataDir = None) -> None:
    """The confusion matrix, in counts."""
    _draw_data(out, "confusion", data_dir, lambda source: mlptrain.plot.confusion(run, split=split, **source))


@plot_app.command(rich_help_panel=_RUNS)
def mistakes(run: Run, split: Split = None, count: Count = 24, out: Out = None, data_dir: DataDir = None) -> None:
    """The most confident errors, with true and predicted class."""
    _draw_data(
        out, "mistakes", data_dir, lambda source: mlptrain.plot.mistakes(run, split=split, count=count, **source)
    )


@plot_app.command(rich_help_panel=_RUNS)
def residuals(run: Run, split: Split = None, out: Out = None, data_dir: DataDir = None) -> None:
    """Predicted against true values of a regression, and residuals."""
    _draw_data(out, "residuals", data_dir, lambda source: mlptrain.plot.residuals(run, split=split, **source))


@plot_app.command(rich_help_panel=_RUNS)
def reliability(run: Run, split: Split = None, out: Out = None, data_dir: DataDir = None) -> None:
    """Accuracy against confidence, before and after calibration.

    With evaluation.calibrate: temperature both; of validation rows the second was fitted on them.
    """
    _draw_data(out, "reliability", data_dir, lambda source: mlptrain.plot.reliability(run, split=split, **source))


@plot_app.command(rich_help_panel=_RUNS)
def roc(run: Run, split: Split = None, out: Out = None, data_dir: DataDir = None) -> None:
    """ROC and precision–recall curves, of each class against the rest."""
    _draw_data(out, "roc", data_dir, lambda source: mlptrain.plot.roc(run, split=split, **source))


@plot_app.command(rich_help_panel=_RUNS)
def importance(
    run: Run,
    split: Split = None,
    repeats: Annotated[int, typer.Option(min=2, max=1000, help="How often each column is shuffled.")] = 10,
    out: Out = None,
    data_dir: DataDir = None,
) -> None:
    """How much worse predictions are where a column is shuffled.

    scikit-learn's permutation importance with its spread, by the increase of the loss, of up to 10,000 rows and
    200 columns: of more, those that the first layer weighs most, or where inputs are embedded, drawn at random.
    """
    _draw_data(
        out,
        "importance",
        data_dir,
        lambda source: mlptrain.plot.importance(run, split=split, repeats=repeats, **source),
    )


@plot_app.command(rich_help_panel=_RUNS)
def seen(
    run: Run,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Image files, or folders of them.")],
    count: Count = 24,
    invert: Annotated[bool | None, typer.Option("--invert/--no-invert", help="As for `mlptrain predict`.")] = None,
    out: Out = None,
) -> None:
    """Image files as `mlptrain predict` gives them to the network.

    Files that cannot be read are named at the end, with exit code 2.
    """
    faults: list[str] = []

    def draw() -> Figure:
        from mlptrain import views
        from mlptrain.report.images import draw_seen

        shown = views.seen(run, images, count=count, invert=invert)
        faults.extend(shown.faults)
        return draw_seen(shown)

    _draw(out, "seen", draw)
    if faults:
        raise UserError("\n".join(faults))


@plot_app.command(rich_help_panel=_RUNS)
def weights(run: Run, count: Count = 64, out: Out = None) -> None:
    """The first layer's weights as images, one per hidden unit."""
    _draw(out, "weights", lambda: mlptrain.plot.weights(run, count=count))


@plot_app.command(rich_help_panel=_RUNS)
def layers(run: Run, out: Out = None, data_dir: DataDir = None) -> None:
    """Activations and gradients by layer; by epoch too where recorded.

    Before training, with the kept weights and with the last; with training.record_layers also by epoch.
    """
    _draw_data(out, "layers", data_dir, lambda source: mlptrain.plot.layers(run, **source))


@plot_app.command(rich_help_panel=_DATA)
def samples(
    config: Config,
    overrides: Set = [],  # noqa: B006 - typer copies it
    augmented: Annotated[
        bool, typer.Option("--augmented", help="Beside each image what the section augmentation makes of it.")
    ] = False,
    count: Annotated[
        int | None, typer.Option(min=1, max=400, help="How many at most; default 40, with --augmented 8.")
    ] = None,
    out: Out = None,
    data_dir: DataDir = None,
) -> None:
    """The first training images; of one or two inputs all points."""
    options: dict[str, Any] = {"overrides": overrides, "augmented": augmented, "count": count}
    _draw_data(out, "samples", data_dir, lambda source: mlptrain.plot.samples(config, **options, **source))


@plot_app.command(rich_help_panel=_DATA)
def histogram(config: Config, out: Out = None, data_dir: DataDir = None) -> None:
    """Input values of the scaled training rows, in 100 bins."""
    _draw_data(out, "histogram", data_dir, lambda source: mlptrain.plot.histogram(config, **source))


@plot_app.command(rich_help_panel=_DATA)
def schedule(
    config: Config,
    overrides: Set = [],  # noqa: B006 - typer copies it
    out: Out = None,
    code: AllowCode = False,  # noqa: ARG001 - its callback allows it
) -> None:
    """The learning rate of every step of a run."""
    _draw(out, "schedule", lambda: mlptrain.plot.schedule(config, overrides=overrides))


@plot_app.command(rich_help_panel=_FUNCTIONS)
def activation(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME", help="Activations, with settings behind a colon: elu:alpha=2. Also half_tanh: tanh(x/2)."
        ),
    ],
    derivatives: Annotated[int, typer.Option(min=1, max=6, help="Up to which derivative.")] = 1,
    interval: Annotated[
        tuple[float, float] | None,
        typer.Option("--range", metavar="LOW HIGH", help="Default -4 4; with --derivatives above 1, -7 7."),
    ] = None,
    shared: Annotated[bool, typer.Option("--shared", help="Give all panels the same axes.")] = False,
    overlay: Annotated[
        bool, typer.Option("--overlay", help="All activations in one panel, their derivatives in others.")
    ] = False,
    out: Out = None,
) -> None:
    """Activation functions with their derivatives, up to the sixth."""
    options: dict[str, Any] = {"interval": interval, "shared": shared, "overlay": overlay}
    _draw(out, "activation", lambda: mlptrain.plot.activation(*names, derivatives=derivatives, **options))


def report(
    run: RunOrComparison,
    out: Annotated[Path | None, typer.Option(help="The page's file; default: report.html in the folder.")] = None,
    data_dir: DataDir = None,
) -> None:
    """One HTML page on a run, group, comparison or search.

    Of a run: outcome, curves, confusion, mistakes, specification, environment. Of a group of seeds or folds: figures
    with their spread, every run, learning curves. Of a comparison: scores, verdicts, learning curves, learning rates,
    time to target, what failed, the protocol. Of a search: the best setting, what mattered, every trial. The page is
    self-contained.
    """
    from mlptrain.runs import RunFolder, RunGroup
    from mlptrain.spec.kinds import study_in

    study, group = study_in(run), RunGroup.is_group(run)
    folder = run if study is not None or group else RunFolder.open(run).path
    file = output_file(out, default=folder / "report.html", what="page", suffixes=(".html", ".htm"))
    if study is not None:
        from mlptrain.report.comparison.outputs import comparison_page
        from mlptrain.report.search.outputs import search_page

        page = {"comparison": comparison_page, "search": search_page}[study.name]
        screen.write_file(file, page(run).encode())
        return
    from mlptrain.report.loading import load_matplotlib

    load_matplotlib()
    if group:
        from mlptrain.report.group import render_group_page

        screen.write_file(file, render_group_page(run).encode())
        return
    from mlptrain import views
    from mlptrain.report.page import render_page

    with screen.Fetching() as fetching:
        parts = views.page_parts(run, data_dir=data_dir, on_fetch=fetching.fetch)
    screen.write_file(file, render_page(run, **parts).encode())


def _names(labels: str | None) -> list[str] | None:
    """The names in ``--labels``."""
    if labels is None:
        return None
    return [name.strip() for name in next(csv.reader([labels], skipinitialspace=True))]


def _draw(out: Path | None, kind: str, draw: Callable[[], Figure]) -> None:
    """Write a picture. Its file is asked before anything is computed; then modules that draw can be imported."""
    from mlptrain.report.loading import load_matplotlib

    load_matplotlib()
    file = output_file(out, default=Path(f"{kind}.png"), what="picture", suffixes=(".png", ".svg"))
    figure = draw()
    from mlptrain.report.style import picture_bytes

    screen.write_file(file, picture_bytes(figure, file.suffix.lower().removeprefix(".")))


def _draw_data(out: Path | None, kind: str, data_dir: Path | None, draw: Callable[[Source], Figure]) -> None:
    """A picture that needs the data, which may have to be fetched."""
    with screen.Fetching() as fetching:
        _draw(out, kind, lambda: draw({"data_dir": data_dir, "on_fetch": fetching.fetch}))
