"""One run's folder: made exclusively, appended to while training, finished by ``result.json``.

config.yaml        the user's file, byte for byte
resolved.yaml      every value as applied
facts.json         what the data said: rows, columns, classes
environment.json   versions, device, threads, precision, numbers of the scaling, hashes
metrics.jsonl      a line per epoch, without any clock value
timings.jsonl      seconds per epoch
layers.jsonl       activations and gradients of the layers by epoch, where recorded
steps.npz          loss and accuracy of every step, where recorded
checkpoints/       last.safetensors, best.safetensors; initial.safetensors where training started from a file
result.json        written last: a run that has it is finished
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from mlptrain.errors import MachineError, RunFolderError
from mlptrain.runs.log import read_lines
from mlptrain.runs.records import RUN_RESULT, Environment, Line, RunResult
from mlptrain.sources.facts import DataFacts
from mlptrain.spec import Experiment, load_spec
from mlptrain.spec.kinds import study_in
from mlptrain.system.atomic import write_atomically
from mlptrain.system.disk import remedy
from mlptrain.system.jsonfiles import read_json, to_json
from mlptrain.system.lock import LockedFolder
from mlptrain.system.paths import AnyPath, refuse_below_file, user_path

INITIAL = Path("checkpoints/initial.safetensors")  # in a run folder, which then needs no other file
_NAMED_RUNS = 10


class NewFolder(LockedFolder):
    """A folder made exclusively, for a run or a group of runs. Use as a context to train.

    One from ``create`` is locked already.
    """

    _suffix = ""  # of the name

    @classmethod
    def create(cls, name: str, *, run_dir: AnyPath | None = None) -> Self:
        """Make ``runs/<name>-<UTC time>-<4 hex>/``, or ``run_dir`` itself, and lock it.

        ``run_dir`` must not exist or be empty. Raises RunFolderError where it is not, or is in use, and MachineError
        where no folder can be made.
        """
        try:
            path = user_path(run_dir) if run_dir else _new_in_runs(name + cls._suffix)
            if path.exists() and not path.is_dir():
                raise _not_empty(path)
            refuse_below_file(path)
            path.mkdir(parents=True, exist_ok=True)
            folder = cls(path).__enter__()  # of two that start at once, one passes
            if not any(path.iterdir()):
                return folder
            folder.__exit__()
            raise _not_empty(path)
        except OSError as error:
            remedies = f"{remedy(error)}, or choose another folder with --run-dir"
            raise MachineError(
                f"no run folder can be made at {run_dir or 'runs'}: {error.strerror or error}. {remedies}"
            ) from error

    def __fspath__(self) -> str:
        return str(self.path)

    def discard(self) -> None:
        """Remove a folder that was made a moment ago and holds nothing worth keeping."""
        shutil.rmtree(self.path, ignore_errors=True)


class RunFolder(NewFolder):
    """Paths of a run and what may be done to them. Create with ``create``, read with ``open``."""

    def __init__(self, path: AnyPath) -> None:
        path = user_path(path)
        super().__init__(path)
        self.config = path / "config.yaml"
        self.resolved = path / "resolved.yaml"
        self.facts = path / "facts.json"
        self.environment = path / "environment.json"
        self.metrics = path / "metrics.jsonl"
        self.timings = path / "timings.jsonl"
        self.layers = path / "layers.jsonl"
        self.steps = path / "steps.npz"
        self.result = path / "result.json"
        self.last = path / "checkpoints" / "last.safetensors"
        self.best = path / "checkpoints" / "best.safetensors"

    @classmethod
    def open(cls, path: AnyPath) -> RunFolder:
        """An existing run. Raises RunFolderError for anything else."""
        path = user_path(path)
        if path.is_file():
            raise RunFolderError(f"{path} is a file, expected a run folder; `mlptrain runs` lists what is there")
        if not path.is_dir():
            raise RunFolderError(f"{path}: no such run folder; `mlptrain runs` lists what is there")
        folder = cls(path)
        if not folder.resolved.is_file():
            if runs := runs_of_group(path):
                some = ", ".join(map(str, runs[:_NAMED_RUNS])) + (", …" if len(runs) > _NAMED_RUNS else "")
                raise RunFolderError(f"{path} holds the runs of {name_members(runs)}; name one of them: {some}")
            if (study := study_in(path)) is not None:
                raise RunFolderError(f"{path} {study.instead(path, 'run')}")
            raise RunFolderError(f"{path} is not a run folder: it has no {folder.resolved.name}")
        if not folder.facts.exists():
            raise RunFolderError(
                f"{path} was written by an earlier version of mlptrain (it has no facts.json); train it again"
            )
        return folder

    def write_start(
        self, *, config: bytes, resolved: str, facts: DataFacts, environment: Environment, initial: bytes | None = None
    ) -> None:
        """Write what is known before training, ``initial`` weights where they came from a file. Raises OSError."""
        self.last.parent.mkdir(exist_ok=True)
        if initial is not None:
            write_atomically(self.path / INITIAL, initial, last=False)
        write_atomically(self.facts, to_json(facts), last=False)
        write_atomically(self.environment, to_json(environment), last=False)
        write_atomically(self.config, config)
        write_atomically(self.resolved, resolved.encode())  # last: a folder that has it can be resumed

    def extend(self, *, resolved: str) -> None:
        """Open a run for more epochs: its result is removed, the number of its test evaluations stays on record.

        The result goes last: on a full disk it is still there. Raises OSError.
        """
        if (result := self.read_result()) is not None:
            count = result.test_evaluations if result.status == "completed" else 0
            environment = self.read_environment().model_copy(update={"earlier_test_evaluations": count})
            write_atomically(self.environment, to_json(environment))
        if self.resolved.read_bytes() != resolved.encode():
            write_atomically(self.resolved, resolved.encode())
        self.result.unlink(missing_ok=True)

    def write_result(self, result: RunResult) -> None:
        """Finish the run. Raises OSError."""
        write_atomically(self.result, to_json(result))

    def read_environment(self) -> Environment:
        """What was decided and hashed when the run began. Raises RunFolderError for a damaged one."""
        return read_json(self.environment, Environment)

    def experiment(self) -> Experiment:
        """What was trained, with the facts of its data on record. Raises SpecError and RunFolderError."""
        return load_spec(self.resolved, facts=read_json(self.facts, DataFacts)).experiment

    def read_result(self) -> RunResult | None:
        """The result, or None of a run that is not finished. Raises RunFolderError for one that is damaged."""
        return read_json(self.result, RUN_RESULT) if self.result.exists() else None

    def metrics_digest(self, *, epochs: int) -> str:
        """SHA-256 of the lines of ``metrics.jsonl`` from before training to the last of ``epochs``."""
        lines = self.metrics.read_bytes().splitlines(keepends=True)
        return hashlib.sha256(b"".join(lines[: epochs + 1])).hexdigest()

    def read_metrics(self, *, through: int = -1) -> list[Line]:
        """The epochs' lines from 0 on; a last line that a crash cut off is left out.

        Raises RunFolderError where a line holds anything but numbers, or one is missing up to the epoch ``through``.
        """
        lines = list(read_lines(self.metrics))
        if len(lines) <= through:
            state = f"ends before epoch {through}" if lines else "is empty or missing"
            raise RunFolderError(f"{self.metrics} {state}; the run folder is damaged")
        return lines


def _new_in_runs(name: str) -> Path:
    Path("runs").mkdir(exist_ok=True)
    while True:
        path = Path("runs") / f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"
        with suppress(FileExistsError):  # another run of this second drew the same four digits
            path.mkdir()
            return path


def _not_empty(path: Path) -> RunFolderError:
    is_run = any((path / name).exists() for name in ("resolved.yaml", "seeds.json", "folds.json"))
    resume = f", or resume with `mlptrain train --resume {path}`" if is_run else ""
    return RunFolderError(f"{path} exists and is not empty; name a new folder{resume}")


_MEMBERS = ("seed", "fold")  # of groups


def runs_of_group(path: AnyPath) -> list[Path]:
    """The run folders in a group of seeds or folds, by their numbers; none in any other folder."""
    runs = [resolved.parent for kind in _MEMBERS for resolved in user_path(path).glob(f"{kind}-*/resolved.yaml")]
    return sorted(runs, key=lambda run: (len(run.name), run.name))  # seed-2 comes before seed-10


def member_word(run: Path) -> str:
    """What a run of a group is called by its folder: seed or fold."""
    return run.name.partition("-")[0]


def name_members(runs: Sequence[Path]) -> str:
    """``1 seed`` or ``5 folds``."""
    return f"{len(runs):,} {member_word(runs[0])}{'s' * (len(runs) != 1)}"
