"""Files to read: written by tests, and the real tables where there are some."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

Write = Callable[[str, str | bytes], Path]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of a test is its own."""
    monkeypatch.setenv("MLPTRAIN_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tables"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """``write(name, content)`` is a file of the test's own folder; text is written as UTF-8, line ends as given."""

    def written(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return written


@pytest.fixture(scope="session")
def tables() -> Path:
    """The folder of the real tables, which are read in place."""
    named = os.environ.get("MLPTRAIN_DATA_DIR")
    if not named or not (folder := Path(named) / "tables").is_dir():
        pytest.skip("no folder 'tables' in $MLPTRAIN_DATA_DIR: no real tables to test with")
    return folder
