"""Disks that turn read-only, folders that vanish or are forbidden while in use: a message, and nothing lost."""

from __future__ import annotations

import os
import random
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlptrain.errors import InterruptedRunError
from mlptrain.experiment import recorder, train
from mlptrain.experiment.checkpoints import load_checkpoint
from mlptrain.spec import load_text
from tests.faults.tools.disks import disk, make_read_only, make_writable, own_mounts, skip_without_own_mounts
from tests.faults.tools.processes import OF_A_RUN, SMALL, Child, assert_same_files, call, one_error
from tests.faults.tools.unbroken import LONGER, Unbroken
from tests.listeners import interrupting

Attacks = Callable[[str, int, int], Iterator[int]]
RUN, DISK, METRICS = Path("disk/run"), Path("disk"), Path("disk/run/metrics.jsonl")
BEGIN = ("train", "small.yaml", "--run-dir", str(RUN))
NOBODY = 65534


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "place"
    (folder / "disk").mkdir(parents=True)
    (folder / "small.yaml").write_text(SMALL)
    return folder


def in_a_process(place: Path, function: Callable[..., None], *arguments: object, mounts: bool = True) -> None:
    """Run a function of this file in a process of its own; its failures are the test's."""
    child = Child(_in_a_process, function, arguments, mounts, folder=place)
    assert child.end(600) == 0, child.told


def _in_a_process(function: Callable[..., None], arguments: tuple[object, ...], mounts: bool) -> None:
    recorder.SECONDS_BETWEEN_CHECKPOINTS = 0.0
    if mounts:
        own_mounts()
    function(*arguments)


def interrupted_run(path: Path) -> None:
    """A run that Ctrl-C stopped after two of its four epochs, and a file that a killed process left half-written."""

    with pytest.raises(InterruptedRunError):
        train(load_text(SMALL), run_dir=path, listeners=[interrupting(2)])
    (path / "checkpoints/.last.safetensors.0123abcd.tmp").write_bytes(b"half")


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def a_read_only_disk(unbroken: Path) -> None:
    with disk(DISK):
        shutil.copytree(unbroken, "disk/whole")
        interrupted_run(Path("disk/part"))
        before = contents(DISK)
        make_read_only(DISK)
        for arguments in (BEGIN, (*BEGIN, "--seeds", "1,2"), ("train", "--resume", "disk/part")):
            code, _, errors = call(*arguments)
            assert code == 1, errors
            assert "Read-only file system. Make it writable" in one_error(errors)
        for reading in (("eval", "disk/whole"), ("predict", "disk/whole", "--index", "0"), ("runs", "disk")):
            assert call(*reading)[0] == 0
        assert contents(DISK) == before
        make_writable(DISK)
        assert call("train", "--resume", "disk/part")[0] == 0
        assert_same_files(unbroken, Path("disk/part"), OF_A_RUN)
        assert not list(Path("disk/part").rglob(".*"))


def test_a_read_only_disk(place: Path, unbroken: Unbroken) -> None:
    skip_without_own_mounts(place)
    in_a_process(place, a_read_only_disk, unbroken.run)


def while_training(lines: int, act: Callable[[], None]) -> tuple[int, str]:
    """Exit code and standard error of a run during which something happens once its log has so many lines."""

    def watch() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if METRICS.exists() and METRICS.read_bytes().count(b"\n") >= lines:
                break
            time.sleep(0.001)
        act()

    watcher = threading.Thread(target=watch)
    watcher.start()
    code, _, errors = call(*BEGIN, *LONGER)
    watcher.join()
    return code, errors


def until_it_works(act: Callable[[], object]) -> None:
    """A disk is busy, and a folder not empty, while a file is being written."""
    deadline = time.monotonic() + 60
    while True:
        try:
            act()
        except OSError:
            assert time.monotonic() < deadline
        else:
            return


def disks_that_turn_read_only(lines: list[int], unbroken: Path) -> None:
    for count in lines:
        with disk(DISK):
            code, errors = while_training(count, lambda: until_it_works(lambda: make_read_only(DISK)))
            if code != 0:
                assert code == 1, errors
                told = one_error(errors)
                assert "Read-only file system. Make it writable" in told
                assert f"`mlptrain train --resume {RUN}`" in told
                assert load_checkpoint(RUN / "checkpoints/last.safetensors").epoch >= count - 2
                make_writable(DISK)
                assert call("train", "--resume", str(RUN))[0] == 0
            assert_same_files(unbroken, RUN, OF_A_RUN)


def test_a_disk_that_turns_read_only(place: Path, unbroken: Unbroken, attacks: Attacks, chance: random.Random) -> None:
    skip_without_own_mounts(place)
    lines = [chance.randint(2, 35) for _ in attacks("disks that turn read-only under train", 2, 50)]
    in_a_process(place, disks_that_turn_read_only, lines, unbroken.longer_run)


def folders_that_are_moved(lines: list[int], unbroken: Path) -> None:
    for count in lines:
        code, errors = while_training(count, lambda: until_it_works(lambda: RUN.rename("elsewhere")))
        if code != 0:
            assert code == 1, errors
            assert f"{RUN} has vanished. Put it back, then resume with `mlptrain train --resume" in one_error(errors)
            assert not RUN.exists()  # and is not made anew
            assert call("train", "--resume", "elsewhere")[0] == 0
        assert_same_files(unbroken, Path("elsewhere"), OF_A_RUN)
        shutil.rmtree("elsewhere")


def test_a_run_folder_that_is_moved_away(
    place: Path, unbroken: Unbroken, attacks: Attacks, chance: random.Random
) -> None:
    lines = [chance.randint(2, 35) for _ in attacks("run folders moved away in mid-run", 2, 50)]
    in_a_process(place, folders_that_are_moved, lines, unbroken.longer_run, mounts=False)


def things_that_are_deleted(choices: list[tuple[str, int]], unbroken: Path) -> None:
    for name, count in choices:
        gone = RUN / name

        def delete(gone: Path = gone) -> None:
            until_it_works(gone.unlink if gone.is_file() else lambda: shutil.rmtree(gone))

        code, errors = while_training(count, delete)
        if code != 0:
            assert code == 1, errors
            assert re.search(rf"{gone}\S* has vanished|a file in {RUN} has vanished", one_error(errors)), errors
            assert not gone.exists()
            if name == "checkpoints":
                gone.mkdir()  # as the message says: put back, here empty
                (RUN / "steps.npz").unlink(missing_ok=True)
                assert call("train", "--resume", str(RUN))[0] == 0
                assert_same_files(unbroken, RUN, OF_A_RUN)
        shutil.rmtree(RUN, ignore_errors=True)


def test_parts_of_a_run_folder_that_are_deleted(
    place: Path, unbroken: Unbroken, attacks: Attacks, chance: random.Random
) -> None:
    names = ("", "checkpoints", "metrics.jsonl", "timings.jsonl")
    choices = [(names[number % 4], chance.randint(2, 35)) for number in attacks("parts of run folders deleted", 4, 60)]
    in_a_process(place, things_that_are_deleted, choices, unbroken.longer_run, mounts=False)


def test_a_file_where_a_folder_should_be(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    Path("file").write_text("mine")
    Path("link").symlink_to("nowhere")
    cases = {
        ("--run-dir", "file"): 2,
        ("--run-dir", "file/run"): 2,
        ("--run-dir", "file", "--seeds", "1,2"): 2,
        ("--run-dir", "link"): 1,
        ("--run-dir", "x" * 300): 1,
    }
    for arguments, wanted in cases.items():
        code, _, errors = call("train", "small.yaml", *arguments)
        assert (code, "--run-dir" in one_error(errors) or "name a new folder" in errors) == (wanted, True), errors
    Path("runs").symlink_to("nowhere")
    assert call("train", "small.yaml")[0] == 1
    Path("runs").unlink()
    Path("runs").write_text("mine")
    code, _, errors = call("train", "small.yaml")
    assert code == 1
    assert "--run-dir" in one_error(errors)
    assert Path("file").read_text() == Path("runs").read_text() == "mine"


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A folder that any user may enter."""
    folder = Path(tempfile.mkdtemp())
    place = folder / "place"
    (place / "disk").mkdir(parents=True)
    (place / "small.yaml").write_text(SMALL)
    for path in (folder, place, place / "disk", place / "small.yaml"):
        path.chmod(0o777)
    yield place
    shutil.rmtree(folder)


def forbidden(unbroken: dict[str, bytes]) -> None:
    interrupted_run(RUN)
    for arguments in (("train", "--resume", str(RUN)), ("runs", "disk"), ("eval", str(RUN))):
        assert call(*arguments)[0] == 0  # whatever is imported late is there
    shutil.rmtree(RUN)
    if os.geteuid() == 0:  # whom no permission binds
        os.chown(DISK, NOBODY, NOBODY)
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    code, errors = while_training(5, lambda: (RUN / "checkpoints").chmod(0o555))
    assert code == 1, errors
    assert "Permission denied. Get write permission there, then resume with" in one_error(errors)
    assert load_checkpoint(RUN / "checkpoints/last.safetensors").epoch >= 3
    (RUN / "checkpoints").chmod(0o755)
    code, _, errors = call("train", "--resume", str(RUN))
    assert code == 0, errors
    assert {name: (RUN / name).read_bytes() for name in unbroken} == unbroken

    shutil.copytree(RUN, "disk/closed")
    Path("disk/closed").chmod(0)
    code, table, errors = call("runs", "disk")
    assert code == 0, errors
    assert "completed" in table
    for arguments in (("train", "--resume", "disk/closed"), ("eval", "disk/closed")):
        code, _, errors = call(*arguments)
        assert code in (1, 2), errors
        assert re.search("ermission denied|is not readable", errors)
        assert "Traceback" not in errors
    DISK.chmod(0o555)
    for seeds in ((), ("--seeds", "1,2")):
        code, _, errors = call("train", "small.yaml", "--run-dir", "disk/another", *seeds)
        assert code == 1
        assert "Permission denied" in one_error(errors)
    DISK.chmod(0)
    code, _, errors = call("train", "small.yaml", "--run-dir", "disk/another")
    assert code == 1
    assert "Permission denied" in one_error(errors)


def test_what_the_user_may_not_write_or_read(open_place: Path, unbroken: Unbroken) -> None:
    wanted = {name: (unbroken.longer_run / name).read_bytes() for name in OF_A_RUN}
    in_a_process(open_place, forbidden, wanted, mounts=False)
