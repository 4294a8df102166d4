"""`mlptrain compare-optimizers`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlptrain.cli import compare_screen, screen
from mlptrain.errors import InterruptedRunError, UserError

if TYPE_CHECKING:
    from mlptrain.spec.comparison_load import LoadedComparison


def compare_optimizers(
    config: Annotated[
        Path,
        typer.Argument(
            help="A comparison, e.g. configs/comparisons/digits.yaml; or an experiment, with --optimizers.",
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
    seeds: Annotated[str, typer.Option(help="Scoring seeds: a count, or seeds such as 0,1,2.")] = "10",
    tuning_seeds: Annotated[str, typer.Option(help="Seeds that learning rates are chosen by.")] = "3",
    target: Annotated[
        str | None, typer.Option(help="E.g. validation_accuracy=0.97, for time to target.", show_default=False)
    ] = None,
    executor: Annotated[str | None, typer.Option(help="local or ray.", show_default=False)] = None,
    overrides: Annotated[
        list[str],
        typer.Option("--set", metavar="KEY=VALUE", help="Override a value, e.g. base.training.epochs=3."),
    ] = [],  # noqa: B006 - typer copies it
    plan_only: Annotated[
        bool, typer.Option("--plan", help="Show trials, time, disk and what the seeds can tell apart; train nothing.")
    ] = False,
    run_dir: Annotated[Path | None, typer.Option(help="The comparison's folder itself.", show_default=False)] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Where data sets lie; default $MLPTRAIN_DATA_DIR, else the user's cache folder."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Compare optimizers fairly: same noise, tuned on validation data, scored over seeds, judged by exact tests.

    The same command goes on where an earlier one was stopped.
    """
    given = {"--optimizers": optimizers, "--lr": lr, "--target": target}
    loaded = _load(config, given, seeds=seeds, tuning_seeds=tuning_seeds, executor=executor, overrides=overrides)
    screen.show_warnings(loaded.warnings)
    from mlptrain.comparison import compare_optimizers as run
    from mlptrain.comparison import make_plan

    if plan_only:
        from mlptrain.comparison.preview import preview

        found = preview(make_plan(loaded.spec), data_dir=data_dir)
        if as_json:
            typer.echo(json.dumps(found, indent=2))
        else:
            compare_screen.show_preview(loaded.spec.name, found)
        return
    try:
        with compare_screen.TrialProgress() as progress:
            folder, summary = run(loaded.spec, folder=run_dir, data_dir=data_dir, progress=progress)
    except InterruptedRunError as error:
        raise InterruptedRunError(
            f"{error}; every finished batch of trials is kept, the same command goes on"
        ) from None
    from mlptrain.report.comparison import write_outputs

    timings: dict[str, Any] = json.loads(folder.timings.read_bytes())
    write_outputs(folder.path, summary, timings)
    if as_json:
        typer.echo(json.dumps({"folder": str(folder.path), **summary, "timings": timings}, indent=2))
    else:
        compare_screen.show_summary(str(folder.path), summary, timings)


def _load(
    config: Path,
    given: dict[str, str | None],
    *,
    seeds: str,
    tuning_seeds: str,
    executor: str | None,
    overrides: list[str],
) -> LoadedComparison:
    from mlptrain.spec.comparison_load import comparison_from_options, is_comparison, load_comparison

    if is_comparison(config):
        if named := [name for name, value in given.items() if value is not None]:
            raise UserError(
                f"{config} is a comparison and says this itself: leave out {', '.join(named)}, "
                "or change values with --set"
            )
        extra = [] if executor is None else [f"executor={executor}"]
        return load_comparison(config, [*overrides, *extra])
    if given["--optimizers"] is None:
        raise UserError(
            f"{config} is an experiment: say which optimizers, e.g. --optimizers sgd,nesterov,adam --lr 1e-3,1e-2,1e-1"
        )
    return comparison_from_options(
        config,
        optimizers=given["--optimizers"],
        lr=given["--lr"],
        seeds=seeds,
        tuning_seeds=tuning_seeds,
        target=given["--target"],
        executor=executor or "local",
        overrides=overrides,
    )
