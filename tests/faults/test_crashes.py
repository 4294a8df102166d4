"""Killed at any moment and gone on with, a run ends with the bytes of one that was left in peace."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlptrain.errors import RunFolderError
from mlptrain.experiment import resume, resume_group, train, train_seeds
from mlptrain.experiment.checkpoints import load_checkpoint
from mlptrain.runs import SeedGroup
from mlptrain.spec import load_text
from tests.faults.tools.processes import OF_A_RUN, SMALL, Child, KillAt, KillInWrite, command
from tests.faults.tools.unbroken import LONGER, SEEDS, Unbroken

Attacks = Callable[[str, int, int], Iterator[int]]
BEGIN = ("train", "small.yaml", "--run-dir", "run")
RESUME = ("train", "--resume", "run")
BEGIN_SEEDS = (*BEGIN, "--seeds", ",".join(map(str, SEEDS)))


def touches(place: Path, *arguments: str) -> int:
    """How often a command touches a file when nobody disturbs it."""
    tally = place.with_name("tally")
    assert command(*arguments, folder=place, first=KillAt(tally=str(tally))).end() == 0
    shutil.rmtree(place / "run")
    return tally.stat().st_size


def assert_same_run(one: Path, other: Path) -> None:
    for name in OF_A_RUN:
        assert (one / name).read_bytes() == (other / name).read_bytes(), f"{other / name}"


def assert_nothing_is_left(folder: Path) -> None:
    assert [path for path in folder.rglob("*") if path.name.startswith(".")] == []


def assert_readable(run: Path) -> None:
    """Whatever stands under the name of a checkpoint is a whole one."""
    for name in ("last", "best"):
        if (path := run / f"checkpoints/{name}.safetensors").exists():
            load_checkpoint(path)


def go_on() -> None:
    """What a user does after a crash: resume, or begin again where there is nothing to resume yet."""
    run = Path("run")
    if (run / "resolved.yaml").exists():
        if not (run / "result.json").exists():
            resume(run)
        return
    with pytest.raises(RunFolderError, match=r"no such run folder|has no resolved.yaml"):
        resume(run)
    if run.is_dir() and any(run.iterdir()):
        with pytest.raises(RunFolderError, match="exists and is not empty; name a new folder"):
            train(Path("small.yaml"), run_dir=run)
        shutil.rmtree(run)
    train(Path("small.yaml"), run_dir=run)


def chosen(chance: random.Random, count: int) -> Iterator[int]:
    """The numbers 1 to ``count`` by chance, each once before any comes again."""
    while True:
        yield from chance.sample(range(1, count + 1), count)


def test_killed_at_any_touch_of_a_file(
    place: Path, unbroken: Unbroken, attacks: Attacks, chance: random.Random
) -> None:
    """Before and after every opening, syncing and renaming; every second time the resumed run is killed as well."""
    numbers = chosen(chance, touches(place, *BEGIN))
    for number in attacks("kills of train at a touch of a file", 5, 100):
        touch = next(numbers)
        assert command(*BEGIN, folder=place, first=KillAt(touch)).end() == -signal.SIGKILL
        assert_readable(Path("run"))
        if number % 2 and Path("run/resolved.yaml").exists() and not Path("run/result.json").exists():
            again = KillAt(chance.randint(1, 40))
            assert command(*RESUME, folder=place, first=again).end() in (0, -signal.SIGKILL)
            assert_readable(Path("run"))
        go_on()
        assert_same_run(unbroken.run, Path("run"))
        assert_nothing_is_left(place)
        shutil.rmtree("run")


def test_killed_in_the_middle_of_a_write(
    place: Path, unbroken: Unbroken, attacks: Attacks, chance: random.Random
) -> None:
    largest = max((unbroken.run / name).stat().st_size for name in OF_A_RUN)
    for _ in attacks("kills of train in the middle of a write", 2, 50):
        size = chance.randint(100, largest - 1)
        assert command(*BEGIN, folder=place, first=KillInWrite(size)).end() == -signal.SIGXFSZ
        assert_readable(Path("run"))
        go_on()
        assert_same_run(unbroken.run, Path("run"))
        assert_nothing_is_left(place)
        shutil.rmtree("run")


def test_killed_at_a_random_moment(place: Path, unbroken: Unbroken, attacks: Attacks, chance: random.Random) -> None:
    started = time.monotonic()
    assert command(*BEGIN, *LONGER, folder=place).end() == 0
    seconds = time.monotonic() - started
    shutil.rmtree("run")
    for _ in attacks("kills of train at a random moment", 2, 50):
        child = command(*BEGIN, *LONGER, folder=place)
        time.sleep(chance.uniform(0, seconds))
        child.kill()
        assert_readable(Path("run"))
        go_on_as(*BEGIN, *LONGER)
        assert_same_run(unbroken.longer_run, Path("run"))
        assert_nothing_is_left(place)
        shutil.rmtree("run")


def test_killed_while_its_figures_decide_on_its_rate_and_its_end(
    place: Path, attacks: Attacks, chance: random.Random
) -> None:
    """At any touch of a file, of which the last are those after its last step, and in any step."""
    changes = ["training.epochs=99", "training.early_stopping=3", "optimizer.lr=0.1"]
    changes.append("schedule={name: plateau, patience: 0, factor: 0.7}")
    begin = (*BEGIN, *(word for change in changes for word in ("--set", change)))
    train(load_text(SMALL, overrides=changes), run_dir=place.parent / "whole")
    log = (place.parent / "whole/metrics.jsonl").read_text().splitlines()
    assert len({json.loads(line)["lr"] for line in log}) > 2
    assert len(log) < 99
    started = time.monotonic()
    count = touches(place, *begin)
    seconds = time.monotonic() - started
    for number in attacks("kills of train that stops early", 2, 60):
        at = chance.randint(count - 12 if number % 4 == 1 else 1, count)
        child = command(*begin, folder=place, first=KillAt(at if number % 2 else 0))
        if number % 2 == 0:
            time.sleep(chance.uniform(0, seconds))
            child.kill()
        assert child.end() == -signal.SIGKILL or number % 2 == 0
        go_on_as(*begin)
        assert_same_run(place.parent / "whole", Path("run"))
        shutil.rmtree("run")


def go_on_as(*begin: str) -> None:
    """Resume what there is, or begin again with the same command."""
    run = Path("run")
    if not (run / "resolved.yaml").exists():
        shutil.rmtree(run, ignore_errors=True)
        assert command(*begin, folder=Path.cwd()).end() == 0
    elif not (run / "result.json").exists():
        resume(run)


def test_the_real_command_is_killed(place: Path, attacks: Attacks, chance: random.Random) -> None:
    epochs = ("--set", "training.epochs=400")
    train(load_text(SMALL, overrides=epochs[1:]), run_dir=Path("whole"))
    for _ in attacks("kills of train as a process from scratch", 1, 5):
        process = subprocess.Popen(
            [sys.executable, "-m", "mlptrain", *BEGIN, *epochs], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 60
        while not Path("run/resolved.yaml").exists():
            assert time.monotonic() < deadline
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.5))
        process.kill()
        process.wait()
        assert_readable(Path("run"))
        go_on()
        assert_same_run(Path("whole"), Path("run"))
        assert_nothing_is_left(place)
        shutil.rmtree("run")


def test_several_seeds_killed_at_any_touch_of_a_file(
    place: Path, unbroken: Unbroken, attacks: Attacks, chance: random.Random
) -> None:
    numbers = chosen(chance, touches(place, *BEGIN_SEEDS))
    for _ in attacks("kills of train --seeds at a touch of a file", 2, 50):
        assert command(*BEGIN_SEEDS, folder=place, first=KillAt(next(numbers))).end() == -signal.SIGKILL
        for seed in SEEDS:
            assert_readable(Path(f"run/seed-{seed}"))
        if SeedGroup.is_group(Path("run")):
            if not Path("run/summary.json").exists():
                resume_group("run")
        else:
            shutil.rmtree("run", ignore_errors=True)
            train_seeds(Path("small.yaml"), SEEDS, run_dir=Path("run"))
        for name in ("seeds.json", "summary.json"):
            assert (unbroken.seeds / name).read_bytes() == Path("run", name).read_bytes()
        for seed in SEEDS:
            assert_same_run(unbroken.seeds / f"seed-{seed}", Path(f"run/seed-{seed}"))
        assert_nothing_is_left(place)
        shutil.rmtree("run")


def test_a_reader_never_sees_half_a_checkpoint(place: Path, attacks: Attacks) -> None:
    child: Child = command(*BEGIN, *LONGER[2:], "--set", "training.epochs=1000000", folder=place)
    last = Path("run/checkpoints/last.safetensors")
    assert child.wait_until(last.exists)
    epochs = []
    for _ in attacks("readings of a checkpoint that is being written", 100, 2000):
        epochs.append(load_checkpoint(last).epoch)
        if len(epochs) % 20 == 0:  # there are others to read, however busy the machine is
            child.wait_until(lambda: load_checkpoint(last).epoch > epochs[-1])
    child.kill()
    assert epochs == sorted(epochs)
    assert len(set(epochs)) >= len(epochs) // 20
