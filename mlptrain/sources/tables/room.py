"""Whether a table fits into memory, said before it is read."""

from __future__ import annotations

from pathlib import Path

from mlptrain.errors import DataError
from mlptrain.system.memory import available_memory

_WORTH_ASKING = 1 << 26  # bytes


def check_room(path: Path, *, rows: float, columns: int, size: float, held: float = 0) -> None:
    """Raise DataError where a table of about ``size`` bytes, and its float32 matrix, exceed the available memory.

    ``held`` bytes of it are in memory already.
    """
    needed = size + 4.0 * rows * columns
    if needed < _WORTH_ASKING:
        return
    free = available_memory()
    if free is not None and needed - held > free:
        raise DataError(
            f"{path} would take about {needed / 1e9:,.1f} GB of memory (about {rows:,.0f} rows of {columns:,} "
            f"columns), but {free / 1e9:,.1f} GB are free. Read a part of it, or use a machine with more memory"
        )
