"""What reading one file gives, before its columns of text are looked into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mlptrain.sources.facts import FileFacts

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Wishes:
    """What the user states about files; what is None is detected.

    ``missing`` are all values that stand for a missing one. ``known`` is a table that was read before; of its columns
    the ``optional`` ones may be absent.
    """

    separator: str | None = None
    header: bool | Sequence[str] | None = None
    missing: tuple[str, ...] = ()
    known: FileFacts | None = None
    optional: frozenset[str] = frozenset()
    also_text: frozenset[str] = frozenset()

    @property
    def as_text(self) -> frozenset[str]:
        """Columns that are read as they are written, whatever they look like."""
        known = self.known.kinds.items() if self.known else ()
        return self.also_text | {name for name, kind in known if kind != "number"}

    def names_by_place(self, width: int, *, has_header: bool) -> tuple[str, ...]:
        """Names of the columns of a file where these go by their places in a table before; none where by name."""
        if self.known is None or (self.known.has_names and has_header):
            return ()
        names = tuple(self.known.kinds)
        given = tuple(name for name in names if name not in self.optional)
        return next((fitting for fitting in (names, given) if len(fitting) == width), ())


class Lines(Protocol):
    """Where the values of a file stand."""

    def place(self, path: Path, row: int, column: str) -> str:
        """``file:line:column``, counted from 1; ``row`` counts from 0."""


@dataclass(frozen=True)
class Content:
    """The columns of one file: numbers, text, dates; null where missing. ``as_text``: columns that stay text.

    ``lines`` is None where the file has no lines. ``sparse``: columns that are absent are zeros.
    """

    frame: pl.DataFrame
    lines: Lines | None
    notes: tuple[str, ...] = ()
    has_names: bool = True
    decimal_comma: bool = False
    as_text: frozenset[str] = frozenset()
    sparse: bool = False
