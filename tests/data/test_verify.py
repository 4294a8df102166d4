from __future__ import annotations

import struct
from pathlib import Path

import pytest

from mlptrain.errors import DataError
from mlptrain.sources.verify import Check, verify
from tests.data.damage import DAMAGES, damage

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def failed(checks: list[Check]) -> dict[str, str]:
    return {check.what: check.detail for check in checks if not check.ok}


def subjects(checks: list[Check], file: str) -> list[str]:
    return [check.what.removeprefix(file).lstrip(".gz: ") for check in checks if check.what.startswith(file)]


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_the_published_files_pass(data_dir: Path, name: str) -> None:
    checks = verify(name, data_dir)
    assert failed(checks) == {}
    assert len(checks) >= 4 * 6


def test_archives_are_checked_without_being_unpacked_in_place(archives: Path) -> None:
    before = sorted(archives.rglob("*"))
    checks = verify("mnist", archives)
    assert failed(checks) == {}
    assert sorted(archives.rglob("*")) == before
    assert {"MD5", "content", "header", "images", "image size", "pixel range"} <= set(subjects(checks, IMAGES))
    assert {"MD5", "content", "header", "labels", "label range", "rows per class"} <= set(subjects(checks, LABELS))


@pytest.mark.parametrize("kind", DAMAGES)
def test_damaged_archive_fails_alone(archives: Path, kind: str) -> None:
    damage(archives / "MNIST" / "raw" / f"{IMAGES}.gz", kind)
    assert set(failed(verify("mnist", archives))) == {f"{IMAGES}.gz: MD5", f"{IMAGES}.gz: content"}


@pytest.mark.parametrize("kind", DAMAGES)
def test_damaged_file_fails_alone(unpacked: Path, kind: str) -> None:
    damage(unpacked / "MNIST" / "raw" / IMAGES, kind)
    wrong = failed(verify("mnist", unpacked))
    assert f"{IMAGES}: SHA-256" in wrong
    assert (f"{IMAGES}: header" in wrong) == (kind != "one bit flipped")
    assert all(what.startswith(IMAGES) for what in wrong)


def test_absent_file_fails_alone(unpacked: Path) -> None:
    (unpacked / "MNIST" / "raw" / LABELS).unlink()
    wrong = failed(verify("mnist", unpacked))
    assert list(wrong) == [LABELS]
    assert "absent" in wrong[LABELS]


def test_well_formed_files_of_other_content_fail_in_what_they_say(unpacked: Path) -> None:
    raw = unpacked / "MNIST" / "raw"
    (raw / IMAGES).write_bytes(struct.pack(">BBBB3I", 0, 0, 8, 3, 2, 4, 4) + bytes(32))
    content = bytearray((raw / LABELS).read_bytes())
    content[8] = 10
    (raw / LABELS).write_bytes(content)

    wrong = failed(verify("mnist", unpacked))

    assert wrong[f"{IMAGES}: images"] == "2, expected 60000"
    assert wrong[f"{IMAGES}: image size"] == "4 4, expected 28 28"
    assert wrong[f"{LABELS}: label range"] == "0 10, expected 0 9"
    # The first image is a five.
    assert wrong[f"{LABELS}: rows per class"].startswith(
        "5923 6742 5958 6131 5842 5420 5918 6265 5851 5949 1, expected"
    )
    assert f"{LABELS}: labels" not in wrong


def test_files_of_the_other_data_set_fail(data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "MNIST").symlink_to(data_dir / "FashionMNIST")
    wrong = failed(verify("mnist", tmp_path))
    assert len([what for what in wrong if what.endswith((": MD5", ": SHA-256", ": content"))]) >= 4
    assert wrong[f"{LABELS}: rows per class"].startswith("6000 6000")


def test_digits_pass() -> None:
    checks = verify("digits", Path("/nonexistent"))
    assert failed(checks) == {}
    assert {"digits, training: images", "digits, test: rows per class"} <= {check.what for check in checks}


@pytest.mark.parametrize("name", ["spirals", "imagenet"])
def test_data_without_files_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=name):
        verify(name, tmp_path)
