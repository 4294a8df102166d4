"""`mlptrain compare`, its short form `mlptrain compare-optimizers`, and `mlptrain search`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlptrain.cli import screen
from mlptrain.cli.options import AllowCode, DataDir, Json
from mlptrain.errors import DivergedError, InterruptedRunError, MachineError, UserError

if TYPE_CHECKING:
    from mlptrain.spec.comparison.load import LoadedComparison
    from mlptrain.spec.comparison.sections import ComparisonSpec
    from mlptrain.spec.kinds import Kind
    from mlptrain.spec.search.sections import SearchSpec

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


_RunDir = Annotated[Path | None, typer.Option(help="The folder itself.", show_default=False)]


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
    from mlptrain.spec.kinds import COMPARISON

    study, run_dir = _file_of(study, run_dir, COMPARISON)
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
    from mlptrain.spec.kinds import COMPARISON

    config, run_dir = _file_of(config, run_dir, COMPARISON)
    given = {"optimizers": optimizers, "lr": lr, "seeds": seeds}
    loaded = _load(config, {key: value for key, value in given.items() if value is not None}, overrides)
    _run(loaded, plan_only=plan_only, run_dir=run_dir, data_dir=data_dir, as_json=as_json)


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
            "they are does not. Test rows are not read before all are done.",
            show_default=False,
        ),
    ] = None,
    plan_only: Annotated[
        bool, typer.Option("--plan", help="Show trials, what the space is, time and disk; train nothing.")
    ] = False,
    run_dir: _RunDir = None,
    data_dir: DataDir = None,
    code: AllowCode = False,
    as_json: Json = False,
) -> None:
    """Search for good values of any keys; score the best setting on fresh seeds, and on test rows that no trial used.

    Rerun the same command to resume a stopped search; `mlptrain search FOLDER --set trials=70` continues with
    more trials. It leaves best.yaml, which `mlptrain train` trains to the recorded figure, and the search.yaml that
    repeats it.
    """
    from mlptrain.spec.kinds import SEARCH
    from mlptrain.spec.search.load import load_search, located

    config, run_dir = _file_of(config, run_dir, SEARCH)
    loaded = load_search(config, overrides)
    screen.show_warnings(loaded.warnings)
    _warn_without_gpu(loaded.spec)
    if plan_only:
        from mlptrain.cli.search_screen import show_preview
        from mlptrain.searching import make_plan
        from mlptrain.searching.preview import preview

        with screen.Fetching() as fetching, located(config):
            plan = preview(make_plan(loaded.spec), data_dir=data_dir, on_fetch=fetching.fetch)
        _show(plan, lambda: show_preview(loaded.spec, plan), as_json=as_json)
        return
    unwritten: list[MachineError] = []
    with _resumable(), located(config):
        from mlptrain.cli.compare_screen import TrialProgress
        from mlptrain.cli.search_screen import show_summary
        from mlptrain.report.search.outputs import write_outputs
        from mlptrain.searching import search as run

        write = _tried(lambda folder, found: write_outputs(folder.path, found, folder.read_timings()), unwritten)
        with TrialProgress(loaded.spec.judged_by) as progress:
            folder, summary = run(
                loaded.spec, run_dir=run_dir, data_dir=data_dir, hours=hours, progress=progress, on_summary=write
            )
    path = folder.path
    _show_result(
        path,
        summary.plain(),
        lambda: show_summary(str(path), summary, allow_code=code),
        as_json=as_json,
        unwritten=unwritten,
    )
    statuses = [trial.status for trial in summary.trials]
    if "completed" not in statuses:
        _nothing_lasted("trial", statuses, "search lower ranges, first of all of learning rates")


def _run(
    loaded: LoadedComparison, *, plan_only: bool, run_dir: Path | None, data_dir: Path | None, as_json: bool
) -> None:
    from mlptrain.spec.comparison.rules import comparison_notes

    spec = loaded.spec
    screen.show_warnings(loaded.warnings)
    _warn_without_gpu(spec)
    for note in comparison_notes(spec):
        screen.say(f"note: {note}", err=True)
    if plan_only:
        from mlptrain.cli.compare_screen import show_preview
        from mlptrain.comparison import make_plan
        from mlptrain.comparison.preview import preview

        with screen.Fetching() as fetching:
            plan = preview(make_plan(spec), data_dir=data_dir, on_fetch=fetching.fetch)
        _show(plan, lambda: show_preview(spec.name, plan), as_json=as_json)
        return
    from mlptrain.report.comparison.artist import Artist

    unwritten: list[MachineError] = []
    with _resumable(), Artist() as artist:  # before the imports, which take as long as its own
        from mlptrain.cli.compare_screen import TrialProgress, show_summary
        from mlptrain.comparison import compare as run
        from mlptrain.report.comparison.outputs import write_outputs

        write = _tried(
            lambda folder, found: write_outputs(folder.path, found, folder.read_timings(), artist=artist), unwritten
        )
        with TrialProgress() as progress:
            folder, summary = run(spec, run_dir=run_dir, data_dir=data_dir, progress=progress, on_summary=write)
        path, timings = folder.path, folder.read_timings()
    result = {**summary.plain(), "timings": timings.plain()}
    _show_result(path, result, lambda: show_summary(str(path), summary, timings), as_json=as_json, unwritten=unwritten)
    if not summary.lasted:
        statuses = [trial.status for _, entry in summary.ranked for trial in entry.trials]
        _nothing_lasted("scoring trial", statuses, "compare at lower learning rates")


def _warn_without_gpu(spec: ComparisonSpec | SearchSpec) -> None:
    device = spec.base.training.device
    screen.warn_without_gpu(spec.executor, device, where="executor.gpus", key="base.training.device")


def _load(config: Path, options: dict[str, str], overrides: list[str]) -> LoadedComparison:
    from mlptrain.spec.comparison.load import comparison_from_options, load_comparison
    from mlptrain.spec.reader import read_file
    from mlptrain.spec.which import is_comparison, is_search

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


def _show(found: Mapping[str, Any], show: Callable[[], None], *, as_json: bool) -> None:
    if as_json:
        screen.say_json(found)
    else:
        show()


def _file_of(config: Path, run_dir: Path | None, kind: Kind) -> tuple[Path, Path | None]:
    """The plan of a folder that is to be resumed, and that folder; a file as it is."""
    from mlptrain.spec.kinds import study_in

    if not config.is_dir():
        return config, run_dir
    if (found := study_in(config)) != kind:
        if found is not None:
            raise UserError(f"{config} {found.instead(config, kind.name)}")
        raise UserError(
            f"{config} is not a {kind.name}'s folder: it holds no {kind.plan}; name a YAML file or such a folder"
        )
    return config / kind.plan, run_dir or config


@contextmanager
def _resumable() -> Iterator[None]:
    """Says of an interruption that nothing is lost."""
    try:
        yield
    except (InterruptedRunError, KeyboardInterrupt) as error:
        what = str(error) or "stopped by a signal"
        message = f"{what}; every finished batch of trials is saved. Rerun the same command to resume"
        raise InterruptedRunError(message) from None


def _nothing_lasted(what: str, statuses: Sequence[str], remedy: str) -> None:
    """The end of a study whose every trial diverged, or could not be trained by the machine."""
    counts = Counter(statuses)
    if counts["failed"] == len(statuses):
        raise MachineError(f"the machine could train no {what}; trials.jsonl has the reasons. Rerun to retry")
    outcomes = " and ".join(f"{'all ' if len(counts) == 1 else ''}{n:,} {status}" for status, n in counts.items())
    screen.show_error(f"no {what} trained to its last epoch, {outcomes}; {remedy}")
    raise typer.Exit(DivergedError.exit_code)


def _tried(write: Callable[..., None], unwritten: list[MachineError]) -> Callable[..., None]:
    """Writes what the study leaves for its reader; where that fails, the result is shown before the error."""

    def attempt(*of: Any) -> None:
        try:
            write(*of)
        except MachineError as error:
            unwritten.append(error)

    return attempt


def _show_result(
    path: Path, result: Mapping[str, Any], show: Callable[[], None], *, as_json: bool, unwritten: list[MachineError]
) -> None:
    """The result on the screen, or as JSON. Raises MachineError for what could not be written."""
    with screen.result_of(path):
        _show({"folder": str(path), **result}, show, as_json=as_json)
    if unwritten:
        raise unwritten[0]
