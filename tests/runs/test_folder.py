"""A folder that ``--run-dir`` names: what may be taken over, and what is left alone."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from mlptrain.errors import RunFolderError
from mlptrain.runs import RunFolder, SeedGroup


def _begin_and_die(run: Path) -> None:
    folder = RunFolder.create("small", run_dir=run)
    folder.environment.write_text("{}")
    folder.config.write_text("name: small")
    (run / "checkpoints/.last.safetensors.0123abcd.tmp").write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)


def _begin_a_group_and_die(run: Path) -> None:
    with SeedGroup.create("small", run_dir=run) as group:
        RunFolder.create("small", run_dir=group.member(0)).environment.write_text("{}")
        RunFolder.create("small", run_dir=group.member(1))
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("begin", [_begin_and_die, _begin_a_group_and_die])
def test_what_a_killed_process_left_before_the_first_epoch_is_taken_over(
    tmp_path: Path, begin: Callable[[Path], None]
) -> None:
    run = tmp_path / "run"
    process = multiprocessing.get_context("spawn").Process(target=begin, args=(run,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert len(list(run.rglob("*"))) > 3
    with RunFolder.create("small", run_dir=run):
        assert [path.name for path in run.rglob("*") if path.suffix != ".tmp"] == ["checkpoints"]


@pytest.mark.parametrize(
    "names",
    [
        ["environment.json", "config.yaml"],
        ["environment.json", "config.yaml/mine"],
        ["checkpoints"],
        ["checkpoints/thesis.tex"],
        ["seed-a/environment.json", "seed-a/resolved.yaml"],
        [".keep.00000000.tmp/mine"],
        ["metrics.jsonl"],
        ["thesis.tex"],
    ],
)
def test_files_that_may_be_the_users_own_are_left_alone(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / "run" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "run" / name).write_text("precious")
    with pytest.raises(RunFolderError, match="exists and is not empty; name a new folder"):
        RunFolder.create("small", run_dir=tmp_path / "run")
    for name in names:
        assert (tmp_path / "run" / name).read_text() == "precious"


def test_files_put_beside_what_a_killed_process_left_are_left_alone(tmp_path: Path) -> None:
    for name in ("mine.txt", "seed-a/mine.txt", "checkpoints/mine.txt", "config.yaml/mine.txt", "metrics.jsonl"):
        run = tmp_path / name.replace("/", "-")
        with RunFolder.create("small", run_dir=run):
            (run / name).parent.mkdir(exist_ok=True)
            (run / name).write_text("precious")
        with pytest.raises(RunFolderError, match="exists and is not empty"):
            RunFolder.create("small", run_dir=run)
        assert (run / name).read_text() == "precious"


def test_files_put_beside_what_a_killed_group_left_are_left_alone(tmp_path: Path) -> None:
    with SeedGroup.create("small", run_dir=tmp_path / "run") as group, RunFolder.create("x", run_dir=group.member(0)):
        pass
    (tmp_path / "run/thesis.tex").write_text("precious")
    with pytest.raises(RunFolderError, match="exists and is not empty"):
        SeedGroup.create("small", run_dir=tmp_path / "run")
    assert (tmp_path / "run/thesis.tex").read_text() == "precious"
