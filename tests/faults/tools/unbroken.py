"""Runs, groups and comparisons that nobody disturbs, to hold the attacked ones against."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from mlptrain.experiment import train, train_seeds
from mlptrain.spec import load_text
from tests.comparison.processes import LONGER as LONGER_BASE
from tests.comparison.small import BASE, FIXED, compare
from tests.faults.tools.processes import SMALL

LONGER = ("--set", "training.epochs=40", "--set", "model.hidden=[256]")  # options of the command
SEEDS = (3, 0, 11)


class Unbroken:
    """Each is made in ``folder`` when it is first asked for. Read it, change nothing in it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @cached_property
    def run(self) -> Path:
        return self._run("run", ())

    @cached_property
    def longer_run(self) -> Path:
        return self._run("longer-run", LONGER[1::2])

    @cached_property
    def seeds(self) -> Path:
        return self._group("seeds", ())

    @cached_property
    def longer_seeds(self) -> Path:
        return self._group("longer-seeds", LONGER[1::2])

    @cached_property
    def comparison(self) -> Path:
        return compare(FIXED, self._folder, base=BASE, name="comparison").path

    @cached_property
    def longer_comparison(self) -> Path:
        return compare(FIXED, self._folder, base=LONGER_BASE, name="longer-comparison").path

    def _run(self, name: str, overrides: tuple[str, ...]) -> Path:
        return train(load_text(SMALL, overrides=overrides), run_dir=self._folder / name).folder.path

    def _group(self, name: str, overrides: tuple[str, ...]) -> Path:
        train_seeds(load_text(SMALL, overrides=overrides), SEEDS, run_dir=self._folder / name)
        return self._folder / name
