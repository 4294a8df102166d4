"""One run's folder: made exclusively, appended to while training, finished by ``result.json``.

config.yaml        the user's file, byte for byte
resolved.yaml      every value in force
environment.json   versions, device, threads, precision, hashes
metrics.jsonl      a line per epoch, without any clock value
timings.jsonl      seconds per epoch
steps.npz          loss and accuracy of every step, where recorded
checkpoints/       last.safetensors, best.safetensors
result.json        written last: a run that has it is finished
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from mlptrain.errors import MachineError, RunFolderError
from mlptrain.runs.atomic import write_atomically

try:
    import fcntl
except ImportError:  # Windows: runs are not locked there
    fcntl = None  # type: ignore[assignment]

_RESULT_KEYS = {
    "completed": {"epochs", "steps", "kept", "last", "diagnosis", "test_looks"},
    "diverged": {"epoch", "step", "lr", "message"},
}
_NAMED_RUNS = 10
_LEFTOVER = re.compile(r"\..*\.[0-9a-f]{8}\.tmp")


@contextlib.contextmanager
def machine_errors(folder: Path) -> Iterator[None]:
    """What the disk refuses, as a MachineError that names the folder."""
    try:
        yield
    except OSError as error:
        raise MachineError(
            f"{error.filename or folder}: {error.strerror or error}; the run folder {folder} cannot be written. "
            "Free or mount the disk, then go on with `mlptrain train --resume`"
        ) from error


class RunFolder:
    """Paths of a run and what may be done to them. Create with ``create``, read with ``open``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.resolved = path / "resolved.yaml"
        self.environment = path / "environment.json"
        self.metrics = path / "metrics.jsonl"
        self.timings = path / "timings.jsonl"
        self.steps = path / "steps.npz"
        self.result = path / "result.json"
        self.last = path / "checkpoints" / "last.safetensors"
        self.best = path / "checkpoints" / "best.safetensors"

    @classmethod
    def create(cls, name: str, *, parent: Path = Path("runs"), run_dir: Path | None = None) -> RunFolder:
        """Make ``parent/<name>-<UTC time>-<4 hex>/``, or ``run_dir`` itself, which must not exist or be empty.

        Raises RunFolderError where ``run_dir`` is in use and MachineError where no folder can be made.
        """
        if run_dir is not None:
            return cls._create_at(run_dir)
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        for _ in range(100):
            path = parent / f"{name}-{now}-{secrets.token_hex(2)}"
            try:
                path.mkdir(parents=True)
                (path / "checkpoints").mkdir()
            except FileExistsError:
                continue  # another run of this second drew the same four digits
            except OSError as error:
                raise MachineError(_unwritable(parent, error)) from error
            return cls(path)
        raise MachineError(f"{parent}: a hundred run folders of this second are taken; try again")

    @classmethod
    def _create_at(cls, path: Path) -> RunFolder:
        refusal = f"{path} exists and is not empty; name a new folder, or go on with `mlptrain train --resume {path}`"
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise RunFolderError(refusal)
        try:
            path.mkdir(parents=True, exist_ok=True)
            (path / "checkpoints").mkdir()  # exclusive: of two that start at once, one passes
        except FileExistsError:
            raise RunFolderError(refusal) from None
        except OSError as error:
            raise MachineError(_unwritable(path, error)) from error
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """An existing run. Raises RunFolderError for anything else."""
        if not path.is_dir():
            raise RunFolderError(f"{path}: no such run folder; `mlptrain runs` lists what is there")
        folder = cls(path)
        if not folder.resolved.is_file():
            if runs := runs_of_seeds(path):
                some = ", ".join(map(str, runs[:_NAMED_RUNS])) + (", …" if len(runs) > _NAMED_RUNS else "")
                raise RunFolderError(f"{path} holds the runs of {len(runs):,} seeds; name one of them: {some}")
            raise RunFolderError(f"{path} is no run folder: it holds no {folder.resolved.name}")
        return folder

    def discard(self) -> None:
        """Remove a folder that was made a moment ago and holds nothing worth keeping."""
        shutil.rmtree(self.path, ignore_errors=True)

    def write_start(self, *, config: bytes, resolved: str, environment: Mapping[str, Any]) -> None:
        """Write what is known before training. Raises OSError."""
        write_atomically(self.config, config)
        write_atomically(self.environment, _json(environment))
        self.metrics.touch()
        self.timings.touch()
        write_atomically(self.resolved, resolved.encode())  # last: a folder that has it can be resumed

    def extend(self, *, resolved: str) -> None:
        """Open a run for more epochs: a result goes, its looks at the test set stay on record. Raises OSError."""
        if (result := self.read_result()) is not None:
            environment = self.read_environment()
            environment["earlier_test_looks"] = result.get("test_looks", 0)
            write_atomically(self.environment, _json(environment))
            self.result.unlink()
        if self.resolved.read_bytes() != resolved.encode():
            write_atomically(self.resolved, resolved.encode())

    def write_result(self, result: Mapping[str, Any]) -> None:
        """Finish the run. Raises OSError."""
        write_atomically(self.result, _json(result))

    def read_environment(self) -> dict[str, Any]:
        """What was decided and hashed when the run began."""
        return read_json(self.environment)

    def read_result(self) -> dict[str, Any] | None:
        """The result, or None of a run that is not finished. Raises RunFolderError for one that is damaged."""
        if not self.result.exists():
            return None
        result = read_json(self.result)
        if not _RESULT_KEYS.get(str(result.get("status")), {""}) <= result.keys():
            raise RunFolderError(f"{self.result} lacks keys of a result; the run folder is damaged")
        return result

    def read_metrics(self) -> list[dict[str, Any]]:
        """The epochs' lines from 0 on; a last line that a crash cut off is left out.

        Raises RunFolderError where a line is missing or holds anything but numbers.
        """
        return list(_lines(self.metrics))


def runs_of_seeds(path: Path) -> list[Path]:
    """The run folders in a group of seeds, by seed; none in any other folder."""
    found = [resolved.parent for resolved in path.glob("seed-*/resolved.yaml")]
    return sorted(found, key=lambda run: (len(run.name), run.name))  # seed-2 comes before seed-10


class RunLog:
    """The two logs of a run that is being trained, and the lock that keeps a second writer out.

    The lock is the system's, on the folder: it ends with the process, however that ends. What a killed process left
    behind is removed, and so are lines of epochs after ``epoch``, which are going to be trained again.
    """

    def __init__(self, folder: RunFolder, *, epoch: int) -> None:
        """Raises RunFolderError where another process trains this run, and OSError."""
        self._lock = lock(folder)
        try:
            for path in (*folder.path.glob(".*.tmp"), *folder.last.parent.glob(".*.tmp")):
                if _LEFTOVER.fullmatch(path.name):
                    path.unlink(missing_ok=True)
            for path in (folder.metrics, folder.timings):
                _drop_lines_after(path, epoch)
            self._metrics: IO[str] = folder.metrics.open("a", encoding="utf-8")
            self._timings: IO[str] = folder.timings.open("a", encoding="utf-8")
        except BaseException:
            os.close(self._lock)
            raise

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, *_: object) -> None:
        self._metrics.close()
        self._timings.close()
        os.close(self._lock)

    def append(self, metrics: Mapping[str, Any], timings: Mapping[str, Any]) -> None:
        """One epoch's lines, handed to the system so that a killed process loses none. Raises OSError."""
        for stream, line in ((self._metrics, metrics), (self._timings, timings)):
            stream.write(_json_line(line))
            stream.flush()

    def sync(self) -> None:
        """Bring the lines to the disk; before a checkpoint, which promises that they are there. Raises OSError."""
        os.fsync(self._metrics.fileno())
        os.fsync(self._timings.fileno())


def lock(folder: RunFolder) -> int:
    """A descriptor of the folder that holds its lock until closed. Raises RunFolderError where another has it."""
    descriptor = os.open(folder.path, os.O_RDONLY)
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise RunFolderError(f"{folder.path} is being trained by another process; wait for it or stop it") from None
    except OSError:
        pass  # a file system without locks
    return descriptor


def is_locked(folder: RunFolder) -> bool:
    """Whether a living process trains this run."""
    try:
        os.close(lock(folder))
    except RunFolderError:
        return True
    return False


def _drop_lines_after(path: Path, epoch: int) -> None:
    """Rewrite a log where it holds later epochs, or a line that a crash cut off."""
    kept = "".join(_json_line(line) for line in _lines(path) if line["epoch"] <= epoch).encode()
    if not path.exists() or path.read_bytes() != kept:
        write_atomically(path, kept)


def _json_line(line: Mapping[str, Any]) -> str:
    """One line of JSON. Floats are written with repr, which gives back the same float."""
    return json.dumps(line, allow_nan=False) + "\n"


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n").encode()


def read_json(path: Path) -> dict[str, Any]:
    """The mapping in a JSON file. Raises RunFolderError where it cannot be read."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{path} cannot be read ({error}); the run folder is damaged") from None
    if not isinstance(value, dict):
        raise RunFolderError(f"{path} holds no mapping; the run folder is damaged")
    return value


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return
    for number, line in enumerate(content.splitlines(keepends=True), 1):
        if not line.endswith(b"\n"):
            return  # cut off by a crash
        try:
            value = json.loads(line)
            sound = value["epoch"] == number - 1 and all(type(figure) in (int, float) for figure in value.values())
        except (ValueError, TypeError, KeyError, AttributeError):
            sound = False
        if not sound:
            raise RunFolderError(f"{path}:{number} is not the line of epoch {number - 1}; the run folder is damaged")
        yield value


def _unwritable(path: Path, error: OSError) -> str:
    return f"{path}: {error.strerror or error}; no run folder can be made there. Choose another with --run-dir"
