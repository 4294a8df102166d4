"""Archives and unpacked files of MNIST that are damaged, swapped, forged or bombs: never trained on, never unpacked."""

from __future__ import annotations

import gzip
import random
import shutil
import struct
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlptrain.errors import DataError, MlptrainError
from mlptrain.sources.store import RAW_FILES, read_images, read_raw, unpack
from tests.faults.tools.hostile import NO_FILES, ends_within, put, refused

Attacks = Callable[[str, int, int], Iterator[int]]
TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = RAW_FILES
CONFIG = (
    "data: {name: mnist, train_size: 100, validation: 0}\nmodel: {hidden: [4]}\noptimizer: sgd\n"
    "training: {epochs: 1, device: cpu}\n"
)


@pytest.fixture
def folder(data_dir: Path, tmp_path: Path) -> Path:
    """Where MNIST's files lie, links to good ones; to be replaced one by one."""
    read_images("mnist", data_dir)
    raw = tmp_path / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file in (data_dir / "MNIST" / "raw").iterdir():
        (raw / file.name).symlink_to(file)
    (tmp_path / "mnist.yaml").write_text(CONFIG)
    return raw


def replace(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def refused_everywhere(folder: Path, file: str) -> None:
    """Neither trained on nor said to be right; and what lies there is not changed."""
    place = folder.parents[1]
    before = sorted((path.name, path.lstat().st_size) for path in folder.iterdir())
    config = place.parent / "mnist.yaml"
    run = place.parent / "run"
    assert file in refused("train", config, "--data-dir", place, "--run-dir", run)
    assert not run.exists()
    refused("data", "verify", "mnist", "--data-dir", place)
    assert sorted((path.name, path.lstat().st_size) for path in folder.iterdir()) == before


@pytest.mark.parametrize("file", [TEST_LABELS, TRAIN_LABELS, TEST_IMAGES])
def test_flipped_bits_and_cuts(folder: Path, file: str, attacks: Attacks, chance: random.Random) -> None:
    raw, archive = folder / file, folder / f"{file}.gz"
    unpacked, packed = raw.read_bytes(), archive.read_bytes()
    raw.unlink()
    large = len(packed) > 1_000_000
    for number in attacks("IDX: one bit flipped", 10 if large else 60, 100 if large else 700):
        for path, content, read in ((raw, unpacked, read_raw), (archive, packed, unpack)):
            position = chance.randrange(len(content)) if number % 3 else chance.randrange(16)
            changed = bytearray(content)
            changed[position] ^= 1 << chance.randrange(8)
            replace(path, bytes(changed))
            if path == archive and _same_content(bytes(changed), unpacked):
                continue  # of a name or a date in the archive's header nothing is read
            with pytest.raises(DataError, match=f"{path.name}.* is damaged"):
                read("mnist", raw)
            raw.unlink(missing_ok=True)
    for percent in attacks("IDX: cut off", 10 if large else 100, 100):
        for path, content, read in ((raw, unpacked, read_raw), (archive, packed, unpack)):
            replace(path, content[: len(content) * percent // 100])
            with pytest.raises(DataError, match=f"{path.name}.* is damaged"):
                read("mnist", raw)
            raw.unlink(missing_ok=True)


def _same_content(packed: bytes, wanted: bytes) -> bool:
    try:
        return gzip.decompress(packed) == wanted
    except Exception:
        return False


def header(*shape: int, kind: int = 8) -> bytes:
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, kind, len(shape), *shape)


def changed_label(labels: bytes, value: int) -> bytes:
    return labels[:8] + bytes([value]) + labels[9:]


FORGED: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "more images than there are": (TEST_IMAGES, lambda content: header(10_001, 28, 28) + content[16:]),
    "fewer images": (TEST_IMAGES, lambda content: header(9_999, 28, 28) + content[16:-784]),
    "images of another size": (TEST_IMAGES, lambda content: header(10_000, 14, 56) + content[16:]),
    "4 billion images": (TEST_IMAGES, lambda content: header(2**32 - 1, 2**32 - 1, 2**32 - 1) + content[16:]),
    "no images": (TEST_IMAGES, lambda content: header(0, 28, 28)),
    "one dimension": (TEST_IMAGES, lambda content: header(7_840_000) + content[16:]),
    "255 dimensions": (TEST_IMAGES, lambda content: header(*[1] * 255) + content[16:]),
    "floats": (TEST_IMAGES, lambda content: header(10_000, 28, 28, kind=13) + content[16:]),
    "labels for images": (TEST_IMAGES, lambda content: header(10_000) + bytes(10_000)),
    "a label of 10": (TEST_LABELS, lambda content: changed_label(content, 10)),
    "a label of 255": (TRAIN_LABELS, lambda content: changed_label(content, 255)),
    "one label changed": (TEST_LABELS, lambda content: changed_label(content, 3)),
    "more labels than images": (TEST_LABELS, lambda content: header(10_001) + content[8:] + b"\0"),
    "fewer labels than images": (TEST_LABELS, lambda content: header(9_999) + content[8:-1]),
    "labels in another order": (TEST_LABELS, lambda content: content[:8] + content[:7:-1]),
    "all of one class": (TEST_LABELS, lambda content: content[:8] + bytes(10_000)),
    "empty": (TEST_LABELS, lambda content: b""),
    "a pickle": (TEST_LABELS, lambda content: b"\x80\x04cposix\nsystem\n(X\x04\x00\x00\x00touctR."),
}


@pytest.mark.parametrize("kind", FORGED)
def test_well_formed_but_other_content(folder: Path, kind: str, attacks: Attacks) -> None:
    """The archive that lies beside a damaged file is good, and still nothing is guessed."""
    file, forge = FORGED[kind]
    content = forge((folder / file).read_bytes())
    for _ in attacks("IDX: forged content", 1, 1):
        replace(folder / file, content)
        refused_everywhere(folder, file)
    for _ in attacks("IDX: forged content", int(kind == "a label of 10"), 1):
        (folder / file).unlink()
        replace(folder / f"{file}.gz", gzip.compress(content, 1))
        refused_everywhere(folder, file)


def test_files_that_changed_places(folder: Path, data_dir: Path) -> None:
    for one, other in ((TRAIN_LABELS, TEST_LABELS), (TEST_IMAGES, TEST_LABELS)):
        good = [(folder / file).resolve() for file in (one, other)]
        for file, source in zip((one, other), reversed(good), strict=True):
            (folder / file).unlink()
            (folder / file).symlink_to(source)
        refused_everywhere(folder, one)
        for file, source in zip((one, other), good, strict=True):
            (folder / file).unlink()
            (folder / file).symlink_to(source)
    fashion = data_dir / "FashionMNIST" / "raw"
    (folder / TEST_LABELS).unlink()
    (folder / TEST_LABELS).symlink_to(fashion / f"{TEST_LABELS}.gz")
    refused_everywhere(folder, TEST_LABELS)


def test_a_bomb_is_not_unpacked(folder: Path, attacks: Attacks) -> None:
    """10 GB in 10 MB, and 10 GB that begin as the published file does."""
    good = (folder / TEST_LABELS).read_bytes()
    block = gzip.compress(bytes(10_000_000))
    (folder / TEST_LABELS).unlink()
    shutil.copyfile(folder / f"{TEST_LABELS}.gz", folder / "good.gz")
    for start in (b"", gzip.compress(good)):
        for _ in attacks("IDX: bombs", 1, 1):
            replace(folder / f"{TEST_LABELS}.gz", start + block * 1_000)
            started = time.process_time()
            tracemalloc.start()
            try:
                with ends_within(60), pytest.raises(DataError, match="is damaged"):
                    read_images("mnist", folder.parents[1])
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
            assert peak < 300_000_000  # the three good files, 62 MB, are read as well
            assert time.process_time() - started < 10
            refused_everywhere(folder, TEST_LABELS)


@pytest.mark.parametrize("kind", NO_FILES)
def test_no_file_in_the_place_of_one(folder: Path, kind: str) -> None:
    for file in (TEST_LABELS, TRAIN_IMAGES):
        put(folder / file, kind)
        put(folder / f"{file}.gz", kind)
    started = time.process_time()
    with ends_within(60), pytest.raises(MlptrainError, match="ubyte"):
        read_images("mnist", folder.parents[1])
    refused_everywhere(folder, "ubyte")
    assert time.process_time() - started < 10
