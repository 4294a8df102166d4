"""What `mlptrain compare` and `mlptrain search` do alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlptrain.cli import screen
from mlptrain.errors import InterruptedRunError, MachineError, UserError

if TYPE_CHECKING:
    from mlptrain.spec.kinds import Kind

RunDir = Annotated[Path | None, typer.Option(help="The folder itself.", show_default=False)]


def file_of(config: Path, run_dir: Path | None, kind: Kind) -> tuple[Path, Path | None]:
    """The plan of a folder that is to be resumed, and that folder; a file as it is."""
    from mlptrain.runs import study_in

    if not config.is_dir():
        return config, run_dir
    if study_in(config) != kind:
        raise UserError(
            f"{config} is not a {kind.name}'s folder: it holds no {kind.plan}; name a YAML file or such a folder"
        )
    return config / kind.plan, run_dir or config


@contextmanager
def resumable() -> Iterator[None]:
    """Says of an interruption that nothing is lost."""
    try:
        yield
    except (InterruptedRunError, KeyboardInterrupt) as error:
        what = str(error) or "stopped by a signal"
        message = f"{what}; every finished batch of trials is saved. Rerun the same command to resume"
        raise InterruptedRunError(message) from None


def tried(write: Callable[..., None], unwritten: list[MachineError]) -> Callable[..., None]:
    """Writes what the study leaves for its reader; where that fails, the result is shown before the error."""

    def attempt(*of: Any) -> None:
        try:
            write(*of)
        except MachineError as error:
            unwritten.append(error)

    return attempt


def show_result(
    path: Path, result: Mapping[str, Any], show: Callable[[], None], *, as_json: bool, unwritten: list[MachineError]
) -> None:
    """The result on the screen, or as JSON. Raises MachineError for what could not be written."""
    with screen.result_of(path):
        if as_json:
            screen.say_json({"folder": str(path), **result})
        else:
            show()
    if unwritten:
        raise unwritten[0]
