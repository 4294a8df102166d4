"""`mlptrain search`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlptrain.cli import screen
from mlptrain.cli.options import AllowCode, DataDir, Json
from mlptrain.errors import InterruptedRunError, MachineError, UserError

if TYPE_CHECKING:
    from mlptrain.runs.search import SearchSummary
    from mlptrain.searching.folder import SearchFolder


def search(
    config: Annotated[
        Path,
        typer.Argument(
            metavar="SEARCH",
            help="A search, e.g. configs/searches/digits.yaml, or the folder of one, to resume it.",
            show_default=False,
        ),
    ],
    overrides: Annotated[
        list[str],
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Override a value, e.g. trials=20, method=random, base.training.epochs=3 or executor=ray.",
        ),
    ] = [],  # noqa: B006 - typer copies it
    hours: Annotated[
        float | None,
        typer.Option(
            help="Draw no further trials after so many hours. How many there are then depends on the machine, what "
            "they are does not.",
            show_default=False,
        ),
    ] = None,
    run_dir: Annotated[Path | None, typer.Option(help="The search's folder itself.", show_default=False)] = None,
    data_dir: DataDir = None,
    code: AllowCode = False,
    as_json: Json = False,
) -> None:
    """Search for good values of any keys; score the best setting on fresh seeds, and on test rows that no trial used.

    Rerun the same command to resume a stopped search. It leaves best.yaml, which `mlptrain train` trains to the
    recorded figure, and the search.yaml that repeats it.
    """
    from mlptrain.spec.search.load import load_search

    config, run_dir = _file_of(config, run_dir)
    loaded = load_search(config, overrides)
    screen.show_warnings(loaded.warnings)
    unwritten: list[MachineError] = []
    try:
        from mlptrain.cli.search_screen import ShownProgress, show_summary
        from mlptrain.report.search.outputs import write_outputs
        from mlptrain.searching import search as run

        def write_pictures(folder: SearchFolder, summary: SearchSummary) -> None:
            try:
                write_outputs(folder.path, summary, folder.read_search_timings())
            except MachineError as error:
                unwritten.append(error)

        with ShownProgress(loaded.spec) as progress:
            folder, summary = run(
                loaded.spec,
                folder=run_dir,
                data_dir=data_dir,
                hours=hours,
                progress=progress,
                on_summary=write_pictures,
                allow_code=code,
            )
    except (InterruptedRunError, KeyboardInterrupt) as error:
        what = str(error) or "stopped by a signal"
        message = f"{what}; every finished batch of trials is saved. Rerun the same command to resume"
        raise InterruptedRunError(message) from None
    with screen.result_of(folder.path):
        if as_json:
            screen.say_json({"folder": str(folder.path), **summary.plain()})
        else:
            show_summary(str(folder.path), summary)
    if unwritten:
        raise unwritten[0]


def _file_of(config: Path, run_dir: Path | None) -> tuple[Path, Path | None]:
    """The plan of a folder that is to be resumed, and that folder; a file as it is."""
    from mlptrain.runs import is_search

    if not config.is_dir():
        return config, run_dir
    if not is_search(config):
        raise UserError(
            f"{config} is not a search's folder: it holds no search.yaml; name a YAML file or such a folder"
        )
    return config / "search.yaml", run_dir or config
