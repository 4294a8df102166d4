from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mlptrain.errors import DataError
from mlptrain.sources.published import IMAGE_DATASETS
from mlptrain.sources.verify import Check, verify
from tests.data.damage import DAMAGES, damage

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def failed(checks: list[Check]) -> dict[str, str]:
    return {check.what: check.detail for check in checks if not check.ok}


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_the_published_files_pass(data_dir: Path, name: str) -> None:
    checks = verify(name, data_dir)
    assert failed(checks) == {}
    assert len(checks) >= 4 * 2


def test_archives_are_checked_without_being_unpacked_in_place(archives: Path) -> None:
    before = sorted(archives.rglob("*"))
    checks = verify("mnist", archives)
    assert failed(checks) == {}
    assert sorted(archives.rglob("*")) == before
    details = {check.what: check.detail for check in checks}
    assert details[f"{IMAGES}.gz: images"] == "60000 28 28"
    assert details[f"{LABELS}.gz: rows per class"] == "5923 6742 5958 6131 5842 5421 5918 6265 5851 5949"


@pytest.mark.parametrize("kind", DAMAGES)
def test_damaged_archive_fails_alone(archives: Path, kind: str) -> None:
    damage(archives / "MNIST" / "raw" / f"{IMAGES}.gz", kind)
    assert set(failed(verify("mnist", archives))) == {f"{IMAGES}.gz: SHA-256"}


@pytest.mark.parametrize("kind", DAMAGES)
def test_damaged_file_fails_alone(unpacked: Path, kind: str) -> None:
    damage(unpacked / "MNIST" / "raw" / IMAGES, kind)
    assert set(failed(verify("mnist", unpacked))) == {f"{IMAGES}: SHA-256"}


def test_absent_file_fails_alone(unpacked: Path) -> None:
    (unpacked / "MNIST" / "raw" / LABELS).unlink()
    wrong = failed(verify("mnist", unpacked))
    assert list(wrong) == [LABELS]
    assert "absent" in wrong[LABELS]


def test_facts_that_are_not_those_of_the_files_fail(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = replace(IMAGE_DATASETS["mnist"].known, train_counts=(5922, *IMAGE_DATASETS["mnist"].known.train_counts[1:]))
    monkeypatch.setitem(IMAGE_DATASETS, "mnist", replace(IMAGE_DATASETS["mnist"], known=facts))
    wrong = failed(verify("mnist", data_dir))
    assert wrong[f"{IMAGES}: images"] == "60000 28 28, expected 59999 28 28"
    assert wrong[f"{LABELS}: rows per class"].startswith(
        "5923 6742 5958 6131 5842 5421 5918 6265 5851 5949, expected 59"
    )
    assert {what.replace(".gz", "") for what in wrong} == {f"{IMAGES}: images", f"{LABELS}: rows per class"}


def test_files_of_the_other_data_set_fail(data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "MNIST").symlink_to(data_dir / "FashionMNIST")
    wrong = failed(verify("mnist", tmp_path))
    assert len([what for what in wrong if what.endswith(": SHA-256")]) >= 4


def test_digits_pass() -> None:
    checks = verify("digits", Path("/nonexistent"))
    assert failed(checks) == {}
    assert {"digits, training: images", "digits, test: rows per class"} <= {check.what for check in checks}


@pytest.mark.parametrize("name", ["spirals", "imagenet"])
def test_data_without_files_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=name):
        verify(name, tmp_path)
