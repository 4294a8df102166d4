from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mlptrain.sources.store import RAW_FILES, read_images


@pytest.fixture
def archives(data_dir: Path, tmp_path: Path) -> Path:
    """A data folder of the test's own with MNIST's four archives; may be damaged."""
    raw = tmp_path / "own" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file in RAW_FILES:
        shutil.copyfile(data_dir / "MNIST" / "raw" / f"{file}.gz", raw / f"{file}.gz")
    return tmp_path / "own"


@pytest.fixture
def unpacked(data_dir: Path, tmp_path: Path) -> Path:
    """A data folder of the test's own with MNIST's four unpacked files and no archive; may be damaged."""
    read_images("mnist", data_dir)
    raw = tmp_path / "own" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file in RAW_FILES:
        shutil.copyfile(data_dir / "MNIST" / "raw" / file, raw / file)
    return tmp_path / "own"
