"""What the suite of faults shares: its two sizes, what is attacked, and what that is held against."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ATTACKS

if TYPE_CHECKING:
    from tests.faults.tools.unbroken import Unbroken


@pytest.fixture
def attacks(request: pytest.FixtureRequest) -> Callable[[str, int, int], Iterator[int]]:
    """``attacks(kind, short, full)`` yields 0, 1, … as often as the size of the suite says, and counts every one."""
    full_size = request.config.getoption("--faults") == "full"

    made: dict[str, int] = {}
    request.node.user_properties.append((ATTACKS, made))  # they reach the terminal from another process as well

    def numbered(kind: str, short: int, full: int) -> Iterator[int]:
        for number in range(full if full_size else short):
            made[kind] = made.get(kind, 0) + 1
            yield number

    return numbered


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A completed run of two epochs on the digits, to be left as it is."""
    import mlptrain  # here: not every file of faults needs torch
    from mlptrain.spec import load_text
    from tests.faults.tools.hostile import SMALL

    folder = tmp_path_factory.mktemp("whole") / "run"
    mlptrain.train(load_text(SMALL), run_dir=folder)
    return folder


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    """The same, to be damaged."""
    shutil.copytree(whole, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture(scope="session")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Unbroken:
    """What nobody disturbs: runs, groups and comparisons."""
    from tests.faults.tools.unbroken import Unbroken  # here: not every system can fork

    return Unbroken(tmp_path_factory.mktemp("unbroken"))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with ``small.yaml`` in it, for commands in processes of their own."""
    from tests.faults.tools.processes import SMALL  # here: not every system can fork

    folder = tmp_path / "place"
    folder.mkdir()
    (folder / "small.yaml").write_text(SMALL)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Random numbers of the test's own: those of $MLPTRAIN_FAULT_SEED, 0 by default, so that a failure repeats."""
    return random.Random(f"{os.environ.get('MLPTRAIN_FAULT_SEED', '0')} {request.node.nodeid}")
