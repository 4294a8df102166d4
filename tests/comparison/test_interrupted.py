"""Killed, stopped or out of disk at any moment, the same command ends with the same bytes."""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import signal
import time
from collections.abc import Iterator
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from mlptrain.cli import main
from tests.comparison.small import BASE, TUNED, Result, compare, write

LONGER = BASE.replace("hidden: [8]", "hidden: [32]").replace("epochs: 2", "epochs: 15")  # a second and a half
TEXT = TUNED.replace("[0.03, 0.3, 3.0]", "[0.01, 0.03, 0.1]")  # which SGD's best lies above
BATCHES = 3 + 3 + 3  # tuning, an extension, scoring
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["torch", "mlptrain.comparison.protocol", "mlptrain.parts", "scipy.stats", __name__])


def command(arguments: list[str], errors: str, largest_file: int | None) -> None:
    """`mlptrain` in a process of its own."""
    os.setpgid(0, 0)
    descriptor = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    if largest_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    main(arguments)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "comparison"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return compare(TEXT, tmp_path_factory.mktemp("undisturbed"), base=LONGER)


def started(place: Path, *options: str, largest_file: int | None = None) -> ForkServerProcess:
    config = write(TEXT, place.parent, base=LONGER)
    arguments = ["compare-optimizers", str(config), "--run-dir", str(place), *options]
    process = FORKS.Process(target=command, args=(arguments, str(errors_of(place)), largest_file))
    process.start()
    return process


def errors_of(place: Path) -> Path:
    return place.parent / "errors.txt"


def ended(process: ForkServerProcess) -> int | None:
    process.join(60)
    return process.exitcode


def trials(place: Path) -> int:
    file = place / "trials.jsonl"
    return file.read_bytes().count(b"\n") if file.is_file() else 0


def until_some_are_on_record(place: Path, process: ForkServerProcess, wanted: int) -> None:
    deadline = time.monotonic() + 60
    while trials(place) < wanted:
        assert process.is_alive(), errors_of(place).read_text()
        assert time.monotonic() < deadline
        time.sleep(0.002)


def moments() -> Iterator[tuple[int, float]]:
    """Three of them: how many trials are on record, and how many seconds later."""
    chance = random.Random(20)
    for most in (8, 25, 33):  # in the first tuning batch, in later ones, in the extension or in scoring
        yield chance.randint(most - 8, most), chance.uniform(0, 0.05)


def test_killed_at_three_random_moments(place: Path, undisturbed: Result) -> None:
    assert len({record["batch"] for record in undisturbed.records}) == BATCHES
    for wanted, later in moments():
        process = started(place)
        until_some_are_on_record(place, process, wanted)
        time.sleep(later)
        process.kill()
        assert ended(process) == -signal.SIGKILL
        assert not (place / "summary.json").exists()
    assert ended(started(place)) == 0
    assert Result(place).bytes == undisturbed.bytes


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_soon_and_the_same_command_goes_on(
    place: Path, undisturbed: Result, number: signal.Signals
) -> None:
    process = started(place)
    until_some_are_on_record(place, process, 9)
    sent = time.monotonic()
    assert process.pid is not None
    os.kill(process.pid, number)
    assert ended(process) == 130
    assert time.monotonic() - sent < 2
    assert not (place / "summary.json").exists()
    [told] = [line for line in errors_of(place).read_text().splitlines() if "stopped by a signal" in line]
    assert told.endswith("every finished batch of trials is kept, the same command goes on")
    kept = trials(place)
    assert kept >= 9
    assert ended(started(place)) == 0
    assert f"tuning: 27 trials, {min(kept, 27)} of them on record" in errors_of(place).read_text()
    assert Result(place).bytes == undisturbed.bytes


def test_a_full_disk_is_one_message_and_the_same_command_goes_on(place: Path, undisturbed: Result) -> None:
    process = started(place, largest_file=3 * len(b"".join(undisturbed.lines)) // BATCHES)
    assert ended(process) == 1
    [told] = [line for line in errors_of(place).read_text().splitlines() if line.startswith("error: ")]
    assert "File too large" in told
    assert "the same command goes on" in told
    assert 9 <= trials(place) < len(undisturbed.lines)
    assert ended(started(place)) == 0
    assert Result(place).bytes == undisturbed.bytes
