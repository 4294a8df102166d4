"""The lines of ``trials.jsonl``. They decide the verdict, so each proves that it stands as it was written.

A line is a record as JSON whose last key is ``digest``: SHA-256 of the JSON without it. The lines of a batch stand
together, whole and once. Only the end of the file may be missing, where a crash cut it off.
"""

from __future__ import annotations

import errno
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

from mlptrain.comparison.trials import Record, Trial, kept_figures
from mlptrain.errors import RunFolderError
from mlptrain.spec import ExperimentSpec
from mlptrain.system.files import read_regular

AGAIN = "put the file back as it was, or delete it: the same command then trains every trial anew"
_MOST_BYTES = 3_000_000_000
_NO_FILE = (errno.EISDIR, errno.EINVAL, errno.ELOOP, errno.EFBIG)  # of what stands there, not of the disk
_BEGINS = b'{"trial": "'
_LARGEST = 1e39  # a loss is a mean of float32 numbers, the largest of which is 3.4e38
_FIGURE = re.compile(r"(train|validation|test)_(loss|accuracy)")


def to_line(record: Record) -> bytes:
    """One line. Floats are written with repr, which gives back the same float."""
    content = json.dumps(record, allow_nan=False).encode()
    return content[:-1] + f', "digest": "{hashlib.sha256(content).hexdigest()}"}}\n'.encode()


def read_content(path: Path) -> bytes:
    """The bytes of the file, none where it is not there. Raises RunFolderError for a pipe and the like, and OSError."""
    try:
        return read_regular(path, most=_MOST_BYTES)
    except FileNotFoundError:
        return b""
    except OSError as error:
        if error.errno not in _NO_FILE:
            raise
        raise RunFolderError(f"{path} cannot be read ({error.strerror}); {AGAIN}") from None


def read_batches(content: bytes, *, path: Path) -> dict[str, list[Record]]:
    """The records of every batch by its name, without a last batch that is not whole.

    Raises RunFolderError where anything else is missing, doubled or edited; ``path`` is the file's.
    """
    *lines, rest = content.split(b"\n")
    batches: dict[str, list[Record]] = {}
    batch: list[Record] = []
    for number, line in enumerate(lines, 1):
        try:
            record = _read_line(line)
            if not batch or _is_whole(batch):
                if record["batch"] in batches:
                    raise ValueError("belongs to a batch that is whole already: lines are doubled or moved")
                batch = batches[record["batch"]] = []
            batch.append(record)
            if _batch_of(record) != _batch_of(batch[0]):
                raise ValueError("does not follow on the lines before it: lines are missing, doubled or moved")
        except ValueError as error:
            raise RunFolderError(f"{path}:{number} {error}; {AGAIN}") from None
    # A power cut may leave a file as long as it was to become, with zeros at its end.
    if not _BEGINS.startswith(rest.rstrip(b"\0")[: len(_BEGINS)]):
        raise RunFolderError(f"{path}:{len(lines) + 1} is no record of a trial; {AGAIN}")
    if batch and not _is_whole(batch):
        batches.popitem()
    return batches


def _is_whole(batch: list[Record]) -> bool:
    return bool(len(batch) == batch[0]["batch_size"])


def _batch_of(record: Record) -> tuple[str, int]:
    return record["batch"], record["batch_size"]


def _read_line(line: bytes) -> Record:
    """Raises ValueError that says what is wrong with the line."""
    try:
        record: Record = json.loads(line)
        del record["digest"]
        is_as_written = to_line(record) == line + b"\n"
    except (ValueError, TypeError, KeyError, RecursionError):
        is_as_written = False
    if not is_as_written:
        raise ValueError("is no record of a trial as it was written: its digest is not that of its content")
    wanted = _BY_STATUS.get(str(record.get("status")), {}) | _OF_ALL
    wrong = [key for key, is_right in wanted.items() if not (key in record and is_right(record[key]))]
    wrong += [key for key in record if key not in wanted and key != "scored"]
    wrong += [] if _is_scored(record.get("scored")) else ["scored"]
    if wrong:
        raise ValueError(f"is no record of a trial: no right {', '.join(map(ascii, wrong[:3]))}")
    return record


def check_record(record: Record, trial: Trial, *, name: str, task: ExperimentSpec, split: str) -> None:
    """Raises ValueError unless the record is of this ``trial``, trained on the ``task`` and scored on the ``split``."""
    wanted = {"trial": name, "role": trial.role, "seed": trial.seed, "setting": trial.setting.model_dump()}
    wrong = [key for key, value in wanted.items() if record[key] != value]
    if record["status"] != "failed":
        scored, told = trial.role == "scoring", record.get("scored")
        wrong += ["scored"] if (told and told["split"]) != (split if scored else None) else []
        wrong += ["steps_per_epoch"] if record["steps_per_epoch"] != task.steps_per_epoch else []
        wrong += _wrong_figures(record, task, scores=(f"{split}_loss", f"{split}_accuracy") if scored else ())
    if wrong:
        raise ValueError(f"no right {', '.join(wrong)}")


def _wrong_figures(record: Record, task: ExperimentSpec, *, scores: tuple[str, ...]) -> list[str]:
    """Which of curves and kept are not as long, or as many, as the task makes them, or contradict each other."""
    epochs, curves = task.training.epochs, record["curves"]
    splits = [split for split in (task.evaluation.split, "train") if split != "none"]
    # What is measured is measured before training too.
    lengths = {f"{split}_{key}": epochs + (split != "train") for split in splits for key in ("loss", "accuracy")}
    if record["status"] == "diverged":
        are_short = all(len(values) <= lengths.get(key, 0) for key, values in curves.items())
        return [*([] if are_short else ["curves"]), *(["diverged"] if record["diverged"]["epoch"] > epochs else [])]
    if {key: len(values) for key, values in curves.items()} != lengths:
        return ["curves"]
    kept = record["kept"]
    if kept["epoch"] > epochs:
        return ["kept"]
    figures = kept_figures(curves, kept["epoch"])
    same = all(kept.get(key) == value for key, value in figures.items() if key not in scores)
    return [] if same and kept.keys() == {*figures, *scores} else ["kept"]


# --- what a record may hold ---


def _is_name(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{16}", value) is not None


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _is_positive(value: object) -> bool:
    return _is_count(value) and value != 0


def _is_text(value: object) -> bool:
    """Half a surrogate pair can be neither shown nor written."""
    return isinstance(value, str) and not re.search("[\ud800-\udfff]", value)


def _are_hashes(value: object) -> bool:
    wanted = {"data", "initial_weights", "batch_order"}
    return isinstance(value, dict) and value.keys() == wanted and all(map(_is_text, value.values()))


def _is_figure(name: str, value: object) -> bool:
    """A loss, or an accuracy; no other name, and no NaN."""
    if _FIGURE.fullmatch(name) is None or type(value) is not float:
        return False
    return 0 <= value <= 1 if name.endswith("accuracy") else -_LARGEST <= value <= _LARGEST


def _are_curves(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(values, list) and all(_is_figure(name, one) for one in values) for name, values in value.items()
    )


def _is_kept(value: object) -> bool:
    if not isinstance(value, dict) or not _is_count(value.get("epoch")):
        return False
    return all(_is_figure(name, figure) for name, figure in value.items() if name != "epoch")


def _is_divergence(value: object) -> bool:
    wanted: dict[str, Callable[[object], bool]] = {"epoch": _is_count, "step": _is_count, "message": _is_text}
    return isinstance(value, dict) and value.keys() == wanted.keys() and all(wanted[key](value[key]) for key in value)


def _is_scored(value: object) -> bool:
    """None of a trial that tunes, and of one that failed."""
    if not isinstance(value, dict) or value.keys() != {"split", "examples", "majority"}:
        return value is None
    examples, majority = value["examples"], value["majority"]
    return _is_positive(examples) and _is_count(majority) and majority <= examples <= 10**9


_OF_ALL: dict[str, Callable[[object], bool]] = {
    "status": lambda value: value in ("completed", "diverged", "failed"),
    "trial": _is_name,
    "batch": _is_name,
    "batch_size": _is_positive,
    "role": lambda value: value in ("tuning", "scoring"),
    "optimizer": _is_text,
    "setting": lambda value: isinstance(value, dict),  # compared with the plan's
    "seed": _is_count,
}
_OF_TRAINED: dict[str, Callable[[object], bool]] = {
    "threads": _is_positive,
    "hashes": _are_hashes,
    "curves": _are_curves,
    "steps_per_epoch": _is_positive,
}
_BY_STATUS: dict[str, dict[str, Callable[[object], bool]]] = {
    "completed": _OF_TRAINED | {"kept": _is_kept},
    "diverged": _OF_TRAINED | {"diverged": _is_divergence},
    "failed": {"message": _is_text},
}
