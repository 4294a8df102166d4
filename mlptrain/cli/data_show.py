"""``mlptrain data show``: what a configuration's data, or a file, hold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlptrain.cli import screen
from mlptrain.cli.options import DataDir, Json, Set, complete_config
from mlptrain.errors import Fault, SpecError, UserError

if TYPE_CHECKING:
    from mlptrain.spec import Loaded


def data_show(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="CONFIG_OR_FILE",
            help="A configuration, or the file of a table.",
            show_default=False,
            autocompletion=complete_config,
        ),
    ],
    overrides: Set = [],  # noqa: B006 - typer copies it
    target: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Of a file: the column to predict, by name or number; default: the last."),
    ] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Columns, classes, splits and what is doubtful in data.

    Of a table each column with its kind, missing values, levels or range, and what becomes of it; how the task was
    inferred; duplicates, identifiers, constants, and columns that give the target away. torch is not loaded.
    """
    from mlptrain.cli.data_screen import show_data
    from mlptrain.sources.store import data_folder
    from mlptrain.spec import load_spec
    from mlptrain.spec.overview import data_report

    is_config = path.suffix.lower() in (".yaml", ".yml")
    if is_config and target is not None:
        raise UserError(f"--target is for files; of a configuration: --set data.target={target}")
    loaded = load_spec(path, overrides, imports=False) if is_config else _of_file(path, target, overrides)
    report = data_report(str(path), loaded, folder=data_folder(data_dir))
    if as_json:
        screen.say_json(report)
        return
    show_data(report)
    screen.show_warnings(loaded.warnings if is_config else [fault.message for fault in loaded.warnings])
    if not is_config:
        named = ", ".join(report["targets"])
        chosen = "" if target is not None else f"; '{named}', the last column, was taken for the target"
        screen.say(f"a configuration begins with: data: {{name: table, path: {path}, target: {named}}}{chosen}")


def _of_file(path: Path, target: str | None, overrides: list[str]) -> Loaded:
    """The file as the data of a linear model. Raises UserError for what is no table."""
    from mlptrain.spec import load_spec

    wanted: Any = -1 if target is None else target
    if target is not None and target.lstrip("-").isdecimal():
        wanted = int(target)
    data = {"name": "table", "path": str(path), "target": wanted}
    config: dict[str, Any] = {"data": data, "model": {"hidden": []}, "optimizer": {"name": "sgd", "lr": 0.1}}
    faults: Sequence[Fault] = ()
    for loss in ("cross_entropy", "mse"):  # the file says which of them fits
        try:
            return load_spec(config | {"loss": loss}, overrides)
        except SpecError as error:
            faults = faults or error.faults
            if all(fault.path != "loss" for fault in error.faults):
                break
    messages = [fault.message for fault in faults]  # whose places are in no file
    if target is None and any(fault.path == "data.target" for fault in faults):
        messages.append("the last column was taken for the target; --target names another")
    raise UserError("\n".join(messages))
