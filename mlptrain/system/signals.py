"""Ctrl-C and SIGTERM as a question that the loop asks after every step."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType


@contextlib.contextmanager
def stop_on_signals() -> Iterator[Callable[[], bool]]:
    """Within the block the first SIGINT or SIGTERM only makes the yielded function true; a second one ends at once.

    Outside the main thread, where Python sets no handlers, the function stays false.
    """
    stopped = False

    def handle(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopped
        if stopped:
            raise KeyboardInterrupt
        stopped = True

    def should_stop() -> bool:
        return stopped

    if threading.current_thread() is not threading.main_thread():
        yield should_stop
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield should_stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
