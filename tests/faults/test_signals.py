"""Ctrl-C, SIGTERM and SIGHUP at any moment: the end within two seconds, a message how to go on, and the same bytes."""

from __future__ import annotations

import os
import pty
import random
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlptrain.experiment import resume, resume_group
from mlptrain.experiment.checkpoints import load_checkpoint
from mlptrain.runs import SeedGroup, list_runs
from mlptrain.system.signals import INTERRUPTED
from tests.comparison.processes import LONGER as COMPARED
from tests.comparison.small import FIXED, write
from tests.faults.tools.processes import OF_A_RUN, Child, assert_same_files, command
from tests.faults.tools.unbroken import LONGER, SEEDS, Unbroken

Attacks = Callable[[str, int, int], Iterator[int]]
pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="signals are watched by Linux's /proc")
NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
RUN = Path("run")
SECONDS = 2.0


def has_begun(pid: int) -> bool:
    """Whether the process has a way to deal with SIGTERM."""
    found = re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())
    return found is not None and bool(int(found[1], 16) >> (signal.SIGTERM - 1) & 1)


def signalled(child: Child, number: signal.Signals, seconds: float, *, times: int = 1) -> int:
    """The exit code of a process that is sent a signal so many seconds after its beginning."""
    assert child.wait_until(lambda: has_begun(child.pid))
    child.process.join(seconds)
    sent = time.monotonic()
    for _ in range(times):
        if child.process.is_alive():
            os.kill(child.pid, number)
            child.process.join(0.002)
    code = child.end()
    assert time.monotonic() - sent < SECONDS
    assert code in (0, 130), child.told
    assert "Traceback" not in child.told
    assert "Exception ignored" not in child.told
    return code


def duration(place: Path, *arguments: str) -> float:
    """Seconds that a command takes when nobody disturbs it."""
    child = command(*arguments, folder=place)
    assert child.wait_until(lambda: has_begun(child.pid))
    begun = time.monotonic()
    assert child.end() == 0, child.told
    shutil.rmtree(RUN)
    return time.monotonic() - begun


def test_one_run(place: Path, unbroken: Unbroken, attacks: Attacks, chance: random.Random) -> None:
    arguments = ("train", "small.yaml", "--run-dir", str(RUN), *LONGER)
    seconds = duration(place, *arguments)
    for attempt in attacks("signals to train", 5, 60):
        child = command(*arguments, folder=place)
        times = 1 + attempt // len(NUMBERS) % 2
        code = signalled(child, NUMBERS[attempt % len(NUMBERS)], chance.uniform(0, seconds), times=times)
        if code == 130 and any(RUN.glob("*")):
            last_line = child.told.splitlines()[-1]
            assert last_line.endswith(f"resume with `mlptrain train --resume {RUN}`")
            assert not (RUN / "result.json").exists()
            assert list_runs(Path())[0].status == "interrupted"
            if kept := re.search(r"(\d+) of 40 epochs are saved", last_line):
                last = RUN / "checkpoints/last.safetensors"
                assert int(kept[1]) == (load_checkpoint(last).epoch if last.exists() else 0)
            else:
                assert times == 2
            resume(RUN)
        elif code == 130:
            assert child.told.splitlines()[-1].startswith(f"error: {INTERRUPTED}")
            continue
        assert_same_files(unbroken.longer_run, RUN, OF_A_RUN)
        assert not list(RUN.rglob(".*"))
        shutil.rmtree(RUN)


def press_twice_when_the_folder_is_made() -> None:
    make = os.mkdir

    def pressing(path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        make(path, mode, dir_fd=dir_fd)
        if Path(path).name == RUN.name:
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGINT)

    os.mkdir = pressing


def test_an_empty_folder_is_begun_by_the_same_command(place: Path, unbroken: Unbroken) -> None:
    arguments = ("train", "small.yaml", "--run-dir", str(RUN), *LONGER)
    child = command(*arguments, folder=place, first=press_twice_when_the_folder_is_made)
    assert child.end() == 130, child.told
    assert child.told.splitlines()[-1] == f"error: {INTERRUPTED}"
    assert not any(RUN.iterdir())
    child = command(*arguments, folder=place)
    assert child.end() == 0, child.told
    assert_same_files(unbroken.longer_run, RUN, OF_A_RUN)


def press_at_every_folder() -> None:
    """Ctrl-C whenever a folder is closed from the second epoch on: after a file in it is written, and by its lock."""
    close, metrics = os.close, RUN / "metrics.jsonl"

    def pressing(fd: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(fd).st_mode)
        close(fd)
        if is_folder and metrics.exists() and metrics.read_bytes().count(b"\n") > 2:
            os.kill(os.getpid(), signal.SIGINT)

    os.close = pressing


def test_pressed_again_and_again(place: Path, unbroken: Unbroken) -> None:
    child = command("train", "small.yaml", "--run-dir", str(RUN), *LONGER, folder=place, first=press_at_every_folder)
    assert child.end() == 130, child.told
    assert "Traceback" not in child.told
    assert child.told.splitlines()[-1].endswith(f"resume with `mlptrain train --resume {RUN}`")
    resume(RUN)
    assert_same_files(unbroken.longer_run, RUN, OF_A_RUN)


PRESS = "os.kill(os.getpid(), signal.SIGINT); [0] * 1000"
MOMENTS = {
    # As the methods of dataclasses are: under `python -m` Python would end itself by SIGINT then.
    "in code that was a string": (f"exec({PRESS!r}, globals())", 130),
    "in an import that swallows it": ("import swallows", 130),
    "in C code that makes something else of it": (
        f"import os\ntry: {PRESS}\nexcept BaseException: raise ValueError",
        130,
    ),
    "in a callback that cannot raise": (
        f"import weakref, time\nclass Thing: pass\nthing = Thing()\n"
        f"kept = weakref.ref(thing, lambda _: ({PRESS.split(';')[0]}, [0] * 1000))\ndel thing\ntime.sleep(1)",
        130,
    ),
    "when all is said": ("atexit.register(os.kill, os.getpid(), signal.SIGINT)", 0),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_at_moments_where_python_has_ways_of_its_own(place: Path, moment: str) -> None:
    act, wanted = MOMENTS[moment]
    (place / "swallows.py").write_text(f"import os, signal\ntry: {PRESS}\nexcept BaseException: pass\n")
    acts = "".join(f"    {line}\n" for line in act.splitlines())
    (place / "press.py").write_text(
        "import atexit, os, signal\nfrom mlptrain import spec\nfrom mlptrain.cli import main\nload = spec.load_spec\n"
        f"def press(*arguments, **options):\n{acts}    return load(*arguments, **options)\n"
        "spec.load_spec = press\nmain(['check', 'small.yaml'])\n"
    )
    ended = subprocess.run([sys.executable, "-m", "press"], capture_output=True, text=True)
    assert (ended.returncode, "no faults" in ended.stdout) == (wanted, wanted == 0), ended
    assert ended.stderr == ("" if wanted == 0 else f"error: {INTERRUPTED}\n")


def test_several_seeds(place: Path, unbroken: Unbroken, attacks: Attacks, chance: random.Random) -> None:
    arguments = ("train", "small.yaml", "--run-dir", str(RUN), "--seeds", ",".join(map(str, SEEDS)), *LONGER)
    seconds = duration(place, *arguments)
    for attempt in attacks("signals to train --seeds", 3, 50):
        child = command(*arguments, folder=place)
        code = signalled(child, NUMBERS[attempt % len(NUMBERS)], chance.uniform(0, seconds))
        if code == 130 and RUN.exists():
            assert child.told.splitlines()[-1].endswith(f"resume with `mlptrain train --resume {RUN}`")
            assert SeedGroup.is_group(RUN)
            resume_group(RUN)
        elif code == 130:
            continue
        assert_same_files(unbroken.longer_seeds, RUN, ("seeds.json", "summary.json"))
        for seed in SEEDS:
            assert_same_files(unbroken.longer_seeds / f"seed-{seed}", RUN / f"seed-{seed}", OF_A_RUN)
        assert not list(RUN.rglob(".*"))
        shutil.rmtree(RUN)


def test_a_comparison(place: Path, unbroken: Unbroken, attacks: Attacks, chance: random.Random) -> None:
    arguments = ("compare-optimizers", str(write(FIXED, place, base=COMPARED)), "--run-dir", str(RUN))
    seconds = duration(place, *arguments)
    for attempt in attacks("signals to compare-optimizers", 3, 50):
        child = command(*arguments, folder=place)
        if signalled(child, NUMBERS[attempt % len(NUMBERS)], chance.uniform(0, seconds)) == 130:
            told = child.told.splitlines()[-1]
            assert told.endswith(("Rerun the same command to resume", INTERRUPTED))
            again = command(*arguments, folder=place)
            assert again.end() == 0, again.told
        assert_same_files(unbroken.longer_comparison, RUN, ("plan.yaml", "trials.jsonl", "summary.json"))
        assert not list(RUN.rglob(".*"))
        shutil.rmtree(RUN)


def test_the_real_command(place: Path, unbroken: Unbroken, attacks: Attacks, chance: random.Random) -> None:
    """Also while torch is imported and the data are read."""
    for attempt in attacks("signals to train as a process from scratch", 2, 20):
        with place.with_name("told").open("w") as told:
            process = subprocess.Popen(
                [sys.executable, "-m", "mlptrain", "train", "small.yaml", "--run-dir", str(RUN), *LONGER],
                stdout=told,
                stderr=told,
            )
        deadline = time.monotonic() + 60
        while not has_begun(process.pid):
            assert time.monotonic() < deadline
            time.sleep(0.005)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(chance.uniform(0, 0.8))  # importing torch alone takes longer
        process.send_signal(NUMBERS[attempt % len(NUMBERS)])
        sent = time.monotonic()
        code = process.wait(60)
        assert time.monotonic() - sent < SECONDS
        text = place.with_name("told").read_text()
        assert code == 130, text
        assert "Traceback" not in text
        assert "Exception ignored" not in text
        if RUN.exists():
            resume(RUN)
            assert_same_files(unbroken.longer_run, RUN, OF_A_RUN)
            shutil.rmtree(RUN)


def ignore_all_but_one() -> None:
    """As `nohup` and the background of a script do."""
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


@pytest.mark.parametrize("what", ["train", "compare-optimizers"])
def test_what_was_ignored_at_the_start_stays_ignored(place: Path, unbroken: Unbroken, what: str) -> None:
    arguments: tuple[str, ...] = ("train", "small.yaml", "--run-dir", str(RUN), *LONGER)
    files: tuple[str, ...] = OF_A_RUN
    whole, begun = unbroken.longer_run, RUN / "metrics.jsonl"
    if what == "compare-optimizers":
        arguments = (what, str(write(FIXED, place, base=COMPARED)), "--run-dir", str(RUN))
        whole, files, begun = unbroken.longer_comparison, ("plan.yaml", "trials.jsonl"), RUN / "plan.yaml"
    child = command(*arguments, folder=place, first=ignore_all_but_one)
    assert child.wait_until(begun.exists)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGHUP, signal.SIGINT):
        os.kill(child.pid, number)
        child.process.join(0.02)
    assert child.end() == 0, child.told
    assert_same_files(whole, RUN, files)
    shutil.rmtree(RUN)

    child = command(*arguments, folder=place, first=ignore_all_but_one)
    assert child.wait_until(begun.exists)
    os.kill(child.pid, signal.SIGTERM)  # which nohup leaves alone
    assert child.end() in (0, 130)


def test_a_terminal_that_is_closed(place: Path, unbroken: Unbroken) -> None:
    """As one whose only program is the command; a shell in it passes the signal on."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(
            sys.executable, [sys.executable, "-m", "mlptrain", "train", "small.yaml", "--run-dir", str(RUN), *LONGER]
        )
    deadline = time.monotonic() + 60
    while not (RUN / "metrics.jsonl").exists():
        assert time.monotonic() < deadline
        os.read(terminal, 65_536)
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 130
    resume(RUN)
    assert_same_files(unbroken.longer_run, RUN, OF_A_RUN)
