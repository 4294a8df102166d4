from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--faults",
        choices=["short", "full"],
        default="short",
        help="how many attacks tests/faults makes: short in every run of the tests, full on request",
    )


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the real MNIST and Fashion-MNIST, shared by all tests: read it, damage nothing in it."""
    named = os.environ.get("MLPTRAIN_DATA_DIR")
    if not named:
        pytest.skip("MLPTRAIN_DATA_DIR is not set: no real MNIST and Fashion-MNIST to test with")
    # A copy, since the first reading unpacks the archives in place.
    folder = tmp_path_factory.mktemp("data")
    for file in Path(named).glob("*/raw/*-ubyte*"):
        copy = folder / file.relative_to(named)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
    return folder
