"""Warnings that point at the user's line."""

from __future__ import annotations

import inspect
import warnings
from traceback import walk_stack


def warn(text: str) -> None:
    """A UserWarning at the line outside of this package that called it, which a notebook shows below the cell."""
    package = __name__.partition(".")[0]
    names = [frame.f_globals.get("__name__", "") for frame, _ in walk_stack(inspect.currentframe())]
    outermost = max(level for level, name in enumerate(names, 1) if name.partition(".")[0] == package)
    warnings.warn(text, stacklevel=outermost + 1)
