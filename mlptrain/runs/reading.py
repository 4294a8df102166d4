"""What a run folder's JSON files may hold. They lie in the open, so anybody may have edited, cut or replaced them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from mlptrain.errors import RunFolderError
from mlptrain.spec import Experiment
from mlptrain.system.files import read_regular

_MOST_BYTES = 50_000_000  # of a JSON file; the longest is a comparison's summary, with the curves of its optimizers
_LARGEST = 3.5e38  # of float32
_MOST_LOG_BYTES = 3_000_000_000  # ten million epochs, the most there can be, of under 300 bytes each


def read_json(path: Path) -> dict[str, Any]:
    """The mapping in a JSON file. Raises RunFolderError where it cannot be read."""
    try:
        value = _loads(read_regular(path, most=_MOST_BYTES))
        json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair could not be shown
    except OSError as error:
        raise RunFolderError(f"{path} cannot be read ({error.strerror}); the run folder is damaged") from None
    except (ValueError, RecursionError) as error:
        raise RunFolderError(f"{path} cannot be read ({error}); the run folder is damaged") from None
    if not isinstance(value, dict):
        raise RunFolderError(f"{path} holds no mapping; the run folder is damaged")
    return value


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The epochs' lines of a log from 0 on; a last line that a crash cut off is left out.

    Raises RunFolderError where a line is missing or holds anything but numbers as training gives them.
    """
    try:
        content = read_regular(path, most=_MOST_LOG_BYTES)
    except FileNotFoundError:
        return
    except OSError as error:
        raise RunFolderError(f"{path} cannot be read ({error.strerror}); the run folder is damaged") from None
    for number, line in enumerate(content.splitlines(keepends=True), 1):
        if not line.endswith(b"\n"):
            return  # cut off by a crash
        try:
            value = _loads(line)
            sound = value["epoch"] == number - 1 and _are_figures(value)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            sound = False
        if not sound:
            raise RunFolderError(f"{path}:{number} is not the line of epoch {number - 1}; the run folder is damaged")
        yield value


def check_metrics(path: Path, lines: Sequence[Mapping[str, Any]], *, spec: Experiment, epochs: int) -> None:
    """Raises RunFolderError unless the lines of a run's log are those that it writes for so many ``epochs``."""
    if len(lines) <= epochs:
        state = f"ends before epoch {epochs}" if lines else "is empty or gone"
        raise RunFolderError(f"{path} {state}; the run folder is damaged")
    split = spec.evaluation.split
    of_all = {"lr", *([] if split in (None, "none") else [f"{split}_loss"])}
    for line in lines:
        wanted = of_all | ({"train_loss"} if line["epoch"] else set())
        if not wanted <= line.keys() or line.get("step") != line["epoch"] * spec.steps_per_epoch:
            raise RunFolderError(f"{path}: the line of epoch {line['epoch']} was edited; the run folder is damaged")


def read_result(path: Path) -> dict[str, Any]:
    """The content of ``result.json``. Raises RunFolderError for anything but a result."""
    result = read_json(path)
    wanted = _RESULTS.get(str(result.get("status")))
    if wanted is None or not wanted.keys() <= result.keys():
        raise RunFolderError(f"{path} lacks keys of a result; the run folder is damaged")
    if wrong := [key for key, is_right in wanted.items() if not is_right(result[key])]:
        raise RunFolderError(f"{path} holds no right {', '.join(wrong)} of a result; the run folder is damaged")
    return result


def read_environment(path: Path) -> dict[str, Any]:
    """The content of ``environment.json``. Raises RunFolderError where what a resumed run needs is of another type."""
    environment = read_json(path)
    if not isinstance(environment.get("hashes", {}), dict) or not _is_count(environment.get("earlier_test_looks", 0)):
        raise RunFolderError(f"{path} holds no right hashes or earlier_test_looks; the run folder is damaged")
    return environment


def _loads(content: bytes) -> Any:
    """JSON as this package writes it: UTF-8, no NaN, no infinity, no whole number beyond 64 bits. Raises ValueError."""
    return json.loads(content.decode(), parse_constant=_refuse, parse_float=_finite, parse_int=_whole)


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text[:20]} is no finite number of 64 bits")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        _refuse(text)
    return number


def _whole(text: str) -> int:
    if len(text) > 20 or abs(number := int(text)) >= 2**63:
        _refuse(text)
    return number


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= _LARGEST


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _are_figures(value: object) -> bool:
    """Whether all are numbers as training gives them, and accuracies are shares."""
    if not isinstance(value, dict) or not all(map(_is_number, value.values())):
        return False
    return all(0 <= figure <= 1 for name, figure in value.items() if name.endswith("_accuracy"))


def _is_kept(value: object) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("checkpoint"), str):
        return False
    figures = {key: figure for key, figure in value.items() if key != "checkpoint"}
    return _is_count(figures.get("epoch")) and _are_figures(figures)


def _is_diagnosis(value: object) -> bool:
    if not isinstance(value, dict):
        return value is None
    causes = value.get("causes")
    words = [value.get("kind"), value.get("message"), *(causes if isinstance(causes, list) else [None])]
    return all(isinstance(word, str) for word in words)


_RESULTS: Mapping[str, Mapping[str, Callable[[object], bool]]] = {
    "completed": {
        "epochs": _is_count,
        "steps": _is_count,
        "kept": _is_kept,
        "last": _are_figures,
        "diagnosis": _is_diagnosis,
        "test_looks": _is_count,
    },
    "diverged": {
        "epoch": _is_count,
        "step": _is_count,
        "lr": _is_number,
        "message": lambda value: isinstance(value, str),
    },
}
