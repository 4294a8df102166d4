from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from mlptrain.errors import DataAbsentError, DataError
from mlptrain.sources.published import IMAGE_DATASETS
from mlptrain.sources.store import RAW_FILES, data_folder, read_images
from mlptrain.system.atomic import write_atomically
from tests.data.damage import DAMAGES, damage, full_disk

IMAGES = "train-images-idx3-ubyte"


def test_folder_is_the_named_one_then_the_variable_then_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLPTRAIN_DATA_DIR", str(tmp_path / "variable"))
    assert data_folder(tmp_path / "named") == tmp_path / "named"
    assert data_folder(None) == tmp_path / "variable"
    monkeypatch.setenv("MLPTRAIN_DATA_DIR", "~/images")
    assert data_folder(None) == Path.home() / "images"


@pytest.mark.skipif(sys.platform != "linux", reason="XDG_CACHE_HOME names the cache folder on Linux")
@pytest.mark.parametrize("variable", [None, ""])
def test_folder_is_in_the_users_cache_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str | None
) -> None:
    monkeypatch.delenv("MLPTRAIN_DATA_DIR", raising=False)
    if variable is not None:
        monkeypatch.setenv("MLPTRAIN_DATA_DIR", variable)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert data_folder(None) == tmp_path / "mlptrain" / "data"


@pytest.mark.parametrize(("name", "class_name"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")])
def test_content_is_torchvisions(data_dir: Path, name: str, class_name: str) -> None:
    import torchvision

    raw = read_images(name, data_dir)

    published = getattr(torchvision.datasets, class_name)
    train, test = published(data_dir, train=True), published(data_dir, train=False)
    np.testing.assert_array_equal(raw.train_images, train.data.numpy())
    np.testing.assert_array_equal(raw.train_labels, train.targets.numpy())
    np.testing.assert_array_equal(raw.test_images, test.data.numpy())
    np.testing.assert_array_equal(raw.test_labels, test.targets.numpy())
    assert [one.split(" - ")[0] for one in published.classes] == list(IMAGE_DATASETS[name].facts().class_names)


def test_archives_are_unpacked_once(archives: Path) -> None:
    first = read_images("mnist", archives)
    raw = archives / "MNIST" / "raw"
    for archive in raw.glob("*.gz"):
        archive.unlink()

    second = read_images("mnist", archives)

    assert sorted(file.name for file in raw.iterdir()) == sorted(RAW_FILES)
    np.testing.assert_array_equal(first.train_images, second.train_images)
    np.testing.assert_array_equal(first.test_labels, second.test_labels)


@pytest.mark.parametrize("kind", DAMAGES)
def test_damaged_file_is_named_with_both_digests_and_the_repair(unpacked: Path, kind: str) -> None:
    file = unpacked / "MNIST" / "raw" / IMAGES
    good = hashlib.sha256(file.read_bytes()).hexdigest()
    damage(file, kind)
    bad = hashlib.sha256(file.read_bytes()).hexdigest()

    with pytest.raises(DataError) as caught:
        read_images("mnist", unpacked)

    for words in (str(file), good, bad, "mlptrain data fetch mnist", f"{IMAGES}.gz"):
        assert words in str(caught.value)
    assert not isinstance(caught.value, DataAbsentError)


@pytest.mark.parametrize("kind", DAMAGES)
def test_damaged_archive_is_never_unpacked(archives: Path, kind: str) -> None:
    archive = archives / "MNIST" / "raw" / f"{IMAGES}.gz"
    damage(archive, kind)

    with pytest.raises(DataError, match="is damaged") as caught:
        read_images("mnist", archives)

    assert str(archive) in str(caught.value)
    assert "mlptrain data fetch mnist" in str(caught.value)
    assert not [file for file in archive.parent.iterdir() if IMAGES in file.name and file != archive]


def test_sound_archive_of_other_content_is_refused(archives: Path) -> None:
    raw = archives / "MNIST" / "raw"
    shutil.copyfile(raw / "t10k-images-idx3-ubyte.gz", raw / f"{IMAGES}.gz")
    wanted = hashlib.sha256(gzip.decompress((raw / "t10k-images-idx3-ubyte.gz").read_bytes())).hexdigest()

    with pytest.raises(DataError, match=f"SHA-256 of its content is {wanted}"):
        read_images("mnist", archives)


def test_absent_files_are_named_with_the_folder_and_the_ways_out(unpacked: Path) -> None:
    raw = unpacked / "MNIST" / "raw"
    (raw / IMAGES).unlink()
    (raw / "t10k-labels-idx1-ubyte").unlink()

    with pytest.raises(DataAbsentError) as caught:
        read_images("mnist", unpacked)

    message = str(caught.value)
    for words in (str(raw), IMAGES, "t10k-labels-idx1-ubyte", "mlptrain data fetch mnist", "configs/digits.yaml"):
        assert words in message
    assert "t10k-images" not in message


def test_nothing_at_all_is_absent_too(tmp_path: Path) -> None:
    with pytest.raises(DataAbsentError):
        read_images("fashion_mnist", tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["digits", "spirals", "imagenet"])
def test_other_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=name) as caught:
        read_images(name, tmp_path)
    assert "mnist, fashion_mnist" in str(caught.value)


def test_full_disk_does_not_hinder_reading(archives: Path) -> None:
    with full_disk(1_000_000):
        raw = read_images("mnist", archives)

    assert raw.train_images.shape == (60_000, 28, 28)
    left = {file.name for file in (archives / "MNIST" / "raw").iterdir() if not file.name.endswith(".gz")}
    assert left == {"train-labels-idx1-ubyte", "t10k-labels-idx1-ubyte"}


READ_AS_ANYBODY = """
import os, sys
from pathlib import Path
from mlptrain.sources.store import read_images
if os.geteuid() == 0:
    os.seteuid(65534)
print(read_images("mnist", Path(sys.argv[1])).train_labels[:5].tolist())
"""


def test_read_only_folder_is_read_without_writing(data_dir: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        raw = folder / "MNIST" / "raw"
        raw.mkdir(parents=True)
        for archive in (data_dir / "MNIST" / "raw").glob("*.gz"):
            shutil.copyfile(archive, raw / archive.name)
        for place in (raw, folder):
            place.chmod(0o555)
        try:
            done = subprocess.run([sys.executable, "-c", READ_AS_ANYBODY, name], capture_output=True, text=True)
        finally:
            for place in (raw, folder):
                place.chmod(0o755)
        assert done.stdout.strip() == "[5, 0, 4, 1, 9]", done.stderr
        assert all(file.suffix == ".gz" for file in raw.iterdir())


READ_AND_LIST_MODULES = """
import sys
from pathlib import Path
from mlptrain.data import load_splits, read_data
from mlptrain.spec import load_text
for data in ("{name: mnist, test_size: 10}", "digits"):
    experiment = load_text(f"{{data: {data}, model: {{hidden: []}}, optimizer: sgd}}").experiment
    load_splits(experiment, read_data(experiment, folder=Path(sys.argv[1])))
print(sorted({"torchvision", "sklearn", "scipy", "torch._dynamo"} & set(sys.modules)))
"""


def test_reading_imports_nothing_slow(data_dir: Path) -> None:
    arguments = [sys.executable, "-c", READ_AND_LIST_MODULES, str(data_dir)]
    done = subprocess.run(arguments, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"old")
    with full_disk(1_000), pytest.raises(OSError, match="large"):
        write_atomically(file, bytes(10_000))
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]

    write_atomically(file, b"new")
    assert file.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [file]


def test_written_file_is_readable_by_whom_the_umask_allows(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "file", b"new")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640
