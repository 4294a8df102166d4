"""``mlptrain data show``: what a configuration's data, or a file, hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlptrain.cli import screen
from mlptrain.cli.options import DataDir, Json, Set, complete_config
from mlptrain.errors import Fault, SpecError, UserError

if TYPE_CHECKING:
    from mlptrain.spec import Loaded

_LINEAR = {"model": {"hidden": []}, "optimizer": {"name": "sgd", "lr": 0.1}}  # beside data that are only looked at
_NAMED = ("", "data", "data.path", "data.target")


def data_show(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="CONFIG_OR_FILE",
            help="A configuration, the file of a table, or the name of a data set, such as digits.",
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
    is_name = not path.exists() and str(path) in _complete_names()
    if is_config:
        loaded = load_spec(path, overrides, imports=False)
    else:
        loaded = (_of_name if is_name else _of_file)(str(path), target, overrides)
    if not is_config:  # nobody wrote the rest
        loaded = replace(loaded, warnings=tuple(one for one in loaded.warnings if one.path.startswith("data")))
    report = data_report(str(path), loaded, folder=data_folder(data_dir))
    if as_json:
        screen.say_json(report)
        return
    show_data(report)
    screen.show_warnings(loaded.warnings if is_config else [fault.message for fault in loaded.warnings])
    if is_name:
        screen.say(f"a configuration begins with: data: {path}")
    elif not is_config:
        named = ", ".join(report["targets"])
        chosen = "" if target is not None else f"; '{named}', the last column, was taken for the target"
        few = "" if loaded.spec.data.validation else ", validation: 0"
        screen.say(f"a configuration begins with: data: {{name: table, path: {path}, target: {named}{few}}}{chosen}")


def _complete_names() -> set[str]:
    """Of data sets that are read without a path or any other key."""
    from mlptrain.spec.base import names_of, sections_in, tag_of
    from mlptrain.spec.data import DataSpec

    return {
        name
        for section in sections_in(DataSpec)
        if all(key == tag_of(section) or not field.is_required() for key, field in section.model_fields.items())
        for name in names_of(section)
    }


def _of_name(name: str, target: str | None, overrides: list[str]) -> Loaded:
    """The data set of this name as the data of a linear model. Raises UserError for a target, which is known."""
    from mlptrain.spec import load_spec

    if target is not None:
        raise UserError(f"--target is for files; the targets of '{name}' are known")
    return load_spec({"data": name} | _LINEAR, overrides)


def _of_file(path: str, target: str | None, overrides: list[str]) -> Loaded:
    """The file as the data of a linear model; without validation rows where it has too few for them.

    Raises UserError for what is no table.
    """
    from mlptrain.spec import load_spec

    wanted: Any = -1 if target is None else target
    if target is not None and target.lstrip("-").isdecimal():
        wanted = int(target)
    faults: Sequence[Fault] = ()
    data: dict[str, Any] = {"name": "table", "path": path, "target": wanted}
    for rows in ({}, {"validation": 0}):
        try:
            return load_spec({"data": data | rows} | _LINEAR, overrides)
        except SpecError as error:
            faults = error.faults
            if any(fault.path != "data.validation" for fault in faults):
                break
    # places are in no file, and what is said of a file, or of its target, names it
    messages = [fault.message if fault.path in _NAMED else f"{fault.path}: {fault.message}" for fault in faults]
    if target is None and any(fault.path == "data.target" for fault in faults):
        messages.append("the last column was taken for the target; --target names another")
    raise UserError("\n".join(messages))
