"""The commands. Each is a few lines over a function that Python can call too.

What a command works with is imported inside it, pydantic and rich too: `--help` then costs little more than typer.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

import mlptrain
from mlptrain.cli import screen
from mlptrain.cli.data_show import data_show
from mlptrain.cli.export import export
from mlptrain.cli.help import COMPARE, DATA, HELP, LOOK, TRAIN, new_group
from mlptrain.cli.inspect import gradcheck
from mlptrain.cli.lr_find import lr_find
from mlptrain.cli.metrics import metrics
from mlptrain.cli.options import AllowCode, Checkpoints, Configs, DataDir, DataName, Json, Set, Split, complete_run
from mlptrain.cli.plot import plot_app, report
from mlptrain.cli.predict import predict
from mlptrain.cli.serve import serve
from mlptrain.cli.startup import prepare_collector, prepare_environment, prepare_streams
from mlptrain.cli.studies import compare, compare_optimizers, search
from mlptrain.cli.train import train
from mlptrain.errors import (
    Fault,
    InterruptedRunError,
    MachineError,
    MlptrainError,
    SpecError,
    UserError,
    is_out_of_memory,
)
from mlptrain.system import signals
from mlptrain.system.paths import expanded

app = new_group("Train, check and compare multi-layer perceptrons from a YAML file.", add_completion=True)
# By kind of configuration what runs one.
_COMMANDS = {
    "experiment": "train it with `mlptrain train",
    "comparison": "run it with `mlptrain compare",
    "search": "run it with `mlptrain search",
}
data_app = new_group("Look into, get or verify a data set.")
data_app.command("show", rich_help_panel=DATA)(data_show)


def _version(requested: bool) -> None:
    if requested:
        typer.echo(f"mlptrain {mlptrain.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    pass


@app.command(rich_help_panel=TRAIN)
def init(
    name: Annotated[Path, typer.Argument(help="Name of the configuration; writes NAME.yaml.", show_default=False)],
    kind: Annotated[
        str, typer.Option(help="experiment, comparison or search.", autocompletion=lambda: list(_COMMANDS))
    ] = "experiment",
) -> None:
    """Write a commented configuration to begin with.

    A comparison or a search with --kind; all of them run as they are, on scikit-learn's digits.
    """
    from mlptrain.spec import NAME_PATTERN, starter_yaml

    if kind not in _COMMANDS:
        raise UserError(f"there is no starter of '{kind}'; name experiment, comparison or search")
    if not re.fullmatch(NAME_PATTERN, name.name.removesuffix(".yaml").removesuffix(".yml")):
        raise UserError(
            f"'{name.name}': a name has at most 64 letters (a–z, A–Z), digits, '.', '_' or '-', since it names a folder"
        )
    path = name if name.suffix in (".yaml", ".yml") else name.with_name(f"{name.name}.yaml")
    if path.exists():
        raise UserError(f"{path} exists and is not overwritten; choose another name")
    screen.write_file(path, starter_yaml(path.stem, kind).encode())
    screen.say(f"{_COMMANDS[kind]} {path}`", err=True)


@app.command(rich_help_panel=TRAIN)
def check(
    configs: Configs,
    overrides: Set = [],  # noqa: B006 - typer copies it
    code: AllowCode = False,  # noqa: ARG001 - its callback allows it
    as_json: Json = False,
) -> None:
    """Check configurations; show layers and parameters.

    Of a comparison its arms and trials, of a search its space. Nothing is trained, and torch is not loaded, but for an
    optimizer that is named by its import path.
    """
    from mlptrain.spec import check_report, load_spec
    from mlptrain.spec.comparison.load import check_comparison
    from mlptrain.spec.search.load import check_search

    reports: list[dict[str, Any]] = []
    studies: list[tuple[dict[str, Any], Sequence[Fault]]] = []
    warnings: list[Sequence[Fault]] = []
    faults: list[Fault] = []
    for config in configs:
        try:
            if (found := check_comparison(config, overrides) or check_search(config, overrides)) is not None:
                studies.append(found)
                continue
            loaded = load_spec(config, overrides, examine=True)
            reports.append(check_report(str(config), loaded))
            warnings.append(loaded.warnings)  # without the columns that are dropped, which the table says
        except SpecError as error:
            faults += error.faults
    if as_json:
        screen.say_json([*reports, *(found for found, _ in studies)])
    else:
        from mlptrain.cli.data_screen import show_columns

        for study, doubts in studies:
            screen.show_check_of_study(study)
            screen.show_warnings(doubts)

        for shown, doubts in zip(reports, warnings, strict=True):
            show_columns(shown["columns"])
            screen.show_check(shown)
            screen.show_warnings(doubts)
    if faults:
        raise SpecError(faults)


app.command("lr-find", rich_help_panel=TRAIN)(lr_find)
app.command(rich_help_panel=TRAIN)(train)


@app.command("eval", rich_help_panel=TRAIN)
def evaluate(
    checkpoints: Checkpoints,
    split: Split = None,
    data: Annotated[
        list[Path],
        typer.Option(
            "--data", metavar="FILE", help="Of a table: other rows with their targets instead. May be repeated."
        ),
    ] = [],  # noqa: B006 - typer copies it
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Loss, accuracy and confusion matrix of a trained network.

    The accuracy with its 95 % interval; precision and recall per class. The loss is the mean per example. Of several
    networks a table with a line for each.
    """
    from mlptrain.inference.evaluate import evaluation_of, unfinished

    reports, faults = [], []
    with screen.Fetching() as fetching:
        for path in checkpoints:
            try:
                found = evaluation_of(
                    path, split=split, data=data or None, device=device, data_dir=data_dir, on_fetch=fetching.fetch
                )
            except UserError as error:
                if len(checkpoints) == 1:
                    raise
                faults.append(str(error))
                continue
            reports.append({"run": str(path), **found.report})
            named = f"{path}: " if len(checkpoints) > 1 else ""
            if (state := unfinished(path)) is not None:
                screen.say(f"note: {state}; these are the figures of the weights it has kept so far", err=True)
            for note in found.notes:
                screen.say(f"note: {named}{note}", err=True)
    if as_json:
        screen.say_json(reports if len(checkpoints) > 1 else found.report)
    elif len(checkpoints) > 1:
        screen.show_evaluations(reports)
    else:
        screen.show_evaluation(found.report)
    if faults:
        raise UserError("\n".join(faults))


app.command(rich_help_panel=TRAIN)(predict)
app.command(rich_help_panel=TRAIN)(export)
app.command(rich_help_panel=TRAIN)(serve)


@app.command(rich_help_panel=LOOK)
def runs(
    places: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[RUN_OR_DIR]",
            help="Run folders, groups of runs, or folders of these; default: runs.",
            autocompletion=complete_run,
        ),
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN", help="Best first by this column, e.g. test_accuracy; default: the newest first."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """The table of runs, and of comparisons and searches.

    Status, data, model, optimizer, epochs, the figures of the kept weights and age of each run; what is best in each
    comparison or search, by the mean over its scoring seeds.
    """
    from mlptrain.runs import list_runs, list_studies, sort_runs

    folders = []
    for folder in places or [Path("runs")]:
        if not folder.exists() and folder != Path("runs"):
            raise UserError(f"{folder}: no such folder; name a run, or a folder that holds runs")
        if folder.is_dir() or not folder.exists():
            folders.append(folder)
            continue
        reason = f"{folder} is a file; name a run, or a folder that holds runs"
        if len(places or ()) < 2:
            raise UserError(reason)
        screen.say(f"note: {reason}", err=True)  # as the shell writes out runs/*
    listed = [*list_runs(*folders), *list_studies(*folders)]
    if sort is not None and listed:
        listed = sort_runs(listed, sort)
    if as_json:
        screen.say_json([asdict(run) | {"path": str(run.path)} for run in listed])
    else:
        screen.show_runs(folders, listed)


app.command(rich_help_panel=LOOK)(metrics)
app.add_typer(plot_app, name="plot", rich_help_panel=LOOK)
app.command(rich_help_panel=LOOK)(report)
app.command(rich_help_panel=LOOK)(gradcheck)
app.command(rich_help_panel=COMPARE, short_help="Compare arms over any keys, by any metric")(compare)
app.command(
    "compare-optimizers", rich_help_panel=COMPARE, short_help="Compare optimizers, tuned, over seeds, by exact tests"
)(compare_optimizers)
app.command(rich_help_panel=COMPARE, short_help="Search for good values of any keys, by Optuna's samplers")(search)
app.add_typer(data_app, name="data", rich_help_panel=DATA)


@app.command(rich_help_panel=HELP)
def doctor(data_dir: DataDir = None, as_json: Json = False) -> None:
    """Is this machine ready to train?

    Versions, device, threads, precision, data, disk, and a training whose outcome is known. Every problem comes with
    what to do about it. Exit code 0, also with notes, and 1 where something is broken.
    """
    from mlptrain.checks.doctor import examine

    findings = []
    for finding in examine(data_dir=data_dir):
        findings.append(finding)
        if not as_json:
            screen.show_finding(finding)
    problems = sum(finding.level == "problem" for finding in findings)
    if as_json:
        screen.say_json({"healthy": not problems, "findings": [asdict(finding) for finding in findings]})
    elif problems:
        screen.say(f"{problems} {'problem' if problems == 1 else 'problems'}: see above what to do")
    else:
        screen.say("ready to train")
    if problems:
        raise typer.Exit(1)


@app.command(rich_help_panel=HELP)
def schema(
    of: Annotated[
        str,
        typer.Argument(
            metavar="[KIND]", help="experiment, comparison or search.", autocompletion=lambda: list(_COMMANDS)
        ),
    ] = "experiment",
) -> None:
    """The JSON Schema of a configuration, for editors."""
    from mlptrain.spec import json_schema
    from mlptrain.spec.comparison.schema import comparison_json_schema
    from mlptrain.spec.search.schema import search_json_schema

    schemas = {"experiment": json_schema, "comparison": comparison_json_schema, "search": search_json_schema}
    if of not in schemas:
        raise UserError(f"there is no schema of '{of}'; name experiment, comparison or search")
    screen.say_json(schemas[of]())


@data_app.command("fetch", rich_help_panel=DATA)
def data_fetch(
    name: DataName,
    mirror: Annotated[
        list[str], typer.Option(help="Address of a folder with the archives, instead of the usual mirrors.")
    ] = [],  # noqa: B006 - typer copies it
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Get a data set; good files that are there are kept.

    What else is in their place is moved into a folder beside them, which is named.
    """
    from mlptrain.sources.fetch import fetch
    from mlptrain.sources.store import data_folder

    folder, moved = data_folder(data_dir), list[Path]()

    def say_moved(path: Path, to: Path) -> None:
        moved.append(to)
        screen.say(f"note: {path} was not the published file; it is now {to}", err=True)

    with screen.Fetching() as fetching:
        downloaded = fetch(name, folder, mirrors=mirror or None, on_progress=fetching.fetch, on_moved=say_moved)
    if as_json:
        screen.say_json({"name": name, "folder": str(folder), "downloaded": downloaded, "moved": list(map(str, moved))})
    else:
        screen.say(f"{name} is complete in {folder} ({len(downloaded)} archives downloaded)")


@data_app.command("verify", rich_help_panel=DATA)
def data_verify(name: DataName, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Check every byte of a data set, image sizes and rows per class.

    Exit code 2 where something is wrong.
    """
    from mlptrain.sources.store import data_folder
    from mlptrain.sources.verify import verify

    checks = verify(name, data_folder(data_dir))
    if as_json:
        screen.say_json([asdict(check) for check in checks])
    else:
        rows = [("ok" if check.ok else "WRONG", check.what, check.detail) for check in checks]
        screen.show_table(("", "what", "found"), rows)
    if bad := sum(not check.ok for check in checks):
        remedy = f"`mlptrain data fetch {name}` gets the published files and moves what is in their place aside"
        raise UserError(f"{name}: {bad} of {len(checks)} checks failed; {remedy}")


def run(arguments: list[str] | None = None) -> None:
    """``mlptrain.cli.main``, once it listens to signals."""
    prepare_streams()
    prepare_environment()
    prepare_collector()
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments  # accepted anywhere, before or after the command
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        arguments = list(map(expanded, arguments))
        _check_current_folder()
        app(arguments, prog_name="mlptrain")
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except SystemExit as end:
        signals.ignore()
        if end.code == signals.EXIT_CODE:  # all that typer makes of a KeyboardInterrupt
            _report(_interruption(end))
        raise
    except (KeyboardInterrupt, Exception) as error:
        if debug:
            raise
        signals.ignore()
        # A KeyboardInterrupt may turn into another exception, as where pydantic was building a validator.
        lost = signals.received and not isinstance(error, MlptrainError)
        sys.exit(_report(KeyboardInterrupt() if lost else error))


def _interruption(end: BaseException) -> BaseException:
    """The run's own message on how to resume, where a second Ctrl-C came between it and the terminal."""
    cause: BaseException | None = end
    while cause is not None and not isinstance(cause, InterruptedRunError):
        cause = cause.__cause__ or cause.__context__
    return cause or KeyboardInterrupt()


def _check_current_folder() -> None:
    """Raises MachineError where it is gone: some of torch's libraries end the process then, without any message."""
    try:
        Path.cwd()
    except OSError as error:
        raise MachineError(f"the current folder cannot be used: {error.strerror}; change to another one") from error


def _report(error: BaseException) -> int:
    """Print one message; returns the exit code."""
    code = error.exit_code if isinstance(error, MlptrainError) else MachineError.exit_code
    first, *_ = [*str(error).strip().splitlines(), ""]
    match error:
        case SpecError() | InterruptedRunError():
            screen.show_error(str(error), bare=True)
        case MlptrainError():
            screen.show_error(str(error))
        case KeyboardInterrupt():
            screen.show_error(signals.INTERRUPTED)
            code = signals.EXIT_CODE
        case OSError(strerror=str(reason)):
            from mlptrain.system.disk import remedy

            screen.show_error(f"{error.filename or 'the output'}: {reason}. {remedy(error)}, then rerun")
        case _ if is_out_of_memory(error):
            screen.show_error(f"out of memory: {first or 'MemoryError'}; use a smaller network, batch or train_size")
        case _:
            name = type(error).__name__
            screen.show_error(
                f"internal error: {name}{': ' * bool(first)}{first}; rerun with --debug and report the traceback"
            )
    return code
