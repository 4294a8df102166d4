"""Fetches of one data set by several processes, and by one that is killed: the published bytes, and nothing else."""

from __future__ import annotations

import random
import shutil
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from mlptrain.sources.fetch import fetch
from mlptrain.sources.store import RAW_FILES
from mlptrain.sources.verify import verify
from tests.data.mirrors import ARCHIVES, FIRST, Mirrors, files_below
from tests.faults.tools.processes import Child

Attacks = Callable[[str, int, int], Iterator[int]]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "place").mkdir()
    return tmp_path / "place"


def fetching(place: Path, mirrors: Mirrors, kind: str) -> Child:
    return Child(_fetch, mirrors.address(kind), folder=place)


def _fetch(address: str) -> None:
    fetch("mnist", Path("data"), mirrors=[address], timeout=90)


def _exceeds(count: Callable[[], int], number: int) -> bool:
    return count() > number


def assert_complete(data: Path) -> None:
    assert files_below(data) == sorted([*ARCHIVES, *RAW_FILES])
    assert all(check.ok for check in verify("mnist", data))


def test_two_at_once(mirrors: Mirrors, place: Path, attacks: Attacks) -> None:
    """The mirror answers the first only once the second has asked as well."""
    for number in attacks("two fetches of one data set", 1, 20):
        both = [fetching(place, mirrors, "meeting") for _ in range(2)]
        assert [child.end() for child in both] == [0, 0], [child.told for child in both]
        assert mirrors.requests.count(f"meeting/{FIRST}") == 2 * (number + 1)
        assert_complete(place / "data")
        shutil.rmtree(place / "data")


def test_killed_in_the_middle(mirrors: Mirrors, place: Path, attacks: Attacks, chance: random.Random) -> None:
    """The next fetch keeps what is complete and removes the rest; one beside it keeps what it may be writing."""
    raw = place / "data/MNIST/raw"
    half = raw / f".{FIRST}.0123abcd.tmp"  # of one killed while it was writing
    for number in attacks("kills of a fetch", 1, 50):
        stalled = fetching(place, mirrors, "stalled")
        stalled_requests = partial(mirrors.requests.count, f"stalled/{FIRST}")
        assert stalled.wait_until(partial(_exceeds, stalled_requests, number))
        half.write_bytes(b"half")
        killed = fetching(place, mirrors, "good")
        killed.process.join(chance.uniform(0, 0.5))
        assert killed.kill() in (-signal.SIGKILL, 0)
        assert half.exists()
        assert stalled.kill() == -signal.SIGKILL
        assert fetching(place, mirrors, "good").end() == 0
        assert_complete(place / "data")
        shutil.rmtree(place / "data")
