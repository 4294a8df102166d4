"""`mlptrain search`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlptrain.cli import screen
from mlptrain.cli.options import AllowCode, DataDir, Json
from mlptrain.cli.study import RunDir, file_of, resumable, show_result, tried
from mlptrain.errors import MachineError

if TYPE_CHECKING:
    from mlptrain.runs.search import SearchSummary
    from mlptrain.searching.protocol import SearchFolder
    from mlptrain.spec.search.sections import SearchSpec


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
    plan_only: Annotated[
        bool, typer.Option("--plan", help="Show trials, what the space is, time and disk; train nothing.")
    ] = False,
    run_dir: RunDir = None,
    data_dir: DataDir = None,
    code: AllowCode = False,
    as_json: Json = False,
) -> None:
    """Search for good values of any keys; score the best setting on fresh seeds, and on test rows once.

    Rerun the same command to resume a stopped search. It leaves best.yaml, which `mlptrain train` trains to the
    recorded figure, and the search.yaml that repeats it.
    """
    from mlptrain.spec.kinds import SEARCH
    from mlptrain.spec.search.load import load_search

    config, run_dir = file_of(config, run_dir, SEARCH)
    loaded = load_search(config, overrides)
    screen.show_warnings(loaded.warnings)
    if plan_only:
        _show_plan(loaded.spec, data_dir=data_dir, as_json=as_json)
        return
    unwritten: list[MachineError] = []
    with resumable():
        from mlptrain.cli.search_screen import ShownProgress, show_summary
        from mlptrain.report.search.outputs import write_outputs
        from mlptrain.searching import search as run

        def write(folder: SearchFolder, summary: SearchSummary) -> None:
            write_outputs(folder.path, summary, folder.read_timings())

        with ShownProgress(loaded.spec) as progress:
            folder, summary = run(
                loaded.spec,
                folder=run_dir,
                data_dir=data_dir,
                hours=hours,
                progress=progress,
                on_summary=tried(write, unwritten),
                allow_code=code,
            )
    path = folder.path
    show_result(path, summary.plain(), lambda: show_summary(str(path), summary), as_json=as_json, unwritten=unwritten)


def _show_plan(spec: SearchSpec, *, data_dir: Path | None, as_json: bool) -> None:
    """What the search will take; ``--json`` prints the keys of ``mlptrain.searching.preview.preview``."""
    from mlptrain.cli.search_screen import show_preview
    from mlptrain.searching import make_plan
    from mlptrain.searching.preview import preview

    with screen.Fetching() as fetching:
        plan = preview(make_plan(spec), data_dir=data_dir, on_fetch=fetching.fetch)
    if as_json:
        screen.say_json(plan)
    else:
        show_preview(spec, plan)
