"""Where files are kept that can be had again."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

import platformdirs

VARIABLE = "MLPTRAIN_CACHE_DIR"


def cache_folder(kind: str) -> Path:
    """Where one kind of data is kept that took long to read: below $MLPTRAIN_CACHE_DIR, else the user's cache."""
    named = os.environ.get(VARIABLE)
    return (Path(named) if named else user_cache()) / kind


def user_cache() -> Path:
    """The user's cache folder; one among the temporary files without a home folder, as in some containers."""
    with contextlib.suppress(RuntimeError):  # older platformdirs leave a ~ in the path instead
        if (cache := platformdirs.user_cache_path("mlptrain")).is_absolute():
            return cache
    return Path(tempfile.gettempdir(), "mlptrain")
