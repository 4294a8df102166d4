"""Full, read-only and vanishing disks: one message, the last good checkpoint, and the same bytes once there is room."""

from __future__ import annotations

import contextlib
import random
import re
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlptrain.experiment import recorder
from mlptrain.experiment.checkpoints import load_checkpoint
from mlptrain.runs import SeedGroup
from tests.comparison.small import FIXED, write
from tests.faults.tools.disks import disk, make_room, own_mounts, skip_without_own_mounts
from tests.faults.tools.processes import OF_A_RUN, SMALL, Child, assert_same_files, call, one_error
from tests.faults.tools.unbroken import SEEDS, Unbroken

Attacks = Callable[[str, int, int], Iterator[int]]
BEGIN = ("train", "small.yaml", "--run-dir", "disk/run")
RESUME = ("train", "--resume", "disk/run")
RUN, DISK = Path("disk/run"), Path("disk")
OF_A_COMPARISON = ("plan.yaml", "trials.jsonl", "summary.json")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "place"
    (folder / "disk").mkdir(parents=True)
    (folder / "small.yaml").write_text(SMALL)
    skip_without_own_mounts(folder)
    return folder


def on_own_mounts(place: Path, function: Callable[..., None], *arguments: object) -> None:
    """Run a function of this file in a process with mounts of its own; its failures are the test's."""
    child = Child(_on_own_mounts, function, arguments, folder=place)
    assert child.end(600) == 0, child.told


def _on_own_mounts(function: Callable[..., None], arguments: tuple[object, ...]) -> None:
    recorder.SECONDS_BETWEEN_CHECKPOINTS = 0.0
    own_mounts()
    function(*arguments)


def assert_full(code: int, errors: str) -> str:
    assert code == 1, errors
    told = one_error(errors)
    assert "No space left on device" in told
    assert re.search("Make room|Free or mount the disk", told)
    return told


def assert_saved_what_was_reported(run: Path, errors: str) -> None:
    """Every epoch that was printed had been saved, and is there."""
    printed = [int(number) for number in re.findall(r"^epoch (\d+)/", errors, re.MULTILINE)]
    if printed and printed[-1] > 0:
        assert load_checkpoint(run / "checkpoints/last.safetensors").epoch >= printed[-1]


def a_run_on_full_disks(sizes: list[tuple[int, int]], unbroken: Path) -> None:
    for pages, files in sizes:
        with disk(DISK, pages=pages, files=files):
            code, _, errors = call(*BEGIN)
            if code != 0:
                told = assert_full(code, errors)
                assert_saved_what_was_reported(RUN, errors)
                make_room(DISK)
                if "no run " in told:
                    assert not RUN.exists()
                    assert call(*BEGIN)[0] == 0
                else:
                    assert f"`mlptrain train --resume {RUN}`" in told
                    code, _, errors = call(*RESUME)
                    assert code == 0, errors
            assert_same_files(unbroken, RUN, OF_A_RUN)
            assert not list(RUN.rglob(".*"))


def sizes_to(pages: int, files: int, chance: random.Random) -> Iterator[tuple[int, int]]:
    """All sizes of a disk that are too small for a run, shuffled: by its bytes, and by its files."""
    while True:
        sizes = [(few, 1000) for few in range(1, pages)] + [(1000, few) for few in range(2, files)]
        yield from chance.sample(sizes, len(sizes))


def test_a_full_disk_at_every_level(place: Path, unbroken: Unbroken, attacks: Attacks, chance: random.Random) -> None:
    sizes = sizes_to(30, 14, chance)
    chosen = [next(sizes) for _ in attacks("full disks under train", 10, 60)]
    on_own_mounts(place, a_run_on_full_disks, chosen, unbroken.run)


def seeds_on_full_disks(sizes: list[tuple[int, int]], unbroken: Path) -> None:
    for pages, files in sizes:
        with disk(DISK, pages=pages, files=files):
            code, _, errors = call(*BEGIN, "--seeds", ",".join(map(str, SEEDS)))
            if code != 0:
                told = assert_full(code, errors)
                for seed in SEEDS:
                    assert_saved_what_was_reported(RUN / f"seed-{seed}", errors)
                make_room(DISK)
                if "no run " in told:
                    assert not RUN.exists()
                    assert call(*BEGIN, "--seeds", ",".join(map(str, SEEDS)))[0] == 0
                else:
                    assert SeedGroup.is_group(RUN)
                    code, _, errors = call(*RESUME)
                    assert code == 0, errors
            assert_same_files(unbroken, RUN, ("seeds.json", "summary.json"))
            for seed in SEEDS:
                assert_same_files(unbroken / f"seed-{seed}", RUN / f"seed-{seed}", OF_A_RUN)
            assert not list(RUN.rglob(".*"))


def test_a_full_disk_under_several_seeds(
    place: Path, unbroken: Unbroken, attacks: Attacks, chance: random.Random
) -> None:
    sizes = sizes_to(80, 36, chance)
    chosen = [next(sizes) for _ in attacks("full disks under train --seeds", 2, 50)]
    on_own_mounts(place, seeds_on_full_disks, chosen, unbroken.seeds)


def comparisons_on_full_disks(sizes: list[tuple[int, int]], unbroken: Path) -> None:
    arguments = ("compare-optimizers", str(write(FIXED, Path())), "--run-dir", str(RUN))
    for pages, files in sizes:
        with disk(DISK, pages=pages, files=files):
            code, _, errors = call(*arguments)
            if code != 0:
                told = assert_full(code, errors)
                assert re.search("rerun the same command to resume|run `mlptrain compare ", told)
                assert "--resume" not in told
                make_room(DISK)
                code, _, errors = call(*arguments)
                assert code == 0, errors
            assert_same_files(unbroken, RUN, OF_A_COMPARISON)
            assert not list(RUN.rglob(".*"))


def test_a_full_disk_under_a_comparison(
    place: Path, unbroken: Unbroken, attacks: Attacks, chance: random.Random
) -> None:
    sizes = sizes_to(14, 6, chance)
    chosen = [next(sizes) for _ in attacks("full disks under compare-optimizers", 2, 50)]
    on_own_mounts(place, comparisons_on_full_disks, chosen, unbroken.comparison)


def few_open_files() -> None:
    arguments = ("train", "small.yaml", "--set", "training.epochs=1", "--set", "model.hidden=[4]")
    seeds = ("--seeds", ",".join(map(str, range(100))))
    assert call(*arguments, "--run-dir", "warm")[0] == 0  # whatever is imported late is there
    used = len(list(Path("/proc/self/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 10, used + 10))
    code, _, errors = call(*arguments, *seeds, "--run-dir", "run")
    assert code == 0, errors
    resource.setrlimit(resource.RLIMIT_NOFILE, (used - 1, used - 1))
    code, _, errors = call(*arguments, *seeds, "--run-dir", "other")
    assert code in (1, 2)
    assert "Too many open files" in one_error(errors)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are counted in Linux's /proc")
def test_more_seeds_than_files_may_be_open(tmp_path: Path) -> None:
    (tmp_path / "place").mkdir()
    (tmp_path / "place/small.yaml").write_text(SMALL)
    child = Child(few_open_files, folder=tmp_path / "place")
    assert child.end() == 0, child.told


def a_configuration_on_a_full_disk() -> None:
    with disk(DISK, pages=10):
        Path("disk/filler").write_bytes(bytes(10 * resource.getpagesize() - 2 * resource.getpagesize()))
        with contextlib.suppress(OSError), Path("disk/more").open("wb", buffering=0) as stream:
            while stream.write(bytes(512)):
                pass
        code, _, errors = call("init", "disk/first")
        assert (code, "No space left on device. Make room on that disk" in one_error(errors)) == (1, True), errors
        assert not Path("disk/first.yaml").exists()  # and so is not in the way
        Path("disk/filler").unlink()
        assert call("init", "disk/first")[0] == 0


def test_a_configuration_on_a_full_disk(place: Path) -> None:
    on_own_mounts(place, a_configuration_on_a_full_disk)
