"""What all tests share."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.command import Call, Result

if TYPE_CHECKING:
    from tests.data.mirrors import Mirrors


ATTACKS = "attacks"  # a property of a test's report: how many it made of each kind

if "PYTEST_XDIST_WORKER" in os.environ:
    # Before torch is imported, and for the processes that tests start: teams of threads that share the cores with
    # those of another worker wait for one another, which makes small products twenty times slower. Tests of several
    # threads ask for them; those that wait leave their core soon, as under the command line.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")


# The same examples every time; `--hypothesis-profile=default` looks for new ones.
settings.register_profile("repeated", derandomize=True)
settings.load_profile("repeated")

os.environ.pop("COLUMNS", None)  # which pytest-xdist exports, and which tables obey


def heed_signals() -> None:
    """What is ignored at the start stays ignored, here and in the processes that tests start.

    A shell ignores Ctrl-C in what it runs in the background, and so does the command line at its end.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number is signal.SIGINT else signal.SIG_DFL)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--faults",
        choices=["short", "full"],
        default="short",
        help="how many attacks tests/faults makes: short in every run of the tests, full on request",
    )


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    heed_signals()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the real MNIST and Fashion-MNIST, shared by all tests: read it, damage nothing in it."""
    named = os.environ.get("MLPTRAIN_DATA_DIR")
    if not named:
        pytest.skip("MLPTRAIN_DATA_DIR is not set: no real MNIST and Fashion-MNIST to test with")
    # A copy, since the first reading unpacks the archives in place.
    folder = tmp_path_factory.mktemp("data")
    for file in Path(named).glob("*/raw/*-ubyte*"):
        copy = folder / file.relative_to(named)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
    return folder


@pytest.fixture
def mirrors(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirrors]:
    """Mirrors of MNIST on the loopback."""
    from tests.data.mirrors import serving  # here: not every file of tests needs numpy

    monkeypatch.setenv("no_proxy", "*")
    with serving(data_dir / "MNIST" / "raw") as server:
        yield server


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str]) -> Call:
    """``call("train", "x.yaml")`` is the command with these arguments; it ends without a traceback."""

    def run(*arguments: str) -> Result:
        from mlptrain.cli import main

        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        heed_signals()
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        code = ended.value.code
        assert isinstance(code, int) or code is None
        return Result(code or 0, out, err)

    return run


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many attacks tests/faults made. Here: the process that hands the tests to others loads no other conftest."""
    made: Counter[str] = Counter()
    for report in itertools.chain.from_iterable(terminalreporter.stats.values()):
        if isinstance(report, pytest.TestReport) and report.when == "call":
            for name, counts in report.user_properties:
                if name == ATTACKS and isinstance(counts, dict):
                    made.update(counts)
    if made:
        terminalreporter.section("attacks survived or refused")
        for kind, count in sorted(made.items()):
            terminalreporter.line(f"{count:7,}  {kind}")
