"""A source that no configuration knows: a table with columns, whose rows a test may change."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from mlptrain.sources.facts import Choice, Column, RawData, SourceFacts
from mlptrain.spec.data import SpiralsData

COLUMNS = (
    Column(name="weight [kg]"),
    Column(name="größe"),
    Column(name="colour", kind="categorical", categories=("green", "red")),
    Column(name="<script>alert(1)</script>"),
    Column(name="a;b, 'c'"),
    Column(name="[red]x[/red]"),
    Column(name="price $"),
)
CLASSES = ("apple", "<b>quince</b>", "[red]plum[/red]", "päron & co")


class Table:
    """150 rows of seven columns and four classes that can be learnt.

    ``closed`` forbids to ask for facts from now on; rows may be read still.
    """

    by_seed: ClassVar[bool] = False

    def __init__(self, n: int = 150, **facts: Any) -> None:
        generator = np.random.default_rng(7)
        self.y: NDArray[np.int64] = generator.integers(4, size=n)
        centres = generator.normal(size=(4, 7)) * 3
        scales = np.array([1, 100, 1e-3, 5, 1, 40, 2])
        self.x: NDArray[Any] = ((centres[self.y] + generator.normal(size=(n, 7))) * scales + scales).astype(np.float32)
        self.x[:, 2] = generator.integers(2, size=n)
        counts = tuple(np.bincount(self.y, minlength=4).tolist())
        self.known = replace(
            SourceFacts(train_counts=counts, n_features=7, class_names=CLASSES, columns=COLUMNS, digest="ab" * 32),
            **facts,
        )
        self.closed = False

    def facts(self) -> SourceFacts:
        assert not self.closed, "facts that are on record were asked for"
        return self.known

    def read(self, *, seed: int, folder: Path) -> RawData:
        """The same rows for every seed."""
        return RawData(self.x.copy(), self.y.copy())

    def put_in_place(self, monkeypatch: pytest.MonkeyPatch, *, test: float = 0.2) -> None:
        """Stand behind ``data: spirals``, with test rows that are drawn by the seed."""
        monkeypatch.setattr(SpiralsData, "source", lambda _: self)
        monkeypatch.setattr(
            SpiralsData,
            "choice",
            lambda section: Choice(section.classes, test=test, validation=section.validation),
        )
