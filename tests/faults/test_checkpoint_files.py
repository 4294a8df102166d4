"""Checkpoints that are damaged, foreign or forged: never code, a crash, a hang or a silently wrong network."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

import mlptrain
from mlptrain.errors import CheckpointError
from mlptrain.experiment.checkpoints import load_checkpoint
from mlptrain.spec import load_text
from tests.faults.tools.checkpoints import assert_refused_at_every_door, best_of, last_of, read
from tests.faults.tools.hostile import NO_FILES, call, ends_within, put, refused

Attacks = Callable[[str, int, int], Iterator[int]]
Tensors = dict[str, torch.Tensor]


def damaged(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 2000


def parts(content: bytes) -> dict[str, range]:
    """The places of a checkpoint's bytes, by what they are."""
    length = int.from_bytes(content[:8], "little")
    digest = content.index(b'digest\\": \\"') + len(b'digest\\": \\"')
    return {
        "length of the header": range(8),
        "header": range(8, 8 + length),
        "digest": range(digest, digest + 64),
        "tensors": range(8 + length, len(content)),
        "end": range(len(content) - 16, len(content)),
    }


def test_any_flipped_bit(run: Path, tmp_path: Path, attacks: Attacks, chance: random.Random) -> None:
    content, path = last_of(run).read_bytes(), tmp_path / "flipped.safetensors"
    places = list(parts(content).values())
    for number in attacks("checkpoint: one bit flipped", 300, 10_000):
        position = chance.choice(places[number % len(places)])
        changed = bytes([content[position] ^ 1 << chance.randrange(8)])
        damaged(path, content[:position] + changed + content[position + 1 :])


def test_cut_off_anywhere(run: Path, tmp_path: Path, attacks: Attacks) -> None:
    content, path = last_of(run).read_bytes(), tmp_path / "cut.safetensors"
    for percent in attacks("checkpoint: cut off", 100, 100):
        damaged(path, content[: len(content) * percent // 100])
    damaged(path, content[:-1])
    damaged(path, content + b"\0")


def test_blocks_that_a_disk_lost_or_mixed_up(
    run: Path, tmp_path: Path, attacks: Attacks, chance: random.Random
) -> None:
    content, path = last_of(run).read_bytes(), tmp_path / "blocks.safetensors"
    for _ in attacks("checkpoint: a block zeroed or moved", 50, 1_000):
        size = chance.choice([16, 64, 512])
        one, other = (chance.randrange(len(content) - size) for _ in range(2))
        put_there = chance.choice([bytes(size), content[other : other + size]])
        changed = content[:one] + put_there + content[one + size :]
        if changed != content:
            damaged(path, changed)


WRONG_STARTS = {
    "nothing": b"",
    "one byte": b"\x02",
    "a header of 2⁶³ bytes": struct.pack("<Q", 2**63),
    "a header of a terabyte": struct.pack("<Q", 10**12) + b"{}",
    "an empty header": struct.pack("<Q", 2) + b"{}",
    "a header of brackets": struct.pack("<Q", 1_000_000) + b"[" * 1_000_000,
    "metadata of brackets": b"",
    "a web page": b"<html><body>Please log in to the network</body></html>" * 100,
    "zeros": bytes(10_000),
}


@pytest.mark.parametrize("content", WRONG_STARTS.values(), ids=WRONG_STARTS)
def test_no_checkpoint_at_all(content: bytes, tmp_path: Path) -> None:
    if not content:
        header = json.dumps({"__metadata__": {"mlptrain": "[" * 500_000}}).encode()
        damaged(tmp_path / "brackets.safetensors", struct.pack("<Q", len(header)) + header)
    damaged(tmp_path / "none.safetensors", content)


class Payload:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, int]]:
        return (os.open, (str(self.path), os.O_CREAT))


def test_a_pickle_in_disguise_runs_nothing(run: Path, tmp_path: Path) -> None:
    made = tmp_path / "executed"
    new, old = io.BytesIO(), io.BytesIO()
    torch.save({"layers.0.weight": Payload(made)}, new)
    torch.save(Payload(made), old, _use_new_zipfile_serialization=False)
    plain = pickle.dumps(Payload(made))
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("archive/data.pkl", plain)
    contents = [new.getvalue(), old.getvalue(), plain, archive.getvalue()]
    for content in [*contents, struct.pack("<Q", len(plain)) + plain]:
        for file in (best_of(run), last_of(run)):
            file.write_bytes(content)
        assert_refused_at_every_door(run)
    pickle.loads(plain)  # the payload itself works
    assert made.exists()


def test_the_other_checkpoint_in_its_place(run: Path, tmp_path: Path) -> None:
    """Both are whole and of this very run, but not what their names say."""
    text = (run / "resolved.yaml").read_text()
    if read(best_of(run))[0]["epoch"] == read(last_of(run))[0]["epoch"]:
        mlptrain.train(load_text(text, overrides=["optimizer.lr=1.0", "training.epochs=5"]), run_dir=tmp_path / "worse")
        run = tmp_path / "worse"
    best, last = best_of(run).read_bytes(), last_of(run).read_bytes()
    assert read(best_of(run))[0]["epoch"] < read(last_of(run))[0]["epoch"]
    best_of(run).write_bytes(last)
    assert "was kept; one of them was replaced" in refused("eval", run)
    best_of(run).unlink()
    assert "is gone; for the last weights name" in refused("eval", run)
    assert "best.safetensors" in refused("train", "--resume", run, "--set", "training.epochs=9")
    best_of(run).write_bytes(best)
    last_of(run).write_bytes(best)
    assert "safetensors" in refused("train", "--resume", run, "--set", "training.epochs=9")
    assert call("eval", run)[0] == 0


@pytest.mark.parametrize("kind", NO_FILES)
def test_no_file_in_the_place_of_one(run: Path, kind: str) -> None:
    for file in (best_of(run), last_of(run)):
        put(file, kind)
        with ends_within(60), pytest.raises(CheckpointError):
            load_checkpoint(file)
    if kind == "a link to itself":  # which looks like a file that is not there
        for arguments in (("eval", run), ("predict", run, "--index", 0), ("report", run)):
            refused(*arguments)
        return
    assert_refused_at_every_door(run)


def test_names_that_are_none(tmp_path: Path) -> None:
    for name in ("x" * 5000, "a/" * 3000, "a\udcff", "a\0b"):
        with pytest.raises(CheckpointError):
            mlptrain.load(tmp_path / name)
        with pytest.raises(CheckpointError):
            load_checkpoint(tmp_path / name)
