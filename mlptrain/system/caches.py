"""Where files are kept that can be had again."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import platformdirs


def user_cache() -> Path:
    """The user's cache folder; one among the temporary files without a home folder, as in some containers."""
    with contextlib.suppress(RuntimeError):  # older platformdirs leave a ~ in the path instead
        if (cache := platformdirs.user_cache_path("mlptrain")).is_absolute():
            return cache
    return Path(tempfile.gettempdir(), "mlptrain")
