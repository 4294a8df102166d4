"""What the suite of faults shares: its two sizes, and a count of the attacks that is printed at the end."""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SMALL = (
    "name: small\ndata: digits\nmodel: {hidden: [6], activation: prelu}\noptimizer: {name: adam, lr: 0.01}\n"
    "training: {epochs: 2, batch_size: 500, record_steps: true, device: cpu, threads: 1}\n"
)
_made: Counter[str] = Counter()


@pytest.fixture
def attacks(request: pytest.FixtureRequest) -> Callable[[str, int, int], Iterator[int]]:
    """``attacks(kind, short, full)`` yields 0, 1, … as often as the size of the suite says, and counts every one."""
    full_size = request.config.getoption("--faults") == "full"

    def numbered(kind: str, short: int, full: int) -> Iterator[int]:
        for number in range(full if full_size else short):
            _made[kind] += 1
            yield number

    return numbered


@pytest.fixture(scope="session")
def _whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import mlptrain  # here: not every file of faults needs torch
    from mlptrain.spec import load_text

    folder = tmp_path_factory.mktemp("whole") / "run"
    mlptrain.train(load_text(SMALL), run_dir=folder)
    return folder


@pytest.fixture
def run(_whole_run: Path, tmp_path: Path) -> Path:
    """A completed run of two epochs on the digits, to be damaged."""
    shutil.copytree(_whole_run, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with ``small.yaml`` in it, for commands in processes of their own."""
    from tests.faults.processes import SMALL as SMALL_RUN  # here: not every system can fork

    folder = tmp_path / "place"
    folder.mkdir()
    (folder / "small.yaml").write_text(SMALL_RUN)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Random numbers of the test's own: those of $MLPTRAIN_FAULT_SEED, 0 by default, so that a failure repeats."""
    return random.Random(f"{os.environ.get('MLPTRAIN_FAULT_SEED', '0')} {request.node.nodeid}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _made:
        terminalreporter.section("attacks survived or refused")
        for kind, count in sorted(_made.items()):
            terminalreporter.line(f"{count:7,}  {kind}")
