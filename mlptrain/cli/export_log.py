"""``mlptrain export RUN --to tensorboard`` and ``--to mlflow``: a run that is over, sent to a tracker."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlptrain.cli import screen
from mlptrain.errors import MachineError, MlptrainError, UserError

if TYPE_CHECKING:
    from mlptrain.runs import RunFolder
    from mlptrain.trackers import Log


def export_log(run: Path, to: str, *, out: Path | None, as_json: bool) -> None:
    """Every run of a group, or the one run. ``out`` is a folder for the events.

    Raises UserError for a folder that is a file, MachineError for whatever goes wrong in the tracker.
    """
    from mlptrain.runs import RunFolder, runs_of_group
    from mlptrain.trackers import parse_logs

    [log] = parse_logs(to if out is None else f"{to}:{out}")
    if out is not None and out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file; name a folder for the events with --out")
    folders = [RunFolder.open(path) for path in runs_of_group(run) or [run]]
    sent = {str(folder.path): _sent(folder, log) for folder in folders}
    if as_json:
        screen.say_json({"to": to, "runs": [{"run": path, "lines": lines} for path, lines in sent.items()]})
        return
    for path, lines in sent.items():
        screen.say(f"{path}: {lines:,} epochs, from 0 on")
    if to == "tensorboard":
        screen.say(f"show them with `tensorboard --logdir {out or run}`")


def _sent(folder: RunFolder, log: Log) -> int:
    from mlptrain.trackers import replay

    try:
        return replay(folder, log)
    except MlptrainError:
        raise
    except Exception as error:  # whatever another program raises
        what = " ".join(f"{type(error).__name__}: {error}".split())
        raise MachineError(f"{log.name} could not take {folder.path}: {what}") from error
