"""What the suite of faults shares: its two sizes, and a count of the attacks that is printed at the end."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

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


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Random numbers of the test's own: those of $MLPTRAIN_FAULT_SEED, 0 by default, so that a failure repeats."""
    return random.Random(f"{os.environ.get('MLPTRAIN_FAULT_SEED', '0')} {request.node.nodeid}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _made:
        terminalreporter.section("attacks survived or refused")
        for kind, count in sorted(_made.items()):
            terminalreporter.line(f"{count:7,}  {kind}")
