"""Files that somebody has put there: used under any usual name and in any usual place, and never lost."""

from __future__ import annotations

import gzip
import hashlib
import os
import signal
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mlptrain.errors import DataAbsentError, DataError, MachineError
from mlptrain.sources.fetch import fetch
from mlptrain.sources.store import RAW_FILES, read_images
from mlptrain.sources.verify import verify
from tests.command import Call
from tests.data.damage import full_disk
from tests.data.mirrors import ARCHIVES, Mirrors
from tests.faults.tools.processes import Child, KillAt

IMAGES, LABELS, TEST_IMAGES, TEST_LABELS = RAW_FILES
CONFIG = (
    "data: {name: mnist, train_size: 100, validation: 0}\nmodel: {hidden: [4]}\noptimizer: sgd\n"
    "training: {epochs: 1, device: cpu, threads: 1}\n"
)
OWN = {
    IMAGES: struct.pack(">BBBB3I", 0, 0, 8, 3, 50, 28, 28) + bytes(range(200)) * 196,
    LABELS: struct.pack(">BBBBI", 0, 0, 8, 1, 50) + bytes(n % 10 for n in range(50)),
    TEST_IMAGES: struct.pack(">BBBB3I", 0, 0, 8, 3, 20, 28, 28) + bytes(20 * 784),
    TEST_LABELS: struct.pack(">BBBBI", 0, 0, 8, 1, 20) + bytes(20),
}


@pytest.fixture
def unpacked(data_dir: Path) -> Path:
    """The real data, whose archives the first reading unpacks."""
    for name in ("mnist", "fashion_mnist"):
        read_images(name, data_dir)
    return data_dir


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A data folder with four well-formed files that somebody made."""
    raw = tmp_path / "own" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file, content in OWN.items():
        (raw / file).write_bytes(content)
    return tmp_path / "own"


def contents_below(folder: Path) -> set[bytes]:
    """Of the small files, which are the ones somebody made."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size < 100_000]
    return {path.read_bytes() for path in files}


# The folder of the files below the data folder, and how each of them is called there.
PLACES = {
    "flat": ("", "{}"),
    "raw": ("raw", "{}"),
    "the set's folder": ("MNIST", "{}"),
    "another spelling of the folder": ("mnist", "{}.gz"),
    "dots": ("MNIST/raw", "{dotted}"),
    "dots, flat, packed": ("", "{dotted}.gz"),
    "a browser's second copy": ("MNIST/raw", "{} (1).gz"),
    "wget's second copy": ("MNIST/raw", "{}.gz.1"),
    "capitals": ("MNIST/raw", "{capital}"),
    "underscores": ("", "{underscored}"),
    "a folder for each": ("MNIST/raw", "{}/{}"),
    "a folder for each, with dots": ("", "{dotted}/{}"),
    "no ending": ("", "{short}.gz"),
}


@pytest.mark.parametrize("kind", PLACES)
def test_other_names_and_places_are_used_as_they_are(unpacked: Path, tmp_path: Path, kind: str) -> None:
    """All four so in the first of the kinds, and in the others only the labels, which are quickly read."""
    place, pattern = PLACES[kind]
    for file in RAW_FILES:
        name, folder = file, tmp_path / "MNIST" / "raw"
        if "labels" in file or kind == "flat":
            name, folder = _named(file, pattern), tmp_path / place
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(unpacked / "MNIST" / "raw" / (f"{file}.gz" if ".gz" in name else file))
    before = sorted(tmp_path.rglob("*"))

    raw = read_images("mnist", tmp_path)

    assert raw.train_images.shape == (60_000, 28, 28)
    assert raw.train_labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert raw.test_labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert all(check.ok for check in verify("mnist", tmp_path))
    assert sorted(tmp_path.rglob("*")) == before


def _named(file: str, pattern: str) -> str:
    short, _, _ = file.partition("-idx")
    dotted, underscored = file.replace("s-idx", "s.idx"), file.replace("-", "_")
    return pattern.format(file, file, dotted=dotted, capital=file.title(), short=short, underscored=underscored)


def test_the_content_decides_whether_it_is_packed(data_dir: Path, tmp_path: Path) -> None:
    raw, published = tmp_path / "MNIST" / "raw", data_dir / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file in RAW_FILES[:2]:  # packed under the plain name
        (raw / file).symlink_to(published / f"{file}.gz")
    for file in RAW_FILES[2:]:  # and the reverse
        (raw / f"{file}.gz").symlink_to(published / file)

    expected, found = read_images("mnist", data_dir), read_images("mnist", tmp_path)

    np.testing.assert_array_equal(found.train_labels, expected.train_labels)
    np.testing.assert_array_equal(found.test_images, expected.test_images)
    assert all(check.ok for check in verify("mnist", tmp_path))
    assert fetch("mnist", tmp_path, mirrors=[]) == []


def test_a_flat_folder_of_the_other_set_is_not_taken_for_this_one(unpacked: Path, tmp_path: Path) -> None:
    for file in RAW_FILES:
        (tmp_path / file).symlink_to(unpacked / "FashionMNIST" / "raw" / file)
    assert read_images("fashion_mnist", tmp_path).train_labels[:3].tolist() == [9, 0, 0]
    with pytest.raises(DataAbsentError):
        read_images("mnist", tmp_path)


def test_own_files_are_moved_aside_and_their_place_is_said(
    mirrors: Mirrors, own: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    done = call("data", "fetch", "mnist", "--data-dir", str(own), "--mirror", mirrors.address("good"))
    assert done.code == 0
    assert set(OWN.values()) <= contents_below(own)
    for file, content in OWN.items():
        [line] = [line for line in done.err.splitlines() if f"/{file} was" in line]
        assert Path(line.rpartition("it is now ")[2]).read_bytes() == content
    assert all(check.ok for check in verify("mnist", own))
    read_images("mnist", own)


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("missing", [False, True])
def test_own_files_are_neither_trained_on_nor_mixed_with_fetched_ones(
    own: Path, call: Call, mirrors: Mirrors, monkeypatch: pytest.MonkeyPatch, flat: bool, missing: bool
) -> None:
    import torchvision

    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [mirrors.address("good")])
    folder = own / "MNIST" / "raw" if flat else own
    (own / "mnist.yaml").write_text(CONFIG)
    if missing:
        (own / "MNIST" / "raw" / TEST_LABELS).unlink()
    before = sorted(own.rglob("*"))

    refused = call("train", str(own / "mnist.yaml"), "--data-dir", str(folder), "--run-dir", str(own / "run"))

    assert refused.code == 2
    assert f"{own}/MNIST/raw/{IMAGES} is damaged or not MNIST's" in refused.err
    assert "a well-formed IDX file of 50 images of 28 × 28" in refused.err
    assert "--data-dir FOLDER" in refused.err
    assert mirrors.requests == []
    assert sorted(own.rglob("*")) == before


def _fetch(number: int, address: str, archives: dict[str, str]) -> None:
    mnist = SimpleNamespace(resources=list(archives.items()), mirrors=())
    stub: Any = SimpleNamespace(datasets=SimpleNamespace(MNIST=mnist))  # importing it takes two seconds each time
    sys.modules["torchvision"] = stub
    KillAt(number)()
    fetch("mnist", Path("data"), mirrors=[address])


def test_killed_at_any_moment_nothing_is_lost(mirrors: Mirrors, tmp_path: Path) -> None:
    """One own file in the place of a small archive, one in that of a small plain file; the others are good."""
    raw = tmp_path / "place" / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    good = mirrors.archives
    sums = {file: hashlib.md5((good / file).read_bytes(), usedforsecurity=False).hexdigest() for file in ARCHIVES}
    packed, plain = gzip.compress(OWN[TEST_LABELS]), OWN[LABELS]
    killed = 0
    for number in range(1, 60):
        for path in sorted(raw.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        for file in (IMAGES, TEST_IMAGES):
            os.link(good / file, raw / file)
        os.link(good / f"{LABELS}.gz", raw / f"{LABELS}.gz")
        (raw / LABELS).write_bytes(plain)
        (raw / f"{TEST_LABELS}.gz").write_bytes(packed)
        child = Child(_fetch, number, mirrors.address("good"), sums, folder=tmp_path / "place")
        code = child.end()
        assert code in (0, -signal.SIGKILL), child.told
        killed += code != 0
        assert {packed, plain} <= contents_below(raw), number
        if code == 0:
            break
    assert killed > 8
    assert all(check.ok for check in verify("mnist", tmp_path / "place" / "data"))


def test_on_a_full_disk_own_files_stay_where_they_are(mirrors: Mirrors, own: Path) -> None:
    before = {path: path.read_bytes() for path in own.rglob("*ubyte")}
    with full_disk(1_000_000), pytest.raises(MachineError, match="cannot write to the data folder"):
        fetch("mnist", own, mirrors=[mirrors.address("good")])
    assert {path: path.read_bytes() for path in own.rglob("*ubyte")} == before


def test_where_no_mirror_answers_own_files_stay_where_they_are(own: Path) -> None:
    before = sorted(own.rglob("*"))
    with pytest.raises(MachineError):
        fetch("mnist", own, mirrors=["http://127.0.0.1:9/"], attempts=1)
    assert sorted(own.rglob("*")) == before


def test_a_link_and_a_folder_in_the_place_of_a_file_are_moved_too(mirrors: Mirrors, archives: Path) -> None:
    raw = archives / "MNIST" / "raw"
    (raw / ARCHIVES[3]).unlink()
    (raw / ARCHIVES[3]).symlink_to("/unmounted/disk/labels.gz")
    (raw / ARCHIVES[1]).unlink()
    (raw / ARCHIVES[1]).mkdir()
    (raw / ARCHIVES[1] / "notes.txt").write_text("mine")
    moved: dict[Path, Path] = {}

    assert fetch(
        "mnist", archives, mirrors=[mirrors.address("good")], on_moved=lambda path, to: moved.update({path: to})
    ) == [ARCHIVES[1], ARCHIVES[3]]

    assert moved[raw / ARCHIVES[3]].readlink() == Path("/unmounted/disk/labels.gz")
    assert (moved[raw / ARCHIVES[1]] / "notes.txt").read_text() == "mine"


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda path: path.write_bytes(b""), "it is empty"),
    "a web page": (lambda path: path.write_bytes(b"\n<!DOCTYPE html><html>"), "a web page"),
    "a ZIP archive": (lambda path: path.write_bytes(b"PK\x03\x04" + bytes(40)), "a ZIP archive"),
    "a pointer": (lambda path: path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n"), "Git LFS"),
    "cut off": (lambda path: path.write_bytes(OWN[TEST_LABELS][:-3]), "of 25 bytes whose header promises 28"),
    "cut off, packed": (lambda path: path.write_bytes(gzip.compress(os.urandom(999))[:-9]), "cut off or damaged"),
    "other labels": (lambda path: path.write_bytes(OWN[TEST_LABELS]), "a well-formed IDX file of 20 labels"),
    "numbers in text": (lambda path: path.write_bytes(b"7\n2\n1\n"), "not an IDX file"),
    "a folder": (lambda path: path.mkdir(), "is a folder"),
    "a link to nothing": (lambda path: path.symlink_to("gone"), "a link to a file that is not there"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_named(unpacked: Path, tmp_path: Path, kind: str) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file in RAW_FILES[:3]:
        (raw / file).symlink_to(unpacked / "MNIST" / "raw" / file)
    make, words = WRONG[kind]
    make(raw / TEST_LABELS)
    with pytest.raises(DataError, match=words) as caught:
        read_images("mnist", tmp_path)
    assert str(raw / TEST_LABELS) in str(caught.value)
    assert not isinstance(caught.value, DataAbsentError)
    [wrong] = [check for check in verify("mnist", tmp_path) if not check.ok]
    assert words in wrong.detail


def test_files_of_the_other_set_in_this_ones_place_are_named(unpacked: Path, tmp_path: Path) -> None:
    (tmp_path / "MNIST").symlink_to(unpacked / "FashionMNIST")
    with pytest.raises(DataError, match=rf"Fashion-MNIST's {LABELS}"):
        read_images("mnist", tmp_path)


@pytest.mark.parametrize("member", ["t10k-labels-idx1-ubyte", "archive/T10K-labels.idx1-ubyte.gz"])
def test_a_zip_archive_beside_is_named(tmp_path: Path, member: str) -> None:
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr(member, OWN[TEST_LABELS])
    with pytest.raises(DataAbsentError, match=r"packed in .*archive\.zip: unpack it there"):
        read_images("mnist", tmp_path)
    with pytest.raises(MachineError, match=r"packed in .*archive\.zip: unpack it there"):
        fetch("mnist", tmp_path, mirrors=[])


def test_names_that_only_begin_alike_are_no_reason_to_refuse(tmp_path: Path) -> None:
    for name in ("train-images.npy", "train_labels.csv", "test_images_report.txt", "train" + "1" * 200 + "x"):
        (tmp_path / name).write_bytes(b"something else")
    with pytest.raises(DataAbsentError):
        read_images("mnist", tmp_path)
