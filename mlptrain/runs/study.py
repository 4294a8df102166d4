"""Where the files of a study lie, a comparison's or a search's, and how its results are read and written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, TypeVar

from pydantic import Field

from mlptrain.errors import RunFolderError
from mlptrain.spec.kinds import Kind
from mlptrain.system.atomic import write_atomically
from mlptrain.system.jsonfiles import Record, read_json, to_json
from mlptrain.system.paths import AnyPath, user_path

Result = TypeVar("Result", bound=Record)
Seconds = Annotated[float, Field(ge=0, le=1e9)]


class StudyFiles:
    """The files that comparisons and searches leave alike. ``summary.json`` is written last."""

    kind: ClassVar[Kind]

    def __init__(self, path: AnyPath) -> None:
        self.path = path = user_path(path)
        self.plan = path / self.kind.plan
        self.trials = path / "trials.jsonl"
        self.summary = path / "summary.json"
        self.timings = path / "timings.json"

    @property
    def rerun(self) -> str:
        """How to resume it, or to rewrite what it leaves."""
        return self.kind.rerun(self.path)

    @property
    def recorded(self) -> int:
        """How many trials are recorded, finished lines only. Raises OSError."""
        return self.trials.read_bytes().count(b"\n") if self.trials.is_file() else 0

    def write_summary(self, summary: Record) -> None:
        """Raises OSError."""
        write_atomically(self.summary, to_json(summary))

    def write_timings(self, timings: Record) -> None:
        """Write the seconds, which no two runs share. Raises OSError."""
        write_atomically(self.timings, to_json(timings))

    def read(self, path: Path, kind: type[Result]) -> Result:
        """One of its results. Raises RunFolderError where there is none yet, or a damaged one."""
        if path == self.summary and not path.is_file():
            trials = f"{n:,} trial{'s' * (n != 1)} {'are' if n != 1 else 'is'} recorded" if (n := self.recorded) else ""
            raise RunFolderError(f"{self.path} is not finished{', ' * bool(n)}{trials}: {self.rerun} to resume it")
        try:
            return read_json(path, kind)
        except RunFolderError as error:
            raise RunFolderError(f"{error}; {self.rerun}, which rewrites it") from None
