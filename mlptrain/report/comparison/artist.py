"""A process that draws a comparison's pictures, started before torch is imported and the trials train.

Matplotlib takes as long to import as the pictures of a small comparison to draw, and neither can use a second core in
the process that trains. This one imports it meanwhile, without torch, waits to be told a folder, and draws with a copy
of itself where the system can make one. Whatever goes wrong there goes wrong once more, and is reported, where the
process that trains draws instead.
"""

from __future__ import annotations

import contextlib
import gc
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

_PATIENCE = 300.0  # seconds until the pictures are drawn here after all


class Artist:
    """Starts the process for a block, at the end of which it is gone; without one it draws nothing."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with contextlib.suppress(OSError):
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},  # a process without threads can be copied
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stdin is not None:
                self._process.stdin.close()

    def draw(self, path: Path) -> bool:
        """Whether all pictures of the finished comparison in the folder ``path`` are drawn, which may be asked once."""
        if self._process is None or self._process.stdin is None or self._process.stdin.closed:
            return False
        try:
            with self._process.stdin as stdin:
                stdin.write(os.fsencode(path.absolute()))
        except OSError:  # it has ended already
            return False
        try:
            return self._process.wait(_PATIENCE) == 0
        except subprocess.TimeoutExpired:
            return False


def _main() -> None:
    """Load everything, wait for the folder, draw."""
    gc.disable()
    from mlptrain.report.comparison.outputs import pictures
    from mlptrain.report.loading import load_matplotlib
    from mlptrain.report.study import write_picture
    from mlptrain.runs.comparison import ComparisonFiles

    load_matplotlib()
    from mlptrain.report.comparison import curves, figures  # noqa: F401 – now, rather than when the folder is known

    if not (told := sys.stdin.buffer.read()):  # the other process has ended
        return
    files = ComparisonFiles(Path(os.fsdecode(told)))
    drawn = pictures(files.read_summary(), files.read_timings())
    read, write = os.pipe()
    os.write(write, bytes(range(len(drawn))))
    os.close(write)
    copy = os.fork() if hasattr(os, "fork") else None
    while place := os.read(read, 1):  # each takes the next one
        write_picture(files.path / "pictures", *drawn[place[0]])
    if copy == 0:
        os._exit(0)
    if copy is not None and os.waitpid(copy, 0)[1] != 0:
        sys.exit(1)


if __name__ == "__main__":
    _main()
