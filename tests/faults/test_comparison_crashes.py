"""Comparisons that are killed at any moment: the same command ends with the bytes of one that was left in peace."""

from __future__ import annotations

import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.comparison.processes import LONGER, TEXT
from tests.comparison.small import BASE, FIXED, Result, write
from tests.faults.tools.processes import KillAt, KillInWrite, assert_same_files, command

Attacks = Callable[[str, int, int], Iterator[int]]
BATCHES = 3 + 3 + 3  # tuning, an extension, scoring
PLACE = Path("comparison")
OF_A_COMPARISON = ("plan.yaml", "trials.jsonl", "summary.json", "summary.csv")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "place"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def begin(place: Path, text: str, base: str) -> tuple[str, ...]:
    return ("compare-optimizers", write(text, place, base=base).name, "--run-dir", str(PLACE))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``small`` and ``extended`` as the command leaves them. Read it, change nothing in it."""
    folder = tmp_path_factory.mktemp("undisturbed") / "place"
    folder.mkdir()
    for name, text, base in (("small", FIXED, BASE), ("extended", TEXT, LONGER)):
        assert command(*begin(folder, text, base), folder=folder).end() == 0
        (folder / PLACE).rename(folder / name)
    assert len({record["batch"] for record in Result(folder / "extended").records}) == BATCHES
    return folder


def assert_goes_on(place: Path, arguments: tuple[str, ...], whole: Path) -> None:
    child = command(*arguments, folder=place)
    assert child.end() == 0, child.told
    assert_same_files(whole, PLACE, OF_A_COMPARISON)
    assert sorted(path.name for path in PLACE.rglob("*")) == sorted(path.name for path in whole.rglob("*"))
    shutil.rmtree(PLACE)


def test_killed_at_any_touch_of_a_file(place: Path, undisturbed: Path, attacks: Attacks, chance: random.Random) -> None:
    arguments, tally = begin(place, FIXED, BASE), place.with_name("tally")
    assert command(*arguments, folder=place, first=KillAt(tally=str(tally))).end() == 0
    shutil.rmtree(PLACE)
    touches = list(range(1, tally.stat().st_size + 1))
    chance.shuffle(touches)
    for number in attacks("kills of compare-optimizers at a touch of a file", 1, 50):
        child = command(*arguments, folder=place, first=KillAt(touches[number % len(touches)]))
        assert child.end() == -signal.SIGKILL
        assert_goes_on(place, arguments, undisturbed / "small")


def test_killed_in_the_middle_of_a_write(
    place: Path, undisturbed: Path, attacks: Attacks, chance: random.Random
) -> None:
    arguments = begin(place, FIXED, BASE)
    largest = (undisturbed / "small/trials.jsonl").stat().st_size
    for _ in attacks("kills of compare-optimizers in the middle of a write", 1, 50):
        child = command(*arguments, folder=place, first=KillInWrite(chance.randint(100, largest - 1)))
        assert child.end() == -signal.SIGXFSZ
        assert_goes_on(place, arguments, undisturbed / "small")


def test_killed_twice_at_random_moments(
    place: Path, undisturbed: Path, attacks: Attacks, chance: random.Random
) -> None:
    arguments = begin(place, TEXT, LONGER)
    started = time.monotonic()
    assert command(*arguments, folder=place).end() == 0
    seconds = time.monotonic() - started
    shutil.rmtree(PLACE)
    for _ in attacks("kills of compare-optimizers at two random moments", 1, 25):
        for _ in range(2):
            child = command(*arguments, folder=place)
            child.process.join(chance.uniform(0, seconds))
            assert child.kill() in (-signal.SIGKILL, 0)
        assert_goes_on(place, arguments, undisturbed / "extended")
