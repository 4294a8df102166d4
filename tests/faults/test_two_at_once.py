"""Processes that want the same at the same time: each gets its own, or one gets it and the others are told."""

from __future__ import annotations

import random
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mlptrain.errors import InterruptedRunError
from mlptrain.experiment import train, train_seeds
from mlptrain.runs import list_runs
from mlptrain.spec import load_text
from tests.comparison.small import FIXED, write
from tests.faults.tools.processes import OF_A_RUN, SMALL, Child, assert_same_files, command
from tests.faults.tools.unbroken import SEEDS, Unbroken
from tests.listeners import interrupting

Attacks = Callable[[str, int, int], Iterator[int]]
RUN = Path("run")


@dataclass(frozen=True)
class Gate:
    """Holds its process until the file is there; ``same_draws`` makes all that pass draw the same random names."""

    path: str = "gate"
    same_draws: bool = False

    def __call__(self) -> None:
        if self.same_draws:
            draws = random.Random(0)
            secrets.token_hex = lambda nbytes=32: draws.randbytes(nbytes or 32).hex()
        while not Path(self.path).exists():
            time.sleep(0.0005)


def at_once(place: Path, *arguments: str, processes: int = 2, same_draws: bool = False) -> list[tuple[int, str]]:
    """Exit codes and output of so many processes that do the same at the same time, the refused ones last."""
    gate = Path("gate")
    children = [command(*arguments, folder=place, first=Gate(same_draws=same_draws)) for _ in range(processes)]
    time.sleep(0.1)  # all of them wait
    gate.touch()
    ended = sorted((child.end(), child.told) for child in children)
    gate.unlink()
    for _, told in ended:
        assert "Traceback" not in told
        assert "internal error" not in told
    return ended


def assert_one_was_refused(ended: list[tuple[int, str]], *reasons: str) -> None:
    assert [code for code, _ in ended] == [0, 2], ended
    [told] = [line for line in ended[1][1].splitlines() if line.startswith("error: ")]
    assert any(reason in told for reason in reasons), told


def test_twenty_runs_begin_in_the_same_second(place: Path, unbroken: Unbroken, attacks: Attacks) -> None:
    for attempt in attacks("twenty runs begun at once", 1, 6):
        ended = at_once(place, "train", "small.yaml", processes=20, same_draws=attempt % 2 == 0)
        assert [code for code, _ in ended] == [0] * 20, ended
        runs = list_runs(Path("runs"))
        assert [run.status for run in runs] == ["completed"] * 20
        assert sorted(Path("runs").iterdir()) == sorted(run.path for run in runs)
        for run in runs:
            assert_same_files(unbroken.run, run.path, OF_A_RUN)
        shutil.rmtree("runs")


def test_two_begin_in_one_folder(place: Path, unbroken: Unbroken, attacks: Attacks) -> None:
    for _ in attacks("two runs begun in one folder", 2, 50):
        ended = at_once(place, "train", "small.yaml", "--run-dir", str(RUN))
        assert_one_was_refused(ended, "is being trained by another process", "exists and is not empty")
        assert_same_files(unbroken.run, RUN, OF_A_RUN)
        shutil.rmtree(RUN)


def test_two_go_on_with_one_run(place: Path, unbroken: Unbroken, attacks: Attacks) -> None:
    with pytest.raises(InterruptedRunError):
        train(load_text(SMALL), run_dir=Path("part"), listeners=[interrupting(1)])
    for _ in attacks("two --resume of one run", 2, 50):
        shutil.copytree("part", RUN)
        ended = at_once(place, "train", "--resume", str(RUN))
        assert_one_was_refused(ended, "is being trained by another process", "is complete after epoch 4")
        assert_same_files(unbroken.run, RUN, OF_A_RUN)
        shutil.rmtree(RUN)


def test_two_go_on_with_one_group(place: Path, unbroken: Unbroken, attacks: Attacks) -> None:
    with pytest.raises(InterruptedRunError):
        train_seeds(load_text(SMALL), SEEDS, run_dir=Path("part"), listeners=[interrupting(1)])
    for _ in attacks("two --resume of one group of seeds", 1, 30):
        shutil.copytree("part", RUN)
        ended = at_once(place, "train", "--resume", str(RUN))
        assert_one_was_refused(ended, "is being trained by another process", "is complete")
        for seed in SEEDS:
            assert_same_files(unbroken.seeds / f"seed-{seed}", RUN / f"seed-{seed}", OF_A_RUN)
        shutil.rmtree(RUN)


def test_the_lock_lives_and_dies_with_its_owner(place: Path, attacks: Attacks, chance: random.Random) -> None:
    for attempt in attacks("owners of a run killed", 2, 50):
        seeds = ("--seeds", "1,2") if attempt % 2 else ()
        owner = command(
            "train", "small.yaml", "--run-dir", str(RUN), *seeds, "--set", "training.epochs=1000000", folder=place
        )
        log = RUN / ("seed-1/metrics.jsonl" if seeds else "metrics.jsonl")
        lines = chance.randint(1, 20)
        assert owner.wait_until(lambda log=log, lines=lines: log.exists() and log.read_bytes().count(b"\n") >= lines)  # type: ignore[misc]
        assert {run.status for run in list_runs(Path("run") if seeds else Path())} == {"running"}
        more = ("--set", "training.epochs=1000001")
        second = command("train", "--resume", str(RUN), *more, folder=place)
        assert (second.end(), "by another process" in second.told) == (2, True), second.told
        before = log.read_bytes()
        assert owner.wait_until(lambda log=log, before=before: len(log.read_bytes()) > len(before))  # type: ignore[misc]
        owner.kill()
        assert {run.status for run in list_runs(Path("run") if seeds else Path())} == {"interrupted"}
        heir: Child = command("train", "--resume", str(RUN), *more, folder=place)
        lines = log.read_bytes().count(b"\n") + 5
        assert heir.wait_until(lambda log=log, lines=lines: log.read_bytes().count(b"\n") >= lines)  # type: ignore[misc]
        heir.kill()
        shutil.rmtree(RUN)


def test_two_comparisons_of_one_plan(place: Path, unbroken: Unbroken, attacks: Attacks) -> None:
    config = write(FIXED, place).name
    for _ in attacks("two compare-optimizers of one plan", 1, 30):
        ended = at_once(place, "compare-optimizers", config, "--run-dir", str(RUN))
        if [code for code, _ in ended] != [0, 0]:  # the second may come after the first has ended
            assert_one_was_refused(ended, "by another process")
        assert_same_files(unbroken.comparison, RUN, ("plan.yaml", "trials.jsonl", "summary.json"))
        assert not list(RUN.rglob(".*"))
        shutil.rmtree(RUN)
