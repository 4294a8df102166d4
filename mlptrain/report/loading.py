"""Loading matplotlib, whatever its environment variable and its settings file say.

Pictures are drawn by its Agg renderer and with settings of this package alone, so nothing that is wrong with the user's
can matter; but matplotlib itself reads both as it is imported, and raises. A notebook exports ``MPLBACKEND`` to every
command that is called from it, and names a module there that other environments do not have.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlptrain.errors import MachineError

BACKEND_VARIABLE = "MPLBACKEND"


def load_matplotlib() -> str:
    """Import matplotlib, unless it is; returns what had to be left out for that, in words.

    To be called before the first import of a module that draws. The backend that the user has chosen is used
    afterwards for pictures of the user's own, as in a notebook. Raises MachineError where matplotlib is not installed
    or broken.
    """
    if "matplotlib.backends.backend_agg" in sys.modules:
        return ""
    left_out = ""
    with _without_backend(), _quiet():
        try:
            _import()
        except ImportError as error:
            raise _broken(error) from error
        except Exception as error:  # of a settings file: unreadable, no text, …
            left_out = f"the user's settings of matplotlib ({_in_words(error)})"
            try:
                _import_with_its_own_settings()
            except Exception as again:
                raise _broken(again) from again
    return left_out


def _import() -> None:
    importlib.import_module("matplotlib.backends.backend_agg")


def _import_with_its_own_settings() -> None:
    """The settings file of the current folder comes before all others: for a moment that is matplotlib's own."""
    for name in [name for name in sys.modules if name.partition(".")[0] in ("matplotlib", "mpl_toolkits")]:
        del sys.modules[name]
    spec = importlib.util.find_spec("matplotlib")
    assert spec is not None
    assert spec.submodule_search_locations is not None  # it was found a moment ago
    with contextlib.chdir(Path(next(iter(spec.submodule_search_locations)), "mpl-data")):
        _import()


@contextlib.contextmanager
def _without_backend() -> Iterator[None]:
    """The variable is not there for this block; afterwards it is, and matplotlib obeys it where it can."""
    is_new, backend = "matplotlib" not in sys.modules, os.environ.pop(BACKEND_VARIABLE, None)
    try:
        yield
    finally:
        if backend is not None:
            os.environ[BACKEND_VARIABLE] = backend
    if backend and is_new:
        matplotlib: Any = sys.modules["matplotlib"]
        with contextlib.suppress(ValueError):  # it does not know that one, and chooses for itself
            matplotlib.rcParams["backend"] = backend


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without remarks on settings that are not used, and on a cache that cannot be kept."""
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _broken(error: Exception) -> MachineError:
    return MachineError(
        f"matplotlib, which draws the pictures, cannot be loaded: {_in_words(error)}. Reinstall it: "
        "`pip install --force-reinstall matplotlib`"
    )


def _in_words(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
