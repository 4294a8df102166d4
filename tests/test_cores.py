"""Trainings of one machine take turns at its cores, and a training that other programs starve says so."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from mlptrain.spec import load_text
from mlptrain.system import cores
from mlptrain.system.cores import Pressure, Turns
from mlptrain.training.device import resolve_device

# Computes in turns until a second is over, and prints when each piece of computing began and ended.
_PROCESS = """
import sys, time
from pathlib import Path
from mlptrain.system import cores
cores.TURN = 0.05
turns = cores.Turns(int(sys.argv[1]), [0, 1], folder=Path(sys.argv[2]))
print("ready", flush=True)
end = time.monotonic() + 1.0
while time.monotonic() < end:
    turns.take(lambda: False)
    began = time.monotonic()
    time.sleep(0.005)
    print(began, time.monotonic(), flush=True)
"""


def _process(threads: int, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _PROCESS, str(threads), str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _pieces(process: subprocess.Popen[str]) -> list[tuple[float, float]]:
    lines = process.communicate(timeout=30)[0].splitlines()[1:]
    return [(float(began), float(ended)) for began, ended in map(str.split, lines)]


def _overlap(some: list[tuple[float, float]], others: list[tuple[float, float]]) -> float:
    """Seconds during which both computed."""
    return sum(max(0.0, min(a[1], b[1]) - max(a[0], b[0])) for a in some for b in others)


@pytest.mark.parametrize(("threads", "together"), [((2, 2), False), ((2, 1), False), ((1, 1), True), ((9, 2), False)])
def test_as_many_threads_compute_at_once_as_there_are_cores(
    threads: tuple[int, int], together: bool, tmp_path: Path
) -> None:
    both = [_process(number, tmp_path) for number in threads]
    some, others = map(_pieces, both)
    for pieces in (some, others):
        assert sum(ended - began for began, ended in pieces) > 0.2  # nobody is left out
    assert (_overlap(some, others) > 0.2) is together
    if not together:
        assert _overlap(some, others) == 0


def test_a_killed_process_leaves_its_turn_to_others(tmp_path: Path) -> None:
    with _process(2, tmp_path) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == "ready\n"
        assert killed.stdout.readline()  # it has the cores
        killed.kill()
        turns = Turns(2, [0, 1], folder=tmp_path)
        assert turns.take(lambda: False) < 1.0
        turns.close()


def test_nobody_waits_forever_for_a_stopped_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "PATIENCE", 0.3)
    with _process(2, tmp_path) as stopped:
        assert stopped.stdout is not None
        stopped.stdout.readline()
        assert stopped.stdout.readline()
        stopped.send_signal(signal.SIGSTOP)
        turns = Turns(2, [0, 1], folder=tmp_path)
        # The scheduler may stop it between two turns, when it holds nothing.
        assert turns.take(lambda: False) < 1.0
        assert turns.take(lambda: False) == 0.0
        turns.close()
        stopped.kill()


def test_waiting_ends_where_training_is_to_stop(tmp_path: Path) -> None:
    holder, waiting = Turns(1, [0], folder=tmp_path), Turns(1, [0], folder=tmp_path)
    assert holder.take(lambda: False) < 0.1
    assert waiting.take(lambda: True) < 5.0  # PATIENCE is 30
    holder.close()
    waiting.close()


def test_without_a_folder_for_all_there_are_no_turns(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    turns = Turns(2, [0, 1], folder=tmp_path / "file")
    assert turns.take(lambda: False) == 0.0
    turns.close()


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
@pytest.mark.parametrize(
    ("hidden", "rows", "threads"),
    [([32], 32, 1), ([64], 64, 1), ([500, 256], 64, 2), ([256, 256], "full", 2), ([3000], 1, 1)],
)
def test_threads_follow_the_arithmetic_of_a_step(hidden: list[int], rows: int | str, threads: int) -> None:
    """64 inputs, 10 classes: three products of 2·n·in·out operations for each weight matrix."""
    text = f"name: x\ndata: digits\nmodel: {{hidden: {hidden}}}\noptimizer: sgd\ntraining: {{batch_size: {rows}}}"
    experiment = load_text(text).experiment
    n = experiment.facts.train_rows if rows == "full" else int(rows)
    widths = [64, *hidden, 10]
    flops = sum(3 * 2 * n * a * b for a, b in pairwise(widths))
    assert experiment.step_flops == flops
    command = (
        "from mlptrain.training.device import resolve_device\n"
        f"print(resolve_device(device='cpu', precision='high', threads='auto', step_flops={flops}).threads)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    found = subprocess.run(
        ["taskset", "-c", "0,1", sys.executable, "-c", command],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(found.stdout) == threads
    assert resolve_device(device="cpu", precision="high", threads=5, step_flops=flops).threads == 5


def _compute(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def test_a_starved_training_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside as many busy processes on one core this one has a third of it; alone all of it."""
    monkeypatch.setattr(cores, "_WINDOW", 0.4)
    monkeypatch.setattr(cores, "_OFTEN", 10.0)  # the fewer, the more others there are
    before = os.sched_getaffinity(0)
    core = min(before)
    os.sched_setaffinity(0, {core})
    busy: list[subprocess.Popen[bytes]] = []
    try:
        command = ["taskset", "-c", str(core), sys.executable, "-c", "print(flush=True)\nwhile True: pass"]
        busy = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
        for process in busy:
            assert process.stdout is not None
            process.stdout.readline()
        one, two = Pressure(1), Pressure(2)
        _compute(0.2)
        assert one.note(0.0) == ""  # too early to tell
        _compute(0.5)
        note = one.note(0.0)
        assert "other programs take the cores: this training had one for" in note
        assert "threads=1" not in note
        assert "--set training.threads=1" in two.note(0.0)
    finally:
        for process in busy:
            process.kill()
            process.communicate()
        os.sched_setaffinity(0, before)


def test_waiting_for_turns_is_not_starving(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judged by the share of a core that this process had while it did not wait, whatever others take."""
    for name, value in (("_WINDOW", 0.1), ("_OFTEN", 0.0)):
        monkeypatch.setattr(cores, name, value)
    one, other = Pressure(1), Pressure(1)
    began, cpu = time.monotonic(), time.process_time()
    _compute(0.3)
    computing = time.monotonic() - began
    monkeypatch.setattr(cores, "_STARVED", 0.7 * (time.process_time() - cpu) / computing)
    time.sleep(2 * computing)
    assert one.note(2 * computing) == ""
    assert "other programs take the cores" in other.note(0.0)
