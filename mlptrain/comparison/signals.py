"""SIGINT and SIGTERM while batches of trials train."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from signal import SIGINT, SIGTERM

from mlptrain.errors import InterruptedRunError


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGINT end the block at once, with InterruptedRunError.

    A single run continues to the end of its step, and saves. Of a batch of models nothing would be saved, and one step
    of 64 of them may take seconds.
    """
    is_main = threading.current_thread() is threading.main_thread()  # elsewhere Python sets no handlers
    before = {}
    try:
        if is_main:
            before = {number: signal.getsignal(number) for number in (SIGINT, SIGTERM)}
            for number, handler in before.items():  # the command line's own has more to it
                signal.signal(number, handler if callable(handler) else signal.default_int_handler)
        yield
    except KeyboardInterrupt:
        raise InterruptedRunError("stopped by a signal") from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
