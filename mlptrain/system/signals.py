"""Ctrl-C and SIGTERM, from the first moment of the process to its last.

The command line calls ``listen`` first of all and ``ignore`` at its end. In between training asks after every step
whether to stop (``stop_on_signals``), and what cannot be saved halfway ends at once (``ended_by_signals``).
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

EXIT_CODE = 130
INTERRUPTED = "interrupted; completed work is saved. Run the same command to resume"
_NUMBERS = (signal.SIGINT, signal.SIGTERM)
_IMPORT = "<frozen importlib._bootstrap>"  # the code that runs below every import

_Handler = Callable[[int, FrameType | None], Any] | int | signal.Handlers | None

received = False  # whether a signal came since ``listen``


def listen() -> None:
    """Let both raise KeyboardInterrupt, so that what is half-written is removed, or end the process while it imports.

    In the C code that torch, numpy and pydantic run as they are imported an exception gets lost or becomes another one:
    of 104 signals there 5 were swallowed, or came out as an AttributeError.
    """
    global received
    received = False
    _handle_with(_interrupt)


def ignore() -> None:
    """From here on nothing changes the exit code, as the process is at its end."""
    _handle_with(signal.SIG_IGN)
    # A KeyboardInterrupt that left code in a string, as that by which dataclasses makes methods during an import, has
    # `python -m` end itself by SIGINT even where it was caught; running another string takes that back.
    exec("")


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

    with _restored_handlers():
        _handle_with(handle)
        yield lambda: stopped


@contextlib.contextmanager
def ended_by_signals(message: str) -> Iterator[None]:
    """Both signals end the block at once, with an InterruptedRunError of this message.

    Handlers in Python, as those of the command line and of ``stop_on_signals``, stay and have more to do.
    """
    from mlptrain.errors import InterruptedRunError  # here, since `listen` comes before every other import

    try:
        with _restored_handlers() as before:
            for number, handler in before.items():
                signal.signal(number, handler if callable(handler) else signal.default_int_handler)
            yield
    except KeyboardInterrupt:
        raise InterruptedRunError(message) from None


@contextlib.contextmanager
def _restored_handlers() -> Iterator[dict[signal.Signals, _Handler]]:
    """The handlers at the beginning of the block, put back at its end; none outside the main thread."""
    in_main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in _NUMBERS if in_main}
    try:
        yield before
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _handle_with(handler: _Handler) -> None:
    if threading.current_thread() is threading.main_thread():
        for number in _NUMBERS:
            signal.signal(number, handler)


def _interrupt(_number: int, frame: FrameType | None) -> None:
    global received
    received = True
    if _is_importing(frame):
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        with contextlib.suppress(OSError):
            os.write(2, f"error: {INTERRUPTED}\n".encode())
        os._exit(EXIT_CODE)
    raise KeyboardInterrupt


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == _IMPORT:
            return True
        frame = frame.f_back
    return False
