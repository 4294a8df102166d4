"""`mlptrain compare` and its short form, `mlptrain compare-optimizers`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlptrain.cli import screen
from mlptrain.cli.options import AllowCode, DataDir, Json
from mlptrain.errors import InterruptedRunError, MachineError, UserError

if TYPE_CHECKING:
    from mlptrain.comparison.folder import ComparisonFolder
    from mlptrain.runs.comparison import Summary
    from mlptrain.spec.comparison.load import LoadedComparison
    from mlptrain.spec.comparison.sections import ComparisonSpec

_Set = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a value, e.g. base.training.epochs=3, tuning.seeds=5 or executor=ray.",
    ),
]
_PlanOnly = Annotated[
    bool,
    typer.Option("--plan", help="Show trials, time, disk and the smallest detectable difference; train nothing."),
]
_RunDir = Annotated[Path | None, typer.Option(help="The comparison's folder itself.", show_default=False)]


def compare(
    study: Annotated[
        Path,
        typer.Argument(
            metavar="STUDY",
            help="A study, e.g. configs/comparisons/digits_activations.yaml, or the folder of one, to resume it.",
            show_default=False,
        ),
    ],
    overrides: _Set = [],  # noqa: B006 - typer copies it
    plan_only: _PlanOnly = False,
    run_dir: _RunDir = None,
    data_dir: DataDir = None,
    code: AllowCode = False,  # noqa: ARG001 - its callback allows it
    as_json: Json = False,
) -> None:
    """Compare arms that change any keys, by any metric: same noise, tuned apart from scoring, judged by exact tests.

    Rerun the same command to resume a stopped study. The plan.yaml that it leaves is a study too: it repeats it.
    """
    from mlptrain.spec.comparison.load import load_comparison

    study, run_dir = _file_of(study, run_dir)
    _run(load_comparison(study, overrides), plan_only=plan_only, run_dir=run_dir, data_dir=data_dir, as_json=as_json)


def compare_optimizers(
    config: Annotated[
        Path,
        typer.Argument(
            help="A comparison, e.g. configs/comparisons/digits.yaml, or the folder of one, to resume it; or an "
            "experiment, with --optimizers.",
            show_default=False,
        ),
    ],
    optimizers: Annotated[
        str | None,
        typer.Option(help="Of an experiment: names such as sgd,momentum,nesterov,adam.", show_default=False),
    ] = None,
    lr: Annotated[
        str | None, typer.Option(help="Learning rates to choose from, e.g. 1e-3,1e-2,1e-1.", show_default=False)
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(help="Scoring seeds: a count, by default 10, or seeds such as 0,1,2 or 0..9.", show_default=False),
    ] = None,
    overrides: _Set = [],  # noqa: B006 - typer copies it
    plan_only: _PlanOnly = False,
    run_dir: _RunDir = None,
    data_dir: DataDir = None,
    code: AllowCode = False,  # noqa: ARG001 - its callback allows it
    as_json: Json = False,
) -> None:
    """Compare optimizers fairly: same noise, tuned on validation data, scored over seeds, judged by exact tests.

    Rerun the same command to resume a stopped comparison. The plan.yaml that a comparison leaves is a comparison too:
    it repeats it.
    """
    config, run_dir = _file_of(config, run_dir)
    given = {"optimizers": optimizers, "lr": lr, "seeds": seeds}
    loaded = _load(config, {key: value for key, value in given.items() if value is not None}, overrides)
    _run(loaded, plan_only=plan_only, run_dir=run_dir, data_dir=data_dir, as_json=as_json)


def _file_of(config: Path, run_dir: Path | None) -> tuple[Path, Path | None]:
    """The plan of a folder that is to be resumed, and that folder; a file as it is."""
    from mlptrain.runs import is_comparison

    if not config.is_dir():
        return config, run_dir
    if not is_comparison(config):
        raise UserError(
            f"{config} is not a comparison's folder: it holds no plan.yaml; name a YAML file or such a folder"
        )
    return config / "plan.yaml", run_dir or config


def _run(
    loaded: LoadedComparison, *, plan_only: bool, run_dir: Path | None, data_dir: Path | None, as_json: bool
) -> None:
    from mlptrain.spec.comparison.rules import comparison_notes

    screen.show_warnings(loaded.warnings)
    for note in comparison_notes(loaded.spec):
        screen.say(f"note: {note}", err=True)
    if plan_only:
        _show_plan(loaded.spec, data_dir=data_dir, as_json=as_json)
    else:
        _compare(loaded.spec, run_dir=run_dir, data_dir=data_dir, as_json=as_json)


def _show_plan(spec: ComparisonSpec, *, data_dir: Path | None, as_json: bool) -> None:
    """What the comparison will take; ``--json`` prints the keys of ``mlptrain.comparison.preview.preview``."""
    from mlptrain.cli.compare_screen import show_preview
    from mlptrain.comparison import make_plan
    from mlptrain.comparison.preview import preview

    with screen.Fetching() as fetching:
        plan = preview(make_plan(spec), data_dir=data_dir, on_fetch=fetching.fetch)
    if as_json:
        screen.say_json(plan)
    else:
        show_preview(spec.name, plan)


def _compare(spec: ComparisonSpec, *, run_dir: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """Run the comparison and show its result, also where its tables and pictures cannot be written, which comes last.

    ``--json`` prints ``folder``, the keys of a ``Summary`` and ``timings`` with those of ``Timings``.
    """
    from mlptrain.report.comparison.artist import Artist

    unwritten: list[MachineError] = []
    try:
        with Artist() as artist:  # before the imports, which take as long as its own
            from mlptrain.cli.compare_screen import TrialProgress, show_summary
            from mlptrain.comparison import compare as run
            from mlptrain.report.comparison.outputs import write_outputs

            def write_tables_and_pictures(folder: ComparisonFolder, summary: Summary) -> None:
                try:
                    write_outputs(folder.path, summary, folder.read_timings(), artist=artist)
                except MachineError as error:
                    unwritten.append(error)

            with TrialProgress() as progress:
                folder, summary = run(
                    spec, folder=run_dir, data_dir=data_dir, progress=progress, on_summary=write_tables_and_pictures
                )
        timings = folder.read_timings()
    except (InterruptedRunError, KeyboardInterrupt) as error:
        what = str(error) or "stopped by a signal"
        message = f"{what}; every finished batch of trials is saved. Rerun the same command to resume"
        raise InterruptedRunError(message) from None
    with screen.result_of(folder.path):
        if as_json:
            screen.say_json({"folder": str(folder.path), **summary.plain(), "timings": timings.plain()})
        else:
            show_summary(str(folder.path), summary, timings)
    if unwritten:
        raise unwritten[0]


def _load(config: Path, options: dict[str, str], overrides: list[str]) -> LoadedComparison:
    from mlptrain.spec.comparison.load import comparison_from_options, is_comparison, is_search, load_comparison
    from mlptrain.spec.reader import read_file

    document = read_file(config)[1]
    if is_search(document):
        return load_comparison(config)  # which refuses it
    if is_comparison(document):
        if options:
            named = ", ".join(f"--{key}" for key in options)
            raise UserError(
                f"{config} is a comparison and says this itself: leave out {named}, or change values with --set"
            )
        return load_comparison(config, overrides)
    if "optimizers" not in options:
        raise UserError(
            f"{config} is an experiment: say which optimizers, e.g. --optimizers sgd,nesterov,adam --lr 1e-3,1e-2,1e-1"
        )
    return comparison_from_options(config, overrides=overrides, **options)
