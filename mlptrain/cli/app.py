"""The commands. Each is a few lines over a function that Python can call too.

What a command works with is imported inside it, pydantic and rich too: `--help` then costs little more than typer.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

import mlptrain
from mlptrain.cli import compare, inspect, interrupts, screen
from mlptrain.cli.doctor import doctor
from mlptrain.cli.environment import prepare_environment, prepare_streams
from mlptrain.cli.options import DataDir, Json, Set
from mlptrain.cli.plot import plot_app
from mlptrain.cli.report import report as report_command
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

app = typer.Typer(
    help="Train, check and compare multi-layer perceptrons from a YAML file.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
data_app = typer.Typer(help="Get a data set, or check every byte of it.", no_args_is_help=True)


def _version(wanted: bool) -> None:
    if wanted:
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


@app.command()
def init(
    name: Annotated[Path, typer.Argument(help="Name of the experiment; writes NAME.yaml.", show_default=False)],
) -> None:
    """Write a commented configuration to begin with."""
    from mlptrain.spec import NAME_PATTERN, starter_yaml

    if not re.fullmatch(NAME_PATTERN, name.name.removesuffix(".yaml").removesuffix(".yml")):
        raise UserError(
            f"'{name.name}': a name has at most 64 letters, digits, '.', '_' or '-', since it names a folder"
        )
    path = name if name.suffix in (".yaml", ".yml") else name.with_name(f"{name.name}.yaml")
    made = False
    try:
        with path.open("x", encoding="utf-8") as stream:
            made = True
            stream.write(starter_yaml(path.stem))
    except FileExistsError:
        raise UserError(f"{path} exists and is left as it is; choose another name") from None
    except OSError as error:
        if made:  # and empty, so that it would only be in the way
            path.unlink(missing_ok=True)
        from mlptrain.system.disk import remedy

        raise MachineError(f"{path} cannot be written: {error.strerror}. {remedy(error)}, then do it again") from error
    screen.say(f"wrote {path}; train it with `mlptrain train {path}`")


@app.command()
def check(
    configs: Annotated[list[Path], typer.Argument(help="Configurations.", show_default=False, metavar="CONFIG...")],
    overrides: Set = [],  # noqa: B006 - typer copies it
    as_json: Json = False,
) -> None:
    """Check configurations and show layers, parameter tensors and parameters, without loading torch."""
    from mlptrain.spec import check_report, load_spec

    reports: list[dict[str, Any]] = []
    faults: list[Fault] = []
    for config in configs:
        try:
            reports.append(check_report(str(config), load_spec(config, overrides)))
        except SpecError as error:
            faults += error.faults
    if as_json:
        screen.say_json(reports)
    else:
        for report in reports:
            screen.show_check(report)
    if faults:
        raise SpecError(faults)


@app.command()
def schema(
    of: Annotated[str, typer.Argument(metavar="[KIND]", help="experiment or comparison.")] = "experiment",
) -> None:
    """Print the JSON Schema of a configuration, for editors."""
    if of not in ("experiment", "comparison"):
        raise UserError(f"there is no schema of '{of}'; name experiment or comparison")
    if of == "comparison":
        from mlptrain.spec.comparison.schema import comparison_json_schema as make
    else:
        from mlptrain.spec import json_schema as make
    screen.say_json(make())


app.command()(train)


@app.command("eval")
def evaluate(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint file or a run folder.", show_default=False)],
    split: Annotated[
        str | None, typer.Option(help="train, validation or test; default test, else validation, else train.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Loss, accuracy with its 95 % interval, precision and recall per class, confusion matrix."""
    if split not in (None, "train", "validation", "test"):
        raise UserError(f"--split must be train, validation or test, got '{split}'")
    from mlptrain.inference.evaluate import evaluate_checkpoint, unfinished

    with screen.Fetching() as fetching:
        report = evaluate_checkpoint(checkpoint, split=split, device=device, data_dir=data_dir, on_fetch=fetching.fetch)
    if (state := unfinished(checkpoint)) is not None:
        screen.say(f"note: {state}; these are the figures of the weights it has kept so far", err=True)
    if as_json:
        screen.say_json(report)
    else:
        screen.show_evaluation(report)


@app.command()
def runs(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where to look for run folders.")] = Path("runs"),
    as_json: Json = False,
) -> None:
    """The table of runs: status, data, model, optimizer, best metric, age."""
    from mlptrain.runs import is_comparison, list_runs

    if not folder.is_dir() and folder != Path("runs"):
        raise UserError(f"{folder}: no such folder; name one that holds run folders")
    if is_comparison(folder):
        raise UserError(f"{folder} is a comparison, not a folder of runs; `mlptrain report {folder}` shows it")
    found = list_runs(folder)
    if as_json:
        screen.say_json([screen.run_as_json(run) for run in found])
    else:
        screen.show_runs(folder, found)


app.command()(inspect.predict)
app.command()(inspect.gradcheck)
app.add_typer(plot_app, name="plot")
app.command()(report_command)
app.command("compare-optimizers")(compare.compare_optimizers)
app.add_typer(data_app, name="data")
app.command()(doctor)

DataName = Annotated[str, typer.Argument(help="mnist, fashion_mnist or digits.", show_default=False)]


@data_app.command("fetch")
def data_fetch(
    name: DataName,
    mirror: Annotated[
        list[str], typer.Option(help="Address of a folder with the archives, instead of the usual mirrors.")
    ] = [],  # noqa: B006 - typer copies it
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Get a data set; what lies there already is checked, and kept if it is right."""
    from mlptrain.sources.fetch import fetch
    from mlptrain.sources.store import data_folder

    folder = data_folder(data_dir)
    with screen.Fetching() as fetching:
        downloaded = fetch(name, folder, mirrors=mirror or None, on_progress=fetching.fetch)
    if as_json:
        screen.say_json({"name": name, "folder": str(folder), "downloaded": downloaded})
    else:
        screen.say(f"{name} is complete in {folder} ({len(downloaded)} archives downloaded)")


@data_app.command("verify")
def data_verify(name: DataName, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Check every byte of a data set: sums, sizes, counts, label ranges. Exit code 2 where something is wrong."""
    from mlptrain.sources.store import data_folder
    from mlptrain.sources.verify import verify

    checks = verify(name, data_folder(data_dir))
    if as_json:
        screen.say_json([{"what": c.what, "ok": c.ok, "detail": c.detail} for c in checks])
    else:
        screen.show_checks(checks)
    if bad := sum(not c.ok for c in checks):
        raise UserError(f"{name}: {bad} of {len(checks)} checks failed; `mlptrain data fetch {name}` repairs files")


def run(arguments: list[str] | None = None) -> None:
    """``mlptrain.cli.main``, once interruptions are listened to."""
    prepare_streams()
    prepare_environment()
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments  # accepted anywhere, before or after the command
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        if "doctor" not in arguments:
            _check_current_folder()
        app(arguments, prog_name="mlptrain")
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except SystemExit as end:
        interrupts.ignore()
        if end.code == interrupts.EXIT_CODE:  # all that typer makes of a KeyboardInterrupt
            _report(_interruption(end))
        raise
    except (KeyboardInterrupt, Exception) as error:
        if debug:
            raise
        interrupts.ignore()
        # What comes out in place of a KeyboardInterrupt, as where pydantic was building a validator, is none of ours.
        lost = interrupts.came and not isinstance(error, MlptrainError)
        sys.exit(_report(KeyboardInterrupt() if lost else error))


def _interruption(end: BaseException) -> BaseException:
    """The run's own word on how to go on, where a second Ctrl-C came between it and the terminal."""
    found: BaseException | None = end
    while found is not None and not isinstance(found, InterruptedRunError):
        found = found.__cause__ or found.__context__
    return found or KeyboardInterrupt()


def _check_current_folder() -> None:
    """Raises MachineError where it is gone: some of torch's libraries end the process then, without a word of ours."""
    try:
        Path.cwd()
    except OSError as error:
        raise MachineError(f"the current folder cannot be used: {error.strerror}; go to one that is there") from error


def _report(error: BaseException) -> int:
    """Print one message; returns the exit code."""
    if isinstance(error, MlptrainError):
        screen.show_error(str(error), bare=isinstance(error, (SpecError, InterruptedRunError)))
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        screen.show_error(interrupts.TOLD)
        return interrupts.EXIT_CODE
    if isinstance(error, OSError) and error.strerror:
        from mlptrain.system.disk import remedy

        screen.show_error(f"{error.filename or 'the output'}: {error.strerror}. {remedy(error)}, then do it again")
        return MachineError.exit_code
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if is_out_of_memory(error):
        screen.show_error(f"out of memory: {text}; take a smaller network, batch or train_size")
    else:
        screen.show_error(f"{type(error).__name__}: {text}; this should not happen, --debug shows where it comes from")
    return 1
