"""A table as a source of rows: read once, and what it says kept for as long as its files stay as they are.

polars is loaded where a table is read: by what ``content`` imports, and by nothing that is imported here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from mlptrain.sources.facts import Column, RawData, SourceFacts
from mlptrain.sources.files import files_of
from mlptrain.sources.held import held, is_held

if TYPE_CHECKING:
    from mlptrain.sources.tables.leaks import Leak

Kind = Literal["numeric", "categorical", "date", "drop"]
Role = Literal["target", "weight", "split"]  # of a column that is not an input
Task = Literal["classification", "regression"]


@dataclass(frozen=True)
class TableSource:
    """Rows of one or several files, and of a test file where there is one. Paths are absolute."""

    path: tuple[str, ...]
    target: str | int | tuple[str | int, ...]
    test_path: tuple[str, ...] = ()
    validation_path: tuple[str, ...] = ()
    weight: str | int | None = None
    split: tuple[str, str | int] | None = None  # group, time or column, and the column
    task: Literal["auto", "classification", "regression"] = "auto"
    kinds: tuple[tuple[str, str], ...] = ()
    dropping: str = ""  # rows without a number: drop_row, error, or kept
    reading: tuple[tuple[str, Any], ...] = field(default=())  # options of ``read_table``
    shipped: str = ""  # the table of ``SHIPPED`` that the files are
    by_seed: ClassVar[bool] = False

    def facts(self) -> SourceFacts:
        """What the files say. Raises DataError and DataKeyError for what cannot be used."""
        return self.content().facts

    def read(self, *, seed: int, folder: Path) -> RawData:  # noqa: ARG002 – the rows lie in the files
        """The stored matrix and targets; see ``encode_inputs``."""
        return self.content().raw

    def content(self) -> TableContent:
        """All of it; read again where a file has changed."""
        if is_held(self.path[0] if self.path else "") and isinstance(ready := held(self.path[0]), TableContent):
            return ready
        keys = {"path": self.path, "test_path": self.test_path, "validation_path": self.validation_path}
        files = [stamp for key, paths in keys.items() for stamp in _stamps(paths, key)]
        return _content(self, tuple(files))


@dataclass(frozen=True)
class Described:
    """One column of the file: what it is taken for, why, and what ``mlptrain data show`` says of it.

    ``levels`` are its different values, None for numbers of more than a million rows, where no rule asks for them: to
    count them takes as long as to read them.
    """

    name: str
    kind: Kind | Role
    why: str = ""
    missing: int = 0
    levels: int | None = 0
    low: str = ""
    high: str = ""


@dataclass(frozen=True)
class Inferred:
    """What a training file says of every later one: its stored columns, its target, and in words what was inferred.

    ``described`` has every column of the file, in order. ``notes`` are what the user should know, each with the key of
    the data section that it belongs to; ``dropped`` says which columns are no inputs, which ``described`` has too.
    """

    columns: tuple[Column, ...]
    targets: tuple[str, ...]
    task: Task
    why: str
    class_names: tuple[str, ...] = ()
    described: tuple[Described, ...] = ()
    notes: tuple[tuple[str, str], ...] = field(default=())
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True)
class TableContent:
    """What the files of a source hold."""

    facts: SourceFacts
    inferred: Inferred
    raw: RawData
    lowest: tuple[float, str]  # of the targets of a regression, and where it stands
    leaks: tuple[Leak, ...]
    notes: tuple[str, ...]
    warnings: tuple[tuple[str, str], ...]


def _stamps(paths: tuple[str, ...], key: str) -> list[tuple[Any, ...]]:
    """What says whether files are still the same; the name of data that are held says it itself."""
    if any(map(is_held, paths)):
        return [(name, held(name, key=key) is None) for name in paths]
    stats = [(path, path.stat()) for path in files_of(paths, key=key)]
    return [(path, found.st_size, found.st_mtime_ns) for path, found in stats]


@lru_cache(maxsize=2)  # a table and another one beside it; each holds its rows
def _content(source: TableSource, files: tuple[Any, ...]) -> TableContent:  # noqa: ARG001 – a key of the cache
    from mlptrain.sources.tables.whole import content_of

    return content_of(source)
